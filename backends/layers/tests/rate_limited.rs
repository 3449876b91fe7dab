//! The layer that keeps to a rate of requests.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests and what they share fail")]

mod common;

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use kv_api::{
    Backend, BackendExt, Capabilities, ErrorKind, Layer, ManualClock, RequestRate, Result, Retry, SetItem, Stack,
    Store, Support, Timer, Timestamp, forward_backend,
};
use kv_layers::{Call, Intercept, Intercepted, RateLimited};
use kv_memory::MemoryStore;

const SECOND: Duration = Duration::from_secs(1);

/// So fast that nothing waits for long, and in parts of few requests.
fn wrap(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
    RateLimited::new(RequestRate::new(1_000_000, SECOND))
        .with_burst(NonZeroU32::new(2).unwrap())
        .with_key_write_interval(Duration::from_nanos(1))
        .layer(inner)
}

mod alone {
    crate::common::suite!(crate::wrap);
}

/// When which call reached the store.
struct Sent {
    clock: ManualClock,
    calls: Mutex<Vec<(Duration, Call)>>,
}

impl Intercept for Sent {
    fn before(&self, call: &Call) -> Result<()> {
        self.calls.lock().unwrap().push((self.clock.monotonic_now(), call.clone()));
        Ok(())
    }
}

/// A store with a limit, its clock, and what reaches the system.
struct Limited {
    store: Store,
    clock: ManualClock,
    sent: Arc<Sent>,
}

impl Limited {
    fn new(limit: RateLimited) -> Self {
        Self::over(MemoryStore::default(), limit)
    }

    fn over(backend: impl Backend, limit: RateLimited) -> Self {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(1_795_161_822));
        let sent = Arc::new(Sent { clock: clock.clone(), calls: Mutex::default() });
        let stack =
            Stack::new().with(limit.with_timer(Arc::new(clock.clone()))).with(Intercepted::new(Arc::clone(&sent)));
        Self { store: backend.layer(&stack).into_store(), clock, sent }
    }

    fn sent(&self) -> usize {
        self.sent.calls.lock().unwrap().len()
    }

    /// When each call was sent, in seconds since the beginning.
    fn seconds(&self) -> Vec<f64> {
        self.sent.calls.lock().unwrap().iter().map(|(at, _)| at.as_secs_f64()).collect()
    }
}

fn rate(requests: u32, seconds: u64) -> RequestRate {
    RequestRate::new(requests, Duration::from_secs(seconds))
}

fn burst(requests: u32) -> NonZeroU32 {
    NonZeroU32::new(requests).unwrap()
}

#[tokio::test]
async fn no_stretch_of_time_holds_more_than_the_rate() {
    for (requests, per, at_once) in [(1200, 300, 240), (1200, 300, 1200), (1200, 300, 1), (7, 3, 3), (1, 1, 1)] {
        let limited = Limited::new(
            RateLimited::new(rate(requests, per)).with_burst(burst(at_once)).with_max_wait(Duration::ZERO),
        );
        // Somebody who asks again and again, for three times the stretch.
        let step = Duration::from_secs(per) / (10 * requests);
        for _ in 0..30 * requests {
            while limited.store.exists("k").await.is_ok() {}
            limited.clock.advance(step);
        }
        let sent = limited.sent.calls.lock().unwrap();
        let requests = usize::try_from(requests).unwrap();
        let most = sent
            .iter()
            .enumerate()
            .map(|(first, (at, _))| sent[first..].partition_point(|(later, _)| *later - *at < Duration::from_secs(per)))
            .max();
        assert!(most.unwrap() <= requests, "{most:?} of {requests} in {per} s, {at_once} at once");
        // And it is not much less in the long run than what is left beside the burst.
        let steadily = requests - usize::try_from(at_once).unwrap() + 1;
        assert!(sent.len() >= 3 * steadily - steadily / 20 - 1, "{} of {requests}, {at_once} at once", sent.len());
    }
}

#[tokio::test]
async fn a_call_above_the_rate_waits_and_one_that_would_wait_too_long_is_refused_before_sending() {
    let limited = Limited::new(RateLimited::new(rate(1, 4)).with_max_wait(5 * SECOND));
    limited.store.set("k", 1).await.unwrap();
    let mut waiting = pin!(limited.store.get("k").into_future());
    assert!(waiting.as_mut().now_or_never().is_none());
    // The one that waits goes after 4 seconds, the next would after 8.
    let error = limited.store.get("k").await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, Retry::Safe));
    assert_eq!(error.retry_after(), Some(8 * SECOND));
    limited.clock.advance(Duration::from_millis(3999));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(limited.sent(), 1);
    limited.clock.advance(Duration::from_millis(1));
    assert_eq!(waiting.await.unwrap(), Some(1.into()));
    assert_eq!(limited.seconds(), [0.0, 4.0]);
}

#[tokio::test]
async fn callers_are_served_in_the_order_in_which_they_come() {
    let limited = Limited::new(RateLimited::new(rate(1, 1)).with_max_wait(60 * SECOND));
    limited.store.exists("first").await.unwrap();
    let keys = ["a", "b", "c", "d", "e"];
    let mut calls: Vec<_> = keys.iter().map(|key| Box::pin(limited.store.exists(*key).into_future())).collect();
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
    }
    // One that gives up takes nothing from the others.
    drop(calls.remove(1));
    let mut all = pin!(join_all(calls));
    for _ in 0..4 {
        assert!(all.as_mut().now_or_never().is_none());
        limited.clock.advance(SECOND);
    }
    assert!(all.await.iter().all(Result::is_ok));
    let calls = limited.sent.calls.lock().unwrap();
    let sent: Vec<_> = calls.iter().map(|(at, call)| (at.as_secs(), call.keys[0].as_str())).collect();
    assert_eq!(sent, [(0, "first"), (1, "a"), (2, "c"), (3, "d"), (4, "e")]);
    assert_eq!(limited.clock.sleepers(), 0);
}

#[tokio::test]
async fn a_key_rests_between_two_writes_and_holds_up_no_other_key() {
    let limited = Limited::new(RateLimited::documented().with_key_write_interval(SECOND).with_max_wait(SECOND / 2));
    limited.store.set("k", 1).await.unwrap();
    limited.store.get("k").await.unwrap();
    limited.store.set("l", 1).await.unwrap();
    let error = limited.store.delete("k").await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after(), error.key()), (ErrorKind::RateLimited, Some(SECOND), Some("k")));
    limited.clock.advance(Duration::from_millis(600));
    let mut waiting = pin!(limited.store.increment("k", 1).into_future());
    assert!(waiting.as_mut().now_or_never().is_none());
    limited.clock.advance(Duration::from_millis(400));
    assert_eq!(waiting.await.unwrap(), 2);
    assert_eq!(limited.seconds(), [0.0, 0.0, 0.0, 1.0]);
}

#[tokio::test]
async fn of_a_batch_only_the_item_whose_key_must_rest_too_long_fails() {
    let limited = Limited::new(RateLimited::documented().with_key_write_interval(SECOND).with_max_wait(Duration::ZERO));
    limited.store.set("b", 1).await.unwrap();
    let results = limited.store.set_many(["a", "b", "c"].map(|key| SetItem::new(key, 2))).await;
    let error = results[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.key(), error.index()), (ErrorKind::RateLimited, Some("b"), Some(1)));
    assert!(results[0].is_ok() && results[2].is_ok());
    let results = limited.store.delete_many(["a", "d"]).await;
    assert!(results[0].is_err() && results[1].is_ok(), "{results:?}");
    // All or nothing: none goes, and none counts as written.
    let items = || ["e", "a"].map(|key| SetItem::new(key, 3));
    let error = limited.store.set_many_all_or_nothing(items()).await.unwrap_err();
    assert_eq!((error.kind(), error.key(), error.index()), (ErrorKind::RateLimited, Some("a"), Some(1)));
    limited.store.set("e", 1).await.unwrap();
    limited.clock.advance(SECOND);
    assert!(limited.store.set_many_all_or_nothing(items()).await.unwrap().is_written());
}

/// A system that takes three items in one request, looks before a conditional write, and documents a rate.
#[derive(Debug)]
struct Narrow {
    memory: MemoryStore,
    capabilities: Capabilities,
}

impl Default for Narrow {
    fn default() -> Self {
        let memory = MemoryStore::default();
        let capabilities = memory.capabilities().clone().with_bulk_items(3, 3).with_request_rate(rate(10, 1));
        Self { memory, capabilities: capabilities.with_if_not_exists(Support::Emulated) }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Narrow {
    forward_backend!(self => self.memory;
        forward: [scope, clock, read_now, write_now, read, write, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete, ping, close],
        implement: []);

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
}

#[tokio::test]
async fn a_batch_counts_as_the_requests_it_takes_and_goes_in_parts() {
    let limited = Limited::over(Narrow::default(), RateLimited::new(rate(11, 10)).with_burst(burst(2)));
    // Seven items are three requests: two at once, the third after a second.
    let keys: Vec<String> = (0..7).map(|n| format!("k{n}")).collect();
    let mut sets = pin!(limited.store.set_many(keys.iter().map(|key| SetItem::new(key, 1))));
    assert!(sets.as_mut().now_or_never().is_none());
    limited.clock.advance(SECOND);
    assert!(sets.await.iter().all(Result::is_ok));
    limited.clock.advance(9 * SECOND);
    let mut reads = pin!(limited.store.get_many(keys.iter().map(String::as_str)));
    assert!(reads.as_mut().now_or_never().is_none());
    limited.clock.advance(SECOND);
    assert!(reads.await.unwrap().iter().all(Option::is_some));
    limited.clock.advance(9 * SECOND);
    let mut deletes = pin!(limited.store.delete_many(keys.iter().map(String::as_str)));
    assert!(deletes.as_mut().now_or_never().is_none());
    limited.clock.advance(SECOND);
    assert!(deletes.await.iter().all(Result::is_ok));
    let calls = limited.sent.calls.lock().unwrap();
    let sent: Vec<_> = calls.iter().map(|(at, call)| (at.as_secs(), call.keys.len())).collect();
    assert_eq!(sent, [(0, 6), (1, 1), (10, 6), (11, 1), (20, 6), (21, 1)]);
}

#[tokio::test]
async fn a_look_before_a_write_counts() {
    let limited = Limited::over(
        Narrow::default(),
        RateLimited::new(rate(4, 4)).with_burst(burst(2)).with_max_wait(Duration::ZERO),
    );
    limited.store.set("a", 1).if_not_exists().await.unwrap();
    assert_eq!(limited.store.get("a").await.unwrap_err().kind(), ErrorKind::RateLimited);
}

#[tokio::test]
async fn a_read_of_more_than_can_be_had_in_time_is_refused_before_anything_is_sent() {
    let limit = RateLimited::new(rate(11, 10)).with_burst(burst(2)).with_max_wait(3 * SECOND);
    let limited = Limited::over(Narrow::default(), limit);
    let keys: Vec<String> = (0..18).map(|n| format!("k{n}")).collect();
    let error = limited.store.get_many(keys.iter().map(String::as_str)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry(), error.retry_after()), (ErrorKind::RateLimited, Retry::Never, None));
    assert_eq!(limited.sent(), 0);
    // Of sets the parts that can be had go.
    let mut sets = pin!(limited.store.set_many(keys.iter().map(|key| SetItem::new(key, 1))));
    let results = loop {
        match sets.as_mut().now_or_never() {
            Some(results) => break results,
            None => limited.clock.advance(SECOND),
        }
    };
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 12);
    assert!(results[12..].iter().all(|result| result.as_ref().is_err_and(|error| error.retry() == Retry::Safe)));
}

#[tokio::test]
async fn err_3_a_call_that_can_never_go_is_not_to_be_repeated() {
    let limited = Limited::over(Narrow::default(), RateLimited::new(rate(1, 60)).with_max_wait(5 * SECOND));
    // A look and a write are two requests, a minute apart.
    let error = limited.store.set("k", 1).if_not_exists().await.unwrap_err();
    assert_eq!((error.kind(), error.retry(), error.retry_after()), (ErrorKind::RateLimited, Retry::Never, None));
    let items = (0..4).map(|n| SetItem::new(n.to_string(), 1));
    let error = limited.store.set_many_all_or_nothing(items).await.unwrap_err();
    assert_eq!((error.kind(), error.retry(), error.retry_after()), (ErrorKind::RateLimited, Retry::Never, None));
    limited.store.set("k", 1).await.unwrap();
    assert_eq!(limited.store.set("k", 1).await.unwrap_err().retry(), Retry::Safe, "later it can go");
}

#[tokio::test]
async fn a_call_of_more_requests_than_go_at_once_is_refused_at_once_and_takes_nothing() {
    let limit = RateLimited::new(rate(11, 10)).with_burst(burst(2)).with_max_wait(3 * SECOND);
    let limited = Limited::over(Narrow::default(), limit);
    for _ in 0..2 {
        limited.store.exists("k").await.unwrap();
    }
    // Four requests take two seconds of a rate that rests, and four of this one.
    let items = || (0..12).map(|n| SetItem::new(n.to_string(), 1));
    let refused = limited.store.set_many_all_or_nothing(items()).into_future().now_or_never();
    let error = refused.expect("it does not wait").unwrap_err();
    assert_eq!((error.retry(), error.retry_after()), (Retry::Safe, Some(4 * SECOND)));
    limited.clock.advance(SECOND);
    limited.store.exists("k").await.unwrap();
    limited.clock.advance(2 * SECOND);
    let mut written = pin!(limited.store.set_many_all_or_nothing(items()).into_future());
    assert!(written.as_mut().now_or_never().is_none());
    limited.clock.advance(2 * SECOND);
    assert!(written.now_or_never().expect("its time has come").unwrap().is_written());
}

#[tokio::test]
async fn a_rate_of_any_numbers_is_a_rate() {
    for (requests, seconds) in [(1_000_000, 86_400), (u32::MAX, u64::MAX), (1, u64::MAX), (u32::MAX, 1), (0, 0)] {
        let limit = RateLimited::new(rate(requests, seconds)).with_max_wait(Duration::ZERO);
        for limit in [limit.clone(), limit.with_burst(NonZeroU32::MAX)] {
            let limited = Limited::new(limit);
            let keys: Vec<String> = (0..100).map(|n| n.to_string()).collect();
            for _ in 0..3 {
                limited.clock.advance(SECOND);
                let _ = limited.store.exists("k").await;
                let _ = limited.store.get_many(keys.iter().map(String::as_str)).await;
            }
            assert!(limited.sent() >= 1);
        }
    }
}

/// What says how many items it takes in one request, and has no method for it.
#[derive(Debug, Default)]
struct Singly(Narrow);

#[kv_api::async_trait]
impl Backend for Singly {
    forward_backend!(self => self.0;
        forward: [scope, clock, read, write, delete, ping, close],
        implement: []);

    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }
}

#[tokio::test]
async fn without_a_method_for_many_items_each_counts() {
    let limit = RateLimited::new(rate(4, 1)).with_burst(burst(4)).with_max_wait(Duration::ZERO);
    let limited = Limited::over(Singly::default(), limit.clone());
    limited.store.get_many(["a", "b", "c"]).await.unwrap();
    limited.store.exists("d").await.unwrap();
    assert_eq!(limited.store.exists("e").await.unwrap_err().kind(), ErrorKind::RateLimited);
    let limited = Limited::over(Singly::default(), limit);
    let results = limited.store.set_many(["a", "b", "c"].map(|key| SetItem::new(key, 1))).await;
    assert!(results.iter().all(Result::is_ok));
    limited.store.exists("d").await.unwrap();
    assert!(limited.store.exists("e").await.is_err());
}

#[tokio::test]
async fn the_documented_rate_is_kept_to_and_own_numbers_are_reported() {
    let documented = Limited::over(Narrow::default(), RateLimited::documented().with_max_wait(Duration::ZERO));
    assert_eq!(documented.store.capabilities().request_rate, Some(rate(10, 1)));
    let mut sent = 0;
    while documented.store.ping().await.is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 2, "a fifth of 10 at once");
    let none = Limited::new(RateLimited::documented());
    assert_eq!(none.store.capabilities().request_rate, None);
    let own = Limited::over(Narrow::default(), RateLimited::cloudflare_defaults());
    assert_eq!(own.store.capabilities().request_rate, Some(rate(1200, 300)));
}

#[test]
fn prints_itself_with_its_numbers() {
    assert_eq!(
        RateLimited::cloudflare_defaults().with_burst(burst(9)).to_string(),
        "rate_limited(1200 in 300s, 9 at once, a write to a key each 1s, wait at most 10s)"
    );
    assert_eq!(RateLimited::documented().to_string(), "rate_limited(as documented, wait at most 10s)");
    let wrapped = MemoryStore::default().layer(&RateLimited::documented());
    assert!(format!("{wrapped:?}").starts_with("RateLimited(MemoryStore"), "{wrapped:?}");
}
