//! What others see of our data, and we of theirs (VAL-1 to VAL-5, ENV-1, ENV-3).

use kv_api::{EntryExpiry, Envelope, Metadata, Value};
use serde_json::{Value as Json, json};

use crate::harness::{System, open};
use crate::scripted::{Says, serve};

/// What another client finds under a key.
async fn seen_by_others(system: &System, key: &str) -> Json {
    let answer: Json = serde_json::from_str(&system.foreign(json!({"GET": [key]}).to_string()).await).unwrap();
    answer["GET_RSP"][key].clone()
}

#[tokio::test]
async fn env_1_what_the_server_keeps_by_itself_is_plain() {
    let system = System::start().await;
    let store = system.store().await;
    for plain in [
        json!("text"),
        json!(""),
        json!("{\"$kv-envelope\":1}"),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(0.1),
        json!(true),
        json!([null, {"b": 1, "a": [5e-324, 1e300]}]),
    ] {
        store.set("plain_key", plain.clone()).await.unwrap();
        assert_eq!(seen_by_others(&system, "plain_key").await, plain);
        assert_eq!(store.get("plain_key").await.unwrap(), Some(Value::from(plain)));
    }
    for wrapped in [Value::from(b"\xff"), Value::from(json!({"$kv-envelope": 2}))] {
        store.set("plain_key", wrapped.clone()).await.unwrap();
        let seen = seen_by_others(&system, "plain_key").await;
        assert_eq!(Envelope::decode_text(&seen.to_string()).unwrap(), Some(Envelope::new(wrapped.clone())));
        assert_eq!(store.get("plain_key").await.unwrap(), Some(wrapped));
    }
    store.set("plain_key", json!({"a": 1})).metadata(json!("m")).await.unwrap();
    assert_eq!(
        seen_by_others(&system, "plain_key").await["value"],
        json!({"a": 1}),
        "inline, where neighbours find it"
    );
    let entry = store.get_entry("plain_key").await.unwrap().unwrap();
    assert_eq!(entry.metadata(), Some(&Metadata::from(json!("m"))));
    assert_eq!(entry.expiry(), EntryExpiry::Never);
}

#[tokio::test]
async fn val_5_a_foreign_null_is_json_null_and_is_there() {
    let system = System::start().await;
    let store = system.store().await.allow_best_effort();
    system.foreign(r#"{"SET":{"null_key":null}}"#.to_owned()).await;
    assert!(store.get("null_key").await.unwrap().unwrap().is_null());
    assert!(store.exists("null_key").await.unwrap());
    assert!(!store.set("null_key", 1).if_not_exists().await.unwrap().is_written());
    assert!(store.set("null_key", 1).if_exists().await.unwrap().is_written());
}

#[tokio::test]
async fn val_5_what_others_nested_deeper_than_this_library_writes_is_read() {
    let system = System::start().await;
    let store = system.store().await;
    let deep = "[".repeat(480) + &"]".repeat(480);
    system.foreign(format!(r#"{{"SET":{{"deep_key":{deep}}}}}"#)).await;
    assert_eq!(store.get("deep_key").await.unwrap().unwrap().as_json_text(), Some(deep.as_str()));
    assert_eq!(system.server.connections(), 2, "ours and the other client's");
}

/// Member names that a JSON library reserves for itself mean nothing here (VAL-2), and members keep their order where
/// this side decides it.
#[tokio::test]
async fn val_2_no_member_name_has_a_meaning_of_its_own() {
    let system = System::start().await;
    let store = system.store().await;
    for json in [
        r#"{"$serde_json::private::RawValue":"{\"admin\":true}"}"#,
        r#"{"$serde_json::private::RawValue":":5"}"#,
        r#"{"$serde_json::private::RawValue":5}"#,
        r#"{"$serde_json::private::Number":"1e400"}"#,
        r#"{"a":[{"$serde_json::private::RawValue":"1"},{"$serde_json::private::Number":"x"}]}"#,
        r#"[{"$serde_json::private::RawValue":"nul"}]"#,
    ] {
        let value = Value::from_json_text(json).unwrap();
        let metadata = Metadata::from_json_text(json).unwrap();
        store.set("plain_key", value.clone()).await.unwrap();
        store.set("enveloped", value.clone()).metadata(metadata.clone()).await.unwrap();
        let found = store.get_many(["plain_key", "enveloped"]).await.unwrap();
        for found in found {
            assert_eq!(found.as_ref().and_then(Value::as_json_text), Some(json));
        }
        let entry = store.get_entry("enveloped").await.unwrap().unwrap();
        assert_eq!(entry.metadata().map(Metadata::as_json_text), Some(json));
        // What another client wrote.
        system.foreign(format!(r#"{{"SET":{{"foreign_key":{json}}}}}"#)).await;
        assert_eq!(store.get("foreign_key").await.unwrap().unwrap().as_json_text(), Some(json));
    }
}

/// The order is the server's: what it gives back is passed on as it is.
#[tokio::test]
async fn val_3_members_go_out_and_come_back_in_the_order_they_have() {
    let json = r#"{"z":1,"a":{"y":2.50,"b":[]},"m":null}"#;
    let config = serve(move |_, text| {
        if text.starts_with(r#"{"SET""#) {
            assert_eq!(text, format!(r#"{{"SET":{{"sixsix":{json}}}}}"#));
            return Says::texts([r#"{"SET_RSP":{"k":"sixsix","st":1}}"#]);
        }
        Says::texts([format!(r#"{{"GET_RSP":{{"sixsix":{json},"st":0}}}}"#)])
    })
    .await;
    let store = open(config).await.unwrap();
    store.set("sixsix", Value::from_json_text(json).unwrap()).await.unwrap();
    assert_eq!(store.get("sixsix").await.unwrap().unwrap().as_json_text(), Some(json));
    store.close().await.unwrap();
}
