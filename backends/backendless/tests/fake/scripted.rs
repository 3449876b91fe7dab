//! A server that says what it is told to, whatever it is asked: for answers that no faithful fake gives.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use kv_api::Store;
use kv_backendless::{BackendlessConfig, RemoteSettings, RetryPolicy, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::open;

/// Answers by a script, then never again; and remembers what it was asked.
#[derive(Clone)]
pub(crate) struct Scripted {
    address: String,
    script: Arc<Mutex<VecDeque<(u16, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub(crate) async fn start<'s>(script: impl IntoIterator<Item = (u16, &'s str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let script = script.into_iter().map(|(status, body)| (status, body.to_owned())).collect();
        let server = Self {
            address: format!("http://{}/api", listener.local_addr().unwrap()),
            script: Arc::new(Mutex::new(script)),
            asked: Arc::default(),
        };
        let serving = server.clone();
        // Ends with the runtime of the test.
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(connection).await });
            }
        });
        server
    }

    async fn serve(&self, mut connection: TcpStream) -> Option<()> {
        let mut bytes = Vec::new();
        loop {
            let head = loop {
                if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                    break at + 4;
                }
                if connection.read_buf(&mut bytes).await.ok()? == 0 {
                    return None;
                }
            };
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            while bytes.len() < head + length {
                connection.read_buf(&mut bytes).await.ok()?;
            }
            let request: Vec<u8> = bytes.drain(..head + length).collect();
            self.asked.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            let next = self.script.lock().unwrap().pop_front();
            let Some((status, body)) = next else {
                std::future::pending::<()>().await;
                return None;
            };
            let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            connection.write_all(answer.as_bytes()).await.ok()?;
        }
    }

    /// Head and body of every request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn config(&self) -> BackendlessConfig {
        let key = SecretString::from(crate::harness::API_KEY);
        BackendlessConfig::of_application("APP-ID", key, "h").unwrap().with_base_url(&self.address).unwrap()
    }

    /// A store that sends each request once.
    pub(crate) fn store(&self) -> Store {
        open(self.config().with_remote(RemoteSettings::default().with_retry(RetryPolicy::none())))
    }
}
