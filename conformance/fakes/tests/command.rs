//! The command: one line when it is ready, a clean end, and clear words about wrong arguments.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use kv_fakes::cloudflare::{ACCOUNT, NAMESPACE, TOKEN};
use serde_json::json;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-fakes"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running command; killed when a test fails before it has stopped it.
struct Running {
    child: Child,
    base_url: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { child, base_url: line.strip_suffix('\n').unwrap().to_owned() }
    }

    /// Interrupts it; what else it has written to standard output and error.
    fn interrupt(mut self) -> (String, String) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let read = |from: &mut dyn Read| {
            let mut text = String::new();
            from.read_to_string(&mut text).unwrap();
            text
        };
        (read(self.child.stdout.as_mut().unwrap()), read(self.child.stderr.as_mut().unwrap()))
    }

    fn url(&self, rest: &str) -> String {
        format!("{}/accounts/{ACCOUNT}/storage/kv/namespaces/{rest}", self.base_url)
    }
}

/// A connection to what a base URL names.
fn connect(base_url: &str) -> TcpStream {
    TcpStream::connect(base_url.split('/').nth(2).unwrap()).unwrap()
}

/// Everything that comes back for these bytes, until the connection is closed.
fn raw(base_url: &str, request: &str) -> String {
    let mut stream = connect(base_url);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn serves_until_it_is_interrupted() {
    let running = Running::start(&["cloudflare", "--fault", "error-after=503:1", "--verbose"]);
    let client = reqwest::Client::new();
    let url = running.url(&format!("{NAMESPACE}/values/k"));
    let put = async || client.put(&url).bearer_auth(TOKEN).body("v").send().await.unwrap().status().as_u16();
    assert_eq!((put().await, put().await), (503, 200));
    let create = client.post(running.url("").trim_end_matches('/')).bearer_auth(TOKEN);
    let created = create.body(json!({ "title": "another" }).to_string()).send().await.unwrap();
    assert_eq!(created.status(), 200);
    let (out, err) = running.interrupt();
    assert_eq!(out, "");
    let log: Vec<_> = err.lines().filter(|line| line.starts_with("PUT") || line.starts_with("POST")).collect();
    assert_eq!(log.len(), 3, "{err}");
    assert!(log[0].ends_with("/values/k 503") && log[2].ends_with("/namespaces 200"), "{err}");
    for variable in ["CLOUDFLARE_API_TOKEN=", "CLOUDFLARE_BASE_URL=http://127.0.0.1:", "cloudflare://"] {
        assert!(err.contains(variable), "{variable}");
    }
}

/// The statuses of 200 requests, 0 where there was no answer.
async fn statuses(arguments: &[&str]) -> Vec<u16> {
    let running = Running::start(arguments);
    // One connection a request: a client may otherwise repeat a request whose reused connection was closed.
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let mut statuses = Vec::new();
    for _ in 0..200 {
        let answer = client.get(&running.base_url).send().await;
        statuses.push(answer.map_or(0, |answer| answer.status().as_u16()));
    }
    statuses
}

#[tokio::test]
async fn faults_come_by_chance_where_that_is_asked_for_alone() {
    for system in ["cloudflare", "backendless", "puter"] {
        let faulty = statuses(&[system, "--chaos", "7:300"]).await;
        let count = |wanted: u16| faulty.iter().filter(|status| **status == wanted).count();
        for (fault, least) in [(429, 8), (502, 3), (503, 3), (0, 8)] {
            assert!((least..40).contains(&count(fault)), "{system}: {} times {fault}", count(fault));
        }
        assert_eq!(faulty, statuses(&[system, "--chaos", "7:300"]).await, "{system}");
        let usual = statuses(&[system]).await;
        assert!(usual.iter().all(|status| *status == usual[0]), "{system}: {usual:?}");
        assert!(![0, 429, 502, 503].contains(&usual[0]), "{system}: {}", usual[0]);
        for (status, usual) in faulty.iter().zip(usual) {
            assert!(*status == usual || [0, 429, 502, 503].contains(status), "{system}: {status}");
        }
    }
}

#[tokio::test]
async fn takes_its_names_and_limits_and_repeats_no_secret() {
    let namespace = "1".repeat(32);
    let running = Running::start(&[
        "cloudflare",
        "--namespace",
        &namespace,
        "--token",
        "canary",
        "--rate-limit",
        "1/60",
        "--latency",
        "1",
        "--verbose",
    ]);
    let url = running.url(&format!("{namespace}/values/canary"));
    let ask = async || reqwest::Client::new().get(&url).bearer_auth("canary").send().await.unwrap().status().as_u16();
    assert_eq!((ask().await, ask().await), (404, 429));
    let (out, err) = running.interrupt();
    assert!(!out.contains("canary") && !err.contains("canary"), "{err}");
    assert!(err.contains("/values/*** 429"), "{err}");
}

#[test]
fn says_what_is_wrong() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (arguments, code, words) in [
        (&["cloudflare", "--account", "me"][..], 1, "the account is not 32 hex digits"),
        (&["cloudflare", "--port", &port], 1, "in use"),
        (&["cloudflare", "--port", "70000"], 2, "--port"),
        (&["cloudflare", "--fault", "explode"], 2, "there is no fault \"explode\""),
        (&["cloudflare", "--rate-limit", "5"], 2, "expected N/SECONDS"),
        (&["puter", "--chaos", "7"], 2, "expected SEED:PERMILLE"),
        (&["nemesisdb", "--chaos", "7:0"], 2, "expected SEED:PERMILLE"),
        (&["cloudflare", "--hive", "h"], 2, "--hive"),
        (&["elsewhere"], 2, "elsewhere"),
        (&[], 2, "cloudflare"),
    ] {
        let Output { status, stdout, stderr } = command(arguments).output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.as_slice()), (Some(code), &b""[..]), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
}

#[test]
fn err_2_nothing_in_a_name_reaches_the_terminal_as_it_is() {
    const HOSTILE: &str = "\u{1b}[31m\u{202e}\u{9b}2J";
    let is_raw = |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
    let option = format!("--{HOSTILE}");
    for arguments in
        [&["cloudflare", &option][..], &["cloudflare", "--account", HOSTILE, "--port", HOSTILE], &[HOSTILE]]
    {
        let stderr = String::from_utf8(command(arguments).output().unwrap().stderr).unwrap();
        // Where clap is built with colours, by another crate's wish, it drops what looks like one.
        assert!(stderr.contains("u{202e}") && !stderr.contains(is_raw), "{arguments:?}: {stderr:?}");
    }
    let running = Running::start(&["backendless", "--app-id", HOSTILE, "--hive", HOSTILE]);
    assert!(!running.base_url.contains(is_raw), "{:?}", running.base_url);
    let (_, stderr) = running.interrupt();
    assert!(stderr.contains("31m") && !stderr.contains(is_raw), "{stderr:?}");
}

/// What a client of its own URL library never sends is seen as it was sent, and read as each system does.
#[test]
fn a_path_reaches_the_fake_as_it_was_sent() {
    let namespace = format!("/client/v4/accounts/{ACCOUNT}/storage/kv/namespaces/{NAMESPACE}");
    let authorization = format!("authorization: Bearer {TOKEN}\r\n");
    let keys = "/api/hive/hive/key-value";
    for (system, headers, method, path, answer) in [
        // One slash away from the namespace, as the URL standard reads it.
        ("cloudflare", &*authorization, "DELETE", format!("{namespace}/values/%2E%2E"), r#"404 "code":7003"#),
        ("cloudflare", &authorization, "DELETE", format!("{namespace}/values/.."), r#"404 "code":7003"#),
        ("cloudflare", &authorization, "PUT", format!("{namespace}/values/."), r#"404 "code":7003"#),
        ("cloudflare", &authorization, "GET", format!("{namespace}/values/x/%2E./../keys"), r#"200 "result":[]"#),
        ("backendless", "", "GET", format!("{keys}/%2E%2E/key-value/keys"), r#"200 "keys":[]"#),
        ("backendless", "", "DELETE", format!("{keys}/.."), "200 "),
        ("puter", "", "GET", "/x/../version".to_owned(), "404 Not Found"),
        ("puter", "", "GET", "/version".to_owned(), r#"200 "version""#),
    ] {
        let running = Running::start(&[system, "--verbose"]);
        let request = format!("{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}\r\n");
        let answered = raw(&running.base_url, &request);
        let (status, text) = answer.split_once(' ').unwrap();
        assert!(answered.starts_with(&format!("HTTP/1.1 {status}")) && answered.contains(text), "{path}: {answered}");
        let (_, log) = running.interrupt();
        assert!(log.contains(&format!("{method} {path} {status}\n")), "{path}: {log}");
    }
}

#[test]
fn a_body_beyond_all_limits_is_refused_unread() {
    let running = Running::start(&["backendless", "--verbose"]);
    let head = "PUT /api/hive/hive/key-value/k HTTP/1.1\r\nhost: h\r\ncontent-length: 134217729\r\n\r\n";
    let answered = raw(&running.base_url, head);
    assert!(answered.starts_with("HTTP/1.1 413 ") && answered.contains("connection: close"), "{answered}");
    assert!(!running.interrupt().1.contains("PUT"));
}

/// How much memory a process has, in bytes.
#[cfg(target_os = "linux")]
fn resident(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

/// With wiremock these requests took 39 MB.
#[cfg(target_os = "linux")]
#[test]
fn requests_that_were_answered_leave_nothing_in_memory() {
    const REQUESTS: usize = 20_000;
    let running = Running::start(&["cloudflare"]);
    let path = format!("/client/v4/accounts/{ACCOUNT}/storage/kv/namespaces/{NAMESPACE}/values/k");
    let head = format!("PUT {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 500\r\n");
    let request = |last: bool| {
        let close = if last { "connection: close\r\n" } else { "" };
        format!("{head}{close}\r\n{}", "v".repeat(500))
    };
    // One after the other over one connection, sent while the answers are read.
    let send = |count: usize| {
        let mut stream = connect(&running.base_url);
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let sending = std::thread::spawn({
            let requests = request(false).repeat(count - 1) + &request(true);
            move || stream.write_all(requests.as_bytes()).unwrap()
        });
        let mut answers = String::new();
        reader.read_to_string(&mut answers).unwrap();
        sending.join().unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), count);
    };
    send(REQUESTS / 10);
    let before = resident(running.child.id());
    send(REQUESTS);
    let grown = resident(running.child.id()).saturating_sub(before);
    assert!(grown < 4 * 1024 * 1024, "{grown} bytes more");
}
