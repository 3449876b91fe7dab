//! The contract, rule by rule, where this store decides itself; the conformance suite checks all of it.

use kv_api::{
    Backend, BatchOutcome, DeleteOutcome, EntryExpiry, ErrorKind, Fields, IncrementOptions, Metadata, Reason, Resolver,
    Retry, SetItem, SetStatus, SystemClock, Timestamp, Value, ValueKind, Version,
};
use serde_json::json;

use super::{Fixture, NoClock, millis, seconds};
use crate::{CAPABILITIES, MemoryConfig, MemoryStore};

#[test]
fn err_2_a_store_prints_which_it_is_and_nothing_that_is_in_it() {
    let fixture = Fixture::new();
    fixture.put("key-canary", "value-canary");
    let text = format!("{:?}", fixture.store);
    assert!(text.starts_with("MemoryStore {") && text.contains(fixture.store.scope()), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn set_1_a_set_replaces_value_expiry_and_metadata_together() {
    let fixture = Fixture::new();
    fixture.set(SetItem::new("k", "a").ttl(seconds(1)).metadata(json!({"m": 1})));
    let entry = fixture.entry("k").unwrap();
    assert_eq!(entry.metadata(), Some(&Metadata::from(json!({"m": 1}))));
    assert_eq!(entry.expiry(), EntryExpiry::At(Timestamp::from_unix_seconds(1_000_001)));
    assert_eq!(fixture.put("k", "b"), SetStatus::Updated);
    let entry = fixture.entry("k").unwrap();
    assert_eq!((entry.value(), entry.metadata(), entry.expiry()), (&Value::from("b"), None, EntryExpiry::Never));
    fixture.audit();
}

#[test]
fn val_2_every_kind_comes_back_as_it_was() {
    let fixture = Fixture::new();
    for value in [
        Value::from(""),
        Value::from("text"),
        Value::from(b""),
        Value::from(&[0xff_u8, 0]),
        Value::from(json!([1, {"a": 2.5}])),
        Value::from("x".repeat(100_000)),
    ] {
        fixture.set(SetItem::new("k", value.clone()));
        let entry = fixture.entry("k").unwrap();
        assert_eq!((entry.value(), entry.value().kind()), (&value, value.kind()));
    }
}

#[test]
fn set_2_to_5_conditions_and_outcomes() {
    let fixture = Fixture::new();
    let item = |value: &'static str| SetItem::new("k", value);
    assert_eq!(fixture.set(item("0").if_exists()), SetStatus::NotMet);
    assert_eq!(fixture.set(item("1").if_not_exists()), SetStatus::Created);
    assert_eq!(fixture.set(item("2").if_not_exists()), SetStatus::NotMet);
    let first = fixture.version("k");
    assert_eq!(fixture.set(item("3").if_exists()), SetStatus::Updated);
    assert_eq!(fixture.set(item("4").if_version(first.clone())), SetStatus::NotMet);
    let second = fixture.version("k");
    assert_ne!(first, second);
    let outcome = fixture.try_set(item("5").if_version(second)).unwrap();
    assert_eq!((outcome.status(), outcome.version()), (SetStatus::Updated, Some(&fixture.version("k"))));
    assert_eq!(fixture.text("k").as_deref(), Some("5"));
    assert_eq!(fixture.set(item("6").if_version(Version::numbered(1, 64))), SetStatus::NotMet, "of another store");
    assert_eq!(fixture.set(item("7").if_version("token".parse::<Version>().unwrap())), SetStatus::NotMet);
}

#[test]
fn set_4_an_expired_entry_does_not_exist_for_any_condition() {
    let fixture = Fixture::new();
    let expired = || {
        fixture.put_for("k", "old", millis(1));
        let version = fixture.version("k");
        fixture.clock.advance(millis(1));
        version
    };
    let version = expired();
    assert_eq!(fixture.set(SetItem::new("k", "new").if_version(version.clone())), SetStatus::NotMet);
    assert_eq!(fixture.set(SetItem::new("k", "new").if_exists()), SetStatus::NotMet);
    assert_eq!(fixture.delete_if("k", Some(version)), DeleteOutcome::NotMet);
    assert_eq!(fixture.set(SetItem::new("k", "new").if_not_exists()), SetStatus::Created);
    expired();
    assert_eq!(fixture.put("k", "new"), SetStatus::Created);
    expired();
    assert_eq!(fixture.delete("k"), DeleteOutcome::NotFound);
    expired();
    assert!(!fixture.expire("k", None));
    assert_eq!(fixture.add("k", 2).unwrap(), 2);
    assert_eq!(fixture.entry("k").unwrap().expiry(), EntryExpiry::Never);
    fixture.audit();
}

#[test]
fn exp_7_an_entry_ends_at_its_expiry_and_not_before() {
    let fixture = Fixture::new();
    fixture.put_for("k", "v", millis(5));
    fixture.clock.advance(std::time::Duration::from_micros(4_999));
    assert!(fixture.entry("k").is_some());
    fixture.clock.advance(std::time::Duration::from_micros(1));
    assert!(fixture.entry("k").is_none());
    assert!(fixture.keys("", 10).is_empty());
}

#[test]
fn exp_4_a_deadline_between_two_milliseconds_is_rounded_up() {
    let fixture = Fixture::new();
    fixture.clock.set(Timestamp::from_unix_micros(10_000_001));
    fixture.put_for("k", "v", millis(5));
    assert_eq!(fixture.entry("k").unwrap().expiry(), EntryExpiry::At(Timestamp::from_unix_millis(10_006)));
}

#[test]
fn exp_9_expire_changes_only_the_expiry() {
    let fixture = Fixture::new();
    assert!(!fixture.expire("k", Some(seconds(1))));
    assert_eq!(fixture.audit(), 0);
    fixture.set(SetItem::new("k", "v").metadata(json!(1)));
    let before = fixture.entry("k").unwrap();
    assert!(fixture.expire("k", Some(seconds(2))));
    let after = fixture.entry("k").unwrap();
    assert_eq!(
        (after.value(), after.metadata(), after.version()),
        (before.value(), before.metadata(), before.version())
    );
    assert_eq!(after.expiry(), EntryExpiry::At(Timestamp::from_unix_seconds(1_000_002)));
    fixture.audit();
    assert!(fixture.expire("k", Some(seconds(3))));
    fixture.audit();
    assert!(fixture.expire("k", None));
    fixture.audit();
    fixture.clock.advance(seconds(10));
    assert_eq!(fixture.entry("k"), Some(before));
}

#[test]
fn exp_10_the_clock_is_not_read_where_nothing_expires() {
    let store =
        MemoryStore::with_config(MemoryConfig::new().with_clock(std::sync::Arc::new(NoClock)).with_entries_max(1));
    let resolver = Resolver::new(&CAPABILITIES);
    let set = |item| store.write_sync(&resolver.write(item, &NoClock)?);
    set(SetItem::new("k", 1)).unwrap();
    set(SetItem::new("k", 2).if_exists().metadata(json!({}))).unwrap();
    assert!(set(SetItem::new("l", 2)).is_err());
    assert!(store.read_sync(&resolver.read("k", Fields::All).unwrap()).is_some());
    assert_eq!(store.list_sync(&resolver.list("", 9, None).unwrap()).unwrap().items.len(), 1);
    assert_eq!(store.delete_sync(&resolver.delete("k", None, false).unwrap()), DeleteOutcome::Deleted);
    let increment = resolver.increment("n", 1, IncrementOptions::default(), &NoClock).unwrap();
    assert_eq!(store.increment_sync(&increment).unwrap(), 1);
}

#[test]
fn ver_1_versions_of_a_key_only_rise_and_are_never_used_again() {
    let fixture = Fixture::new();
    let number = |version: &Version| version.number_from(fixture.store.inner.origin).unwrap();
    let mut last = 0;
    for round in 0..20 {
        fixture.put("k", "v");
        let version = fixture.version("k");
        assert!(number(&version) > last, "{round}");
        last = number(&version);
        assert_eq!(fixture.delete("k"), DeleteOutcome::Deleted);
        fixture.put("k", "v");
        assert_eq!(fixture.set(SetItem::new("k", "x").if_version(version)), SetStatus::NotMet, "created anew");
    }
}

#[test]
fn del_1_and_2_deletes_tell_what_they_did() {
    let fixture = Fixture::new();
    assert_eq!(fixture.delete("k"), DeleteOutcome::NotFound);
    fixture.put("k", "v");
    let version = fixture.version("k");
    fixture.put("k", "w");
    assert_eq!(fixture.delete_if("k", Some(version)), DeleteOutcome::NotMet);
    assert_eq!(fixture.delete_if("k", Some(fixture.version("k"))), DeleteOutcome::Deleted);
    assert_eq!(fixture.delete_if("k", Some("x".parse().unwrap())), DeleteOutcome::NotMet);
    assert_eq!(fixture.audit(), 0);
}

#[test]
fn cnt_1_counters_count_and_keep_their_expiry() {
    let fixture = Fixture::new();
    assert_eq!(fixture.add("n", 5).unwrap(), 5);
    let version = fixture.version("n");
    assert!(fixture.expire("n", Some(seconds(9))));
    assert_eq!(fixture.add("n", -7).unwrap(), -2);
    let entry = fixture.entry("n").unwrap();
    assert_eq!((entry.value(), entry.value().kind()), (&Value::from(-2), ValueKind::Json));
    assert_eq!(entry.expiry(), EntryExpiry::At(Timestamp::from_unix_seconds(1_000_009)));
    assert_ne!(entry.version(), Some(&version));
    fixture.audit();
    for edge in [i64::MIN, i64::MAX] {
        fixture.set(SetItem::new("n", edge));
        assert_eq!(fixture.add("n", 0).unwrap(), edge);
        let error = fixture.add("n", edge.signum()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(error.reason(), Some(&Reason::CounterRange { min: i64::MIN, max: i64::MAX }));
        assert_eq!(fixture.entry("n").unwrap().value(), &Value::from(edge));
    }
}

#[test]
fn cnt_1_and_2_what_is_no_counter_is_refused_and_left_alone() {
    let fixture = Fixture::new();
    for item in [
        SetItem::new("n", "5"),
        SetItem::new("n", json!(5.5)),
        SetItem::new("n", u64::MAX),
        SetItem::new("n", json!([5])),
        SetItem::new("n", json!(true)),
        SetItem::new("n", b"5"),
        SetItem::new("n", 5).metadata(json!({})),
    ] {
        fixture.set(item);
        let before = fixture.entry("n");
        let error = fixture.add("n", 1).unwrap_err();
        assert_eq!((error.kind(), error.reason()), (ErrorKind::WrongType, Some(&Reason::NotACounter)));
        assert_eq!(fixture.entry("n"), before);
    }
}

#[test]
fn cnt_2_a_restricted_handle_may_refuse_expiring_counters_and_a_wider_range() {
    let fixture = Fixture::new();
    let restrict = CAPABILITIES.clone().with_counters(kv_api::Support::Native, -3, 3).with_counter_expiry(false);
    let add = |by| {
        let options = IncrementOptions::default();
        fixture.store.increment_sync(&Resolver::new(&restrict).increment("n", by, options, &fixture.clock).unwrap())
    };
    assert_eq!(add(3).unwrap(), 3);
    assert_eq!(add(1).unwrap_err().reason(), Some(&Reason::CounterRange { min: -3, max: 3 }));
    fixture.expire("n", Some(seconds(1)));
    assert_eq!(add(-1).unwrap_err().reason(), Some(&Reason::NotACounter));
    fixture.clock.advance(seconds(1));
    assert_eq!(add(-1).unwrap(), -1, "expired: it does not exist");
}

#[test]
fn batch_3_all_or_nothing_tells_the_first_unmet_item_and_changes_nothing() {
    let fixture = Fixture::new();
    fixture.put("taken", "old");
    let keys: Vec<String> = (0..200).map(|number| format!("k{number}")).collect();
    for unmet in [0, 57, 199] {
        let mut items: Vec<SetItem<'_>> = keys.iter().map(|key| SetItem::new(key, "v")).collect();
        items[unmet] = SetItem::new("taken", "new").if_not_exists();
        items.push(SetItem::new("missing", "v").if_exists());
        assert_eq!(fixture.all_or_nothing(items).unwrap(), BatchOutcome::NotMet { index: unmet });
        assert_eq!(fixture.audit(), 1);
    }
    let mut items: Vec<SetItem<'_>> =
        keys.iter().map(|key| SetItem::new(key, key.as_str()).ttl(seconds(1)).if_not_exists()).collect();
    items.push(SetItem::new("taken", "new").if_version(fixture.version("taken")));
    let BatchOutcome::Written(outcomes) = fixture.all_or_nothing(items).unwrap() else { panic!("written") };
    assert_eq!(outcomes.len(), 201);
    for (key, outcome) in keys.iter().zip(&outcomes) {
        assert_eq!(outcome.status(), SetStatus::Created);
        assert_eq!(outcome.version(), Some(&fixture.version(key)));
        assert_eq!(fixture.text(key).as_ref(), Some(key));
    }
    assert_eq!(outcomes[200].status(), SetStatus::Updated);
    assert_eq!(fixture.audit(), 201);
}

#[tokio::test]
async fn the_trait_answers_as_the_synchronous_methods_do() {
    let store = MemoryStore::new();
    let backend: &dyn Backend = &store;
    let resolver = Resolver::new(backend.capabilities());
    let write = |item| resolver.write(item, &SystemClock).unwrap();
    assert_eq!(backend.write(write(SetItem::new("a", 1))).await.unwrap().status(), SetStatus::Created);
    let outcome = backend.write_now(&write(SetItem::new("a", 2))).expect("at once");
    assert_eq!(outcome.unwrap().status(), SetStatus::Updated);
    let read = || resolver.read("a", Fields::Value).unwrap();
    let entry = backend.read_now(&read()).expect("at once");
    assert_eq!(entry.unwrap(), backend.read(read()).await.unwrap());

    let writes = resolver.all_or_nothing([SetItem::new("b", 1), SetItem::new("c", 1)], &SystemClock).unwrap().unwrap();
    assert!(backend.write_many(writes.clone()).await.into_iter().all(|outcome| outcome.is_ok()));
    assert!(backend.write_all_or_nothing(writes).await.unwrap().is_written());
    let keys = || ["c", "x", "a"].map(std::borrow::Cow::Borrowed);
    let (reads, _) = resolver.read_many(keys(), Fields::Value).unwrap().unwrap();
    let values: Vec<_> = backend.read_many(reads).await.unwrap().into_iter().map(|e| e?.value().as_i64()).collect();
    assert_eq!(values, [Some(1), None, Some(2)]);
    assert_eq!(
        backend
            .increment(resolver.increment("a", 1, IncrementOptions::default(), &SystemClock).unwrap())
            .await
            .unwrap(),
        3
    );
    assert_eq!(backend.list(resolver.list("", 9, None).unwrap()).await.unwrap().items.len(), 3);
    let deletes = resolver.delete_many(keys()).0.unwrap();
    let outcomes: Vec<_> = backend.delete_many(deletes).await.into_iter().map(kv_api::Result::unwrap).collect();
    assert_eq!(outcomes, [DeleteOutcome::Deleted, DeleteOutcome::NotFound, DeleteOutcome::Deleted]);
    assert_eq!(backend.delete(resolver.delete("b", None, false).unwrap()).await.unwrap(), DeleteOutcome::Deleted);
    backend.ping().await.unwrap();
    assert_ne!(backend.scope(), MemoryStore::new().scope());
}

#[test]
fn a_clone_is_the_same_store_and_debug_shows_nothing_of_it() {
    let fixture = Fixture::new();
    let clone = fixture.clone();
    fixture.put("secret key", "secret value");
    assert!(clone.entry("secret key").is_some());
    assert!(!format!("{:?}", fixture.store).contains("secret"));
}

#[test]
fn err_3_a_full_store_would_refuse_the_same_call_again() {
    let fixture = Fixture::with(MemoryConfig::new().with_entries_max(0));
    let error = fixture.try_set(SetItem::new("k", "v")).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Exhausted, Retry::Never));
    assert_eq!(error.reason(), Some(&Reason::StoreFull));
}
