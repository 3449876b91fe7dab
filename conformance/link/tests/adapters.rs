//! The suite's faults and counts of requests through a link, on the adapters of systems that speak HTTP and WebSocket.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

use std::sync::Arc;
use std::time::Duration;

use kv_api::{Result, Store, StoreUrl, TokioTimer, async_trait};
use kv_backendless::{BackendlessConfig, BackendlessStore};
use kv_cloudflare::{CloudflareConfig, CloudflareStore, Credentials};
use kv_conformance::{Case, Fixture, Harness, Outcome, Suite};
use kv_fakes::ServerOptions;
use kv_link::StoreLink;
use kv_nemesisdb::{NemesisdbConfig, NemesisdbStore};
use kv_puter::{PuterConfig, PuterStore, RemoteSettings, RetryPolicy, SecretString};

fn remote() -> RemoteSettings {
    RemoteSettings::default()
        .with_timer(Arc::new(TokioTimer))
        .with_retry(RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO))
}

/// A store that is opened by the URL that leads through a link.
fn fixture(store: Store, link: StoreLink, guard: impl Send + Sync + 'static) -> Fixture {
    let counting = link.link().clone();
    Fixture::new(store).with_requests(move || counting.requests()).with_faults(link).with_guard(guard)
}

/// The address of the API in a store URL, for configurations whose secrets a URL would take from the environment.
fn base_url(link: &StoreLink) -> String {
    link.url().parse::<StoreUrl>().unwrap().take_option("base_url").unwrap()
}

struct Cloudflare;

#[async_trait]
impl Harness for Cloudflare {
    async fn open(&self) -> Result<Fixture> {
        use kv_fakes::cloudflare::{ACCOUNT, Fake, NAMESPACE, TOKEN};
        let server = Fake::new().serve(ServerOptions::new()).await.unwrap();
        let url = format!("cloudflare://{ACCOUNT}/{NAMESPACE}?base_url={}", server.base_url());
        let link = StoreLink::open(&url).await.unwrap();
        let config = CloudflareConfig::new(ACCOUNT, NAMESPACE, Credentials::Token(TOKEN.into()))?;
        let config = config.with_base_url(&base_url(&link))?.with_remote(remote());
        Ok(fixture(Store::new(CloudflareStore::open(config)?), link, server))
    }
}

struct Puter;

#[async_trait]
impl Harness for Puter {
    async fn open(&self) -> Result<Fixture> {
        use kv_fakes::puter::{Fake, Grant, USER};
        const TOKEN: &str = "a-token";
        let fake = Fake::new().with_token(TOKEN, Grant::user(USER));
        let server = fake.serve(ServerOptions::new()).await.unwrap();
        let link = StoreLink::open(&format!("puter:///?base_url={}", server.base_url())).await.unwrap();
        let config = PuterConfig::new(SecretString::from(TOKEN))?;
        let config = config.with_base_url(&base_url(&link))?.with_remote(remote());
        Ok(fixture(Store::new(PuterStore::open(config)?), link, server))
    }
}

struct Backendless;

#[async_trait]
impl Harness for Backendless {
    async fn open(&self) -> Result<Fixture> {
        use kv_fakes::backendless::{API_KEY, APP_ID, Fake, HIVE};
        let server = Fake::new().serve(ServerOptions::new()).await.unwrap();
        let url = format!("backendless://{APP_ID}:{API_KEY}@localhost/{HIVE}?base_url={}", server.base_url());
        let link = StoreLink::open(&url).await.unwrap();
        let config = BackendlessConfig::from_url(link.url().parse()?)?.with_remote(remote());
        Ok(fixture(Store::new(BackendlessStore::open(config)?), link, server))
    }
}

struct Nemesisdb;

#[async_trait]
impl Harness for Nemesisdb {
    async fn open(&self) -> Result<Fixture> {
        let server = kv_fakes::nemesisdb::Fake::new().serve(ServerOptions::new()).await.unwrap();
        let link = StoreLink::open(&server.store_url()).await.unwrap();
        let config = NemesisdbConfig::from_url(link.url().parse()?)?.with_remote(remote());
        Ok(fixture(Store::new(NemesisdbStore::open(config).await?), link, server))
    }
}

/// Runs the cases that ask for faults and counts of requests. How many of them passed.
async fn run(harness: impl Harness) -> usize {
    // Of batches and reads those that count requests; what lets time pass is tried elsewhere.
    let rules = ["BATCH-1", "BATCH-2", "BATCH-6", "SET-8", "SET-9", "GET-2"];
    let is_one = |case: &&Case| case.rule().starts_with("ERR-") || rules.contains(&&*case.rule());
    let report = Suite::new().with_cases(Case::ALL.iter().filter(is_one)).run(&harness).await;
    assert!(report.is_ok(), "{report}");
    let passed = |name: &str| matches!(report.outcome(name), Some(Outcome::Passed));
    assert!(passed("err_3_what_never_left_is_safe_to_repeat"), "{report}");
    assert!(passed("err_3_a_fault_that_lasts_is_told_for_what_it_is"), "{report}");
    report.cases.iter().filter(|case| matches!(case.outcome, Outcome::Passed)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloudflare_meets_the_faults_of_the_suite() {
    assert!(run(Cloudflare).await >= 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puter_meets_the_faults_of_the_suite() {
    assert!(run(Puter).await >= 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backendless_meets_the_faults_of_the_suite() {
    assert!(run(Backendless).await >= 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nemesisdb_meets_the_faults_of_the_suite() {
    assert!(run(Nemesisdb).await >= 15);
}
