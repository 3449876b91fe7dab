//! Requests and answers for `conformance/costs`. Built with `--cfg costs` only.

use std::sync::Arc;

use kv_api::{EntryExpiry, ListItem, Result, SystemClock, Timestamp, Value, Write};
use kv_remote::Redaction;
use kv_remote::http::{Answer, Request, Url, malformed};

use crate::wire::{Answers, Out, Requests, item_bytes, joined, write_item};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

/// Makes requests and reads answers.
#[allow(missing_debug_implementations, reason = "the addresses in it are not shown")]
pub struct Wire {
    requests: Requests,
    answers: Answers,
}

impl Wire {
    pub fn new() -> Result<Self> {
        let base = Url::parse("https://api.cloudflare.com/client/v4").map_err(|_| malformed("no URL"))?;
        let id = "0f2ac74b498b48028cb68387c421e279";
        let answers = Answers { clock: Arc::new(SystemClock), redaction: Redaction::Everything };
        Ok(Self { requests: Requests::new(&base, id, id)?, answers })
    }

    pub fn get(&self, key: &str) -> Result<Request> {
        self.requests.bulk_get(&[key])
    }

    pub fn get_many(&self, keys: &[&str]) -> Result<Request> {
        self.requests.bulk_get(keys)
    }

    pub fn set(&self, write: &Write<'_>) -> Result<Request> {
        self.requests.put_value(write.key(), write.value(), write.metadata(), write.expiry(), NOW)
    }

    pub fn set_many(&self, writes: &[Write<'_>]) -> Result<Request> {
        let write = |at: usize, out: &mut dyn Out| write_item(&writes[at], NOW, out);
        let sizes: Result<Vec<u64>> = (0..writes.len()).map(|at| item_bytes(|out| write(at, out))).collect();
        let bytes = sizes?.into_iter().map(|bytes| bytes + 1).sum::<u64>() + 2;
        let bytes = usize::try_from(bytes).unwrap_or_default();
        let body = joined(0..writes.len(), bytes, write)?;
        self.requests.bulk_put(body, writes.len())
    }

    #[allow(clippy::type_complexity, reason = "it is only counted")]
    pub fn found(&self, answer: &Answer, keys: &[String]) -> Result<Vec<Option<(Option<Value>, EntryExpiry)>>> {
        let reported = self.answers.bulk_get(answer, keys)?.into_iter();
        Ok(reported.map(|found| found.flatten().map(|mut found| (found.value(), found.expiry))).collect())
    }

    pub fn done(&self, answer: &Answer) -> Result<()> {
        self.answers.done(answer)
    }

    pub fn done_many(&self, answer: &Answer, asked: usize) -> Result<Vec<String>> {
        self.answers.unsuccessful(answer, asked)
    }

    pub fn page(&self, answer: &Answer, limit: usize) -> Result<(Vec<ListItem>, Option<String>)> {
        self.answers.page(answer, "", limit)
    }
}
