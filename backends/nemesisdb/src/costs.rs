//! Messages for `conformance/costs`. Built with `--cfg costs` only.

use kv_api::{Metadata, Result, SetStatus, Timestamp, Value, Write};

use crate::budget::ReplyBudget;
use crate::wire::message::{Command, encoded, keys_message, pairs_message};
use crate::wire::reply::parse;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

#[must_use]
pub fn get(key: &str) -> String {
    keys_message(Command::Get, [key].into_iter())
}

#[must_use]
pub fn set(write: &Write<'_>) -> String {
    pairs_message(Command::Set, [(write.key(), encoded(write, NOW))].into_iter())
}

/// With one budget for all, as a store has it.
#[derive(Debug)]
pub struct Replies(ReplyBudget);

impl Default for Replies {
    fn default() -> Self {
        Self(ReplyBudget::new(usize::MAX))
    }
}

impl Replies {
    pub fn found(&self, message: &str) -> Result<Option<(Value, Option<Metadata>)>> {
        let found = parse(message)?.answer(&self.0).found()?;
        Ok(found.map(|found| (found.value, found.metadata)))
    }

    pub fn set(&self, message: &str) -> Result<SetStatus> {
        parse(message)?.answer(&self.0).set()
    }
}
