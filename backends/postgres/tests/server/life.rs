//! A store and its runtime (LIFE-3).

use kv_api::Value;
use kv_servers::{Postgres, PostgresOptions};
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;

use crate::harness::{config, open};

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
