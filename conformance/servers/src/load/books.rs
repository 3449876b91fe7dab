//! What became of each write, and whether what is there now agrees with it.

use std::collections::{BTreeMap, BTreeSet};

use kv_api::{Error, ErrorKind, Retry, Value};

use super::Promise;

/// What became of one write, as its caller knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// Acknowledged.
    Applied,
    /// Its condition did not hold.
    NotMet,
    /// An error that says: certainly not applied.
    Refused,
    /// An error that does not know.
    Unknown,
}

impl Came {
    /// An error that trouble with the server or the way to it does not explain is no outcome but a fault.
    pub(crate) fn of(error: &Error) -> Result<Self, String> {
        match (error.kind(), error.retry()) {
            (ErrorKind::Unavailable | ErrorKind::RateLimited | ErrorKind::Exhausted, Retry::Safe) => Ok(Self::Refused),
            // An answer of which only a part came cannot be read (BATCH-6).
            (ErrorKind::Unavailable | ErrorKind::Protocol, Retry::OutcomeUnknown) => Ok(Self::Unknown),
            (kind, retry) => Err(format!("an error of kind {kind:?} and class {retry:?}: {error:?}")),
        }
    }

    /// Whether it can be there.
    const fn may_be_there(self) -> bool {
        matches!(self, Self::Applied | Self::Unknown)
    }
}

/// A value that one write alone has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token(pub(crate) u64);

impl Token {
    /// A text that spells no number, so that it is stored as it is.
    pub(crate) fn value(self) -> String {
        format!("t{}", self.0)
    }

    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        let number = value.as_text().and_then(|text| text.strip_prefix('t')?.parse().ok());
        number.map(Self).ok_or_else(|| "a value that nobody wrote is there".to_owned())
    }
}

/// A counter, which goes up in steps of one.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    /// What the acknowledged steps answered.
    answers: Vec<i64>,
    unknown: usize,
}

impl Counter {
    pub(crate) fn note(&mut self, came: Came, answer: Option<i64>) {
        self.answers.extend(answer);
        self.unknown += usize::from(came == Came::Unknown);
    }

    pub(crate) fn check(&self, count: i64, promise: Promise) -> Result<(), String> {
        let acknowledged = self.answers.len();
        let is = |count: i64| usize::try_from(count).unwrap_or(0);
        if is(count) > acknowledged + self.unknown || count < 0 {
            return Err(format!("counts {count} of {acknowledged} acknowledged and {} unknown steps", self.unknown));
        }
        if promise == Promise::MayBeLost {
            return Ok(());
        }
        if is(count) < acknowledged {
            return Err(format!("counts {count} of {acknowledged} acknowledged steps"));
        }
        let distinct: BTreeSet<i64> = self.answers.iter().copied().collect();
        if distinct.len() < acknowledged {
            return Err("gave one number to two steps".to_owned());
        }
        match (distinct.first(), distinct.last()) {
            (Some(first), Some(last)) if *first < 1 || *last > count => {
                Err(format!("gave the numbers {first} to {last} and counts {count}"))
            }
            _ => Ok(()),
        }
    }
}

/// Who wanted to create a key.
#[derive(Debug, Default)]
pub(crate) struct Claim(Vec<(Token, Came)>);

impl Claim {
    pub(crate) fn note(&mut self, token: Token, came: Came) {
        self.0.push((token, came));
    }

    pub(crate) fn check(&self, found: Option<Token>, promise: Promise) -> Result<(), String> {
        let came = |came: Came| self.0.iter().filter(move |(_, own)| *own == came).map(|(token, _)| *token);
        if let Some(found) = found {
            match self.0.iter().find(|(token, _)| *token == found) {
                None => return Err(format!("holds {found:?}, which nobody wrote here")),
                Some((_, came)) if !came.may_be_there() => return Err(format!("holds {found:?}, which was {came:?}")),
                Some(_) => {}
            }
        }
        if promise == Promise::MayBeLost {
            return Ok(());
        }
        let created: Vec<Token> = came(Came::Applied).collect();
        if created.len() > 1 {
            return Err(format!("was created by each of {created:?}"));
        }
        match (created.first(), found) {
            (Some(created), found) if found != Some(*created) => {
                Err(format!("was created as {created:?} and holds {found:?}"))
            }
            (None, None) if came(Came::NotMet).next().is_some() => Err("is not there, and was said to be".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Writes of one key, each in place of a certain other one.
#[derive(Debug, Default)]
pub(crate) struct Chain(BTreeMap<Token, (Option<Token>, Came)>);

impl Chain {
    pub(crate) fn note(&mut self, token: Token, before: Option<Token>, came: Came) {
        self.0.insert(token, (before, came));
    }

    pub(crate) fn check(&self, found: Option<Token>, promise: Promise) -> Result<(), String> {
        let mut path = BTreeSet::new();
        let mut next = found;
        while let Some(token) = next {
            let Some((before, came)) = self.0.get(&token) else {
                return Err(format!("goes back to {token:?}, which nobody wrote here"));
            };
            if !came.may_be_there() {
                return Err(format!("goes back to {token:?}, which was {came:?}"));
            }
            path.insert(token);
            // What is read is older than what is written then, so the way ends.
            next = *before;
        }
        let is_lost = |(token, (_, came)): &(&Token, &(_, Came))| *came == Came::Applied && !path.contains(token);
        match self.0.iter().find(is_lost) {
            Some((token, _)) if promise == Promise::Kept => {
                Err(format!("holds {found:?}, and the acknowledged {token:?} is not among what led to it"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Came::{Applied, NotMet, Refused, Unknown};
    use Promise::{Kept, MayBeLost};

    fn counter(answers: &[i64], unknown: usize) -> Counter {
        Counter { answers: answers.to_vec(), unknown }
    }

    #[test]
    fn a_count_is_at_least_what_was_acknowledged_and_at_most_that_and_what_is_unknown() {
        for count in 3..=5 {
            assert_eq!(counter(&[1, 3, 2], 2).check(count, Kept), Ok(()));
        }
        for (counter, count) in [
            (counter(&[1, 2, 3], 2), 2),
            (counter(&[1, 2, 3], 2), 6),
            (counter(&[], 0), -1),
            (counter(&[1, 2, 2], 1), 3),
            (counter(&[0, 1], 1), 2),
            (counter(&[1, 4], 1), 3),
        ] {
            assert!(counter.check(count, Kept).is_err(), "{counter:?} and {count}");
        }
        assert_eq!(counter(&[1, 1, 2], 0).check(1, MayBeLost), Ok(()));
        assert!(counter(&[1, 1], 1).check(4, MayBeLost).is_err());
    }

    #[test]
    fn a_step_that_was_refused_is_not_in_the_count() {
        let mut counter = Counter::default();
        counter.note(Applied, Some(1));
        counter.note(Refused, None);
        assert_eq!(counter.check(1, Kept), Ok(()));
        assert!(counter.check(2, Kept).is_err());
        counter.note(Unknown, None);
        assert_eq!(counter.check(2, Kept), Ok(()));
    }

    fn claim(came: &[Came]) -> Claim {
        Claim((0..).map(Token).zip(came.iter().copied()).collect())
    }

    #[test]
    fn a_key_is_created_once_and_holds_what_its_creator_wrote() {
        let at = |token| Some(Token(token));
        for (came, found) in [
            (&[Applied, NotMet, Unknown, Refused][..], at(0)),
            (&[NotMet, Unknown], at(1)),
            (&[Unknown, Refused], None),
            (&[], None),
        ] {
            assert_eq!(claim(came).check(found, Kept), Ok(()), "{came:?}");
        }
        for (came, found) in [
            (&[Applied, Applied][..], at(0)),
            (&[Applied, Unknown], at(1)),
            (&[Applied], None),
            (&[NotMet], None),
            (&[NotMet, Unknown], None),
            (&[NotMet, Unknown], at(0)),
            (&[Refused], at(0)),
            (&[Unknown], at(7)),
        ] {
            assert!(claim(came).check(found, Kept).is_err(), "{came:?} and {found:?}");
        }
        assert_eq!(claim(&[Applied, Applied, NotMet]).check(at(1), MayBeLost), Ok(()));
        assert_eq!(claim(&[Applied]).check(None, MayBeLost), Ok(()));
        assert!(claim(&[Applied, Refused]).check(at(1), MayBeLost).is_err());
    }

    fn chain(links: &[(u64, Option<u64>, Came)]) -> Chain {
        let mut chain = Chain::default();
        for (token, before, came) in links {
            chain.note(Token(*token), before.map(Token), *came);
        }
        chain
    }

    #[test]
    fn every_acknowledged_write_is_among_what_led_to_the_last() {
        let whole = [
            (1, None, Applied),
            (2, Some(1), Unknown),
            (3, Some(2), Applied),
            (4, Some(2), NotMet),
            (5, None, Refused),
        ];
        assert_eq!(chain(&whole).check(Some(Token(3)), Kept), Ok(()));
        for found in [None, Some(1), Some(2), Some(4), Some(5), Some(9)] {
            assert!(chain(&whole).check(found.map(Token), Kept).is_err(), "{found:?}");
        }
        let split = [(1, None, Applied), (2, Some(1), Applied), (3, Some(1), Applied)];
        assert!(chain(&split).check(Some(Token(3)), Kept).is_err());
        assert_eq!(chain(&split).check(Some(Token(3)), MayBeLost), Ok(()));
        assert!(chain(&whole).check(Some(Token(4)), MayBeLost).is_err());
    }

    #[test]
    fn only_trouble_on_the_way_is_an_outcome() {
        let error = |kind, retry| Error::new(kind, "").with_retry(retry);
        assert_eq!(Came::of(&error(ErrorKind::Unavailable, Retry::Safe)), Ok(Refused));
        assert_eq!(Came::of(&error(ErrorKind::Unavailable, Retry::OutcomeUnknown)), Ok(Unknown));
        assert!(Came::of(&error(ErrorKind::Unavailable, Retry::Never)).is_err());
        assert!(Came::of(&error(ErrorKind::Internal, Retry::Safe)).is_err());
    }
}
