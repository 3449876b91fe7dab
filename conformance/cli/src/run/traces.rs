//! What a run has written and not removed yet.

use std::collections::BTreeSet;
use std::sync::Arc;

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
}

impl Traces {
    /// A place that a case is about to write to, as `store` sees it.
    pub(crate) fn begin(&self, store: &Store, prefix: &str) -> Arc<Trace> {
        let trace = Trace { store: store.clone(), prefix: prefix.to_owned(), keys: Mutex::default() };
        let trace = Arc::new(trace);
        self.0.lock().push(Arc::clone(&trace));
        trace
    }

    /// Removes what was written to a place. What cannot be removed now is tried again by [`clear`](Self::clear).
    pub(crate) async fn end(&self, trace: &Arc<Trace>) {
        if trace.remove().await.is_ok() {
            self.0.lock().retain(|other| !Arc::ptr_eq(other, trace));
        }
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

    async fn remove(&self) -> Result<()> {
        let mut keys = if self.store.capabilities().list.is_full() { self.listed().await? } else { BTreeSet::new() };
        // Also what no list shows: what has ended may still take room, and what was just written may not show yet.
        keys.extend(self.keys.lock().iter().cloned());
        let keys: Vec<String> = keys.into_iter().collect();
        for part in keys.chunks(DELETED_AT_ONCE) {
            for deleted in self.store.delete_many(part.iter().map(String::as_str)).await {
                deleted?;
            }
        }
        Ok(())
    }

    async fn listed(&self) -> Result<BTreeSet<String>> {
        let mut keys = BTreeSet::new();
        let mut cursor = None;
        while keys.len() < LISTED_MAX {
            let mut list = self.store.list().prefix(&*self.prefix).limit(1000);
            if let Some(cursor) = cursor.take() {
                list = list.cursor(cursor);
            }
            let page = list.await?;
            let before = keys.len();
            keys.extend(page.items.into_iter().map(|item| item.key).filter(|key| key.starts_with(&self.prefix)));
            match page.cursor {
                Some(next) if keys.len() > before => cursor = Some(next),
                _ => break,
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
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
}
