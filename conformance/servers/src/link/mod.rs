//! A link that breaks on purpose.

mod connection;
mod count;
mod dialect;
mod lane;
mod orders;
mod protocol;
mod resp;
mod server;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kv_conformance::{Fault, Faults};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

pub use dialect::Protocol;

use count::Shared;
use orders::{Deed, Orders};
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
/// A request is what a client sends at once before it waits. With RESP it begins with a command that begins to arrive
/// while no command of the connection waits for its answer; so a pipeline is one request, and so are the calls of
/// several callers that share a connection at the same time. One caller makes the same number each time.
///
/// What sets up a connection, looks at the topology or loads a script is no request, is not counted and meets no
/// fault: `HELLO`, `AUTH`, `CLIENT`, `SELECT`, `READONLY`, `READWRITE`, `ASKING`, `QUIT`, `INFO`, `COMMAND`, `CONFIG`,
/// `ACL`, `ROLE`, `CLUSTER`, `SCRIPT LOAD`, `SCRIPT EXISTS` and the same of `FUNCTION`. `PING` is a request.
///
/// # Faults
/// [`Faults`] says what each is; this is how they look here. One that hits a pipeline hits all of it from there on:
/// no answer comes, or each command meets it. Between `MULTI` and `EXEC` the answer to `EXEC` is the one that is
/// changed. Connections stay open unless the fault is about them.
///
/// - `Refused`: the port is closed, so that to connect is refused by the operating system, until the next order. A
///   refused attempt cannot be seen and so is not counted: every number above zero means "until then". Connections
///   there are end as soon as nothing is under way on them. Those that are idle have been sent the end when the order
///   returns, and their clients have had a tenth of a second to take note; where one has not, its next write fails.
///   For that to happen the client's runtime must have a thread that is not waiting for the order.
///   [`reset_next`](Self::reset_next) counts attempts.
/// - `Throttled`: RESP answers `-LOADING`, and the server gets nothing. Other answers: [`answer_with`](Self::answer_with).
/// - `RequestLost`: nothing of the request reaches the server, and the connection ends once what was sent before it has
///   been answered.
/// - `AnswerLost`: the connection ends once the server has answered all that was sent.
/// - `AnswerTruncated`: the same, and half of the first answer arrives, of one above 32 KiB half of that.
/// - `AnswerGarbled`: RESP: `[[-7]]` in place of each answer, which is well formed and answers no command.
/// - `FailureReported`: RESP: `-ERR` with a text of no server in place of each answer.
/// - `BulkAnswerImplausible`: RESP: all keys of a `DEL` or `UNLINK` of several keys are removed, and the answer is -1.
/// - `PageEmpty`, `PageStandsStill`, `PageInCircles`: RESP: answers to `SCAN`. A cursor of zero is given back as 2^51,
///   since zero would be the end.
///
/// For [`inject_into_writes`](Faults::inject_into_writes) a write is any command that is not known to read: so `EVAL`,
/// `EVALSHA` and `FCALL` are writes, and with `_RO` they are not. `MULTI` counts as one.
///
/// # Limits
/// No TLS: what it cannot read it cannot count. After `SUBSCRIBE`, `MONITOR`, `SYNC` and `CLIENT REPLY` a connection is
/// passed on as it is. What is no message of the protocol ends the connection.
#[derive(Clone)]
pub struct Link {
    running: Arc<Running>,
}

struct Running {
    address: SocketAddr,
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
        Self::with_common_orders(server, protocol, Arc::default())
    }

    fn with_common_orders(server: SocketAddr, protocol: Protocol, common: Arc<Orders>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared::of(common));
        let (port, listener) = {
            let _inside = runtime.enter();
            let port = Port::new()?;
            let listener = port.open()?;
            (port, listener)
        };
        let address = port.address;
        let (orders, asked) = unbounded_channel();
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name(format!("link {}", address.port())).spawn(move || {
            let server = Server {
                server,
                protocol,
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
            runtime.block_on(LocalSet::new().run_until(server.run(asked)));
        })?;
        Ok(Self { running: Arc::new(Running { address, shared, orders: Some(orders), thread: Some(thread) }) })
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

    /// How many single commands they had. With RESP each command of a pipeline counts.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.running.shared.commands()
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

    /// The next `count` requests are answered by the link, and the server gets nothing of them. With RESP `text` is the
    /// error without its `-`, such as `READONLY You can't write against a read only replica.` and each command of the
    /// request gets it. What was ordered before is forgotten; zero ends it.
    pub fn answer_with(&self, text: &str, count: u32) {
        self.accept();
        self.running.shared.orders.give(Deed::Answer(answer(text)), count, false);
    }

    /// The same for the next `count` requests that change something.
    pub fn answer_writes_with(&self, text: &str, count: u32) {
        self.accept();
        self.running.shared.orders.give(Deed::Answer(answer(text)), count, true);
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

/// An error of RESP. A line is all it can be.
fn answer(text: &str) -> Arc<[u8]> {
    let line: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    Arc::from(format!("-{line}\r\n").as_bytes())
}

impl Faults for Link {
    fn offers(&self, fault: Fault) -> bool {
        matches!(
            fault,
            Fault::Refused
                | Fault::Throttled
                | Fault::RequestLost
                | Fault::AnswerLost
                | Fault::AnswerTruncated
                | Fault::AnswerGarbled
                | Fault::FailureReported
                | Fault::BulkAnswerImplausible
                | Fault::PageEmpty
                | Fault::PageStandsStill
                | Fault::PageInCircles
        )
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

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.running.address).finish_non_exhaustive()
    }
}
