//! The cases by family, and the one list of them.

pub(crate) mod batches;
pub(crate) mod capabilities;
pub(crate) mod counters;
pub(crate) mod deletes;
pub(crate) mod errors;
pub(crate) mod expiry;
pub(crate) mod histories;
pub(crate) mod keys;
pub(crate) mod layers;
pub(crate) mod life;
pub(crate) mod lists;
pub(crate) mod loads;
pub(crate) mod metadata;
pub(crate) mod namespaces;
pub(crate) mod reads;
pub(crate) mod set;
pub(crate) mod touches;
pub(crate) mod updates;
pub(crate) mod values;
pub(crate) mod versions;

use crate::case::Case;
use crate::model;

/// Up to which sizes a limit is tried.
pub(crate) mod sample_limit {
    /// The longest key that is made, in bytes.
    pub(crate) const LARGEST_KEY: usize = 1024 * 1024;
    /// The largest item that is written, in the limit's own unit.
    pub(crate) const LARGEST_ITEM: u64 = 4 * 1024 * 1024;
    /// The largest item that is made to be refused.
    pub(crate) const LARGEST_REFUSED_ITEM: u64 = 64 * 1024 * 1024;
}

/// The list of all cases: calls `$callback! { [arguments] family::case ... }`. A case that is added here is part of
/// every backend's tests.
#[doc(hidden)]
#[macro_export]
macro_rules! __for_each_case {
    ($callback:path, $($argument:tt)*) => {
        $callback! {
            [$($argument)*]
            capabilities::cap_1_all_or_nothing_is_kept_or_refused
            capabilities::cap_1_bytes_are_kept_or_refused
            capabilities::cap_1_counter_ttl_is_kept_or_refused
            capabilities::cap_1_counters_are_kept_or_refused
            capabilities::cap_1_expire_at_is_kept_or_refused
            capabilities::cap_1_expire_if_version_is_kept_or_refused
            capabilities::cap_1_expire_is_kept_or_refused
            capabilities::cap_1_get_and_delete_is_kept_or_refused
            capabilities::cap_1_if_exists_is_kept_or_refused
            capabilities::cap_1_if_not_exists_is_kept_or_refused
            capabilities::cap_1_if_version_is_kept_or_refused
            capabilities::cap_1_json_is_kept_or_refused
            capabilities::cap_1_list_is_kept_or_refused
            capabilities::cap_1_metadata_is_kept_or_refused
            capabilities::cap_1_text_is_kept_or_refused
            capabilities::cap_1_touch_is_kept_or_refused
            capabilities::cap_1_ttl_is_kept_or_refused
            capabilities::cap_2_the_refusal_of_best_effort_tells_the_way
            capabilities::cap_3_nothing_is_told_that_is_not_declared
            capabilities::cap_3_the_declaration_makes_sense
            capabilities::cap_4_a_restricted_handle_hides_what_others_cannot_tell
            capabilities::cap_5_a_bulk_request_takes_what_is_reported
            capabilities::chk_1_what_is_not_acceptable_is_not_sent
            capabilities::chk_2_each_limit_is_kept_from_both_sides
            errors::err_1_the_kind_tells_what_to_do_next
            errors::err_2_context_is_told_and_no_value
            errors::err_2_no_secret_is_shown
            errors::err_3_a_fault_that_lasts_is_told_for_what_it_is
            errors::err_3_a_refusal_is_never_repeated
            errors::err_3_what_never_left_is_safe_to_repeat
            errors::err_4_a_step_is_never_repeated_blindly
            errors::err_5_a_repeated_write_claims_nothing
            errors::err_6_a_dropped_call_leaves_each_entry_whole
            errors::err_6_a_dropped_increment_counts_once_or_not
            errors::err_6_nobody_gets_the_reply_of_a_dropped_call
            errors::err_7_key_and_index_are_the_callers
            keys::key_1_an_empty_key_is_refused
            keys::key_1_length_is_counted_in_bytes
            keys::key_1_the_longest_key_works_and_a_longer_one_is_refused
            keys::key_1_the_shortest_key_works_and_a_shorter_one_is_refused
            keys::key_2_every_character_is_harmless
            keys::key_2_forbidden_keys_are_refused
            keys::key_3_keys_that_differ_in_a_byte_are_different
            namespaces::ns_1_clear_stays_in_its_namespace
            namespaces::ns_1_namespaces_share_nothing
            namespaces::ns_1_names_that_begin_alike_are_different_namespaces
            namespaces::ns_2_a_prefix_narrows_the_handle
            namespaces::ns_2_limits_hold_for_the_whole_key
            namespaces::ns_2_prefixes_add_up
            namespaces::ns_3_the_fingerprint_is_the_same_in_every_process
            namespaces::ns_3_the_scope_is_the_same_in_every_process
            namespaces::ns_4_a_typed_view_spells_keys_and_values
            values::env_3_what_looks_like_an_envelope_comes_back
            values::val_1_a_json_string_is_text
            values::val_1_null_is_refused
            values::val_2_a_value_replaces_one_of_another_kind
            values::val_2_bytes_come_back
            values::val_2_json_comes_back
            values::val_2_text_comes_back
            values::val_3_an_integer_stays_an_integer
            values::val_3_json_comes_back_as_it_is_spelled
            values::val_3_nesting_ends_at_100
            values::val_3_no_member_name_is_reserved
            values::val_3_random_json_comes_back
            values::val_3_what_would_be_lost_is_refused
            values::val_4_an_empty_value_is_a_value
            values::val_5_foreign_data_is_readable
            values::val_6_typed_access_goes_through_serde
            values::val_7_a_key_of_a_foreign_type_is_there
            set::set_1_a_set_without_expiry_never_expires
            set::set_1_a_set_without_metadata_has_none
            set::set_1_a_set_with_everything_replaces_everything
            set::set_1_replaces_the_value
            set::set_2_if_exists_writes_over_an_entry_only
            set::set_2_if_not_exists_writes_over_nothing_only
            set::set_2_if_version_writes_over_that_version_only
            set::set_2_two_conditions_are_refused
            set::set_3_if_exists_not_met_creates_nothing
            set::set_3_if_not_exists_not_met_leaves_everything_untouched
            set::set_3_if_version_not_met_leaves_everything_untouched
            set::set_4_if_exists_is_not_met_over_an_expired_entry
            set::set_4_if_not_exists_is_met_over_an_expired_entry
            set::set_4_if_version_is_not_met_over_an_expired_entry
            set::set_5_an_outcome_carries_the_version
            set::set_5_an_unconditional_set_tells_what_it_declares
            set::set_5_over_an_expired_entry_nothing_is_updated
            set::set_6_best_effort_needs_an_opt_in
            set::set_6_compare_and_set_loops_lose_nothing
            set::set_6_exactly_one_if_not_exists_wins
            set::set_6_exactly_one_if_not_exists_wins_over_an_expired_entry
            set::set_6_exactly_one_if_not_exists_wins_over_two_handles
            set::set_6_exactly_one_if_version_wins
            set::set_6_no_delete_of_the_store_comes_between
            set::set_6_no_set_of_the_store_comes_between
            set::set_6_one_store_never_races_with_itself
            set::set_7_a_read_after_a_write_sees_it
            set::set_8_an_unknown_outcome_says_so
            updates::set_9_an_unknown_outcome_ends_the_update
            updates::set_9_an_update_creates_changes_or_leaves_alone
            updates::set_9_an_update_keeps_metadata_and_expiry
            updates::set_9_concurrent_updates_lose_nothing
            versions::ver_1_a_version_can_be_stored
            versions::ver_1_a_version_does_not_outlive_a_delete
            versions::ver_1_a_version_serves_another_process
            versions::ver_1_other_content_has_another_version
            versions::ver_1_reads_and_expire_leave_the_version
            versions::ver_2_a_version_of_nothing_is_not_met
            expiry::exp_1_a_ttl_ends_the_entry
            expiry::exp_1_expire_at_ends_the_entry
            expiry::exp_1_without_expiry_it_never_ends
            expiry::exp_2_another_precedence_can_be_chosen
            expiry::exp_2_expire_at_wins_over_ttl
            expiry::exp_2_the_loser_is_not_checked
            expiry::exp_3_a_ttl_counts_from_the_write
            expiry::exp_3_a_wrong_clock_here_moves_no_ttl
            expiry::exp_4_rounding_never_ends_an_entry_early
            expiry::exp_5_an_expiry_in_the_past_is_refused
            expiry::exp_5_an_expiry_past_by_the_systems_clock_alone_leaves_no_entry
            expiry::exp_5_an_expiry_too_late_is_refused
            expiry::exp_5_a_ttl_of_zero_is_refused
            expiry::exp_6_an_expiry_below_the_minimum_is_refused
            expiry::exp_6_the_minimum_can_be_rounded_up_to
            expiry::exp_7_an_expired_entry_is_invisible_to_counters
            expiry::exp_7_an_expired_entry_is_invisible_to_deletes
            expiry::exp_7_an_expired_entry_is_invisible_to_lists
            expiry::exp_7_an_expired_entry_is_invisible_to_reads
            expiry::exp_7_an_expired_entry_leaves_nothing_behind
            expiry::exp_7_everything_ends_together
            expiry::exp_8_a_read_reports_the_expiry
            expiry::exp_9_expire_changes_only_the_expiry
            expiry::exp_9_expire_creates_and_revives_nothing
            expiry::exp_9_expire_needs_one_wish
            expiry::exp_9_expire_with_never_removes_the_expiry
            expiry::exp_10_the_reported_clock_ends_an_entry
            expiry::exp_10_time_comes_from_the_injected_clock
            touches::exp_11_a_version_guards_an_expire
            touches::exp_11_no_set_comes_between
            touches::exp_11_one_version_is_needed
            touches::exp_12_no_set_comes_between
            touches::exp_12_the_ttl_is_checked_as_any
            touches::exp_12_touch_creates_and_revives_nothing
            touches::exp_12_touch_gives_a_new_end
            touches::exp_12_touch_reads_all_that_is_there
            metadata::meta_1_any_json_comes_back
            metadata::meta_1_it_lies_beside_values_of_every_kind
            metadata::meta_1_null_is_refused
            metadata::meta_2_a_list_tells_what_it_declares
            metadata::meta_2_it_never_leaks_into_the_value
            reads::get_1_all_parts_come_from_one_write
            reads::get_1_an_entry_has_all_its_parts
            reads::get_1_a_missing_key_is_no_error
            reads::get_2_exists_many_says_what_exists_would
            reads::get_2_exists_says_what_get_would
            reads::get_2_many_answers_in_the_order_asked
            reads::get_2_many_fails_as_a_whole
            loads::get_3_a_dropped_load_makes_way
            loads::get_3_a_failed_load_changes_nothing
            loads::get_3_all_agree_on_one_value
            loads::get_3_one_loads_for_all
            loads::get_3_only_what_is_missing_is_loaded
            loads::get_3_what_is_set_meanwhile_stays
            reads::get_4_exactly_one_caller_gets_the_value
            reads::get_4_get_and_delete_takes_everything
            reads::get_4_nothing_is_deleted_that_nobody_got
            reads::get_4_nothing_is_taken_where_nothing_is
            deletes::del_1_a_repeated_key_shares_one_result
            deletes::del_1_delete_is_idempotent
            deletes::del_1_delete_many_has_one_result_per_item
            deletes::del_1_delete_takes_everything
            deletes::del_2_a_version_guards_a_delete
            deletes::del_2_exactly_one_delete_with_a_version_wins
            deletes::del_3_an_empty_prefix_is_refused
            deletes::del_3_clear_deletes_everything
            deletes::del_3_delete_prefix_stays_within_the_prefix
            lists::list_1_a_limit_of_zero_is_refused
            lists::list_1_a_list_tells_the_expiry_it_declares
            lists::list_1_a_page_has_at_most_the_limit
            lists::list_1_a_prefix_is_literal
            lists::list_1_nothing_lists_nothing
            lists::list_2_changes_around_a_walk_lose_nothing
            lists::list_2_deleting_along_the_walk_skips_nothing
            lists::list_2_no_key_is_lost_between_pages
            lists::list_2_the_order_is_by_bytes
            lists::list_3_a_cursor_can_be_used_again
            lists::list_3_a_cursor_that_stands_still_is_refused
            lists::list_3_a_cursor_survives_the_process
            lists::list_3_a_walk_across_a_restart_loses_nothing
            lists::list_3_a_wrong_cursor_is_refused
            lists::list_4_entries_leave_out_what_vanished
            lists::list_5_a_walk_in_circles_ends
            lists::list_5_a_walk_of_empty_pages_ends
            lists::list_5_a_walk_that_stands_still_ends
            lists::list_6_a_list_reports_the_length_of_each_value
            lists::list_7_count_counts_each_key_once
            counters::cnt_1_a_counter_reads_as_a_json_integer
            counters::cnt_1_a_dropped_increment_leaves_the_counter_in_range
            counters::cnt_1_a_json_integer_is_a_counter
            counters::cnt_1_concurrent_increments_add_up
            counters::cnt_1_increment_answers_the_new_value
            counters::cnt_1_increment_keeps_the_expiry
            counters::cnt_1_only_a_json_integer_can_be_counted_in
            counters::cnt_1_the_range_is_kept
            counters::cnt_2_an_entry_with_metadata_is_no_counter
            counters::cnt_3_a_counter_that_exists_keeps_its_end
            counters::cnt_3_a_dropped_increment_leaves_no_counter_without_end
            counters::cnt_3_a_new_counter_gets_the_ttl
            counters::cnt_3_counters_that_are_created_at_once_have_an_end
            counters::cnt_3_the_ttl_is_checked_as_any
            batches::batch_1_any_number_of_items
            batches::batch_2_one_result_per_item_in_input_order
            batches::batch_3_all_or_nothing_writes_all
            batches::batch_3_an_invalid_expiry_fails_alone
            batches::batch_3_an_invalid_item_fails_all_or_nothing_whole
            batches::batch_3_an_invalid_item_fails_alone
            batches::batch_3_one_of_competing_batches_is_written_whole
            batches::batch_3_one_unmet_condition_and_nothing_is_written
            batches::batch_4_a_condition_sees_the_items_before_it
            batches::batch_4_repeated_keys_apply_in_order
            batches::batch_5_a_batch_sends_no_more_than_single_calls
            batches::batch_5_items_with_and_without_options_mix
            batches::batch_6_a_failed_bulk_request_is_told_item_by_item
            batches::batch_6_an_answer_that_cannot_be_is_no_evidence
            layers::layer_1_what_a_wrapper_does_not_forward_is_refused
            layers::layer_2_a_changed_request_means_the_same
            layers::layer_4_scope_versions_and_cursors_are_handed_through
            life::life_1_ping_proves_the_store
            life::life_1_wrong_credentials_are_refused
            life::life_2_a_dropped_close_can_be_repeated
            life::life_2_calls_after_close_are_refused
            life::life_2_close_waits_for_calls_in_flight
            life::life_2_no_acknowledged_write_is_lost
            histories::set_7_histories_of_sets_and_reads_are_linearizable
            histories::set_6_histories_of_one_store_are_linearizable
            histories::set_6_histories_of_two_handles_are_linearizable
            histories::set_8_histories_with_faults_are_linearizable
            histories::del_2_histories_of_deletes_with_a_version_are_linearizable
            histories::get_4_histories_of_takers_are_linearizable
            histories::cnt_1_histories_of_counters_are_linearizable
            histories::err_4_histories_of_steps_with_faults_are_linearizable
            histories::err_5_histories_of_repeated_writes_are_linearizable
            model::model_random_calls_agree_with_the_model
        }
    };
}

macro_rules! table {
    ([] $($module:ident::$case:ident)*) => {
        impl Case {
            /// Every case, in the order of the contract.
            pub const ALL: &[Self] = &[
                $(Self { name: stringify!($case), body: |cx| Box::pin($module::$case(cx)) },)*
            ];

            /// The case of this name.
            #[must_use]
            pub fn find(name: &str) -> Option<&'static Self> {
                Self::ALL.iter().find(|case| case.name == name)
            }
        }
    };
}
__for_each_case!(table,);

/// Makes every case of the suite a test of the crate that calls it, on the store that `$harness` opens; one call a
/// module.
///
/// The harness is an expression, and is made anew for each test. New cases of the suite become tests by themselves.
///
/// ```
/// use kv_conformance::{Harness, Fixture, async_trait};
///
/// struct Memory;
///
/// #[async_trait]
/// impl Harness for Memory {
///     async fn open(&self) -> kv_api::Result<Fixture> {
///         # fn store() -> kv_api::Store { unimplemented!() }
///         Ok(Fixture::new(store()))
///     }
/// }
///
/// kv_conformance::conformance_tests!(Memory);
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($harness:expr) => {
        $crate::__for_each_case! { $crate::__test_of_each_case, $harness }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __test_of_each_case {
    ([$harness:expr] $($module:ident::$case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::__private::test(&$harness, module_path!(), stringify!($case));
            }
        )*
    };
}
