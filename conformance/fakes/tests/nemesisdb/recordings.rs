//! The recorded sessions, replayed: the fake says what the real server said.

use std::fs;
use std::path::Path;

use kv_fakes::nemesisdb::Fake;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Closed, serve};

/// The limit that the recorded server was set to.
const MAX_MESSAGE_BYTES: usize = 65_536;

/// How many sessions there are: one that is lost is noticed.
const SESSIONS: usize = 13;

#[tokio::test]
async fn recorded_sessions_go_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings/nemesisdb");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), SESSIONS);
    for path in files {
        let exchanges: Vec<Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let session = path.file_stem().unwrap().to_str().unwrap();
        // Every order that the fake may choose has to agree.
        for seed in 0..4 {
            replay(session, &exchanges, seed).await;
        }
    }
}

async fn replay(session: &str, exchanges: &[Value], seed: u64) {
    let server = serve(Fake::new().with_max_message_bytes(MAX_MESSAGE_BYTES).with_seed(seed)).await;
    let mut client = Client::of(&server).await;
    let mut answered = Vec::new();
    for (number, exchange) in exchanges.iter().enumerate() {
        let sent = exchange["send"].as_str().unwrap();
        let binary = exchange["frame"] == "binary";
        let message = if binary { Message::binary(sent.to_owned()) } else { Message::text(sent) };
        client.send_message(message).await;

        let expected: Vec<_> =
            exchange["receive"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        let mut received = Vec::new();
        for _ in &expected {
            received.push(client.next().await.unwrap());
        }
        compare(&received, &expected, &format!("{session}, exchange {number}, seed {seed}"));
        if let Some(closed) = exchange.get("closed") {
            let code = closed["code"].as_u64().map(|code| u16::try_from(code).unwrap());
            assert_eq!(client.next().await, Err(code.map_or(Closed::Dropped, Closed::Code)), "{session}, {number}");
            client = Client::of(&server).await;
            if code == Some(1009) {
                // Too long to be taken in, so the log has not seen it.
                continue;
            }
        }
        answered.push(expected.len());
    }
    // What came unasked would have been taken for the next answer; after the last one only the log can tell.
    let last = exchanges.last().unwrap();
    if last["receive"] == serde_json::json!([]) {
        while server.messages().len() < answered.len() {
            tokio::task::yield_now().await;
        }
    }
    let logged: Vec<_> = server.messages().iter().map(|message| message.answers).collect();
    assert_eq!(logged, answered, "{session}");
}

/// Text by text. Refusals stand first and in the order found; of the others the order is not promised.
fn compare(received: &[String], expected: &[&str], at: &str) {
    let refusals = expected.iter().take_while(|text| is_refusal(text)).count();
    assert_eq!(received[..refusals], expected[..refusals], "{at}");
    let mut others = received[refusals..].to_vec();
    let mut wanted = expected[refusals..].to_vec();
    others.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(others, wanted, "{at}");
}

/// Refusals have the status before the key, if any; answers of the workers after it.
fn is_refusal(text: &str) -> bool {
    let value: Value = serde_json::from_str(text).unwrap();
    let (name, body) = value.as_object().unwrap().iter().next().unwrap();
    name == "SERVER_ERROR" || matches!(body["st"].as_u64(), Some(6 | 7 | 12))
}
