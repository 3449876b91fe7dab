//! A system that cannot be reached.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how these tests fail")]

use std::error::Error as _;

use kv_api::{ErrorKind, Feature, Retry, SetItem, Support};

use super::RemoteSystem;

pub async fn err_3_nothing_is_sent_where_nobody_listens<S: RemoteSystem>() {
    let system = S::start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let store = system.store_at(&nobody).allow_best_effort();
    let supports = |feature| store.capabilities().support(feature) != Support::None;
    let mut errors = vec![
        store.get("k").await.unwrap_err(),
        store.get_many(["k", "l"]).await.unwrap_err(),
        store.exists("k").await.unwrap_err(),
        store.set("k", "v").await.unwrap_err(),
        store.set("k", "v").if_exists().await.unwrap_err(),
        store.delete("k").await.unwrap_err(),
        store.ping().await.unwrap_err(),
    ];
    if supports(Feature::Counters) {
        errors.push(store.increment("k", 1).await.unwrap_err());
    }
    if supports(Feature::Expire) {
        errors.push(store.expire("k").never().await.unwrap_err());
    }
    let items = ["a", "b", "c"].map(|key| SetItem::new(key, "v"));
    errors.extend(store.set_many(items).await.into_iter().map(|result| result.unwrap_err()));
    for error in errors {
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
        assert!(!format!("{error} {error:?} {:?}", error.source()).contains(S::SECRET));
    }
}
