//! Expiries as they are read back, whatever the system's rounding (EXP-8).

use std::time::Duration;

use kv_api::{Clock, EntryExpiry};
use kv_fakes::backendless::{Rounding, Switches};
use kv_testkit::RemoteSystem as _;

use crate::harness::System;

#[tokio::test]
async fn exp_8_an_expiry_is_never_told_too_early_and_at_most_two_seconds_late() {
    for rounding in [Rounding::Nearest, Rounding::Floor, Rounding::Ceil] {
        let system = System::start_with(Switches { rounding, ..Switches::default() }).await;
        let store = system.store();
        store.set("k", "v").ttl(Duration::from_secs(10)).await.unwrap();
        let end = system.clock.now().checked_add(Duration::from_secs(10)).unwrap();
        let latest = end.checked_add(Duration::from_secs(2)).unwrap();
        // On and beside whole and half seconds.
        for step in [0, 1, 499, 1, 1, 497, 1, 1, 3_999, 4_500, 499] {
            for clock in [&system.clock, &system.client_clock] {
                clock.advance(Duration::from_millis(step));
            }
            let entry = store.get_entry("k").await.unwrap().unwrap();
            let EntryExpiry::At(told) = entry.expiry() else { panic!("{:?}", entry.expiry()) };
            let now = system.clock.now();
            assert!((end..=latest).contains(&told), "{rounding:?} at {now}: {told}, in truth {end}");
        }
        for clock in [&system.clock, &system.client_clock] {
            clock.advance(Duration::from_millis(1));
        }
        assert_eq!(store.get_entry("k").await.unwrap(), None, "{rounding:?}");
    }
}
