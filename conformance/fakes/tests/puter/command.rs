//! `kv-fakes puter` as a program of its own.

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
    command.arg("puter").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running(command.spawn().unwrap())
}

#[tokio::test]
async fn serves_what_its_arguments_say_and_keeps_secrets() {
    let tokens = ["--token", "canary", "--app-token", "app-1=canary-app", "--scoped-token", "canary-scoped"];
    let rest = ["--temporary-token", "canary-temp", "--fault", "refused=overloaded", "--failures", "under-success"];
    let mut program = start(&[&tokens[..], &rest, &["--verbose"]].concat());
    let mut line = String::new();
    BufReader::new(program.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = format!("{}/drivers/call", line.trim_end());
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");

    let call = async |token: &str, method: &str| {
        let body =
            format!(r#"{{"interface":"puter-kvstore","method":"{method}","args":{{"key":"k","value":"{token}"}}}}"#);
        let url = format!("{url}?auth_token={token}");
        let request = reqwest::Client::new().post(url).header("content-type", "application/json").body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(call("canary", "set").await.0, 503);
    for token in ["canary", "canary-app", "canary-temp"] {
        assert_eq!(call(token, "set").await.0, 200);
    }
    for token in ["canary", "canary-app", "canary-temp"] {
        assert!(call(token, "get").await.1.contains(&format!(r#""result":"{token}""#)), "{token}");
    }
    assert_eq!(call("canary-scoped", "get").await.0, 403);
    assert_eq!(call("canary", "incr").await.0, 200);

    let mut stderr = program.0.stderr.take().unwrap();
    drop(program);
    let mut told = String::new();
    stderr.read_to_string(&mut told).unwrap();
    assert!(told.contains("PUTER_API_ORIGIN = 'http://127.0.0.1:"), "{told}");
    assert!(told.contains("POST /drivers/call?auth_token=*** 503"), "{told}");
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn refuses_what_cannot_be_served() {
    for arguments in
        [&["--token", ""][..], &["--app-token", "app"], &["--hosts", "some"], &["--token", "a", "--scoped-token", "a"]]
    {
        assert!(!start(arguments).0.wait().unwrap().success(), "{arguments:?}");
    }
}
