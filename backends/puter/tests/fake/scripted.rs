//! A server that answers as a test says, for what the fake cannot be made to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kv_api::{ManualClock, Store};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::harness::{System, open};

/// A call: its method, its arguments, and how many came before it.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) arguments: &'a Json,
    pub(crate) number: usize,
}

/// Status and body.
pub(crate) type Said = (u16, String);

pub(crate) fn success(result: &Json) -> Said {
    (200, json!({"success": true, "result": result, "service": {"name": "puter-kvstore"}}).to_string())
}

pub(crate) fn failure(status: u16, code: &str) -> Said {
    (status, json!({"error": "said", "message": "said", "code": code}).to_string())
}

/// Serves as long as this is kept.
pub(crate) struct Scripted {
    pub(crate) store: Store,
    requests: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Scripted {
    pub(crate) async fn serve(answer: impl Fn(Asked<'_>) -> Said + Send + Sync + 'static) -> Self {
        let clock = System::start().await.client_clock;
        Self::serve_at(clock, answer).await
    }

    /// With this clock on the store's side.
    pub(crate) async fn serve_at(
        clock: ManualClock,
        answer: impl Fn(Asked<'_>) -> Said + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let (answer, counting) = (Arc::new(answer), Arc::clone(&requests));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(converse(stream, Arc::clone(&answer), Arc::clone(&counting)));
            }
        });
        let system = System::start().await;
        let config = system.config().with_base_url(&format!("http://{address}")).unwrap();
        let config = config.with_remote(system.remote().with_clock(Arc::new(clock)));
        Self { store: open(config).allow_best_effort(), requests, _serving: serving }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// One connection: requests with a length, one after the other.
async fn converse(
    mut stream: TcpStream,
    answer: Arc<impl Fn(Asked<'_>) -> Said + Send + Sync>,
    counting: Arc<AtomicUsize>,
) {
    let mut read = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let text = String::from_utf8_lossy(&read[..head]).into_owned();
        let length =
            text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let end = head + length.unwrap_or(0);
        while read.len() < end {
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body: Json = serde_json::from_slice(&read[head..end]).unwrap();
        let number = counting.fetch_add(1, Ordering::SeqCst);
        let method = body["method"].as_str().unwrap();
        let (status, said) = answer(Asked { method, arguments: &body["args"], number });
        let head =
            format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", said.len());
        if stream.write_all(format!("{head}{said}").as_bytes()).await.is_err() {
            return;
        }
        read.drain(..end);
    }
}
