//! The layer that lets only reads through.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests and what they share fail")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kv_api::{
    Backend, BackendExt, Error, ErrorKind, Feature, Layer, ManualClock, Reason, Result, Retry, SetItem, Store,
    forward_backend,
};
use kv_layers::{Call, Intercept, Intercepted, ReadOnly};
use kv_memory::MemoryStore;

/// Reads through the layer and writes beside it, since without writes the suite has nothing to read.
#[derive(Debug)]
struct Beside {
    reads: Arc<dyn Backend>,
    writes: Arc<dyn Backend>,
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Beside {
    forward_backend!(@forward self, self.writes, capabilities);
    forward_backend!(@forward self, self.writes, methods);
    forward_backend!(@forward self, self.reads, scope);
    forward_backend!(@forward self, self.reads, clock);
    forward_backend!(@forward self, self.reads, read_now);
    forward_backend!(@forward self, self.reads, read);
    forward_backend!(@forward self, self.reads, read_many);
    forward_backend!(@forward self, self.reads, list);
    forward_backend!(@forward self, self.reads, ping);
    forward_backend!(@forward self, self.reads, close);
    forward_backend!(@forward self, self.writes, write_now);
    forward_backend!(@forward self, self.writes, write);
    forward_backend!(@forward self, self.writes, write_many);
    forward_backend!(@forward self, self.writes, write_all_or_nothing);
    forward_backend!(@forward self, self.writes, delete);
    forward_backend!(@forward self, self.writes, delete_many);
    forward_backend!(@forward self, self.writes, increment);
    forward_backend!(@forward self, self.writes, expire);
    forward_backend!(@forward self, self.writes, touch);
    forward_backend!(@forward self, self.writes, get_and_delete);
}

fn beside(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
    Arc::new(Beside { reads: ReadOnly.layer(Arc::clone(&inner)), writes: inner })
}

mod reads {
    crate::common::suite!(crate::beside);
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Intercept for Count {
    fn before(&self, _: &Call) -> Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn is_read_only(error: &Error) -> bool {
    (error.kind(), error.reason(), error.retry()) == (ErrorKind::Misconfigured, Some(&Reason::ReadOnly), Retry::Never)
}

#[tokio::test]
async fn every_write_is_refused_before_anything_is_sent() {
    let memory = MemoryStore::default();
    memory.clone().into_store().set("k", 1).await.unwrap();
    let count = Arc::new(Count::default());
    let store: Store = memory.layer(&Intercepted::new(Arc::clone(&count))).layer(&ReadOnly).into_store();

    assert!(is_read_only(&store.set("k", 2).await.unwrap_err()));
    assert!(is_read_only(&store.set("new", 2).await.unwrap_err()));
    assert!(is_read_only(&store.delete("k").await.unwrap_err()));
    assert!(is_read_only(&store.delete_prefix("k").await.unwrap_err()));
    for result in store.set_many([SetItem::new("k", 2), SetItem::new("l", 2)]).await {
        assert!(is_read_only(&result.unwrap_err()));
    }
    for result in store.delete_many(["k", "l"]).await {
        assert!(is_read_only(&result.unwrap_err()));
    }
    // What the capabilities can say is refused by them.
    for (feature, error) in [
        (Feature::IfNotExists, store.set("k", 2).if_not_exists().await.unwrap_err()),
        (Feature::IfExists, store.set("k", 2).if_exists().await.unwrap_err()),
        (Feature::Ttl, store.set("k", 2).ttl(Duration::from_secs(9)).await.unwrap_err()),
        (Feature::Counters, store.increment("k", 1).await.unwrap_err()),
        (Feature::Expire, store.expire("k").never().await.unwrap_err()),
        (Feature::Touch, store.get("k").touch(Duration::from_secs(9)).await.unwrap_err()),
        (Feature::GetAndDelete, store.get_and_delete("k").await.unwrap_err()),
        (Feature::AllOrNothing, store.set_many_all_or_nothing([SetItem::new("k", 2)]).await.unwrap_err()),
    ] {
        assert_eq!((error.kind(), error.reason()), (ErrorKind::Unsupported, Some(&Reason::Unsupported(feature))));
    }
    // `delete_prefix` looked which keys there are.
    assert_eq!(count.0.load(Ordering::Relaxed), 1);

    assert_eq!(store.get("k").await.unwrap().unwrap(), 1.into());
    assert!(store.get_entry("k").await.unwrap().unwrap().version().is_some(), "versions are still read");
    assert_eq!(store.list().await.unwrap().items.len(), 1);
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_write_that_is_not_expressed_in_capabilities_is_refused_below_the_handle() {
    use kv_api::{Fields, IncrementOptions, Resolver};
    let memory = MemoryStore::default();
    let wrapped = memory.clone().layer(&ReadOnly);
    let clock = memory.clock();
    let resolver = Resolver::new(memory.capabilities());
    // As a layer outside might ask, by the capabilities of another backend.
    let error =
        wrapped.increment(resolver.increment("k", 1, IncrementOptions::default(), clock).unwrap()).await.unwrap_err();
    assert!(is_read_only(&error));
    let taken = resolver.get_and_delete("k", Fields::Value, false).unwrap();
    assert!(is_read_only(&wrapped.get_and_delete(taken).await.unwrap_err()));
    let writes = resolver.all_or_nothing([SetItem::new("k", 1)], clock).unwrap().unwrap();
    assert!(is_read_only(&wrapped.write_all_or_nothing(writes).await.unwrap_err()));
    let write = resolver.write(SetItem::new("k", 1), clock).unwrap();
    assert!(is_read_only(&wrapped.write(write).await.unwrap_err()));
    assert!(!memory.into_store().exists("k").await.unwrap());
}

#[test]
fn prints_itself_and_what_it_wraps() {
    assert_eq!(ReadOnly.to_string(), "read_only");
    let wrapped = MemoryStore::default().layer(&ReadOnly);
    assert!(format!("{wrapped:?}").starts_with("ReadOnly(MemoryStore"), "{wrapped:?}");
}
