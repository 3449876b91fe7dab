//! Databases and servers with settings of their own.

use std::time::Duration;

use kv_api::{ErrorKind, Metadata, SetItem, SetStatus, Value};
use kv_servers::{Postgres, PostgresOptions};

use crate::harness::{config, open};

/// None of them changes what a store holds.
pub(crate) async fn encodings_and_settings_change_nothing() {
    let options = PostgresOptions::new()
        .setting("standard_conforming_strings", "off")
        .setting("backslash_quote", "off")
        .setting("DateStyle", "SQL, DMY")
        .setting("IntervalStyle", "sql_standard")
        .setting("TimeZone", "Australia/Lord_Howe")
        .setting("extra_float_digits", "-3");
    let server = Postgres::start(options).await.unwrap();
    for (encoding, isolation) in
        [("SQL_ASCII", "serializable"), ("LATIN1", "repeatable read"), ("EUC_JP", "read committed")]
    {
        let database = encoding.to_lowercase();
        let create =
            format!("create database {database} encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0");
        server.sql(&create).await.unwrap();
        let isolated = format!("alter database {database} set default_transaction_isolation = '{isolation}'");
        server.sql(&isolated).await.unwrap();
        let store = open(config(server.address()).with_database(database)).await.unwrap();
        for key in ["a", "\u{10FFFF}\0ключ'\\", "日本"] {
            let value = Value::from("ü\0😀'\\");
            let metadata = Metadata::from_json_text(r#"{"ü":"日\\"}"#).unwrap();
            let set = store.set(key, value.clone()).metadata(metadata.clone()).ttl(Duration::from_secs(1000));
            assert_eq!(set.if_not_exists().await.unwrap().status(), SetStatus::Created, "{encoding} {key:?}");
            let entry = store.get_entry(key).await.unwrap().unwrap();
            assert_eq!((entry.value(), entry.metadata()), (&value, Some(&metadata)), "{encoding} {key:?}");
            let items = ["x", key].map(|key| SetItem::new(key, "v").ttl(Duration::from_secs(100)));
            for outcome in store.set_many(items).await {
                assert!(outcome.unwrap().is_written());
            }
            let counter = format!("{key}n");
            assert_eq!(store.increment(&counter, 5).await.unwrap(), 5);
            assert_eq!(store.increment(&counter, -7).await.unwrap(), -2);
            let listed: Vec<String> =
                store.list().prefix(key).await.unwrap().items.into_iter().map(|item| item.key).collect();
            assert_eq!(listed, [key.to_owned(), counter], "{encoding}");
        }
        store.close().await.unwrap();
    }

    // But the name of a namespace is a text.
    for pgbouncer in [false, true] {
        let config = config(server.address()).with_database("latin1").with_pgbouncer(pgbouncer);
        open(config.clone().with_namespace("\u{e9}").unwrap()).await.unwrap();
        let error = open(config.with_namespace("日").unwrap()).await.unwrap_err();
        assert_eq!((error.kind(), error.native_code()), (ErrorKind::InvalidArgument, Some("22P05")), "{error}");
    }
}
