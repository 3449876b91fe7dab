//! The tasks that read: each holds a connection, and answers the gets that wait for it by one statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kv_api::{Clock, Entry, Error, ErrorKind, Fields, RawPage, Reason, Result, Retry};
use kv_sql::{first_key, key_after};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row};
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

use crate::connection::ReconnectingConnection;
use crate::error::{Stage, from_sqlx, is_busy, primary_code};
use crate::found::{Content, Slots, not_asked_for};
use crate::list::decode_page;
use crate::pack::Packed;
use crate::queries;
use crate::row::decode_entry;
use crate::schema::NamespaceId;
use crate::statement::{Statement, fetch_first, fetch_rows};

/// What a store asks of a reader.
#[derive(Debug)]
pub(crate) enum Query {
    Get { key: String, fields: Fields, reply: oneshot::Sender<Result<Option<Entry>>> },
    GetMany { keys: Vec<String>, fields: Fields, reply: oneshot::Sender<Result<Vec<Option<Entry>>>> },
    List { prefix: String, limit: usize, position: Option<Vec<u8>>, reply: oneshot::Sender<Result<RawPage>> },
    Ping { reply: oneshot::Sender<Result<()>> },
    Close { reply: oneshot::Sender<Result<()>> },
}

/// How many reads come at once, as far as the readers have seen.
#[derive(Debug, Default)]
pub(crate) struct Crowd(AtomicBool);

impl Crowd {
    /// Whether the last gets came together: then they cost less together than each by itself.
    pub(crate) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Which rows of a statement are asked for.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    First,
    All,
}

/// A get that waits.
struct Get {
    key: String,
    fields: Fields,
    reply: oneshot::Sender<Result<Option<Entry>>>,
}

/// How many gets one statement answers at most.
const GROUP_GETS_MAX: usize = 256;

/// How often a reader gives way to callers that are about to ask, before it begins a statement.
const YIELDS_MAX: usize = 8;

/// How many statements, and how much time, go by until a reader looks whether the files are still those that it has
/// open.
const READS_BETWEEN_LOOKS: u32 = 64;
const TIME_BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Metadata up to this length comes along with any page. If there is longer, the page is asked for again, short enough
/// that what it holds has a bound.
const METADATA_INLINE_MAX: i64 = 4096;
const PAGE_METADATA_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Reader {
    connection: ReconnectingConnection,
    namespace_id: NamespaceId,
    clock: Arc<dyn Clock>,
    queries: mpsc::Receiver<Query>,
    /// Taken from the channel, but not answered together with the gets before it.
    held: Option<Query>,
    /// Whether the last statement answered more than one get.
    crowd: Arc<Crowd>,
    reads_since_look: u32,
    /// When the files were looked at, by the time of the timer.
    last_look: Duration,
}

impl Reader {
    pub(crate) fn new(
        connection: ReconnectingConnection,
        namespace_id: NamespaceId,
        clock: Arc<dyn Clock>,
        queries: mpsc::Receiver<Query>,
        crowd: Arc<Crowd>,
    ) -> Self {
        Self {
            connection,
            namespace_id,
            clock,
            queries,
            held: None,
            crowd,
            reads_since_look: 0,
            last_look: Duration::ZERO,
        }
    }

    /// Closes its connection.
    pub(crate) async fn close(self) -> Result<()> {
        self.connection.connection.close().await.map_err(failed)
    }

    /// Works until the store is closed or dropped. Callers that have gone away change nothing (ERR-6).
    pub(crate) async fn run(mut self) {
        let mut closing = None;
        while let Some(query) = self.next().await {
            match query {
                Query::Get { key, fields, reply } => {
                    let gets = self.gather(Get { key, fields, reply }).await;
                    self.answer(gets).await;
                }
                Query::GetMany { keys, fields, reply } => {
                    let entries = self.get_each(keys.iter().map(|key| (key.as_str(), fields))).await;
                    let _ = reply.send(entries.and_then(|entries| entries.into_iter().collect()));
                }
                Query::List { prefix, limit, position, reply } => {
                    let _ = reply.send(self.list(&prefix, limit, position.as_deref()).await);
                }
                Query::Ping { reply } => {
                    let _ = reply.send(self.ping().await);
                }
                Query::Close { reply } => {
                    self.queries.close();
                    closing = Some(reply);
                }
            }
        }
        let closed = self.close().await;
        if let Some(reply) = closing {
            let _ = reply.send(closed);
        }
    }

    async fn next(&mut self) -> Option<Query> {
        match self.held.take() {
            Some(query) => Some(query),
            None => self.queries.recv().await,
        }
    }

    /// `first` and every get that waits. They join before the statement, and so its snapshot, has begun (SET-7).
    async fn gather(&mut self, first: Get) -> Vec<Get> {
        let mut gets = vec![first];
        for round in 0..=YIELDS_MAX {
            let before = gets.len();
            while gets.len() < GROUP_GETS_MAX {
                match self.queries.try_recv() {
                    Ok(Query::Get { key, fields, reply }) => gets.push(Get { key, fields, reply }),
                    Ok(other) => {
                        self.held = Some(other);
                        return gets;
                    }
                    Err(_) => break,
                }
            }
            if !self.crowd.is_there() || (round > 0 && gets.len() == before) {
                break;
            }
            yield_now().await;
        }
        gets
    }

    async fn answer(&mut self, gets: Vec<Get>) {
        self.crowd.0.store(gets.len() > 1, Ordering::Relaxed);
        let entries = match gets.as_slice() {
            [get] => self.get(&get.key, get.fields).await.map(|entry| vec![entry]),
            gets => self.get_each(gets.iter().map(|get| (get.key.as_str(), get.fields))).await,
        };
        match entries {
            Ok(entries) => {
                for (get, entry) in gets.into_iter().zip(entries) {
                    let _ = get.reply.send(entry);
                }
            }
            Err(error) => {
                for get in gets {
                    let _ = get.reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// The inner error: the entry cannot be decoded.
    pub(crate) async fn get(&mut self, key: &str, fields: Fields) -> Result<Result<Option<Entry>>> {
        let sql = match fields {
            Fields::Existence => queries::read::GET_EXISTENCE,
            Fields::Value => queries::read::GET_VALUE,
            _ => queries::read::GET_ENTRY,
        };
        let row = self
            .row(|namespace_id, now| sqlx::query(sql).bind(namespace_id.row_id).bind(key.to_owned()).bind(now))
            .await?;
        Ok(row.map(|row| decode_entry(&row, 0, fields, self.namespace_id)).transpose())
    }

    /// One slot for each key, in order; an entry that cannot be decoded is an error of its own slot. Small entries come
    /// together as one text; if there are large ones, a second statement gets them, and answers for them alone.
    async fn get_each<'k>(
        &mut self,
        keys: impl ExactSizeIterator<Item = (&'k str, Fields)> + Clone,
    ) -> Result<Vec<Result<Option<Entry>>>> {
        let mut packed = Packed::default();
        let mut content = Content::Value;
        for (key, fields) in keys.clone() {
            packed.push_key(key, fields == Fields::Existence);
            if !matches!(fields, Fields::Existence | Fields::Value) {
                content = Content::Entry;
            }
        }
        let sql = match content {
            Content::Value => queries::read::GET_MANY_VALUES,
            Content::Entry => queries::read::GET_MANY_ENTRIES,
        };
        let (list, bytes) = packed.finish();
        let row = self
            .row(|namespace_id, now| {
                sqlx::query(sql).bind(list.clone()).bind(bytes.clone()).bind(namespace_id.row_id).bind(now)
            })
            .await?;
        let mut slots = Slots::new(keys.clone().map(|(_, fields)| fields));
        if let Some(text) = row {
            let text: Option<&[u8]> = text.try_get(0).map_err(failed)?;
            slots.fill(text.unwrap_or_default(), content, self.namespace_id)?;
        }
        if !slots.withheld.is_empty() {
            let keys: Vec<_> = keys.collect();
            self.get_withheld(&keys, content, &mut slots).await?;
        }
        Ok(slots.entries)
    }

    /// Gets the entries that were too large to come as text, each in a row of its own.
    async fn get_withheld(&mut self, keys: &[(&str, Fields)], content: Content, slots: &mut Slots) -> Result<()> {
        let mut packed = Packed::default();
        let withheld: Vec<_> = slots.withheld.iter().filter_map(|slot| Some((*slot, keys.get(*slot)?))).collect();
        for (_, (key, _)) in &withheld {
            packed.push_key(key, false);
        }
        let sql = match content {
            Content::Value => queries::read::GET_MANY_VALUE_ROWS,
            Content::Entry => queries::read::GET_MANY_ENTRY_ROWS,
        };
        let (list, bytes) = packed.finish();
        let rows = self
            .rows(|namespace_id, now| {
                sqlx::query(sql).bind(list.clone()).bind(bytes.clone()).bind(namespace_id.row_id).bind(now)
            })
            .await?;
        for row in rows {
            let position = row.try_get::<i64, _>(0).map_err(failed)?;
            let asked = usize::try_from(position).ok().and_then(|position| withheld.get(position));
            let (slot, (_, fields)) = asked.ok_or_else(not_asked_for)?;
            *slots.entry(*slot)? = decode_entry(&row, 1, *fields, self.namespace_id).map(Some);
        }
        Ok(())
    }

    async fn list(&mut self, prefix: &str, limit: usize, position: Option<&[u8]>) -> Result<RawPage> {
        let first = first_key(prefix, position)?;
        // A BLOB, which sorts after every text: no bound.
        let beyond = key_after(prefix);
        let (mut limit, mut inline_max) = (limit, METADATA_INLINE_MAX);
        loop {
            // One more than asked for, to see whether there is a next page.
            let rows_max = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
            let row = self
                .row(|namespace_id, now| {
                    let query = sqlx::query(queries::read::PAGE).bind(namespace_id.row_id).bind(first.clone());
                    match &beyond {
                        Some(beyond) => query.bind(beyond.clone()),
                        None => query.bind(Vec::new()),
                    }
                    .bind(now)
                    .bind(rows_max)
                    .bind(inline_max)
                })
                .await?;
            let page: Option<&[u8]> = match &row {
                Some(row) => row.try_get(0).map_err(failed)?,
                None => None,
            };
            let listed = decode_page(page.unwrap_or_default(), inline_max)?;
            if let Some(fitting) = listed.fitting(PAGE_METADATA_BYTES_MAX) {
                (limit, inline_max) = (limit.min(fitting), i64::MAX);
                continue;
            }
            let mut items = listed.items;
            if items.len() <= limit {
                return Ok(RawPage::new(items, None));
            }
            items.truncate(limit);
            let next = items.last().map(|item| item.key.clone().into_bytes());
            return Ok(RawPage::new(items, next));
        }
    }

    async fn ping(&mut self) -> Result<()> {
        let row = self.row(|namespace_id, _| sqlx::query(queries::read::PING).bind(namespace_id.row_id)).await?;
        if row.is_none() {
            let message = "another program has removed the namespace from the file";
            return Err(Error::new(ErrorKind::Misconfigured, message).with_reason(Reason::Foreign));
        }
        Ok(())
    }

    /// Now and then, whether the files are still there: it costs as much as a fraction of a small read.
    fn look_at_files(&mut self) -> Result<()> {
        self.reads_since_look += 1;
        let now = self.connection.busy_retry.timer.monotonic_now();
        let is_due = now.saturating_sub(self.last_look) >= TIME_BETWEEN_LOOKS;
        if !is_due && self.reads_since_look < READS_BETWEEN_LOOKS {
            return Ok(());
        }
        (self.reads_since_look, self.last_look) = (0, now);
        self.connection.check_files()
    }

    /// The first row of a statement.
    async fn row(&mut self, statement: impl Fn(NamespaceId, i64) -> Statement) -> Result<Option<SqliteRow>> {
        Ok(self.carry_out(statement, Wanted::First).await?.into_iter().next())
    }

    /// The rows of a statement.
    async fn rows(&mut self, statement: impl Fn(NamespaceId, i64) -> Statement) -> Result<Vec<SqliteRow>> {
        self.carry_out(statement, Wanted::All).await
    }

    /// Runs a statement, which is its own snapshot. The time is read right before it begins.
    async fn carry_out(
        &mut self,
        statement: impl Fn(NamespaceId, i64) -> Statement,
        wanted: Wanted,
    ) -> Result<Vec<SqliteRow>> {
        self.connection.check_known()?;
        self.connection.restore().await?;
        self.connection.freshen().await?;
        let busy_retry = self.connection.busy_retry.clone();
        let mut wait = busy_retry.begin();
        let mut renewed = false;
        loop {
            let now = self.clock.now().as_unix_millis_floor();
            let statement = statement(self.namespace_id, now);
            let connection = &mut self.connection.connection;
            let rows = match wanted {
                Wanted::First => fetch_first(connection, statement).await.map(|row| row.into_iter().collect()),
                Wanted::All => fetch_rows(connection, statement).await,
            };
            if self.connection.is_outdated()? {
                self.connection.renew().await?;
                if renewed && !wait.again().await {
                    return Err(changing());
                }
                renewed = true;
                continue;
            }
            match rows {
                Ok(rows) => {
                    self.look_at_files()?;
                    return Ok(rows);
                }
                Err(error) if is_busy(&error) && wait.again().await => {}
                Err(error) => {
                    if primary_code(&error).is_none() {
                        // The connection's thread is gone. While this fails, so does every read.
                        drop(self.connection.renew().await);
                    }
                    return Err(failed(error));
                }
            }
        }
    }
}

/// The error of a read that the file did not stand still for.
fn changing() -> Error {
    Error::new(ErrorKind::Unavailable, "the file was changed by another process each time it was read")
        .with_reason(Reason::Busy)
        .with_retry(Retry::Safe)
}

fn failed(error: sqlx::Error) -> Error {
    from_sqlx(error, Stage::Read)
}
