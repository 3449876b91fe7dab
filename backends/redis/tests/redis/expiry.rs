//! When an entry ends, by the server's clock (EXP-5, EXP-7, EXP-8).

use std::time::Duration;

use kv_api::{Clock, EntryExpiry, Timestamp};

use crate::harness::{System, foreign};

/// The next moment at this part of a millisecond.
fn move_to(system: &System, micros: u64) {
    let part = u64::try_from(Clock::now(&system.clocks.server).as_unix_micros().rem_euclid(1000)).unwrap();
    pass(system, (1000 + micros - part) % 1000);
}

fn pass(system: &System, micros: u64) {
    let by = Duration::from_micros(micros);
    system.clocks.server.advance(by);
    system.clocks.client.advance(by);
}

fn now(system: &System) -> Timestamp {
    Clock::now(&system.clocks.server)
}

pub(crate) async fn exp_7_an_entry_ends_in_the_very_millisecond_of_its_expiry() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    for begin in [0, 1, 500, 999] {
        move_to(&system, begin);
        let end = Timestamp::from_unix_millis(now(&system).as_unix_millis_floor() + 7);
        store.set("set", 1).expire_at(end).await.unwrap();
        store.set("expire", 1).await.unwrap();
        assert!(store.expire("expire").expire_at(end).await.unwrap());
        store.set_many_all_or_nothing([kv_api::SetItem::new("all", 1).expire_at(end)]).await.unwrap();
        for key in ["set", "expire", "all"] {
            assert_eq!(store.get_entry(key).await.unwrap().unwrap().expiry(), EntryExpiry::At(end), "{key}");
        }
        let left = u64::try_from(end.saturating_since(now(&system)).as_micros()).unwrap();
        pass(&system, left - 1);
        for key in ["set", "expire", "all"] {
            assert!(store.exists(key).await.unwrap(), "{key}, one microsecond before, begun at {begin}");
        }
        pass(&system, 1);
        for key in ["set", "expire", "all"] {
            assert!(!store.exists(key).await.unwrap(), "{key}, at its end, begun at {begin}");
        }
    }
}

pub(crate) async fn exp_7_an_entry_that_ends_with_the_running_millisecond_is_there_until_then() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    for begin in [0, 1, 500, 999] {
        move_to(&system, begin);
        let end = Timestamp::from_unix_millis(now(&system).as_unix_millis_floor() + 1);
        store.set("set", 1).expire_at(end).await.unwrap();
        store.set("expire", 1).await.unwrap();
        assert!(store.expire("expire").expire_at(end).await.unwrap());
        pass(&system, 999 - begin);
        for key in ["set", "expire"] {
            assert!(store.exists(key).await.unwrap(), "{key}, one microsecond before, begun at {begin}");
        }
        // The server is late by a millisecond where it could only be early.
        pass(&system, 1);
        assert!(!store.exists("set").await.unwrap(), "at its end, begun at {begin}");
        pass(&system, 1_000);
        assert!(!store.exists("expire").await.unwrap(), "after its end, begun at {begin}");
    }
}

pub(crate) async fn exp_7_a_ttl_is_late_by_a_part_of_a_millisecond_and_never_early() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    for begin in [0, 1, 500, 999] {
        move_to(&system, begin);
        store.set("set", 1).ttl(Duration::from_millis(7)).await.unwrap();
        store.set("expire", 1).await.unwrap();
        assert!(store.expire("expire").ttl(Duration::from_millis(7)).await.unwrap());
        let end = now(&system).checked_add(Duration::from_millis(7)).unwrap();
        // Where the server's next millisecond begins.
        let real = Timestamp::from_unix_millis(end.as_unix_millis_floor() + 1);
        for key in ["set", "expire"] {
            assert_eq!(store.get_entry(key).await.unwrap().unwrap().expiry(), EntryExpiry::At(real), "{key}");
        }
        pass(&system, 6_999);
        for key in ["set", "expire"] {
            assert!(store.exists(key).await.unwrap(), "{key}, one microsecond before, begun at {begin}");
        }
        pass(&system, 1 + 1_000 - begin);
        for key in ["set", "expire"] {
            assert!(!store.exists(key).await.unwrap(), "{key}, begun at {begin}");
        }
    }
}

pub(crate) async fn exp_8_the_expiry_that_another_client_set_is_reported_as_it_is() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    let last = now(&system).as_unix_millis_floor() + 20;
    system.ask(&["SET", &foreign("k"), "v", "PXAT", &last.to_string()]).await;
    let end = Timestamp::from_unix_millis(last + 1);
    assert_eq!(store.get_entry("k").await.unwrap().unwrap().expiry(), EntryExpiry::At(end));
    let left = u64::try_from(end.saturating_since(now(&system)).as_micros()).unwrap();
    pass(&system, left - 1);
    assert_eq!(system.ask(&["EXISTS", &foreign("k")]).await.as_integer(), Some(1));
    pass(&system, 1);
    assert_eq!(system.ask(&["EXISTS", &foreign("k")]).await.as_integer(), Some(0));
}

pub(crate) async fn exp_5_a_time_that_is_past_on_the_server_alone_ends_the_entry_at_once() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    let end = now(&system).checked_add(Duration::from_secs(5)).unwrap();
    // The clock of this side is late.
    system.clocks.server.advance(Duration::from_secs(3_600));
    store.set("set", 1).await.unwrap();
    assert!(store.set("set", 2).expire_at(end).await.unwrap().is_written());
    assert_eq!(store.get("set").await.unwrap(), None);
    store.set("expire", 1).await.unwrap();
    assert!(store.expire("expire").expire_at(end).await.unwrap());
    assert_eq!(store.get("expire").await.unwrap(), None);
    // The earliest time there is.
    system.clocks.client.set(Timestamp::UNIX_EPOCH);
    assert!(store.set("first", 1).expire_at(Timestamp::from_unix_millis(1)).await.unwrap().is_written());
    assert_eq!(store.get("first").await.unwrap(), None);
}
