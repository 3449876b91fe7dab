//! Batches too large for a group: their operations are carried out in the order of their keys, so that each page of the
//! file is changed once, in as few transactions as others leave time for. Pure; the transactions are in `writer.rs`.

use std::collections::VecDeque;

use kv_api::{Error, Result};
use tokio::sync::oneshot;

use crate::error::undecided;
use crate::operation::{Answer, Operation};
use crate::transaction::{STATEMENT_BYTES_MAX, STATEMENT_ROWS_MAX};

/// How many operations, and how many bytes of them, are merged, unless one batch has more: about what one transaction
/// takes.
const MERGED_OPERATIONS_MAX: usize = 50_000;
const MERGED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One call, and the place for its answer.
#[derive(Debug)]
pub(crate) struct Batch {
    operations: Vec<Operation>,
    bytes: usize,
    /// One for each operation that was decided.
    answers: Vec<Option<Result<Answer>>>,
    undecided: usize,
    /// `None` once the batch is done, or left out.
    reply: Option<oneshot::Sender<Vec<Result<Answer>>>>,
}

/// Batches under way, merged. All of them are carried out before others join, so that none is passed by for ever.
#[derive(Debug, Default)]
pub(crate) struct Bulk {
    batches: Vec<Batch>,
    /// What is left to do, in the order of the keys: batch and operation.
    order: VecDeque<(usize, usize)>,
    /// Where a transaction failed, from the first operation that is left: the next one ends before it.
    failed_at: Option<usize>,
}

impl Batch {
    pub(crate) fn new(operations: Vec<Operation>, reply: oneshot::Sender<Vec<Result<Answer>>>) -> Self {
        let undecided = operations.len();
        let bytes = operations.iter().map(Operation::bytes).sum();
        let answers = operations.iter().map(|_| None).collect();
        Self { operations, bytes, answers, undecided, reply: Some(reply) }
    }

    /// Whether nobody waits any more for the answer that is due.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    fn decide(&mut self, operation: usize, answer: Result<Answer>) {
        if let Some(slot) = self.answers.get_mut(operation) {
            *slot = Some(answer);
            self.undecided = self.undecided.saturating_sub(1);
        }
    }

    fn answer(&mut self) {
        if let Some(reply) = self.reply.take() {
            let answers = std::mem::take(&mut self.answers);
            // A caller that has gone away changes nothing (ERR-6).
            let _ = reply.send(answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(undecided()))).collect());
        }
        self.operations = Vec::new();
    }
}

impl Bulk {
    /// Batches that wait, the first one and as many of the others as are worth it.
    pub(crate) fn merge(waiting: &mut VecDeque<Batch>) -> Self {
        let mut batches: Vec<Batch> = Vec::new();
        let (mut operations, mut bytes) = (0, 0);
        while let Some(batch) = waiting.pop_front() {
            operations += batch.operations.len();
            bytes += batch.bytes;
            if !batches.is_empty() && (operations > MERGED_OPERATIONS_MAX || bytes > MERGED_BYTES_MAX) {
                waiting.push_front(batch);
                break;
            }
            batches.push(batch);
        }
        let places = |(index, batch): (usize, &Batch)| (0..batch.operations.len()).map(move |place| (index, place));
        let mut order: Vec<_> = batches.iter().enumerate().flat_map(places).collect();
        // Stable: operations on one key stay in the order of their batches.
        order.sort_by(|left, right| key(&batches, *left).cmp(key(&batches, *right)));
        Self { batches, order: order.into(), failed_at: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many operations are left.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Leaves out what nobody waits for any more. What such a caller asks for next comes later, and must not be
    /// overwritten by what is left of this.
    pub(crate) fn forget_abandoned(&mut self) {
        let Self { batches, order, failed_at } = self;
        if batches.iter_mut().filter(|batch| batch.is_abandoned()).map(Batch::answer).count() > 0 {
            order.retain(|(batch, _)| batches[*batch].reply.is_some());
            *failed_at = None;
        }
    }

    /// How many operations a transaction takes at most. None: where one has failed, the first slice is carried out by
    /// itself.
    pub(crate) fn limit(&self) -> usize {
        self.failed_at.unwrap_or(self.order.len())
    }

    /// What one statement takes from `start` on, at least one operation and none from `end` on.
    pub(crate) fn slice(&self, start: usize, end: usize) -> Vec<&Operation> {
        let mut bytes = 0;
        let fits = |operation: &&Operation| {
            let fits = bytes < STATEMENT_BYTES_MAX;
            bytes += operation.bytes();
            fits
        };
        let operation = |(batch, place): &(usize, usize)| &self.batches[*batch].operations[*place];
        self.order.range(start..end).take(STATEMENT_ROWS_MAX).map(operation).take_while(fits).collect()
    }

    /// A transaction failed at the slice that begins here, and was rolled back.
    pub(crate) fn failed_at(&mut self, start: usize) {
        self.failed_at = Some(start);
    }

    /// Takes in the answers of the first operations that are left.
    pub(crate) fn decide(&mut self, answers: impl ExactSizeIterator<Item = Result<Answer>>) {
        self.failed_at = self.failed_at.and_then(|failed_at| failed_at.checked_sub(answers.len()));
        let places = self.order.drain(..answers.len().min(self.order.len()));
        for ((batch, place), answer) in places.zip(answers) {
            let batch = &mut self.batches[batch];
            batch.decide(place, answer);
            if batch.undecided == 0 {
                batch.answer();
            }
        }
    }

    /// Answers all operations that are left in the same way.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.decide(vec![Err(error.clone()); self.order.len()].into_iter());
    }
}

fn key(batches: &[Batch], (batch, place): (usize, usize)) -> &str {
    &batches[batch].operations[place].key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Action;
    use kv_api::ErrorKind;

    type Answers = oneshot::Receiver<Vec<Result<Answer>>>;

    fn batch(keys: impl Iterator<Item = usize>) -> (Batch, Answers) {
        let delete = |key| Operation { key: format!("{key:06}"), action: Action::Delete { if_version: None } };
        let (reply, answers) = oneshot::channel();
        (Batch::new(keys.map(delete).collect(), reply), answers)
    }

    fn keys(bulk: &Bulk, start: usize) -> Vec<&str> {
        bulk.slice(start, bulk.len()).iter().map(|operation| operation.key.as_str()).collect()
    }

    #[test]
    fn batches_that_wait_are_merged_in_the_order_of_their_keys_up_to_a_bound() {
        let waiting = [batch([5, 1].into_iter()), batch([3, 1].into_iter()), batch(0..MERGED_OPERATIONS_MAX)];
        let (mut waiting, _answers): (VecDeque<_>, Vec<_>) = waiting.into_iter().unzip();
        let bulk = Bulk::merge(&mut waiting);
        assert_eq!(keys(&bulk, 0), ["000001", "000001", "000003", "000005"]);
        assert_eq!(bulk.order.iter().take(2).collect::<Vec<_>>(), [&(0, 1), &(1, 1)], "in the order of the batches");
        assert_eq!(waiting.len(), 1);
        let bulk = Bulk::merge(&mut waiting);
        assert_eq!((bulk.len(), waiting.len()), (MERGED_OPERATIONS_MAX, 0), "one batch goes alone, whatever its size");
    }

    #[test]
    fn a_slice_that_failed_is_carried_out_by_itself_after_those_before_it() {
        let (large, mut answers) = batch(0..3 * STATEMENT_ROWS_MAX);
        let mut bulk = Bulk::merge(&mut VecDeque::from([large]));
        let answered = |count| vec![Ok(Answer::Expire(true)); count].into_iter();
        bulk.failed_at(2 * STATEMENT_ROWS_MAX);
        bulk.decide(answered(STATEMENT_ROWS_MAX));
        assert_eq!(bulk.limit(), STATEMENT_ROWS_MAX, "one slice is left before it");
        bulk.decide(answered(STATEMENT_ROWS_MAX));
        assert_eq!(bulk.limit(), 0, "it is next, by itself");
        bulk.fail(&Error::new(ErrorKind::Unavailable, "down"));
        assert!(bulk.is_empty());
        let answers = answers.try_recv().unwrap();
        assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), STATEMENT_ROWS_MAX);
    }

    #[test]
    fn err_6_what_nobody_waits_for_is_left_out() {
        let ((one, one_answers), (two, _two_answers)) = (batch([1, 3].into_iter()), batch([2, 4].into_iter()));
        let mut bulk = Bulk::merge(&mut VecDeque::from([one, two]));
        bulk.failed_at(2);
        drop(one_answers);
        bulk.forget_abandoned();
        assert_eq!(keys(&bulk, 0), ["000002", "000004"]);
        assert_eq!(bulk.limit(), 2, "where it failed is not known any more");
        bulk.failed_at(0);
        bulk.forget_abandoned();
        assert_eq!(bulk.limit(), 0, "nothing was left out since");
    }

    #[test]
    fn a_batch_that_is_done_hides_no_failure_of_another() {
        let ((one, _one_answers), (two, _two_answers)) = (batch([1, 2].into_iter()), batch([3, 4].into_iter()));
        let mut bulk = Bulk::merge(&mut VecDeque::from([one, two]));
        bulk.failed_at(2);
        bulk.decide(vec![Ok(Answer::Expire(true)); 2].into_iter());
        bulk.forget_abandoned();
        assert_eq!((keys(&bulk, 0), bulk.limit()), (vec!["000003", "000004"], 0), "it is next, by itself");
    }
}
