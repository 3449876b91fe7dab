//! One program, any store: the URL is configuration, and what the store can do is data that the program looks at.
//!
//! ```text
//! cargo run -p choose-at-runtime                            # in memory
//! KV_URL=sqlite:app.db cargo run -p choose-at-runtime       # in a file
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that shows what it does")]

use std::process::ExitCode;

use kv_api::{Capabilities, Consistency, ListOrder, Store, Support, ValueKind};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> kv_api::Result<()> {
    let url = std::env::var("KV_URL").unwrap_or_else(|_| "memory:".to_owned());
    let store = kv_backends::open(&url).await?;
    print_capabilities(store.capabilities());
    println!();
    take_the_job_once(&store.with_prefix("choose-at-runtime/")).await?;
    store.close().await
}

/// A job that must be done once, however many programs ask for it. It needs an atomic `IfNotExists`: where the store
/// has none, it says so instead of hoping.
async fn take_the_job_once(store: &Store) -> kv_api::Result<()> {
    if !store.capabilities().if_not_exists.is_full() {
        println!("this store cannot decide who is first, so the job is left alone");
        return Ok(());
    }
    for worker in ["Ada", "Grace"] {
        let outcome = store.set("job/42/taken-by", worker).if_not_exists().await?;
        println!("{worker} {}", if outcome.is_written() { "takes the job" } else { "finds it taken" });
    }
    store.delete("job/42/taken-by").await?;
    Ok(())
}

fn print_capabilities(capabilities: &Capabilities) {
    println!("{:<22} {}", "store", capabilities.system);
    println!("{}", "-".repeat(36));
    for (name, support) in [
        ("if not exists", capabilities.if_not_exists),
        ("if exists", capabilities.if_exists),
        ("if version", capabilities.if_version),
        ("ttl", capabilities.ttl),
        ("expire at", capabilities.expire_at),
        ("expire", capabilities.expire),
        ("expire if version", capabilities.expire_if_version),
        ("touch", capabilities.touch),
        ("get and delete", capabilities.get_and_delete),
        ("metadata", capabilities.metadata),
        ("list", capabilities.list),
        ("counters", capabilities.counters),
        ("counter ttl", capabilities.counter_ttl),
        ("all or nothing", capabilities.all_or_nothing),
    ] {
        println!("{name:<22} {}", if support == Support::None { "-".to_owned() } else { support.to_string() });
    }
    let kinds = [ValueKind::Text, ValueKind::Json, ValueKind::Bytes];
    let kinds = kinds.iter().filter(|kind| capabilities.value_kinds.contains(**kind)).map(ValueKind::to_string);
    let order = if capabilities.list_order == ListOrder::Lexicographic { "by the bytes of the key" } else { "none" };
    let seen = match capabilities.consistency {
        Consistency::Strong => "at once".to_owned(),
        Consistency::Eventual { usually_within: Some(time) } => format!("later, usually within {time:?}"),
        Consistency::Eventual { usually_within: None } => "later".to_owned(),
        _ => "see its documentation".to_owned(),
    };
    for (name, value) in [
        ("value kinds", kinds.collect::<Vec<_>>().join(", ")),
        ("order of a list", order.to_owned()),
        ("expiry rounded up to", format!("{:?}", capabilities.expiry_resolution)),
        ("expiry by the clock of", format!("the {}", capabilities.expiry_clock)),
        ("writes are seen", seen),
        ("key bytes", range(capabilities.key_bytes_min, capabilities.key_bytes_max)),
    ] {
        println!("{name:<22} {value}");
    }
    for limit in &*capabilities.item_limits {
        println!("{:<22} {}", limit.name.replace('_', " "), limit.max);
    }
}

fn range(min: usize, max: usize) -> String {
    if max == usize::MAX { format!("{min} or more") } else { format!("{min} to {max}") }
}
