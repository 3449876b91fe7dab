//! What every contender stores: 24-byte keys and values of a given length.

use bytes::Bytes;

/// Keys that share a prefix.
pub(crate) const KEYS_PER_PREFIX: usize = 1000;

/// The bytes of a small value.
pub(crate) const SMALL: usize = 100;

/// The prefix of the keys from `number * KEYS_PER_PREFIX` on, without its slash.
pub(crate) fn prefix(number: usize) -> String {
    format!("tn{number:04}")
}

/// Key number `number`, 24 bytes.
pub(crate) fn key(number: usize) -> String {
    format!("{}/item-{number:012}", prefix(number / KEYS_PER_PREFIX))
}

/// `count` keys out of the first `entries`, each equally likely.
pub(crate) fn random_keys(entries: usize, count: usize) -> Vec<String> {
    (0..count).map(|_| key(fastrand::usize(..entries))).collect()
}

/// The first `count` keys in random order.
pub(crate) fn shuffled_keys(count: usize) -> Vec<String> {
    let mut numbers: Vec<usize> = (0..count).collect();
    fastrand::shuffle(&mut numbers);
    numbers.into_iter().map(key).collect()
}

/// A value of its own memory, as a caller would come with one.
pub(crate) fn small_value() -> Bytes {
    const CONTENT: [u8; SMALL] = [b'v'; SMALL];
    Bytes::copy_from_slice(&CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_24_bytes_and_its_prefix() {
        assert_eq!(key(999_999), "tn0999/item-000000999999");
        assert_eq!(key(0).len(), 24);
        assert!(key(1000).starts_with(&prefix(1)));
    }

    #[test]
    fn shuffling_loses_no_key() {
        let mut keys = shuffled_keys(50);
        keys.sort();
        assert_eq!(keys, (0..50).map(key).collect::<Vec<_>>());
    }
}
