//! The store: hands requests to the tasks that write and read.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kv_api::{
    Backend, BatchOutcome, Capabilities, Clock, Delete, DeleteMany, DeleteOutcome, Entry, Error, ErrorKind, Expire,
    GetAndDelete, Increment, ListPage, Method, Methods, RawPage, Read, ReadMany, Result, Retry, SetOutcome, Touch,
    Write, WriteMany, async_trait,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::capabilities::CAPABILITIES;
use crate::chunks::chunks;
use crate::config::SqliteConfig;
use crate::connection::{BusyRetry, Opening, ReconnectingConnection, Role};
use crate::direct_reader::{DirectReader, Lent};
use crate::error::{closed, read_only, unanswered};
use crate::files::Files;
use crate::operation::{Action, Answer, Operation};
use crate::reader::{Crowd, Query, Reader};
use crate::schema::{self, NamespaceId};
use crate::task_host::TaskHost;
use crate::writer::{Job, Writer};

/// How many calls wait in a channel before further callers wait for a place in it.
const QUEUE_MAX: usize = 1024;

/// How much of a batch is handed to the writer at once: what one transaction takes, where nobody else waits.
const BATCH_ITEMS_MAX: usize = 50_000;
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many keys, and how many bytes of them, one statement reads.
pub(crate) const READ_KEYS_MAX: usize = 1000;
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One namespace of one SQLite file, open.
///
/// One task writes: it takes all calls that wait, commits them together, and then answers each. Further tasks read, one
/// per connection. They belong to the tokio runtime that the store was opened in, and end when the store is closed or
/// dropped; an acknowledged write is in the file by then in any case.
pub struct SqliteStore {
    namespace_id: NamespaceId,
    scope: String,
    opening: Arc<Opening>,
    host: TaskHost,
    /// `None` in a store for reading only.
    writer: Option<mpsc::Sender<Job>>,
    readers: Vec<mpsc::Sender<Query>>,
    next_reader: AtomicUsize,
    /// For a get that comes alone: its caller's task runs it, which saves the way to a reader's task and back. While it
    /// is lent, gets go to the readers.
    direct_reader: DirectReader,
    crowd: Arc<Crowd>,
    /// Each task holds the other end while it works.
    working: watch::Receiver<()>,
}

impl SqliteStore {
    /// Opens the file, creating it, its schema and the namespace where they are missing and the settings allow it. A
    /// file of an older version of this library is migrated; one of a newer version, or not ours at all, is left as it
    /// is.
    ///
    /// Needs a tokio runtime with time enabled; without time it panics as tokio does.
    ///
    /// # Errors
    /// `InvalidArgument` for settings that mean nothing; `Misconfigured` outside of a tokio runtime, and when the file
    /// cannot be reached, is not ours ([`Reason::Foreign`](kv_api::Reason::Foreign)), is of a newer version
    /// ([`Reason::NewerSchema`](kv_api::Reason::NewerSchema)), or has several names
    /// ([`Reason::HardLinked`](kv_api::Reason::HardLinked)); `Unavailable` with [`Reason::Busy`](kv_api::Reason::Busy)
    /// when another process keeps its lock; `Exhausted` when the disk is full.
    pub async fn open(config: SqliteConfig) -> Result<Self> {
        Self::open_file(config).await.map_err(|error| error.with_store(CAPABILITIES.system).with_operation("open"))
    }

    async fn open_file(config: SqliteConfig) -> Result<Self> {
        config.check()?;
        let host = TaskHost::current(Arc::clone(&config.timer))?;
        // A runtime without timers is found here, and not when another process holds the lock for the first time.
        config.timer.sleep(Duration::ZERO).await;
        // Absolute, so that the name is never read as a URI and a later change of directory moves nothing.
        let path = std::path::absolute(&config.path).map_err(|error| {
            Error::new(ErrorKind::Misconfigured, "the path of the file cannot be made absolute").with_source(error)
        })?;
        if path.to_str().is_none() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the path of the file must be UTF-8, as SQLite takes it",
            ));
        }
        let busy_retry = BusyRetry { timer: Arc::clone(&config.timer), limit: config.busy_timeout };
        let opening = Arc::new(Opening { files: Files::new(path), config });
        let (connection, namespace_id) = schema::open(&opening, &busy_retry).await?;
        Self::start(host, opening, connection, namespace_id).await
    }

    /// Starts the tasks on a file that is ready; `connection` is the writer's, or the first reader's.
    async fn start(
        host: TaskHost,
        opening: Arc<Opening>,
        connection: ReconnectingConnection,
        namespace_id: NamespaceId,
    ) -> Result<Self> {
        let config = &opening.config;
        let busy_retry = connection.busy_retry.clone();
        let (task, working) = watch::channel(());
        let mut connections = Vec::new();
        let writer = if config.read_only {
            connections.push(connection);
            None
        } else {
            let (jobs, receiver) = mpsc::channel(QUEUE_MAX);
            let writer = Writer::new(connection, namespace_id, Arc::clone(&config.clock), config.durability, receiver);
            tokio::spawn(while_working(task.clone(), writer.run()));
            Some(jobs)
        };
        let open = || ReconnectingConnection::open(Arc::clone(&opening), Role::Reader, false, busy_retry.clone());
        while connections.len() < config.readers.get() {
            connections.push(open().await?);
        }
        let crowd = Arc::new(Crowd::default());
        let reader = |connection, queries| {
            Reader::new(connection, namespace_id, Arc::clone(&config.clock), queries, Arc::clone(&crowd))
        };
        // Nobody asks it through its channel.
        let direct_reader = reader(open().await?, mpsc::channel(1).1);
        let start = |connection| {
            let (queries, receiver) = mpsc::channel(QUEUE_MAX);
            let reader = reader(connection, receiver);
            tokio::spawn(while_working(task.clone(), reader.run()));
            queries
        };
        Ok(Self {
            namespace_id,
            scope: format!("{:016x}/{}", namespace_id.file_id, config.namespace),
            readers: connections.into_iter().map(start).collect(),
            next_reader: AtomicUsize::new(0),
            direct_reader: DirectReader::new(direct_reader),
            crowd: Arc::clone(&crowd),
            working,
            writer,
            host,
            opening,
        })
    }

    fn writer(&self) -> Result<&mpsc::Sender<Job>> {
        self.writer.as_ref().ok_or_else(read_only)
    }

    /// Hands one operation to the writer. A future that is dropped while it waits for the answer changes nothing: the
    /// operation is carried out whole (ERR-6).
    async fn carry_out(&self, operation: Operation) -> Result<Answer> {
        self.hand_over(|reply| Job::One { operation, reply }).await?
    }

    /// Hands operations on distinct keys to the writer, in transactions of bounded size; one answer for each, in order.
    async fn carry_out_many(&self, operations: Vec<Operation>) -> Vec<Result<Answer>> {
        let mut answers = Vec::with_capacity(operations.len());
        for chunk in chunks(operations, BATCH_ITEMS_MAX, BATCH_BYTES_MAX, Operation::bytes) {
            answers.extend(self.carry_out_chunk(chunk).await);
        }
        answers
    }

    async fn carry_out_chunk(&self, operations: Vec<Operation>) -> Vec<Result<Answer>> {
        let items = operations.len();
        match self.hand_over(|reply| Job::Many { operations, reply }).await {
            Ok(answers) => answers,
            Err(error) => vec![Err(error); items],
        }
    }

    /// Hands a job to the writer and waits for its answer.
    async fn hand_over<A>(&self, job: impl FnOnce(oneshot::Sender<A>) -> Job) -> Result<A> {
        let writer = self.writer()?;
        let call = async {
            let (reply, answer) = oneshot::channel();
            writer.send(job(reply)).await.map_err(|_| closed())?;
            answer.await.map_err(|_| unanswered())
        };
        self.host.call(Retry::OutcomeUnknown, call).await
    }

    /// The direct reader, where it is idle and a get costs less by itself than together with others. Only within the
    /// runtime of the store, and no longer than its tasks.
    fn idle_reader(&self) -> Option<Lent<'_>> {
        if self.crowd.is_there() || !self.host.is_callers() || self.readers.iter().all(mpsc::Sender::is_closed) {
            return None;
        }
        self.direct_reader.lend()
    }

    /// Asks the readers in turn.
    async fn ask<A>(&self, query: impl FnOnce(oneshot::Sender<Result<A>>) -> Query) -> Result<A> {
        let turn = self.next_reader.fetch_add(1, Ordering::Relaxed);
        let reader = &self.readers[turn % self.readers.len()];
        let call = async {
            let (reply, answer) = oneshot::channel();
            reader.send(query(reply)).await.map_err(|_| closed())?;
            // A read changes nothing, so one that was never answered was certainly not applied.
            answer.await.map_err(|_| closed())?
        };
        self.host.call(Retry::Safe, call).await
    }

    /// Ends the tasks, and waits until all of them have ended.
    async fn end_tasks(&self) -> Result<()> {
        // The readers first: the log can be moved into the file whole only while no reader uses it.
        let mut first_error = self.direct_reader.close(&*self.opening.config.timer).await;
        for reader in &self.readers {
            let (reply, answer) = oneshot::channel();
            if reader.send(Query::Close { reply }).await.is_ok() {
                first_error = first_error.and(answer.await.unwrap_or(Ok(())));
            }
        }
        if let Some(writer) = &self.writer {
            let (reply, answer) = oneshot::channel();
            if writer.send(Job::Close { reply }).await.is_ok() {
                first_error = first_error.and(answer.await.unwrap_or(Ok(())));
            }
        }
        // Tasks that another call has asked to end may not have ended yet.
        let mut working = self.working.clone();
        while working.changed().await.is_ok() {}
        first_error
    }
}

/// Path and namespace.
impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.opening.files.path)
            .field("namespace", &self.opening.config.namespace)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for SqliteStore {
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
        &*self.opening.config.clock
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let fields = read.fields();
        if let Some(mut lent) = self.idle_reader()
            && let Some(reader) = lent.reader()
        {
            return self.host.call(Retry::Safe, reader.get(read.key(), fields)).await?;
        }
        let key = read.into_key().into_owned();
        self.ask(|reply| Query::Get { key, fields, reply }).await
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        set_outcome(self.carry_out(Operation::put(write, self.namespace_id.file_id)?).await)
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        delete_outcome(self.carry_out(Operation::delete(delete, self.namespace_id.file_id)).await)
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let fields = reads.fields();
        let keys = reads.into_keys();
        let mut entries = Vec::with_capacity(keys.len());
        for chunk in chunks(keys, READ_KEYS_MAX, READ_BYTES_MAX, |key| key.len()) {
            let keys = chunk.into_iter().map(Cow::into_owned).collect();
            entries.extend(self.ask(|reply| Query::GetMany { keys, fields, reply }).await?);
        }
        Ok(entries)
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let writes = writes.into_writes();
        let mut operations = Vec::with_capacity(writes.len());
        let mut refused = Vec::new();
        for (index, write) in writes.into_iter().enumerate() {
            match Operation::put(write, self.namespace_id.file_id) {
                Ok(operation) => operations.push(operation),
                Err(error) => refused.push((index, error)),
            }
        }
        let mut outcomes: Vec<_> = self.carry_out_many(operations).await.into_iter().map(set_outcome).collect();
        // In the order of their indexes, so each lands where it was.
        for (index, error) in refused {
            outcomes.insert(index.min(outcomes.len()), Err(error));
        }
        outcomes
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let delete =
            |key: Cow<'_, str>| Operation { key: key.into_owned(), action: Action::Delete { if_version: None } };
        let operations = deletes.into_keys().into_iter().map(delete).collect();
        self.carry_out_many(operations).await.into_iter().map(delete_outcome).collect()
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        let put = |write| Operation::put(write, self.namespace_id.file_id);
        let operations = writes.into_writes().into_iter().map(put).collect::<Result<_>>()?;
        self.hand_over(|reply| Job::AllOrNothing { operations, reply }).await?
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let (prefix, limit) = (page.prefix().to_owned(), page.limit().get());
        let position = page.position().map(<[u8]>::to_vec);
        self.ask(|reply| Query::List { prefix, limit, position, reply }).await
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        match self.carry_out(Operation::increment(increment)).await? {
            Answer::Count(value) => Ok(value),
            _ => Err(wrong_answer()),
        }
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        match self.carry_out(Operation::expire(expire, self.namespace_id.file_id)).await? {
            Answer::Expire(found) => Ok(found),
            _ => Err(wrong_answer()),
        }
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        read_entry(self.carry_out(Operation::touch(touch)).await)
    }

    async fn get_and_delete(&self, get_and_delete: GetAndDelete<'_>) -> Result<Option<Entry>> {
        read_entry(self.carry_out(Operation::get_and_delete(get_and_delete)).await)
    }

    async fn ping(&self) -> Result<()> {
        self.ask(|reply| Query::Ping { reply }).await
    }

    async fn close(&self) -> Result<()> {
        self.host.call(Retry::Safe, self.end_tasks()).await
    }
}

/// Runs a task, and lets go of `task` when it has ended, whichever way.
async fn while_working(task: watch::Sender<()>, run: impl Future<Output = ()>) {
    run.await;
    drop(task);
}

fn set_outcome(answer: Result<Answer>) -> Result<SetOutcome> {
    match answer? {
        Answer::Set(outcome) => Ok(outcome),
        _ => Err(wrong_answer()),
    }
}

fn delete_outcome(answer: Result<Answer>) -> Result<DeleteOutcome> {
    match answer? {
        Answer::Delete(outcome) => Ok(outcome),
        _ => Err(wrong_answer()),
    }
}

fn read_entry(answer: Result<Answer>) -> Result<Option<Entry>> {
    match answer? {
        Answer::Entry(entry) => Ok(entry),
        _ => Err(wrong_answer()),
    }
}

fn wrong_answer() -> Error {
    Error::new(ErrorKind::Internal, "the writer answered another question")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::direct_reader::GET_MAX;
    use futures_util::future::join_all;
    use kv_api::{Fields, Reason, Resolver, SetItem, Value};
    use std::path::PathBuf;
    use std::pin::pin;

    const RESOLVER: Resolver<'static> = Resolver::new(&CAPABILITIES);

    /// A store whose file may not grow beyond `pages`: to SQLite that is a full disk.
    async fn store_with_pages(path: PathBuf, pages: u32) -> SqliteStore {
        let config = SqliteConfig::new(&path);
        let busy_retry = BusyRetry { timer: Arc::clone(&config.timer), limit: config.busy_timeout };
        let host = TaskHost::current(Arc::clone(&config.timer)).unwrap();
        let opening = Arc::new(Opening { files: Files::new(path), config });
        let (mut connection, namespace_id) = schema::open(&opening, &busy_retry).await.unwrap();
        let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(limit).fetch_all(&mut connection.connection).await.unwrap();
        SqliteStore::start(host, opening, connection, namespace_id).await.unwrap()
    }

    async fn set(store: &SqliteStore, key: &str, bytes: usize) -> Result<SetOutcome> {
        store.write(RESOLVER.write(SetItem::new(key, Value::from(vec![1; bytes])), store.clock()).unwrap()).await
    }

    async fn exists(store: &SqliteStore, key: &str) -> bool {
        store.read(RESOLVER.read(key, Fields::Existence).unwrap()).await.unwrap().is_some()
    }

    fn read(key: &str) -> Read<'_> {
        RESOLVER.read(key, Fields::Existence).unwrap()
    }

    #[tokio::test]
    async fn a_get_that_comes_alone_needs_no_reader_task_and_those_that_come_together_do() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(SqliteConfig::new(directory.path().join("app.db"))).await.unwrap();
        set(&store, "a", 1).await.unwrap();
        assert!(store.idle_reader().is_some());
        // No task of the store runs in between: this runtime has one thread.
        let gets = join_all((0..10).map(|_| store.read(read("a")))).await;
        assert!(gets.into_iter().all(|found| found.unwrap().is_some()));
        assert!(store.idle_reader().is_none(), "they came together");
        assert!(exists(&store, "a").await && !exists(&store, "b").await);
        assert!(store.idle_reader().is_some(), "they came alone");
        store.close().await.unwrap();
        assert!(store.idle_reader().is_none());
        assert!(store.read(read("a")).await.is_err());
    }

    #[tokio::test]
    async fn err_6_a_get_that_is_not_polled_any_more_holds_up_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let timer = kv_api::ManualClock::new(kv_api::Timestamp::UNIX_EPOCH);
        let config = SqliteConfig::new(directory.path().join("app.db")).with_timer(Arc::new(timer.clone()));
        let store = SqliteStore::open(config).await.unwrap();
        set(&store, "a", 1).await.unwrap();
        let taken = store.idle_reader();
        assert!(taken.is_some());
        assert!(exists(&store, "a").await && !exists(&store, "b").await);
        set(&store, "b", 1).await.unwrap();
        assert!(exists(&store, "b").await);
        let mut closing = pin!(store.close());
        assert!(futures_util::poll!(&mut closing).is_pending());
        timer.advance(GET_MAX);
        closing.await.unwrap();
        drop(taken);
        assert!(store.read(read("a")).await.is_err(), "the store is closed, though the connection is there");
    }

    #[tokio::test]
    async fn life_2_calls_of_close_that_come_together_all_end() {
        let directory = tempfile::tempdir().unwrap();
        let timer = kv_api::ManualClock::new(kv_api::Timestamp::UNIX_EPOCH);
        let config = SqliteConfig::new(directory.path().join("app.db")).with_timer(Arc::new(timer.clone()));
        let store = SqliteStore::open(config).await.unwrap();
        let lent = store.idle_reader();
        let mut closing = pin!(join_all((0..3).map(|_| store.close())));
        assert!(futures_util::poll!(&mut closing).is_pending());
        drop(lent);
        assert!(closing.await.into_iter().all(|closed| closed.is_ok()), "no time has passed");
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_told_loses_nothing_and_ends_when_there_is_room_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_with_pages(directory.path().join("app.db"), 100).await;
        set(&store, "kept", 200_000).await.unwrap();
        for callers in [1, 3] {
            let keys: Vec<String> = (0..callers).map(|index| format!("more/{index}")).collect();
            for outcome in join_all(keys.iter().map(|key| set(&store, key, 300_000))).await {
                let error = outcome.unwrap_err();
                assert_eq!((error.kind(), error.reason()), (ErrorKind::Exhausted, Some(&Reason::StoreFull)), "{error}");
                assert!(!error.is_outcome_unknown(), "{error}");
            }
            for key in &keys {
                assert!(!exists(&store, key).await);
            }
        }
        let items = (0..5).map(|index| SetItem::new(format!("batch/{index}"), Value::from(vec![1; 60_000])));
        let batch = RESOLVER.all_or_nothing(items, store.clock()).unwrap().unwrap();
        assert_eq!(store.write_all_or_nothing(batch).await.unwrap_err().kind(), ErrorKind::Exhausted);
        assert!(exists(&store, "kept").await && !exists(&store, "batch/0").await);
        store.delete(RESOLVER.delete("kept", None, false).unwrap()).await.unwrap();
        set(&store, "more", 300_000).await.unwrap();
        assert!(exists(&store, "more").await);
        store.close().await.unwrap();
    }

    /// Values too large for statements in common, so that the disk is full in the midst of a transaction.
    #[tokio::test]
    async fn batch_6_each_item_of_a_large_batch_says_whether_there_was_room_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_with_pages(directory.path().join("app.db"), 4000).await;
        let items = (0..40).map(|index| SetItem::new(format!("{index:02}"), Value::from(vec![1; 500_000])));
        let batch = RESOLVER.all_or_nothing(items, store.clock()).unwrap().unwrap();
        let (mut kept, mut refused) = (0, 0);
        for (index, outcome) in store.write_many(batch).await.into_iter().enumerate() {
            let exists = exists(&store, &format!("{index:02}")).await;
            match outcome {
                Ok(_) => kept += usize::from(exists),
                Err(error) => {
                    assert_eq!(error.reason(), Some(&Reason::StoreFull), "{error}");
                    assert!(!error.is_outcome_unknown() && !exists, "{error}");
                    refused += 1;
                }
            }
        }
        assert!(kept >= 20 && kept + refused == 40, "{kept} kept, {refused} refused");
        store.close().await.unwrap();
    }
}
