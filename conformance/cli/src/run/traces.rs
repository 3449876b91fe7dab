//! What a run has written and not removed yet.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, TryStreamExt};
use kv_api::{Result, Store};
use parking_lot::Mutex;

/// How many keys are deleted in one call.
const DELETED_AT_ONCE: usize = 500;

/// How many keys a list may give: no case writes so many, and a list that goes in circles must end.
const LISTED_MAX: usize = 20_000;

/// How many keys are remembered of one place; more than any case writes.
const REMEMBERED_MAX: usize = 100_000;

/// The places that cases have written to.
#[derive(Debug, Default)]
pub(crate) struct Traces(Mutex<Vec<Arc<Trace>>>);

/// A prefix, and the whole keys that were written below it.
#[derive(Debug)]
pub(crate) struct Trace {
    /// Sees what was written; it has no layers that a case could use up or break.
    store: Store,
    prefix: String,
    keys: Mutex<BTreeSet<String>>,
    /// Whether a write may be applied later, as nobody has its answer.
    is_unsettled: AtomicBool,
}

impl Traces {
    /// A place that a case is about to write to, as `store` sees it.
    pub(crate) fn begin(&self, store: &Store, prefix: &str) -> Arc<Trace> {
        let (store, prefix) = (store.clone(), prefix.to_owned());
        let trace = Trace { store, prefix, keys: Mutex::default(), is_unsettled: AtomicBool::new(false) };
        let trace = Arc::new(trace);
        self.0.lock().push(Arc::clone(&trace));
        trace
    }

    /// Removes what was written to a place. What cannot be removed now is tried again by [`clear`](Self::clear), and so
    /// is what a write may still bring there.
    pub(crate) async fn end(&self, trace: &Arc<Trace>) {
        if trace.remove().await.is_ok() && !trace.is_unsettled.load(Ordering::Relaxed) {
            self.0.lock().retain(|other| !Arc::ptr_eq(other, trace));
        }
    }

    /// Whether a write may still be applied somewhere.
    pub(crate) fn are_unsettled(&self) -> bool {
        self.0.lock().iter().any(|trace| trace.is_unsettled.load(Ordering::Relaxed))
    }

    /// Removes what is left, and answers of each place that could not be cleared why.
    pub(crate) async fn clear(&self) -> Vec<(String, kv_api::Error)> {
        let left = self.0.lock().clone();
        let mut failures = Vec::new();
        for trace in left {
            match trace.remove().await {
                Ok(()) => self.0.lock().retain(|other| !Arc::ptr_eq(other, &trace)),
                Err(error) => failures.push((trace.prefix.clone(), error)),
            }
        }
        failures
    }
}

impl Trace {
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Notes keys that are about to be written.
    pub(crate) fn remember(&self, written: &[String]) {
        let mut keys = self.keys.lock();
        for key in written {
            // A layer may put something before the prefix, which nobody else has. Other keys are not ours to remove.
            if keys.len() < REMEMBERED_MAX && key.contains(&self.prefix) && !keys.contains(key) {
                keys.insert(key.clone());
            }
        }
    }

    /// Notes that nobody has the answer to a write: it may be applied later.
    pub(crate) fn unsettle(&self) {
        self.is_unsettled.store(true, Ordering::Relaxed);
    }

    /// Every write has its answer.
    pub(crate) fn settle(&self) {
        self.is_unsettled.store(false, Ordering::Relaxed);
    }

    /// Removes as much as it can, and answers the first error.
    async fn remove(&self) -> Result<()> {
        let mut keys = BTreeSet::new();
        let listed = if self.store.capabilities().list.is_full() { self.list_into(&mut keys).await } else { Ok(()) };
        // Also what no list shows: what has ended may still take room, and what was just written may not show yet.
        keys.extend(self.keys.lock().iter().cloned());
        let keys: Vec<String> = keys.into_iter().collect();
        let mut removed = Ok(());
        for part in keys.chunks(DELETED_AT_ONCE) {
            let deleted = self.store.delete_many(part.iter().map(String::as_str)).await;
            removed = deleted.into_iter().fold(removed, |removed, deleted| removed.and(deleted.map(drop)));
        }
        listed.and(removed)
    }

    /// Pages may be empty before the last one (LIST-1); a walk ends (LIST-5).
    async fn list_into(&self, keys: &mut BTreeSet<String>) -> Result<()> {
        let mut walk = self.store.list().prefix(&*self.prefix).limit(1000).stream().take(LISTED_MAX);
        while let Some(item) = walk.try_next().await? {
            if item.key.starts_with(&self.prefix) {
                keys.insert(item.key);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kv_api::{Backend, Error, ErrorKind, ListItem, ListPage, RawPage, forward_backend};
    use kv_backends::memory::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn what_was_written_is_removed_and_nothing_else() {
        for url in ["memory:", "memory:?like=nemesisdb", "memory:?like=cloudflare&stale_reads=2"] {
            let store = kv_backends::open(url).await.unwrap();
            let traces = Traces::default();
            let trace = traces.begin(&store, "mine-");
            let keys = ["mine-one11", "mine-two22", "w/mine-3", "others-one", "mine"];
            let keys = keys.map(|key| format!("{key}{}", "q".repeat(capacity(&store, key))));
            for key in &keys {
                store.set(key, "v").await.unwrap();
                trace.remember(std::slice::from_ref(key));
            }
            traces.end(&trace).await;
            assert!(traces.0.lock().is_empty());
            for (key, is_left) in keys.iter().zip([false, false, false, true, true]) {
                // The first reads may be old.
                for _ in 0..2 {
                    let _ = store.exists(key).await.unwrap();
                }
                assert_eq!(store.exists(key).await.unwrap(), is_left, "{url}: {key}");
            }
        }
    }

    fn capacity(store: &Store, key: &str) -> usize {
        store.capabilities().key_bytes_min.saturating_sub(key.len())
    }

    #[tokio::test]
    async fn what_cannot_be_removed_is_tried_again() {
        let store = kv_backends::open("memory:").await.unwrap();
        let traces = Traces::default();
        let trace = traces.begin(&store, "mine-");
        store.set("mine-one", "v").await.unwrap();
        let closed = kv_backends::open("memory:").await.unwrap();
        closed.close().await.unwrap();
        let lost = traces.begin(&closed, "lost-");
        traces.end(&lost).await;
        let failures = traces.clear().await;
        assert_eq!(failures.iter().map(|(prefix, _)| &**prefix).collect::<Vec<_>>(), ["lost-"]);
        assert!(!store.exists("mine-one").await.unwrap());
        drop(trace);
    }

    #[tokio::test]
    async fn what_a_write_brings_after_its_removal_is_removed_at_the_end() {
        let store = kv_backends::open("memory:").await.unwrap();
        let traces = Traces::default();
        let trace = traces.begin(&store, "mine-");
        trace.unsettle();
        traces.end(&trace).await;
        assert!(traces.are_unsettled());
        store.set("mine-late", "v").await.unwrap();
        assert!(traces.clear().await.is_empty() && !traces.are_unsettled());
        assert!(!store.exists("mine-late").await.unwrap());
    }

    /// Lists that fail, or begin with pages that are empty.
    #[derive(Debug, Default)]
    struct OddLists {
        inner: MemoryStore,
        held_back: Mutex<Vec<ListItem>>,
        is_broken: bool,
    }

    #[kv_api::async_trait]
    impl Backend for OddLists {
        forward_backend!(@forward self, self.inner, capabilities);
        forward_backend!(self => self.inner;
            forward: [scope, clock, read_now, write_now, read, write, delete, read_many, write_many, delete_many,
                write_all_or_nothing, increment, expire, touch, get_and_delete, ping, close],
            implement: [list]);

        async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
            if self.is_broken {
                return Err(Error::new(ErrorKind::Unavailable, "no lists today"));
            }
            if page.position().is_some() {
                return Ok(RawPage::new(std::mem::take(&mut *self.held_back.lock()), None));
            }
            *self.held_back.lock() = self.inner.list(page).await?.items;
            Ok(RawPage::new(Vec::new(), Some(b"second".to_vec())))
        }
    }

    #[tokio::test]
    async fn what_a_list_does_not_show_at_once_is_removed_too() {
        for is_broken in [false, true] {
            let store = Store::new(OddLists { is_broken, ..OddLists::default() });
            let traces = Traces::default();
            let trace = traces.begin(&store, "mine-");
            store.set("mine-seen", "v").await.unwrap();
            trace.remember(&["mine-seen".to_owned()]);
            store.set("mine-unseen", "v").await.unwrap();
            traces.end(&trace).await;
            assert!(!store.exists("mine-seen").await.unwrap());
            assert_eq!(store.exists("mine-unseen").await.unwrap(), is_broken);
            assert_eq!(traces.0.lock().is_empty(), !is_broken);
        }
    }
}
