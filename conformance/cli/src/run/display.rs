//! Shows on standard error how a run comes along: a line that is kept up to date on a terminal, else one line every 30
//! seconds; and what fails, as soon as it does.

use std::collections::BTreeMap;
use std::fmt;
use std::io::IsTerminal;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use kv_api::Timer;
use kv_conformance::{CaseReport, Event};
use parking_lot::Mutex;

use crate::figures::clock;

/// How often a line is written where there is no terminal.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// How often the line on a terminal is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// The width of a terminal that does not say it.
const COLUMNS: usize = 80;

/// How far a run has come, as a pure function of time and events.
#[derive(Debug)]
struct View {
    began: Duration,
    cases: usize,
    ended: usize,
    broken: usize,
    /// Those that run, and since when.
    running: BTreeMap<&'static str, Duration>,
}

impl View {
    fn observe(&mut self, now: Duration, event: Event<'_>) {
        match event {
            Event::Began(case) => drop(self.running.insert(case.name(), now)),
            Event::Ended(report) => {
                self.running.remove(&*report.name);
                self.ended += 1;
                self.broken += usize::from(!report.outcome.is_ok());
            }
            _ => {}
        }
    }

    fn counts(&self) -> String {
        let broken = if self.broken > 0 { format!(", {} broken", self.broken) } else { String::new() };
        format!("{} of {} cases{broken}", self.ended, self.cases)
    }

    /// What fits `columns`.
    fn line(&self, now: Duration, columns: usize) -> String {
        // The last column stays free: some terminals wrap when it is filled.
        let room = columns.saturating_sub(1);
        let percent = (self.ended * 100).checked_div(self.cases).unwrap_or(100).min(100);
        let (counts, time) = (self.counts(), clock(now.saturating_sub(self.began)));
        let bar = |width: usize| {
            let filled = percent * width / 100;
            format!("[{:<width$}]", format!("{}{}", "=".repeat(filled), if filled < width { ">" } else { "" }))
        };
        let mut line = match columns {
            100.. => format!("{} {counts}, {time}", bar(30)),
            60.. => format!("{} {counts}, {time}", bar(12)),
            _ => format!("{percent:>3}%, {counts}"),
        };
        if let Some((longest, others)) = self.at_work() {
            for text in [format!("{line}: {longest}{others}"), format!("{line}: {longest}")] {
                if text.len() <= room {
                    line = text;
                    break;
                }
            }
        }
        if line.len() <= room { line } else { String::new() }
    }

    fn log_line(&self, now: Duration) -> String {
        let time = clock(now.saturating_sub(self.began));
        let at_work = self.at_work().map_or_else(String::new, |(longest, others)| format!(": {longest}{others}"));
        format!("{}, {time}{at_work}", self.counts())
    }

    /// The case that runs for longest, and how many others there are.
    fn at_work(&self) -> Option<(&'static str, String)> {
        let (longest, _) = self.running.iter().min_by_key(|(_, began)| **began)?;
        let others = self.running.len() - 1;
        Some((longest, if others > 0 { format!(" and {others} more") } else { String::new() }))
    }
}

/// Shows a run.
pub(crate) struct Display {
    view: Arc<Mutex<View>>,
    timer: Arc<dyn Timer>,
    is_terminal: bool,
    bar: ProgressBar,
}

impl Display {
    pub(crate) fn new(cases: usize, timer: &Arc<dyn Timer>) -> Self {
        let began = timer.monotonic_now();
        let view = View { began, cases, ended: 0, broken: 0, running: BTreeMap::new() };
        let view = Arc::new(Mutex::new(view));
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let (shared, clock) = (Arc::clone(&view), Arc::clone(timer));
        let line = move |_: &ProgressState, out: &mut dyn fmt::Write| {
            let columns = terminal_size::terminal_size_of(std::io::stderr());
            let columns = columns.map_or(COLUMNS, |(columns, _)| columns.0.into());
            let _ = out.write_str(&shared.lock().line(clock.monotonic_now(), columns));
        };
        if let Ok(style) = ProgressStyle::with_template("{line}") {
            bar.set_style(style.with_key("line", line));
        }
        if is_terminal {
            bar.enable_steady_tick(TICK);
        }
        Self { view, timer: Arc::clone(timer), is_terminal, bar }
    }

    pub(crate) fn observe(&self, event: Event<'_>) {
        self.view.lock().observe(self.timer.monotonic_now(), event);
        if let Event::Ended(CaseReport { name, outcome, .. }) = event
            && !outcome.is_ok()
        {
            // Why is in the report.
            self.bar.suspend(|| tell!("{}: {name}", outcome.label()));
        }
    }

    /// Does the work, and says how it comes along.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let done = loop {
            if self.is_terminal {
                break work.await;
            }
            match select(work, self.timer.sleep(LOG_EVERY)).await {
                Either::Left((done, _)) => break done,
                Either::Right(((), going_on)) => work = going_on,
            }
            tell!("{}", self.view.lock().log_line(self.timer.monotonic_now()));
        };
        self.bar.finish_and_clear();
        done
    }
}

#[cfg(test)]
mod tests {
    use kv_conformance::Case;

    use super::*;

    #[test]
    fn the_line_fits_and_says_what_is_at_work() {
        let mut view = View { began: Duration::ZERO, cases: 190, ended: 0, broken: 0, running: BTreeMap::new() };
        assert_eq!(view.line(Duration::ZERO, 40), "  0%, 0 of 190 cases");
        for (second, case) in (0..).zip(&Case::ALL[..3]) {
            view.observe(Duration::from_secs(second), Event::Began(case));
        }
        (view.ended, view.broken) = (95, 2);
        let name = Case::ALL[0].name();
        let bar = format!("[{}>{}]", "=".repeat(15), " ".repeat(14));
        let expected = format!("{bar} 95 of 190 cases, 2 broken, 1:02: {name} and 2 more");
        assert_eq!(view.line(Duration::from_secs(62), 200), expected);
        assert_eq!(
            view.log_line(Duration::from_secs(62)),
            format!("95 of 190 cases, 2 broken, 1:02: {name} and 2 more")
        );
        for columns in 0..200 {
            assert!(view.line(Duration::from_secs(62), columns).len() < columns.max(1), "{columns}");
        }
    }
}
