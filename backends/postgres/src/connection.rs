//! One connection to the server.

use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::TryStreamExt;
use kv_api::{Error, ErrorKind, Result, Retry};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Either, Executor as _};

use crate::arguments::{Protocol, Sent};
use crate::error::{Failure, Progress, connecting, failure};

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) options: PgConnectOptions,
    /// Host and port, as errors show them.
    pub(crate) host: String,
    pub(crate) protocol: Protocol,
}

pub(crate) struct Connection {
    inner: PgConnection,
    /// When it was used last, by the timer.
    pub(crate) used_at: Duration,
    /// How many connections of the store had been lost when this one was last known to be alive.
    pub(crate) losses_seen: u64,
    /// A statement was sent whose end has not been seen.
    pub(crate) is_busy: bool,
    /// That statement may change something.
    pub(crate) is_changing: bool,
    /// It is in a transaction that spans statements.
    pub(crate) in_transaction: bool,
}

impl Connector {
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let inner = PgConnection::connect_with(&self.options).await.map_err(|error| connecting(error, &self.host))?;
        Ok(Connection {
            inner,
            used_at: Duration::ZERO,
            losses_seen: 0,
            is_busy: false,
            is_changing: false,
            in_transaction: false,
        })
    }
}

impl Connection {
    /// Carries out a statement and hands over its rows, until it asks to stop: then the rest is still to come, and the
    /// connection busy. The end of a statement is that of its transaction too, so that nothing before it is evidence.
    pub(crate) async fn run(
        &mut self,
        sent: Sent,
        mut each: impl FnMut(PgRow) -> Result<ControlFlow<()>> + Send,
    ) -> Result<(), Failure> {
        self.is_busy = true;
        self.is_changing = !sent.sql().starts_with("SELECT");
        let mut results = match sent {
            Sent::Prepared(sql, arguments) => self.inner.fetch_many(sqlx::query_with(sql, arguments)),
            // Its literals are hexadecimal digits and numbers.
            Sent::Simple(text) => self.inner.fetch_many(sqlx::raw_sql(AssertSqlSafe(text))),
        };
        let mut progress = Progress::Running;
        // What is found to be wrong with a row changes nothing about the statement.
        let mut refused = None;
        let ended = loop {
            match results.try_next().await {
                Ok(Some(Either::Right(row))) if refused.is_none() => match each(row) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => return Ok(()),
                    Err(error) => refused = Some(error),
                },
                Ok(Some(Either::Right(_))) => {}
                Ok(Some(Either::Left(_))) => progress = Progress::Committing,
                Ok(None) if progress == Progress::Committing => break Ok(()),
                Ok(None) => break Err(no_end()),
                Err(error) => break Err(failure(error, progress)),
            }
        };
        drop(results);
        self.is_busy = ended.as_ref().is_err_and(|failure| failure.is_lost);
        match refused {
            Some(error) if ended.is_ok() => Err(Failure { error, is_lost: false }),
            _ => ended,
        }
    }

    /// Carries out a statement without rows and parameters, by itself.
    pub(crate) async fn command(&mut self, sql: &'static str) -> Result<(), Failure> {
        self.run(Sent::Simple(sql.to_owned()), |_| Ok(ControlFlow::Continue(()))).await
    }

    /// Waits for the answers that are still to come, and for one more: whether the connection is alive.
    pub(crate) async fn is_alive(&mut self) -> bool {
        self.is_busy = true;
        let is_alive = self.inner.ping().await.is_ok();
        self.is_busy = !is_alive;
        is_alive
    }

    pub(crate) async fn close(self) {
        // The server notices by itself what cannot be sent.
        let _ = self.inner.close().await;
    }
}

/// The driver says that there is nothing more, and the server did not say that it is done.
fn no_end() -> Failure {
    let error = Error::new(ErrorKind::Protocol, "the server did not report the end of a statement");
    Failure { error: error.with_retry(Retry::OutcomeUnknown), is_lost: true }
}
