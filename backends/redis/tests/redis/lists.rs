//! Lists over one server (LIST-1, LIST-3, LIST-5).

use std::collections::HashSet;

use futures_util::TryStreamExt;
use kv_api::{Reason, SetItem};
use kv_servers::{Link, Protocol, Redis, RedisOptions};

use crate::harness::{System, open, plain};

pub(crate) async fn list_1_a_prefix_with_the_characters_of_patterns_is_literal() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    let prefixes = ["*", "?", "[a]", "[^a]", "[a-z]", "\\", "\\*", "a\\", "^", "]", "{a,b}", "é*"];
    // With what the patterns would match.
    let others = ["akey", "bkey", "xkey", "zé", "a*key", "a?"].map(str::to_owned);
    let all: HashSet<String> = prefixes.iter().map(|prefix| format!("{prefix}key")).chain(others).collect();
    for key in &all {
        store.set(key, 1).await.unwrap();
    }
    for prefix in prefixes {
        let found: HashSet<_> =
            store.list().prefix(prefix).stream().map_ok(|item| item.key).try_collect().await.unwrap();
        let begins = |key: &String| key.starts_with(prefix);
        assert_eq!(found, all.iter().filter(|key| begins(key)).cloned().collect(), "{prefix}");
    }
    assert_eq!(store.delete_prefix("*").await.unwrap(), 1);
    assert!(store.exists("akey").await.unwrap());
}

pub(crate) async fn list_3_a_walk_across_a_restart_is_an_error() {
    let redis = Redis::start(RedisOptions::new().durable()).await.unwrap();
    let link = Link::open(redis.address(), Protocol::Resp).unwrap();
    let store = open(plain(link.address())).await.unwrap();
    let keys: Vec<String> = (0..500).map(|number| format!("key{number}")).collect();
    for result in store.set_many(keys.iter().map(|key| SetItem::new(key, 1))).await {
        result.unwrap();
    }
    let page = store.list().limit(50).await.unwrap();
    let cursor = page.cursor.unwrap();
    let again = store.list().limit(50).cursor(cursor.clone()).await.unwrap();
    assert!(!again.items.is_empty(), "the same run of the server goes on");
    redis.restart().await.unwrap();
    let error = store.list().limit(50).cursor(cursor).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::CursorInvalid), "{error}");
    // A new walk finds all.
    let found: HashSet<String> = store.list().stream().map_ok(|item| item.key).try_collect().await.unwrap();
    assert_eq!(found, keys.into_iter().collect());
}

pub(crate) async fn list_5_a_few_keys_among_many_are_found() {
    let system = System::lease().await.unwrap();
    let config = system.config();
    let many = open(config.clone().with_namespace("many").unwrap()).await.unwrap();
    let few = open(config.with_namespace("few").unwrap()).await.unwrap();
    for chunk in 0..20 {
        let keys = (0..2_500).map(|number| SetItem::new(format!("{chunk}/{number}"), 1));
        many.set_many(keys).await.into_iter().for_each(|result| assert!(result.unwrap().is_written()));
    }
    for key in ["a", "b", "c"] {
        few.set(key, 1).await.unwrap();
    }
    let before = system.link.requests();
    let mut found: Vec<String> = few.list().limit(10).stream().map_ok(|item| item.key).try_collect().await.unwrap();
    found.sort();
    assert_eq!(found, ["a", "b", "c"]);
    let sent = system.link.requests() - before;
    assert!(sent <= 200, "{sent} steps for 50,000 keys: the steps grow where nothing is found");
    assert_eq!(few.clear().await.unwrap(), 3);
    assert!(many.exists("0/0").await.unwrap());
}
