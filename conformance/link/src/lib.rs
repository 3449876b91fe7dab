#![doc = include_str!("../README.md")]

mod cluster;
mod connection;
mod count;
mod dialect;
mod fate;
mod http;
mod lane;
mod orders;
mod postgres;
mod protocol;
mod resp;
mod server;
mod store;
mod stream;
mod target;
mod websocket;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kv_conformance::{Fault, Faults};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

pub use cluster::ClusterLink;
pub use dialect::Protocol;
pub use store::StoreLink;
pub use target::{Request, Target};

use count::Shared;
use orders::{Deed, Orders};
use protocol::topology::Ports;
use server::{Asked, Control, Port, Server};

/// How long an order may take. It takes far less than a second; more means that the thread of the link is gone.
const ORDER_MAX: Duration = Duration::from_secs(10);

/// A proxy on 127.0.0.1 before one server, which counts requests and breaks them on purpose.
///
/// Clones are the same link. When the last one is dropped the port is closed, all connections end and its thread has
/// ended. It has one thread, a buffer of 64 KiB for each direction of a connection, and no more than 1,000 connections
/// at a time; more wait until one ends.
///
/// # Requests
/// A request is what a client sends before it waits. What only sets up a connection is none, is not counted and meets
/// no fault.
///
/// RESP: a request begins with a command that begins to arrive while no command of the connection waits for its answer.
/// So a pipeline is one request, and so are the calls of several callers that share a connection at the same time. One
/// caller makes the same number each time. No requests are `HELLO`, `AUTH`, `CLIENT`, `SELECT`, `READONLY`,
/// `READWRITE`, `ASKING`, `PING`, `QUIT`, `INFO`, `COMMAND`, `CONFIG`, `ACL`, `ROLE`, `CLUSTER`, and `SCRIPT` and
/// `FUNCTION` with `LOAD`, `EXISTS` or `LIST`.
///
/// PostgreSQL: a request is a `Query`, a `FunctionCall`, or all messages up to a `Sync` if one of them is a `Bind` or
/// an `Execute`. No requests are what begins a session, `SET`, `RESET`, `SHOW`, `DISCARD` and `DEALLOCATE` outside of a
/// transaction block, and messages up to a `Sync` that only prepare, describe or close: see
/// [`prepares`](Self::prepares).
///
/// HTTP: each request is one, counted when its head has come. One that asks for an upgrade sets up something else.
///
/// WebSocket: each message of the client is one, in however many frames. What opens the WebSocket is none, and neither
/// are pings, pongs and closes, nor what is asked of the server before in plain HTTP.
///
/// # Faults
/// [`Faults`] says what each is. In RESP one that hits a pipeline hits all of it from there on, and between `MULTI` and
/// `EXEC` the answer to `EXEC` is the one that is changed. Connections stay open unless the fault is about them.
///
/// - `Refused`: the port is closed, so that the operating system refuses to connect, until the next order. A refused
///   attempt cannot be seen and so is not counted: every number above zero means "until then". Connections there are
///   end as soon as nothing is under way on them; with WebSocket, as soon as the last message was the server's, since
///   nothing says how many answers are due. Those that are idle have been sent the end when the order returns,
///   and their clients have had time to take note: a tenth of a second, with HTTP and WebSocket one second. Where one
///   has not, its next write fails with [`BrokenPipe`](io::ErrorKind::BrokenPipe). To take note, the client's runtime
///   needs a thread that is not waiting for the order. [`reset_next`](Self::reset_next) counts attempts.
/// - `Unavailable`, only RESP and PostgreSQL: the server carries out nothing. RESP answers `-LOADING`, PostgreSQL
///   SQLSTATE 57P03 (`cannot_connect_now`). Other answers: [`answer_with`](Self::answer_with).
/// - `Throttled`, only PostgreSQL and HTTP: the server carries out nothing. PostgreSQL answers SQLSTATE 53300
///   (`too_many_connections`), HTTP 429 with `Retry-After: 0` and no word of the system's own.
/// - `RequestLost`: nothing of the request is carried out, and the connection ends once what was sent before it has
///   been answered; with WebSocket at once.
/// - `AnswerLost`: the connection ends once the server has answered all of it. With WebSocket nothing says which
///   message answers which: it ends once the server had the message and has sent a next one, whatever that answers.
/// - `AnswerTruncated`: the same, and half of the answer arrives; of several in a pipeline, half of the first; of one
///   above 32 KiB, 16 KiB. With HTTP that is half of the body, and half of the head where a client could not see that
///   the body is not whole. With WebSocket it is half of the first frame.
/// - `AnswerGarbled`: carried out, and in place of each answer comes what is well formed and unknown: RESP: `[[-7]]`;
///   PostgreSQL: a message of the type `?`; HTTP: 200 and a body that begins like JSON, and is neither that nor text;
///   WebSocket: the text `?` in the place of the next message. With HTTP it fits answers that are JSON, and those
///   without a body and a type: others may be any bytes. They pass, and the fault waits for the next one.
/// - `FailureReported`, not with WebSocket: carried out, and in place of each answer comes an error that says nothing:
///   RESP: `-ERR` with a text of no server; PostgreSQL: SQLSTATE 40003 (`statement_completion_unknown`); HTTP: 500.
/// - `BulkAnswerImplausible`, only RESP: the answer is -1 to `MSET`, to a `DEL` or `UNLINK` of several keys, and to
///   each `SET`, `DEL` and `UNLINK` in a pipeline but its first command. All of it is carried out.
/// - `PageEmpty`, `PageStandsStill`, `PageInCircles`, only RESP: answers to `SCAN`. A cursor of zero is given back as
///   2^51, since zero would be the end.
///
/// For [`inject_into_writes`](Faults::inject_into_writes) a write is, in RESP, any command that is not known to read:
/// `EVAL`, `EVALSHA` and `FCALL` are writes, and with `_RO` they are not; `MULTI` is one. In PostgreSQL it is a
/// statement whose first word is not known to read, and a `WITH` that has `INSERT`, `UPDATE`, `DELETE` or `MERGE`
/// outside of what is quoted; functions that a `SELECT` calls are not looked into. In a transaction block only the
/// `COMMIT` is a write, if something has been written in it: what is lost before that is rolled back. With HTTP all is
/// a write but `GET`, `HEAD`, `OPTIONS` and `TRACE`, and with WebSocket all is one: [`Target::with_writes`] says
/// otherwise.
///
/// # Limits
/// No TLS on the client's side: what it cannot read it cannot count. A PostgreSQL client that asks for it is answered
/// that there is none. On the server's side there can be: [`Target`]. In RESP no more than 65,536 commands of a
/// connection wait for their answers: a client that writes more before it reads waits for ever. A connection is passed
/// on as it is after `SUBSCRIBE`, `MONITOR`, `SYNC` and `CLIENT REPLY`. In PostgreSQL no fault may hit a `COPY`, and
/// only the first 32 KiB of a `Query` say whether it writes. A head of HTTP has up to 16 KiB and 128 headers, and after
/// 101 all passes as it is. Addresses in answers, such as `Location`, stay the server's. After a WebSocket was ended
/// for a fault, the server is still listened to for a second: some servers do not bear it that a client hangs up which
/// they owe an answer. What is no message of the protocol ends the connection.
#[derive(Clone)]
pub struct Link {
    running: Arc<Running>,
}

struct Running {
    address: SocketAddr,
    protocol: Protocol,
    shared: Arc<Shared>,
    /// `None` only while it is being dropped: its end is what ends the thread.
    orders: Option<UnboundedSender<Asked>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Link {
    /// Opens a link to a server on a free port. Whether the server can be reached shows with the first connection.
    ///
    /// # Errors
    /// What the operating system says when a port, a thread or what it waits with cannot be had.
    pub fn open(server: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        Self::open_to(Target::new(server, protocol))
    }

    /// Opens a link to the server that this URL names, and gives the URL that leads through it: see [`Target::of_url`]
    /// and [`url`](Self::url).
    ///
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// use kv_link::{Link, Protocol};
    /// let (link, url) = Link::to_url("redis://:hush@10.0.0.7/2", Protocol::Resp).await?;
    /// assert_eq!(url, format!("redis://:hush@{}/2", link.address()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Target::of_url`] and [`open_to`](Self::open_to).
    pub async fn to_url(url: &str, protocol: Protocol) -> io::Result<(Self, String)> {
        let link = Self::open_to(Target::of_url(url, protocol).await?)?;
        let url = link.url(url);
        Ok((link, url))
    }

    /// Opens a link on a free port to what can be said of a server in more words. Whether it can be reached shows with
    /// the first connection: a client is reset when it cannot.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when there are no certificates to trust.
    pub fn open_to(target: Target) -> io::Result<Self> {
        Self::of_cluster(target, Arc::default(), Arc::default())
    }

    /// The URL with the address of this link in the place of its host and port, and without TLS in its scheme: `https`
    /// becomes `http`, `wss` `ws`, and `rediss` `redis`. All else stays as it is.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        with_address(url, self.address())
    }

    fn of_cluster(target: Target, common: Arc<Orders>, ports: Arc<OnceLock<Ports>>) -> io::Result<Self> {
        let (protocol, connector) = (target.protocol(), Arc::new(target.connector()?));
        let shared = Arc::new(Shared::of(common, ports));
        let (orders, asked) = unbounded_channel();
        let of_thread = Arc::clone(&shared);
        let (opened, address) = mpsc::sync_channel(1);
        // The runtime is made and ends on its own thread: none may end within another one.
        let thread = thread::Builder::new().name("link".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    // The one who opens it waits for this.
                    let _ = opened.send(Err(error));
                    return;
                }
            };
            runtime.block_on(LocalSet::new().run_until(async {
                let port = Port::new().and_then(|port| port.open().map(|listener| (port, listener)));
                let (port, listener) = match port {
                    Ok(port) => port,
                    Err(error) => {
                        let _ = opened.send(Err(error));
                        return;
                    }
                };
                let _ = opened.send(Ok(port.address));
                let server = Server {
                    target: Arc::new(target),
                    connector,
                    port,
                    listener: Some(listener),
                    shared: of_thread,
                    gone: Rc::new(Notify::new()),
                    open: Vec::new(),
                    resets: 0,
                    is_stalled: false,
                    is_refusing: false,
                    is_partitioned: false,
                };
                server.run(asked).await;
            }));
        })?;
        let address = address.recv().map_err(io::Error::other)??;
        Ok(Self {
            running: Arc::new(Running { address, protocol, shared, orders: Some(orders), thread: Some(thread) }),
        })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// How many requests have arrived since the link was opened, those that met a fault among them. It has counted a
    /// request before the server gets any of it.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.running.shared.requests()
    }

    /// How many single commands they had: with RESP each command of a pipeline, with PostgreSQL each `Execute`, `Query`
    /// and `FunctionCall`. With HTTP and WebSocket as many as requests.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.running.shared.commands()
    }

    /// How often a statement was prepared in a round trip of its own, which is no request: `Parse` and `Sync` without
    /// `Bind`. A connection that has the statement makes none. With other protocols zero.
    #[must_use]
    pub fn prepares(&self) -> u64 {
        self.running.shared.prepares()
    }

    /// How many connections have been taken since the link was opened.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.running.shared.connections()
    }

    /// How many requests are still to meet the fault that was ordered last.
    #[must_use]
    pub fn faults_left(&self) -> u32 {
        self.running.shared.orders.left()
    }

    /// The next `count` requests are answered by the link with this error, and the server carries out none of them.
    /// With RESP it is the error without its `-`, such as `READONLY You can't write against a read only replica.`, and
    /// each command of the request gets it. With PostgreSQL it is an SQLSTATE, such as `40001`, with HTTP a status,
    /// such as `503`, and with WebSocket a message of at most 125 bytes. What was ordered before is forgotten; zero
    /// ends it.
    ///
    /// # Panics
    /// For PostgreSQL when `error` is not five letters or digits, and for HTTP when it is no status from 200 on.
    pub fn answer_with(&self, error: &str, count: u32) {
        self.give_answer(error, count, false);
    }

    /// The same for the next `count` requests that change something.
    ///
    /// # Panics
    /// As [`answer_with`](Self::answer_with).
    pub fn answer_writes_with(&self, error: &str, count: u32) {
        self.give_answer(error, count, true);
    }

    /// The next `count` connections are taken and reset before a byte is read. Those there are stay; zero ends it, and
    /// so does an order of a fault.
    pub fn reset_next(&self, count: u32) {
        self.ask(Control::ResetNext(count));
    }

    /// Nothing flows in either direction, or everything again. Connections stay, new ones are taken, and no end of
    /// either side is seen.
    pub fn stall(&self, stall: bool) {
        self.ask(Control::Stall(stall));
    }

    /// Resets all connections, now. New ones are taken.
    pub fn cut(&self) {
        self.ask(Control::Cut);
    }

    /// Nothing flows in either direction, and to connect is refused, until [`heal`](Self::heal).
    pub fn partition(&self) {
        self.ask(Control::Partition);
    }

    /// Ends [`partition`](Self::partition): what was held up flows on, over the connections there were.
    pub fn heal(&self) {
        self.ask(Control::Heal);
    }

    fn give_answer(&self, error: &str, count: u32, writes_only: bool) {
        self.accept();
        self.running.shared.orders.give(Deed::Answer(self.running.protocol.answer(error)), count, writes_only);
    }

    fn give(&self, fault: Fault, count: u32, writes_only: bool) {
        assert!(self.offers(fault), "a link knows no fault {fault:?} for this protocol");
        if fault == Fault::Refused && count > 0 {
            self.running.shared.orders.clear();
            self.ask(Control::Refuse);
        } else {
            self.accept();
            self.running.shared.orders.give(Deed::Fault(fault), count, writes_only);
        }
    }

    fn accept(&self) {
        self.ask(Control::Accept);
    }

    /// Has it done when it returns.
    ///
    /// # Panics
    /// When the link cannot do it, such as listen again: a test that went on would pass or fail for no reason.
    fn ask(&self, control: Control) {
        let Some(orders) = &self.running.orders else { return };
        // As many as there are threads that wait here.
        let (done, outcome) = mpsc::sync_channel(1);
        let sent = orders.send((control, done)).is_ok();
        let outcome = if sent { outcome.recv_timeout(ORDER_MAX) } else { Err(RecvTimeoutError::Disconnected) };
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("the link {} cannot {control:?}: {error}", self.address()),
            Err(_) => panic!("the thread of the link {} does not answer", self.address()),
        }
    }
}

impl Faults for Link {
    fn offers(&self, fault: Fault) -> bool {
        self.running.protocol.offers(fault)
    }

    /// # Panics
    /// For a fault that is not offered: an order that did nothing would let a case pass for no reason.
    fn inject(&self, fault: Fault, count: u32) {
        self.give(fault, count, false);
    }

    /// # Panics
    /// As [`inject`](Self::inject).
    fn inject_into_writes(&self, fault: Fault, count: u32) {
        self.give(fault, count, true);
    }
}

/// The URL with another host and port, and without TLS in its scheme.
fn with_address(url: &str, address: SocketAddr) -> String {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let end = url[begin..].find(['/', '?', '#']).map_or(url.len(), |at| begin + at);
    let begin = url[begin..end].rfind('@').map_or(begin, |at| begin + at + 1);
    let (scheme, user) = url[..begin].split_once("://").unwrap_or(("", &url[..begin]));
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "https" => "http",
        "wss" => "ws",
        "rediss" => "redis",
        _ => scheme,
    };
    format!("{scheme}://{user}{address}{}", &url[end..])
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.running.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_and_port_of_a_url_are_others() {
        let address = SocketAddr::from(([127, 0, 0, 1], 7));
        for (url, expected) in [
            ("redis://host", "redis://127.0.0.1:7"),
            ("rediss://[::1]:6379/2", "redis://127.0.0.1:7/2"),
            ("https://api.example.com/v4", "http://127.0.0.1:7/v4"),
            ("WSS://api.example.com", "ws://127.0.0.1:7"),
            ("postgres://a:p%40:b@host:1/db?x=a@b:1/", "postgres://a:p%40:b@127.0.0.1:7/db?x=a@b:1/"),
            ("postgres://host?x=a@b", "postgres://127.0.0.1:7?x=a@b"),
        ] {
            assert_eq!(with_address(url, address), expected);
        }
    }
}
