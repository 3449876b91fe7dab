//! What is logged at every level, by `tracing` and by `log`: a secret is looked for in it (ERR-2).

use std::fmt::{self, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The texts that are looked for, and the lines that held each.
static WATCHED: Mutex<Vec<(String, Vec<String>)>> = Mutex::new(Vec::new());

fn watched() -> MutexGuard<'static, Vec<(String, Vec<String>)>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on keeps every line with `text` in it that anything in this process logs. A line begins with the target of
/// the event, so a part of its name finds whatever a library logs. May be called again.
///
/// It becomes the global logger of the process.
///
/// # Panics
/// When the process has another logger: then nothing would be seen, and every test would pass for no reason.
pub fn watch(text: &str) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let is_alone =
            tracing::subscriber::set_global_default(Everything).is_ok() && log::set_logger(&Everything).is_ok();
        assert!(is_alone, "the process has another logger, so nothing that is logged can be seen");
        log::set_max_level(log::LevelFilter::Trace);
    });
    let mut watched = watched();
    if !watched.iter().any(|(own, _)| own == text) {
        watched.push((text.to_owned(), Vec::new()));
    }
}

/// The lines with `text` in them since it is [watched](watch), each with a line break at its end.
///
/// # Panics
/// When nobody watches for `text`.
#[must_use]
pub fn seen(text: &str) -> String {
    let watched = watched();
    let lines = watched.iter().find(|(own, _)| own == text).map(|(_, lines)| lines.concat());
    lines.unwrap_or_else(|| panic!("nobody watches the logs for the text"))
}

fn keep(mut line: String) {
    line.push('\n');
    for (text, lines) in watched().iter_mut() {
        if line.contains(&**text) {
            lines.push(line.clone());
        }
    }
}

struct Everything;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line(format!("{} {}", span.metadata().target(), span.metadata().name()));
        span.record(&mut line);
        keep(line.0);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        keep(line.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().target().to_owned());
        event.record(&mut line);
        keep(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl log::Log for Everything {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        keep(format!("{} {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn err_2_what_is_logged_is_seen_in_every_form() {
        const SECRET: &str = "h1dden";
        tracing::trace!("{SECRET} before anybody watches");
        watch("another text");
        watch(SECRET);
        watch(SECRET);
        tracing::trace!("said {SECRET}");
        tracing::error!(field = SECRET);
        tracing::trace!(debug = ?Some(SECRET), "a line");
        let span = tracing::trace_span!("span", field = SECRET, later = tracing::field::Empty);
        span.record("later", SECRET);
        log::trace!("said {SECRET}");
        log::trace!(target: SECRET, "a line");
        tracing::info!("nothing");
        let seen = seen(SECRET);
        assert_eq!(seen.lines().count(), 7, "{seen}");
        assert_eq!(super::seen("another text"), "");
    }

    #[test]
    #[should_panic(expected = "nobody watches")]
    fn what_nobody_watches_for_is_not_taken_for_clean() {
        let _ = seen("never watched");
    }
}
