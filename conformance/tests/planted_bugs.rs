//! The suite finds what it claims to find: a correct store passes all of it, and each planted bug fails the case that
//! is there for it.

mod reference;

use std::time::Duration;

use kv_api::{Capabilities, Support};
use kv_conformance::{Case, Outcome, run_all};
use reference::{Bug, Odd, ReferenceHarness};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correct_store_passes_every_case() {
    let report = run_all(&ReferenceHarness::whole()).await;
    assert!(report.is_ok(), "{report}");
    // It declares everything, so all that remains is what only a limit could show.
    assert_eq!(report.cases.len(), Case::ALL.len());
    let left: Vec<_> = report.cases.iter().filter(|case| case.outcome != Outcome::Passed).collect();
    let names: Vec<&str> = left.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "key_2_forbidden_keys_are_refused",
            "set_6_best_effort_needs_an_opt_in",
            "exp_6_an_expiry_below_the_minimum_is_refused",
            "exp_6_the_minimum_can_be_rounded_up_to",
        ],
        "{left:?}"
    );
}

/// A declared capability that the harness gives no way to try is no pass, in the report and as a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_cannot_be_tried_is_no_pass() {
    let report = run_all(&ReferenceHarness::that_cannot_move_time()).await;
    assert!(!report.is_ok());
    let outcome = report.outcome("exp_1_a_ttl_ends_the_entry");
    assert!(matches!(outcome, Some(Outcome::NotExercised(_))), "{outcome:?}");
    assert!(report.cases.iter().all(|case| !matches!(case.outcome, Outcome::Failed(_))), "{report}");
    assert!(report.to_string().ends_with("claimed but not exercised"), "{report}");
}

mod as_tests {
    use super::ReferenceHarness;

    fn run(harness: &ReferenceHarness, name: &str) {
        kv_conformance::__private::test(harness, module_path!(), name);
    }

    #[test]
    #[should_panic(expected = "as_tests::exp_1_a_ttl_ends_the_entry: CLAIMED BUT NOT EXERCISED")]
    fn a_claim_that_cannot_be_tried_fails() {
        run(&ReferenceHarness::that_cannot_move_time(), "exp_1_a_ttl_ends_the_entry");
    }

    #[test]
    #[should_panic(expected = "as_tests::del_2_a_version_guards_a_delete: FAILED: a delete with an old version")]
    fn a_broken_promise_fails() {
        run(&ReferenceHarness::with(super::Bug::DeleteIgnoresTheVersion), "del_2_a_version_guards_a_delete");
    }

    #[test]
    fn what_does_not_apply_and_what_is_kept_pass() {
        run(&ReferenceHarness::whole(), "key_2_forbidden_keys_are_refused");
        run(&ReferenceHarness::whole(), "exp_1_a_ttl_ends_the_entry");
    }
}

/// One test for each bug, which must fail these cases.
macro_rules! caught {
    ($($name:ident: $bug:ident by $($case:ident),+;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $(
                let case = Case::find(stringify!($case)).expect("a case of this name");
                let outcome = case.run(&ReferenceHarness::with(Bug::$bug)).await;
                assert!(matches!(outcome, Outcome::Failed(_)), "{}: {outcome}", case.name());
            )+
        }
    )*};
}

caught! {
    all_or_nothing_is_half_applied: AllOrNothingIsHalfApplied by batch_3_one_unmet_condition_and_nothing_is_written;
    batch_answers_out_of_order: BatchAnswersOutOfOrder by batch_2_one_result_per_item_in_input_order;
    batch_begins_as_stored: BatchBeginsAsStored by batch_6_an_answer_that_cannot_be_is_no_evidence;
    batch_stops_at_the_first_unmet_item: BatchStopsAtTheFirstUnmetItem by batch_2_one_result_per_item_in_input_order;
    bytes_become_text: BytesBecomeText by val_2_bytes_come_back;
    circle_is_the_end: CircleIsTheEnd by list_5_a_walk_in_circles_ends, list_5_a_walk_of_empty_pages_ends;
    claims_its_own_clock: ClaimsItsOwnClock by exp_10_the_reported_clock_ends_an_entry;
    counter_takes_back: CounterTakesBack by cnt_1_a_dropped_increment_leaves_the_counter_in_range;
    counter_ttl_is_a_step_of_its_own: CounterTtlIsAStepOfItsOwn
        by cnt_3_counters_that_are_created_at_once_have_an_end, cnt_3_a_dropped_increment_leaves_no_counter_without_end;
    counter_ttl_is_ignored: CounterTtlIsIgnored by cnt_3_a_new_counter_gets_the_ttl;
    counter_ttl_moves_the_end: CounterTtlMovesTheEnd by cnt_3_a_counter_that_exists_keeps_its_end;
    counters_are_not_implemented: CountersAreNotImplemented by cap_1_counters_are_kept_or_refused;
    cursor_skips_after_a_restart: CursorSkipsAfterARestart by list_3_a_walk_across_a_restart_loses_nothing;
    cursor_starts_again: CursorStartsAgain by list_2_no_key_is_lost_between_pages, list_3_a_cursor_survives_the_process;
    delete_ignores_the_version: DeleteIgnoresTheVersion by del_2_a_version_guards_a_delete;
    delete_of_expired_says_deleted: DeleteOfExpiredSaysDeleted by exp_7_an_expired_entry_is_invisible_to_deletes;
    empty_value_is_missing: EmptyValueIsMissing by val_4_an_empty_value_is_a_value;
    error_shows_the_value: ErrorShowsTheValue by err_2_context_is_told_and_no_value;
    exists_sees_expired: ExistsSeesExpired by exp_7_an_expired_entry_is_invisible_to_reads;
    expire_changes_the_version: ExpireChangesTheVersion by ver_1_reads_and_expire_leave_the_version;
    expire_creates: ExpireCreates by exp_9_expire_creates_and_revives_nothing;
    expire_ignores_the_version: ExpireIgnoresTheVersion by exp_11_a_version_guards_an_expire;
    expire_looks_at_the_version_first: ExpireLooksAtTheVersionFirst by exp_11_no_set_comes_between;
    expired_is_counted: ExpiredIsCounted by exp_7_an_expired_entry_is_invisible_to_counters;
    expired_is_listed: ExpiredIsListed by exp_7_an_expired_entry_is_invisible_to_lists;
    expired_is_read_in_batches: ExpiredIsReadInBatches by exp_7_an_expired_entry_is_invisible_to_reads;
    foreign_type_fails_the_batch: ForeignTypeFailsTheBatch by val_7_a_key_of_a_foreign_type_is_there;
    foreign_type_is_missing: ForeignTypeIsMissing by val_7_a_key_of_a_foreign_type_is_there;
    foreign_type_is_missing_in_batches: ForeignTypeIsMissingInBatches by val_7_a_key_of_a_foreign_type_is_there;
    foreign_type_is_taken: ForeignTypeIsTaken by val_7_a_key_of_a_foreign_type_is_there;
    foreign_type_is_touched: ForeignTypeIsTouched by val_7_a_key_of_a_foreign_type_is_there;
    garbled_is_missing: GarbledIsMissing by err_3_a_fault_that_lasts_is_told_for_what_it_is;
    get_and_delete_leaves_the_entry: GetAndDeleteLeavesTheEntry by get_4_get_and_delete_takes_everything;
    hides_by_the_clock_here: HidesByTheClockHere by exp_3_a_wrong_clock_here_moves_no_ttl,
        exp_10_the_reported_clock_ends_an_entry;
    if_not_exists_is_refused_over_expired: IfNotExistsIsRefusedOverExpired
        by set_4_if_not_exists_is_met_over_an_expired_entry;
    increment_accepts_text: IncrementAcceptsText by cnt_1_only_a_json_integer_can_be_counted_in;
    increment_counts_beside_metadata: IncrementCountsBesideMetadata by cnt_2_an_entry_with_metadata_is_no_counter;
    increment_drops_the_expiry: IncrementDropsTheExpiry by cnt_1_increment_keeps_the_expiry;
    increment_wraps: IncrementWraps by cnt_1_the_range_is_kept;
    integers_become_floats: IntegersBecomeFloats by val_3_an_integer_stays_an_integer;
    keys_are_case_folded: KeysAreCaseFolded by key_3_keys_that_differ_in_a_byte_are_different;
    keys_are_read_one_by_one: KeysAreReadOneByOne by cap_5_a_bulk_request_takes_what_is_reported;
    keys_are_trimmed: KeysAreTrimmed by key_3_keys_that_differ_in_a_byte_are_different;
    list_counts_characters: ListCountsCharacters by list_6_a_list_reports_the_length_of_each_value;
    list_ignores_case_in_order: ListIgnoresCaseInOrder by list_2_the_order_is_by_bytes;
    list_keeps_the_old_length: ListKeepsTheOldLength by list_6_a_list_reports_the_length_of_each_value;
    list_loses_the_key_at_the_border: ListLosesTheKeyAtTheBorder by list_2_no_key_is_lost_between_pages;
    list_order_is_utf_16: ListOrderIsUtf16 by list_2_the_order_is_by_bytes;
    list_prefix_is_a_pattern: ListPrefixIsAPattern by list_1_a_prefix_is_literal;
    members_are_sorted: MembersAreSorted by val_3_json_comes_back_as_it_is_spelled;
    metadata_leaks_into_the_value: MetadataLeaksIntoTheValue by meta_2_it_never_leaks_into_the_value;
    namespace_leaks_into_lists: NamespaceLeaksIntoLists by ns_1_namespaces_share_nothing;
    overwrite_keeps_the_expiry: OverwriteKeepsTheExpiry by set_1_a_set_without_expiry_never_expires;
    overwrite_keeps_the_metadata: OverwriteKeepsTheMetadata by set_1_a_set_without_metadata_has_none;
    page_is_larger_than_asked: PageIsLargerThanAsked by list_1_a_page_has_at_most_the_limit;
    past_is_never: PastIsNever by exp_5_an_expiry_past_by_the_systems_clock_alone_leaves_no_entry;
    racy_if_exists: RacyIfExists by set_6_no_delete_of_the_store_comes_between;
    racy_if_not_exists: RacyIfNotExists by set_6_exactly_one_if_not_exists_wins,
        set_6_one_store_never_races_with_itself, set_6_no_set_of_the_store_comes_between,
        get_3_all_agree_on_one_value;
    racy_if_version: RacyIfVersion by set_6_exactly_one_if_version_wins, set_6_compare_and_set_loops_lose_nothing,
        set_9_concurrent_updates_lose_nothing;
    racy_increment: RacyIncrement by cnt_1_concurrent_increments_add_up;
    refused_condition_moves_the_expiry: RefusedConditionMovesTheExpiry
        by set_3_if_not_exists_not_met_leaves_everything_untouched;
    refused_condition_writes_metadata: RefusedConditionWritesMetadata
        by set_3_if_not_exists_not_met_leaves_everything_untouched;
    repeats_conditions_blindly: RepeatsConditionsBlindly by set_8_an_unknown_outcome_says_so,
        set_9_an_unknown_outcome_ends_the_update;
    rounds_the_expiry_down: RoundsTheExpiryDown by exp_4_rounding_never_ends_an_entry_early;
    scope_is_of_the_process: ScopeIsOfTheProcess by ns_3_the_scope_is_the_same_in_every_process,
        ns_3_the_fingerprint_is_the_same_in_every_process;
    scope_is_shared: ScopeIsShared by ns_3_the_scope_is_the_same_in_every_process,
        ns_3_the_fingerprint_is_the_same_in_every_process, list_3_a_wrong_cursor_is_refused;
    second_close_fails: SecondCloseFails by life_2_a_dropped_close_can_be_repeated;
    secret_is_shown: SecretIsShown by err_2_no_secret_is_shown;
    standstill_is_the_end: StandstillIsTheEnd
        by list_3_a_cursor_that_stands_still_is_refused, list_5_a_walk_that_stands_still_ends;
    strangers_are_asked_to_wait: StrangersAreAskedToWait by life_1_wrong_credentials_are_refused;
    strangers_are_served: StrangersAreServed by life_1_wrong_credentials_are_refused;
    takes_what_another_took: TakesWhatAnotherTook by get_4_exactly_one_caller_gets_the_value;
    takes_what_expired: TakesWhatExpired by get_4_nothing_is_taken_where_nothing_is;
    takes_what_it_did_not_read: TakesWhatItDidNotRead by get_4_nothing_is_deleted_that_nobody_got;
    throttled_is_unknown: ThrottledIsUnknown by err_3_a_fault_that_lasts_is_told_for_what_it_is;
    torn_by_a_drop: TornByADrop by err_6_a_dropped_call_leaves_each_entry_whole;
    torn_reads: TornReads by get_1_all_parts_come_from_one_write;
    touch_creates: TouchCreates by exp_12_touch_creates_and_revives_nothing;
    touch_is_a_read: TouchIsARead by exp_12_touch_gives_a_new_end;
    touch_looks_first: TouchLooksFirst by exp_12_no_set_comes_between;
    touch_reports_the_old_end: TouchReportsTheOldEnd by exp_12_touch_reads_all_that_is_there;
    ttl_is_made_absolute_here: TtlIsMadeAbsoluteHere by exp_3_a_wrong_clock_here_moves_no_ttl;
    unavailable_is_throttled: UnavailableIsThrottled by err_3_a_fault_that_lasts_is_told_for_what_it_is;
    unavailable_is_unknown: UnavailableIsUnknown by err_3_a_fault_that_lasts_is_told_for_what_it_is;
    unknown_is_called_safe: UnknownIsCalledSafe
        by err_3_a_fault_that_lasts_is_told_for_what_it_is, err_5_a_repeated_write_claims_nothing, batch_6_a_failed_bulk_request_is_told_item_by_item;
    unwraps_reserved_members: UnwrapsReservedMembers by val_3_no_member_name_is_reserved;
    updated_over_expired: UpdatedOverExpired by set_5_over_an_expired_entry_nothing_is_updated;
    utf_sixteen_surrogates_are_lost: UtfSixteenSurrogatesAreLost by key_2_every_character_is_harmless;
    version_ignores_metadata: VersionIgnoresMetadata by ver_1_other_content_has_another_version;
    version_is_reused_after_a_delete: VersionIsReusedAfterADelete by ver_1_a_version_does_not_outlive_a_delete;
    versioned_set_drops_the_expiry: VersionedSetDropsTheExpiry by set_9_an_update_keeps_metadata_and_expiry;
    visible_at_its_expiry: VisibleAtItsExpiry by exp_1_a_ttl_ends_the_entry, exp_1_expire_at_ends_the_entry;
}

/// Each call of these stores is right by itself. Among several callers, or after an answer that was lost, no order of
/// the calls explains what was answered; nothing but the histories finds that.
macro_rules! caught_by_histories_alone {
    ($($name:ident: $bug:ident by $($case:ident),+;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let report = run_all(&ReferenceHarness::with(Bug::$bug)).await;
            let failed = report.cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed(_)));
            let failed: Vec<&str> = failed.map(|case| case.name.as_str()).collect();
            assert!(failed.iter().all(|name| name.contains("_histories_")), "{failed:?}");
            $(assert!(failed.contains(&stringify!($case)), "{failed:?}");)+
        }
    )*};
}

caught_by_histories_alone! {
    delete_looks_for_its_outcome: DeleteLooksForItsOutcome by set_7_histories_of_sets_and_reads_are_linearizable;
    keeps_what_is_being_written: KeepsWhatIsBeingWritten by set_7_histories_of_sets_and_reads_are_linearizable;
    rolls_back_what_was_seen: RollsBackWhatWasSeen by set_8_histories_with_faults_are_linearizable;
    sends_increments_again: SendsIncrementsAgain by err_4_histories_of_steps_with_faults_are_linearizable;
    set_looks_for_its_outcome: SetLooksForItsOutcome by set_7_histories_of_sets_and_reads_are_linearizable;
}

/// Best effort may race with others, never with itself: a store that declares it has no excuse (SET-6).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn best_effort_is_no_excuse_within_one_store() {
    static BEST_EFFORT: Capabilities = reference::EVERYTHING
        .with_if_not_exists(Support::BestEffort)
        .with_if_exists(Support::BestEffort)
        .with_expire(Support::BestEffort);
    for (bug, name) in [
        (Bug::RacyIfNotExists, "set_6_one_store_never_races_with_itself"),
        (Bug::RacyIfNotExists, "set_6_no_set_of_the_store_comes_between"),
        (Bug::RacyIfExists, "set_6_no_delete_of_the_store_comes_between"),
    ] {
        let case = Case::find(name).expect("a case of this name");
        let kept = case.run(&ReferenceHarness::whole().restricted_to(&BEST_EFFORT)).await;
        assert_eq!(kept, Outcome::Passed, "{name}");
        let broken = case.run(&ReferenceHarness::with(bug).restricted_to(&BEST_EFFORT)).await;
        assert!(matches!(broken, Outcome::Failed(_)), "{bug:?}: {broken}");
    }
}

/// The handle owns key and index of an error, so that this bug of an adapter reaches nobody (ERR-7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_names_the_callers_key_whatever_the_adapter_says() {
    let case = Case::find("err_7_key_and_index_are_the_callers").expect("a case of this name");
    assert_eq!(case.run(&ReferenceHarness::with(Bug::ErrorNamesAnotherKey)).await, Outcome::Passed);
}

/// A system that goes by ticks may be one late where its harness says so, and never one early (EXP-7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tick_late_is_allowed_and_one_tick_early_is_caught() {
    const TICK: Duration = Duration::from_millis(100);
    let report = run_all(&ReferenceHarness::whole().with_tick(TICK)).await;
    assert!(report.is_ok(), "{report}");
    for name in ["exp_1_a_ttl_ends_the_entry", "exp_1_expire_at_ends_the_entry"] {
        let case = Case::find(name).expect("a case of this name");
        let early = case.run(&ReferenceHarness::with(Bug::EndsOneTickEarly).with_tick(TICK)).await;
        assert!(matches!(early, Outcome::Failed(_)), "{name}: {early}");
    }
}

/// A system whose walks end with it says so, and that is right too (LIST-3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_a_restart_has_lost_is_said_to_be() {
    let case = Case::find("list_3_a_walk_across_a_restart_loses_nothing").expect("a case of this name");
    assert_eq!(case.run(&ReferenceHarness::odd(&[Odd::LosesPlaces])).await, Outcome::Passed);
}

/// Bugs that show in what single calls do, one after the other, are found by the random sequences too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_finds_them_by_itself() {
    let model = Case::find("model_random_calls_agree_with_the_model").expect("a case of this name");
    for bug in [
        Bug::OverwriteKeepsTheExpiry,
        Bug::OverwriteKeepsTheMetadata,
        Bug::RefusedConditionMovesTheExpiry,
        Bug::IncrementDropsTheExpiry,
        Bug::ExpireCreates,
        Bug::VisibleAtItsExpiry,
        Bug::BatchAnswersOutOfOrder,
        Bug::AllOrNothingIsHalfApplied,
        Bug::ExpireChangesTheVersion,
        Bug::CounterTtlMovesTheEnd,
        Bug::ExpireIgnoresTheVersion,
        Bug::TouchIsARead,
        Bug::GetAndDeleteLeavesTheEntry,
        Bug::ListLosesTheKeyAtTheBorder,
        Bug::ListPrefixIsAPattern,
        Bug::KeysAreCaseFolded,
    ] {
        let outcome = model.run(&ReferenceHarness::with(bug)).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{bug:?}: {outcome}");
    }
}
