//! Two stores whose keys come in order: their lists are read beside each other.

use super::candidate::{Candidate, Known};
use super::comparison::Comparison;
use super::entries::Entries;
use super::key_walk::{KeyWalk, NamedKey};
use super::{BATCH, Watch, source_key, target_prefix};
use crate::error::Result;
use crate::options::Options;

/// Compares all keys that an ordered list of the source names, and of the target's where it is to be listed.
pub(super) async fn compare(
    source: &Entries<'_>,
    listed_target: Option<&Entries<'_>>,
    options: &Options,
    comparison: &mut Comparison<'_>,
    watch: &mut Watch<'_>,
) -> Result<()> {
    let list = |side: &Entries<'_>, prefix| side.store().map(|store| KeyWalk::listed(store, prefix));
    let mut source = Side { walk: list(source, options.prefix.clone()), options, is_target: false };
    let target = listed_target.and_then(|target| list(target, target_prefix(options)));
    let mut target = Side { walk: target, options, is_target: true };
    let (mut left, mut right) = (source.next().await?, target.next().await?);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let (from_left, from_right) = match (&left, &right) {
            (None, None) => break,
            (Some(_), None) => (true, false),
            (None, Some(_)) => (false, true),
            (Some(left), Some(right)) => (left.key <= right.key, right.key <= left.key),
        };
        let mut known = Known { source_names_it: from_left, target_names_it: from_right, ..comparison.blank() };
        let mut key = None;
        if from_left && let Some(named) = left.take() {
            known.bytes = named.value_bytes;
            key = Some(named.key);
            left = source.next().await?;
        }
        if from_right && let Some(named) = right.take() {
            known.bytes = known.bytes.max(named.value_bytes);
            key.get_or_insert(named.key);
            right = target.next().await?;
        }
        batch.extend(key.map(|key| Candidate { key, known }));
        if batch.len() == BATCH {
            comparison.compare(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).await?;
            watch.progress(comparison, None);
        }
    }
    comparison.compare(batch).await
}

/// The keys of one side that are in question, as the source has them.
struct Side<'o> {
    /// `None` where its keys are not listed.
    walk: Option<KeyWalk>,
    options: &'o Options,
    is_target: bool,
}

impl Side<'_> {
    async fn next(&mut self) -> Result<Option<NamedKey>> {
        let Some(walk) = &mut self.walk else { return Ok(None) };
        while let Some(mut named) = walk.next().await? {
            if self.is_target {
                match source_key(self.options, &named.key) {
                    Some(key) => named.key = key,
                    None => continue,
                }
            } else if !self.options.selects(&named.key) {
                continue;
            }
            return Ok(Some(named));
        }
        Ok(None)
    }
}
