//! The ways in which a case ends, as all formats show them.

use kv_conformance::Outcome;

/// One way to end: what an [`Outcome`] is without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    Failed,
    NotExercised,
    Passed,
    Refused,
    NotApplicable,
    NotShown,
    LeftOut,
}

impl Ending {
    /// All, in the order in which totals name them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Passed,
        Self::Refused,
        Self::NotApplicable,
        Self::NotShown,
        Self::LeftOut,
        Self::NotExercised,
        Self::Failed,
    ];

    pub(crate) const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Passed => Self::Passed,
            Outcome::Refused(_) => Self::Refused,
            Outcome::NotApplicable(_) => Self::NotApplicable,
            Outcome::NotShown(_) => Self::NotShown,
            Outcome::LeftOut(_) => Self::LeftOut,
            Outcome::NotExercised(_) => Self::NotExercised,
            // An outcome that is not known here is not taken for a pass.
            _ => Self::Failed,
        }
    }

    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::NotApplicable => "not applicable",
            Self::NotShown => "not shown",
            Self::LeftOut => "left out",
            Self::NotExercised => "not exercised",
            Self::Failed => "failed",
        }
    }

    /// The sign for it, which reads without colour.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::Passed => "✓",
            Self::Refused => "⊘",
            Self::NotApplicable => "–",
            Self::NotShown => "?",
            Self::LeftOut => "…",
            Self::NotExercised => "!",
            Self::Failed => "✗",
        }
    }

    /// One sentence about it.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Passed => "the store does what the rule says",
            Self::Refused => "the store does not support it, and its refusal was checked",
            Self::NotApplicable => "the rule asks nothing of this store",
            Self::NotShown => "this run had no means to show it",
            Self::LeftOut => "the run left it out",
            Self::NotExercised => "the store reports it, and this run had no way to try it",
            Self::Failed => "the store does not do what the rule says",
        }
    }

    /// Its name in a page.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::NotApplicable => "not-applicable",
            Self::NotShown => "not-shown",
            Self::LeftOut => "left-out",
            Self::NotExercised => "not-exercised",
            Self::Failed => "failed",
        }
    }

    pub(crate) const fn is_ok(self) -> bool {
        !matches!(self, Self::Failed | Self::NotExercised)
    }
}

/// How many of each there are, in the order of [`Ending::ALL`]; passed, refused and failed are always said.
pub(crate) fn totals<'o>(outcomes: impl IntoIterator<Item = &'o Outcome>) -> Vec<(Ending, usize)> {
    let mut counts = Ending::ALL.map(|ending| (ending, 0));
    for outcome in outcomes {
        let ending = Ending::of(outcome);
        if let Some((_, count)) = counts.iter_mut().find(|(counted, _)| *counted == ending) {
            *count += 1;
        }
    }
    let is_said = |(ending, count): &(Ending, usize)| {
        *count > 0 || matches!(ending, Ending::Passed | Ending::Refused | Ending::Failed)
    };
    counts.into_iter().filter(is_said).collect()
}
