//! Reads: value, metadata and expiry of up to 100 keys by one request, and more only where text cannot show the bytes.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt, TryStreamExt};
use kv_api::{Entry, Error, ErrorKind, JsonText, Result, Retry, TaggedMetadata};
use kv_remote::Call;
use kv_remote::http::{Answer, malformed};

use crate::client::Client;
use crate::wire::{Answers, Match, Raw, Reported, of_kind};

/// How often an entry is read anew because it was written between the requests of one read.
const ROUNDS_MAX: usize = 8;

impl Client {
    /// Whether there is an entry, without moving its value (GET-2).
    pub(crate) async fn exists(&self, call: &Call<'_>, key: &str) -> Result<bool> {
        Ok(self.metadata(call, key).await?.is_some())
    }

    /// One slot for each of at most [`GET_KEYS_MAX`](crate::wire::GET_KEYS_MAX) keys, in order.
    pub(crate) fn read<'a>(
        &'a self,
        call: &'a Call<'_>,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        async move {
            let reported = match self.ask(call, || self.requests.bulk_get(keys), read_bulk(keys)).await {
                Ok(reported) => reported,
                // More than fits one answer, or an entry that has no text: each half may be reported.
                Err(error) if error.kind() == ErrorKind::InvalidArgument => {
                    return match *keys {
                        [key] => Ok(vec![self.read_apart(call, key).await.map_err(|error| error.with_key(key))?]),
                        _ => {
                            let (left, right) = keys.split_at(keys.len() / 2);
                            let mut entries = self.read(call, left).await?;
                            entries.append(&mut self.read(call, right).await?);
                            Ok(entries)
                        }
                    };
                }
                Err(error) => return Err(error),
            };
            // Mostly nothing is left to settle, and no future is made.
            let mut entries = vec![None; keys.len()];
            let mut unsettled = Vec::new();
            for (at, mut reported) in reported.into_iter().enumerate() {
                match at_once(&mut reported) {
                    Some(entry) => entries[at] = entry,
                    None => unsettled.push((at, reported)),
                }
            }
            if !unsettled.is_empty() {
                let settling = unsettled.into_iter().map(|(at, reported)| {
                    let settling = self.settle(call, keys[at], reported).map_ok(move |entry| (at, entry));
                    settling.map_err(move |error| error.with_key(keys[at])).boxed()
                });
                let settled: Vec<_> = self.remote.in_window(settling).try_collect().await?;
                settled.into_iter().for_each(|(at, entry)| entries[at] = entry);
            }
            Ok(entries)
        }
        .boxed()
    }

    /// The entry of a key, where what was reported does not say all.
    async fn settle(&self, call: &Call<'_>, key: &str, reported: Reported) -> Result<Option<Entry>> {
        let mut reported = reported;
        for _ in 0..ROUNDS_MAX {
            if let Some(entry) = at_once(&mut reported) {
                return Ok(entry);
            }
            // An answer that does not mention the key is none that the documents know.
            let Some(Some(found)) = reported else { return self.read_apart(call, key).await };
            let Some(raw) = self.raw(call, key).await? else { return Ok(None) };
            let value = match found.compare(raw.bytes) {
                Match::Same(value) => Some(value),
                Match::SameIfUntouched(value) => match self.metadata(call, key).await? {
                    None => return Ok(None),
                    Some(now) => (stored(&now)? == found.stored).then_some(value),
                },
                Match::Other => None,
            };
            if let Some(value) = value {
                return Ok(Some(Entry::with_details(value, found.stored.metadata, found.expiry, None)));
            }
            reported = self.ask(call, || self.requests.bulk_get(&[key]), read_bulk(&[key])).await?.pop().flatten();
        }
        Err(restless())
    }

    /// An entry by requests for itself alone: the value between two looks at the metadata, which must be the same.
    async fn read_apart(&self, call: &Call<'_>, key: &str) -> Result<Option<Entry>> {
        let Some(mut before) = self.metadata(call, key).await? else { return Ok(None) };
        for _ in 0..ROUNDS_MAX {
            let Some(Raw { bytes, expiry }) = self.raw(call, key).await? else { return Ok(None) };
            let Some(after) = self.metadata(call, key).await? else { return Ok(None) };
            if before == after {
                let stored = stored(&after)?;
                let value = of_kind(stored.tag, bytes);
                return Ok(Some(Entry::with_details(value, stored.metadata, expiry, None)));
            }
            before = after;
        }
        Err(restless())
    }

    /// The metadata as JSON text, null for none.
    async fn metadata(&self, call: &Call<'_>, key: &str) -> Result<Option<String>> {
        self.ask(call, || self.requests.get_metadata(key), Answers::metadata).await
    }

    async fn raw(&self, call: &Call<'_>, key: &str) -> Result<Option<Raw>> {
        self.ask(call, || self.requests.get_value(key), Answers::raw).await
    }
}

/// The entry, or that there is none, where what was reported says all. Else that stays as it is.
fn at_once(reported: &mut Reported) -> Option<Option<Entry>> {
    let Some(found) = reported.as_mut()? else { return Some(None) };
    let value = found.value()?;
    Some(Some(Entry::with_details(value, found.stored.metadata.take(), found.expiry, None)))
}

/// What reads the answer to a bulk get of these keys.
fn read_bulk(keys: &[&str]) -> impl Fn(&Answers, &Answer) -> Result<Vec<Reported>> + Clone + Send + Sync + 'static {
    let keys: Arc<[String]> = keys.iter().map(ToString::to_string).collect();
    move |answers, answer| answers.bulk_get(answer, &keys)
}

fn stored(metadata: &str) -> Result<TaggedMetadata> {
    let not_json = |_| malformed("the metadata of an entry is not JSON").with_retry(Retry::Safe);
    TaggedMetadata::decode_json(JsonText::parse_foreign(metadata).map_err(not_json)?)
}

fn restless() -> Error {
    let message = format!("the entry was written between the requests of a read, {ROUNDS_MAX} times in a row");
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Safe)
}
