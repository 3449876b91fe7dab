//! Other clients of the server (ENV-1, VAL-5, VAL-7, NS-1).

use std::time::Duration;

use futures_util::TryStreamExt;
use kv_api::{DeleteOutcome, ErrorKind, SetStatus, Value};
use serde_json::json;

use crate::harness::{System, foreign, open};

pub(crate) async fn env_1_other_clients_see_plain_data() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    store.set("text", "Ada").await.unwrap();
    store.set("counter", 41).await.unwrap();
    store.set("digits", "41").await.unwrap();
    store.set("json", json!({"a": [1, null]})).await.unwrap();
    store.set("metadata", "v").metadata(json!({"n": 1})).await.unwrap();
    for (key, kept) in [
        ("text", "Ada"),
        ("counter", "41"),
        ("digits", r#"{"$kv-envelope":1,"kind":"text","value":"41"}"#),
        ("json", r#"{"$kv-envelope":1,"kind":"json","value":{"a":[1,null]}}"#),
        ("metadata", r#"{"$kv-envelope":1,"kind":"text","value":"v","metadata":{"n":1}}"#),
    ] {
        assert_eq!(system.ask(&["GET", &foreign(key)]).await.to_string(), kept, "{key}");
    }
    // They count together.
    assert_eq!(system.ask(&["INCR", &foreign("counter")]).await.as_integer(), Some(42));
    assert_eq!(store.increment("counter", 1).await.unwrap(), 43);
    assert_eq!(store.increment("new", -7).await.unwrap(), -7);
    assert_eq!(system.ask(&["GET", &foreign("new")]).await.to_string(), "-7");
}

pub(crate) async fn val_5_what_other_clients_wrote_reads_as_it_is() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    for (text, value) in [
        ("text", Value::from("text")),
        ("", Value::from("")),
        ("12", Value::from(12)),
        ("-9223372036854775808", Value::from(i64::MIN)),
        ("9223372036854775808", Value::from("9223372036854775808")),
        ("007", Value::from("007")),
        ("1.5", Value::from("1.5")),
        (r#"{"a":1}"#, Value::from(r#"{"a":1}"#)),
    ] {
        system.ask(&["SET", &foreign("k"), text]).await;
        assert_eq!(store.get("k").await.unwrap(), Some(value.clone()), "{text}");
        assert_eq!(store.get_many(["k"]).await.unwrap(), [Some(value.clone())], "{text}");
        assert_eq!(store.get_entry("k").await.unwrap().unwrap().value(), &value, "{text}");
    }
    // A key that is empty behind the namespace, and one of another client that is no text, have no name here.
    system.ask(&["SET", "suite:", "v"]).await;
    system.ask(&["EVAL", "return redis.call('SET', 'suite:' .. string.char(255), 'v')", "0"]).await;
    let keys: Vec<_> = store.list().stream().map_ok(|item| item.key).try_collect().await.unwrap();
    assert_eq!(keys, ["k"]);
}

pub(crate) async fn val_7_nothing_but_a_set_and_a_delete_touches_another_type() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    let is_a_list = async || system.ask(&["TYPE", &foreign("list")]).await.to_string() == "list";
    store.set("value", 1).await.unwrap();
    let version = store.get_entry("value").await.unwrap().unwrap().version().unwrap().clone();
    for write in [["RPUSH", "list", "1"], ["SADD", "set", "1"], ["PFADD", "string", "1"]] {
        system.ask(&[write[0], &foreign(write[1]), write[2]]).await;
    }
    assert_eq!(store.set("list", 2).if_not_exists().await.unwrap().status(), SetStatus::NotMet);
    assert_eq!(store.set("list", 2).if_version(version.clone()).await.unwrap().status(), SetStatus::NotMet);
    let stale = version.clone();
    assert_eq!(store.delete("list").if_version(version).await.unwrap(), DeleteOutcome::NotMet);
    assert!(!store.expire("list").never().if_version(stale).await.unwrap());
    for result in [
        store.get("list").await.map(drop),
        store.increment("list", 1).await.map(drop),
        store.increment("list", 1).ttl_if_created(Duration::from_secs(1)).await.map(drop),
        store.get("list").touch(Duration::from_secs(1)).await.map(drop),
        store.get_and_delete("list").await.map(drop),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::WrongType);
    }
    assert_eq!(store.get_many(["value", "list"]).await.unwrap(), [Some(Value::from(1)), None]);
    assert!(store.delete_prefix("l").await.unwrap() == 0 && is_a_list().await);
    // A structure that is kept in a string is one.
    assert_eq!(store.clear().await.unwrap(), 2);
    assert!(is_a_list().await && store.exists("list").await.unwrap());
    assert_eq!(store.set("list", 2).if_exists().await.unwrap().status(), SetStatus::Updated);
    assert_eq!(store.get("list").await.unwrap(), Some(Value::from(2)));
    assert_eq!(store.delete("set").await.unwrap(), DeleteOutcome::Deleted);
}

pub(crate) async fn env_3_what_a_newer_version_wrote_is_neither_touched_nor_taken() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    for newer in [
        r#"{"$kv-envelope":2}"#,
        r#"{"$kv-envelope":10,"kind":"text","value":"v"}"#,
        r#" { "kind": "text", "$kv-envelope": 2.0 }"#,
        r#"{"\u0024kv-envelope":2}"#,
        r#"{"$kv-envelope":1,"kind":"text","value":"v","metadata":{"$kv-envelope":2}}"#,
    ] {
        system.ask(&["SET", &foreign("k"), newer]).await;
        assert_eq!(store.get("k").touch(Duration::from_secs(60)).await.unwrap_err().kind(), ErrorKind::Protocol);
        assert_eq!(store.get_entry("k").touch(Duration::from_secs(60)).await.unwrap_err().kind(), ErrorKind::Protocol);
        assert_eq!(store.get_and_delete("k").await.unwrap_err().kind(), ErrorKind::Protocol);
        assert_eq!(store.get_and_delete("k").entry().await.unwrap_err().kind(), ErrorKind::Protocol);
        assert_eq!(system.ask(&["GET", &foreign("k")]).await.to_string(), newer);
        assert_eq!(system.ask(&["PTTL", &foreign("k")]).await.as_integer(), Some(-1));
    }
    // What is almost an envelope is a text.
    for text in [r#"{"$kv-envelope":"2"}"#, r#"{"$kv-envelope":1}"#, r#"{"$kv-envelope":"#] {
        system.ask(&["SET", &foreign("k"), text]).await;
        assert_eq!(store.get("k").touch(Duration::from_secs(60)).await.unwrap(), Some(Value::from(text)));
        assert_eq!(store.get_and_delete("k").await.unwrap(), Some(Value::from(text)));
        assert_eq!(system.ask(&["EXISTS", &foreign("k")]).await.as_integer(), Some(0));
    }
}

pub(crate) async fn get_4_a_text_that_begins_like_a_newer_envelope_is_taken_once() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    let minute = Duration::from_secs(60);
    for text in [
        r#"{"$kv-envelope":2"#,
        r#"{"$kv-envelope":2.5}"#,
        r#"{"$kv-envelope":2 no JSON}"#,
        r#" {"\u0024kv-envelope":"2"}"#,
        r#"{"$kv-envelope":1,"kind":"text","value":"$kv-envelope"}"#,
        r#"{"é":"\u00e9"}"#,
    ] {
        store.set("k", text).await.unwrap();
        assert_eq!(store.get("k").touch(minute).await.unwrap(), Some(Value::from(text)));
        assert!(system.ask(&["PTTL", &foreign("k")]).await.as_integer().unwrap() > 0, "{text} was not touched");
        assert_eq!(store.get_and_delete("k").await.unwrap(), Some(Value::from(text)));
        assert_eq!(store.get_and_delete("k").await.unwrap(), None, "{text} was taken twice");
    }
}

pub(crate) async fn ns_1_namespaces_do_not_show_through_each_other() {
    let system = System::lease().await.unwrap();
    let named = async |name: &str| open(system.config().with_namespace(name).unwrap()).await.unwrap();
    let (short, long, tagged) = (named("a").await, named("ab").await, named("{a}").await);
    // As if there were a namespace `a:b` in it.
    short.set("b:k", 1).await.unwrap();
    long.set("k", 2).await.unwrap();
    tagged.set("k", 3).await.unwrap();
    for store in [&short, &long, &tagged] {
        let keys: Vec<_> = store.list().stream().map_ok(|item| item.key).try_collect().await.unwrap();
        assert_eq!(keys.len(), 1, "{keys:?}");
    }
    assert!(system.config().with_namespace("a:b").is_err());
    assert_eq!(long.clear().await.unwrap(), 1);
    assert_eq!(short.get("b:k").await.unwrap(), Some(Value::from(1)));
    assert_eq!(tagged.get("k").await.unwrap(), Some(Value::from(3)));
    // Without a namespace the store is the whole database.
    let whole = open(system.config()).await.unwrap();
    assert_eq!(whole.get("a:b:k").await.unwrap(), Some(Value::from(1)));
    // Another database is another store.
    let other = open(system.config().with_database(1)).await.unwrap();
    assert_eq!(other.get("a:b:k").await.unwrap(), None);
}
