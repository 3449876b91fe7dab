//! The suite over a layer that stands before two backends.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use kv_api::{Backend, ManualClock, Result, Store, async_trait};
use kv_conformance::{CaseReport, Fixture, Harness, Means, Outcome, Verdict, logs, run_all};
use kv_fakes::cloudflare::NAMESPACE;
use kv_memory::{MemoryConfig, MemoryStore};
use kv_sqlite::{Durability, SqliteConfig, SqliteStore};
use kv_testkit::BothClocks;

use super::clock;
use super::cloudflare::{Running, TOKEN, WRONG_TOKEN};

/// What a backend is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Memory,
    Sqlite,
    Cloudflare,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    First,
    Second,
}

/// How two backends become a store. Called for each handle that is opened, as in another process.
pub(crate) type Join = fn(Arc<dyn Backend>, Arc<dyn Backend>) -> Store;

/// Two systems, and what stands before them.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) first: System,
    pub(crate) second: System,
    /// Whether a store that is embedded goes by the clock of this side. If not, it goes by that of the system beside it.
    pub(crate) by_client_clock: bool,
    /// Where another client writes a key that begins with `k`, so that the store shows it.
    pub(crate) others_write_to: Side,
    pub(crate) join: Join,
}

/// Namespaces of one system, by their names.
enum Place {
    Memory { stores: Mutex<HashMap<String, MemoryStore>>, clock: ManualClock },
    Sqlite { folder: tempfile::TempDir, clock: ManualClock },
    Cloudflare { running: Running, ids: tokio::sync::Mutex<HashMap<String, String>> },
}

const MAIN: &str = "main";

impl Place {
    async fn start(system: System, clock: &ManualClock, running: Option<&Running>) -> Self {
        match (system, running) {
            (System::Memory, _) => Self::Memory { stores: Mutex::default(), clock: clock.clone() },
            (System::Sqlite, _) => Self::Sqlite { folder: tempfile::tempdir().unwrap(), clock: clock.clone() },
            (System::Cloudflare, Some(running)) => {
                let ids = HashMap::from([(MAIN.to_owned(), NAMESPACE.to_owned())]);
                Self::Cloudflare { running: running.clone(), ids: ids.into() }
            }
            (System::Cloudflare, None) => panic!("the fake was not started"),
        }
    }

    async fn open(&self, namespace: &str, token: &str) -> Result<Arc<dyn Backend>> {
        Ok(match self {
            Self::Memory { stores, clock } => {
                let new = || MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone())));
                Arc::new(stores.lock().unwrap().entry(namespace.to_owned()).or_insert_with(new).clone())
            }
            Self::Sqlite { folder, clock } => {
                let config = SqliteConfig::new(folder.path().join("layers.db")).with_namespace(namespace);
                let config = config.with_durability(Durability::Normal).with_clock(Arc::new(clock.clone()));
                Arc::new(SqliteStore::open(config).await?)
            }
            Self::Cloudflare { running, ids } => {
                let mut ids = ids.lock().await;
                if !ids.contains_key(namespace) {
                    ids.insert(namespace.to_owned(), running.make_namespace(namespace).await);
                }
                Arc::new(running.backend(token, &ids[namespace]))
            }
        })
    }

    /// Another client's plain write.
    async fn put(&self, key: String, text: String) -> Result<()> {
        match self {
            Self::Cloudflare { running, .. } => running.clone().put(key, text).await,
            Self::Memory { .. } | Self::Sqlite { .. } => {
                Store::from_arc(self.open(MAIN, TOKEN).await?).set(key, text).await.map(drop)
            }
        }
    }
}

struct Places {
    first: Place,
    second: Place,
    join: Join,
}

impl Places {
    async fn open(&self, namespace: &str, token: &str) -> Result<Store> {
        Ok((self.join)(self.first.open(namespace, token).await?, self.second.open(namespace, token).await?))
    }

    const fn on(&self, side: Side) -> &Place {
        match side {
            Side::First => &self.first,
            Side::Second => &self.second,
        }
    }
}

#[async_trait]
impl Harness for Pair {
    async fn open(&self) -> Result<Fixture> {
        let is_on_fake = [self.first, self.second].contains(&System::Cloudflare);
        let running = if is_on_fake { Some(Running::start(|inner, _| inner).await) } else { None };
        let clocks = running.as_ref().map(|running| running.clocks.clone());
        let one = clock();
        let embedded = match &clocks {
            Some(BothClocks { client, .. }) if self.by_client_clock => client,
            Some(BothClocks { system, .. }) => system,
            None => &one,
        };
        let places = Arc::new(Places {
            first: Place::start(self.first, embedded, running.as_ref()).await,
            second: Place::start(self.second, embedded, running.as_ref()).await,
            join: self.join,
        });
        let [again, other, foreign, stranger] = std::array::from_fn(|_| Arc::clone(&places));
        let side = self.others_write_to;
        let fixture = Fixture::new(places.open(MAIN, TOKEN).await?)
            .without(Means::ForeignTypeWriter, "neither of the two holds anything but values")
            .with_foreign_writer(move |key, text| {
                let places = Arc::clone(&foreign);
                async move { places.on(side).put(key, text).await }
            })
            .with_reopen(move || {
                let places = Arc::clone(&again);
                async move { places.open(MAIN, TOKEN).await }
            })
            .with_namespaces(move |name| {
                let places = Arc::clone(&other);
                async move { places.open(&name, TOKEN).await }
            });
        let (Some(clocks), Some(running)) = (clocks, running) else {
            return Ok(fixture.embedded().with_client_clock(one.clone()).with_time(one));
        };
        let restarted = running.clone();
        let others_write_to = if side == Side::First { self.first } else { self.second };
        let fixture = match others_write_to {
            System::Cloudflare => fixture.with_byte_order_marks_taken_off(),
            System::Memory | System::Sqlite => fixture,
        };
        let fixture = fixture
            .with_client_clock(clocks.client.clone())
            .with_time(clocks)
            .with_secret(TOKEN, || logs::seen(TOKEN))
            .with_restart(move || restarted.clone().restart());
        // Where every call comes to the fake, and in the end is its own.
        let fixture = if self.first == System::Cloudflare && self.by_client_clock {
            let counting = running.server.clone();
            fixture
                .with_faults(running.server.clone())
                .with_requests(move || counting.requests())
                .with_wrong_credentials(move || {
                    let places = Arc::clone(&stranger);
                    async move { places.open(MAIN, WRONG_TOKEN).await }
                })
        } else {
            const WHY: &str = "calls end within the process too, where no request is sent, counted, lost or refused";
            [Means::Faults, Means::Requests, Means::WrongCredentials]
                .into_iter()
                .fold(fixture, |f, m| f.without(m, WHY))
        };
        Ok(fixture.with_guard(running))
    }
}

/// Runs the suite over a pair.
///
/// # Panics
/// When a case fails, or is not shown under the strict setting; when one that passes with `bare` in front does not
/// apply and is not among `lost`, or the other way round; and when the kept page says something else.
pub(crate) async fn check(name: &str, pair: Pair, bare: Join, lost: &[&str]) {
    let bare = run_all(&Pair { join: bare, ..pair }).await;
    let report = run_all(&pair).await;
    let totals = report.to_string();
    let last = totals.lines().last().unwrap_or_default();
    // Past the test runner's capture: the figures of the README. If it cannot be written, nobody reads.
    let _ = writeln!(std::io::stderr(), "{name} over {:?} and {:?}: {last}", pair.first, pair.second);
    let complaint = |CaseReport { name, outcome, .. }: &CaseReport| {
        let passes_bare = bare.outcome(name) == Some(&Outcome::Passed);
        let is_lost = lost.contains(&name.as_str());
        match outcome {
            Outcome::Passed if is_lost => Some(format!("{name}: passes, and is listed as lost")),
            outcome if outcome.verdict() == Verdict::Broken => Some(format!("{name}: {outcome}")),
            outcome if *outcome != Outcome::Passed && passes_bare && !is_lost => {
                Some(format!("{name}: {outcome}; it passes without the layer"))
            }
            _ => None,
        }
    };
    let complaints: Vec<String> = report.cases.iter().filter_map(complaint).collect();
    assert!(complaints.is_empty(), "{name} over {:?} and {:?}:\n{}", pair.first, pair.second, complaints.join("\n"));
    super::kept::compare_or_write(&format!("{name} over {:?} and {:?}", pair.first, pair.second), report);
}
