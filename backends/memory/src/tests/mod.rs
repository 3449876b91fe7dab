//! Tests of the store as a whole, through the resolver as the handle uses it.

mod bounds;
mod concurrency;
mod lists;
mod model;
mod reclamation;
mod semantics;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{
    BatchOutcome, Clock, DeleteOutcome, Entry, ExpireOptions, Fields, IncrementOptions, ManualClock, RawPage, Resolver,
    Result, SetItem, SetOutcome, SetStatus, Timestamp, TouchOptions, Version,
};

use crate::capacity::Size;
use crate::key_index::{IndexKey, KeyFlags};
use crate::{CAPABILITIES, MemoryConfig, MemoryStore};

/// A store on a manual clock, with the calls of a handle.
#[derive(Clone)]
struct Fixture {
    store: MemoryStore,
    clock: ManualClock,
}

impl Fixture {
    fn new() -> Self {
        Self::with(MemoryConfig::new())
    }

    fn with(config: MemoryConfig) -> Self {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(1_000_000));
        Self { store: MemoryStore::with_config(config.with_clock(Arc::new(clock.clone()))), clock }
    }

    fn try_set(&self, item: SetItem<'_>) -> Result<SetOutcome> {
        self.store.write_sync(&Resolver::new(&CAPABILITIES).write(item, &self.clock)?)
    }

    fn set(&self, item: SetItem<'_>) -> SetStatus {
        self.try_set(item).unwrap().status()
    }

    fn put(&self, key: &str, value: &str) -> SetStatus {
        self.set(SetItem::new(key, value))
    }

    fn put_for(&self, key: &str, value: &str, ttl: Duration) -> SetStatus {
        self.set(SetItem::new(key, value).ttl(ttl))
    }

    fn entry(&self, key: &str) -> Option<Entry> {
        self.store.read_sync(&Resolver::new(&CAPABILITIES).read(key, Fields::All).unwrap())
    }

    fn text(&self, key: &str) -> Option<String> {
        self.entry(key).and_then(|entry| entry.value().as_text().map(str::to_owned))
    }

    fn version(&self, key: &str) -> Version {
        self.entry(key).unwrap().version().unwrap().clone()
    }

    fn delete(&self, key: &str) -> DeleteOutcome {
        self.delete_if(key, None)
    }

    fn delete_if(&self, key: &str, version: Option<Version>) -> DeleteOutcome {
        self.store.delete_sync(&Resolver::new(&CAPABILITIES).delete(key, version, false).unwrap())
    }

    fn add(&self, key: &str, by: i64) -> Result<i64> {
        self.add_for(key, by, None)
    }

    fn add_for(&self, key: &str, by: i64, ttl_if_created: Option<Duration>) -> Result<i64> {
        let mut options = IncrementOptions::default();
        options.ttl_if_created = ttl_if_created;
        self.store.increment_sync(&Resolver::new(&CAPABILITIES).increment(key, by, options, &self.clock).unwrap())
    }

    fn get_and_delete(&self, key: &str) -> Option<Entry> {
        let get_and_delete = Resolver::new(&CAPABILITIES).get_and_delete(key, Fields::All, false).unwrap();
        self.store.get_and_delete_sync(&get_and_delete)
    }

    fn touch(&self, key: &str, ttl: Duration) -> Option<Entry> {
        let options = TouchOptions::new(ttl);
        self.store.touch_sync(&Resolver::new(&CAPABILITIES).touch(key, Fields::All, options, &self.clock).unwrap())
    }

    fn expire(&self, key: &str, ttl: Option<Duration>) -> bool {
        self.expire_if(key, ttl, None)
    }

    fn expire_if(&self, key: &str, ttl: Option<Duration>, if_version: Option<Version>) -> bool {
        let mut options = ExpireOptions::default();
        options.ttl = ttl;
        options.never = ttl.is_none();
        options.if_version = if_version;
        self.store.expire_sync(&Resolver::new(&CAPABILITIES).expire(key, options, &self.clock).unwrap())
    }

    fn all_or_nothing(&self, items: Vec<SetItem<'_>>) -> Result<BatchOutcome> {
        let writes = Resolver::new(&CAPABILITIES).all_or_nothing(items, &self.clock)?.unwrap();
        self.store.write_all_or_nothing_sync(&writes)
    }

    fn page(&self, prefix: &str, limit: usize, position: Option<Vec<u8>>) -> Result<RawPage> {
        self.store.list_sync(&Resolver::new(&CAPABILITIES).list(Cow::Borrowed(prefix), limit, position).unwrap())
    }

    /// The keys of a whole walk.
    fn keys(&self, prefix: &str, limit: usize) -> Vec<String> {
        let (mut keys, mut position) = (Vec::new(), None);
        loop {
            let page = self.page(prefix, limit, position).unwrap();
            assert!(page.items.len() <= limit);
            keys.extend(page.items.into_iter().map(|item| item.key));
            position = page.next;
            if position.is_none() {
                return keys;
            }
        }
    }

    /// Checks that table, index, queues and count agree, and says how many entries there are, expired ones included.
    fn audit(&self) -> usize {
        let inner = &*self.store.inner;
        let shards: Vec<_> = inner.shards.all().map(parking_lot::RwLock::read).collect();
        let mut keys: BTreeMap<IndexKey, KeyFlags> = BTreeMap::new();
        let (mut size, mut numbers) = (Size::default(), std::collections::HashSet::new());
        for shard in &shards {
            let mut expiring = 0;
            for block in shard.blocks() {
                assert!(keys.insert(IndexKey::new(block.key()), block.flags()).is_none(), "{block:?} twice");
                assert!(numbers.insert(block.number()), "{block:?} shares its version");
                size = size.plus(block.size());
                if let Some(at) = block.expires_at() {
                    expiring += 1;
                    let slot = shard.find(inner.shards.hash(block.key()), block.key_bytes()).unwrap();
                    let mut places = shard.expiries().places();
                    assert!(places.any(|(time, of)| time <= at && slot.is(of)), "{block:?} would never be looked at");
                }
            }
            assert_eq!(shard.expiring(), expiring);
            let places = shard.expiries().len();
            assert!(places <= if expiring > 0 { 2 * expiring + 64 } else { 0 }, "{places} places for {expiring}");
        }
        assert_eq!(keys, inner.index.snapshot());
        if let Some(used) = inner.capacity.used() {
            assert_eq!(used, size);
        }
        keys.len()
    }
}

/// A clock that must not be read.
#[derive(Debug)]
struct NoClock;

impl Clock for NoClock {
    fn now(&self) -> Timestamp {
        panic!("the clock was read")
    }
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
