//! `get_or_set`: who loads, who waits, and what becomes of the value (GET-3).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join, pending};
use kv_api::{
    Backend, Capabilities, Clock, Delete, DeleteOutcome, Entry, Error, ErrorKind, Layer, Read, Reason, Result, Retry,
    SetOutcome, Store, Support, SystemClock, Value, Write, async_trait,
};
use kv_memory::MemoryStore;
use tokio::sync::oneshot;

fn memory() -> Store {
    Store::new(MemoryStore::default())
}

#[tokio::test]
async fn get_3_handles_with_a_prefix_share_one_load() {
    let store = memory();
    let users = store.with_prefix("user/");
    let (loaded, waits) = oneshot::channel::<&str>();
    let mut first = Box::pin(store.get_or_set("user/1", || async { Ok::<_, Error>(waits.await.unwrap()) }));
    assert!((&mut first).now_or_never().is_none());
    let mut second = Box::pin(users.get_or_set("1", || async { Ok::<_, Error>("again") }));
    let other = users.get_or_set("2", || async { Ok::<_, Error>("another key") });
    assert!((&mut second).now_or_never().is_none());
    assert_eq!(other.now_or_never().unwrap().unwrap(), Value::from("another key"));
    loaded.send("once").unwrap();
    let (first, second) = join(first, second).await;
    assert_eq!((first.unwrap(), second.unwrap()), (Value::from("once"), Value::from("once")));
}

/// Changes nothing, and might.
#[derive(Debug)]
struct Same;

impl fmt::Display for Same {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("same")
    }
}

impl Layer for Same {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        inner
    }
}

#[tokio::test]
async fn get_3_a_handle_behind_a_layer_takes_no_result_of_one_before_it() {
    let store = memory();
    let mut before = Box::pin(store.get_or_set("k", pending::<Result<Value>>));
    assert!((&mut before).now_or_never().is_none());
    let layered = store.layer(&Same);
    let behind = layered.get_or_set("k", || async { Ok::<_, Error>("loaded behind the layer") });
    assert_eq!(behind.now_or_never().unwrap().unwrap(), Value::from("loaded behind the layer"));
}

#[tokio::test]
async fn get_3_a_load_that_fails_makes_way_and_its_error_is_the_callers_own() {
    #[derive(Debug, PartialEq)]
    enum Failure {
        Store(ErrorKind),
        NotFound,
    }
    impl From<Error> for Failure {
        fn from(error: Error) -> Self {
            Self::Store(error.kind())
        }
    }
    let store = memory();
    let (fails, waits) = oneshot::channel::<()>();
    let mut first = Box::pin(store.get_or_set("k", || async {
        waits.await.unwrap();
        Err::<Value, _>(Failure::NotFound)
    }));
    assert!((&mut first).now_or_never().is_none());
    let mut second = Box::pin(store.get_or_set("k", || async { Ok::<_, Failure>("second") }));
    assert!((&mut second).now_or_never().is_none());
    fails.send(()).unwrap();
    let (first, second) = join(first, second).await;
    assert_eq!((first, second), (Err(Failure::NotFound), Ok(Value::from("second"))));
    let refused = store.get_or_set("", || async { Ok::<_, Failure>("v") }).await;
    assert_eq!(refused, Err(Failure::Store(ErrorKind::InvalidArgument)));
}

#[tokio::test]
async fn get_3_a_waiter_that_is_dropped_holds_up_no_other() {
    let store = memory();
    let mut first = Box::pin(store.get_or_set("k", pending::<Result<Value>>));
    let mut second = Box::pin(store.get_or_set("k", || async { Ok::<_, Error>("second") }));
    let mut third = Box::pin(store.get_or_set("k", || async { Ok::<_, Error>("third") }));
    for call in [&mut first, &mut second, &mut third] {
        assert!(call.now_or_never().is_none());
    }
    drop(first);
    drop(second); // it was its turn, and it never looked
    assert_eq!(third.await.unwrap(), Value::from("third"));
}

#[tokio::test]
async fn get_3_what_would_be_refused_is_refused_before_the_load() {
    let bare = kv_memory::CAPABILITIES.clone().with_if_not_exists(Support::None);
    let racy = kv_memory::CAPABILITIES.clone().with_if_not_exists(Support::BestEffort);
    let loads = AtomicU32::new(0);
    let load = || async {
        loads.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Error>("v")
    };
    let store = memory();
    let error = store.get_or_set("k", load).ttl(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::TtlZero));
    assert_eq!((error.operation(), error.key()), (Some("get_or_set"), Some("k")));
    let error = store.restricted_to([&bare]).get_or_set("k", load).allow_best_effort().await.unwrap_err();
    assert!(matches!(error.reason(), Some(Reason::Unsupported(_))), "{error}");
    let racy = store.restricted_to([&racy]);
    let error = racy.get_or_set("k", load).await.unwrap_err();
    assert!(matches!(error.reason(), Some(Reason::BestEffortNotAllowed(_))), "{error}");
    assert_eq!(loads.load(Ordering::Relaxed), 0);
    assert_eq!(racy.get_or_set("k", load).allow_best_effort().await.unwrap(), Value::from("v"));
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

/// A memory store whose first read answers only when it is let, and whose writes can fail.
#[derive(Debug, Default)]
struct Slow {
    memory: MemoryStore,
    first_read: Mutex<Option<oneshot::Receiver<()>>>,
    failing_writes: AtomicU32,
}

#[async_trait]
impl Backend for Slow {
    fn capabilities(&self) -> &Capabilities {
        self.memory.capabilities()
    }
    fn scope(&self) -> &str {
        "test"
    }
    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
    async fn ping(&self) -> Result<()> {
        Ok(())
    }
    async fn close(&self) -> Result<()> {
        Ok(())
    }
    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let found = self.memory.read(read).await;
        let held = self.first_read.lock().unwrap().take();
        if let Some(held) = held {
            held.await.unwrap();
        }
        found
    }
    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        if self.failing_writes.load(Ordering::Relaxed) > 0 {
            self.failing_writes.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::new(ErrorKind::Unavailable, "down").with_retry(Retry::OutcomeUnknown));
        }
        self.memory.write(write).await
    }
    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.memory.delete(delete).await
    }
}

#[tokio::test]
async fn get_3_a_read_that_was_overtaken_by_a_load_does_not_lead_to_a_second_one() {
    let (answers, held) = oneshot::channel();
    let slow = Slow { first_read: Mutex::new(Some(held)), ..Slow::default() };
    let store = Store::new(slow);
    let mut overtaken = Box::pin(store.get_or_set("k", || async { Ok::<_, Error>("second load") }));
    assert!((&mut overtaken).now_or_never().is_none(), "it has found nothing, and the answer is on its way");
    store.get_or_set("k", || async { Ok::<_, Error>("first load") }).await.unwrap();
    answers.send(()).unwrap();
    assert_eq!(overtaken.await.unwrap(), Value::from("first load"));
}

#[tokio::test]
async fn get_3_a_value_that_cannot_be_kept_is_an_error_and_the_next_call_loads() {
    let slow = Slow { failing_writes: AtomicU32::new(1), ..Slow::default() };
    let store = Store::new(slow);
    let error = store.get_or_set("k", || async { Ok::<_, Error>("lost") }).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    assert_eq!(error.operation(), Some("get_or_set"));
    assert_eq!(store.get_or_set("k", || async { Ok::<_, Error>("kept") }).await.unwrap(), Value::from("kept"));
}
