//! A store without async keeps the contract, and can be called from anywhere.

#![cfg(feature = "blocking")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "blocking/through.rs"]
mod through;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use kv_api::{DeleteOutcome, Error, ErrorKind, Namespace, Result, SetItem, SetStatus, Store, Value};
use kv_backends::blocking::BlockingStore;
use kv_cloudflare::{CloudflareConfig, CloudflareStore, Credentials};
use kv_conformance::conformance_tests;
use kv_fakes::ServerOptions;
use kv_fakes::cloudflare::{ACCOUNT, Fake, NAMESPACE};
use kv_memory::MemoryStore;
use kv_sqlite::{SqliteConfig, SqliteStore};
use through::{Memory, Sqlite};

mod through_memory {
    use super::*;
    conformance_tests!(Memory);
}

mod through_sqlite {
    use super::*;
    conformance_tests!(Sqlite);
}

fn memory() -> BlockingStore {
    BlockingStore::open_with(async { Ok(Store::new(MemoryStore::default())) }).expect("it opens")
}

fn sqlite() -> (BlockingStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = SqliteConfig::new(folder.path().join("blocking.db"));
    let open = async { Ok(Store::new(SqliteStore::open(config).await?)) };
    (BlockingStore::open_with(open).expect("it opens"), folder)
}

/// Calls of every shape, more of them than tokio lets one task make in a row.
fn call_it(store: &BlockingStore) {
    const CALLS: usize = 300;
    for number in 0..CALLS {
        store.set(format!("k/{number:03}"), number).wait().unwrap();
    }
    assert_eq!(store.count("k/").wait().unwrap(), CALLS as u64);
    let walked: Vec<String> = store.list().limit(7).iter().map(|item| item.unwrap().key).collect();
    assert_eq!(walked.len(), CALLS);
    for key in walked {
        assert!(store.get(key).wait().unwrap().is_some());
    }
    assert_eq!(store.clear().wait().unwrap(), CALLS as u64);
}

#[test]
fn all_calls_and_their_options_are_there() {
    let (store, _folder) = sqlite();
    let minute = Duration::from_secs(60);
    let set = store.set("k", "v").ttl(minute).metadata("m").if_not_exists();
    assert_eq!(set.wait().unwrap().status(), SetStatus::Created);
    let entry = store.get_entry("k").wait().unwrap().unwrap();
    assert_eq!(store.set("k", "w").if_version(entry.version()).wait().unwrap().status(), SetStatus::Updated);
    assert!(store.expire("k").never().wait().unwrap());
    assert_eq!(store.delete("k").if_version(entry.version()).wait().unwrap(), DeleteOutcome::NotMet);
    assert_eq!(store.increment("n", 2).wait().unwrap(), 2);
    assert_eq!(store.exists_many(["k", "x"]).wait().unwrap(), [true, false]);
    let written = store.update("n", |old| old.and_then(Value::as_i64).map(|n| n * 2)).attempts(3).wait().unwrap();
    assert_eq!(written.value(), Some(&Value::from(4)));
    let failed = store.try_update("n", |_| Err::<Option<Value>, _>(Error::new(ErrorKind::Exhausted, "no"))).wait();
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Exhausted);
    assert_eq!(store.get_or_set("l", || Ok::<_, Error>("loaded")).ttl(minute).wait().unwrap(), Value::from("loaded"));
    let all = store.set_many([SetItem::new("a", "1"), SetItem::new("", "2")]).wait();
    assert_eq!((all[0].is_ok(), all[1].is_ok()), (true, false));
    assert!(store.set_many_all_or_nothing([SetItem::new("b", "1")]).wait().unwrap().is_written());
    assert_eq!(store.get_many(["a", "x"]).wait().unwrap(), [Some(Value::from("1")), None]);
    let pages: Result<Vec<_>> = store.list().limit(2).pages().collect();
    assert_eq!(pages.unwrap().iter().map(|page| page.items.len()).sum::<usize>(), 5);
    let entries: Result<Vec<_>> = store.list().prefix("a").entries().collect();
    assert_eq!(entries.unwrap()[0].0, "a");
    let typed: Namespace<u64, String> = Namespace::new(store.as_async(), "user/");
    store.block_on(typed.set(&7, &"Ada".to_owned())).unwrap();
    assert_eq!(store.get_as::<String>("user/7").wait().unwrap().as_deref(), Some("Ada"));
    assert_eq!(store.delete_prefix("user/").wait().unwrap(), 1);
    store.ping().wait().unwrap();
    store.close().wait().unwrap();
    assert_eq!(store.get("k").wait().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn many_threads_call_at_once_and_share_a_load() {
    const THREADS: usize = 8;
    let (store, _folder) = sqlite();
    let loads = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..20 {
                    let load = || {
                        loads.fetch_add(1, Ordering::Relaxed);
                        Ok::<_, Error>(number)
                    };
                    assert_eq!(store.get_or_set(format!("k{number}"), load).wait().unwrap(), Value::from(number));
                    store.increment("all", 1).wait().unwrap();
                }
            });
        }
    });
    assert_eq!(loads.load(Ordering::Relaxed), 20);
    assert_eq!(store.get("all").wait().unwrap(), Some(Value::from(THREADS * 20)));
}

#[test]
fn closures_may_call_the_store() {
    for store in [memory(), sqlite().0] {
        let update = store.update("k", |_| {
            call_it(&store);
            Some("updated")
        });
        assert!(update.wait().unwrap().is_written());
        let loaded = store.get_or_set("l", || {
            call_it(&store.with(|store| store.with_prefix("other/")));
            store.get("k").wait().map(Option::unwrap)
        });
        assert_eq!(loaded.wait().unwrap(), Value::from("updated"));
    }
}

#[test]
fn it_works_inside_every_kind_of_runtime_and_can_be_dropped_there() {
    let one_thread = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let some_threads = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for runtime in [one_thread(), some_threads()] {
        runtime.block_on(async {
            let (opened_here, _folder) = sqlite();
            call_it(&opened_here);
        });
        let (store, _folder) = sqlite();
        let other = store.clone();
        runtime.block_on(async move {
            // As a task, for which the runtime keeps a budget.
            tokio::spawn(async move { call_it(&other) }).await.unwrap();
        });
        let other = store.clone();
        runtime.block_on(runtime.spawn_blocking(move || call_it(&other))).unwrap();
        // The last handle ends here, on a thread where a wait would panic.
        runtime.block_on(async move { drop(store) });
    }
}

#[test]
fn the_connections_of_a_store_over_a_network_live_in_its_runtime() {
    const TOKEN: &str = "token";
    let elsewhere = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let fake = elsewhere.block_on(Fake::new().with_token(TOKEN).serve(ServerOptions::new())).unwrap();
    let open = async {
        let config = CloudflareConfig::new(ACCOUNT, NAMESPACE, Credentials::Token(TOKEN.into()))?;
        Ok(Store::new(CloudflareStore::open(config.with_base_url(fake.base_url())?)?))
    };
    let store = BlockingStore::open_with(open).unwrap();
    call_it(&store);
    elsewhere.block_on(async { call_it(&store) });
    let loaded = store.get_or_set("k", || store.count("").wait()).allow_best_effort().wait();
    assert_eq!(loaded.unwrap(), Value::from(0));
}

#[test]
fn an_iterator_outlives_the_store_that_made_it() {
    let (store, _folder) = sqlite();
    for key in ["a", "b", "c"] {
        store.set(key, "").wait().unwrap();
    }
    let walk = store.list().limit(1).iter();
    drop(store);
    assert_eq!(walk.map(|item| item.unwrap().key).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn what_is_refused_is_refused_as_ever() {
    assert_eq!(BlockingStore::open("gopher://host").unwrap_err().kind(), ErrorKind::InvalidArgument);
    let store = memory();
    assert_eq!(store.set("", "v").wait().unwrap_err().kind(), ErrorKind::InvalidArgument);
    let error = store.with(|store| store.restricted_to([&kv_puter::CAPABILITIES])).update("k", |_| Some(1)).wait();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
}
