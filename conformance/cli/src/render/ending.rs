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

    /// That of several cases together: what failed, or else what says most. Where nothing passed and nothing was
    /// refused, it is no pass. Of no cases nothing is shown.
    pub(crate) fn of_all<'o>(outcomes: impl IntoIterator<Item = &'o Outcome>) -> Self {
        const ORDER: [Ending; 7] = [
            Ending::Failed,
            Ending::NotExercised,
            Ending::Passed,
            Ending::Refused,
            Ending::NotShown,
            Ending::LeftOut,
            Ending::NotApplicable,
        ];
        let place = |ending: &Self| ORDER.iter().position(|other| other == ending);
        outcomes.into_iter().map(Self::of).min_by_key(place).unwrap_or(Self::NotShown)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_of_which_none_passed_are_no_pass_together() {
        let text = || "why".to_owned();
        let (shown, refused) = (Outcome::Passed, Outcome::Refused(text()));
        let (not_shown, left_out) = (Outcome::NotShown(text()), Outcome::LeftOut(text()));
        let (no_use, untried) = (Outcome::NotApplicable(text()), Outcome::NotExercised(text()));
        for (outcomes, expected) in [
            (vec![&not_shown, &shown, &refused], Ending::Passed),
            (vec![&no_use, &refused, &not_shown], Ending::Refused),
            (vec![&no_use, &left_out, &not_shown], Ending::NotShown),
            (vec![&no_use, &left_out], Ending::LeftOut),
            (vec![&no_use], Ending::NotApplicable),
            (vec![&shown, &untried], Ending::NotExercised),
            (vec![&shown, &Outcome::Failed(text()), &untried], Ending::Failed),
            (vec![], Ending::NotShown),
        ] {
            assert_eq!(Ending::of_all(outcomes.iter().copied()), expected, "{outcomes:?}");
        }
    }
}
