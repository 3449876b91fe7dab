//! The signals that ask the program to stop.

use std::future::pending;
use std::pin::pin;

use futures_util::future::{self, BoxFuture, FutureExt};

use super::exit::Exit;

/// Ends when a signal asks the program to stop; it listens from the first poll on. One that was ignored when the
/// program began stays ignored, as by `nohup`, or in the background of a script.
pub(crate) async fn stop() -> Exit {
    #[cfg(unix)]
    {
        use tokio::signal::unix::SignalKind;
        let waits = [
            (SignalKind::hangup(), Exit::HungUp),
            (SignalKind::interrupt(), Exit::Interrupted),
            (SignalKind::terminate(), Exit::Terminated),
        ];
        future::select_all(waits.map(|(kind, exit)| signal(kind, exit))).await.0
    }
    #[cfg(not(unix))]
    match tokio::signal::ctrl_c().await {
        Ok(()) => Exit::Interrupted,
        Err(_) => pending().await,
    }
}

#[cfg(unix)]
fn signal(kind: tokio::signal::unix::SignalKind, exit: Exit) -> BoxFuture<'static, Exit> {
    async move {
        if is_ignored(kind.as_raw_value()) {
            return pending().await;
        }
        // One that cannot be listened for is none that comes.
        let Ok(mut signal) = tokio::signal::unix::signal(kind) else { return pending().await };
        match signal.recv().await {
            Some(()) => exit,
            None => pending().await,
        }
    }
    .boxed()
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

/// From now on a further signal ends the process at once, whatever is still being put in order.
pub(crate) fn end_at_the_next() {
    // A thread of its own: the runtime is about to end, and may have to wait for a file.
    std::thread::spawn(|| {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            let exit = runtime.block_on(async { pin!(stop()).await });
            std::process::exit(exit.code().into());
        }
    });
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
