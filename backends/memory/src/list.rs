//! Lists: keys out of the ordered index, and a look at only those entries that have metadata or an expiry.

use kv_api::{EntryExpiry, Error, ListItem, ListPage, ListedMetadata, RawPage, Reason, Result};

use crate::call_time::CallTime;
use crate::capabilities::LIST_PAGE_MAX;
use crate::store::MemoryStore;

/// How many keys are copied while the lock of the index is held.
const KEYS_PER_LOCK: usize = 1000;
/// How many expired entries a page passes over before it ends short of its limit (LIST-1 allows that).
const SKIPPED_MAX: usize = 1000;

impl MemoryStore {
    /// Lists one page in the order of key bytes, with metadata and expiry (LIST-1, LIST-2). It looks at no more keys
    /// than the limit and a thousand, however many have expired; so a page can be short, or empty, and not be the last.
    ///
    /// # Errors
    /// `InvalidArgument` with [`Reason::CursorInvalid`] for a position that this list did not give.
    pub fn list_sync(&self, page: &ListPage<'_>) -> Result<RawPage> {
        let prefix = page.prefix();
        let mut after = page.position().map(|position| position_in(prefix, position)).transpose()?.map(str::to_owned);
        let limit = page.limit().get().min(LIST_PAGE_MAX);
        let time = CallTime::new(&*self.inner.clock);
        let mut items = Vec::new();
        let mut examined = 0;
        loop {
            let range = self.inner.index.range(prefix, after.as_deref(), (limit - items.len()).min(KEYS_PER_LOCK));
            examined += range.keys.len();
            if let Some((last, _)) = range.keys.last() {
                after = Some(last.clone());
            }
            for (key, flags) in range.keys {
                if flags.is_plain() {
                    let plain = ListItem::new(key).with_metadata(ListedMetadata::None);
                    items.push(plain.with_expiry(EntryExpiry::Never));
                } else {
                    items.extend(self.list_item(key, &time));
                }
            }
            if !range.more {
                return Ok(RawPage::new(items, None));
            }
            if items.len() == limit || examined >= limit + SKIPPED_MAX {
                return Ok(RawPage::new(items, after.map(String::into_bytes)));
            }
        }
    }

    /// The item of a key whose entry has an expiry or metadata, unless that has expired or gone.
    fn list_item(&self, key: String, time: &CallTime<'_>) -> Option<ListItem> {
        let hash = self.inner.shards.hash(&key);
        let shard = self.inner.shards.read(hash);
        let block = shard.get(hash, key.as_bytes())?;
        if block.is_expired(time) {
            drop(shard);
            self.remove_expired(hash, &key);
            return None;
        }
        Some(ListItem::new(key).with_metadata(block.metadata().into()).with_expiry(block.expiry()))
    }
}

/// The key at which a position stands.
fn position_in<'a>(prefix: &str, position: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(position)
        .ok()
        .filter(|key| key.starts_with(prefix))
        .ok_or_else(|| Error::invalid(Reason::CursorInvalid, "the cursor holds no position in this list"))
}
