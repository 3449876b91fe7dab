//! Decoders for the fuzz targets in `conformance/fuzz`. Built with `--cfg fuzzing` only.

use std::sync::Arc;

use kv_api::{JsonText, Metadata, Result, SystemClock, Value};
use kv_remote::Redaction;
use kv_remote::http::Answer;

use crate::wire::{self, Reply, Sum};

type Content = (Value, Option<Metadata>);

/// Nothing of the system's own texts may be shown, so that an error that shows some is a mistake.
fn reply(answer: &Answer) -> Reply {
    Reply { answer: answer.clone(), redaction: Redaction::Everything, clock: Arc::new(SystemClock) }
}

pub fn done(answer: &Answer) -> Result<()> {
    reply(answer).done()
}

pub fn expired(answer: &Answer) -> Result<()> {
    reply(answer).expired()
}

pub fn value(answer: &Answer) -> Result<Option<Content>> {
    Ok(reply(answer).value()?.map(|found| (found.value, found.metadata)))
}

pub fn values(answer: &Answer, keys: &[String]) -> Result<Vec<Option<Content>>> {
    let found = reply(answer).values(keys)?.into_iter();
    Ok(found.map(|found| found.map(|found| (found.value, found.metadata))).collect())
}

/// The integer that a counter became; `None` for another number.
pub fn sum(answer: &Answer) -> Result<Option<i64>> {
    Ok(match reply(answer).sum()? {
        Sum::Integer(integer) => Some(integer),
        Sum::Other => None,
    })
}

pub fn page(answer: &Answer) -> Result<(Vec<String>, Option<String>)> {
    reply(answer).page()
}

pub fn decode(json: JsonText<'_>) -> Result<Option<Content>> {
    wire::decode(json)
}

pub fn encode(value: &Value, metadata: Option<&Metadata>, expires: bool) -> String {
    wire::encode(value, metadata, expires)
}
