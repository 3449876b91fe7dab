//! Calls of every kind at once: sets with and without conditions, increments, deletes.

use std::sync::Arc;

use kv_api::{Store, Value, Version};

use crate::database::all;
use crate::measure::{Result, timed};
use crate::payload::{KEYS_PER_PREFIX, prefix};
use crate::row::Row;

/// One call of the mix.
#[derive(Clone, Debug)]
enum Call {
    Set(Row),
    SetIfNotExists(Row),
    SetIfExists(Row),
    /// Over the task's own last set, with the version that it was told.
    SetIfVersion(Row),
    Increment(String),
    Delete(String),
}

/// `count` calls: a fifth increments, a tenth deletes, of the rest seven in ten unconditional sets and one in ten each
/// of the conditions. Every tenth call goes to one of 16 keys.
fn calls(entries: usize, count: usize, value: &Value) -> Vec<Call> {
    const HOT_KEYS: usize = 16;
    (0..count)
        .map(|_| {
            let number = fastrand::usize(..if fastrand::u8(..10) == 0 { HOT_KEYS } else { entries });
            let row = || Row::new(number, value);
            match (fastrand::u8(..10), fastrand::u8(..10)) {
                (0 | 1, _) => Call::Increment(counter(number)),
                (2, _) => Call::Delete(row().key),
                (_, 0) => Call::SetIfNotExists(row()),
                (_, 1) => Call::SetIfExists(row()),
                (_, 2) => Call::SetIfVersion(row()),
                _ => Call::Set(row()),
            }
        })
        .collect()
}

/// Beside the entries: a value that is no integer cannot be incremented.
fn counter(number: usize) -> String {
    format!("{}/hits-{number:012}", prefix(number / KEYS_PER_PREFIX))
}

/// Nanoseconds a call, with `tasks` tasks of `count` calls each.
///
/// # Errors
/// The store's.
pub(crate) async fn mixed(store: &Store, tasks: usize, count: usize, entries: usize, value: &Value) -> Result<f64> {
    let work: Vec<Vec<Call>> = (0..tasks).map(|_| calls(entries, count, value)).collect();
    timed(tasks * count, async {
        let tasks = work.into_iter().map(|calls| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut last = None;
                for call in &calls {
                    make(&store, call, &mut last).await?;
                }
                Ok(())
            })
        });
        all(tasks.collect()).await
    })
    .await
}

type Last = Option<(Arc<str>, Version)>;

async fn make(store: &Store, call: &Call, last: &mut Last) -> Result<()> {
    match call {
        Call::Increment(key) => {
            store.increment(key, 1).await?;
        }
        Call::Delete(key) => {
            store.delete(key).await?;
        }
        Call::Set(row) => set(store, &row.key, row, last, |set| set).await?,
        Call::SetIfNotExists(row) => set(store, &row.key, row, last, kv_api::calls::Set::if_not_exists).await?,
        Call::SetIfExists(row) => set(store, &row.key, row, last, kv_api::calls::Set::if_exists).await?,
        Call::SetIfVersion(row) => match last.take() {
            Some((key, version)) => set(store, &key, row, last, |set| set.if_version(version)).await?,
            None => set(store, &row.key, row, last, |set| set).await?,
        },
    }
    Ok(())
}

async fn set<'a>(
    store: &'a Store,
    key: &'a str,
    row: &Row,
    last: &mut Last,
    condition: impl FnOnce(kv_api::calls::Set<'a>) -> kv_api::calls::Set<'a>,
) -> Result<()> {
    let mut set = condition(store.set(key, &row.value));
    if let Some(ttl) = row.ttl {
        set = set.ttl(ttl);
    }
    if let Some(metadata) = &row.metadata {
        set = set.metadata(metadata.clone());
    }
    if let Some(version) = set.await?.version() {
        *last = Some((Arc::from(key), version.clone()));
    }
    Ok(())
}
