//! What stands for a key where the key itself must not.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

/// The same for one key in one process, so that spans of one key can be found; no way back to the key, since the hash
/// has a key of its own that the process draws at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyHash(u64);

impl KeyHash {
    pub(super) fn of(key: &str) -> Self {
        static DRAWN: OnceLock<RandomState> = OnceLock::new();
        Self(DRAWN.get_or_init(RandomState::new).hash_one(key))
    }
}

/// 16 hex digits.
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_same_for_one_key_and_another_for_another() {
        let hash = KeyHash::of("user/ada").to_string();
        assert_eq!(hash, KeyHash::of("user/ada").to_string());
        assert_ne!(hash, KeyHash::of("user/bob").to_string());
        assert!(hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()));
    }
}
