//! A store and its runtime (LIFE-3), and what it prints.

use kv_api::{Backend, Value};
use kv_postgres::{PostgresStore, SecretString};
use kv_servers::{Postgres, PostgresOptions};
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;

use crate::harness::{PASSWORD, config, open};

/// A namespace that no output may show: a secret may stand in its place by mistake.
const CANARY: &str = "c4nary-0f-th3-n4m3sp4c3";

pub(crate) async fn err_2_a_store_prints_neither_password_nor_namespace() {
    let server = Postgres::start(PostgresOptions::new().password(PASSWORD)).await.unwrap();
    let config = config(server.address()).with_password(SecretString::from(PASSWORD)).with_namespace(CANARY).unwrap();
    let store = PostgresStore::open(config).await.unwrap();
    let text = format!("{store:?}");
    assert!(text.starts_with("PostgresStore {"), "{text}");
    assert!(!text.contains(PASSWORD) && !text.contains(CANARY), "{text}");
}

pub(crate) async fn life_2_a_closed_store_has_no_connection() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let config = config(server.address()).with_application_name("closed");
    let store = PostgresStore::open(config).await.unwrap();
    let connections = "select count(*) from pg_stat_activity where application_name = 'closed'";
    assert_ne!(server.sql(connections).await.unwrap(), "0");
    store.close().await.unwrap();
    for _ in 0..1_000 {
        if server.sql(connections).await.unwrap() == "0" {
            // Until here it is closed and not dropped.
            return drop(store);
        }
    }
    panic!("the connection of a closed store stays");
}

/// Each call ends, with what it was asked for or with an error.
pub(crate) async fn a_store_outlives_its_runtime() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let config = config(server.address());
    let opened = spawn_blocking(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = open(config).await.unwrap();
            store.set("k", "v").await.unwrap();
            store
        })
    });
    let store = opened.await.unwrap();
    let keys: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
    // Connections that belong to the runtime that has ended are of no use; new ones are made in this one.
    for _ in 0..20 {
        let _ = futures_util::future::join_all(keys.iter().map(|key| store.set(key, "w"))).await;
    }
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("v")));
    store.close().await.unwrap();
}
