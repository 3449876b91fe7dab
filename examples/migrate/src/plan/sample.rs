//! A plan from the whole list of a store, and some of its entries.

use std::io::Cursor;
use std::num::NonZeroUsize;

use kv_api::{ListItem, Store, json_quoted};

use super::preview::Preview;
use super::{Plan, PlanTarget, Sample, note, read, traffic};
use crate::context::Context;
use crate::error::Result;
use crate::keys::KeyReader;
use crate::options::Options;
use crate::patience::Observer;
use crate::progress::{Event, Side};
use crate::settle::check_source;
use crate::source::{Order, Pages, Source};
use crate::summary::{Counts, Failure};

/// The same as [`plan`](crate::plan) from the whole list of a store, and so many of its entries, chosen at random;
/// fewer where their keys would take more than 16 MiB.
///
/// How many entries there are is exact, and so are the refusals that lie in a key alone, and the bytes of the values
/// where the list reports them ([`list_value_bytes`](kv_api::Capabilities::list_value_bytes)). The rest is an estimate:
/// what is found in the sample, times the number of entries that it stands for.
pub async fn plan_sample(
    source: &Store,
    entries: NonZeroUsize,
    target: PlanTarget<'_>,
    options: &Options,
    look_for_existing: bool,
    mut observe: impl FnMut(Event<'_>) + Send,
) -> Plan {
    let observer = Observer::new(&mut observe);
    let context = Context::new(options, &observer);
    let existing_in = target.store().filter(|_| look_for_existing);
    let mut plan = Plan { notes: note::notes(Some(source.capabilities()), target), ..Plan::default() };
    let ended = match Source::store(source, options) {
        Ok(checked) => {
            plan.stopped = check_source(&checked, options).err();
            estimate(&mut plan, source, entries, target, existing_in, &context).await
        }
        Err(error) => Err(error),
    };
    plan.ended(ended)
}

async fn estimate(
    plan: &mut Plan,
    store: &Store,
    entries: NonZeroUsize,
    target: PlanTarget<'_>,
    existing_in: Option<&Store>,
    context: &Context<'_>,
) -> Result<()> {
    let options = context.options;
    let mut preview = Preview::new(target, options, Order::None);
    let mut chosen = Chosen::new(entries);
    let value_bytes_listed = store.capabilities().list_value_bytes;
    let (mut listed, mut key_bytes, mut value_bytes, mut value_bytes_max) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut pages = Pages::new(store, Side::Source, options.prefix.clone());
    let mut keys = 0_u64;
    while let Some(page) = pages.next(context).await? {
        keys += page.items.len() as u64;
        for ListItem { key, value_bytes: bytes, .. } in page.items {
            if !options.selects(&key) {
                continue;
            }
            listed += 1;
            key_bytes += key.len() as u64;
            value_bytes += bytes.unwrap_or(0);
            value_bytes_max = value_bytes_max.max(bytes.unwrap_or(0));
            match preview.check_key(&key) {
                Ok(()) => chosen.offer(key),
                Err(error) => {
                    plan.counts.read += 1;
                    plan.counts.failed += 1;
                    plan.failures.add(Failure { key, line: None, error });
                }
            }
        }
        context.progressed(listed, None);
        // A store in memory never waits, and others want to run too.
        tokio::task::yield_now().await;
    }
    let Chosen { keys: sampled, offered: of, .. } = chosen;
    let read_max = sampled.len() as u64;
    let mut part = Plan { existing: existing_in.map(|_| 0), ..Plan::default() };
    // By way of a file of keys in memory, so that reading is bounded as it is in a copy.
    let lines: String = sampled.iter().map(|key| json_quoted(key).to_string() + "\n").collect();
    drop(sampled);
    let reader = KeyReader::over("the sample".to_owned(), Box::new(Cursor::new(lines)));
    let mut source = Source::keys(store, reader, options);
    let ended = read(&mut preview, &mut part, &mut source, existing_in, context).await;

    let scale = |count: u64| scaled(count, of, read_max);
    plan.failures.absorb_sample(part.failures, scale);
    add_scaled(&mut plan.counts, &part.counts, scale);
    plan.existing = part.existing.map(scale);
    plan.expiry_moved = scale(part.expiry_moved);
    plan.metadata_bytes = scale(part.metadata_bytes);
    plan.key_bytes = key_bytes;
    (plan.value_bytes, plan.value_bytes_max) = if value_bytes_listed {
        (value_bytes, value_bytes_max)
    } else {
        (scale(part.value_bytes), part.value_bytes_max)
    };
    plan.sample = Some(Sample { listed, read: part.counts.read, value_bytes_listed });
    plan.source = Some(traffic::of_source(store.capabilities(), Some(keys), listed));
    plan.target = traffic::of_target(target, plan, options);
    ended
}

/// Of `of` as of `sample`, to the nearest.
fn scaled(count: u64, of: u64, sample: u64) -> u64 {
    let sample = u128::from(sample.max(1));
    let product = u128::from(count) * u128::from(of);
    u64::try_from((product + sample / 2) / sample).unwrap_or(u64::MAX)
}

fn add_scaled(counts: &mut Counts, part: &Counts, scale: impl Fn(u64) -> u64) {
    // The others come about only when something is written, or named twice.
    let &Counts { written, expired, skipped, failed, expiry_lost, metadata_lost, .. } = part;
    let [written, expired, skipped, failed] = [written, expired, skipped, failed].map(&scale);
    counts.read += written + expired + skipped + failed;
    counts.written += written;
    counts.expired += expired;
    counts.skipped += skipped;
    counts.failed += failed;
    counts.expiry_lost += scale(expiry_lost);
    counts.metadata_lost += scale(metadata_lost);
}

/// Keys chosen at random, each of those that were offered with the same chance.
struct Chosen {
    most: usize,
    keys: Vec<String>,
    bytes: usize,
    offered: u64,
    random: fastrand::Rng,
}

impl Chosen {
    /// About what the keys take in memory at most.
    const BYTES_MAX: usize = 16 * 1024 * 1024;

    fn new(most: NonZeroUsize) -> Self {
        Self { most: most.get(), keys: Vec::new(), bytes: 0, offered: 0, random: fastrand::Rng::new() }
    }

    fn offer(&mut self, key: String) {
        self.offered += 1;
        if self.keys.len() < self.most {
            self.bytes += Self::bytes_of(&key);
            self.keys.push(key);
        } else {
            let at = self.random.u64(0..self.offered);
            if let Some(place) = usize::try_from(at).ok().and_then(|at| self.keys.get_mut(at)) {
                self.bytes = self.bytes - Self::bytes_of(place) + Self::bytes_of(&key);
                *place = key;
            }
        }
        // Without one at random it is still a sample of the same kind, only smaller.
        while self.bytes > Self::BYTES_MAX && self.keys.len() > 1 {
            let left_out = self.keys.swap_remove(self.random.usize(0..self.keys.len()));
            self.bytes -= Self::bytes_of(&left_out);
            self.most = self.keys.len();
        }
    }

    const fn bytes_of(key: &str) -> usize {
        key.len() + size_of::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_the_same_chance() {
        let mut times = [0_u32; 10];
        for seed in 0..3000 {
            let mut chosen =
                Chosen { random: fastrand::Rng::with_seed(seed), ..Chosen::new(NonZeroUsize::new(3).unwrap()) };
            (0..10).for_each(|key| chosen.offer(key.to_string()));
            assert_eq!((chosen.keys.len(), chosen.offered), (3, 10));
            chosen.keys.iter().for_each(|key| times[key.parse::<usize>().unwrap()] += 1);
        }
        // 900 each; the standard deviation is about 25.
        assert!(times.iter().all(|times| (750..1050).contains(times)), "{times:?}");
    }

    #[test]
    fn long_keys_make_the_sample_smaller() {
        let mut chosen = Chosen::new(NonZeroUsize::MAX);
        for key in 0..40 {
            chosen.offer(key.to_string().repeat(1024 * 1024));
        }
        assert!(chosen.bytes <= Chosen::BYTES_MAX, "{}", chosen.bytes);
        assert_eq!(chosen.bytes, chosen.keys.iter().map(|key| Chosen::bytes_of(key)).sum::<usize>());
        assert!(chosen.keys.len() >= 7 && chosen.offered == 40, "{}", chosen.keys.len());
    }

    #[test]
    fn figures_are_scaled_to_the_nearest() {
        assert_eq!(
            [(0, 10, 3), (1, 10, 3), (2, 10, 3), (3, 10, 3)].map(|(count, of, n)| scaled(count, of, n)),
            [0, 3, 7, 10]
        );
        assert_eq!((scaled(0, 0, 0), scaled(u64::MAX, u64::MAX, 1)), (0, u64::MAX));
    }
}
