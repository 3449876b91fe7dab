//! The contract.

use crate::harness::OnFake;

kv_conformance::conformance_tests!(OnFake);
