//! The crate redis as most programs use it: one multiplexed connection, a command a call.

use std::net::SocketAddr;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};

use crate::database::{Conditions, Database};
use crate::measure::Result;
use crate::row::Row;

/// Opens a multiplexed connection to one of the server's databases. It has no time-out, which is what costs least.
///
/// # Errors
/// The driver's.
pub(crate) async fn connect(server: SocketAddr, database: i64) -> Result<MultiplexedConnection> {
    let address = ConnectionAddr::Tcp(server.ip().to_string(), server.port());
    let settings = RedisConnectionInfo::default().set_db(database);
    let client = Client::open(address.into_connection_info()?.set_redis_settings(settings))?;
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

/// `SET`, with the expiry if there is one.
pub(crate) fn set(row: &Row) -> Cmd {
    let mut command = redis::cmd("SET");
    command.arg(&row.key).arg(row.bytes());
    if let Some(ttl) = row.ttl_millis() {
        command.arg("PX").arg(ttl);
    }
    command
}

/// `GET`.
pub(crate) fn get(key: &str) -> Cmd {
    let mut command = redis::cmd("GET");
    command.arg(key);
    command
}

/// A connection that all callers share.
pub(crate) struct Single(pub(crate) MultiplexedConnection);

impl Database for Single {
    async fn set(&self, row: &Row) -> Result<()> {
        Ok(set(row).exec_async(&mut self.0.clone()).await?)
    }

    async fn get(&self, key: &str) -> Result<usize> {
        let value: Option<Bytes> = get(key).query_async(&mut self.0.clone()).await?;
        Ok(value.ok_or("missing")?.len())
    }
}

impl Conditions for Single {
    async fn set_if_not_exists(&self, row: &Row) -> Result<bool> {
        let answer: Option<String> = set(row).arg("NX").query_async(&mut self.0.clone()).await?;
        Ok(answer.is_some())
    }
}
