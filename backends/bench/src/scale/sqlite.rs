//! More and more rows in an SQLite file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Clock, ManualClock, SetItem, Store, SystemClock, Timer, TokioTimer};
use kv_sqlite::{SqliteConfig, SqliteStore};
use rusqlite::Connection;

use super::Progress;
use super::curve::{Bend, Chart, Curve, Goal, Panel, Quantity};
use super::stores::{directory, set_many, value};
use crate::database::{gets, pages};
use crate::measure::{Result, Spread, Stopwatch, Unit, timed};
use crate::payload::{KEYS_PER_PREFIX, SMALL, prefix, random_keys};
use crate::store::hidden;

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    /// How many rows there are.
    pub(crate) rows: &'static [usize],
    /// Gets a slice.
    pub(crate) gets: usize,
    /// Pages a slice.
    pub(crate) pages: usize,
    /// Batches a slice.
    pub(crate) batches: usize,
    /// Rows that expire at once, if there are as many others.
    pub(crate) expiring: usize,
    /// Slices of each.
    pub(crate) rounds: usize,
}

/// Rows of a batch that fills the file.
const FILL: usize = 10_000;

/// Rows of a batch whose time is taken.
const BATCH: usize = 1000;

/// Keys of a page.
const PAGE: usize = 100;

const TITLE: &str = "sqlite";

const TTL: Duration = Duration::from_secs(3600);

/// Measures all of it, if it is wanted.
pub(crate) async fn run(sizes: &Sizes, progress: &Progress<'_>) -> Result<Option<Chart>> {
    if !progress.wants(TITLE) {
        return Ok(None);
    }
    let directory = directory()?;
    let path = directory.path().join("scale.db");
    let clock = ManualClock::new(SystemClock.now());
    let config = SqliteConfig::new(&path).with_clock(Arc::new(clock.clone()));
    let store = Arc::new(hidden(SqliteStore::open(config).await?));
    let mut curves = Curves::new();
    let mut rows = 0;
    for wanted in sizes.rows {
        fill(&store, rows, *wanted).await?;
        rows = *wanted;
        progress.dot();
        let file = File { path: &path, rows };
        curves.filled.push(rows, file.bytes_a_row()?);
        calls(&store, rows, sizes, &mut curves).await?;
        progress.dot();
        expiry(&store, &clock, &file, sizes, &mut curves).await?;
        progress.dot();
    }
    store.close().await?;
    let title = "Rows in an SQLite file";
    Ok(Some(Chart { name: "scale-sqlite", title, grows: "rows", panels: curves.into_panels(), notes: notes() }))
}

/// Every curve of the section.
struct Curves {
    gets: Curve,
    pages: Curve,
    batches: Curve,
    reclaims: Curve,
    filled: Curve,
    with_expiring: Curve,
    reclaimed: Curve,
    filled_again: Curve,
}

impl Curves {
    fn new() -> Self {
        let rises = |times_max, because| Goal { bend: Bend::Rise { from: 0 }, times_max, because };
        let deeper =
            "the trees get two levels deeper, and what is no longer in SQLite's cache is read from the system's";
        let scattered =
            "random rows of a large file share no pages: each touches a page of the table and one of the index";
        Self {
            gets: Curve::new("get").with_goal(rises(2.5, deeper)),
            pages: Curve::new("page of 100").with_goal(rises(2.5, deeper)),
            batches: Curve::new("set_many of 1,000 at random, a row").with_goal(rises(10.0, scattered)),
            reclaims: Curve::new("an expired row, at random").with_goal(rises(10.0, scattered)),
            filled: Curve::new("filled").with_goal(rises(1.3, "as many bytes a row; pages are as full")),
            with_expiring: Curve::new("and expiring rows"),
            reclaimed: Curve::new("these reclaimed"),
            filled_again: Curve::new("as many again"),
        }
    }

    fn into_panels(mut self) -> Vec<Panel> {
        let figures = |curve: &Curve| curve.points.iter().map(|(_, figure)| *figure).collect();
        let reused = Goal {
            bend: Bend::Over { from: 0, name: "the file with the first ones", figures: figures(&self.with_expiring) },
            times_max: 1.1,
            because: "the room of reclaimed rows is used again",
        };
        self.filled_again.goals.push(reused);
        let panel =
            |title: &str, unit, curves| Panel { title: title.to_owned(), quantity: Quantity::Cost(unit), curves };
        vec![
            panel("time a call of a lone caller", Unit::Nanoseconds, vec![self.gets, self.pages]),
            panel("time a row", Unit::Nanoseconds, vec![self.batches, self.reclaims]),
            panel(
                "size of the file, a row of those that stay",
                Unit::Bytes,
                vec![self.filled, self.with_expiring, self.reclaimed, self.filled_again],
            ),
        ]
    }
}

/// Adds the rows `from..to`, in the order of their keys.
async fn fill(store: &Store, from: usize, to: usize) -> Result<()> {
    let value = value();
    let numbers: Vec<usize> = (from..to).collect();
    for batch in numbers.chunks(FILL) {
        set_many(store, batch, &value).await?;
    }
    Ok(())
}

async fn calls(store: &Arc<Store>, rows: usize, sizes: &Sizes, curves: &mut Curves) -> Result<()> {
    let mut figures = [const { Vec::new() }; 3];
    let value = value();
    // Once without counting.
    for round in 0..=sizes.rounds {
        let prefixes = rows.div_ceil(KEYS_PER_PREFIX);
        let prefixes = (0..sizes.pages).map(|_| prefix(fastrand::usize(..prefixes))).collect();
        let batches: Vec<Vec<usize>> =
            (0..sizes.batches).map(|_| fastrand::choose_multiple(0..rows, BATCH.min(rows))).collect();
        let slices = [
            gets(Arc::clone(store), vec![random_keys(rows, sizes.gets)], SMALL).await?,
            pages(Arc::clone(store), prefixes, PAGE).await?,
            timed(batches.iter().map(Vec::len).sum(), async {
                for batch in &batches {
                    set_many(store, batch, &value).await?;
                }
                Ok(())
            })
            .await?,
        ];
        if round > 0 {
            figures.iter_mut().zip(slices).for_each(|(figures, figure)| figures.push(figure));
        }
    }
    for (curve, figures) in [&mut curves.gets, &mut curves.pages, &mut curves.batches].into_iter().zip(figures) {
        curve.push(rows, Spread::of(figures).median);
    }
    Ok(())
}

/// Adds rows that all expire at one instant, lets them be reclaimed, and does both again.
async fn expiry(store: &Store, clock: &ManualClock, file: &File<'_>, sizes: &Sizes, curves: &mut Curves) -> Result<()> {
    let expiring = sizes.expiring.min(file.rows);
    add_expiring(store, file.rows, expiring).await?;
    curves.with_expiring.push(file.rows, file.bytes_a_row()?);
    clock.advance(2 * TTL);
    let first = reclaim(store, file).await? / expiring as f64;
    curves.reclaimed.push(file.rows, file.bytes_a_row()?);
    add_expiring(store, file.rows, expiring).await?;
    curves.filled_again.push(file.rows, file.bytes_a_row()?);
    clock.advance(2 * TTL);
    let second = reclaim(store, file).await? / expiring as f64;
    curves.reclaims.push(file.rows, Spread::of(vec![first, second]).median);
    Ok(())
}

/// Adds `count` rows with one expiry, all over the file.
async fn add_expiring(store: &Store, rows: usize, count: usize) -> Result<()> {
    let value = value();
    for numbers in fastrand::choose_multiple(0..rows, count).chunks(FILL) {
        let keys = numbers.iter().map(|number| format!("{}/late-{number:012}", prefix(number / KEYS_PER_PREFIX)));
        for outcome in store.set_many(keys.map(|key| SetItem::new(key, &*value).ttl(TTL))).await {
            outcome?;
        }
    }
    Ok(())
}

/// Has all that has expired reclaimed, and answers how many nanoseconds that took.
async fn reclaim(store: &Store, file: &File<'_>) -> Result<f64> {
    const LONGEST: Duration = Duration::from_secs(600);
    let connection = file.open()?;
    let watch = Stopwatch::start();
    // Each group of writes looks for what has expired, and goes on when nobody calls.
    set_many(store, &[0, 1], &value()).await?;
    while !is_reclaimed(&connection)? {
        if watch.elapsed() > LONGEST {
            return Err("expired rows were not reclaimed".into());
        }
        TokioTimer.sleep(Duration::from_millis(1)).await;
    }
    Ok(watch.elapsed().as_secs_f64() * 1e9)
}

fn is_reclaimed(connection: &Connection) -> Result<bool> {
    let mut statement =
        connection.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM kv WHERE expires_at IS NOT NULL)")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// The file beside the store.
struct File<'a> {
    path: &'a Path,
    /// Rows that stay.
    rows: usize,
}

impl File<'_> {
    fn open(&self) -> Result<Connection> {
        Ok(Connection::open(self.path)?)
    }

    /// The size of the file with what is still in the log, over the rows that stay.
    fn bytes_a_row(&self) -> Result<f64> {
        let connection = self.open()?;
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
        let bytes = f64::from(pragma("page_count")?) * f64::from(pragma("page_size")?);
        Ok(bytes / self.rows as f64)
    }
}

fn notes() -> Vec<String> {
    [
        "kv-sqlite through kv_api::Store, with its default settings, durable; keys of 24 bytes, texts of 100. One file \
         grows: rows are added in the order of their keys, by batches of 10,000. Figures are medians of the slices.",
        "SQLite's own cache is 16 MiB for each connection. At ten million rows \
         the file has some 2 GB: far more than that, and less than the system's cache of files where this was run, so that \
         reads go to the system and not to the disk.",
        "Of as many rows as there are, but at most 100,000, all over the file, all expire at the same instant; then one \
         batch of two is written, and the time taken until no expired row is left, with nobody calling meanwhile.",
        "A file does not get smaller when rows are reclaimed: its pages are used again. The last two curves show both.",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_curve_has_a_point_for_each_size() {
        let sizes = Sizes { rows: &[1000, 2000], gets: 5, pages: 2, batches: 1, expiring: 500, rounds: 1 };
        let chart = run(&sizes, &Progress { only: None }).await.unwrap().unwrap();
        for curve in chart.panels.iter().flat_map(|panel| &panel.curves) {
            let at: Vec<usize> = curve.points.iter().map(|(size, _)| *size).collect();
            assert_eq!(at, sizes.rows, "{}", curve.name);
            assert!(curve.points.iter().all(|(_, figure)| *figure > 0.0), "{curve:?}");
        }
    }
}
