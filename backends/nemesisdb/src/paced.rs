//! A stream that is read a little at a time, so that a server that sends without end does not keep the task from its
//! timers, nor the thread from other tasks.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes of one read.
pub(crate) const READ_BYTES: usize = 8 * 1024;

/// How many reads a turn has.
const READS_PER_TURN: u32 = 4;

/// Wakes the task after the other tasks and the timers have had their turn. What is woken at once could come before
/// them.
pub(crate) fn come_back(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

/// A stream with so many reads in each turn. Without limit until the first turn begins.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    stream: S,
    reads_left: u32,
    received: u64,
}

impl<S> Paced<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream, reads_left: u32::MAX, received: 0 }
    }

    /// A turn of the task begins.
    pub(crate) const fn begin_turn(&mut self) {
        self.reads_left = READS_PER_TURN;
    }

    /// How many bytes have been read so far.
    pub(crate) const fn received(&self) -> u64 {
        self.received
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.reads_left == 0 {
            come_back(cx);
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        self.reads_left -= 1;
        self.received += (buf.filled().len() - before) as u64;
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
