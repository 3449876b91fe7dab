//! The rules of the system, operation by operation.

use std::io;

use kv_fakes::backendless::Fake;
use kv_fakes::{Applied, Fault, ServerOptions};
use serde_json::{Value, json};

use crate::application::{Application, START};

const NO_SUCH_KEY: (u16, u64) = (400, 27003);
const NO_EXPIRATION: (u16, u64) = (400, 27010);

async fn get(application: &Application, key: &str) -> Value {
    application.ok("GET", &format!("/{key}"), None).await.unwrap()
}

async fn set(application: &Application, key: &str, body: Value) -> bool {
    application.ok("PUT", &format!("/{key}"), body).await.unwrap().as_bool().unwrap()
}

/// The seconds left; `None` when no expiration is set.
async fn left(application: &Application, key: &str) -> Option<u64> {
    let path = format!("/{key}/get-expiration-ttl");
    let (status, text) = application.send("GET", &format!("/api/hive/hive/key-value{path}"), &[], None).await;
    if status == 200 {
        return text.parse().ok();
    }
    assert_eq!(application.error("GET", &path, None).await, NO_EXPIRATION, "{text}");
    None
}

#[tokio::test]
async fn conditions_are_decided_over_live_entries_and_a_refused_set_changes_nothing() {
    let application = Application::new().await;
    assert!(!set(&application, "k", json!({"value": 1, "condition": "IfExists"})).await);
    assert!(application.server.keys().is_empty());
    assert!(set(&application, "k", json!({"value": 1, "condition": "IfNotExists", "ttl": 10})).await);
    assert!(!set(&application, "k", json!({"value": 2, "condition": "IfNotExists", "ttl": 99})).await);
    assert_eq!((get(&application, "k").await, left(&application, "k").await), (json!(1), Some(10)));
    assert!(set(&application, "k", json!({"value": 3, "condition": "IfExists", "ttl": 20})).await);
    assert_eq!((get(&application, "k").await, left(&application, "k").await), (json!(3), Some(20)));
    // What has expired does not exist.
    application.advance(20_000);
    assert!(!set(&application, "k", json!({"value": 4, "condition": "IfExists"})).await);
    assert!(set(&application, "k", json!({"value": 5, "condition": "IfNotExists"})).await);
    assert_eq!((get(&application, "k").await, left(&application, "k").await), (json!(5), None));
}

#[tokio::test]
async fn of_many_concurrent_sets_if_not_exists_one_is_done() {
    let application = Application::new().await;
    let sets = (0..32).map(|number| set(&application, "k", json!({"value": number, "condition": "IfNotExists"})));
    let done = futures_util::future::join_all(sets).await;
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
    assert_eq!(get(&application, "k").await, json!(done.iter().position(|done| *done)));
}

#[tokio::test]
async fn an_absolute_expiry_wins_and_the_ttl_is_not_looked_at() {
    let application = Application::new().await;
    for ttl in [json!(5), json!(500), json!(-1), json!(1.5), json!("soon")] {
        assert!(set(&application, "k", json!({"value": 1, "ttl": ttl, "expireAt": START + 100})).await);
        assert_eq!(left(&application, "k").await, Some(100), "{ttl}");
    }
}

#[tokio::test]
async fn an_entry_ends_at_its_expiry_for_every_operation() {
    let application = Application::new().await;
    let fill = async || {
        set(&application, "k", json!({"value": 7, "ttl": 10})).await;
    };
    fill().await;
    application.advance(9_999);
    assert_eq!(get(&application, "k").await, json!(7));
    assert_eq!(application.server.keys(), ["k"]);
    application.advance(1);
    assert!(application.server.keys().is_empty());
    assert_eq!(get(&application, "k").await, Value::Null);
    for (method, path, body, expected) in [
        ("POST", "", json!(["k"]), json!({})),
        ("DELETE", "", json!(["k"]), json!(0)),
        ("POST", "/action/exist", json!(["k"]), json!(0)),
        ("PUT", "/action/touch", json!(["k"]), json!(0)),
        ("GET", "/keys", Value::Null, json!({"keys": [], "cursor": "0"})),
        ("PUT", "/k/increment?value=1", Value::Null, json!(1)),
        ("GET", "/k/seconds-since-last-operation", Value::Null, Value::Null),
    ] {
        fill().await;
        application.advance(10_000);
        let body = (!body.is_null()).then_some(body);
        assert_eq!(application.ok(method, path, body).await, Some(expected), "{method} {path}");
    }
    for (method, path) in [
        ("PUT", "/k/expire?ttl=9"),
        ("PUT", "/k/expire-at?unixTime=1900000000"),
        ("GET", "/k/get-expiration-ttl"),
        ("PUT", "/k/clear-expiration"),
        ("PUT", "/k/rename?newKey=j"),
    ] {
        fill().await;
        application.advance(10_000);
        assert_eq!(application.error(method, path, None).await, NO_SUCH_KEY, "{method} {path}");
    }
}

#[tokio::test]
async fn every_set_replaces_the_old_expiry() {
    let application = Application::new().await;
    set(&application, "a", json!({"value": 1, "ttl": 10})).await;
    set(&application, "b", json!({"value": 1, "ttl": 10})).await;
    assert!(set(&application, "a", json!({"value": 2})).await);
    assert_eq!(application.ok("PUT", "", json!({"b": 2, "c": [3]})).await, None);
    for key in ["a", "b", "c"] {
        assert_eq!(left(&application, key).await, None, "{key}");
    }
    assert_eq!(application.ok("POST", "", json!(["a", "b", "c", "d"])).await, Some(json!({"a": 2, "b": 2, "c": [3]})));
}

#[tokio::test]
async fn a_set_that_is_not_understood_is_an_error_and_no_change() {
    let application = Application::new().await;
    set(&application, "k", json!({"value": "old", "ttl": 10})).await;
    for body in [
        json!({}),
        json!({"ttl": 1}),
        json!({"value": null}),
        json!({"value": 1, "condition": "ifExists"}),
        json!({"value": 1, "condition": null}),
        json!({"value": 1, "ttl": 0}),
        json!({"value": 1, "ttl": -1}),
        json!({"value": 1, "ttl": 1.5}),
        json!({"value": 1, "ttl": "1"}),
        json!({"value": 1, "ttl": null}),
        json!({"value": 1, "ttl": i64::MAX}),
        json!({"value": 1, "expireAt": "1900000000"}),
        json!({"value": 1, "expireAt": i64::MAX}),
        json!({"value": 1, "expireAt": null}),
        json!(["value"]),
        json!("value"),
    ] {
        assert_eq!(application.error("PUT", "/k", body.clone()).await.0, 400, "{body}");
    }
    for body in [json!({"k": 1, "j": null}), json!({"j": 1, "": 2}), json!([1]), Value::Null] {
        assert_eq!(application.error("PUT", "", body.clone()).await.0, 400, "{body}");
    }
    assert_eq!((get(&application, "k").await, left(&application, "k").await), (json!("old"), Some(10)));
    assert_eq!(application.server.keys(), ["k"]);
}

#[tokio::test]
async fn a_body_has_to_be_json_and_to_say_so() {
    let application = Application::new().await;
    let path = "/api/hive/hive/key-value/k";
    let json_type = [("content-type", "application/json; charset=utf-8")];
    let set = |headers, body: &str| application.send("PUT", path, headers, Some(body.to_owned()));
    assert_eq!(set(&json_type, r#"{"value":1}"#).await.0, 200);
    assert_eq!(set(&[], r#"{"value":2}"#).await.0, 400);
    assert_eq!(set(&[("content-type", "text/plain")], r#"{"value":2}"#).await.0, 400);
    assert_eq!(set(&json_type, r#"{"value":2"#).await.0, 400);
    assert_eq!(set(&json_type, "").await.0, 400);
    assert_eq!(get(&application, "k").await, json!(1));
    for (method, path) in [("POST", ""), ("DELETE", ""), ("POST", "/action/exist"), ("PUT", "/action/touch")] {
        for body in [json!({"k": 1}), json!([1]), json!("k")] {
            assert_eq!(application.error(method, path, body).await.0, 400, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn values_come_back_as_they_were() {
    let application = Application::new().await;
    for text in [
        "\"\"",
        "\"{\\\"a\\\":1}\"",
        "\"10\"",
        "10",
        "1.0",
        "-0.0",
        "0.1",
        "1e300",
        "2.2250738585072014e-308",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "true",
        "[]",
        "{}",
        "{\"__proto__\":[null,{\"a\":1.5}]}",
        "\"日本 🎌 \\u0000\"",
    ] {
        let path = "/api/hive/hive/key-value/k";
        let body = format!(r#"{{"value":{text}}}"#);
        application.send("PUT", path, &[("content-type", "application/json")], Some(body)).await;
        let (status, stored) = application.send("GET", path, &[], None).await;
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        // The text too, but for the forms of an escape and of an exponent.
        assert_eq!((status, parse(&stored)), (200, parse(text)), "{text}");
        assert_eq!(parse(&stored).to_string(), parse(text).to_string());
    }
}

#[tokio::test]
async fn deletes_count_once_and_questions_as_often_as_asked() {
    let application = Application::new().await;
    application.ok("PUT", "", json!({"a": 1, "b": 2})).await;
    assert_eq!(application.ok("POST", "/action/exist", json!(["a", "a", "x"])).await, Some(json!(2)));
    assert_eq!(application.ok("PUT", "/action/touch", json!(["a", "a", "x"])).await, Some(json!(2)));
    assert_eq!(application.ok("DELETE", "", json!(["a", "a", "x"])).await, Some(json!(1)));
    assert_eq!(application.ok("DELETE", "/b", None).await, Some(json!(1)));
    assert_eq!(application.ok("DELETE", "/b", None).await, Some(json!(0)));
    assert_eq!(application.ok("POST", "", json!([])).await, Some(json!({})));
}

#[tokio::test]
async fn expirations_are_set_read_and_cleared() {
    let application = Application::new().await;
    set(&application, "k", json!({"value": 1})).await;
    assert_eq!(left(&application, "k").await, None);
    assert_eq!(application.ok("PUT", "/k/clear-expiration", None).await, None);
    assert_eq!(application.ok("PUT", "/k/expire?ttl=60", None).await, None);
    assert_eq!(left(&application, "k").await, Some(60));
    let path = format!("/k/expire-at?unixTime={}", START + 30);
    assert_eq!(application.ok("PUT", &path, None).await, None);
    assert_eq!(left(&application, "k").await, Some(30));
    assert_eq!(application.ok("PUT", "/k/clear-expiration", None).await, None);
    assert_eq!(left(&application, "k").await, None);
    for query in [
        "expire",
        "expire?ttl=0",
        "expire?ttl=-5",
        "expire?ttl=1.5",
        "expire?ttl=x",
        "expire-at",
        "expire-at?unixTime=x",
    ] {
        let (status, code) = application.error("PUT", &format!("/k/{query}"), None).await;
        assert!(status == 400 && code != NO_SUCH_KEY.1, "{query}: {code}");
    }
    assert_eq!((get(&application, "k").await, left(&application, "k").await), (json!(1), None));
    // A time that is not in the future ends the entry at once.
    application.ok("PUT", &format!("/k/expire-at?unixTime={START}"), None).await;
    assert_eq!(get(&application, "k").await, Value::Null);
    assert!(set(&application, "k", json!({"value": 1, "expireAt": START - 1})).await);
    assert_eq!(get(&application, "k").await, Value::Null);
}

#[tokio::test]
async fn counters_count_whole_numbers_within_64_bits() {
    let application = Application::new().await;
    assert_eq!(application.ok("PUT", "/n/increment?value=5", None).await, Some(json!(5)));
    assert_eq!(application.ok("PUT", "/n/decrement?value=7", None).await, Some(json!(-2)));
    assert_eq!(get(&application, "n").await, json!(-2));
    application.ok("PUT", "/n/expire?ttl=60", None).await;
    assert_eq!(application.ok("PUT", "/n/increment?value=-1", None).await, Some(json!(-3)));
    assert_eq!(left(&application, "n").await, Some(60));

    for (stored, path) in [
        (json!(i64::MAX), "/n/increment?value=1"),
        (json!(i64::MIN), "/n/decrement?value=1"),
        (json!(0), "/n/decrement?value=-9223372036854775808"),
        (json!(u64::MAX), "/n/decrement?value=1"),
        (json!("10"), "/n/increment?value=1"),
        (json!(1.5), "/n/increment?value=1"),
        (json!([1]), "/n/increment?value=1"),
        (json!(1), "/n/increment"),
        (json!(1), "/n/increment?value=1.5"),
        (json!(1), "/n/increment?value=9223372036854775808"),
        (json!(1), "/n/increment?value=one"),
        (json!(1), "/n/increment?value=+1"),
    ] {
        set(&application, "n", json!({"value": stored})).await;
        assert_eq!(application.error("PUT", path, None).await.0, 400, "{stored} {path}");
        assert_eq!(get(&application, "n").await, stored, "{path}");
    }
    set(&application, "n", json!({"value": -1})).await;
    assert_eq!(application.ok("PUT", "/n/decrement?value=-9223372036854775808", None).await, Some(json!(i64::MAX)));
}

#[tokio::test]
async fn renaming_moves_value_and_expiry() {
    let application = Application::new().await;
    set(&application, "a", json!({"value": 1, "ttl": 10})).await;
    set(&application, "b", json!({"value": 2})).await;
    assert_eq!(application.ok("PUT", "/a/rename?newKey=b&overwrite=false", None).await, Some(json!(false)));
    assert_eq!(application.ok("PUT", "/a/rename?newKey=a&overwrite=false", None).await, Some(json!(false)));
    assert_eq!((get(&application, "a").await, get(&application, "b").await), (json!(1), json!(2)));
    assert_eq!(application.ok("PUT", "/a/rename?newKey=a", None).await, Some(json!(true)));
    assert_eq!(application.ok("PUT", "/a/rename?newKey=b", None).await, Some(json!(true)));
    assert_eq!(application.server.keys(), ["b"]);
    assert_eq!((get(&application, "b").await, left(&application, "b").await), (json!(1), Some(10)));
    assert_eq!(application.ok("PUT", "/b/rename?newKey=c%2Fd&overwrite=false", None).await, Some(json!(true)));
    assert_eq!(application.server.keys(), ["c/d"]);
    assert_eq!(application.error("PUT", "/a/rename?newKey=b", None).await, NO_SUCH_KEY);
    for query in ["", "?newKey=", "?newKey=x&overwrite=yes"] {
        assert_eq!(application.error("PUT", &format!("/c%2Fd/rename{query}"), None).await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn operations_restart_the_timer_and_asking_for_it_does_not() {
    let application = Application::new().await;
    let since = async || application.ok("GET", "/k/seconds-since-last-operation", None).await.unwrap();
    assert_eq!(since().await, Value::Null);
    set(&application, "k", json!({"value": 1})).await;
    application.advance(2_900);
    assert_eq!(since().await, json!(2));
    application.advance(100);
    assert_eq!(since().await, json!(3));
    for (method, path, body) in [
        ("PUT", "/action/touch", Some(json!(["k"]))),
        ("GET", "/k", None),
        ("POST", "", Some(json!(["k"]))),
        ("PUT", "/k/increment?value=1", None),
        ("PUT", "/k/expire?ttl=1000", None),
    ] {
        application.advance(5_000);
        assert_eq!(since().await.as_u64().map(|seconds| seconds >= 5), Some(true));
        application.ok(method, path, body).await;
        assert_eq!(since().await, json!(0), "{method} {path}");
    }
}

#[tokio::test]
async fn hives_are_created_listed_renamed_and_deleted() {
    let application = Application::new().await;
    let call = |method: &'static str, path: &'static str| application.send(method, path, &[], None);
    let fine = (200, String::new());
    assert_eq!(call("POST", "/APP-ID/API-KEY/hive/two").await, fine);
    assert_eq!(call("POST", "/APP-ID/API-KEY/hive/two").await.0, 400);
    assert_eq!(call("GET", "/api/hive").await, (200, r#"["hive","two"]"#.to_owned()));
    // Nothing of one shows in another.
    set(&application, "k", json!({"value": 1})).await;
    assert_eq!(call("GET", "/api/hive/two/key-value/k").await, (200, "null".to_owned()));
    assert_eq!(call("GET", "/api/hive/two/key-value/keys").await.1, r#"{"keys":[],"cursor":"0"}"#);
    // Its entries go along with a name.
    assert_eq!(call("PUT", "/api/hive/hive?newName=two").await.0, 400);
    assert_eq!(call("PUT", "/api/hive/hive").await.0, 400);
    assert_eq!(call("PUT", "/api/hive/hive?newName=three").await, fine);
    assert_eq!(call("GET", "/api/hive/three/key-value/k").await, (200, "1".to_owned()));
    assert_eq!(call("DELETE", "/api/hive/three").await, fine);
    assert_eq!(call("DELETE", "/api/hive/three").await.0, 400);
    assert_eq!(call("GET", "/api/hive").await, (200, r#"["two"]"#.to_owned()));
}

#[tokio::test]
async fn a_missing_hive_is_one_error_for_reads_and_writes() {
    let application = Application::serve(Fake::new().with_hive("other")).await;
    let mut errors = Vec::new();
    for (method, path, body) in [
        ("GET", "/k", None),
        ("PUT", "/k", Some(json!({"value": 1}))),
        ("PUT", "", Some(json!({"k": 1}))),
        ("POST", "", Some(json!(["k"]))),
        ("DELETE", "", Some(json!(["k"]))),
        ("GET", "/keys", None),
        ("PUT", "/k/increment?value=1", None),
    ] {
        errors.push(application.error(method, path, body).await);
    }
    assert!(errors[0].0 == 400 && errors[0].1 != NO_SUCH_KEY.1, "{errors:?}");
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    assert_eq!(application.send("GET", "/api/hive", &[], None).await.1, r#"["other"]"#);
}

#[tokio::test]
async fn credentials_are_checked_where_there_are_any() {
    let fake = Fake::new().with_app_id("B0 1/2").with_api_key("canary").with_hive("h");
    assert!(!format!("{fake:?}").contains("canary"));
    let application = Application::serve(fake).await;
    let status = async |path: &'static str| application.send("GET", path, &[], None).await.0;
    assert_eq!(status("/B0%201%2F2/canary/hive").await, 200);
    assert_eq!(status("/B0%201%2F2/other/hive").await, 401);
    assert_eq!(status("/APP-ID/API-KEY/hive/h/key-value/k").await, 401);
    assert_eq!(status("/APP-ID/API-KEY/info").await, 401);
    assert_eq!(status("/api/hive").await, 200);
    assert_eq!(status("/api/info").await, 200);
    assert_eq!(status("/B0%201%2F2/canary/info").await, 200);
    assert_eq!(status("/api/hive/h/map/k").await, 404);
    assert_eq!(status("/api/B0%201%2F2/canary/hive/h/key-value/k").await, 200);
    // The key is in the path, and yet in no output.
    let shown = format!("{:?} {:?}", application.server, application.server.exchanges());
    assert!(shown.contains("/***/") && !shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn what_cannot_be_in_an_address_is_not_served() {
    for fake in [Fake::new().with_app_id(""), Fake::new().with_api_key(".."), Fake::new().with_hive("h").with_hive(".")]
    {
        let refused = fake.serve(ServerOptions::new()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{refused}");
    }
}

#[tokio::test]
async fn a_user_token_has_to_be_one_that_is_logged_in() {
    let fake = Fake::new().with_user_token("good").with_bad_user_token_status(401);
    let application = Application::serve(fake).await;
    let get =
        async |headers: &[(&str, &str)]| application.send("GET", "/api/hive/hive/key-value/k", headers, None).await;
    assert_eq!(get(&[]).await.0, 200);
    assert_eq!(get(&[("user-token", "good")]).await.0, 200);
    let (status, text) = get(&[("user-token", "bad")]).await;
    assert_eq!((status, serde_json::from_str::<Value>(&text).unwrap()["code"].as_u64()), (401, Some(3064)));
}

#[tokio::test]
async fn faults_are_shown_in_the_words_of_the_system() {
    let application = Application::new().await;
    let retry_after = Some(std::time::Duration::from_millis(1_500));
    application.server.inject(Fault::Throttled { retry_after }, 1);
    assert_eq!(application.error("PUT", "/k", json!({"value": 1})).await.0, 429);
    assert!(application.server.keys().is_empty());

    application.server.inject(Fault::ServerError { status: 502, applied: Applied::Yes }, 1);
    assert_eq!(application.send("PUT", "/api/hive/hive/key-value/n/increment?value=1", &[], None).await.0, 502);
    assert_eq!(get(&application, "n").await, json!(1));

    // Half done, and a figure that cannot be.
    application.server.inject(Fault::Implausible, 2);
    assert_eq!(application.ok("PUT", "", json!({"a": 1, "b": 2})).await, Some(json!(-3)));
    assert_eq!(application.server.keys(), ["a", "n"]);
    assert_eq!(application.ok("DELETE", "", json!(["a", "b"])).await, Some(json!(-3)));
    assert_eq!(application.server.keys(), ["n"]);

    // Faults that this system does not have wait for ever.
    for fault in [Fault::ThrottledUnderSuccess, Fault::PartlyUnsuccessful { every: 1 }] {
        application.server.inject(fault, 1);
        assert_eq!(application.ok("POST", "", json!(["n"])).await, Some(json!({"n": 1})));
        assert_eq!(application.server.faults_left(), 1);
    }
}

#[tokio::test]
async fn a_stale_read_shows_the_state_before_the_last_change() {
    let application = Application::new().await;
    let stale = async |method: &str, path: &str, body: Option<Value>| {
        application.server.inject(Fault::Stale, 1);
        let answer = application.ok(method, path, body).await;
        assert_eq!(application.server.faults_left(), 0, "{method} {path}");
        answer
    };
    set(&application, "a", json!({"value": 1})).await;
    application.ok("PUT", "", json!({"a": 2, "b": 2})).await;
    assert_eq!(stale("GET", "/a", None).await, Some(json!(1)));
    assert_eq!(stale("POST", "", Some(json!(["a", "b"]))).await, Some(json!({"a": 1})));
    assert_eq!(stale("POST", "/action/exist", Some(json!(["a", "b"]))).await, Some(json!(1)));
    // What changes nothing is not a change.
    set(&application, "c", json!({"value": 1, "condition": "IfExists"})).await;
    application.ok("DELETE", "/c", None).await;
    assert_eq!(stale("GET", "/keys", None).await, Some(json!({"keys": ["a"], "cursor": "0"})));
    application.ok("PUT", "/a/rename?newKey=z", None).await;
    assert_eq!(stale("POST", "", Some(json!(["a", "b", "z"]))).await, Some(json!({"a": 2, "b": 2})));
    application.ok("PUT", "/z/expire?ttl=10", None).await;
    application.server.inject(Fault::Stale, 1);
    assert_eq!(application.error("GET", "/z/get-expiration-ttl", None).await, NO_EXPIRATION);
    application.ok("DELETE", "", json!(["b", "z"])).await;
    assert_eq!(stale("GET", "/b", None).await, Some(json!(2)));
    // The present is as it was, and a write waits for no read.
    assert!(application.server.keys().is_empty());
    application.server.inject(Fault::Stale, 1);
    assert!(set(&application, "d", json!({"value": 1, "condition": "IfNotExists"})).await);
    assert_eq!(application.server.faults_left(), 1);
}

#[tokio::test]
async fn members_keep_their_order_and_no_name_has_a_meaning() {
    let application = Application::new().await;
    let json = [("content-type", "application/json")];
    let path = "/APP-ID/API-KEY/hive/hive/key-value/k";
    for (sent, kept) in [
        (r#"{"z":1,"a":{"y":[],"b":{}},"10":1.0,"9":-0.0}"#, r#"{"z":1,"a":{"y":[],"b":{}},"10":1.0,"9":-0.0}"#),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
        ("[18446744073709551615,-9223372036854775808]", "[18446744073709551615,-9223372036854775808]"),
        (r#"{"$serde_json::private::RawValue":":5"}"#, r#"{"$serde_json::private::RawValue":":5"}"#),
        (r#"{"$serde_json::private::Number":"1e999"}"#, r#"{"$serde_json::private::Number":"1e999"}"#),
    ] {
        let set = format!(r#"{{"value":{sent}}}"#);
        assert_eq!(application.send("PUT", path, &json, Some(set)).await, (200, "true".to_owned()));
        assert_eq!(application.send("GET", path, &[], None).await, (200, kept.to_owned()));
    }
    let refused = application.send("PUT", path, &json, Some(r#"{"value":1e400}"#.to_owned())).await;
    assert_eq!(refused.0, 400);
}
