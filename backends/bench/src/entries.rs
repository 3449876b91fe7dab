//! The entries that every contender of a section has, and the calls over them.

use std::sync::atomic::{AtomicUsize, Ordering};

use kv_api::Value;

use crate::payload::{SMALL, key, random_keys};
use crate::row::Row;

/// Entries `0..count` with texts of 100 bytes.
#[derive(Debug)]
pub(crate) struct Entries {
    /// How many there are.
    pub(crate) count: usize,
    value: Value,
    has_metadata: bool,
    /// The first number that no key has yet.
    next: AtomicUsize,
}

impl Entries {
    /// With metadata on every fourth entry, or on none.
    pub(crate) fn new(count: usize, has_metadata: bool) -> Self {
        let value = Value::from("v".repeat(SMALL));
        Self { count, value, has_metadata, next: AtomicUsize::new(count) }
    }

    /// All of them, in random order.
    pub(crate) fn all(&self) -> Vec<Row> {
        self.shaped(Row::distinct(self.count, self.count, &self.value))
    }

    /// Random entries, for each task as many as make `calls` together.
    pub(crate) fn rows(&self, tasks: usize, calls: usize) -> Vec<Vec<Row>> {
        (0..tasks).map(|_| self.shaped(Row::random(self.count, calls / tasks, &self.value))).collect()
    }

    /// Random keys, for each task as many as make `calls` together.
    pub(crate) fn keys(&self, tasks: usize, calls: usize) -> Vec<Vec<String>> {
        (0..tasks).map(|_| random_keys(self.count, calls / tasks)).collect()
    }

    /// Entries whose keys no contender has.
    pub(crate) fn fresh(&self, count: usize) -> Vec<Row> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        self.shaped((first..first + count).map(|number| Row::new(number, &self.value)).collect())
    }

    /// Batches of `size` different entries.
    pub(crate) fn row_batches(&self, batches: usize, size: usize) -> Vec<Vec<Row>> {
        (0..batches).map(|_| self.shaped(Row::distinct(self.count, size, &self.value))).collect()
    }

    /// Batches of `size` different keys.
    pub(crate) fn key_batches(&self, batches: usize, size: usize) -> Vec<Vec<String>> {
        let numbers = |_| fastrand::choose_multiple(0..self.count, size).into_iter().map(key).collect();
        (0..batches).map(numbers).collect()
    }

    fn shaped(&self, rows: Vec<Row>) -> Vec<Row> {
        if self.has_metadata { rows } else { rows.into_iter().map(Row::without_metadata).collect() }
    }
}
