//! A link to each node of a cluster.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use kv_conformance::{Fault, Faults};

use crate::orders::{Deed, Orders};
use crate::protocol::topology::Ports;
use crate::{Control, Link, Protocol, Target};

/// A [`Link`] to each node of a Redis Cluster. Clients that begin at one of its addresses never get past it: where an
/// answer names a node by its port (`MOVED`, `ASK`, `CLUSTER SLOTS`, `CLUSTER SHARDS`, `CLUSTER NODES`), the port of
/// its link is put in its place. The nodes know nothing of it, and talk to each other past it.
///
/// Clones are the same links. An order here is for the next requests to any node, in the order in which they arrive; an
/// order to one of [`nodes`](Self::nodes) is for that node alone, and goes before.
#[derive(Clone, Debug)]
pub struct ClusterLink {
    nodes: Vec<Link>,
    common: Arc<Orders>,
}

impl ClusterLink {
    /// Opens a link to each of these nodes, which are all nodes of the cluster: the port of one that is missing stays
    /// as it is.
    ///
    /// # Errors
    /// As [`Link::open`].
    pub fn open(nodes: &[SocketAddr]) -> io::Result<Self> {
        let common = Arc::<Orders>::default();
        let ports = Arc::<OnceLock<Ports>>::default();
        let open = |node: &SocketAddr| {
            Link::of_cluster(Target::new(*node, Protocol::Resp), Arc::clone(&common), Arc::clone(&ports))
        };
        let links = nodes.iter().map(open).collect::<io::Result<Vec<Link>>>()?;
        // Nobody knows the addresses yet, and so nobody has connected.
        ports.get_or_init(|| {
            nodes.iter().zip(&links).map(|(node, link)| (node.port(), link.address().port())).collect()
        });
        Ok(Self { nodes: links, common })
    }

    /// The links, in the order in which their nodes were given.
    #[must_use]
    pub fn nodes(&self) -> &[Link] {
        &self.nodes
    }

    /// Where clients connect to, in the same order.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Link::address).collect()
    }

    /// How many requests have arrived at all nodes together: see [`Link::requests`].
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.nodes.iter().map(Link::requests).sum()
    }

    /// How many single commands they had.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.nodes.iter().map(Link::commands).sum()
    }

    /// How many connections have been taken.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.nodes.iter().map(Link::connections).sum()
    }

    /// How many requests are still to meet the fault that was ordered last for all nodes.
    #[must_use]
    pub fn faults_left(&self) -> u32 {
        self.common.left()
    }

    /// The next `count` requests to any node are answered with this error: see [`Link::answer_with`].
    pub fn answer_with(&self, error: &str, count: u32) {
        self.order(Deed::Answer(Protocol::Resp.answer(error)), count, false);
    }

    /// The same for the next `count` requests that change something.
    pub fn answer_writes_with(&self, error: &str, count: u32) {
        self.order(Deed::Answer(Protocol::Resp.answer(error)), count, true);
    }

    /// Resets all connections to all nodes, now. New ones are taken.
    pub fn cut(&self) {
        self.nodes.iter().for_each(Link::cut);
    }

    /// Nothing flows to or from any node, or everything again: see [`Link::stall`].
    pub fn stall(&self, stall: bool) {
        self.nodes.iter().for_each(|node| node.stall(stall));
    }

    fn order(&self, deed: Deed, count: u32, writes_only: bool) {
        self.forget(Control::Accept);
        self.common.give(deed, count, writes_only);
    }

    /// Ends what was ordered before, of all nodes and of each.
    fn forget(&self, control: Control) {
        self.common.clear();
        for node in &self.nodes {
            node.running.shared.orders.clear();
            node.ask(control);
        }
    }

    fn give(&self, fault: Fault, count: u32, writes_only: bool) {
        assert!(self.offers(fault), "a link knows no fault {fault:?} for this protocol");
        if fault == Fault::Refused && count > 0 {
            self.forget(Control::Refuse);
        } else {
            self.order(Deed::Fault(fault), count, writes_only);
        }
    }
}

impl Faults for ClusterLink {
    fn offers(&self, fault: Fault) -> bool {
        Protocol::Resp.offers(fault)
    }

    /// # Panics
    /// As that of [`Link`].
    fn inject(&self, fault: Fault, count: u32) {
        self.give(fault, count, false);
    }

    /// # Panics
    /// As [`inject`](Self::inject).
    fn inject_into_writes(&self, fault: Fault, count: u32) {
        self.give(fault, count, true);
    }
}
