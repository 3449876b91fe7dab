//! Where the tasks of a store live, and whether they can make progress there (LIFE-3).
//!
//! A forked child has the memory of its parent and none of its threads: a call that is handed over in there is never
//! taken up. A runtime of one thread runs its tasks only while a thread is inside its `block_on`. Other runtimes drive
//! themselves for as long as they exist, and one that has ended lets go of its tasks, which their callers notice.

use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{process, thread};

use futures_util::future::{Either, select};
use kv_api::{Error, ErrorKind, Reason, Result, Retry, Timer};
use tokio::runtime::{Handle, Id, RuntimeFlavor};
use tokio::sync::{oneshot, watch};

/// How long a runtime of one thread may do nothing for a caller of another runtime.
const SILENCE_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct TaskHost {
    process: u32,
    runtime: Id,
    /// In a runtime that drives itself there is nothing to find out.
    pulse: Option<Pulse>,
}

/// A task that answers as soon as the runtime lets it.
#[derive(Debug)]
struct Pulse {
    timer: Arc<dyn Timer>,
    silence_max: Duration,
    asked: watch::Sender<u64>,
    answered: watch::Receiver<u64>,
}

impl TaskHost {
    /// The process and the runtime that this is called in.
    ///
    /// # Errors
    /// `Misconfigured` outside of a tokio runtime.
    pub(crate) fn current(timer: Arc<dyn Timer>) -> Result<Self> {
        let handle = Handle::try_current().map_err(|error| {
            Error::new(ErrorKind::Misconfigured, "a SQLite store is opened inside a tokio runtime").with_source(error)
        })?;
        let drives_itself = handle.runtime_flavor() != RuntimeFlavor::CurrentThread;
        let pulse = (!drives_itself).then(|| Pulse::start(&handle, timer));
        Ok(Self { process: process::id(), runtime: handle.id(), pulse })
    }

    /// Whether the caller is polled by the runtime that the tasks live in.
    pub(crate) fn is_callers(&self) -> bool {
        Handle::try_current().is_ok_and(|handle| handle.id() == self.runtime)
    }

    /// Makes a call on the tasks. Its own end comes first; where it does not come, and the runtime stands still, the
    /// call ends with `handed_over` as its retry class.
    pub(crate) async fn call<T>(&self, handed_over: Retry, call: impl Future<Output = Result<T>>) -> Result<T> {
        if process::id() != self.process {
            let message = "the store was opened by the parent of this process: a forked child opens one of its own";
            return Err(Error::new(ErrorKind::Misconfigured, message).with_reason(Reason::ForkedProcess));
        }
        match &self.pulse {
            Some(pulse) if !self.is_callers() => pulse.watch(handed_over, call).await,
            _ => call.await,
        }
    }
}

impl Pulse {
    fn start(handle: &Handle, timer: Arc<dyn Timer>) -> Self {
        let (asked, mut questions) = watch::channel(0);
        let (answers, answered) = watch::channel(0);
        // Ends with the store.
        handle.spawn(async move {
            while questions.changed().await.is_ok() {
                let question = *questions.borrow_and_update();
                answers.send_replace(question);
            }
        });
        Self { timer, silence_max: SILENCE_MAX, asked, answered }
    }

    async fn watch<T>(&self, handed_over: Retry, call: impl Future<Output = Result<T>>) -> Result<T> {
        // Before anything is handed over, so that a call on a runtime that stands still is certainly not applied.
        self.check(Retry::Safe).await?;
        let mut call = pin!(call);
        loop {
            match select(call.as_mut(), pin!(self.silence())).await {
                Either::Left((result, _)) => return result,
                Either::Right(((), _)) => self.check(handed_over).await?,
            }
        }
    }

    /// Ends after the longest silence. The timer belongs to the caller's runtime; for a caller without one a thread
    /// waits, and ends as soon as the call does.
    async fn silence(&self) {
        if Handle::try_current().is_ok() {
            return self.timer.sleep(self.silence_max).await;
        }
        let (done, ended) = oneshot::channel::<()>();
        let (_waiting, gone) = mpsc::channel::<()>();
        let silence_max = self.silence_max;
        let wait = move || {
            // Nothing is ever sent: this ends with the time, or when the other end is dropped.
            let _ = gone.recv_timeout(silence_max);
            drop(done);
        };
        match thread::Builder::new().name("kv-sqlite-wait".to_owned()).spawn(wait) {
            Ok(_) => drop(ended.await),
            // Without a thread there is nothing that could say when the time is over.
            Err(_) => pending().await,
        }
    }

    /// Fails where the runtime does nothing for [`SILENCE_MAX`].
    async fn check(&self, retry: Retry) -> Result<()> {
        let mut question = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            question = *asked;
        });
        let mut answered = self.answered.clone();
        let answer = pin!(answered.wait_for(|answer| *answer >= question));
        match select(answer, pin!(self.silence())).await {
            // Without an answer the runtime has ended, and the call will find that out.
            Either::Left(_) => Ok(()),
            Either::Right(_) => Err(Error::new(
                ErrorKind::Misconfigured,
                "the runtime that the store was opened in does nothing: keep a thread inside its block_on that is not \
                 blocked, or open the store in a runtime of several threads",
            )
            .with_reason(Reason::RuntimeStalled)
            .with_retry(retry)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{ManualClock, Timestamp};
    use std::cell::Cell;
    use std::future::ready;
    use std::task::{Context, Poll, Wake};

    fn current_thread() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    /// What a program without any runtime does.
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        struct Unpark(thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Arc::new(Unpark(thread::current())).into();
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    }

    fn host(runtime: &tokio::runtime::Runtime, clock: &ManualClock) -> TaskHost {
        runtime.block_on(async { TaskHost::current(Arc::new(clock.clone())).unwrap() })
    }

    #[test]
    fn life_3_a_forked_child_has_no_part_in_the_store() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let runtime = current_thread();
        let mut host = host(&runtime, &clock);
        assert_eq!(runtime.block_on(host.call(Retry::Safe, ready(Ok(7)))).unwrap(), 7);
        host.process += 1;
        let error = runtime.block_on(host.call(Retry::Safe, pending::<Result<()>>())).unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Misconfigured, Retry::Never));
        assert_eq!(error.reason(), Some(&Reason::ForkedProcess));
    }

    #[test]
    fn life_3_a_runtime_that_stops_half_way_leaves_the_outcome_unknown() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let (runtime, other) = (current_thread(), current_thread());
        let host = host(&runtime, &clock);
        let handed_over = Cell::new(false);
        let mut call = pin!(host.call(Retry::OutcomeUnknown, async {
            handed_over.set(true);
            pending::<Result<()>>().await
        }));
        thread::scope(|scope| {
            let (stop, stopped) = oneshot::channel::<()>();
            scope.spawn(|| runtime.block_on(stopped));
            other.block_on(async {
                while !handed_over.get() {
                    assert!(futures_util::poll!(&mut call).is_pending());
                    tokio::task::yield_now().await;
                }
            });
            stop.send(()).unwrap();
        });
        other.block_on(async {
            clock.advance(SILENCE_MAX);
            assert!(futures_util::poll!(&mut call).is_pending(), "it is asked whether the runtime is driven");
            clock.advance(SILENCE_MAX);
            let error = call.await.unwrap_err();
            assert_eq!((error.reason(), error.retry()), (Some(&Reason::RuntimeStalled), Retry::OutcomeUnknown));
        });
    }

    #[test]
    fn life_3_a_caller_without_a_runtime_is_answered_too() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let runtime = current_thread();
        let mut host = host(&runtime, &clock);
        thread::scope(|scope| {
            let (stop, stopped) = oneshot::channel::<()>();
            scope.spawn(|| runtime.block_on(stopped));
            let answer = block_on(host.call(Retry::Safe, ready(Ok(7))));
            assert_eq!(answer.unwrap(), 7);
            stop.send(()).unwrap();
        });
        host.pulse.as_mut().unwrap().silence_max = Duration::from_millis(1);
        let error = block_on(host.call(Retry::Safe, ready(Ok(7)))).unwrap_err();
        assert_eq!(error.reason(), Some(&Reason::RuntimeStalled));
    }

    #[test]
    fn life_3_outside_of_a_runtime_there_is_no_host() {
        let timer = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        assert_eq!(TaskHost::current(timer).unwrap_err().kind(), ErrorKind::Misconfigured);
    }
}
