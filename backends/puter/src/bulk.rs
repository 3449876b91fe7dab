//! Unconditional writes of many entries: `batchPut`, and what became of each item (BATCH-3, BATCH-5, BATCH-6).

use futures_util::{FutureExt, StreamExt};
use kv_api::{Error, ErrorKind, Result, Retry};
use kv_remote::{Call, Idempotency, rejected_batch_item};

use crate::client::{Carries, Client};
use crate::wire::{BODY_BYTES_MAX, Item, UPSTREAM_BAD_REQUEST, has_code, split};

/// How often the items of a refused request are divided to find those that the system does not like. One among 250 takes 8; a
/// request whose items are all refused must not become 500 requests.
const DIVISIONS_MAX: usize = 32;

/// What failed of some items: the position of each, and why.
type Failed = Vec<(usize, Error)>;

/// One result for each of `items`, in order.
pub(crate) async fn put(client: &Client, call: &Call<'_>, items: &[Item], items_max: usize) -> Vec<Result<()>> {
    let lengths: Vec<usize> = items.iter().map(Item::bytes_max).collect();
    let groups = split(&lengths, items_max, BODY_BYTES_MAX);
    let calls = groups.into_iter().map(|group| put_group(client, call, items, group.collect()).boxed());
    let failed: Vec<Failed> = client.remote.in_window(calls).collect().await;
    let mut results: Vec<Result<()>> = items.iter().map(|_| Ok(())).collect();
    for (item, error) in failed.into_iter().flatten() {
        results[item] = Err(error);
    }
    results
}

/// What failed of the items of one request. Refused as a whole, it is divided, so that an item that the system does not like
/// fails alone (BATCH-3).
async fn put_group(client: &Client, call: &Call<'_>, items: &[Item], group: Vec<usize>) -> Failed {
    let mut failed = Vec::new();
    // With each, whether a request that its items were in may have been carried out in part.
    let mut groups = vec![(group, false)];
    let mut divisions = 0;
    while let Some((mut group, maybe_applied)) = groups.pop() {
        let Err(error) = put_items(client, call, items, &group).await else { continue };
        let maybe_applied = maybe_applied || error.retry() == Retry::OutcomeUnknown;
        let error = if maybe_applied { error.with_retry(Retry::OutcomeUnknown) } else { error };
        let is_together = error.kind() == ErrorKind::InvalidArgument && group.len() > 1;
        // To divide what may have been written is to write it again.
        let may_divide = !maybe_applied || call.allows(Idempotency::Idempotent, &error);
        if is_together && may_divide && divisions < DIVISIONS_MAX {
            divisions += 1;
            groups.push((group.split_off(group.len() / 2), maybe_applied));
            groups.push((group, maybe_applied));
            continue;
        }
        let error = if is_together { rejected_batch_item(error) } else { error };
        failed.extend(group.into_iter().map(|item| (item, error.clone())));
    }
    failed
}

/// Sends the items of one request. The system looks at all of them before it writes any; what its storage refuses after that
/// may have been preceded by others, unless there are none.
async fn put_items(client: &Client, call: &Call<'_>, items: &[Item], group: &[usize]) -> Result<()> {
    let request = || {
        let now = client.remote.clock().now();
        match *group {
            [item] => client.requests.set(&items[item], now),
            _ => client.requests.batch_put(group.iter().map(|item| &items[*item]), now),
        }
    };
    let is_storage = |error: &Error| has_code(error, UPSTREAM_BAD_REQUEST);
    let done = client
        .send_until(call, Idempotency::Idempotent, request, Carries::Values, |reply| reply.done(), is_storage)
        .await?;
    done.map_err(|error| if group.len() > 1 { error.with_retry(Retry::OutcomeUnknown) } else { error })
}
