//! Requests and answers for `conformance/costs`. Built with `--cfg costs` only.

use std::sync::Arc;

use kv_api::{Clock, Metadata, Result, SystemClock, Timestamp, Value, Write};
use kv_remote::Redaction;
use kv_remote::http::{self, Answer, Url, malformed};

use crate::wire::{Found, Item, Reply, Requests};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

/// Makes requests and reads answers.
#[derive(Debug)]
pub struct Wire {
    requests: Requests,
    clock: Arc<dyn Clock>,
}

impl Wire {
    pub fn new() -> Result<Self> {
        let base = Url::parse("https://api.puter.com").map_err(|_| malformed("no URL"))?;
        Ok(Self { requests: Requests::new(&base, None)?, clock: Arc::new(SystemClock) })
    }

    #[must_use]
    pub fn get(&self, key: &str) -> http::Request {
        self.requests.get(key).http
    }

    #[must_use]
    pub fn get_many(&self, keys: &[&str]) -> http::Request {
        self.requests.get_many(keys.iter().copied()).http
    }

    #[must_use]
    pub fn set(&self, write: &Write<'_>) -> http::Request {
        self.requests.set(&Item::of(write), NOW).http
    }

    #[must_use]
    pub fn set_many(&self, writes: &[Write<'_>]) -> http::Request {
        let items: Vec<Item<'_>> = writes.iter().map(Item::of).collect();
        self.requests.batch_put(&items, NOW).http
    }

    fn reply(&self, answer: Answer) -> Reply {
        Reply { answer, redaction: Redaction::Everything, clock: Arc::clone(&self.clock) }
    }

    pub fn found(&self, answer: Answer) -> Result<Option<(Value, Option<Metadata>)>> {
        Ok(self.reply(answer).value()?.map(content))
    }

    #[allow(clippy::type_complexity, reason = "it is only counted")]
    pub fn found_many(&self, answer: Answer, keys: &[String]) -> Result<Vec<Option<(Value, Option<Metadata>)>>> {
        Ok(self.reply(answer).values(keys)?.into_iter().map(|found| found.map(content)).collect())
    }

    pub fn done(&self, answer: Answer) -> Result<()> {
        self.reply(answer).done()
    }

    pub fn page(&self, answer: Answer) -> Result<(Vec<String>, Option<String>)> {
        self.reply(answer).page()
    }
}

fn content(found: Found) -> (Value, Option<Metadata>) {
    (found.value, found.metadata)
}
