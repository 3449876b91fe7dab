//! What became of each case of a run.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::facts::Fact;
use crate::outcome::Outcome;
use crate::probe::OperationRequests;

/// What became of each case of a run, in the order of the contract, and what the store says of itself. It can be written
/// and read with serde.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The form of what is written: [`Self::FORMAT`] of the version that wrote it.
    pub format: u32,
    /// The name of the system, as the store's capabilities have it; empty when no store could be opened.
    pub system: String,
    /// The version of this package, whose cases they are.
    pub suite_version: String,
    /// When the run began, in microseconds since the beginning of 1970, by the clock of this machine; 0 in a report that
    /// is made to be [kept](Self::without_figures_of_this_run).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub began_unix_micros: i64,
    /// How long the run took; 0 in a report that is made to be kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub elapsed_micros: u64,
    /// What the store reports of itself; empty when no store could be opened.
    pub capabilities: Vec<Fact>,
    /// How many requests each operation takes; empty unless the run [probed](crate::Suite::with_probe) them.
    pub operations: Vec<OperationRequests>,
    /// The cases.
    pub cases: Vec<CaseReport>,
}

/// What became of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// The rule that it shows: `SET-3`.
    pub rule: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took, opening and undoing included; 0 in a report that is made to be kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub elapsed_micros: u64,
    /// How many requests were sent, where the harness counts them; none in a report that is made to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
}

/// What is not known is not written.
fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

impl Report {
    /// The form in which this version writes reports. One of another form is read by a version that knows it.
    pub const FORMAT: u32 = 1;

    /// The same without what differs from run to run: times, and how many requests a case took. Two runs of one suite
    /// against the same store then give the same report, as long as the same holds.
    #[must_use]
    pub fn without_figures_of_this_run(mut self) -> Self {
        self.began_unix_micros = 0;
        self.elapsed_micros = 0;
        for case in &mut self.cases {
            case.elapsed_micros = 0;
            case.requests = None;
        }
        self
    }

    /// Whether no case failed and none was claimed but not exercised.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.cases.iter().all(|case| case.outcome.is_ok())
    }

    /// The outcome of the case of this name.
    #[must_use]
    pub fn outcome(&self, name: &str) -> Option<&Outcome> {
        self.cases.iter().find(|case| case.name == name).map(|case| &case.outcome)
    }

    /// How many cases ended in a way that [`Outcome::label`] calls so.
    #[must_use]
    pub fn count(&self, label: &str) -> usize {
        self.cases.iter().filter(|case| case.outcome.label() == label).count()
    }

    /// How long the run took.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        Duration::from_micros(self.elapsed_micros)
    }
}

impl CaseReport {
    /// How long the case took.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        Duration::from_micros(self.elapsed_micros)
    }
}

/// A line for each case, and the totals.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.cases.iter().map(|case| case.name.len()).max().unwrap_or(0);
        for case in &self.cases {
            writeln!(f, "{:8} {:width$}  {}", case.rule, case.name, case.outcome)?;
        }
        write!(f, "{} cases: ", self.cases.len())?;
        // Those that say something about the store always, the others where there are any.
        let labels = ["passed", "refused", "FAILED", "not applicable"].map(|label| (label, true));
        let others = ["not shown", "left out", "CLAIMED BUT NOT EXERCISED"].map(|label| (label, false));
        let mut separator = "";
        for (label, is_always_said) in labels.into_iter().chain(others) {
            let count = self.count(label);
            if is_always_said || count > 0 {
                write!(f, "{separator}{count} {}", label.to_lowercase())?;
                separator = ", ";
            }
        }
        Ok(())
    }
}
