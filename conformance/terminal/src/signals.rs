//! The signals that ask the program to stop.

use std::future::pending;
use std::process;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_util::future::{Either, FutureExt, select};
use kv_api::{Timer, TokioTimer};
use tokio::sync::oneshot;

/// A signal that asks the program to stop. Its number is the exit code that shells know it by: 128 and the number of the
/// signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The terminal was closed (`SIGHUP`).
    HungUp = 129,
    /// Ctrl-C (`SIGINT`).
    Interrupted = 130,
    /// `SIGTERM`.
    Terminated = 143,
}

impl Signal {
    /// All of them, by their exit codes.
    pub const ALL: [Self; 3] = [Self::HungUp, Self::Interrupted, Self::Terminated];

    /// What the exit code means, for help and documentation.
    ///
    /// ```
    /// assert_eq!(kv_terminal::signals::Signal::Terminated.meaning(), "terminated (SIGTERM)");
    /// ```
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::HungUp => "the terminal was closed (SIGHUP)",
            Self::Interrupted => "interrupted (SIGINT)",
            Self::Terminated => "terminated (SIGTERM)",
        }
    }

    /// The exit code of a program that it ended.
    ///
    /// ```
    /// assert_eq!(kv_terminal::signals::Signal::Interrupted.exit_code(), 130);
    /// ```
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        self as u8
    }
}

/// How long the work has to take note of a signal. It cannot where its thread is held up, such as by a reader of
/// standard output that does not read.
const NOTED_WITHIN: Duration = Duration::from_secs(5);

/// Ends when a signal asks the program to stop; all that come after the call count. One that was ignored when the
/// program began stays ignored, as by `nohup`, or in the background of a script.
///
/// A thread of its own listens for them: a further signal ends the process at once, whatever is still being put in
/// order, and so does the first one when the work takes no note of it.
pub fn stop() -> impl Future<Output = Signal> {
    let (ready, is_ready) = mpsc::channel();
    let (send, received) = oneshot::channel();
    thread::spawn(move || {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            let signal = runtime.block_on(listen(ready, send));
            process::exit(signal.exit_code().into());
        }
    });
    // Where that thread cannot listen, a signal ends the process anyway.
    let _ = is_ready.recv();
    async {
        match received.await {
            Ok(Noted { signal, noted }) => {
                let _ = noted.send(());
                signal
            }
            Err(_) => pending().await,
        }
    }
}

/// A signal, and whom to answer that the work has taken note of it.
struct Noted {
    signal: Signal,
    noted: oneshot::Sender<()>,
}

/// Hands on the first signal, and ends when the process is to end at once.
async fn listen(ready: mpsc::Sender<()>, first: oneshot::Sender<Noted>) -> Signal {
    let mut signals = Signals::new();
    let _ = ready.send(());
    let signal = signals.next().await;
    let (noted, is_noted) = oneshot::channel();
    let _ = first.send(Noted { signal, noted });
    let waits = select(is_noted, TokioTimer.sleep(NOTED_WITHIN));
    match select(waits, signals.next().boxed()).await {
        Either::Left((Either::Left((Ok(()), _)), next)) => next.await,
        Either::Left(_) => signal,
        Either::Right((next, _)) => next,
    }
}

/// The signals that ask the program to stop.
#[cfg(unix)]
struct Signals(Vec<(tokio::signal::unix::Signal, Signal)>);

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [
            (SignalKind::hangup(), Signal::HungUp),
            (SignalKind::interrupt(), Signal::Interrupted),
            (SignalKind::terminate(), Signal::Terminated),
        ];
        let heeded = kinds.into_iter().filter(|(kind, _)| !is_ignored(kind.as_raw_value()));
        // One that cannot be listened for is none that comes.
        Self(heeded.filter_map(|(kind, of)| Some((signal(kind).ok()?, of))).collect())
    }

    async fn next(&mut self) -> Signal {
        use std::future::poll_fn;
        use std::task::Poll;
        poll_fn(|context| {
            let come = self
                .0
                .iter_mut()
                .find_map(|(signal, of)| matches!(signal.poll_recv(context), Poll::Ready(Some(()))).then_some(*of));
            come.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    const fn new() -> Self {
        Self
    }

    async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupted,
            Err(_) => pending().await,
        }
    }
}

/// Where the system does not say it: `nohup` leaves no terminal to write errors to.
#[cfg(unix)]
fn is_ignored(number: i32) -> bool {
    use std::io::IsTerminal;
    const HANGUP: i32 = 1;
    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) => ignored_in(&status, number),
        Err(_) => number == HANGUP && !std::io::stderr().is_terminal(),
    }
}

/// Reads a bit set in which signal 1 is the lowest bit.
#[cfg(unix)]
fn ignored_in(status: &str, number: i32) -> bool {
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    number.checked_sub(1).and_then(|bit| u32::try_from(bit).ok()).and_then(|bit| set.checked_shr(bit)).unwrap_or(0) & 1
        == 1
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_the_system_calls_ignored_is_found() {
        let status = "Name:\tkv-migrate\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000000003\n";
        assert!(ignored_in(status, 1) && ignored_in(status, 2));
        assert!(!ignored_in(status, 15) && !ignored_in("", 1) && !ignored_in(status, 0));
    }
}
