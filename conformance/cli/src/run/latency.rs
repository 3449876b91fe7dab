//! How long a call takes, and what follows from it for cases that wait for time to pass.

use std::time::Duration;

use kv_api::{Result, Store, Timer, TokioTimer, Value, ValueKind};

/// The least granularity: what a machine that does much at a time may take between two calls.
const GRANULARITY_MIN: Duration = Duration::from_millis(50);

/// How many times what a call takes a case may be held up for.
const CALLS: u32 = 4;

/// How long a call takes: the longest of a few, each on the same key, which is there afterwards.
///
/// # Errors
/// The store's: one that cannot be written to cannot be looked at.
pub(crate) async fn measure(store: &Store, key: &str) -> Result<Duration> {
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
