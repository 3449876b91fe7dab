//! Writes and deletes of many entries: bulk requests, and what became of each item (BATCH-3, BATCH-5, BATCH-6).

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use kv_api::{Error, ErrorKind, Result};
use kv_remote::http::{Answer, Request, malformed};
use kv_remote::{BulkAnswer, BulkLimits, Call, Idempotency, Redaction, send_bulk};

use crate::client::Client;
use crate::wire::{Answers, BULK_LIMITS, Out, item_bytes, joined};

/// How many bulk requests of one batch are under way at once. Each holds a body of up to 100 MB.
const BODIES_MAX: usize = 4;

/// Items that are sent in bulk, each with a key of its own.
pub(crate) struct Bulk<'a> {
    pub(crate) keys: Vec<&'a str>,
    /// Writes an item into the body.
    pub(crate) write: &'a (dyn Fn(usize, &mut dyn Out) -> Result<()> + Send + Sync),
    /// The request for so many items, with a body.
    pub(crate) request: &'a (dyn Fn(Bytes, usize) -> Result<Request> + Send + Sync),
    pub(crate) redaction: Redaction,
}

impl Bulk<'_> {
    /// One result for each item, in order.
    pub(crate) async fn send(&self, client: &Client, call: &Call<'_>) -> Vec<Result<()>> {
        let sizes: Result<Vec<u64>> =
            (0..self.keys.len()).map(|item| item_bytes(|out| (self.write)(item, out))).collect();
        let sizes = match sizes {
            Ok(sizes) => sizes,
            Err(error) => return vec![Err(error); self.keys.len()],
        };
        let plan = BULK_LIMITS.plan(sizes.iter().copied());
        send_bulk(call, plan, BODIES_MAX, |items| self.send_request(client, call, &sizes, items)).await
    }

    /// Sends the items of one request, and those that the service left out again, as the policy allows.
    async fn send_request(&self, client: &Client, call: &Call<'_>, sizes: &[u64], items: Vec<usize>) -> BulkAnswer<()> {
        // No call that decides by a look comes in between (SET-6).
        let _turn = match call.share_keys(items.iter().map(|item| self.keys[*item])).await {
            Ok(turn) => turn,
            Err(error) => return BulkAnswer::refused(error),
        };
        let left = Mutex::new(items.clone());
        let lock = || left.lock().unwrap_or_else(PoisonError::into_inner);
        // The body is made when there is room for it.
        let send = |items: Vec<usize>, body_bytes| async move {
            let count = items.len();
            let body = joined(items.iter().copied(), body_bytes, self.write)?;
            let received = client.http.send((self.request)(body, count)?).await?;
            let read = move |answers: &Answers, answer: &Answer| answers.unsuccessful(answer, count);
            let named = client.read_answer(received, self.redaction.clone(), read).await?;
            if named.is_empty() {
                return Ok(());
            }
            let set: HashSet<&str> = named.iter().map(String::as_str).collect();
            let again: Vec<usize> = items.iter().copied().filter(|item| set.contains(self.keys[*item])).collect();
            if again.len() != named.len() {
                return Err(malformed("the service names other keys than those it was asked about"));
            }
            *lock() = again;
            Err(Error::new(ErrorKind::Unavailable, "the service carried out a bulk request, but not for this key"))
        };
        let attempt = || {
            let items = lock().clone();
            let body_bytes = body_bytes(&items, sizes);
            (body_bytes, send(items, body_bytes))
        };
        let result = call.send_body(Idempotency::Idempotent, attempt).await;
        let left = match &result {
            Ok(_) => Vec::new(),
            Err(_) => left.into_inner().unwrap_or_else(PoisonError::into_inner),
        };
        // What was left out of an answer whose figures agree was carried out.
        let written = items.into_iter().filter(|item| left.binary_search(item).is_err());
        BulkAnswer { known: written.map(|item| (item, Ok(()))).collect(), rest: result.err() }
    }
}

/// How long the body of these items is.
fn body_bytes(items: &[usize], sizes: &[u64]) -> usize {
    let BulkLimits { frame_bytes, separator_bytes, .. } = BULK_LIMITS;
    let bytes = items.iter().fold(frame_bytes, |bytes, item| bytes + sizes[*item] + separator_bytes);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
