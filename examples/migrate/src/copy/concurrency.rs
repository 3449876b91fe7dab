//! How many batches are written at once.

use std::time::Duration;

/// How many batches are written at once: one more while all goes well, half as many when the target asks for fewer
/// calls or fails, one fewer when it slows down.
#[derive(Debug)]
pub(super) struct Concurrency {
    now: usize,
    max: usize,
    /// Batches that went well since it changed.
    well: usize,
    /// The shortest time for an entry, or for so many bytes, so far, in nanoseconds.
    best: Option<u64>,
}

impl Concurrency {
    /// A target that takes this many times the shortest time is slow.
    const SLOW: u64 = 3;

    pub(super) const fn new(max: usize) -> Self {
        Self { now: 1, max, well: 0, best: None }
    }

    pub(super) const fn now(&self) -> usize {
        self.now
    }

    /// As many bytes take about as long as an entry does.
    const ENTRY_BYTES: usize = 1024;

    /// A batch of so many entries and bytes was written at the first attempt, in this time.
    pub(super) fn went_well(&mut self, entries: usize, bytes: usize, took: Duration) {
        if entries == 0 {
            return; // the target was not asked
        }
        let size = entries + bytes / Self::ENTRY_BYTES;
        let took = u64::try_from(took.as_nanos() / size as u128).unwrap_or(u64::MAX);
        let best = *self.best.get_or_insert(took);
        self.best = Some(best.min(took));
        if took > best.saturating_mul(Self::SLOW) {
            self.change(self.now - 1);
        } else {
            self.well += 1;
            // Each of those that are written at once has gone well at this number.
            if self.well >= self.now {
                self.change(self.now + 1);
            }
        }
    }

    /// A batch met a failure that passes.
    pub(super) fn went_badly(&mut self) {
        self.change(self.now / 2);
    }

    fn change(&mut self, to: usize) {
        self.now = to.clamp(1, self.max);
        self.well = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_step_by_step_and_shrinks_by_half() {
        const MS: Duration = Duration::from_millis(1);
        let mut concurrency = Concurrency::new(4);
        let mut seen = Vec::new();
        for _ in 0..7 {
            concurrency.went_well(10, 0, MS);
            seen.push(concurrency.now());
        }
        assert_eq!(seen, [2, 2, 3, 3, 3, 4, 4]);
        concurrency.went_well(10, 0, 3 * MS);
        assert_eq!(concurrency.now(), 4);
        concurrency.went_well(10, 0, 4 * MS);
        assert_eq!(concurrency.now(), 3);
        concurrency.went_badly();
        concurrency.went_badly();
        assert_eq!(concurrency.now(), 1);
    }

    #[test]
    fn batches_of_few_large_entries_or_none_are_not_taken_for_slow_or_fast() {
        const MS: Duration = Duration::from_millis(1);
        let mut concurrency = Concurrency::new(4);
        for _ in 0..20 {
            concurrency.went_well(0, 0, Duration::ZERO);
            concurrency.went_well(10_000, 2 << 20, 1000 * MS);
            concurrency.went_well(1, 8 << 20, 1000 * MS);
        }
        assert_eq!(concurrency.now(), 4);
    }
}
