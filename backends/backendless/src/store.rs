//! The store: the trait, in requests to one hive.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{self, BoxFuture};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use kv_api::{
    Backend, Capabilities, Clock, Condition, Delete, DeleteMany, DeleteOutcome, Entry, EntryExpiry, Error, ErrorKind,
    Expire, Expiry, Fields, Increment, ListItem, ListPage, Method, Methods, RawPage, Read, ReadMany, Reason, Result,
    Retry, SetOutcome, SetStatus, Timestamp, Value, Write, WriteMany, json_quoted,
};
use kv_remote::http::malformed;
use kv_remote::{BulkAnswer, BulkLimits, Call, Idempotency, send_bulk};

use crate::capabilities::CAPABILITIES;
use crate::client::Client;
use crate::config::BackendlessConfig;
use crate::counter::Counter;
use crate::wire::{Expiration, Found, Reply, Request, body_of_key, body_of_keys, body_of_members, decimal, member};

/// One hive of a Backendless application.
pub struct BackendlessStore {
    client: Client,
    bulk: BulkLimits,
    capabilities: Capabilities,
    scope: String,
}

impl BackendlessStore {
    /// Checks the settings and sends nothing (LIFE-1): [`ping`](kv_api::Store::ping) proves address, credentials and
    /// hive.
    ///
    /// # Errors
    /// `Unauthorized` when a user token cannot stand in a header; `Internal` when TLS cannot be set up.
    pub fn open(config: BackendlessConfig) -> Result<Self> {
        let (bulk, scope) = (config.bulk, config.scope());
        let capabilities = CAPABILITIES.clone().with_bulk_items(bulk.items_max, bulk.items_max);
        Ok(Self { client: Client::new(config)?, bulk, capabilities, scope })
    }

    /// The values of keys, in their order.
    async fn get<K: AsRef<str> + Sync>(&self, call: &Call<'_>, keys: &[K]) -> Result<Vec<Option<Found>>> {
        let texts: Vec<String> = keys.iter().map(|key| json_quoted(key.as_ref())).collect();
        let part = |range: Range<usize>| -> BoxFuture<'_, Result<Vec<Option<Found>>>> {
            let request = Request::get(body_of_keys(texts[range.clone()].iter().map(String::as_str)));
            let asked: Arc<[String]> = keys[range].iter().map(|key| key.as_ref().to_owned()).collect();
            Box::pin(self.client.ask(call, request, move |reply: Reply| reply.values(&asked)))
        };
        let parts = self.plan(&texts).into_iter().map(part);
        self.client.remote.in_window(parts).try_concat().await
    }

    async fn get_one(&self, call: &Call<'_>, key: &str) -> Result<Option<Found>> {
        let asked: Arc<[String]> = [key.to_owned()].into();
        let request = Request::get(body_of_key(key));
        let mut found = self.client.ask(call, request, move |reply: Reply| reply.values(&asked)).await?;
        Ok(found.pop().flatten())
    }

    /// The fewest bodies for items of these texts.
    fn plan(&self, items: &[String]) -> Vec<Range<usize>> {
        self.bulk.plan(items.iter().map(|item| item.len() as u64))
    }

    async fn exists(&self, call: &Call<'_>, key: &str) -> Result<bool> {
        Ok(self.client.ask(call, Request::exist(body_of_key(key)), |reply: Reply| reply.count(1)).await? == 1)
    }

    /// A found value with all that lies beside it; `None` when it has gone since.
    async fn with_details(&self, call: &Call<'_>, key: &str, found: Found) -> Result<Option<Entry>> {
        let (value, metadata) = found;
        // What another client put under such a key has no address of its own, and neither has its expiry.
        let expiry = if matches!(key, "" | "." | "..") {
            EntryExpiry::Unknown
        } else {
            match self.expiration(call, key).await? {
                Expiration::Missing => return Ok(None),
                Expiration::Never => EntryExpiry::Never,
                Expiration::Seconds(left) => EntryExpiry::At(self.expires_at(left)?),
            }
        };
        Ok(Some(Entry::with_details(value, metadata, expiry, None)))
    }

    async fn expiration(&self, call: &Call<'_>, key: &str) -> Result<Expiration> {
        self.client.ask(call, Request::expiration(key), Reply::expiration).await
    }

    /// The end of an entry that has so many whole seconds left. They may have been rounded down, so one more is added:
    /// never before the true time, and at most two after it (EXP-8).
    fn expires_at(&self, seconds_left: u64) -> Result<Timestamp> {
        let left = Duration::from_secs(seconds_left.saturating_add(1));
        self.clock().now().checked_add(left).ok_or_else(|| malformed("an expiry beyond all times"))
    }

    /// Sets members of one body.
    async fn set_bulk(&self, call: &Call<'_>, body: Bytes) -> Result<SetOutcome> {
        self.client.send(call, Idempotency::Idempotent, Request::set(body), Reply::done).await?;
        Ok(SetOutcome::new(SetStatus::Stored))
    }

    /// Sets one value with its options.
    async fn set_one(&self, call: &Call<'_>, write: &Write<'_>) -> Result<SetOutcome> {
        let (idempotency, met) = match write.condition() {
            Condition::Always => (Idempotency::Idempotent, SetStatus::Stored),
            Condition::IfNotExists => (Idempotency::NonIdempotent, SetStatus::Created),
            _ => (Idempotency::NonIdempotent, SetStatus::Updated),
        };
        let read = move |reply: Reply| match reply.flag()? {
            true => Ok(met),
            false if idempotency == Idempotency::NonIdempotent => Ok(SetStatus::NotMet),
            false => Err(malformed("a set without condition was not done")),
        };
        Ok(self.client.send(call, idempotency, Request::set_one(write)?, read).await?.set_outcome())
    }

    /// Deletes the keys of one body.
    async fn delete_bulk(&self, call: &Call<'_>, keys: usize, body: Bytes) -> Result<DeleteOutcome> {
        let read = move |reply: Reply| {
            // One count for all.
            Ok(match reply.count(keys)? {
                0 => DeleteOutcome::NotFound,
                count if count == keys => DeleteOutcome::Deleted,
                _ => DeleteOutcome::Accepted,
            })
        };
        Ok(self.client.send(call, Idempotency::Idempotent, Request::delete(body), read).await?.delete_outcome())
    }
}

/// The system's refusal of a request that is right wherever it goes to the right place.
fn misplaced(refusal: &Error) -> Error {
    let message = format!("no such application, API key or hive, or not open to us; {}", refusal.message());
    let error = Error::new(ErrorKind::Misconfigured, message);
    match refusal.native_code() {
        Some(code) => error.with_native_code(code),
        None => error,
    }
}

/// Without the scope, whose base URL may hold a secret.
impl fmt::Debug for BackendlessStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendlessStore").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Whether all that is asked for is in what a bulk set can carry.
fn is_plain(write: &Write<'_>) -> bool {
    write.is_unconditional() && write.expiry() == Expiry::Never
}

/// Sends planned bodies of keys or members, and gives one result for each, in order (BATCH-6).
async fn send_bodies<T: Clone + Send, F: Future<Output = Result<T>> + Send>(
    client: &Client,
    call: &Call<'_>,
    plan: Vec<Range<usize>>,
    send: impl Fn(&[usize]) -> F + Send + Sync,
) -> Vec<Result<T>> {
    let send = &send;
    send_bulk(call, plan, client.remote.requests_max(), |items: Vec<usize>| async move {
        match send(&items).await {
            // One answer for all.
            Ok(done) => {
                BulkAnswer { known: items.into_iter().map(|item| (item, Ok(done.clone()))).collect(), rest: None }
            }
            Err(error) => BulkAnswer::refused(error),
        }
    })
    .await
}

#[async_trait]
impl Backend for BackendlessStore {
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
        let call = self.client.remote.call();
        let key = read.key();
        match read.fields() {
            Fields::Existence => Ok(self.exists(&call, key).await?.then(|| Entry::new(Value::from("")))),
            Fields::Value => Ok(self.get_one(&call, key).await?.map(|(value, _)| Entry::new(value))),
            _ => match self.get_one(&call, key).await? {
                Some(found) => self.with_details(&call, key, found).await,
                None => Ok(None),
            },
        }
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        let call = self.client.remote.call();
        if is_plain(&write) {
            self.set_bulk(&call, body_of_members([member(&write).as_str()])).await
        } else {
            self.set_one(&call, &write).await
        }
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        let call = self.client.remote.call();
        self.delete_bulk(&call, 1, body_of_key(delete.key())).await
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let call = self.client.remote.call();
        let found = self.get(&call, reads.keys()).await?;
        if matches!(reads.fields(), Fields::Existence | Fields::Value) {
            return Ok(found.into_iter().map(|found| found.map(|(value, _)| Entry::new(value))).collect());
        }
        let details = |(key, found): (_, Option<Found>)| -> BoxFuture<'_, Result<Option<Entry>>> {
            match found {
                Some(found) => Box::pin(self.with_details(&call, key, found)),
                None => Box::pin(std::future::ready(Ok(None))),
            }
        };
        let entries = reads.keys().iter().map(|key| &**key).zip(found).map(details);
        self.client.remote.in_window(entries).try_collect().await
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let call = self.client.remote.call();
        let writes = writes.writes();
        let (plain, single): (Vec<usize>, Vec<usize>) = (0..writes.len()).partition(|at| is_plain(&writes[*at]));
        let members: Vec<String> = plain.iter().map(|at| member(&writes[*at])).collect();
        let together = send_bodies(&self.client, &call, self.plan(&members), |items: &[usize]| {
            self.set_bulk(&call, body_of_members(items.iter().map(|item| members[*item].as_str())))
        });
        let singly = single.iter().map(|at| self.set_one(&call, &writes[*at]).boxed());
        let singly = self.client.remote.in_window(singly).collect::<Vec<_>>();
        let (together, singly) = future::join(together, singly).await;
        let mut results: Vec<_> = plain.into_iter().zip(together).chain(single.into_iter().zip(singly)).collect();
        results.sort_unstable_by_key(|(at, _)| *at);
        results.into_iter().map(|(_, result)| result).collect()
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let call = self.client.remote.call();
        let keys: Vec<String> = deletes.keys().iter().map(|key| json_quoted(key)).collect();
        send_bodies(&self.client, &call, self.plan(&keys), |items: &[usize]| {
            self.delete_bulk(&call, items.len(), body_of_keys(items.iter().map(|item| keys[*item].as_str())))
        })
        .await
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let cursor = match page.position() {
            None => 0,
            Some(position) => decimal(position).ok_or_else(|| {
                Error::invalid(Reason::CursorInvalid, "the cursor does not hold a place in a list of keys")
            })?,
        };
        let call = self.client.remote.call();
        let request = Request::keys(&page, cursor);
        let prefix = page.prefix().to_owned();
        let (keys, next) = self.client.ask(&call, request, move |reply: Reply| reply.page(&prefix)).await?;
        if next.is_some_and(|next| next == cursor) {
            return Err(malformed("the cursor of the next page is that of this page").with_retry(Retry::Safe));
        }
        let items = keys.into_iter().map(ListItem::new).collect();
        Ok(RawPage::new(items, next.map(|next| next.to_string().into_bytes())))
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        let call = self.client.remote.call();
        Counter { client: &self.client, call: &call, increment: &increment }.count().await
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        let call = self.client.remote.call();
        let request = Request::expire(&expire)?;
        let clears = expire.expiry() == Expiry::Never;
        Ok(self
            .client
            .send(&call, Idempotency::NonIdempotent, request, move |reply: Reply| reply.expired(clears))
            .await?
            .answer)
    }

    async fn ping(&self) -> Result<()> {
        let call = self.client.remote.call();
        match self.client.ask(&call, Request::ping(), |reply: Reply| reply.page("").map(drop)).await {
            Ok(_) => Ok(()),
            // The request is always the same, so what is wrong with it is where it goes.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::Misconfigured) => {
                Err(misplaced(&error))
            }
            Err(error) => Err(error),
        }
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
