//! How keys change on the way.

use kv_api::{Error, ErrorKind, Reason, Result};

/// How keys change on the way: what they begin with is taken off, and another beginning is put before the rest. By
/// default they stay as they are.
///
/// No two keys of the source become one: a key that does not begin with `strip_prefix` is not copied.
///
/// ```
/// use kv_migrate::Rewrite;
/// let rewrite = Rewrite { strip_prefix: "old/".to_owned(), add_prefix: "new/".to_owned() };
/// assert_eq!(rewrite.target_key("old/1")?, "new/1");
/// assert_eq!(rewrite.source_key("new/1"), Some("old/1".to_owned()));
/// assert!(rewrite.target_key("other").is_err());
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Taken off the beginning of each key; every key must begin with it.
    pub strip_prefix: String,
    /// Put before each key, after that.
    pub add_prefix: String,
}

impl Rewrite {
    /// The key in the target of the entry that has this one in the source.
    ///
    /// # Errors
    /// `InvalidArgument` for a key that does not begin with `strip_prefix`, and for one that is empty in the source or
    /// would be in the target (KEY-1).
    pub fn target_key(&self, key: impl Into<String>) -> Result<String> {
        let key = key.into();
        if key.is_empty() {
            return Err(Error::invalid(Reason::KeyEmpty, "a key must not be empty"));
        }
        let Some(rest) = key.strip_prefix(&*self.strip_prefix) else {
            let message = "it does not begin with the prefix that is to be taken off";
            return Err(Error::new(ErrorKind::InvalidArgument, message).with_key(&key));
        };
        if rest.is_empty() && self.add_prefix.is_empty() {
            let message = "nothing is left of it without the prefix that is to be taken off";
            return Err(Error::invalid(Reason::KeyEmpty, message).with_key(&key));
        }
        Ok(if self.is_identity() { key } else { [&self.add_prefix, rest].concat() })
    }

    pub(crate) const fn is_identity(&self) -> bool {
        self.strip_prefix.is_empty() && self.add_prefix.is_empty()
    }

    /// The key in the source of the entry that has this one in the target: the inverse of
    /// [`target_key`](Self::target_key). `None` for a key that no key of the source becomes.
    #[must_use]
    pub fn source_key(&self, target_key: &str) -> Option<String> {
        let rest = target_key.strip_prefix(&*self.add_prefix).filter(|_| !target_key.is_empty())?;
        Some([&self.strip_prefix, rest].concat()).filter(|key| !key.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rewrite(strip_prefix: &str, add_prefix: &str) -> Rewrite {
        Rewrite { strip_prefix: strip_prefix.to_owned(), add_prefix: add_prefix.to_owned() }
    }

    #[test]
    fn keys_change_their_beginning() {
        for (strip, add, key, expected) in [
            ("", "", "a", "a"),
            ("a", "", "ab", "b"),
            ("a", "", "aab", "ab"),
            ("", "b/", "a", "b/a"),
            ("a", "b", "a", "b"),
            ("a", "a", "a", "a"),
            ("é", "日", "éx", "日x"),
        ] {
            assert_eq!(rewrite(strip, add).target_key(key).unwrap(), expected);
        }
    }

    #[test]
    fn a_key_that_would_be_lost_or_empty_is_refused() {
        for (strip, add, key, reason, message) in [
            ("a", "b", "x", None, "it does not begin with the prefix that is to be taken off"),
            ("ab", "", "a", None, "it does not begin with the prefix that is to be taken off"),
            ("a", "", "a", Some(Reason::KeyEmpty), "nothing is left of it without the prefix that is to be taken off"),
            ("", "b", "", Some(Reason::KeyEmpty), "a key must not be empty"),
            ("", "", "", Some(Reason::KeyEmpty), "a key must not be empty"),
        ] {
            let error = rewrite(strip, add).target_key(key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert_eq!((error.reason(), error.message()), (reason.as_ref(), message));
        }
    }

    #[test]
    fn a_key_of_the_target_that_no_key_becomes_has_none_in_the_source() {
        for (strip, add, key) in [("a", "b", "ax"), ("", "b", "b"), ("", "", ""), ("a", "", "")] {
            assert_eq!(rewrite(strip, add).source_key(key), None, "{strip} {add} {key}");
        }
    }

    proptest! {
        /// Short words of two letters, so that prefixes are met.
        #[test]
        fn no_two_keys_become_one_and_each_finds_back(
            strip in "[ab]{0,2}", add in "[ab]{0,2}", keys in proptest::collection::vec("[ab]{0,4}", 2),
        ) {
            let rewrite = rewrite(&strip, &add);
            let targets: Vec<_> = keys.iter().map(|key| rewrite.target_key(key).ok()).collect();
            for (key, target) in keys.iter().zip(&targets) {
                if let Some(target) = target {
                    prop_assert!(!target.is_empty());
                    let back = rewrite.source_key(target);
                    prop_assert_eq!(back.as_ref(), Some(key));
                }
                if let Some(source) = rewrite.source_key(key) {
                    prop_assert_eq!(&rewrite.target_key(source).unwrap(), key);
                }
            }
            if keys[0] != keys[1] && targets[0].is_some() {
                prop_assert_ne!(&targets[0], &targets[1]);
            }
        }
    }
}
