//! The store.

use std::fmt;

use futures_util::{FutureExt, StreamExt, TryStreamExt, future};
use kv_api::{
    Backend, Capabilities, Clock, Condition, Delete, DeleteMany, DeleteOutcome, Entry, Error, ErrorKind, Fields,
    ListPage, RawPage, Read, ReadMany, Reason, Result, SetOutcome, SetStatus, Value, Write, WriteMany, async_trait,
};
use kv_remote::{Call, Idempotency, as_not_applied};

use crate::bulk::Bulk;
use crate::capabilities::CAPABILITIES;
use crate::client::{Carries, Client};
use crate::config::CloudflareConfig;
use crate::wire::{Answers, GET_KEYS_MAX, LIST_LIMIT_MIN, write_item, write_key};

/// One namespace of Workers KV.
pub struct CloudflareStore {
    client: Client,
    scope: String,
}

impl CloudflareStore {
    /// Checks the settings and sends nothing (LIFE-1): [`ping`](kv_api::Store::ping) proves address, credentials and
    /// namespace.
    ///
    /// # Errors
    /// `Unauthorized` when a credential cannot stand in a header; `Internal` when TLS cannot be set up.
    pub fn open(config: CloudflareConfig) -> Result<Self> {
        let scope = format!("{}/{}", config.account_id, config.namespace_id);
        Ok(Self { client: Client::new(config)?, scope })
    }

    async fn put(&self, call: &Call<'_>, write: &Write<'_>, idempotency: Idempotency) -> Result<()> {
        let now = self.client.remote.clock().now();
        let request =
            self.client.requests.put_value(write.key(), write.value(), write.metadata(), write.expiry(), now)?;
        let done =
            self.client.send(call, idempotency, &request, Carries::Values, |answers, answer| answers.done(&answer));
        done.await.map(drop)
    }

    /// Looks, then writes: the service knows no conditions, so another writer may come between (SET-6).
    async fn write_one(&self, call: &Call<'_>, write: &Write<'_>) -> Result<SetOutcome> {
        let (wanted, met) = match write.condition() {
            Condition::Always => {
                self.put(call, write, Idempotency::Idempotent).await?;
                return Ok(SetOutcome::new(SetStatus::Stored));
            }
            Condition::IfNotExists => (false, SetStatus::Created),
            Condition::IfExists => (true, SetStatus::Updated),
            _ => return Err(Error::not_implemented("a condition")),
        };
        // What failed so far was only a look.
        let exists = self.client.exists(call, write.key()).await.map_err(as_not_applied)?;
        if exists != wanted {
            return Ok(SetOutcome::new(SetStatus::NotMet));
        }
        // Not repeated unless certainly not applied: the first attempt may have been the one that was carried out (SET-8).
        self.put(call, write, Idempotency::NonIdempotent).await?;
        Ok(SetOutcome::new(met))
    }

    async fn delete_one(&self, call: &Call<'_>, key: &str) -> Result<DeleteOutcome> {
        let request = self.client.requests.delete_value(key)?;
        let read = |answers: Answers<'_>, answer| answers.done(&answer);
        self.client.send(call, Idempotency::Idempotent, &request, Carries::NoValue, read).await?;
        Ok(DeleteOutcome::Accepted)
    }
}

#[async_trait]
impl Backend for CloudflareStore {
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
        if read.fields() == Fields::Existence {
            let exists = self.client.exists(&call, read.key()).await?;
            return Ok(exists.then(|| Entry::new(Value::from(""))));
        }
        Ok(self.client.read(&call, &[read.key()]).await?.pop().flatten())
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let call = self.client.remote.call();
        let keys: Vec<&str> = reads.keys().iter().map(|key| &**key).collect();
        let chunks = keys.chunks(GET_KEYS_MAX).map(|chunk| self.client.read(&call, chunk));
        self.client.remote.in_window(chunks).try_concat().await
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.write_one(&self.client.remote.call(), &write).await
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let call = self.client.remote.call();
        let is_bulk = |write: &Write<'_>| *write.condition() == Condition::Always;
        let (mut bulk, mut single): (Vec<_>, Vec<_>) =
            (0..writes.writes().len()).partition(|index| is_bulk(&writes.writes()[*index]));
        if bulk.len() == 1 {
            // As cheap, and the value goes as it is.
            single.append(&mut bulk);
        }
        let now = self.client.remote.clock().now();
        let items: Vec<&Write<'_>> = bulk.iter().map(|index| &writes.writes()[*index]).collect();
        let in_bulk = Bulk {
            keys: items.iter().map(|item| item.key()).collect(),
            write: &|item, out| write_item(items[item], now, out),
            request: &|body| self.client.requests.bulk_put(body),
            carries: Carries::Values,
        };
        let singly = single.iter().map(|index| self.write_one(&call, &writes.writes()[*index]).boxed());
        let (bulk_results, single_results) =
            future::join(in_bulk.send(&self.client, &call), self.client.remote.in_window(singly).collect::<Vec<_>>())
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
        let keys: Vec<&str> = deletes.keys().iter().map(|key| &**key).collect();
        if let [key] = *keys {
            return vec![self.delete_one(&call, key).await];
        }
        let bulk = Bulk {
            write: &|item, out| write_key(keys[item], out),
            request: &|body| self.client.requests.bulk_delete(body),
            carries: Carries::NoValue,
            keys: keys.clone(),
        };
        let results = bulk.send(&self.client, &call).await;
        results.into_iter().map(|result| result.map(|()| DeleteOutcome::Accepted)).collect()
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let position = page.position().map(Position::decode).transpose()?.unwrap_or_default();
        let limit = page.limit().get();
        let prefix = page.prefix();
        if prefix.len() > CAPABILITIES.key_bytes_max {
            return Ok(RawPage::default()); // longer than any key, and refused by the service
        }
        let request = self.client.requests.list(prefix, limit.max(LIST_LIMIT_MIN), &position.cursor)?;
        let read = |answers: Answers<'_>, answer| answers.page(&answer, prefix);
        let (mut items, cursor) =
            self.client.ask(&self.client.remote.call(), &request, read).await.map_err(|error| {
                // Everything else in the request is known to be acceptable.
                if error.kind() == ErrorKind::InvalidArgument && !position.cursor.is_empty() {
                    error.with_reason(Reason::CursorInvalid)
                } else {
                    error
                }
            })?;
        if let Some(after) = &position.after {
            items.retain(|item| item.key > *after);
        }
        let is_cut = items.len() > limit;
        items.truncate(limit);
        let next = if is_cut {
            items.last().map(|last| Position { after: Some(last.key.clone()), ..position })
        } else {
            cursor.map(|cursor| Position { cursor, ..position })
        };
        Ok(RawPage::new(items, next.map(|next| next.encode()).transpose()?))
    }

    async fn ping(&self) -> Result<()> {
        let request = self.client.requests.namespace()?;
        self.client.ask(&self.client.remote.call(), &request, |answers, answer| answers.namespace(&answer)).await
    }
}

/// Shows no credentials.
impl fmt::Debug for CloudflareStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudflareStore").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Where a list goes on: the page that the service's cursor begins, and the last key of it that was handed out. The service
/// puts at least 10 keys on a page, whoever wants fewer asks for the same page again. By then keys that are new may have pushed
/// some that were handed out onto later pages, so the key is remembered there too (LIST-2).
#[derive(Clone, Debug, Default, PartialEq)]
struct Position {
    /// Empty for the first page.
    cursor: String,
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
