//! The processes that tests start: this program again, with a role.

use std::collections::HashSet;
use std::env;
use std::io::Write;
use std::process::{ExitCode, Output, Stdio};

use kv_api::{SetItem, SetStatus, Store};
use kv_postgres::{PostgresConfig, PostgresStore};
use tokio::process::Command;

const ROLE: &str = "KV_POSTGRES_TEST_ROLE";

pub(crate) fn asked_for() -> Option<String> {
    env::var(ROLE).ok()
}

/// Starts a process with this role and these variables, and waits for its end.
pub(crate) async fn process(role: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(env::current_exe().unwrap())
        .env(ROLE, role)
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

/// The variables that lead to a server without a password.
pub(crate) fn leading_to(port: &str) -> [(&'static str, &str); 4] {
    [("PGHOST", "127.0.0.1"), ("PGPORT", port), ("PGUSER", "postgres"), ("PGDATABASE", "postgres")]
}

pub(crate) fn play(role: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match runtime.block_on(play_role(role)) {
        Ok(said) => {
            let is_heard = writeln!(std::io::stdout(), "{said}").is_ok();
            if is_heard { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            // If nobody hears it, the end of the process still says that something is wrong.
            let _ = writeln!(std::io::stderr(), "{error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn play_role(role: &str) -> kv_api::Result<String> {
    let store = PostgresStore::open(PostgresConfig::from_url("postgres://".parse()?)?).await?;
    let store = Store::new(store);
    let said = match role {
        "open" => {
            store.set(format!("process/{}", std::process::id()), 1).await?;
            store.scope_fingerprint().to_string()
        }
        "claim" => claim(&store).await?,
        role => panic!("no role {role}"),
    };
    store.close().await?;
    Ok(said)
}

/// The keys that two processes want, and how many of them one batch asks for.
pub(crate) const CLAIMS: usize = 10_000;
const BATCH: usize = 100;

/// Tries to create each key, by batches and by single calls in turn: those that it created.
async fn claim(store: &Store) -> kv_api::Result<String> {
    let keys: Vec<String> = (0..CLAIMS).map(|number| format!("claim/{number}")).collect();
    let mut created = HashSet::new();
    for (turn, keys) in keys.chunks(BATCH).enumerate() {
        // The two begin each batch together: else the faster one could create each key.
        let ready = format!("ready/{turn}");
        store.increment(&ready, 1).await?;
        while store.increment(&ready, 0).await? < 2 {}
        let outcomes = if turn % 2 == 0 {
            let items = keys.iter().map(|key| SetItem::new(&**key, "mine").if_not_exists());
            store.set_many(items).await
        } else {
            futures_util::future::join_all(keys.iter().map(|key| store.set(key, "mine").if_not_exists())).await
        };
        for (key, outcome) in keys.iter().zip(outcomes) {
            if outcome?.status() == SetStatus::Created {
                created.insert(key.clone());
            }
        }
    }
    Ok(created.into_iter().collect::<Vec<_>>().join("\n"))
}
