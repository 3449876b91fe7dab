//! The in-memory backend against OpenDAL's in-memory services and object_store's.

mod contender;
mod kind;
mod kv;
mod object_store;
mod opendal;
mod resident;

use std::collections::HashMap;

pub(crate) use self::kind::Kind;
pub(crate) use self::resident::{bytes_an_entry, in_own_process as resident_in_own_process};

use self::contender::{Contender, Work};
use crate::measure::{EntrantId, Program, Race, Result, Rounds, Unit};
use crate::payload::{KEYS_PER_PREFIX, random_keys, shuffled_keys};
use crate::report::{Section, short, thousands};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Entries of a store that does not fit into the caches.
    pub(crate) large: usize,
    /// Entries of one that does.
    pub(crate) small: usize,
    /// Point operations a slice on a large store; twice as many on a small one, which is faster.
    pub(crate) calls: usize,
    /// Pages a slice.
    pub(crate) pages: usize,
    /// The rounds of a race.
    pub(crate) rounds: Rounds,
    /// The rounds of the race for memory, each a process of its own.
    pub(crate) processes: Rounds,
}

impl Sizes {
    /// For results that are kept.
    pub(crate) const FULL: Self = Self {
        large: 1_000_000,
        small: 10_000,
        calls: 100_000,
        pages: 400,
        rounds: Rounds { warm_up: 1, counted: 9 },
        processes: Rounds { warm_up: 0, counted: 3 },
    };

    /// For trying out.
    pub(crate) const QUICK: Self = Self {
        large: 100_000,
        small: 10_000,
        calls: 25_000,
        pages: 20,
        rounds: Rounds { warm_up: 1, counted: 3 },
        processes: Rounds { warm_up: 0, counted: 1 },
    };
}

/// Runs every race of the section.
///
/// # Errors
/// The first failure of a contender.
pub(crate) async fn run(sizes: Sizes, only: Option<String>) -> Result<Section> {
    let large = Field::load(sizes.large).await?;
    let small = Field::load(sizes.small).await?;
    let mut program = Program { only, ..Program::default() };
    for (field, target) in [(&large, 3.0), (&small, 8.0)] {
        for tasks in [1, 2] {
            program.run(point(field, Operation::Get, tasks, target, sizes), sizes.rounds).await?;
            program.run(point(field, Operation::Overwrite, tasks, target, sizes), sizes.rounds).await?;
        }
    }
    program.run(insert(sizes), sizes.rounds).await?;
    program.run(pages(&large, &small, sizes), sizes.rounds).await?;
    drop((large, small));
    program.run(memory(sizes), sizes.processes).await?;
    Ok(Section { name: "memory", finishes: program.finishes, notes: notes() })
}

fn notes() -> Vec<String> {
    [
        "A ratio is the other side's figure over the fixture's, taken round by round; higher is better for the fixture. \
         Ratio, min and max are over all rounds, the figures are medians. Differences below 20 % are a tie.",
        "Keys have 24 bytes, values 100. Every set brings a value in memory of its own, made inside the measured time, \
         as a caller would.",
        "kv-memory is called through kv_api::Store on a backend whose type the compiler cannot see. It keeps kind, \
         version, expiry and metadata of each entry and answers each set with outcome and version; OpenDAL answers a \
         write with metadata, object_store with an entity tag. Peers run with their default layers and settings.",
        "object_store names an entry by a path, and a caller who has a text makes one for each call. The rows with the path at hand show it without that; their caller keeps paths.",
        "With two tasks the figure is elapsed time over all calls.",
        "A page is one thousand keys below one prefix: kv-memory answers keys, expiry and metadata, the peers keys and \
         object metadata. OpenDAL's dashmap, moka and mini-moka walk every key of the store for a page and are left out.",
        "Memory an entry is the growth of the resident set over the inserts in a process of its own, in random order. \
         The payload is 124 bytes.",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Every contender with the same entries loaded.
struct Field {
    entries: usize,
    stores: HashMap<&'static str, Box<dyn Contender>>,
}

impl Field {
    async fn load(entries: usize) -> Result<Self> {
        let mut stores = HashMap::new();
        for kind in Kind::ALL {
            let store = kind.create()?;
            store.sets(Work { keys: vec![shuffled_keys(entries)], passes: 1 }).await?;
            stores.insert(kind.name(), store);
        }
        Ok(Self { entries, stores })
    }

    fn store(&self, kind: Kind) -> &dyn Contender {
        &*self.stores[kind.name()]
    }

    /// Keys for a slice of calls spread over `tasks`: of a small store each equally often, of a large one at random.
    fn work(&self, tasks: usize, sizes: Sizes) -> Work {
        let calls = if self.entries > sizes.calls { sizes.calls } else { 2 * sizes.calls } / tasks;
        let passes = (calls / self.entries).max(1);
        let keys = |_| if passes > 1 { shuffled_keys(self.entries) } else { random_keys(self.entries, calls) };
        Work { keys: (0..tasks).map(keys).collect(), passes }
    }
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Get,
    Overwrite,
}

fn point<'a>(field: &'a Field, operation: Operation, tasks: usize, target: f64, sizes: Sizes) -> Race<'a> {
    let name = match operation {
        Operation::Get => "get",
        Operation::Overwrite => "overwrite",
    };
    let plural = if tasks == 1 { "" } else { "s" };
    let mut race =
        Race::new(format!("{name}, {} entries, {tasks} task{plural}", thousands(field.entries)), Unit::Nanoseconds);
    let mut enter = |kind: Kind| {
        let store = field.store(kind);
        race.enter(kind.name(), move || {
            let work = field.work(tasks, sizes);
            async move {
                match operation {
                    Operation::Get => store.gets(work).await,
                    Operation::Overwrite => store.sets(work).await,
                }
            }
        })
    };
    let ours = enter(Kind::KvMemory);
    let expiring = enter(Kind::KvMemoryExpiring);
    let peers = Kind::PEERS.map(&mut enter);
    let path_at_hand = enter(Kind::ObjectStorePath);
    against_each(&mut race, ours, peers, target);
    race.compare(ours, path_at_hand, target);
    race.compare(expiring, ours, None);
    race
}

/// New keys into an empty store: what the ordered index costs.
fn insert(sizes: Sizes) -> Race<'static> {
    let entries = sizes.calls;
    let mut race = Race::new(format!("insert {} new entries, 1 task", thousands(entries)), Unit::Nanoseconds);
    let mut enter = |kind: Kind| {
        race.enter(kind.name(), move || async move {
            kind.create()?.sets(Work { keys: vec![shuffled_keys(entries)], passes: 1 }).await
        })
    };
    let ours = enter(Kind::KvMemory);
    let expiring = enter(Kind::KvMemoryExpiring);
    let peers = Kind::PEERS.map(enter);
    against_each(&mut race, ours, peers, None);
    race.compare(expiring, ours, None);
    race
}

fn pages<'a>(large: &'a Field, small: &'a Field, sizes: Sizes) -> Race<'a> {
    const LISTING: [Kind; 3] = [Kind::KvMemory, Kind::ObjectStore, Kind::OpendalMemory];
    let mut race = Race::new("page of 1,000 keys below a prefix", Unit::Nanoseconds);
    let mut ids = Vec::new();
    for field in [large, small] {
        for kind in LISTING {
            let store = field.store(kind);
            let name = format!("{}, {}", kind.name(), short(field.entries));
            ids.push(race.enter(&name, move || {
                let prefixes = field.entries / KEYS_PER_PREFIX;
                let prefixes = (0..sizes.pages).map(|_| fastrand::usize(..prefixes)).collect();
                store.pages(prefixes)
            }));
        }
    }
    for side in ids.chunks(LISTING.len()) {
        race.compare(side[0], side[1], 2.5);
        race.compare(side[0], side[2], None);
    }
    race.compare(ids[0], ids[LISTING.len()], None);
    race
}

fn memory(sizes: Sizes) -> Race<'static> {
    let entries = sizes.large;
    let mut race = Race::new(format!("memory an entry, {} entries", thousands(entries)), Unit::Bytes);
    let mut enter = |kind: Kind| {
        race.enter(kind.name(), move || async move {
            tokio::task::spawn_blocking(move || resident::in_own_process(kind, entries)).await?
        })
    };
    let ours = enter(Kind::KvMemory);
    let expiring = enter(Kind::KvMemoryExpiring);
    let peers = Kind::PEERS.map(enter);
    let goal = race.enter("the goal", || async { Ok(280.0) });
    race.compare(ours, goal, 1.0);
    against_each(&mut race, ours, peers, None);
    race.compare(expiring, ours, None);
    race
}

/// Being ahead of the best peer by a factor is being ahead of each by it.
fn against_each(
    race: &mut Race<'_>,
    ours: EntrantId,
    peers: impl IntoIterator<Item = EntrantId>,
    target: impl Into<Option<f64>>,
) {
    let target = target.into();
    for peer in peers {
        race.compare(ours, peer, target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_contender_finds_what_it_was_given() {
        for kind in Kind::ALL {
            let store = kind.create().unwrap();
            store.sets(Work { keys: vec![shuffled_keys(2 * KEYS_PER_PREFIX)], passes: 1 }).await.unwrap();
            store.gets(Work { keys: vec![shuffled_keys(2 * KEYS_PER_PREFIX)], passes: 2 }).await.unwrap();
            store.pages(vec![0, 1]).await.unwrap();
            assert!(store.gets(Work { keys: vec![vec!["missing".to_owned()]], passes: 1 }).await.is_err());
            assert!(store.pages(vec![7]).await.is_err(), "{}", kind.name());
        }
    }
}
