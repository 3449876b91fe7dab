//! What would become of each entry.

use futures_util::{StreamExt, TryStreamExt, stream};
use kv_api::{Capabilities, Expiry, Fields, Store};

use super::{Plan, PlanTarget};
use crate::bulk;
use crate::context::Context;
use crate::error::Result;
use crate::options::{OnConflict, Options};
use crate::progress::Side;
use crate::record::{Record, RecordExpiry};
use crate::settle::{Settled, settle};
use crate::source::Order;
use crate::summary::{Failure, Summary};
use crate::written_keys::{Seen, WrittenKeys};

/// Takes entries as the copy would.
pub(super) struct Preview<'a> {
    target: PlanTarget<'a>,
    options: &'a Options,
    /// Of a source that may name a key twice, where the later entry replaces the one before.
    written: Option<WrittenKeys>,
}

impl<'a> Preview<'a> {
    pub(super) fn new(target: PlanTarget<'a>, options: &'a Options, order: Order) -> Self {
        let replaces = order == Order::Fixed && target.store().is_some();
        Self { target, options, written: replaces.then(|| WrittenKeys::new(Summary::KEYS_MAX)) }
    }

    /// Counts what would become of entries, and answers the keys under which the target would get them.
    pub(super) fn add_all(&mut self, plan: &mut Plan, records: Vec<Record>) -> Vec<String> {
        records.into_iter().filter_map(|record| self.add(plan, record)).collect()
    }

    fn add(&mut self, plan: &mut Plan, mut record: Record) -> Option<String> {
        let value_bytes = record.value.as_bytes().len() as u64;
        plan.counts.read += 1;
        plan.key_bytes += record.key.len() as u64;
        plan.value_bytes += value_bytes;
        plan.metadata_bytes += record.metadata.as_ref().map_or(0, |metadata| metadata.as_bytes().len() as u64);
        plan.value_bytes_max = plan.value_bytes_max.max(value_bytes);
        let (key, line) = (record.key.clone(), record.line);
        let checked = match settle(&mut record, self.options, self.capabilities()) {
            Settled::Write(lost) => {
                plan.counts.expiry_lost += u64::from(lost.expiry);
                plan.counts.metadata_lost += u64::from(lost.metadata);
                self.check(record)
            }
            Settled::Skip => {
                plan.counts.skipped += 1;
                return None;
            }
            Settled::Expired => {
                plan.counts.expired += 1;
                return None;
            }
            Settled::Refuse(error) => Err(error.with_key(&key)),
        };
        match checked {
            Ok((target_key, moved)) => {
                plan.expiry_moved += u64::from(moved);
                match self.written.as_mut().map_or(Seen::New, |written| written.add_key(&key)) {
                    Seen::Before => plan.counts.repeated += 1,
                    seen => {
                        plan.counts.written += 1;
                        plan.repeated_at_least |= seen == Seen::NotKept;
                        return Some(target_key);
                    }
                }
            }
            Err(error) if error.is_expired() => plan.counts.expired += 1,
            Err(error) => {
                plan.counts.failed += 1;
                plan.failures.add(Failure { key, line, error });
            }
        }
        None
    }

    /// Whether the target would take an entry: under which key, and whether it would end later than in the source.
    fn check(&self, mut record: Record) -> kv_api::Result<(String, bool)> {
        record.key = self.options.rewrite.target_key(record.key)?;
        let (key, expiry) = (record.key.clone(), record.expiry);
        let Some(store) = self.target.store() else {
            bulk::check(&record)?;
            let moved = match expiry {
                RecordExpiry::At(at) => at.checked_ceil_to(bulk::BulkReader::EXPIRY_RESOLUTION) != Some(at),
                _ => false,
            };
            return Ok((key, moved));
        };
        let mut item = record.to_item();
        if self.options.on_conflict != OnConflict::Overwrite {
            item = item.if_not_exists();
            if self.options.allow_race {
                item = item.allow_best_effort();
            }
        }
        let kept = store.resolver().write(item, &*self.options.clock)?.expiry();
        let moved = match (expiry, kept) {
            (RecordExpiry::At(at), Expiry::At(kept)) => at != kept,
            (RecordExpiry::After(ttl), Expiry::After(kept)) => ttl != kept,
            (_, Expiry::Never) => false,
            // Of another form than asked for only where the minimum counts.
            _ => true,
        };
        Ok((key, moved))
    }

    /// Whether an entry with this key could be taken at all.
    pub(super) fn check_key(&self, key: &str) -> kv_api::Result<()> {
        let key = self.options.rewrite.target_key(key)?;
        self.target.store().map_or(Ok(()), |store| store.resolver().read(key, Fields::Value).map(drop))
    }

    fn capabilities(&self) -> Option<&'a Capabilities> {
        self.target.store().map(Store::capabilities)
    }
}

/// How many of these keys the target has.
pub(super) async fn existing(store: &Store, keys: Vec<String>, context: &Context<'_>) -> Result<u64> {
    /// How many are asked for at a time.
    const ASKED_AT_ONCE: usize = 16;
    let asked =
        stream::iter(keys).map(|key| async move { context.ask(Side::Target, 1, || store.exists(key.as_str())).await });
    asked.buffered(ASKED_AT_ONCE).try_fold(0, |found, exists| async move { Ok(found + u64::from(exists)) }).await
}
