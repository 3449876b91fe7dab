//! Calls at once, and how many requests they take.

use std::time::Duration;

use futures_util::future::join_all;
use kv_api::{ErrorKind, Metadata, Reason, Retry, SetItem, SetStatus, Value};
use kv_servers::{Postgres, PostgresOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use crate::harness::{System, config, open, options, remote};

pub(crate) async fn a_lone_call_is_one_request() {
    let system = System::start().await;
    let store = open(system.config().with_namespace("lone").unwrap()).await.unwrap();
    for round in 0..2 {
        let before = system.link.requests();
        store.set("k", "v").await.unwrap();
        store.set("new", "v").if_not_exists().await.unwrap();
        let version = store.get_entry("k").await.unwrap().unwrap().version().cloned();
        store.set("k", "w").if_version(version).await.unwrap();
        store.get("k").await.unwrap();
        assert!(store.exists("k").await.unwrap());
        store.increment("n", 1).await.unwrap();
        store.expire("k").ttl(Duration::from_secs(9)).await.unwrap();
        store.list().await.unwrap();
        store.get_many(["k", "n"]).await.unwrap();
        let items = || ["a", "b"].map(|key| SetItem::new(key, "v"));
        store.set_many(items()).await;
        store.set_many_all_or_nothing(items()).await.unwrap();
        store.delete("k").await.unwrap();
        store.delete_many(["a", "b"]).await;
        assert_eq!(system.link.requests() - before, 14, "round {round}");
    }
}

pub(crate) async fn calls_at_once_share_a_few_requests() {
    const CALLERS: usize = 64;
    // How many find a connection that waits for work depends on the machine.
    const FEW: u64 = 16;
    let system = System::start().await;
    let store = open(system.config().with_namespace("crowd").unwrap()).await.unwrap();
    let keys: Vec<String> = (0..CALLERS).map(|caller| format!("k{caller}")).collect();
    let before = system.link.requests();
    for outcome in join_all(keys.iter().map(|key| store.set(key, &**key))).await {
        assert_eq!(outcome.unwrap().status(), SetStatus::Created);
    }
    let sets = system.link.requests() - before;
    assert!(sets <= FEW, "{sets} requests for {CALLERS} sets");
    for (key, found) in keys.iter().zip(join_all(keys.iter().map(|key| store.get(key))).await) {
        assert_eq!(found.unwrap(), Some(Value::from(&**key)));
    }
    let gets = system.link.requests() - before - sets;
    assert!(gets <= FEW, "{gets} requests for {CALLERS} gets");

    // Conditions of all kinds, some met and some not.
    let versions: Vec<_> = join_all(keys.iter().map(|key| store.get_entry(key))).await;
    let versions: Vec<_> = versions.into_iter().map(|entry| entry.unwrap().unwrap().version().cloned()).collect();
    let outcomes = join_all(keys.iter().zip(versions).enumerate().map(|(caller, (key, version))| {
        let set = store.set(key, "next");
        match caller % 4 {
            0 => set.if_not_exists(),
            1 => set.if_exists(),
            2 => set.if_version(version),
            _ => set,
        }
    }))
    .await;
    for (caller, outcome) in outcomes.into_iter().enumerate() {
        let expected = if caller % 4 == 0 { SetStatus::NotMet } else { SetStatus::Updated };
        assert_eq!(outcome.unwrap().status(), expected, "{caller}");
    }
}

pub(crate) async fn one_key_many_times_has_one_creator() {
    let system = System::start().await;
    let store = open(system.config().with_namespace("one key").unwrap()).await.unwrap();
    let outcomes = join_all((0..50).map(|_| store.set("k", "v").if_not_exists())).await;
    let created = outcomes.into_iter().filter(|outcome| outcome.as_ref().unwrap().status() == SetStatus::Created);
    assert_eq!(created.count(), 1);
}

pub(crate) async fn a_row_that_is_refused_fails_alone() {
    let system = System::start().await;
    let store = open(system.config().with_namespace("refused").unwrap()).await.unwrap();
    let keys: Vec<String> =
        (0..30).map(|number| if number == 17 { "bad".to_owned() } else { number.to_string() }).collect();
    let items = || keys.iter().map(|key| SetItem::new(&**key, "hush"));
    // A trigger may use any code.
    for (code, kind) in [
        ("P0001", ErrorKind::Misconfigured),
        ("P0004", ErrorKind::Misconfigured),
        ("KV001", ErrorKind::Misconfigured),
        ("22012", ErrorKind::InvalidArgument),
        ("42501", ErrorKind::Unauthorized),
        ("40001", ErrorKind::Unavailable),
    ] {
        let refuse = format!(
            "create or replace function refuse() returns trigger language plpgsql as $$ begin \
             raise exception 'hush: %', new.value using errcode = '{code}'; end $$; \
             create or replace trigger refuse before insert or update on kv for each row \
             when (new.namespace = 'refused' and new.key = 'bad') execute function refuse()"
        );
        system.server().sql(&refuse).await.unwrap();
        let together = join_all(keys.iter().map(|key| store.set(key, "hush"))).await;
        // What can be repeated is not tried one by one in a batch.
        let batch = if code == "40001" { Vec::new() } else { store.set_many(items()).await };
        for outcomes in [together, batch] {
            for (key, outcome) in keys.iter().zip(outcomes) {
                match outcome {
                    Ok(outcome) => assert!(outcome.is_written() && key != "bad"),
                    Err(error) => {
                        assert_eq!((key.as_str(), error.kind()), ("bad", kind), "{code} {error}");
                        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
                    }
                }
            }
        }
    }
    system.server().sql("drop trigger refuse on kv").await.unwrap();
}

/// The others wait once, for half of the time that a request has.
pub(crate) async fn a_locked_row_fails_alone() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let short = remote().with_request_timeout(Duration::from_secs(1));
    let store = open(config(server.address()).with_remote(short)).await.unwrap();
    store.set("locked", "old").await.unwrap();
    let port = server.address().port();
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).username(Postgres::USER);
    let mut other = PgConnection::connect_with(&options).await.unwrap();
    sqlx::query("begin").execute(&mut other).await.unwrap();
    sqlx::query("select from kv for update").execute(&mut other).await.unwrap();
    let keys: Vec<String> =
        (0..30).map(|number| if number == 17 { "locked".to_owned() } else { number.to_string() }).collect();
    let check = |results: Vec<kv_api::Result<()>>| {
        for (key, result) in keys.iter().zip(results) {
            match result {
                Ok(()) => assert_ne!(key, "locked"),
                Err(error) => {
                    assert_eq!((key.as_str(), error.reason()), ("locked", Some(&Reason::Busy)), "{error}");
                    assert_eq!(error.retry(), Retry::Safe, "{error}");
                }
            }
        }
    };
    // Some that want the locked row come first.
    let mut locked: Vec<_> = (0..4).map(|_| Box::pin(async { store.set("locked", "new").await })).collect();
    for call in &mut locked {
        assert!(futures_util::poll!(call).is_pending());
    }
    for outcome in join_all(keys.iter().filter(|key| *key != "locked").map(|key| store.set(key, "v"))).await {
        outcome.unwrap();
    }
    drop(locked);
    check(join_all(keys.iter().map(async |key| store.set(key, "v").await.map(drop))).await);
    let items = keys.iter().map(|key| SetItem::new(&**key, "v"));
    check(store.set_many(items).await.into_iter().map(|result| result.map(drop)).collect());
    check(store.delete_many(&keys).await.into_iter().map(|result| result.map(drop)).collect());
    assert_eq!(store.get("locked").await.unwrap(), Some(Value::from("old")));
}

pub(crate) async fn calls_that_nobody_polls_hold_up_no_other() {
    let system = System::start().await;
    let store = open(system.config().with_namespace("unpolled").unwrap()).await.unwrap();
    let (keys, store) = (["a", "b"], &store);
    let mut sets = keys.map(|key| Box::pin(async move { store.set(key, 1).await.map(drop) }));
    let mut gets = keys.map(|key| Box::pin(async move { store.get(key).await.map(drop) }));
    for set in &mut sets {
        assert!(futures_util::poll!(set).is_pending());
    }
    for get in &mut gets {
        assert!(futures_util::poll!(get).is_pending());
    }
    // Well before the end of the time that a request has.
    let others = async {
        store.set("a", 1).await.unwrap();
        store.set("c", 1).await.unwrap();
        store.get("c").await.unwrap()
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), others).await.unwrap(), Some(Value::from(1)));
    for result in join_all(sets).await.into_iter().chain(join_all(gets).await) {
        result.unwrap();
    }
}

pub(crate) async fn a_call_that_is_dropped_in_line_is_not_carried_out() {
    let system = System::start().await;
    let store = open(system.config().with_namespace("dropped").unwrap()).await.unwrap();
    store.set("a", "old").await.unwrap();
    store.set("b", "old").await.unwrap();
    let mut other = PgConnection::connect_with(&options(&system)).await.unwrap();
    sqlx::query("begin").execute(&mut other).await.unwrap();
    sqlx::query("select from kv where namespace = 'dropped' for update").execute(&mut other).await.unwrap();
    let (a, b, c) = (store.set("a", "new"), store.set("b", "new"), store.set("c", "new"));
    let mut both = Box::pin(async { futures_util::future::join(a, b).await });
    assert!(futures_util::poll!(&mut both).is_pending());
    let mut third = Box::pin(c);
    assert!(futures_util::poll!(&mut third).is_pending());
    drop(third);
    sqlx::query("rollback").execute(&mut other).await.unwrap();
    let (a, b) = both.await;
    assert!(a.unwrap().is_written() && b.unwrap().is_written());
    assert!(!store.exists("c").await.unwrap());
    assert_eq!(store.get("a").await.unwrap(), Some(Value::from("new")));
}

pub(crate) async fn what_cannot_be_read_is_neither_touched_nor_taken() {
    let system = System::start().await;
    let store = open(system.config().with_namespace("newer").unwrap()).await.unwrap();
    store.set("k", "v").await.unwrap();
    system.server().sql("update kv set kind = 9 where namespace = 'newer'").await.unwrap();
    let minute = Duration::from_secs(60);
    for error in [
        store.get("k").touch(minute).await.unwrap_err(),
        store.get_entry("k").touch(minute).await.unwrap_err(),
        store.get_and_delete("k").await.unwrap_err(),
        store.get_and_delete("k").entry().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
    let left = "select count(*) from kv where namespace = 'newer' and expires_at is null";
    assert_eq!(system.server().sql(left).await.unwrap().trim(), "1");
}

pub(crate) async fn a_long_page_ends_early() {
    let system = System::start().await;
    let store = open(system.config().with_namespace("long").unwrap()).await.unwrap();
    let metadata = Metadata::from_json_text(&format!("\"{}\"", "m".repeat(1_000_000))).unwrap();
    for number in 0..20 {
        store.set(format!("{number:02}"), "v").metadata(metadata.clone()).await.unwrap();
    }
    let page = store.list().await.unwrap();
    assert_eq!(page.items.len(), 17, "16 MiB, and what goes beyond it");
    let rest = store.list().cursor(page.cursor.unwrap()).await.unwrap();
    assert_eq!((rest.items[0].key.as_str(), rest.items.len(), rest.cursor), ("17", 3, None));
}
