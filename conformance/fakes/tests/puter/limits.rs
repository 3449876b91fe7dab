//! How large keys, values and answers may be, and which values cannot be stored.

use kv_fakes::puter::{Switches, Unread};
use serde_json::{Value, json};

use crate::server::{Server, bad_request, internal, refusal};

fn too_large() -> (u16, String, String) {
    refusal(400, "upstream_bad_request", "Item size has exceeded the maximum allowed size")
}

#[tokio::test]
async fn a_key_has_1_to_1024_bytes() {
    let server = Server::new().await;
    let longest = ["k".repeat(1024), "é".repeat(512), "😀".repeat(256)];
    for key in &longest {
        server.set(key, 1).await;
        assert_eq!(server.get(key).await, json!(1));
        assert_eq!(server.ok("del", json!({"key": key})).await, json!(true));
    }
    let too_long = bad_request("kv: key exceeds 1024 byte limit");
    for key in longest.map(|key| key + "x") {
        let items = json!([{"key": "a", "value": 1}, {"key": key, "value": 1}]);
        for (method, args) in [
            ("set", json!({"key": key, "value": 1})),
            ("get", json!({"key": key})),
            ("get", json!({"key": ["a", key]})),
            ("batchPut", json!({"items": items})),
            ("expire", json!({"key": key, "ttl": 1})),
            ("incr", json!({"key": key, "pathAndAmountMap": {"": 1}})),
            ("remove", json!({"key": key, "paths": ["a"]})),
        ] {
            assert_eq!(server.refused(method, args).await, too_long, "{method}");
        }
        assert_eq!(server.refused("del", json!({"key": key})).await.1, "upstream_bad_request");
    }
    for key in [json!(null), json!(""), json!([])] {
        assert_eq!(server.refused("set", json!({"key": key, "value": 1})).await, bad_request("Missing `key`"));
    }
    assert!(server.fake.keys().is_empty());
}

#[tokio::test]
async fn keys_become_texts() {
    let server = Server::new().await;
    for (key, text) in [
        (json!(123), "123"),
        (json!(1.5e300), "1.5e+300"),
        (json!(false), "false"),
        (json!({"a": 1}), "[object Object]"),
        (json!(["a", null, ["b", 1]]), "a,,b,1"),
        (json!("__proto__"), "__proto__"),
    ] {
        server.ok("set", json!({"key": key, "value": text})).await;
        assert_eq!(server.get(text).await, json!(text));
    }
}

#[tokio::test]
async fn a_value_is_measured_as_json_in_utf_8() {
    let server = Server::new().await;
    let refused = bad_request("kv: value exceeds 408576 byte limit");
    for fits in ["v".repeat(408_574), "é".repeat(204_287), "\u{1}".repeat(68_095), "\"".repeat(204_287)] {
        server.set("k", fits.as_str()).await;
        assert!(server.get("k").await == json!(fits));
        let longer = if fits.starts_with('\u{1}') { fits + "\u{1}" } else { fits + "v" };
        assert_eq!(server.refused("set", json!({"key": "k", "value": longer})).await, refused);
    }
    // Seventeen digits, which the storage keeps in ten bytes.
    let numbers: Vec<f64> = vec![0.123_456_789_012_345_67; 20_400];
    assert_eq!(json!(numbers).to_string().len(), 408_001);
    server.set("k", numbers).await;
}

#[tokio::test]
async fn key_and_value_share_one_item_of_storage() {
    let server = Server::new().await;
    let value = "v".repeat(408_574);
    // 409,600 less the namespace, the names of the attributes and the value.
    let room = 409_600 - value.len() - "v1:0a5e0000-0000-4000-8000-000000000001:os-global".len() - 9 - 3 - 5;
    server.set(&"k".repeat(room), value.as_str()).await;
    let key = "k".repeat(room + 1);
    assert_eq!(server.refused("set", json!({"key": key, "value": value})).await, too_large());
    assert_eq!(server.refused("batchPut", json!({"items": [{"key": key, "value": value}]})).await, too_large());
    // So does the time.
    let args = json!({"key": "k".repeat(room - 2), "value": value, "expireAt": 1_900_000_000});
    assert_eq!(server.refused("set", args).await, too_large());
    assert_eq!(server.fake.keys().len(), 1);
    // Within the limit as JSON, and beyond it as an array of the storage.
    assert_eq!(server.refused("set", json!({"key": "k", "value": vec![1; 200_000]})).await, too_large());
}

#[tokio::test]
async fn numbers_beyond_doubles_are_refused_and_nothing_is_written() {
    let server = Server::new().await;
    for number in [json!(9_007_199_254_740_992_i64), json!(-1e16), json!(u64::MAX), json!(1e100)] {
        for value in [number.clone(), json!({"a": [number]})] {
            assert_eq!(server.refused("set", json!({"key": "k", "value": value})).await, internal());
        }
    }
    let refused = server.refused("set", json!({"key": "k", "value": f64::MIN_POSITIVE})).await;
    assert_eq!((refused.0, refused.1.as_str()), (400, "upstream_bad_request"));
    assert!(server.fake.keys().is_empty());
    for number in [9_007_199_254_740_991_i64, -9_007_199_254_740_991] {
        server.set("k", number).await;
        assert_eq!(server.get("k").await, json!(number));
    }
    // A whole double is an integer, and zero has no sign.
    server.set("k", json!([1.0, -0.0, 1e15])).await;
    assert_eq!(server.get("k").await.to_string(), "[1,0,1000000000000000]");
}

#[tokio::test]
async fn reserved_names_are_refused_in_values_alone() {
    let server = Server::new().await;
    for name in ["__proto__", "constructor", "prototype"] {
        let value = json!([{"a": {name: 1}}]);
        let refused = bad_request(&format!("kv: value key `{name}` is not allowed"));
        assert_eq!(server.refused("set", json!({"key": "k", "value": value})).await, refused);
        server.set(name, json!([name])).await;
    }
    assert_eq!(server.fake.keys().len(), 3);
}

async fn eight_large(server: &Server) -> Vec<String> {
    let keys: Vec<String> = (0..8).map(|number| format!("w{number}")).collect();
    for key in &keys {
        server.set(key, "v".repeat(400_000)).await;
    }
    keys
}

async fn found(server: &Server, keys: &[String]) -> Vec<usize> {
    let values = server.ok("get", json!({"key": keys})).await;
    let values = values.as_array().unwrap().iter().enumerate();
    values.filter(|(_, value)| !value.is_null()).map(|(index, _)| index).collect()
}

#[tokio::test]
async fn a_get_of_many_leaves_out_what_is_too_much() {
    let server = Server::new().await;
    let keys = eight_large(&server).await;
    // Others each time, and after eight times each was there.
    let tries = [found(&server, &keys).await, found(&server, &keys).await, found(&server, &keys).await];
    assert_eq!(tries, [vec![0, 1, 2], vec![1, 2, 3], vec![2, 3, 4]]);
    // One by one, and within a megabyte, all are.
    assert_eq!(found(&server, &keys[..2]).await, [0, 1]);
    assert_eq!(found(&server, &keys[7..]).await, [0]);
    // A key named twice is read once.
    let twice: Vec<String> = keys[..2].iter().chain(&keys[..2]).cloned().collect();
    assert_eq!(found(&server, &twice).await, [0, 1, 2, 3]);

    for (unread, expected) in [(Unread::Last, vec![0, 1, 2]), (Unread::None, (0..8).collect())] {
        let server = Server::with(Switches { unread, ..Switches::default() }).await;
        let keys = eight_large(&server).await;
        assert_eq!(found(&server, &keys).await, expected);
        assert_eq!(found(&server, &keys).await, expected);
    }
}

#[tokio::test]
async fn small_values_are_all_read() {
    let server = Server::new().await;
    let items: Vec<Value> = (0..250).map(|number| json!({"key": format!("k{number}"), "value": number})).collect();
    server.ok("batchPut", json!({"items": items})).await;
    let keys: Vec<String> = (0..251).map(|number| format!("k{number}")).collect();
    assert_eq!(found(&server, &keys).await.len(), 250);
    // The storage reads a hundred at once, and these are below a megabyte.
    let large: Vec<Value> = keys[..200].iter().map(|key| json!({"key": key, "value": "v".repeat(8_000)})).collect();
    server.ok("batchPut", json!({"items": large})).await;
    assert_eq!(found(&server, &keys[..200]).await.len(), 200);
}

#[tokio::test]
async fn a_flush_removes_one_page_of_the_storage() {
    let server = Server::new().await;
    eight_large(&server).await;
    server.ok("set", json!({"key": "expired", "value": 1, "expireAt": 5})).await;
    for left in [5, 2, 0, 0] {
        assert_eq!(server.ok("flush", json!({})).await, json!(true));
        assert_eq!(server.fake.keys().len(), left);
    }
    // Expired entries are removed like any other.
    assert_eq!(server.ok("incr", json!({"key": "expired", "pathAndAmountMap": {"": 1}})).await, json!(1));
}
