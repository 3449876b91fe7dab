//! The store.

use std::fmt;
use std::sync::Arc;

use futures_util::future::{self, BoxFuture};
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use kv_api::{
    Backend, Capabilities, Clock, Delete, DeleteMany, DeleteOutcome, Entry, EntryExpiry, Error, Expire, Expiry,
    Increment, ListItem, ListPage, Method, Methods, RawPage, Read, ReadMany, Result, Retry, SetOutcome, SetStatus,
    Write, WriteMany, async_trait,
};
use kv_remote::{BulkAnswer, BulkLimits, Call, Idempotency, ListPosition, look_then_write, send_bulk};

use crate::capabilities::{CAPABILITIES, GET_KEYS_MAX, KEY_BYTES_MAX, LIST_PAGE_MAX};
use crate::client::Client;
use crate::config::PuterConfig;
use crate::counter::Counter;
use crate::wire::{
    BODY_BYTES_MAX, BULK_FRAME_BYTES, Found, Item, Pattern, Reply, UPSTREAM_BAD_REQUEST, expires_at, has_code,
};

/// The entries of one user of Puter, or of one app of the user.
pub struct PuterStore {
    client: Client,
    bulk: BulkLimits,
    capabilities: Capabilities,
    scope: String,
}

impl PuterStore {
    /// Checks the settings and sends nothing (LIFE-1): [`ping`](kv_api::Store::ping) proves address, token and app.
    ///
    /// # Errors
    /// `Unauthorized` when the token cannot stand in a header; `InvalidArgument` for an address to connect to beside an
    /// origin whose host is an address; `Internal` when TLS cannot be set up.
    pub fn open(config: PuterConfig) -> Result<Self> {
        let (items_max, scope) = (config.batch_items_max, config.scope());
        let bulk = BulkLimits { items_max, bytes_max: BODY_BYTES_MAX, frame_bytes: 0, separator_bytes: 0 };
        let capabilities = CAPABILITIES.clone().with_bulk_items(items_max, GET_KEYS_MAX);
        Ok(Self { client: Client::new(config)?, bulk, capabilities, scope })
    }

    async fn get(&self, call: &Call<'_>, key: &str) -> Result<Option<Found>> {
        self.client.ask(call, self.client.requests.get(key), Reply::value).await
    }

    /// The values of at most [`GET_KEYS_MAX`] keys, in their order. Where they come to more than the storage reads at
    /// once, or it is busy, the system says null of keys that are there, so that each null is asked for once more by
    /// itself.
    async fn get_chunk(&self, call: &Call<'_>, keys: &[&str]) -> Result<Vec<Option<Found>>> {
        if let [key] = keys {
            return Ok(vec![self.get(call, key).await.map_err(|error| error.with_key(key))?]);
        }
        let request = self.client.requests.get_many(keys.iter().copied());
        let asked: Arc<[String]> = keys.iter().copied().map(str::to_owned).collect();
        let found = self.client.ask(call, request, move |reply| reply.values(&asked)).await?;
        let slots = keys.iter().zip(found).map(|(key, found)| -> BoxFuture<'_, _> {
            match found {
                Some(found) => future::ready(Ok(Some(found))).boxed(),
                None => self.get(call, key).map_err(|error| error.with_key(key)).boxed(),
            }
        });
        self.client.remote.in_window(slots).try_collect().await
    }

    async fn set(&self, call: &Call<'_>, idempotency: Idempotency, item: &Item<'_>) -> Result<()> {
        let request = || self.client.requests.set(item, self.clock().now());
        self.client.send(call, idempotency, request, Reply::done).await
    }

    /// The system knows no conditions, so another process may come between look and write (SET-6).
    async fn write_one(&self, call: &Call<'_>, write: &Write<'_>) -> Result<SetOutcome> {
        let item = Item::of(write);
        let look = || async { Ok(self.get(call, write.key()).await?.is_some()) };
        let set = |idempotency| self.set(call, idempotency, &item);
        look_then_write(call, write.key(), write.condition(), look, set).await
    }

    /// Writes the items at these positions in one request. The system looks at all of them before it writes any; what
    /// its storage refuses after that may have been preceded by others, unless it was alone.
    async fn put(&self, call: &Call<'_>, items: &[Item<'_>], group: &[usize]) -> Result<()> {
        let _turn = call.share_keys(group.iter().map(|item| items[*item].key)).await?;
        let request = || {
            let now = self.clock().now();
            match *group {
                [item] => self.client.requests.set(&items[item], now),
                _ => self.client.requests.batch_put(group.iter().map(|item| &items[*item]), now),
            }
        };
        let is_storage = |error: &Error| has_code(error, UPSTREAM_BAD_REQUEST);
        let done = self.client.send_until(call, Idempotency::Idempotent, request, Reply::done, is_storage).await?;
        done.map_err(|error| if group.len() > 1 { error.with_retry(Retry::OutcomeUnknown) } else { error })
    }

    /// One result for each of the unconditional `items`, in order (BATCH-3, BATCH-5, BATCH-6).
    async fn put_all(&self, call: &Call<'_>, items: &[Item<'_>]) -> Vec<Result<SetOutcome>> {
        let plan = self.bulk.plan(items.iter().map(|item| (item.bytes_max() + BULK_FRAME_BYTES) as u64));
        send_bulk(call, plan, self.client.remote.requests_max(), |group: Vec<usize>| async move {
            match self.put(call, items, &group).await {
                Ok(()) => {
                    let stored = |item| (item, Ok(SetOutcome::new(SetStatus::Stored)));
                    BulkAnswer { known: group.into_iter().map(stored).collect(), rest: None }
                }
                Err(error) => BulkAnswer::refused(error),
            }
        })
        .await
    }

    async fn delete_one(&self, call: &Call<'_>, key: &str) -> Result<DeleteOutcome> {
        let _turn = call.share_keys([key]).await?;
        let request = self.client.requests.del(key);
        self.client.send(call, Idempotency::Idempotent, || request.clone(), Reply::done).await?;
        Ok(DeleteOutcome::Accepted)
    }
}

/// No operation of the system reports an expiry.
fn entry(found: Found) -> Entry {
    Entry::with_details(found.value, found.metadata, EntryExpiry::Unknown, None)
}

#[async_trait]
impl Backend for PuterStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn methods(&self) -> Methods {
        Methods::NONE
            .with(Method::ReadMany)
            .with(Method::WriteMany)
            .with(Method::List)
            .with(Method::Increment)
            .with(Method::Expire)
    }

    fn scope(&self) -> &str {
        &self.scope
    }

    fn clock(&self) -> &dyn Clock {
        self.client.remote.clock()
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let found = self.get(&self.client.remote.call(), read.key()).await?;
        Ok(found.map(entry))
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let call = self.client.remote.call();
        let keys: Vec<&str> = reads.keys().iter().map(|key| &**key).collect();
        let chunks = keys.chunks(GET_KEYS_MAX).map(|chunk| self.get_chunk(&call, chunk).boxed());
        let found: Vec<Option<Found>> = self.client.remote.in_window(chunks).try_concat().await?;
        Ok(found.into_iter().map(|found| found.map(entry)).collect())
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.write_one(&self.client.remote.call(), &write).await
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let call = self.client.remote.call();
        let writes = writes.writes();
        let (bulk, single): (Vec<usize>, Vec<usize>) =
            (0..writes.len()).partition(|index| writes[*index].is_unconditional());
        let items: Vec<Item<'_>> = bulk.iter().map(|index| Item::of(&writes[*index])).collect();
        let singly = single.iter().map(|index| self.write_one(&call, &writes[*index]).boxed());
        let singly = self.client.remote.in_window(singly).collect::<Vec<_>>();
        let (bulk_results, single_results) = future::join(self.put_all(&call, &items), singly).await;
        let mut results: Vec<_> =
            bulk.into_iter().zip(bulk_results).chain(single.into_iter().zip(single_results)).collect();
        results.sort_unstable_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.delete_one(&self.client.remote.call(), delete.key()).await
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let call = self.client.remote.call();
        let singly = deletes.keys().iter().map(|key| self.delete_one(&call, key).boxed());
        self.client.remote.in_window(singly).collect().await
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let position = page.position().map(ListPosition::decode).transpose()?.unwrap_or_default();
        let (prefix, limit) = (page.prefix(), page.limit().get());
        if prefix.len() > KEY_BYTES_MAX {
            return Ok(RawPage::default()); // longer than any key, and refused by the storage
        }
        let pattern = Pattern::of(prefix);
        // Where the pattern says more than the prefix, few of the keys may be wanted.
        let is_wider = pattern == Pattern::All && !prefix.is_empty();
        let asked = if is_wider { LIST_PAGE_MAX } else { limit };
        let request = self.client.requests.list(pattern, asked, position.cursor());
        let call = self.client.remote.call();
        let (mut keys, next) =
            self.client.ask(&call, request, Reply::page).await.map_err(|error| position.explain(error))?;
        // The order is that of bytes: after a key that begins with greater ones than the prefix none begins with it.
        let is_past = keys.last().is_some_and(|last| last.bytes().take(prefix.len()).gt(prefix.bytes()));
        keys.retain(|key| key.starts_with(prefix));
        let next = position.cut(&mut keys, |key| key, limit, next.filter(|_| !is_past))?;
        Ok(RawPage::new(keys.into_iter().map(ListItem::new).collect(), next.map(|next| next.encode()).transpose()?))
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        let call = self.client.remote.call();
        Counter { client: &self.client, call: &call, increment: &increment }.count().await
    }

    /// Looks, then writes: the system would create an entry that is missing, and revive one that has expired. A number
    /// is written anew, into its envelope or out of it (CNT-2), and so is every value whose expiry is taken away, for
    /// which the system has nothing else.
    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        let call = self.client.remote.call();
        let key = expire.key();
        let _turn = call.lock_key(key).await?;
        let Some(found) = self.get(&call, key).await? else { return Ok(false) };
        if found.is_plain_number || expire.expiry() == Expiry::Never {
            let item = Item::new(key, &found.value, found.metadata.as_ref(), expire.expiry());
            self.set(&call, Idempotency::NonIdempotent, &item).await?;
        } else {
            let request = || {
                // There is one, as it is not never.
                let seconds = expires_at(expire.expiry(), self.clock().now()).unwrap_or(i64::MAX);
                self.client.requests.expire_at(key, seconds)
            };
            self.client.send(&call, Idempotency::NonIdempotent, request, Reply::expired).await?;
        }
        Ok(true)
    }

    async fn ping(&self) -> Result<()> {
        let request = self.client.requests.list(Pattern::All, 1, None);
        self.client.ask(&self.client.remote.call(), request, Reply::page).await.map(drop)
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Shows no token, and no scope, whose base URL may hold one.
impl fmt::Debug for PuterStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PuterStore").field("batch_items_max", &self.bulk.items_max).finish_non_exhaustive()
    }
}
