//! What a store must do to take part, and the slices of work of a race.

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::measure::{Result, timed};
use crate::payload::{KEYS_PER_PREFIX, SMALL, prefix, small_value};

/// A store under measurement, called as its users call it.
pub(crate) trait KeyValue: Send + Sync + 'static {
    /// What its calls name an entry by, made from the text before the clock starts.
    type Key: Send + Sync + 'static;

    /// The key of a text.
    fn key(text: &str) -> Self::Key;

    /// Reads a value and answers its length.
    fn get(&self, key: &Self::Key) -> impl Future<Output = Result<usize>> + Send;

    /// Stores a value.
    fn set(&self, key: &Self::Key, value: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Lists the first keys below a prefix and answers how many came.
    fn page(&self, prefix: &str, limit: usize) -> impl Future<Output = Result<usize>> + Send;
}

/// Calls for a slice of point operations: each task goes through its keys `passes` times.
#[derive(Debug)]
pub(crate) struct Work {
    /// The keys of each task.
    pub(crate) keys: Vec<Vec<String>>,
    /// How often each task goes through them.
    pub(crate) passes: usize,
}

impl Work {
    fn calls(&self) -> usize {
        self.keys.iter().map(Vec::len).sum::<usize>() * self.passes
    }

    fn keys_for<K: KeyValue>(&self) -> Vec<Arc<Vec<K::Key>>> {
        self.keys.iter().map(|keys| Arc::new(keys.iter().map(|key| K::key(key)).collect())).collect()
    }
}

/// A [`KeyValue`] of any type; erased a slice at a time, so that the calls themselves are not.
#[async_trait]
pub(crate) trait Contender: Send + Sync {
    /// Nanoseconds a get.
    async fn gets(&self, work: Work) -> Result<f64>;

    /// Nanoseconds a set.
    async fn sets(&self, work: Work) -> Result<f64>;

    /// Nanoseconds a page of [`KEYS_PER_PREFIX`] keys.
    async fn pages(&self, prefixes: Vec<usize>) -> Result<f64>;
}

/// Makes a [`Contender`] of a [`KeyValue`].
pub(crate) struct Shared<K>(Arc<K>);

impl<K: KeyValue> Shared<K> {
    /// Boxes a store.
    pub(crate) fn boxed(store: K) -> Box<dyn Contender> {
        Box::new(Self(Arc::new(store)))
    }
}

#[async_trait]
impl<K: KeyValue> Contender for Shared<K> {
    async fn gets(&self, work: Work) -> Result<f64> {
        let keys = work.keys_for::<K>();
        timed(work.calls(), async {
            let tasks = keys.iter().map(|keys| {
                let (store, keys, passes) = (Arc::clone(&self.0), Arc::clone(keys), work.passes);
                tokio::spawn(async move {
                    for _ in 0..passes {
                        for key in keys.iter() {
                            if black_box(store.get(key).await?) != SMALL {
                                return Err("read something else than was written".into());
                            }
                        }
                    }
                    Ok(())
                })
            });
            all(tasks.collect()).await
        })
        .await
    }

    async fn sets(&self, work: Work) -> Result<f64> {
        let keys = work.keys_for::<K>();
        timed(work.calls(), async {
            let tasks = keys.iter().map(|keys| {
                let (store, keys, passes) = (Arc::clone(&self.0), Arc::clone(keys), work.passes);
                tokio::spawn(async move {
                    for _ in 0..passes {
                        for key in keys.iter() {
                            store.set(key, small_value()).await?;
                        }
                    }
                    Ok(())
                })
            });
            all(tasks.collect()).await
        })
        .await
    }

    async fn pages(&self, prefixes: Vec<usize>) -> Result<f64> {
        let prefixes: Vec<String> = prefixes.into_iter().map(prefix).collect();
        timed(prefixes.len(), async {
            let store = Arc::clone(&self.0);
            let task = tokio::spawn(async move {
                for prefix in &prefixes {
                    if store.page(prefix, KEYS_PER_PREFIX).await? != KEYS_PER_PREFIX {
                        return Err("a page is not full".into());
                    }
                }
                Ok(())
            });
            all(vec![task]).await
        })
        .await
    }
}

/// Waits for every task.
///
/// # Errors
/// The first failure of one.
pub(crate) async fn all(tasks: Vec<JoinHandle<Result<()>>>) -> Result<()> {
    for task in tasks {
        task.await??;
    }
    Ok(())
}
