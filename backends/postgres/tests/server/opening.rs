//! Opening a database: fresh, foreign, newer, read only, without rights.

use futures_util::future::join_all;
use kv_api::{ErrorKind, Reason, Retry, SetItem};
use kv_servers::{Postgres, PostgresOptions};

use crate::harness::{config, open};
use crate::roles::{leading_to, process};

pub(crate) async fn processes_that_open_a_fresh_database_at_once_share_it() {
    const PROCESSES: usize = 6;
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let port = server.address().port().to_string();
    let to_server = leading_to(&port);
    let outputs = join_all((0..PROCESSES).map(|_| process("open", &to_server))).await;
    let mut scopes: Vec<String> = outputs
        .into_iter()
        .map(|output| {
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    scopes.dedup();
    assert_eq!(scopes.len(), 1, "one store");
    assert_eq!(server.sql("select count(*) from kv").await.unwrap(), PROCESSES.to_string());
}

pub(crate) async fn a_missing_right_is_told_with_what_to_run() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    server.sql("revoke create on schema public from public; create role app login").await.unwrap();
    let config = || config(server.address()).with_user("app");
    let error = open(config()).await.unwrap_err();
    assert_eq!((error.kind(), error.native_code()), (ErrorKind::Unauthorized, Some("42501")), "{error}");
    let (_, sql) = error.message().split_once("run: ").unwrap();
    server.sql(&sql.replace("the_user", "app")).await.unwrap();
    let store = open(config()).await.unwrap();
    store.set("k", "v").await.unwrap();
    assert_eq!(store.increment("n", 1).await.unwrap(), 1);
    assert!(store.expire("k").never().await.unwrap());
    store.delete("k").await.unwrap();
    store.ping().await.unwrap();

    // A right that is taken away later.
    server.sql("revoke insert on kv from app").await.unwrap();
    let error = store.set("k", "v").await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthorized, Retry::Never), "{error}");
    assert!(error.message().contains("GRANT SELECT, INSERT"), "{error}");
    server.sql("revoke all on kv_meta from app").await.unwrap();
    let error = open(config()).await.unwrap_err();
    assert!(error.message().contains("GRANT SELECT ON kv_meta"), "{error}");
}

pub(crate) async fn what_is_not_ours_is_left_as_it_is() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let content = "select string_agg(table_name || '.' || column_name, ' ' order by table_name, column_name) \
                   from information_schema.columns where table_schema = 'public'";
    for (foreign, away) in [
        ("create table kv (key text primary key, value text)", "drop table kv"),
        ("create sequence kv_version", "drop sequence kv_version"),
        ("create view kv_meta as select 1 as id", "drop view kv_meta"),
        ("create table kv_meta (id int, schema_version text)", "drop table kv_meta"),
    ] {
        server.sql(foreign).await.unwrap();
        let before = server.sql(content).await.unwrap();
        let error = open(config(server.address())).await.unwrap_err();
        assert_eq!((error.kind(), error.reason()), (ErrorKind::Misconfigured, Some(&Reason::Foreign)), "{foreign}");
        assert_eq!(server.sql(content).await.unwrap(), before, "{foreign}");
        server.sql(away).await.unwrap();
    }
    open(config(server.address())).await.unwrap().set("k", "v").await.unwrap();
    server.sql("update kv_meta set schema_version = 2").await.unwrap();
    let error = open(config(server.address())).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::NewerSchema { found: 2, understood: 1 }), "{error}");
    assert_eq!(server.sql("select schema_version, (select count(*) from kv) from kv_meta").await.unwrap(), "2|1");
}

pub(crate) async fn a_server_that_only_reads_is_told() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let only_read = |on: &str| format!("alter database postgres set default_transaction_read_only = {on}");
    server.sql(&only_read("on")).await.unwrap();
    let error = open(config(server.address())).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Misconfigured, Some(&Reason::ReadOnly)), "{error}");
    server.sql(&format!("set transaction read write; {}", only_read("off"))).await.unwrap();
    open(config(server.address())).await.unwrap().set("k", "v").await.unwrap();

    server.sql(&only_read("on")).await.unwrap();
    let store = open(config(server.address())).await.unwrap();
    assert!(store.exists("k").await.unwrap());
    for error in [
        store.set("k", "w").await.unwrap_err(),
        store.increment("n", 1).await.unwrap_err(),
        store.delete("k").await.unwrap_err(),
        store.set_many_all_or_nothing([SetItem::new("k", "w")]).await.unwrap_err(),
    ] {
        assert_eq!((error.reason(), error.retry()), (Some(&Reason::ReadOnly), Retry::Never), "{error}");
    }
    assert!(store.exists("k").await.unwrap());
}

pub(crate) async fn an_unknown_database_is_told_and_not_shown() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let error = open(config(server.address()).with_database("hush")).await.unwrap_err();
    assert_eq!((error.kind(), error.native_code()), (ErrorKind::Misconfigured, Some("3D000")), "{error}");
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}
