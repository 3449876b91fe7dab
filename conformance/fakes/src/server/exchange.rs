//! What a server remembers of its requests.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// How many exchanges the log of a server remembers unless another number is set; older ones are forgotten.
pub const EXCHANGES_MAX: usize = 100_000;

pub(super) type Observer = Arc<dyn Fn(&Exchange) + Send + Sync>;

/// One request that reached a fake, and the status of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// The method, in capitals.
    pub method: String,
    /// The path, percent-encoded as it came; secrets in it are replaced by `***`.
    pub path: String,
    /// The query without its question mark, percent-encoded as it came; secrets in it are replaced by `***`.
    pub query: String,
    /// The status of the answer; `None` when none was sent, because of [`Fault::Cut`](crate::Fault::Cut) or
    /// [`Fault::Silent`](crate::Fault::Silent).
    pub status: Option<u16>,
}

/// `GET /path?query 200`.
impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        if !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        match self.status {
            Some(status) => write!(f, " {status}"),
            None => f.write_str(" no answer"),
        }
    }
}

/// The last exchanges.
pub(super) struct Log {
    max: usize,
    exchanges: VecDeque<Exchange>,
}

impl Log {
    pub(super) const fn new(max: usize) -> Self {
        Self { max, exchanges: VecDeque::new() }
    }

    /// Whether nothing is remembered.
    pub(super) const fn is_off(&self) -> bool {
        self.max == 0
    }

    pub(super) fn push(&mut self, exchange: Exchange) {
        if self.exchanges.len() >= self.max {
            self.exchanges.pop_front();
        }
        if !self.is_off() {
            self.exchanges.push_back(exchange);
        }
    }

    /// Oldest first.
    pub(super) fn to_vec(&self) -> Vec<Exchange> {
        self.exchanges.iter().cloned().collect()
    }
}
