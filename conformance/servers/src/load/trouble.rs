//! Moments and failures at random.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use kv_api::{Timer, TokioTimer};
use kv_conformance::{Fault, Faults};

use crate::Link;

/// What goes wrong during a [`Load`](crate::Load), and when: at random, from a seed, so that a failure can be tried
/// again. The moments within the system are its own all the same.
///
/// ```
/// use kv_servers::Trouble;
/// let (mut one, mut other) = (Trouble::new(42), Trouble::new(42));
/// assert!((0..100).all(|_| one.pick(6) == other.pick(6)));
/// ```
#[derive(Debug)]
pub struct Trouble(Rng);

impl Trouble {
    /// All from this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// Waits for so many milliseconds.
    ///
    /// # Panics
    /// When the range is empty.
    pub async fn pause(&mut self, millis: Range<u64>) {
        TokioTimer.sleep(Duration::from_millis(self.0.u64(millis))).await;
    }

    /// One of so many, from zero on.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick(&mut self, count: usize) -> usize {
        self.0.usize(..count)
    }

    /// Lets a link fail in one of the ways in which a network fails: connections are cut or refused, nothing flows for
    /// up to `silence` milliseconds, a few requests or answers are lost. What may still be to come then (lost requests and
    /// answers, broken connections) ends with [`mend`](Self::mend).
    ///
    /// # Panics
    /// As [`Link`] does.
    pub async fn break_link(&mut self, link: &Link, silence: u64) {
        let count = self.0.u32(1..5);
        match self.0.u8(..8) {
            0 => link.cut(),
            1 => {
                link.stall(true);
                self.pause(0..silence).await;
                link.stall(false);
            }
            2 => {
                link.partition();
                self.pause(0..silence).await;
                link.heal();
            }
            3 => {
                link.inject(Fault::Refused, 1);
                self.pause(0..silence).await;
                link.inject(Fault::Refused, 0);
            }
            4 => link.inject(Fault::RequestLost, count),
            5 => link.inject(Fault::AnswerLost, count),
            6 => link.inject(Fault::AnswerTruncated, count),
            _ => link.reset_next(count),
        }
    }

    /// Nothing is to fail any more.
    pub fn mend(link: &Link) {
        link.inject(Fault::Refused, 0);
    }
}
