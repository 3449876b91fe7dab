//! Two stores whose keys come in order: their lists are read beside each other.

use super::candidate::{Candidate, Known, Size};
use super::comparison::Comparison;
use super::entries::Entries;
use super::key_walk::{KeyWalk, NamedKey};
use super::{BATCH, source_key, target_prefix};
use crate::context::Context;
use crate::error::Result;
use crate::progress::Side;

/// Compares all keys that an ordered list of the source names, and of the target's where it is to be listed.
pub(super) async fn compare(
    source: &Entries<'_>,
    listed_target: Option<&Entries<'_>>,
    context: &Context<'_>,
    comparison: &mut Comparison<'_, '_>,
) -> Result<()> {
    let options = context.options;
    let source = source.store().map(|store| KeyWalk::listed(store, Side::Source, options.prefix.clone()));
    let mut source = Keys { walk: source, context, side: Side::Source };
    let target = listed_target.and_then(Entries::store);
    let target = target.map(|store| KeyWalk::listed(store, Side::Target, target_prefix(options)));
    let mut target = Keys { walk: target, context, side: Side::Target };
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
            known.size = Size::of(named.value_bytes);
            key = Some(named.key);
            left = source.next().await?;
        }
        if from_right && let Some(named) = right.take() {
            known.size = known.size.max(Size::of(named.value_bytes));
            key.get_or_insert(named.key);
            right = target.next().await?;
        }
        batch.extend(key.map(|key| Candidate { key, known }));
        if batch.len() == BATCH {
            comparison.compare(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).await?;
            comparison.report(None);
        }
    }
    comparison.compare(batch).await
}

/// The keys of one side that are in question, as the source has them.
struct Keys<'k, 'x> {
    /// `None` where its keys are not listed.
    walk: Option<KeyWalk<'k>>,
    context: &'k Context<'x>,
    side: Side,
}

impl Keys<'_, '_> {
    async fn next(&mut self) -> Result<Option<NamedKey>> {
        let Some(walk) = &mut self.walk else { return Ok(None) };
        while let Some(mut named) = walk.next(self.context).await? {
            if self.side == Side::Target {
                match source_key(self.context.options, &named.key) {
                    Some(key) => named.key = key,
                    None => continue,
                }
            } else if !self.context.options.selects(&named.key) {
                continue;
            }
            return Ok(Some(named));
        }
        Ok(None)
    }
}
