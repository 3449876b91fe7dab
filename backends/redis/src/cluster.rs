//! A cluster: which node a command goes to, and where that sends it. A redirect is certain: the node has not carried
//! the command out. Nothing else is repeated here but what a replica was to read, which its master then reads.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, Shared, join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use kv_api::{Error, ErrorKind, Result, Retry};
use redis::{Cmd, Value};

use crate::client::{Answers, Client};
use crate::config::Node;
use crate::connection::{Address, Door};
use crate::list::{Place, lost};
use crate::servers::Step;
use crate::wire::command::{self, only_reads};
use crate::wire::error::not_in_time;
use crate::wire::reply::{scanned, sized, unexpected};
use crate::wire::slot::slot_of_command;
use crate::wire::topology::{self, Master, Redirect, Topology, is_of_another_topology, redirect};

/// How often one command is sent on. In a cluster at rest it takes one, while a slot is on its way two.
const REDIRECTS_MAX: usize = 5;

/// How many nodes are asked at once for the topology.
const ASKED_MAX: usize = 16;

/// How many nodes that are neither masters, nor replicas, nor named at the beginning have a client at once: those that slots are on
/// their way to.
const STRANGERS_MAX: usize = 64;

/// After how long the topology is looked at again where replicas are read: nothing else shows that one was added, or
/// that a node which lost its slots has become a replica.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The nodes of a cluster.
pub(crate) struct Cluster(Arc<Inner>);

struct Inner {
    seeds: Vec<Node>,
    door: Door,
    state: Mutex<State>,
}

type Look = Shared<BoxFuture<'static, Result<Arc<Topology>>>>;

struct State {
    topology: Arc<Topology>,
    /// It may be another one by now.
    is_suspect: bool,
    /// When it was looked at last, by the timer.
    looked_at: Duration,
    /// The look under way, which all that wait for it share.
    look: Option<Look>,
    clients: HashMap<Node, Arc<Client>>,
    /// Replicas that did not answer, and until when they are not asked, by the timer.
    resting: HashMap<Node, Duration>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = self.0.seeds.iter().map(Node::authority).collect();
        f.debug_struct("Cluster").field("seeds", &nodes).finish_non_exhaustive()
    }
}

/// A command under way, and where it goes.
struct Routed {
    cmd: Cmd,
    node: Node,
    /// The slot is on its way to that node, which is to be asked all the same.
    asking: bool,
    /// The node is a replica of this one, which is asked when that does not answer.
    master: Option<Node>,
}

impl Cluster {
    /// Connects to these nodes until one says what the cluster looks like.
    ///
    /// # Errors
    /// The first node's where none does.
    pub(crate) async fn open(seeds: Vec<Node>, door: Door) -> Result<Self> {
        let cluster = Self(Arc::new(Inner { seeds, door, state: Mutex::new(State::unknown()) }));
        cluster.topology().await?;
        Ok(cluster)
    }

    /// Sends one command to the node of its key.
    pub(crate) async fn one(&self, cmd: Cmd) -> Result<Value> {
        self.many(vec![cmd]).await.pop().unwrap_or_else(|| Err(unexpected()))
    }

    /// Sends commands to the nodes of their keys, side by side: one pipeline for each node, none over several.
    pub(crate) async fn many(&self, cmds: Vec<Cmd>) -> Vec<Result<Value>> {
        let topology = match self.topology().await {
            Ok(topology) => topology,
            Err(error) => return cmds.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut results: Vec<Option<Result<Value>>> = cmds.iter().map(|_| None).collect();
        let mut open = Vec::with_capacity(cmds.len());
        for (at, cmd) in cmds.into_iter().enumerate() {
            match slot_of_command(&cmd).and_then(|slot| Some((slot, topology.master_of(slot)?))) {
                Some((slot, master)) => open.push((at, self.0.route(cmd, slot, master))),
                None => {
                    self.suspect();
                    results[at] = Some(Err(unserved()));
                }
            }
        }
        for _ in 0..=REDIRECTS_MAX {
            if open.is_empty() {
                break;
            }
            open = self.round(open, &mut results).await;
        }
        open.into_iter().for_each(|(at, _)| results[at] = Some(Err(sent_around())));
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(unexpected()))).collect()
    }

    /// Sends each command once, and gives back those that are to be sent on.
    async fn round(&self, open: Vec<(usize, Routed)>, results: &mut [Option<Result<Value>>]) -> Vec<(usize, Routed)> {
        // What a replica is to read goes apart from what a node gets as a master.
        let mut groups: HashMap<(Node, bool), Vec<(usize, Routed)>> = HashMap::new();
        for (at, routed) in open {
            groups.entry((routed.node.clone(), routed.master.is_some())).or_default().push((at, routed));
        }
        let sending = groups.into_iter().map(|((node, is_replica), group)| async move {
            let client = self.0.client(&node);
            let replies =
                if is_replica { self.send_in_time(&client, &node, &group).await } else { send(&client, &group).await };
            (node, group, replies)
        });
        let mut again = Vec::new();
        for (node, group, replies) in join_all(sending).await {
            let replies = match replies {
                Ok(replies) => replies,
                Err(error) => {
                    // It may be gone, and another in its place.
                    self.suspect();
                    if group.iter().any(|(_, routed)| routed.master.is_some()) {
                        self.0.rest(node);
                    }
                    for (at, routed) in group {
                        match routed.instead() {
                            Some(of_master) => again.push((at, of_master)),
                            None => results[at] = Some(Err(error.clone())),
                        }
                    }
                    continue;
                }
            };
            for ((at, routed), reply) in group.into_iter().zip(replies) {
                match redirect(&reply, &node) {
                    Some(Redirect::Moved(node)) => {
                        self.suspect();
                        again.push((at, Routed { node, asking: false, master: None, ..routed }));
                    }
                    Some(Redirect::Ask(node)) => {
                        again.push((at, Routed { node, asking: true, master: None, ..routed }));
                    }
                    None => {
                        if is_of_another_topology(&reply) {
                            self.suspect();
                            if routed.master.is_some() {
                                self.0.rest(node.clone());
                                again.extend(routed.instead().map(|of_master| (at, of_master)));
                                continue;
                            }
                        }
                        results[at] = Some(Ok(reply));
                    }
                }
            }
        }
        again
    }

    /// Sends commands to a replica, which has half of the time of an attempt: the other half is its master's.
    async fn send_in_time(&self, client: &Client, node: &Node, group: &[(usize, Routed)]) -> Result<Vec<Value>> {
        let door = &self.0.door;
        match select(pin!(send(client, group)), door.timer.sleep(door.patience / 2)).await {
            Either::Left((replies, _)) => replies,
            Either::Right(_) => Err(not_in_time(&node.authority())),
        }
    }

    /// Takes a step of a list, on one master after the other. Any other topology than that in which the list began
    /// could hide keys: they move from a node that is still to come to one that was listed.
    pub(crate) async fn scan(&self, place: &Place, pattern: &str, count: usize) -> Result<Step> {
        let topology = self.topology().await?;
        let master = match &place.node {
            Some((id, _)) => topology.master(id).ok_or_else(|| self.gone())?,
            None => topology.masters.first().ok_or_else(unserved)?,
        };
        let cmds = vec![command::scan(place.cursor, pattern, count).cmd, command::size().cmd, topology::ask()];
        let client = self.0.client(&master.node);
        let sent = client.many_in_run(cmds, place.run.clone()).await;
        let Answers { replies, run } = sent.inspect_err(|_| self.suspect())?;
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or_default();
        let (cursor, keys) = scanned(next())?;
        let size = sized(next())?;
        let view = Topology::read(next(), &master.node)?;
        if view.has_open_slots {
            let message = "slots of the cluster are on their way to another node, and a list could miss keys";
            return Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Safe));
        }
        let is_same = place.node.as_ref().is_none_or(|(_, fingerprint)| *fingerprint == view.fingerprint);
        if !is_same || !view.is_of_master(&master.id) {
            return Err(self.gone());
        }
        let on_node = |id: &str| Some((id.to_owned(), view.fingerprint.clone()));
        let here = Place { node: on_node(&master.id), ..place.clone() };
        let next = match here.after_step(run?, cursor, count, size)? {
            Some(next) => Some(next),
            None => view.master_after(&master.id).map(|next| Place { node: on_node(&next.id), ..Place::default() }),
        };
        Ok(Step { keys, next })
    }

    /// Waits until all connections are closed (LIFE-2).
    pub(crate) async fn close(&self) {
        let clients: Vec<_> = self.0.lock().clients.values().map(Arc::clone).collect();
        join_all(clients.iter().map(|client| client.close())).await;
    }

    fn gone(&self) -> Error {
        self.suspect();
        lost("the cluster has other masters than when the list began")
    }

    /// Before the next command the topology is looked at.
    fn suspect(&self) {
        self.0.lock().is_suspect = true;
    }

    async fn topology(&self) -> Result<Arc<Topology>> {
        let look = {
            let mut state = self.0.lock();
            if !state.is_suspect && !self.0.is_old(&state) {
                return Ok(Arc::clone(&state.topology));
            }
            state.look.get_or_insert_with(|| look(Arc::downgrade(&self.0)).boxed().shared()).clone()
        };
        look.await
    }
}

impl Routed {
    /// To the master, in place of a replica that did not answer.
    fn instead(self) -> Option<Self> {
        self.master.map(|node| Self { cmd: self.cmd, node, asking: false, master: None })
    }
}

/// Sends commands to one node, as one pipeline.
async fn send(client: &Client, group: &[(usize, Routed)]) -> Result<Vec<Value>> {
    if let [(_, Routed { cmd, asking: false, .. })] = group {
        return Ok(vec![client.one(cmd.clone()).await?]);
    }
    let mut cmds = Vec::with_capacity(group.len());
    for (_, Routed { cmd, asking, .. }) in group {
        if *asking {
            cmds.push(redis::cmd("ASKING"));
        }
        cmds.push(cmd.clone());
    }
    let mut replies = client.many(cmds).await?.replies.into_iter();
    let mut own = Vec::with_capacity(group.len());
    for (_, Routed { asking, .. }) in group {
        if *asking {
            drop(replies.next());
        }
        own.push(replies.next().ok_or_else(unexpected)?);
    }
    Ok(own)
}

/// Asks all nodes that are known, and takes the first answer that is whole and of one that is not cut off from the
/// others, or else the first. It holds the cluster weakly, which holds it.
async fn look(inner: Weak<Inner>) -> Result<Arc<Topology>> {
    let closed = || Error::new(ErrorKind::Closed, "the store was closed");
    let (nodes, mut asked) = {
        let inner = inner.upgrade().ok_or_else(closed)?;
        let nodes = inner.known_nodes();
        let ask = |node: &Node| {
            let (client, node) = (inner.client(node), node.clone());
            async move { Topology::read(client.one(topology::ask()).await?, &node) }
        };
        let asked: FuturesUnordered<_> = nodes.iter().map(ask).collect();
        (nodes, asked)
    };
    let (mut part, mut refused) = (None, None);
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(topology) if topology.is_whole() && topology.is_of_majority => {
                part = Some(topology);
                break;
            }
            Ok(topology) => part = part.or(Some(topology)),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    let inner = inner.upgrade().ok_or_else(closed)?;
    let now = inner.now();
    let mut state = inner.lock();
    state.look = None;
    match part {
        Some(topology) => {
            let topology = Arc::new(topology);
            state.is_suspect = false;
            state.looked_at = now;
            state.topology = Arc::clone(&topology);
            state.keep_known(&nodes);
            state.resting.retain(|node, _| topology.masters.iter().any(|master| master.replicas.contains(node)));
            Ok(topology)
        }
        None => Err(refused.unwrap_or_else(unserved)),
    }
}

impl State {
    fn unknown() -> Self {
        Self {
            topology: Arc::new(Topology::unknown()),
            is_suspect: true,
            looked_at: Duration::ZERO,
            look: None,
            clients: HashMap::new(),
            resting: HashMap::new(),
        }
    }

    /// Lets go of the clients of all nodes but the masters, their replicas and these. They end when nothing is under way
    /// on them.
    fn keep_known(&mut self, nodes: &[Node]) {
        let is_of = |master: &Master, node: &Node| master.node == *node || master.replicas.contains(node);
        let masters = &self.topology.masters;
        self.clients.retain(|node, _| nodes.contains(node) || masters.iter().any(|master| is_of(master, node)));
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way, so a poisoned lock still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the topology is looked at though nothing says that it is another one.
    fn is_old(&self, state: &State) -> bool {
        self.door.read_from_replicas && self.now().saturating_sub(state.looked_at) >= LOOK_AGAIN_AFTER
    }

    fn now(&self) -> Duration {
        self.door.timer.monotonic_now()
    }

    /// The client of a node. It connects when it is first asked.
    fn client(&self, node: &Node) -> Arc<Client> {
        let mut state = self.lock();
        let known: usize = state.topology.masters.iter().map(|master| 1 + master.replicas.len()).sum();
        let room = known + self.seeds.len() + STRANGERS_MAX;
        if state.clients.len() >= room && !state.clients.contains_key(node) {
            state.keep_known(&self.seeds);
        }
        let client = state.clients.entry(node.clone()).or_insert_with_key(|node| {
            Arc::new(Client::start(Address { node: node.clone(), door: self.door.clone() }))
        });
        Arc::clone(client)
    }

    /// Where a command goes first: to the master of its slot, or, where that may be, to a replica of it. It is the same
    /// replica for the same slot while nothing changes, so that what was seen of a key is not unseen by the next read.
    fn route(&self, cmd: Cmd, slot: u16, master: &Master) -> Routed {
        let replica = if self.door.read_from_replicas && only_reads(&cmd) { self.replica(slot, master) } else { None };
        let of_master = || master.node.clone();
        match replica {
            Some(node) => Routed { cmd, node, asking: false, master: Some(of_master()) },
            None => Routed { cmd, node: of_master(), asking: false, master: None },
        }
    }

    fn replica(&self, slot: u16, master: &Master) -> Option<Node> {
        let replicas = &master.replicas;
        let first = usize::from(slot).checked_rem(replicas.len())?;
        let (now, resting) = (self.now(), &self.lock().resting);
        let is_awake = |node: &&Node| resting.get(*node).is_none_or(|until| *until <= now);
        replicas[first..].iter().chain(&replicas[..first]).find(is_awake).cloned()
    }

    /// Has a replica not asked for as long as an attempt may take.
    fn rest(&self, node: Node) {
        let until = self.now().saturating_add(self.door.patience);
        self.lock().resting.insert(node, until);
    }

    fn known_nodes(&self) -> Vec<Node> {
        let topology = Arc::clone(&self.lock().topology);
        let masters = topology.masters.iter().map(|master| &master.node);
        let mut nodes: Vec<Node> = Vec::new();
        for node in masters.take(ASKED_MAX / 2).chain(&self.seeds) {
            if nodes.len() < ASKED_MAX && !nodes.contains(node) {
                nodes.push(node.clone());
            }
        }
        nodes
    }
}

/// No node is known to serve the slot.
fn unserved() -> Error {
    Error::new(ErrorKind::Unavailable, "no node of the cluster serves the key").with_retry(Retry::Safe)
}

fn sent_around() -> Error {
    let message = "the nodes of the cluster send the command from one to the other";
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Safe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RedisConfig;
    use crate::connection::Mode;
    use std::time::Duration;

    #[tokio::test]
    async fn redirects_to_ever_new_nodes_leave_no_more_clients_than_a_few() {
        let RedisConfig { login, .. } = RedisConfig::new("localhost", 1).unwrap();
        let (timer, patience) = (Arc::new(kv_api::TokioTimer), Duration::from_secs(1));
        let (mode, read_from_replicas) = (Mode::Cluster, false);
        let door = Door { mode, tls: None, login, read_from_replicas, answer_bytes_max: 1, timer, patience };
        let seeds = vec![Node::new("localhost", 1).unwrap()];
        let inner = Inner { seeds, door, state: Mutex::new(State::unknown()) };
        let seed = inner.client(&inner.seeds[0]);
        for port in 2..10_000 {
            inner.client(&Node::new("localhost", port).unwrap());
            assert!(inner.lock().clients.len() <= 1 + STRANGERS_MAX);
        }
        assert!(Arc::ptr_eq(&seed, &inner.client(&inner.seeds[0])), "one that is known stays");
    }
}
