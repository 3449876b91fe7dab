//! The suite holds for stores that offer less: the reference restricted to odd capabilities passes all that is left,
//! and what is left out is refused.

#[allow(dead_code, reason = "the bugs are planted by another test")]
mod reference;

use std::borrow::Cow;
use std::time::Duration;

use kv_api::{Capabilities, Consistency, ItemLimit, ListOrder, Support, Timestamp, ValueKind, ValueKinds};
use kv_conformance::{Outcome, Report, run_all};
use reference::{EVERYTHING, ReferenceHarness};

async fn all_green(capabilities: &'static Capabilities) -> Report {
    let report = run_all(&ReferenceHarness::whole().restricted_to(capabilities)).await;
    assert!(report.is_ok(), "{report}");
    report
}

fn asks_for_nothing(report: &Report, name: &str) -> bool {
    matches!(report.outcome(name), Some(Outcome::Refused(_) | Outcome::NotApplicable(_)))
}

macro_rules! restricted {
    ($($(#[$doc:meta])* $name:ident: $capabilities:expr, refuses [$($case:ident),*];)*) => {$(
        $(#[$doc])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            static NARROW: Capabilities = $capabilities;
            let report = all_green(&NARROW).await;
            let refused: &[&str] = &[$(stringify!($case)),*];
            for name in refused {
                assert!(asks_for_nothing(&report, name), "{name}\n{report}");
            }
        }
    )*};
}

/// Everything, to take something away from.
const ALL: Capabilities = EVERYTHING;

restricted! {
    /// Like a plain HTTP store: nothing but sets and reads of values.
    nothing_but_values: Capabilities::new("bare").with_value_kinds(ValueKinds::ALL),
        refuses [cap_1_list_is_kept_or_refused, cap_1_counters_are_kept_or_refused, cap_1_ttl_is_kept_or_refused,
            cap_1_expire_is_kept_or_refused, cap_1_metadata_is_kept_or_refused,
            cap_1_if_not_exists_is_kept_or_refused, cap_1_if_exists_is_kept_or_refused,
            cap_1_if_version_is_kept_or_refused, cap_1_all_or_nothing_is_kept_or_refused,
            cap_1_expire_at_is_kept_or_refused];
    no_list: ALL.with_list(Support::None, ListOrder::Unordered), refuses [cap_1_list_is_kept_or_refused];
    no_counters_and_no_metadata: ALL.with_counters(Support::None, 0, 0).with_metadata(Support::None),
        refuses [cap_1_counters_are_kept_or_refused, cap_1_metadata_is_kept_or_refused];
    outcomes_are_not_told: ALL.with_reports_set_outcome(false).with_reports_delete_outcome(false).with_reports_delete_many_outcome(false),
        refuses [];
    a_batch_of_deletes_is_only_counted: ALL.with_reports_delete_many_outcome(false), refuses [];
    whole_seconds_and_a_minute_at_least: ALL
        .with_expiry_resolution(Duration::from_secs(1))
        .with_expiry_min(Duration::from_secs(60))
        .with_expire_at_max(Timestamp::from_unix_seconds(4_000_000_000)), refuses [];
    an_unordered_list: ALL.with_list(Support::Native, ListOrder::Unordered).with_list_metadata(false)
        .with_list_expiry(false).with_list_value_bytes(false).with_list_page_max(3), refuses [list_2_the_order_is_by_bytes];
    an_expiry_that_cannot_be_read: ALL.with_expiry_read(false), refuses [];
    text_and_json_only: ALL.with_value_kinds(ValueKinds::NONE.with(ValueKind::Text).with(ValueKind::Json)),
        refuses [cap_1_bytes_are_kept_or_refused];
    bytes_only: ALL.with_value_kinds(ValueKinds::NONE.with(ValueKind::Bytes)).with_counters(Support::None, 0, 0),
        refuses [cap_1_text_is_kept_or_refused, cap_1_json_is_kept_or_refused];
    json_only: ALL.with_value_kinds(ValueKinds::NONE.with(ValueKind::Json)), refuses [cap_1_text_is_kept_or_refused];
    keys_of_6_to_100_bytes_and_forbidden_ones: ALL.with_key_bytes(6, 100).with_forbidden_keys(const { &[Cow::Borrowed("forbidden"), Cow::Borrowed(".."), Cow::Borrowed("keys--")] }),
        refuses [];
    small_items: ALL.with_item_limits(const { &[
        ItemLimit::metadata_bytes(1024),
        ItemLimit::new("item_bytes_max", 2048, |item| {
            let metadata = item.metadata.map_or(0, |metadata| metadata.as_bytes().len());
            (item.key.len() + item.value.as_bytes().len() + metadata) as u64
        }),
    ] }), refuses [];
    an_item_too_large_to_write: ALL.with_item_limits(const { &[ItemLimit::value_bytes(5 * 1024 * 1024)] }), refuses [];
    everything_with_a_race_window: ALL
        .with_if_not_exists(Support::BestEffort)
        .with_if_exists(Support::BestEffort)
        .with_if_version(Support::BestEffort)
        .with_expire(Support::BestEffort)
        .with_expire_if_version(Support::BestEffort)
        .with_touch(Support::BestEffort)
        .with_get_and_delete(Support::BestEffort)
        .with_counter_ttl(Support::BestEffort)
        .with_counters(Support::BestEffort, -1000, 1000)
        .with_all_or_nothing(Support::BestEffort),
        refuses [set_6_exactly_one_if_not_exists_wins, cnt_1_concurrent_increments_add_up,
            get_4_exactly_one_caller_gets_the_value,
            cap_1_all_or_nothing_is_kept_or_refused];
    counters_that_do_not_expire: ALL.with_counter_expiry(false).with_counters(Support::Emulated, -9_007_199_254_740_991,
        9_007_199_254_740_991), refuses [cnt_1_increment_keeps_the_expiry, cap_1_counter_ttl_is_kept_or_refused];
    only_a_ttl: ALL.with_expire_at(Support::None), refuses [cap_1_expire_at_is_kept_or_refused, exp_2_expire_at_wins_over_ttl];
    only_an_absolute_expiry: ALL.with_ttl(Support::None), refuses [cap_1_ttl_is_kept_or_refused,
        cap_1_touch_is_kept_or_refused, cap_1_counter_ttl_is_kept_or_refused];
    no_steps_that_look: ALL.with_expire_if_version(Support::None).with_touch(Support::None)
        .with_get_and_delete(Support::None).with_counter_ttl(Support::None),
        refuses [cap_1_expire_if_version_is_kept_or_refused, cap_1_touch_is_kept_or_refused,
            cap_1_get_and_delete_is_kept_or_refused, cap_1_counter_ttl_is_kept_or_refused];
    counters_that_never_go_below_zero: ALL.with_counters(Support::Native, 0, i64::MAX), refuses [];
    counters_that_end_soon: ALL.with_counters(Support::Native, -10, 600), refuses [];
    eventual_with_no_condition_but_versions: ALL.with_consistency(Consistency::Eventual { usually_within: None })
        .with_if_not_exists(Support::None).with_if_exists(Support::None),
        refuses [cap_1_if_not_exists_is_kept_or_refused, cap_1_if_exists_is_kept_or_refused];
    eventual_and_in_parts: ALL.with_entry_snapshot(false).with_consistency(Consistency::Eventual { usually_within: None }),
        refuses [set_7_a_read_after_a_write_sees_it, get_1_all_parts_come_from_one_write];
}

/// Where nothing expires there is nothing that a harness without time could not try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_expires_needs_no_time() {
    static BARE: Capabilities = Capabilities::new("bare").with_value_kinds(ValueKinds::ALL);
    let report = run_all(&ReferenceHarness::that_cannot_move_time().restricted_to(&BARE)).await;
    assert!(report.is_ok(), "{report}");
}

/// The capabilities to take away from are the reference's own, so that each test takes away what it says.
#[test]
fn nothing_is_taken_away_unsaid() {
    let restrict = EVERYTHING.restricted_to(&ALL);
    let item_limits = |capabilities: &Capabilities| format!("{:?}", capabilities.item_limits);
    let without_measures =
        |capabilities: &Capabilities| format!("{capabilities:?}").replace(&item_limits(capabilities), "");
    assert_eq!(without_measures(&restrict), without_measures(&EVERYTHING));
}
