//! The progress bar: on standard error, and only where that is a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kv_migrate::{Event, Progress};

/// A bar where the length is known, which it is for files; else a moving sign and a count.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Hidden when the data itself goes to the same terminal.
    pub(crate) fn new(what: &'static str, writes_stdout: bool) -> Self {
        let hidden = writes_stdout && std::io::stdout().is_terminal();
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target).with_prefix(what);
        bar.set_style(style("{prefix} {spinner} {msg}"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    pub(crate) fn observe(&self, event: Event<'_>) {
        if let Event::Progress(progress) = event {
            self.update(progress);
        }
    }

    fn update(&self, progress: Progress) {
        if let Some((read, total)) = progress.bytes {
            if self.0.length().is_none() {
                self.0.set_length(total);
                self.0.set_style(style("{prefix} [{bar:30}] {percent:>3}%  {msg}"));
            }
            self.0.set_position(read);
        }
        let rate = rate(progress.entries, self.0.elapsed());
        self.0.set_message(format!("{} entries{rate}", grouped(progress.entries)));
    }

    /// How long ago it was made; no step of the wall clock shows in it.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// `, 81,464/s`, where enough time has passed to tell.
pub(crate) fn rate(entries: u64, took: Duration) -> String {
    match u128::from(entries).saturating_mul(1000).checked_div(took.as_millis()) {
        Some(per_second) if took >= Duration::from_millis(100) => {
            format!(", {}/s", grouped(u64::try_from(per_second).unwrap_or(u64::MAX)))
        }
        _ => String::new(),
    }
}

/// `171,075`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (171_075, "171,075"), (1_000_000, "1,000,000")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
