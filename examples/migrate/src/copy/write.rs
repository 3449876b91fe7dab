//! One batch into a store.

use kv_api::{ErrorKind, Reason, SetItem, SetOutcome, Store, Timestamp};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::options::OnConflict;
use crate::patience::{Waits, passes};
use crate::progress::Side;
use crate::record::Record;
use crate::written_keys::KeyHasher;

use super::account::Account;
use super::batch::{Batch, Moving};
use super::conflict;
use super::ledger::Written;

/// What is to be known to write a batch.
#[derive(Clone)]
pub(super) struct Writing<'a> {
    pub(super) context: &'a Context<'a>,
    /// Where it matters which of two entries of one key came before.
    pub(super) hasher: Option<KeyHasher>,
    /// When the first run of the copy began.
    pub(super) started: Timestamp,
}

/// Writes a batch, and again what fails for now, as long as patience lasts.
pub(super) async fn to_store(store: &Store, batch: Batch, writing: Writing<'_>) -> Written {
    let Batch { number, entries, mut account, position, bytes, .. } = batch;
    let began = writing.context.options.timer.monotonic_now();
    let mut results: Vec<Option<kv_api::Result<SetOutcome>>> = Vec::new();
    results.resize_with(entries.len(), || None);
    let mut pending: Vec<usize> = (0..entries.len()).collect();
    let mut waits = Waits::default();
    let mut went_well = true;
    let (mut stop, mut is_cut_off) = (None, false);
    while !pending.is_empty() {
        if !writing.context.patience.turn(Side::Target).await {
            is_cut_off = true;
            break;
        }
        if let Some(error) = write_once(store, &entries, &mut pending, &mut results, writing.context).await {
            went_well = false;
            if let Err(gave_up) = writing.context.patience.wait(Side::Target, &error, &mut waits).await {
                stop = Some(gave_up);
                break;
            }
        }
    }
    let refused = settle(store, &entries, results, &mut account, &writing).await.err();
    let stop = stop.or(refused);
    let took = writing.context.options.timer.monotonic_now().saturating_sub(began);
    Written { number, account, position, bytes, entries: entries.len(), stop, is_cut_off, went_well, took }
}

/// Sends what is pending. What passes is pending still, and the last such error is answered.
async fn write_once(
    store: &Store,
    entries: &[Moving],
    pending: &mut Vec<usize>,
    results: &mut [Option<kv_api::Result<SetOutcome>>],
    context: &Context<'_>,
) -> Option<kv_api::Error> {
    let per_request = store.capabilities().bulk_write_items.max(1);
    context.target_pace.admit(pending.len().div_ceil(per_request)).await;
    let answers = store.set_many(pending.iter().map(|at| item(&entries[*at].record, context))).await;
    let sent = pending.len();
    let mut passing = None;
    let mut again = Vec::new();
    for (at, answer) in pending.drain(..).zip(answers) {
        match answer {
            Err(error) if passes(&error) => {
                again.push(at);
                results[at] = Some(Err(error.clone()));
                passing = Some(error);
            }
            answer => results[at] = Some(answer),
        }
    }
    if again.len() < sent {
        context.patience.progressed(Side::Target);
    }
    *pending = again;
    passing
}

fn item<'a>(record: &'a Record, context: &Context<'_>) -> SetItem<'a> {
    let item = record.to_item();
    match context.options.on_conflict {
        OnConflict::Overwrite => item,
        OnConflict::Skip | OnConflict::Fail if context.options.allow_race => item.if_not_exists().allow_best_effort(),
        OnConflict::Skip | OnConflict::Fail => item.if_not_exists(),
    }
}

/// Counts the results, and looks at the entries that were there before.
///
/// # Errors
/// What ends the copy: the target takes nothing any more for a reason of its own.
async fn settle(
    store: &Store,
    entries: &[Moving],
    results: Vec<Option<kv_api::Result<SetOutcome>>>,
    account: &mut Account,
    writing: &Writing<'_>,
) -> Result<()> {
    let mut conflicts = Vec::new();
    let mut refused = None;
    let mut goes_on = entries.is_empty();
    for (entry, result) in entries.iter().zip(results) {
        match result {
            Some(Ok(outcome)) if outcome.is_written() => {
                goes_on = true;
                account.is_written(entry, writing.hasher.as_ref());
            }
            Some(Ok(_)) => {
                goes_on = true;
                conflicts.push(entry);
            }
            Some(Err(error)) => {
                goes_on |= error.is_expired() || is_about_the_entry(&error);
                if refused.is_none() || is_about_the_target(&error) {
                    refused = Some(error.clone());
                }
                account.is_not_written(entry, error, writing.context.options);
            }
            // It was cut off before it was sent: a store answers each item of a batch (BATCH-2).
            None => {}
        }
    }
    conflict::settle(store, conflicts, account, writing).await?;
    match refused {
        Some(error) if !goes_on || is_about_the_target(&error) => Err(Error::Store(error)),
        _ => Ok(()),
    }
}

fn is_about_the_entry(error: &kv_api::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::Unsupported | ErrorKind::WrongType)
        || error.reason() == Some(&Reason::RowRejected)
}

/// Whether the next entries would fare no better.
fn is_about_the_target(error: &kv_api::Error) -> bool {
    match error.kind() {
        ErrorKind::Unauthorized | ErrorKind::Exhausted | ErrorKind::Closed => true,
        ErrorKind::Misconfigured => error.reason() != Some(&Reason::RowRejected),
        _ => false,
    }
}
