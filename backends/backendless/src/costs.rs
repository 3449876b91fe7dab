//! Requests and answers for `conformance/costs`. Built with `--cfg costs` only.

use std::sync::Arc;

use bytes::Bytes;
use kv_api::{Clock, Metadata, Result, SystemClock, Value, Write};
use kv_remote::Redaction;
use kv_remote::http::Answer;

use crate::wire::{self, Request, body_of_key, body_of_keys, body_of_members, member};

/// The body of the request for a key.
#[must_use]
pub fn get(key: &str) -> Option<Bytes> {
    Request::get(body_of_key(key)).body
}

#[must_use]
pub fn get_many(keys: &[&str]) -> Option<Bytes> {
    Request::get(body_of_keys(
        keys.iter().map(|key| kv_api::json_quoted(key)).collect::<Vec<_>>().iter().map(|key| &**key),
    ))
    .body
}

#[must_use]
pub fn set(write: &Write<'_>) -> Option<Bytes> {
    Request::set(body_of_members([&*member(write)])).body
}

#[must_use]
pub fn set_many(writes: &[Write<'_>]) -> Option<Bytes> {
    let members: Vec<String> = writes.iter().map(member).collect();
    Request::set(body_of_members(members.iter().map(|member| &**member))).body
}

/// With one clock for all, as a store has it.
#[derive(Debug)]
pub struct Replies(Arc<dyn Clock>);

impl Default for Replies {
    fn default() -> Self {
        Self(Arc::new(SystemClock))
    }
}

impl Replies {
    fn reply(&self, answer: Answer) -> wire::Reply {
        wire::Reply { answer, redaction: Redaction::Everything, clock: Arc::clone(&self.0) }
    }

    #[allow(clippy::type_complexity, reason = "it is only counted")]
    pub fn found(&self, answer: Answer, keys: &[String]) -> Result<Vec<Option<(Value, Option<Metadata>)>>> {
        self.reply(answer).values(keys)
    }

    pub fn done(&self, answer: Answer) -> Result<()> {
        self.reply(answer).done()
    }

    pub fn page(&self, answer: Answer) -> Result<(Vec<String>, Option<u64>)> {
        self.reply(answer).page("")
    }
}
