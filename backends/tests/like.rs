//! `memory:?like=SYSTEM`: memory that behaves like another system.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::time::Duration;

use kv_api::{
    BackendExt, Capabilities, ErrorKind, Feature, ManualClock, Reason, Result, Store, Timestamp, Value, async_trait,
};
use kv_conformance::{Fixture, Harness, Means, Outcome, run_all};
use kv_layers::Like;
use kv_memory::{MemoryConfig, MemoryStore};

async fn refusal(url: &str) -> kv_api::Error {
    kv_backends::open(url).await.unwrap_err()
}

#[tokio::test]
async fn what_production_refuses_is_refused_in_memory() {
    let store = kv_backends::open("memory:?like=cloudflare").await.unwrap();
    assert_eq!(store.capabilities().system, "memory");
    let minute = Duration::from_secs(60);
    let refused = [
        store.increment("n", 1).await.map(drop),
        store.get("k".repeat(513)).await.map(drop),
        store.set("k", "v").ttl(minute - Duration::from_secs(1)).await.map(drop),
        store.set(".", "v").await.map(drop),
    ];
    for (result, kind) in refused.into_iter().zip([
        ErrorKind::Unsupported,
        ErrorKind::InvalidArgument,
        ErrorKind::InvalidArgument,
        ErrorKind::InvalidArgument,
    ]) {
        assert_eq!(result.unwrap_err().kind(), kind);
    }
    let error = store.set("k", "v").if_not_exists().await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::BestEffortNotAllowed(Feature::IfNotExists)));
    store.set("k", "v").ttl(minute).await.unwrap();
    assert_eq!(store.get_entry("k").await.unwrap().unwrap().version(), None);

    let willing = "memory:?like=cloudflare&best_effort=true&min_ttl=round_up";
    let willing = kv_backends::open(willing).await.unwrap();
    assert!(willing.set("k", "v").if_not_exists().ttl(Duration::from_secs(1)).await.unwrap().is_written());
}

#[tokio::test]
async fn set_7_reads_are_old_as_often_as_the_url_says() {
    let store = kv_backends::open_backend("memory:?stale_reads=2&like=puter").await.unwrap().into_store();
    store.set("k", "v").await.unwrap();
    let mut reads = Vec::new();
    for _ in 0..3 {
        reads.push(store.get("k").await.unwrap());
    }
    assert_eq!(reads, [None, None, Some(Value::from("v"))]);
}

#[tokio::test]
async fn what_is_not_known_is_refused_with_what_is() {
    for url in ["memory:?like=hunter2", "memory:?like=", "memory:?like=memory"] {
        let error = refusal(url).await;
        assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&Reason::UnknownOption)));
        let text = error.to_string();
        assert!(text.contains("backendless, puter, nemesisdb") && !text.contains("hunter2"), "{text}");
    }
    for url in ["memory:?stale_reads=3", "memory:?like=cloudflare&stale_reads=some", "memory:?like=puter&lik=x"] {
        assert_eq!(refusal(url).await.reason(), Some(&Reason::UnknownOption), "{url}");
    }
}

struct Imitated(&'static Capabilities);

#[async_trait]
impl Harness for Imitated {
    async fn open(&self) -> Result<Fixture> {
        let clock = ManualClock::new(Timestamp::from_unix_micros(1_795_161_822_123_456));
        let memory = MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone())));
        let like = Like::new(self.0.clone());
        let (again, other, time) = ((memory.clone(), like.clone()), like.clone(), clock.clone());
        Ok(Fixture::new(Store::from_arc(memory.layer(&like)))
            .embedded()
            .without(Means::ForeignWriter, "nothing else writes into the memory of the process")
            .without(Means::ForeignTypeWriter, "it holds nothing but values")
            .with_client_clock(clock.clone())
            .with_time(clock)
            .with_namespaces(move |_| {
                let memory = MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(time.clone())));
                std::future::ready(Ok(Store::from_arc(memory.layer(&other))))
            })
            .with_reopen(move || std::future::ready(Ok(Store::from_arc(again.0.clone().layer(&again.1))))))
    }
}

/// Each system that does something only with a race window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract_whatever_it_is_like() {
    for capabilities in [
        &kv_cloudflare::CAPABILITIES,
        &kv_backendless::CAPABILITIES,
        &kv_puter::CAPABILITIES,
        &kv_nemesisdb::CAPABILITIES,
        &kv_nemesisdb::CAPABILITIES_WITH_EXPIRY,
    ] {
        let report = run_all(&Imitated(capabilities)).await;
        assert!(report.is_ok(), "like {}:\n{report}", capabilities.system);
        let is_unshown = report.cases.iter().any(|case| matches!(case.outcome, Outcome::NotShown(_)));
        assert!(!is_unshown, "like {}:\n{report}", capabilities.system);
    }
}
