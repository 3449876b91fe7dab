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
    store.close().await.unwrap();
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
