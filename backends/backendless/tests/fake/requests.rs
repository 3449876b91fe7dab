//! How many requests a call takes, and which.

use std::time::Duration;

use kv_api::{DeleteOutcome, ErrorKind, Reason, SetItem, SetStatus, Store, Timestamp, Value, Version};
use kv_backendless::CAPABILITIES;
use kv_testkit::RemoteSystem as _;
use serde_json::json;

use crate::harness::{Form, HIVES, System, open};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("k{number}")).collect()
}

/// More than two bodies of 500.
const MANY: usize = 1_201;

#[tokio::test]
async fn batch_5_plain_items_share_requests() {
    let system = System::start().await;
    let store = system.store();
    let keys = names(MANY);

    let items: Vec<_> = keys.iter().map(|key| SetItem::new(key, key.as_str())).collect();
    let (results, requests) = system.counted(store.set_many(items)).await;
    assert!(results.iter().all(|result| result.as_ref().unwrap().status() == SetStatus::Stored));
    assert_eq!((results.len(), requests), (MANY, 3));
    assert_eq!(system.server.keys().len(), MANY);

    let (values, requests) = system.counted(store.get_many(&keys)).await;
    let expected: Vec<_> = keys.iter().map(|key| Some(Value::from(key))).collect();
    assert_eq!((values.unwrap(), requests), (expected, 3));

    let (results, requests) = system.counted(store.delete_many(&keys)).await;
    assert!(results.iter().all(|result| *result.as_ref().unwrap() == DeleteOutcome::Deleted));
    assert_eq!((results.len(), requests), (MANY, 3));
    assert!(system.server.keys().is_empty());
    // No key was in a path.
    for exchange in system.server.exchanges() {
        assert!(exchange.path.ends_with("/hive/countries/key-value") && exchange.query.is_empty(), "{exchange:?}");
    }
}

#[tokio::test]
async fn batch_5_bodies_stay_below_their_bytes() {
    let system = System::start().await;
    let config = system.config(Form::Application, HIVES[0]).with_bulk_bytes_max(1_000.try_into().unwrap());
    let store = open(config);
    let item = |number: usize| SetItem::new(format!("k{number:02}"), "v".repeat(300));
    // 308 bytes each with quotes, colon and comma: three of them, and one bracket more.
    let (results, requests) = system.counted(store.set_many((0..9).map(item))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(requests, 3);
    let large = SetItem::new("large", "v".repeat(5_000));
    let (results, requests) = system.counted(store.set_many([item(1), large, item(2)])).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(requests, 3, "what is too large for a body goes alone");
    assert_eq!(store.get("large").await.unwrap(), Some(Value::from("v".repeat(5_000))));
}

#[tokio::test]
async fn batch_5_items_with_options_go_singly_and_the_rest_together() {
    let system = System::start().await;
    let store = system.store();
    store.set("there", "old").await.unwrap();
    let items = [
        SetItem::new("plain", "1"),
        SetItem::new("there", "2").if_not_exists(),
        SetItem::new("ttl", "3").ttl(Duration::from_secs(60)),
        SetItem::new("metadata", "4").metadata(json!({"n": 1})),
        SetItem::new("new", "5").if_not_exists(),
        SetItem::new("bytes", b"6"),
    ];
    let (results, requests) = system.counted(store.set_many(items)).await;
    let statuses: Vec<_> = results.into_iter().map(|result| result.unwrap().status()).collect();
    use SetStatus::{Created, NotMet, Stored};
    assert_eq!(statuses, [Stored, NotMet, Stored, Stored, Created, Stored]);
    assert_eq!(requests, 4, "three with options, and one for all that have none");
}

#[tokio::test]
async fn each_call_takes_the_fewest_requests() {
    let system = System::start().await;
    let (store, requests) = system.counted(async { system.store() }).await;
    assert_eq!(requests, 0, "opening sends nothing (LIFE-1)");
    let minute = Duration::from_secs(60);

    async fn one<T>(system: &System, what: &str, call: impl Future<Output = kv_api::Result<T>>) -> T {
        let (result, requests) = system.counted(call).await;
        assert_eq!(requests, 1, "{what}");
        result.unwrap()
    }
    one(&system, "set", store.set("k", "v")).await;
    one(&system, "set with ttl", store.set("k", "v").ttl(minute)).await;
    one(&system, "set with metadata", store.set("k", "v").metadata(json!(1))).await;
    one(&system, "set if exists", store.set("k", "v").if_exists()).await;
    assert_eq!(one(&system, "get", store.get("k")).await, Some(Value::from("v")));
    assert_eq!(one(&system, "get of nothing", store.get("none")).await, None);
    assert!(one(&system, "exists", store.exists("k")).await);
    assert!(!one(&system, "exists of nothing", store.exists("none")).await);
    assert!(one(&system, "expire", store.expire("k").ttl(minute)).await);
    assert!(!one(&system, "expire of nothing", store.expire("none").never()).await);
    assert_eq!(one(&system, "list", store.list()).await.items.len(), 1);
    assert_eq!(one(&system, "get_entry of nothing", store.get_entry("none")).await, None);
    assert_eq!(one(&system, "delete", store.delete("k")).await, DeleteOutcome::Deleted);
    assert_eq!(one(&system, "delete of nothing", store.delete("k")).await, DeleteOutcome::NotFound);
    one(&system, "ping", store.ping()).await;

    let (sum, requests) = system.counted(store.increment("n", 5)).await;
    assert_eq!((sum.unwrap(), requests), (5, 2), "a look, and the step");
    let (entry, requests) = system.counted(store.get_entry("n")).await;
    assert!(entry.unwrap().is_some());
    assert_eq!(requests, 2, "a value and its expiry");
    let (entries, requests) = system.counted(store.get_entry_many(["n", "none", "n", "nor this"])).await;
    assert_eq!(entries.unwrap().iter().flatten().count(), 2);
    assert_eq!(requests, 2, "all values, and the expiry of each key that was found");
}

#[tokio::test]
async fn cap_1_what_is_not_declared_or_not_acceptable_is_not_sent() {
    let system = System::start().await;
    let store = system.store();
    let version = Version::numbered(1, 1);
    let late = Timestamp::from_unix_seconds(2_147_483_648);
    let long = "k".repeat(CAPABILITIES.key_bytes_max + 1);
    let mut refusals = vec![
        (store.set("k", "v").if_version(version.clone()).await.map(drop), ErrorKind::Unsupported),
        (store.delete("k").if_version(version).await.map(drop), ErrorKind::Unsupported),
        (store.set_many_all_or_nothing([SetItem::new("k", "v")]).await.map(drop), ErrorKind::Unsupported),
        (store.set("k", "v").expire_at(late).await.map(drop), ErrorKind::InvalidArgument),
        (store.set("k", "v").expire_at(Timestamp::UNIX_EPOCH).await.map(drop), ErrorKind::InvalidArgument),
        (store.set("k", "v").ttl(Duration::ZERO).await.map(drop), ErrorKind::InvalidArgument),
        (store.set("k", json!(null)).await.map(drop), ErrorKind::InvalidArgument),
        (store.list().limit(0).await.map(drop), ErrorKind::InvalidArgument),
        (store.list().cursor("x".parse().unwrap()).await.map(drop), ErrorKind::InvalidArgument),
    ];
    for key in ["", ".", "..", &long] {
        refusals.push((every_route(&store, key).await, ErrorKind::InvalidArgument));
    }
    for (at, (result, kind)) in refusals.into_iter().enumerate() {
        assert_eq!(result.unwrap_err().kind(), kind, "refusal {at}");
    }
    assert_eq!(system.server.requests(), 0);
}

/// The error that all calls on a key agree on.
async fn every_route(store: &Store, key: &str) -> kv_api::Result<()> {
    let mut results = vec![
        store.get(key).await.map(drop),
        store.get_entry(key).await.map(drop),
        store.exists(key).await.map(drop),
        store.get_many([key]).await.map(drop),
        store.set(key, "v").await.map(drop),
        store.set(key, "v").if_exists().await.map(drop),
        store.set(key, "v").ttl(Duration::from_secs(9)).await.map(drop),
        store.increment(key, 1).await.map(drop),
        store.expire(key).never().await.map(drop),
        store.delete(key).await.map(drop),
    ];
    results.extend(store.set_many([SetItem::new(key, "v")]).await.into_iter().map(|result| result.map(drop)));
    results.extend(store.delete_many([key]).await.into_iter().map(|result| result.map(drop)));
    assert!(results.iter().all(Result::is_err), "{key:?} was accepted by one call at least");
    results.remove(0)
}

#[tokio::test]
async fn list_3_a_place_that_is_no_number_is_refused() {
    let system = System::start().await;
    let store = system.store();
    let set: Vec<_> = names(5).into_iter().map(|key| SetItem::new(key, "v")).collect();
    store.set_many(set).await;
    let cursor = store.list().limit(2).await.unwrap().cursor.unwrap();
    let other = open(system.config(Form::Domain, HIVES[0]));
    let refused = other.list().cursor(cursor).await.unwrap_err();
    assert_eq!(refused.reason(), Some(&Reason::CursorInvalid), "another address is another scope");
}

#[tokio::test]
async fn del_1_a_batch_is_told_when_one_count_tells_it() {
    let system = System::start().await;
    let store = system.store();
    store.set("a", "1").await.unwrap();
    let outcomes =
        |results: Vec<kv_api::Result<DeleteOutcome>>| -> Vec<_> { results.into_iter().map(Result::unwrap).collect() };
    use DeleteOutcome::{Accepted, Deleted, NotFound};
    assert_eq!(outcomes(store.delete_many(["x", "y"]).await), [NotFound, NotFound]);
    assert_eq!(outcomes(store.delete_many(["a", "x"]).await), [Accepted, Accepted]);
    store.set("a", "1").await.unwrap();
    assert_eq!(outcomes(store.delete_many(["a"]).await), [Deleted]);
}

#[tokio::test]
async fn get_1_a_key_that_only_others_can_write_is_read_without_its_expiry() {
    let system = System::start().await;
    let client = kv_testkit::http_client();
    let body = json!({"..": "dots", "k": "v"}).to_string();
    let request = client.put(format!("{}/key-value", system.address(HIVES[0])));
    let answer = request.header("Content-Type", "application/json").body(body).send().await.unwrap();
    assert!(answer.status().is_success());
    let store = system.store();
    use futures_util::TryStreamExt;
    let mut entries: Vec<_> = store.list().entries().try_collect().await.unwrap();
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    let told: Vec<_> = entries.iter().map(|(key, entry)| (key.as_str(), entry.expiry())).collect();
    assert_eq!(told, [("..", kv_api::EntryExpiry::Unknown), ("k", kv_api::EntryExpiry::Never)]);
    assert_eq!(store.clear().await.unwrap(), 2);
    assert!(system.server.keys().is_empty());
}
