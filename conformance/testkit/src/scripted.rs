//! An HTTP server that answers as a test says.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asked {
    /// The method, as it was sent.
    pub method: String,
    /// Path and query, percent-encoded as they were sent.
    pub path: String,
    /// The request line and the headers.
    pub head: String,
    /// The body; what is not UTF-8 in it is replaced.
    pub body: String,
    /// How many requests came before it.
    pub number: usize,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Said {
    /// The status.
    pub status: u16,
    /// The header `Content-Type`. `None` leaves it out.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: String,
}

impl Said {
    /// Without a content type.
    #[must_use]
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, content_type: None, body: body.into() }
    }

    /// As JSON.
    #[must_use]
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, body).with_content_type("application/json")
    }

    /// With this content type.
    #[must_use]
    pub const fn with_content_type(mut self, content_type: &'static str) -> Self {
        self.content_type = Some(content_type);
        self
    }
}

type Answer = dyn Fn(&Asked) -> Option<Said> + Send + Sync;

/// A server on a free port of 127.0.0.1, which ends when this is dropped. It understands requests that state their
/// length.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _serving: JoinSet<()>,
}

impl Scripted {
    /// Answers each request as `answer` says, and not at all where that says nothing. Needs a tokio runtime.
    ///
    /// # Errors
    /// What listening ran into.
    pub async fn serve(answer: impl Fn(&Asked) -> Option<Said> + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let asked = Arc::default();
        let (answer, remembered): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&asked));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(converse(stream, Arc::clone(&answer), Arc::clone(&remembered)));
            }
        });
        Ok(Self { address, asked, _serving: serving })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests have come.
    #[must_use]
    pub fn requests(&self) -> usize {
        lock(&self.asked).len()
    }

    /// The requests that have come, in their order.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }
}

fn lock(asked: &Mutex<Vec<Asked>>) -> MutexGuard<'_, Vec<Asked>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection: requests with a length, one after the other. Ends with the connection.
async fn converse(mut stream: TcpStream, answer: Arc<Answer>, remembered: Arc<Mutex<Vec<Asked>>>) {
    const END_OF_HEAD: &[u8] = b"\r\n\r\n";
    let mut read = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = read.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD) {
                break end + END_OF_HEAD.len();
            }
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let text = String::from_utf8_lossy(&read[..head]).into_owned();
        let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok();
        let end = head + text.lines().find_map(length).unwrap_or(0);
        while read.len() < end {
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let mut line = text.split(' ').map(str::to_owned);
        let (method, path) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        let body = String::from_utf8_lossy(&read[head..end]).into_owned();
        read.drain(..end);
        let asked = {
            let mut remembered = lock(&remembered);
            let asked = Asked { method, path, head: text, body, number: remembered.len() };
            remembered.push(asked.clone());
            asked
        };
        let Some(Said { status, content_type, body }) = answer(&asked) else {
            return std::future::pending().await;
        };
        let content_type = content_type.map(|own| format!("content-type: {own}\r\n")).unwrap_or_default();
        let answer = format!("HTTP/1.1 {status} x\r\n{content_type}content-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_on_one_connection_are_answered_in_turn_and_remembered() {
        let server = Scripted::serve(|asked| {
            (asked.number < 2).then(|| Said::json(201, format!("{} {}", asked.body, asked.path)))
        });
        let server = server.await.unwrap();
        let mut client = TcpStream::connect(server.address()).await.unwrap();
        client.write_all(b"PUT /a?b=%20 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\n\r\n").await.unwrap();
        let first = "HTTP/1.1 201 x\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\nhi /a?b=%20";
        let second = "HTTP/1.1 201 x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n /";
        let mut answers = vec![0; first.len() + second.len()];
        client.read_exact(&mut answers).await.unwrap();
        assert_eq!(String::from_utf8(answers).unwrap(), format!("{first}{second}"));
        // The third is never answered, and ends with the server.
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        crate::until(|| server.requests() == 3).await;
        let asked = server.asked();
        assert_eq!((&*asked[0].method, &*asked[0].body, asked[2].number), ("PUT", "hi", 2));
        drop(server);
        assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    }
}
