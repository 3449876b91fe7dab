//! How many requests each call takes (GET-1, BATCH-1, BATCH-5), and what they carry.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kv_api::{SetItem, SetStatus, Value};
use kv_fakes::puter::{Fake, Grant, Hosts, Switches, USER};
use kv_puter::PuterStore;
use kv_testkit::RemoteSystem as _;
use serde_json::json;

use crate::harness::{System, TOKEN, open};
use crate::scripted::{Scripted, failure, success};

#[tokio::test]
async fn life_1_opening_sends_nothing_and_a_ping_is_one_read() {
    let system = System::start().await;
    let store = system.store();
    assert_eq!(system.server.requests(), 0);
    store.ping().await.unwrap();
    assert_eq!(system.server.requests(), 1);
    assert_eq!(system.server.exchanges()[0].path, "/drivers/call");
}

#[tokio::test]
async fn a_single_call_is_one_request_and_a_condition_one_more() {
    let system = System::start().await;
    let store = system.store().allow_best_effort();
    assert_eq!(system.counted(store.set("k", "v")).await.1, 1);
    assert_eq!(system.counted(store.set("k", 1).metadata(json!({"m": 1})).ttl(Duration::from_secs(9))).await.1, 1);
    assert_eq!(system.counted(store.get_entry("k")).await.1, 1);
    assert_eq!(system.counted(store.exists("k")).await.1, 1);
    assert_eq!(system.counted(store.get("missing")).await.1, 1);
    assert_eq!(system.counted(store.increment("c", 1)).await.1, 2, "a look, and the step");
    assert_eq!(system.counted(store.list()).await.1, 1);
    assert_eq!(system.counted(store.delete("k")).await.1, 1);
    assert_eq!(system.counted(store.set("k", "v").if_exists()).await.1, 1);
    assert_eq!(system.counted(store.set("k", "v").if_not_exists()).await.1, 2);
    assert_eq!(system.counted(store.expire("k").ttl(Duration::from_secs(9))).await.1, 2);
    assert_eq!(system.counted(store.expire("missing").never()).await.1, 1);
}

#[tokio::test]
async fn batch_5_a_thousand_plain_sets_are_four_requests() {
    let system = System::start().await;
    let store = system.store();
    let keys: Vec<String> = (0..1000).map(|number| format!("k{number:04}")).collect();
    let items = keys.iter().enumerate().map(|(number, key)| match number % 3 {
        0 => SetItem::new(key, "v"),
        1 => SetItem::new(key, 1).metadata(json!({ "n": number })),
        _ => SetItem::new(key, b"\xFF").ttl(Duration::from_secs(600)),
    });
    let (results, sent) = system.counted(store.set_many(items)).await;
    assert_eq!(sent, 4);
    assert!(results.into_iter().all(|result| result.unwrap().status() == SetStatus::Stored));
    assert_eq!(system.server.keys(), keys);

    let (found, sent) = system.counted(store.get_entry_many(keys.iter().map(String::as_str))).await;
    assert_eq!(sent, 10);
    for (number, entry) in found.unwrap().into_iter().enumerate() {
        let entry = entry.unwrap();
        match number % 3 {
            0 => assert_eq!((entry.value(), entry.metadata()), (&Value::from("v"), None)),
            1 => assert_eq!(entry.metadata(), Some(&json!({ "n": number }).into())),
            _ => assert_eq!(entry.value(), &Value::from(b"\xFF")),
        }
    }
    let (results, sent) = system.counted(store.delete_many(keys.iter().map(String::as_str))).await;
    assert_eq!((results.iter().filter(|result| result.is_ok()).count(), sent), (1000, 1000));
    assert_eq!(system.server.keys(), [""; 0]);
}

#[tokio::test]
async fn batch_5_the_chunk_can_be_set() {
    let system = System::start().await;
    let store = open(system.config().with_batch_items_max(NonZeroUsize::new(25).unwrap()));
    assert_eq!(
        (store.capabilities().bulk_write_items, open(system.config()).capabilities().bulk_write_items),
        (25, 250)
    );
    let keys: Vec<String> = (0..101).map(|number| format!("k{number:03}")).collect();
    let (results, sent) = system.counted(store.set_many(keys.iter().map(|key| SetItem::new(key, "v")))).await;
    assert_eq!((results.iter().all(Result::is_ok), sent), (true, 5));
}

#[tokio::test]
async fn batch_1_large_values_are_split_by_bytes() {
    let system = System::start().await;
    let value = "v".repeat(400_000);
    let keys: Vec<String> = (0..84).map(|number| format!("k{number:03}")).collect();
    let (results, sent) =
        system.counted(system.store().set_many(keys.iter().map(|key| SetItem::new(key, value.as_str())))).await;
    assert_eq!((results.iter().all(Result::is_ok), sent), (true, 3), "41 of them are 16 MiB");
    assert_eq!(system.server.keys(), keys);
}

#[tokio::test]
async fn batch_1_a_body_is_filled_up_to_its_limit() {
    const ITEMS: usize = 42;
    const AROUND: usize = r#"{"key":"k00","value":""},"#.len();
    let system = System::start().await;
    let keys: Vec<String> = (0..ITEMS).map(|number| format!("k{number:02}")).collect();
    for (more, requests) in [(0, 1), (1, 2)] {
        let bytes = 16 * 1024 * 1024 + more;
        let longest = "v".repeat(bytes / ITEMS + bytes % ITEMS - AROUND);
        let items = keys.iter().enumerate().map(|(number, key)| {
            let length = if number == 0 { longest.len() } else { bytes / ITEMS - AROUND };
            SetItem::new(key, &longest[..length])
        });
        let (results, sent) = system.counted(system.store().set_many(items)).await;
        assert_eq!((results.iter().all(Result::is_ok), sent), (true, requests), "{more} bytes more");
    }
}

#[tokio::test]
async fn batch_5_an_item_alone_goes_as_a_set_of_one() {
    let server = Scripted::serve(|asked| match asked.method {
        "set" if asked.arguments["key"] == "k" => success(&json!(true)),
        _ => failure(400, "bad_request"),
    })
    .await;
    server.store.set_many([SetItem::new("k", "v")]).await.remove(0).unwrap();
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn list_1_as_many_keys_are_asked_for_as_are_wanted_unless_the_pattern_is_wider() {
    let asked_for = Arc::new(Mutex::new(Vec::new()));
    let limits = Arc::clone(&asked_for);
    let server = Scripted::serve(move |asked| {
        let pattern = asked.arguments["pattern"].as_str().map(str::to_owned);
        limits.lock().unwrap().push((pattern, asked.arguments["limit"].as_u64()));
        success(&json!({"items": []}))
    })
    .await;
    for prefix in ["", "k", " k"] {
        server.store.list().prefix(prefix).limit(5).await.unwrap();
    }
    // White space at the front cannot stand in a pattern.
    assert_eq!(*asked_for.lock().unwrap(), [(None, Some(5)), (Some("k*".to_owned()), Some(5)), (None, Some(1000))]);
}

#[tokio::test]
async fn ns_1_an_app_is_a_namespace_and_the_name_of_the_host_is_kept() {
    let switches = Switches { hosts: Hosts::Api, ..Switches::default() };
    let system = System::start_as(|fake: Fake| fake.with_token(TOKEN, Grant::user(USER)).with_switches(switches)).await;
    assert_eq!(system.store().ping().await.unwrap_err().kind(), kv_api::ErrorKind::Misconfigured);
    // A name that no DNS knows.
    let origin = system.server.base_url().replace("127.0.0.1", "api.puter.invalid");
    let config = || {
        let config = system.config().with_base_url(&origin).unwrap();
        config.with_connect([127, 0, 0, 1].into())
    };
    let (own, app) = (open(config()), open(config().with_app("an \"app\"").unwrap()));
    own.set("k", "own").await.unwrap();
    app.set_many([SetItem::new("k", "app"), SetItem::new("l", 1)]).await.remove(0).unwrap();
    assert_eq!(app.increment("l", 1).await.unwrap(), 2);
    assert_eq!(own.get_many(["k", "l"]).await.unwrap(), [Some(Value::from("own")), None]);
    assert_eq!(app.get_many(["k", "l"]).await.unwrap(), [Some(Value::from("app")), Some(Value::from(2))]);
    assert_eq!(app.clear().await.unwrap(), 2);
    assert_eq!(own.list().await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn life_1_an_address_for_a_host_that_is_one_is_refused() {
    // Nobody looks it up, so that the other would be left out without a word.
    let system = System::start().await;
    let error = PuterStore::open(system.config().with_connect([127, 0, 0, 1].into())).unwrap_err();
    assert_eq!(error.kind(), kv_api::ErrorKind::InvalidArgument);
}
