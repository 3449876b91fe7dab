//! Shows progress on standard error: a line that is kept up to date on a terminal, else one line every 30 seconds.

use std::fmt;
use std::io::IsTerminal;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use kv_api::Timer;
use kv_migrate::{Counts, Event, Resumed};
use parking_lot::Mutex;

use super::progress::View;

/// How often a line is written where there is no terminal.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// How often the line on a terminal is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// The width of a terminal that does not say it.
const COLUMNS: usize = 80;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// On a terminal.
    Line,
    /// Where the terminal is used for something else too, or there is none.
    Log,
    /// The data itself goes to the terminal.
    Hidden,
}

impl Mode {
    pub(crate) fn choose(writes_stdout: bool, writes_log: bool) -> Self {
        if writes_stdout && std::io::stdout().is_terminal() {
            Self::Hidden
        } else if std::io::stderr().is_terminal() && !writes_log {
            Self::Line
        } else {
            Self::Log
        }
    }
}

/// Shows how one copy or verification comes along.
pub(crate) struct Display {
    view: Arc<Mutex<View>>,
    timer: Arc<dyn Timer>,
    mode: Mode,
    bar: ProgressBar,
}

impl Display {
    pub(crate) fn new(what: &'static str, mode: Mode, timer: &Arc<dyn Timer>) -> Self {
        let view = Arc::new(Mutex::new(View::new(what, timer.monotonic_now())));
        let target = if mode == Mode::Line { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let (shared, clock) = (Arc::clone(&view), Arc::clone(timer));
        let line = move |_: &ProgressState, out: &mut dyn fmt::Write| {
            let columns = terminal_size::terminal_size_of(std::io::stderr());
            let columns = columns.map_or(COLUMNS, |(columns, _)| columns.0.into());
            let now = clock.monotonic_now();
            let mut view = shared.lock();
            view.sample(now);
            let _ = out.write_str(&view.line(now, columns));
        };
        if let Ok(style) = ProgressStyle::with_template("{line}") {
            bar.set_style(style.with_key("line", line));
        }
        if mode == Mode::Line {
            bar.enable_steady_tick(TICK);
        }
        Self { view, timer: Arc::clone(timer), mode, bar }
    }

    pub(crate) fn observe(&self, event: Event<'_>) {
        self.view.lock().observe(self.timer.monotonic_now(), event);
    }

    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    pub(crate) fn set_total(&self, entries: u64) {
        self.view.lock().set_total(entries);
    }

    /// How many entries have been dealt with.
    pub(crate) fn entries(&self) -> u64 {
        self.view.lock().entries()
    }

    /// What became of the entries of a copy so far, and where it went on, when it was resumed.
    pub(crate) fn account(&self) -> (Counts, Option<Resumed>) {
        let view = self.view.lock();
        (view.counts(), view.resumed())
    }

    /// How long ago it was made; no step of the wall clock shows in it.
    pub(crate) fn elapsed(&self) -> Duration {
        self.view.lock().elapsed(self.timer.monotonic_now())
    }

    /// Does the work, and where there is no terminal, hands a line to `log` every 30 seconds meanwhile.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>, mut log: impl FnMut(&str)) -> T {
        let mut work = pin!(work);
        if self.mode != Mode::Log {
            return work.await;
        }
        loop {
            match select(work, self.timer.sleep(LOG_EVERY)).await {
                Either::Left((done, _)) => return done,
                Either::Right(((), going_on)) => work = going_on,
            }
            let now = self.timer.monotonic_now();
            let mut view = self.view.lock();
            view.sample(now);
            log(&view.log_line(now));
        }
    }

    /// Writes something above the line with progress.
    pub(crate) fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use futures_util::FutureExt;
    use kv_api::{ManualClock, Timestamp};

    use super::*;

    /// Who reads the log of a job over night must see that it goes on, and not more than that.
    #[test]
    fn without_a_terminal_there_is_a_line_every_thirty_seconds() {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(0));
        let timer: Arc<dyn Timer> = Arc::new(clock.clone());
        let display = Display::new("copying", Mode::Log, &timer);
        let mut lines = Vec::new();
        {
            let mut work =
                pin!(display.during(clock.sleep(Duration::from_secs(100)), |line| lines.push(line.to_owned())));
            let mut waits = || work.poll_unpin(&mut Context::from_waker(Waker::noop())) == Poll::Pending;
            for _ in 0..10 {
                assert!(waits());
                clock.advance(Duration::from_secs(10));
            }
            assert!(!waits());
        }
        assert_eq!(lines, ["copying: 0 entries, 0/s"; 3]);
    }
}
