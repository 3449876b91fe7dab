//! The layer that calls a hook.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests and what they share fail")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use kv_api::{
    Backend, BackendExt, Error, ErrorKind, Layer, ManualClock, Result, SetItem, Store, Version, async_trait,
    forward_backend,
};
use kv_layers::{Call, Intercept, Intercepted, Operation, Outcome};
use kv_memory::MemoryStore;

struct Nothing;
impl Intercept for Nothing {}

fn wrap(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
    Intercepted::new(Nothing).layer(inner)
}

mod alone {
    crate::common::suite!(crate::wrap);
}

/// Writes down each call and its outcome, and refuses those on one key.
#[derive(Default)]
struct Audit {
    begun: Mutex<Vec<Operation>>,
    lines: Mutex<Vec<String>>,
}

const REFUSED: &str = "refused";

impl Intercept for Audit {
    fn before(&self, call: &Call) -> Result<()> {
        self.begun.lock().unwrap().push(call.operation);
        if call.keys.iter().any(|key| key == REFUSED) {
            return Err(Error::new(ErrorKind::Unauthorized, "not this one"));
        }
        Ok(())
    }

    fn after(&self, call: &Call, outcome: &Outcome<'_>) {
        let Call { operation, keys, prefix, .. } = call;
        let mut line =
            format!("{operation} {}{}: {}", keys.join(","), prefix.as_deref().unwrap_or(""), outcome.status());
        if let Some(error) = outcome.error() {
            line.push_str(&format!(" {:?} {}", error.kind(), outcome.failed_items()));
        }
        if let Some(returned) = outcome.returned() {
            line.push_str(&format!(" {returned}"));
        }
        self.lines.lock().unwrap().push(line);
    }
}

fn audited(inner: impl Backend) -> (Arc<Audit>, Store) {
    let audit = Arc::new(Audit::default());
    let store = inner.layer(&Intercepted::new(Arc::clone(&audit))).into_store();
    (audit, store)
}

impl Audit {
    /// The lines so far, which are then forgotten.
    fn lines(&self) -> Vec<String> {
        self.begun.lock().unwrap().clear();
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

#[tokio::test]
async fn every_call_is_seen_with_keys_and_outcome() {
    let (audit, store) = audited(MemoryStore::default());
    let users = store.with_prefix("user/");
    users.set("ada", 1).await.unwrap();
    users.set("ada", 2).await.unwrap();
    users.set("ada", 3).if_not_exists().await.unwrap();
    users.get("ada").await.unwrap();
    users.exists("bob").await.unwrap();
    users.get_many(["ada", "bob"]).await.unwrap();
    users.set_many([SetItem::new("a", 1), SetItem::new("b", 2)]).await;
    users.set_many_all_or_nothing([SetItem::new("a", 1), SetItem::new("c", 2)]).await.unwrap();
    users.list().limit(2).await.unwrap();
    users.increment("n", 1).await.unwrap();
    users.increment("ada", i64::MAX).await.unwrap_err();
    users.expire("n").never().await.unwrap();
    users.expire("none").never().await.unwrap();
    users.get("n").touch(Duration::from_secs(9)).await.unwrap();
    users.get_and_delete("n").await.unwrap();
    users.delete("a").await.unwrap();
    users.delete("a").await.unwrap();
    users.delete("ada").if_version("0-0".parse::<Version>().unwrap()).await.unwrap();
    users.delete_many(["a", "b"]).await;
    users.ping().await.unwrap();
    users.close().await.unwrap();
    assert_eq!(
        audit.lines(),
        [
            "set user/ada: created",
            "set user/ada: updated",
            "set user/ada: not_met",
            "get user/ada: found 1",
            "get user/bob: missing 0",
            "get_many user/ada,user/bob: done 1",
            "set_many user/a,user/b: done",
            "set_many_all_or_nothing user/a,user/c: written",
            "list user/: done 2",
            "increment user/n: done",
            "increment user/ada: failed InvalidArgument 0",
            "expire user/n: changed",
            "expire user/none: missing",
            "touch user/n: found 1",
            "get_and_delete user/n: found 1",
            "delete user/a: deleted",
            "delete user/a: not_found",
            "delete user/ada: not_met",
            "delete_many user/a,user/b: done",
            "ping : done",
            "close : done",
        ]
    );
}

#[tokio::test]
async fn a_refused_call_is_not_made_and_each_item_has_the_error() {
    let memory = MemoryStore::default();
    let (audit, store) = audited(memory.clone());
    let error = store.set(REFUSED, 1).await.unwrap_err();
    assert_eq!((error.kind(), error.key(), error.operation()), (ErrorKind::Unauthorized, Some(REFUSED), Some("set")));
    let results = store.set_many([SetItem::new("a", 1), SetItem::new(REFUSED, 2)]).await;
    assert!(results.iter().all(|result| result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unauthorized)));
    assert_eq!(audit.lines(), ["set refused: failed Unauthorized 0", "set_many a,refused: failed Unauthorized 2"]);
    assert!(memory.into_store().list().await.unwrap().items.is_empty(), "nothing reached the store");
}

/// A store that never answers a read.
#[derive(Debug)]
struct Silent(MemoryStore);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Silent {
    forward_backend!(@forward self, self.0, capabilities);
    forward_backend!(self => self.0;
        forward: [scope, clock, write_now, write, write_many, delete, delete_many, read_many, write_all_or_nothing,
            list, increment, expire, touch, get_and_delete, ping, close],
        implement: [read_now, read]);

    fn read_now(&self, _: &kv_api::Read<'_>) -> Option<Result<Option<kv_api::Entry>>> {
        None
    }

    async fn read(&self, _: kv_api::Read<'_>) -> Result<Option<kv_api::Entry>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_dropped_call_ends_as_cancelled() {
    let (audit, store) = audited(Silent(MemoryStore::default()));
    let mut get = store.get("k");
    assert!((&mut get).now_or_never().is_none());
    assert_eq!((audit.begun.lock().unwrap().len(), audit.lines.lock().unwrap().len()), (1, 0));
    drop(get);
    assert_eq!(audit.lines(), ["get k: cancelled"]);
    drop(store.get("k"));
    assert!(audit.lines().is_empty(), "a call that was never polled was never made");
}

#[test]
fn prints_itself_and_what_it_wraps() {
    let layer = Intercepted::new(Nothing);
    assert_eq!((layer.to_string(), format!("{layer:?}")), ("intercepted".to_owned(), "Intercepted { .. }".to_owned()));
    let wrapped = MemoryStore::default().layer(&layer);
    assert!(format!("{wrapped:?}").starts_with("Intercepted(MemoryStore"), "{wrapped:?}");
}

/// Refuses everything.
struct Never;

impl Intercept for Never {
    fn before(&self, _: &Call) -> Result<()> {
        Err(Error::new(ErrorKind::Unauthorized, "nothing is allowed"))
    }
}

#[tokio::test]
async fn layer_5_a_hook_that_refuses_everything_does_not_keep_the_store_open() {
    let audit = Arc::new(Audit::default());
    let inside = MemoryStore::default().layer(&Intercepted::new(Arc::clone(&audit)));
    let store = inside.layer(&Intercepted::new(Never)).into_store();
    assert_eq!(store.ping().await.unwrap_err().kind(), ErrorKind::Unauthorized);
    store.close().await.unwrap();
    assert_eq!(*audit.begun.lock().unwrap(), [Operation::Close]);
}
