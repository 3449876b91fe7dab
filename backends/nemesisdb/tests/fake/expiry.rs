//! The setting that keeps expiries in the envelope.

use std::time::Duration;

use kv_api::{Clock, DeleteOutcome, EntryExpiry, Reason, SetItem, SetStatus, Store, Value};
use kv_fakes::{Applied, Fault};
use serde_json::json;

use crate::harness::{System, open};

const LIFE: Duration = Duration::from_millis(1500);

async fn start() -> (System, Store) {
    let system = System::start().await;
    let store = open(system.config().with_expiry_in_envelope(true)).await.unwrap();
    (system, store)
}

fn commands(system: &System, since: u64) -> Vec<String> {
    let since = usize::try_from(since).unwrap();
    system.server.messages().into_iter().skip(since).map(|message| message.command).collect()
}

#[tokio::test]
async fn exp_7_an_expired_entry_is_there_for_nobody_and_blocks_no_condition() {
    let (system, strict) = start().await;
    let store = strict.allow_best_effort();
    assert!(strict.set("session", 1).if_not_exists().await.is_err(), "only best effort in this setting");
    store.set("session", "old").ttl(LIFE).await.unwrap();
    let since = system.server.requests();
    assert_eq!(store.set("session", "new").if_not_exists().await.unwrap().status(), SetStatus::NotMet);
    assert_eq!(commands(&system, since), ["ADD", "GET"]);

    system.clock.advance(LIFE + Duration::from_millis(1));
    assert_eq!(system.server.keys(), ["session"], "the server knows no expiry");
    assert_eq!(store.get("session").await.unwrap(), None);
    assert_eq!(store.set("session", "new").if_exists().await.unwrap().status(), SetStatus::NotMet);
    let since = system.server.requests();
    assert_eq!(store.delete("session").await.unwrap(), DeleteOutcome::NotFound);
    assert_eq!(commands(&system, since), ["GET"], "what another client sets meanwhile is not taken along");
    let since = system.server.requests();
    assert_eq!(store.set("session", "new").if_not_exists().await.unwrap().status(), SetStatus::Created);
    assert_eq!(commands(&system, since), ["ADD", "GET", "RMV", "ADD"]);
    assert_eq!(store.get("session").await.unwrap(), Some(Value::from("new")));
    let since = system.server.requests();
    assert_eq!(store.set("another session", "new").if_not_exists().await.unwrap().status(), SetStatus::Created);
    assert_eq!(commands(&system, since), ["ADD"], "one message where nothing stands in the way");
}

#[tokio::test]
async fn batch_5_many_expired_entries_take_as_few_messages_as_their_bytes_need() {
    let (system, strict) = start().await;
    let store = strict.allow_best_effort();
    let keys = ["first1", "second", "third3", "fourth"];
    let items = || keys.map(|key| SetItem::new(key, 1).ttl(LIFE));
    for outcome in store.set_many(items()).await {
        assert_eq!(outcome.unwrap().status(), SetStatus::Stored, "there may have been an expired one");
    }
    system.clock.advance(LIFE * 2);
    store.set("second", 2).await.unwrap();
    let since = system.server.requests();
    let added = store.set_many(items().map(SetItem::if_not_exists)).await;
    let statuses = added.into_iter().map(|outcome| outcome.unwrap().status());
    use SetStatus::{Created, NotMet};
    assert_eq!(statuses.collect::<Vec<_>>(), [Created, NotMet, Created, Created]);
    assert_eq!(commands(&system, since), ["ADD", "GET", "RMV", "ADD"]);
}

#[tokio::test]
async fn err_5_a_ttl_counts_from_the_attempt_that_stuck() {
    let (system, store) = start().await;
    let clock = system.clock.clone();
    let begun = clock.now();
    system.server.inject(Fault::Silent { applied: Applied::No }, 1);
    // The time passes while the first attempt has no answer, and then its connection is cut.
    let cut = async {
        while system.server.faults_left() > 0 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(7));
        system.server.disconnect().await;
    };
    let (set, ()) = tokio::join!(async { store.set("session", 1).ttl(LIFE).await }, cut);
    assert_eq!(set.unwrap().status(), SetStatus::Stored);
    let entry = store.get_entry("session").await.unwrap().unwrap();
    let EntryExpiry::At(at) = entry.expiry() else { panic!("{entry:?}") };
    let lives = at.saturating_since(begun);
    assert!((LIFE + Duration::from_secs(7)..=LIFE + Duration::from_millis(7001)).contains(&lives), "{lives:?}");
}

#[tokio::test]
async fn chk_2_an_expiry_counts_as_the_longest_there_is() {
    let (system, store) = start().await;
    let text = |letters: usize| "a".repeat(letters);
    let latest = 253_402_300_799_000_i64;
    let envelope = json!({"$kv-envelope": 1, "kind": "text", "value": "", "expires_at": latest});
    let around = json!({"SET": {"session": envelope}});
    let fits = 1024 - around.to_string().len();
    store.set("session", text(fits)).ttl(LIFE).await.unwrap();
    let error = store.set("session", text(fits + 1)).ttl(LIFE).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::Limit { name: "message_bytes_max".into(), allowed: 1024, found: 1025 }));
    assert_eq!(system.server.connections(), 1);
}

#[tokio::test]
async fn exp_7_a_store_without_the_setting_still_sees_no_expired_entry() {
    let (system, expiring) = start().await;
    let plain = system.store().await;
    expiring.set("session", 1).ttl(LIFE).await.unwrap();
    let entry = plain.get_entry("session").await.unwrap().unwrap();
    assert!(matches!(entry.expiry(), EntryExpiry::At(_)));
    system.clock.advance(LIFE * 2);
    assert_eq!(plain.get("session").await.unwrap(), None);
    assert!(plain.set("session", 1).ttl(LIFE).await.is_err());
}
