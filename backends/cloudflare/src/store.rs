//! The store.

use std::fmt;

use futures_util::{FutureExt, StreamExt, TryStreamExt, future};
use kv_api::{
    Backend, Capabilities, Clock, Delete, DeleteMany, DeleteOutcome, Entry, Fields, ListPage, Method, Methods, RawPage,
    Read, ReadMany, Result, SetOutcome, SetStatus, Value, Write, WriteMany, async_trait,
};
use kv_remote::http::Answer;
use kv_remote::{Call, Idempotency, ListPosition, Redaction, look_then_write};

use crate::bulk::Bulk;
use crate::capabilities::CAPABILITIES;
use crate::client::Client;
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
        let scope = config.scope();
        Ok(Self { client: Client::new(config)?, scope })
    }

    async fn put(&self, call: &Call<'_>, write: &Write<'_>, idempotency: Idempotency) -> Result<()> {
        let now = self.client.remote.clock().now();
        let requests = &self.client.requests;
        let request = || requests.put_value(write.key(), write.value(), write.metadata(), write.expiry(), now);
        self.client.send(call, idempotency, request, Redaction::Everything, Answers::done).await.map(drop)
    }

    async fn write_one(&self, call: &Call<'_>, write: &Write<'_>) -> Result<SetOutcome> {
        let key = write.key();
        let look = || self.client.exists(call, key);
        look_then_write(call, key, write.condition(), look, |idempotency| self.put(call, write, idempotency)).await
    }

    async fn delete_one(&self, call: &Call<'_>, key: &str) -> Result<DeleteOutcome> {
        let _turn = call.share_keys([key]).await?;
        let request = || self.client.requests.delete_value(key);
        self.client.send(call, Idempotency::Idempotent, request, self.client.secrets(), Answers::done).await?;
        Ok(DeleteOutcome::Accepted)
    }
}

#[async_trait]
impl Backend for CloudflareStore {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn methods(&self) -> Methods {
        Methods::NONE.with(Method::ReadMany).with(Method::WriteMany).with(Method::List)
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
        let is_bulk = |write: &Write<'_>| write.is_unconditional();
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
            request: &|body, items| self.client.requests.bulk_put(body, items),
            redaction: Redaction::Everything,
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
            write: &|item, out| {
                write_key(keys[item], out);
                Ok(())
            },
            request: &|body, items| self.client.requests.bulk_delete(body, items),
            redaction: self.client.secrets(),
            keys: keys.clone(),
        };
        let results = bulk.send(&self.client, &call).await;
        results.into_iter().map(|result| result.map(|()| DeleteOutcome::Accepted)).collect()
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let position = page.position().map(ListPosition::decode).transpose()?.unwrap_or_default();
        let prefix = page.prefix();
        if prefix.len() > CAPABILITIES.key_bytes_max {
            return Ok(RawPage::default()); // longer than any key, and refused by the service
        }
        let limit = page.limit().get().max(LIST_LIMIT_MIN);
        let request = || self.client.requests.list(prefix, limit, position.cursor());
        let owned = prefix.to_owned();
        let read = move |answers: &Answers, answer: &Answer| answers.page(answer, &owned, limit);
        let (mut items, cursor) = self
            .client
            .ask(&self.client.remote.call(), request, read)
            .await
            .map_err(|error| position.explain(error))?;
        // The service puts at least 10 keys on a page: of a smaller one, only as many are handed out as were asked for.
        let next = position.cut(&mut items, |item| &item.key, page.limit().get(), cursor)?;
        Ok(RawPage::new(items, next.map(|next| next.encode()).transpose()?))
    }

    async fn ping(&self) -> Result<()> {
        self.client.ask(&self.client.remote.call(), || self.client.requests.namespace(), Answers::namespace).await
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Shows no credentials, and not the scope, whose base URL may hold a secret.
impl fmt::Debug for CloudflareStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudflareStore").finish_non_exhaustive()
    }
}
