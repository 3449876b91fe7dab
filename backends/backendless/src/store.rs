//! The store: the trait, in requests to one hive.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt};
use kv_api::{
    Backend, Capabilities, Clock, Condition, Delete, DeleteMany, DeleteOutcome, Entry, EntryExpiry, Error, ErrorKind,
    Expire, Expiry, Fields, Increment, ListItem, ListPage, RawPage, Read, ReadMany, Reason, Result, SetOutcome,
    SetStatus, Timestamp, Value, Write, WriteMany,
};
use kv_remote::http::malformed;
use kv_remote::{Call, Idempotency};

use crate::capabilities::CAPABILITIES;
use crate::client::Client;
use crate::config::BackendlessConfig;
use crate::counter::Counter;
use crate::wire::{Bodies, Expiration, Found, Reply, Request, body_of_key, body_of_write, decimal};

/// One hive of a Backendless application.
pub struct BackendlessStore {
    client: Client,
    bodies: Bodies,
    scope: String,
}

impl BackendlessStore {
    /// Checks the settings and sends nothing (LIFE-1): [`ping`](kv_api::Store::ping) proves address, credentials and hive.
    ///
    /// # Errors
    /// `Unauthorized` when a user token cannot stand in a header; `Internal` when TLS cannot be set up.
    pub fn open(config: BackendlessConfig) -> Result<Self> {
        let (bodies, scope) = (config.bodies, config.scope());
        Ok(Self { client: Client::new(config)?, bodies, scope })
    }

    /// The values of keys, in their order.
    async fn get<K: AsRef<str> + Sync>(&self, call: &Call<'_>, keys: &[K]) -> Result<Vec<Option<Found>>> {
        let part = |(range, body): (Range<usize>, Bytes)| -> BoxFuture<'_, Result<Vec<Option<Found>>>> {
            let keys = &keys[range];
            Box::pin(async move {
                let request = Request::get(body);
                Ok(self.client.send(call, Idempotency::Read, request, |reply| reply.values(keys)).await?.answer)
            })
        };
        let parts = self.bodies.of_keys(keys.iter().map(AsRef::as_ref)).into_iter().map(part);
        self.client.remote.in_window(parts).try_concat().await
    }

    async fn get_one(&self, call: &Call<'_>, key: &str) -> Result<Option<Found>> {
        let request = Request::get(body_of_key(key));
        let read = |reply: Reply<'_>| reply.values(&[key]);
        Ok(self.client.send(call, Idempotency::Read, request, read).await?.answer.pop().flatten())
    }

    async fn exists(&self, call: &Call<'_>, key: &str) -> Result<bool> {
        let request = Request::exist(body_of_key(key));
        Ok(self.client.send(call, Idempotency::Read, request, |reply| reply.count(1)).await?.answer == 1)
    }

    /// A found value with all that lies beside it; `None` when it has gone since.
    async fn with_details(&self, call: &Call<'_>, key: &str, found: Found) -> Result<Option<Entry>> {
        let (value, metadata) = found;
        // What somebody else put under such a key has no address of its own, so its expiry has none either.
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
        let request = Request::expiration(key);
        Ok(self.client.send(call, Idempotency::Read, request, |reply| reply.expiration()).await?.answer)
    }

    /// The end of an entry that has so many whole seconds left. They may have been rounded down, so one more is added: never
    /// before the true time, and at most two after it (EXP-8).
    fn expires_at(&self, seconds_left: u64) -> Result<Timestamp> {
        let left = Duration::from_secs(seconds_left.saturating_add(1));
        self.clock().now().checked_add(left).ok_or_else(|| malformed("an expiry beyond all times"))
    }

    /// Sets members of one body.
    async fn set_bulk(&self, call: &Call<'_>, body: Bytes) -> Result<SetOutcome> {
        self.client.send(call, Idempotency::Idempotent, Request::set(body), |reply| reply.done()).await?;
        Ok(SetOutcome::new(SetStatus::Stored))
    }

    /// Sets one value with its options.
    async fn set_one(&self, call: &Call<'_>, write: &Write<'_>) -> Result<SetOutcome> {
        let (idempotency, met) = match write.condition() {
            Condition::Always => (Idempotency::Idempotent, SetStatus::Stored),
            Condition::IfNotExists => (Idempotency::NonIdempotent, SetStatus::Created),
            _ => (Idempotency::NonIdempotent, SetStatus::Updated),
        };
        let status = self.client.send(call, idempotency, Request::set_one(write)?, |reply| match reply.flag()? {
            true => Ok(met),
            false if idempotency == Idempotency::NonIdempotent => Ok(SetStatus::NotMet),
            false => Err(malformed("a set without condition was not done")),
        });
        Ok(status.await?.set_outcome())
    }

    /// Deletes the keys of one body.
    async fn delete_bulk(&self, call: &Call<'_>, keys: usize, body: Bytes) -> Result<DeleteOutcome> {
        let read = |reply: Reply<'_>| {
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

/// Without the scope, whose base URL may hold what somebody put there.
impl fmt::Debug for BackendlessStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendlessStore").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Whether all that is asked for is in what a bulk set can carry.
fn is_plain(write: &Write<'_>) -> bool {
    *write.condition() == Condition::Always && write.expiry() == Expiry::Never
}

/// What became of a request of a batch, and the positions of the items that it carried.
type Sent<T> = (Vec<usize>, Result<T>);

/// One result for each of `count` items, from those of the requests that carried them.
fn spread<T: Clone>(count: usize, sent: Vec<Sent<T>>) -> Vec<Result<T>> {
    let missing = || Err(Error::new(ErrorKind::Internal, "an item of the batch was in no request"));
    let mut results: Vec<Result<T>> = (0..count).map(|_| missing()).collect();
    for (items, result) in sent {
        for item in items {
            results[item] = result.clone();
        }
    }
    results
}

#[async_trait]
impl Backend for BackendlessStore {
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
            self.set_bulk(&call, body_of_write(&write)).await
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
        let mut requests: Vec<BoxFuture<'_, Sent<SetOutcome>>> = Vec::new();
        for (range, body) in self.bodies.of_writes(plain.iter().map(|at| &writes[*at])) {
            let (items, sent) = (plain[range].to_vec(), self.set_bulk(&call, body));
            requests.push(Box::pin(async { (items, sent.await) }));
        }
        for at in single {
            let sent = self.set_one(&call, &writes[at]);
            requests.push(Box::pin(async move { (vec![at], sent.await) }));
        }
        spread(writes.len(), self.client.remote.in_window(requests).collect().await)
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let call = self.client.remote.call();
        let keys = deletes.keys();
        let mut requests: Vec<BoxFuture<'_, Sent<DeleteOutcome>>> = Vec::new();
        for (range, body) in self.bodies.of_keys(keys.iter().map(|key| &**key)) {
            let sent = self.delete_bulk(&call, range.len(), body);
            requests.push(Box::pin(async { (range.collect(), sent.await) }));
        }
        spread(keys.len(), self.client.remote.in_window(requests).collect().await)
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
        let read = |reply: Reply<'_>| reply.page(page.prefix());
        let (keys, next) = self.client.send(&call, Idempotency::Read, request, read).await?.answer;
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
        Ok(self.client.send(&call, Idempotency::NonIdempotent, request, |reply| reply.expired(clears)).await?.answer)
    }

    async fn ping(&self) -> Result<()> {
        let call = self.client.remote.call();
        match self.client.send(&call, Idempotency::Read, Request::ping(), |reply| reply.page("").map(|_| ())).await {
            Ok(_) => Ok(()),
            // The request is always the same, so what is wrong with it is where it goes.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::Misconfigured) => {
                Err(misplaced(&error))
            }
            Err(error) => Err(error),
        }
    }
}
