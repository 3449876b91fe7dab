//! One transaction of the writer: two to four hops to the connection's thread, however many operations it holds.

use futures_util::TryStreamExt;
use kv_api::{Clock, Error, Timestamp};
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Either, Executor, Row as _, Sqlite};

use crate::error::{Stage, from_sqlx, is_busy};
use crate::group::{Group, Plan, StoredRow};
use crate::pack::{PACKED_BYTES_MAX, Packed, Row};
use crate::packed_text::PackedText;
use crate::queries;
use crate::schema::NamespaceId;

/// How many keys or rows, and how many bytes of them, one statement takes.
const STATEMENT_ROWS_MAX: usize = 1000;
const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a transaction did not come about. The caller rolls back.
#[derive(Debug)]
pub(crate) enum Failure {
    Database { error: sqlx::Error, stage: Stage },
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

    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Database { error, stage } => from_sqlx(error, stage),
            Self::Other(error) => error,
        }
    }
}

/// Takes the write lock, reads the state of the group's keys into it, and says what time it is: read now that the lock is
/// held, this one instant decides all expiries of the group.
pub(crate) async fn begin(
    connection: &mut SqliteConnection,
    group: &mut Group<'_>,
    namespace_id: NamespaceId,
    clock: &dyn Clock,
) -> Result<Timestamp, Failure> {
    let counted = group.has_counters();
    let mut texts = if counted {
        [queries::BEGIN_AND_COUNTER_STATE, queries::COUNTER_STATE]
    } else {
        [queries::BEGIN_AND_STATE, queries::STATE]
    };
    let mut found = Vec::new();
    let keys: Vec<_> = group.keys().collect();
    let mut keys = keys.into_iter().enumerate().peekable();
    while let Some((first, _)) = keys.peek().copied() {
        let mut packed = Packed::default();
        let full = |packed: &Packed, position: usize| {
            position - first >= STATEMENT_ROWS_MAX || packed.bytes() >= STATEMENT_BYTES_MAX
        };
        let mut marks = Vec::new();
        while let Some((_, (key, marked))) = keys.next_if(|(position, _)| !full(&packed, *position)) {
            packed.push_key(key, marked);
            marks.push(marked);
        }
        let (list, bytes) = packed.finish();
        let query = sqlx::query(texts[0]).bind(list).bind(bytes).bind(namespace_id.namespace);
        let rows = query.fetch_all(&mut *connection).await.map_err(Failure::in_transaction)?;
        if let Some(text) = rows.first() {
            let text: Option<&[u8]> = text.try_get(0).map_err(Failure::in_transaction)?;
            let mut text = PackedText::new(text.unwrap_or_default());
            while !text.is_empty() {
                let position = usize::try_from(text.some_number().map_err(Failure::Other)?).unwrap_or(usize::MAX);
                let marked = marks.get(position).copied().unwrap_or(false);
                let stored = StoredRow::unpack(&mut text, marked).map_err(Failure::Other)?;
                found.push((first.saturating_add(position), stored));
            }
        }
        texts[0] = texts[1];
    }
    let now = clock.now();
    for (position, stored) in found {
        group.load(position, stored, now.as_unix_millis_floor()).map_err(Failure::Other)?;
    }
    Ok(now)
}

/// Writes the plan and commits. Returns how many expired rows were reclaimed on the way; `None` if there was nothing to
/// write, and so nothing was tried.
pub(crate) async fn finish(
    connection: &mut SqliteConnection,
    plan: &Plan<'_>,
    namespace_id: NamespaceId,
    now: Timestamp,
) -> Result<Option<u64>, Failure> {
    if plan.is_empty() {
        // Nothing was written, so a failure leaves nothing in doubt.
        sqlx::query(queries::COMMIT).execute(connection).await.map_err(Failure::in_transaction)?;
        return Ok(None);
    }
    let mut expiries = Packed::default();
    for (row, expires_at) in &plan.expiries {
        expiries.push_expiry(*row, *expires_at);
    }
    if !expiries.is_empty() {
        let (list, _) = expiries.finish();
        let query = sqlx::query(queries::EXPIRE_ROWS).bind(list);
        query.execute(&mut *connection).await.map_err(Failure::in_transaction)?;
    }
    let mut packed = Packed::default();
    let mut rows = 0;
    for row in &plan.puts {
        if row.content_bytes() >= PACKED_BYTES_MAX {
            let query = bind_row(sqlx::query(queries::UPSERT_ROW), namespace_id, row);
            query.execute(&mut *connection).await.map_err(Failure::in_transaction)?;
            continue;
        }
        if rows >= STATEMENT_ROWS_MAX || packed.bytes() >= STATEMENT_BYTES_MAX {
            let (list, bytes) = std::mem::take(&mut packed).finish();
            let query = sqlx::query(queries::UPSERT).bind(list).bind(bytes).bind(namespace_id.namespace);
            query.execute(&mut *connection).await.map_err(Failure::in_transaction)?;
            rows = 0;
        }
        packed.push_row(row);
        rows += 1;
    }
    let mut deletes = Packed::default();
    for row in &plan.deletes {
        deletes.push_number(*row);
    }
    let (list, bytes) = packed.finish();
    let query = sqlx::query(queries::FINISH)
        .bind(list)
        .bind(bytes)
        .bind(namespace_id.namespace)
        .bind(deletes.finish().0)
        .bind(now.as_unix_millis_floor());
    commit(connection, query).await.map(Some)
}

/// Runs [`queries::FINISH`] and tells an error of its COMMIT from one before it.
async fn commit(connection: &mut SqliteConnection, query: Statement) -> Result<u64, Failure> {
    let mut done = 0;
    let mut reclaimed = 0;
    let mut results = connection.fetch_many(query);
    loop {
        match results.try_next().await {
            Ok(Some(Either::Left(result))) => {
                if done == queries::FINISH_RECLAIM_INDEX {
                    reclaimed = result.rows_affected();
                }
                done += 1;
            }
            Ok(Some(Either::Right(_))) => {}
            // The end comes early when the connection's thread ends.
            Ok(None) if done > queries::FINISH_BEFORE_COMMIT => return Ok(reclaimed),
            Ok(None) => return Err(Failure::Database { error: sqlx::Error::WorkerCrashed, stage: Stage::Commit }),
            Err(error) => {
                let stage = if done < queries::FINISH_BEFORE_COMMIT { Stage::Write } else { Stage::Commit };
                return Err(Failure::Database { error, stage });
            }
        }
    }
}

/// A statement with its arguments.
pub(crate) type Statement = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// Binds the seven parameters of a row.
pub(crate) fn bind_row(query: Statement, namespace_id: NamespaceId, row: &Row<'_>) -> Statement {
    query
        .bind(namespace_id.namespace)
        .bind(row.key.to_owned())
        .bind(row.kind)
        .bind(row.version)
        .bind(row.expires_at)
        // Metadata is JSON text, which the resolver has checked to be UTF-8.
        .bind(row.metadata.map(|metadata| String::from_utf8_lossy(metadata).into_owned()))
        .bind(row.value.as_bytes().to_vec())
}
