//! Batches of every size: the time of an entry.

use std::future::Future;
use std::time::Duration;

use kv_api::Store;

use super::Progress;
use super::curve::{Bend, Chart, Curve, Goal, Panel, Quantity};
use super::stores::{Kind, set_many, value};
use crate::measure::{Result, Spread, Stopwatch, Unit};
use crate::payload::key;

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    /// How many entries are in one call.
    pub(crate) batches: &'static [usize],
    /// How long a slice is at least; one call at least.
    pub(crate) slice: Duration,
    /// Slices of each size, in turns.
    pub(crate) rounds: usize,
}

/// What an entry of a larger batch may cost more than one of a smaller one.
const RISE_MAX: f64 = 2.0;

/// Measures every backend whose title is wanted.
pub(crate) async fn run(sizes: &Sizes, progress: &Progress<'_>) -> Result<Option<Chart>> {
    let panel = |title: &str| Panel {
        title: title.to_owned(),
        quantity: Quantity::Cost(Unit::Nanoseconds),
        curves: Vec::new(),
    };
    let (mut sets, mut gets) = (panel("set_many, time an entry"), panel("get_many, time an entry"));
    for kind in Kind::ALL {
        if progress.wants(&format!("batches, {}", kind.name())) {
            let [more_sets, more_gets] = backend(kind, sizes, progress).await?;
            sets.curves.push(more_sets);
            gets.curves.push(more_gets);
        }
    }
    if sets.curves.is_empty() {
        return Ok(None);
    }
    let panels = vec![sets, gets];
    let title = "Entries in one call";
    Ok(Some(Chart { name: "scale-batches", title, grows: "entries a call", panels, notes: notes() }))
}

/// The curves of `set_many` and of `get_many`.
async fn backend(kind: Kind, sizes: &Sizes, progress: &Progress<'_>) -> Result<[Curve; 2]> {
    let opened = kind.open().await?;
    let entries = sizes.batches.iter().copied().max().unwrap_or(0);
    // Every key is there, so that gets find it and sets overwrite.
    set_many(&opened.store, &distinct(entries, entries), &value()).await?;
    let mut figures = vec![[Vec::new(), Vec::new()]; sizes.batches.len()];
    for _ in 0..sizes.rounds {
        for (index, batch) in sizes.batches.iter().enumerate() {
            let within = |error| format!("batches of {batch}, {}: {error}", kind.name());
            figures[index][0].push(sets(&opened.store, entries, *batch, sizes.slice).await.map_err(within)?);
            figures[index][1].push(gets(&opened.store, entries, *batch, sizes.slice).await.map_err(within)?);
            progress.dot();
        }
    }
    let curve = |operation: usize| {
        let mut curve = Curve::new(kind.name()).with_goal(Goal {
            bend: Bend::Rise { from: 0 },
            times_max: RISE_MAX,
            because: "a batch shares requests and transactions, and what is too large for one is split; of a hundred \
                      thousand entries none is in the processor's caches any more",
        });
        for (batch, figures) in sizes.batches.iter().zip(&figures) {
            curve.push(*batch, Spread::of(figures[operation].clone()).median);
        }
        curve
    };
    Ok([curve(0), curve(1)])
}

async fn sets(store: &Store, entries: usize, batch: usize, slice: Duration) -> Result<f64> {
    let value = &*value();
    let prepare = || distinct(entries, batch);
    repeated(batch, slice, prepare, |numbers| async move { set_many(store, &numbers, value).await }).await
}

async fn gets(store: &Store, entries: usize, batch: usize, slice: Duration) -> Result<f64> {
    let prepare = || distinct(entries, batch).into_iter().map(key).collect();
    repeated(batch, slice, prepare, |keys: Vec<String>| async move {
        let values = store.get_many(keys.iter().map(String::as_str)).await?;
        if values.iter().flatten().count() == batch { Ok(()) } else { Err("not every key was found".into()) }
    })
    .await
}

/// Nanoseconds an entry of a call that is made again until the slice is over; without what prepares it.
async fn repeated<T, F: Future<Output = Result<()>>>(
    batch: usize,
    slice: Duration,
    prepare: impl Fn() -> T,
    call: impl Fn(T) -> F,
) -> Result<f64> {
    let (mut entries, mut took) = (0, Duration::ZERO);
    while entries == 0 || took < slice {
        let prepared = prepare();
        let watch = Stopwatch::start();
        call(prepared).await?;
        took += watch.elapsed();
        entries += batch;
    }
    Ok(took.as_secs_f64() * 1e9 / entries as f64)
}

/// `count` different numbers below a power of ten, all over it and in no order, in as many steps.
fn distinct(entries: usize, count: usize) -> Vec<usize> {
    /// Has no divisor in common with a power of ten, so that no number comes twice.
    const STRIDE: usize = 61_803;
    let start = fastrand::usize(..entries);
    (0..count).map(|step| (start + step * STRIDE) % entries).collect()
}

fn notes() -> Vec<String> {
    [
        "A lone caller who gives one call so many different keys in random order, out of 100,000 that are all there: keys \
         of 24 bytes, texts of 100. The numbers of the entries, and the keys of gets, are made before the clock \
         starts. Figures are medians of the slices.",
        "Every store has its default settings; SQLite and PostgreSQL are durable. Cloudflare, Backendless, Puter and \
         NemesisDB are their adapters on the stateful fakes, which share process and cores with the caller.",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_different_and_all_are_there() {
        for entries in [10_000, 100_000] {
            let mut numbers = distinct(entries, entries);
            assert_ne!(numbers[1], numbers[0] + 1);
            numbers.sort_unstable();
            assert_eq!(numbers, (0..entries).collect::<Vec<_>>());
        }
    }
}
