//! The suite asks for the contract and for nothing else: a store that is odd, and right, passes every case. What the
//! plain store passes and an odd one does not must be explained by what is odd about it.

#[allow(dead_code, reason = "the bugs are planted by another test")]
mod reference;

use std::time::Duration;

use kv_api::{Capabilities, Consistency, ExpiryClock, ItemLimit, ListOrder, Support, Timestamp, ValueKind, ValueKinds};
use kv_conformance::{Harness, Outcome, Report, run_all};
use reference::{EVERYTHING, Odd, ReferenceHarness};
use tokio::sync::OnceCell;

/// Runs the suite: every case is right, and each that passes on the plain store passes here too, unless its name begins
/// with what is `explained`. Nothing is left unshown.
async fn right(harness: impl Harness, explained: &[&str]) {
    static PLAIN: OnceCell<Report> = OnceCell::const_new();
    let plain = PLAIN.get_or_init(|| async { run_all(&ReferenceHarness::whole()).await }).await;
    let report = run_all(&harness).await;
    assert!(report.is_ok(), "{report}");
    assert!(report.cases.iter().all(|case| !matches!(case.outcome, Outcome::NotShown(_))), "{report}");
    let is_passed = |report: &Report, name: &str| matches!(report.outcome(name), Some(Outcome::Passed));
    let names = report.cases.iter().map(|case| &*case.name);
    let less: Vec<&str> = names.filter(|name| is_passed(plain, name) && !is_passed(&report, name)).collect();
    let is_explained = |name: &&str| explained.iter().any(|beginning| name.starts_with(beginning));
    let unexplained: Vec<&str> = less.iter().copied().filter(|name| !is_explained(name)).collect();
    assert!(unexplained.is_empty(), "not explained: {unexplained:#?}\n{report}");
    for beginning in explained {
        assert!(less.iter().any(|name| name.starts_with(beginning)), "nothing that begins with {beginning} is missing");
    }
}

/// Everything, to take something away from; with limits that are soon reached, for there are many stores here.
const ALL: Capabilities =
    EVERYTHING.with_item_limits(const { &[ItemLimit::value_bytes(16 * 1024), ItemLimit::metadata_bytes(4 * 1024)] });

/// A store that can do all of that.
fn odd(odd: &'static [Odd]) -> ReferenceHarness {
    static REPORTED: Capabilities = ALL;
    ReferenceHarness::odd(odd).reporting(&REPORTED)
}

macro_rules! odd {
    ($($(#[$doc:meta])* $name:ident: $odd:expr $(, reports $reported:expr)? $(, explains $explained:expr)?;)*) => {$(
        $(#[$doc])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            static ODD: &[Odd] = &$odd;
            let harness = odd(ODD);
            $(
                static REPORTED: Capabilities = $reported;
                let harness = harness.reporting(&REPORTED);
            )?
            let explained: &[&[&str]] = &[$(&$explained)?];
            right(harness, &explained.concat()).await;
        }
    )*};
}

odd! {
    it_answers_slowly: [Odd::AnswersSlowly];
    it_answers_the_last_first: [Odd::AnswersOutOfOrder];
    all_its_requests_share_one_connection: [Odd::SharesOneConnection];
    it_turns_each_request_away_at_first: [Odd::TurnsAwayFirst];
    its_reads_and_lists_are_late: [Odd::ShowsWritesLate], reports ALL
        .with_consistency(Consistency::Eventual { usually_within: Some(Duration::from_secs(1)) }),
        explains ["set_7", "err_5_histories", "batch_5_a_batch_sends_no_more"];
    it_has_no_requests_for_several_items: [Odd::SinglesOnly], reports ALL.with_bulk_items(1, 1),
        explains ["batch_6_an_answer_that_cannot_be"];
    it_writes_together_only_what_lies_together: [Odd::RefusesKeysApart];
    it_gives_short_and_empty_pages: [Odd::GivesShortPages];
    it_gives_whole_blocks_of_an_unordered_list: [Odd::GivesWholeBlocks],
        reports ALL.with_list(Support::Native, ListOrder::Unordered),
        explains ["list_2_the_order_is_by_bytes"];
    it_lists_by_a_hash_and_repeats_keys: [Odd::ListsByHash],
        reports ALL.with_list(Support::Native, ListOrder::Unordered),
        explains ["list_2_the_order_is_by_bytes"];
    it_lists_by_a_hash_on_short_pages: [Odd::ListsByHash, Odd::GivesShortPages],
        reports ALL.with_list(Support::Emulated, ListOrder::Unordered).with_list_page_max(5),
        explains ["list_2_the_order_is_by_bytes"];
    its_walks_end_with_a_restart: [Odd::LosesPlaces];
    its_pages_have_three_keys_at_most: [], reports ALL.with_list_page_max(3);
    its_versions_are_digests: [Odd::VersionsAreDigests];
    its_versions_are_as_long_as_they_may_be: [Odd::VersionsAreLong];
    it_ends_entries_by_the_clock_of_this_side: [Odd::OwnClock], reports ALL.with_expiry_clock(ExpiryClock::Store),
        explains ["exp_5_an_expiry_past_by_the_systems_clock_alone", "exp_3_a_wrong_clock_here"];
    it_refuses_what_is_past_by_its_clock: [Odd::RefusesThePast];
    it_sweeps_at_every_request: [Odd::SweepsAlways];
    it_rewrites_json: [Odd::RewritesJson],
        explains ["val_3_json_comes_back_as_it_is_spelled"];
    it_takes_off_byte_order_marks: [Odd::TakesOffByteOrderMarks];
    it_reads_an_entry_in_two_steps: [Odd::ReadsInTwoSteps], reports ALL.with_entry_snapshot(false),
        explains ["get_1_all_parts_come_from_one_write"];
    all_its_namespaces_are_prefixes: [Odd::NamespacesArePrefixes];
    its_scope_is_an_address: [Odd::ScopeIsAnAddress];
    it_refuses_strangers_at_once: [Odd::RefusesStrangersAtOnce];
    it_takes_strangers_to_be_lost: [Odd::StrangersAreLost];
    everything_has_a_race_window: [Odd::LooksThenWrites], reports ALL
        .with_if_not_exists(Support::BestEffort)
        .with_if_exists(Support::BestEffort)
        .with_if_version(Support::BestEffort)
        .with_ttl(Support::BestEffort)
        .with_expire_at(Support::BestEffort)
        .with_expire(Support::BestEffort)
        .with_expire_if_version(Support::BestEffort)
        .with_touch(Support::BestEffort)
        .with_get_and_delete(Support::BestEffort)
        .with_metadata(Support::BestEffort)
        .with_list(Support::BestEffort, ListOrder::Lexicographic)
        .with_counters(Support::BestEffort, -1000, 1000)
        .with_counter_ttl(Support::BestEffort)
        .with_all_or_nothing(Support::BestEffort),
        explains ["cap_1_all_or_nothing", "set_6_compare_and_set_loops", "set_6_exactly_one", "set_9_concurrent_updates", "exp_3_a_wrong_clock_here", "exp_11_no_set_comes_between", "exp_12_no_set_comes_between", "get_3_all_agree", "get_4_exactly_one", "get_4_nothing_is_deleted", "del_2_exactly_one", "cnt_1_concurrent_increments", "cnt_3_counters_that_are_created_at_once", "batch_3_all_or_nothing", "batch_3_an_invalid_item_fails_all", "batch_3_one", "set_6_histories_of_two_handles", "set_8_histories", "del_2_histories", "get_4_histories", "cnt_1_histories", "err_4_histories"];
    everything_is_emulated: [], reports ALL
        .with_if_not_exists(Support::Emulated)
        .with_if_exists(Support::Emulated)
        .with_if_version(Support::Emulated)
        .with_ttl(Support::Emulated)
        .with_expire_at(Support::Emulated)
        .with_expire(Support::Emulated)
        .with_expire_if_version(Support::Emulated)
        .with_touch(Support::Emulated)
        .with_get_and_delete(Support::Emulated)
        .with_metadata(Support::Emulated)
        .with_list(Support::Emulated, ListOrder::Lexicographic)
        .with_counters(Support::Emulated, i64::MIN, i64::MAX)
        .with_counter_ttl(Support::Emulated)
        .with_all_or_nothing(Support::Emulated),
        explains ["exp_3_a_wrong_clock_here"];
    it_keeps_only_text: [], reports ALL.with_value_kinds(ValueKinds::NONE.with(ValueKind::Text))
        .with_counters(Support::None, 0, 0),
        explains ["cap_1_bytes", "cap_1_json", "ns_4", "val_1_null", "val_2_bytes", "val_2_json", "val_3", "cap_1_counter", "err_6_a_dropped_increment", "exp_7_an_expired_entry_is_invisible_to_counters", "cnt_", "err_4_histories"];
    it_keeps_only_json: [], reports ALL.with_value_kinds(ValueKinds::NONE.with(ValueKind::Json)),
        explains ["cap_1_bytes", "cap_1_text", "val_1_a_json_string", "val_2_bytes", "val_2_text"];
    it_keeps_only_bytes: [], reports ALL.with_value_kinds(ValueKinds::NONE.with(ValueKind::Bytes))
        .with_counters(Support::None, 0, 0),
        explains ["cap_1_text", "cap_1_json", "ns_4", "val_1", "val_2_json", "val_2_text", "val_3", "cap_1_counter", "err_6_a_dropped_increment", "exp_7_an_expired_entry_is_invisible_to_counters", "cnt_", "err_4_histories"];
    it_lists_nothing: [], reports ALL.with_list(Support::None, ListOrder::Unordered)
        .with_list_metadata(false).with_list_expiry(false).with_list_value_bytes(false),
        explains ["cap_1_list", "ns_1_clear", "ns_3_the_scope", "exp_7_an_expired_entry_is_invisible_to_lists", "meta_2_a_list", "del_3", "list_"];
    its_lists_say_nothing_but_keys: [],
        reports ALL.with_list_metadata(false).with_list_expiry(false).with_list_value_bytes(false);
    it_keeps_no_metadata: [], reports ALL.with_metadata(Support::None).with_list_metadata(false),
        explains ["cap_1_metadata", "set_1_a_set_with", "exp_7_everything_ends_together", "meta_", "get_1_all_parts", "cnt_2"];
    it_does_not_say_what_a_delete_has_done: [],
        reports ALL.with_reports_delete_outcome(false).with_reports_delete_many_outcome(false);
    it_only_counts_many_deletes: [], reports ALL.with_reports_delete_many_outcome(false);
    it_does_not_say_what_a_set_has_done: [], reports ALL.with_reports_set_outcome(false);
    it_does_not_say_when_an_entry_ends: [], reports ALL.with_expiry_read(false).with_list_expiry(false),
        explains ["set_9"];
    its_keys_are_tiny: [], reports ALL.with_key_bytes(1, 32);
    its_keys_are_long: [], reports ALL.with_key_bytes(60, 2000);
    its_items_are_tiny: [],
        reports ALL.with_item_limits(const { &[ItemLimit::value_bytes(256), ItemLimit::metadata_bytes(64)] });
    its_expiries_are_coarse: [], reports ALL.with_expiry_resolution(Duration::from_secs(60));
    its_lives_are_long: [], reports ALL.with_expiry_min(Duration::from_secs(3600));
    its_lives_are_not_too_long: [], reports ALL.with_expire_at_max(Timestamp::from_unix_seconds(4_000_000_000));
    its_bulk_requests_have_two_items: [], reports ALL.with_bulk_items(2, 2);
    its_counters_are_doubles: [], reports ALL.with_counters(Support::Native, -9_007_199_254_740_991,
        9_007_199_254_740_991).with_counter_range_atomic(false);
    its_counters_do_not_end: [], reports ALL.with_counter_expiry(false).with_counter_ttl(Support::None),
        explains ["cap_1_counter_ttl", "cnt_3", "cnt_1_increment_keeps_the_expiry"];
    it_is_odd_in_all_that_goes_together: [
        Odd::AnswersOutOfOrder, Odd::TurnsAwayFirst, Odd::SinglesOnly, Odd::RefusesKeysApart, Odd::GivesShortPages,
        Odd::ListsByHash, Odd::LosesPlaces, Odd::VersionsAreDigests, Odd::RefusesThePast, Odd::SweepsAlways,
        Odd::RewritesJson, Odd::NamespacesArePrefixes, Odd::ScopeIsAnAddress, Odd::StrangersAreLost,
    ], reports ALL.with_list(Support::Emulated, ListOrder::Unordered)
        .with_bulk_items(1, 1)
        .with_expiry_resolution(Duration::from_secs(1))
        .with_expiry_min(Duration::from_secs(60)),
        explains ["val_3_json_comes_back_as_it_is_spelled", "list_2_the_order_is_by_bytes", "batch_6_an_answer_that_cannot_be"];
}

/// Late by a tick, which the harness says (EXP-7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_looks_at_its_clock_once_in_a_while() {
    right(odd(&[]).with_tick(Duration::from_millis(100)), &[]).await;
    static SECONDS: Capabilities = ALL.with_expiry_resolution(Duration::from_secs(1));
    right(odd(&[]).reporting(&SECONDS).with_tick(Duration::from_secs(30)), &[]).await;
}

/// A handle below a prefix, in a namespace with the keys of all cases before it (NS-2).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_a_handle_below_a_prefix() {
    right(odd(&[]).below_prefixes(), &[]).await;
}

/// The same where little is allowed, so that the prefix takes part of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_a_handle_below_a_prefix_and_odd() {
    static ODD: &[Odd] = &[Odd::GivesShortPages, Odd::ListsByHash, Odd::SinglesOnly, Odd::RefusesKeysApart];
    static REPORTED: Capabilities =
        ALL.with_list(Support::Native, ListOrder::Unordered).with_key_bytes(60, 100).with_bulk_items(1, 1);
    let explained = ["list_2_the_order_is_by_bytes", "batch_6_an_answer_that_cannot_be"];
    right(odd(ODD).reporting(&REPORTED).below_prefixes(), &explained).await;
}
