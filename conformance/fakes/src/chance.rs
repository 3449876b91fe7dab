//! Faults that come by chance, as they do where a network is bad.

use std::time::Duration;

use fastrand::Rng;

use crate::fault::{Applied, Fault};

/// What a client meets that goes through an HTTP API: each certainly or perhaps carried out, with a word on when to
/// come back and without.
pub(crate) const OF_REQUESTS: &[Fault] = &[
    Fault::Throttled { retry_after: None },
    Fault::Throttled { retry_after: Some(Duration::from_secs(1)) },
    Fault::ServerError { status: 503, applied: Applied::No },
    Fault::ServerError { status: 502, applied: Applied::Yes },
    Fault::Cut { applied: Applied::No },
    Fault::Cut { applied: Applied::Yes },
];

/// The same over a connection that stays, of a system that limits no rate.
pub(crate) const OF_MESSAGES: &[Fault] = &[
    Fault::ServerError { status: 503, applied: Applied::No },
    Fault::ServerError { status: 502, applied: Applied::Yes },
    Fault::Cut { applied: Applied::No },
    Fault::Cut { applied: Applied::Yes },
];

/// The certainty of a fault.
pub(crate) const PER_MILLE_MAX: u32 = 1000;

/// Which requests meet a fault by chance, and which one: the same for the same seed, request by request.
#[derive(Debug)]
pub(crate) struct Chance {
    random: Rng,
    per_mille: u32,
    faults: &'static [Fault],
}

impl Chance {
    /// More than [`PER_MILLE_MAX`] is that.
    pub(crate) fn new(seed: u64, per_mille: u32, faults: &'static [Fault]) -> Self {
        Self { random: Rng::with_seed(seed), per_mille, faults }
    }

    /// The fault that the request which has just come is to meet.
    pub(crate) fn next(&mut self) -> Option<Fault> {
        // Both are always drawn, so that another probability meets the same requests with the same faults and more.
        let (drawn, fault) = (self.random.u32(0..PER_MILLE_MAX), self.random.choice(self.faults));
        fault.copied().filter(|_| drawn < self.per_mille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_at_the_stated_rate_and_all_of_them_equally_often() {
        for faults in [OF_REQUESTS, OF_MESSAGES] {
            for (seed, per_mille) in [(1, 10), (2, 100), (3, 500)] {
                let mut chance = Chance::new(seed, per_mille, faults);
                let met: Vec<Fault> = (0..100_000).filter_map(|_| chance.next()).collect();
                let expected = 100 * per_mille as usize;
                assert!(met.len().abs_diff(expected) < expected / 5, "{per_mille} per mille: {}", met.len());
                for fault in faults {
                    let count = met.iter().filter(|own| *own == fault).count();
                    assert!(count * faults.len() > met.len() / 2, "{fault:?}: {count} of {}", met.len());
                }
            }
            let never = |per_mille| (0..1000).filter_map(|_| Chance::new(4, per_mille, faults).next()).count();
            assert_eq!((never(0), never(PER_MILLE_MAX), never(u32::MAX)), (0, 1000, 1000));
        }
    }

    #[test]
    fn a_seed_repeats_itself_and_a_greater_chance_only_adds() {
        let met = |seed, per_mille| {
            let mut chance = Chance::new(seed, per_mille, OF_REQUESTS);
            (0..1000).map(|_| chance.next()).collect::<Vec<_>>()
        };
        assert_eq!(met(7, 100), met(7, 100));
        assert_ne!(met(7, 100), met(8, 100));
        assert!(met(7, 100).iter().zip(met(7, 300)).all(|(rare, often)| rare.is_none() || *rare == often));
    }
}
