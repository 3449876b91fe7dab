//! The one task that writes: it takes everything that waits, commits it as one transaction, and then answers each
//! caller.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{BatchOutcome, Clock, Error, Result, Retry};
use kv_sql::damaged_row;
use sqlx::{Connection, Row};
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

use crate::bulk::{Batch, Bulk};
use crate::config::Durability;
use crate::connection::ReconnectingConnection;
use crate::error::{Stage, code, from_sqlx, is_about_a_row, is_busy, primary_code, row_rejected, undecided};
use crate::group::Group;
use crate::operation::{Answer, Operation};
use crate::queries;
use crate::schema::NamespaceId;
use crate::single;
use crate::statement::fetch_rows;
use crate::transaction::{self, Failure, Written};

/// What a store hands to its writer. The order in the channel is the order of effect.
#[derive(Debug)]
pub(crate) enum Job {
    One { operation: Operation, reply: oneshot::Sender<Result<Answer>> },
    Many { operations: Vec<Operation>, reply: oneshot::Sender<Vec<Result<Answer>>> },
    AllOrNothing { operations: Vec<Operation>, reply: oneshot::Sender<Result<BatchOutcome>> },
    Close { reply: oneshot::Sender<Result<()>> },
}

/// A group takes as many operations and bytes as gain anything: more would only lengthen the pause for all callers. A
/// larger batch is no part of one.
const GROUP_OPERATIONS_MAX: usize = 256;
const GROUP_BYTES_MAX: usize = 1024 * 1024;

/// How long a transaction goes on when more operations of large batches are left, and how many it takes: another
/// process that waits for it cannot be seen, and all that it writes is in the log before it is in the file.
const BULK_TIME_MAX: Duration = Duration::from_secs(1);
const BULK_OPERATIONS_MAX: usize = 50_000;

/// How often a writer gives way to callers that are about to ask, before it begins a group.
const YIELDS_MAX: usize = 8;

/// Version numbers reserved at once: a reservation is a commit of its own, and rare.
const NUMBERS_RESERVED: i64 = 1 << 20;

/// Each group reclaims expired rows; single writes do not, so after this many of them the idle writer looks once.
const SINGLES_BETWEEN_RECLAIMS: u32 = 64;

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) connection: ReconnectingConnection,
    pub(crate) namespace_id: NamespaceId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) durability: Durability,
    jobs: mpsc::Receiver<Job>,
    /// Taken from the channel, but not for this group.
    held: Option<Job>,
    /// Large batches under way, and those that are to follow.
    bulk: Bulk,
    batches: VecDeque<Batch>,
    /// Reserved version numbers that no entry has.
    numbers: Range<i64>,
    /// The last group had more than one call: others are likely to be on their way.
    crowded: bool,
    /// Expired rows may be left, so the idle writer goes on reclaiming.
    reclaim_due: bool,
    singles_since_reclaim: u32,
}

impl Writer {
    pub(crate) fn new(
        connection: ReconnectingConnection,
        namespace_id: NamespaceId,
        clock: Arc<dyn Clock>,
        durability: Durability,
        jobs: mpsc::Receiver<Job>,
    ) -> Self {
        Self {
            connection,
            namespace_id,
            clock,
            durability,
            jobs,
            held: None,
            bulk: Bulk::default(),
            batches: VecDeque::new(),
            numbers: 0..0,
            crowded: false,
            reclaim_due: false,
            singles_since_reclaim: 0,
        }
    }

    /// Works until the store is closed or dropped.
    pub(crate) async fn run(mut self) {
        let mut closing = None;
        while let Some(job) = self.next().await {
            match job {
                // What is in the channel was asked for before the store was closed, so it is done (LIFE-2).
                Job::Close { reply } => {
                    self.jobs.close();
                    closing = Some(reply);
                }
                Job::AllOrNothing { operations, reply } => {
                    let outcome = self.all_or_nothing(&operations).await;
                    let outcome = outcome.and_then(|outcome| self.confirm_files().map(|()| outcome));
                    // Here and below: a caller that has gone away changes nothing (ERR-6).
                    let _ = reply.send(outcome);
                }
                Job::Many { operations, reply } if is_large(&operations) => {
                    self.batches.push_back(Batch::new(operations, reply));
                }
                job @ (Job::One { .. } | Job::Many { .. }) => {
                    if !self.has_bulk() {
                        self.connection.let_log_grow(false).await;
                    }
                    let jobs = self.gather(job).await;
                    self.answer(jobs).await;
                }
            }
            // Those who call all the time leave a turn to large batches.
            if self.has_bulk() {
                self.go_on_with_bulk().await;
            }
        }
        if closing.is_some() {
            // Best effort: the log is as good as the file, and others may be using it.
            let _ = sqlx::query(queries::CHECKPOINT).fetch_all(&mut self.connection.connection).await;
        }
        // A last time: what was acknowledged may be gone since.
        let confirmed = self.connection.check_files();
        let closed = self.connection.connection.close().await.map_err(|error| from_sqlx(error, Stage::Read));
        let closed = confirmed.and(closed);
        if let Some(reply) = closing {
            let _ = reply.send(closed);
        }
    }

    /// The next job. While it waits for one, large batches are carried out, and expired rows that are left reclaimed.
    async fn next(&mut self) -> Option<Job> {
        loop {
            if let Some(job) = self.held.take() {
                return Some(job);
            }
            match self.jobs.try_recv() {
                Ok(job) => return Some(job),
                Err(_) if self.has_bulk() => self.go_on_with_bulk().await,
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) if self.reclaim_due => self.reclaim().await,
                Err(mpsc::error::TryRecvError::Empty) => return self.jobs.recv().await,
            }
        }
    }

    fn has_bulk(&self) -> bool {
        !self.bulk.is_empty() || !self.batches.is_empty()
    }

    /// Whether a caller waits for its turn. Large batches are put aside, since they do not shorten each other's
    /// transactions: as many as there are callers that wait for them.
    fn someone_waits(&mut self) -> bool {
        while self.held.is_none()
            && let Ok(job) = self.jobs.try_recv()
        {
            match job {
                Job::Many { operations, reply } if is_large(&operations) => {
                    self.batches.push_back(Batch::new(operations, reply));
                }
                job => self.held = Some(job),
            }
        }
        self.batches.retain(|batch| !batch.is_abandoned());
        self.held.is_some()
    }

    /// Removes some expired rows. If that fails, the next group tries again.
    async fn reclaim(&mut self) {
        if self.connection.is_lost() || self.connection.check_known().is_err() {
            self.reclaim_due = false;
            return;
        }
        let now = self.clock.now().as_unix_millis_floor();
        let removed = sqlx::query(queries::group::RECLAIM).bind(now).execute(&mut self.connection.connection).await;
        self.reclaim_due = removed.is_ok_and(|removed| removed.rows_affected() > 0);
        self.singles_since_reclaim = 0;
    }

    /// `first` and everything that waits, up to the limits of a group.
    async fn gather(&mut self, first: Job) -> Vec<Job> {
        let (mut operations, mut bytes) = first.size();
        let mut group = vec![first];
        for round in 0..=YIELDS_MAX {
            let before = group.len();
            while let Ok(job) = self.jobs.try_recv() {
                let (more_operations, more_bytes) = job.size();
                operations += more_operations;
                bytes += more_bytes;
                let groups = matches!(job, Job::One { .. } | Job::Many { .. });
                if !groups || operations > GROUP_OPERATIONS_MAX || bytes > GROUP_BYTES_MAX {
                    self.held = Some(job);
                    return group;
                }
                group.push(job);
            }
            // A lone caller never pays for this: without it, groups alternate between one call and all the others.
            if !self.crowded || (round > 0 && group.len() == before) {
                break;
            }
            yield_now().await;
        }
        group
    }

    /// Carries out a group and answers every caller.
    async fn answer(&mut self, jobs: Vec<Job>) {
        let operations: Vec<&Operation> = jobs.iter().flat_map(Job::operations).collect();
        self.crowded = jobs.len() > 1;
        let answers = match operations.as_slice() {
            [operation] => vec![self.single(operation).await],
            operations => self.group(operations).await,
        };
        let confirmed = self.confirm_files();
        let mut answers = confirm(answers, &confirmed);
        for job in jobs {
            match job {
                Job::One { reply, .. } => {
                    let _ = reply.send(answers.next().unwrap_or_else(|| Err(undecided())));
                }
                Job::Many { operations, reply } => {
                    let mut own: Vec<_> = answers.by_ref().take(operations.len()).collect();
                    own.resize_with(operations.len(), || Err(undecided()));
                    let _ = reply.send(own);
                }
                Job::AllOrNothing { .. } | Job::Close { .. } => {}
            }
        }
    }

    /// After the commit and before a caller is answered: what was written into a file that is not there any more is not
    /// acknowledged. It may have been moved rather than removed, so whether it is kept is unknown.
    fn confirm_files(&mut self) -> Result<()> {
        self.connection.check_files().map_err(|error| error.with_retry(Retry::OutcomeUnknown))
    }

    /// One operation by itself: a single statement that is its own transaction.
    async fn single(&mut self, operation: &Operation) -> Result<Answer> {
        self.prepare(1).await?;
        let busy_retry = self.connection.busy_retry.clone();
        let mut wait = busy_retry.begin();
        let number = self.take_numbers(1).start;
        self.singles_since_reclaim += 1;
        self.reclaim_due |= self.singles_since_reclaim >= SINGLES_BETWEEN_RECLAIMS;
        loop {
            let now = self.clock.now();
            match single::execute(&mut self.connection.connection, self.namespace_id, operation, now, number).await {
                Ok(Some(answer)) => return Ok(answer),
                // Nothing was changed, so a condition that does not hold now is the answer now.
                Ok(None) => {
                    let connection = &mut self.connection.connection;
                    if let Ok(Some(answer)) = single::unmet(connection, self.namespace_id, operation, now).await {
                        return answer;
                    }
                    // The file refused the row, or another process has changed it since. A transaction finds out.
                    let mut answers = self.group(&[operation]).await;
                    return answers.pop().unwrap_or_else(|| Err(undecided()));
                }
                Err(error) if is_busy(&error) && wait.again().await => {}
                Err(error) => {
                    self.renew_if_lost(&error).await;
                    return Err(from_sqlx(error, Stage::Autocommit));
                }
            }
        }
    }

    /// Many operations in one transaction: read what they touch, decide in memory, write what came out.
    async fn group(&mut self, operations: &[&Operation]) -> Vec<Result<Answer>> {
        let all = |error: Error| operations.iter().map(|_| Err(error.clone())).collect();
        // Enough for a second attempt too: a number that was written and rolled back is not used again.
        if let Err(error) = self.prepare(operations.len() * 2).await {
            return all(error);
        }
        let busy_retry = self.connection.busy_retry.clone();
        let mut wait = busy_retry.begin();
        let numbers = self.take_numbers(operations.len());
        loop {
            let mut group = Group::new(operations);
            let failure = match self.try_group(&mut group, numbers.clone()).await {
                Ok(answers) => return answers,
                Err(failure) => failure,
            };
            self.roll_back().await;
            match failure {
                Failure::Database { error, .. } if is_busy(&error) && wait.again().await => {}
                failure if failure.is_about_a_row() => {
                    return self.one_by_one(operations).await.unwrap_or_else(|failure| all(failure.into_error()));
                }
                failure => return all(failure.into_error()),
            }
        }
    }

    async fn try_group(&mut self, group: &mut Group<'_>, numbers: Range<i64>) -> Result<Vec<Result<Answer>>, Failure> {
        let connection = &mut self.connection.connection;
        let begun = transaction::begin(connection, group, self.namespace_id, &*self.clock, false).await?;
        let answers = group.decide(begun.now, numbers, self.namespace_id.file_id);
        let plan = group.plan().map_err(Failure::Other)?;
        let written = transaction::finish(connection, &plan, self.namespace_id, begun, false).await?;
        self.note_reclaimed(written.reclaimed);
        Ok(self.answers_after(group, answers, &written))
    }

    /// The answers of a group that was written: the state of its keys may have been found out only then.
    fn answers_after(&self, group: &Group<'_>, answers: Vec<Result<Answer>>, written: &Written) -> Vec<Result<Answer>> {
        match &written.created {
            Some(created) => group.answer_unread(created, self.namespace_id.file_id),
            None => answers,
        }
    }

    /// After a transaction that reclaimed so many expired rows, or did not try.
    const fn note_reclaimed(&mut self, reclaimed: Option<u64>) {
        if let Some(reclaimed) = reclaimed {
            self.reclaim_due = reclaimed > 0;
            self.singles_since_reclaim = 0;
        }
    }

    /// A row was refused: one statement for each operation, still in one transaction. One that fails is undone alone,
    /// and only its caller gets the error.
    async fn one_by_one(&mut self, operations: &[&Operation]) -> Result<Vec<Result<Answer>>, Failure> {
        let busy_retry = self.connection.busy_retry.clone();
        let mut wait = busy_retry.begin();
        let numbers = self.take_numbers(operations.len());
        loop {
            match self.try_one_by_one(operations, numbers.clone()).await {
                Ok(answers) => return Ok(answers),
                Err(failure) => {
                    self.roll_back().await;
                    if !(failure.is_busy() && wait.again().await) {
                        return Err(failure);
                    }
                }
            }
        }
    }

    async fn try_one_by_one(
        &mut self,
        operations: &[&Operation],
        numbers: Range<i64>,
    ) -> Result<Vec<Result<Answer>>, Failure> {
        let connection = &mut self.connection.connection;
        fetch_rows(connection, sqlx::query(queries::BEGIN)).await.map_err(Failure::in_transaction)?;
        let now = self.clock.now();
        let mut answers = Vec::with_capacity(operations.len());
        for (operation, number) in operations.iter().zip(numbers) {
            fetch_rows(connection, sqlx::query(queries::SAVEPOINT)).await.map_err(Failure::in_transaction)?;
            answers.push(match single::execute(connection, self.namespace_id, operation, now, number).await {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => single::unmet(connection, self.namespace_id, operation, now)
                    .await
                    .map_err(Failure::in_transaction)?
                    .unwrap_or_else(|| Err(row_rejected())),
                Err(error) if is_about_a_row(&error) => {
                    // A trigger may have kept what the statement did (`RAISE(FAIL)`). Where it ended the transaction
                    // (`RAISE(ROLLBACK)`) there is nothing to go back to, and nothing of the group is written.
                    match fetch_rows(connection, sqlx::query(queries::ROLLBACK_TO_SAVEPOINT)).await {
                        Ok(_) => Err(from_sqlx(error, Stage::Write)),
                        Err(ended) if primary_code(&ended) == Some(code::ERROR) => {
                            return Err(Failure::in_transaction(error));
                        }
                        Err(failed) => return Err(Failure::in_transaction(failed)),
                    }
                }
                Err(error) => return Err(Failure::in_transaction(error)),
            });
            fetch_rows(connection, sqlx::query(queries::RELEASE_SAVEPOINT)).await.map_err(Failure::in_transaction)?;
        }
        fetch_rows(connection, sqlx::query(queries::COMMIT))
            .await
            .map_err(|error| Failure::Database { error, stage: Stage::Commit })?;
        Ok(answers)
    }

    /// One transaction of large batches; it ends early where someone waits.
    async fn go_on_with_bulk(&mut self) {
        let mut bulk = std::mem::take(&mut self.bulk);
        if bulk.is_empty() {
            // Those that came together with the first one join it.
            self.someone_waits();
            bulk = Bulk::merge(&mut self.batches);
        }
        bulk.forget_abandoned();
        if !bulk.is_empty() {
            self.carry_out(&mut bulk).await;
        }
        self.bulk = bulk;
    }

    async fn carry_out(&mut self, bulk: &mut Bulk) {
        let end = bulk.limit().min(BULK_OPERATIONS_MAX);
        if end == 0 {
            let operations = bulk.slice(0, bulk.len());
            let answers = self.group(&operations).await;
            let confirmed = self.confirm_files();
            return bulk.decide(confirm(answers, &confirmed));
        }
        if let Err(error) = self.prepare(end).await {
            return bulk.fail(&error);
        }
        self.connection.let_log_grow(true).await;
        let busy_retry = self.connection.busy_retry.clone();
        let mut wait = busy_retry.begin();
        let numbers = self.take_numbers(end);
        loop {
            let mut attempt = Attempt::default();
            let failure = match self.try_bulk(bulk, end, numbers.clone(), &mut attempt).await {
                Ok(()) => {
                    self.give_back_numbers(numbers, attempt.answers.len());
                    let confirmed = self.confirm_files();
                    return bulk.decide(confirm(attempt.answers, &confirmed));
                }
                Err(failure) => failure,
            };
            self.roll_back().await;
            match failure {
                failure if failure.is_busy() && wait.again().await => {}
                // The others have waited as long.
                failure if failure.is_busy() && attempt.slice == 0 => return bulk.fail(&failure.into_error()),
                Failure::Database { stage: Stage::Commit, .. } => {
                    let error = failure.into_error();
                    return bulk.decide(attempt.answers.into_iter().map(|_| Err(error.clone())));
                }
                _ => return bulk.failed_at(attempt.slice),
            }
        }
    }

    /// One transaction: slice by slice, until it has to end.
    async fn try_bulk(
        &mut self,
        bulk: &Bulk,
        end: usize,
        mut numbers: Range<i64>,
        attempt: &mut Attempt,
    ) -> Result<(), Failure> {
        let timer = Arc::clone(&self.connection.busy_retry.timer);
        let since = timer.monotonic_now();
        let mut written = false;
        loop {
            let operations = bulk.slice(attempt.answers.len(), end);
            let mut group = Group::new(&operations);
            attempt.slice = attempt.answers.len();
            let connection = &mut self.connection.connection;
            let begun = attempt.slice > 0;
            let begun = transaction::begin(connection, &mut group, self.namespace_id, &*self.clock, begun).await?;
            let answers = group.decide(begun.now, numbers.by_ref(), self.namespace_id.file_id);
            let plan = group.plan().map_err(Failure::Other)?;
            let is_over = attempt.slice + answers.len() >= end
                || self.someone_waits()
                || timer.monotonic_now().saturating_sub(since) >= BULK_TIME_MAX;
            let connection = &mut self.connection.connection;
            if is_over {
                let finished = transaction::finish(connection, &plan, self.namespace_id, begun, written).await;
                let finished = match finished {
                    Ok(finished) => finished,
                    // How many answers there would have been: where COMMIT failed, each is told so.
                    Err(failure) => {
                        attempt.answers.extend(answers);
                        return Err(failure);
                    }
                };
                self.note_reclaimed(finished.reclaimed);
                attempt.answers.extend(self.answers_after(&group, answers, &finished));
                return Ok(());
            }
            let over = transaction::write(connection, &plan, self.namespace_id, begun).await?;
            attempt.answers.extend(self.answers_after(&group, answers, &over));
            written |= !plan.is_empty();
        }
    }

    /// One transaction for a batch that is written whole or not at all (BATCH-3).
    async fn all_or_nothing(&mut self, operations: &[Operation]) -> Result<BatchOutcome> {
        self.prepare(operations.len()).await?;
        let operations: Vec<&Operation> = operations.iter().collect();
        let busy_retry = self.connection.busy_retry.clone();
        let mut wait = busy_retry.begin();
        let numbers = self.take_numbers(operations.len());
        loop {
            let mut group = Group::new(&operations);
            let failure = match self.try_all_or_nothing(&mut group, numbers.clone()).await {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => failure,
            };
            self.roll_back().await;
            if !(failure.is_busy() && wait.again().await) {
                return Err(failure.into_error());
            }
        }
    }

    async fn try_all_or_nothing(
        &mut self,
        group: &mut Group<'_>,
        numbers: Range<i64>,
    ) -> Result<BatchOutcome, Failure> {
        let connection = &mut self.connection.connection;
        let begun = transaction::begin(connection, group, self.namespace_id, &*self.clock, false).await?;
        let answers = group.decide(begun.now, numbers, self.namespace_id.file_id);
        for (index, answer) in answers.iter().enumerate() {
            match answer {
                Ok(Answer::Set(outcome)) if outcome.is_written() => {}
                Ok(_) => {
                    self.roll_back().await;
                    return Ok(BatchOutcome::NotMet { index });
                }
                Err(error) => return Err(Failure::Other(error.clone().with_index(index))),
            }
        }
        let plan = group.plan().map_err(Failure::Other)?;
        let connection = &mut self.connection.connection;
        let written = transaction::finish(connection, &plan, self.namespace_id, begun, false).await?;
        self.note_reclaimed(written.reclaimed);
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in self.answers_after(group, answers, &written) {
            match answer {
                Ok(Answer::Set(outcome)) => outcomes.push(outcome),
                _ => return Err(Failure::Other(undecided())),
            }
        }
        Ok(BatchOutcome::Written(outcomes))
    }

    /// Leaves no transaction open: a later single statement would join it, and be answered without a commit.
    async fn roll_back(&mut self) {
        match fetch_rows(&mut self.connection.connection, sqlx::query(queries::ROLLBACK)).await {
            Ok(_) => {}
            // There was none: SQLite has rolled back by itself, or BEGIN had failed.
            Err(error) if primary_code(&error) == Some(code::ERROR) => {}
            // While this fails no operation is begun: the transaction may still be open on the old connection.
            Err(_) => drop(self.connection.renew().await),
        }
    }

    /// A failure that is not SQLite's own means that the connection's thread is gone.
    async fn renew_if_lost(&mut self, error: &sqlx::Error) {
        if primary_code(error).is_none() {
            drop(self.connection.renew().await);
        }
    }

    /// Makes sure that there is a connection without a transaction, and that `count` version numbers can be taken:
    /// rolled back with a transaction, they would be handed out a second time.
    async fn prepare(&mut self, count: usize) -> Result<()> {
        // Here and below: no operation has begun, so none can have been applied.
        self.connection.check_known()?;
        self.connection.restore().await?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if self.numbers.end - self.numbers.start >= count {
            return Ok(());
        }
        let query = match self.durability {
            Durability::Full => queries::RESERVE_FULL,
            Durability::Normal => queries::RESERVE_NORMAL,
        };
        let block = count.max(NUMBERS_RESERVED);
        let busy_retry = self.connection.busy_retry.clone();
        let mut wait = busy_retry.begin();
        let rows = loop {
            match fetch_rows(&mut self.connection.connection, sqlx::query(query).bind(block)).await {
                Err(error) if is_busy(&error) && wait.again().await => {}
                Err(error) => {
                    self.renew_if_lost(&error).await;
                    return Err(from_sqlx(error, Stage::Read));
                }
                Ok(rows) => break rows,
            }
        };
        let end = rows.first().and_then(|row| row.try_get(0).ok());
        self.numbers = end
            .and_then(|end| reserved(end, block))
            .ok_or_else(|| damaged_row("the next version number, in the table meta, is missing or out of range"))?;
        Ok(())
    }

    /// The next `count` of the reserved numbers.
    fn take_numbers(&mut self, count: usize) -> Range<i64> {
        let start = self.numbers.start;
        self.numbers.start = start.saturating_add(i64::try_from(count).unwrap_or(i64::MAX)).min(self.numbers.end);
        start..self.numbers.start
    }

    /// Gives back the last ones that were taken, but for those that were `used`.
    fn give_back_numbers(&mut self, taken: Range<i64>, used: usize) {
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        self.numbers.start = taken.start.saturating_add(used).min(self.numbers.start);
    }
}

/// How far a transaction has come.
#[derive(Debug, Default)]
struct Attempt {
    /// What is to be answered after the commit.
    answers: Vec<Result<Answer>>,
    /// Which of them is the first one of the last slice.
    slice: usize,
}

/// What may be answered, once it is known whether the files are still there.
fn confirm(answers: Vec<Result<Answer>>, confirmed: &Result<()>) -> impl ExactSizeIterator<Item = Result<Answer>> {
    answers.into_iter().map(move |answer| answer.and_then(|answer| confirmed.clone().map(|()| answer)))
}

/// The `block` numbers before `end`, where each has versions: positive, as no other number is one that callers can give
/// back, and within 64 bits.
fn reserved(end: i64, block: i64) -> Option<Range<i64>> {
    let start = end.checked_sub(block)?;
    (start > 0 && end <= i64::MAX / 2).then_some(start..end)
}

/// Whether a batch is no part of a group.
fn is_large(operations: &[Operation]) -> bool {
    operations.len() > GROUP_OPERATIONS_MAX || operations.iter().map(Operation::bytes).sum::<usize>() > GROUP_BYTES_MAX
}

impl Job {
    fn operations(&self) -> &[Operation] {
        match self {
            Self::One { operation, .. } => std::slice::from_ref(operation),
            Self::Many { operations, .. } | Self::AllOrNothing { operations, .. } => operations,
            Self::Close { .. } => &[],
        }
    }

    /// Operations and bytes.
    fn size(&self) -> (usize, usize) {
        let operations = self.operations();
        (operations.len(), operations.iter().map(Operation::bytes).sum())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::config::SqliteConfig;
    use crate::connection::{BusyRetry, Opening};
    use crate::files::Files;
    use crate::operation::Action;
    use crate::schema;
    use kv_api::{Expiry, Reason, Value};
    use kv_sql::PutCondition;
    use std::path::Path;

    async fn writer(path: &Path) -> Writer {
        let config = SqliteConfig::new(path);
        let busy_retry = BusyRetry { timer: Arc::clone(&config.timer), limit: config.busy_timeout };
        let opening = Arc::new(Opening { files: Files::new(path.to_owned()), config });
        let (connection, namespace_id) = schema::open(&opening, &busy_retry).await.unwrap();
        let config = &opening.config;
        Writer::new(connection, namespace_id, Arc::clone(&config.clock), config.durability, mpsc::channel(1).1)
    }

    fn put() -> Operation {
        let value = Value::from("v");
        let action = Action::Put { value, metadata: None, expiry: Expiry::Never, condition: PutCondition::Always };
        Operation { key: "a".to_owned(), action }
    }

    #[tokio::test]
    async fn nothing_is_answered_inside_a_transaction_that_nobody_will_commit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let moved = directory.path().join("moved.db");
        let mut writer = writer(&path).await;
        sqlx::query(queries::BEGIN).execute(&mut writer.connection.connection).await.unwrap();
        std::fs::rename(&path, &moved).unwrap();
        assert!(writer.connection.renew().await.is_err());
        assert!(!path.exists(), "a new file would hide that the old one is gone");
        let put = put();
        for error in [
            writer.single(&put).await.unwrap_err(),
            writer.group(&[&put, &put]).await.remove(0).unwrap_err(),
            writer.all_or_nothing(std::slice::from_ref(&put)).await.unwrap_err(),
        ] {
            assert_eq!((error.reason(), error.is_outcome_unknown()), (Some(&Reason::FileReplaced), false), "{error}");
        }
    }

    #[tokio::test]
    async fn a_new_connection_is_one_to_the_same_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let other = directory.path().join("other.db");
        drop(writer(&other).await);
        let mut writer = writer(&path).await;
        std::fs::rename(&other, &path).unwrap();
        let error = writer.connection.renew().await.unwrap_err();
        assert_eq!(error.reason(), Some(&Reason::FileReplaced), "{error}");
        assert_eq!(writer.single(&put()).await.unwrap_err().reason(), Some(&Reason::FileReplaced));
    }
}
