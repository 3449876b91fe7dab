//! What a person reads while it runs: a line that fits the terminal, as a pure function of time and events.

use std::collections::VecDeque;
use std::time::Duration;

use kv_migrate::{Counts, Event, Progress, Resumed, Side};

use super::report::grouped;

/// Over how long a rate is measured, so that it follows what happens now.
const WINDOW: Duration = Duration::from_secs(10);

/// How long two measurements are apart at least.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// How far it has come, and how fast. Times are those of one [`Timer`](kv_api::Timer).
#[derive(Debug)]
pub(crate) struct View {
    what: &'static str,
    began: Duration,
    progress: Progress,
    resumed: Option<Resumed>,
    /// How many entries there are, where that was counted.
    total: Option<u64>,
    waiting: Option<Waiting>,
    /// Entries and bytes by time, of the last moments; never empty.
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    entries: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Waiting {
    until: Duration,
    side: Side,
    /// `rate limited`
    kind: String,
    /// `HTTP 429`
    code: Option<String>,
}

impl View {
    pub(crate) fn new(what: &'static str, now: Duration) -> Self {
        let samples = VecDeque::from([Sample { at: now, entries: 0, bytes: 0 }]);
        Self { what, began: now, progress: Progress::default(), resumed: None, total: None, waiting: None, samples }
    }

    pub(crate) fn observe(&mut self, now: Duration, event: Event<'_>) {
        match event {
            Event::Progress(progress) => {
                self.progress = progress;
                self.waiting = None;
                self.sample(now);
            }
            Event::Waiting(wait) => self.wait(now, wait.delay, wait.side, wait.error),
            Event::Resumed(resumed) => {
                self.resumed = Some(resumed);
                self.progress.counts = resumed.counts;
                self.go_on_from(now, resumed.entries);
            }
            _ => {}
        }
    }

    fn wait(&mut self, now: Duration, delay: Duration, side: Side, error: &kv_api::Error) {
        let code = error.native_code().filter(|code| code.is_ascii() && !code.contains(char::is_control));
        let (kind, code) = (error.kind().to_string(), code.map(str::to_owned));
        self.waiting = Some(Waiting { until: now.saturating_add(delay), side, kind, code });
    }

    fn go_on_from(&mut self, now: Duration, entries: u64) {
        self.progress.entries = entries;
        self.samples = VecDeque::from([Sample { at: now, entries, bytes: 0 }]);
    }

    pub(crate) fn set_total(&mut self, entries: u64) {
        self.total = Some(entries);
    }

    pub(crate) const fn entries(&self) -> u64 {
        self.progress.entries
    }

    /// What became of the entries of a copy so far.
    pub(crate) const fn counts(&self) -> Counts {
        self.progress.counts
    }

    /// Where a copy went on, when it was resumed.
    pub(crate) const fn resumed(&self) -> Option<Resumed> {
        self.resumed
    }

    pub(crate) fn elapsed(&self, now: Duration) -> Duration {
        now.saturating_sub(self.began)
    }

    /// Keeps what a rate needs, also while nothing happens. A file that is gone on with begins with a jump, which is no
    /// rate.
    pub(crate) fn sample(&mut self, now: Duration) {
        let bytes = self.progress.bytes.map_or(0, |(read, _)| read);
        if let [first] = self.samples.make_contiguous()
            && first.entries > 0
            && first.bytes == 0
        {
            first.bytes = bytes;
        }
        let is_due = self.samples.back().is_none_or(|last| now.saturating_sub(last.at) >= SAMPLE_EVERY);
        if is_due {
            self.samples.push_back(Sample { at: now, entries: self.progress.entries, bytes });
        }
        while self.samples.get(1).is_some_and(|second| now.saturating_sub(second.at) >= WINDOW) {
            self.samples.pop_front();
        }
    }

    /// What fits `columns`; `now` also chooses the sign that moves.
    pub(crate) fn line(&self, now: Duration, columns: usize) -> String {
        // The last column stays free: some terminals wrap when it is filled.
        let room = columns.saturating_sub(1);
        let line = match &self.waiting {
            Some(waiting) => self.waiting_line(waiting, now, room),
            None => self.moving_line(now, columns),
        };
        if line.len() <= room {
            return line;
        }
        // A number that is cut would be another one.
        let percent = self.percent().map_or_else(|| moving_sign(now).to_string(), |percent| format!("{percent:>3}%"));
        if percent.len() <= room { percent } else { String::new() }
    }

    /// One line for a log.
    pub(crate) fn log_line(&self, now: Duration) -> String {
        let mut line = format!("{}: {} entries", self.what, grouped(self.entries()));
        if let Some(percent) = self.percent() {
            line.push_str(&format!(", {percent}%"));
        }
        match &self.waiting {
            Some(waiting) => line.push_str(&format!("; {}", waiting.texts(now)[0])),
            None => {
                line.push_str(&format!(", {}/s", grouped(self.rate(now))));
                if let Some(left) = self.left(now) {
                    line.push_str(&format!(", {} left", clock(left)));
                }
            }
        }
        line
    }

    /// The form is chosen by the width alone, so that it does not change while it runs.
    fn moving_line(&self, now: Duration, columns: usize) -> String {
        let what = self.what;
        let entries = grouped(self.entries());
        let rate = grouped(self.rate(now));
        let Some(percent) = self.percent() else {
            let sign = moving_sign(now);
            return match columns {
                60.. => format!("{what} {sign} {entries} entries, {rate}/s, {}", clock(self.elapsed(now))),
                30.. => format!("{sign} {entries}, {rate}/s"),
                _ => format!("{sign} {entries}"),
            };
        };
        let left = self.left(now).map(clock);
        let ends = |left: Option<String>| left.map_or_else(String::new, |left| format!(", {left} left"));
        match columns {
            120.. => {
                format!("{what} {} {percent:>3}%, {entries} entries, {rate}/s{}", bar(percent, 40), ends(left))
            }
            80.. => format!("{what} {} {percent:>3}%, {entries} entries, {rate}/s{}", bar(percent, 12), ends(left)),
            60.. => format!("{what} {percent:>3}%, {entries} entries, {rate}/s{}", ends(left)),
            40.. => {
                format!("{percent:>3}%, {entries}, {rate}/s{}", left.map_or_else(String::new, |l| format!(", {l}")))
            }
            30.. => format!("{percent:>3}%, {entries}{}", left.map_or_else(String::new, |l| format!(", {l}"))),
            _ => format!("{percent:>3}%, {entries}"),
        }
    }

    fn waiting_line(&self, waiting: &Waiting, now: Duration, room: usize) -> String {
        let texts = waiting.texts(now);
        let with_count = format!("{} entries; {}", grouped(self.entries()), texts[0]);
        let [.., shortest] = &texts;
        let shortest = shortest.clone();
        std::iter::once(with_count).chain(texts).find(|text| text.len() <= room).unwrap_or(shortest)
    }

    /// Of bytes where they are known, since entries differ in size.
    fn percent(&self) -> Option<u64> {
        let (done, total) = self.done_and_total()?;
        Some(done.min(total).saturating_mul(100).checked_div(total).unwrap_or(100))
    }

    fn done_and_total(&self) -> Option<(u64, u64)> {
        self.progress.bytes.or_else(|| self.total.map(|total| (self.progress.entries, total)))
    }

    /// Entries a second over the last moments.
    fn rate(&self, now: Duration) -> u64 {
        self.moved(now).map_or(0, |(entries, _, took)| per_second(entries, took))
    }

    /// What was done since the oldest measurement.
    fn moved(&self, now: Duration) -> Option<(u64, u64, Duration)> {
        let first = self.samples.front()?;
        let bytes = self.progress.bytes.map_or(0, |(read, _)| read);
        let took = now.saturating_sub(first.at);
        (took >= SAMPLE_EVERY)
            .then(|| (self.progress.entries.saturating_sub(first.entries), bytes.saturating_sub(first.bytes), took))
    }

    /// How long it takes to the end, if it goes on like this.
    fn left(&self, now: Duration) -> Option<Duration> {
        let (done, total) = self.done_and_total()?;
        let (entries, bytes, took) = self.moved(now)?;
        let moved = if self.progress.bytes.is_some() { bytes } else { entries };
        let millis = u128::from(total.saturating_sub(done)).checked_mul(took.as_millis())?.checked_div(moved.into())?;
        Some(Duration::from_millis(u64::try_from(millis).ok()?))
    }
}

impl Waiting {
    /// From the longest to the shortest.
    fn texts(&self, now: Duration) -> [String; 4] {
        let side = match self.side {
            Side::Source => "source",
            Side::Target => "target",
        };
        let kind = &self.kind;
        let code = self.code.as_ref().map_or_else(String::new, |code| format!(" ({code})"));
        let left = self.until.saturating_sub(now);
        if left.is_zero() {
            return [
                format!("asking the {side} again: {kind}{code}"),
                format!("asking the {side} again: {kind}"),
                format!("asking the {side} again"),
                "asking again".to_owned(),
            ];
        }
        let left = clock(left);
        [
            format!("waiting {left} for the {side}: {kind}{code}"),
            format!("waiting {left} for the {side}: {kind}"),
            format!("waiting {left}: {kind}"),
            format!("waiting {left}"),
        ]
    }
}

/// Entries a second.
pub(crate) fn per_second(entries: u64, took: Duration) -> u64 {
    let per_second = u128::from(entries).saturating_mul(1000).checked_div(took.as_millis()).unwrap_or(0);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

/// `4:12`, or `2:03:10` where it is an hour and more; a part of a second counts as one.
fn clock(left: Duration) -> String {
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

fn bar(percent: u64, width: usize) -> String {
    let filled = usize::try_from(percent).unwrap_or(0).min(100) * width / 100;
    let head = if filled < width { ">" } else { "" };
    format!("[{:<width$}]", format!("{}{head}", "=".repeat(filled)))
}

fn moving_sign(now: Duration) -> char {
    ['|', '/', '-', '\\'][usize::try_from(now.as_millis() / 250 % 4).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn progress(entries: u64, bytes: Option<(u64, u64)>) -> Event<'static> {
        let mut progress = Progress::default();
        (progress.entries, progress.bytes) = (entries, bytes);
        Event::Progress(progress)
    }

    /// A thousand entries of a hundred bytes a second, up to `now`.
    fn running(now: u64, total: u64) -> View {
        let mut view = View::new("copying", at(0));
        for second in 1..=now {
            view.observe(at(second), progress(second * 1000, Some((second * 100_000, total))));
        }
        view
    }

    #[test]
    fn the_line_has_a_form_for_each_width() {
        let view = running(42, 10_000_000);
        for (columns, expected) in [
            (200, "copying [================>                       ]  42%, 42,000 entries, 1,000/s, 0:58 left"),
            (80, "copying [=====>      ]  42%, 42,000 entries, 1,000/s, 0:58 left"),
            (60, "copying  42%, 42,000 entries, 1,000/s, 0:58 left"),
            (40, " 42%, 42,000, 1,000/s, 0:58"),
            (30, " 42%, 42,000, 0:58"),
            (12, " 42%"),
            (3, ""),
            (0, ""),
        ] {
            assert_eq!(view.line(at(42), columns), expected);
        }
        let mut uncounted = View::new("copying", at(0));
        uncounted.observe(at(10), progress(42_000, None));
        for (columns, expected) in
            [(200, "copying | 42,000 entries, 4,200/s, 0:10"), (40, "| 42,000, 4,200/s"), (20, "| 42,000")]
        {
            assert_eq!(uncounted.line(at(10), columns), expected);
        }
        uncounted.set_total(84_000);
        assert_eq!(uncounted.line(at(10), 40), " 50%, 42,000, 4,200/s, 0:10");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut views = vec![View::new("verifying", at(0))];
        let mut large = View::new("verifying", at(0));
        large.observe(at(9), progress(999_999_999, Some((1, u64::MAX))));
        views.push(large);
        let mut waiting = running(9, 1_000_000);
        let error = kv_api::Error::new(kv_api::ErrorKind::RateLimited, "").with_native_code("HTTP 429");
        waiting.wait(at(9), at(3600), Side::Source, &error);
        views.push(waiting);
        for view in &views {
            for columns in 0..250 {
                let line = view.line(at(10), columns);
                assert!(line.len() < columns.max(1), "{columns}: {line}");
                assert!(line.is_ascii());
            }
        }
    }

    /// Else it would promise, minutes into an outage, what was true before.
    #[test]
    fn rate_and_time_left_follow_the_clock_and_not_the_last_batch() {
        let mut view = running(20, 10_000_000);
        assert_eq!((view.rate(at(20)), view.left(at(20))), (1000, Some(at(80))));
        for second in 21..=25 {
            view.sample(at(second));
        }
        assert_eq!(view.rate(at(25)), 500);
        assert!(view.left(at(25)) > Some(at(150)));
        for second in 26..=40 {
            view.sample(at(second));
        }
        assert_eq!((view.rate(at(40)), view.left(at(40))), (0, None));
        assert_eq!(view.line(at(40), 60), "copying  20%, 20,000 entries, 0/s");
        assert!(view.samples.len() <= 25, "{}", view.samples.len());
    }

    #[test]
    fn a_wait_counts_down_and_says_for_whom_and_why() {
        let error = kv_api::Error::new(kv_api::ErrorKind::RateLimited, "").with_native_code("HTTP 429");
        let mut view = running(10, 10_000_000);
        view.wait(at(10), at(300), Side::Target, &error);
        for (now, columns, expected) in [
            (10, 200, "10,000 entries; waiting 5:00 for the target: rate limited (HTTP 429)"),
            (58, 60, "waiting 4:12 for the target: rate limited (HTTP 429)"),
            (58, 45, "waiting 4:12 for the target: rate limited"),
            (58, 40, "waiting 4:12: rate limited"),
            (58, 20, "waiting 4:12"),
            (310, 80, "10,000 entries; asking the target again: rate limited (HTTP 429)"),
            (310, 30, "asking the target again"),
        ] {
            assert_eq!(view.line(at(now), columns), expected);
        }
        assert_eq!(
            view.log_line(at(58)),
            "copying: 10,000 entries, 10%; waiting 4:12 for the target: rate limited (HTTP 429)"
        );
        view.observe(at(311), progress(11_000, Some((1_100_000, 10_000_000))));
        assert!(view.line(at(311), 60).starts_with("copying  11%"));
    }

    #[test]
    fn what_an_earlier_run_has_done_is_no_rate() {
        let mut view = View::new("copying", at(0));
        view.go_on_from(at(0), 500_000);
        view.observe(at(1), progress(501_000, Some((50_100_000, 100_000_000))));
        view.observe(at(2), progress(502_000, Some((50_200_000, 100_000_000))));
        assert_eq!(view.log_line(at(2)), "copying: 502,000 entries, 50%, 1,000/s, 16:36 left");
    }
}
