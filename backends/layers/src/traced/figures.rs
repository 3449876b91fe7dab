//! The metrics of a call.

use std::cell::Cell;
use std::time::Duration;

use metrics::{Histogram, IntoF64, Key, Label, Level, Metadata, Unit, with_recorder};

use crate::call::{Operation, Outcome};

const DURATION: &str = "db.client.operation.duration";
const RETURNED: &str = "db.client.response.returned_rows";
const ITEMS: &str = "kv.client.batch.items";
const FAILED_ITEMS: &str = "kv.client.batch.failed_items";

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// The metrics of one store. A recorder is looked for at each call: it may be installed later than the layer.
pub(super) struct Figures {
    labels: [Label; 2],
    /// The duration of calls that succeed, made ahead for each operation.
    durations: [Key; Operation::ALL.len()],
}

impl Figures {
    pub(super) fn new(system: &'static str, namespace: &str) -> Self {
        with_recorder(|recorder| {
            recorder.describe_histogram(
                DURATION.into(),
                Some(Unit::Seconds),
                "Duration of calls on the key-value store.".into(),
            );
            recorder.describe_histogram(
                RETURNED.into(),
                Some(Unit::Count),
                "Entries or keys that a call on the key-value store gave.".into(),
            );
            recorder.describe_counter(
                ITEMS.into(),
                Some(Unit::Count),
                "Items of batches on the key-value store.".into(),
            );
            recorder.describe_counter(
                FAILED_ITEMS.into(),
                Some(Unit::Count),
                "Items of batches on the key-value store that failed.".into(),
            );
        });
        let labels = [Label::new("db.system.name", system), Label::new("db.namespace", namespace.to_owned())];
        let durations = std::array::from_fn(|index| key(DURATION, &labels, Operation::ALL[index], None));
        Self { labels, durations }
    }

    /// `None` when no recorder wants the duration of the operation. Nothing is allocated here without one.
    pub(super) fn begin(&self, operation: Operation, batch_size: Option<usize>) -> Option<CallFigures<'_>> {
        let key = &self.durations[operation as usize];
        let duration = with_recorder(|recorder| recorder.register_histogram(key, &METADATA));
        is_recorded(&duration).then_some(CallFigures { figures: self, operation, batch_size, duration })
    }
}

fn key(name: &'static str, labels: &[Label], operation: Operation, error_type: Option<&'static str>) -> Key {
    let mut labels = labels.to_vec();
    labels.push(Label::from_static_parts("db.operation.name", operation.name()));
    labels.extend(error_type.map(|error_type| Label::from_static_parts("error.type", error_type)));
    Key::from_parts(name, labels)
}

/// Whether something comes of what is recorded here. The facade does not say if there is a recorder; but a histogram
/// without one does not look at the value, and zero times a value is no value to one with.
fn is_recorded(histogram: &Histogram) -> bool {
    struct Probe<'a>(&'a Cell<bool>);
    impl IntoF64 for Probe<'_> {
        fn into_f64(self) -> f64 {
            self.0.set(true);
            0.0
        }
    }
    let is_looked_at = Cell::new(false);
    histogram.record_many(Probe(&is_looked_at), 0);
    is_looked_at.get()
}

/// The metrics of a call that is under way.
pub(super) struct CallFigures<'a> {
    figures: &'a Figures,
    operation: Operation,
    batch_size: Option<usize>,
    duration: Histogram,
}

impl CallFigures<'_> {
    pub(super) fn end(&self, outcome: &Outcome<'_>, error_type: Option<&'static str>, took: Duration) {
        let key = |name, error_type| key(name, &self.figures.labels, self.operation, error_type);
        match error_type {
            None => self.duration.record(took),
            Some(_) => with_recorder(|recorder| {
                recorder.register_histogram(&key(DURATION, error_type), &METADATA).record(took);
            }),
        }
        if let Some(items) = self.batch_size {
            with_recorder(|recorder| {
                recorder.register_counter(&key(ITEMS, None), &METADATA).increment(count(items));
                if outcome.failed_items() > 0 {
                    recorder
                        .register_counter(&key(FAILED_ITEMS, error_type), &METADATA)
                        .increment(count(outcome.failed_items()));
                }
            });
        }
        // Of one entry the outcome says it, and a histogram of noughts and ones says no more.
        if let Some(returned) = outcome.returned().filter(|_| self.operation != Operation::Get) {
            let returned = u32::try_from(returned).unwrap_or(u32::MAX);
            with_recorder(|recorder| {
                recorder.register_histogram(&key(RETURNED, None), &METADATA).record(returned);
            });
        }
    }
}

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}
