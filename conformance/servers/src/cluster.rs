//! A Redis Cluster of six nodes.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use tempfile::TempDir;

use crate::home::home;
use crate::ports::{BUS, free_port};
use crate::process::{PATIENCE, Patience, is_port_in_use};
use crate::redis::{Redis, RedisOptions};
use crate::time::ServerTime;
use crate::{Error, Reply, Result, Server};

const MASTERS: usize = 3;
const NODES: usize = 2 * MASTERS;
const SLOTS: usize = 16_384;

/// How a [`RedisCluster`] is set up: as [`RedisOptions`], and when a node counts as failed. By default none does, so
/// that the time may stand and jump.
#[derive(Clone, Debug)]
pub struct RedisClusterOptions {
    nodes: RedisOptions,
    node_timeout: Duration,
}

/// Longer than any test moves the time.
const NEVER: Duration = Duration::from_secs(200 * 365 * 86_400);

impl Default for RedisClusterOptions {
    fn default() -> Self {
        Self { nodes: RedisOptions::default(), node_timeout: NEVER }
    }
}

impl RedisClusterOptions {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How each node is set up.
    #[must_use]
    pub fn nodes(mut self, nodes: RedisOptions) -> Self {
        self.nodes = nodes;
        self
    }

    /// How long a node may be silent before it counts as failed and its replica takes over (`cluster-node-timeout`). The
    /// nodes measure that by their wall clock: it has to run, and a jump makes all of them suspects.
    #[must_use]
    pub const fn node_timeout(mut self, timeout: Duration) -> Self {
        self.node_timeout = timeout;
        self
    }
}

/// A private Redis Cluster on this machine: three masters with a third of the slots each, and a replica of each. It ends
/// when this is dropped, and with this process however that ends. All nodes live by one clock, which begins up to a few
/// seconds ahead of the machine's.
#[derive(Debug)]
pub struct RedisCluster {
    /// Before the folder, so that they end before the file of their clock is removed.
    nodes: Vec<Redis>,
    time: ServerTime,
    /// Whether a jump of the time makes no node suspect another.
    may_jump: bool,
    /// How it was when it began, for [`Server::renew`].
    begun: Mutex<Vec<String>>,
    _folder: TempDir,
}

impl RedisCluster {
    /// Starts one, and waits until each node serves.
    ///
    /// # Errors
    /// [`Error::Missing`] when a program is not installed; otherwise what a server said.
    pub async fn start(options: RedisClusterOptions) -> Result<Self> {
        // Another process may take a port before a node does, now and then.
        for _ in 0..10 {
            let cluster = Self::lay_out(&options)?;
            match cluster.begin().await {
                Ok(()) => return Ok(cluster),
                Err(error) if is_port_in_use(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::failed("each port was in use"))
    }

    /// The nodes, none of which is running yet.
    fn lay_out(options: &RedisClusterOptions) -> Result<Self> {
        let folder = home()?.folder("cluster-")?;
        let file = folder.path().join("time");
        let time = ServerTime::of_server(&file, options.nodes.is_real_time())?;
        let settings = options
            .nodes
            .clone()
            .of_cluster()
            .setting("cluster-enabled", "yes")
            .setting("cluster-config-file", "nodes.conf")
            .setting("cluster-node-timeout", options.node_timeout.as_millis().to_string())
            // A replica is a replica, however old what it has.
            .setting("cluster-replica-validity-factor", "0")
            .setting("repl-diskless-sync-delay", "0")
            // The longest there is: a jump of the clock is no silence of a master.
            .setting("repl-timeout", i32::MAX.to_string());
        let node = |_| {
            let folder = home()?.folder("node-")?;
            Redis::lay_out(free_port()?, settings.clone(), time.clone(), file.clone(), folder)
        };
        let nodes = (0..NODES).map(node).collect::<Result<_>>()?;
        let may_jump = !time.is_real() && options.node_timeout >= NEVER;
        Ok(Self { nodes, time, may_jump, begun: Mutex::default(), _folder: folder })
    }

    /// Starts all nodes, empty, as members of one cluster from the outset.
    async fn begin(&self) -> Result<()> {
        let ids: Vec<String> = self.nodes.iter().map(|_| format!("{:040x}", fastrand::u128(..))).collect();
        for myself in 0..NODES {
            self.nodes[myself].write("nodes.conf", &self.members(&ids, myself))?;
        }
        self.restart().await?;
        let begun = self.looks().await?;
        *self.begun() = begun;
        Ok(())
    }

    fn begun(&self) -> MutexGuard<'_, Vec<String>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a holder may have changed, beside the entries: settings, users, and who is whose master.
    async fn looks(&self) -> Result<Vec<String>> {
        try_join_all(self.nodes.iter().map(|node| async {
            let settings = node.command(&["CONFIG", "GET", "*"]).await?;
            let users = node.command(&["ACL", "LIST"]).await?;
            let masters = masters(&node.command(&["CLUSTER", "SLOTS"]).await?);
            let role = node.command(&["ROLE"]).await?.to_string();
            // Of a replica with its master; of a master without how much it has written.
            let role: Vec<_> = role.lines().take(if role.starts_with("slave") { 3 } else { 1 }).collect();
            Ok(format!("{settings}\n{users}\n{masters:?}\n{role:?}"))
        }))
        .await
    }

    /// Removes what a holder has left, without a restart.
    async fn clean(&self) -> Result<()> {
        for node in &self.nodes {
            for command in [&["CLIENT", "KILL", "TYPE", "normal"][..], &["CLIENT", "UNPAUSE"], &["SCRIPT", "FLUSH"]] {
                node.command(command).await?;
            }
        }
        for master in &self.nodes[..MASTERS] {
            master.command(&["FLUSHALL"]).await?;
            master.command(&["FUNCTION", "FLUSH"]).await?;
        }
        let mut patience = Patience::new(PATIENCE);
        for replica in &self.nodes[MASTERS..] {
            while replica.command(&["DBSIZE"]).await?.as_integer() != Some(0) {
                if !patience.pause().await {
                    return Err(Error::failed("a replica does not become empty"));
                }
            }
        }
        Ok(())
    }

    /// What a node remembers of the cluster, in the form of its own file.
    fn members(&self, ids: &[String], myself: usize) -> String {
        let mut file = String::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let is_myself = if index == myself { "myself," } else { "" };
            let port = node.address().port();
            let master = index % MASTERS;
            let (role, master_id, slots) = if index < MASTERS {
                let first = |master: usize| (master * SLOTS).div_ceil(MASTERS);
                ("master", "-", format!(" {}-{}", first(master), first(master + 1) - 1))
            } else {
                ("slave", ids[master].as_str(), String::new())
            };
            // Writing into a text cannot fail.
            let _ = writeln!(
                file,
                "{} 127.0.0.1:{port}@{} {is_myself}{role} {master_id} 0 0 {} connected{slots}",
                ids[index],
                port + BUS,
                master + 1,
            );
        }
        file + "vars currentEpoch 3 lastVoteEpoch 0\n"
    }

    /// Where its nodes listen, the same after a restart. The first three begin as masters, and each of the others as the
    /// replica of the one three before it.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Redis::address).collect()
    }

    /// Its nodes, in the order of [`addresses`](Self::addresses).
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// The wall clock of all its nodes.
    #[must_use]
    pub const fn time(&self) -> &ServerTime {
        &self.time
    }

    /// Ends all nodes at once (SIGKILL).
    pub fn kill(&self) {
        self.nodes.iter().for_each(Redis::kill);
    }

    /// Ends all nodes in order (SIGTERM).
    ///
    /// # Errors
    /// When one does not end; then it was killed.
    pub async fn stop(&self) -> Result<()> {
        try_join_all(self.nodes.iter().map(Redis::stop)).await?;
        Ok(())
    }

    /// Starts all nodes again, killing them first where they run, and waits as [`settle`](Self::settle) does. The clock
    /// has to run: a master serves when it was there for two seconds.
    ///
    /// # Errors
    /// What a server said.
    pub async fn restart(&self) -> Result<()> {
        self.kill();
        try_join_all(self.nodes.iter().map(Redis::restart)).await?;
        self.settle().await
    }

    /// The node that is the master of this key now, as an index into [`nodes`](Self::nodes), by what the first running
    /// node knows.
    ///
    /// # Errors
    /// No node is running, or none serves the key.
    pub async fn node_of(&self, key: &str) -> Result<usize> {
        let node = self.nodes.iter().find(|node| node.is_running());
        let node = node.ok_or_else(|| Error::failed("no node of the cluster is running"))?;
        let slot = node.command(&["CLUSTER", "KEYSLOT", key]).await?.as_integer();
        let masters = masters(&node.command(&["CLUSTER", "SLOTS"]).await?);
        let port = masters.iter().find(|master| slot.is_some_and(|slot| master.slots.contains(&slot)));
        port.and_then(|master| self.index_of(master.port))
            .ok_or_else(|| Error::failed("no node of the cluster serves the key"))
    }

    fn index_of(&self, port: i64) -> Option<usize> {
        self.nodes.iter().position(|node| i64::from(node.address().port()) == port)
    }

    /// Lets a replica of this master take its place in order, and gives the index of the new master. Writes wait
    /// meanwhile, and none that was acknowledged is lost. It works while the time stands.
    ///
    /// # Errors
    /// It is no running master with a running replica that follows it.
    pub async fn fail_over(&self, master: usize) -> Result<usize> {
        let old = &self.nodes[master];
        let follows = format!("slave\n127.0.0.1\n{}\nconnected\n", old.address().port());
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_running()) {
            if node.command(&["ROLE"]).await?.to_string().starts_with(&follows) {
                old.command(&["CLIENT", "PAUSE", "30000", "WRITE"]).await?;
                let result = self.take_over(old, node).await;
                old.command(&["CLIENT", "UNPAUSE"]).await?;
                result?;
                self.settle().await?;
                return Ok(index);
            }
        }
        Err(Error::failed("this node is no master that a running replica follows"))
    }

    /// By decree, not by a vote: voters want two node time-outs between two votes.
    async fn take_over(&self, old: &Redis, new: &Redis) -> Result<()> {
        let mut patience = Patience::new(PATIENCE);
        while offset(old, "master_repl_offset").await? != offset(new, "slave_repl_offset").await? {
            if !patience.pause().await {
                return Err(Error::failed("the replica does not catch up"));
            }
        }
        new.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]).await?;
        while !old.command(&["ROLE"]).await?.to_string().starts_with("slave") {
            if !patience.pause().await {
                return Err(Error::failed("the master does not step down"));
            }
        }
        Ok(())
    }

    /// Waits until the running nodes agree: each serves, all know the same masters, each slot has a running one, and each
    /// replica follows its master.
    ///
    /// After a master was killed this is when its replica has taken over, which needs
    /// [`RedisClusterOptions::node_timeout`] and a running clock.
    ///
    /// # Errors
    /// They do not agree within a minute.
    pub async fn settle(&self) -> Result<()> {
        let mut patience = Patience::new(PATIENCE);
        loop {
            let found = self.disagreement().await;
            match found {
                Ok(None) => return Ok(()),
                found if !patience.pause().await => {
                    return Err(Error::Failed(format!("the nodes of the cluster do not agree: {found:?}")));
                }
                _ => {}
            }
        }
    }

    async fn disagreement(&self) -> Result<Option<String>> {
        let mut common = None;
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            let of = |text: &str| Ok(Some(format!("{}: {text}", node.address())));
            let info = node.command(&["CLUSTER", "INFO"]).await?.to_string();
            if !info.contains("cluster_state:ok") {
                // A master that starts holds back for two seconds of its clock, lest it be one of the past. Where no node
                // can count as failed they need not pass.
                if self.may_jump && !self.time.is_frozen() {
                    self.time.advance(Duration::from_millis(100));
                }
                return of("does not serve");
            }
            let role = node.command(&["ROLE"]).await?.to_string();
            if role.starts_with("slave") && !role.contains("\nconnected\n") {
                return of("does not follow its master");
            }
            let masters = masters(&node.command(&["CLUSTER", "SLOTS"]).await?);
            let is_running = |port| self.index_of(port).is_some_and(|index| self.nodes[index].is_running());
            let served: i64 = masters.iter().map(|master| master.slots.end - master.slots.start).sum();
            if usize::try_from(served) != Ok(SLOTS) || !masters.iter().all(|master| is_running(master.port)) {
                return of("slots without a running master");
            }
            if *common.get_or_insert_with(|| masters.clone()) != masters {
                return of("other masters than the others know");
            }
        }
        Ok(None)
    }
}

/// How much of the stream of writes a node has.
async fn offset(node: &Redis, name: &str) -> Result<Option<i64>> {
    let info = node.command(&["INFO", "replication"]).await?.to_string();
    Ok(info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok()))
}

/// A range of slots, and the port of its master.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Master {
    slots: std::ops::Range<i64>,
    port: i64,
}

/// What `CLUSTER SLOTS` says.
fn masters(slots: &Reply) -> Vec<Master> {
    let Reply::List(ranges) = slots else { return Vec::new() };
    let master = |range: &Reply| {
        let Reply::List(range) = range else { return None };
        let Reply::List(node) = range.get(2)? else { return None };
        let number = |reply: Option<&Reply>| reply?.as_integer();
        let slots = number(range.first())?..number(range.get(1))? + 1;
        Some(Master { slots, port: number(node.get(1))? })
    };
    let mut masters: Vec<Master> = ranges.iter().filter_map(master).collect();
    masters.sort_unstable_by_key(|master| master.slots.start);
    masters
}

#[async_trait]
impl Server for RedisCluster {
    type Options = RedisClusterOptions;

    async fn start(options: RedisClusterOptions) -> Result<Self> {
        Self::start(options).await
    }

    /// Cleaned where it is as it began, but for its entries; otherwise started again, which takes many times as long.
    async fn renew(&self) -> Result<()> {
        let begun = self.begun().clone();
        // One whose clients are paused answers nothing.
        let found = tokio::time::timeout(Duration::from_secs(1), self.looks()).await;
        let is_unchanged = self.may_jump && matches!(found, Ok(Ok(found)) if found == begun);
        if is_unchanged && self.clean().await.is_ok() {
            self.time.reset();
            return self.settle().await;
        }
        self.kill();
        self.time.reset();
        for node in &self.nodes {
            node.empty()?;
        }
        self.begin().await
    }
}
