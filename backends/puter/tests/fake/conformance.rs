//! The contract, on each way the system may behave.

use kv_fakes::puter::{Failures, Hosts, Poison, Rates, Sweep, Switches, Unread};

use crate::harness::Setup;

/// As the observed server.
const OBSERVED: Switches = Switches {
    hosts: Hosts::Any,
    failures: Failures::Status,
    unread: Unread::Rotating,
    poison: Poison::Values,
    sweep: Sweep::OnCall,
    rates: Rates::Unlimited,
    busy_millis: 0,
};

mod as_observed {
    use super::*;
    kv_conformance::conformance_tests!(Setup { switches: OBSERVED, items_max: 250, app: None });
}

/// Every choice the other way: an older form of errors, one storage that fails more, and one that sweeps.
mod otherwise {
    use super::*;
    const OTHER: Switches = Switches {
        failures: Failures::UnderSuccess,
        unread: Unread::Last,
        poison: Poison::Everything,
        sweep: Sweep::AtOnce,
        ..OBSERVED
    };
    kv_conformance::conformance_tests!(Setup { switches: OTHER, items_max: 3, app: Some("an app") });
}
