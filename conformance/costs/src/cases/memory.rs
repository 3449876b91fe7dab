//! The store in memory: through the handle, and below it.

use std::sync::Arc;
use std::time::Duration;

use kv_api::{Fields, ManualClock, Resolver, SetItem, Store, Timestamp, Value};
use kv_memory::{CAPABILITIES, MemoryConfig, MemoryStore};

use super::{Calls, Case, MANY, at_once, each, keys, value};
use crate::Result;

/// How many entries a store holds.
const ENTRIES: usize = 1000;

/// How many stores are overwritten with entries that expire. Which of these are kept in one order is up to chance, and
/// what a call costs depends on how many they are.
const STORES: usize = 20;

const TTL: Duration = Duration::from_secs(3600);

pub(super) fn cases() -> Vec<Case> {
    let case = |name, calls, prepare| Case { name, calls, prepare };
    vec![
        case("memory/get", ENTRIES, get),
        case("memory/get-missing", ENTRIES, get_missing),
        case("memory/get-expiring", ENTRIES, get_expiring),
        case("memory/set", ENTRIES, set),
        case("memory/set-new", ENTRIES, set_new),
        case("memory/set-ttl", STORES * ENTRIES, set_ttl),
        case("memory/delete", ENTRIES, delete),
        case("memory/page-100", MANY, page),
        case("memory/get-many-100", MANY, get_many),
        case("memory/set-many-100", MANY, set_many),
        case("memory-below/get", ENTRIES, get_below),
        case("memory-below/get-expiring", ENTRIES, get_expiring_below),
        case("memory-below/set", ENTRIES, set_below),
        case("memory-below/set-ttl", STORES * ENTRIES, set_ttl_below),
        case("memory-below/delete", ENTRIES, delete_below),
    ]
}

/// An empty store with a clock that stands.
fn empty() -> (MemoryStore, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000));
    (MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone()))), clock)
}

/// A store with the entries that these keys have, which end where there is a ttl.
fn filled(ttl: Option<Duration>) -> Result<(MemoryStore, ManualClock)> {
    let (store, clock) = empty();
    let value = value();
    for key in keys(ENTRIES) {
        store.write_sync(&Resolver::new(&CAPABILITIES).write(item(key, &value, ttl), &clock)?)?;
    }
    Ok((store, clock))
}

fn item(key: &'static str, value: &Value, ttl: Option<Duration>) -> SetItem<'static> {
    let item = SetItem::new(key, value.clone());
    match ttl {
        Some(ttl) => item.ttl(ttl),
        None => item,
    }
}

fn get(calls: usize) -> Result<Calls> {
    let store = Store::new(filled(None)?.0);
    each(keys(calls), move |key| at_once(store.get(key))?)
}

fn get_missing(calls: usize) -> Result<Calls> {
    let store = Store::new(filled(None)?.0);
    let keys = keys(ENTRIES + calls).split_off(ENTRIES);
    each(keys, move |key| at_once(store.get(key))?)
}

fn get_expiring(calls: usize) -> Result<Calls> {
    let store = Store::new(filled(Some(TTL))?.0);
    each(keys(calls), move |key| at_once(store.get(key))?)
}

fn set(calls: usize) -> Result<Calls> {
    let (store, value) = (Store::new(filled(None)?.0), value());
    each(keys(calls), move |key| at_once(store.set(key, value.clone()))?)
}

fn set_new(calls: usize) -> Result<Calls> {
    let (store, value) = (Store::new(filled(None)?.0), value());
    let keys = keys(ENTRIES + calls).split_off(ENTRIES);
    each(keys, move |key| at_once(store.set(key, value.clone()))?)
}

fn set_ttl(calls: usize) -> Result<Calls> {
    let stores: Vec<Store> = (0..STORES).map(|_| Ok(Store::new(filled(Some(TTL))?.0))).collect::<Result<_>>()?;
    let value = value();
    each(of_stores(keys(calls / STORES)), move |(store, key): (usize, &'static str)| {
        at_once(stores[store].set(key, value.clone()).ttl(TTL))?
    })
}

fn delete(calls: usize) -> Result<Calls> {
    let store = Store::new(filled(None)?.0);
    each(keys(calls), move |key| at_once(store.delete(key))?)
}

fn page(calls: usize) -> Result<Calls> {
    let store = Store::new(filled(None)?.0);
    each(vec!["user/"; calls], move |prefix| at_once(store.list().prefix(prefix).limit(MANY))?)
}

fn get_many(calls: usize) -> Result<Calls> {
    let store = Store::new(filled(None)?.0);
    let keys = keys(ENTRIES);
    let batches = (0..calls).map(|call| batch(call).map(|at| keys[at]).collect()).collect();
    each(batches, move |batch: Vec<&'static str>| at_once(store.get_many(batch))?)
}

fn set_many(calls: usize) -> Result<Calls> {
    let (store, value) = (Store::new(filled(None)?.0), value());
    let keys = keys(ENTRIES);
    let items = |call| batch(call).map(|at| item(keys[at], &value, None)).collect();
    let batches = (0..calls).map(items).collect();
    each(batches, move |batch: Vec<SetItem<'static>>| at_once(store.set_many(batch)))
}

/// Each input for each store.
fn of_stores<I: Clone>(inputs: Vec<I>) -> Vec<(usize, I)> {
    (0..STORES).flat_map(|store| inputs.iter().map(move |input| (store, input.clone()))).collect()
}

/// The keys of a batch: distinct, and spread over all.
fn batch(call: usize) -> impl Iterator<Item = usize> {
    (0..MANY).map(move |at| (call * 7 + at * 9) % ENTRIES)
}

fn get_below(calls: usize) -> Result<Calls> {
    read_below(calls, None)
}

fn get_expiring_below(calls: usize) -> Result<Calls> {
    read_below(calls, Some(TTL))
}

fn read_below(calls: usize, ttl: Option<Duration>) -> Result<Calls> {
    let (store, _) = filled(ttl)?;
    let reads: kv_api::Result<Vec<_>> =
        keys(calls).into_iter().map(|key| Resolver::new(&CAPABILITIES).read(key, Fields::Value)).collect();
    each(reads?, move |read| Ok::<_, kv_api::Error>(store.read_sync(&read)))
}

fn set_below(calls: usize) -> Result<Calls> {
    let ((store, clock), value) = (filled(None)?, value());
    let resolved = |key| Resolver::new(&CAPABILITIES).write(item(key, &value, None), &clock);
    let writes: kv_api::Result<Vec<_>> = keys(calls).into_iter().map(resolved).collect();
    each(writes?, move |write| store.write_sync(&write))
}

fn set_ttl_below(calls: usize) -> Result<Calls> {
    let stores: Vec<MemoryStore> = (0..STORES).map(|_| Ok(filled(Some(TTL))?.0)).collect::<Result<_>>()?;
    let ((_, clock), value) = (empty(), value());
    let resolved = |key| Resolver::new(&CAPABILITIES).write(item(key, &value, Some(TTL)), &clock);
    let writes: kv_api::Result<Vec<_>> = keys(calls / STORES).into_iter().map(resolved).collect();
    each(of_stores(writes?), move |(store, write)| stores[store].write_sync(&write))
}

fn delete_below(calls: usize) -> Result<Calls> {
    let (store, _) = filled(None)?;
    let deletes: kv_api::Result<Vec<_>> =
        keys(calls).into_iter().map(|key| Resolver::new(&CAPABILITIES).delete(key, None, false)).collect();
    each(deletes?, move |delete| Ok::<_, kv_api::Error>(store.delete_sync(&delete)))
}
