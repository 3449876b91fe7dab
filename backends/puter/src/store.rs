//! The store.

use std::fmt;

use futures_util::future::{self, BoxFuture};
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use kv_api::{
    Backend, Capabilities, Clock, Condition, Delete, DeleteMany, DeleteOutcome, Entry, EntryExpiry, Error, ErrorKind,
    Expire, Expiry, Fields, Increment, ListItem, ListPage, RawPage, Read, ReadMany, Reason, Result, SetOutcome,
    SetStatus, Write, WriteMany, async_trait,
};
use kv_remote::{Call, Idempotency, as_not_applied};

use crate::bulk;
use crate::capabilities::{CAPABILITIES, KEY_BYTES_MAX, LIST_PAGE_MAX};
use crate::client::{Carries, Client};
use crate::config::PuterConfig;
use crate::counter::Counters;
use crate::wire::{Found, Item, Pattern, expires_at};

/// The most keys of one get. The system asks its storage for as many at once.
const GET_KEYS_MAX: usize = 100;

/// The entries of one user of Puter, or of one app of the user.
pub struct PuterStore {
    client: Client,
    counters: Counters,
    batch_items_max: usize,
    scope: String,
}

impl PuterStore {
    /// Checks the settings and sends nothing (LIFE-1): [`ping`](kv_api::Store::ping) proves address, token and app.
    ///
    /// # Errors
    /// `Unauthorized` when the token cannot stand in a header; `InvalidArgument` for an address to connect to beside an origin
    /// whose host is an address; `Internal` when TLS cannot be set up.
    pub fn open(config: PuterConfig) -> Result<Self> {
        let (batch_items_max, scope) = (config.batch_items_max, config.scope());
        Ok(Self { client: Client::new(config)?, counters: Counters::default(), batch_items_max, scope })
    }

    async fn get(&self, call: &Call<'_>, key: &str) -> Result<Option<Found>> {
        self.client.ask(call, self.client.requests.get(key), |reply| reply.value()).await
    }

    /// The values of at most [`GET_KEYS_MAX`] keys, in their order. Where they come to more than the storage reads at once, or
    /// it is busy, the system says null of keys that are there, so that each null is asked for once more by itself.
    async fn get_chunk(&self, call: &Call<'_>, keys: &[&str]) -> Result<Vec<Option<Found>>> {
        if let [key] = keys {
            return Ok(vec![self.get(call, key).await.map_err(|error| error.with_key(key))?]);
        }
        let request = self.client.requests.get_many(keys.iter().copied());
        let found = self.client.ask(call, request, |reply| reply.values(keys)).await?;
        let slots = keys.iter().zip(found).map(|(key, found)| -> BoxFuture<'_, _> {
            match found {
                Some(found) => future::ready(Ok(Some(found))).boxed(),
                None => self.get(call, key).map_err(|error| error.with_key(key)).boxed(),
            }
        });
        self.client.remote.in_window(slots).try_collect().await
    }

    async fn set(&self, call: &Call<'_>, idempotency: Idempotency, item: &Item) -> Result<()> {
        let request = || self.client.requests.set(item, self.clock().now());
        self.client.send(call, idempotency, request, Carries::Values, |reply| reply.done()).await
    }

    /// Looks, then writes: the system knows no conditions, so another writer may come between (SET-6).
    async fn write_one(&self, call: &Call<'_>, write: &Write<'_>) -> Result<SetOutcome> {
        let (wanted, met) = match write.condition() {
            Condition::Always => {
                self.set(call, Idempotency::Idempotent, &Item::of(write)).await?;
                return Ok(SetOutcome::new(SetStatus::Stored));
            }
            Condition::IfNotExists => (false, SetStatus::Created),
            Condition::IfExists => (true, SetStatus::Updated),
            _ => return Err(Error::not_implemented("a condition")),
        };
        let exists = self.get(call, write.key()).await.map_err(as_not_applied)?.is_some();
        if exists != wanted {
            return Ok(SetOutcome::new(SetStatus::NotMet));
        }
        // Not repeated unless certainly not applied: the first attempt may have been the one that was carried out (SET-8).
        self.set(call, Idempotency::NonIdempotent, &Item::of(write)).await?;
        Ok(SetOutcome::new(met))
    }

    async fn delete_one(&self, call: &Call<'_>, key: &str) -> Result<DeleteOutcome> {
        let request = self.client.requests.del(key);
        self.client
            .send(call, Idempotency::Idempotent, || request.clone(), Carries::NoValue, |reply| reply.done())
            .await?;
        Ok(DeleteOutcome::Accepted)
    }
}

fn entry(found: Found, fields: Fields) -> Entry {
    match fields {
        Fields::Existence | Fields::Value => Entry::new(found.value),
        // No operation of the system tells an expiry.
        _ => Entry::with_details(found.value, found.metadata, EntryExpiry::Unknown, None),
    }
}

#[async_trait]
impl Backend for PuterStore {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn scope(&self) -> &str {
        &self.scope
    }

    fn clock(&self) -> &dyn Clock {
        self.client.remote.clock()
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let found = self.get(&self.client.remote.call(), read.key()).await?;
        Ok(found.map(|found| entry(found, read.fields())))
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let call = self.client.remote.call();
        let keys: Vec<&str> = reads.keys().iter().map(|key| &**key).collect();
        let chunks = keys.chunks(GET_KEYS_MAX).map(|chunk| self.get_chunk(&call, chunk).boxed());
        let found: Vec<Option<Found>> = self.client.remote.in_window(chunks).try_concat().await?;
        Ok(found.into_iter().map(|found| found.map(|found| entry(found, reads.fields()))).collect())
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.write_one(&self.client.remote.call(), &write).await
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let call = self.client.remote.call();
        let writes = writes.writes();
        let (bulk, single): (Vec<usize>, Vec<usize>) =
            (0..writes.len()).partition(|index| *writes[*index].condition() == Condition::Always);
        let items: Vec<Item> = bulk.iter().map(|index| Item::of(&writes[*index])).collect();
        let singly = single.iter().map(|index| self.write_one(&call, &writes[*index]).boxed());
        let (bulk_results, single_results) = future::join(
            bulk::put(&self.client, &call, &items, self.batch_items_max),
            self.client.remote.in_window(singly).collect::<Vec<_>>(),
        )
        .await;
        let stored = bulk_results.into_iter().map(|result| result.map(|()| SetOutcome::new(SetStatus::Stored)));
        let mut results: Vec<_> = bulk.into_iter().zip(stored).chain(single.into_iter().zip(single_results)).collect();
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
        let position = page.position().map(Position::decode).transpose()?.unwrap_or_default();
        let (prefix, limit) = (page.prefix(), page.limit().get());
        if prefix.len() > KEY_BYTES_MAX {
            return Ok(RawPage::default()); // longer than any key, and refused by the storage
        }
        let pattern = Pattern::of(prefix);
        // Where the pattern says more than the prefix, few of the keys may be wanted.
        let is_wider = pattern == Pattern::All && !prefix.is_empty();
        let asked = if is_wider { LIST_PAGE_MAX } else { limit };
        let request = self.client.requests.list(pattern, asked, position.cursor.as_deref());
        let call = self.client.remote.call();
        let (mut keys, cursor) = self.client.ask(&call, request, |reply| reply.page()).await.map_err(|error| {
            // Everything else in the request is known to be acceptable.
            if error.kind() == ErrorKind::InvalidArgument && position.cursor.is_some() {
                error.with_reason(Reason::CursorInvalid)
            } else {
                error
            }
        })?;
        // The order is that of bytes: after a greater key that does not begin with the prefix none does.
        let is_past = keys.last().is_some_and(|last| **last > *prefix && !last.starts_with(prefix));
        keys.retain(|key| key.starts_with(prefix) && position.after.as_ref().is_none_or(|after| key > after));
        let is_cut = keys.len() > limit;
        keys.truncate(limit);
        let next = match cursor {
            _ if is_cut => keys.last().map(|last| Position { after: Some(last.clone()), ..position }),
            Some(cursor) if !is_past => Some(Position { cursor: Some(cursor), ..position }),
            _ => None,
        };
        Ok(RawPage::new(keys.into_iter().map(ListItem::new).collect(), next.map(|next| next.encode()).transpose()?))
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        self.counters.increment(&self.client, &self.client.remote.call(), &increment).await
    }

    /// Looks, then writes: the system would create an entry that is missing, and revive one that has expired. A number is
    /// written anew, into its envelope or out of it (CNT-2), and every value is to make it stay for good, for which the system
    /// has nothing else.
    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        let call = self.client.remote.call();
        let key = expire.key();
        let Some(found) = self.get(&call, key).await.map_err(as_not_applied)? else { return Ok(false) };
        if found.is_plain_number || expire.expiry() == Expiry::Never {
            let item = Item::new(key, &found.value, found.metadata.as_ref(), expire.expiry());
            self.set(&call, Idempotency::NonIdempotent, &item).await?;
        } else {
            let request = || {
                // There is one, as it is not never.
                let seconds = expires_at(expire.expiry(), self.clock().now()).unwrap_or(i64::MAX);
                self.client.requests.expire_at(key, seconds)
            };
            self.client
                .send(&call, Idempotency::NonIdempotent, request, Carries::NoValue, |reply| reply.expired())
                .await?;
        }
        Ok(true)
    }

    async fn ping(&self) -> Result<()> {
        let request = self.client.requests.list(Pattern::All, 1, None);
        self.client.ask(&self.client.remote.call(), request, |reply| reply.page()).await.map(drop)
    }
}

/// Shows no token, and no scope, in whose base URL somebody may have put one.
impl fmt::Debug for PuterStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PuterStore").field("batch_items_max", &self.batch_items_max).finish_non_exhaustive()
    }
}

/// Where a list goes on: the page that the system's cursor begins, and the last key that was handed out of a page of which not
/// all were wanted. It is remembered on later pages too, as keys that are new may push others onto them (LIST-2).
#[derive(Clone, Debug, Default, PartialEq)]
struct Position {
    /// `None` for the first page.
    cursor: Option<String>,
    after: Option<String>,
}

impl Position {
    fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&(&self.cursor, &self.after))
            .map_err(|error| Error::new(ErrorKind::Internal, "a position cannot be written").with_source(error))
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (cursor, after) = serde_json::from_slice(bytes)
            .map_err(|_| Error::invalid(Reason::CursorInvalid, "the cursor is not one of this store"))?;
        Ok(Self { cursor, after })
    }
}
