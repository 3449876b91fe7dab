//! How a case ends.

use std::fmt;

/// How a case ended. Only [`Passed`](Self::Passed) says that a promise was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The store does what the rule says.
    Passed,
    /// It does not; the text says what was expected and what was found.
    Failed(String),
    /// The rule asks nothing of this store, or nothing this harness can show. Where the reason is a capability that is
    /// not declared, its refusal was checked.
    NotApplicable(String),
    /// The store declares a capability and the harness gives no way to try it. Fails the test: a claim is no proof.
    NotExercised(String),
}

impl Outcome {
    /// Whether a test may succeed with it: passed, or not applicable.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        matches!(self, Self::Passed | Self::NotApplicable(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(text) => write!(f, "FAILED: {text}"),
            Self::NotApplicable(reason) => write!(f, "not applicable: {reason}"),
            Self::NotExercised(reason) => write!(f, "CLAIMED BUT NOT EXERCISED: {reason}"),
        }
    }
}

/// Why a case stopped before it had passed: what `?` carries out of it.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed(String),
    NotApplicable(String),
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
            Err(Stop::NotApplicable(reason)) => Self::NotApplicable(reason),
            Err(Stop::NotExercised(reason)) => Self::NotExercised(reason),
        }
    }
}

pub(crate) fn not_applicable<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::NotApplicable(reason.into()))
}

pub(crate) fn not_exercised<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::NotExercised(reason.into()))
}
