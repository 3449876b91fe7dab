//! From a TCP connection to a WebSocket: reads the request and says yes to every path.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::connection::linger;

/// A longer head of a request is refused.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How many headers are read.
const HEADERS_MAX: usize = 100;

/// The one version of the protocol.
const VERSION: &str = "13";

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    /// To upgrade, with this key.
    Upgrade(String),
    /// To upgrade to a version of the protocol that is not known.
    OtherVersion,
    /// Anything else.
    Plain,
}

/// Upgrades, whatever the path; refuses what is no such request. No subprotocol is chosen and no extension accepted.
/// `upgrading` is called before the client is answered.
pub(super) async fn accept<T>(
    mut stream: TcpStream,
    max_message_bytes: usize,
    upgrading: impl FnOnce() -> T,
) -> io::Result<Option<(WebSocketStream<TcpStream>, T)>> {
    let mut received = Vec::with_capacity(1024);
    let (options, head_bytes) = loop {
        if let Some(read) = read(&received)? {
            break read;
        }
        if received.len() > HEAD_BYTES_MAX || stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let key = match options {
        Wish::Upgrade(key) => key,
        refused => {
            let version = if refused == Wish::OtherVersion { "Sec-WebSocket-Version: 13\r\n" } else { "" };
            let head = "HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\nUpgrade: websocket\r\n";
            stream.write_all(format!("{head}{version}Content-Length: 0\r\n\r\n").as_bytes()).await?;
            linger(stream).await;
            return Ok(None);
        }
    };
    let upgraded = upgrading();
    let accepted = derive_accept_key(key.as_bytes());
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    stream.write_all(format!("{head}Sec-WebSocket-Accept: {accepted}\r\n\r\n").as_bytes()).await?;
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes));
    let early = received.split_off(head_bytes);
    let socket = WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await;
    Ok(Some((socket, upgraded)))
}

/// What the request wants and how long its head is; `None` while it is not complete.
fn read(received: &[u8]) -> io::Result<Option<(Wish, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(received).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let httparse::Status::Complete(bytes) = parsed else { return Ok(None) };
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    let says = |name, word: &str| {
        header(name).is_some_and(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    let upgrades = request.method == Some("GET") && says("connection", "upgrade") && says("upgrade", "websocket");
    let options = match header("sec-websocket-key") {
        Some(_) if upgrades && header("sec-websocket-version") != Some(VERSION) => Wish::OtherVersion,
        Some(key) if upgrades => Wish::Upgrade(key.to_owned()),
        _ => Wish::Plain,
    };
    Ok(Some((options, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_an_upgrade_from_the_rest() {
        let upgrade = "GET /any?x HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
                       Sec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13\r\n\r\nrest";
        let check =
            |request: &str, options| assert_eq!(read(request.as_bytes()).unwrap().unwrap().0, options, "{request}");
        check(upgrade, Wish::Upgrade("abc".to_owned()));
        assert_eq!(read(upgrade.as_bytes()).unwrap().unwrap().1, upgrade.len() - 4);
        check(&upgrade.replace(": 13", ": 12"), Wish::OtherVersion);
        check(&upgrade.replace("Sec-WebSocket-Version", "X"), Wish::OtherVersion);
        check(&upgrade.replace("GET", "POST"), Wish::Plain);
        check(&upgrade.replace("Sec-WebSocket-Key", "X"), Wish::Plain);
        check("GET / HTTP/1.1\r\n\r\n", Wish::Plain);
        assert_eq!(read(b"GET / HTTP/1.1\r\n").unwrap(), None);
        assert!(read(b"\0\0\0").is_err());
    }
}
