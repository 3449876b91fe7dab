//! What callers are going to do: random, and the same for the same seed.

use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::harness::Fault;

use super::history::Moment;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    GetEntry,
    Touch,
    Expire,
    Set,
    SetIfNotExists,
    SetIfExists,
    SetIfVersion,
    Delete,
    DeleteIfVersion,
    GetAndDelete,
    Increment,
}

/// One call of a caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    /// Which of the keys.
    pub(crate) key: usize,
    /// What a set writes: no two of a plan write the same.
    pub(crate) value: i64,
    /// What an increment adds.
    pub(crate) by: i64,
    /// Whether a version is the last that this caller was given, and not the last that anybody was.
    pub(crate) own_version: bool,
    /// How often others may run before the call begins.
    pub(crate) pauses: u8,
}

/// What happens to requests for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) fault: Fault,
    /// How many requests it happens to at most.
    pub(crate) count: u32,
    pub(crate) from: Moment,
    pub(crate) until: Moment,
    /// Whether it spares requests that only look.
    pub(crate) writes_only: bool,
}

/// The calls of each caller, and what happens to them.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) keys: usize,
    pub(crate) callers: Vec<Vec<Step>>,
    pub(crate) troubles: Vec<Trouble>,
}

const CALLERS: std::ops::RangeInclusive<usize> = 4..=6;
/// How many calls a caller makes. More find no more: what goes wrong does so among a few calls that meet.
const CALLS: usize = 7;
const KEYS_MAX: usize = 2;
const TROUBLES: u64 = 4;

impl Plan {
    /// Calls of these kinds, in which each is as likely as it is often there. Without faults there are no troubles.
    pub(crate) fn random(seed: u64, kinds: &[Kind], faults: &[Fault]) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let keys = rng.random_range(1..=KEYS_MAX);
        let mut value = 0;
        let mut step = |rng: &mut TestRng| {
            value += 1;
            Step {
                kind: kinds[rng.random_range(0..kinds.len())],
                key: rng.random_range(0..keys),
                value,
                by: [1, 1, 2, 5, -3][rng.random_range(0..5_usize)],
                own_version: rng.random_range(0..4) == 0,
                pauses: rng.random_range(0..3),
            }
        };
        let callers: Vec<Vec<Step>> =
            (0..rng.random_range(CALLERS)).map(|_| (0..CALLS).map(|_| step(&mut rng)).collect()).collect();
        // Each call has two moments, its beginning and its end.
        let moments = u64::try_from(2 * CALLS * callers.len()).unwrap_or(u64::MAX);
        let each = moments / TROUBLES;
        let mut trouble = |number: u64| {
            // Over before the next begins.
            let from = number * each + rng.random_range(0..each / 3);
            let fault = faults[rng.random_range(0..faults.len())];
            let (count, writes_only) = (rng.random_range(1..=2), rng.random_range(0..4) != 0);
            Trouble { fault, count, from, until: from + each / 2, writes_only }
        };
        let troubles = if faults.is_empty() { Vec::new() } else { (0..TROUBLES).map(&mut trouble).collect() };
        Self { keys, callers, troubles }
    }

    /// The same with increments that add alone.
    pub(crate) fn counting_up(mut self) -> Self {
        for step in self.callers.iter_mut().flatten() {
            step.by = step.by.abs();
        }
        self
    }

    /// How many values are needed, with those of the looks when all callers have ended.
    pub(crate) fn values(&self) -> usize {
        self.callers.iter().map(Vec::len).sum::<usize>() + self.keys + 1
    }
}
