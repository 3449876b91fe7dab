//! A server that answers as a test says.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A server that lets everybody in, and gives these answers to what it is asked; it closes the connection for `None`.
pub(crate) async fn scripted(answer: impl Fn(&[String]) -> Option<String> + Clone + Send + 'static) -> SocketAddr {
    scripted_as("standalone", answer).await
}

/// The same as a node of a cluster.
pub(crate) async fn scripted_node(answer: impl Fn(&[String]) -> Option<String> + Clone + Send + 'static) -> SocketAddr {
    scripted_as("cluster", answer).await
}

/// A string on the wire.
pub(crate) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

async fn scripted_as(
    mode: &'static str,
    answer: impl Fn(&[String]) -> Option<String> + Clone + Send + 'static,
) -> SocketAddr {
    let hello = ["version", "7.0.15", "mode", mode, "role", "master"].map(bulk).concat();
    let answer = move |command: &[String]| match command[0].as_str() {
        "HELLO" => Some(format!("*6\r\n{hello}")),
        "INFO" => Some(bulk("run_id:abc\r\n")),
        _ => answer(command),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move { serve(socket, answer).await });
        }
    });
    address
}

/// Until one of the two sides closes the connection.
async fn serve(socket: TcpStream, answer: impl Fn(&[String]) -> Option<String>) -> Option<()> {
    let mut socket = BufReader::new(socket);
    loop {
        let command = command(&mut socket).await?;
        socket.write_all(answer(&command)?.as_bytes()).await.ok()?;
    }
}

async fn command(socket: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let count = number(socket).await?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let mut word = vec![0; number(socket).await? + 2];
        socket.read_exact(&mut word).await.ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Some(words)
}

async fn number(socket: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    socket.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim_end().parse().ok()
}
