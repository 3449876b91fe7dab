//! A client of Redis for what the servers need themselves: one command, one connection.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::error::While;
use crate::{Error, Result};

/// What Redis answers. An error that it reports is an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status, such as `OK`.
    Status(String),
    /// A number.
    Integer(i64),
    /// A string.
    Bytes(Vec<u8>),
    /// Nothing.
    Nil,
    /// Several answers.
    List(Vec<Self>),
}

impl Reply {
    /// The number, or what a text spells.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => self.to_string().parse().ok(),
        }
    }
}

/// As `redis-cli` shows it into a pipe: a text as it is, nothing for nil, one line for each member of a list.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Self::Nil => Ok(()),
            Self::List(members) => {
                for (index, member) in members.iter().enumerate() {
                    if index > 0 {
                        f.write_str("\n")?;
                    }
                    write!(f, "{member}")?;
                }
                Ok(())
            }
        }
    }
}

const LIMIT: Duration = Duration::from_secs(30);
/// More than a test stores.
const LENGTH_MAX: usize = 64 << 20;
const DEPTH_MAX: usize = 8;

/// Sends the commands one after the other over one connection. The answer to the last counts; the first error ends it.
pub(crate) async fn ask<A: AsRef<[u8]>>(address: SocketAddr, commands: &[Vec<A>]) -> Result<Reply> {
    let asked = async {
        let mut stream = BufReader::new(TcpStream::connect(address).await?);
        let mut last = Reply::Nil;
        for command in commands {
            stream.write_all(&encode(command)).await?;
            last = read(&mut stream, 0).await?;
        }
        Ok(last)
    };
    tokio::time::timeout(LIMIT, asked).await.when("no answer")?
}

fn encode<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        bytes.extend(format!("${}\r\n", argument.len()).bytes());
        bytes.extend(argument);
        bytes.extend(b"\r\n");
    }
    bytes
}

fn read(stream: &mut BufReader<TcpStream>, depth: usize) -> BoxFuture<'_, Result<Reply>> {
    async move {
        let mut line = Vec::new();
        (&mut *stream).take(4096).read_until(b'\n', &mut line).await?;
        let line = String::from_utf8_lossy(&line);
        let Some(line) = line.strip_suffix("\r\n") else {
            return Err(Error::failed("the server ended the connection"));
        };
        let (mark, rest) = line.split_at_checked(1).unwrap_or_default();
        match mark {
            "+" => Ok(Reply::Status(rest.to_owned())),
            "-" => Err(Error::failed(rest)),
            ":" => Ok(Reply::Integer(rest.parse().when("no number")?)),
            "$" | "*" if rest == "-1" => Ok(Reply::Nil),
            "$" => {
                let length: usize = rest.parse().when("no length")?;
                if length > LENGTH_MAX {
                    return Err(Error::failed("a string that is too long"));
                }
                let mut bytes = vec![0; length + 2];
                stream.read_exact(&mut bytes).await?;
                bytes.truncate(length);
                Ok(Reply::Bytes(bytes))
            }
            "*" if depth < DEPTH_MAX => {
                let length: usize = rest.parse().when("no length")?;
                let mut members = Vec::new();
                for _ in 0..length {
                    members.push(read(stream, depth + 1).await?);
                }
                Ok(Reply::List(members))
            }
            _ => Err(Error::failed("no answer of Redis")),
        }
    }
    .boxed()
}
