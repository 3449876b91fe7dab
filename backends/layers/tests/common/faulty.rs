//! A backend that fails, waits or stands still when a test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use kv_api::{
    Backend, BatchOutcome, Capabilities, Delete, DeleteMany, DeleteOutcome, Entry, Error, ErrorKind, Expire,
    GetAndDelete, Increment, ListPage, RawPage, Read, ReadMany, Result, SetOutcome, Touch, Write, WriteMany,
    async_trait,
};

/// A backend whose reads and writes fail as long as a test wants. A call takes a few turns of the executor, and another
/// number of them each time.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Arc<dyn Backend>,
    reads: Mutex<Option<ErrorKind>>,
    writes: Mutex<Option<ErrorKind>>,
    calls: AtomicUsize,
    loses_answers: AtomicBool,
    /// Writes do not end while it is set.
    pub(crate) is_stuck: AtomicBool,
    pub(crate) is_closed: AtomicBool,
}

impl Faulty {
    pub(crate) fn new(inner: impl Backend) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(inner),
            reads: Mutex::default(),
            writes: Mutex::default(),
            calls: AtomicUsize::new(0),
            loses_answers: AtomicBool::new(false),
            is_stuck: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        })
    }

    pub(crate) fn fail_reads(&self, kind: impl Into<Option<ErrorKind>>) {
        *self.reads.lock().unwrap_or_else(PoisonError::into_inner) = kind.into();
    }

    /// The answer of every read is lost from now on, if there is one; only `ping` still answers.
    pub(crate) fn lose_answers(&self) {
        self.loses_answers.store(true, Ordering::Relaxed);
    }

    fn answer<T>(&self, answer: Result<T>) -> Result<T> {
        let is_lost = self.loses_answers.load(Ordering::Relaxed);
        answer.and_then(|answer| if is_lost { Err(Error::new(ErrorKind::Unavailable, "lost")) } else { Ok(answer) })
    }

    pub(crate) fn fail_writes(&self, kind: impl Into<Option<ErrorKind>>) {
        *self.writes.lock().unwrap_or_else(PoisonError::into_inner) = kind.into();
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    async fn enter(&self, fault: &Mutex<Option<ErrorKind>>) -> Result<()> {
        for _ in 0..self.calls.fetch_add(1, Ordering::Relaxed) % 4 {
            tokio::task::yield_now().await;
        }
        match *fault.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(kind) => Err(Error::new(kind, "on purpose")),
            None => Ok(()),
        }
    }

    async fn enter_write(&self) -> Result<()> {
        self.enter(&self.writes).await?;
        while self.is_stuck.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for Faulty {
    kv_api::forward_backend!(self => self.inner;
        forward: [scope, clock],
        implement: [read_now, write_now, read, write, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete, ping, close]);

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn read_now(&self, _: &Read<'_>) -> Option<Result<Option<Entry>>> {
        None
    }

    fn write_now(&self, _: &Write<'_>) -> Option<Result<SetOutcome>> {
        None
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        self.enter(&self.reads).await?;
        self.answer(self.inner.read(read).await)
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.enter_write().await?;
        self.inner.write(write).await
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.enter_write().await?;
        self.inner.delete(delete).await
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        self.enter(&self.reads).await?;
        self.answer(self.inner.read_many(reads).await)
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        match self.enter_write().await {
            Ok(()) => self.inner.write_many(writes).await,
            Err(error) => writes.writes().iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        match self.enter_write().await {
            Ok(()) => self.inner.delete_many(deletes).await,
            Err(error) => deletes.keys().iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        self.enter_write().await?;
        self.inner.write_all_or_nothing(writes).await
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        self.enter(&self.reads).await?;
        self.answer(self.inner.list(page).await)
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        self.enter_write().await?;
        self.inner.increment(increment).await
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        self.enter_write().await?;
        self.inner.expire(expire).await
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        self.enter_write().await?;
        self.inner.touch(touch).await
    }

    async fn get_and_delete(&self, request: GetAndDelete<'_>) -> Result<Option<Entry>> {
        self.enter_write().await?;
        self.inner.get_and_delete(request).await
    }

    async fn ping(&self) -> Result<()> {
        self.enter(&self.reads).await
    }

    async fn close(&self) -> Result<()> {
        self.is_closed.store(true, Ordering::Relaxed);
        self.enter(&self.writes).await
    }
}
