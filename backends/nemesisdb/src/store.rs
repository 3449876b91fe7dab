//! The store: which commands a request takes, and what their answers mean.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt, join3};
use kv_api::{
    Backend, Capabilities, Clock, Condition, Delete, DeleteMany, DeleteOutcome, Entry, EntryExpiry, Error, ErrorKind,
    Method, Methods, Read, ReadMany, Result, Retry, SetOutcome, SetStatus, Write, WriteMany, async_trait,
    json_quoted_len,
};
use kv_remote::{Call, Idempotency, KeyTurn, Remote, Reply, as_not_applied};
use tokio::runtime::Handle;

use crate::budget::ReplyBudget;
use crate::capabilities::capabilities;
use crate::client::Client;
use crate::config::NemesisdbConfig;
use crate::connection::Address;
use crate::driver::Server;
use crate::request::Replies;
use crate::wire::message::{Command, ENDS_BYTES, SERVER_INFO, encoded, keys_message, pairs_message, write_bytes};
use crate::wire::pack::pack;
use crate::wire::reply::{Answer, Found};

/// A store on a NemesisDB server: its keys, or those of one namespace.
///
/// Opening it connects (LIFE-1) and needs a tokio runtime, on which a task then owns the connection. All callers share
/// it.
pub struct NemesisdbStore {
    client: Client,
    remote: Remote,
    capabilities: Capabilities,
    scope: String,
    prefix: String,
    message_bytes_max: usize,
    /// Entries may have an expiry, kept in the envelope.
    expiry: bool,
}

/// Without the name of the namespace, in whose place a secret may stand by mistake (ERR-2).
impl fmt::Debug for NemesisdbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NemesisdbStore")
            .field("client", &self.client)
            .field("remote", &self.remote)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

/// A key to send, with what is to be set under it, if anything.
struct Item<'a> {
    /// As on the server.
    key: Cow<'a, str>,
    write: Option<&'a Write<'a>>,
    /// What it takes in a message.
    bytes: usize,
}

/// What is known of a message's items, over all attempts to send it.
struct Progress {
    answers: Mutex<Vec<Option<Reply<Answer>>>>,
    /// An attempt so far has been sent, and so may have been applied.
    sent: AtomicBool,
}

impl NemesisdbStore {
    /// Connects to the server, within a tokio runtime.
    ///
    /// # Errors
    /// `Unavailable` when the server cannot be reached; `Misconfigured` when the host is unknown, when what answers
    /// there is no NemesisDB, or outside a tokio runtime; `Exhausted` when this process may open no more files.
    pub async fn open(config: NemesisdbConfig) -> Result<Self> {
        Handle::try_current().map_err(|error| {
            Error::new(ErrorKind::Misconfigured, "a NemesisDB store is opened within a tokio runtime")
                .with_source(error)
        })?;
        let capabilities = capabilities(&config);
        let (prefix, authority) = (config.prefix(), config.authority());
        let NemesisdbConfig { host, port, namespace, message_bytes_max, buffer_bytes_max, expiry, remote: settings } =
            config;
        let scope = format!("{authority} {}", namespace.unwrap_or_default());
        let (timer, patience) = (settings.timer(), settings.request_timeout());
        let buffer_bytes_max = buffer_bytes_max.get();
        let address = Address { host, port, authority, message_bytes_max, buffer_bytes_max };
        let server = Server { address, budget: ReplyBudget::new(buffer_bytes_max), timer, patience };
        let remote = Remote::new(settings);
        let client = remote.call().send(Idempotency::Read, || Client::open(server.clone())).await?.answer;
        Ok(Self { client, remote, capabilities, scope, prefix, message_bytes_max, expiry })
    }

    fn full_key<'k>(&self, key: &'k str) -> Cow<'k, str> {
        if self.prefix.is_empty() { Cow::Borrowed(key) } else { Cow::Owned([&self.prefix, key].concat()) }
    }

    fn item_of_key<'k>(&self, key: &'k str) -> Item<'k> {
        let key = self.full_key(key);
        Item { bytes: json_quoted_len(&key), key, write: None }
    }

    fn item_of_write<'w>(&self, write: &'w Write<'w>) -> Item<'w> {
        let key = self.full_key(write.key());
        Item { bytes: write_bytes(&key, write), key, write: Some(write) }
    }

    /// Refuses what no message can hold. What a limit can measure was refused before this; a key with escapes takes
    /// more in a message than its own bytes.
    fn check(&self, item: &Item<'_>) -> Result<()> {
        let found = ENDS_BYTES + item.bytes;
        if found > self.message_bytes_max {
            let prefix = json_quoted_len(&self.prefix) - 2;
            let (allowed, found) = (self.message_bytes_max - prefix, found - prefix);
            return Err(Error::limit("message_bytes_max", allowed as u64, found as u64));
        }
        Ok(())
    }

    /// Sends items of distinct keys in as few messages as there can be, side by side, and gives the answer to each, in
    /// order. `turn` is that of the call on all of the keys, where it has them for itself.
    async fn exchange(
        &self,
        call: &Call<'_>,
        command: Command,
        idempotency: Idempotency,
        items: Vec<Item<'_>>,
        turn: Option<&KeyTurn<'_>>,
    ) -> Vec<Result<Reply<Answer>>> {
        let mut results: Vec<Option<Result<Reply<Answer>>>> =
            items.iter().map(|item| self.check(item).err().map(Err)).collect();
        let to_send: Vec<usize> = (0..items.len()).filter(|at| results[*at].is_none()).collect();
        let sizes: Vec<usize> = to_send.iter().map(|at| items[*at].bytes).collect();
        let mut messages: Vec<BoxFuture<'_, _>> = Vec::new();
        for packed in pack(&sizes, self.message_bytes_max - ENDS_BYTES) {
            let positions: Vec<usize> = packed.into_iter().map(|at| to_send[at]).collect();
            let items = positions.iter().map(|at| &items[*at]).collect();
            let shares = turn.is_none() && idempotency != Idempotency::Read;
            let answers = self.message(call, command, idempotency, items, shares);
            messages.push(async { (positions, answers.await) }.boxed());
        }
        let mut answered = self.remote.in_window(messages);
        while let Some((positions, answers)) = answered.next().await {
            for (at, answer) in positions.into_iter().zip(answers) {
                results[at] = Some(answer);
            }
        }
        drop(answered);
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(lost_track()))).collect()
    }

    /// Sends one message as often as the policy allows; each time only what has no answer yet. An item without an
    /// answer says what is known of it: when no attempt was sent, that it was not applied (ERR-3, BATCH-6). A message
    /// that `shares` its keys with others waits for the calls that look and then write (SET-6).
    async fn message(
        &self,
        call: &Call<'_>,
        command: Command,
        idempotency: Idempotency,
        items: Vec<&Item<'_>>,
        shares: bool,
    ) -> Vec<Result<Reply<Answer>>> {
        let shared = call.share_keys(items.iter().filter(|_| shares).map(|item| &*item.key));
        let _turn = match shared.await {
            Ok(turn) => turn,
            Err(error) => return items.iter().map(|_| Err(error.clone())).collect(),
        };
        let answers = Mutex::new(items.iter().map(|_| None).collect());
        let progress = Progress { answers, sent: AtomicBool::new(false) };
        let ended = call.send(idempotency, || self.attempt(command, &items, &progress)).await;
        let mut missing = ended.err().unwrap_or_else(lost_track);
        if !progress.sent.into_inner() {
            missing = as_not_applied(missing);
        }
        let answers = progress.answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        answers.into_iter().map(|answer| answer.ok_or_else(|| missing.clone())).collect()
    }

    async fn attempt(&self, command: Command, items: &[&Item<'_>], progress: &Progress) -> Result<()> {
        let answers = || progress.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let open: Vec<usize> = {
            let answers = answers();
            (0..items.len()).filter(|at| answers[*at].is_none()).collect()
        };
        let repeated = progress.sent.load(Ordering::Acquire);
        let asked = || open.iter().map(|at| items[*at]);
        let room = self.client.reserve(message_bytes(asked())).await?;
        let now = self.clock().now();
        let text = match command {
            Command::Set | Command::Add => pairs_message(
                command,
                asked().filter_map(|item| item.write.map(|write| (&*item.key, encoded(write, now)))),
            ),
            _ => keys_message(command, asked().map(|item| &*item.key)),
        };
        let keys = asked().map(|item| item.key.clone().into_owned()).collect();
        let Replies { answers: replies, lost } = self.client.send(command, keys, text, room, &progress.sent).await?;
        let mut answers = answers();
        for (at, answer) in open.into_iter().zip(replies) {
            answers[at] = answer.map(|answer| Reply { answer, repeated });
        }
        lost.map_or(Ok(()), Err)
    }

    /// What is kept under each key, expired or not.
    async fn look(&self, call: &Call<'_>, keys: impl Iterator<Item = &str> + Send) -> Vec<Result<Option<Found>>> {
        let items = keys.map(|key| self.item_of_key(key)).collect();
        let answers = self.exchange(call, Command::Get, Idempotency::Read, items, None).await;
        answers.into_iter().map(|answer| answer?.answer.found()).collect()
    }

    fn is_live(&self, found: &Found) -> bool {
        found.is_live(self.clock().now())
    }

    /// The live entries of these keys; fails as a whole (GET-2).
    async fn entries(&self, call: &Call<'_>, keys: &[Cow<'_, str>]) -> Result<Vec<Option<Entry>>> {
        for key in keys {
            self.check(&self.item_of_key(key)).map_err(|error| error.with_key(key))?;
        }
        let found = self.look(call, keys.iter().map(AsRef::as_ref)).await;
        let entry = |found: Found| {
            let expiry = found.expires_at.map_or(EntryExpiry::Never, EntryExpiry::At);
            Entry::with_details(found.value, found.metadata, expiry, None)
        };
        let live = |(found, key): (Result<Option<Found>>, &Cow<'_, str>)| {
            let found = found.map_err(|error| error.with_key(key))?;
            Ok(found.filter(|found| self.is_live(found)).map(entry))
        };
        found.into_iter().zip(keys).map(live).collect()
    }

    /// Sets without condition.
    async fn set(&self, call: &Call<'_>, writes: &[&Write<'_>]) -> Vec<Result<SetOutcome>> {
        let items = writes.iter().map(|write| self.item_of_write(write)).collect();
        let answers = self.exchange(call, Command::Set, Idempotency::Idempotent, items, None).await;
        let outcome = |answer: Result<Reply<Answer>>| {
            let Reply { answer, repeated } = answer?;
            // What was there may have expired, which only a read would show.
            let answer = if self.expiry { answer.set().map(|_| SetStatus::Stored) } else { answer.set() }?;
            Ok(Reply { answer, repeated }.set_outcome())
        };
        answers.into_iter().map(outcome).collect()
    }

    /// Sets where there is no live entry. Atomic, but where an expired one stands in the way: it blocks `ADD`, and is
    /// removed first. Then the call has the keys for itself (SET-6).
    async fn add(&self, call: &Call<'_>, writes: &[&Write<'_>]) -> Vec<Result<SetOutcome>> {
        let mut outcomes = self.add_once(call, writes, None).await;
        if !self.expiry {
            return outcomes;
        }
        let is_blocked = |outcome: &Result<SetOutcome>| outcome.as_ref().is_ok_and(|outcome| !outcome.is_written());
        let blocked: Vec<usize> = (0..writes.len()).filter(|at| is_blocked(&outcomes[*at])).collect();
        let turn = match self.lock(call, blocked.iter().map(|at| writes[*at].key())).await {
            Ok(turn) => turn,
            Err(error) => {
                blocked.into_iter().for_each(|at| outcomes[at] = Err(error.clone()));
                return outcomes;
            }
        };
        let (mut free, mut expired) = (Vec::new(), Vec::new());
        let found = self.look(call, blocked.iter().map(|at| writes[*at].key())).await;
        for (at, found) in blocked.into_iter().zip(found) {
            match found {
                Ok(Some(found)) if self.is_live(&found) => {}
                Ok(Some(_)) => expired.push(at),
                Ok(None) => free.push(at),
                Err(error) => outcomes[at] = Err(error),
            }
        }
        let keys = expired.iter().map(|at| writes[*at].key());
        let removed = self.remove(call, Idempotency::NonIdempotent, keys, Some(&turn)).await;
        for (at, removed) in expired.into_iter().zip(removed) {
            match removed {
                Ok(_) => free.push(at),
                // What was removed or not had expired, and this entry was not written.
                Err(error) => outcomes[at] = Err(as_not_applied(error)),
            }
        }
        let again: Vec<&Write<'_>> = free.iter().map(|at| writes[*at]).collect();
        for (at, outcome) in free.into_iter().zip(self.add_once(call, &again, Some(&turn)).await) {
            outcomes[at] = outcome;
        }
        outcomes
    }

    async fn add_once(
        &self,
        call: &Call<'_>,
        writes: &[&Write<'_>],
        turn: Option<&KeyTurn<'_>>,
    ) -> Vec<Result<SetOutcome>> {
        let items = writes.iter().map(|write| self.item_of_write(write)).collect();
        let answers = self.exchange(call, Command::Add, Idempotency::NonIdempotent, items, turn).await;
        answers.into_iter().map(|answer| answer?.answer.added().map(SetOutcome::new)).collect()
    }

    /// Sets where there is a live entry: looks, then sets. The call has the keys for itself meanwhile (SET-6).
    async fn replace(&self, call: &Call<'_>, writes: &[&Write<'_>]) -> Vec<Result<SetOutcome>> {
        let turn = match self.lock(call, writes.iter().map(|write| write.key())).await {
            Ok(turn) => turn,
            Err(error) => return writes.iter().map(|_| Err(error.clone())).collect(),
        };
        let found = self.look(call, writes.iter().map(|write| write.key())).await;
        let (mut outcomes, mut met) = (Vec::with_capacity(writes.len()), Vec::new());
        for (at, found) in found.into_iter().enumerate() {
            outcomes.push(match found {
                Ok(Some(found)) if self.is_live(&found) => {
                    met.push(at);
                    Err(lost_track()) // until its answer is there
                }
                Ok(_) => Ok(SetOutcome::new(SetStatus::NotMet)),
                Err(error) => Err(error),
            });
        }
        let items = met.iter().map(|at| self.item_of_write(writes[*at])).collect();
        let answers = self.exchange(call, Command::Set, Idempotency::NonIdempotent, items, Some(&turn)).await;
        for (at, answer) in met.into_iter().zip(answers) {
            let updated = |_| SetOutcome::new(SetStatus::Updated);
            outcomes[at] = answer.and_then(|answer| answer.answer.set()).map(updated);
        }
        outcomes
    }

    /// The turn of a call on keys that it looks at and then writes.
    async fn lock<'c>(&self, call: &'c Call<'_>, keys: impl Iterator<Item = &str> + Send) -> Result<KeyTurn<'c>> {
        let keys: Vec<Cow<'_, str>> = keys.map(|key| self.full_key(key)).collect();
        call.lock_keys(keys.iter().map(AsRef::as_ref)).await
    }

    async fn write_all(&self, call: &Call<'_>, writes: &[Write<'_>]) -> Vec<Result<SetOutcome>> {
        let with = |wanted: fn(&Condition) -> bool| -> (Vec<usize>, Vec<&Write<'_>>) {
            writes.iter().enumerate().filter(|(_, write)| wanted(write.condition())).unzip()
        };
        let (unconditional, sets) = with(|condition| *condition == Condition::Always);
        let (if_not_exists, adds) = with(|condition| *condition == Condition::IfNotExists);
        let (if_exists, replaces) = with(|condition| *condition == Condition::IfExists);
        let outcomes = join3(self.set(call, &sets), self.add(call, &adds), self.replace(call, &replaces)).await;
        let mut results: Vec<Result<SetOutcome>> = writes.iter().map(|_| Err(lost_track())).collect();
        for (positions, outcomes) in [(unconditional, outcomes.0), (if_not_exists, outcomes.1), (if_exists, outcomes.2)]
        {
            for (at, outcome) in positions.into_iter().zip(outcomes) {
                results[at] = outcome;
            }
        }
        results
    }

    async fn remove(
        &self,
        call: &Call<'_>,
        idempotency: Idempotency,
        keys: impl Iterator<Item = &str> + Send,
        turn: Option<&KeyTurn<'_>>,
    ) -> Vec<Result<DeleteOutcome>> {
        let items = keys.map(|key| self.item_of_key(key)).collect();
        let answers = self.exchange(call, Command::Remove, idempotency, items, turn).await;
        let outcome = |answer: Result<Reply<Answer>>| {
            let Reply { answer, repeated } = answer?;
            Ok(Reply { answer: answer.removed()?, repeated }.delete_outcome())
        };
        answers.into_iter().map(outcome).collect()
    }

    async fn delete_all(&self, call: &Call<'_>, keys: &[Cow<'_, str>]) -> Vec<Result<DeleteOutcome>> {
        if !self.expiry {
            return self.remove(call, Idempotency::Idempotent, keys.iter().map(AsRef::as_ref), None).await;
        }
        // An expired entry does not exist, and stays where it is: to remove it after a look could remove what another
        // client has just set, and say that there was nothing.
        let found = self.look(call, keys.iter().map(AsRef::as_ref)).await;
        let mut outcomes: Vec<Result<DeleteOutcome>> = Vec::with_capacity(keys.len());
        let mut live = Vec::new();
        for (at, found) in found.into_iter().enumerate() {
            if let Ok(Some(found)) = &found
                && self.is_live(found)
            {
                live.push(at);
            }
            outcomes.push(found.map(|_| DeleteOutcome::NotFound));
        }
        let removed = self.remove(call, Idempotency::Idempotent, live.iter().map(|at| &*keys[*at]), None).await;
        for (at, removed) in live.into_iter().zip(removed) {
            outcomes[at] = removed;
        }
        outcomes
    }
}

/// What is known of an item before anything is known (BATCH-6).
fn lost_track() -> Error {
    Error::new(ErrorKind::Internal, "an item of the batch was lost track of").with_retry(Retry::OutcomeUnknown)
}

/// What a message takes on the way: its text, and its keys once more, by which its replies are found.
fn message_bytes<'i>(items: impl Iterator<Item = &'i Item<'i>>) -> usize {
    ENDS_BYTES + items.map(|item| item.bytes + 1 + item.key.len()).sum::<usize>()
}

#[async_trait]
impl Backend for NemesisdbStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn methods(&self) -> Methods {
        Methods::NONE.with(Method::ReadMany).with(Method::WriteMany)
    }

    fn scope(&self) -> &str {
        &self.scope
    }

    fn clock(&self) -> &dyn Clock {
        self.remote.clock()
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let mut entries = self.entries(&self.remote.call(), &[read.into_key()]).await?;
        Ok(entries.pop().flatten())
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.write_all(&self.remote.call(), &[write]).await.pop().unwrap_or_else(|| Err(lost_track()))
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        let keys = [delete.into_key()];
        self.delete_all(&self.remote.call(), &keys).await.pop().unwrap_or_else(|| Err(lost_track()))
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        self.entries(&self.remote.call(), reads.keys()).await
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        self.write_all(&self.remote.call(), writes.writes()).await
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        self.delete_all(&self.remote.call(), deletes.keys()).await
    }

    /// Asks for the figures of the server: that touches no key.
    async fn ping(&self) -> Result<()> {
        let ask = || async {
            let room = self.client.reserve(SERVER_INFO.len()).await?;
            let (keys, text, sent) = (vec![String::new()], SERVER_INFO.to_owned(), AtomicBool::new(false));
            let replies = self.client.send(Command::ServerInfo, keys, text, room, &sent).await?;
            match (replies.answers.into_iter().flatten().next(), replies.lost) {
                (Some(answer), _) => answer.info(),
                (None, lost) => Err(lost.unwrap_or_else(lost_track)),
            }
        };
        self.remote.call().send(Idempotency::Read, ask).await?;
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.client.close().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CAPABILITIES;
    use kv_api::{Resolver, SetItem, SystemClock, Timestamp};

    /// The room for requests is bounded, so that what takes more than is reserved would be held without a bound.
    #[test]
    fn the_room_of_a_message_is_its_text_and_its_keys_once_more() {
        let keys = ["sixsix", "a\"\\\n\u{1}é", "third3"];
        let keys_bytes = keys.map(str::len).iter().sum::<usize>();
        let named = keys.map(|key| Item { bytes: json_quoted_len(key), key: Cow::Borrowed(key), write: None });
        let text = keys_message(Command::Get, keys.into_iter());
        // The last one has no comma.
        assert_eq!(message_bytes(named.iter()), text.len() + 1 + keys_bytes);

        let resolver = Resolver::new(&CAPABILITIES);
        let writes = keys.map(|key| resolver.write(SetItem::new(key, "\"v\""), &SystemClock).unwrap());
        let set = writes.each_ref().map(|write| {
            let key = Cow::Borrowed(write.key());
            Item { bytes: write_bytes(&key, write), key, write: Some(write) }
        });
        let pairs = writes.iter().map(|write| (write.key(), encoded(write, Timestamp::UNIX_EPOCH)));
        let text = pairs_message(Command::Set, pairs);
        assert_eq!(message_bytes(set.iter()), text.len() + 1 + keys_bytes);
    }
}
