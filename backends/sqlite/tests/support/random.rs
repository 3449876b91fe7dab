//! What the tests against a model share: chance, the number of runs, and when an entry ends.

use std::time::Duration;

use kv_api::Timestamp;

/// Small, seeded and the same everywhere (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub(crate) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// How many runs: more when `PROPTEST_CASES` asks for more of every property test.
pub(crate) fn runs() -> u64 {
    const CASES_PER_RUN: u64 = 64;
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256);
    (cases / CASES_PER_RUN).max(1)
}

/// To the millisecond, rounded up (EXP-4).
pub(crate) fn deadline(now: Timestamp, ttl: Duration) -> Timestamp {
    now.checked_add(ttl).unwrap().checked_ceil_to(Duration::from_millis(1)).unwrap()
}
