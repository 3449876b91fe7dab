//! The store: which statements a request takes, and what their answers mean.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use kv_api::{
    Backend, BatchOutcome, Capabilities, Clock, Delete, DeleteMany, DeleteOutcome, Entry, Error, ErrorKind, Expire,
    GetAndDelete, Increment, ListPage, Method, Methods, RawPage, Read, ReadMany, Reason, Result, Retry, SetOutcome,
    SetStatus, Touch, Write, WriteMany, async_trait,
};
use kv_remote::{BulkAnswer, BulkLimits, Call, Idempotency, Remote, Reply, send_bulk};
use kv_sql::{PutCondition, put_outcome};
use tokio::runtime::Handle;

use crate::capabilities::CAPABILITIES;
use crate::config::PostgresConfig;
use crate::get::{Get, Gets};
use crate::lane::Lane;
use crate::pool::Pool;
use crate::put::{CHUNK_BYTES_MAX, CHUNK_ITEMS_MAX, Put, Puts};
use crate::reclaim::Reclaim;
use crate::{page, queries, schema, step};

/// How many keys, and how many bytes of them, one statement reads or deletes.
pub(crate) const READ_KEYS_MAX: usize = 1000;
const KEYS: BulkLimits =
    BulkLimits { items_max: READ_KEYS_MAX, bytes_max: 1024 * 1024, frame_bytes: 0, separator_bytes: 0 };

const CHUNK: BulkLimits =
    BulkLimits { items_max: CHUNK_ITEMS_MAX, bytes_max: CHUNK_BYTES_MAX as u64, frame_bytes: 0, separator_bytes: 0 };

/// How many statements of one batch are under way at once.
const BATCH_STATEMENTS_MAX: usize = 2;

/// One namespace of the table `kv` in a PostgreSQL database.
///
/// Its connections belong to the tokio runtime that it was opened in.
pub struct PostgresStore {
    remote: Remote,
    pool: Arc<Pool>,
    puts: Arc<Lane<Puts>>,
    gets: Arc<Lane<Gets>>,
    reclaim: Arc<Reclaim>,
    namespace: String,
    origin: u64,
    scope: String,
}

/// Without the name of the namespace, in whose place a secret may stand by mistake (ERR-2).
impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("pool", &self.pool).field("remote", &self.remote).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects to the server, within a tokio runtime, and creates the tables where there are none.
    ///
    /// # Errors
    /// `Unavailable` when the server cannot be reached; `Unauthorized` when it does not accept the user, or the user
    /// lacks a right: then the error says what to run; `Misconfigured` when there is no such host or database, when
    /// tables of the same names are not the store's ([`Reason::Foreign`](kv_api::Reason::Foreign)) or of a newer
    /// version of this library ([`Reason::NewerSchema`](kv_api::Reason::NewerSchema)), when the server is older than
    /// PostgreSQL 14, or outside a tokio runtime.
    pub async fn open(config: PostgresConfig) -> Result<Self> {
        Self::connect(config).await.map_err(|error| error.with_store(CAPABILITIES.system).with_operation("open"))
    }

    async fn connect(config: PostgresConfig) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|error| {
            let message = "a PostgreSQL store is opened within a tokio runtime";
            Error::new(ErrorKind::Misconfigured, message).with_source(error)
        })?;
        let connector = config.connector()?;
        let PostgresConfig { namespace, connections_max, remote: settings, .. } = config;
        let (timer, patience) = (settings.timer(), settings.request_timeout());
        let pool = Pool::new(connector, Arc::clone(&timer), runtime.clone(), connections_max.get());
        let pool = Arc::new(pool);
        let remote = Remote::new(settings);
        // Opening it twice is opening it once.
        let attempt = || async {
            let mut connection = pool.borrow().await?;
            schema::open(&mut connection, &namespace).await
        };
        let origin = remote.call().send(Idempotency::Read, attempt).await?.answer;
        let puts = Puts { namespace: namespace.clone() };
        let gets = Gets { namespace: namespace.clone(), origin };
        Ok(Self {
            puts: Arc::new(Lane::new(puts, Arc::clone(&pool), Arc::clone(&timer), patience, runtime.clone())),
            gets: Arc::new(Lane::new(gets, Arc::clone(&pool), Arc::clone(&timer), patience, runtime.clone())),
            reclaim: Arc::new(Reclaim::new(Arc::clone(&pool), timer, patience, runtime)),
            scope: format!("{origin:016x}/{namespace}"),
            pool,
            remote,
            namespace,
            origin,
        })
    }

    /// The outcome of a put: after a repeat it is unknown whether there was an entry before the first attempt (ERR-5).
    fn set_outcome(&self, reply: Reply<Option<i64>>) -> SetOutcome {
        let outcome = put_outcome(self.origin, reply.answer);
        match outcome.version() {
            Some(version) if reply.repeated => SetOutcome::new(SetStatus::Stored).with_version(version.clone()),
            _ => outcome,
        }
    }

    /// Carries out one put, with others at first.
    async fn put(&self, call: &Call<'_>, mut put: Put) -> Result<Reply<Option<i64>>> {
        let idempotency = idempotency(std::iter::once(&put));
        let attempt = || {
            let repeat = put.repeat();
            (put.bytes(), self.puts.call(std::mem::replace(&mut put, repeat)))
        };
        call.send_body(idempotency, attempt).await
    }

    /// Writes the puts at these positions by one statement, or, where that waited for a row in vain, each by itself.
    async fn put_chunk(&self, call: &Call<'_>, puts: &[Put], items: &[usize]) -> BulkAnswer<SetOutcome> {
        let chosen: Vec<&Put> = items.iter().filter_map(|item| puts.get(*item)).collect();
        let bytes = chosen.iter().map(|put| put.bytes()).sum();
        let idempotency = idempotency(chosen.iter().copied());
        let chosen = &*chosen;
        let attempt = || async move {
            let mut connection = self.pool.borrow().await?;
            together(self.puts.work().put_each(&mut connection, chosen).await, chosen.len())
        };
        match call.send_body(idempotency, || (bytes, attempt())).await {
            Err(error) => BulkAnswer::refused(error),
            Ok(Reply { answer: Some(answers), repeated }) => {
                let outcome = |version| self.set_outcome(Reply { answer: version, repeated });
                let known = items.iter().copied().zip(answers.into_iter().map(|answer| answer.map(outcome)));
                BulkAnswer { known: known.collect(), rest: None }
            }
            Ok(Reply { answer: None, repeated }) => {
                let apart = chosen.iter().map(|put| {
                    let put = put.repeat();
                    async move { Ok(self.set_outcome(after(repeated, self.put(call, put).await)?)) }.boxed()
                });
                let results = self.remote.in_window(apart).collect::<Vec<_>>().await;
                BulkAnswer { known: items.iter().copied().zip(results).collect(), rest: None }
            }
        }
    }

    /// The same for deletes.
    async fn delete_chunk(&self, call: &Call<'_>, keys: &[&str], items: &[usize]) -> BulkAnswer<DeleteOutcome> {
        let chosen: Vec<&str> = items.iter().filter_map(|item| keys.get(*item).copied()).collect();
        let chosen = &*chosen;
        let attempt = || async move {
            let mut connection = self.pool.borrow().await?;
            together(step::delete_many(&mut connection, &self.namespace, chosen).await, chosen.len())
        };
        match call.send(Idempotency::Idempotent, attempt).await {
            Err(error) => BulkAnswer::refused(error),
            Ok(Reply { answer: Some(outcomes), repeated }) => {
                let outcome = |answer| Ok(Reply { answer, repeated }.delete_outcome());
                BulkAnswer { known: items.iter().copied().zip(outcomes.into_iter().map(outcome)).collect(), rest: None }
            }
            Ok(Reply { answer: None, repeated }) => {
                let apart = chosen.iter().map(|key| {
                    async move { Ok(after(repeated, self.delete_one(call, key, None).await)?.delete_outcome()) }.boxed()
                });
                let results = self.remote.in_window(apart).collect::<Vec<_>>().await;
                BulkAnswer { known: items.iter().copied().zip(results).collect(), rest: None }
            }
        }
    }

    async fn delete_one(&self, call: &Call<'_>, key: &str, if_version: Option<i64>) -> Result<Reply<DeleteOutcome>> {
        let idempotency = if if_version.is_none() { Idempotency::Idempotent } else { Idempotency::NonIdempotent };
        let attempt = || async {
            let mut connection = self.pool.borrow().await?;
            step::delete(&mut connection, &self.namespace, key, if_version).await
        };
        call.send(idempotency, attempt).await
    }
}

/// What became of a statement for so many items; `None` where one of their rows was locked, and the statement undone:
/// a repeat of all would only have the others wait for that row again.
fn together<T>(ended: Result<T>, items: usize) -> Result<Option<T>> {
    match ended {
        Err(error) if error.reason() == Some(&Reason::Busy) && items > 1 => Ok(None),
        ended => ended.map(Some),
    }
}

/// What is known of a request of which an earlier form may have been applied (ERR-5).
fn after<T>(maybe_applied: bool, ended: Result<Reply<T>>) -> Result<Reply<T>> {
    match ended {
        ended if !maybe_applied => ended,
        Ok(reply) => Ok(Reply { repeated: true, ..reply }),
        Err(error) => Err(error.with_retry(Retry::OutcomeUnknown)),
    }
}

/// Whether statements with these puts may be repeated when their outcome is unknown.
fn idempotency<'p>(mut puts: impl Iterator<Item = &'p Put>) -> Idempotency {
    let is_state = puts.all(|put| put.condition == PutCondition::Always);
    if is_state { Idempotency::Idempotent } else { Idempotency::NonIdempotent }
}

#[async_trait]
impl Backend for PostgresStore {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
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
        let fields = read.fields();
        let get = Get { key: read.into_key().into_owned(), fields };
        let call = self.remote.call();
        Ok(call.send(Idempotency::Read, || self.gets.call(get.clone())).await?.answer)
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        let put = Put::new(write, self.origin)?;
        let reply = self.put(&self.remote.call(), put).await?;
        self.reclaim.after_writes(1);
        Ok(self.set_outcome(reply))
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        let version = delete.if_version().map(|version| PutCondition::number(version, self.origin));
        Ok(self.delete_one(&self.remote.call(), delete.key(), version).await?.delete_outcome())
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let fields = reads.fields();
        let keys: Vec<&str> = reads.keys().iter().map(|key| &**key).collect();
        let call = self.remote.call();
        let mut entries = Vec::with_capacity(keys.len());
        for chunk in KEYS.plan(keys.iter().map(|key| key.len() as u64)) {
            let keys = keys.get(chunk).unwrap_or_default();
            let attempt = || async move {
                let mut connection = self.pool.borrow().await?;
                self.gets.work().get_many(&mut connection, keys.iter().copied(), fields).await
            };
            let found = call.send(Idempotency::Read, attempt).await?.answer;
            for entry in found {
                entries.push(entry?);
            }
        }
        Ok(entries)
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let writes = writes.into_writes();
        let count = writes.len();
        let puts: Result<Vec<Put>> = writes.into_iter().map(|write| Put::new(write, self.origin)).collect();
        let puts = match puts {
            Ok(puts) => puts,
            // A mistake of this library, not of an item.
            Err(error) => return vec![Err(error); count],
        };
        // A statement has one condition. Those of equal conditions stay in their order.
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|at| puts[*at].class());
        let plan = plan_by_class(&puts, &order);
        let call = self.remote.call();
        let send = |places: Vec<usize>| {
            let (call, puts, order) = (&call, &puts, &order);
            async move {
                let items: Vec<usize> = places.iter().filter_map(|place| order.get(*place).copied()).collect();
                let BulkAnswer { known, rest } = self.put_chunk(call, puts, &items).await;
                let known = places.into_iter().zip(known).map(|(place, (_, result))| (place, result)).collect();
                BulkAnswer { known, rest }
            }
        };
        let sorted = send_bulk(&call, plan, BATCH_STATEMENTS_MAX, send).await;
        self.reclaim.after_writes(count);
        let mut outcomes: Vec<_> = order.into_iter().zip(sorted).collect();
        outcomes.sort_unstable_by_key(|(item, _)| *item);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let keys: Vec<&str> = deletes.keys().iter().map(|key| &**key).collect();
        let call = self.remote.call();
        let send = |items: Vec<usize>| {
            let (call, keys) = (&call, &keys);
            async move { self.delete_chunk(call, keys, &items).await }
        };
        send_bulk(&call, KEYS.plan(keys.iter().map(|key| key.len() as u64)), BATCH_STATEMENTS_MAX, send).await
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        let put = |write| Put::new(write, self.origin);
        let puts = writes.into_writes().into_iter().map(put).collect::<Result<Vec<Put>>>()?;
        let bytes = puts.iter().map(Put::bytes).sum();
        let attempt = || async {
            let mut connection = self.pool.borrow().await?;
            self.puts.work().all_or_nothing(&mut connection, &puts, self.origin).await
        };
        let reply = self.remote.call().send_body(Idempotency::NonIdempotent, || (bytes, attempt())).await?;
        self.reclaim.after_writes(puts.len());
        Ok(reply.answer)
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let attempt = || async {
            let mut connection = self.pool.borrow().await?;
            page::list(&mut connection, &self.namespace, &page).await
        };
        Ok(self.remote.call().send(Idempotency::Read, attempt).await?.answer)
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        let attempt = || async {
            let mut connection = self.pool.borrow().await?;
            step::increment(&mut connection, &self.namespace, &increment).await
        };
        let value = self.remote.call().send(Idempotency::NonIdempotent, attempt).await?.answer;
        self.reclaim.after_writes(1);
        Ok(value)
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        let version = expire.if_version().map(|version| PutCondition::number(version, self.origin));
        let attempt = || async {
            let mut connection = self.pool.borrow().await?;
            step::expire(&mut connection, &self.namespace, &expire, version).await
        };
        Ok(self.remote.call().send(Idempotency::NonIdempotent, attempt).await?.answer)
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        let attempt = || async {
            let mut connection = self.pool.borrow().await?;
            step::touch(&mut connection, self.gets.work(), &touch).await
        };
        Ok(self.remote.call().send(Idempotency::NonIdempotent, attempt).await?.answer)
    }

    async fn get_and_delete(&self, get_and_delete: GetAndDelete<'_>) -> Result<Option<Entry>> {
        let attempt = || async {
            let mut connection = self.pool.borrow().await?;
            step::get_and_delete(&mut connection, self.gets.work(), &get_and_delete).await
        };
        Ok(self.remote.call().send(Idempotency::NonIdempotent, attempt).await?.answer)
    }

    async fn ping(&self) -> Result<()> {
        let attempt = || async {
            let mut connection = self.pool.borrow().await?;
            connection.row(queries::PING, connection.arguments()).await
        };
        match self.remote.call().send(Idempotency::Read, attempt).await?.answer {
            Some(_) => Ok(()),
            None => Err(Error::new(ErrorKind::Misconfigured, "another program has emptied the table kv_meta")),
        }
    }

    async fn close(&self) -> Result<()> {
        self.pool.close().await;
        Ok(())
    }
}

/// The places in `order`, in ranges of one class and bounded size.
fn plan_by_class(puts: &[Put], order: &[usize]) -> Vec<Range<usize>> {
    let mut plan = Vec::new();
    let mut begin = 0;
    for run in order.chunk_by(|left, right| puts[*left].class() == puts[*right].class()) {
        let sizes = run.iter().map(|at| puts[*at].bytes() as u64);
        plan.extend(CHUNK.plan(sizes).into_iter().map(|range| begin + range.start..begin + range.end));
        begin += run.len();
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{Resolver, SetItem, SystemClock};

    fn busy() -> Error {
        Error::new(ErrorKind::Unavailable, "locked").with_reason(Reason::Busy).with_retry(Retry::Safe)
    }

    #[test]
    fn only_several_items_that_waited_for_a_row_are_tried_apart() {
        assert!(matches!(together(Ok(7), 2), Ok(Some(7))));
        assert!(matches!(together::<()>(Err(busy()), 2), Ok(None)));
        assert_eq!(together::<()>(Err(busy()), 1).unwrap_err().reason(), Some(&Reason::Busy));
        let full = Error::new(ErrorKind::Exhausted, "full");
        assert_eq!(together::<()>(Err(full), 2).unwrap_err().kind(), ErrorKind::Exhausted);
    }

    fn put(item: SetItem<'_>) -> Put {
        Put::new(Resolver::new(&CAPABILITIES).write(item, &SystemClock).unwrap(), 1).unwrap()
    }

    #[test]
    fn err_4_only_puts_without_a_condition_set_a_state() {
        let (state, step) = (put(SetItem::new("k", "v")), put(SetItem::new("k", "v").if_exists()));
        for (puts, expected) in [
            (&[&state, &state][..], Idempotency::Idempotent),
            (&[&step], Idempotency::NonIdempotent),
            (&[&state, &step], Idempotency::NonIdempotent),
        ] {
            assert_eq!(idempotency(puts.iter().copied()), expected);
        }
    }

    #[test]
    fn each_statement_has_puts_of_one_class() {
        let (state, step) = (|| put(SetItem::new("k", "v")), || put(SetItem::new("k", "v").if_not_exists()));
        let puts = [state(), step(), state(), state(), step()];
        assert_eq!(plan_by_class(&puts, &[0, 2, 3, 1, 4]), [0..3, 3..5]);
        assert_eq!(plan_by_class(&puts, &[0, 1, 2, 3, 4]), [0..1, 1..2, 2..4, 4..5]);
        assert_eq!(plan_by_class(&puts, &[]), []);
    }

    #[test]
    fn err_5_what_may_have_been_applied_before_makes_the_end_uncertain() {
        let replies = [false, true].map(|repeated| Reply { answer: 1, repeated });
        for reply in replies {
            assert_eq!(after(false, Ok(reply)).unwrap(), reply);
            assert_eq!(after(true, Ok(reply)).unwrap(), Reply { answer: 1, repeated: true });
        }
        assert_eq!(after::<()>(false, Err(busy())).unwrap_err().retry(), Retry::Safe);
        assert_eq!(after::<()>(true, Err(busy())).unwrap_err().retry(), Retry::OutcomeUnknown);
    }
}
