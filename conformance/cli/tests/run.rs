//! `kv-conformance run`, as a process.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kv_conformance::{Case, Outcome, Report};
use kv_fakes::{Applied, Fault, RateLimit, ServerOptions, backendless, cloudflare, nemesisdb, puter};

/// Rules that take few requests, and ask for nothing but set, get, delete and list.
const FEW: &str = "SET-1,GET-1,DEL-1,LIST-1";

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-conformance"));
    command.arg("run").args(arguments).stdin(Stdio::null());
    command.env("CLOUDFLARE_API_TOKEN", cloudflare::TOKEN).env("PUTER_AUTH_TOKEN", puter::TOKEN);
    command.env("BACKENDLESS_API_KEY", backendless::API_KEY);
    command
}

/// The exit code, the report, and what went to standard error.
fn run(arguments: &[&str]) -> (i32, Report, String) {
    let (code, text, error) = output(&[&["--format", "json"], arguments].concat());
    (code, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no report: {text}\n{error}")), error)
}

fn output(arguments: &[&str]) -> (i32, String, String) {
    let output = command(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn cases(report: &Report, wanted: fn(&Outcome) -> bool) -> Vec<&str> {
    report.cases.iter().filter(|case| wanted(&case.outcome)).map(|case| &*case.name).collect()
}

fn sqlite(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("store.db").display())
}

async fn keys(url: &str) -> Vec<String> {
    use futures_util::TryStreamExt;
    let store = kv_backends::open(url).await.unwrap();
    let listed = store.list().stream().map_ok(|item| item.key).try_collect().await.unwrap();
    store.close().await.unwrap();
    listed
}

#[test]
fn a_store_in_memory_keeps_the_whole_contract_and_is_not_asked_about() {
    let (code, report, error) = run(&["memory:", "--profile", "full"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!((&*report.system, report.cases.len()), ("memory", Case::ALL.len()));
    assert!(cases(&report, |outcome| matches!(outcome, Outcome::NotShown(_))).is_empty());
    assert!(cases(&report, |outcome| matches!(outcome, Outcome::Passed)).len() > 150);
}

#[tokio::test]
async fn a_file_is_as_it_was_and_what_it_held_stays() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path());
    let store = kv_backends::open(&url).await.unwrap();
    store.set("mine", "stays").await.unwrap();
    store.close().await.unwrap();
    let files = ["out.html", "out.json", "out.xml", "out.md"].map(|name| folder.path().join(name));
    let reports: Vec<&str> = files.iter().flat_map(|file| ["--report", file.to_str().unwrap()]).collect();
    let (code, report, error) = run(&[&[&*url, "--yes", "--filter", FEW], &reports[..]].concat());
    assert_eq!(code, 0, "{error}");
    assert_eq!(keys(&url).await, ["mine"]);
    assert!(files.iter().all(|file| file.exists()));
    // What was not run is there by name, with the reason.
    assert_eq!(report.cases.len(), Case::ALL.len());
    let is_named = |name: &&str| FEW.split(',').any(|rule| name.to_uppercase().replacen('_', "-", 1).starts_with(rule));
    let run = cases(&report, |outcome| !matches!(outcome, Outcome::LeftOut(_)));
    assert!(run.iter().all(is_named) && run.len() > 8, "{run:?}");
    assert!(error.contains("sqlite:..., below the prefix kvc-") && !error.contains("store.db"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_in_the_middle_leaves_no_key_behind() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path());
    let mut command = command(&[&url, "--yes", "--profile", "full", "--format", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while keys(&url).await.len() < 10 {
        assert!(child.try_wait().unwrap().is_none(), "it has ended by itself");
        tokio::task::yield_now().await;
    }
    // A shell has what it starts in the background ignore SIGINT.
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(143), "{error}");
    assert_eq!(keys(&url).await, [""; 0], "{error}");
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    let is_stopped = |outcome: &Outcome| matches!(outcome, Outcome::LeftOut(why) if why.contains("stopped"));
    assert!(!cases(&report, is_stopped).is_empty());
}

/// Each on a server of its own, as another process would have it.
#[tokio::test(flavor = "multi_thread")]
async fn every_fake_keeps_the_contract_and_is_left_empty() {
    let options = ServerOptions::new;
    let cloudflare = cloudflare::Fake::new().serve(options()).await.unwrap();
    let backendless = backendless::Fake::new().serve(options()).await.unwrap();
    let puter = puter::Fake::new().serve(options()).await.unwrap();
    let nemesisdb = nemesisdb::Fake::new().serve(options()).await.unwrap();
    let urls = [
        ("cloudflare", cloudflare_url(cloudflare.base_url())),
        ("backendless", format!("backendless://{}@/hive?base_url={}", backendless::APP_ID, backendless.base_url())),
        ("puter", format!("puter://?base_url={}", puter.base_url())),
        ("nemesisdb", nemesisdb.store_url()),
    ];
    for (system, url) in &urls {
        let (code, report, error) = run(&[url, "--yes", "--filter", FEW, "--rate", "none"]);
        assert_eq!((code, &*report.system), (0, *system), "{error}");
        assert!(cases(&report, |outcome| matches!(outcome, Outcome::Passed)).len() > 4, "{error}");
    }
    assert_eq!(
        [cloudflare.keys(), backendless.keys(), puter.keys(), nemesisdb.keys()],
        [const { Vec::<String>::new() }; 4]
    );
}

fn cloudflare_url(base_url: &str) -> String {
    format!("cloudflare://{}/{}?base_url={base_url}&attempts_max=1", cloudflare::ACCOUNT, cloudflare::NAMESPACE)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_requests_are_sent_than_the_budget_allows() {
    const BUDGET: u64 = 150;
    let server = cloudflare::Fake::new().serve(ServerOptions::new()).await.unwrap();
    let url = cloudflare_url(server.base_url());
    let (code, report, error) =
        run(&[&url, "--yes", "--rate", "none", "--filter", "SET,DEL,VAL", "--budget-requests", &BUDGET.to_string()]);
    assert_eq!(code, 0, "{error}");
    assert!((BUDGET / 3..=BUDGET).contains(&server.requests()), "{}: {error}", server.requests());
    let has_no_room = |outcome: &Outcome| matches!(outcome, Outcome::LeftOut(why) if why.contains("budget of 150"));
    assert!(!cases(&report, has_no_room).is_empty(), "{error}");
    assert!(!error.contains("stopped"), "what was planned has room: {error}");
    assert!(!cases(&report, |outcome| matches!(outcome, Outcome::Passed)).is_empty());
    assert_eq!(server.keys(), [""; 0]);
}

/// Faults and counts on a server that knows nothing of them.
#[tokio::test(flavor = "multi_thread")]
async fn through_the_proxy_faults_are_shown_and_requests_are_counted() {
    let server = cloudflare::Fake::new().serve(ServerOptions::new()).await.unwrap();
    let url = cloudflare_url(server.base_url());
    let arguments = [&url, "--yes", "--filter", "ERR-3,SET-8", "--profile", "full"];
    let shown = |report: &Report| cases(report, |outcome| matches!(outcome, Outcome::Passed)).len();
    let (code, without, error) = run(&[&arguments[..], &["--rate", "none"]].concat());
    assert_eq!(code, 0, "{error}");
    let (code, with, error) = run(&[&arguments[..], &["--rate", "none", "--through-proxy"]].concat());
    assert_eq!(code, 0, "{error}");
    assert!(shown(&with) > shown(&without) + 2, "{error}");
    assert!(error.contains("requests of cases were counted on their way"), "{error}");
    assert_eq!(server.keys(), [""; 0]);
}

/// A server that goes by its rate would answer 429 to what goes beyond.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_to_through_the_proxy_by_all_cases_together() {
    // Twice as much: what was held up on its way comes at once.
    let limit = RateLimit { requests: 300, window: Duration::from_secs(1) };
    let server = cloudflare::Fake::new().serve(ServerOptions::new().with_rate_limit(limit)).await.unwrap();
    let url = cloudflare_url(server.base_url()).replace("&attempts_max=1", "");
    let (code, report, error) =
        run(&[&url, "--yes", "--filter", "LIST,KEY", "--rate", "150/1", "--through-proxy", "--concurrency", "16"]);
    assert_eq!(code, 0, "{error}");
    assert!(cases(&report, |outcome| matches!(outcome, Outcome::Passed)).len() > 15, "{error}");
    assert!(error.contains("if each took 2 attempts"), "{error}");
    let refused = server.exchanges().iter().filter(|exchange| exchange.status == Some(429)).count();
    assert_eq!((refused, server.requests() > 200), (0, true), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_tried() {
    let cloudflare = cloudflare::Fake::new().serve(ServerOptions::new()).await.unwrap();
    let backendless = backendless::Fake::new().serve(ServerOptions::new()).await.unwrap();
    let puter = puter::Fake::new().serve(ServerOptions::new()).await.unwrap();
    let hive = format!("backendless://{}@/hive?base_url={}", backendless::APP_ID, backendless.base_url());
    let urls = [&*cloudflare_url(cloudflare.base_url()), &hive, &format!("puter://?base_url={}", puter.base_url())];
    for url in urls {
        for proxy in [&[][..], &["--through-proxy"]] {
            let (code, report, error) = run(&[&[url, "--yes", "--filter", "LIFE-1", "--rate", "none"], proxy].concat());
            let passed = cases(&report, |outcome| matches!(outcome, Outcome::Passed));
            assert!(code == 0 && passed.contains(&"life_1_wrong_credentials_are_refused"), "{passed:?}: {error}");
        }
    }
    // Where there are none, that is no gap of the run.
    let (_, report, error) = run(&["memory:", "--filter", "LIFE-1"]);
    let asks_nothing = cases(&report, |outcome| matches!(outcome, Outcome::NotApplicable(_)));
    assert!(asks_nothing.contains(&"life_1_wrong_credentials_are_refused"), "{error}");
}

/// The key by which it saw how long a call takes could not be removed at first.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_not_begun_leaves_no_key_behind() {
    for requests_before in [3, 5, 6] {
        let server = cloudflare::Fake::new().serve(ServerOptions::new()).await.unwrap();
        server.inject_after(requests_before, Fault::Cut { applied: Applied::No }, 1);
        let (code, _, error) = output(&[&cloudflare_url(server.base_url()), "--rate", "none"]);
        assert!(code == 2 || code == 4, "{code}: {error}");
        assert_eq!((server.faults_left(), server.keys()), (0, Vec::new()), "{requests_before}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_wrong_breaks_rules() {
    let server = cloudflare::Fake::new().serve(ServerOptions::new()).await.unwrap();
    server.inject_after(40, Fault::Cut { applied: Applied::Yes }, 20);
    let url = cloudflare_url(server.base_url());
    let (code, report, error) = run(&[&url, "--yes", "--rate", "none", "--filter", "SET"]);
    assert_eq!(code, 1, "{error}");
    let failed = cases(&report, |outcome| matches!(outcome, Outcome::Failed(_)));
    assert!(!failed.is_empty() && failed.iter().all(|name| error.contains(name)), "{failed:?}: {error}");
    assert_eq!((server.faults_left(), server.keys()), (0, Vec::new()));
}

/// Reads that are old for a while are no broken rule.
#[test]
fn a_store_of_eventual_consistency_is_read_again() {
    let (code, report, error) = run(&["memory:?like=cloudflare&stale_reads=2", "--filter", "SET-1,GET-1,DEL-1"]);
    assert_eq!(code, 0, "{error}");
    assert!(cases(&report, |outcome| matches!(outcome, Outcome::Passed)).len() > 5, "{error}");
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path());
    for (arguments, code, message) in [
        (&["redsi://user:hunter2@host/0"][..], 2, "no backend has the scheme"),
        (&["hunter2"], 2, "not a store URL"),
        (&["memory:", "redis://:hunter2@host"], 2, "unexpected argument"),
        (&["--url=redis://:hunter2@host"], 2, "unexpected argument"),
        (&["memory:?hunter2=hunter2"], 2, "option 1 of the store URL is unknown"),
        (&["memory:", "--filter", "SET-999"], 2, "no case is named by SET-999"),
        (&["memory:", "--report", "report.yaml"], 2, "it ends in none of"),
        (&["memory:", "--report", "/no/such/folder/report.json"], 2, "report.json cannot be written"),
        (&["memory:", "--budget-requests", "6"], 2, "a run begins with 7 requests"),
        (&["memory:", "--rate", "fast"], 2, "expected documented, none"),
        (&[&url], 2, "give --yes"),
        (&[&url, "--yes", "--through-proxy"], 2, "no link leads to a store of this scheme"),
        // Without a word to the server.
        (&["redis-cluster://:hunter2@127.0.0.1:1", "--yes", "--through-proxy"], 2, "no link leads to a cluster"),
        (&["sqlite:/no/such/folder/store.db", "--yes"], 5, "sqlite:..."),
    ] {
        let (found, text, error) = output(arguments);
        assert_eq!((found, &*text), (code, ""), "{arguments:?}: {error}");
        assert!(error.contains(message) && !error.contains("hunter2"), "{arguments:?}: {error}");
    }
}

#[test]
fn a_server_that_is_not_there_is_no_broken_rule() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (code, text, error) = output(&[&format!("redis://:hunter2@127.0.0.1:{port}"), "--yes"]);
    assert_eq!((code, &*text), (4, ""), "{error}");
    assert!(error.contains(&format!("redis://...@127.0.0.1:{port}: ")) && !error.contains("hunter2"), "{error}");
}
