//! Verification: whether two sides have the same entries.
//!
//! Every key is compared once, by fingerprints of what both sides have under it. Stores whose keys come in order are
//! compared list beside list. Everything else goes part by part: [`Partitions`] go through both sides as often as it
//! takes for the keys of each part to fit in a table. Stores are then asked for the entries of that part, so that each
//! is read once; files are read as a whole each time.

mod candidate;
mod comparison;
mod entries;
mod fingerprint;
mod key_walk;
mod lists;
mod lookup;
mod partitions;
mod report;
mod table;
#[cfg(test)]
mod tests;
mod window;

use std::num::NonZeroU64;

use kv_api::{MinTtl, Timestamp};

use comparison::Comparison;
use fingerprint::Fingerprints;
use partitions::Partitions;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::patience::Observer;
use crate::progress::Event;

pub(crate) use window::Window;

pub use entries::Entries;
pub use report::{Difference, DifferenceMark, Verification, What};

/// How many keys are compared at a time.
const BATCH: usize = 1000;

/// The most bytes of the keys that are kept at a time, with what is known of them.
const TABLE_BYTES: usize = 32 * 1024 * 1024;

/// When so many differences are to be looked at again, they are, before the verification goes on.
const DIFFERENCES_MAX: usize = 10_000;

/// As well when their keys have so many bytes.
const DIFFERING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What to look for in a verification.
#[derive(Clone, Copy, Debug)]
pub struct VerifyOptions {
    /// Also look for entries that only the target has; on by default. Only keys are in question that a copy with the
    /// same prefix, filter and rewriting could have written. Where the target is a store that cannot list its keys and
    /// none are named, [`Verification::target_not_listed`] says so.
    pub both_ways: bool,
    /// Compare so many entries of the source, chosen at random anew each time, each with the same chance; `None`, the
    /// default, for all. Of the entries that only the target has, as great a part is looked for. Still both sides are
    /// gone through once, but stores only key by key.
    pub sample: Option<NonZeroU64>,
    /// Read once more from the stores what differs, when all has been compared, and report only what differs still; off
    /// by default. At most 10,000 differences wait for that, with keys of 8 MiB: then they are looked at before the
    /// verification goes on.
    pub recheck: bool,
    /// When the copy began that is verified; `None`, the default, when that is not known. A ttl counts from it, and an
    /// item of a file that had expired before it has replaced none (EXP-5).
    pub started: Option<Timestamp>,
    /// Whether the copy gave entries that end too soon for the target its minimum (EXP-6), so that they end later
    /// there, and may still be there when they have expired in the source; by default it refused them.
    pub min_ttl: MinTtl,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { both_ways: true, sample: None, recheck: false, started: None, min_ttl: MinTtl::default() }
    }
}

/// Compares every entry of `source` with the one that `target` has under its key: kind and content of the value,
/// metadata, and expiry within the rounding of both, and for a ttl a minute for clocks that differ. `found` is called
/// with each difference, in no order. `observe` is called again and again while it runs.
///
/// Prefix, filter, rewriting of keys and the meaning of an expiry of zero are those of the `options`, as for a
/// [`copy`](crate::copy()).
///
/// However many entries there are, and in whatever order, it takes 32 MiB for keys, and what is read at once:
/// [`Options::batch_bytes`] of each side, or the largest entry where that is more, and of a store that neither lists
/// sizes nor reads in bulk four entries. Ordered lists are gone through once. A file, and a list without an order, is
/// gone through once for about every 150,000 keys: still each entry of a store is read once.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_migrate::{Entries, DifferenceMark, Options, VerifyOptions, verify};
/// let from = kv_backends::open("memory:").await?;
/// let to = kv_backends::open("memory:").await?;
/// from.set("a", "1").await?;
/// to.set("a", "2").await?;
/// to.set("b", "3").await?;
///
/// let (source, target) = (Entries::Store(&from), Entries::Store(&to));
/// let (options, how) = (Options::default(), VerifyOptions::default());
/// let mut found = Vec::new();
/// let verification = verify(&source, &target, &options, &how, |_| {}, |difference| found.push(difference)).await;
/// assert!(!verification.is_clean());
/// assert_eq!((verification.compared, verification.different, verification.only_in_target), (1, 1, 1));
/// assert_eq!((found[0].key.as_str(), found[0].mark), ("a", DifferenceMark::Different));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn verify(
    source: &Entries<'_>,
    target: &Entries<'_>,
    options: &Options,
    how: &VerifyOptions,
    mut observe: impl FnMut(Event<'_>) + Send,
    mut found: impl FnMut(Difference) + Send,
) -> Verification {
    let verify = Verify { sides: [source, target], options, how, table_bytes: TABLE_BYTES };
    verify.run(&mut observe, &mut found).await
}

struct Verify<'v> {
    sides: [&'v Entries<'v>; 2],
    options: &'v Options,
    how: &'v VerifyOptions,
    table_bytes: usize,
}

impl Verify<'_> {
    async fn run(
        &self,
        observe: &mut (dyn FnMut(Event<'_>) + Send),
        found: &mut (dyn FnMut(Difference) + Send),
    ) -> Verification {
        let fingerprints = Fingerprints::default();
        let observer = Observer::new(observe);
        let context = Context::new(self.options, &observer);
        let mut comparison = Comparison::new(self.sides, &context, self.how, &fingerprints, found);
        let compared = self.compare(&context, &fingerprints, &mut comparison).await;
        let rechecked = if compared.is_ok() { comparison.recheck().await } else { Ok(()) };
        let mut verification = comparison.verification;
        verification.stopped = compared.and(rechecked).err();
        verification
    }

    async fn compare(
        &self,
        context: &Context<'_>,
        fingerprints: &Fingerprints,
        comparison: &mut Comparison<'_, '_>,
    ) -> Result<()> {
        let [source, target] = self.sides;
        if !source.names_keys() {
            let message = "the source cannot list its keys; name those to compare in a file of keys";
            return Err(Error::Unsuitable(message.to_owned()));
        }
        let lists_target = self.how.both_ways && target.names_keys();
        comparison.verification.target_not_listed = self.how.both_ways && !lists_target;
        let target_by_key = target.store().is_some() && (!lists_target || target.is_ordered());
        if source.is_ordered() && target_by_key && self.how.sample.is_none() {
            let listed_target = Some(target).filter(|_| lists_target);
            return lists::compare(source, listed_target, context, comparison).await;
        }
        let partitions = Partitions {
            source,
            target,
            walks_target: lists_target || target.store().is_none(),
            context,
            fingerprints,
            table_bytes: self.table_bytes,
            sample: self.how.sample,
        };
        partitions.compare(comparison).await
    }
}

/// The key in the source of one in the target, if it is in question.
fn source_key(options: &Options, target_key: &str) -> Option<String> {
    options.rewrite.source_key(target_key).filter(|key| options.selects(key))
}

/// What all keys of the target begin with that are in question.
fn target_prefix(options: &Options) -> String {
    let rewrite = &options.rewrite;
    let rest = options.prefix.strip_prefix(&*rewrite.strip_prefix).unwrap_or_default();
    [&rewrite.add_prefix, rest].concat()
}
