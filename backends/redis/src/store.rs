//! The store: which commands a request takes, and what their answers mean.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use futures_util::future::{FutureExt, join};
use futures_util::{StreamExt, TryStreamExt};
use kv_api::{
    Backend, BatchOutcome, Capabilities, Clock, Condition, Delete, DeleteMany, DeleteOutcome, Entry, Error, ErrorKind,
    Expire, Fields, GetAndDelete, Increment, ListItem, ListPage, Method, Methods, RawPage, Read, ReadMany, Reason,
    Result, Retry, SetOutcome, SetStatus, Touch, Write, WriteMany, async_trait,
};
use kv_remote::{BulkLimits, Call, Idempotency, Remote, Reply};
use redis::{Cmd, Value};
use tokio::runtime::Handle;

use crate::capabilities::{BATCH_ITEMS_MAX, capabilities};
use crate::client::Client;
use crate::cluster::Cluster;
use crate::config::RedisConfig;
use crate::connection::{Address, Door, Mode};
use crate::list::Place;
use crate::progress::{Progress, lost_track};
use crate::servers::{Servers, Step};
use crate::tls;
use crate::wire::command::{self, Change, Command, bytes_about, wire_bytes};
use crate::wire::key::starts_with_pattern;
use crate::wire::reply::{self, ReadAndChanged};
use crate::wire::slot::slot_of;
use crate::wire::value::{encode, version};

/// What the commands of one pipeline of a batch take together; one that is longer goes alone.
const BATCH_BYTES_MAX: u64 = 1024 * 1024;

/// How many places of its table the server looks at in one step of a list: as many as keys are wanted, and twice as
/// many after each step that finds nothing new, up to what takes it about a millisecond, since it does nothing else
/// meanwhile.
const SCAN_COUNT_MAX: usize = 1000;

/// How many steps a page takes at most. One that finds fewer keys is shorter, and the list goes on with the next.
const SCANS_MAX: usize = 512;

/// How often a read that changes tries again, because what it could not change at first has changed meanwhile.
const READ_AND_CHANGE_STEPS_MAX: u32 = 16;

/// A store on a Redis server: the keys of one database, or those of one namespace in it.
///
/// Opening it connects (LIFE-1) and needs a tokio runtime, on which a task then owns the connection. All callers share
/// it.
pub struct RedisStore {
    servers: Servers,
    remote: Remote,
    capabilities: Capabilities,
    scope: String,
    prefix: String,
}

/// Without the name of the namespace, in whose place a secret may stand by mistake (ERR-2).
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("servers", &self.servers)
            .field("remote", &self.remote)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Connects to the server, within a tokio runtime.
    ///
    /// # Errors
    /// `Unavailable` when the server cannot be reached; `Unauthorized` when it does not accept user and password;
    /// `Misconfigured` when the host is unknown, when what answers there is no Redis, an older one than 7.0, a replica,
    /// a sentinel or a node of a cluster, when its certificate is not trusted, or outside a tokio runtime; `Exhausted`
    /// when this process may open no more files; `InvalidArgument` for settings that do not go together.
    pub async fn open(config: RedisConfig) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|error| {
            Error::new(ErrorKind::Misconfigured, "a Redis store is opened within a tokio runtime").with_source(error)
        })?;
        config.check_replicas()?;
        let settings = config.remote.clone();
        let (capabilities, prefix, scope) = (capabilities(&config), config.prefix(), config.scope());
        let RedisConfig { mut nodes, is_cluster, tls, tls_ca, login, answer_bytes_max, read_from_replicas, .. } =
            config;
        if is_cluster && login.database != 0 {
            return Err(Error::new(ErrorKind::InvalidArgument, "a cluster has no numbered databases"));
        }
        let tls = if tls {
            // It reads files.
            let connector = runtime.spawn_blocking(move || tls::connector(tls_ca.as_deref())).await;
            Some(connector.map_err(|error| {
                Error::new(ErrorKind::Internal, "the certificates could not be read").with_source(error)
            })??)
        } else {
            None
        };
        let (timer, patience) = (settings.timer(), settings.request_timeout());
        let mode = if is_cluster { Mode::Cluster } else { Mode::Standalone };
        let answer_bytes_max = answer_bytes_max.get();
        let door = Door { mode, tls, login, read_from_replicas, answer_bytes_max, timer, patience };
        let servers = match nodes.pop() {
            Some(node) if !is_cluster => Servers::One(Client::open(Address { node, door }).await?),
            last => {
                nodes.extend(last);
                Servers::Cluster(Cluster::open(nodes, door).await?)
            }
        };
        Ok(Self { servers, remote: Remote::new(settings), capabilities, scope, prefix })
    }

    /// The key as it is on the server.
    fn full_key(&self, key: &str) -> Vec<u8> {
        let mut full = Vec::with_capacity(self.prefix.len() + key.len());
        full.extend_from_slice(self.prefix.as_bytes());
        full.extend_from_slice(key.as_bytes());
        full
    }

    /// One attempt of one command. A script that the server does not know is sent again as text: it was not run.
    async fn attempt(&self, command: Command) -> Result<Value> {
        if command.script.is_none() {
            return self.servers.one(command.cmd).await;
        }
        let reply = self.servers.one(command.cmd.clone()).await?;
        match command.with_text().filter(|_| is_no_script(&reply)) {
            Some(by_text) => self.servers.one(by_text).await,
            None => Ok(reply),
        }
    }

    /// Sends one command, as often as the policy allows, and reads its answer.
    async fn send<T: Send>(
        &self,
        idempotency: Idempotency,
        body_bytes: usize,
        command: impl Fn() -> Command + Send + Sync,
        read: impl Fn(Value) -> Result<T> + Send + Sync,
    ) -> Result<Reply<T>> {
        let attempt = || async { read(self.attempt(command()).await?) };
        self.remote.call().send_body(idempotency, || (body_bytes, attempt())).await
    }

    /// Reads an entry and changes it in one step. What may be of a newer version is left alone at first; when it turns
    /// out that it can be read, a second step changes it, if it is still the same.
    async fn read_and_change(&self, key: &str, fields: Fields, change: Change) -> Result<Option<Entry>> {
        let key = self.full_key(key);
        let call = self.remote.call();
        let mut readable = String::new();
        for _ in 0..READ_AND_CHANGE_STEPS_MAX {
            let attempt = || async {
                let reply = self.attempt(command::read_and_change(&key, change, &readable)).await?;
                reply::read_and_changed(reply, fields, &self.scope)
            };
            match call.send(Idempotency::NonIdempotent, attempt).await?.answer {
                ReadAndChanged::Done(entry) => return Ok(entry),
                ReadAndChanged::Left(digest) => readable = digest,
            }
        }
        let contended = Reason::Contended { attempts: READ_AND_CHANGE_STEPS_MAX };
        let message = "other writers changed the entry each time between two steps";
        Err(Error::new(ErrorKind::Unavailable, message).with_reason(contended).with_retry(Retry::Safe))
    }

    /// One attempt of several commands, as [`attempt`](Self::attempt) makes one of one.
    async fn attempt_many(&self, commands: Vec<Command>) -> Vec<Result<Value>> {
        let by_text = commands.iter().enumerate().filter_map(|(at, command)| Some((at, command.with_text()?)));
        let by_text: Vec<(usize, Cmd)> = by_text.collect();
        let mut replies = self.servers.many(commands.into_iter().map(|command| command.cmd).collect()).await;
        let is_unknown = |at: usize| matches!(replies.get(at), Some(Ok(reply)) if is_no_script(reply));
        let (unknown, again): (Vec<usize>, Vec<Cmd>) = by_text.into_iter().filter(|(at, _)| is_unknown(*at)).unzip();
        if !unknown.is_empty() {
            for (at, reply) in unknown.into_iter().zip(self.servers.many(again).await) {
                replies[at] = reply;
            }
        }
        replies
    }

    /// Sends a batch in pipelines, side by side, and gives the answer to each command, in order (BATCH-5). What is
    /// turned away is sent again as the policy allows, and only that. Commands are made when their turn comes, from
    /// about as many bytes as `sizes` says.
    async fn send_many<T: Send>(
        &self,
        call: &Call<'_>,
        idempotency: Idempotency,
        sizes: &[usize],
        command: impl Fn(usize) -> Command + Send + Sync,
        read: impl Fn(usize, Value) -> Result<T> + Send + Sync,
    ) -> Vec<Result<Reply<T>>> {
        let limits =
            BulkLimits { items_max: BATCH_ITEMS_MAX, bytes_max: BATCH_BYTES_MAX, frame_bytes: 0, separator_bytes: 0 };
        let plan = limits.plan(sizes.iter().map(|size| *size as u64));
        let (command, read) = (&command, &read);
        let pipelines =
            plan.into_iter().map(|items| self.pipeline(call, idempotency, items, sizes, command, read).boxed());
        let results: Vec<Vec<_>> = self.remote.in_window(pipelines).collect().await;
        results.into_iter().flatten().collect()
    }

    async fn pipeline<T: Send>(
        &self,
        call: &Call<'_>,
        idempotency: Idempotency,
        items: Range<usize>,
        sizes: &[usize],
        command: &(impl Fn(usize) -> Command + Send + Sync),
        read: &(impl Fn(usize, Value) -> Result<T> + Send + Sync),
    ) -> Vec<Result<Reply<T>>> {
        let progress = Mutex::new(Progress::new(items.len()));
        let locked = || progress.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = items.start;
        let attempt = || {
            let open = locked().open();
            let bytes = open.iter().map(|at| sizes[begin + at]).sum();
            let sending = async move {
                let commands = open.iter().map(|at| command(begin + at)).collect();
                locked().ask(&open);
                let replies = self.attempt_many(commands).await;
                let read = |at: usize, reply: Result<Value>| (at, reply.and_then(|reply| read(begin + at, reply)));
                let answers = open.iter().zip(replies).map(|(at, reply)| read(*at, reply));
                locked().answer(answers, |error| call.allows(idempotency, error))
            };
            (bytes, sending)
        };
        let ended = call.send_body(idempotency, attempt).await.err();
        progress.into_inner().unwrap_or_else(PoisonError::into_inner).results(ended)
    }

    /// Writes those of these items whose place is given, none of which has a condition, or all of which have one.
    async fn write_some(
        &self,
        call: &Call<'_>,
        idempotency: Idempotency,
        writes: &[Write<'_>],
        wanted: impl Fn(&Condition) -> bool,
    ) -> Vec<(usize, Result<SetOutcome>)> {
        let places: Vec<usize> = (0..writes.len()).filter(|at| wanted(writes[*at].condition())).collect();
        let size = |at: &usize| {
            let write = &writes[*at];
            let metadata = write.metadata().map_or(0, |metadata| metadata.as_bytes().len());
            bytes_about([self.prefix.len(), write.key().len(), write.value().as_bytes().len(), metadata])
        };
        let sizes: Vec<usize> = places.iter().map(size).collect();
        let command = |at: usize| {
            let write = &writes[places[at]];
            let stored = encode(write.value(), write.metadata());
            command::write(&self.scope, &self.full_key(write.key()), write, &stored)
        };
        let read = |at: usize, reply: Value| read_set(writes[places[at]].condition(), reply);
        let replies = self.send_many(call, idempotency, &sizes, command, read).await;
        let outcome = |(at, reply): (usize, Result<Reply<SetStatus>>)| {
            let write = &writes[at];
            let outcome = reply.and_then(|reply| self.outcome(reply, &encode(write.value(), write.metadata())));
            (at, outcome)
        };
        places.iter().copied().zip(replies).map(outcome).collect()
    }

    /// Reads keys of any slots: each by itself, since one command has the keys of one slot.
    async fn read_apart(&self, call: &Call<'_>, keys: &[Cow<'_, str>], fields: Fields) -> Result<Vec<Option<Entry>>> {
        let sizes: Vec<usize> = keys.iter().map(|key| bytes_about([self.prefix.len(), key.len()])).collect();
        let command = |at: usize| command::read(&self.full_key(&keys[at]), fields);
        let read = |_, reply| match reply::read(reply, fields, &self.scope) {
            // What is no value is not there (VAL-7).
            Err(error) if error.kind() == ErrorKind::WrongType => Ok(None),
            read => read,
        };
        let replies = self.send_many(call, Idempotency::Read, &sizes, command, read).await;
        let named = |(reply, key): (Result<Reply<_>>, &Cow<'_, str>)| match reply {
            Ok(reply) => Ok(reply.answer),
            Err(error) => Err(error.with_key(key)),
        };
        replies.into_iter().zip(keys).map(named).collect()
    }

    /// Refuses keys that no script can have together: those of several slots of a cluster.
    fn check_together(&self, keys: &[Vec<u8>]) -> Result<()> {
        let apart = keys.iter().position(|key| slot_of(key) != slot_of(&keys[0]));
        match (&self.servers, apart) {
            (Servers::Cluster(_), Some(index)) => {
                let message = "its key lies in another slot of the cluster than that of the first item";
                Err(Error::invalid(Reason::KeysApart, message).with_index(index))
            }
            _ => Ok(()),
        }
    }

    /// The outcome of a set, with the version of what is stored now.
    fn outcome(&self, reply: Reply<SetStatus>, stored: &[u8]) -> Result<SetOutcome> {
        let outcome = reply.set_outcome();
        if outcome.is_written() { Ok(outcome.with_version(version(&self.scope, stored)?)) } else { Ok(outcome) }
    }
}

/// A place that is lost while its page is made is no cursor of the caller's.
fn of_first_page(error: Error, page: &ListPage<'_>) -> Error {
    if page.position().is_none() && error.reason() == Some(&Reason::CursorInvalid) {
        let message = "the servers have changed while they were listed";
        return Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Safe);
    }
    error
}

/// What a set with this condition was answered.
fn read_set(condition: &Condition, reply: Value) -> Result<SetStatus> {
    match condition {
        Condition::Always => reply::stored(reply),
        Condition::IfNotExists | Condition::IfExists => reply::set_if(reply, met_status(condition)),
        _ => reply::set_if_version(reply),
    }
}

/// What a set with this condition says when it was carried out (SET-5). Without one it does not show what was there.
fn met_status(condition: &Condition) -> SetStatus {
    match condition {
        Condition::Always => SetStatus::Stored,
        Condition::IfNotExists => SetStatus::Created,
        _ => SetStatus::Updated,
    }
}

/// How a set with this condition may be repeated.
fn idempotency(condition: &Condition) -> Idempotency {
    if *condition == Condition::Always { Idempotency::Idempotent } else { Idempotency::NonIdempotent }
}

/// The server does not know the script by its hash, or not any more.
fn is_no_script(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.code() == "NOSCRIPT")
}

#[async_trait]
impl Backend for RedisStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn methods(&self) -> Methods {
        Methods::NONE
            .with(Method::ReadMany)
            .with(Method::WriteMany)
            .with(Method::WriteAllOrNothing)
            .with(Method::List)
            .with(Method::Increment)
            .with(Method::Expire)
            .with(Method::Touch)
            .with(Method::GetAndDelete)
    }

    fn scope(&self) -> &str {
        &self.scope
    }

    fn clock(&self) -> &dyn Clock {
        self.remote.clock()
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let (key, fields) = (self.full_key(read.key()), read.fields());
        let command = || command::read(&key, fields);
        let answer = |reply| reply::read(reply, fields, &self.scope);
        Ok(self.send(Idempotency::Read, 0, command, answer).await?.answer)
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        let key = self.full_key(write.key());
        let stored = encode(write.value(), write.metadata());
        let command = || command::write(&self.scope, &key, &write, &stored);
        let answer = |reply| read_set(write.condition(), reply);
        let bytes = bytes_about([key.len(), stored.len()]);
        let reply = self.send(idempotency(write.condition()), bytes, command, answer).await?;
        self.outcome(reply, &stored)
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        let key = self.full_key(delete.key());
        let with_version = delete.if_version().is_some();
        let idempotency = if with_version { Idempotency::NonIdempotent } else { Idempotency::Idempotent };
        let command = || command::delete(&self.scope, &key, &delete);
        let reply = self.send(idempotency, 0, command, |reply| reply::deleted(reply, with_version)).await?;
        Ok(reply.delete_outcome())
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let fields = reads.fields();
        let call = self.remote.call();
        // `EXISTS` counts its keys, and `MGET` takes what is no value for missing (VAL-7): so one command asks for one
        // key, and all of them go out at once.
        if matches!(self.servers, Servers::Cluster(_)) || fields == Fields::Existence {
            return self.read_apart(&call, reads.keys(), fields).await;
        }
        let chunks = reads.keys().chunks(BATCH_ITEMS_MAX).map(|keys| {
            let keys: Vec<Vec<u8>> = keys.iter().map(|key| self.full_key(key)).collect();
            let call = &call;
            async move {
                let attempt = || async {
                    match fields {
                        Fields::All => {
                            let reply = self.attempt(command::read_entries(&keys)).await?;
                            reply::entries(reply, keys.len(), &self.scope)
                        }
                        _ => reply::values(self.attempt(command::read_values(&keys)).await?, keys.len()),
                    }
                };
                call.send(Idempotency::Read, attempt).await.map(|reply| reply.answer)
            }
            .boxed()
        });
        let chunks: Vec<Vec<_>> = self.remote.in_window(chunks).try_collect().await?;
        Ok(chunks.into_iter().flatten().collect())
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let call = self.remote.call();
        let writes = writes.writes();
        let always = |condition: &Condition| *condition == Condition::Always;
        let (states, steps) = join(
            self.write_some(&call, Idempotency::Idempotent, writes, always),
            self.write_some(&call, Idempotency::NonIdempotent, writes, |condition| !always(condition)),
        )
        .await;
        let mut results: Vec<Result<SetOutcome>> = writes.iter().map(|_| Err(lost_track())).collect();
        states.into_iter().chain(steps).for_each(|(at, outcome)| results[at] = outcome);
        results
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let call = self.remote.call();
        let keys = deletes.keys();
        let sizes: Vec<usize> = keys.iter().map(|key| bytes_about([self.prefix.len(), key.len()])).collect();
        let command = |at: usize| command::unlink(&self.full_key(&keys[at]));
        let read = |_, reply| reply::deleted(reply, false);
        let replies = self.send_many(&call, Idempotency::Idempotent, &sizes, command, read).await;
        replies.into_iter().map(|reply| reply.map(Reply::delete_outcome)).collect()
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        let writes = writes.writes();
        let keys: Vec<Vec<u8>> = writes.iter().map(|write| self.full_key(write.key())).collect();
        self.check_together(&keys)?;
        let (command, stored) = command::write_all(&self.scope, &keys, writes)?;
        let bytes = wire_bytes(&command.cmd);
        let answer = |reply| reply::first_unmet(reply, writes.len());
        let unmet = self.send(Idempotency::NonIdempotent, bytes, || command.clone(), answer).await?.answer;
        if let Some(index) = unmet {
            return Ok(BatchOutcome::NotMet { index });
        }
        let outcome = |(write, stored): (&Write<'_>, Vec<u8>)| {
            version(&self.scope, &stored)
                .map(|version| SetOutcome::new(met_status(write.condition())).with_version(version))
        };
        Ok(BatchOutcome::Written(writes.iter().zip(stored).map(outcome).collect::<Result<_>>()?))
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let call = self.remote.call();
        let pattern = starts_with_pattern(&[&self.prefix, page.prefix()].concat());
        let limit = page.limit().get();
        let mut count = limit.min(SCAN_COUNT_MAX);
        let mut place = Place::read(page.position())?;
        let (mut seen, mut items) = (HashSet::new(), Vec::new());
        for _ in 0..SCANS_MAX {
            let attempt = || self.servers.scan(&place, &pattern, count);
            let step = call.send(Idempotency::Read, attempt).await;
            let Step { keys, next } = step.map_err(|error| of_first_page(error, &page))?.answer;
            let before = items.len();
            for key in keys {
                let Some(key) = key.strip_prefix(self.prefix.as_bytes()) else { return Err(reply::unexpected()) };
                // What is no text, or empty, is no key here, and what comes twice is one: a page is not full of repeats.
                let Ok(key) = std::str::from_utf8(key) else { continue };
                if !key.is_empty() && seen.insert(key.to_owned()) {
                    items.push(ListItem::new(key));
                }
            }
            let Some(next) = next else { return Ok(RawPage::new(items, None)) };
            place = next;
            if items.len() >= limit {
                break;
            }
            if items.len() == before {
                count = (2 * count).min(SCAN_COUNT_MAX);
            }
        }
        Ok(RawPage::new(items, Some(place.write())))
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        let key = self.full_key(increment.key());
        let command = || command::increment(&key, &increment);
        let answer = |reply| reply::incremented(reply, &increment);
        Ok(self.send(Idempotency::NonIdempotent, 0, command, answer).await?.answer)
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        let key = self.full_key(expire.key());
        let command = || command::expire(&self.scope, &key, &expire);
        Ok(self.send(Idempotency::NonIdempotent, 0, command, reply::expired).await?.answer)
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        self.read_and_change(touch.key(), touch.fields(), Change::Expiry(touch.expiry())).await
    }

    async fn get_and_delete(&self, get_and_delete: GetAndDelete<'_>) -> Result<Option<Entry>> {
        self.read_and_change(get_and_delete.key(), get_and_delete.fields(), Change::Delete).await
    }

    async fn ping(&self) -> Result<()> {
        let command = || command::ping(self.prefix.as_bytes());
        self.send(Idempotency::Read, 0, command, reply::ponged).await?;
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.servers.close().await;
        Ok(())
    }
}
