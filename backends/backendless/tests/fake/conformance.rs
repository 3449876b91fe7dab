//! The contract, on each way the system may behave where its documents are silent.

use kv_conformance::conformance_tests;
use kv_fakes::backendless::{Cursors, Fractions, NoValue, Nulls, Numbers, Pages, Rounding, Switches};

use crate::harness::{Form, Setup};

/// As the fake behaves unless told otherwise, which is as Redis does.
mod like_redis {
    use super::*;

    fn setup() -> Setup {
        Setup { switches: Switches::default(), form: Form::Application, items_max: 500 }
    }

    conformance_tests!(setup());
}

/// A system that thinks in doubles, puts on a page what it likes, and rounds down.
mod doubles_and_uneven_pages {
    use super::*;

    fn setup() -> Setup {
        let switches = Switches {
            rounding: Rounding::Floor,
            pages: Pages::Uneven,
            cursors: Cursors::Large,
            numbers: Numbers::AsDoubles,
            nulls: Nulls::Stored,
            no_value: NoValue::EmptyBody,
            fractions: Fractions::Refused,
        };
        Setup { switches, form: Form::Domain, items_max: 500 }
    }

    conformance_tests!(setup());
}

/// A system that counts in fractions and rounds up; and bulk requests of two keys.
mod fractions_and_small_bodies {
    use super::*;

    fn setup() -> Setup {
        let switches = Switches {
            rounding: Rounding::Ceil,
            fractions: Fractions::Taken,
            pages: Pages::Uneven,
            ..Switches::default()
        };
        Setup { switches, form: Form::Application, items_max: 2 }
    }

    conformance_tests!(setup());
}
