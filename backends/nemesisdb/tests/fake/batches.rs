//! How many messages a batch takes, and what is never sent (CHK-1, BATCH-1, BATCH-5).

use std::collections::BTreeSet;

use kv_api::{DeleteOutcome, Reason, SetItem, SetStatus, Value, ValueKind};
use serde_json::json;

use crate::harness::{System, open};

/// No message is too long, empty, or names a key twice; and no connection had to be opened again.
fn check_messages(system: &System, bytes_max: usize) {
    for message in system.server.messages() {
        assert!(message.bytes <= bytes_max, "{message}");
        assert!(!message.keys.is_empty() || message.command == "SERVER_INFO", "{message}");
        assert_eq!(message.keys.len(), message.keys.iter().collect::<BTreeSet<_>>().len(), "{message}");
    }
    assert_eq!(system.server.connections(), 1);
}

#[tokio::test]
async fn batch_5_a_thousand_keys_go_out_in_as_few_messages_as_the_limit_allows() {
    let system = System::start().await;
    let store = system.store().await;
    let keys: Vec<String> = (0..1000).map(|number| format!("user/{number:04}")).collect();
    let pair = r#""user/0000":"value 0000""#.len();
    let key = r#""user/0000""#.len();
    // As many as fit between the ends of the message, with a comma between two.
    let fewest = |bytes: usize| {
        let per_message = (1..).take_while(|count| r#"{"SET":{}}"#.len() + count * bytes + count - 1 <= 1024).count();
        1000_usize.div_ceil(per_message) as u64
    };
    assert_eq!((fewest(pair), fewest(key)), (25, 12));

    let items = || keys.iter().map(|key| SetItem::new(key, format!("value {}", &key[5..])));
    let (set, sent) = system.counted(store.set_many(items())).await;
    assert!(set.into_iter().all(|outcome| outcome.unwrap().status() == SetStatus::Created));
    assert_eq!(sent, fewest(pair));
    let (set, sent) = system.counted(store.set_many(items().map(SetItem::if_not_exists))).await;
    assert!(set.into_iter().all(|outcome| outcome.unwrap().status() == SetStatus::NotMet));
    assert_eq!(sent, fewest(pair));
    let (found, sent) = system.counted(store.get_many(keys.iter().map(String::as_str))).await;
    for (key, found) in keys.iter().zip(found.unwrap()) {
        assert_eq!(found, Some(Value::from(format!("value {}", &key[5..]))));
    }
    assert_eq!(sent, fewest(key));
    let (deleted, sent) = system.counted(store.delete_many(keys.iter().map(String::as_str))).await;
    assert!(deleted.into_iter().all(|outcome| outcome.unwrap() == DeleteOutcome::Deleted));
    assert_eq!(sent, fewest(key));
    assert_eq!(system.server.keys(), [""; 0]);
    check_messages(&system, 1024);
}

#[tokio::test]
async fn batch_1_items_of_every_size_fill_the_messages() {
    let system = System::start().await;
    let store = system.store().await;
    let value = |number: usize| "é\"".repeat(number * 7919 % 300);
    let keys: Vec<String> = (0..400).map(|number| format!("number {number}")).collect();
    let bytes: usize =
        keys.iter().enumerate().map(|(number, key)| json!({ key: value(number) }).to_string().len() - 2).sum();
    let fits = |number: &usize| json!({"SET": {&keys[*number]: value(*number)}}).to_string().len() <= 1024;
    let items = || keys.iter().enumerate().map(|(number, key)| SetItem::new(key, value(number)));
    let (set, sent) = system.counted(store.set_many(items())).await;
    for (number, result) in set.iter().enumerate() {
        assert_eq!(result.is_ok(), fits(&number), "{number}: {result:?}");
    }
    assert!((0..400).any(|number| !fits(&number)) && (0..400).any(|number| fits(&number)));
    let written: Vec<usize> = (0..400).filter(fits).collect();
    let least = bytes.div_ceil(1014) as u64;
    assert!(sent <= least * 11 / 9 + 1, "{sent} messages for the bytes of {least}");
    let found = store.get_many(written.iter().map(|number| keys[*number].as_str())).await.unwrap();
    for (number, found) in written.iter().zip(found) {
        assert_eq!(found, Some(Value::from(value(*number))));
    }
    check_messages(&system, 1024);
}

#[tokio::test]
async fn batch_1_what_is_empty_is_not_sent() {
    let system = System::start().await;
    let with_expiry = open(system.config().with_expiry_in_envelope(true)).await.unwrap().allow_best_effort();
    for store in [system.store().await.allow_best_effort(), with_expiry] {
        let before = system.server.requests();
        assert!(store.set_many(Vec::<SetItem<'_>>::new()).await.is_empty());
        assert!(store.get_many(Vec::<&str>::new()).await.unwrap().is_empty());
        assert!(store.delete_many(Vec::<&str>::new()).await.is_empty());
        // All items are refused here, so nothing is left.
        assert!(store.set_many([SetItem::new("short", 1)]).await[0].is_err());
        assert!(store.delete_many(["short"]).await[0].is_err());
        assert_eq!(system.server.requests(), before);
        // The first step of each leaves nothing to the second.
        let key = |name: &str| format!("{name}{before}");
        let missing = [key("missing"), key("none there")];
        let items = |value: i64| missing.iter().map(move |key| SetItem::new(key, value));
        for outcome in store.set_many(items(1).map(SetItem::if_exists)).await {
            assert_eq!(outcome.unwrap().status(), SetStatus::NotMet);
        }
        for outcome in store.delete_many(missing.iter().map(String::as_str)).await {
            assert_eq!(outcome.unwrap(), DeleteOutcome::NotFound);
        }
        for outcome in store.set_many(items(2).map(SetItem::if_not_exists)).await {
            assert_eq!(outcome.unwrap().status(), SetStatus::Created);
        }
    }
    assert!(system.server.messages().iter().all(|message| !message.keys.is_empty()));
}

#[tokio::test]
async fn chk_1_repeated_keys_never_share_a_message() {
    let system = System::start().await;
    let store = system.store().await;
    let set = store
        .set_many([
            SetItem::new("repeated", 1),
            SetItem::new("repeated", 2).if_not_exists(),
            SetItem::new("repeated", 3),
            SetItem::new("other_key", 4),
        ])
        .await;
    let statuses: Vec<SetStatus> = set.into_iter().map(|outcome| outcome.unwrap().status()).collect();
    assert_eq!(statuses, [SetStatus::Created, SetStatus::NotMet, SetStatus::Updated, SetStatus::Created]);
    let found = store.get_many(["repeated", "other_key", "repeated"]).await.unwrap();
    assert_eq!(found, [3, 4, 3].map(|value| Some(Value::from(value))));
    let deleted = store.delete_many(["repeated", "repeated"]).await;
    assert!(deleted.into_iter().all(|outcome| outcome.unwrap() == DeleteOutcome::Deleted));
    check_messages(&system, 1024);
}

/// Other stores hand out what another client wrote, unchecked. The server's error for a message that does not parse
/// names no request, and so would cost all that are under way.
#[tokio::test]
async fn batch_3_json_that_the_server_would_not_parse_fails_alone() {
    let system = System::start().await;
    let store = system.store().await;
    for json in ["1e400", "[-1e999]", r#"{"a":"\ud800"}"#, "1},\"other_key\":{"] {
        let broken = Value::from_stored(ValueKind::Json, bytes::Bytes::from_static(json.as_bytes()));
        let results = store.set_many([SetItem::new("broken", broken), SetItem::new("sixsix", 1)]).await;
        let error = results[0].as_ref().unwrap_err();
        assert_eq!(error.reason(), Some(&Reason::InvalidJson), "{json}: {error}");
        assert!(results[1].as_ref().unwrap().is_written(), "{json}");
    }
    assert_eq!(system.server.keys(), ["sixsix"]);
    check_messages(&system, 1024);
}
