//! Batches of any size: each key at most once in a request, one result per item (BATCH-1 to BATCH-4, GET-2, DEL-1).

use std::borrow::Cow;
use std::collections::HashMap;

use crate::entry::{Entry, Fields};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::handle::Handle;
use crate::outcome::{BatchOutcome, DeleteOutcome, SetOutcome, SetStatus};
use crate::request::{Write, WriteMany};
use crate::set_item::SetItem;

pub(crate) async fn get_many(
    handle: &Handle,
    keys: Vec<Cow<'_, str>>,
    fields: Fields,
    operation: &'static str,
) -> Result<Vec<Option<Entry>>> {
    let explain = |error| handle.explain(error, operation);
    let resolved = handle.resolver().read_many(keys, fields).map_err(explain)?;
    let _call = handle.enter().map_err(explain)?;
    let Some((reads, slots)) = resolved else { return Ok(Vec::new()) };
    let asked: Vec<Cow<'_, str>> = reads.keys().to_vec();
    let mut entries = handle.backend().read_many(reads).await.map_err(|error| {
        handle.explain_batch(error.not_applied(), operation, &asked, |at| slots.iter().position(|slot| *slot == at))
    })?;
    let asked = asked.len();
    if entries.len() != asked {
        return Err(explain(Error::wrong_count(asked, entries.len())));
    }
    entries.iter_mut().for_each(|entry| *entry = entry.take().map(|entry| handle.shown_entry(entry)));
    if slots.len() == asked {
        return Ok(entries); // no key was repeated, so the order is the caller's
    }
    Ok(slots.into_iter().map(|slot| entries[slot].clone()).collect())
}

pub(crate) async fn delete_many(handle: &Handle, keys: Vec<Cow<'_, str>>) -> Vec<Result<DeleteOutcome>> {
    const OPERATION: &str = "delete_many";
    let (deletes, slots) = handle.resolver().delete_many(keys);
    let call = handle.enter().map_err(|error| handle.explain(error, OPERATION));
    let outcomes = match (&call, deletes) {
        (Err(closed), _) => return (0..slots.len()).map(|index| Err(closed.clone().at_index(index))).collect(),
        (Ok(_), None) => Vec::new(),
        (Ok(_), Some(deletes)) => {
            let keys = deletes.keys().to_vec();
            let asked = keys.len();
            let outcomes = handle.backend().delete_many(deletes).await;
            let answered = outcomes.len();
            let named = |(outcome, key): (Result<_>, Cow<'_, str>)| {
                outcome.map_err(|error: Error| error.placed(None, Some(key.into_owned())))
            };
            if answered == asked {
                outcomes.into_iter().zip(keys).map(named).collect()
            } else {
                let unknown = || Err(Error::wrong_count(asked, answered).with_retry(Retry::OutcomeUnknown));
                keys.into_iter().map(|key| named((unknown(), key))).collect()
            }
        }
    };
    let result = |(index, slot): (usize, Result<usize>)| {
        slot.and_then(|slot| outcomes[slot].clone())
            .map(|outcome| handle.shown_delete_of_many(outcome))
            .map_err(|error| handle.explain(error, OPERATION).at_index(index))
    };
    slots.into_iter().enumerate().map(result).collect()
}

pub(crate) async fn set_many_all_or_nothing(handle: &Handle, items: Vec<SetItem<'_>>) -> Result<BatchOutcome> {
    const OPERATION: &str = "set_many_all_or_nothing";
    let explain = |error| handle.explain(error, OPERATION);
    let resolved = handle.resolver().all_or_nothing(items, handle.backend().clock()).map_err(explain)?;
    let _call = handle.enter().map_err(explain)?;
    let Some(writes) = resolved else { return Ok(BatchOutcome::Written(Vec::new())) };
    let unconditional: Vec<bool> = writes.writes().iter().map(Write::is_unconditional).collect();
    let keys: Vec<Cow<'_, str>> = writes.writes().iter().map(|write| write.key.clone()).collect();
    let answer = handle.backend().write_all_or_nothing(writes).await;
    // No key comes twice here, so the positions are the caller's.
    match answer.map_err(|error| handle.explain_batch(error, OPERATION, &keys, Some))? {
        BatchOutcome::Written(outcomes) if outcomes.len() != unconditional.len() => {
            Err(explain(Error::wrong_count(unconditional.len(), outcomes.len()).with_retry(Retry::OutcomeUnknown)))
        }
        BatchOutcome::Written(outcomes) => {
            let shown = outcomes.into_iter().zip(unconditional);
            Ok(BatchOutcome::Written(shown.map(|(outcome, plain)| handle.shown_outcome(outcome, plain)).collect()))
        }
        BatchOutcome::NotMet { index } if index >= unconditional.len() => {
            let error = Error::new(ErrorKind::Internal, "the adapter names an item that is not in the batch");
            Err(explain(error.with_retry(Retry::OutcomeUnknown)))
        }
        not_met @ BatchOutcome::NotMet { .. } => Ok(not_met),
    }
}

pub(crate) async fn set_many(handle: &Handle, items: Vec<SetItem<'_>>) -> Vec<Result<SetOutcome>> {
    const OPERATION: &str = "set_many";
    let call = handle.enter().map_err(|error| handle.explain(error, OPERATION));
    if let Err(closed) = &call {
        return (0..items.len()).map(|index| Err(closed.clone().at_index(index))).collect();
    }
    let (resolver, clock) = (handle.resolver(), handle.backend().clock());
    let resolved = items.into_iter().map(|item| resolver.write(item, clock)).collect();
    let mut plan = Plan::new(resolved);
    for round in std::mem::take(&mut plan.rounds) {
        let sent: Vec<Sent<'_>> = round.iter().map(|(index, write)| Sent::new(*index, write)).collect();
        let writes = WriteMany(round.into_iter().map(|(_, write)| write).collect());
        let outcomes = handle.backend().write_many(writes).await;
        if outcomes.len() == sent.len() {
            for (sent, outcome) in sent.into_iter().zip(outcomes) {
                let result = match outcome {
                    Ok(outcome) => Ok(handle.shown_outcome(outcome, sent.unconditional)),
                    Err(error) => Err(error.placed(None, Some(sent.key.into_owned()))),
                };
                plan.slots[sent.index] = Slot::Done(result);
            }
        } else {
            let error = Error::wrong_count(sent.len(), outcomes.len()).with_retry(Retry::OutcomeUnknown);
            for sent in sent {
                plan.slots[sent.index] = Slot::Done(Err(error.clone().placed(None, Some(sent.key.into_owned()))));
            }
        }
    }
    let explain = |(index, result): (usize, Result<SetOutcome>)| {
        result.map_err(|error| handle.explain(error, OPERATION).at_index(index))
    };
    plan.into_results().into_iter().enumerate().map(explain).collect()
}

/// What has to be remembered of an item while the adapter has it. A key that the caller lent costs nothing to keep.
struct Sent<'a> {
    index: usize,
    key: Cow<'a, str>,
    unconditional: bool,
}

impl<'a> Sent<'a> {
    fn new(index: usize, write: &Write<'a>) -> Self {
        Self { index, key: write.key.clone(), unconditional: write.is_unconditional() }
    }
}

/// In which rounds the items of a batch go out (BATCH-4): an item follows the one before it on its key into the next
/// round, so that a condition sees what came before; an unconditional item right before another unconditional one on
/// its key is not sent at all, and shares that one's fate.
struct Plan<'a> {
    rounds: Vec<Vec<(usize, Write<'a>)>>,
    /// By position in the input.
    slots: Vec<Slot>,
}

enum Slot {
    Sent,
    ReplacedBy(usize),
    Done(Result<SetOutcome>),
}

impl<'a> Plan<'a> {
    fn new(items: Vec<Result<Write<'a>>>) -> Self {
        let mut slots: Vec<Slot> = Vec::with_capacity(items.len());
        let mut round_of: Vec<usize> = vec![0; items.len()];
        {
            let mut latest: HashMap<&str, (usize, bool)> = HashMap::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let Ok(write) = item else {
                    slots.push(Slot::Sent); // replaced by its own error below
                    continue;
                };
                let unconditional = write.is_unconditional();
                match latest.insert(write.key(), (index, unconditional)) {
                    Some((before, true)) if unconditional => {
                        slots[before] = Slot::ReplacedBy(index);
                        round_of[index] = round_of[before];
                    }
                    Some((before, _)) => round_of[index] = round_of[before] + 1,
                    None => {}
                }
                slots.push(Slot::Sent);
            }
        }
        let mut rounds: Vec<Vec<(usize, Write<'a>)>> = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Err(error) => slots[index] = Slot::Done(Err(error)),
                Ok(_) if matches!(slots[index], Slot::ReplacedBy(_)) => {}
                Ok(write) => {
                    let round = round_of[index];
                    if rounds.len() <= round {
                        // Mostly there is one round, of all items.
                        let items = if round == 0 { slots.len() } else { 0 };
                        rounds.resize_with(round + 1, || Vec::with_capacity(items));
                    }
                    rounds[round].push((index, write));
                }
            }
        }
        Self { rounds, slots }
    }

    fn into_results(self) -> Vec<Result<SetOutcome>> {
        let mut results: Vec<Option<Result<SetOutcome>>> = self.slots.iter().map(|_| None).collect();
        // From the end, so that an item's replacement has its result already.
        for (index, slot) in self.slots.into_iter().enumerate().rev() {
            results[index] = match slot {
                Slot::Done(result) => Some(result),
                Slot::ReplacedBy(later) => results[later].as_ref().map(|result| match result {
                    Ok(_) => Ok(SetOutcome::new(SetStatus::Stored)),
                    Err(error) => Err(error.clone()),
                }),
                Slot::Sent => None,
            };
        }
        let missing = || Err(Error::new(ErrorKind::Internal, "an item of the batch was not carried out"));
        results.into_iter().map(|result| result.unwrap_or_else(missing)).collect()
    }
}
