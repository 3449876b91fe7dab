//! META-1 and META-2.

use kv_api::{Feature, ListedMetadata, Metadata, Reason, SetItem, Value, ValueKind};
use serde_json::{Value as Json, json};

use crate::check::show;
use crate::context::{Context, collected, value_of};
use crate::outcome::CaseResult;
use crate::samples::odd_json;

/// META-1, VAL-3: metadata is any JSON, and comes back with the same meaning, strings included.
pub(crate) async fn meta_1_any_json_comes_back(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Metadata).await?;
    let key = cx.key("k");
    let strings = ["", "text", "5", "null", "\u{0}", "é\u{1f600}", "{}"].map(Json::from);
    for json in odd_json().into_iter().chain(strings) {
        let metadata = Metadata::from(json);
        if !cx.fits(&key, &cx.value(1), Some(&metadata)) {
            continue;
        }
        store.set(&key, cx.value(1)).metadata(metadata.clone()).await?;
        let entry = cx.entry(&key).await?;
        let found = entry.metadata().map(Metadata::as_json_text);
        ensure!(entry.metadata() == Some(&metadata), "metadata {} came back as {found:?}", metadata.as_json_text());
        ensure_eq!(entry.value(), &cx.value(1), "the value beside metadata {}", metadata.as_json_text());
    }
    Ok(())
}

/// META-1: metadata of null is refused, and nothing changes.
pub(crate) async fn meta_1_null_is_refused(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Metadata).await?;
    let key = cx.key("k");
    store.set(&key, cx.value(1)).metadata(json!({ "kept": true })).await?;
    let before = cx.entry(&key).await?;
    ensure_invalid!(store.set(&key, cx.value(2)).metadata(Json::Null).await, Reason::NullValue, "metadata of null");
    ensure_eq!(cx.entry(&key).await?, before, "the entry after metadata of null");
    Ok(())
}

/// META-1: metadata lies beside values of every kind, and leaves the kind alone.
pub(crate) async fn meta_1_it_lies_beside_values_of_every_kind(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Metadata).await?;
    let key = cx.key("k");
    let empty = [Value::from(""), Value::from(Vec::new())];
    let full = [ValueKind::Text, ValueKind::Json, ValueKind::Bytes].map(value_of);
    for value in full.into_iter().chain(empty).filter(|value| cx.has_kind(value.kind())) {
        store.set(&key, value.clone()).metadata(json!({ "m": [1, null] })).await?;
        let entry = cx.entry(&key).await?;
        ensure!(
            entry.value() == &value,
            "with metadata {} came back as {}",
            show(Some(&value)),
            show(Some(entry.value()))
        );
        ensure_eq!(entry.metadata(), Some(&Metadata::from(json!({ "m": [1, null] }))), "the metadata");
        for result in store.set_many([SetItem::new(&*key, value.clone()).metadata(json!("again"))]).await {
            result?;
        }
        let entry = store.get_entry_many([&*key]).await?.pop().flatten();
        ensure!(
            entry.as_ref().is_some_and(
                |entry| entry.value() == &value && entry.metadata() == Some(&Metadata::from(json!("again")))
            ),
            "set_many with metadata, then get_entry_many: {entry:?}"
        );
    }
    Ok(())
}

/// META-2: metadata never leaks into the value.
pub(crate) async fn meta_2_it_never_leaks_into_the_value(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Metadata).await?;
    let key = cx.key("k");
    store.set(&key, cx.value(1)).metadata(json!({ "secret": "leak" })).await?;
    cx.expect(&key, Some(&cx.value(1)), "with metadata").await?;
    ensure_eq!(store.get_many([&*key]).await?, [Some(cx.value(1))], "get_many of an entry with metadata");
    Ok(())
}

/// META-2, LIST-1: a list tells metadata where that is declared; else it says that it does not.
pub(crate) async fn meta_2_a_list_tells_what_it_declares(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Metadata).await?;
    cx.with(Feature::List).await?;
    let [with, without] = cx.keys(["with", "without"]);
    store.set(&with, cx.value(1)).metadata(json!({ "m": 1 })).await?;
    store.set(&without, cx.value(1)).await?;
    let told = cx.capabilities().list_metadata;
    let mut listed = 0;
    for item in collected(store.list().stream()).await? {
        let expected = match (told, item.key == with) {
            (false, _) => ListedMetadata::NotReported,
            (true, true) => ListedMetadata::Some(Metadata::from(json!({ "m": 1 }))),
            (true, false) => ListedMetadata::None,
        };
        ensure_eq!(item.metadata, expected, "the listed metadata of {:?}", item.key);
        listed += 1;
    }
    ensure_eq!(listed, 2, "how many keys are listed");
    Ok(())
}
