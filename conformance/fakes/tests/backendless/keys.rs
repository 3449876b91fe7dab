//! Keys that are trouble in a path reach exactly the entry they name.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::application::Application;

/// As a careful client writes a key into a path: everything but letters and digits is escaped.
fn escaped(key: &str) -> String {
    key.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn odd_keys() -> Vec<String> {
    let fixed = [
        "a/b",
        "a%2Fb",
        "a%252Fb",
        "50%",
        "%",
        "a?b",
        "a#b",
        "a+b&c=d",
        "a b",
        " ",
        "user:1",
        "..x",
        "../x",
        "...",
        "\t",
        "\n",
        "\0",
        "\u{7f}",
        "\\",
        "'",
        "\"",
        "[a]",
        "*",
        "ключ日本",
        "e\u{301}",
        "é",
        "🎌",
        "key-value",
        "action",
        "hive",
        "increment",
        "a/increment",
        "{\"a\":1}",
        "null",
    ];
    let long = ["x".repeat(512), "é".repeat(256), "x".repeat(513), "日".repeat(1000)];
    fixed.iter().map(ToString::to_string).chain(long).collect()
}

#[tokio::test]
async fn an_escaped_key_reaches_its_entry() {
    let application = Application::new().await;
    for (number, key) in odd_keys().iter().enumerate() {
        let path = format!("/{}", escaped(key));
        assert_eq!(application.ok("PUT", &path, json!({"value": number})).await, Some(json!(true)), "{key:?}");
        assert_eq!(application.ok("GET", &path, None).await, Some(json!(number)), "{key:?}");
        assert_eq!(
            application.ok("PUT", &format!("{path}/increment?value=0"), None).await,
            Some(json!(number)),
            "{key:?}"
        );
    }
    let mut keys = odd_keys();
    keys.sort();
    assert_eq!(application.server.keys(), keys);
    for (number, key) in odd_keys().iter().enumerate() {
        assert_eq!(application.ok("POST", "", json!([key])).await, Some(json!({ key: number })), "{key:?}");
        assert_eq!(application.ok("DELETE", &format!("/{}", escaped(key)), None).await, Some(json!(1)), "{key:?}");
    }
    assert!(application.server.keys().is_empty());
}

#[tokio::test]
async fn bodies_take_any_key() {
    let application = Application::new().await;
    let mut keys = odd_keys();
    keys.extend([".", "..", "keys", "%2E%2E"].map(str::to_owned));
    let all: serde_json::Map<String, Value> = keys.iter().map(|key| (key.clone(), json!(key))).collect();
    assert_eq!(application.ok("PUT", "", Value::Object(all.clone())).await, None);
    assert_eq!(application.ok("POST", "", json!(keys)).await, Some(Value::Object(all)));
    assert_eq!(application.ok("POST", "/action/exist", json!(keys)).await, Some(json!(keys.len())));
    assert_eq!(application.ok("DELETE", "", json!(keys)).await, Some(json!(keys.len())));
}

#[tokio::test]
async fn other_addresses_are_not_mistaken_for_keys() {
    let application = Application::new().await;
    application.ok("PUT", "", json!({"keys": 1, "k": 2})).await;
    // The listing, also where the key is meant.
    let page = application.ok("GET", "/keys", None).await.unwrap();
    let names: BTreeSet<&str> = page["keys"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(names, BTreeSet::from(["k", "keys"]));
    // The bucket, with and without the slash that a key left out leaves behind: a body for one key sets three.
    application.ok("PUT", "/", json!({"value": 3, "ttl": 4, "condition": "IfExists"})).await;
    assert_eq!(application.server.keys(), ["condition", "k", "keys", "ttl", "value"]);
    assert_eq!(application.ok("DELETE", "/", json!(["value", "ttl"])).await, Some(json!(2)));
    // What is left of the key `..` once a client has folded the path away: the hive itself.
    application.ok("DELETE", "/%2E%2E", None).await;
    assert_eq!(application.send("GET", "/api/hive", &[], None).await, (200, "[]".to_owned()));
}

#[tokio::test]
async fn an_address_that_is_not_utf_8_is_refused() {
    let application = Application::new().await;
    assert_eq!(application.error("GET", "/%FF", None).await.0, 400);
}
