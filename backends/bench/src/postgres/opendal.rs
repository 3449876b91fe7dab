//! OpenDAL's PostgreSQL service.

use opendal::{Operator, services};
use sqlx::PgPool;

use crate::measure::Result;
use crate::row::Row;

/// Makes a table of keys and values with these entries, and an operator on it with its default pool of ten connections.
///
/// # Errors
/// PostgreSQL's and OpenDAL's.
pub(crate) async fn load(url: &str, pool: &PgPool, rows: &[Row]) -> Result<Operator> {
    sqlx::query("CREATE TABLE opendal (key text PRIMARY KEY, value bytea)").execute(pool).await?;
    for rows in rows.chunks(super::BATCH) {
        let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        let values: Vec<&[u8]> = rows.iter().map(Row::bytes).collect();
        sqlx::query("INSERT INTO opendal SELECT * FROM unnest($1::text[], $2::bytea[])")
            .bind(keys)
            .bind(values)
            .execute(pool)
            .await?;
    }
    Ok(Operator::new(services::Postgresql::default().connection_string(url).table("opendal"))?)
}
