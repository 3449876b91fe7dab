//! One direction of a connection: a bounded buffer in which bytes are looked at, and passed on or dropped, in place.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read ahead of what can be written.
pub(crate) const LANE_BYTES: usize = 64 * 1024;

/// `sent <= ready <= seen <= filled`: written, decided, looked at, read.
#[derive(Debug)]
pub(crate) struct Lane {
    bytes: Vec<u8>,
    sent: usize,
    ready: usize,
    seen: usize,
    filled: usize,
}

impl Lane {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; LANE_BYTES], sent: 0, ready: 0, seen: 0, filled: 0 }
    }

    /// Whether there is room to read into.
    pub(crate) const fn has_room(&self) -> bool {
        self.filled - self.sent < LANE_BYTES
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.filled == self.sent
    }

    /// Whether all that was decided to pass on has been written.
    pub(crate) const fn is_flushed(&self) -> bool {
        self.ready == self.sent
    }

    /// Whether all that has come has been looked at.
    pub(crate) const fn is_seen(&self) -> bool {
        self.seen == self.filled
    }

    /// What has not been looked at.
    pub(crate) fn unseen(&self) -> &[u8] {
        &self.bytes[self.seen..self.filled]
    }

    /// What has been looked at and not been decided on.
    pub(crate) fn held(&self) -> &[u8] {
        &self.bytes[self.ready..self.seen]
    }

    /// The next `count` bytes have been looked at.
    pub(crate) fn advance(&mut self, count: usize) {
        self.seen = (self.seen + count).min(self.filled);
    }

    /// What is held will be written.
    pub(crate) const fn release(&mut self) {
        self.ready = self.seen;
    }

    /// What is held is dropped, but for its first `kept` bytes, which will be written.
    pub(crate) fn discard_after(&mut self, kept: usize) {
        let from = (self.ready + kept).min(self.seen);
        self.bytes.copy_within(self.seen..self.filled, from);
        self.filled -= self.seen - from;
        (self.ready, self.seen) = (from, from);
    }

    /// Drops the end of what is held, if it is more than `most`.
    pub(crate) fn hold_at_most(&mut self, most: usize) {
        if self.seen - self.ready > most {
            let from = self.ready + most;
            self.bytes.copy_within(self.seen..self.filled, from);
            self.filled -= self.seen - from;
            self.seen = from;
        }
    }

    /// Drops what was decided to pass on and has not been written.
    pub(crate) const fn drop_ready(&mut self) {
        self.sent = self.ready;
    }

    /// Writes `text` in the place of what is held.
    pub(crate) fn replace(&mut self, text: &[u8]) {
        self.put(text);
        self.release();
    }

    /// Holds `text` in the place of what is held.
    pub(crate) fn put(&mut self, text: &[u8]) {
        self.discard_after(0);
        let filled = self.filled + text.len();
        if self.bytes.len() < filled {
            self.bytes.resize(filled, 0);
        }
        self.bytes.copy_within(self.seen..self.filled, self.seen + text.len());
        self.bytes[self.seen..self.seen + text.len()].copy_from_slice(text);
        self.filled = filled;
        self.seen += text.len();
    }

    /// Reads what has come; zero at the end of the stream.
    pub(crate) fn poll_fill<S>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<usize>>
    where
        S: AsyncRead + Unpin,
    {
        if self.sent == self.filled {
            (self.sent, self.ready, self.seen, self.filled) = (0, 0, 0, 0);
            // It grew for texts of the link's own.
            self.bytes.truncate(LANE_BYTES);
        } else if self.sent > 0 && self.filled >= LANE_BYTES {
            self.bytes.copy_within(self.sent..self.filled, 0);
            self.ready -= self.sent;
            self.seen -= self.sent;
            self.filled -= self.sent;
            self.sent = 0;
        }
        let mut room = ReadBuf::new(&mut self.bytes[self.filled..]);
        ready!(Pin::new(stream).poll_read(cx, &mut room))?;
        let count = room.filled().len();
        self.filled += count;
        Poll::Ready(Ok(count))
    }

    /// Writes what was decided to pass on; how much went, `Pending` when nothing can go now.
    pub(crate) fn poll_send<S>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<usize>>
    where
        S: AsyncWrite + Unpin,
    {
        let count = ready!(Pin::new(stream).poll_write(cx, &self.bytes[self.sent..self.ready]))?;
        self.sent += count;
        Poll::Ready(Ok(count))
    }
}
