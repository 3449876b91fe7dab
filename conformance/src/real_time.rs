//! Time that nobody can move: it is waited for.

use std::time::Duration;

use kv_api::{Clock, SystemClock, Timer, Timestamp, TokioTimer};

use crate::async_trait;
use crate::harness::Time;

/// The time of this machine, for a store that lives by a clock which no test moves: what has to pass is waited for. An
/// expiry at a time counts on the clocks of machine and system to agree within the granularity. Needs a tokio runtime
/// with time enabled.
///
/// ```
/// use kv_conformance::{RealTime, Time};
/// use std::time::Duration;
/// let time = RealTime::new(Duration::from_millis(50));
/// assert_eq!(time.granularity(), Duration::from_millis(50));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RealTime {
    granularity: Duration,
}

impl RealTime {
    /// How far two looks of a case may be apart: a few times what a call takes.
    #[must_use]
    pub const fn new(granularity: Duration) -> Self {
        Self { granularity }
    }
}

#[async_trait]
impl Time for RealTime {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn advance(&self, by: Duration) {
        TokioTimer.sleep(by).await;
    }

    fn granularity(&self) -> Duration {
        self.granularity
    }
}
