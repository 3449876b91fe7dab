//! Writes and deletes of many entries: bulk requests, and what became of each item (BATCH-3, BATCH-5, BATCH-6).

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use kv_api::{Error, ErrorKind, Result, Retry};
use kv_remote::http::{Request, malformed};
use kv_remote::{Call, Idempotency, rejected_batch_item};

use crate::client::{Carries, Client};
use crate::wire::{Answers, BODY_BYTES_MAX, BULK_ITEMS_MAX, item_bytes, joined, split};

/// How many bulk requests of one batch are under way at once. Each holds a body of up to 100 MB.
const BODIES_MAX: usize = 4;

/// How often the items of a refused request are divided to find those that the service does not like. One among 10,000 takes
/// 14; a request whose items are all refused must not become 20,000 requests.
const DIVISIONS_MAX: usize = 32;

/// Items that are sent in bulk, each with a key of its own.
pub(crate) struct Bulk<'a> {
    pub(crate) keys: Vec<&'a str>,
    /// Writes an item into the body.
    pub(crate) write: &'a (dyn Fn(usize, &mut dyn io::Write) -> io::Result<()> + Send + Sync),
    /// The request with a body.
    pub(crate) request: &'a (dyn Fn(Bytes) -> Result<Request> + Send + Sync),
    pub(crate) carries: Carries,
}

impl Bulk<'_> {
    /// One result for each item, in order.
    pub(crate) async fn send(&self, client: &Client, call: &Call<'_>) -> Vec<Result<()>> {
        let sizes: io::Result<Vec<u64>> =
            (0..self.keys.len()).map(|item| item_bytes(|out| (self.write)(item, out))).collect();
        let requests = match sizes {
            Ok(sizes) => split(&sizes, BULK_ITEMS_MAX, BODY_BYTES_MAX),
            Err(error) => return vec![Err(unwritable(error)); self.keys.len()],
        };
        let calls = requests.into_iter().map(|items| self.send_group(client, call, items.collect()).boxed());
        // Boxed: see `Remote::in_window`.
        let failed: Vec<Vec<(usize, Error)>> = stream::iter(calls).buffered(BODIES_MAX).boxed().collect().await;
        let mut results = vec![Ok(()); self.keys.len()];
        for (item, error) in failed.into_iter().flatten() {
            results[item] = Err(error);
        }
        results
    }

    /// What failed of the items of one request. Refused as a whole, it is divided, so that an item that the service does not
    /// like fails alone (BATCH-3).
    async fn send_group(&self, client: &Client, call: &Call<'_>, items: Vec<usize>) -> Vec<(usize, Error)> {
        let mut failed = Vec::new();
        // With each, whether a request that its items were in may have been carried out.
        let mut groups = vec![(items, false)];
        let mut divisions = 0;
        while let Some((group, maybe_applied)) = groups.pop() {
            let Err((mut left, error)) = self.send_items(client, call, group).await else { continue };
            let maybe_applied = maybe_applied || error.retry() == Retry::OutcomeUnknown;
            let is_together = error.kind() == ErrorKind::InvalidArgument && left.len() > 1;
            if is_together && divisions < DIVISIONS_MAX {
                divisions += 1;
                groups.push((left.split_off(left.len() / 2), maybe_applied));
                groups.push((left, maybe_applied));
                continue;
            }
            let error = if is_together { rejected_batch_item(error) } else { error };
            let error = if maybe_applied { error.with_retry(Retry::OutcomeUnknown) } else { error };
            failed.extend(left.into_iter().map(|item| (item, error.clone())));
        }
        failed
    }

    /// Sends items, and those that the service left out again, as the policy allows; in the end, what is left, and why.
    async fn send_items(&self, client: &Client, call: &Call<'_>, items: Vec<usize>) -> Result<(), (Vec<usize>, Error)> {
        let left = Mutex::new(items);
        let lock = || left.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = || async {
            let items = lock().clone();
            let body = joined(items.iter().copied(), self.write).map_err(unwritable)?;
            let read = |answers: Answers<'_>, answer| answers.unsuccessful(&answer, items.len());
            let named = client.attempt((self.request)(body)?, self.carries, read).await?;
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
        let result = call.send(Idempotency::Idempotent, attempt).await;
        result.map(drop).map_err(|error| (left.into_inner().unwrap_or_else(PoisonError::into_inner), error))
    }
}

fn unwritable(error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, "the body of a bulk request cannot be written").with_source(error)
}
