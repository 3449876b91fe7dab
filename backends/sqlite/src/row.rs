//! A row of the table `kv`: as it is written, as it is read, and as much of it as is read before something is decided.

use bytes::Bytes;
use kv_api::{Entry, Error, ErrorKind, Fields, Result};
use kv_sql::{StoredCounter, entry, existing, kind_number, stored_value, version};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::error::{Stage, from_sqlx};
use crate::operation::{Action, Operation};
use crate::packed_text::PackedText;
use crate::schema::NamespaceId;

/// A row to be written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row<'a> {
    pub(crate) key: &'a str,
    pub(crate) kind: i64,
    pub(crate) version: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) metadata: Option<&'a [u8]>,
    pub(crate) value: RowValue<'a>,
}

/// The value of a row: a caller's, or a counter's new one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RowValue<'a> {
    Given(&'a [u8]),
    Counter(String),
}

impl RowValue<'_> {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Counter(text) => text.as_bytes(),
        }
    }
}

impl Row<'_> {
    /// The bytes beside the key.
    pub(crate) fn content_bytes(&self) -> usize {
        self.value.as_bytes().len() + self.metadata.map_or(0, <[u8]>::len)
    }
}

/// The row of a put.
pub(crate) fn written_row(operation: &Operation, version: i64, expires_at: Option<i64>) -> Result<Row<'_>> {
    let Action::Put { value, metadata, .. } = &operation.action else {
        return Err(Error::new(ErrorKind::Internal, "only a put has a value to write"));
    };
    let kind = kind_number(value.kind())
        .ok_or_else(|| Error::new(ErrorKind::Internal, "the adapter does not know this kind of value"))?;
    Ok(Row {
        key: &operation.key,
        kind,
        version,
        expires_at,
        metadata: metadata.as_ref().map(|metadata| &**metadata.as_bytes()),
        value: RowValue::Given(value.as_bytes()),
    })
}

/// The state of a key as it was read: enough to decide by, without its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredRow {
    pub(crate) row_id: i64,
    pub(crate) version: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) counter: Option<StoredCounter>,
}

impl StoredRow {
    /// Takes a row out of what [`STATE`](crate::queries::group::STATE) answers, or
    /// [`COUNTER_STATE`](crate::queries::group::COUNTER_STATE) of a key that is counted in.
    pub(crate) fn unpack(text: &mut PackedText<'_>, counted: bool) -> Result<Self> {
        let (row_id, version, expires_at) = (text.some_number()?, text.some_number()?, text.number()?);
        let counter = if counted {
            let (kind, has_metadata, bytes) = (text.some_number()?, text.some_number()? != 0, text.some_number()?);
            Some(StoredCounter { kind, has_metadata, head: text.take(bytes)?.to_vec() })
        } else {
            None
        };
        Ok(Self { row_id, version, expires_at, counter })
    }
}

/// The entry in the columns of a row that begin at `at`: kind, value, version, expiry, metadata.
pub(crate) fn decode_entry(row: &SqliteRow, at: usize, fields: Fields, namespace_id: NamespaceId) -> Result<Entry> {
    if fields == Fields::Existence {
        return Ok(existing());
    }
    let value = stored_value(
        row.try_get(at).map_err(unreadable)?,
        Bytes::from(row.try_get::<Vec<u8>, _>(at + 1).map_err(unreadable)?),
    )?;
    if fields == Fields::Value {
        return Ok(Entry::new(value));
    }
    let stored_version = row.try_get(at + 2).map_err(unreadable)?;
    let expires_at = row.try_get(at + 3).map_err(unreadable)?;
    let metadata: Option<Vec<u8>> = row.try_get(at + 4).map_err(unreadable)?;
    Ok(entry(value, metadata.map(Bytes::from), expires_at, version(namespace_id.file_id, stored_version)))
}

fn unreadable(error: sqlx::Error) -> Error {
    from_sqlx(error, Stage::Read)
}
