//! The thread of a link: takes connections, and does what is ordered between two steps of theirs.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use kv_api::{Timer, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::count::Shared;
use crate::dialect::dialect;
use crate::stream::ServerStream;
use crate::target::{Connector, Target};

/// How many connections there can be at a time; the next waits until one ends.
const CONNECTIONS_MAX: usize = 1_000;

/// How many clients may wait to be taken.
const BACKLOG: u32 = 1_024;

/// How long a connection that has ended waits for its client to end as well.
const LINGER: Duration = Duration::from_secs(1);

/// What a link is asked to do, while the one who asks waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Control {
    /// Ends all connections as soon as nothing is under way on them, and closes the port.
    Refuse,
    /// Opens the port, if it is closed.
    Accept,
    /// The next so many connections are taken and reset at once.
    ResetNext(u32),
    Stall(bool),
    /// Resets all connections.
    Cut,
    /// Nothing flows and the port is closed.
    Partition,
    Heal,
}

pub(crate) type Asked = (Control, mpsc::SyncSender<io::Result<()>>);

/// A port of 127.0.0.1 that can be closed and opened, and is nobody else's meanwhile.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    /// Bound, and never listened on.
    _kept: TcpSocket,
}

impl Port {
    /// A free one, closed.
    pub(crate) fn new() -> io::Result<Self> {
        let kept = bound(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self { address: kept.local_addr()?, _kept: kept })
    }

    pub(crate) fn open(&self) -> io::Result<TcpListener> {
        bound(self.address)?.listen(BACKLOG)
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// What the thread of a link holds.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) target: Arc<Target>,
    pub(crate) connector: Arc<Connector>,
    pub(crate) port: Port,
    pub(crate) listener: Option<TcpListener>,
    pub(crate) shared: Arc<Shared>,
    /// Some connection is gone.
    pub(crate) gone: Rc<Notify>,
    pub(crate) open: Vec<Weak<RefCell<Connection>>>,
    pub(crate) resets: u32,
    pub(crate) is_stalled: bool,
    pub(crate) is_refusing: bool,
    pub(crate) is_partitioned: bool,
}

impl Server {
    /// Runs until the last handle is gone.
    pub(crate) async fn run(mut self, mut orders: UnboundedReceiver<Asked>) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                asked = orders.recv() => {
                    let Some((control, done)) = asked else { return };
                    let outcome = self.obey(control).await;
                    // One who no longer waits needs no answer.
                    let _ = done.send(outcome);
                }
                client = accept(self.listener.as_ref()), if tasks.len() < CONNECTIONS_MAX => {
                    if self.resets > 0 {
                        self.resets -= 1;
                        // Where it cannot be set the client has gone already.
                        let _ = client.set_zero_linger();
                        continue;
                    }
                    self.shared.count_connection();
                    // Answers are small, and each is waited for.
                    let _ = client.set_nodelay(true);
                    let connection = Connection::new(client, dialect(&self.target), self.is_stalled());
                    let connection = Rc::new(RefCell::new(connection));
                    self.open.push(Rc::downgrade(&connection));
                    let (server, shared) = (Arc::clone(&self.connector), Arc::clone(&self.shared));
                    let gone = Rc::clone(&self.gone);
                    tasks.spawn_local(async move {
                        carry(&connection, &server, &shared).await;
                        gone.notify_one();
                        let spared = connection.borrow_mut().take_spared();
                        drop(connection);
                        if let Some(server) = spared {
                            hear_out(server).await;
                        }
                    });
                }
                Some(_ended) = tasks.join_next() => self.open.retain(|connection| connection.strong_count() > 0),
            }
        }
    }

    async fn obey(&mut self, control: Control) -> io::Result<()> {
        match control {
            Control::Refuse => {
                self.is_refusing = true;
                self.listener = None;
                self.end_idle().await;
            }
            Control::Accept => {
                self.is_refusing = false;
                self.resets = 0;
                self.listen()?;
            }
            Control::ResetNext(count) => self.resets = count,
            Control::Stall(stall) => {
                self.is_stalled = stall;
                self.pass_on_stall();
            }
            Control::Cut => self.each(|connection| connection.borrow_mut().reset()),
            Control::Partition => {
                self.is_partitioned = true;
                self.listener = None;
                self.pass_on_stall();
            }
            Control::Heal => {
                self.is_partitioned = false;
                self.pass_on_stall();
                self.listen()?;
            }
        }
        Ok(())
    }

    fn listen(&mut self) -> io::Result<()> {
        if self.listener.is_none() && !self.is_refusing && !self.is_partitioned {
            self.listener = Some(self.port.open()?);
        }
        Ok(())
    }

    const fn is_stalled(&self) -> bool {
        self.is_stalled || self.is_partitioned
    }

    fn pass_on_stall(&self) {
        let stalled = self.is_stalled();
        self.each(|connection| connection.borrow_mut().stall(stalled));
    }

    fn each(&self, mut act: impl FnMut(&Rc<RefCell<Connection>>)) {
        self.open.iter().filter_map(Weak::upgrade).for_each(|connection| act(&connection));
    }

    /// Ends what is idle, gives its clients a moment to see it, and resets it then: a client that does not read while
    /// it is idle finds that its next write fails.
    async fn end_idle(&self) {
        let mut ended = Vec::new();
        self.each(|connection| {
            if connection.borrow_mut().end_when_idle() {
                ended.push(Rc::clone(connection));
            }
        });
        let seen = async {
            while !ended.iter().all(|connection| connection.borrow().is_gone()) {
                self.gone.notified().await;
            }
        };
        if tokio::time::timeout(self.target.protocol().time_to_take_note(), seen).await.is_err() {
            for connection in ended.iter().filter(|connection| !connection.borrow().is_gone()) {
                connection.borrow_mut().reset();
            }
        }
    }
}

/// The next client; none ever comes to a closed port.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        // A client that went away before it was taken does not count.
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
        // When there is no more room for files it fails at once, and again until one is closed.
        TokioTimer.sleep(Duration::from_millis(5)).await;
    }
}

/// A connection from its beginning to its end.
async fn carry(connection: &RefCell<Connection>, server: &Connector, shared: &Shared) {
    match server.connect().await {
        Ok(server) => connection.borrow_mut().serve_by(server),
        Err(_) => connection.borrow_mut().reset(),
    }
    poll_fn(|cx| connection.borrow_mut().poll_flow(cx, shared)).await;
    let ending = poll_fn(|cx| connection.borrow_mut().poll_end(cx));
    if tokio::time::timeout(LINGER, ending).await.is_err() {
        connection.borrow_mut().give_up();
    }
}

/// Reads and drops what a server has still to say, for a while: hanging up in the middle of it can harm a server.
async fn hear_out(mut server: ServerStream) {
    let mut dropped = [0; 4096];
    let heard = async { while matches!(server.read(&mut dropped).await, Ok(1..)) {} };
    // Whatever it says after that time is not waited for.
    let _ = tokio::time::timeout(LINGER, heard).await;
}
