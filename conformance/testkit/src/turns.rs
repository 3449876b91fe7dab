//! Turns of the runtime, for tests that do not sleep.

/// Lets the others go on until this holds. A test whose condition never comes does not end.
pub async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

/// Lets every task go on that can, for long enough to send what is ready to be sent.
pub async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
