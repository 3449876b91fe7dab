//! Behind PgBouncer in transaction mode; the suite runs there too.

use kv_api::{ErrorKind, Value};
use kv_servers::{PgBouncer, Postgres, PostgresOptions};

use crate::harness::{config, open};

pub(crate) async fn without_the_option_it_is_refused_with_the_reason() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let bouncer = PgBouncer::start(&server).await.unwrap();
    let error = open(config(bouncer.address())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.message().contains("pgbouncer=true"), "{error}");
    let store = open(config(bouncer.address()).with_pgbouncer(true)).await.unwrap();
    store.set("k", "v").await.unwrap();
    // The same tables without it in between.
    let direct = open(config(server.address())).await.unwrap();
    assert_eq!(direct.get("k").await.unwrap(), Some(Value::from("v")));
}
