//! The server: takes connections, carries their messages to the system, and breaks what it was ordered to.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use fastrand::Rng;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

use super::connection;
use super::message::Message;
use super::outbox::{self, Last, Outbox};
use super::system::{self, Answer, Reaction, System};
use crate::chance::{self, Chance};
use crate::fault::{Applied, Fault};
use crate::order::{Order, Orders};
use crate::server::EXCHANGES_MAX;

/// How many connections there can be at a time; the next waits until one ends.
const CONNECTIONS_MAX: usize = 10_000;

/// What [`Fault::Garbage`] sends: it begins like an answer and ends in the middle of a string.
const GARBAGE: &str = r#"{"SET_RSP":{"k":"user_ke"#;

pub(super) type Observer = Arc<dyn Fn(&Message) + Send + Sync>;

/// What a server is set up with.
pub(super) struct Settings {
    pub(super) max_message_bytes: usize,
    pub(super) latency: Duration,
    pub(super) spread: Duration,
    pub(super) ping_after: Duration,
    pub(super) seed: u64,
    pub(super) crashes_on_early_close: bool,
    pub(super) observer: Option<Observer>,
}

/// What becomes of the data when a server is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// It is there again, as no real server of this version can have it.
    Kept,
    /// It is lost, as on a real server, and the count of messages starts again.
    Lost,
}

/// A fake that listens on 127.0.0.1, on a thread of its own. Clones are the same server; it ends when the last one is
/// dropped, and clients that are connected then are freed.
#[derive(Clone)]
pub struct Server {
    running: Arc<Running>,
}

struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// `None` only while it is being dropped: its end is what ends the thread.
    orders: Option<mpsc::Sender<Control>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.orders = None;
        // The observer runs on the thread of the server and may hold the last handle; it cannot wait for itself.
        if let Some(thread) = self.thread.take().filter(|server| server.thread().id() != thread::current().id()) {
            // A panic there has been reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Server {
    pub(super) fn start(settings: Settings, port: u16) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                system: System::default(),
                random: Rng::with_seed(settings.seed),
                orders: Orders::default(),
                chance: None,
                drops_one_in: 0,
                requests: 0,
                messages: VecDeque::new(),
                connections: 0,
                refuse: 0,
                severed: 0,
                closes_with_answers_due: 0,
            }),
            settings,
            crashed: Notify::new(),
            severed: Notify::new(),
        });
        let (orders, received) = mpsc::channel(16);
        let serving = serve(address, listener, Arc::clone(&shared), received);
        let thread = thread::Builder::new().name("fake of NemesisDB".to_owned()).spawn(move || {
            runtime.block_on(serving);
        })?;
        Ok(Self { running: Arc::new(Running { address, shared, orders: Some(orders), thread: Some(thread) }) })
    }

    /// The address of the WebSocket, with a slash at the end: `ws://127.0.0.1:1987/`. Every other path serves as well.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/", self.running.address)
    }

    /// The address as a store is opened with: `nemesisdb://127.0.0.1:1987`.
    #[must_use]
    pub fn store_url(&self) -> String {
        format!("nemesisdb://{}", self.running.address)
    }

    /// How many messages have reached the server, those it ignores and the broken ones included. Pings do not count,
    /// and what is too long is not taken in.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// The messages that have reached the server, oldest first, at most [`EXCHANGES_MAX`] of them.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.lock().messages.iter().cloned().collect()
    }

    /// How many connections have been upgraded since the fake was served.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.lock().connections
    }

    /// How often a client closed while it still had answers to get, which ends the process of a real server.
    ///
    /// Counted are a close frame and an end without one while an answer has not been sent, and an end with answers left
    /// unread. An answer is sent within microseconds and may then be on its way, so a test that has to catch a
    /// hasty client sets a latency.
    #[must_use]
    pub fn closes_with_answers_due(&self) -> u64 {
        self.lock().closes_with_answers_due
    }

    /// The keys that exist, sorted by their bytes.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.lock().system.keys()
    }

    /// The next `count` messages that `fault` fits meet it; what was ordered before is forgotten. Zero ends it. What
    /// each fault looks like here is in the [module](super).
    pub fn inject(&self, fault: Fault, count: u32) {
        self.order(Order { unharmed: 0, fault, left: count, writes_only: false });
    }

    /// The same for the next `count` messages that ask for a change: SET, ADD, RMV, CLEAR and RNM_KEY.
    pub fn inject_into_writes(&self, fault: Fault, count: u32) {
        self.order(Order { unharmed: 0, fault, left: count, writes_only: true });
    }

    /// As [`inject`](Self::inject), but the next `unharmed` messages are served as usual first, whatever they are.
    pub fn inject_after(&self, unharmed: u32, fault: Fault, count: u32) {
        self.order(Order { unharmed, fault, left: count, writes_only: false });
    }

    fn order(&self, order: Order) {
        self.lock().orders.give(order);
    }

    /// How many messages are still to meet the fault that was ordered last.
    #[must_use]
    pub fn faults_left(&self) -> u32 {
        self.lock().orders.left()
    }

    /// From now on `per_mille` of 1000 messages, by chance, meet a fault: a `SERVER_ERROR` and a dropped connection,
    /// before and after the message was carried out, all equally often. Zero ends it. The chances follow the seed: the
    /// same messages one after the other meet the same faults. One that meets a fault that was ordered is not
    /// concerned.
    pub fn inject_at_random(&self, seed: u64, per_mille: u32) {
        self.lock().chance = Some(Chance::new(seed, per_mille, chance::OF_MESSAGES));
    }

    /// From now on one message in `one_in`, by chance, costs its connection: before it is carried out, or after that
    /// with none, some or all of its answers sent. Zero ends it. The chances follow the seed.
    pub fn drop_at_random(&self, one_in: u32) {
        self.lock().drops_one_in = one_in;
    }

    /// Drops all connections without a close frame, and the next `count` before they are upgraded. What comes over the
    /// old ones from now on is not carried out. Zero ends it, and drops nothing.
    pub fn refuse_connections(&self, count: u32) {
        let mut state = self.lock();
        state.refuse = count;
        if count > 0 {
            state.severed = state.connections;
            self.running.shared.severed.notify_one();
        }
    }

    /// Drops all connections without a close frame. Ended when this returns.
    pub async fn disconnect(&self) {
        self.tell(Control::Disconnect).await;
    }

    /// Drops all connections without a close frame and listens no more: to connect is refused until
    /// [`restart`](Self::restart). Ended when this returns.
    pub async fn stop(&self) {
        self.tell(Control::Stop).await;
    }

    /// [`stop`](Self::stop), if it has not stopped or crashed, and then a start on the same port.
    ///
    /// # Errors
    /// What listening on the port ran into; another program may have taken it meanwhile. The server then stays stopped.
    pub async fn restart(&self, data: Data) -> io::Result<()> {
        // Without an answer the thread has ended, and so has this server.
        self.tell(|done| Control::Restart(data, done)).await.unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
    }

    async fn tell<T>(&self, control: impl FnOnce(oneshot::Sender<T>) -> Control) -> Option<T> {
        let (done, answer) = oneshot::channel();
        self.running.orders.as_ref()?.send(control(done)).await.ok()?;
        answer.await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.running.shared.lock()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("url", &self.url()).finish_non_exhaustive()
    }
}

/// What the thread of a server is told, and whom it tells when it is done.
enum Control {
    Disconnect(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
    Restart(Data, oneshot::Sender<io::Result<()>>),
}

/// Runs until the last handle is gone.
async fn serve(address: SocketAddr, listener: TcpListener, shared: Arc<Shared>, mut received: mpsc::Receiver<Control>) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        // In this order, so that what has to go has gone before a new client comes.
        tokio::select! {
            biased;
            () = shared.severed.notified() => connections.shutdown().await,
            () = shared.crashed.notified() => {
                listener = None;
                connections.shutdown().await;
            }
            control = received.recv() => match control {
                None => return,
                // A client that no longer waits needs no answer.
                Some(Control::Disconnect(done)) => {
                    connections.shutdown().await;
                    let _ = done.send(());
                }
                Some(Control::Stop(done)) => {
                    listener = None;
                    connections.shutdown().await;
                    let _ = done.send(());
                }
                Some(Control::Restart(data, done)) => {
                    drop(listener.take());
                    connections.shutdown().await;
                    if data == Data::Lost {
                        shared.lock().system = System::default();
                    }
                    let bound = TcpListener::bind(address).await;
                    let _ = done.send(bound.map(|bound| listener = Some(bound)));
                }
            },
            stream = accept(listener.as_ref()), if connections.len() < CONNECTIONS_MAX => {
                if !shared.refuses() {
                    connections.spawn(connection::serve(stream, Arc::clone(&shared)));
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// The next connection; none ever comes to a server that does not listen.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        // A connection that went away before it was taken does not count.
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
        tokio::task::yield_now().await;
    }
}

/// What the handles and the connections share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    state: Mutex<State>,
    /// A client has done what ends a real server.
    crashed: Notify,
    /// The connections there are have to go.
    severed: Notify,
}

struct State {
    system: System,
    random: Rng,
    orders: Orders,
    chance: Option<Chance>,
    drops_one_in: u32,
    requests: u64,
    messages: VecDeque<Message>,
    connections: u64,
    refuse: u32,
    /// Connections up to this number are about to be dropped.
    severed: u64,
    closes_with_answers_due: u64,
}

/// What becomes of a message.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// In the order in which they are sent.
    pub(super) answers: Vec<Answer>,
    /// How much later than otherwise.
    pub(super) delay: Duration,
    /// What ends the connection after them.
    pub(super) last: Option<Last>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic has already failed the test that caused it; the others go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the connection that has just come is to be dropped.
    fn refuses(&self) -> bool {
        let mut state = self.lock();
        let refuses = state.refuse > 0;
        state.refuse = state.refuse.saturating_sub(1);
        refuses
    }

    /// The number of a new connection, and where its answers go.
    pub(super) fn connected(&self) -> (u64, Outbox) {
        let mut state = self.lock();
        state.connections += 1;
        let outbox = Outbox::new(state.random.fork(), self.settings.spread);
        (state.connections, outbox)
    }

    pub(super) fn closed_early(&self) {
        let mut state = self.lock();
        state.closes_with_answers_due += 1;
        if self.settings.crashes_on_early_close {
            // Nothing is left and nothing goes on, however long it takes until the connections have gone.
            state.system = System::default();
            state.severed = state.connections;
            self.crashed.notify_one();
        }
    }

    /// Counts and logs a message that the system says nothing to: a binary or an empty one.
    pub(super) fn ignored(&self, connection: u64, bytes: usize) {
        let message = Message { connection, command: String::new(), keys: Vec::new(), bytes, answers: 0 };
        let mut state = self.lock();
        state.requests += 1;
        self.log(&mut state, message);
    }

    /// Carries out a text message that is not empty.
    pub(super) fn decide(&self, connection: u64, text: &str) -> Decision {
        let asked = system::asked(text);
        let mut state = self.lock();
        state.requests += 1;
        let decision = if connection <= state.severed {
            Decision { last: Some(Last::Cut), ..Decision::default() }
        } else {
            state.decide(text, asked.is_write())
        };
        let message = Message {
            connection,
            command: asked.command,
            keys: asked.keys,
            bytes: text.len(),
            answers: decision.answers.len(),
        };
        self.log(&mut state, message);
        decision
    }

    fn log(&self, state: &mut State, message: Message) {
        if let Some(observer) = &self.settings.observer {
            observer(&message);
        }
        if state.messages.len() == EXCHANGES_MAX {
            state.messages.pop_front();
        }
        state.messages.push_back(message);
    }
}

impl State {
    fn decide(&mut self, text: &str, is_write: bool) -> Decision {
        let fault = self.orders.next(|| is_write);
        match fault.and_then(|fault| self.decide_faulty(fault, text)) {
            Some(decision) => {
                self.orders.met();
                decision
            }
            None => self.decide_by_chance(text),
        }
    }

    fn decide_by_chance(&mut self, text: &str) -> Decision {
        let fault = self.chance.as_mut().and_then(Chance::next);
        fault.and_then(|fault| self.decide_faulty(fault, text)).unwrap_or_else(|| self.carry_out_or_drop(text))
    }

    fn carry_out_or_drop(&mut self, text: &str) -> Decision {
        if self.drops_one_in == 0 || self.random.u32(0..self.drops_one_in) > 0 {
            return self.carry_out(text);
        }
        if self.random.bool() {
            return Decision { last: Some(Last::Cut), ..Decision::default() };
        }
        let mut decision = self.carry_out(text);
        let sent = self.random.usize(0..=decision.answers.len());
        decision.answers.truncate(sent);
        decision.last = Some(Last::Cut);
        decision
    }

    fn carry_out(&mut self, text: &str) -> Decision {
        let reaction = self.system.receive(text);
        self.answered(reaction)
    }

    fn answered(&mut self, reaction: Reaction) -> Decision {
        let mut answers = reaction.answers;
        outbox::shuffle(&mut answers, &mut self.random);
        Decision { answers, last: reaction.drops_connection.then_some(Last::Drop), ..Decision::default() }
    }

    /// `None` when the fault does not fit; then nothing has been carried out.
    fn decide_faulty(&mut self, fault: Fault, text: &str) -> Option<Decision> {
        let instead = |answer: Answer| Decision { answers: vec![answer], ..Decision::default() };
        match fault {
            Fault::ServerError { applied, .. } => {
                self.apply(applied, text);
                Some(instead(system::failure()))
            }
            Fault::Slow { delay } => Some(Decision { delay, ..self.carry_out(text) }),
            Fault::Silent { applied } => {
                self.apply(applied, text);
                Some(Decision::default())
            }
            Fault::Cut { applied } => {
                self.apply(applied, text);
                Some(Decision { last: Some(Last::Cut), ..Decision::default() })
            }
            Fault::Truncated => {
                let mut answers = self.carry_out(text).answers;
                let mut rest = answers.split_off(answers.len() / 2).into_iter();
                let last = rest.next().map_or(Last::Cut, |half| Last::Torn(half.text));
                Some(Decision { answers, last: Some(last), ..Decision::default() })
            }
            Fault::Garbage => {
                self.apply(Applied::Yes, text);
                Some(instead(Answer { order: system::Order::Barrier, text: GARBAGE.to_owned() }))
            }
            Fault::Implausible => {
                let reaction = self.system.receive_implausibly(text)?;
                Some(self.answered(reaction))
            }
            // The others are about pages, rates and words that this system does not have.
            _ => None,
        }
    }

    fn apply(&mut self, applied: Applied, text: &str) {
        if applied == Applied::Yes {
            self.system.receive(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServerOptions;
    use crate::nemesisdb::Fake;

    #[tokio::test]
    async fn what_comes_over_a_connection_that_has_to_go_is_not_carried_out() {
        let server = Fake::new().serve(ServerOptions::new()).await.unwrap();
        let shared = &server.running.shared;
        let (connection, _) = shared.connected();
        assert_eq!(shared.decide(connection, r#"{"SET":{"user_key_1":1}}"#).answers.len(), 1);
        server.refuse_connections(1);
        let decision = shared.decide(connection, r#"{"SET":{"user_key_2":1}}"#);
        assert_eq!((decision.answers.len(), decision.last), (0, Some(Last::Cut)));
        let (connection, _) = shared.connected();
        assert_eq!(shared.decide(connection, r#"{"SET":{"user_key_3":1}}"#).answers.len(), 1);
        assert_eq!(server.keys(), ["user_key_1", "user_key_3"]);
    }
}
