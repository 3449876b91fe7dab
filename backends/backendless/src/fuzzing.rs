//! Decoders for the fuzz targets in `conformance/fuzz`. Built with `--cfg fuzzing` only.

use std::sync::Arc;

use kv_api::{JsonText, Metadata, Result, SystemClock, Value};
use kv_remote::Redaction;
use kv_remote::http::Answer;

use crate::wire::{self, Expiration, Reply, Step};

type Content = (Value, Option<Metadata>);

/// Nothing of the system's own texts may be shown, so that an error that shows some is a mistake.
fn reply(answer: &Answer) -> Reply {
    Reply { answer: answer.clone(), redaction: Redaction::Everything, clock: Arc::new(SystemClock) }
}

pub fn values(answer: &Answer, keys: &[String]) -> Result<Vec<Option<Content>>> {
    reply(answer).values(keys)
}

pub fn count(answer: &Answer, most: usize) -> Result<usize> {
    reply(answer).count(most)
}

pub fn flag(answer: &Answer) -> Result<bool> {
    reply(answer).flag()
}

/// The integer that a counter became; `None` for another number.
pub fn step(answer: &Answer) -> Result<Option<i64>> {
    Ok(match reply(answer).step()? {
        Step::To(integer) => Some(integer),
        Step::Beyond | Step::Fraction => None,
    })
}

pub fn done(answer: &Answer) -> Result<()> {
    reply(answer).done()
}

pub fn expired(answer: &Answer, clears: bool) -> Result<bool> {
    reply(answer).expired(clears)
}

/// Whole seconds; `None` for a key that is missing or never expires.
pub fn expiration(answer: &Answer) -> Result<Option<u64>> {
    Ok(match reply(answer).expiration()? {
        Expiration::Seconds(seconds) => Some(seconds),
        Expiration::Missing | Expiration::Never => None,
    })
}

pub fn page(answer: &Answer, prefix: &str) -> Result<(Vec<String>, Option<u64>)> {
    reply(answer).page(prefix)
}

pub fn decode(json: JsonText<'_>) -> Result<Option<Content>> {
    wire::decode(json)
}

pub fn encode(value: &Value, metadata: Option<&Metadata>) -> String {
    wire::encode(value, metadata)
}
