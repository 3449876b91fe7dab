#![doc = include_str!("../README.md")]

#[macro_use]
mod check;
mod case;
mod cases;
mod clock;
mod context;
mod expiring;
mod facts;
mod harness;
mod layered;
mod linear;
pub mod logs;
mod means;
mod model;
mod outcome;
mod pace;
mod patience;
mod probe;
mod races;
mod real_time;
mod report;
mod rules;
mod samples;
mod suite;
mod trail;
#[doc(hidden)]
pub mod wrappers;

pub use case::Case;
pub use clock::{ClientClock, OffsetClock};
pub use facts::{Fact, FactGroup, FactValue};
pub use harness::{Fault, Faults, Fixture, Harness, Time};
pub use layered::Layered;
pub use means::Means;
pub use outcome::{Outcome, Verdict};
pub use patience::Patience;
pub use probe::{OperationRequests, Requests, probe};
pub use real_time::RealTime;
pub use report::{CaseReport, Report};
pub use rules::{RULES, rule_text};
pub use suite::{Event, Suite, run_all};

pub use kv_api;
pub use kv_api::async_trait;

#[doc = include_str!("../docs/adapters.md")]
pub mod adapters {}

/// What the macros of this crate call; no part of its interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::case::test;
}
