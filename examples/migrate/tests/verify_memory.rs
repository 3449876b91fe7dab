//! Verification reads no more at once than it has room for.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::options;
use kv_api::async_trait;
use kv_api::{
    Backend, Capabilities, Clock, Delete, DeleteOutcome, Entry, ListPage, Method, Methods, RawPage, Read, ReadMany,
    Result, SetOutcome, Store, SystemClock, Write,
};
use kv_backends::memory::{CAPABILITIES, MemoryStore};
use kv_migrate::{Entries, Options, VerifyOptions, verify};

const SMALL: usize = 3000;
const LARGE: usize = 20;
const LARGE_BYTES: usize = 50_000;
const BATCH_BYTES: usize = 120_000;

#[derive(Debug)]
struct Measured {
    inner: MemoryStore,
    capabilities: Capabilities,
    reads: Arc<Reads>,
}

#[derive(Debug, Default)]
struct Reads {
    /// The most bytes of values that were read in one call.
    most: AtomicU64,
    calls: AtomicU64,
}

#[async_trait]
impl Backend for Measured {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn methods(&self) -> Methods {
        Methods::NONE.with(Method::ReadMany).with(Method::List)
    }

    fn scope(&self) -> &str {
        ""
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        self.inner.read(read).await
    }
    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let entries = self.inner.read_many(reads).await?;
        let bytes: usize = entries.iter().flatten().map(|entry| entry.value().as_bytes().len()).sum();
        self.reads.most.fetch_max(bytes as u64, Ordering::Relaxed);
        self.reads.calls.fetch_add(1, Ordering::Relaxed);
        Ok(entries)
    }
    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.inner.write(write).await
    }
    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.inner.delete(delete).await
    }
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let mut page = self.inner.list(page).await?;
        if self.capabilities.list_value_bytes {
            for item in &mut page.items {
                let large = item.key.starts_with("large");
                item.value_bytes = Some(if large { LARGE_BYTES as u64 } else { 1 });
            }
        }
        Ok(page)
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Small values, and behind them large ones, in the order of the list.
async fn measured(lists_bytes: bool) -> (Store, Arc<Reads>) {
    let reads = Arc::new(Reads::default());
    let mut capabilities = CAPABILITIES.clone();
    capabilities.list_value_bytes = lists_bytes;
    capabilities.bulk_read_items = 1;
    let inner = MemoryStore::default();
    let store = Store::new(Measured { inner, capabilities, reads: Arc::clone(&reads) });
    for at in 0..SMALL {
        store.set(format!("a{at}"), "v").await.unwrap();
    }
    for at in 0..LARGE {
        store.set(format!("large{at}"), "v".repeat(LARGE_BYTES)).await.unwrap();
    }
    (store, reads)
}

fn write_file(path: &Path) {
    let small = (0..SMALL).map(|at| format!("{{\"key\":\"a{at}\",\"value\":\"v\"}}\n"));
    let value = "v".repeat(LARGE_BYTES);
    let large = (0..LARGE).map(|at| format!("{{\"key\":\"large{at}\",\"value\":\"{value}\"}}\n"));
    fs::write(path, small.chain(large).collect::<String>()).unwrap();
}

#[tokio::test]
async fn large_values_behind_small_ones_are_read_a_few_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    write_file(&path);
    let (listed, listed_reads) = measured(true).await;
    let (unlisted, unlisted_reads) = measured(false).await;
    let file = Entries::File(path);
    let options = Options { batch_bytes: BATCH_BYTES, ..options() };
    for (source, target) in [
        (Entries::Store(&listed), Entries::Store(&unlisted)),
        (Entries::Store(&unlisted), Entries::Store(&listed)),
        (Entries::Store(&unlisted), Entries::Store(&unlisted)),
        (file.clone(), Entries::Store(&unlisted)),
        (Entries::Store(&unlisted), file.clone()),
    ] {
        let verification = verify(&source, &target, &options, &VerifyOptions::default(), |_| {}, |_| {}).await;
        assert!(verification.is_clean(), "{verification:?}");
        assert_eq!(verification.same, (SMALL + LARGE) as u64);
    }
    // Where sizes are listed, or known from the other side, that many bytes; otherwise the memory that four of them
    // take.
    assert!(listed_reads.most.load(Ordering::Relaxed) <= BATCH_BYTES as u64);
    let four = 4 * LARGE_BYTES as u64;
    assert!(unlisted_reads.most.load(Ordering::Relaxed) <= four, "{unlisted_reads:?}");
}

#[tokio::test]
async fn many_entries_whose_size_is_known_are_read_at_once() {
    let (one, reads_of_one) = measured(true).await;
    let (other, reads_of_other) = measured(false).await;
    let options = Options { batch_bytes: BATCH_BYTES, ..options() };
    let (source, target) = (Entries::Store(&one), Entries::Store(&other));
    let verification = verify(&source, &target, &options, &VerifyOptions::default(), |_| {}, |_| {}).await;
    assert_eq!(verification.same, (SMALL + LARGE) as u64);
    // A thousand small ones, or two large ones.
    for reads in [reads_of_one, reads_of_other] {
        let calls = reads.calls.load(Ordering::Relaxed);
        assert!(calls <= (SMALL / 1000 + LARGE / 2 + 2) as u64, "{calls}");
    }
}
