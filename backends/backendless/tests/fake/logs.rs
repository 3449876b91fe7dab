//! What is logged at every level, by `tracing` and by `log`.

use std::fmt::{self, Write};
use std::sync::{Mutex, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Planted where a secret goes.
pub(crate) const CANARY: &str = "c4nary-0f-th3-4pi-k3y";

/// Logged by the test of this file.
const PROOF: &str = "a line to be found";

struct Seen {
    /// Lines of the HTTP client and what lies below it.
    of_others: u64,
    proofs: u64,
    leaked: String,
}

static SEEN: Mutex<Seen> = Mutex::new(Seen { of_others: 0, proofs: 0, leaked: String::new() });

fn seen<T>(look: impl FnOnce(&mut Seen) -> T) -> T {
    look(&mut SEEN.lock().unwrap_or_else(PoisonError::into_inner))
}

fn keep(line: &str) {
    seen(|seen| *if line.contains(PROOF) { &mut seen.proofs } else { &mut seen.of_others } += 1);
    if line.contains(CANARY) {
        seen(|seen| {
            seen.leaked.push_str(line);
            seen.leaked.push('\n');
        });
    }
}

/// Captures everything from here on, for the whole process; may be called again.
pub(crate) fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(Everything).unwrap();
        log::set_logger(&Everything).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// The lines that held the canary.
pub(crate) fn leaked() -> String {
    seen(|seen| seen.leaked.clone())
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
        let mut line = Line(span.metadata().name().to_owned());
        span.record(&mut line);
        keep(&line.0);
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        keep(&line.0);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().target().to_owned());
        event.record(&mut line);
        keep(&line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl log::Log for Everything {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        keep(&format!("{} {}", record.target(), record.args()));
    }
    fn flush(&self) {}
}

/// The suite looks into what is captured (ERR-2); this is the proof that something is.
#[tokio::test]
async fn err_2_what_is_logged_is_seen() {
    let system = crate::harness::System::plain().await;
    system.store().ping().await.unwrap();
    tracing::trace!(line = ?format!("{PROOF}"));
    log::trace!("{PROOF}");
    seen(|seen| {
        assert_eq!(seen.proofs, 2, "one by tracing and one by log");
        assert!(seen.of_others > 0, "nothing that the HTTP client logs is seen");
        assert_eq!(seen.leaked, "");
    });
}
