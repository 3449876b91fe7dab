//! Time that nobody can move: it is waited for.

use std::time::Duration;

use kv_api::{Clock, Result, Store, SystemClock, Timer, Timestamp, TokioTimer, Value, ValueKind};
use kv_conformance::{Time, async_trait};

/// The least granularity: what a machine that does much at a time may take between two calls.
const GRANULARITY_MIN: Duration = Duration::from_millis(50);

/// How many times what a call takes a case may be held up for.
const CALLS: u32 = 4;

/// The time of this machine. An expiry at a time counts on the clocks of machine and system to agree within the
/// granularity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RealTime {
    pub(crate) granularity: Duration,
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

/// How long a call takes: the longest of a few, each on the same key, which is there afterwards.
///
/// # Errors
/// The store's: one that cannot be written to cannot be looked at.
pub(crate) async fn latency(store: &Store, key: &str) -> Result<Duration> {
    let kinds = store.capabilities().value_kinds;
    let value = if kinds.contains(ValueKind::Text) {
        Value::from("1")
    } else if kinds.contains(ValueKind::Json) {
        Value::from(1)
    } else {
        Value::from(&[1])
    };
    let mut longest = Duration::ZERO;
    for call in 0..4 {
        let began = TokioTimer.monotonic_now();
        if call == 0 {
            store.set(key, value.clone()).await?;
        } else {
            drop(store.get(key).await?);
        }
        longest = longest.max(TokioTimer.monotonic_now().saturating_sub(began));
    }
    Ok(longest)
}

/// How far apart two looks of a case may be, where a call takes so long and may have to wait so long for its turn.
pub(crate) fn granularity(latency: Duration, turn: Duration) -> Duration {
    (latency * CALLS + turn).max(GRANULARITY_MIN)
}
