//! What the connections of a link share: what was counted, and what was ordered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::orders::{Deed, Orders};
use crate::protocol::topology::Ports;

#[derive(Debug, Default)]
pub(crate) struct Shared {
    requests: AtomicU64,
    commands: AtomicU64,
    prepares: AtomicU64,
    connections: AtomicU64,
    /// Of this link alone.
    pub(crate) orders: Orders,
    /// Of all links to the nodes of a cluster.
    pub(crate) common: Arc<Orders>,
    /// What the ports of a cluster's nodes become in their answers.
    ports: Arc<OnceLock<Ports>>,
    /// Gives numbers that no page of a list had before.
    cursors: AtomicU64,
}

impl Shared {
    pub(crate) fn of(common: Arc<Orders>, ports: Arc<OnceLock<Ports>>) -> Self {
        Self { common, ports, ..Self::default() }
    }

    pub(crate) fn ports(&self) -> Option<&Ports> {
        self.ports.get()
    }

    pub(crate) fn order(&self, is_write: bool, fits: impl Fn(&Deed) -> bool) -> Option<Deed> {
        self.orders.next(is_write, &fits).or_else(|| self.common.next(is_write, &fits))
    }

    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn count_command(&self) {
        self.commands.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn count_prepare(&self) {
        self.prepares.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn commands(&self) -> u64 {
        self.commands.load(Ordering::SeqCst)
    }

    pub(crate) fn prepares(&self) -> u64 {
        self.prepares.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// A cursor of SCAN that no answer had before: far above those of a server of this size.
    pub(crate) fn fresh_cursor(&self) -> u64 {
        (1 << 52) + self.cursors.fetch_add(1, Ordering::SeqCst)
    }
}
