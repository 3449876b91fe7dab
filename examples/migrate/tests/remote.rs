//! The command against the fakes of remote systems, with what a person may get wrong.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Stdio};

use kv_fakes::{FakeServer, Fault, ServerOptions, backendless, cloudflare};

const MIME_TYPES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/mime-types.bulk.json");
const CANARY: &str = "c4nary";

/// With the right credentials of Cloudflare, which stand in the environment alone, unless others are given.
fn run(here: &Path, token: &str, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
    command.current_dir(here).args(["copy"]).args(arguments).stdin(Stdio::null());
    for name in ["CLOUDFLARE_EMAIL", "CLOUDFLARE_API_KEY", "BACKENDLESS_API_KEY", "BACKENDLESS_USER_TOKEN"] {
        command.env_remove(name);
    }
    let output = command.env("CLOUDFLARE_API_TOKEN", token).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!error.contains(CANARY), "{arguments:?}: {error}");
    (output.status.code().unwrap(), error)
}

async fn backendless() -> FakeServer {
    backendless::Fake::new().with_hive("hive").with_api_key(CANARY).serve(ServerOptions::new()).await.unwrap()
}

async fn cloudflare() -> FakeServer {
    cloudflare::Fake::new().serve(ServerOptions::new()).await.unwrap()
}

fn hive(server: &FakeServer) -> String {
    format!("backendless://{}:{CANARY}@/hive?base_url={}", backendless::APP_ID, server.base_url())
}

fn namespace(server: &FakeServer) -> String {
    format!("cloudflare://{}/{}?base_url={}", cloudflare::ACCOUNT, cloudflare::NAMESPACE, server.base_url())
}

#[tokio::test]
async fn copies_between_all_of_them_and_verifies_each_step() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let (first, second, cloudflare) = (backendless().await, backendless().await, cloudflare().await);
    let (first, second, namespace) = (hive(&first), hive(&second), namespace(&cloudflare));
    let there =
        ["--verify", MIME_TYPES, &first, &namespace, "out.json", "sqlite:app.db", &second, "memory:", "end.json"];
    let (code, error) = run(here, cloudflare::TOKEN, &there);
    assert_eq!(code, 0, "{error}");
    assert_eq!(error.matches("verified 2,522 entries").count(), 7, "{error}");
    assert_eq!(error.matches("all the same").count(), 7, "{error}");
    let read = |name| std::fs::read(here.join(name)).unwrap();
    assert_eq!(read("out.json"), read("end.json"));
}

/// A file need not be in the order in which the store lists its keys, and this one lists them in none.
#[tokio::test]
async fn a_file_is_verified_against_a_store_without_order() {
    let directory = tempfile::tempdir().unwrap();
    let backendless = backendless().await;
    let hive = hive(&backendless);
    let (code, error) = run(directory.path(), "", &["--verify", MIME_TYPES, &hive, "out.json"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(error.matches("verified 2,522 entries").count(), 2, "{error}");
    assert_eq!(error.matches("all the same").count(), 2, "{error}");
}

/// What is wrong with the address, the credentials or the namespace is said once, with the store it is said of, and not
/// of each entry.
#[tokio::test]
async fn a_stop_that_is_not_there_is_told_before_anything_is_copied() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let (backendless, cloudflare) = (backendless().await, cloudflare().await);
    let (hive, namespace) = (hive(&backendless), namespace(&cloudflare));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("backendless://APP:{CANARY}@/hive?base_url=http://{}", listener.local_addr().unwrap());
    drop(listener);
    for (url, token, expected, message) in [
        (&hive.replace("/hive", "/nothing"), "", 5, "misconfigured: no such application, API key or hive"),
        (&hive.replace(&format!("{CANARY}@"), &format!("{CANARY}2@")), "", 5, "no such application, API key or hive"),
        (&namespace, "wr0ng-c4nary", 5, "unauthorized: "),
        (&namespace.replace(cloudflare::ACCOUNT, &"a".repeat(32)), cloudflare::TOKEN, 5, "unauthorized: "),
        (&namespace.replace(cloudflare::NAMESPACE, &"a".repeat(32)), cloudflare::TOKEN, 5, "misconfigured: "),
        (&nobody, "", 4, "unavailable: no connection"),
    ] {
        let shown = url.parse::<kv_api::StoreUrl>().unwrap().to_string();
        for stops in [[MIME_TYPES, url], [url, "out.json"]] {
            let (code, error) = run(here, token, &stops);
            assert_eq!(code, expected, "{error}");
            assert!(error.starts_with(&format!("error: {shown}: ")) && error.contains(message), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
            assert_eq!(std::fs::read_dir(here).unwrap().count(), 0, "{error}");
        }
    }
    assert!(backendless.keys().is_empty() && cloudflare.keys().is_empty());
}

#[tokio::test]
async fn a_target_that_asks_for_fewer_calls_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let backendless = backendless().await;
    backendless.inject_into_writes(Fault::Throttled { retry_after: None }, 4);
    let hive = format!("{}&attempts_max=4", hive(&backendless));
    let (code, error) = run(directory.path(), "", &["--verify", MIME_TYPES, &hive]);
    assert_eq!(code, 0, "{error}");
    assert!(error.contains("copied 2,522 entries") && error.contains("all the same"), "{error}");
}

#[tokio::test]
async fn a_store_is_not_copied_to_itself_by_whatever_url() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let (backendless, cloudflare) = (backendless().await, cloudflare().await);
    let (hive, namespace) = (hive(&backendless), namespace(&cloudflare));
    assert_eq!(run(here, cloudflare::TOKEN, &[MIME_TYPES, &namespace]).0, 0);
    let keys = cloudflare.keys();
    for (one, other) in [
        (&namespace, &format!("{namespace}&attempts_max=3")),
        (&namespace, &format!("{}/", namespace.replace("cloudflare://", "CLOUDFLARE://"))),
        (&hive, &format!("{hive}&best_effort=true")),
    ] {
        for way in [&[][..], &["memory:"], &["copy.json"]] {
            let stops = [&["--prefix", "none", &**one][..], way, &[&**other]].concat();
            let (code, error) = run(here, cloudflare::TOKEN, &stops);
            assert!(
                code == 2 && error.contains(&format!("stops 1 and {} are the same store: ", way.len() + 2)),
                "{error}"
            );
        }
    }
    assert_eq!(cloudflare.keys(), keys);
    assert!(backendless.keys().is_empty() && !here.join("copy.json").exists());
}

/// EXP-6: Cloudflare keeps an entry for a minute at least.
#[tokio::test]
async fn exp_6_an_expiry_below_the_least_is_rounded_up_where_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    std::fs::write(here.join("in.jsonl"), "{\"key\":\"a\",\"value\":\"\",\"expiration_ttl\":5}\n").unwrap();
    let server = cloudflare().await;
    let namespace = namespace(&server);
    let (code, error) = run(here, cloudflare::TOKEN, &["in.jsonl", &namespace]);
    assert!(code == 1 && error.contains("line 1, \"a\": invalid argument: "), "{error}");
    let (code, error) = run(here, cloudflare::TOKEN, &["--min-ttl-round-up", "in.jsonl", &namespace]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(server.keys(), ["a"]);
}
