//! `kv-fakes nemesisdb` as a program of its own.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use crate::client::{Client, Closed};

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
    command.arg("nemesisdb").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running(command.spawn().unwrap())
}

async fn connect(url: &str) -> Client {
    let stream = TcpStream::connect(url.trim_start_matches("ws://").trim_end_matches('/')).await.unwrap();
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    Client { socket }
}

#[tokio::test]
async fn serves_what_its_arguments_say_and_shows_no_value() {
    let mut program = start(&["--max-message-bytes", "44", "--fault", "cut-after", "--verbose"]);
    let mut stdout = BufReader::new(program.0.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let url = line.trim_end();
    assert!(url.starts_with("ws://127.0.0.1:") && url.ends_with('/'), "{url}");

    let mut client = connect(url).await;
    client.send(r#"{"SET":{"user_key_1":"canary"}}"#).await;
    assert_eq!(client.next().await, Err(Closed::Dropped));
    let mut client = connect(url).await;
    let answer = client.answer(r#"{"GET":["user_key_1","user \"2\"","x"]}"#).await;
    assert!(answer.contains(r#""k":"x""#), "{answer}");
    client.next().await.unwrap();
    client.next().await.unwrap();
    client.send(&" ".repeat(45)).await;
    assert_eq!(client.next().await, Err(Closed::Code(1009)));

    let interrupted = Command::new("kill").args(["-INT", &program.0.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(program.0.wait().unwrap().code(), Some(0));
    let (mut told, mut more) = (String::new(), String::new());
    program.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    stdout.read_to_string(&mut more).unwrap();
    let store_url = url.replace("ws://", "nemesisdb://");
    assert!(told.starts_with(&format!("{}  (", store_url.trim_end_matches('/'))), "{told}");
    assert!(told.contains("\n#1 SET \"user_key_1\": 0 answers\n"), "{told}");
    assert!(told.ends_with("\n#2 GET \"user_key_1\" \"user \\\"2\\\"\" \"x\": 3 answers\n"), "{told}");
    assert!(!told.contains("canary") && more.is_empty(), "{told}{more}");
}

#[test]
fn refuses_what_cannot_be_served() {
    for arguments in [&["--fault", "stale"][..], &["--max-message-bytes", "x"], &["--ping-after", "0"]] {
        assert!(!start(arguments).0.wait().unwrap().success(), "{arguments:?}");
    }
}
