//! Everything that is logged, by `tracing` and by `log`, at every level.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::harness::{System, TOKEN};

/// How many lines were seen, and those with the token in them.
#[derive(Default)]
struct Seen {
    lines: u64,
    leaks: String,
    /// Lines that a test looks for.
    marked: Vec<String>,
}

const MARK: &str = "a line that a test looks for";

static SEEN: Mutex<Seen> = Mutex::new(Seen { lines: 0, leaks: String::new(), marked: Vec::new() });

fn see(line: String) {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.lines += 1;
    if line.contains(TOKEN) {
        seen.leaks.push_str(&line);
    }
    if line.contains(MARK) {
        seen.marked.push(line);
    }
}

/// From now on, for the whole process.
pub(crate) fn capture() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        tracing::subscriber::set_global_default(Lines).unwrap();
        log::set_logger(&Lines).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// The lines so far that show the token.
pub(crate) fn leaked() -> String {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).leaks.clone()
}

struct Lines;

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields(attributes.metadata().name().to_owned());
        attributes.record(&mut fields);
        see(fields.0);
        Id::from_u64(1)
    }
    fn record(&self, _span: &Id, values: &Record<'_>) {
        let mut fields = Fields(String::new());
        values.record(&mut fields);
        see(fields.0);
    }
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(event.metadata().target().to_owned());
        event.record(&mut fields);
        see(fields.0);
    }
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

impl log::Log for Lines {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        see(format!("{} {}", record.target(), record.args()));
    }
    fn flush(&self) {}
}

/// The proof that a leak would be seen.
#[tokio::test]
async fn err_2_what_is_logged_is_looked_at() {
    let system = System::start().await;
    system.store().ping().await.unwrap();
    tracing::trace!(marked = MARK);
    log::trace!("{MARK}");
    let seen = SEEN.lock().unwrap();
    assert_eq!(seen.marked.len(), 2, "{:?}", seen.marked);
    assert!(seen.lines > 2, "the HTTP client logs, too");
    assert_eq!(seen.leaks, "");
}
