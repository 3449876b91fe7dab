//! NemesisDB KV: a store of JSON values over one WebSocket, as FusionCache 0.1.6 served it.
//!
//! `wiremock` knows no WebSocket, so this fake has a server of its own, [`Server`], with the handle's methods named as
//! those of [`FakeServer`](crate::FakeServer). A request is one message. It speaks as the real one does: any path, text
//! messages only, one message back for each key, refusals before the rest and the rest in an order that the seed
//! decides, silence to batches without keys, to empty and to binary messages, close 1009 to what is too long.
//!
//! # What a fault looks like
//!
//! | [`Fault`](crate::Fault) | here |
//! | --- | --- |
//! | `ServerError` | `SERVER_ERROR` with number 6, which the system's source calls unknown; the status is not used |
//! | `Slow` | the answers to the message come later, and so do those to later messages unless a spread mixes them |
//! | `Silent` | no answer; the connection stays and serves other messages |
//! | `Cut` | the connection is dropped without a close frame, and takes with it what was still due on it |
//! | `Truncated` | half of the answers, half of the frame of the next, then the connection is dropped |
//! | `Garbage` | one text that is not JSON in place of the answers |
//! | `Implausible` | SET, ADD and RMV of several keys: carried out for every other one, and status -1 for all of them |
//! | the others | fit nothing |
//!
//! Besides, [`Server::drop_at_random`], [`Server::disconnect`], [`Server::refuse_connections`], [`Server::stop`] and
//! [`Server::restart`] end connections, and [`Fake::with_spread`] mixes the answers to different messages.
//!
//! # What is assumed
//!
//! All else was seen on the vendor's server.
//!
//! | matter | choice |
//! | --- | --- |
//! | messages counted by `SERVER_INFO` | every text that is not empty |
//! | a root array of several elements | refused because only one command is permitted, then as one of one element |
//! | the root `{}` | two refusals, as nearly always; the real one reads a member that is not there, and has crashed once |
//! | the integer `-0` | comes back as `-0.0` |
//! | more than 10,000 levels of nesting | not JSON |
//! | renaming: an item that is no object, or empty; one with several members | status 7; the alphabetically first counts |
//! | renaming: source missing and target there, on one worker | status 3 |
//! | after a renaming that hangs the server | pings are answered, messages are not |
//! | a client that sends frames against the protocol | close 1002 |

mod connection;
mod handshake;
mod message;
mod outbox;
mod server;
mod system;
mod text;

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use crate::server::ServerOptions;
use server::{Observer, Settings};

pub use message::Message;
pub use server::{Data, Server};

/// The limit of a message in bytes, unless set otherwise.
pub const MAX_MESSAGE_BYTES: usize = 1024;

/// After how long a silence a client is pinged, unless set otherwise.
pub const PING_AFTER: Duration = Duration::from_secs(150);

/// A NemesisDB server to be served.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use futures_util::{SinkExt, StreamExt};
/// use kv_fakes::ServerOptions;
/// use kv_fakes::nemesisdb::Fake;
/// use tokio::net::TcpStream;
///
/// let server = Fake::new().serve(ServerOptions::new()).await?;
/// let stream = TcpStream::connect(server.url().trim_start_matches("ws://").trim_end_matches('/')).await?;
/// let (mut client, _) = tokio_tungstenite::client_async(server.url(), stream).await?;
/// client.send(r#"{"SET":{"user_key_1":{"b":1,"a":null}}}"#.into()).await?;
/// assert_eq!(client.next().await.unwrap()?.to_text()?, r#"{"SET_RSP":{"k":"user_key_1","st":1}}"#);
/// client.send(r#"{"GET":["user_key_1"]}"#.into()).await?;
/// let answer = client.next().await.unwrap()?;
/// assert_eq!(answer.to_text()?, r#"{"GET_RSP":{"user_key_1":{"a":null,"b":1},"st":0}}"#);
/// assert_eq!(server.keys(), ["user_key_1"]);
/// assert_eq!(server.requests(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Fake {
    max_message_bytes: usize,
    spread: Duration,
    ping_after: Duration,
    seed: u64,
    crashes_on_early_close: bool,
    observer: Option<Observer>,
}

impl Fake {
    /// A server as its vendor delivered it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_message_bytes: MAX_MESSAGE_BYTES,
            spread: Duration::ZERO,
            ping_after: PING_AFTER,
            seed: 0,
            crashes_on_early_close: false,
            observer: None,
        }
    }

    /// How long a message may be, in bytes; one more and the connection is closed with 1009. Default:
    /// [`MAX_MESSAGE_BYTES`].
    #[must_use]
    pub fn with_max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// What order and chance follow: the same messages one after the other get the same answers in the same order.
    /// Default: 0.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Strews the answers of a connection over this time, so that those to different messages mix. Those about one key
    /// keep their order, refusals stay before the other answers to their message, and `CLEAR`, `SERVER_INFO` and
    /// `RNM_KEY` keep their place. Default: zero, all answers to a message before any to the next.
    #[must_use]
    pub fn with_spread(mut self, spread: Duration) -> Self {
        self.spread = spread;
        self
    }

    /// After how long a silence a client is pinged; after as long again it is dropped without a close frame. By real
    /// time. Default: [`PING_AFTER`].
    #[must_use]
    pub fn with_ping_after(mut self, silence: Duration) -> Self {
        self.ping_after = silence;
        self
    }

    /// Goes down, with all connections and all data, whenever [`Server::closes_with_answers_due`] counts, as the real
    /// one can; [`Server::restart`] brings it back. Default: it only counts.
    #[must_use]
    pub fn with_crash_on_early_close(mut self) -> Self {
        self.crashes_on_early_close = true;
        self
    }

    /// Is called with every message when its answers are decided. It must not block, and not call the server. Default:
    /// none.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&Message) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Serves it. Of the options it takes port and latency; the clock has nothing to decide here, since no entry
    /// expires.
    ///
    /// # Errors
    /// `InvalidInput` for a rate limit, which the system has not, for an observer of HTTP exchanges, of which there are
    /// none, and for another engine of HTTP than the default; else what listening on the port ran into.
    #[allow(clippy::unused_async, reason = "as the other fakes are served")]
    pub async fn serve(self, options: ServerOptions) -> io::Result<Server> {
        let Self { max_message_bytes, spread, ping_after, seed, crashes_on_early_close, observer } = self;
        let (port, latency) = options.of_a_connection()?;
        let settings =
            Settings { max_message_bytes, latency, spread, ping_after, seed, crashes_on_early_close, observer };
        Server::start(settings, port)
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake")
            .field("max_message_bytes", &self.max_message_bytes)
            .field("spread", &self.spread)
            .field("ping_after", &self.ping_after)
            .field("seed", &self.seed)
            .field("crashes_on_early_close", &self.crashes_on_early_close)
            .finish_non_exhaustive()
    }
}
