//! Clocks of this side that the suite can set wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kv_api::{Clock, ManualClock, Timestamp};

/// A clock that can be set, such as an administrator sets it: it says the new time at once and goes on from there.
pub trait ClientClock: Clock {
    /// Sets it, backwards too.
    fn set(&self, now: Timestamp);
}

impl ClientClock for ManualClock {
    fn set(&self, now: Timestamp) {
        Self::set(self, now);
    }
}

/// Another clock with an offset that can be set: it runs where that one runs, and stands still where it stands still.
/// Clones share the offset.
///
/// ```
/// use kv_conformance::kv_api::{Clock, ManualClock, Timestamp};
/// use kv_conformance::{ClientClock, OffsetClock};
/// use std::{sync::Arc, time::Duration};
/// let base = ManualClock::new(Timestamp::from_unix_seconds(1_000));
/// let clock = OffsetClock::new(Arc::new(base.clone()));
/// assert_eq!(clock.now(), base.now());
/// clock.set(Timestamp::from_unix_seconds(50));
/// base.advance(Duration::from_secs(3));
/// assert_eq!(clock.now(), Timestamp::from_unix_seconds(53));
/// ```
#[derive(Clone, Debug)]
pub struct OffsetClock {
    base: Arc<dyn Clock>,
    micros: Arc<AtomicI64>,
}

impl OffsetClock {
    /// As `base` goes, without an offset.
    #[must_use]
    pub fn new(base: Arc<dyn Clock>) -> Self {
        Self { base, micros: Arc::default() }
    }
}

impl Clock for OffsetClock {
    fn now(&self) -> Timestamp {
        let base = self.base.now().as_unix_micros();
        Timestamp::from_unix_micros(base.saturating_add(self.micros.load(Ordering::Relaxed)))
    }
}

impl ClientClock for OffsetClock {
    fn set(&self, now: Timestamp) {
        let base = self.base.now().as_unix_micros();
        self.micros.store(now.as_unix_micros().saturating_sub(base), Ordering::Relaxed);
    }
}
