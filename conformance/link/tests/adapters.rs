//! The suite's faults and counts of requests through a link, on the adapters of systems that speak HTTP and WebSocket.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

use std::sync::Arc;
use std::time::Duration;

use kv_api::{Result, Store, TokioTimer, async_trait};
use kv_backendless::{BackendlessConfig, BackendlessStore};
use kv_cloudflare::{CloudflareConfig, CloudflareStore, Credentials};
use kv_conformance::{Case, Fault, Faults, Fixture, Harness, Outcome, Suite};
use kv_fakes::ServerOptions;
use kv_link::{Link, Protocol, Request, Target};
use kv_nemesisdb::{NemesisdbConfig, NemesisdbStore};
use kv_puter::{PuterConfig, PuterStore, RemoteSettings, RetryPolicy, SecretString};

fn remote() -> RemoteSettings {
    RemoteSettings::default()
        .with_timer(Arc::new(TokioTimer))
        .with_retry(RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO))
}

/// A link whose faults are those that the adapter behind it can tell.
struct Through(Link, fn(Fault) -> bool);

impl Faults for Through {
    fn offers(&self, fault: Fault) -> bool {
        self.1(fault) && self.0.offers(fault)
    }

    fn inject(&self, fault: Fault, count: u32) {
        self.0.inject(fault, count);
    }

    fn inject_into_writes(&self, fault: Fault, count: u32) {
        self.0.inject_into_writes(fault, count);
    }
}

fn fixture(store: Store, link: Link, offers: fn(Fault) -> bool, guard: impl Send + Sync + 'static) -> Fixture {
    let counting = link.clone();
    Fixture::new(store).with_requests(move || counting.requests()).with_faults(Through(link, offers)).with_guard(guard)
}

struct Cloudflare;

#[async_trait]
impl Harness for Cloudflare {
    async fn open(&self) -> Result<Fixture> {
        use kv_fakes::cloudflare::{ACCOUNT, Fake, NAMESPACE, TOKEN};
        let server = Fake::new().serve(ServerOptions::new()).await.unwrap();
        // Many keys are read by one POST.
        let target = Target::of_url(server.base_url(), Protocol::Http).await.unwrap();
        let link = Link::open_to(
            target.with_writes(|request| request.method != "GET" && !request.path.ends_with("/bulk/get")),
        )
        .unwrap();
        let config = CloudflareConfig::new(ACCOUNT, NAMESPACE, Credentials::Token(TOKEN.into()))?;
        let config = config.with_base_url(&link.url(server.base_url()))?.with_remote(remote());
        let store = Store::new(CloudflareStore::open(config)?);
        // A value is any bytes, so no answer of a read is garbled.
        Ok(fixture(store, link, |fault| fault != Fault::AnswerGarbled, server))
    }
}

struct Puter;

/// All calls are POST to one path, and the body names the method.
fn writes_to_puter(request: &Request<'_>) -> bool {
    let body = String::from_utf8_lossy(request.body);
    !["get", "list"].iter().any(|read| body.contains(&format!("\"method\":\"{read}\"")))
}

#[async_trait]
impl Harness for Puter {
    async fn open(&self) -> Result<Fixture> {
        use kv_fakes::puter::{Fake, Grant, USER};
        const TOKEN: &str = "a-token";
        let fake = Fake::new().with_token(TOKEN, Grant::user(USER));
        let server = fake.serve(ServerOptions::new()).await.unwrap();
        let target = Target::of_url(server.base_url(), Protocol::Http).await.unwrap();
        let link = Link::open_to(target.with_writes(writes_to_puter)).unwrap();
        let config = PuterConfig::new(SecretString::from(TOKEN))?;
        let config = config.with_base_url(&link.url(server.base_url()))?.with_remote(remote());
        Ok(fixture(Store::new(PuterStore::open(config)?), link, |_| true, server))
    }
}

struct Backendless;

#[async_trait]
impl Harness for Backendless {
    async fn open(&self) -> Result<Fixture> {
        use kv_fakes::backendless::{API_KEY, APP_ID, Fake, HIVE};
        let server = Fake::new().serve(ServerOptions::new()).await.unwrap();
        // Many keys are read by POST.
        let target = Target::of_url(server.base_url(), Protocol::Http).await.unwrap();
        let link = Link::open_to(target.with_writes(|request| ["PUT", "DELETE"].contains(&request.method))).unwrap();
        let base_url = link.url(server.base_url());
        let config = BackendlessConfig::of_application(APP_ID, SecretString::from(API_KEY), HIVE)?;
        let store = Store::new(BackendlessStore::open(config.with_base_url(&base_url)?.with_remote(remote()))?);
        // What a write answers is not documented, so that any success is one.
        Ok(fixture(store, link, |fault| fault != Fault::AnswerGarbled, server))
    }
}

struct Nemesisdb;

#[async_trait]
impl Harness for Nemesisdb {
    async fn open(&self) -> Result<Fixture> {
        let server = kv_fakes::nemesisdb::Fake::new().serve(ServerOptions::new()).await.unwrap();
        let url = server.store_url();
        let target = Target::of_url(&url, Protocol::WebSocket).await.unwrap();
        let link = Link::open_to(target.with_writes(|message| {
            !message.body.starts_with(b"{\"GET\"") && !message.body.starts_with(b"{\"SERVER_INFO\"")
        }))
        .unwrap();
        let config = NemesisdbConfig::from_url(link.url(&url).parse()?)?.with_remote(remote());
        Ok(fixture(Store::new(NemesisdbStore::open(config).await?), link, |_| true, server))
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
