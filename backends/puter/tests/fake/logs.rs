//! What is logged on the way to the system.

use kv_conformance::logs;

use crate::harness::{System, TOKEN};

/// The suite looks for the token in what is logged (ERR-2); this is the proof that what the HTTP client logs is seen.
#[tokio::test]
async fn err_2_what_is_logged_is_looked_at() {
    const CLIENT: &str = "reqwest";
    logs::watch(CLIENT);
    System::start().await.store().ping().await.unwrap();
    assert_ne!(logs::seen(CLIENT), "");
    assert_eq!(logs::seen(TOKEN), "");
}
