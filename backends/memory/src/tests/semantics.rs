//! The contract, rule by rule, where this store decides itself; the conformance suite checks all of it.

use kv_api::{
    Backend, BatchOutcome, DeleteOutcome, EntryExpiry, ErrorKind, Fields, Metadata, Reason, Resolver, Retry, SetItem,
    SetStatus, SystemClock, Timestamp, Value, ValueKind, Version,
};
use serde_json::json;

use super::{NoClock, Subject, millis, seconds};
use crate::{MemoryConfig, MemoryStore, PROFILE};

#[test]
fn set_1_a_set_replaces_value_expiry_and_metadata_together() {
    let subject = Subject::new();
    subject.set(SetItem::new("k", "a").ttl(seconds(1)).metadata(json!({"m": 1})));
    let entry = subject.entry("k").unwrap();
    assert_eq!(entry.metadata(), Some(&Metadata::from(json!({"m": 1}))));
    assert_eq!(entry.expiry(), EntryExpiry::At(Timestamp::from_unix_seconds(1_000_001)));
    assert_eq!(subject.put("k", "b"), SetStatus::Updated);
    let entry = subject.entry("k").unwrap();
    assert_eq!((entry.value(), entry.metadata(), entry.expiry()), (&Value::from("b"), None, EntryExpiry::Never));
    subject.audit();
}

#[test]
fn val_2_every_kind_comes_back_as_it_was() {
    let subject = Subject::new();
    for value in [
        Value::from(""),
        Value::from("text"),
        Value::from(b""),
        Value::from(&[0xff_u8, 0]),
        Value::from(json!([1, {"a": 2.5}])),
        Value::from("x".repeat(100_000)),
    ] {
        subject.set(SetItem::new("k", value.clone()));
        let entry = subject.entry("k").unwrap();
        assert_eq!((entry.value(), entry.value().kind()), (&value, value.kind()));
    }
}

#[test]
fn set_2_to_5_conditions_and_outcomes() {
    let subject = Subject::new();
    let item = |value: &'static str| SetItem::new("k", value);
    assert_eq!(subject.set(item("0").if_exists()), SetStatus::NotMet);
    assert_eq!(subject.set(item("1").if_not_exists()), SetStatus::Created);
    assert_eq!(subject.set(item("2").if_not_exists()), SetStatus::NotMet);
    let first = subject.version("k");
    assert_eq!(subject.set(item("3").if_exists()), SetStatus::Updated);
    assert_eq!(subject.set(item("4").if_version(first.clone())), SetStatus::NotMet);
    let second = subject.version("k");
    assert_ne!(first, second);
    let outcome = subject.try_set(item("5").if_version(second)).unwrap();
    assert_eq!((outcome.status(), outcome.version()), (SetStatus::Updated, Some(&subject.version("k"))));
    assert_eq!(subject.text("k").as_deref(), Some("5"));
    assert_eq!(subject.set(item("6").if_version(Version::numbered(1, 64))), SetStatus::NotMet, "of another store");
    assert_eq!(subject.set(item("7").if_version("token".parse().unwrap())), SetStatus::NotMet);
}

#[test]
fn set_4_an_expired_entry_does_not_exist_for_any_condition() {
    let subject = Subject::new();
    let expired = || {
        subject.put_for("k", "old", millis(1));
        let version = subject.version("k");
        subject.clock.advance(millis(1));
        version
    };
    let version = expired();
    assert_eq!(subject.set(SetItem::new("k", "new").if_version(version.clone())), SetStatus::NotMet);
    assert_eq!(subject.set(SetItem::new("k", "new").if_exists()), SetStatus::NotMet);
    assert_eq!(subject.delete_if("k", Some(version)), DeleteOutcome::NotMet);
    assert_eq!(subject.set(SetItem::new("k", "new").if_not_exists()), SetStatus::Created);
    expired();
    assert_eq!(subject.put("k", "new"), SetStatus::Created);
    expired();
    assert_eq!(subject.delete("k"), DeleteOutcome::NotFound);
    expired();
    assert!(!subject.expire("k", None));
    assert_eq!(subject.add("k", 2).unwrap(), 2);
    assert_eq!(subject.entry("k").unwrap().expiry(), EntryExpiry::Never);
    subject.audit();
}

#[test]
fn exp_7_an_entry_ends_at_its_expiry_and_not_before() {
    let subject = Subject::new();
    subject.put_for("k", "v", millis(5));
    subject.clock.advance(std::time::Duration::from_micros(4_999));
    assert!(subject.entry("k").is_some());
    subject.clock.advance(std::time::Duration::from_micros(1));
    assert!(subject.entry("k").is_none());
    assert!(subject.keys("", 10).is_empty());
}

#[test]
fn exp_4_a_deadline_between_two_milliseconds_is_rounded_up() {
    let subject = Subject::new();
    subject.clock.set(Timestamp::from_unix_micros(10_000_001));
    subject.put_for("k", "v", millis(5));
    assert_eq!(subject.entry("k").unwrap().expiry(), EntryExpiry::At(Timestamp::from_unix_millis(10_006)));
}

#[test]
fn exp_9_expire_changes_only_the_expiry() {
    let subject = Subject::new();
    assert!(!subject.expire("k", Some(seconds(1))));
    assert_eq!(subject.audit(), 0);
    subject.set(SetItem::new("k", "v").metadata(json!(1)));
    let before = subject.entry("k").unwrap();
    assert!(subject.expire("k", Some(seconds(2))));
    let after = subject.entry("k").unwrap();
    assert_eq!(
        (after.value(), after.metadata(), after.version()),
        (before.value(), before.metadata(), before.version())
    );
    assert_eq!(after.expiry(), EntryExpiry::At(Timestamp::from_unix_seconds(1_000_002)));
    subject.audit();
    assert!(subject.expire("k", Some(seconds(3))));
    subject.audit();
    assert!(subject.expire("k", None));
    subject.audit();
    subject.clock.advance(seconds(10));
    assert_eq!(subject.entry("k"), Some(before));
}

#[test]
fn exp_10_the_clock_is_not_read_where_nothing_expires() {
    let store =
        MemoryStore::with_config(MemoryConfig::new().with_clock(std::sync::Arc::new(NoClock)).with_entries_max(1));
    let resolver = Resolver::new(&PROFILE);
    let set = |item| store.write_sync(&resolver.write(item, &NoClock)?);
    set(SetItem::new("k", 1)).unwrap();
    set(SetItem::new("k", 2).if_exists().metadata(json!({}))).unwrap();
    assert!(set(SetItem::new("l", 2)).is_err());
    assert!(store.read_sync(&resolver.read("k", Fields::All).unwrap()).is_some());
    assert_eq!(store.list_sync(&resolver.list("", 9, None).unwrap()).unwrap().items.len(), 1);
    assert_eq!(store.delete_sync(&resolver.delete("k", None, false).unwrap()), DeleteOutcome::Deleted);
    assert_eq!(store.increment_sync(&resolver.increment("n", 1, false).unwrap()).unwrap(), 1);
}

#[test]
fn ver_1_versions_of_a_key_only_rise_and_are_never_used_again() {
    let subject = Subject::new();
    let number = |version: &Version| version.number_from(subject.store.inner.origin).unwrap();
    let mut last = 0;
    for round in 0..20 {
        subject.put("k", "v");
        let version = subject.version("k");
        assert!(number(&version) > last, "{round}");
        last = number(&version);
        assert_eq!(subject.delete("k"), DeleteOutcome::Deleted);
        subject.put("k", "v");
        assert_eq!(subject.set(SetItem::new("k", "x").if_version(version)), SetStatus::NotMet, "created anew");
    }
}

#[test]
fn del_1_and_2_deletes_tell_what_they_did() {
    let subject = Subject::new();
    assert_eq!(subject.delete("k"), DeleteOutcome::NotFound);
    subject.put("k", "v");
    let version = subject.version("k");
    subject.put("k", "w");
    assert_eq!(subject.delete_if("k", Some(version)), DeleteOutcome::NotMet);
    assert_eq!(subject.delete_if("k", Some(subject.version("k"))), DeleteOutcome::Deleted);
    assert_eq!(subject.delete_if("k", Some("x".parse().unwrap())), DeleteOutcome::NotMet);
    assert_eq!(subject.audit(), 0);
}

#[test]
fn cnt_1_counters_count_and_keep_their_expiry() {
    let subject = Subject::new();
    assert_eq!(subject.add("n", 5).unwrap(), 5);
    let version = subject.version("n");
    assert!(subject.expire("n", Some(seconds(9))));
    assert_eq!(subject.add("n", -7).unwrap(), -2);
    let entry = subject.entry("n").unwrap();
    assert_eq!((entry.value(), entry.value().kind()), (&Value::from(-2), ValueKind::Json));
    assert_eq!(entry.expiry(), EntryExpiry::At(Timestamp::from_unix_seconds(1_000_009)));
    assert_ne!(entry.version(), Some(&version));
    subject.audit();
    for edge in [i64::MIN, i64::MAX] {
        subject.set(SetItem::new("n", edge));
        assert_eq!(subject.add("n", 0).unwrap(), edge);
        let error = subject.add("n", edge.signum()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(error.reason(), Some(&Reason::CounterRange { min: i64::MIN, max: i64::MAX }));
        assert_eq!(subject.entry("n").unwrap().value(), &Value::from(edge));
    }
}

#[test]
fn cnt_1_and_2_what_is_no_counter_is_refused_and_left_alone() {
    let subject = Subject::new();
    for item in [
        SetItem::new("n", "5"),
        SetItem::new("n", json!(5.5)),
        SetItem::new("n", u64::MAX),
        SetItem::new("n", json!([5])),
        SetItem::new("n", json!(true)),
        SetItem::new("n", b"5"),
        SetItem::new("n", 5).metadata(json!({})),
    ] {
        subject.set(item);
        let before = subject.entry("n");
        let error = subject.add("n", 1).unwrap_err();
        assert_eq!((error.kind(), error.reason()), (ErrorKind::WrongType, Some(&Reason::NotACounter)));
        assert_eq!(subject.entry("n"), before);
    }
}

#[test]
fn cnt_2_a_narrower_handle_may_refuse_expiring_counters_and_a_wider_range() {
    let subject = Subject::new();
    let narrow = PROFILE.clone().with_counters(kv_api::Support::Native, -3, 3).with_counter_expiry(false);
    let add = |by| subject.store.increment_sync(&Resolver::new(&narrow).increment("n", by, false).unwrap());
    assert_eq!(add(3).unwrap(), 3);
    assert_eq!(add(1).unwrap_err().reason(), Some(&Reason::CounterRange { min: -3, max: 3 }));
    subject.expire("n", Some(seconds(1)));
    assert_eq!(add(-1).unwrap_err().reason(), Some(&Reason::NotACounter));
    subject.clock.advance(seconds(1));
    assert_eq!(add(-1).unwrap(), -1, "expired: it does not exist");
}

#[test]
fn batch_3_all_or_nothing_tells_the_first_unmet_item_and_changes_nothing() {
    let subject = Subject::new();
    subject.put("taken", "old");
    let keys: Vec<String> = (0..200).map(|number| format!("k{number}")).collect();
    for unmet in [0, 57, 199] {
        let mut items: Vec<SetItem<'_>> = keys.iter().map(|key| SetItem::new(key, "v")).collect();
        items[unmet] = SetItem::new("taken", "new").if_not_exists();
        items.push(SetItem::new("missing", "v").if_exists());
        assert_eq!(subject.all_or_nothing(items).unwrap(), BatchOutcome::NotMet { index: unmet });
        assert_eq!(subject.audit(), 1);
    }
    let mut items: Vec<SetItem<'_>> =
        keys.iter().map(|key| SetItem::new(key, key.as_str()).ttl(seconds(1)).if_not_exists()).collect();
    items.push(SetItem::new("taken", "new").if_version(subject.version("taken")));
    let BatchOutcome::Written(outcomes) = subject.all_or_nothing(items).unwrap() else { panic!("written") };
    assert_eq!(outcomes.len(), 201);
    for (key, outcome) in keys.iter().zip(&outcomes) {
        assert_eq!(outcome.status(), SetStatus::Created);
        assert_eq!(outcome.version(), Some(&subject.version(key)));
        assert_eq!(subject.text(key).as_ref(), Some(key));
    }
    assert_eq!(outcomes[200].status(), SetStatus::Updated);
    assert_eq!(subject.audit(), 201);
}

#[tokio::test]
async fn the_trait_answers_as_the_synchronous_methods_do() {
    let store = MemoryStore::new();
    let backend: &dyn Backend = &store;
    let resolver = Resolver::new(backend.profile());
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
    assert_eq!(backend.increment(resolver.increment("a", 1, false).unwrap()).await.unwrap(), 3);
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
    let subject = Subject::new();
    let clone = subject.clone();
    subject.put("secret key", "secret value");
    assert!(clone.entry("secret key").is_some());
    assert!(!format!("{:?}", subject.store).contains("secret"));
}

#[test]
fn err_3_a_full_store_would_refuse_the_same_call_again() {
    let subject = Subject::with(MemoryConfig::new().with_entries_max(0));
    let error = subject.try_set(SetItem::new("k", "v")).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Exhausted, Retry::Never));
    assert_eq!(error.reason(), Some(&Reason::StoreFull));
}
