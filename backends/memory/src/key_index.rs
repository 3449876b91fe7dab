//! All keys in order, for lists. Touched only when a key appears, disappears, or begins or ends to carry an expiry or
//! metadata; gets and plain overwrites never see it.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use compact_str::CompactString;
use parking_lot::{RwLock, RwLockWriteGuard};

type Keys = BTreeMap<IndexKey, KeyFlags>;

/// Short keys lie in the nodes of the tree themselves, so that a page of them follows no pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexKey(CompactString);

impl IndexKey {
    pub(crate) fn new(key: &str) -> Self {
        Self(key.into())
    }
}

impl Borrow<str> for IndexKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The order of strings, by eight bytes at a time: there are some thirty comparisons on the way to a place in the tree,
/// and each would be a call.
impl Ord for IndexKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut left, mut right) = (self.0.as_bytes(), other.0.as_bytes());
        while let (Some((one, left_rest)), Some((two, right_rest))) =
            (left.split_first_chunk(), right.split_first_chunk())
        {
            if one != two {
                return u64::from_be_bytes(*one).cmp(&u64::from_be_bytes(*two));
            }
            (left, right) = (left_rest, right_rest);
        }
        left.cmp(right)
    }
}

impl PartialOrd for IndexKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What a list must know of an entry to decide whether to look at it: most have no more than their key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyFlags(u8);

impl KeyFlags {
    const EXPIRES: u8 = 1;
    const METADATA: u8 = 2;

    pub(crate) fn new(expires: bool, metadata: bool) -> Self {
        Self(if expires { Self::EXPIRES } else { 0 } | if metadata { Self::METADATA } else { 0 })
    }

    /// Neither expiry nor metadata: a list need not look at the entry.
    pub(crate) fn is_plain(self) -> bool {
        self.0 == 0
    }
}

/// The ordered index. Its lock is taken after that of a shard, never before.
#[derive(Default)]
pub(crate) struct KeyIndex(RwLock<Keys>);

/// Keys in order, and whether more with the prefix follow.
pub(crate) struct KeyRange {
    pub(crate) keys: Vec<(String, KeyFlags)>,
    pub(crate) more: bool,
}

impl KeyIndex {
    /// At most `count` keys that begin with `prefix`, those after `after` when that is given.
    pub(crate) fn range(&self, prefix: &str, after: Option<&str>, count: usize) -> KeyRange {
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let keys = self.0.read();
        let mut found = keys
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.0.starts_with(prefix))
            .map(|(key, flags)| (&key.0, *flags));
        let keys = found.by_ref().take(count).map(|(key, flags)| (String::from(key.as_str()), flags)).collect();
        KeyRange { keys, more: found.next().is_some() }
    }

    /// A way to change it that takes the lock when it is first needed and keeps it.
    pub(crate) fn writer(&self) -> KeyIndexWriter<'_> {
        KeyIndexWriter { index: self, keys: None }
    }

    #[cfg(test)]
    pub(crate) fn snapshot(&self) -> Keys {
        self.0.read().clone()
    }
}

/// Changes the index. Made only under the write lock of the key's shard, so that the two never differ.
pub(crate) struct KeyIndexWriter<'a> {
    index: &'a KeyIndex,
    keys: Option<RwLockWriteGuard<'a, Keys>>,
}

impl KeyIndexWriter<'_> {
    fn keys(&mut self) -> &mut Keys {
        self.keys.get_or_insert_with(|| self.index.0.write())
    }

    /// Records a new key, or new flags of a known one.
    pub(crate) fn set(&mut self, key: &str, flags: KeyFlags) {
        self.keys().insert(IndexKey::new(key), flags);
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.keys().remove(&IndexKey::new(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn list_1_a_range_is_literal_ordered_and_knows_whether_it_ended() {
        let index = KeyIndex::default();
        let mut writer = index.writer();
        for key in ["b", "a/2", "a/1", "a/%", "a", "a0", "é"] {
            writer.set(key, KeyFlags::new(false, false));
        }
        drop(writer);
        let range = |prefix, after, count| {
            let range = index.range(prefix, after, count);
            (range.keys.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" "), range.more)
        };
        assert_eq!(range("", None, 100), ("a a/% a/1 a/2 a0 b é".to_owned(), false));
        assert_eq!(range("a/", None, 2), ("a/% a/1".to_owned(), true));
        assert_eq!(range("a/", Some("a/1"), 1), ("a/2".to_owned(), false));
        assert_eq!(range("a/", Some("a/11"), 9), ("a/2".to_owned(), false), "a position need not exist any more");
        assert_eq!(range("a/", Some("a/9"), 9), (String::new(), false));
        assert_eq!(range("x", None, 9), (String::new(), false));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn list_1_keys_are_in_the_order_of_their_bytes(left in "[aé\u{0}]{0,30}", right in "[aé\u{0}]{0,30}") {
            prop_assert_eq!(IndexKey::new(&left).cmp(&IndexKey::new(&right)), left.as_bytes().cmp(right.as_bytes()));
        }
    }
}
