//! The reports that are kept in `conformance/reports` say what this version does: else they have to be made again.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use kv_backends::backendless::{self, BackendlessConfig, BackendlessStore};
use kv_backends::cloudflare::{self, CloudflareConfig, CloudflareStore, Credentials};
use kv_backends::puter::{self, PuterConfig, PuterStore};
use kv_backends::{memory, nemesisdb, postgres, redis, sqlite};
use kv_conformance::kv_api::{Capabilities, Result, Store};
use kv_conformance::{Case, Fact, Fixture, Harness, Outcome, Report, Requests, async_trait, probe};
use kv_fakes::ServerOptions;

/// Each report, and the capabilities of its backend.
const KEPT: [(&str, &Capabilities); 10] = [
    ("memory", &memory::CAPABILITIES),
    ("sqlite", &sqlite::CAPABILITIES),
    ("redis", &redis::CAPABILITIES),
    ("redis-cluster", &redis::CAPABILITIES),
    ("postgres", &postgres::CAPABILITIES),
    ("cloudflare", &cloudflare::CAPABILITIES),
    ("backendless", &backendless::CAPABILITIES),
    ("puter", &puter::CAPABILITIES),
    ("nemesisdb", &nemesisdb::CAPABILITIES),
    ("nemesisdb-envelope", &nemesisdb::CAPABILITIES_WITH_EXPIRY),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../reports")
}

/// What a failure says to do.
fn renew(name: &str) -> String {
    format!("{name}.json is not what this version does; make it again: conformance/reports/renew.sh {name}")
}

fn kept(name: &str) -> Report {
    let path = folder().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_backend_has_a_report_and_every_report_a_backend() {
    let files = std::fs::read_dir(folder()).expect("the folder of the reports");
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let mut found: Vec<String> = names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect();
    found.sort_unstable();
    let mut expected = KEPT.map(|(name, _)| name);
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_report_has_the_cases_of_the_suite_and_none_of_them_failed() {
    let expected: Vec<&str> = Case::ALL.iter().map(Case::name).collect();
    for (name, _) in KEPT {
        let report = kept(name);
        let found: Vec<&str> = report.cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(found, expected, "{}", renew(name));
        assert_eq!(report.suite_version, env!("CARGO_PKG_VERSION"), "{}", renew(name));
        assert_eq!(report, report.clone().without_figures_of_this_run(), "{}", renew(name));
        for case in &report.cases {
            let is_complete = case.outcome.is_ok() && !matches!(case.outcome, Outcome::LeftOut(_));
            assert!(is_complete, "{name}: {}: {}", case.name, case.outcome);
        }
    }
}

#[test]
fn cap_1_a_report_says_what_its_backend_reports() {
    for (name, capabilities) in KEPT {
        let report = kept(name);
        assert_eq!(report.system, capabilities.system, "{}", renew(name));
        assert_eq!(report.capabilities, Fact::all(capabilities), "{}", renew(name));
    }
}

#[test]
fn the_matrix_is_what_the_reports_say() {
    let reports = KEPT.map(|(name, _)| folder().join(format!("{name}.json")));
    let checked = Command::new(env!("CARGO_BIN_EXE_kv-conformance"))
        .arg("matrix")
        .arg("--check")
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../README.md"))
        .arg("--check")
        .arg(folder().join("matrix.html"))
        .args(reports)
        .output()
        .expect("the command runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// A store that is opened once, and what counts its requests.
struct Opened<R> {
    store: Store,
    requests: Option<R>,
    opened: AtomicUsize,
}

#[async_trait]
impl<R: Fn() -> u64 + Clone + Send + Sync + 'static> Harness for Opened<R> {
    async fn open(&self) -> Result<Fixture> {
        let prefix = format!("probe{}/", self.opened.fetch_add(1, Ordering::Relaxed));
        let fixture = Fixture::new(self.store.with_prefix(&prefix));
        Ok(match self.requests.clone() {
            Some(requests) => fixture.with_requests(requests),
            None => fixture,
        })
    }
}

/// Compares how many requests each operation takes now with what the report says.
async fn check_requests<R>(name: &str, store: Store, requests: Option<R>)
where
    R: Fn() -> u64 + Clone + Send + Sync + 'static,
{
    let harness = Opened { store, requests, opened: AtomicUsize::new(0) };
    let found = probe(&harness).await.expect("the store can be opened");
    let report = kept(name);
    let operations = |noted: &[kv_conformance::OperationRequests]| -> Vec<String> {
        noted.iter().map(|noted| noted.operation.clone()).collect()
    };
    assert_eq!(operations(&report.operations), operations(&found), "{}", renew(name));
    for (kept, found) in report.operations.iter().zip(&found) {
        // A run without a proxy in between counts no requests.
        let is_counted_once = matches!(kept.requests, Requests::NotCounted) && is_supported(&found.requests)
            || matches!(found.requests, Requests::NotCounted) && is_supported(&kept.requests);
        assert!(is_counted_once || kept.requests == found.requests, "{kept:?}, {found:?}: {}", renew(name));
    }
}

fn is_supported(requests: &Requests) -> bool {
    matches!(requests, Requests::Counted(_) | Requests::NotCounted)
}

const NO_REQUESTS: Option<fn() -> u64> = None;

#[tokio::test]
async fn memory_takes_as_many_requests_as_its_report_says() {
    check_requests("memory", Store::new(memory::MemoryStore::default()), NO_REQUESTS).await;
}

#[tokio::test]
async fn sqlite_takes_as_many_requests_as_its_report_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = sqlite::SqliteConfig::new(folder.path().join("kv.db"));
    let store = sqlite::SqliteStore::open(config).await.expect("SQLite opens");
    check_requests("sqlite", Store::new(store), NO_REQUESTS).await;
}

#[tokio::test]
async fn cloudflare_takes_as_many_requests_as_its_report_says() {
    use kv_fakes::cloudflare::{ACCOUNT, Fake, NAMESPACE, TOKEN};
    let server = Fake::new().serve(ServerOptions::new()).await.expect("the fake serves");
    let config = CloudflareConfig::new(ACCOUNT, NAMESPACE, Credentials::Token(TOKEN.into())).expect("settings");
    let config = config.with_base_url(server.base_url()).expect("an address");
    let store = Store::new(CloudflareStore::open(config).expect("the store opens"));
    check_requests("cloudflare", store, Some(move || server.requests())).await;
}

#[tokio::test]
async fn backendless_takes_as_many_requests_as_its_report_says() {
    use kv_fakes::backendless::{API_KEY, APP_ID, Fake, HIVE};
    let server = Fake::new().serve(ServerOptions::new()).await.expect("the fake serves");
    let config = BackendlessConfig::of_application(APP_ID, API_KEY.into(), HIVE).expect("settings");
    let config = config.with_base_url(server.base_url()).expect("an address");
    let store = Store::new(BackendlessStore::open(config).expect("the store opens"));
    check_requests("backendless", store, Some(move || server.requests())).await;
}

#[tokio::test]
async fn puter_takes_as_many_requests_as_its_report_says() {
    use kv_fakes::puter::{Fake, TOKEN};
    let server = Fake::new().serve(ServerOptions::new()).await.expect("the fake serves");
    let config = PuterConfig::new(TOKEN.into()).expect("settings");
    let config = config.with_base_url(server.base_url()).expect("an address");
    let store = Store::new(PuterStore::open(config).expect("the store opens"));
    check_requests("puter", store, Some(move || server.requests())).await;
}

#[tokio::test]
async fn nemesisdb_takes_as_many_requests_as_its_reports_say() {
    for (name, options) in [("nemesisdb", ""), ("nemesisdb-envelope", "?expiry=envelope")] {
        let server = kv_fakes::nemesisdb::Fake::new().serve(ServerOptions::new()).await.expect("the fake serves");
        let store = kv_backends::open(&format!("{}{options}", server.store_url())).await.expect("the store opens");
        check_requests(name, store, Some(move || server.requests())).await;
    }
}
