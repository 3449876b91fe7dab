//! A socket that counts what goes through it: what was not written was not sent, and what an answer takes is bounded.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The counts of one socket.
#[derive(Debug)]
pub(crate) struct Meter {
    written: AtomicU64,
    /// Since the last answer that came whole.
    read: AtomicUsize,
    read_max: usize,
    /// The other side or the network has ended it.
    has_ended: AtomicBool,
}

impl Meter {
    pub(crate) const fn new(read_max: usize) -> Self {
        Self { written: AtomicU64::new(0), read: AtomicUsize::new(0), read_max, has_ended: AtomicBool::new(false) }
    }

    /// How many bytes the socket took.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// An answer came whole.
    pub(crate) fn answered(&self) {
        self.read.store(0, Ordering::Relaxed);
    }

    /// The other side or the network has ended the connection: whoever gave it up before had another reason.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    fn watch<T>(&self, polled: &Poll<io::Result<T>>) {
        if matches!(polled, Poll::Ready(Err(_))) {
            self.end();
        }
    }

    fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// More came than an answer may take.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.read.load(Ordering::Relaxed) > self.read_max
    }
}

/// A socket with its meter.
#[derive(Debug)]
pub(crate) struct Metered<S> {
    pub(crate) socket: S,
    pub(crate) meter: Arc<Meter>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.meter.is_exceeded() {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        if self.meter.written() == 0 {
            // The crate throws away what comes before a request, such as why the server turns a connection away. The
            // first write wakes the task.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buffer);
        self.meter.watch(&polled);
        let read = buffer.filled().len() - before;
        if read == 0 && polled.is_ready() {
            self.meter.end();
        }
        self.meter.read.fetch_add(read, Ordering::Relaxed);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.meter.watch(&polled);
        if let Poll::Ready(Ok(written)) = polled
            && self.meter.written.fetch_add(written as u64, Ordering::Relaxed) == 0
        {
            cx.waker().wake_by_ref();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_flush(cx);
        self.meter.watch(&polled);
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
