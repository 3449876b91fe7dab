//! OpenDAL's Redis service.

use std::net::SocketAddr;

use opendal::{Operator, services};

use crate::measure::Result;

/// An operator on one of the server's databases, with its default pool of 10 connections.
///
/// # Errors
/// OpenDAL's.
pub(crate) fn open(server: SocketAddr, database: i64) -> Result<Operator> {
    Ok(Operator::new(services::Redis::default().endpoint(&format!("redis://{server}")).db(database))?)
}
