//! Decoders for the fuzz targets in `conformance/fuzz`. Built with `--cfg fuzzing` only.

use std::sync::Arc;

use bytes::Bytes;
use kv_api::{EntryExpiry, ListItem, Result, SystemClock, Value};
use kv_remote::Redaction;
use kv_remote::http::Answer;

use crate::wire::{Answers, Match};

/// Nothing of the service's own texts may be shown, so that an error that shows some is a mistake.
fn answers() -> Answers {
    Answers { clock: Arc::new(SystemClock), redaction: Redaction::Everything }
}

pub fn done(answer: &Answer) -> Result<()> {
    answers().done(answer)
}

pub fn namespace(answer: &Answer) -> Result<()> {
    answers().namespace(answer)
}

pub fn metadata(answer: &Answer) -> Result<Option<String>> {
    answers().metadata(answer)
}

pub fn raw(answer: &Answer) -> Result<Option<(Bytes, EntryExpiry)>> {
    Ok(answers().raw(answer)?.map(|raw| (raw.bytes, raw.expiry)))
}

/// For each key `None` where it is not mentioned, else the text as it was reported and the value, where that is certain.
#[allow(clippy::type_complexity, reason = "a target looks into all of it")]
pub fn bulk_get(answer: &Answer, keys: &[String]) -> Result<Vec<Option<Option<(String, Option<Value>)>>>> {
    let reported = answers().bulk_get(answer, keys)?.into_iter();
    Ok(reported
        .map(|reported| {
            reported.map(|found| {
                found.map(|mut found| {
                    let text = found.text.clone();
                    let compared = found.compare(Bytes::from(text.clone()));
                    let value = found.value();
                    if let (Some(value), Match::Same(same)) = (&value, &compared) {
                        assert_eq!(value, same, "the two ways to the value of one entry agree");
                    }
                    (text, value)
                })
            })
        })
        .collect())
}

pub fn unsuccessful(answer: &Answer, asked: usize) -> Result<Vec<String>> {
    answers().unsuccessful(answer, asked)
}

pub fn page(answer: &Answer, prefix: &str, limit: usize) -> Result<(Vec<ListItem>, Option<String>)> {
    answers().page(answer, prefix, limit)
}
