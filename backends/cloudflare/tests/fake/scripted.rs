//! A server that answers as a test says, for what the fake cannot be made to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kv_api::Store;
use kv_cloudflare::{CloudflareConfig, Credentials};
use kv_fakes::cloudflare::{ACCOUNT, NAMESPACE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::harness::{System, TOKEN, open};

/// A request: its method, what follows the namespace, and its body.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) body: &'a str,
    /// How many came before it.
    pub(crate) number: usize,
}

/// Status, content type and body.
pub(crate) type Said = (u16, &'static str, String);

pub(crate) const JSON: &str = "application/json";

pub(crate) fn success(result: &serde_json::Value) -> Said {
    (200, JSON, serde_json::json!({"success": true, "errors": [], "messages": [], "result": result}).to_string())
}

/// Serves as long as this is kept.
pub(crate) struct Scripted {
    pub(crate) store: Store,
    requests: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Scripted {
    pub(crate) async fn serve(answer: impl Fn(Asked<'_>) -> Said + Send + Sync + 'static) -> Self {
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
        let config = CloudflareConfig::new(ACCOUNT, NAMESPACE, Credentials::Token(TOKEN.into())).unwrap();
        let config = config.with_base_url(&format!("http://{address}")).unwrap();
        let system = System::start().await;
        Self { store: open(config.with_remote(system.remote())), requests, _serving: serving }
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
        let body = String::from_utf8_lossy(&read[head..end]).into_owned();
        let mut first = text.split(' ');
        let (method, path) = (first.next().unwrap(), first.next().unwrap().split_once(NAMESPACE).unwrap().1);
        let number = counting.fetch_add(1, Ordering::SeqCst);
        let (status, content_type, said) = answer(Asked { method, path, body: &body, number });
        let head =
            format!("HTTP/1.1 {status} x\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n", said.len());
        if stream.write_all(format!("{head}{said}").as_bytes()).await.is_err() {
            return;
        }
        read.drain(..end);
    }
}
