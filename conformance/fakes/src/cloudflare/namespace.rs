//! One namespace: its entries, and how they were before the last change.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use kv_api::Timestamp;

use crate::json::Value;

/// What is stored under a key. A write replaces all of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) value: Vec<u8>,
    /// Null where null was written, which is listed.
    pub(super) metadata: Option<Value>,
    /// The Unix second from which on the entry does not exist.
    pub(super) expiration: Option<i64>,
}

impl Entry {
    fn exists(&self, now: Timestamp) -> bool {
        self.expiration.is_none_or(|second| now < Timestamp::from_unix_seconds(second))
    }
}

/// Ordered by the bytes of the keys, as listings are.
type Entries = BTreeMap<String, Arc<Entry>>;

/// What a request does to a key: another entry, or none.
pub(super) type Change = (String, Option<Entry>);

#[derive(Debug, Default)]
pub(super) struct Namespace {
    pub(super) title: String,
    entries: Entries,
    /// What the last request that changed something found under the keys it changed.
    replaced: Vec<(String, Option<Arc<Entry>>)>,
}

impl Namespace {
    pub(super) fn new(title: String) -> Self {
        Self { title, ..Self::default() }
    }

    pub(super) fn get(&self, key: &str, now: Timestamp) -> Option<&Entry> {
        self.entries.get(key).map(Arc::as_ref).filter(|entry| entry.exists(now))
    }

    /// All that one request does, which is what [`before_last_change`](Self::before_last_change) takes back.
    pub(super) fn change(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.replaced.clear();
        for (key, entry) in changes {
            let old = match entry {
                Some(entry) => self.entries.insert(key.clone(), Arc::new(entry)),
                None => self.entries.remove(&key),
            };
            self.replaced.push((key, old));
        }
    }

    /// The namespace as it was before the last request that changed something: what an eventually consistent reader
    /// sees.
    pub(super) fn before_last_change(&self) -> Self {
        let mut entries = self.entries.clone();
        for (key, old) in self.replaced.iter().rev() {
            match old {
                Some(old) => entries.insert(key.clone(), Arc::clone(old)),
                None => entries.remove(key),
            };
        }
        Self { title: self.title.clone(), entries, replaced: Vec::new() }
    }

    /// The entries that exist now and begin with `prefix`, from the one after `after` on.
    pub(super) fn walk<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.entries
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .filter(move |(_, entry)| entry.exists(now))
            .map(|(key, entry)| (key.as_str(), entry.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn entry(value: &str) -> Option<Entry> {
        Some(Entry { value: value.as_bytes().to_vec(), metadata: None, expiration: None })
    }

    fn change(key: &str, entry: Option<Entry>) -> Change {
        (key.to_owned(), entry)
    }

    fn keys<'a>(namespace: &'a Namespace, prefix: &'a str, after: Option<&'a str>) -> Vec<&'a str> {
        namespace.walk(prefix, after, NOW).map(|(key, _)| key).collect()
    }

    #[test]
    fn walks_in_the_order_of_bytes() {
        let mut namespace = Namespace::default();
        namespace.change(["b/2", "😀", "b", "\u{fffd}", "b/1", "a"].map(|key| change(key, entry("v"))));
        assert_eq!(keys(&namespace, "", None), ["a", "b", "b/1", "b/2", "\u{fffd}", "😀"]);
        assert_eq!(keys(&namespace, "b", None), ["b", "b/1", "b/2"]);
        assert_eq!(keys(&namespace, "b", Some("b/1")), ["b/2"]);
        assert_eq!(keys(&namespace, "b", Some("a")), ["b", "b/1", "b/2"]);
        assert_eq!(keys(&namespace, "b", Some("z")), [""; 0]);
    }

    #[test]
    fn takes_the_last_request_back_as_a_whole() {
        let mut namespace = Namespace::default();
        namespace.change([change("a", entry("1")), change("b", entry("1"))]);
        namespace.change([change("a", entry("2")), change("b", None), change("c", entry("2"))]);
        let before = namespace.before_last_change();
        assert_eq!(keys(&before, "", None), ["a", "b"]);
        assert_eq!(before.get("a", NOW), entry("1").as_ref());
        assert_eq!(keys(&namespace, "", None), ["a", "c"]);
    }

    #[test]
    fn an_entry_ends_at_its_second() {
        let mut namespace = Namespace::default();
        let expiring = Entry { value: Vec::new(), metadata: None, expiration: Some(100) };
        namespace.change([change("a", Some(expiring))]);
        assert!(namespace.get("a", Timestamp::from_unix_micros(99_999_999)).is_some());
        assert!(namespace.get("a", Timestamp::from_unix_seconds(100)).is_none());
        assert_eq!(namespace.walk("", None, Timestamp::from_unix_seconds(100)).count(), 0);
    }
}
