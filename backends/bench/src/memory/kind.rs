//! Who takes part.

use std::time::Duration;

use clap::ValueEnum;
use object_store::memory::InMemory;
use opendal::{Operator, services};

use super::contender::{Contender, Shared};
use super::kv::KvMemory;
use super::object_store::{ByPath, ByText};
use super::opendal::OpenDal;
use crate::measure::Result;

/// A contender of the memory section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Ours.
    KvMemory,
    /// Ours, each entry with a ttl.
    KvMemoryExpiring,
    /// A `BTreeMap`.
    OpendalMemory,
    /// A `DashMap`.
    OpendalDashmap,
    /// A cache.
    OpendalMoka,
    /// A smaller cache.
    OpendalMiniMoka,
    /// A `BTreeMap`, called with text.
    ObjectStore,
    /// The same, called with a path made before the clock starts.
    ObjectStorePath,
}

impl Kind {
    /// Those that ours is compared to.
    pub(crate) const PEERS: [Self; 5] =
        [Self::OpendalMemory, Self::OpendalDashmap, Self::OpendalMoka, Self::OpendalMiniMoka, Self::ObjectStore];

    /// All.
    pub(crate) const ALL: [Self; 8] = [
        Self::KvMemory,
        Self::KvMemoryExpiring,
        Self::OpendalMemory,
        Self::OpendalDashmap,
        Self::OpendalMoka,
        Self::OpendalMiniMoka,
        Self::ObjectStore,
        Self::ObjectStorePath,
    ];

    /// What the tables call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KvMemory => "kv-memory",
            Self::KvMemoryExpiring => "kv-memory, expiring",
            Self::OpendalMemory => "OpenDAL memory",
            Self::OpendalDashmap => "OpenDAL dashmap",
            Self::OpendalMoka => "OpenDAL moka",
            Self::OpendalMiniMoka => "OpenDAL mini-moka",
            Self::ObjectStore => "object_store InMemory",
            Self::ObjectStorePath => "object_store, path at hand",
        }
    }

    /// An empty store.
    ///
    /// # Errors
    /// OpenDAL's, should it refuse its own defaults.
    pub(crate) fn create(self) -> Result<Box<dyn Contender>> {
        // Longer than any run.
        const TTL: Duration = Duration::from_secs(24 * 3600);
        Ok(match self {
            Self::KvMemory => Shared::boxed(KvMemory::new(None)),
            Self::KvMemoryExpiring => Shared::boxed(KvMemory::new(Some(TTL))),
            Self::OpendalMemory => Shared::boxed(OpenDal(Operator::new(services::Memory::default())?)),
            Self::OpendalDashmap => Shared::boxed(OpenDal(Operator::new(services::Dashmap::default())?)),
            Self::OpendalMoka => Shared::boxed(OpenDal(Operator::new(services::Moka::default())?)),
            Self::OpendalMiniMoka => Shared::boxed(OpenDal(Operator::new(services::MiniMoka::default())?)),
            Self::ObjectStore => Shared::boxed(ByText(InMemory::new())),
            Self::ObjectStorePath => Shared::boxed(ByPath(InMemory::new())),
        })
    }
}
