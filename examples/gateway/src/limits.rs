//! How much the server takes on, and for how long.

use std::time::Duration;

/// How much the server takes on, and for how long. Whatever is beyond a limit is refused or waits; nothing grows.
///
/// ```
/// use kv_gateway::Limits;
/// let mut limits = Limits::default();
/// limits.in_flight = 64;
/// assert_eq!(limits.body_bytes, 100_000_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Requests under way at once, until the last byte of their answers is sent; more are 429. Default: 256.
    pub in_flight: usize,
    /// Connections open at once; more wait to be accepted. Default: 1,024.
    pub connections: usize,
    /// The longest body in bytes; a longer one is 413. Default: 100,000,000, which is the dialect's own for bulk
    /// writes.
    pub body_bytes: usize,
    /// What the bodies of all requests under way hold together, in bytes; a request beyond that is 429, and one that
    /// could never fit 413. A body counts as it comes; a form, and JSON of many keys, count twice while they are taken
    /// apart. Default: 268,435,456.
    pub bodies_bytes: usize,
    /// What all answers hold together until they are sent, in bytes; a read beyond that is 429, and one that could
    /// never fit 413. A value counts as soon as its length is known; what a store has on the way to here does not, and
    /// neither do values up to 16,384 bytes. Default: 268,435,456.
    pub answers_bytes: usize,
    /// How long the head of a request may be in bytes, at least 8,192; one of twice as many is 431 in every case, and
    /// one in between depends on how it arrives. Default: 32,768.
    pub header_bytes: usize,
    /// The most headers of a request; more are 431. Default: 64.
    pub headers: usize,
    /// How long the head of a request may take, from the end of the request before; so also how long an idle connection
    /// stays open, and how long a TLS handshake may take. More than a year counts as a year. Default: 30 s.
    pub header_time: Duration,
    /// How long a body may take; longer is 408. Default: 60 s.
    pub body_time: Duration,
    /// How long a request may take, from its head to the head of its answer; longer is 504. Default: 120 s.
    pub request_time: Duration,
    /// How long a client may take nothing of an answer before its connection is closed. Default: 30 s.
    pub write_time: Duration,
    /// How long a client may take over a whole answer, from when it first takes it more slowly than it comes, before
    /// its connection is closed. Default: 300 s.
    pub answer_time: Duration,
    /// How long requests under way have to end once the server is asked to stop. Default: 30 s.
    pub stop_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 256,
            connections: 1024,
            body_bytes: 100_000_000,
            bodies_bytes: 256 * 1024 * 1024,
            answers_bytes: 256 * 1024 * 1024,
            header_bytes: 32 * 1024,
            headers: 64,
            header_time: Duration::from_secs(30),
            body_time: Duration::from_secs(60),
            request_time: Duration::from_secs(120),
            write_time: Duration::from_secs(30),
            answer_time: Duration::from_secs(300),
            stop_time: Duration::from_secs(30),
        }
    }
}
