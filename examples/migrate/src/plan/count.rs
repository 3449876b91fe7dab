//! How many entries a store has.

use futures_util::StreamExt;
use kv_api::Store;

use crate::error::Result;
use crate::options::Options;

/// After how many keys others may run: a store in memory never waits.
const KEYS_AT_ONCE: u64 = 1000;

/// Counts the entries of a store that the options select, by its list alone: no value is read. For a store that lists
/// fast, such as one on this machine.
///
/// # Errors
/// [`Error::Store`](crate::Error::Store) when the store cannot list its keys.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = kv_backends::open("memory:").await?;
/// store.set("a/1", "value").await?;
/// store.set("b/1", "value").await?;
/// let options = kv_migrate::Options { prefix: "a/".to_owned(), ..Default::default() };
/// assert_eq!(kv_migrate::count(&store, &options).await?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn count(store: &Store, options: &Options) -> Result<u64> {
    let mut listed = store.list().prefix(options.prefix.clone()).stream();
    let (mut keys, mut count) = (0_u64, 0);
    while let Some(item) = listed.next().await {
        count += u64::from(options.selects(&item?.key));
        keys += 1;
        if keys.is_multiple_of(KEYS_AT_ONCE) {
            tokio::task::yield_now().await;
        }
    }
    Ok(count)
}
