//! The contract, in each setting that changes what a store supports.

use std::time::Duration;

use crate::harness::OnFake;

const AS_DELIVERED: OnFake = OnFake { namespace: None, expiry: false, message_bytes_max: 1024, spread: Duration::ZERO };

mod as_delivered {
    kv_conformance::conformance_tests!(super::AS_DELIVERED);
}

mod with_expiry {
    kv_conformance::conformance_tests!(super::OnFake { expiry: true, ..super::AS_DELIVERED });
}

mod in_a_namespace {
    kv_conformance::conformance_tests!(super::OnFake { namespace: Some("suite"), ..super::AS_DELIVERED });
}

mod with_large_messages_and_mixed_replies {
    use std::time::Duration;

    kv_conformance::conformance_tests!(super::OnFake {
        namespace: Some("a\"name\\"),
        expiry: true,
        message_bytes_max: 65_536,
        spread: Duration::from_micros(300),
    });
}
