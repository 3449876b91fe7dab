//! The connections of a store: a bounded number, made when they are needed.

use std::fmt;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use kv_api::{Error, ErrorKind, Result, Retry, Timer};
use sqlx::postgres::PgRow;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::arguments::{Arguments, Protocol};
use crate::connection::{Connection, Connector};
use crate::leftovers::Leftovers;

/// A connection that was idle for longer is asked whether it is alive before a statement is trusted to it, at the price
/// of a round trip: what closes idle connections counts in minutes.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// How long a connection is waited for that was idle, or has the rest of an answer to bring that nobody wants any more.
/// Behind what forgets connections without a word none comes.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);

pub(crate) struct Pool {
    connector: Connector,
    timer: Arc<dyn Timer>,
    runtime: Handle,
    connections_max: u32,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    /// How many connections were lost so far: what broke one may have broken all.
    losses: AtomicU64,
    pub(crate) leftovers: Arc<Leftovers>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("host", &self.connector.host)
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(connector: Connector, timer: Arc<dyn Timer>, runtime: Handle, connections_max: u32) -> Self {
        let places = usize::try_from(connections_max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            connector,
            timer,
            runtime,
            connections_max,
            places: Arc::new(Semaphore::new(places)),
            idle: Mutex::new(Vec::new()),
            losses: AtomicU64::new(0),
            leftovers: Arc::default(),
        }
    }

    pub(crate) const fn protocol(&self) -> Protocol {
        self.connector.protocol
    }

    pub(crate) fn connections_max(&self) -> usize {
        usize::try_from(self.connections_max).unwrap_or(usize::MAX)
    }

    /// A connection, when there is a place for one. Nothing of a call has been sent when this fails.
    pub(crate) async fn borrow(self: &Arc<Self>) -> Result<Borrowed> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| {
            // It is never closed.
            Error::new(ErrorKind::Internal, "the places for connections are closed")
        })?;
        self.leftovers.settle(&*self.timer).await;
        let mut borrowed = Borrowed { pool: Arc::clone(self), connection: None, place: Some(place) };
        while let Some(connection) = self.pop() {
            let is_trusted = connection.losses_seen == self.losses.load(Ordering::Relaxed)
                && self.timer.monotonic_now().saturating_sub(connection.used_at) < IDLE_MAX;
            let connection = borrowed.connection.insert(connection);
            if is_trusted || is_alive(connection, &*self.timer).await {
                return Ok(borrowed);
            }
            borrowed.connection = None;
            self.losses.fetch_add(1, Ordering::Relaxed);
        }
        borrowed.connection = Some(self.connector.connect().await?);
        Ok(borrowed)
    }

    /// Waits for the statements under way and closes all connections.
    pub(crate) async fn close(&self) {
        // It is never closed, so an error does not come.
        let _all = self.places.acquire_many(self.connections_max).await;
        while let Some(connection) = self.pop() {
            connection.close().await;
        }
    }

    fn give_back(&self, mut connection: Connection) {
        connection.used_at = self.timer.monotonic_now();
        connection.losses_seen = self.losses.load(Ordering::Relaxed);
        self.idle().push(connection);
    }

    fn pop(&self) -> Option<Connection> {
        self.idle().pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // Nothing in here can panic half-way, so a poisoned lock still guards a whole state.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection and its place, given back when this is dropped.
pub(crate) struct Borrowed {
    pool: Arc<Pool>,
    /// `None` once it was lost.
    connection: Option<Connection>,
    /// `None` only while it is dropped.
    place: Option<OwnedSemaphorePermit>,
}

impl Borrowed {
    pub(crate) fn arguments(&self) -> Arguments {
        Arguments::new(self.pool.protocol())
    }

    /// Whether a further statement can be sent on it.
    pub(crate) const fn is_usable(&self) -> bool {
        self.connection.is_some()
    }

    /// Carries out a statement and hands over its rows, until it asks to stop.
    pub(crate) async fn each_row(
        &mut self,
        sql: &'static str,
        arguments: Arguments,
        each: impl FnMut(PgRow) -> Result<ControlFlow<()>> + Send,
    ) -> Result<()> {
        let sent = arguments.of(sql)?;
        let ended = self.connection()?.run(sent, each).await;
        self.look_at(ended)
    }

    /// All rows of a statement.
    pub(crate) async fn rows(&mut self, sql: &'static str, arguments: Arguments) -> Result<Vec<PgRow>> {
        let mut rows = Vec::new();
        let each = |row| {
            rows.push(row);
            Ok(ControlFlow::Continue(()))
        };
        self.each_row(sql, arguments, each).await?;
        Ok(rows)
    }

    /// The only row of a statement that has one at most.
    pub(crate) async fn row(&mut self, sql: &'static str, arguments: Arguments) -> Result<Option<PgRow>> {
        Ok(self.rows(sql, arguments).await?.into_iter().next())
    }

    /// Begins a transaction. Unless it is ended by [`end`](Self::end), the connection is closed, which undoes it.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        self.connection()?.in_transaction = true;
        self.command(crate::queries::BEGIN).await
    }

    /// Ends a transaction by `COMMIT` or `ROLLBACK`.
    pub(crate) async fn end(&mut self, sql: &'static str) -> Result<()> {
        self.command(sql).await?;
        self.connection()?.in_transaction = false;
        Ok(())
    }

    /// Carries out a text without parameters, which may be several statements.
    pub(crate) async fn command(&mut self, sql: &'static str) -> Result<()> {
        let ended = self.connection()?.command(sql).await;
        self.look_at(ended)
    }

    fn connection(&mut self) -> Result<&mut Connection> {
        let lost = || Error::new(ErrorKind::Unavailable, "the connection broke").with_retry(Retry::Safe);
        self.connection.as_mut().ok_or_else(lost)
    }

    fn look_at(&mut self, ended: Result<(), crate::error::Failure>) -> Result<()> {
        ended.map_err(|failure| {
            if failure.is_lost {
                self.connection = None;
                self.pool.losses.fetch_add(1, Ordering::Relaxed);
            }
            failure.error
        })
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        // Closing it undoes the transaction.
        if connection.in_transaction {
            return;
        }
        if !connection.is_busy {
            return self.pool.give_back(connection);
        }
        // A caller has gone away in the middle. What it has sent is carried out or not; the rest of the answer is
        // waited for, a little, and the connection keeps its place for so long.
        let leftover = connection.is_changing.then(|| self.pool.leftovers.add());
        let (pool, place) = (Arc::clone(&self.pool), self.place.take());
        self.pool.runtime.spawn(async move {
            if is_alive(&mut connection, &*pool.timer).await {
                pool.give_back(connection);
            }
            drop((leftover, place));
        });
    }
}

async fn is_alive(connection: &mut Connection, timer: &dyn Timer) -> bool {
    matches!(select(pin!(connection.is_alive()), timer.sleep(ALIVE_WITHIN)).await, Either::Left((true, _)))
}
