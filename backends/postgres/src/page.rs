//! Pages of a list.

use std::ops::ControlFlow;

use bytes::Bytes;
use kv_api::{ListItem, ListPage, ListedMetadata, Metadata, RawPage, Result};
use kv_sql::{damaged_row, entry_expiry, first_key, key_after};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::error::undecodable;
use crate::pool::Borrowed;
use crate::queries;

/// How many bytes of keys and metadata a page holds; the last item may go beyond it.
const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One page, shorter than asked for where its metadata is long (LIST-1).
pub(crate) async fn list(connection: &mut Borrowed, namespace: &str, page: &ListPage<'_>) -> Result<RawPage> {
    let limit = page.limit().get();
    let first = first_key(page.prefix(), page.position())?;
    // One more than asked for, to see whether there is a next page.
    let rows_max = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
    let arguments = connection.arguments().text(namespace).bytes(first.as_bytes()).number(rows_max);
    let (sql, arguments) = match key_after(page.prefix()) {
        None => (queries::PAGE, arguments),
        Some(beyond) => (queries::PAGE_BELOW, arguments.bytes(beyond.as_bytes())),
    };
    let (mut items, mut bytes, mut has_more) = (Vec::new(), 0, false);
    let each = |row: PgRow| {
        if items.len() == limit || bytes >= PAGE_BYTES_MAX {
            has_more = true;
            // Of a page of usual size this is the last row, and it costs nothing to see the end of the statement.
            return Ok(if bytes >= PAGE_BYTES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
        }
        let (item, item_bytes) = item(&row)?;
        items.push(item);
        bytes += item_bytes;
        Ok(ControlFlow::Continue(()))
    };
    connection.each_row(sql, arguments, each).await?;
    let next = items.last().filter(|_| has_more).map(|item| item.key.clone().into_bytes());
    Ok(RawPage::new(items, next))
}

/// A listed key, and the bytes that it holds.
fn item(row: &PgRow) -> Result<(ListItem, usize)> {
    let key: Vec<u8> = row.try_get(0).map_err(undecodable)?;
    let value_bytes: i64 = row.try_get(1).map_err(undecodable)?;
    let expires_at: Option<i64> = row.try_get(2).map_err(undecodable)?;
    let metadata: Option<Vec<u8>> = row.try_get(3).map_err(undecodable)?;
    let bytes = key.len() + metadata.as_ref().map_or(0, Vec::len);
    let key = String::from_utf8(key).map_err(|_| damaged_row("its key is not UTF-8"))?;
    let value_bytes = u64::try_from(value_bytes).map_err(|_| damaged_row("its value has a negative length"))?;
    let metadata = metadata.map(|metadata| Metadata::from_stored(Bytes::from(metadata)));
    let item = ListItem::new(key).with_metadata(ListedMetadata::from(metadata)).with_expiry(entry_expiry(expires_at));
    Ok((item.with_value_bytes(value_bytes), bytes))
}
