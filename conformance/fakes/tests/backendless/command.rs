//! `kv-fakes backendless` as a program of its own.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// Ends the program with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-fakes"));
    command.arg("backendless").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running(command.spawn().unwrap())
}

#[tokio::test]
async fn serves_what_its_arguments_say_and_keeps_secrets() {
    let arguments =
        ["--app-id", "A", "--api-key", "canary", "--hive", "two", "--hive", "one", "--user-token", "canary"];
    let mut program =
        start(&[&arguments[..], &["--no-value", "empty-body", "--fault", "error=503", "--verbose"]].concat());
    let mut line = String::new();
    BufReader::new(program.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let base_url = line.trim_end();
    assert!(base_url.starts_with("http://127.0.0.1:") && base_url.ends_with("/api"), "{base_url}");

    let url = |path: &str| format!("{base_url}/A/canary/hive{path}");
    assert_eq!(reqwest::get(url("")).await.unwrap().status(), 503);
    assert_eq!(reqwest::get(url("")).await.unwrap().text().await.unwrap(), r#"["one","two"]"#);
    let with_token = reqwest::Client::new().get(url("/one/key-value/k")).header("user-token", "canary");
    let answer = with_token.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, ""));

    let mut stderr = program.0.stderr.take().unwrap();
    drop(program);
    let mut told = String::new();
    stderr.read_to_string(&mut told).unwrap();
    assert!(told.contains("backendless://A@/one?base_url=http://127.0.0.1:"), "{told}");
    assert!(
        told.contains("GET /api/A/***/hive 503") && told.contains("GET /api/A/***/hive/one/key-value/k 200"),
        "{told}"
    );
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn refuses_what_cannot_be_served() {
    for arguments in [
        &["--app-id", ""][..],
        &["--hive", ".."],
        &["--rounding", "up"],
        &["--bad-user-token-status", "200"],
        // What only Cloudflare does would never happen.
        &["--fault", "partly"],
        &["--fault", "throttled-as-success"],
    ] {
        assert!(!start(arguments).0.wait().unwrap().success(), "{arguments:?}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut program = start(&["--port", &address.port().to_string()]);
    let mut told = String::new();
    program.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.starts_with(&format!("error: cannot listen on {address}: ")), "{told}");
}

#[test]
fn the_urls_it_tells_are_ones_that_a_store_can_be_opened_with() {
    let mut program = start(&["--app-id", "A 1", "--hive", "50% off?"]);
    let mut line = String::new();
    BufReader::new(program.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut stderr = program.0.stderr.take().unwrap();
    drop(program);
    let mut told = String::new();
    stderr.read_to_string(&mut told).unwrap();
    for (at, rest) in [(2, "//A 1@/50% off?"), (3, "///50% off?")] {
        let mut url: kv_api::StoreUrl = told.lines().nth(at).unwrap().parse().unwrap();
        assert_eq!(url.take_option("base_url").as_deref(), Some(line.trim_end()), "{told}");
        assert_eq!(url.rest(), rest, "{told}");
        url.finish().unwrap();
    }
}
