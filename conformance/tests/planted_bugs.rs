//! The suite finds what it claims to find: a correct store passes all of it, and each planted bug fails the case that
//! is there for it.

mod reference;

use std::collections::HashSet;
use std::time::Duration;

use kv_api::{Capabilities, Support};
use kv_conformance::{Case, Outcome, RULES, Suite, run_all};
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

/// A bug, what is wrong with it, and the cases that catch it.
struct Planted {
    sentence: &'static str,
    cases: &'static [&'static str],
}

/// One test for each bug, which must fail these cases; and the list of all.
macro_rules! caught {
    ($($name:ident: $bug:ident $sentence:literal by $($case:ident),+;)*) => {
        const PLANTED: &[Planted] = &[$(Planted { sentence: $sentence, cases: &[$(stringify!($case)),+] }),*];

        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $(
                    let case = Case::find(stringify!($case)).expect("a case of this name");
                    let outcome = case.run(&ReferenceHarness::with(Bug::$bug)).await;
                    assert!(matches!(outcome, Outcome::Failed(_)), "{}: {outcome}", case.name());
                )+
            }
        )*
    };
}

caught! {
    all_or_nothing_is_half_applied: AllOrNothingIsHalfApplied
        "an all-or-nothing batch keeps what came before its unmet item"
        by batch_3_one_unmet_condition_and_nothing_is_written,
            model_random_calls_agree_with_the_model;
    batch_answers_out_of_order: BatchAnswersOutOfOrder
        "the outcomes of a batch come in another order than its items"
        by batch_2_one_result_per_item_in_input_order,
            model_random_calls_agree_with_the_model;
    batch_begins_as_stored: BatchBeginsAsStored
        "after an answer that cannot be, the items of a batch count as written"
        by batch_6_an_answer_that_cannot_be_is_no_evidence;
    batch_forgets_beyond_a_hundred: BatchForgetsBeyondAHundred
        "a batch writes its first hundred items, and says that it has written all"
        by batch_1_any_number_of_items;
    batch_ignores_conditions: BatchIgnoresConditions
        "a batch writes every item, whatever its condition"
        by batch_4_a_condition_sees_the_items_before_it;
    batch_options_are_of_the_first: BatchOptionsAreOfTheFirst
        "the items of a batch get metadata and expiry of the first one"
        by batch_5_items_with_and_without_options_mix;
    batch_stops_at_the_first_unmet_item: BatchStopsAtTheFirstUnmetItem
        "a batch leaves out what comes after an unmet item"
        by batch_2_one_result_per_item_in_input_order;
    bytes_become_text: BytesBecomeText
        "bytes that are UTF-8 come back as text"
        by val_2_bytes_come_back;
    capabilities_contradict: CapabilitiesContradict
        "the range of counters does not hold the number that counters start at"
        by cap_3_the_declaration_makes_sense;
    circle_is_the_end: CircleIsTheEnd
        "a page that leads in a circle is passed on as the last"
        by list_5_a_walk_in_circles_ends,
            list_5_a_walk_of_empty_pages_ends;
    claims_its_own_clock: ClaimsItsOwnClock
        "it says that its own clock ends entries, and the system's does"
        by exp_10_the_reported_clock_ends_an_entry;
    counter_ignores_a_narrower_range: CounterIgnoresANarrowerRange
        "a counter of a restricted handle may go as far as any other"
        by cnt_1_the_range_is_kept;
    counter_reads_as_text: CounterReadsAsText
        "a counter reads as text"
        by cnt_1_a_counter_reads_as_a_json_integer;
    counter_takes_back: CounterTakesBack
        "an increment beyond the range is applied, and taken back by a second request"
        by cnt_1_a_dropped_increment_leaves_the_counter_in_range;
    counter_ttl_is_a_step_of_its_own: CounterTtlIsAStepOfItsOwn
        "a new counter gets its ttl by a second request"
        by cnt_3_counters_that_are_created_at_once_have_an_end,
            cnt_3_a_dropped_increment_leaves_no_counter_without_end;
    counter_ttl_is_ignored: CounterTtlIsIgnored
        "a new counter gets no ttl"
        by cnt_3_a_new_counter_gets_the_ttl,
            layer_2_a_changed_request_means_the_same;
    counter_ttl_moves_the_end: CounterTtlMovesTheEnd
        "each increment gives the counter its ttl anew"
        by cnt_3_a_counter_that_exists_keeps_its_end,
            model_random_calls_agree_with_the_model;
    counters_are_not_implemented: CountersAreNotImplemented
        "counters are reported, and not implemented"
        by cap_1_counters_are_kept_or_refused;
    cursor_is_an_offset: CursorIsAnOffset
        "a cursor says how many keys came before"
        by list_2_deleting_along_the_walk_skips_nothing,
            list_2_changes_around_a_walk_lose_nothing;
    cursor_skips_after_a_restart: CursorSkipsAfterARestart
        "after a restart a walk goes on one key too late"
        by list_3_a_walk_across_a_restart_loses_nothing;
    cursor_starts_again: CursorStartsAgain
        "a cursor is ignored"
        by list_2_no_key_is_lost_between_pages,
            list_3_a_cursor_survives_the_process,
            list_4_entries_leave_out_what_vanished;
    delete_always_says_deleted: DeleteAlwaysSaysDeleted
        "a delete of nothing says that it has deleted"
        by del_1_delete_is_idempotent,
            del_1_a_repeated_key_shares_one_result;
    delete_ignores_the_version: DeleteIgnoresTheVersion
        "a delete does not look at the version"
        by del_2_a_version_guards_a_delete;
    delete_many_forgets_the_last: DeleteManyForgetsTheLast
        "the last of many deletes is not done, and reported as done"
        by del_1_delete_many_has_one_result_per_item,
            del_3_clear_deletes_everything,
            del_3_delete_prefix_stays_within_the_prefix;
    delete_of_expired_says_deleted: DeleteOfExpiredSaysDeleted
        "a delete of what has expired says that it has deleted"
        by exp_7_an_expired_entry_is_invisible_to_deletes;
    delete_reaches_into_other_namespaces: DeleteReachesIntoOtherNamespaces
        "many deletes delete the same keys of all namespaces"
        by ns_1_clear_stays_in_its_namespace;
    each_handle_has_its_own_data: EachHandleHasItsOwnData
        "another process does not see what this one has written"
        by life_2_no_acknowledged_write_is_lost,
            ver_1_a_version_serves_another_process,
            set_6_exactly_one_if_not_exists_wins_over_two_handles;
    empty_value_is_missing: EmptyValueIsMissing
        "an empty value reads as a missing key"
        by val_4_an_empty_value_is_a_value;
    envelopes_are_opened: EnvelopesAreOpened
        "data of a user that looks like an envelope is opened"
        by env_3_what_looks_like_an_envelope_comes_back;
    error_shows_the_value: ErrorShowsTheValue
        "an error shows the value that it is about"
        by err_2_context_is_told_and_no_value;
    exists_sees_expired: ExistsSeesExpired
        "`exists` sees what has expired"
        by exp_7_an_expired_entry_is_invisible_to_reads;
    expire_at_is_ignored: ExpireAtIsIgnored
        "an absolute expiry is ignored"
        by exp_2_expire_at_wins_over_ttl,
            exp_2_another_precedence_can_be_chosen,
            exp_1_expire_at_ends_the_entry;
    expire_changes_the_version: ExpireChangesTheVersion
        "`expire` gives another version"
        by ver_1_reads_and_expire_leave_the_version,
            model_random_calls_agree_with_the_model;
    expire_creates: ExpireCreates
        "`expire` creates an entry"
        by exp_9_expire_creates_and_revives_nothing,
            model_random_calls_agree_with_the_model;
    expire_ignores_the_version: ExpireIgnoresTheVersion
        "`expire` does not look at the version"
        by exp_11_a_version_guards_an_expire,
            model_random_calls_agree_with_the_model;
    expire_looks_at_the_version_first: ExpireLooksAtTheVersionFirst
        "`expire` compares the version in a request of its own"
        by exp_11_no_set_comes_between;
    expired_is_counted: ExpiredIsCounted
        "an increment goes on from what has expired"
        by exp_7_an_expired_entry_is_invisible_to_counters;
    expired_is_listed: ExpiredIsListed
        "a list names what has expired"
        by exp_7_an_expired_entry_is_invisible_to_lists;
    expired_is_read_in_batches: ExpiredIsReadInBatches
        "a read of many keys gives what has expired"
        by exp_7_an_expired_entry_is_invisible_to_reads;
    expiry_is_reported_late: ExpiryIsReportedLate
        "a read reports an expiry that is a minute late"
        by exp_8_a_read_reports_the_expiry;
    failed_reads_are_missing: FailedReadsAreMissing
        "a read of many keys that fails answers that none is there"
        by err_3_a_fault_that_lasts_is_told_for_what_it_is,
            err_7_key_and_index_are_the_callers;
    foreign_text_is_refused: ForeignTextIsRefused
        "what another client wrote is a protocol error"
        by val_5_foreign_data_is_readable;
    foreign_type_fails_the_batch: ForeignTypeFailsTheBatch
        "one key of a foreign type fails a read of many"
        by val_7_a_key_of_a_foreign_type_is_there;
    foreign_type_is_missing: ForeignTypeIsMissing
        "a key of a foreign type reads as a missing one"
        by val_7_a_key_of_a_foreign_type_is_there;
    foreign_type_is_missing_in_batches: ForeignTypeIsMissingInBatches
        "`exists_many` says of a key of a foreign type that it is not there"
        by val_7_a_key_of_a_foreign_type_is_there;
    foreign_type_is_taken: ForeignTypeIsTaken
        "`get_and_delete` deletes a key of a foreign type"
        by val_7_a_key_of_a_foreign_type_is_there;
    foreign_type_is_touched: ForeignTypeIsTouched
        "`touch` gives a key of a foreign type an expiry"
        by val_7_a_key_of_a_foreign_type_is_there;
    garbled_is_missing: GarbledIsMissing
        "an answer that cannot be read counts as a missing key"
        by err_3_a_fault_that_lasts_is_told_for_what_it_is;
    get_and_delete_leaves_the_entry: GetAndDeleteLeavesTheEntry
        "`get_and_delete` only reads"
        by get_4_get_and_delete_takes_everything,
            model_random_calls_agree_with_the_model;
    hides_by_the_clock_here: HidesByTheClockHere
        "an entry ends by the clock of this side, and the system's is reported"
        by exp_3_a_wrong_clock_here_moves_no_ttl,
            exp_10_the_reported_clock_ends_an_entry;
    if_exists_is_ignored: IfExistsIsIgnored
        "a set with `IfExists` writes over nothing too"
        by set_2_if_exists_writes_over_an_entry_only,
            set_3_if_exists_not_met_creates_nothing,
            set_4_if_exists_is_not_met_over_an_expired_entry;
    if_not_exists_is_ignored: IfNotExistsIsIgnored
        "a set with `IfNotExists` writes over an entry too"
        by set_2_if_not_exists_writes_over_nothing_only,
            get_3_what_is_set_meanwhile_stays;
    if_not_exists_is_refused_over_expired: IfNotExistsIsRefusedOverExpired
        "`IfNotExists` is not met over what has expired"
        by set_4_if_not_exists_is_met_over_an_expired_entry;
    if_version_is_ignored: IfVersionIsIgnored
        "a set with `IfVersion` writes over any version"
        by set_2_if_version_writes_over_that_version_only,
            set_3_if_version_not_met_leaves_everything_untouched,
            err_1_the_kind_tells_what_to_do_next;
    increment_accepts_text: IncrementAcceptsText
        "an increment counts in a text of digits"
        by cnt_1_only_a_json_integer_can_be_counted_in;
    increment_answers_the_old: IncrementAnswersTheOld
        "an increment answers the number before it"
        by cnt_1_increment_answers_the_new_value;
    increment_counts_beside_metadata: IncrementCountsBesideMetadata
        "an increment counts in an entry with metadata"
        by cnt_2_an_entry_with_metadata_is_no_counter;
    increment_drops_the_expiry: IncrementDropsTheExpiry
        "an increment drops the expiry"
        by cnt_1_increment_keeps_the_expiry,
            model_random_calls_agree_with_the_model;
    increment_is_taken_back: IncrementIsTakenBack
        "an increment is applied twice, and once taken back by a later request"
        by err_6_a_dropped_increment_counts_once_or_not;
    increment_wraps: IncrementWraps
        "an increment beyond the range wraps around"
        by cnt_1_the_range_is_kept;
    integers_become_floats: IntegersBecomeFloats
        "an integer comes back as a number with a point"
        by val_3_an_integer_stays_an_integer;
    keys_are_case_folded: KeysAreCaseFolded
        "keys are compared without their case"
        by key_3_keys_that_differ_in_a_byte_are_different,
            model_random_calls_agree_with_the_model;
    keys_are_cut: KeysAreCut
        "a key is cut after 255 bytes"
        by key_1_the_longest_key_works_and_a_longer_one_is_refused;
    keys_are_read_one_by_one: KeysAreReadOneByOne
        "a read of many keys sends one request for each"
        by cap_5_a_bulk_request_takes_what_is_reported;
    keys_are_trimmed: KeysAreTrimmed
        "spaces around a key are dropped"
        by key_3_keys_that_differ_in_a_byte_are_different;
    leading_zeros_are_lost: LeadingZerosAreLost
        "a zero in front of a number in a key is dropped"
        by ns_4_a_typed_view_spells_keys_and_values;
    limit_is_lower_than_reported: LimitIsLowerThanReported
        "the system refuses items that the reported limit allows"
        by chk_2_each_limit_is_kept_from_both_sides;
    list_counts_characters: ListCountsCharacters
        "a list reports the length of a text in characters"
        by list_6_a_list_reports_the_length_of_each_value;
    list_ignores_case_in_order: ListIgnoresCaseInOrder
        "a list has an order that does not look at case"
        by list_2_the_order_is_by_bytes;
    list_ignores_the_prefix: ListIgnoresThePrefix
        "a list names keys that do not begin with the prefix"
        by list_1_a_prefix_is_literal,
            ns_2_a_prefix_narrows_the_handle,
            list_7_count_counts_each_key_once;
    list_keeps_the_old_length: ListKeepsTheOldLength
        "a list reports the length of the value before"
        by list_6_a_list_reports_the_length_of_each_value;
    list_loses_the_key_at_the_border: ListLosesTheKeyAtTheBorder
        "the first key of the next page is left out"
        by list_2_no_key_is_lost_between_pages,
            model_random_calls_agree_with_the_model;
    list_order_is_utf_16: ListOrderIsUtf16
        "a list is in the order of UTF-16"
        by list_2_the_order_is_by_bytes;
    list_prefix_is_a_pattern: ListPrefixIsAPattern
        "a prefix is taken for a pattern"
        by list_1_a_prefix_is_literal,
            model_random_calls_agree_with_the_model;
    listed_expiry_is_missing: ListedExpiryIsMissing
        "a list says that nothing ends"
        by list_1_a_list_tells_the_expiry_it_declares;
    listed_metadata_is_missing: ListedMetadataIsMissing
        "a list says that nothing has metadata"
        by meta_2_a_list_tells_what_it_declares;
    many_answers_in_order_of_keys: ManyAnswersInOrderOfKeys
        "a read of many keys answers in the order of the keys"
        by get_2_many_answers_in_the_order_asked;
    members_are_sorted: MembersAreSorted
        "members of JSON are sorted, and nothing says that the system does so"
        by val_3_json_comes_back_as_it_is_spelled;
    metadata_is_read_as_text: MetadataIsReadAsText
        "metadata comes back as a string of its JSON"
        by meta_1_any_json_comes_back;
    metadata_leaks_into_the_value: MetadataLeaksIntoTheValue
        "a read answers metadata in place of the value"
        by meta_2_it_never_leaks_into_the_value;
    metadata_outlives_the_entry: MetadataOutlivesTheEntry
        "metadata of a deleted entry comes back with the next set"
        by del_1_delete_takes_everything,
            exp_7_an_expired_entry_leaves_nothing_behind;
    methods_for_many_are_not_named: MethodsForManyAreNotNamed
        "requests for many items are reported, and the backend does not name its methods for them"
        by cap_3_the_declaration_makes_sense;
    missing_fails_the_batch: MissingFailsTheBatch
        "one missing key fails a read of many"
        by get_2_many_answers_in_the_order_asked;
    missing_is_an_error: MissingIsAnError
        "a missing key is an error"
        by get_1_a_missing_key_is_no_error;
    namespace_leaks_into_lists: NamespaceLeaksIntoLists
        "a list names keys of other namespaces"
        by ns_1_namespaces_share_nothing;
    namespaces_have_no_border: NamespacesHaveNoBorder
        "name and key are joined without a border between them"
        by ns_1_names_that_begin_alike_are_different_namespaces;
    never_is_ignored: NeverIsIgnored
        "`expire` with `never` leaves the expiry"
        by exp_9_expire_with_never_removes_the_expiry;
    outcome_has_no_version: OutcomeHasNoVersion
        "a set does not report the new version"
        by set_5_an_outcome_carries_the_version;
    overwrite_keeps_the_expiry: OverwriteKeepsTheExpiry
        "a set without an expiry keeps that of the entry before"
        by set_1_a_set_without_expiry_never_expires,
            model_random_calls_agree_with_the_model;
    overwrite_keeps_the_metadata: OverwriteKeepsTheMetadata
        "a set without metadata keeps that of the entry before"
        by set_1_a_set_without_metadata_has_none,
            model_random_calls_agree_with_the_model;
    page_is_larger_than_asked: PageIsLargerThanAsked
        "a page has one key more than was asked for"
        by list_1_a_page_has_at_most_the_limit;
    past_is_never: PastIsNever
        "an expiry that is past by the system's clock counts as none"
        by exp_5_an_expiry_past_by_the_systems_clock_alone_leaves_no_entry;
    ping_leaves_a_key: PingLeavesAKey
        "`ping` writes a key"
        by life_1_ping_proves_the_store;
    racy_all_or_nothing: RacyAllOrNothing
        "an all-or-nothing batch looks first and writes then"
        by batch_3_one_of_competing_batches_is_written_whole;
    racy_delete: RacyDelete
        "a delete with a version looks first and deletes then"
        by del_2_exactly_one_delete_with_a_version_wins;
    racy_if_exists: RacyIfExists
        "`IfExists` looks first and writes then"
        by set_6_no_delete_of_the_store_comes_between;
    racy_if_not_exists: RacyIfNotExists
        "`IfNotExists` looks first and writes then"
        by set_6_exactly_one_if_not_exists_wins,
            set_6_one_store_never_races_with_itself,
            set_6_no_set_of_the_store_comes_between,
            get_3_all_agree_on_one_value;
    racy_if_version: RacyIfVersion
        "`IfVersion` looks first and writes then"
        by set_6_exactly_one_if_version_wins,
            set_6_compare_and_set_loops_lose_nothing,
            set_9_concurrent_updates_lose_nothing;
    racy_increment: RacyIncrement
        "an increment reads first and writes then"
        by cnt_1_concurrent_increments_add_up;
    reads_answer_the_one_before: ReadsAnswerTheOneBefore
        "a read answers what the read before it has found"
        by set_7_a_read_after_a_write_sees_it,
            get_2_exists_says_what_get_would;
    refused_condition_moves_the_expiry: RefusedConditionMovesTheExpiry
        "a set whose condition is not met gives the entry its expiry"
        by set_3_if_not_exists_not_met_leaves_everything_untouched,
            model_random_calls_agree_with_the_model;
    refused_condition_writes_metadata: RefusedConditionWritesMetadata
        "a set whose condition is not met gives the entry its metadata"
        by set_3_if_not_exists_not_met_leaves_everything_untouched;
    repeats_conditions_blindly: RepeatsConditionsBlindly
        "a conditional set is repeated after an unknown outcome"
        by set_8_an_unknown_outcome_says_so,
            set_9_an_unknown_outcome_ends_the_update;
    repeats_steps_blindly: RepeatsStepsBlindly
        "an increment is repeated after an unknown outcome"
        by err_4_a_step_is_never_repeated_blindly;
    reply_goes_to_the_next_call: ReplyGoesToTheNextCall
        "the reply of a dropped call goes to the next one"
        by err_6_nobody_gets_the_reply_of_a_dropped_call;
    rounds_the_expiry_down: RoundsTheExpiryDown
        "an expiry is rounded down"
        by exp_4_rounding_never_ends_an_entry_early;
    scope_is_of_the_process: ScopeIsOfTheProcess
        "the scope is another in each process"
        by ns_3_the_scope_is_the_same_in_every_process,
            ns_3_the_fingerprint_is_the_same_in_every_process;
    scope_is_shared: ScopeIsShared
        "all namespaces have one scope"
        by ns_3_the_scope_is_the_same_in_every_process,
            ns_3_the_fingerprint_is_the_same_in_every_process,
            list_3_a_wrong_cursor_is_refused;
    second_close_fails: SecondCloseFails
        "a `close` after one that was dropped fails"
        by life_2_a_dropped_close_can_be_repeated;
    secret_is_shown: SecretIsShown
        "an error shows the password"
        by err_2_no_secret_is_shown;
    sends_each_item_twice: SendsEachItemTwice
        "a batch sends two requests for each item"
        by batch_5_a_batch_sends_no_more_than_single_calls;
    set_always_says_created: SetAlwaysSaysCreated
        "a set over an entry says that it has created one"
        by set_5_an_unconditional_set_tells_what_it_declares;
    standstill_is_the_end: StandstillIsTheEnd
        "a page that leads back to itself is passed on as the last"
        by list_3_a_cursor_that_stands_still_is_refused,
            list_5_a_walk_that_stands_still_ends;
    strangers_are_asked_to_wait: StrangersAreAskedToWait
        "wrong credentials are reported as unavailable"
        by life_1_wrong_credentials_are_refused;
    strangers_are_served: StrangersAreServed
        "wrong credentials are served"
        by life_1_wrong_credentials_are_refused;
    takes_what_another_took: TakesWhatAnotherTook
        "`get_and_delete` reads first and deletes then, and answers in any case"
        by get_4_exactly_one_caller_gets_the_value;
    takes_what_expired: TakesWhatExpired
        "`get_and_delete` takes what has expired"
        by get_4_nothing_is_taken_where_nothing_is;
    takes_what_it_did_not_read: TakesWhatItDidNotRead
        "`get_and_delete` reads first, and deletes what is there then"
        by get_4_nothing_is_deleted_that_nobody_got;
    text_is_read_as_json: TextIsReadAsJson
        "a text that spells JSON comes back as JSON"
        by val_2_text_comes_back,
            val_6_typed_access_goes_through_serde;
    throttled_is_unknown: ThrottledIsUnknown
        "of a request that was turned away it says that its outcome is unknown"
        by err_3_a_fault_that_lasts_is_told_for_what_it_is;
    torn_by_a_drop: TornByADrop
        "a set writes value and metadata in two requests"
        by err_6_a_dropped_call_leaves_each_entry_whole;
    torn_reads: TornReads
        "a read takes value and metadata in two requests"
        by get_1_all_parts_come_from_one_write;
    touch_creates: TouchCreates
        "`touch` creates an entry"
        by exp_12_touch_creates_and_revives_nothing;
    touch_is_a_read: TouchIsARead
        "`touch` gives no new expiry"
        by exp_12_touch_gives_a_new_end,
            model_random_calls_agree_with_the_model;
    touch_looks_first: TouchLooksFirst
        "`touch` reads first and writes then"
        by exp_12_no_set_comes_between;
    touch_reports_the_old_end: TouchReportsTheOldEnd
        "`touch` reports the expiry that was"
        by exp_12_touch_reads_all_that_is_there;
    ttl_counts_from_the_start: TtlCountsFromTheStart
        "a ttl counts from when the system began"
        by exp_3_a_ttl_counts_from_the_write;
    ttl_is_made_absolute_here: TtlIsMadeAbsoluteHere
        "a ttl is made a time by the clock of this side"
        by exp_3_a_wrong_clock_here_moves_no_ttl;
    unavailable_is_throttled: UnavailableIsThrottled
        "of a system that does not serve yet it says that too many came"
        by err_3_a_fault_that_lasts_is_told_for_what_it_is;
    unavailable_is_unknown: UnavailableIsUnknown
        "of a request that a system turned away which does not serve yet it says that its outcome is unknown"
        by err_3_a_fault_that_lasts_is_told_for_what_it_is;
    unknown_is_called_safe: UnknownIsCalledSafe
        "of a request without an answer it says that it was not applied"
        by err_3_a_fault_that_lasts_is_told_for_what_it_is,
            err_5_a_repeated_write_claims_nothing,
            batch_6_a_failed_bulk_request_is_told_item_by_item;
    unwraps_reserved_members: UnwrapsReservedMembers
        "a member whose name a JSON library reserves is opened"
        by val_3_no_member_name_is_reserved;
    updated_over_expired: UpdatedOverExpired
        "a set over what has expired says that it has updated"
        by set_5_over_an_expired_entry_nothing_is_updated;
    utf_sixteen_surrogates_are_lost: UtfSixteenSurrogatesAreLost
        "characters beyond the first plane are dropped from keys"
        by key_2_every_character_is_harmless;
    version_ignores_metadata: VersionIgnoresMetadata
        "other metadata has the same version"
        by ver_1_other_content_has_another_version;
    version_is_reused_after_a_delete: VersionIsReusedAfterADelete
        "versions begin again after a delete"
        by ver_1_a_version_does_not_outlive_a_delete;
    version_of_nothing_is_met: VersionOfNothingIsMet
        "`IfVersion` is met where there is no entry"
        by ver_2_a_version_of_nothing_is_not_met;
    versioned_set_drops_the_expiry: VersionedSetDropsTheExpiry
        "a set with `IfVersion` drops the expiry that it is given"
        by set_9_an_update_keeps_metadata_and_expiry;
    visible_at_its_expiry: VisibleAtItsExpiry
        "an entry is there at its expiry, and not only before"
        by exp_1_a_ttl_ends_the_entry,
            exp_1_expire_at_ends_the_entry,
            model_random_calls_agree_with_the_model;
}

/// Each call of these stores is right by itself. Among several callers, or after an answer that was lost, no order of
/// the calls explains what was answered; nothing but the histories finds that. Which calls meet is left to chance, so a
/// history is looked at again a bounded number of times.
macro_rules! caught_by_histories_alone {
    ($($name:ident: $bug:ident $sentence:literal by $($case:ident),+;)*) => {
        const PLANTED_AMONG_CALLERS: &[Planted] =
            &[$(Planted { sentence: $sentence, cases: &[$(stringify!($case)),+] }),*];

        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let others = Case::ALL.iter().filter(|case| !case.name().contains("_histories_"));
                let report = Suite::new().with_cases(others).run(&ReferenceHarness::with(Bug::$bug)).await;
                assert!(report.is_ok(), "{report}");
                $({
                    let case = Case::find(stringify!($case)).expect("a case of this name");
                    let mut outcome = Outcome::Passed;
                    for _ in 0..20 {
                        outcome = case.run(&ReferenceHarness::with(Bug::$bug)).await;
                        if outcome != Outcome::Passed {
                            break;
                        }
                    }
                    assert!(matches!(outcome, Outcome::Failed(_)), "{}: {outcome}", case.name());
                })+
            }
        )*
    };
}

caught_by_histories_alone! {
    delete_looks_for_its_outcome: DeleteLooksForItsOutcome
        "a delete says that it has deleted what a look before it saw"
        by set_7_histories_of_sets_and_reads_are_linearizable;
    keeps_what_is_being_written: KeepsWhatIsBeingWritten
        "a read beside a write keeps what it has found, and later reads answer that"
        by set_7_histories_of_sets_and_reads_are_linearizable;
    rolls_back_what_was_seen: RollsBackWhatWasSeen
        "a write without an answer is seen, and then undone"
        by set_8_histories_with_faults_are_linearizable;
    sends_increments_again: SendsIncrementsAgain
        "an increment without an answer is sent again with the next one"
        by err_4_histories_of_steps_with_faults_are_linearizable;
    set_looks_for_its_outcome: SetLooksForItsOutcome
        "a set says created or updated by what a look before it saw"
        by set_7_histories_of_sets_and_reads_are_linearizable;
}

/// Without versions the conditions on one would be plain sets and deletes, and a history of those shows nothing of
/// them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_of_conditions_on_versions_has_some() {
    static READ_IN_PARTS: Capabilities = reference::EVERYTHING.with_entry_snapshot(false);
    for name in [
        "set_6_histories_of_one_store_are_linearizable",
        "set_6_histories_of_two_handles_are_linearizable",
        "set_8_histories_with_faults_are_linearizable",
        "del_2_histories_of_deletes_with_a_version_are_linearizable",
    ] {
        let case = Case::find(name).expect("a case of this name");
        let kept = case.run(&ReferenceHarness::whole().restricted_to(&READ_IN_PARTS)).await;
        assert_eq!(kept, Outcome::Passed, "{name}");
        let broken = case.run(&ReferenceHarness::with(Bug::OutcomeHasNoVersion).restricted_to(&READ_IN_PARTS)).await;
        assert!(matches!(broken, Outcome::Failed(_)), "{name}: {broken}");
    }
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

/// Rules that the handle keeps for every store, or a layer that the suite brings: no store can break them, so that no bug
/// can be planted here. The tests of kv-api break them.
const KEPT_FOR_EVERY_STORE: &[(&str, &str)] = &[
    ("CHK-1", "the handle sends nothing that is not acceptable"),
    ("VAL-1", "the handle makes a JSON string a text, and refuses null"),
    ("EXP-6", "the handle compares with the minimum, and rounds up to it"),
    ("CAP-2", "the handle asks for the opt-in"),
    ("CAP-4", "a restricted handle hides and refuses"),
    ("LAYER-1", "the handle asks a layer for its methods"),
    ("LAYER-4", "the layer hands scope, versions and positions through"),
];

/// The list as a document: what the suite can see.
fn document() -> String {
    let mut text = "\
# What the suite can see

Each of these bugs is planted in a store that is right otherwise (`tests/reference`), and each named case fails for it.
A bug stands at the rule of its first case. `tests/planted_bugs.rs` makes this list and fails when it is out of date;
with `UPDATE_PLANTED_BUGS=1` it writes it.

| rule | bug | caught by |
| --- | --- | --- |
"
    .to_owned();
    text += &rows(PLANTED);
    text += "
Each call of these stores is right by itself. Among several callers, or after an answer that was lost, no order of the
calls explains what was answered. Nothing but the histories finds that: all other cases pass.

| rule | bug | caught by |
| --- | --- | --- |
";
    text += &rows(PLANTED_AMONG_CALLERS);
    text += "\nNo store can break these rules, for something else keeps them for every store:\n\n| rule | why |\n| --- | --- |\n";
    for (rule, why) in KEPT_FOR_EVERY_STORE {
        text += &format!("| {rule} | {why} |\n");
    }
    text
}

/// Rows of a table, in the order of the rules.
fn rows(planted: &[Planted]) -> String {
    let mut rows = String::new();
    for rule in RULES {
        for bug in planted.iter().filter(|bug| rule_of(bug.cases[0]) == *rule) {
            let cases: Vec<String> = bug.cases.iter().map(|case| format!("`{case}`")).collect();
            rows += &format!("| {rule} | {} | {} |\n", bug.sentence, cases.join(", "));
        }
    }
    rows
}

fn rule_of(name: &str) -> String {
    Case::find(name).expect("a case of this name").rule()
}

#[test]
fn the_list_of_planted_bugs_is_up_to_date() {
    const UPDATE: &str = "UPDATE_PLANTED_BUGS";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/planted-bugs.md");
    let expected = document();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path, &expected).expect("the list can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, expected, "to write the list, run this test with {UPDATE}=1");
}

#[test]
fn every_rule_that_a_store_can_break_has_a_bug() {
    let broken: HashSet<String> = PLANTED.iter().flat_map(|bug| bug.cases).map(|case| rule_of(case)).collect();
    for rule in RULES {
        let is_kept = KEPT_FOR_EVERY_STORE.iter().any(|(kept, _)| kept == rule);
        assert!(is_kept != broken.contains(*rule), "{rule}: kept for every store: {is_kept}, and broken here");
    }
}
