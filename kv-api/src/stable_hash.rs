//! A hash that is the same on every machine and in every release, for what is stored.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

pub(crate) const HASH_BYTES: usize = 8;

/// SipHash-1-3 with a fixed key over the parts as one, little endian. A change breaks stored cursors and fingerprints.
pub(crate) fn stable_hash(parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    let mut hasher = SipHasher13::new_with_keys(0x6b76_2d63_7572_736f, 0x7220_666f_726d_2031);
    for part in parts {
        hasher.write(part);
    }
    hasher.finish().to_le_bytes()
}
