//! What is logged on the way to the system.

use kv_conformance::logs;

use super::RemoteSystem;

/// The suite looks for the secret in what is logged (ERR-2); this is the proof that what the HTTP client logs is seen.
#[allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a test fails")]
pub async fn err_2_what_is_logged_is_looked_at<S: RemoteSystem>() {
    const CLIENT: &str = "reqwest";
    logs::watch(CLIENT);
    S::start().await.store().ping().await.unwrap();
    assert_ne!(logs::seen(CLIENT), "");
    assert_eq!(logs::seen(S::SECRET), "");
}
