//! One transaction of the writer: two to four hops to the connection's thread, however many operations it holds.

use futures_util::TryStreamExt;
use kv_api::{Clock, Error, Fields, Timestamp};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Either, Executor, Row as _};

use crate::error::{Stage, code, from_sqlx, is_about_a_row, is_busy, primary_code, row_rejected};
use crate::group::{Group, Plan};
use crate::pack::{PACKED_BYTES_MAX, Packed};
use crate::packed_text::PackedText;
use crate::queries;
use crate::queries::group::Finish;
use crate::row::{Row, StoredRow, decode_entry};
use crate::schema::NamespaceId;
use crate::statement::{Statement, changed_rows, fetch_row, fetch_rows};

/// How many keys or rows, and how many bytes of them, one statement takes.
pub(crate) const STATEMENT_ROWS_MAX: usize = 1000;
pub(crate) const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a transaction did not come about. The caller rolls back.
#[derive(Debug)]
pub(crate) enum Failure {
    Database {
        error: sqlx::Error,
        stage: Stage,
    },
    /// A trigger of another program passed over a row, without an error.
    RowPassedOver,
    Other(Error),
}

impl Failure {
    /// Before COMMIT: once rolled back, nothing is written.
    pub(crate) const fn in_transaction(error: sqlx::Error) -> Self {
        Self::Database { error, stage: Stage::Write }
    }

    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Database { error, .. } if is_busy(error))
    }

    /// Whether one row was refused, before COMMIT: the other rows are not to blame.
    pub(crate) fn is_about_a_row(&self) -> bool {
        match self {
            Self::Database { error, stage } => *stage == Stage::Write && is_about_a_row(error),
            Self::RowPassedOver => true,
            Self::Other(_) => false,
        }
    }

    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::RowPassedOver => row_rejected(),
            Self::Database { error, stage } => from_sqlx(error, stage),
            Self::Other(error) => error,
        }
    }
}

/// What is known once the write lock is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    /// Read now that the lock is held, this one instant decides all expiries of the group.
    pub(crate) now: Timestamp,
    /// Where the state of the keys was not read: the highest id in the table. A row that is created has a higher one.
    unread_above: Option<i64>,
}

/// What became of a plan.
#[derive(Debug)]
pub(crate) struct Written {
    /// How many expired rows were reclaimed on the way; `None` if none was looked for.
    pub(crate) reclaimed: Option<u64>,
    /// Where the state of the keys was not read: the versions of the rows that were created, in their order.
    pub(crate) created: Option<Vec<i64>>,
}

/// Beyond this id SQLite may take any that is free for the next row.
const COUNTED_ID_MAX: i64 = i64::MAX / 2;

/// Takes the write lock where it is not `locked` yet, and reads the state of the group's keys into it. Puts of distinct
/// keys without a condition are decided without it, unless a row of the file has expired: then nothing is to be found
/// out but whether each created its row, and that is seen from the ids when they are written.
pub(crate) async fn begin(
    connection: &mut SqliteConnection,
    group: &mut Group<'_>,
    namespace_id: NamespaceId,
    clock: &dyn Clock,
    mut locked: bool,
) -> Result<Begun, Failure> {
    if group.is_unconditional() {
        let text = if locked { queries::group::BOUNDS } else { queries::group::BEGIN_AND_BOUNDS };
        let row = fetch_row(connection, sqlx::query(text)).await.map_err(Failure::in_transaction)?;
        let highest: Option<i64> = row.try_get(0).map_err(Failure::in_transaction)?;
        let first_expiry: Option<i64> = row.try_get(1).map_err(Failure::in_transaction)?;
        let (highest, now) = (highest.unwrap_or(0), clock.now());
        let none_has_expired = first_expiry.is_none_or(|expires_at| expires_at > now.as_unix_millis_floor());
        if none_has_expired && highest < COUNTED_ID_MAX && group.outlives(now) {
            return Ok(Begun { now, unread_above: Some(highest) });
        }
        locked = true;
    }
    let counted = group.has_counters();
    let mut texts = if counted {
        [queries::group::BEGIN_AND_COUNTER_STATE, queries::group::COUNTER_STATE]
    } else {
        [queries::group::BEGIN_AND_STATE, queries::group::STATE]
    };
    if locked {
        texts[0] = texts[1];
    }
    let mut found = Vec::new();
    let keys: Vec<_> = group.keys().collect();
    let mut keys = keys.into_iter().enumerate().peekable();
    while let Some((first, (first_key, _))) = keys.peek().copied() {
        let mut packed = Packed::default();
        let full = |packed: &Packed, position: usize| {
            position - first >= STATEMENT_ROWS_MAX || packed.bytes() >= STATEMENT_BYTES_MAX
        };
        let mut marks = Vec::new();
        let mut last_key = first_key;
        while let Some((_, (key, marked))) = keys.next_if(|(position, _)| !full(&packed, *position)) {
            packed.push_key(key, marked);
            marks.push(marked);
            last_key = key;
        }
        let (list, bytes) = packed.finish();
        let query = sqlx::query(texts[0])
            .bind(list)
            .bind(bytes)
            .bind(namespace_id.row_id)
            .bind(first_key.to_owned())
            .bind(last_key.to_owned());
        let row = fetch_row(connection, query).await.map_err(Failure::in_transaction)?;
        let text: Option<&[u8]> = row.try_get(0).map_err(Failure::in_transaction)?;
        let mut text = PackedText::new(text.unwrap_or_default());
        while !text.is_empty() {
            let position = usize::try_from(text.some_number().map_err(Failure::Other)?).unwrap_or(usize::MAX);
            let marked = marks.get(position).copied().unwrap_or(false);
            let stored = StoredRow::unpack(&mut text, marked).map_err(Failure::Other)?;
            found.push((first.saturating_add(position), stored));
        }
        texts[0] = texts[1];
    }
    let now = clock.now();
    for (position, stored) in found {
        group.load(position, stored, now.as_unix_millis_floor()).map_err(Failure::Other)?;
    }
    for (position, row_id) in group.wanted_rows() {
        let query = sqlx::query(queries::read::GET_ROW).bind(row_id);
        let row = fetch_row(connection, query).await.map_err(Failure::in_transaction)?;
        // One that cannot be read is an error of those who asked for it.
        group.load_entry(position, decode_entry(&row, 0, Fields::All, namespace_id));
    }
    Ok(Begun { now, unread_above: None })
}

/// Writes the plan and commits, once it is certain that every row of the plan was changed. `written` says that the
/// transaction has written other plans before.
pub(crate) async fn finish(
    connection: &mut SqliteConnection,
    plan: &Plan<'_>,
    namespace_id: NamespaceId,
    begun: Begun,
    written: bool,
) -> Result<Written, Failure> {
    if plan.is_empty() && !written {
        // Nothing was written, so a failure leaves nothing in doubt.
        fetch_rows(connection, sqlx::query(queries::COMMIT)).await.map_err(Failure::in_transaction)?;
        return Ok(Written { reclaimed: None, created: None });
    }
    let (packed, rows) = write_all_but_last(connection, plan, namespace_id, begun).await?;
    let (list, bytes) = packed.finish();
    let finish = match begun.unread_above {
        None => queries::group::FINISH,
        Some(_) => queries::group::FINISH_UNREAD,
    };
    let query = sqlx::query(finish.text)
        .bind(list)
        .bind(bytes)
        .bind(namespace_id.row_id)
        .bind(taken_off(begun))
        .bind(count(rows));
    let query = match begun.unread_above {
        None => query.bind(deletes(plan)).bind(begun.now.as_unix_millis_floor()).bind(count(plan.deletes.len())),
        Some(highest) => query.bind(highest),
    };
    commit(connection, query, finish).await
}

/// Writes the plan and goes on with the transaction.
pub(crate) async fn write(
    connection: &mut SqliteConnection,
    plan: &Plan<'_>,
    namespace_id: NamespaceId,
    begun: Begun,
) -> Result<Written, Failure> {
    if !plan.deletes.is_empty() {
        let query = sqlx::query(queries::group::DELETE_ROWS).bind(deletes(plan));
        change(connection, query, plan.deletes.len()).await?;
    }
    let (packed, rows) = write_all_but_last(connection, plan, namespace_id, begun).await?;
    if rows > 0 {
        upsert(connection, packed, rows, namespace_id, begun).await?;
    }
    let created = match begun.unread_above {
        None => None,
        Some(highest) => {
            let query = sqlx::query(queries::group::CREATED).bind(highest);
            let row = fetch_row(connection, query).await.map_err(Failure::in_transaction)?;
            Some(created_versions(&row)?)
        }
    };
    Ok(Written { reclaimed: None, created })
}

/// What an update takes off the version of its row, as the statements for writing need it.
fn taken_off(begun: Begun) -> i64 {
    i64::from(begun.unread_above.is_some())
}

/// What a row of [`queries::group::CREATED`] says.
fn created_versions(row: &SqliteRow) -> Result<Vec<i64>, Failure> {
    let text: Option<&[u8]> = row.try_get(0).map_err(Failure::in_transaction)?;
    let mut text = PackedText::new(text.unwrap_or_default());
    let mut versions = Vec::new();
    while !text.is_empty() {
        versions.push(text.some_number().map_err(Failure::Other)?);
    }
    versions.sort_unstable();
    Ok(versions)
}

/// Writes the plan but for its deletes, and for the rows of its last statement: those are left to the caller.
async fn write_all_but_last(
    connection: &mut SqliteConnection,
    plan: &Plan<'_>,
    namespace_id: NamespaceId,
    begun: Begun,
) -> Result<(Packed, usize), Failure> {
    let mut expiries = Packed::default();
    for (row, expires_at) in &plan.expiries {
        expiries.push_expiry(*row, *expires_at);
    }
    if !expiries.is_empty() {
        let (list, _) = expiries.finish();
        change(connection, sqlx::query(queries::group::EXPIRE_ROWS).bind(list), plan.expiries.len()).await?;
    }
    let mut packed = Packed::default();
    let mut rows = 0;
    for row in &plan.puts {
        if row.content_bytes() >= PACKED_BYTES_MAX {
            let query = bind_row(sqlx::query(queries::group::UPSERT_ROW), namespace_id, row).bind(taken_off(begun));
            change(connection, query, 1).await?;
            continue;
        }
        if rows >= STATEMENT_ROWS_MAX || packed.bytes() >= STATEMENT_BYTES_MAX {
            upsert(connection, std::mem::take(&mut packed), rows, namespace_id, begun).await?;
            rows = 0;
        }
        packed.push_row(row);
        rows += 1;
    }
    Ok((packed, rows))
}

async fn upsert(
    connection: &mut SqliteConnection,
    packed: Packed,
    rows: usize,
    namespace_id: NamespaceId,
    begun: Begun,
) -> Result<(), Failure> {
    let (list, bytes) = packed.finish();
    let query =
        sqlx::query(queries::group::UPSERT).bind(list).bind(bytes).bind(namespace_id.row_id).bind(taken_off(begun));
    change(connection, query, rows).await
}

/// The rows to delete, as a list.
fn deletes(plan: &Plan<'_>) -> String {
    let mut deletes = Packed::default();
    for row in &plan.deletes {
        deletes.push_number(*row);
    }
    deletes.finish().0
}

/// Runs a statement that has to change this many rows.
async fn change(connection: &mut SqliteConnection, statement: Statement, rows: usize) -> Result<(), Failure> {
    let changed = changed_rows(connection, statement).await.map_err(Failure::in_transaction)?;
    if changed == rows as u64 { Ok(()) } else { Err(Failure::RowPassedOver) }
}

/// A number of rows as SQLite's integer: a transaction has far fewer than an `i64` can say.
fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Runs a text that ends the transaction, and distinguishes an error of its COMMIT from one before it.
async fn commit(connection: &mut SqliteConnection, query: Statement, finish: Finish) -> Result<Written, Failure> {
    let mut done = 0;
    let mut written = Written { reclaimed: None, created: None };
    let mut results = connection.fetch_many(query);
    loop {
        match results.try_next().await {
            Ok(Some(Either::Left(result))) => {
                if finish.reclaim == Some(done) {
                    written.reclaimed = Some(result.rows_affected());
                }
                done += 1;
            }
            Ok(Some(Either::Right(row))) => written.created = Some(created_versions(&row)?),
            // The end comes early when the connection's thread ends.
            Ok(None) if done > finish.commit => return Ok(written),
            Ok(None) => return Err(Failure::Database { error: sqlx::Error::WorkerCrashed, stage: Stage::Commit }),
            Err(error) if finish.changed.contains(&done) && primary_code(&error) == Some(code::ERROR) => {
                return Err(Failure::RowPassedOver);
            }
            Err(error) => {
                let stage = if done < finish.commit { Stage::Write } else { Stage::Commit };
                return Err(Failure::Database { error, stage });
            }
        }
    }
}

/// Binds the seven parameters of a row.
pub(crate) fn bind_row(query: Statement, namespace_id: NamespaceId, row: &Row<'_>) -> Statement {
    query
        .bind(namespace_id.row_id)
        .bind(row.key.to_owned())
        .bind(row.kind)
        .bind(row.version)
        .bind(row.expires_at)
        // Metadata is JSON text, which the resolver has checked to be UTF-8.
        .bind(row.metadata.map(|metadata| String::from_utf8_lossy(metadata).into_owned()))
        .bind(row.value.as_bytes().to_vec())
}
