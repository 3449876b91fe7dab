//! Answers that say less, more or something else than they should.

use kv_api::{ErrorKind, Result, Retry, SetItem, Store};
use serde_json::{Value as Json, json};

use crate::scripted::{JSON, Said, Scripted, success};

const KEYS: [&str; 3] = ["a", "b", "c"];

async fn written(store: &Store) -> Vec<Result<()>> {
    let results = store.set_many(KEYS.map(|key| SetItem::new(key, "v"))).await;
    results.into_iter().map(|result| result.map(drop)).collect()
}

async fn deleted(store: &Store) -> Vec<Result<()>> {
    store.delete_many(KEYS).await.into_iter().map(|result| result.map(drop)).collect()
}

#[tokio::test]
async fn batch_6_figures_that_cannot_be_read_say_nothing_of_any_item() {
    let figures = [
        json!({"successful_key_count": -3, "unsuccessful_keys": ["a", "b", "c"]}),
        json!({"successful_key_count": 2.0, "unsuccessful_keys": ["c"]}),
        json!({"successful_key_count": "2", "unsuccessful_keys": ["c"]}),
        json!({"successful_key_count": 2, "unsuccessful_keys": [{"name": "c"}]}),
        json!({"successful_key_count": 3, "unsuccessful_keys": {}}),
        json!({"successful_key_count": 3, "unsuccessful_keys": ""}),
        json!({"successful_key_count": [3]}),
        json!({"successful_key_count": true}),
        json!({"successful_key_count": 18_446_744_073_709_551_615_u64, "unsuccessful_keys": ["a", "b", "c"]}),
        json!({"unsuccessful_keys": [null]}),
        json!([]),
        json!(3),
        json!("done"),
    ];
    for figures in figures {
        let said = figures.clone();
        let server = Scripted::serve(move |_| success(&said)).await;
        for results in [written(&server.store).await, deleted(&server.store).await] {
            for result in results {
                let error = result.expect_err(&figures.to_string());
                assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown), "{figures}");
            }
        }
    }
}

#[tokio::test]
async fn batch_6_a_member_that_is_named_twice_says_nothing() {
    for result in [
        r#"{"successful_key_count":3,"successful_key_count":2,"unsuccessful_keys":[]}"#,
        r#"{"successful_key_count":3,"unsuccessful_keys":[]},"success":true"#,
    ] {
        let body = format!(r#"{{"success":true,"errors":[],"messages":[],"result":{result}}}"#);
        let server = Scripted::serve(move |_| (200, JSON, body.clone())).await;
        for result in written(&server.store).await {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Protocol);
        }
    }
}

/// Whatever each kind of request would like to hear.
fn fitting(path: &str) -> Json {
    if path.starts_with("/bulk/get") {
        json!({"values": {"a": null}})
    } else if path.starts_with("/keys") {
        json!([])
    } else {
        json!({})
    }
}

#[tokio::test]
async fn err_3_only_200_is_a_whole_answer() {
    for status in [201, 202, 203, 204, 205, 206, 207, 226, 299] {
        let server = Scripted::serve(move |asked| {
            let body = if status == 204 || status == 205 { String::new() } else { success(&fitting(asked.path)).2 };
            (status, JSON, body)
        })
        .await;
        let store = server.store.clone().allow_best_effort();
        let mut errors = vec![
            store.get("a").await.unwrap_err(),
            store.get_many(KEYS).await.unwrap_err(),
            store.exists("a").await.unwrap_err(),
            store.list().await.unwrap_err(),
            store.ping().await.unwrap_err(),
        ];
        for error in &errors {
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::Safe), "{status}: {error}");
        }
        errors = vec![store.set("a", "v").await.unwrap_err(), store.delete("a").await.unwrap_err()];
        errors.extend(written(&store).await.into_iter().map(Result::unwrap_err));
        for error in errors {
            assert_eq!(
                (error.kind(), error.retry()),
                (ErrorKind::Protocol, Retry::OutcomeUnknown),
                "{status}: {error}"
            );
        }
    }
}

fn page(names: &[&str], cursor: &str) -> Said {
    let names: Vec<Json> = names.iter().map(|name| json!({"name": name})).collect();
    let page = json!({"success": true, "errors": [], "result": names, "result_info": {"cursor": cursor}});
    (200, JSON, page.to_string())
}

#[tokio::test]
async fn list_2_a_page_whose_keys_repeat_or_are_out_of_order_is_no_page() {
    for names in [&["a", "a"][..], &["b", "a"], &["a", "c", "b"], &["a", "b", "a"], &["é", "z"]] {
        let server = Scripted::serve(move |_| page(names, "")).await;
        let error = server.store.list().await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::Safe), "{names:?}");
    }
    let server = Scripted::serve(|_| page(&["a", "a\0", "b", "é"], "")).await;
    assert_eq!(server.store.list().await.unwrap().items.len(), 4, "the order is that of bytes");
}

#[tokio::test]
async fn list_1_a_page_of_more_keys_than_were_asked_for_is_no_page() {
    let names: Vec<String> = (0..1001).map(|number| format!("{number:04}")).collect();
    let server = Scripted::serve(move |_| page(&names.iter().map(String::as_str).collect::<Vec<_>>(), "")).await;
    assert_eq!(server.store.list().limit(1000).await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn list_1_a_cursor_that_does_not_advance_ends_the_walk() {
    for names in [&[][..], &["a"]] {
        let server = Scripted::serve(move |_| page(names, "again")).await;
        let first = server.store.list().await.unwrap();
        let error = server.store.list().cursor(first.cursor.unwrap()).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::Safe));
    }
}

#[tokio::test]
async fn get_1_values_that_nobody_asked_for_are_no_answer() {
    for values in [json!({"a": null, "stranger": null}), json!({"A": {"value": "v"}})] {
        let server = Scripted::serve(move |_| success(&json!({"values": values}))).await;
        let error = server.store.get("a").await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::Safe));
    }
}

/// Metadata is text of the caller's: it comes back member by member as it was, whatever the names.
#[tokio::test]
async fn meta_1_metadata_keeps_the_order_of_its_members_and_every_name() {
    let metadata = r#"{"z":1,"a":{"$serde_json::private::RawValue":"{\"admin\":true}"},"m":1.0}"#;
    let server = Scripted::serve(move |asked| {
        let item = format!(r#"{{"value":"v","metadata":{metadata}}}"#);
        let result = match asked.path {
            path if path.starts_with("/bulk/get") => format!(r#"{{"values":{{"a":{item}}}}}"#),
            _ => format!(r#"[{{"name":"a","metadata":{metadata}}}]"#),
        };
        (200, JSON, format!(r#"{{"success":true,"errors":[],"result":{result},"result_info":{{}}}}"#))
    })
    .await;
    let entry = server.store.get_entry("a").await.unwrap().unwrap();
    assert_eq!(entry.metadata().unwrap().as_json_text(), metadata);
    let listed = server.store.list().await.unwrap().items.remove(0);
    assert_eq!(
        listed.metadata,
        kv_api::ListedMetadata::from(Some(kv_api::Metadata::from_json_text(metadata).unwrap()))
    );
}
