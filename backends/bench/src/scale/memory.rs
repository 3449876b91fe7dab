//! More and more entries in memory.

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Clock, ManualClock, Store, SystemClock};
use kv_memory::{MemoryConfig, MemoryStore};

use super::Progress;
use super::curve::{Bend, Chart, Curve, Goal, Panel, Quantity, percentile};
use crate::measure::{Result, Spread, Stopwatch, Unit, timed};
use crate::memory::{Kind, resident_in_own_process};
use crate::payload::{KEYS_PER_PREFIX, key, prefix, random_keys, small_value};
use crate::store::hidden;

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    /// How many entries there are.
    pub(crate) entries: &'static [usize],
    /// Gets, overwrites and inserts a slice.
    pub(crate) calls: usize,
    /// Pages a slice.
    pub(crate) pages: usize,
    /// Slices of each.
    pub(crate) rounds: usize,
}

/// Keys of a page.
const PAGE: usize = 100;

/// The size from which on no cache of the processor holds the entries.
const BEYOND_CACHES: usize = 1_000_000;

const CACHES: &str = "as many steps at any size; but ten thousand entries lie in the caches of the processor, and of \
    ten million neither entries nor the tables of pages do";
const STEPS: &str = "as many steps at any size, none of them in a cache from here on";

const TIMES: &str = "memory, calls";
const PAGES: &str = "memory, pages";
const BYTES: &str = "memory, bytes an entry";
const EXPIRY: &str = "memory, expiry of all at once";

/// Measures what is wanted.
pub(crate) async fn run(sizes: &Sizes, progress: &Progress<'_>) -> Result<Option<Chart>> {
    let mut panels = Vec::new();
    // First, while this process is small.
    let bytes = if progress.wants(BYTES) { Some(bytes(sizes, progress).await?) } else { None };
    let (times, pages) = (progress.wants(TIMES), progress.wants(PAGES));
    if times || pages {
        let [calls, lists] = calls(sizes, progress).await?;
        panels.extend(times.then_some(calls));
        panels.extend(pages.then_some(lists));
    }
    panels.extend(bytes);
    if progress.wants(EXPIRY) {
        panels.extend(expiry(sizes, progress).await?);
    }
    if panels.is_empty() {
        return Ok(None);
    }
    let title = "Entries in memory";
    Ok(Some(Chart { name: "scale-memory", title, grows: "entries", panels, notes: notes() }))
}

async fn bytes(sizes: &Sizes, progress: &Progress<'_>) -> Result<Panel> {
    let curve = |name, because| {
        Curve::new(name).with_goal(Goal { bend: Bend::Rise { from: 100_000 }, times_max: 1.25, because })
    };
    let because = "each entry has its own block and its places in two tables; a table that just grew is half empty";
    let mut curves =
        [(Kind::KvMemory, curve("an entry", because)), (Kind::KvMemoryExpiring, curve("one that expires", because))];
    for entries in sizes.entries {
        for (kind, curve) in &mut curves {
            let (kind, entries) = (*kind, *entries);
            let bytes = tokio::task::spawn_blocking(move || resident_in_own_process(kind, entries)).await??;
            curve.push(entries, bytes);
            progress.dot();
        }
    }
    let curves = curves.map(|(_, curve)| curve).into();
    Ok(Panel { title: "memory an entry".to_owned(), quantity: Quantity::Cost(Unit::Bytes), curves })
}

/// A panel of single calls and one of pages.
async fn calls(sizes: &Sizes, progress: &Progress<'_>) -> Result<[Panel; 2]> {
    let rises = |from, times_max, because| Goal { bend: Bend::Rise { from }, times_max, because };
    let growing =
        |name, in_all| Curve::new(name).with_goal(rises(0, in_all, CACHES)).with_goal(rises(BEYOND_CACHES, 2.0, STEPS));
    let (mut gets, mut overwrites) = (growing("get", 8.0), growing("overwrite", 8.0));
    let mut inserts = growing("insert", 8.0);
    let mut pages = growing("page", 4.0);
    for entries in sizes.entries {
        let store = hidden(MemoryStore::new());
        inserts.push(*entries, fill(&store, *entries, sizes, None).await?);
        let mut figures = [const { Vec::new() }; 3];
        // Once without counting.
        for round in 0..=sizes.rounds {
            let slices = [
                get(&store, *entries, sizes).await?,
                overwrite(&store, *entries, sizes).await?,
                page(&store, *entries, sizes).await?,
            ];
            if round > 0 {
                figures.iter_mut().zip(slices).for_each(|(figures, figure)| figures.push(figure));
            }
            progress.dot();
        }
        for (curve, figures) in [&mut gets, &mut overwrites, &mut pages].into_iter().zip(figures) {
            curve.push(*entries, Spread::of(figures).median);
        }
    }
    let quantity = Quantity::Cost(Unit::Nanoseconds);
    Ok([
        Panel { title: "time a call".to_owned(), quantity, curves: vec![gets, overwrites, inserts] },
        Panel { title: format!("time a page of {PAGE} keys"), quantity, curves: vec![pages] },
    ])
}

/// Fills a store in random order, and answers the nanoseconds of one of the last inserts.
async fn fill(store: &Store, entries: usize, sizes: &Sizes, ttl: Option<Duration>) -> Result<f64> {
    // Four bytes a number, so that the order does not take more room than it must.
    let mut order: Vec<u32> = (0..u32::try_from(entries)?).collect();
    fastrand::shuffle(&mut order);
    let slice = (entries / 10 / sizes.rounds).clamp(1, sizes.calls);
    let mut figures = Vec::new();
    for numbers in order.chunks(slice) {
        let keys: Vec<String> = numbers.iter().map(|number| key(*number as usize)).collect();
        figures.push(
            in_a_task(store, move |store| async move {
                timed(keys.len(), async {
                    for key in &keys {
                        let mut set = store.set(key, small_value());
                        if let Some(ttl) = ttl {
                            set = set.ttl(ttl);
                        }
                        set.await?;
                    }
                    Ok(())
                })
                .await
            })
            .await?,
        );
    }
    Ok(Spread::of(figures.split_off(figures.len().saturating_sub(sizes.rounds))).median)
}

async fn get(store: &Store, entries: usize, sizes: &Sizes) -> Result<f64> {
    let keys = random_keys(entries, sizes.calls);
    in_a_task(store, |store| async move {
        timed(keys.len(), async {
            for key in &keys {
                black_box(store.get(key).await?.ok_or("missing")?);
            }
            Ok(())
        })
        .await
    })
    .await
}

async fn overwrite(store: &Store, entries: usize, sizes: &Sizes) -> Result<f64> {
    let keys = random_keys(entries, sizes.calls);
    in_a_task(store, |store| async move {
        timed(keys.len(), async {
            for key in &keys {
                store.set(key, small_value()).await?;
            }
            Ok(())
        })
        .await
    })
    .await
}

async fn page(store: &Store, entries: usize, sizes: &Sizes) -> Result<f64> {
    let prefixes = entries.div_ceil(KEYS_PER_PREFIX);
    let prefixes: Vec<String> = (0..sizes.pages).map(|_| format!("{}/", prefix(fastrand::usize(..prefixes)))).collect();
    in_a_task(store, |store| async move {
        timed(prefixes.len(), async {
            for prefix in &prefixes {
                if black_box(store.list().prefix(prefix.as_str()).limit(PAGE).await?).items.len() != PAGE {
                    return Err("a page is not full".into());
                }
            }
            Ok(())
        })
        .await
    })
    .await
}

/// Runs a slice where a program's calls run.
async fn in_a_task<T, F>(store: &Store, slice: impl FnOnce(Store) -> F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    tokio::spawn(slice(store.clone())).await?
}

/// All entries but a few expire at one instant; sets of those few make the store give the room back, while another
/// caller gets them.
async fn expiry(sizes: &Sizes, progress: &Progress<'_>) -> Result<Vec<Panel>> {
    let rises = |from, times_max, because| Goal { bend: Bend::Rise { from }, times_max, because };
    let waits = "each call takes out a bounded number of entries, so none waits for all of them";
    let mut reclaims = Curve::new("an expired entry")
        .with_goal(rises(
            0,
            10.0,
            "log n steps in the queue and in the index of keys, each a miss where they are large",
        ))
        .with_goal(rises(BEYOND_CACHES, 2.0, "log n steps more, none of them in a cache from here on"));
    let mut slow_sets = Curve::new("set, 99 of 100").with_goal(rises(0, 10.0, waits));
    let mut slow_gets = Curve::new("get, 99 of 100").with_goal(rises(0, 10.0, waits));
    let (mut longest_sets, mut longest_gets) = (Curve::new("longest set"), Curve::new("longest get"));
    for entries in sizes.entries {
        let found = expire_all(*entries, sizes).await?;
        reclaims.push(*entries, found.nanoseconds_an_entry);
        for (slow, longest, mut waits) in
            [(&mut slow_sets, &mut longest_sets, found.sets), (&mut slow_gets, &mut longest_gets, found.gets)]
        {
            slow.push(*entries, percentile(&mut waits, 990));
            longest.push(*entries, percentile(&mut waits, 1000));
        }
        progress.dot();
    }
    let quantity = Quantity::Cost(Unit::Nanoseconds);
    Ok(vec![
        Panel {
            title: "all expire at once: time of the sets that reclaim them".to_owned(),
            quantity,
            curves: vec![reclaims],
        },
        Panel {
            title: "all expire at once: calls meanwhile".to_owned(),
            quantity,
            curves: vec![slow_gets, slow_sets, longest_gets, longest_sets],
        },
    ])
}

struct Reclaimed {
    nanoseconds_an_entry: f64,
    /// The time of each call, in nanoseconds.
    sets: Vec<u64>,
    gets: Vec<u64>,
}

async fn expire_all(entries: usize, sizes: &Sizes) -> Result<Reclaimed> {
    const TTL: Duration = Duration::from_secs(3600);
    /// What stays, and is set and got meanwhile.
    const LIVE: usize = 10_000;
    /// A set takes out four expired entries of its own shard, and two elsewhere. Shards are not set equally often.
    const RECLAIMS: usize = 3;
    let clock = ManualClock::new(SystemClock.now());
    let store = hidden(MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone()))));
    let live: Arc<Vec<String>> = Arc::new((0..LIVE).map(|number| format!("live/{number:019}")).collect());
    for key in live.iter() {
        store.set(key, small_value()).await?;
    }
    fill(&store, entries, sizes, Some(TTL)).await?;
    clock.advance(2 * TTL);
    let (done, mut stop) = tokio::sync::oneshot::channel::<()>();
    let gets = in_a_task(&store, |store| {
        let live = Arc::clone(&live);
        async move {
            let mut waits = Vec::new();
            while matches!(stop.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty)) {
                for _ in 0..100 {
                    let watch = Stopwatch::start();
                    black_box(store.get(&live[fastrand::usize(..LIVE)]).await?.ok_or("missing")?);
                    waits.push(u64::try_from(watch.elapsed().as_nanos())?);
                }
                tokio::task::yield_now().await;
            }
            Ok(waits)
        }
    });
    let sets = in_a_task(&store, |store| {
        let live = Arc::clone(&live);
        async move {
            let mut waits = Vec::with_capacity(entries / RECLAIMS);
            for _ in 0..entries / RECLAIMS {
                let watch = Stopwatch::start();
                store.set(&live[fastrand::usize(..LIVE)], small_value()).await?;
                waits.push(u64::try_from(watch.elapsed().as_nanos())?);
            }
            drop(done);
            Ok(waits)
        }
    });
    let (gets, sets) = futures_util::future::try_join(gets, sets).await?;
    let left = left(&store).await?;
    if left > (entries / 100).max(PASSED) {
        return Err(format!("of {entries} expired entries about {left} are still there").into());
    }
    let nanoseconds_an_entry = sets.iter().sum::<u64>() as f64 / entries as f64;
    Ok(Reclaimed { nanoseconds_an_entry, sets, gets })
}

/// How many expired entries a page passes over at most.
const PASSED: usize = 1000;

/// About how many expired entries the store still holds.
async fn left(store: &Store) -> Result<usize> {
    let (mut cursor, mut left) = (None, 0);
    loop {
        let mut list = store.list().prefix("tn").limit(1);
        if let Some(cursor) = cursor {
            list = list.cursor(cursor);
        }
        cursor = list.await?.cursor;
        if cursor.is_none() {
            return Ok(left);
        }
        left += PASSED;
    }
}

fn notes() -> Vec<String> {
    [
        "kv-memory through kv_api::Store on a backend whose type the compiler cannot see. Keys have 24 bytes, values 100. \
         A lone caller; entries are set in random order, and got and overwritten at random. Figures are medians of the \
         slices; an insert is one of the last tenth before the size is reached.",
        "A page is 100 keys below a random prefix that a thousand keys have.",
        "Memory an entry is the growth of the resident set over the inserts in a process of its own. The payload is 124 bytes.",
        "For the expiry of all at once every entry has the same expiry, to the microsecond, and the clock of the store is \
         moved beyond it. One caller then sets ten thousand other keys, a third as many times as entries have expired, \
         while another one gets these keys; a list shows that no more than one in a hundred is left. The time is that of the \
         sets, divided by the entries that expired.",
        "The longest call has no goal: on a machine that does anything else it is the longest time that the caller had no core.",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_that_expired_at_once_is_reclaimed_by_a_third_as_many_sets() {
        let sizes = Sizes { entries: &[], calls: 100, pages: 2, rounds: 1 };
        let reclaimed = expire_all(8000, &sizes).await.unwrap();
        assert_eq!(reclaimed.sets.len(), 2666);
        assert!(reclaimed.nanoseconds_an_entry > 0.0 && !reclaimed.gets.is_empty());
    }

    #[tokio::test]
    async fn what_expired_and_is_still_there_is_counted() {
        let clock = ManualClock::new(SystemClock.now());
        let store = hidden(MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone()))));
        let sizes = Sizes { entries: &[], calls: 100, pages: 2, rounds: 1 };
        fill(&store, 5000, &sizes, Some(Duration::from_secs(60))).await.unwrap();
        clock.advance(Duration::from_secs(61));
        assert!((3000..=5000).contains(&left(&store).await.unwrap()));
        assert_eq!(left(&store).await.unwrap(), 0, "a list takes out what it passes over");
    }
}
