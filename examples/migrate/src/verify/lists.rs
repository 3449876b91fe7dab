//! Stores whose keys come in order: their lists are read beside each other.

use std::mem;

use futures_util::future;

use super::candidate::{Candidate, Known, Size};
use super::comparison::Comparison;
use super::entries::Entries;
use super::key_walk::{KeyWalk, NamedKey};
use super::{BATCH, source_key, target_prefix};
use crate::context::Context;
use crate::error::Result;
use crate::progress::Side;

/// Compares all keys that an ordered list of the source names, and of the target's where it is to be listed. The next
/// keys are listed while entries are compared.
pub(super) async fn compare(
    source: &Entries<'_>,
    listed_target: Option<&Entries<'_>>,
    context: &Context<'_>,
    comparison: &mut Comparison<'_, '_>,
) -> Result<()> {
    let options = context.options;
    let source = source.store().map(|store| KeyWalk::listed(store, Side::Source, options.prefix.clone()));
    let target = listed_target.and_then(Entries::store);
    let target = target.map(|store| KeyWalk::listed(store, Side::Target, target_prefix(options)));
    let keys = |walk, side| Keys { walk, next: None, context, side };
    let mut merge =
        Merge { source: keys(source, Side::Source), target: keys(target, Side::Target), blank: comparison.blank() };
    let mut batch = merge.next_batch().await?;
    while !batch.is_empty() {
        let (compared, next) = future::join(comparison.compare(batch), merge.next_batch()).await;
        compared?;
        comparison.report(None);
        batch = next?;
    }
    Ok(())
}

/// The keys of both sides, each once.
struct Merge<'m, 'x> {
    source: Keys<'m, 'x>,
    target: Keys<'m, 'x>,
    blank: Known,
}

impl Merge<'_, '_> {
    /// The next keys; none at the end.
    async fn next_batch(&mut self) -> Result<Vec<Candidate>> {
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH {
            let (left, right) = (self.source.peek().await?, self.target.peek().await?);
            let (from_source, from_target) = match (left, right) {
                (None, None) => break,
                (Some(_), None) => (true, false),
                (None, Some(_)) => (false, true),
                (Some(left), Some(right)) => (left.key <= right.key, right.key <= left.key),
            };
            let left = if from_source { mem::take(&mut self.source.next) } else { None };
            let right = if from_target { mem::take(&mut self.target.next) } else { None };
            let size = |named: &Option<NamedKey>| Size::of(named.as_ref().and_then(|named| named.value_bytes));
            let known = Known {
                source_names_it: from_source,
                target_names_it: from_target,
                size: size(&left).max(size(&right)),
                ..self.blank
            };
            batch.extend(left.or(right).map(|named| Candidate { key: named.key, known }));
        }
        Ok(batch)
    }
}

/// The keys of one side that are in question, as the source has them.
struct Keys<'k, 'x> {
    /// `None` where its keys are not listed.
    walk: Option<KeyWalk<'k>>,
    /// The one that was looked at and not taken.
    next: Option<NamedKey>,
    context: &'k Context<'x>,
    side: Side,
}

impl Keys<'_, '_> {
    async fn peek(&mut self) -> Result<Option<&NamedKey>> {
        let Some(walk) = &mut self.walk else { return Ok(None) };
        while self.next.is_none() {
            let Some(mut named) = walk.next(self.context).await? else { break };
            let key = match self.side {
                Side::Source => Some(named.key).filter(|key| self.context.options.selects(key)),
                Side::Target => source_key(self.context.options, &named.key),
            };
            self.next = match key {
                Some(key) => {
                    named.key = key;
                    Some(named)
                }
                None => None,
            };
        }
        Ok(self.next.as_ref())
    }
}
