//! EXP-7: the room of expired entries is given back, a little with each write.

use kv_api::SetItem;
use serde_json::json;

use super::{Subject, millis, seconds};

#[test]
fn ever_new_keys_with_a_short_ttl_do_not_pile_up() {
    let subject = Subject::new();
    let mut most = 0;
    for number in 0..100_000 {
        subject.put_for(&format!("session/{number}"), "v", millis(100));
        if number % 10 == 0 {
            subject.clock.advance(millis(1));
        }
        if number % 5000 == 4999 {
            most = most.max(subject.audit());
        }
    }
    // A thousand live at any time.
    assert!(most < 2000, "{most}");
}

#[test]
fn one_key_overwritten_for_ever_leaves_nothing_behind() {
    let subject = Subject::new();
    for number in 0..10_000 {
        subject.put_for("k", "v", seconds(1 + number % 7));
        if number % 3 == 0 {
            subject.expire("k", Some(seconds(100 + number)));
        }
    }
    assert_eq!(subject.audit(), 1);
    subject.put("k", "v");
    assert_eq!(subject.audit(), 1);
}

#[test]
fn what_is_deleted_early_leaves_the_queue_at_once() {
    let subject = Subject::new();
    for number in 0..10_000 {
        let key = format!("k{number}");
        subject.put_for(&key, "v", seconds(1_000_000));
        subject.delete(&key);
    }
    assert_eq!(subject.audit(), 0);
}

#[test]
fn a_single_busy_key_clears_the_whole_store_of_what_expired() {
    let subject = Subject::new();
    for number in 0..20_000 {
        subject.put_for(&format!("k{number}"), "v", seconds(1));
    }
    subject.clock.advance(seconds(1));
    assert_eq!(subject.audit(), 20_000);
    let mut left = 20_000;
    for round in 0..20 {
        for _ in 0..1000 {
            subject.put("busy", "v");
        }
        let now_left = subject.audit();
        assert!(now_left < left || now_left == 1, "round {round}: {now_left} of {left}");
        left = now_left;
    }
    assert_eq!(left, 1);
}

#[test]
fn one_write_does_a_bounded_amount_of_work() {
    let subject = Subject::new();
    for number in 0..5000 {
        subject.put_for(&format!("k{number}"), "v", seconds(1));
    }
    subject.clock.advance(seconds(1));
    for _ in 0..200 {
        let before = subject.store.inner.index.snapshot().len();
        subject.put("busy", "v");
        let after = subject.store.inner.index.snapshot().len();
        assert!(before - after.min(before) <= 64, "{before} to {after}");
    }
}

#[test]
fn a_read_takes_out_the_expired_entry_it_meets() {
    let subject = Subject::new();
    subject.set(SetItem::new("k", "v").ttl(millis(1)).metadata(json!(1)));
    subject.clock.advance(millis(1));
    assert!(subject.entry("k").is_none());
    assert_eq!(subject.audit(), 0);
}

#[test]
fn a_reader_that_finds_an_entry_expired_never_takes_out_its_successor() {
    let subject = Subject::new();
    subject.put_for("k", "v", millis(1));
    subject.clock.advance(millis(1));
    subject.put_for("k", "w", millis(1));
    subject.store.remove_expired(subject.store.inner.shards.hash("k"), "k");
    assert_eq!(subject.text("k").as_deref(), Some("w"));
}

#[test]
fn tables_shrink_when_most_of_their_entries_have_gone() {
    let subject = Subject::new();
    let buckets = || subject.store.inner.shards.all().map(|shard| shard.read().buckets()).sum::<usize>();
    for number in 0..100_000 {
        subject.put(&format!("k{number}"), "v");
    }
    let grown = buckets();
    for number in 0..100_000 {
        subject.delete(&format!("k{number}"));
    }
    assert_eq!(subject.audit(), 0);
    assert!(buckets() < grown / 4, "{} of {grown}", buckets());
    subject.put("k", "v");
    assert_eq!(subject.text("k").as_deref(), Some("v"));
}
