//! The SQLite backend against rusqlite, sqlx and OpenDAL's SQLite service, all of them durable (`synchronous=FULL`).

mod mix;
mod opendal;
mod rusqlite;
mod sql;
mod sqlx;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kv_api::{Store, Value};
use kv_sqlite::{SqliteConfig, SqliteStore};
use tempfile::TempDir;

use self::opendal::OpenDal;
use self::rusqlite::Rusqlite;
use self::sqlx::{HeldConnection, Pool};
use crate::database::{self, Batches, Database, gets, sets};
use crate::measure::{Program, Race, Result, Rounds, Unit};
use crate::payload::{KEYS_PER_PREFIX, SMALL, key, prefix, random_keys};
use crate::report::Section;
use crate::row::Row;
use crate::store::hidden;

/// Callers at once.
const TASKS: usize = 64;

/// Entries of a batch, and keys of a page.
const BATCH: usize = 1000;

/// Entries of a large batch, and how many times the entries of the other stores are in the one that it goes to.
const LARGE_BATCH: usize = 10_000;
const LARGE_BATCH_TITLE: &str = "set_many of 10,000 in random order into ten times the entries, per row";
const LARGE_FIELD: usize = 10;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Entries of each store with values of 100 bytes; of 4 KiB a fifth, of 64 KiB a sixty-fourth of it.
    pub(crate) entries: usize,
    /// Concurrent sets of ours in a slice.
    pub(crate) sets: usize,
    /// Those of a peer, which is slower.
    pub(crate) peer_sets: usize,
    /// Sets of a lone caller.
    pub(crate) lone_sets: usize,
    /// Concurrent gets.
    pub(crate) gets: usize,
    /// Gets of a lone caller.
    pub(crate) lone_gets: usize,
    /// Batches, and tens of pages.
    pub(crate) batches: usize,
    /// The rounds of a race.
    pub(crate) rounds: Rounds,
}

impl Sizes {
    /// For results that are kept.
    pub(crate) const FULL: Self = Self {
        entries: 100_000,
        sets: 6400,
        peer_sets: 1280,
        lone_sets: 1000,
        gets: 25_600,
        lone_gets: 4000,
        batches: 6,
        rounds: Rounds { warm_up: 1, counted: 9 },
    };

    /// For trying out.
    pub(crate) const QUICK: Self = Self {
        entries: 10_000,
        sets: 1280,
        peer_sets: 320,
        lone_sets: 100,
        gets: 6400,
        lone_gets: 500,
        batches: 2,
        rounds: Rounds { warm_up: 1, counted: 3 },
    };
}

/// Runs every race of the section.
///
/// # Errors
/// The first failure of a contender, or of the disk.
pub(crate) async fn run(sizes: Sizes, only: Option<String>) -> Result<Section> {
    // Under the folder of build results: on the disk of the project, not in memory, and ignored by version control.
    fs::create_dir_all("target")?;
    let directory = tempfile::Builder::new().prefix("kv-bench-").tempdir_in("target")?;
    let mut program = Program { only, ..Program::default() };

    let small = Field::load(&directory, sizes.entries, SMALL).await?;
    let mixed = Arc::new(load_ours(&directory.path().join("mixed.db"), sizes.entries, &small.value).await?);
    let opendal = Arc::new(OpenDal::open(&directory.path().join("opendal.db"), sizes.entries, &small.value)?);
    program.run(concurrent_small_sets(&small, &mixed, &opendal, sizes), sizes.rounds).await?;
    let retries = opendal.retries();
    for (entries, length, target) in [(sizes.entries / 5, 4 << 10, 4.0), (sizes.entries / 64, 64 << 10, 1.8)] {
        let large = Field::load(&directory, entries, length).await?;
        program.run(concurrent_sets(&large, target, sizes), sizes.rounds).await?;
    }
    let held = Arc::new(HeldConnection::open(&small.copy_for("held")?).await?);
    program.run(lone_set(&small, &held, sizes), sizes.rounds).await?;
    program.run(concurrent_gets(&small, sizes), sizes.rounds).await?;
    program.run(lone_get(&small, &held, &opendal, sizes), sizes.rounds).await?;
    let returning = Arc::new(Rusqlite::open(&small.copy_for("returning")?, true)?);
    let race = batch_sets("set_many of 1,000, per row", &small, &returning, BATCH, sizes.batches);
    program.run(race, sizes.rounds).await?;
    if program.wants(LARGE_BATCH_TITLE) {
        let large = Field::load(&directory, LARGE_FIELD * sizes.entries, SMALL).await?;
        let returning = Arc::new(Rusqlite::open(&large.copy_for("returning")?, true)?);
        let (size, batches) = (LARGE_BATCH.min(large.entries / 2), sizes.batches.div_ceil(3));
        program.run(batch_sets(LARGE_BATCH_TITLE, &large, &returning, size, batches), sizes.rounds).await?;
    }
    program.run(batch_gets(&small, sizes), sizes.rounds).await?;
    program.run(pages(&small, sizes), sizes.rounds).await?;
    Ok(Section { name: "sqlite", finishes: program.finishes, notes: notes(retries) })
}

fn notes(retries: usize) -> Vec<String> {
    let mut notes = [
        "A ratio is the other side's figure over the fixture's, taken round by round; higher is better for the fixture. \
         Ratio, min and max are over all rounds, the figures are medians. Differences below 20 % are a tie.",
        "WAL and synchronous=FULL for everybody: a set returns once it is on the disk. Except for OpenDAL all have the \
         same table with an index of expiries, cache_size 64 MiB, temp_store=MEMORY, wal_autocheckpoint 4000 and a busy \
         time-out; half of the rows expire, a quarter has metadata. Keys have 24 bytes.",
        "kv-sqlite is called through kv_api::Store on a backend whose type the compiler cannot see, with its default \
         settings. It answers each set with created-or-updated and a version that is unique in the file for ever. \
         rusqlite and the pool return a version that counts the row's updates; the held connection and rusqlite's plain \
         row loop return nothing.",
        "The mix: a fifth increments, a tenth deletes, and sets of which three in ten carry a condition; every tenth call \
         goes to one of 16 keys. Its baseline is kv-sqlite with unconditional sets in the same run.",
        "rusqlite runs on the calling thread, one call after the other, with cached statements: no program with concurrent \
         callers gets that for free, so it is a limit rather than an alternative. The pool is sqlx's with five connections \
         and its defaults; every caller runs its own statement.",
        "set_many is compared with a plain row loop, which answers nothing: the target is for that one. Beside it a loop \
         that returns a version for each row, as kv-sqlite does. Each is one transaction and one sync a batch.",
        "A page is one thousand keys with expiry and metadata. OpenDAL's service cannot list.",
    ]
    .map(str::to_owned)
    .to_vec();
    notes.push(format!(
        "OpenDAL's service stores key and value only, in a table without the index, and lets no pragma be set. Its writes \
         are tried again after 1 to 32 ms when they fail, which they did {retries} times in the race for concurrent sets."
    ));
    notes
}

/// The contenders with the same entries loaded, each in a file of its own.
struct Field<'a> {
    directory: &'a TempDir,
    template: PathBuf,
    entries: usize,
    value: Value,
    ours: Arc<Store>,
    pool: Arc<Pool>,
    rusqlite: Arc<Rusqlite>,
}

impl<'a> Field<'a> {
    async fn load(directory: &'a TempDir, entries: usize, length: usize) -> Result<Self> {
        let value = Value::from(vec![b'v'; length]);
        let path = |name: &str| directory.path().join(format!("{name}-{entries}-{length}.db"));
        let template = path("template");
        rusqlite::make_file(&template, entries, &value)?;
        for name in ["pool", "rusqlite"] {
            fs::copy(&template, path(name))?;
        }
        Ok(Self {
            directory,
            template,
            entries,
            ours: Arc::new(load_ours(&path("ours"), entries, &value).await?),
            pool: Arc::new(Pool::open(&path("pool")).await?),
            rusqlite: Arc::new(Rusqlite::open(&path("rusqlite"), false)?),
            value,
        })
    }

    /// One more file with the same entries.
    fn copy_for(&self, name: &str) -> Result<PathBuf> {
        let length = self.value.as_bytes().len();
        let path = self.directory.path().join(format!("{name}-{}-{length}.db", self.entries));
        fs::copy(&self.template, &path)?;
        Ok(path)
    }

    fn rows(&self, tasks: usize, calls: usize) -> Vec<Vec<Row>> {
        (0..tasks).map(|_| Row::random(self.entries, calls / tasks, &self.value)).collect()
    }

    fn keys(&self, tasks: usize, calls: usize) -> Vec<Vec<String>> {
        (0..tasks).map(|_| random_keys(self.entries, calls / tasks)).collect()
    }
}

async fn load_ours(path: &Path, entries: usize, value: &Value) -> Result<Store> {
    let ours = hidden(SqliteStore::open(SqliteConfig::new(path)).await?);
    for rows in Row::distinct(entries, entries, value).chunks(BATCH) {
        Batches::set_many(&ours, rows).await?;
    }
    Ok(ours)
}

fn concurrent_small_sets<'a>(
    field: &'a Field<'a>,
    mixed: &'a Arc<Store>,
    opendal: &'a Arc<OpenDal>,
    sizes: Sizes,
) -> Race<'a> {
    let mut race = Race::new(format!("set, {TASKS} callers at once, 100 B"), Unit::Nanoseconds);
    let ours = race.enter("kv-sqlite", move || sets(Arc::clone(&field.ours), field.rows(TASKS, sizes.sets)));
    let mix =
        race.enter("kv-sqlite, mix", move || mix::mixed(mixed, TASKS, sizes.sets / TASKS, field.entries, &field.value));
    let pool = race.enter("sqlx pool of 5", move || sets(Arc::clone(&field.pool), field.rows(TASKS, sizes.peer_sets)));
    let rusqlite =
        race.enter("rusqlite, one by one", move || sets(Arc::clone(&field.rusqlite), field.rows(1, sizes.peer_sets)));
    let opendal =
        race.enter("OpenDAL sqlite", move || sets(Arc::clone(opendal), field.rows(TASKS, sizes.peer_sets / 2)));
    race.compare(ours, pool, 5.0);
    race.compare(ours, rusqlite, 4.0);
    race.compare(ours, opendal, 12.0);
    race.compare(mix, ours, 0.8);
    race
}

fn concurrent_sets<'a>(field: &'a Field<'a>, target: f64, sizes: Sizes) -> Race<'a> {
    let kibibytes = field.value.as_bytes().len() >> 10;
    // Larger values fill the log sooner, so fewer of them make as long a slice.
    let share = if kibibytes < 64 { 2 } else { 5 };
    let mut race = Race::new(format!("set, {TASKS} callers at once, {kibibytes} KiB"), Unit::Nanoseconds);
    let ours = race.enter("kv-sqlite", move || sets(Arc::clone(&field.ours), field.rows(TASKS, sizes.sets / share)));
    let pool =
        race.enter("sqlx pool of 5", move || sets(Arc::clone(&field.pool), field.rows(TASKS, sizes.peer_sets / 2)));
    let rusqlite = race
        .enter("rusqlite, one by one", move || sets(Arc::clone(&field.rusqlite), field.rows(1, sizes.peer_sets / 2)));
    race.compare(ours, pool, target);
    race.compare(ours, rusqlite, None);
    race
}

fn lone_set<'a>(field: &'a Field<'a>, held: &'a Arc<HeldConnection>, sizes: Sizes) -> Race<'a> {
    let rows = move || field.rows(1, sizes.lone_sets);
    let mut race = Race::new("set, a lone caller, 100 B", Unit::Nanoseconds);
    let ours = race.enter("kv-sqlite", move || sets(Arc::clone(&field.ours), rows()));
    let held = race.enter("sqlx, held connection", move || sets(Arc::clone(held), rows()));
    let pool = race.enter("sqlx pool of 5", move || sets(Arc::clone(&field.pool), rows()));
    let rusqlite = race.enter("rusqlite", move || sets(Arc::clone(&field.rusqlite), rows()));
    race.compare(ours, held, 0.8);
    race.compare(ours, pool, None);
    race.compare(ours, rusqlite, None);
    race
}

fn concurrent_gets<'a>(field: &'a Field<'a>, sizes: Sizes) -> Race<'a> {
    fn work<D: Database>(
        field: &Field<'_>,
        database: &Arc<D>,
        tasks: usize,
        calls: usize,
    ) -> impl Future<Output = Result<f64>> + Send + use<D> {
        gets(Arc::clone(database), field.keys(tasks, calls), SMALL)
    }
    let mut race = Race::new(format!("get, {TASKS} callers at once, 100 B"), Unit::Nanoseconds);
    let ours = race.enter("kv-sqlite", move || work(field, &field.ours, TASKS, sizes.gets));
    let rusqlite = race.enter("rusqlite, one by one", move || work(field, &field.rusqlite, 1, sizes.gets));
    let pool = race.enter("sqlx pool of 5", move || work(field, &field.pool, TASKS, sizes.gets / 4));
    let mutex = race.enter("rusqlite, 64 callers, a mutex", move || work(field, &field.rusqlite, TASKS, sizes.gets));
    race.compare(ours, rusqlite, 0.9);
    race.compare(ours, mutex, None);
    race.compare(ours, pool, None);
    race
}

fn lone_get<'a>(
    field: &'a Field<'a>,
    held: &'a Arc<HeldConnection>,
    opendal: &'a Arc<OpenDal>,
    sizes: Sizes,
) -> Race<'a> {
    let keys = move || field.keys(1, sizes.lone_gets);
    let mut race = Race::new("get, a lone caller, 100 B", Unit::Nanoseconds);
    let ours = race.enter("kv-sqlite", move || gets(Arc::clone(&field.ours), keys(), SMALL));
    let pool = race.enter("sqlx pool of 5", move || gets(Arc::clone(&field.pool), keys(), SMALL));
    let held = race.enter("sqlx, held connection", move || gets(Arc::clone(held), keys(), SMALL));
    let opendal = race.enter("OpenDAL sqlite", move || gets(Arc::clone(opendal), keys(), SMALL));
    let rusqlite = race.enter("rusqlite", move || gets(Arc::clone(&field.rusqlite), keys(), SMALL));
    race.compare(ours, pool, 2.5);
    race.compare(ours, held, 1.0);
    race.compare(ours, opendal, None);
    race.compare(ours, rusqlite, None);
    race
}

/// Races in writing `batches` batches of `size` distinct rows.
fn batch_sets<'a>(
    title: &'static str,
    field: &'a Field<'a>,
    returning: &'a Arc<Rusqlite>,
    size: usize,
    batches: usize,
) -> Race<'a> {
    let rows = move || (0..batches).map(|_| Row::distinct(field.entries, size, &field.value)).collect();
    let mut race = Race::new(title, Unit::Nanoseconds);
    let ours = race.enter("kv-sqlite", move || database::batch_sets(Arc::clone(&field.ours), rows()));
    let plain = race
        .enter("rusqlite, rows in a transaction", move || database::batch_sets(Arc::clone(&field.rusqlite), rows()));
    let returning =
        race.enter("rusqlite, returning versions", move || database::batch_sets(Arc::clone(returning), rows()));
    race.compare(ours, plain, 0.95);
    race.compare(ours, returning, None);
    race
}

fn batch_gets<'a>(field: &'a Field<'a>, sizes: Sizes) -> Race<'a> {
    let keys = move || {
        let numbers = |_| fastrand::choose_multiple(0..field.entries, BATCH).into_iter().map(key).collect();
        (0..2 * sizes.batches).map(numbers).collect()
    };
    let mut race = Race::new("get_many of 1,000, per key", Unit::Nanoseconds);
    let ours = race.enter("kv-sqlite", move || database::batch_gets(Arc::clone(&field.ours), keys()));
    let rusqlite =
        race.enter("rusqlite, row by row", move || database::batch_gets(Arc::clone(&field.rusqlite), keys()));
    race.compare(ours, rusqlite, 1.3);
    race
}

fn pages<'a>(field: &'a Field<'a>, sizes: Sizes) -> Race<'a> {
    let prefixes = move || {
        let prefixes = field.entries / KEYS_PER_PREFIX;
        (0..10 * sizes.batches).map(|_| prefix(fastrand::usize(..prefixes))).collect()
    };
    let mut race = Race::new("page of 1,000 keys below a prefix", Unit::Nanoseconds);
    let ours = race.enter("kv-sqlite", move || database::pages(Arc::clone(&field.ours), prefixes(), KEYS_PER_PREFIX));
    let rusqlite =
        race.enter("rusqlite", move || database::pages(Arc::clone(&field.rusqlite), prefixes(), KEYS_PER_PREFIX));
    race.compare(ours, rusqlite, 0.42);
    race
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{answers_batches, answers_pages, keeps_what_it_is_given};
    use crate::entries::Entries;

    #[tokio::test]
    async fn every_contender_does_what_it_is_timed_for() {
        const ENTRIES: usize = 2 * BATCH;
        let directory = tempfile::tempdir().unwrap();
        let field = Field::load(&directory, ENTRIES, SMALL).await.unwrap();
        let held = Arc::new(HeldConnection::open(&field.copy_for("held").unwrap()).await.unwrap());
        let returning = Arc::new(Rusqlite::open(&field.copy_for("returning").unwrap(), true).unwrap());
        let opendal = OpenDal::open(&directory.path().join("opendal.db"), ENTRIES, &field.value).unwrap();
        let entries = Entries::new(ENTRIES, true);
        answers_pages(&field.ours, &entries).await;
        answers_pages(&field.rusqlite, &entries).await;
        keeps_what_it_is_given(&field.ours, &entries).await;
        keeps_what_it_is_given(&field.pool, &entries).await;
        keeps_what_it_is_given(&field.rusqlite, &entries).await;
        keeps_what_it_is_given(&held, &entries).await;
        keeps_what_it_is_given(&Arc::new(opendal), &entries).await;
        answers_batches(&field.ours, &entries).await;
        answers_batches(&field.rusqlite, &entries).await;
        answers_batches(&returning, &entries).await;
        mix::mixed(&field.ours, 4, 50, ENTRIES, &field.value).await.unwrap();
    }

    #[tokio::test]
    async fn every_peer_with_a_choice_is_durable() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("peer.db");
        rusqlite::make_file(&path, 10, &Value::from("v")).unwrap();
        let settings = [
            Rusqlite::open(&path, false).unwrap().settings().unwrap(),
            Pool::open(&path).await.unwrap().settings().await.unwrap(),
        ];
        // FULL is 2.
        assert_eq!(settings, [("wal".to_owned(), 2), ("wal".to_owned(), 2)]);
    }
}
