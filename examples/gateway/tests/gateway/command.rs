//! The command, as a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

pub(crate) struct Process {
    child: Child,
    pub(crate) address: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-gateway"));
    command.arg("serve").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn start(arguments: &[&str]) -> Process {
    let all = [&["--listen", "127.0.0.1:0"], arguments].concat();
    let mut child = command(&all).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}")).to_owned();
    Process { child, address }
}

impl Process {
    /// How many bytes it holds in memory, and how many it held at most.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let bytes = |name| {
            let kib = status.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix("kB")).unwrap();
            kib.trim().parse::<u64>().unwrap() * 1024
        };
        (bytes("VmRSS:"), bytes("VmHWM:"))
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\
             {headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn end_with(mut self, signal: &str) -> Output {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let mut stderr = Vec::new();
        self.child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        Output { status: self.child.wait().unwrap(), stdout: Vec::new(), stderr }
    }
}

/// So that a test that fails leaves none behind.
impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const NAMESPACES: &str = "/client/v4/accounts/a/storage/kv/namespaces";

#[test]
fn it_serves_until_it_is_asked_to_stop() {
    let process = start(&[
        "--namespace",
        "n=memory:",
        "--namespace",
        "kept=memory:",
        "--read-only",
        "kept",
        "--cache",
        "kept=5",
        "--rate",
        "kept=1000",
        "--log",
        "json",
        "--log-level",
        "debug",
    ]);
    let path = format!("{NAMESPACES}/n/values/k");
    assert!(process.ask("PUT", &path, "", "v").starts_with("HTTP/1.1 200 "));
    for _ in 0..2 {
        assert!(process.ask("GET", &path, "", "").ends_with("\r\n\r\nv"));
    }
    assert!(process.ask("PUT", &format!("{NAMESPACES}/kept/values/k"), "", "v").starts_with("HTTP/1.1 403 "));
    assert!(process.ask("GET", "/readyz", "", "").starts_with("HTTP/1.1 200 "));
    let metrics = process.ask("GET", "/metrics", "", "");
    for line in [
        r#"db_client_operation_duration_count{db_system_name="memory",db_namespace="n",db_operation_name="set"} 1"#,
        r#"http_server_request_duration_count{kv_operation="put",http_response_status_code="200"} 1"#,
        r#"http_server_request_duration_count{kv_operation="put",http_response_status_code="403"} 1"#,
        r#"http_server_request_duration_count{kv_operation="get",http_response_status_code="200"} 2"#,
        "http_server_active_requests 0",
        r#"kv_gateway_held_bytes{limit="bodies_bytes"} 0"#,
        r#"kv_gateway_held_bytes{limit="answers_bytes"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let ended = process.end_with("-TERM");
    assert_eq!(ended.status.code(), Some(0));
    let log = String::from_utf8(ended.stderr).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_call = |line: &&serde_json::Value| line["target"] == "kv_gateway::call" && line["operation"] == "put";
    assert_eq!(lines.iter().filter(is_call).count(), 2, "{log}");
    assert!(lines.iter().any(|line| line["message"] == "stopping"), "{log}");
}

#[test]
fn it_reads_tokens_from_a_file_of_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    std::fs::write(&path, "hunter2hunter2hunter2 read n\n").unwrap();
    let tokens = path.to_str().unwrap();
    let arguments = ["--namespace", "n=memory:", "--token-file", tokens];
    set_mode(&path, 0o644);
    let refused = command(&arguments).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("chmod 600"));
    set_mode(&path, 0o600);
    let process = start(&arguments);
    let keys = format!("{NAMESPACES}/n/keys");
    assert!(process.ask("GET", &keys, "", "").starts_with("HTTP/1.1 401 "));
    let bearer = "authorization: Bearer hunter2hunter2hunter2\r\n";
    assert!(process.ask("GET", &keys, bearer, "").starts_with("HTTP/1.1 200 "));
    let ended = process.end_with("-INT");
    assert_eq!(ended.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&ended.stderr).contains("hunter2"));
}

#[test]
fn metrics_are_for_a_token_that_may_read_all_namespaces() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    std::fs::write(
        &path,
        "reads-only-a-0001 read a\nwrites-everything read,write a\nwrites-all-00001 write\n\
        reads-all-000001 read\n",
    )
    .unwrap();
    set_mode(&path, 0o600);
    let tokens = path.to_str().unwrap();
    let process = start(&["--namespace", "a=memory:", "--namespace", "b=memory:", "--token-file", tokens]);
    for (token, status) in
        [("reads-only-a-0001", 403), ("writes-everything", 403), ("writes-all-00001", 403), ("reads-all-000001", 200)]
    {
        let answer = process.ask("GET", "/metrics", &format!("authorization: Bearer {token}\r\n"), "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{token}: {answer}");
    }
    assert_eq!(process.end_with("-INT").status.code(), Some(0));
}

#[test]
fn what_is_not_text_is_refused_and_not_passed_over() {
    use std::os::unix::ffi::OsStrExt;
    let mut with_variable = command(&["--namespace", "n=memory:", "--listen", "127.0.0.1:0"]);
    with_variable.env("KV_GATEWAY_TOKEN_FILE", std::ffi::OsStr::from_bytes(b"hunter2\xFF"));
    // Where it is passed over, the server runs; this ends it.
    with_variable.env("KV_GATEWAY_IN_FLIGHT", "none");
    let mut with_argument = command(&["--namespace", "n=memory:"]);
    with_argument.arg(std::ffi::OsStr::from_bytes(b"--namespace=n=redis://:hunter2@host/\xFF"));
    for (mut command, named) in [(with_variable, "KV_GATEWAY_TOKEN_FILE"), (with_argument, "UTF-8")] {
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(named) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn credentials_of_systemd_may_be_read_by_their_group() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    std::fs::write(&path, "hunter2hunter2hunter2 read n\n").unwrap();
    set_mode(&path, 0o440);
    let tokens = path.to_str().unwrap();
    // The second one is wrong, so that the command ends.
    let arguments = ["--namespace", "n=memory:", "--namespace", "n=memory:", "--token-file", tokens];
    for (credentials, is_refused) in [(folder.path(), false), (std::path::Path::new("/"), true)] {
        let output = command(&arguments).env("CREDENTIALS_DIRECTORY", credentials).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), text.contains("chmod 600")), (Some(2), is_refused), "{text}");
    }
}

pub(crate) fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn what_cannot_be_served_is_said_without_secrets() {
    for (arguments, code) in [
        (&["--namespace", "n=memory:", "--listen", "0.0.0.0:0"][..], 2),
        (&["--namespace", "n=redsi://:hunter2@host"], 2),
        (&["--namespace", "redis://:hunter2@host"], 2),
        (&["--namespace", "n=redis://:hunter2@127.0.0.1:1/?namespace=n&hunter2=1"], 2),
        (&["--namespace", "a b=memory:"], 2),
        (&["n=redis://:hunter2@host"], 2),
        (&["--namespaces=n=redis://:hunter2@host"], 2),
        (&["--namespace", "n=sqlite:/none/such/folder/x.db"], 5),
        (&["--namespace", "n=memory:", "--token-file", "/none/such"], 2),
    ] {
        let output = command(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(!text.is_empty() && !text.contains("hunter2"), "{arguments:?}: {text}");
    }
}
