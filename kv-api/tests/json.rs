//! JSON and numbers as a program gives them (VAL-3, META-1).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::borrow::Cow;
use std::sync::Arc;

use kv_api::{ErrorKind, Metadata, Reason, Result, SetItem, SetOutcome, Store, Value, ValueKind};
use kv_memory::MemoryStore;
use serde_json::json;

#[tokio::test]
async fn val_3_what_json_cannot_hold_is_refused_however_it_is_given() {
    let store = Store::new(MemoryStore::default());
    let check = |result: Result<SetOutcome>, reason| {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&reason)));
        assert_eq!(error.key(), Some("k"));
    };
    check(store.set_as("k", &[1.0, f64::NAN]).await, Reason::InvalidJson);
    check(store.set("k", f64::NAN).await, Reason::InvalidJson);
    check(store.set("k", f32::NEG_INFINITY).await, Reason::InvalidJson);
    check(store.set("k", "v").metadata([f64::INFINITY]).await, Reason::InvalidJson);
    check(store.set("k", "v").metadata(json!(null)).await, Reason::NullValue);
    check(store.set("k", "v").metadata(None::<u8>).await, Reason::NullValue);
    for (json, reason) in [
        ("1e400", Reason::InvalidJson),
        ("[18446744073709551616]", Reason::InvalidJson),
        (r#"{"a":1,"a":1}"#, Reason::RepeatedMember),
        (r#"{"a":1"#, Reason::InvalidJson),
        (" null", Reason::NullValue),
    ] {
        check(store.set("k", Value::from_stored(ValueKind::Json, json.into())).await, reason.clone());
        check(store.set("k", "v").metadata(Metadata::from_stored(json.into())).await, reason);
    }
    assert!(!store.exists("k").await.unwrap());
    let items = [SetItem::new("a", f64::NAN), SetItem::new("b", 1.5).metadata(f64::NAN), SetItem::new("c", "v")];
    let results = store.set_many(items).await;
    assert_eq!(results.iter().map(std::result::Result::is_ok).collect::<Vec<_>>(), [false, false, true]);
    let item = SetItem::new("k", "v").metadata(f64::NAN).metadata("the last one counts");
    assert!(store.set_many([item]).await[0].is_ok());
}

#[tokio::test]
async fn values_and_metadata_come_from_what_a_program_has() {
    #[derive(serde::Serialize)]
    struct Note<'a> {
        by: &'a str,
        at: f64,
    }
    let store = Store::new(MemoryStore::default());
    let value = Value::from("v");
    let by = String::from("Ada");
    store.set("k", &value).metadata(Note { by: &by, at: 0.5 }).await.unwrap();
    let metadata = Metadata::serialize(&Note { by: &by, at: 0.5 }).unwrap();
    store.set("k", 0.5).metadata(&metadata).await.unwrap();
    store.set("k", Cow::from("v")).metadata(&Note { by: &by, at: 0.5 }).await.unwrap();
    store.set("k", Arc::<str>::from("v")).metadata(metadata).await.unwrap();
    store.set("k", vec![0_u8, 255]).metadata("text").await.unwrap();
    let entry = store.get_entry("k").await.unwrap().unwrap();
    assert_eq!((entry.value(), entry.metadata()), (&Value::from(vec![0_u8, 255]), Some(&json!("text").into())));
    assert_eq!(Value::from(0.1_f32).as_json_text(), Some("0.1"));
    assert_eq!(Value::from(Cow::from("v")), Value::from(Arc::<str>::from("v")));
}

#[tokio::test]
async fn val_3_names_that_a_library_reserves_come_back_from_a_store() {
    let store = Store::new(MemoryStore::default());
    for json in [
        r#"{"$serde_json::private::RawValue":"{\"admin\":true}"}"#,
        r#"{"$serde_json::private::RawValue":":5"}"#,
        r#"{"z":[{"$serde_json::private::Number":"1e400"}],"a":{"$serde_json::private::RawValue":"1"}}"#,
    ] {
        let value = Value::from_json_text(json).unwrap();
        let metadata = Metadata::from_json_text(json).unwrap();
        store.set("k", value.clone()).metadata(metadata.to_json().unwrap()).await.unwrap();
        let entry = store.get_entry("k").await.unwrap().unwrap();
        assert_eq!((entry.value(), entry.metadata()), (&value, Some(&metadata)));
        assert_eq!(entry.value().as_json_text(), Some(json));
        assert_eq!(entry.value().to_json().unwrap(), entry.metadata().unwrap().to_json().unwrap());
    }
}
