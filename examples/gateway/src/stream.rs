//! A connection whose other end may not keep it waiting for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use kv_api::Timer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::Limits;

/// Which answer of a connection is sent: how many requests have come on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn(Arc<AtomicUsize>);

impl Turn {
    /// The next request has come, so the answer before it is sent.
    pub(crate) fn next(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Breaks off when nothing can be written for a time, and when an answer takes too long in all. Reading has time-outs
/// of its own: those of head and body.
pub(crate) struct Impatient<S> {
    stream: S,
    timer: Arc<dyn Timer>,
    write_time: Duration,
    answer_time: Duration,
    turn: Turn,
    /// Since nothing could be written.
    waits: Option<BoxFuture<'static, ()>>,
    /// Since an answer had to wait for the first time, and which one.
    answers: Option<(usize, BoxFuture<'static, ()>)>,
    is_over: bool,
}

impl<S> Impatient<S> {
    pub(crate) fn new(stream: S, timer: Arc<dyn Timer>, limits: &Limits, turn: Turn) -> Self {
        let (write_time, answer_time) = (limits.write_time, limits.answer_time);
        Self { stream, timer, write_time, answer_time, turn, waits: None, answers: None, is_over: false }
    }

    /// Lets progress through, and breaks off what makes none, or too little.
    fn watch<T>(&mut self, context: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if self.is_over {
            return Poll::Ready(Err(too_slow()));
        }
        if progress.is_ready() {
            self.waits = None;
            return progress;
        }
        let turn = self.turn.0.load(Ordering::Relaxed);
        if self.answers.as_ref().is_none_or(|(answer, _)| *answer != turn) {
            self.answers = Some((turn, self.sleep(self.answer_time)));
        }
        if self.waits.is_none() {
            self.waits = Some(self.sleep(self.write_time));
        }
        let mut is_over = |waits: &mut BoxFuture<'static, ()>| waits.as_mut().poll(context).is_ready();
        // Each is asked, so that each wakes.
        let (nothing, slow) = (
            self.waits.as_mut().is_some_and(&mut is_over),
            self.answers.as_mut().is_some_and(|(_, waits)| is_over(waits)),
        );
        self.is_over = nothing || slow;
        if self.is_over { Poll::Ready(Err(too_slow())) } else { Poll::Pending }
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let timer = Arc::clone(&self.timer);
        Box::pin(async move { timer.sleep(time).await })
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the other end reads too slowly")
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::TokioTimer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::Instant;

    /// A connection that holds one byte, and its two ends.
    fn connection() -> (Impatient<DuplexStream>, DuplexStream, Turn) {
        let (ours, theirs) = duplex(1);
        let turn = Turn::default();
        (Impatient::new(ours, Arc::new(TokioTimer), &Limits::default(), turn.clone()), theirs, turn)
    }

    /// Reads a byte each 20 seconds.
    async fn slowly(mut stream: DuplexStream) {
        while stream.read_u8().await.is_ok() {
            TokioTimer.sleep(Duration::from_secs(20)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_a_little_now_and_then_is_given_up() {
        let (mut stream, theirs, _turn) = connection();
        tokio::spawn(slowly(theirs));
        let began = Instant::now();
        let error = stream.write_all(&[7; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 300);
        // And stays so.
        assert!(stream.write_all(&[7]).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up_sooner() {
        let (mut stream, _theirs, _turn) = connection();
        let began = Instant::now();
        assert!(stream.write_all(&[7; 100]).await.is_err());
        assert_eq!(began.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_own_time() {
        let (mut stream, theirs, turn) = connection();
        tokio::spawn(slowly(theirs));
        for _ in 0..10 {
            turn.next();
            stream.write_all(&[7; 14]).await.unwrap();
        }
    }
}
