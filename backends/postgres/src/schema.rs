//! Opening a database: is it ours to use, and is there anything to create?

use kv_api::{Error, ErrorKind, Reason, Result, Retry};
use sqlx::Row;

use crate::error::undecodable;
use crate::pool::Borrowed;
use crate::queries;

/// The version of `schema.sql`.
const CURRENT: i32 = 1;

const CREATE: &str = include_str!("schema.sql");

/// The oldest server: what older ones lack, and no version below is maintained.
const SERVER_VERSION_MIN: i32 = 140_000;

/// The columns of the table, as the server describes them.
const COLUMNS: &str = "expires_at timestamp with time zone, key bytea, kind smallint, metadata bytea, namespace text, \
     value bytea, version bigint";

/// What there is.
struct Identity {
    server_version: i32,
    has_meta: bool,
    has_others: bool,
    columns: String,
    bytea_output: String,
}

/// The random number that the tables got when they were created: the origin of their versions. Creates them where there
/// are none.
pub(crate) async fn open(connection: &mut Borrowed, namespace: &str) -> Result<u64> {
    let identity = Identity::read(connection, namespace).await?;
    identity.check_server()?;
    if identity.has_meta {
        return identity.store_id(connection).await;
    }
    identity.check_room()?;
    let created = create(connection, namespace).await;
    if created.is_err() && connection.is_usable() {
        // Where this fails the connection is closed, which undoes the transaction too.
        let _ = connection.end(queries::ROLLBACK).await;
    }
    created.map_err(by_hand)
}

async fn create(connection: &mut Borrowed, namespace: &str) -> Result<u64> {
    connection.begin().await?;
    // Of all processes that are here, one goes on.
    connection.command(queries::LOCK_SCHEMA).await?;
    let identity = Identity::read(connection, namespace).await?;
    if !identity.has_meta {
        identity.check_room()?;
        connection.command(CREATE).await?;
    }
    let store_id = Identity::read(connection, namespace).await?.store_id(connection).await?;
    connection.end(queries::COMMIT).await?;
    Ok(store_id)
}

impl Identity {
    async fn read(connection: &mut Borrowed, namespace: &str) -> Result<Self> {
        let arguments = connection.arguments().text(namespace);
        let row = connection.row(queries::IDENTITY, arguments).await?.ok_or_else(no_row)?;
        Ok(Self {
            server_version: row.try_get(0).map_err(undecodable)?,
            has_meta: row.try_get(1).map_err(undecodable)?,
            has_others: row.try_get(2).map_err(undecodable)?,
            columns: row.try_get(3).map_err(undecodable)?,
            bytea_output: row.try_get(4).map_err(undecodable)?,
        })
    }

    fn check_server(&self) -> Result<()> {
        if self.server_version < SERVER_VERSION_MIN {
            let major = self.server_version / 10_000;
            let message = format!("the server is PostgreSQL {major}; the store needs 14 or later");
            return Err(Error::new(ErrorKind::Misconfigured, message));
        }
        // Bytes arrive as text behind PgBouncer.
        if self.bytea_output != "hex" {
            return Err(Error::new(ErrorKind::Misconfigured, "the server's setting bytea_output is not hex"));
        }
        Ok(())
    }

    /// Refuses to create tables beside those of another program.
    fn check_room(&self) -> Result<()> {
        if self.has_others {
            return Err(foreign("there is a table kv or kv_version without kv_meta"));
        }
        Ok(())
    }

    async fn store_id(&self, connection: &mut Borrowed) -> Result<u64> {
        if self.columns != COLUMNS {
            return Err(foreign("the table kv has other columns"));
        }
        let Some(row) = connection.row(queries::META, connection.arguments()).await? else {
            return Err(foreign("the table kv_meta is empty"));
        };
        let version: i32 = row.try_get(0).map_err(undecodable)?;
        if version > CURRENT {
            let (found, understood) = (i64::from(version), i64::from(CURRENT));
            let error = Error::new(ErrorKind::Misconfigured, "a newer version of this library made the tables");
            return Err(error.with_reason(Reason::NewerSchema { found, understood }));
        }
        let store_id: i64 = row.try_get(1).map_err(undecodable)?;
        Ok(store_id.cast_unsigned())
    }
}

/// Where the right to create the tables is missing, another user can do it: the error says how.
fn by_hand(error: Error) -> Error {
    if error.kind() != ErrorKind::Unauthorized {
        return error;
    }
    let lines = CREATE.lines().filter(|line| !line.trim_start().starts_with("--"));
    let sql = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    let message = format!(
        "the user may not create the tables; let a user who may run: {sql} GRANT SELECT, INSERT, UPDATE, DELETE ON kv \
         TO the_user; GRANT SELECT ON kv_meta TO the_user; GRANT USAGE ON SEQUENCE kv_version TO the_user;"
    );
    Error::new(ErrorKind::Unauthorized, message).with_native_code("42501")
}

fn foreign(why: &str) -> Error {
    let message = format!("what is in the database is not the store's: {why}");
    Error::new(ErrorKind::Misconfigured, message).with_reason(Reason::Foreign)
}

fn no_row() -> Error {
    Error::new(ErrorKind::Protocol, "the server did not answer which version it is").with_retry(Retry::Safe)
}
