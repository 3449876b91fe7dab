//! What one key does when calls come one after the other: the contract as far as histories look at it.

use super::history::{Action, Answer, History, VersionId, When};

/// The entry of the key, or that there is none.
pub(crate) type State = Option<Held>;

/// What is known of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) value: i64,
    /// `None` as long as nobody was given it. Versions are opaque: what one means is learnt from the call that was given
    /// it, and nothing is said of whether writing the same again gives the same version (VER-1).
    version: Option<VersionId>,
}

impl Held {
    pub(crate) const fn of(value: i64) -> Self {
        Self { value, version: None }
    }
}

/// Whether a condition holds; with what is known, both can be possible.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Yes,
    No,
    Either,
}

impl Met {
    const fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// The state after a call that was carried out in `before` and gave this answer; `None` where it cannot have given it.
/// An unknown answer fits wherever the call changes something: where it changes nothing, it is as if never carried out.
pub(crate) fn step(history: &History, before: State, action: Action, answer: Answer) -> Option<State> {
    let is_there = before.is_some();
    match (action, answer) {
        (Action::Get, Answer::Value(found)) => (found == before.map(|held| held.value)).then_some(before),
        (Action::GetEntry | Action::Touch, Answer::Entry(found)) => match (before, found) {
            (None, None) => Some(None),
            (Some(held), Some((value, version))) if held.value == value => {
                let same = version.is_none() || held.version.is_none() || held.version == version;
                same.then_some(Some(Held { value, version: held.version.or(version) }))
            }
            _ => None,
        },
        (Action::Expire, Answer::Exists(found)) => (found == is_there).then_some(before),
        (Action::Set(value, when), answer) => {
            let met = match when {
                When::Always => Met::Yes,
                When::IfNotExists => Met::of(!is_there),
                When::IfExists => Met::of(is_there),
                When::IfVersion(version) => is_version(history, before, version),
            };
            match answer {
                Answer::Written { over_an_entry, version } if met != Met::No => {
                    let fits = over_an_entry.is_none_or(|over| over == is_there);
                    fits.then_some(Some(Held { value, version }))
                }
                Answer::NotMet if met != Met::Yes => Some(before),
                Answer::Unknown if met != Met::No => Some(Some(Held::of(value))),
                _ => None,
            }
        }
        (Action::Delete(version), answer) => {
            let met = version.map_or(Met::Yes, |version| is_version(history, before, version));
            match answer {
                Answer::Deleted { was_there } if met != Met::No => {
                    was_there.is_none_or(|there| there == is_there).then_some(None)
                }
                Answer::NotMet if met != Met::Yes => Some(before),
                Answer::Unknown if met != Met::No && is_there => Some(None),
                _ => None,
            }
        }
        (Action::GetAndDelete, Answer::Value(found)) => (found == before.map(|held| held.value)).then_some(None),
        (Action::GetAndDelete, Answer::Unknown) => is_there.then_some(None),
        (Action::Increment(by), answer) => {
            let count = before.map_or(0, |held| held.value).checked_add(by)?;
            let fits = match answer {
                Answer::Count(answered) => answered == count,
                Answer::Unknown => true,
                _ => false,
            };
            fits.then_some(Some(Held::of(count)))
        }
        _ => None,
    }
}

/// Whether what is there has this version. Other content has another version. The same content has it surely where it
/// was written by the call that was given it, and may have it where it was written again (VER-1).
fn is_version(history: &History, before: State, version: VersionId) -> Met {
    match before {
        Some(Held { version: Some(known), .. }) => Met::of(known == version),
        Some(Held { value, version: None }) if history.stands_for(version, value) => Met::Either,
        _ => Met::No,
    }
}
