//! What a group of operations does, decided in memory: without I/O and without a clock.
//!
//! [`Group::new`] sorts the keys of the operations; each has a [`Cell`]. [`Group::load`] puts into the cells what the
//! file holds. [`Group::decide`] carries out the operations in their order, each on what the one before it left in the
//! cell, and has an answer for each. [`Group::plan`] says what has to be written for the cells that have changed. So
//! ten increments of one key have ten answers and write one row.

use kv_api::{
    DeleteOutcome, Entry, Error, ErrorKind, Fields, Result, SetOutcome, SetStatus, Timestamp, Value, ValueKind,
};
use kv_sql::{
    JSON, PutCondition, StoredCounter, counter_value, damaged_row, entry_expiry, incremented, put_outcome, version,
};

use crate::operation::{Action, Answer, Operation, deadline};
use crate::row::{Row, RowValue, StoredRow, written_row};

/// The operations of a group and the distinct keys they touch, in the order of their bytes: rows that lie side by side
/// are then written side by side.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    operations: &'a [&'a Operation],
    keys: Vec<&'a str>,
    /// For each operation, the position of its key.
    slots: Vec<usize>,
    /// For each key, what is known of it.
    cells: Vec<Cell>,
}

/// One key: what the file holds, and what the operations decided so far have made of it.
#[derive(Debug, Default)]
struct Cell {
    /// The row of the key in the file, live or expired.
    row_id: Option<i64>,
    live: Option<Live>,
    /// Whether an operation counts in it, so that more has to be read.
    counted: bool,
    /// Whether an operation answers the entry, so that all of it has to be read.
    wanted: bool,
    /// The entry as the file holds it, where it is wanted.
    stored: Option<Result<Entry>>,
    /// What the file holds has to change.
    dirty: bool,
}

#[derive(Debug)]
struct Live {
    version: i64,
    expires_at: Option<i64>,
    content: Content,
}

/// Where the content of an entry is.
#[derive(Debug)]
enum Content {
    /// In the file; with what an increment needs, where one asked for it.
    Stored(Option<StoredCounter>),
    /// In the operation with this position.
    Written(usize),
    /// It is a counter of this value.
    Counter(i64),
}

/// What has to be written so that the file holds what was decided.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan<'a> {
    /// By the id of their row.
    pub(crate) deletes: Vec<i64>,
    /// The id of the row, and its new expiry: the value stays where it is.
    pub(crate) expiries: Vec<(i64, Option<i64>)>,
    pub(crate) puts: Vec<Row<'a>>,
}

impl Plan<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.deletes.is_empty() && self.expiries.is_empty() && self.puts.is_empty()
    }
}

impl<'a> Group<'a> {
    pub(crate) fn new(operations: &'a [&'a Operation]) -> Self {
        let mut order: Vec<usize> = (0..operations.len()).collect();
        order.sort_by(|left, right| operations[*left].key.cmp(&operations[*right].key));
        let mut slots = vec![0; operations.len()];
        let mut keys: Vec<&str> = Vec::with_capacity(operations.len());
        let mut cells: Vec<Cell> = Vec::with_capacity(operations.len());
        for index in order {
            let operation = operations[index];
            if keys.last() != Some(&operation.key.as_str()) {
                keys.push(&operation.key);
                cells.push(Cell::default());
            }
            slots[index] = keys.len() - 1;
            let Some(cell) = cells.last_mut() else { continue };
            match operation.action {
                Action::Increment { .. } => cell.counted = true,
                Action::Touch { .. } | Action::GetAndDelete { .. } => cell.wanted = true,
                Action::Put { .. } | Action::Delete { .. } | Action::Expire { .. } => {}
            }
        }
        Self { operations, keys, slots, cells }
    }

    /// The distinct keys, and whether an operation counts in each.
    pub(crate) fn keys(&self) -> impl ExactSizeIterator<Item = (&'a str, bool)> {
        self.keys.iter().zip(&self.cells).map(|(key, cell)| (*key, cell.counted))
    }

    /// Whether an operation counts.
    pub(crate) fn has_counters(&self) -> bool {
        self.cells.iter().any(|cell| cell.counted)
    }

    /// Whether it is nothing but puts, each of a key of its own and without a condition.
    pub(crate) fn is_unconditional(&self) -> bool {
        let is_put =
            |operation: &&Operation| matches!(operation.action, Action::Put { condition: PutCondition::Always, .. });
        self.keys.len() == self.operations.len() && self.operations.iter().all(is_put)
    }

    /// Whether no put of it is over already.
    pub(crate) fn outlives(&self, now: Timestamp) -> bool {
        let now_ms = now.as_unix_millis_floor();
        self.operations.iter().all(|operation| match operation.action {
            Action::Put { expiry, .. } => deadline(expiry, now).is_none_or(|expires_at| expires_at > now_ms),
            _ => true,
        })
    }

    /// Takes in what the file holds under the key at `position`.
    pub(crate) fn load(&mut self, position: usize, stored: StoredRow, now_ms: i64) -> Result<()> {
        let cell = self.cells.get_mut(position).ok_or_else(|| damaged_row("its key was not asked for"))?;
        cell.row_id = Some(stored.row_id);
        if stored.expires_at.is_none_or(|expires_at| expires_at > now_ms) {
            cell.live = Some(Live {
                version: stored.version,
                expires_at: stored.expires_at,
                content: Content::Stored(stored.counter),
            });
        }
        Ok(())
    }

    /// The positions and rows of the live entries of which all has to be read.
    pub(crate) fn wanted_rows(&self) -> Vec<(usize, i64)> {
        let wanted = |(position, cell): (usize, &Cell)| {
            cell.row_id.filter(|_| cell.wanted && cell.live.is_some()).map(|row| (position, row))
        };
        self.cells.iter().enumerate().filter_map(wanted).collect()
    }

    /// Takes in the entry that the file holds under the key at `position`.
    pub(crate) fn load_entry(&mut self, position: usize, entry: Result<Entry>) {
        if let Some(cell) = self.cells.get_mut(position) {
            cell.stored = Some(entry);
        }
    }

    /// Decides every operation in order. `numbers` gives each a number that no other write of the file ever gets.
    pub(crate) fn decide(
        &mut self,
        now: Timestamp,
        numbers: impl Iterator<Item = i64>,
        file_id: u64,
    ) -> Vec<Result<Answer>> {
        let Self { operations, slots, cells, .. } = self;
        let decide = |((index, slot), number): ((usize, &usize), i64)| {
            decide(operations, index, &mut cells[*slot], now, number, file_id)
        };
        slots.iter().enumerate().zip(numbers).map(decide).collect()
    }

    /// Where puts were decided without the state of their keys, each as if it created its entry: what they are answered
    /// now that the versions of the rows that were created are known, in their order.
    pub(crate) fn answer_unread(&self, created: &[i64], file_id: u64) -> Vec<Result<Answer>> {
        let answer = |slot: &usize| {
            let live = self.cells[*slot].live.as_ref();
            let live = live.ok_or_else(|| Error::new(ErrorKind::Internal, "a put left no entry"))?;
            let is_new = created.binary_search(&live.version).is_ok();
            let version = if is_new { live.version } else { live.version - 1 };
            Ok(Answer::Set(put_outcome(file_id, Some(version))))
        };
        self.slots.iter().map(answer).collect()
    }

    /// What to write for the state that the decisions led to.
    pub(crate) fn plan(&self) -> Result<Plan<'a>> {
        let mut plan = Plan::default();
        for (key, cell) in self.keys.iter().zip(&self.cells).filter(|(_, cell)| cell.dirty) {
            match (&cell.live, cell.row_id) {
                (Some(live), row) => match (&live.content, row) {
                    (Content::Stored(_), Some(row)) => plan.expiries.push((row, live.expires_at)),
                    (Content::Stored(_), None) => {
                        return Err(Error::new(ErrorKind::Internal, "a stored entry without a row"));
                    }
                    (Content::Counter(value), _) => plan.puts.push(Row {
                        key,
                        kind: JSON,
                        version: live.version,
                        expires_at: live.expires_at,
                        metadata: None,
                        value: RowValue::Counter(value.to_string()),
                    }),
                    (Content::Written(index), _) => {
                        plan.puts.push(written_row(self.operations[*index], live.version, live.expires_at)?);
                    }
                },
                (None, Some(row)) => plan.deletes.push(row),
                (None, None) => {}
            }
        }
        Ok(plan)
    }
}

fn decide(
    operations: &[&Operation],
    index: usize,
    cell: &mut Cell,
    now: Timestamp,
    number: i64,
    file_id: u64,
) -> Result<Answer> {
    match &operations[index].action {
        Action::Put { expiry, condition, .. } => {
            let met = match condition {
                PutCondition::Always => true,
                PutCondition::IfNotExists => cell.live.is_none(),
                PutCondition::IfExists => cell.live.is_some(),
                PutCondition::IfVersion(version) => cell.has_version(*version),
            };
            if !met {
                return Ok(Answer::Set(SetOutcome::new(SetStatus::NotMet)));
            }
            let version = cell.next_version(number);
            cell.replace(Live { version, expires_at: deadline(*expiry, now), content: Content::Written(index) }, now);
            Ok(Answer::Set(put_outcome(file_id, Some(version))))
        }
        Action::Delete { if_version } => {
            let outcome = match if_version {
                Some(version) if !cell.has_version(*version) => DeleteOutcome::NotMet,
                None if cell.live.is_none() => DeleteOutcome::NotFound,
                Some(_) | None => {
                    cell.live = None;
                    cell.dirty = true;
                    DeleteOutcome::Deleted
                }
            };
            Ok(Answer::Delete(outcome))
        }
        Action::Increment { by, min, max, expiring_allowed, created_expiry } => {
            let (old, expires_at) = match &cell.live {
                None => (0, deadline(*created_expiry, now)),
                Some(live) => {
                    if live.expires_at.is_some() && !expiring_allowed {
                        return Err(Error::not_a_counter("the entry has an expiry"));
                    }
                    (live.content.as_counter(operations)?, live.expires_at)
                }
            };
            let new = incremented(old, *by, *min, *max)?;
            let version = cell.next_version(number);
            cell.replace(Live { version, expires_at, content: Content::Counter(new) }, now);
            Ok(Answer::Count(new))
        }
        Action::Expire { if_version: Some(version), .. } if !cell.has_version(*version) => Ok(Answer::Expire(false)),
        Action::Expire { expiry, .. } => Ok(Answer::Expire(cell.set_expiry(deadline(*expiry, now), now))),
        Action::Touch { expiry, fields } => {
            let expires_at = deadline(*expiry, now);
            // First: what cannot be read is not touched.
            let entry = cell.entry(operations, *fields, file_id, |_| expires_at)?;
            cell.set_expiry(expires_at, now);
            Ok(Answer::Entry(entry))
        }
        Action::GetAndDelete { fields } => {
            let entry = cell.entry(operations, *fields, file_id, |live| live.expires_at)?;
            cell.dirty |= cell.live.take().is_some();
            Ok(Answer::Entry(entry))
        }
    }
}

impl Cell {
    fn has_version(&self, version: i64) -> bool {
        self.live.as_ref().is_some_and(|live| live.version == version)
    }

    /// Twice the number, plus 1 where the write creates the entry: the same as single statements give.
    const fn next_version(&self, number: i64) -> i64 {
        number * 2 + if self.live.is_none() { 1 } else { 0 }
    }

    /// Whether there was a live entry to change.
    fn set_expiry(&mut self, expires_at: Option<i64>, now: Timestamp) -> bool {
        let Some(live) = &mut self.live else { return false };
        live.expires_at = expires_at;
        self.dirty = true;
        self.end_if_over(now);
        true
    }

    /// The live entry as a caller gets it, with an expiry made of what it is.
    fn entry(
        &self,
        operations: &[&Operation],
        fields: Fields,
        file_id: u64,
        expires_at: impl FnOnce(&Live) -> Option<i64>,
    ) -> Result<Option<Entry>> {
        let Some(live) = &self.live else { return Ok(None) };
        let (value, metadata) = match &live.content {
            Content::Counter(count) => (Value::from(*count), None),
            Content::Written(index) => match &operations[*index].action {
                Action::Put { value, metadata, .. } => (value.clone(), metadata.clone()),
                _ => return Err(Error::new(ErrorKind::Internal, "only a put has a value")),
            },
            Content::Stored(_) => {
                let not_read = || Err(Error::new(ErrorKind::Internal, "the entry was not read"));
                let stored = self.stored.clone().unwrap_or_else(not_read)?;
                (stored.value().clone(), stored.metadata().cloned())
            }
        };
        Ok(Some(match fields {
            Fields::Value => Entry::new(value),
            _ => {
                let expiry = entry_expiry(expires_at(live));
                Entry::with_details(value, metadata, expiry, Some(version(file_id, live.version)))
            }
        }))
    }

    fn replace(&mut self, live: Live, now: Timestamp) {
        self.live = Some(live);
        self.dirty = true;
        self.end_if_over(now);
    }

    /// A deadline may have come while the operation waited for its turn: then there is nothing left to write, and a row
    /// that was there goes.
    fn end_if_over(&mut self, now: Timestamp) {
        let now_ms = now.as_unix_millis_floor();
        if self.live.as_ref().is_some_and(|live| live.expires_at.is_some_and(|expires_at| expires_at <= now_ms)) {
            self.live = None;
        }
    }
}

impl Content {
    fn as_counter(&self, operations: &[&Operation]) -> Result<i64> {
        match self {
            Self::Counter(value) => Ok(*value),
            Self::Stored(Some(stored)) => stored.value(),
            Self::Stored(None) => Err(Error::new(ErrorKind::Internal, "the counter was not read")),
            Self::Written(index) => match &operations[*index].action {
                Action::Put { metadata: Some(_), .. } => Err(Error::not_a_counter("the entry has metadata")),
                Action::Put { value, .. } if value.kind() == ValueKind::Json => counter_value(value.as_bytes()),
                _ => Err(Error::not_a_counter("the value is no JSON integer")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{Expiry, Value};
    use std::time::Duration;

    fn put(key: &str, expiry: Expiry) -> Operation {
        let action = Action::Put { value: Value::from(1i64), metadata: None, expiry, condition: PutCondition::Always };
        Operation { key: key.to_owned(), action }
    }

    fn now() -> Timestamp {
        Timestamp::from_unix_millis(1_000)
    }

    fn stored(row_id: i64) -> StoredRow {
        StoredRow { row_id, version: 8, expires_at: None, counter: None }
    }

    #[test]
    fn keys_come_once_and_sorted() {
        let operations = [put("b", Expiry::Never), put("a", Expiry::Never), put("b", Expiry::Never)];
        let operations: Vec<_> = operations.iter().collect();
        let group = Group::new(&operations);
        assert_eq!(group.keys().collect::<Vec<_>>(), [("a", false), ("b", false)]);
        assert_eq!(group.slots, [1, 0, 1]);
    }

    #[test]
    fn exp_7_a_set_whose_expiry_has_come_deletes_the_row_it_was_to_replace() {
        let operations = [
            put("a", Expiry::At(Timestamp::from_unix_millis(1_000))),
            Operation { key: "a".to_owned(), action: Action::Delete { if_version: None } },
        ];
        let operations: Vec<_> = operations.iter().collect();
        let mut group = Group::new(&operations);
        group.load(0, stored(3), 1_000).unwrap();
        let answers = group.decide(now(), 10.., 1);
        assert_eq!(answers[0].as_ref().unwrap(), &Answer::Set(put_outcome(1, Some(20))));
        assert_eq!(answers[1].as_ref().unwrap(), &Answer::Delete(DeleteOutcome::NotFound));
        assert_eq!(group.plan().unwrap(), Plan { deletes: vec![3], ..Plan::default() });
    }

    #[test]
    fn exp_9_a_new_expiry_of_a_stored_entry_moves_no_value() {
        let expiry = Expiry::After(Duration::from_millis(5));
        let operations = [Operation { key: "a".to_owned(), action: Action::Expire { expiry, if_version: None } }];
        let operations: Vec<_> = operations.iter().collect();
        let mut group = Group::new(&operations);
        group.load(0, stored(3), 1_000).unwrap();
        assert_eq!(group.decide(now(), 10.., 1)[0].as_ref().unwrap(), &Answer::Expire(true));
        assert_eq!(group.plan().unwrap(), Plan { expiries: vec![(3, Some(1_005))], ..Plan::default() });
    }
}
