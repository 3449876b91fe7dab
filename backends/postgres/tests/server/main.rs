//! The store on private PostgreSQL servers.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests and what they share fail")]

mod balance;
mod databases;
mod deadlocks;
mod environment;
mod given;
mod grouping;
mod harness;
mod life;
mod losses;
mod notices;
mod opening;
mod pgbouncer;
mod processes;
mod reclamation;
mod roles;
mod tls;
mod waits;

use std::process::ExitCode;

use kv_servers::{System, Test, suite, tests};

fn main() -> ExitCode {
    // The tests are also the processes that they start.
    if let Some(role) = roles::asked_for() {
        return roles::play(&role);
    }
    let direct = suite("suite", harness::OnServer { pgbouncer: false });
    let mut all: Vec<Test> = direct.into_iter().map(Test::takes_given).collect();
    all.extend(tests![
        opening::processes_that_open_a_fresh_database_at_once_share_it,
        opening::a_missing_right_is_told_with_what_to_run,
        opening::what_is_not_ours_is_left_as_it_is,
        opening::a_server_that_only_reads_is_told,
        opening::an_unknown_database_is_told_and_not_shown,
        environment::what_the_url_leaves_out_comes_from_libpqs_variables,
        grouping::a_lone_call_is_one_request,
        grouping::calls_at_once_share_a_few_requests,
        grouping::one_key_many_times_has_one_creator,
        grouping::a_row_that_is_refused_fails_alone,
        grouping::a_locked_row_fails_alone,
        grouping::calls_that_nobody_polls_hold_up_no_other,
        grouping::a_call_that_is_dropped_in_line_is_not_carried_out,
        grouping::what_cannot_be_read_is_neither_touched_nor_taken,
        grouping::a_long_page_ends_early,
        losses::an_idle_connection_that_the_server_ended_costs_nothing,
        losses::an_idle_connection_that_is_gone_costs_nothing,
        losses::an_idle_connection_that_stays_silent_is_replaced,
        losses::a_server_that_stands_still_is_given_up,
        deadlocks::batches_that_get_into_each_others_way_are_all_written,
        balance::creations_and_deletions_balance,
        databases::encodings_and_settings_change_nothing,
        notices::a_notice_with_a_value_is_not_logged,
        processes::each_key_has_one_creator,
        tls::a_certificate_counts_as_sslmode_says,
        life::a_store_outlives_its_runtime,
        life::life_2_a_closed_store_has_no_connection,
        life::err_2_a_store_prints_neither_password_nor_namespace,
        reclamation::expired_rows_go_by_one_process_and_past_locked_ones,
        waits::a_life_begins_when_the_entry_is_written,
        reclamation::a_look_that_gets_no_answer_is_given_up,
    ]);
    let bouncing = suite("behind_pgbouncer", harness::OnServer { pgbouncer: true });
    let bouncing = bouncing.into_iter().chain(tests![pgbouncer::without_the_option_it_is_refused_with_the_reason]);
    all.extend(bouncing.map(|test: Test| test.needs(System::PgBouncer)));
    kv_servers::run(System::Postgres, all)
}
