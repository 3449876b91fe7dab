//! Bounded stores: never above the bound, never full of what has expired.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kv_api::{Error, ErrorKind, Reason, Result, SetItem, SetStatus};
use serde_json::json;

use super::{Fixture, millis, seconds};
use crate::MemoryConfig;

fn assert_full<T: std::fmt::Debug>(result: Result<T>) {
    let error: Error = result.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Exhausted, Some(&Reason::StoreFull)));
}

#[test]
fn entries_are_bounded_and_overwrites_still_work() {
    let fixture = Fixture::with(MemoryConfig::new().with_entries_max(2));
    fixture.put("a", "1");
    fixture.put("b", "1");
    assert_full(fixture.try_set(SetItem::new("c", "1")));
    assert_full(fixture.add("n", 1));
    assert_eq!(fixture.set(SetItem::new("a", "2").if_not_exists()), SetStatus::NotMet, "decided before the bound");
    assert_eq!(fixture.put("a", "a much longer value"), SetStatus::Updated);
    assert_eq!(fixture.audit(), 2);
    fixture.delete("b");
    assert_eq!(fixture.put("c", "1"), SetStatus::Created);
    assert_eq!(fixture.audit(), 2);
}

#[test]
fn bytes_of_key_value_and_metadata_are_bounded() {
    let fixture = Fixture::with(MemoryConfig::new().with_bytes_max(10));
    assert_full(fixture.try_set(SetItem::new("k", "1234567890")));
    fixture.put("k", "123456789");
    assert_full(fixture.try_set(SetItem::new("k", "123456789").metadata(json!(1))));
    assert_full(fixture.try_set(SetItem::new("l", "")));
    assert_eq!(fixture.set(SetItem::new("k", "12345678").metadata(json!(1))), SetStatus::Updated);
    fixture.put("k", "1");
    fixture.put("l", "1");
    fixture.set(SetItem::new("n", 9999));
    assert_full(fixture.add("n", 1_000_000));
    assert_eq!(fixture.add("n", 1).unwrap(), 10_000);
    assert_full(fixture.add("n", 90_000));
    assert_eq!(fixture.audit(), 3);
}

#[test]
fn expired_entries_never_make_a_store_look_full() {
    let fixture = Fixture::with(MemoryConfig::new().with_entries_max(1000).with_bytes_max(10_000));
    for number in 0..1000 {
        fixture.put_for(&format!("k{number}"), "", seconds(1));
    }
    assert_full(fixture.try_set(SetItem::new("x", "")));
    fixture.clock.advance(seconds(1));
    assert_eq!(fixture.put("x", &"v".repeat(9_999)), SetStatus::Created, "all of them had to go for this one");
    assert_eq!(fixture.audit(), 1);
    assert_full(fixture.try_set(SetItem::new("y", "")));
}

#[test]
fn an_all_or_nothing_batch_is_bounded_as_a_whole() {
    let fixture = Fixture::with(MemoryConfig::new().with_entries_max(3));
    fixture.put("a", "1");
    fixture.put_for("b", "1", millis(1));
    let items = |keys: &'static [&'static str]| keys.iter().map(|key| SetItem::new(*key, "2")).collect::<Vec<_>>();
    assert_full(fixture.all_or_nothing(items(&["a", "c", "d"])));
    assert_eq!((fixture.text("a").as_deref(), fixture.audit()), (Some("1"), 2));
    fixture.clock.advance(millis(1));
    assert!(fixture.all_or_nothing(items(&["a", "c", "d"])).unwrap().is_written());
    assert_eq!(fixture.audit(), 3);
}

#[test]
fn a_bound_holds_under_concurrent_writes() {
    let fixture = Fixture::with(MemoryConfig::new().with_entries_max(100));
    let (written, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for thread in 0..4 {
            let (fixture, written, refused) = (&fixture, &written, &refused);
            scope.spawn(move || {
                for number in 0..2000 {
                    match fixture.try_set(SetItem::new(format!("k/{thread}/{number}"), "v")) {
                        Ok(_) => written.fetch_add(1, Ordering::Relaxed),
                        Err(_) => refused.fetch_add(1, Ordering::Relaxed),
                    };
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..200 {
                assert!(fixture.store.inner.index.snapshot().len() <= 100);
            }
        });
    });
    assert_eq!(fixture.audit(), 100);
    assert_eq!((written.into_inner(), refused.into_inner()), (100, 7900));
}

#[test]
fn concurrent_writes_into_a_store_full_of_expired_entries_all_succeed() {
    for _ in 0..20 {
        let fixture = Fixture::with(MemoryConfig::new().with_entries_max(200));
        for number in 0..200 {
            fixture.put_for(&format!("old/{number}"), "v", seconds(1));
        }
        fixture.clock.advance(seconds(1));
        thread::scope(|scope| {
            for thread in 0..4 {
                let fixture = &fixture;
                scope.spawn(move || {
                    for number in 0..50 {
                        fixture.put(&format!("new/{thread}/{number}"), "v");
                    }
                });
            }
        });
        assert_eq!(fixture.audit(), 200);
    }
}
