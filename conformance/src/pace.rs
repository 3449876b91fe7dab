//! Whether a case keeps up with a clock that runs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kv_api::Timestamp;

use crate::expiring::{Form, Life};

/// The greatest factor for the lives of a case.
const STRETCH_MAX: u32 = 8;

/// What a case has begun, and by when it has to act. On a machine that is slow for a moment a case can come too late:
/// an end has passed before the case has looked at what must be there until then. That shows nothing about the store,
/// so the case is tried again with longer lives.
#[derive(Debug)]
pub(crate) struct Pace {
    stretch: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    begun: Vec<Begun>,
    was_late: bool,
}

#[derive(Debug)]
struct Begun {
    life: Life,
    /// What the life is for must be done before.
    act_by: Timestamp,
    /// By when the expiry had been given, where that is known: a ttl ends no later than so long after it.
    given_by: Option<Timestamp>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self::with_stretch(1)
    }

    fn with_stretch(stretch: u32) -> Self {
        Self { stretch, state: Mutex::default() }
    }

    /// By how much lives and the room around their ends are longer than the harness asks for.
    pub(crate) const fn stretch(&self) -> u32 {
        self.stretch
    }

    /// For another try, unless this was the last.
    pub(crate) fn slower(&self) -> Option<Self> {
        (self.stretch < STRETCH_MAX).then(|| Self::with_stretch(self.stretch * 2))
    }

    pub(crate) fn begin(&self, life: Life, act_by: Timestamp) {
        self.lock().begun.push(Begun { life, act_by, given_by: None });
    }

    /// Notes that the case lets time pass from `now` until `until`, so that what ends by then may end.
    pub(crate) fn let_pass(&self, now: Timestamp, until: Timestamp) {
        let mut state = self.lock();
        state.was_late |= state.begun.iter().any(|begun| begun.act_by <= now);
        state.begun.retain(|begun| begun.life.end > until);
        for begun in &mut state.begun {
            begun.given_by.get_or_insert(now);
        }
    }

    /// The latest end of a life by the form it was given in, before rounding.
    pub(crate) fn latest_end(&self, life: Life, now: Timestamp) -> Timestamp {
        let given_by = self.lock().begun.iter().find(|begun| begun.life == life).map(|begun| begun.given_by);
        match (life.form, given_by) {
            (Form::Ttl, Some(given_by)) => {
                given_by.unwrap_or(now).checked_add(life.ttl).map_or(life.end, |end| end.max(life.end))
            }
            _ => life.end,
        }
    }

    /// Whether an end has passed that the case had not let pass.
    pub(crate) fn is_late(&self, now: Timestamp) -> bool {
        let state = self.lock();
        state.was_late || state.begun.iter().any(|begun| begun.act_by <= now)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way, so a poisoned lock still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn life(form: Form) -> Life {
        Life { form, ttl: Duration::from_secs(10), end: at(110) }
    }

    #[test]
    fn an_end_that_is_let_pass_is_not_late() {
        let pace = Pace::new();
        pace.begin(life(Form::Ttl), at(110));
        pace.let_pass(at(101), at(109));
        assert!(!pace.is_late(at(109)) && pace.is_late(at(110)));
        pace.let_pass(at(109), at(111));
        assert!(!pace.is_late(at(200)));
    }

    #[test]
    fn an_end_that_has_passed_before_is_late_ever_after() {
        let pace = Pace::new();
        pace.begin(life(Form::Ttl), at(110));
        pace.let_pass(at(110), at(200));
        assert!(pace.is_late(at(110)));
    }

    #[test]
    fn a_ttl_ends_no_later_than_counted_from_when_it_had_been_given() {
        let pace = Pace::new();
        for form in [Form::Ttl, Form::At] {
            pace.begin(life(form), at(110));
        }
        assert_eq!(pace.latest_end(life(Form::Ttl), at(104)), at(114));
        pace.let_pass(at(103), at(105));
        assert_eq!(pace.latest_end(life(Form::Ttl), at(108)), at(113));
        assert_eq!(pace.latest_end(life(Form::At), at(108)), at(110));
    }

    #[test]
    fn tries_end() {
        let mut tries = 1;
        let mut pace = Pace::new();
        while let Some(slower) = pace.slower() {
            (pace, tries) = (slower, tries + 1);
        }
        assert_eq!((pace.stretch(), tries), (8, 4));
    }
}
