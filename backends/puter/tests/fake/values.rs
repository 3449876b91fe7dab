//! What is stored and what is read: limits, kinds, expiries, and other clients' data (CHK-2, VAL-1 to VAL-5, EXP-8).

use std::time::Duration;

use kv_api::{EntryExpiry, ErrorKind, Reason, SetItem, Value};
use kv_conformance::Time;
use kv_fakes::puter::{Switches, Unread};
use kv_testkit::RemoteSystem as _;
use serde_json::{Value as Json, json};

use crate::harness::System;
use crate::scripted::{Scripted, failure, success};

/// 399 KiB of JSON text, of which two are the quotes.
const LONGEST: usize = 408_574;

#[tokio::test]
async fn chk_2_408_574_characters_are_kept_and_one_more_is_refused() {
    let system = System::start().await;
    let store = system.store();
    store.set("k", "v".repeat(LONGEST)).await.unwrap();
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("v".repeat(LONGEST))));
    let (refused, sent) = system.counted(store.set("k", "v".repeat(LONGEST + 1))).await;
    let limit = Reason::Limit { name: "value_bytes_max".into(), allowed: 408_576, found: 408_577 };
    assert_eq!((refused.unwrap_err().reason(), sent), (Some(&limit), 0));
    // The fake refuses it too.
    let answer = system.foreign("set", json!({"key": "k", "value": "v".repeat(LONGEST + 1)})).await;
    assert_eq!(answer["code"], "bad_request");
}

#[tokio::test]
async fn chk_2_399_kib_with_a_long_key_are_refused_and_what_fits_is_kept() {
    let system = System::start().await;
    let store = system.store();
    let long = "k".repeat(1024);
    let (refused, sent) = system.counted(store.set(&long, "v".repeat(LONGEST))).await;
    let limit = Reason::Limit { name: "entry_bytes_max".into(), allowed: 409_400, found: 409_598 };
    assert_eq!((refused.unwrap_err().reason(), sent), (Some(&limit), 0));
    let answer = system.foreign("set", json!({"key": long, "value": "v".repeat(LONGEST)})).await;
    assert_eq!(answer["code"], "upstream_bad_request");
    let fits = "v".repeat(409_400 - 1024);
    let expiring = store.set(&long, fits.as_str()).ttl(Duration::from_secs(60));
    expiring.await.unwrap();
    assert_eq!(store.get(&long).await.unwrap(), Some(Value::from(fits)));
}

#[tokio::test]
async fn chk_2_what_the_storage_counts_as_too_large_is_refused_here() {
    let system = System::start().await;
    let store = system.store();
    let digits = |count: usize| json!(vec![5; count]);
    store.set("k", digits(136_465)).await.unwrap();
    let (refused, sent) = system.counted(store.set("k", digits(136_600))).await;
    assert!(matches!(refused.unwrap_err().reason(), Some(Reason::Limit { name, .. }) if name == "entry_bytes_max"));
    assert_eq!(sent, 0);
    assert_eq!(
        system.foreign("set", json!({"key": "k", "value": digits(136_600)})).await["code"],
        "upstream_bad_request"
    );
}

#[tokio::test]
async fn val_3_json_that_the_system_would_damage_or_refuse_comes_back() {
    let system = System::start().await;
    let store = system.store();
    let nested = (0..99).fold(json!(1), |inner, _| json!([inner]));
    for value in [
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1e100),
        json!(5e-324),
        json!({"__proto__": {"a": 1}}),
        json!([{"constructor": 1}, {"prototype": null}]),
        nested,
    ] {
        store.set("k", value.clone()).metadata(value.clone()).await.unwrap();
        let entry = store.get_entry("k").await.unwrap().unwrap();
        assert_eq!((entry.value(), entry.metadata()), (&Value::from(value.clone()), Some(&value.clone().into())));
        assert!(store.set_many([SetItem::new("k", value.clone())]).await.remove(0).is_ok());
        assert_eq!(store.get("k").await.unwrap(), Some(Value::from(value)));
    }
}

#[tokio::test]
async fn env_1_another_client_finds_plain_data_and_the_envelope_for_the_rest() {
    let system = System::start().await;
    let store = system.store();
    for plain in [json!("text"), json!(""), json!(42), json!(-0.5), json!({"a": [1, {"b": null}]}), json!(true)] {
        store.set("k", plain.clone()).await.unwrap();
        assert_eq!(system.raw("k").await, plain);
    }
    store.set("k", 5).ttl(Duration::from_secs(60)).await.unwrap();
    assert_eq!(system.raw("k").await, json!({"$kv-envelope": 1, "kind": "json-text", "value": "5"}));
    store.set("k", b"\0").metadata(json!({"m": 1})).await.unwrap();
    let envelope = json!({"$kv-envelope": 1, "kind": "bytes", "value": "AA==", "metadata": {"m": 1}});
    assert_eq!(system.raw("k").await, envelope);
}

#[tokio::test]
async fn val_4_empty_is_not_missing() {
    let system = System::start().await;
    let store = system.store();
    store.set("text", "").await.unwrap();
    store.set("bytes", b"").await.unwrap();
    let found = store.get_many(["text", "missing", "bytes"]).await.unwrap();
    assert_eq!(found, [Some(Value::from("")), None, Some(Value::from(b""))]);
    assert!(store.exists("text").await.unwrap() && store.exists("bytes").await.unwrap());
    assert!(!store.exists("missing").await.unwrap());
}

#[tokio::test]
async fn val_5_what_others_wrote_reads_as_what_it_is_and_null_as_missing() {
    let system = System::start().await;
    let store = system.store().allow_best_effort();
    for (key, value) in [("number", json!(5)), ("object", json!({"a": 1})), ("text", json!("5")), ("null", Json::Null)]
    {
        system.put(key, value).await;
    }
    system.put("newer", json!({"$kv-envelope": 2, "kind": "text"})).await;
    system.foreign("batchPut", json!({"items": [{"key": "no value"}]})).await;
    let found = store.get_many(["number", "object", "text", "null", "no value"]).await.unwrap();
    let expected = [Some(Value::from(5)), Some(Value::from(json!({"a": 1}))), Some(Value::from("5")), None, None];
    assert_eq!(found, expected);
    assert!(!store.exists("null").await.unwrap());
    assert_eq!(store.get("newer").await.unwrap_err().kind(), ErrorKind::Protocol, "ENV-3");
    let error = store.get_many(["text", "newer", "number"]).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Protocol, Some("newer")), "{error}");
    assert!(store.set("null", 1).if_not_exists().await.unwrap().is_written());
}

#[tokio::test]
async fn get_2_existing_keys_never_read_as_missing() {
    for unread in [Unread::Rotating, Unread::Last] {
        let system = System::start_with(Switches { unread, ..Switches::default() }).await;
        let store = system.store();
        let keys: Vec<String> = (0..12).map(|number| format!("k{number:02}")).collect();
        for key in &keys {
            system.put(key, json!(key.repeat(100_000))).await;
        }
        let asked: Vec<&str> = ["missing"].into_iter().chain(keys.iter().map(String::as_str)).collect();
        let nulls = system.foreign("get", json!({ "key": asked })).await["result"].as_array().unwrap().clone();
        assert!(nulls.iter().filter(|value| value.is_null()).count() > 5, "the system says so of keys that are there");
        let found = store.get_many(asked).await.unwrap();
        assert_eq!(found[0], None);
        for (key, value) in keys.iter().zip(&found[1..]) {
            assert_eq!(value.as_ref(), Some(&Value::from(key.repeat(100_000))), "{unread:?}");
        }
    }
}

#[tokio::test]
async fn get_2_each_null_of_many_is_asked_for_once_more_by_itself() {
    let server = Scripted::serve(|asked| match asked.arguments["key"].as_array() {
        Some(keys) => success(&json!(keys.iter().map(|_| Json::Null).collect::<Vec<_>>())),
        None if asked.arguments["key"] == "gone" => success(&Json::Null),
        None => success(&asked.arguments["key"]),
    })
    .await;
    let found = server.store.get_many(["a", "gone", "b"]).await.unwrap();
    assert_eq!(found, [Some(Value::from("a")), None, Some(Value::from("b"))]);
    assert_eq!(server.requests(), 4);
}

#[tokio::test]
async fn exp_8_no_read_tells_an_expiry() {
    let system = System::start().await;
    let store = system.store();
    store.set("k", "v").ttl(Duration::from_secs(60)).await.unwrap();
    assert_eq!(store.get_entry("k").await.unwrap().unwrap().expiry(), EntryExpiry::Unknown);
    store.set("k", "v").await.unwrap();
    assert_eq!(store.get_entry("k").await.unwrap().unwrap().expiry(), EntryExpiry::Unknown);
}

#[tokio::test]
async fn exp_9_a_number_moves_into_its_envelope_and_out_of_it() {
    let system = System::start().await;
    let store = system.store().allow_best_effort();
    store.set("k", 5).await.unwrap();
    assert!(store.expire("k").ttl(Duration::from_secs(60)).await.unwrap());
    assert_eq!(store.increment("k", 1).await.unwrap_err().reason(), Some(&Reason::NotACounter));
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from(5)));
    assert!(store.expire("k").never().await.unwrap());
    assert_eq!(system.raw("k").await, json!(5));
    assert_eq!(store.increment("k", 1).await.unwrap(), 6);
    assert!(store.expire("k").ttl(Duration::from_secs(60)).await.unwrap());
    system.clocks().advance(Duration::from_secs(61)).await;
    assert_eq!(store.get("k").await.unwrap(), None);
    assert!(!store.expire("k").never().await.unwrap(), "and is not revived");
    assert_eq!(store.increment("k", 1).await.unwrap(), 1);
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from(1)));
}

#[tokio::test]
async fn exp_3_a_ttl_counts_by_this_sides_clock() {
    let system = System::start().await;
    let store = system.store();
    // The system's clock is ten seconds ahead.
    system.clock.advance(Duration::from_secs(10));
    store.set("k", "v").ttl(Duration::from_secs(10)).await.unwrap();
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("v")), "rounded up to the next second");
    system.clocks().advance(Duration::from_secs(1)).await;
    assert_eq!(store.get("k").await.unwrap(), None);
}

#[tokio::test]
async fn err_5_a_ttl_counts_from_the_attempt_that_was_carried_out() {
    let system = System::start().await;
    let clock = system.client_clock.clone();
    let server = Scripted::serve_at(clock.clone(), move |asked| {
        // Every other write is turned away, and ten seconds pass.
        if asked.method != "get" && asked.number % 2 == 0 {
            clock.advance(Duration::from_secs(10));
            return failure(429, "too_many_requests");
        }
        let items = asked.arguments["items"].as_array().cloned().unwrap_or_else(|| vec![asked.arguments.clone()]);
        for item in items {
            let at = item.get("expireAt").or_else(|| item.get("timestamp")).map(|at| at.as_i64().unwrap());
            let now = kv_api::Clock::now(&clock).as_unix_seconds_ceil();
            assert!(asked.method == "get" || at == Some(now + 5), "{at:?} at {now}");
        }
        if asked.method == "expireAt" { (200, r#"{"success":true}"#.to_owned()) } else { success(&json!(true)) }
    })
    .await;
    let ttl = Duration::from_secs(5);
    server.store.set("k", "v").ttl(ttl).await.unwrap();
    for result in server.store.set_many(["a", "b"].map(|key| SetItem::new(key, "v").ttl(ttl))).await {
        result.unwrap();
    }
    // A look comes before it, so that the next number is odd.
    server.store.get("k").await.unwrap();
    assert!(server.store.expire("k").ttl(ttl).await.unwrap());
    assert_eq!(server.requests(), 2 + 2 + 1 + 3);
}
