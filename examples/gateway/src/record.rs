//! What is remembered of calls: counts, and the latest ones.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use kv_api::Timestamp;
use parking_lot::Mutex;

use crate::namespaces::Namespace;

/// How many calls the status page shows.
const LATEST_MAX: usize = 50;

/// What a call is recorded with whose client hung up before it was answered: 499, as other servers do.
pub(crate) fn gone() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT)
}

/// How often what was asked of a namespace.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    reads: AtomicU64,
    writes: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    fn add(&self, writes: bool, status: StatusCode) {
        let of_kind = if writes { &self.writes } else { &self.reads };
        of_kind.fetch_add(1, Ordering::Relaxed);
        // A missing key is an answer like any other.
        if status.is_server_error() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        } else if status.is_client_error() && status != StatusCode::NOT_FOUND {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads, writes, refused and failed, in this order.
    pub(crate) fn figures(&self) -> [u64; 4] {
        [&self.reads, &self.writes, &self.refused, &self.failed].map(|count| count.load(Ordering::Relaxed))
    }
}

/// A call that has ended. It holds neither key nor value.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Timestamp,
    pub(crate) operation: &'static str,
    pub(crate) writes: bool,
    pub(crate) namespace: Option<Arc<Namespace>>,
    pub(crate) status: StatusCode,
    pub(crate) took: Duration,
}

/// The latest calls, and the counts of all.
#[derive(Debug, Default)]
pub(crate) struct Record {
    latest: Mutex<VecDeque<Call>>,
}

impl Record {
    pub(crate) fn add(&self, call: Call) {
        if let Some(namespace) = &call.namespace {
            namespace.counts.add(call.writes, call.status);
        }
        let mut latest = self.latest.lock();
        if latest.len() == LATEST_MAX {
            latest.pop_front();
        }
        latest.push_back(call);
    }

    /// The latest first.
    pub(crate) fn latest(&self) -> Vec<Call> {
        self.latest.lock().iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_calls_are_kept() {
        let record = Record::default();
        for second in 0..200 {
            record.add(Call {
                at: Timestamp::from_unix_seconds(second),
                operation: "read",
                writes: false,
                namespace: None,
                status: StatusCode::OK,
                took: Duration::ZERO,
            });
        }
        let latest = record.latest();
        assert_eq!((latest.len(), latest[0].at), (LATEST_MAX, Timestamp::from_unix_seconds(199)));
    }

    #[test]
    fn a_missing_key_is_not_counted_as_refused() {
        let counts = Counts::default();
        counts.add(false, StatusCode::NOT_FOUND);
        counts.add(true, StatusCode::BAD_REQUEST);
        counts.add(true, StatusCode::BAD_GATEWAY);
        assert_eq!(counts.figures(), [1, 2, 1, 1]);
    }
}
