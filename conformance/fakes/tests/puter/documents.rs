//! Counters, and changes inside of values.

use kv_fakes::puter::{Poison, Switches, TOKEN};
use serde_json::{Value, json};

use crate::server::{START, Server, bad_request, internal, refusal};

const LARGEST: i64 = 9_007_199_254_740_991;

async fn incr(server: &Server, key: &str, by: impl Into<Value>) -> Value {
    server.ok("incr", json!({"key": key, "pathAndAmountMap": {"": by.into()}})).await
}

#[tokio::test]
async fn counters_count_from_zero_and_keep_their_expiry() {
    let server = Server::new().await;
    assert_eq!(incr(&server, "n", 5).await, json!(5));
    assert_eq!(incr(&server, "n", -7).await, json!(-2));
    assert_eq!(server.ok("decr", json!({"key": "n", "pathAndAmountMap": {"": 1}})).await, json!(-3));
    server.done("expire", json!({"key": "n", "ttl": 10})).await;
    assert_eq!(incr(&server, "n", 0.5).await, json!(-2.5));
    server.advance(10_000);
    assert_eq!(server.get("n").await, json!(null));
}

#[tokio::test]
async fn what_is_no_number_is_not_counted() {
    let server = Server::new().await;
    let refused =
        refusal(400, "upstream_bad_request", "An operand in the update expression has an incorrect data type");
    for value in [json!("5"), json!(null), json!({"a": 1}), json!([1]), json!(true)] {
        server.set("k", value.clone()).await;
        let args = json!({"key": "k", "pathAndAmountMap": {"": 1}});
        assert_eq!(server.refused("incr", args.clone()).await, refused);
        assert_eq!(server.refused("decr", args).await, refused);
        assert_eq!(server.get("k").await, value);
    }
    for amount in [json!("1"), json!(null), json!(true)] {
        let args = json!({"key": "n", "pathAndAmountMap": {"": amount}});
        let refused = bad_request("kv: all values in pathAndAmountMap must be numbers");
        assert_eq!(server.refused("incr", args).await, refused);
    }
    for (amount, sum) in [(json!("2"), -2), (json!(true), -3), (json!(null), -3)] {
        let args = json!({"key": "n", "pathAndAmountMap": {"": amount}});
        assert_eq!(server.ok("decr", args).await, json!(sum));
    }
    for amount in [json!("x"), json!({}), json!(1e16)] {
        assert_eq!(server.refused("decr", json!({"key": "n", "pathAndAmountMap": {"": amount}})).await, internal());
    }
    assert_eq!(server.get("n").await, json!(-3));
}

#[tokio::test]
async fn a_counter_beyond_the_largest_integer_cannot_be_read() {
    let server = Server::new().await;
    server.set("a", 1).await;
    server.set("mx", LARGEST).await;
    let plus = |by: i64| json!({"key": "mx", "pathAndAmountMap": {"": by}});
    for _ in 0..3 {
        assert_eq!(server.refused("incr", plus(1)).await, internal());
    }
    assert_eq!(server.refused("get", json!({"key": "mx"})).await, internal());
    assert_eq!(server.refused("get", json!({"key": ["a", "mx"]})).await, internal());
    for form in ["entries", "values"] {
        assert_eq!(server.refused("list", json!({"as": form})).await, internal());
        assert_eq!(server.ok("list", json!({"as": form, "pattern": "a"})).await.as_array().unwrap().len(), 1);
        // A page that ends before it is read as ever.
        server.ok("list", json!({"as": form, "limit": 1})).await;
    }
    assert_eq!(server.list("").await, json!(["a", "mx"]));
    // The storage has lost nothing: three back is the largest again.
    assert_eq!(server.refused("incr", plus(-1)).await, internal());
    assert_eq!(server.ok("incr", plus(-2)).await, json!(LARGEST));
    assert_eq!(server.get("mx").await, json!(LARGEST));
    assert_eq!(server.refused("incr", plus(LARGEST)).await, internal());
    assert_eq!(server.ok("del", json!({"key": "mx"})).await, json!(true));
    assert_eq!(server.get("mx").await, json!(null));
    server.set("mx", -LARGEST).await;
    assert_eq!(server.refused("incr", plus(-1)).await, internal());
    server.set("mx", 0).await;
    assert_eq!(server.get("mx").await, json!(0));
    // A get fails on one that has expired too; a listing does not come across it.
    server.ok("set", json!({"key": "mx", "value": LARGEST, "expireAt": START - 1})).await;
    assert_eq!(server.refused("incr", plus(1)).await, internal());
    assert_eq!(server.refused("get", json!({"key": "mx"})).await, internal());
    assert_eq!(server.ok("list", json!({})).await, json!([{"key": "a", "value": 1}]));
}

#[tokio::test]
async fn it_can_keep_keys_from_being_listed_and_flushed_too() {
    let server = Server::with(Switches { poison: Poison::Everything, ..Switches::default() }).await;
    server.set("mx", LARGEST).await;
    let plus_one = json!({"key": "mx", "pathAndAmountMap": {"": 1}});
    assert_eq!(server.refused("incr", plus_one).await, internal());
    assert_eq!(server.refused("list", json!({"as": "keys"})).await, internal());
    assert_eq!(server.refused("flush", json!({})).await, internal());
    // Counting reads nothing.
    let total = server.ok("list", json!({"as": "keys", "limit": 1, "offset": 1, "includeTotal": true})).await;
    assert_eq!(total, json!({"items": [], "total": 1}));
    server.ok("del", json!({"key": "mx"})).await;
    server.ok("flush", json!({})).await;
}

#[tokio::test]
async fn paths_lead_into_values() {
    let server = Server::new().await;
    let args = json!({"key": "o", "pathAndAmountMap": {"a": 2, "b.c": 3}});
    assert_eq!(server.ok("incr", args).await, json!({"a": 2, "b": {"c": 3}}));
    let args = json!({"key": "o", "pathAndValueMap": {"b.d.e": [1], "a-b": "x"}});
    assert_eq!(server.ok("update", args).await, json!({"a": 2, "a-b": "x", "b": {"c": 3, "d": {"e": [1]}}}));
    let args = json!({"key": "o", "pathAndValueMap": {"b.d.e": [2, 3], "l": 4}});
    let added = json!({"a": 2, "a-b": "x", "b": {"c": 3, "d": {"e": [1, 2, 3]}}, "l": [4]});
    assert_eq!(server.ok("add", args).await, added);
    let args = json!({"key": "o", "paths": ["b.d.e[1]", "a", "l"]});
    let removed = json!({"a-b": "x", "b": {"c": 3, "d": {"e": [1, 3]}}});
    assert_eq!(server.ok("remove", args).await, removed);
    assert_eq!(server.get("o").await, removed);
    // Without a value the entry is still there.
    server.done("remove", json!({"key": "o", "paths": [""]})).await;
    assert_eq!(server.ok("list", json!({})).await, json!([{"key": "o"}]));
    assert_eq!(server.get("o").await, json!(null));
    assert_eq!(incr(&server, "o", 1).await, json!(1));
}

#[tokio::test]
async fn parents_are_made_although_the_rest_fails() {
    let server = Server::new().await;
    let args = json!({"key": "o", "pathAndAmountMap": {"a.b": 1e16}});
    assert_eq!(server.refused("incr", args).await, internal());
    assert_eq!(server.get("o").await, json!({"a": {}}));
    // Several changes of one value happen together or not at all.
    server.set("o", json!({"n": 1, "s": "x"})).await;
    let args = json!({"key": "o", "pathAndAmountMap": {"n": 1, "s": 1}});
    assert_eq!(server.refused("incr", args).await.0, 400);
    assert_eq!(server.get("o").await, json!({"n": 1, "s": "x"}));
}

#[tokio::test]
async fn an_update_of_the_whole_value_keeps_its_expiry() {
    let server = Server::new().await;
    server.ok("set", json!({"key": "k", "value": 1, "expireAt": START + 5})).await;
    assert_eq!(server.ok("update", json!({"key": "k", "pathAndValueMap": {"": "two"}})).await, json!("two"));
    server.advance(5_000);
    assert_eq!(server.get("k").await, json!(null));
    let args = json!({"key": "k", "pathAndValueMap": {"": "three"}, "ttl": "10"});
    assert_eq!(server.ok("update", args).await, json!("three"));
    server.advance(9_000);
    assert_eq!(server.get("k").await, json!("three"));
    for ttl in [json!("x"), json!({})] {
        let refused = server.refused("update", json!({"key": "k", "pathAndValueMap": {"": 1}, "ttl": ttl})).await;
        assert_eq!(refused, bad_request("kv: ttl must be a number"));
    }
}

#[tokio::test]
async fn what_cannot_be_changed_is_told() {
    let server = Server::new().await;
    server.set("k", "text").await;
    let half = "v".repeat(250_000);
    server.set("big", json!({"a": half})).await;
    for (method, args, code) in [
        ("update", json!({"key": "k", "pathAndValueMap": {"a.b": 1}}), "upstream_bad_request"),
        ("update", json!({"key": "k", "pathAndValueMap": {"constructor.b": 1}}), "bad_request"),
        ("update", json!({"key": "k", "pathAndValueMap": {"": {"__proto__": 1}}}), "bad_request"),
        ("update", json!({"key": "k", "pathAndValueMap": []}), "bad_request"),
        ("update", json!({"key": "big", "pathAndValueMap": {"b": half}}), "upstream_bad_request"),
        ("add", json!({"key": "k", "pathAndValueMap": {"": 1}}), "upstream_bad_request"),
        ("add", json!({"key": "k", "pathAndValueMap": {}}), "bad_request"),
        ("remove", json!({"key": "k", "paths": [5]}), "bad_request"),
        ("remove", json!({"key": "k", "paths": "a"}), "bad_request"),
        ("remove", json!({"key": "k", "paths": ["prototype"]}), "bad_request"),
    ] {
        let refused = server.refused(method, args.clone()).await;
        assert_eq!((refused.0, refused.1.as_str()), (400, code), "{method} {args}");
    }
    assert_eq!(server.get("k").await, json!("text"));
    assert!(server.get("big").await["b"].is_null());
    // Removing what is not there is no error.
    assert_eq!(server.ok("remove", json!({"key": "k", "paths": ["a.b"]})).await, json!("text"));
    assert_eq!(server.ok("remove", json!({"key": "none", "paths": [""]})).await, json!(null));
    assert_eq!(server.fake.keys(), ["big", "k"]);
}

#[tokio::test]
async fn values_come_back_as_javascript_writes_them() {
    let server = Server::new().await;
    for (sent, kept) in [
        (r#"{"z":1,"a":{"y":[],"b":{}}}"#, r#"{"z":1,"a":{"y":[],"b":{}}}"#),
        (r#"{"z":1.0,"10":1e3,"2":-0}"#, r#"{"2":0,"10":1000,"z":1}"#),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
        (r#"{"$serde_json::private::RawValue":":5"}"#, r#"{"$serde_json::private::RawValue":":5"}"#),
        (r#"{"$serde_json::private::Number":"1e999"}"#, r#"{"$serde_json::private::Number":"1e999"}"#),
    ] {
        assert_eq!(raw(&server, "set", &format!(r#"{{"key":"k","value":{sent}}}"#)).await, "true");
        assert_eq!(raw(&server, "get", r#"{"key":"k"}"#).await, kept);
        let listed = format!(r#"[{{"key":"k","value":{kept}}}]"#);
        assert_eq!(raw(&server, "list", "{}").await, listed);
    }
    // A number beyond all doubles is read, and then cannot be stored.
    let beyond = r#"{"interface":"puter-kvstore","method":"set","args":{"key":"k","value":[1e400]}}"#;
    let headers = [("authorization", &*format!("Bearer {TOKEN}")), ("content-type", "application/json")];
    assert_eq!(server.send("POST", "/drivers/call", &headers, Some(beyond.to_owned())).await.status(), 500);
    // Parents are made before anything is set, so that they stand first.
    let incr = r#"{"key":"o","pathAndAmountMap":{"a":2,"b.c":3}}"#;
    assert_eq!(raw(&server, "incr", incr).await, r#"{"b":{"c":3},"a":2}"#);
    assert_eq!(raw(&server, "set", r#"{"key":"r","value":{"z":1,"b":2,"a":3}}"#).await, "true");
    assert_eq!(raw(&server, "remove", r#"{"key":"r","paths":["b"]}"#).await, r#"{"z":1,"a":3}"#);
}

/// The text of a result.
async fn raw(server: &Server, method: &str, args: &str) -> String {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let body = format!(r#"{{"interface":"puter-kvstore","method":"{method}","args":{args}}}"#);
    let answer = server.send("POST", "/drivers/call", &headers, Some(body)).await.text().await.unwrap();
    let result = answer.strip_prefix(r#"{"success":true,"result":"#).unwrap_or_else(|| panic!("{answer}"));
    result.strip_suffix(r#","service":{"name":"puter-kvstore"}}"#).unwrap_or_else(|| panic!("{answer}")).to_owned()
}
