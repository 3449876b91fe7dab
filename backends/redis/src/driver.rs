//! The task that owns the connection to one server: opens it when a request needs it, sends what waits as one pipeline,
//! hands out replies, watches, and replaces it.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use kv_api::{Error, ErrorKind, Reason, Result};
use kv_remote::as_not_applied;
use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::client::Answers;
use crate::connection::{Address, Connection};
use crate::wire::command::wire_bytes;
use crate::wire::error::{answer_too_long, connection_lost, lost, unreadable};

/// The most requests that go out as one pipeline, and what they may take together. One that is longer goes alone.
const GROUP_REQUESTS_MAX: usize = 128;
const GROUP_BYTES_MAX: usize = 64 * 1024;

/// How many pipelines are under way at once.
const GROUPS_MAX: usize = 64;

/// How often a request is handed to a connection that turns out to be gone before anything of it is sent.
const HANDOVERS_MAX: u8 = 2;

/// Commands that wait for their replies.
#[derive(Debug)]
pub(crate) struct Request {
    commands: Commands,
    caller: Caller,
    /// What they take on the wire.
    bytes: usize,
    handovers: u8,
}

/// One without a vector around it, since most are.
#[derive(Debug)]
enum Commands {
    One(Cmd),
    Many(Vec<Cmd>),
}

impl Commands {
    const fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(cmds) => cmds.len(),
        }
    }
}

#[derive(Debug)]
enum Caller {
    One(oneshot::Sender<Result<Value>>),
    Many {
        caller: oneshot::Sender<Result<Answers>>,
        /// The only run of the server that may be asked.
        run: Option<Arc<str>>,
    },
}

impl Request {
    pub(crate) fn one(cmd: Cmd, caller: oneshot::Sender<Result<Value>>) -> Self {
        let bytes = wire_bytes(&cmd);
        Self { commands: Commands::One(cmd), caller: Caller::One(caller), bytes, handovers: 0 }
    }

    pub(crate) fn many(commands: Vec<Cmd>, run: Option<Arc<str>>, caller: oneshot::Sender<Result<Answers>>) -> Self {
        let bytes = commands.iter().map(wire_bytes).sum();
        Self { commands: Commands::Many(commands), caller: Caller::Many { caller, run }, bytes, handovers: 0 }
    }

    /// Nobody waits for it any more.
    fn is_abandoned(&self) -> bool {
        match &self.caller {
            Caller::One(caller) => caller.is_closed(),
            Caller::Many { caller, .. } => caller.is_closed(),
        }
    }

    /// Whether a server in this run may be asked.
    fn admits(&self, actual: &Result<Arc<str>>) -> Result<()> {
        match (&self.caller, actual) {
            (Caller::Many { run: Some(run), .. }, Ok(actual)) if run != actual => Err(Error::invalid(
                Reason::CursorInvalid,
                "the server has been restarted or replaced since the cursor was made",
            )),
            (Caller::Many { run: Some(_), .. }, Err(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

impl Caller {
    // A caller that is gone wants no answer.

    fn refuse(self, error: Error) {
        match self {
            Self::One(caller) => drop(caller.send(Err(error))),
            Self::Many { caller, .. } => drop(caller.send(Err(error))),
        }
    }

    /// Takes its share of the replies.
    fn answer(self, count: usize, replies: &mut impl Iterator<Item = Value>, run: &Result<Arc<str>>) {
        match self {
            Self::One(caller) => {
                if let Some(reply) = replies.next() {
                    drop(caller.send(Ok(reply)));
                }
            }
            Self::Many { caller, .. } => {
                let replies = replies.take(count).collect();
                drop(caller.send(Ok(Answers { replies, run: run.clone() })));
            }
        }
    }
}

/// Requests that went out together.
struct Group {
    members: Vec<Member>,
    /// How many bytes had been handed to the connection before it.
    begins_at: u64,
    number: u64,
}

struct Member {
    caller: Caller,
    count: usize,
    bytes: usize,
    handovers: u8,
}

/// What a group sent, kept for the case that nothing of it is sent after all.
enum Sent {
    One(Cmd),
    Many(Pipeline),
}

type Ended = (Group, Sent, Result<Vec<Value>, RedisError>);

/// The task's state.
pub(crate) struct Driver {
    address: Arc<Address>,
    link: Link,
    requests: mpsc::Receiver<Request>,
    /// Taken from the queue and not sent.
    waiting: VecDeque<Request>,
    closing: BoxFuture<'static, ()>,
    /// Dropped with the task, which is how others learn of its end.
    _ended: watch::Sender<()>,
}

enum Link {
    /// None; the next request opens one.
    Down,
    /// Being opened, for the requests that wait.
    Opening(BoxFuture<'static, Result<Connection>>),
    Up(Box<Up>),
}

/// An open connection, and what is under way on it.
struct Up {
    connection: Connection,
    groups: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// The numbers of the groups that have gone out and have not ended, the oldest first.
    outstanding: VecDeque<u64>,
    next_number: u64,
    /// Groups with lower numbers went out in an earlier period of the watch than the last.
    overdue_below: u64,
    watch: BoxFuture<'static, ()>,
    /// How many bytes had been written before the first request.
    greeting: u64,
    /// How many bytes were handed to the connection since then.
    handed: u64,
    taken: Vec<Request>,
    /// Several callers are at work: the last pipeline had the requests of more than one.
    is_shared: bool,
    /// The callers that are ready to run have had their turn since then.
    has_yielded: bool,
    /// No further request is sent on it.
    is_stale: bool,
    /// What came for the oldest group is no reply. Of a pipeline the crate does not say so.
    is_unreadable: bool,
}

impl Driver {
    pub(crate) fn new(
        address: Address,
        connection: Option<Connection>,
        requests: mpsc::Receiver<Request>,
        closing: Arc<Notify>,
        ended: watch::Sender<()>,
    ) -> Self {
        let closing = async move { closing.notified().await }.boxed();
        let address = Arc::new(address);
        let link = connection.map_or(Link::Down, |connection| Link::Up(Box::new(Up::new(connection, &address))));
        Self { address, link, requests, waiting: VecDeque::new(), closing, _ended: ended }
    }

    /// Runs until the store is closed or dropped.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        self.requests.close();
        let closed = Error::new(ErrorKind::Closed, "the store was closed");
        while let Ok(request) = self.requests.try_recv() {
            self.waiting.push_back(request);
        }
        self.waiting.drain(..).for_each(|request| request.caller.refuse(closed.clone()));
    }

    /// Ready when there is nothing more to do but to end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.closing.poll_unpin(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            match &mut self.link {
                Link::Down => {
                    self.waiting.retain(|request| !request.is_abandoned());
                    if !self.waiting.is_empty() {
                        self.open();
                        continue;
                    }
                    match self.requests.poll_recv(cx) {
                        Poll::Ready(Some(request)) => self.waiting.push_back(request),
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Link::Opening(opening) => match opening.poll_unpin(cx) {
                    Poll::Ready(opened) => self.opened(opened),
                    Poll::Pending => return Poll::Pending,
                },
                Link::Up(up) => match up.poll(cx, &self.address, &mut self.requests, &mut self.waiting) {
                    Poll::Ready(End::Lost) => self.link = Link::Down,
                    Poll::Ready(End::Unused) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    fn open(&mut self) {
        let address = Arc::clone(&self.address);
        self.link = Link::Opening(async move { address.connect().await }.boxed());
    }

    /// Callers that waited for a connection that did not come learn it at once, and come back when the policy says so.
    fn opened(&mut self, opened: Result<Connection>) {
        match opened {
            Ok(connection) => self.link = Link::Up(Box::new(Up::new(connection, &self.address))),
            Err(error) => {
                self.link = Link::Down;
                // All are taken before the first is refused: one that comes back at once has not waited for this
                // connection.
                while let Ok(request) = self.requests.try_recv() {
                    self.waiting.push_back(request);
                }
                self.waiting.drain(..).for_each(|request| request.caller.refuse(error.clone()));
            }
        }
    }
}

/// Why a connection takes no more requests.
enum End {
    /// It is gone, or not to be relied on.
    Lost,
    /// The store was dropped, and nothing is under way.
    Unused,
}

impl Up {
    fn new(connection: Connection, address: &Arc<Address>) -> Self {
        Self {
            greeting: connection.meter.written(),
            connection,
            groups: FuturesUnordered::new(),
            outstanding: VecDeque::new(),
            next_number: 0,
            overdue_below: 0,
            watch: watch(address),
            handed: 0,
            taken: Vec::new(),
            is_shared: false,
            has_yielded: false,
            is_stale: false,
            is_unreadable: false,
        }
    }

    /// Ready when the connection takes no more requests, and all that were under way have ended.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        address: &Arc<Address>,
        requests: &mut mpsc::Receiver<Request>,
        waiting: &mut VecDeque<Request>,
    ) -> Poll<End> {
        if self.watch.poll_unpin(cx).is_ready() {
            self.watch = watch(address);
            if self.outstanding.front().is_some_and(|oldest| *oldest < self.overdue_below) {
                // No caller waits as long, and whatever is sent behind it would wait too.
                return Poll::Ready(self.give_up(waiting));
            }
            self.overdue_below = self.next_number;
        }
        loop {
            let has_sent = match self.poll_requests(cx, requests, waiting) {
                Poll::Ready(true) => true,
                Poll::Ready(false) if self.groups.is_empty() => return Poll::Ready(End::Unused),
                _ => false,
            };
            // A group that goes out is handed to the connection when it is polled first.
            let before = self.poll_groups(cx, waiting);
            if self.connection.driver.poll_unpin(cx).is_ready() {
                // It ends by itself when it does not understand what it reads.
                self.is_unreadable = !self.connection.meter.has_ended();
                return Poll::Ready(self.give_up(waiting));
            }
            let after = self.poll_groups(cx, waiting);
            let (Ok(before), Ok(after)) = (before, after) else { return Poll::Ready(self.give_up(waiting)) };
            if self.is_stale && self.groups.is_empty() {
                return Poll::Ready(End::Lost);
            }
            if !has_sent && !before && !after {
                return Poll::Pending;
            }
        }
    }

    /// Sends what waits as one pipeline: `true` when something was sent, `false` when nothing will come any more.
    fn poll_requests(
        &mut self,
        cx: &mut Context<'_>,
        requests: &mut mpsc::Receiver<Request>,
        waiting: &mut VecDeque<Request>,
    ) -> Poll<bool> {
        if self.is_stale || self.groups.len() >= GROUPS_MAX {
            return Poll::Pending;
        }
        if waiting.is_empty() {
            if self.is_shared && !self.has_yielded && !requests.is_empty() {
                // The callers whose replies came together ask again one after the other, and the first of them woke
                // this task. When it comes to the end of the line, their requests go out as one pipeline too. A lone
                // caller does not wait.
                self.has_yielded = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match requests.poll_recv_many(cx, &mut self.taken, GROUP_REQUESTS_MAX) {
                Poll::Ready(0) => return Poll::Ready(false),
                Poll::Ready(_) => waiting.extend(self.taken.drain(..)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let (mut members, mut commands, mut bytes) = (Vec::with_capacity(waiting.len()), Vec::new(), 0);
        while let Some(next) = waiting.front() {
            let has_room = members.len() < GROUP_REQUESTS_MAX && bytes + next.bytes <= GROUP_BYTES_MAX;
            if !members.is_empty() && !has_room {
                break;
            }
            let Some(request) = waiting.pop_front() else { break };
            if request.is_abandoned() {
                continue;
            }
            if let Err(error) = request.admits(&self.connection.run) {
                request.caller.refuse(error);
                continue;
            }
            let Request { commands: own, caller, bytes: own_bytes, handovers } = request;
            bytes += own_bytes;
            members.push(Member { caller, count: own.count(), bytes: own_bytes, handovers: handovers + 1 });
            match own {
                Commands::One(cmd) => commands.push(cmd),
                Commands::Many(cmds) if commands.is_empty() => commands = cmds,
                Commands::Many(cmds) => commands.extend(cmds),
            }
        }
        self.has_yielded = false;
        if !members.is_empty() {
            self.is_shared = members.len() > 1;
            self.send(members, commands, bytes);
        }
        Poll::Ready(true)
    }

    fn send(&mut self, members: Vec<Member>, mut commands: Vec<Cmd>, bytes: usize) {
        let group = Group { members, begins_at: self.handed, number: self.next_number };
        self.outstanding.push_back(self.next_number);
        self.next_number += 1;
        self.handed += bytes as u64;
        let mut requests = self.connection.requests.clone();
        let count = commands.len();
        let sent = match commands.pop() {
            Some(only) if commands.is_empty() => Sent::One(only),
            last => {
                let mut pipeline = Pipeline::with_capacity(count);
                for command in commands.into_iter().chain(last) {
                    pipeline.add_command(command);
                }
                Sent::Many(pipeline)
            }
        };
        let group = async move {
            let replies = match &sent {
                Sent::One(command) => requests.send_packed_command(command).await.map(|reply| vec![reply]),
                Sent::Many(pipeline) => requests.send_packed_commands(pipeline, 0, count).await,
            };
            (group, sent, replies)
        };
        self.groups.push(group.boxed());
    }

    /// Hands out the replies that have come: whether there were any, or an error when the connection is broken.
    fn poll_groups(&mut self, cx: &mut Context<'_>, waiting: &mut VecDeque<Request>) -> Result<bool, ()> {
        let mut has_ended = false;
        while let Poll::Ready(Some((group, sent, replies))) = self.groups.poll_next_unpin(cx) {
            has_ended = true;
            match replies {
                Ok(replies) => self.answer(group, replies),
                Err(error) => {
                    self.fail(group, &sent, &error, waiting);
                    return Err(());
                }
            }
        }
        Ok(has_ended)
    }

    fn answer(&mut self, group: Group, replies: Vec<Value>) {
        self.connection.meter.answered();
        self.outstanding.retain(|number| *number != group.number);
        // Its address may lead to another server by now.
        let is_replica = |reply: &Value| matches!(reply, Value::ServerError(error) if error.code() == "READONLY");
        self.is_stale |= replies.iter().any(is_replica);
        let mut replies = replies.into_iter();
        for Member { caller, count, .. } in group.members {
            caller.answer(count, &mut replies, &self.connection.run);
        }
    }

    /// Ends what is under way on a connection that is broken, or that nothing comes from.
    fn give_up(&mut self, waiting: &mut VecDeque<Request>) -> End {
        // Without it all that wait for replies end.
        self.connection.driver = pending().boxed();
        while let Some(Some((group, sent, replies))) = self.groups.next().now_or_never() {
            match replies {
                Ok(replies) => self.answer(group, replies),
                Err(error) => self.fail(group, &sent, &error, waiting),
            }
        }
        End::Lost
    }

    /// What was certainly not sent goes over another connection; of the rest nothing is known.
    fn fail(&mut self, group: Group, sent: &Sent, error: &RedisError, waiting: &mut VecDeque<Request>) {
        let is_oldest = self.outstanding.front() == Some(&group.number);
        let error = if is_oldest && self.connection.meter.is_exceeded() {
            answer_too_long()
        } else if is_oldest && self.is_unreadable {
            unreadable()
        } else {
            lost(error)
        };
        let written = self.connection.meter.written() - self.greeting;
        let mut commands = sent.commands();
        let mut begins_at = group.begins_at;
        for Member { caller, count, bytes, handovers } in group.members {
            let commands = Commands::Many(commands.by_ref().take(count).cloned().collect());
            let is_sent = written > begins_at;
            begins_at += bytes as u64;
            if is_sent {
                caller.refuse(error.clone());
            } else if handovers < HANDOVERS_MAX {
                waiting.push_back(Request { commands, caller, bytes, handovers });
            } else {
                caller.refuse(as_not_applied(connection_lost()));
            }
        }
    }
}

impl Sent {
    fn commands(&self) -> Box<dyn Iterator<Item = &Cmd> + '_> {
        match self {
            Self::One(command) => Box::new(std::iter::once(command)),
            Self::Many(pipeline) => Box::new(pipeline.cmd_iter()),
        }
    }
}

/// Ends after as long as an attempt of a request may take.
fn watch(address: &Arc<Address>) -> BoxFuture<'static, ()> {
    let address = Arc::clone(address);
    async move { address.door.timer.sleep(address.door.patience).await }.boxed()
}
