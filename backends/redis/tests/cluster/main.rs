//! The store on private clusters: the suite, over all slots and within one, and what it does not ask.
#![allow(clippy::unwrap_used, reason = "a test, which clippy cannot see: it has its own main")]

mod harness;
mod replicas;
mod routes;

use std::process::ExitCode;

use harness::OnCluster;
use kv_servers::{System, tests};

fn main() -> ExitCode {
    let mut all = tests![
        routes::batch_5_a_batch_goes_to_the_nodes_side_by_side_and_comes_back_in_order,
        routes::batch_3_what_lies_in_several_slots_is_refused_before_it_is_sent,
        routes::a_fail_over_is_followed_and_ends_a_list,
        routes::a_slot_on_its_way_is_asked_for_at_both_ends_and_no_list_misses_it,
        routes::err_4_a_step_is_not_repeated_when_its_node_is_lost,
        routes::life_1_some_nodes_to_begin_with_may_be_down_and_none_may_be_no_node,
        replicas::set_7_reads_go_to_replicas_and_all_else_to_masters,
        replicas::set_7_a_replica_that_does_not_answer_costs_no_error,
        replicas::set_7_a_replica_that_has_rested_is_asked_again,
        replicas::set_7_after_a_fail_over_the_old_master_is_read,
        replicas::life_1_replicas_of_one_server_have_no_names,
    ];
    all.extend(kv_servers::suite("all_slots", OnCluster::AllSlots));
    all.extend(kv_servers::suite("one_slot", OnCluster::OneSlot));
    kv_servers::run(System::RedisCluster, all)
}
