//! VAL-1 to VAL-7 and ENV-3.

use kv_api::{DeleteOutcome, ErrorKind, Feature, Metadata, NESTING_MAX, Reason, SetItem, SetStatus, Value, ValueKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::check::show;
use crate::context::{Context, collected};
use crate::expiring::Form;
use crate::means::Means;
use crate::outcome::{CaseResult, Stop, not_applicable, not_exercised, not_shown};
use crate::samples::{
    MEMBERS_IN_ORDER, NUMBERS_AS_SPELLED, ODD_TEXTS, REFUSED_JSON, RESERVED_MEMBERS, like_envelopes, odd_bytes,
    odd_json, random_json,
};

/// Sets each value, in one key after the other, and reads it back in every way.
async fn come_back(cx: &Context<'_>, values: Vec<Value>) -> CaseResult {
    for (number, value) in values.iter().enumerate() {
        let key = cx.key(&format!("v{number}."));
        cx.store().set(&key, value.clone()).await?;
        cx.expect(&key, Some(value), "after a set").await?;
        let entry = cx.entry(&key).await?;
        ensure!(entry.value() == value, "get_entry of {}: {}", show(Some(value)), show(Some(entry.value())));
        ensure!(entry.metadata().is_none(), "an entry set without metadata has some: {:?}", entry.metadata());
    }
    // Once more as batches, where another encoding may be at work.
    let keys: Vec<String> = (0..values.len()).map(|number| cx.key(&format!("m{number}."))).collect();
    let items = keys.iter().zip(&values).map(|(key, value)| SetItem::new(key, value.clone()));
    for result in cx.store().set_many(items).await {
        result?;
    }
    let found = cx.store().get_many(keys.iter().map(String::as_str)).await?;
    for (value, found) in values.iter().zip(&found) {
        ensure!(
            found.as_ref() == Some(value),
            "set_many, then get_many: expected {}, found {}",
            show(Some(value)),
            show(found.as_ref())
        );
    }
    Ok(())
}

/// Keeps the values of kinds the store has.
fn of_declared_kinds(cx: &Context<'_>, values: impl IntoIterator<Item = Value>) -> Vec<Value> {
    values.into_iter().filter(|value| cx.has_kind(value.kind())).collect()
}

/// VAL-1: a JSON string at the top is text.
pub(crate) async fn val_1_a_json_string_is_text(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::ValueKind(ValueKind::Text)).await?;
    let key = cx.key("k");
    cx.store().set(&key, json!("text")).await?;
    let found = cx.store().get(&key).await?;
    ensure!(
        found.as_ref().and_then(Value::as_text) == Some("text"),
        "a JSON string came back as {}",
        show(found.as_ref())
    );
    cx.store().set_as(&key, "typed").await?;
    cx.expect(&key, Some(&Value::from("typed")), "after set_as of a string").await
}

/// VAL-1: JSON null is refused on writing, and an entry that is there stays.
pub(crate) async fn val_1_null_is_refused(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::ValueKind(ValueKind::Json)).await?;
    let key = cx.key("k");
    cx.store().set(&key, cx.value(1)).await?;
    let sent = cx.requests();
    ensure_invalid!(cx.store().set(&key, Json::Null).await, Reason::NullValue, "a set of null");
    ensure_invalid!(cx.store().set_as(&key, &None::<u8>).await, Reason::NullValue, "a set_as of None");
    cx.expect_sent(sent, 0, "a set of null")?;
    cx.expect(&key, Some(&cx.value(1)), "after a set of null").await
}

/// VAL-2: text comes back as the same text, whatever it looks like.
pub(crate) async fn val_2_text_comes_back(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::ValueKind(ValueKind::Text)).await?;
    come_back(cx, ODD_TEXTS.iter().map(|text| Value::from(*text)).collect()).await
}

/// VAL-2: bytes come back as the same bytes, also where they are text.
pub(crate) async fn val_2_bytes_come_back(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::ValueKind(ValueKind::Bytes)).await?;
    come_back(cx, odd_bytes().into_iter().map(Value::from).collect()).await
}

/// VAL-2, VAL-3: JSON comes back with the same meaning.
pub(crate) async fn val_2_json_comes_back(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::ValueKind(ValueKind::Json)).await?;
    come_back(cx, odd_json().into_iter().map(Value::from).collect()).await
}

/// VAL-2: a value of one kind replaces a value of another.
pub(crate) async fn val_2_a_value_replaces_one_of_another_kind(cx: &Context<'_>) -> CaseResult {
    let values = [Value::from("5"), Value::from(5), Value::from(&[0x35]), Value::from(json!([5])), Value::from("[5]")];
    let values = of_declared_kinds(cx, values);
    if values.is_empty() {
        return not_exercised("no kind of value is declared");
    }
    let key = cx.key("k");
    for before in &values {
        for after in &values {
            cx.store().set(&key, before.clone()).await?;
            cx.store().set(&key, after.clone()).await?;
            cx.expect(&key, Some(after), "after a value of another kind").await?;
        }
    }
    Ok(())
}

/// VAL-3: an integer never comes back as a float.
pub(crate) async fn val_3_an_integer_stays_an_integer(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::ValueKind(ValueKind::Json)).await?;
    let key = cx.key("k");
    for integer in [json!(0), json!(1), json!(-7), json!(1_000_000), json!(i64::MIN), json!(u64::MAX)] {
        cx.store().set(&key, integer.clone()).await?;
        let found = cx.store().get(&key).await?;
        let is_integer = match &found {
            Some(value) => value.to_json().is_ok_and(|json| json.is_i64() || json.is_u64()),
            None => false,
        };
        ensure!(is_integer, "the integer {integer} came back as {}", show(found.as_ref()));
    }
    Ok(())
}

/// VAL-3: random JSON comes back with the same meaning; the sequence is the same in every run.
pub(crate) async fn val_3_random_json_comes_back(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::ValueKind(ValueKind::Json)).await?;
    let values = of_acceptable_size(cx, random_json(128));
    come_back(cx, values).await
}

/// VAL-3: no name of a member is reserved, in values and in metadata.
pub(crate) async fn val_3_no_member_name_is_reserved(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::ValueKind(ValueKind::Json)).await?;
    let values: Vec<Value> =
        RESERVED_MEMBERS.iter().map(|text| Value::from_json_text(text)).collect::<Result<_, _>>()?;
    let values = of_acceptable_size(cx, values);
    come_back(cx, values.clone()).await?;
    if cx.declares(Feature::List) {
        let walked = collected(cx.store().list().entries()).await?;
        ensure_eq!(walked.len(), 2 * values.len(), "how many entries are walked");
    }
    if cx.declares(Feature::Metadata) {
        let key = cx.key("k");
        for text in RESERVED_MEMBERS {
            let metadata = Metadata::from_json_text(text)?;
            if !cx.fits(&key, &cx.value(1), Some(&metadata)) {
                continue;
            }
            cx.store().set(&key, cx.value(1)).metadata(metadata.clone()).await?;
            let entry = cx.entry(&key).await?;
            let found = entry.metadata().map(Metadata::as_json_text);
            ensure!(entry.metadata() == Some(&metadata), "metadata {text} came back as {found:?}");
            ensure_eq!(entry.value(), &cx.value(1), "the value beside metadata {text}");
        }
    }
    Ok(())
}

/// VAL-3: what JSON cannot hold, or would lose, is refused however it is given, and an entry that is there stays.
pub(crate) async fn val_3_what_would_be_lost_is_refused(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::ValueKind(ValueKind::Json)).await?;
    let key = cx.key("k");
    cx.store().set(&key, cx.value(1)).await?;
    let sent = cx.requests();
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let result = cx.store().set_as(&key, &[1.0, number]).await;
        ensure_invalid!(result, Reason::InvalidJson, "set_as of {number}");
        ensure_invalid!(Metadata::serialize(&[number]), Reason::InvalidJson, "metadata of {number}");
    }
    for (text, reason) in REFUSED_JSON {
        ensure_invalid!(Value::from_json_text(text), reason.clone(), "the value {text}");
        ensure_invalid!(Metadata::from_json_text(text), reason.clone(), "metadata {text}");
        // Past the check, as an adapter might give it back.
        let unchecked = Value::from_stored(ValueKind::Json, (*text).into());
        ensure_invalid!(cx.store().set(&key, unchecked).await, reason.clone(), "a set of {text}");
        if cx.declares(Feature::Metadata) {
            let unchecked = Metadata::from_stored((*text).into());
            let result = cx.store().set(&key, cx.value(2)).metadata(unchecked).await;
            ensure_invalid!(result, reason.clone(), "a set with metadata {text}");
        }
    }
    cx.expect_sent(sent, 0, "JSON that is refused")?;
    cx.expect(&key, Some(&cx.value(1)), "after JSON that is refused").await
}

/// VAL-3: members keep their order, in values and in metadata, and numbers in values their digits, unless the system
/// changes them.
pub(crate) async fn val_3_json_comes_back_as_it_is_spelled(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::ValueKind(ValueKind::Json)).await?;
    if cx.fixture.json_rewritten {
        return not_applicable("the system itself changes the order of members, or how numbers are spelled");
    }
    let key = cx.key("k");
    for text in MEMBERS_IN_ORDER.iter().copied().chain([NUMBERS_AS_SPELLED]) {
        if !cx.fits(&key, &Value::from_json_text(text)?, None) {
            continue;
        }
        cx.store().set(&key, Value::from_json_text(text)?).await?;
        let found = cx.store().get(&key).await?;
        ensure_eq!(found.as_ref().and_then(Value::as_json_text), Some(text), "the text of a JSON value");
        let item = SetItem::new(&*key, Value::from_json_text(text)?);
        for result in cx.store().set_many([item]).await {
            result?;
        }
        let many = cx.store().get_many([&*key]).await?;
        ensure_eq!(many[0].as_ref().and_then(Value::as_json_text), Some(text), "the text of a JSON value of a batch");
    }
    if cx.declares(Feature::Metadata) {
        for text in MEMBERS_IN_ORDER {
            let metadata = || Metadata::from_json_text(text);
            if !cx.fits(&key, &cx.value(1), Some(&metadata()?)) {
                continue;
            }
            cx.store().set(&key, cx.value(1)).metadata(metadata()?).await?;
            let entry = cx.entry(&key).await?;
            ensure_eq!(entry.metadata().map(Metadata::as_json_text), Some(*text), "the text of metadata");
            for result in cx.store().set_many([SetItem::new(&*key, cx.value(1)).metadata(metadata()?)]).await {
                result?;
            }
            let entry = cx.entry(&key).await?;
            ensure_eq!(entry.metadata().map(Metadata::as_json_text), Some(*text), "the text of metadata of a batch");
        }
    }
    Ok(())
}

/// Keeps the values that the store's limits allow under the keys used here.
fn of_acceptable_size(cx: &Context<'_>, values: Vec<Value>) -> Vec<Value> {
    let key = cx.key("m0000.");
    values.into_iter().filter(|value| cx.fits(&key, value, None)).collect()
}

/// VAL-3: JSON nested 100 levels deep comes back; deeper is refused everywhere, in metadata too.
pub(crate) async fn val_3_nesting_ends_at_100(cx: &Context<'_>) -> CaseResult {
    let nested = |levels: usize| (1..levels).fold(json!([]), |inner, _| json!([inner]));
    let key = cx.key("k");
    cx.with(Feature::ValueKind(ValueKind::Json)).await?;
    if cx.fits(&key, &Value::from(nested(NESTING_MAX)), None) {
        cx.store().set(&key, nested(NESTING_MAX)).await?;
        cx.expect(&key, Some(&Value::from(nested(NESTING_MAX))), "nested 100 levels").await?;
    }
    ensure_invalid!(cx.store().set(&key, nested(NESTING_MAX + 1)).await, Reason::NestingTooDeep, "101 levels");
    if cx.declares(Feature::Metadata) {
        let deepest = Metadata::from(nested(NESTING_MAX));
        if cx.fits(&key, &cx.value(1), Some(&deepest)) {
            cx.store().set(&key, cx.value(1)).metadata(deepest.clone()).await?;
            ensure_eq!(cx.entry(&key).await?.metadata(), Some(&deepest), "metadata nested 100 levels");
        }
        let deeper = cx.store().set(&key, cx.value(2)).metadata(nested(NESTING_MAX + 1)).await;
        ensure_invalid!(deeper, Reason::NestingTooDeep, "metadata of 101 levels");
    }
    Ok(())
}

/// VAL-4: the empty text and the empty bytes are values, and not a missing key.
pub(crate) async fn val_4_an_empty_value_is_a_value(cx: &Context<'_>) -> CaseResult {
    let values = of_declared_kinds(
        cx,
        [Value::from(""), Value::from(Vec::new()), Value::from(json!([])), Value::from(json!({}))],
    );
    let key = cx.key("k");
    for value in &values {
        cx.store().set(&key, value.clone()).await?;
        ensure!(cx.store().exists(&key).await?, "exists of {} says no", show(Some(value)));
        ensure_eq!(cx.store().get_many([&*key]).await?, [Some(value.clone())], "get_many of an empty value");
        if cx.declares(Feature::List) {
            ensure_eq!(cx.listed("").await?, std::slice::from_ref(&key), "the keys listed");
        }
        if cx.declares(Feature::IfNotExists) {
            let outcome = cx.store().set(&key, cx.value(1)).if_not_exists().await?;
            ensure!(!outcome.is_written(), "IfNotExists was met over {}", show(Some(value)));
        }
    }
    come_back(cx, values).await
}

/// VAL-5: reading what another client wrote never fails for its kind.
pub(crate) async fn val_5_foreign_data_is_readable(cx: &Context<'_>) -> CaseResult {
    let Some(write) = &cx.fixture.write_foreign else {
        return not_shown(Means::ForeignWriter, "the harness has no other client to write with");
    };
    for (number, text) in ODD_TEXTS.iter().copied().chain(["plain", ""]).enumerate() {
        // Another one for each: when a store sees that others have replaced a value is left open (SET-7).
        let key = cx.key(&format!("k{number}."));
        write(key.clone(), text.to_owned()).await?;
        let found = cx.store().get(&key).await?;
        let same = match &found {
            Some(value) => match (value.as_text(), value.as_json_text()) {
                (Some(found), _) => {
                    let bare = text.strip_prefix('\u{FEFF}').filter(|_| cx.fixture.byte_order_marks_taken_off);
                    found == text || Some(found) == bare
                }
                // A counter of a system that keeps counters as texts, in the one form of its integer.
                (_, Some(found)) => {
                    found == text && text.parse::<i64>().is_ok_and(|integer| integer.to_string() == text)
                }
                (None, None) => value.as_bytes() == text.as_bytes(),
            },
            None => text == "null",
        };
        ensure!(same, "another client wrote {text:?}, and it reads as {}", show(found.as_ref()));
        cx.store().get_entry(&key).await?;
    }
    Ok(())
}

/// VAL-7: a key of a foreign type is there, and costs the others nothing.
pub(crate) async fn val_7_a_key_of_a_foreign_type_is_there(cx: &Context<'_>) -> CaseResult {
    let Some(write) = &cx.fixture.write_foreign_type else {
        return not_shown(Means::ForeignTypeWriter, "the harness has no client to write another type with");
    };
    let store = cx.store();
    let [foreign, plain] = cx.keys(["foreign", "plain"]);
    let put = async || {
        store.set(&plain, cx.value(1)).await?;
        Ok::<(), Stop>(write(foreign.clone()).await?)
    };
    put().await?;
    ensure_refused!(store.get(&foreign).await, ErrorKind::WrongType, None, "get of a foreign type");
    ensure_refused!(store.get_entry(&foreign).await, ErrorKind::WrongType, None, "get_entry of a foreign type");
    ensure!(store.exists(&foreign).await?, "exists of a foreign type says no");
    let missing = cx.key("missing");
    let found = store.exists_many([&*foreign, &*plain, &*missing]).await?;
    ensure_eq!(found, [true, true, false], "exists_many of a foreign type, a value and nothing");
    let found = store.get_many([&*foreign, &*plain]).await?;
    ensure_eq!(found, [None, Some(cx.value(1))], "get_many of a foreign type and a value");
    let entries = store.get_entry_many([&*foreign, &*plain]).await?;
    ensure!(entries[0].is_none() && entries[1].is_some(), "get_entry_many of a foreign type and a value: {entries:?}");
    if cx.declares(Feature::IfNotExists) {
        let status = store.set(&foreign, cx.value(2)).if_not_exists().await?.status();
        ensure_eq!(status, SetStatus::NotMet, "IfNotExists over a foreign type");
    }
    if cx.declares(Feature::Counters) {
        let result = store.increment(&foreign, 1).await;
        ensure_refused!(result, ErrorKind::WrongType, None, "increment of a foreign type");
    }
    if cx.declares(Feature::GetAndDelete) {
        let result = store.get_and_delete(&foreign).await;
        ensure_refused!(result, ErrorKind::WrongType, None, "get_and_delete of a foreign type");
        ensure!(store.exists(&foreign).await?, "get_and_delete has taken a foreign type");
    }
    if cx.declares(Feature::Touch) && cx.fixture.time.is_some() {
        let life = cx.life(Form::Ttl, 1)?;
        let result = store.get(&foreign).touch(life.ttl).await;
        ensure_refused!(result, ErrorKind::WrongType, None, "a touch of a foreign type");
        cx.pass(life.ttl + cx.after()?).await?;
        ensure!(store.exists(&foreign).await?, "a touch has given a foreign type an end");
    }
    if cx.declares(Feature::List) {
        let entries = collected(store.list().entries()).await?;
        let keys: Vec<&str> = entries.iter().map(|(key, _)| &**key).collect();
        ensure_eq!(keys, [&*plain], "the keys of all entries");
    }
    let deleted = store.delete(&foreign).await?;
    ensure!(matches!(deleted, DeleteOutcome::Deleted | DeleteOutcome::Accepted), "delete says {deleted:?}");
    ensure!(!store.exists(&foreign).await?, "a foreign type exists after a delete");
    put().await?;
    let outcome = store.set(&foreign, cx.value(3)).await?;
    ensure!(outcome.is_written(), "a set over a foreign type was not written");
    cx.expect(&foreign, Some(&cx.value(3)), "after a set over a foreign type").await?;
    if cx.declares(Feature::List) {
        put().await?;
        // What a list names is cleared, and what it leaves out is not touched.
        let is_named = cx.listed("").await?.contains(&foreign);
        store.clear().await?;
        ensure!(!store.exists(&plain).await?, "a value exists after clear");
        ensure_eq!(store.exists(&foreign).await?, !is_named, "whether a foreign type is there after clear");
    }
    Ok(())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Typed {
    name: String,
    count: u64,
    tags: Vec<Option<bool>>,
}

/// VAL-6: typed access is the identity, and shows the kind found where the type does not fit.
pub(crate) async fn val_6_typed_access_goes_through_serde(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    let typed = Typed { name: "Ada".to_owned(), count: u64::MAX, tags: vec![Some(true), None] };
    ensure_eq!(cx.store().get_as::<Typed>(&key).await?, None, "get_as of a missing key");
    if cx.has_kind(ValueKind::Json) {
        cx.store().set_as(&key, &typed).await?;
        ensure_eq!(cx.store().get_as::<Typed>(&key).await?.as_ref(), Some(&typed), "get_as after set_as");
        let error = cx.store().get_as::<String>(&key).await;
        ensure_refused!(error, ErrorKind::WrongType, Some(Reason::Found(ValueKind::Json)), "get_as of another type");
    }
    if cx.has_kind(ValueKind::Text) {
        let text = serde_json::to_string(&typed).unwrap_or_default();
        cx.store().set(&key, &text).await?;
        ensure_eq!(cx.store().get_as::<Typed>(&key).await?.as_ref(), Some(&typed), "get_as of text that spells JSON");
        ensure_eq!(cx.store().get_as::<String>(&key).await?.as_ref(), Some(&text), "get_as::<String> of text");
        let error = cx.store().get_as::<Vec<u8>>(&key).await;
        ensure_refused!(error, ErrorKind::WrongType, Some(Reason::Found(ValueKind::Text)), "get_as of another type");
    }
    if cx.has_kind(ValueKind::Bytes) {
        cx.store().set(&key, b"5").await?;
        let error = cx.store().get_as::<u8>(&key).await;
        ensure_refused!(error, ErrorKind::WrongType, Some(Reason::Found(ValueKind::Bytes)), "get_as of bytes");
    }
    Ok(())
}

/// ENV-3: a value or metadata that looks like what this library wraps values in is a value like any other.
pub(crate) async fn env_3_what_looks_like_an_envelope_comes_back(cx: &Context<'_>) -> CaseResult {
    let values = of_acceptable_size(cx, of_declared_kinds(cx, like_envelopes()));
    if cx.declares(Feature::Metadata) {
        let key = cx.key("k");
        for value in like_envelopes().iter().filter(|value| value.kind() == ValueKind::Json) {
            let metadata = Metadata::from(value.to_json()?);
            if !cx.fits(&key, &cx.value(1), Some(&metadata)) {
                continue;
            }
            cx.store().set(&key, cx.value(1)).metadata(metadata.clone()).await?;
            let entry = cx.entry(&key).await?;
            ensure_eq!(entry.value(), &cx.value(1), "the value beside metadata that looks like an envelope");
            ensure!(
                entry.metadata() == Some(&metadata),
                "metadata {} came back as {:?}",
                metadata.as_json_text(),
                entry.metadata().map(Metadata::as_json_text)
            );
        }
        for value in &values {
            cx.store().set(&key, value.clone()).metadata(json!({ "m": 1 })).await?;
            let entry = cx.entry(&key).await?;
            ensure!(
                entry.value() == value,
                "with metadata, {} came back as {}",
                show(Some(value)),
                show(Some(entry.value()))
            );
            ensure_eq!(entry.metadata(), Some(&Metadata::from(json!({ "m": 1 }))), "the metadata");
        }
    }
    come_back(cx, values).await
}
