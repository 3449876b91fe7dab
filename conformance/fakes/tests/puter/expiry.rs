//! Entries that end: what still sees them, and what brings them back.

use kv_fakes::puter::{Fake, Sweep, Switches};
use serde_json::{Value, json};

use crate::server::{START, Server, bad_request, internal};

async fn set_until(server: &Server, key: &str, time: Value) {
    server.ok("set", json!({"key": key, "value": "v", "expireAt": time})).await;
}

#[tokio::test]
async fn a_time_is_compared_with_the_fraction_of_a_second() {
    let server = Server::new().await;
    set_until(&server, "k", json!(START + 2)).await;
    set_until(&server, "f", json!(START as f64 + 1.5)).await;
    server.advance(1_499);
    assert_eq!(server.list("").await, json!(["f", "k"]));
    server.advance(1);
    assert_eq!((server.get("f").await, server.list("").await), (json!(null), json!(["k"])));
    server.advance(499);
    assert_eq!(server.get("k").await, json!("v"));
    server.advance(1);
    assert_eq!((server.get("k").await, server.fake.keys()), (json!(null), Vec::new()));
}

#[tokio::test]
async fn odd_times_are_stored_as_they_are() {
    let server = Server::new().await;
    for (time, got, listed) in [
        (json!(0), true, false),
        (json!(null), true, false),
        (json!("1900000000"), true, false),
        (json!("soon"), true, false),
        (json!({}), true, false),
        (json!(-1), false, false),
        (json!(true), false, false),
        (json!(START * 1000), true, true),
    ] {
        set_until(&server, "k", time.clone()).await;
        let seen = (server.get("k").await == json!("v"), server.list("k").await == json!(["k"]));
        assert_eq!(seen, (got, listed), "{time}");
        let many = server.ok("get", json!({"key": ["k"]})).await;
        assert_eq!(many == json!(["v"]), got, "{time}");
    }
    assert_eq!(server.refused("set", json!({"key": "n", "value": 1, "expireAt": 1e16})).await, internal());
    assert_eq!(server.get("n").await, json!(null));
    // A set without a time makes it permanent.
    server.set("k", 1).await;
    assert_eq!(server.list("").await, json!(["k"]));
}

#[tokio::test]
async fn what_has_expired_goes_on_counting_and_can_be_revived() {
    let server = Server::new().await;
    server.ok("set", json!({"key": "n", "value": 5, "expireAt": START - 1})).await;
    let plus_one = json!({"key": "n", "pathAndAmountMap": {"": 1}});
    assert_eq!(server.ok("incr", plus_one.clone()).await, json!(6));
    assert_eq!(server.get("n").await, json!(null));
    server.done("expire", json!({"key": "n", "ttl": 10})).await;
    assert_eq!(server.get("n").await, json!(6));
    server.done("expireAt", json!({"key": "n", "timestamp": 0})).await;
    assert_eq!((server.get("n").await, server.list("").await), (json!(6), json!([])));
    server.done("expireAt", json!({"key": "n", "timestamp": START})).await;
    assert_eq!(server.get("n").await, json!(null));
    // What a set writes is new.
    server.set("n", 1).await;
    assert_eq!(server.ok("incr", plus_one.clone()).await, json!(2));
    set_until(&server, "n", json!(START - 1)).await;
    server.ok("del", json!({"key": "n"})).await;
    assert_eq!(server.ok("incr", plus_one).await, json!(1));
}

#[tokio::test]
async fn sweeping_ends_that() {
    let fake = Fake::new();
    let sweeper = fake.sweeper();
    let server = Server::serve(fake).await;
    let plus_one = |key: &str| json!({"key": key, "pathAndAmountMap": {"": 1}});
    for (key, time) in [("a", json!(START - 1)), ("b", json!(START + 1)), ("zero", json!(0))] {
        server.ok("set", json!({"key": key, "value": 5, "expireAt": time})).await;
    }
    sweeper.sweep();
    assert_eq!(server.ok("incr", plus_one("a")).await, json!(1));
    assert_eq!(server.ok("incr", plus_one("b")).await, json!(6));
    assert_eq!(server.get("zero").await, json!(5));
    // Only once.
    server.advance(1_000);
    assert_eq!(server.ok("incr", plus_one("b")).await, json!(7));

    let server = Server::with(Switches { sweep: Sweep::AtOnce, ..Switches::default() }).await;
    server.ok("set", json!({"key": "n", "value": 5, "expireAt": START + 1})).await;
    server.advance(1_000);
    server.done("expire", json!({"key": "n", "ttl": 10})).await;
    assert_eq!(server.list("n").await, json!(["n"]));
    // It was created, and has no old value.
    assert_eq!(server.get("n").await, json!(null));
}

#[tokio::test]
async fn expire_counts_from_the_last_whole_second() {
    let server = Server::new().await;
    server.set("k", 1).await;
    server.advance(900);
    server.done("expire", json!({"key": "k", "ttl": 1})).await;
    server.advance(99);
    assert_eq!(server.get("k").await, json!(1));
    server.advance(1);
    assert_eq!(server.get("k").await, json!(null));
    server.done("expire", json!({"key": "k", "ttl": 0.5})).await;
    server.advance(499);
    assert_eq!(server.get("k").await, json!(1));
    server.advance(1);
    assert_eq!(server.get("k").await, json!(null));
}

#[tokio::test]
async fn expiring_a_missing_key_creates_it() {
    let server = Server::new().await;
    server.done("expire", json!({"key": "a", "ttl": 10})).await;
    server.done("expireAt", json!({"key": "b", "timestamp": START + 10})).await;
    let entries = json!([{"key": "a", "value": null}, {"key": "b", "value": null}]);
    assert_eq!(server.ok("list", json!({})).await, entries);
    // An entry without a value gets one.
    server.ok("batchPut", json!({"items": [{"key": "c"}]})).await;
    assert_eq!(server.ok("list", json!({"pattern": "c"})).await, json!([{"key": "c"}]));
    server.done("expire", json!({"key": "c", "ttl": 10})).await;
    assert_eq!(server.ok("list", json!({"pattern": "c"})).await, json!([{"key": "c", "value": null}]));
}

#[tokio::test]
async fn times_of_the_wrong_type_are_refused() {
    let server = Server::new().await;
    for time in [json!(null), json!("5"), json!(true)] {
        let refused = server.refused("expireAt", json!({"key": "k", "timestamp": time})).await;
        assert_eq!(refused, bad_request("`timestamp` must be a number"));
        let refused = server.refused("expire", json!({"key": "k", "ttl": time})).await;
        assert_eq!(refused, bad_request("`ttl` must be a number (seconds)"));
    }
    assert_eq!(server.refused("expireAt", json!({"key": "k", "timestamp": 1e17})).await, internal());
    assert_eq!(server.list("").await, json!([]));
}
