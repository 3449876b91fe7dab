//! Commands and replies for `conformance/costs`. Built with `--cfg costs` only.

use kv_api::{Entry, Fields, Result, SetStatus, Version, Write};
use redis::{Cmd, Value as Reply};

use crate::wire::{command, reply, value};

const SCOPE: &str = "scope";

#[must_use]
pub fn get(key: &str) -> Cmd {
    command::read(key.as_bytes(), Fields::Value).cmd
}

#[must_use]
pub fn get_many(keys: &[&str]) -> Cmd {
    command::read_values(keys).cmd
}

#[must_use]
pub fn set(write: &Write<'_>) -> Cmd {
    command::write(SCOPE, write.key().as_bytes(), write, &value::encode(write.value(), write.metadata())).cmd
}

pub fn found(answer: Reply) -> Result<Option<Entry>> {
    reply::read(answer, Fields::Value, SCOPE)
}

pub fn found_entry(answer: Reply) -> Result<Option<Entry>> {
    reply::read(answer, Fields::All, SCOPE)
}

pub fn found_many(answer: Reply, count: usize) -> Result<Vec<Option<Entry>>> {
    reply::values(answer, count)
}

/// The status, and the version of what was stored.
pub fn stored(answer: Reply, write: &Write<'_>) -> Result<(SetStatus, Version)> {
    Ok((reply::stored(answer)?, value::version(SCOPE, &value::encode(write.value(), write.metadata()))?))
}
