//! The command is killed at random moments, fifty times, while one of twenty requests goes wrong. The same command then
//! goes on, and in the end both sides have the same.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kv_api::{Store, Timer, TokioTimer, Value};
use kv_fakes::{FakeServer, ServerOptions, backendless, cloudflare};

const MIME_TYPES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/mime-types.bulk.json");

/// The entries of one kind, so that requests for single entries come to an end.
const SOME: &str = "model/";
const SOME_ENTRIES: usize = 43;

struct World {
    cloudflare: FakeServer,
    backendless: FakeServer,
    here: tempfile::TempDir,
    random: fastrand::Rng,
    kills: usize,
}

impl World {
    async fn new(seed: u64) -> Self {
        let options = || ServerOptions::new().with_latency(Duration::from_millis(3));
        Self {
            cloudflare: cloudflare::Fake::new().serve(options()).await.unwrap(),
            backendless: backendless::Fake::new().with_hive("hive").with_api_key("key").serve(options()).await.unwrap(),
            here: tempfile::tempdir().unwrap(),
            random: fastrand::Rng::with_seed(seed),
            kills: 0,
        }
    }

    fn namespace(&self) -> String {
        let (account, namespace) = (cloudflare::ACCOUNT, cloudflare::NAMESPACE);
        format!("cloudflare://{account}/{namespace}?base_url={}", self.cloudflare.base_url())
    }

    fn hive(&self) -> String {
        format!("backendless://{}:key@/hive?base_url={}", backendless::APP_ID, self.backendless.base_url())
    }

    fn requests(&self) -> u64 {
        self.cloudflare.requests() + self.backendless.requests()
    }

    fn faults(&self, per_mille: u32) {
        self.cloudflare.inject_at_random(5, per_mille);
        self.backendless.inject_at_random(6, per_mille);
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
        for name in ["CLOUDFLARE_EMAIL", "CLOUDFLARE_API_KEY", "BACKENDLESS_API_KEY", "BACKENDLESS_USER_TOKEN"] {
            command.env_remove(name);
        }
        command.env("CLOUDFLARE_API_TOKEN", cloudflare::TOKEN).current_dir(self.here.path()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs a command again and again, killing it after at most so many requests, a random number, until it ends by
    /// itself. Answers its exit code and what it said.
    async fn until_it_ends(&mut self, requests_max: u64, arguments: &[&str]) -> (i32, String) {
        self.faults(50);
        for _ in 0..200 {
            let mut child = self.start(arguments);
            let enough = self.requests() + self.random.u64(1..=requests_max);
            // Polled, since the end of a process is nothing to wait for beside requests.
            while child.try_wait().unwrap().is_none() && self.requests() < enough {
                TokioTimer.sleep(Duration::from_millis(1)).await;
            }
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                self.kills += 1;
            }
            let output = child.wait_with_output().unwrap();
            if let Some(code) = output.status.code() {
                self.faults(0);
                return (code, String::from_utf8(output.stderr).unwrap());
            }
        }
        panic!("{arguments:?} does not end");
    }

    /// What a command says that is not killed.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.start(arguments).wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn assert_same(&self, from: &str, to: &str, more: &[&str]) {
        let (code, error) = self.run(&[&["verify", from, to], more].concat());
        assert_eq!(code, 0, "{error}");
    }

    /// Nothing that an interrupted copy needs is left.
    fn assert_clean(&self) {
        let left: Vec<_> =
            std::fs::read_dir(self.here.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().contains("kv-migrate")), "{left:?}");
    }

    async fn sqlite(&self) -> Store {
        kv_backends::open(&format!("sqlite:{}", self.here.path().join("app.db").display())).await.unwrap()
    }
}

#[tokio::test]
async fn fifty_kills_and_faults_lose_nothing_and_break_no_rule() {
    let (mut kills, mut seed) = (0, 0);
    while kills < 50 {
        seed += 1;
        let mut world = World::new(seed).await;
        let (namespace, hive) = (world.namespace(), world.hive());

        // From a file to a store that writes in bulk.
        let (code, error) = world.until_it_ends(40, &["copy", "--batch", "100", MIME_TYPES, &namespace]).await;
        assert_eq!(code, 0, "{error}");
        world.assert_same(MIME_TYPES, &namespace, &[]);

        // From there into a file, compressed.
        let (code, error) = world.until_it_ends(400, &["copy", &namespace, "out.jsonl.gz"]).await;
        assert_eq!(code, 0, "{error}");
        world.assert_same(&namespace, "out.jsonl.gz", &[]);

        // From there into a store with conditions: nothing is overwritten, whatever was written before a kill.
        let database = "sqlite:app.db";
        let store = world.sqlite().await;
        store.set("model/mesh", "own").await.unwrap();
        store.close().await.unwrap();
        let fail = ["copy", "--batch", "50", "--on-conflict", "fail", &namespace, database];
        let (code, error) = world.until_it_ends(60, &fail).await;
        assert_eq!(code, 1, "{error}");
        assert!(error.contains("1 entry was not copied") && error.contains("\"model/mesh\""), "{error}");
        let store = world.sqlite().await;
        assert_eq!(store.get("model/mesh").await.unwrap(), Some(Value::from("own")));
        store.close().await.unwrap();
        world.assert_same(&namespace, database, &["--exclude", "model/mesh"]);

        // And into one where each entry is a request of its own; its own entries stay.
        let some = ["copy", "--prefix", SOME, "--batch", "5", "--on-conflict", "skip", MIME_TYPES, &hive];
        let hive_store = kv_backends::open(&hive).await.unwrap();
        hive_store.set("model/mesh", "own").await.unwrap();
        let (code, error) = world.until_it_ends(40, &some).await;
        assert_eq!(code, 0, "{error}");
        assert_eq!(hive_store.get("model/mesh").await.unwrap(), Some(Value::from("own")));
        assert_eq!(world.backendless.keys().len(), SOME_ENTRIES);
        world.assert_same(MIME_TYPES, &hive, &["--prefix", SOME, "--exclude", "model/mesh"]);
        world.assert_clean();
        kills += world.kills;
    }
}
