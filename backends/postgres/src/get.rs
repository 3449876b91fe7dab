//! Reads: one by a statement of its own, many by one statement.

use std::collections::HashMap;

use bytes::Bytes;
use kv_api::{Entry, Fields, Result};
use kv_sql::{entry, existing, stored_value, version};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::error::undecodable;
use crate::lane::Work;
use crate::pool::Borrowed;
use crate::queries;

/// One read.
#[derive(Clone, Debug)]
pub(crate) struct Get {
    pub(crate) key: String,
    pub(crate) fields: Fields,
}

/// Reads of one namespace.
#[derive(Debug)]
pub(crate) struct Gets {
    pub(crate) namespace: String,
    pub(crate) origin: u64,
}

impl Work for Gets {
    type Item = Get;
    type Answer = Option<Entry>;

    const KEYS_DISTINCT: bool = false;
    const CHANGES: bool = false;

    fn class(get: &Get) -> Option<u8> {
        Some(match get.fields {
            Fields::Existence => 0,
            Fields::Value => 1,
            _ => 2,
        })
    }

    fn key(get: &Get) -> &str {
        &get.key
    }

    fn bytes(get: &Get) -> usize {
        get.key.len()
    }

    async fn carry_out(&self, connection: &mut Borrowed, get: &Get) -> Result<Option<Entry>> {
        let sql = match get.fields {
            Fields::Existence => queries::GET_EXISTENCE,
            Fields::Value => queries::GET_VALUE,
            _ => queries::GET_ENTRY,
        };
        let arguments = connection.arguments().text(&self.namespace).bytes(get.key.as_bytes());
        let row = connection.row(sql, arguments).await?;
        row.map(|row| self.entry(&row, 0, get.fields)).transpose()
    }

    async fn carry_out_all(&self, connection: &mut Borrowed, gets: &[&Get]) -> Vec<Result<Option<Entry>>> {
        let fields = gets.first().map_or(Fields::All, |get| get.fields);
        let keys = gets.iter().map(|get| get.key.as_str());
        match self.get_many(connection, keys, fields).await {
            Ok(entries) => entries,
            Err(error) => gets.iter().map(|_| Err(error.clone())).collect(),
        }
    }
}

impl Gets {
    /// Reads many keys by one statement: a slot for each, in order. A row that is not as it should be spoils its own
    /// slots only.
    pub(crate) async fn get_many<'k>(
        &self,
        connection: &mut Borrowed,
        keys: impl Iterator<Item = &'k str> + Clone,
        fields: Fields,
    ) -> Result<Vec<Result<Option<Entry>>>> {
        let sql = match fields {
            Fields::Existence => queries::GET_MANY_EXISTENCE,
            Fields::Value => queries::GET_MANY_VALUES,
            _ => queries::GET_MANY_ENTRIES,
        };
        let mut distinct: Vec<&[u8]> = keys.clone().map(str::as_bytes).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let arguments = connection.arguments().text(&self.namespace).bytes_list(distinct);
        let rows = connection.rows(sql, arguments).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            let key: Vec<u8> = row.try_get(0).map_err(undecodable)?;
            found.insert(key, self.entry(row, 1, fields));
        }
        let slot = |key: &str| found.get(key.as_bytes()).map_or(Ok(None), |entry| entry.clone().map(Some));
        Ok(keys.map(slot).collect())
    }

    /// The entry in the columns from `at` on: kind, value, version, expiry, metadata.
    pub(crate) fn entry(&self, row: &PgRow, at: usize, fields: Fields) -> Result<Entry> {
        if fields == Fields::Existence {
            return Ok(existing());
        }
        let kind: i16 = row.try_get(at).map_err(undecodable)?;
        let value: Vec<u8> = row.try_get(at + 1).map_err(undecodable)?;
        let value = stored_value(i64::from(kind), Bytes::from(value))?;
        if fields == Fields::Value {
            return Ok(Entry::new(value));
        }
        let number: i64 = row.try_get(at + 2).map_err(undecodable)?;
        let expires_at: Option<i64> = row.try_get(at + 3).map_err(undecodable)?;
        let metadata: Option<Vec<u8>> = row.try_get(at + 4).map_err(undecodable)?;
        Ok(entry(value, metadata.map(Bytes::from), expires_at, version(self.origin, number)))
    }
}
