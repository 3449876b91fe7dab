//! The cache: the suite, what is kept and for how long, one load at a time, and no older value after a newer one.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::task::noop_waker;
use futures_util::{FutureExt, poll};
use kv_api::{
    Backend, BackendExt, Capabilities, Clock, Consistency, Entry, EntryExpiry, Error, ErrorKind, ExpiryClock, Fields,
    Layer, ManualClock, Metadata, Read, ReadMany, Result, SetItem, SetOutcome, Store, Support, Timestamp, Value,
    ValueKinds, Write, async_trait, forward_backend,
};
use kv_cloudflare::{CloudflareConfig, CloudflareStore, Credentials};
use kv_fakes::cloudflare::{ACCOUNT, Fake, NAMESPACE};
use kv_fakes::{FakeServer, ServerOptions};
use kv_layers::Cached;
use kv_memory::{MemoryConfig, MemoryStore};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

/// Without chance.
fn cached() -> Cached {
    Cached::new().with_jitter_percent(0)
}

mod suite {
    use super::*;

    fn cached(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
        Cached::new().layer(inner)
    }

    common::suite!(cached, lost: LOST);

    /// What others write is seen later. That own writes are seen is tested below.
    const LOST: &[&str] = &["set_7_a_read_after_a_write_sees_it", "set_7_histories_of_sets_and_reads_are_linearizable"];
}

/// A backend that counts what it is asked, and can be slow, or fail.
#[derive(Clone, Debug)]
struct Probe(Arc<State>);

#[derive(Debug)]
struct State {
    inner: MemoryStore,
    capabilities: Capabilities,
    clock: ManualClock,
    /// The keys of each request to read.
    reads: Mutex<Vec<Vec<String>>>,
    /// How often a call is polled before, and again after, it is carried out.
    turns: AtomicUsize,
    fails: AtomicBool,
}

impl Probe {
    fn new() -> Self {
        Self::with_capabilities(MemoryStore::new().capabilities().clone())
    }

    fn with_capabilities(capabilities: Capabilities) -> Self {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(1_795_161_822));
        let inner = MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone())));
        let (reads, turns, fails) = Default::default();
        Self(Arc::new(State { inner, capabilities, clock, reads, turns, fails }))
    }

    /// A store behind the layer.
    fn behind(&self, layer: &Cached) -> Store {
        self.clone().layer(layer).into_store()
    }

    /// A store that sees what is in the backend, uncounted.
    fn direct(&self) -> Store {
        self.0.inner.clone().into_store()
    }

    fn reads(&self) -> usize {
        self.0.reads.lock().unwrap().len()
    }

    fn asked(&self, keys: Vec<String>) -> Result<()> {
        self.0.reads.lock().unwrap().push(keys);
        if self.0.fails.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "as it was told"));
        }
        Ok(())
    }

    async fn take_turns(&self) {
        for _ in 0..self.0.turns.load(Ordering::Relaxed) {
            YieldOnce(false).await;
        }
    }
}

struct YieldOnce(bool);

impl Future for YieldOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Carries out a call between two waits.
macro_rules! slowly {
    ($self:ident, $call:expr) => {{
        $self.take_turns().await;
        let answer = $call.await;
        $self.take_turns().await;
        answer
    }};
}

#[async_trait]
impl Backend for Probe {
    forward_backend!(self => self.0.inner;
        forward: [scope, clock, list, touch, get_and_delete, ping, close],
        implement: [read_now, write_now, read, read_many, write, write_many, delete, delete_many, write_all_or_nothing,
            increment, expire]);

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    fn read_now(&self, _: &Read<'_>) -> Option<Result<Option<Entry>>> {
        None
    }

    fn write_now(&self, _: &Write<'_>) -> Option<Result<SetOutcome>> {
        None
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        self.asked(vec![read.key().to_owned()])?;
        let (inner, hides_expiry) = (&self.0.inner, !self.0.capabilities.expiry_read);
        let found = slowly!(self, inner.read(read))?;
        Ok(found.map(|entry| match entry.version() {
            Some(version) if hides_expiry => Entry::with_details(
                entry.value().clone(),
                entry.metadata().cloned(),
                EntryExpiry::Unknown,
                Some(version.clone()),
            ),
            _ => entry,
        }))
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        self.asked(reads.keys().iter().map(|key| key.to_string()).collect())?;
        slowly!(self, self.0.inner.read_many(reads))
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        slowly!(self, self.0.inner.write(write))
    }

    async fn write_many(&self, writes: kv_api::WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        slowly!(self, self.0.inner.write_many(writes))
    }

    async fn delete(&self, delete: kv_api::Delete<'_>) -> Result<kv_api::DeleteOutcome> {
        slowly!(self, self.0.inner.delete(delete))
    }

    async fn delete_many(&self, deletes: kv_api::DeleteMany<'_>) -> Vec<Result<kv_api::DeleteOutcome>> {
        slowly!(self, self.0.inner.delete_many(deletes))
    }

    async fn write_all_or_nothing(&self, writes: kv_api::WriteMany<'_>) -> Result<kv_api::BatchOutcome> {
        slowly!(self, self.0.inner.write_all_or_nothing(writes))
    }

    async fn increment(&self, increment: kv_api::Increment<'_>) -> Result<i64> {
        slowly!(self, self.0.inner.increment(increment))
    }

    async fn expire(&self, expire: kv_api::Expire<'_>) -> Result<bool> {
        slowly!(self, self.0.inner.expire(expire))
    }
}

#[tokio::test]
async fn what_was_read_or_written_is_not_asked_for_again() {
    let probe = Probe::new();
    let store = probe.behind(&cached());
    probe.direct().set("read", "v").metadata(json!({"m": 1})).await.unwrap();
    let version = store.set("written", "w").metadata(json!([2])).await.unwrap().version().cloned();
    for round in 0..3 {
        assert_eq!(store.get("read").await.unwrap(), Some(Value::from("v")));
        assert_eq!(store.get_entry("read").await.unwrap().unwrap().metadata(), Some(&Metadata::from(json!({"m": 1}))));
        assert!(store.exists("read").await.unwrap());
        let written = store.get_entry("written").await.unwrap().unwrap();
        assert_eq!((written.value(), written.version()), (&Value::from("w"), version.as_ref()));
        assert_eq!((written.metadata(), written.expiry()), (Some(&Metadata::from(json!([2]))), EntryExpiry::Never));
        assert_eq!(store.get("missing").await.unwrap(), None);
        assert!(!store.exists("missing").await.unwrap());
        assert_eq!(probe.reads(), 2, "in round {round}");
    }
}

#[tokio::test]
async fn a_read_of_many_asks_only_for_what_is_not_kept() {
    let probe = Probe::new();
    let store = probe.behind(&cached());
    let direct = probe.direct();
    for key in ["a", "b", "c"] {
        direct.set(key, key).await.unwrap();
    }
    store.get("b").await.unwrap();
    let expected = [Some(Value::from("a")), Some(Value::from("b")), None, Some(Value::from("c"))];
    for _ in 0..3 {
        assert_eq!(store.get_many(["a", "b", "missing", "c"]).await.unwrap(), expected);
    }
    assert_eq!(*probe.0.reads.lock().unwrap(), [vec!["b"], vec!["a", "missing", "c"]]);
    // What a read of many values leaves out may be there, as what is no value (VAL-7).
    assert_eq!(store.exists_many(["missing"]).await.unwrap(), [false]);
    assert!(!store.exists("missing").await.unwrap());
    assert_eq!(probe.reads(), 3);
}

#[tokio::test]
async fn set_7_every_own_write_is_seen() {
    let probe = Probe::new();
    let store = probe.behind(&cached());
    let clone = store.clone();
    let read = async |expected: Option<Value>, what: &str| {
        assert_eq!(clone.get("k").await.unwrap(), expected, "{what}");
        assert_eq!(clone.get_entry("k").await.unwrap().map(Entry::into_value), expected, "{what}");
        assert_eq!(clone.get_many(["k"]).await.unwrap()[0], expected, "{what}");
        assert_eq!(clone.exists("k").await.unwrap(), expected.is_some(), "{what}");
    };
    read(None, "at first").await;
    store.set("k", 1).await.unwrap();
    read(Some(1.into()), "a set").await;
    assert!(!store.set("k", 2).if_not_exists().await.unwrap().is_written());
    read(Some(1.into()), "a set that is not met").await;
    store.increment("k", 4).await.unwrap();
    read(Some(5.into()), "an increment").await;
    for result in store.set_many([SetItem::new("k", 6), SetItem::new("k", 7)]).await {
        result.unwrap();
    }
    read(Some(7.into()), "a batch").await;
    assert!(store.set_many_all_or_nothing([SetItem::new("k", 8)]).await.unwrap().is_written());
    read(Some(8.into()), "a batch as a whole").await;
    store.delete_many(["k"]).await.remove(0).unwrap();
    read(None, "a delete of many").await;
    store.set("k", 9).ttl(SECOND).await.unwrap();
    read(Some(9.into()), "a set with a ttl").await;
    store.expire("k").ttl(3 * SECOND).await.unwrap();
    probe.0.clock.advance(2 * SECOND);
    read(Some(9.into()), "a longer life").await;
    assert!(store.get("k").touch(3 * SECOND).await.unwrap().is_some());
    probe.0.clock.advance(2 * SECOND);
    read(Some(9.into()), "a touch").await;
    assert_eq!(store.get_and_delete("k").await.unwrap(), Some(9.into()));
    read(None, "what takes the value").await;
    store.set("k", 10).await.unwrap();
    store.delete("k").await.unwrap();
    read(None, "a delete").await;
}

#[tokio::test]
async fn what_others_write_is_seen_when_the_ttl_has_ended() {
    let probe = Probe::new();
    let (store, direct) = (probe.behind(&cached().with_ttl(10 * SECOND)), probe.direct());
    direct.set("k", "old").await.unwrap();
    store.get("k").await.unwrap();
    store.get("n").await.unwrap();
    for key in ["k", "n"] {
        direct.set(key, "new").await.unwrap();
    }
    let micro = Duration::from_micros(1);
    for (seen, time) in [(("old", None), 5 * SECOND - micro), (("old", Some("new")), micro)] {
        probe.0.clock.advance(time);
        assert_eq!(store.get("k").await.unwrap(), Some(Value::from(seen.0)));
        assert_eq!(store.get("n").await.unwrap(), seen.1.map(Value::from));
    }
    probe.0.clock.advance(5 * SECOND - micro);
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("old")));
    probe.0.clock.advance(micro);
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("new")));
}

#[tokio::test]
async fn exp_7_an_entry_is_not_kept_beyond_its_own_end() {
    let probe = Probe::new();
    let (store, direct) = (probe.behind(&cached().with_stale_while_revalidate(60 * SECOND)), probe.direct());
    direct.set("read", "v").ttl(SECOND).await.unwrap();
    store.set("written", "v").ttl(SECOND).await.unwrap();
    let at = probe.0.clock.now().checked_add(SECOND).unwrap();
    store.set("at", "v").expire_at(at).await.unwrap();
    let keys = ["read", "written", "at"];
    for key in keys {
        assert_eq!(store.get_entry(key).await.unwrap().unwrap().expiry(), EntryExpiry::At(at));
    }
    probe.0.clock.advance(SECOND - Duration::from_millis(1));
    let reads = probe.reads();
    for key in keys {
        assert_eq!(store.get(key).await.unwrap(), Some(Value::from("v")), "{key}");
    }
    assert_eq!(probe.reads(), reads);
    probe.0.clock.advance(Duration::from_millis(1));
    for key in keys {
        assert_eq!(store.get(key).await.unwrap(), None, "{key}");
    }
}

#[tokio::test]
async fn exp_8_an_entry_whose_end_is_not_known_is_not_kept_unless_that_is_asked_for() {
    let no_expiry_read = MemoryStore::new().capabilities().clone().with_expiry_read(false);
    for (is_kept, reads) in [(false, 3), (true, 1)] {
        let probe = Probe::with_capabilities(no_expiry_read.clone());
        let store = probe.behind(&cached().cache_uncertain_expiry(is_kept));
        probe.direct().set("k", "v").ttl(SECOND).await.unwrap();
        for _ in 0..3 {
            assert_eq!(store.get("k").await.unwrap(), Some(Value::from("v")));
        }
        assert_eq!(probe.reads(), reads);
        // The end of what was written here is known.
        store.set("own", "v").ttl(SECOND).await.unwrap();
        assert_eq!(store.get("own").await.unwrap(), Some(Value::from("v")));
        assert_eq!(probe.reads(), reads);
        probe.0.clock.advance(SECOND);
        assert_eq!(store.get("own").await.unwrap(), None);
    }
    // Where nothing ends, nothing has to be known.
    let no_expiry = no_expiry_read.with_ttl(Support::None).with_expire_at(Support::None);
    let probe = Probe::with_capabilities(no_expiry.with_expire(Support::None));
    let store = probe.behind(&cached());
    probe.direct().set("k", "v").await.unwrap();
    for _ in 0..3 {
        store.get("k").await.unwrap();
    }
    assert_eq!(probe.reads(), 1);
}

#[tokio::test]
async fn exp_10_an_entry_that_ends_by_another_clock_is_not_kept_unless_that_is_asked_for() {
    let capabilities = MemoryStore::new().capabilities().clone().with_expiry_clock(ExpiryClock::System);
    let capabilities = capabilities.with_expiry_resolution(SECOND);
    for is_kept in [false, true] {
        let probe = Probe::with_capabilities(capabilities.clone());
        let store = probe.behind(&cached().cache_uncertain_expiry(is_kept));
        let at = probe.0.clock.now().checked_add(10 * SECOND).unwrap();
        probe.direct().set("read", "v").ttl(10 * SECOND).await.unwrap();
        store.set("at", "v").expire_at(at).await.unwrap();
        store.set("ttl", "v").ttl(10 * SECOND).await.unwrap();
        probe.direct().set("never", "v").await.unwrap();
        let asked = async || {
            let before = probe.reads();
            for key in ["read", "at", "ttl", "never"] {
                assert_eq!(store.get(key).await.unwrap(), Some(Value::from("v")), "{key}");
            }
            probe.reads() - before
        };
        assert_eq!(asked().await, if is_kept { 2 } else { 3 });
        assert_eq!(asked().await, if is_kept { 0 } else { 2 });
        // A remaining time in whole seconds can be reported up to two too long.
        probe.0.clock.advance(8 * SECOND - Duration::from_micros(1));
        assert_eq!(asked().await, if is_kept { 0 } else { 2 });
        probe.0.clock.advance(Duration::from_micros(1));
        assert_eq!(asked().await, if is_kept { 1 } else { 2 });
    }
}

#[tokio::test]
async fn exp_10_a_clock_that_is_set_back_keeps_nothing_longer() {
    let probe = Probe::new();
    let (store, direct) = (probe.behind(&cached()), probe.direct());
    direct.set("k", "old").await.unwrap();
    store.get("k").await.unwrap();
    direct.set("k", "new").await.unwrap();
    probe.0.clock.set(Timestamp::from_unix_seconds(1_000));
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("new")));
}

#[tokio::test]
async fn while_one_read_loads_again_the_others_have_the_stale_value() {
    let probe = Probe::new();
    let layer = cached().with_ttl(10 * SECOND).with_stale_while_revalidate(10 * SECOND);
    let (store, direct) = (probe.behind(&layer), probe.direct());
    direct.set("k", "old").await.unwrap();
    store.get("k").await.unwrap();
    direct.set("k", "new").await.unwrap();
    probe.0.clock.advance(10 * SECOND);
    probe.0.turns.store(1, Ordering::Relaxed);
    let mut loading = store.get("k");
    assert!(poll!(&mut loading).is_pending());
    for _ in 0..3 {
        assert_eq!(store.get("k").now_or_never().unwrap().unwrap(), Some(Value::from("old")));
    }
    assert_eq!(loading.await.unwrap(), Some(Value::from("new")));
    assert_eq!(store.get("k").now_or_never().unwrap().unwrap(), Some(Value::from("new")));
    assert_eq!(probe.reads(), 2);
    // One that is given up leaves it to the next.
    probe.0.clock.advance(10 * SECOND);
    let mut given_up = store.get("k");
    assert!(poll!(&mut given_up).is_pending());
    drop(given_up);
    direct.set("k", "newer").await.unwrap();
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("newer")));
}

#[tokio::test]
async fn a_stale_value_is_better_than_none() {
    let probe = Probe::new();
    let layer = cached().with_ttl(10 * SECOND).with_stale_while_revalidate(10 * SECOND);
    let store = probe.behind(&layer);
    probe.direct().set("k", "v").await.unwrap();
    store.get("k").await.unwrap();
    probe.0.fails.store(true, Ordering::Relaxed);
    probe.0.clock.advance(10 * SECOND);
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("v")));
    assert_eq!(store.get_many(["k"]).await.unwrap(), [Some(Value::from("v"))]);
    // Not where another key has none, and not for ever.
    assert_eq!(store.get_many(["k", "other"]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    probe.0.clock.advance(10 * SECOND);
    assert_eq!(store.get("k").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.get_many(["k"]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    // An error is not kept.
    probe.0.fails.store(false, Ordering::Relaxed);
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("v")));
}

#[tokio::test]
async fn err_6_a_load_is_carried_on_by_those_who_are_left() {
    let probe = Probe::new();
    let store = probe.behind(&cached());
    probe.direct().set("k", "v").await.unwrap();
    probe.0.turns.store(3, Ordering::Relaxed);
    let [mut first, mut second, mut third] = std::array::from_fn(|_| store.get("k"));
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
    drop(first);
    assert_eq!(second.await.unwrap(), Some(Value::from("v")));
    drop(third);
    assert_eq!(probe.reads(), 1);
    // All are gone: the next begins anew.
    let mut alone = store.get("other");
    assert!(poll!(&mut alone).is_pending());
    drop(alone);
    assert_eq!(store.get("other").await.unwrap(), None);
    assert_eq!(probe.reads(), 3);
}

#[tokio::test]
async fn a_load_that_does_not_ask_for_enough_is_not_joined() {
    let probe = Probe::new();
    let store = probe.behind(&cached());
    probe.direct().set("k", "v").await.unwrap();
    probe.0.turns.store(1, Ordering::Relaxed);
    let (mut exists, mut entry, mut value) = (store.exists("k"), store.get_entry("k"), store.get("k"));
    assert!(poll!(&mut exists).is_pending() && poll!(&mut entry).is_pending() && poll!(&mut value).is_pending());
    assert!(exists.await.unwrap());
    assert_eq!(entry.await.unwrap().unwrap().expiry(), EntryExpiry::Never);
    assert_eq!(value.await.unwrap(), Some(Value::from("v")));
    assert_eq!(probe.reads(), 2);
}

#[tokio::test]
async fn set_7_an_older_load_does_not_put_back_what_was_replaced() {
    for write in 0..4 {
        let probe = Probe::new();
        let store = probe.behind(&cached());
        probe.direct().set("k", 1).await.unwrap();
        probe.0.turns.store(1, Ordering::Relaxed);
        // The second time it has read the old value, and has not yet said so.
        let mut load = store.get("k");
        assert!(poll!(&mut load).is_pending() && poll!(&mut load).is_pending());
        probe.0.turns.store(0, Ordering::Relaxed);
        let expected = match write {
            0 => store.set("k", 2).await.map(|_| Some(2.into())).unwrap(),
            1 => store.delete("k").await.map(|_| None).unwrap(),
            2 => store.increment("k", 1).await.map(|_| Some(2.into())).unwrap(),
            _ => store.set_many([SetItem::new("k", 2)]).await.remove(0).map(|_| Some(2.into())).unwrap(),
        };
        let _: Option<Value> = load.await.unwrap();
        assert_eq!(store.get("k").await.unwrap(), expected, "write {write}");
        assert_eq!(store.get_many(["k"]).await.unwrap(), [expected], "write {write}");
    }
}

/// What is asked of one of two keys.
#[derive(Clone, Copy, Debug)]
enum Call {
    Get,
    GetEntry,
    Exists,
    GetMany,
    Set,
    SetIfExists,
    SetMany,
    SetAll,
    Delete,
    DeleteMany,
    Expire,
}

#[derive(Clone, Debug)]
enum Step {
    Start(Call, bool),
    /// Lets a call that is under way go on.
    Poll(Index),
    PollLast,
    /// Gives it up.
    Drop(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let call = prop::sample::select(vec![
        Call::Get,
        Call::GetEntry,
        Call::Exists,
        Call::GetMany,
        Call::Set,
        Call::SetIfExists,
        Call::SetMany,
        Call::SetAll,
        Call::Delete,
        Call::DeleteMany,
        Call::Expire,
    ]);
    prop_oneof![
        4 => (call, any::<bool>()).prop_map(|(call, key)| Step::Start(call, key)),
        8 => any::<Index>().prop_map(Step::Poll),
        1 => any::<Index>().prop_map(Step::Drop),
    ]
}

const KEYS: [&str; 2] = ["a", "b"];

/// What a call has found, or whether it has written.
#[derive(Debug)]
enum Seen {
    Values([Option<Option<i64>>; 2]),
    Exists(usize, bool),
    Written(bool),
}

/// A write of a key, by the steps in which it began and ended.
#[derive(Debug)]
struct Written {
    key: usize,
    value: Option<i64>,
    began: usize,
    ended: Option<usize>,
    is_acknowledged: bool,
}

struct Running {
    began: usize,
    call: BoxFuture<'static, Seen>,
    /// Its writes, by their positions.
    writes: Vec<usize>,
}

fn start(store: &Store, call: Call, key: usize, value: i64) -> BoxFuture<'static, Seen> {
    let (store, name) = (store.clone(), KEYS[key]);
    let number = |value: Option<Value>| value.map(|value| value.as_i64().unwrap());
    let one = move |found: Option<Option<i64>>| Seen::Values(if key == 0 { [found, None] } else { [None, found] });
    async move {
        match call {
            Call::Get => one(Some(number(store.get(name).await.unwrap()))),
            Call::GetEntry => one(Some(number(store.get_entry(name).await.unwrap().map(Entry::into_value)))),
            Call::Exists => Seen::Exists(key, store.exists(name).await.unwrap()),
            Call::GetMany => {
                let found = store.get_many(KEYS).await.unwrap();
                Seen::Values(std::array::from_fn(|key| Some(number(found[key].clone()))))
            }
            Call::Set => Seen::Written(store.set(name, value).await.unwrap().is_written()),
            Call::SetIfExists => Seen::Written(store.set(name, value).if_exists().await.unwrap().is_written()),
            Call::SetMany => {
                let results = store.set_many(KEYS.map(|key| SetItem::new(key, value))).await;
                Seen::Written(results.into_iter().all(|result| result.unwrap().is_written()))
            }
            Call::SetAll => {
                let items = KEYS.map(|key| SetItem::new(key, value));
                Seen::Written(store.set_many_all_or_nothing(items).await.unwrap().is_written())
            }
            Call::Delete => store.delete(name).await.map(|_| Seen::Written(true)).unwrap(),
            Call::DeleteMany => {
                let results = store.delete_many(KEYS).await;
                Seen::Written(results.into_iter().all(|result| result.is_ok()))
            }
            // The content stays.
            Call::Expire => store.expire(name).never().await.map(|_| Seen::Written(false)).unwrap(),
        }
    }
    .boxed()
}

/// What a call writes, by key.
fn written_by(call: Call, key: usize, value: i64) -> Vec<(usize, Option<i64>)> {
    match call {
        Call::Set | Call::SetIfExists => vec![(key, Some(value))],
        Call::SetMany | Call::SetAll => vec![(0, Some(value)), (1, Some(value))],
        Call::Delete => vec![(key, None)],
        Call::DeleteMany => vec![(0, None), (1, None)],
        _ => Vec::new(),
    }
}

/// Whether a read that began at this step may find this: some write of it was not replaced by one that began after it
/// had ended and was acknowledged before the read began.
fn may_be_found(writes: &[Written], key: usize, began: usize, is_it: impl Fn(Option<i64>) -> bool) -> bool {
    let replaced = |ended: usize| {
        writes.iter().any(|later| {
            let is_before = later.ended.is_some_and(|ended| ended < began);
            later.key == key && later.is_acknowledged && later.began > ended && is_before
        })
    };
    let mut candidates = writes.iter().filter(|write| write.key == key && is_it(write.value));
    (is_it(None) && !replaced(0)) || candidates.any(|write| write.ended.is_none_or(|ended| !replaced(ended)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn set_7_no_read_finds_what_was_replaced_before_it_began(steps in prop::collection::vec(step(), 1..120)) {
        let probe = Probe::new();
        probe.0.turns.store(1, Ordering::Relaxed);
        let store = probe.behind(&cached());
        let mut running: Vec<Running> = Vec::new();
        let mut writes: Vec<Written> = Vec::new();
        let waker = noop_waker();
        // In the end all that is under way goes on until it has ended.
        let rest = std::iter::repeat_n(Step::PollLast, 1_000);
        for (now, step) in (1..).zip(steps.into_iter().chain(rest)) {
            let at = match step {
                Step::Start(call, key) => {
                    let (key, value) = (usize::from(key), i64::try_from(now).unwrap());
                    let new = |(key, value)| Written { key, value, began: now, ended: None, is_acknowledged: false };
                    let first = writes.len();
                    writes.extend(written_by(call, key, value).into_iter().map(new));
                    let call = start(&store, call, key, value);
                    running.push(Running { began: now, call, writes: (first..writes.len()).collect() });
                    running.len() - 1
                }
                Step::Poll(_) | Step::PollLast | Step::Drop(_) if running.is_empty() => continue,
                Step::Poll(at) => at.index(running.len()),
                Step::PollLast => running.len() - 1,
                Step::Drop(at) => {
                    let given_up = running.swap_remove(at.index(running.len()));
                    given_up.writes.iter().for_each(|write| writes[*write].ended = Some(now));
                    continue;
                }
            };
            let Poll::Ready(seen) = running[at].call.poll_unpin(&mut Context::from_waker(&waker)) else { continue };
            let Running { began, writes: own, .. } = running.swap_remove(at);
            match seen {
                Seen::Written(is_written) => for write in own {
                    (writes[write].ended, writes[write].is_acknowledged) = (Some(now), is_written);
                },
                Seen::Exists(key, exists) => {
                    prop_assert!(may_be_found(&writes, key, began, |value| value.is_some() == exists), "{exists}");
                }
                Seen::Values(values) => for (key, found) in values.into_iter().enumerate() {
                    let Some(found) = found else { continue };
                    prop_assert!(
                        may_be_found(&writes, key, began, |value| value == found),
                        "a read of {key} that began at {began} found {found:?}: {writes:?}"
                    );
                },
            }
        }
        prop_assert!(running.is_empty());
        // Nothing is kept that is not there.
        probe.0.turns.store(0, Ordering::Relaxed);
        for key in KEYS {
            let there = probe.direct().get(key).now_or_never().unwrap().unwrap();
            prop_assert_eq!(store.get(key).now_or_never().unwrap().unwrap(), there.clone());
            prop_assert_eq!(store.get_many([key]).now_or_never().unwrap().unwrap(), [there]);
        }
    }
}

#[tokio::test]
async fn no_more_is_kept_than_is_allowed() {
    for (layer, most) in [
        (cached().with_entries_max(10), 10),
        // Each takes 256 bytes, a key of 4, and a value of 1,000.
        (cached().with_bytes_max(10 * 1_260), 10),
        (cached().with_bytes_max(100), 0),
    ] {
        let probe = Probe::new();
        let (store, direct) = (probe.behind(&layer), probe.direct());
        let keys: Vec<String> = (0..100).map(|number| format!("k{number:03}")).collect();
        for key in &keys {
            direct.set(key, "x".repeat(1_000)).await.unwrap();
            store.get(key).await.unwrap();
            store.set(key, "y".repeat(1_000)).await.unwrap();
        }
        let before = probe.reads();
        for key in &keys {
            store.get(key).await.unwrap();
        }
        let kept = 100 - (probe.reads() - before);
        assert!(kept <= most, "{kept} of {most}");
    }
}

#[test]
fn cap_1_what_is_kept_can_be_old_and_is_said_to_be() {
    let layer = cached().with_ttl(30 * SECOND).with_stale_while_revalidate(5 * SECOND);
    let eventual = |usually_within| Consistency::Eventual { usually_within };
    for (inner, expected) in [
        (Consistency::Strong, eventual(Some(35 * SECOND))),
        (eventual(Some(60 * SECOND)), eventual(Some(95 * SECOND))),
        (eventual(None), eventual(None)),
    ] {
        let capabilities = MemoryStore::new().capabilities().clone().with_consistency(inner);
        assert_eq!(Probe::with_capabilities(capabilities).behind(&layer).capabilities().consistency, expected);
    }
    // That there is none can be kept for longer than an entry, and is never stale for longer than it was fresh.
    for (negative, expected) in [(60, 65), (4, 35)] {
        let layer = layer.clone().with_negative_ttl(negative * SECOND);
        assert_eq!(Probe::new().behind(&layer).capabilities().consistency, eventual(Some(expected * SECOND)));
    }
    // All else is as it is inside.
    let capabilities = Capabilities::new("least").with_value_kinds(ValueKinds::ALL);
    let store = Probe::with_capabilities(capabilities).behind(&layer);
    assert_eq!(store.capabilities().if_exists, Support::None);
    assert!(format!("{layer}").starts_with("cached(10000 entries, ttl 30s, negative 5s, stale 5s)"));
}

#[tokio::test]
async fn what_was_kept_goes_with_the_store() {
    let probe = Probe::new();
    let backend = Arc::new(probe.clone()).layer(&cached());
    let store = Store::from_arc(Arc::clone(&backend));
    store.set("k", "v").await.unwrap();
    let read = kv_api::Resolver::new(backend.capabilities()).read("k", Fields::Value).unwrap();
    assert!(backend.read_now(&read).is_some());
    store.close().await.unwrap();
    assert!(backend.read_now(&read).is_none());
    assert_eq!(store.get("k").await.unwrap_err().kind(), ErrorKind::Closed);
}

/// The fake of Workers KV, and a backend on it.
async fn cloudflare() -> (FakeServer, CloudflareStore) {
    let server = Fake::new().with_token("token").serve(ServerOptions::new()).await.unwrap();
    let config = CloudflareConfig::new(ACCOUNT, NAMESPACE, Credentials::Token("token".into())).unwrap();
    let store = CloudflareStore::open(config.with_base_url(server.base_url()).unwrap()).unwrap();
    (server, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_callers_on_one_key_one_asks() {
    let (server, backend) = cloudflare().await;
    let store = backend.layer(&Cached::new()).into_store();
    for key in ["missing", "there"] {
        let before = server.requests();
        let callers = (0..64).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.get(key).await.unwrap() })
        });
        for found in join_all(callers).await {
            assert_eq!(found.unwrap().is_some(), key == "there");
        }
        store.get(key).await.unwrap();
        assert_eq!(server.requests() - before, 1, "{key}: one for all, and none for a hit");
        // For the second round: another client's entry, which is in no cache.
        let (_, other) = (&server, CloudflareConfig::new(ACCOUNT, NAMESPACE, Credentials::Token("token".into())));
        let other = CloudflareStore::open(other.unwrap().with_base_url(server.base_url()).unwrap()).unwrap();
        other.into_store().set("there", "v").await.unwrap();
    }
}
