//! The store on private servers: the suite, and what it does not ask.
#![allow(clippy::unwrap_used, reason = "a test, which clippy cannot see: it has its own main")]

mod expiry;
mod faults;
mod foreign;
mod given;
mod harness;
mod hostile;
mod life;
mod lists;
mod scripted;
mod tls;
mod two_processes;

use std::process::ExitCode;

use kv_servers::{System, Test, suite, tests};

fn main() -> ExitCode {
    if two_processes::is_helper() {
        return kv_servers::run(System::Redis, tests![two_processes::helper]);
    }
    let mut all = suite("conformance", harness::OnRedis).into_iter().map(Test::takes_given).collect::<Vec<_>>();
    all.extend(tests![
        expiry::exp_7_an_entry_ends_in_the_very_millisecond_of_its_expiry,
        expiry::exp_7_an_entry_that_ends_with_the_running_millisecond_is_there_until_then,
        expiry::exp_7_a_ttl_is_late_by_a_part_of_a_millisecond_and_never_early,
        expiry::exp_8_the_expiry_that_another_client_set_is_reported_as_it_is,
        expiry::exp_5_a_time_that_is_past_on_the_server_alone_ends_the_entry_at_once,
        faults::err_3_each_refusal_is_told_for_what_it_is,
        faults::err_3_a_connection_that_was_closed_while_idle_costs_no_error,
        faults::err_3_a_server_that_is_gone_is_safe_to_ask_again,
        faults::err_4_what_was_turned_away_is_asked_for_again_item_by_item,
        faults::err_4_a_batch_repeats_what_sets_a_state_and_no_step,
        faults::err_6_a_stalled_connection_is_replaced,
        faults::a_script_that_was_flushed_is_loaded_again,
        faults::without_the_right_to_scripts_only_scripts_are_refused,
        faults::a_full_server_is_exhausted,
        faults::an_answer_beyond_its_limit_is_exhausted,
        foreign::env_1_other_clients_see_plain_data,
        foreign::val_5_what_other_clients_wrote_reads_as_it_is,
        foreign::val_7_nothing_but_a_set_and_a_delete_touches_another_type,
        foreign::env_3_what_a_newer_version_wrote_is_neither_touched_nor_taken,
        foreign::get_4_a_text_that_begins_like_a_newer_envelope_is_taken_once,
        foreign::ns_1_namespaces_do_not_show_through_each_other,
        hostile::batch_6_an_answer_that_cannot_be_read_is_a_protocol_error_in_a_pipeline_too,
        hostile::list_1_what_comes_twice_in_a_step_is_listed_once_and_no_key_is_empty,
        hostile::err_6_what_nobody_asked_for_reaches_nobody,
        hostile::a_length_that_cannot_be_takes_no_memory_and_ends_with_the_time_of_a_request,
        hostile::a_node_that_is_cut_off_from_the_others_does_not_say_where_keys_are,
        life::life_1_what_is_no_server_for_the_store_is_refused_with_the_reason,
        life::life_1_a_server_that_turns_a_connection_away_says_why,
        life::life_1_the_password_of_a_running_store_is_changed,
        life::life_1_a_ping_says_whether_the_server_is_there,
        life::life_2_a_closed_store_has_no_connection,
        life::life_2_a_dropped_store_ends_its_connection,
        life::life_3_after_its_runtime_has_ended_a_call_ends_with_an_error,
        lists::list_1_a_prefix_with_the_characters_of_patterns_is_literal,
        lists::list_3_a_walk_across_a_restart_is_an_error,
        lists::list_5_a_few_keys_among_many_are_found,
        tls::life_1_only_a_certificate_that_is_trusted_and_names_the_host_is_accepted,
        two_processes::set_6_of_two_processes_exactly_one_creates_each_key,
    ]);
    let on_cluster = tests![two_processes::set_6_of_two_processes_on_a_cluster_exactly_one_creates_each_key];
    all.extend(on_cluster.into_iter().map(|test| test.needs(System::RedisCluster)));
    kv_servers::run(System::Redis, all)
}
