//! The clocks of both sides.

use std::time::Duration;

use async_trait::async_trait;
use kv_api::{Clock, ManualClock, Timestamp};
use kv_conformance::Time;

/// The clock of the system and the one of this side. The suite moves them together; the store lives by the system's.
#[derive(Clone, Debug)]
pub struct BothClocks {
    /// The system's.
    pub system: ManualClock,
    /// That of this side, which the suite may set wrong.
    pub client: ManualClock,
}

impl BothClocks {
    /// Both at this time.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { system: ManualClock::new(now), client: ManualClock::new(now) }
    }
}

#[async_trait]
impl Time for BothClocks {
    fn now(&self) -> Timestamp {
        Clock::now(&self.system)
    }

    async fn advance(&self, by: Duration) {
        self.system.advance(by);
        self.client.advance(by);
    }
}
