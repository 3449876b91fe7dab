//! How a case ends.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::means::Means;

/// How a case ended. Only [`Passed`](Self::Passed) and [`Refused`](Self::Refused) say that a promise was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "text", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The store does what the rule says.
    Passed,
    /// The store does not support what the rule is about, and refuses it as it should. That was checked.
    Refused(String),
    /// The rule asks nothing of this store.
    NotApplicable(String),
    /// The rule asks something of the store, and this harness has no means to show it.
    NotShown(String),
    /// The run left the case out: by a filter or a budget, or since it was stopped.
    LeftOut(String),
    /// The store reports a capability, and the harness gives no way to try it. Fails the test: a claim is no proof.
    NotExercised(String),
    /// The store does not do what the rule says; the text says what was expected and what was found.
    Failed(String),
}

impl Outcome {
    /// Whether a test may succeed with it: all but not exercised and failed.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        !matches!(self, Self::NotExercised(_) | Self::Failed(_))
    }

    /// What a test makes of it. With `KV_CONFORMANCE_STRICT=1` in the environment it fails where the harness has no means
    /// to show the rule, so that a gap of the harness cannot look like a pass.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict_if(std::env::var_os("KV_CONFORMANCE_STRICT").is_some_and(|value| value == "1"))
    }

    fn verdict_if(&self, is_strict: bool) -> Verdict {
        match self {
            Self::Passed | Self::Refused(_) => Verdict::Kept,
            Self::NotShown(_) if is_strict => Verdict::Broken,
            outcome if outcome.is_ok() => Verdict::Said,
            _ => Verdict::Broken,
        }
    }

    /// What it is, in words.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused(_) => "refused",
            Self::NotApplicable(_) => "not applicable",
            Self::NotShown(_) => "not shown",
            Self::LeftOut(_) => "left out",
            Self::NotExercised(_) => "CLAIMED BUT NOT EXERCISED",
            Self::Failed(_) => "FAILED",
        }
    }

    /// Why it ended so; nothing for a pass.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Refused(text)
            | Self::NotApplicable(text)
            | Self::NotShown(text)
            | Self::LeftOut(text)
            | Self::NotExercised(text)
            | Self::Failed(text) => Some(text),
        }
    }
}

/// What a test makes of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Kept,
    /// It passes, and the outcome has to be said, since nothing was shown.
    Said,
    /// It fails.
    Broken,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            None => f.write_str(self.label()),
            Some(text) => write!(f, "{}: {text}", self.label()),
        }
    }
}

/// Why a case stopped before it had passed: what `?` carries out of it.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed(String),
    Refused(String),
    NotApplicable(String),
    NotShown(Means, String),
    NotExercised(String),
}

pub(crate) type CaseResult = Result<(), Stop>;

impl From<kv_api::Error> for Stop {
    fn from(error: kv_api::Error) -> Self {
        Self::Failed(format!("a call that should succeed did not: {error}"))
    }
}

impl From<CaseResult> for Outcome {
    fn from(result: CaseResult) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(Stop::Failed(text)) => Self::Failed(text),
            Err(Stop::Refused(reason)) => Self::Refused(reason),
            Err(Stop::NotApplicable(reason)) => Self::NotApplicable(reason),
            Err(Stop::NotShown(_, reason)) => Self::NotShown(reason),
            Err(Stop::NotExercised(reason)) => Self::NotExercised(reason),
        }
    }
}

pub(crate) fn not_applicable<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::NotApplicable(reason.into()))
}

/// For a feature that the store does not support, after its refusal was checked.
pub(crate) fn refused<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Refused(reason.into()))
}

/// For what the harness has no means to show. Where the system has nothing of the kind, it says so
/// ([`Fixture::without`](crate::Fixture::without)), and the case is not applicable.
pub(crate) fn not_shown<T>(means: Means, reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::NotShown(means, reason.into()))
}

pub(crate) fn not_exercised<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::NotExercised(reason.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_harness_cannot_show_fails_only_where_that_is_asked_for() {
        let text = || "why".to_owned();
        for (outcome, verdict, strict) in [
            (Outcome::Passed, Verdict::Kept, Verdict::Kept),
            (Outcome::Refused(text()), Verdict::Kept, Verdict::Kept),
            (Outcome::NotApplicable(text()), Verdict::Said, Verdict::Said),
            (Outcome::NotShown(text()), Verdict::Said, Verdict::Broken),
            (Outcome::NotExercised(text()), Verdict::Broken, Verdict::Broken),
            (Outcome::Failed(text()), Verdict::Broken, Verdict::Broken),
        ] {
            assert_eq!((outcome.verdict_if(false), outcome.verdict_if(true)), (verdict, strict), "{outcome}");
        }
    }
}
