//! One namespace: its entries in the order of their keys, read in pages as the storage reads them.

use std::collections::BTreeMap;
use std::ops::Bound;

use kv_api::Timestamp;

use super::entry::Entry;

/// After how much data the storage ends a page, with the entry that reached it. Observed on eight entries of 400 kB, of
/// which a page had three.
pub(super) const PAGE_BYTES: usize = 1024 * 1024;

/// Entries in the order of the bytes of their keys. What has expired stays until it is overwritten, deleted or swept.
#[derive(Clone, Debug, Default)]
pub(super) struct Namespace {
    name: String,
    entries: BTreeMap<String, Entry>,
    /// What stood, before the last request that changed something, where it changed it.
    before: BTreeMap<String, Option<Entry>>,
}

/// Where a page of the storage begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    First,
    At(String),
    After(String),
}

/// A page of the storage.
#[derive(Debug)]
pub(super) struct StoragePage<'a> {
    /// Expired entries too.
    pub(super) entries: Vec<(&'a str, &'a Entry)>,
    /// The last key, when the page ended because it was full; whether anything follows is not known then.
    pub(super) last: Option<String>,
}

impl Namespace {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Carries out one request that may change something.
    pub(super) fn changing<T>(&mut self, request: impl FnOnce(&mut Self) -> T) -> T {
        let earlier = std::mem::take(&mut self.before);
        let done = request(self);
        if self.before.is_empty() {
            self.before = earlier;
        }
        done
    }

    /// Carries out one request that changes nothing, on the state before the last one that did.
    pub(super) fn before_last_change<T>(&mut self, request: impl FnOnce(&mut Self) -> T) -> T {
        self.swap_before();
        let done = request(self);
        self.swap_before();
        done
    }

    fn swap_before(&mut self) {
        for (key, other) in &mut self.before {
            let own = self.entries.remove(key);
            if let Some(entry) = std::mem::replace(other, own) {
                self.entries.insert(key.clone(), entry);
            }
        }
    }

    /// Expired entries too.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Puts an entry, or nothing, in the place of another.
    pub(super) fn put(&mut self, key: &str, entry: Option<Entry>) {
        let old = match entry {
            Some(entry) => self.entries.insert(key.to_owned(), entry),
            None => self.entries.remove(key),
        };
        self.before.entry(key.to_owned()).or_insert(old);
    }

    /// Removes what has expired, which is no change that anybody asked for.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.entries.retain(|_, entry| !entry.is_swept(now));
        for entry in self.before.values_mut() {
            entry.take_if(|entry| entry.is_swept(now));
        }
    }

    /// Entries whose keys begin with `prefix`, from `start` on, until there are `limit` or they come to [`PAGE_BYTES`].
    pub(super) fn page(&self, prefix: &str, start: &Start, limit: Option<usize>) -> StoragePage<'_> {
        let from: Bound<&str> = match start {
            Start::First => Bound::Included(prefix),
            Start::At(key) => Bound::Included(key.as_str()),
            Start::After(key) => Bound::Excluded(key.as_str()),
        };
        let mut page = StoragePage { entries: Vec::new(), last: None };
        let mut bytes = 0;
        for (key, entry) in self.from(from, prefix) {
            bytes += entry.bytes(&self.name, key);
            page.entries.push((key, entry));
            if bytes >= PAGE_BYTES || limit == Some(page.entries.len()) {
                page.last = Some(key.to_owned());
                break;
            }
        }
        page
    }

    /// All entries whose keys begin with `prefix`, expired ones too.
    pub(super) fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &Entry)> {
        self.from(Bound::Included(prefix), prefix)
    }

    fn from(&self, from: Bound<&str>, prefix: &str) -> impl Iterator<Item = (&str, &Entry)> {
        let entries = self.entries.range::<str, _>((from, Bound::Unbounded)).map(|(key, entry)| (key.as_str(), entry));
        entries.take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The keys that a listing shows.
    pub(super) fn keys(&self, now: Timestamp) -> Vec<String> {
        self.entries.iter().filter(|(_, entry)| entry.is_listed(now)).map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::json;

    fn filled(sizes: &[(&str, usize)]) -> Namespace {
        let mut namespace = Namespace::new("n");
        for (key, size) in sizes {
            namespace.put(key, Some(Entry { value: Some(json!("x".repeat(*size))), ..Entry::default() }));
        }
        namespace
    }

    fn keys<'a>(page: &StoragePage<'a>) -> Vec<&'a str> {
        page.entries.iter().map(|(key, _)| *key).collect()
    }

    #[test]
    fn a_page_ends_at_its_limit_or_its_size() {
        let namespace = filled(&[("a", 1), ("b1", 400_000), ("b2", 400_000), ("b3", 400_000), ("b4", 1), ("c", 1)]);
        let check = |prefix, start, limit, expected: &[&str], last: Option<&str>| {
            let page = namespace.page(prefix, &start, limit);
            assert_eq!((keys(&page).as_slice(), page.last.as_deref()), (expected, last));
        };
        check("", Start::First, None, &["a", "b1", "b2", "b3"], Some("b3"));
        check("", Start::After("b3".to_owned()), None, &["b4", "c"], None);
        check("b", Start::First, Some(2), &["b1", "b2"], Some("b2"));
        check("b", Start::At("b4".to_owned()), Some(1), &["b4"], Some("b4"));
        check("b", Start::After("b4".to_owned()), Some(1), &[], None);
        check("c", Start::First, Some(2), &["c"], None);
    }

    #[test]
    fn the_state_before_the_last_change_can_be_asked() {
        let mut namespace = filled(&[("a", 1)]);
        namespace.changing(|namespace| {
            namespace.put("a", None);
            namespace.put("b", Some(Entry::default()));
        });
        namespace.changing(|_| ());
        assert_eq!(namespace.before_last_change(|namespace| namespace.keys(Timestamp::UNIX_EPOCH)), ["a"]);
        assert_eq!(namespace.keys(Timestamp::UNIX_EPOCH), ["b"]);
    }
}
