//! The whole suite at once, for a command.

use std::fmt;

use crate::case::Case;
use crate::harness::Harness;
use crate::outcome::Outcome;

/// What became of each case.
#[derive(Clone, Debug)]
pub struct Report {
    results: Vec<(&'static Case, Outcome)>,
}

/// Runs every case, one after the other, each on a fresh store. Needs a tokio runtime; the races find more on one with
/// several threads.
pub async fn run_all(harness: &dyn Harness) -> Report {
    let mut results = Vec::with_capacity(Case::ALL.len());
    for case in Case::ALL {
        results.push((case, case.run(harness).await));
    }
    Report { results }
}

impl Report {
    /// Each case with its outcome, in the order of the rules.
    #[must_use]
    pub fn results(&self) -> &[(&'static Case, Outcome)] {
        &self.results
    }

    /// Whether no case failed and none was claimed but not exercised.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.results.iter().all(|(_, outcome)| outcome.is_ok())
    }

    /// The outcome of the case of this name.
    #[must_use]
    pub fn outcome(&self, name: &str) -> Option<&Outcome> {
        self.results.iter().find(|(case, _)| case.name() == name).map(|(_, outcome)| outcome)
    }
}

/// A line for each case, and the totals.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.results.iter().map(|(case, _)| case.name().len()).max().unwrap_or(0);
        for (case, outcome) in &self.results {
            writeln!(f, "{:8} {:width$}  {outcome}", case.rule(), case.name())?;
        }
        let count = |wanted: fn(&Outcome) -> bool| self.results.iter().filter(|(_, outcome)| wanted(outcome)).count();
        write!(
            f,
            "{} cases: {} passed, {} failed, {} not applicable, {} claimed but not exercised",
            self.results.len(),
            count(|outcome| matches!(outcome, Outcome::Passed)),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::NotApplicable(_))),
            count(|outcome| matches!(outcome, Outcome::NotExercised(_))),
        )
    }
}
