//! EXP-7: the room of expired entries is given back, a little with each write.

use kv_api::SetItem;
use serde_json::json;

use super::{Fixture, millis, seconds};

#[test]
fn ever_new_keys_with_a_short_ttl_do_not_pile_up() {
    let fixture = Fixture::new();
    let mut most = 0;
    for number in 0..100_000 {
        fixture.put_for(&format!("session/{number}"), "v", millis(100));
        if number % 10 == 0 {
            fixture.clock.advance(millis(1));
        }
        if number % 5000 == 4999 {
            most = most.max(fixture.audit());
        }
    }
    // A thousand live at any time.
    assert!(most < 2000, "{most}");
}

#[test]
fn one_key_overwritten_for_ever_leaves_nothing_behind() {
    let fixture = Fixture::new();
    for number in 0..10_000 {
        fixture.put_for("k", "v", seconds(1 + number % 7));
        if number % 3 == 0 {
            fixture.expire("k", Some(seconds(100 + number)));
        }
    }
    assert_eq!(fixture.audit(), 1);
    fixture.put("k", "v");
    assert_eq!(fixture.audit(), 1);
}

#[test]
fn what_is_deleted_early_does_not_pile_up_in_the_queue() {
    let fixture = Fixture::new();
    for number in 0..10_000 {
        let key = format!("k{number}");
        fixture.put_for(&key, "v", seconds(1_000_000));
        fixture.delete(&key);
    }
    assert_eq!(fixture.audit(), 0);
}

#[test]
fn a_single_busy_key_clears_the_whole_store_of_what_expired() {
    let fixture = Fixture::new();
    for number in 0..20_000 {
        fixture.put_for(&format!("k{number}"), "v", seconds(1));
    }
    fixture.clock.advance(seconds(1));
    assert_eq!(fixture.audit(), 20_000);
    let mut left = 20_000;
    for round in 0..20 {
        for _ in 0..1000 {
            fixture.put("busy", "v");
        }
        let now_left = fixture.audit();
        assert!(now_left < left || now_left == 1, "round {round}: {now_left} of {left}");
        left = now_left;
    }
    assert_eq!(left, 1);
}

#[test]
fn one_write_does_a_bounded_amount_of_work() {
    let fixture = Fixture::new();
    for number in 0..5000 {
        fixture.put_for(&format!("k{number}"), "v", seconds(1));
    }
    fixture.clock.advance(seconds(1));
    for _ in 0..200 {
        let before = fixture.store.inner.index.snapshot().len();
        fixture.put("busy", "v");
        let after = fixture.store.inner.index.snapshot().len();
        assert!(before - after.min(before) <= 64, "{before} to {after}");
    }
}

#[test]
fn a_read_takes_out_the_expired_entry_it_meets() {
    let fixture = Fixture::new();
    fixture.set(SetItem::new("k", "v").ttl(millis(1)).metadata(json!(1)));
    fixture.clock.advance(millis(1));
    assert!(fixture.entry("k").is_none());
    assert_eq!(fixture.audit(), 0);
}

#[test]
fn a_reader_that_finds_an_entry_expired_never_takes_out_its_successor() {
    let fixture = Fixture::new();
    fixture.put_for("k", "v", millis(1));
    fixture.clock.advance(millis(1));
    fixture.put_for("k", "w", millis(1));
    fixture.store.remove_expired(fixture.store.inner.shards.hash("k"), "k");
    assert_eq!(fixture.text("k").as_deref(), Some("w"));
}

#[test]
fn tables_shrink_when_most_of_their_entries_have_gone() {
    let fixture = Fixture::new();
    let buckets = || fixture.store.inner.shards.all().map(|shard| shard.read().buckets()).sum::<usize>();
    for number in 0..100_000 {
        fixture.put(&format!("k{number}"), "v");
    }
    let grown = buckets();
    for number in 0..100_000 {
        fixture.delete(&format!("k{number}"));
    }
    assert_eq!(fixture.audit(), 0);
    assert!(buckets() < grown / 4, "{} of {grown}", buckets());
    fixture.put("k", "v");
    assert_eq!(fixture.text("k").as_deref(), Some("v"));
}
