//! Many callers who share one store: calls a second, and how long the slowest of them take.

use std::sync::Arc;
use std::time::Duration;

use kv_api::Store;
use tokio::task::yield_now;

use super::Progress;
use super::curve::{Bend, Chart, Curve, Goal, Panel, Quantity, percentile};
use super::stores::{Kind, set_many, value};
use crate::measure::{Result, Spread, Stopwatch, Unit};
use crate::payload::key;

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    /// How many callers there are at once.
    pub(crate) callers: &'static [usize],
    /// The entries that they share.
    pub(crate) entries: usize,
    /// How long a slice is.
    pub(crate) slice: Duration,
    /// Slices of each number of callers, in turns.
    pub(crate) rounds: usize,
}

/// One call in so many is a set.
const SET_SHARE: usize = 10;

/// More callers may cost this much of the best throughput.
const FALL_MAX: f64 = 1.5;

/// How much longer one call in a hundred may take than the mean.
const WAIT_MAX: f64 = 5.0;

/// From this many callers on they wait for each other. Fewer of them wait for the disk, and for a core to wake up on.
const CROWD: usize = 256;

/// Measures every backend whose title is wanted.
pub(crate) async fn run(sizes: &Sizes, progress: &Progress<'_>) -> Result<Option<Chart>> {
    let panel = |title: &str, quantity| Panel { title: title.to_owned(), quantity, curves: Vec::new() };
    let mut rates = panel("calls a second, nine gets to a set", Quantity::Rate);
    let mut gets = panel("gets: the time that 99 of 100 keep", Quantity::Cost(Unit::Nanoseconds));
    let mut sets = panel("sets: the time that 99 of 100 keep", Quantity::Cost(Unit::Nanoseconds));
    for kind in Kind::ALL {
        if !progress.wants(&format!("callers, {}", kind.name())) {
            continue;
        }
        let measured = backend(kind, sizes, progress).await?;
        rates.curves.push(measured.rate);
        gets.curves.push(measured.gets);
        sets.curves.push(measured.sets);
    }
    if rates.curves.is_empty() {
        return Ok(None);
    }
    let panels = vec![rates, gets, sets];
    Ok(Some(Chart { name: "scale-callers", title: "Callers at once", grows: "callers", panels, notes: notes() }))
}

struct Measured {
    rate: Curve,
    gets: Curve,
    sets: Curve,
}

async fn backend(kind: Kind, sizes: &Sizes, progress: &Progress<'_>) -> Result<Measured> {
    let opened = kind.open().await?;
    let numbers: Vec<usize> = (0..sizes.entries).collect();
    set_many(&opened.store, &numbers, &value()).await?;
    let mut slices: Vec<Vec<Slice>> = vec![Vec::new(); sizes.callers.len()];
    // The first round is for connections, statements and caches.
    for round in 0..=sizes.rounds {
        for (index, callers) in sizes.callers.iter().enumerate() {
            let slice = slice(&opened.store, *callers, sizes).await;
            let slice = slice.map_err(|error| format!("{} callers of {}: {error}", callers, kind.name()))?;
            if round > 0 {
                slices[index].push(slice);
            }
            progress.dot();
        }
    }
    let (mut rate, mut gets, mut sets) = (Curve::new(kind.name()), Curve::new(kind.name()), Curve::new(kind.name()));
    let (mut get_means, mut set_means) = (Vec::new(), Vec::new());
    for (callers, slices) in sizes.callers.iter().zip(&slices) {
        let median = |of: fn(&Slice) -> f64| Spread::of(slices.iter().map(of).collect()).median;
        rate.push(*callers, median(|slice| slice.rate));
        gets.push(*callers, median(|slice| slice.gets.slow));
        sets.push(*callers, median(|slice| slice.sets.slow));
        get_means.push(median(|slice| slice.gets.mean));
        set_means.push(median(|slice| slice.sets.mean));
    }
    let fair = |figures| Goal {
        bend: Bend::Over { from: CROWD, name: "the mean", figures },
        times_max: WAIT_MAX,
        because: "who waits is served in turn, so that nobody waits much longer than all do",
    };
    let fall = Goal { bend: Bend::Fall, times_max: FALL_MAX, because: "more callers wait longer, but cost nothing" };
    Ok(Measured {
        rate: rate.with_goal(fall),
        gets: gets.with_goal(fair(get_means)),
        sets: sets.with_goal(fair(set_means)),
    })
}

/// What came out of a slice.
#[derive(Clone, Copy, Debug)]
struct Slice {
    /// Calls a second.
    rate: f64,
    gets: Waits,
    sets: Waits,
}

/// How long calls took, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Waits {
    mean: f64,
    /// What one in a hundred exceeds.
    slow: f64,
}

impl Waits {
    fn of(mut waits: Vec<u64>) -> Self {
        let mean = waits.iter().sum::<u64>() as f64 / waits.len() as f64;
        Self { mean, slow: percentile(&mut waits, 990) }
    }
}

/// Lets callers call until the time is over, and waits for the last answers.
async fn slice(store: &Store, callers: usize, sizes: &Sizes) -> Result<Slice> {
    let watch = Stopwatch::start();
    let (value, entries, until) = (value(), sizes.entries, sizes.slice);
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (store, value) = (store.clone(), Arc::clone(&value));
            tokio::spawn(async move { call_until(&store, caller, entries, &value, watch, until).await })
        })
        .collect();
    let (mut gets, mut sets) = (Vec::new(), Vec::new());
    for task in tasks {
        let (more_gets, more_sets) = task.await??;
        gets.extend(more_gets);
        sets.extend(more_sets);
    }
    let rate = (gets.len() + sets.len()) as f64 / watch.elapsed().as_secs_f64();
    Ok(Slice { rate, gets: Waits::of(gets), sets: Waits::of(sets) })
}

/// The times of a caller's gets and of its sets, in nanoseconds.
async fn call_until(
    store: &Store,
    caller: usize,
    entries: usize,
    value: &str,
    watch: Stopwatch,
    until: Duration,
) -> Result<(Vec<u64>, Vec<u64>)> {
    let (mut gets, mut sets) = (Vec::new(), Vec::new());
    // Callers set at different times, and each makes one call at least.
    for turn in caller.. {
        let start = watch.elapsed();
        if start >= until && turn > caller {
            break;
        }
        let key = key(fastrand::usize(..entries));
        let is_set = turn.is_multiple_of(SET_SHARE);
        if is_set {
            store.set(&key, value).await?;
        } else if store.get(&key).await?.is_none() {
            return Err("an entry is missing".into());
        }
        let took = u64::try_from((watch.elapsed() - start).as_nanos()).unwrap_or(u64::MAX);
        if is_set { &mut sets } else { &mut gets }.push(took);
        // Where a call never waits the others would not get a turn.
        yield_now().await;
    }
    Ok((gets, sets))
}

fn notes() -> Vec<String> {
    [
        "Each caller is a task that waits for its answer before its next call; after each call the others have their \
         turn. All share one store of 10,000 entries with keys of 24 and texts of 100 bytes; every tenth call of a caller \
         is a set. Figures are medians of the slices, which go through all numbers of callers in turn.",
        "Every store has its default settings. SQLite and PostgreSQL are durable: a set returns once it is on the disk. \
         Redis and PostgreSQL run as servers of their own on this machine, keeping nothing and everything on disk. \
         Cloudflare, Backendless, Puter and NemesisDB are their adapters on the stateful fakes, which share process and \
         cores with the callers: what is shown is that nothing is refused and nothing collapses, not what a real system does.",
        "With n callers who wait for one line a call takes n times as long: the time grows, and the rate stays.",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn callers_call_and_are_counted() {
        let opened = Kind::Memory.open().await.unwrap();
        let numbers: Vec<usize> = (0..100).collect();
        set_many(&opened.store, &numbers, &value()).await.unwrap();
        let sizes = Sizes { callers: &[1, 20], entries: 100, slice: Duration::from_millis(1), rounds: 1 };
        let slice = slice(&opened.store, 20, &sizes).await.unwrap();
        assert!(slice.rate > 0.0 && slice.gets.slow >= 1.0 && slice.sets.slow >= 1.0, "{slice:?}");
        assert!(slice.gets.mean > 0.0 && slice.sets.mean > 0.0, "{slice:?}");
    }
}
