//! Writers that keep books.

mod books;
mod trouble;
mod writer;

use std::collections::BTreeMap;
use std::env;
use std::fmt::{self, Display};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::{Either, select};
use kv_api::{Retry, Store, Timer, TokioTimer, Value};
use tokio::task::JoinSet;

use books::{Came, Chain, Claim, Counter, Token};
use writer::Writer;

use crate::Link;
use crate::runner::say;

pub use trouble::Trouble;

/// How many write at the same time.
const WRITERS: usize = 64;

/// How long a round may take, from the first write to the last check. A hang is longer.
const ROUND_MAX: Duration = Duration::from_secs(120);

/// How many books are checked at once, and when what is there is read again where it could not be.
const READ_MAX: usize = 500;
const READ_AGAIN: Duration = Duration::from_millis(50);

/// What a system promises of writes that it has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// They are there.
    Kept,
    /// They may be lost, and then so is what came after them: a replica that takes over without its master. What is
    /// there is still what somebody wrote, and none of it is there twice.
    MayBeLost,
}

/// 64 writers on one system, which note what became of each write, and a check that what is there agrees with it.
///
/// They increment counters, create keys that four of them want (`IfNotExists`), replace entries that they have read
/// (`IfVersion`), and create three keys together (all or nothing) where the store supports it. A key is never deleted.
/// While they do, the test makes trouble: it kills the server or cuts the way to it.
///
/// The check is exact. With [`Promise::Kept`]:
/// - a counter has every acknowledged step, and none that is certainly not applied: its count is the acknowledged steps
///   and some of those whose outcome is unknown; no two steps were answered the same number;
/// - a key has one creator at most, and holds what that one wrote; a condition was not met only where somebody has
///   created the key, and not by the very write that was told so;
/// - of the writes that replace one another none is lost: going back from what is there, over what each had read, meets
///   each that was acknowledged and no other but unknown ones;
/// - of three keys all were created or none, by the same write.
///
/// A call that does not end is a failure, and so is an error that the trouble does not explain. After the trouble each
/// writer goes on until one of its writes is acknowledged, with the store as it is.
///
/// Moments and choices come from a seed, which each failure names.
///
/// ```
/// use kv_api::Store;
/// use kv_memory::MemoryStore;
/// use kv_servers::{Load, Promise};
///
/// # tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(async {
/// let mut load = Load::new([Store::new(MemoryStore::new())], Promise::Kept, 42);
/// load.round(async { Ok::<_, String>(()) }).await?;
/// let tally = load.finish().await?;
/// assert!(tally.acknowledged >= 64 && tally.unknown == 0);
/// # Ok::<(), String>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    seed: u64,
    round: u64,
}

#[derive(Debug)]
struct Shared {
    stores: Vec<Store>,
    promise: Promise,
    timer: Arc<dyn Timer>,
    books: Mutex<Books>,
    next_token: AtomicU64,
    next_claim: AtomicU64,
    /// The trouble of this round has passed.
    is_over: AtomicBool,
}

/// Everything so far.
#[derive(Debug, Default)]
struct Books {
    /// By key; of three keys by what they have in common.
    by_key: BTreeMap<String, Page>,
    tally: Tally,
}

#[derive(Debug)]
struct Page {
    /// Keys of all rounds have none.
    round: Option<u64>,
    book: Book,
}

#[derive(Debug)]
enum Book {
    Counter(Counter),
    Chain(Chain),
    Claim(Claim),
    Triple(Claim),
}

/// What writers have seen: the sum of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Rounds that have ended well.
    pub rounds: u64,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Writes whose condition did not hold.
    pub not_met: u64,
    /// Writes that were certainly not applied.
    pub refused: u64,
    /// Writes of which nothing is known.
    pub unknown: u64,
    /// The longest time that a call took.
    pub longest: Duration,
}

impl Tally {
    fn count(&mut self, came: Came) {
        let count = match came {
            Came::Applied => &mut self.acknowledged,
            Came::NotMet => &mut self.not_met,
            Came::Refused => &mut self.refused,
            Came::Unknown => &mut self.unknown,
        };
        *count += 1;
    }

    /// Says on the standard error output what the test of this name has seen, for those who run it by hand.
    pub fn report(&self, name: &str) {
        say(&format!("{name}: {self}"));
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, acknowledged, not_met, refused, unknown, longest } = self;
        write!(
            f,
            "{rounds} rounds: {acknowledged} writes acknowledged, {not_met} not met, {refused} certainly not applied, \
             {unknown} unknown; the longest call took {longest:.1?}"
        )
    }
}

impl Load {
    /// Writers that share these stores, which show the same data: an empty namespace.
    ///
    /// # Panics
    /// Without a store.
    pub fn new(stores: impl IntoIterator<Item = Store>, promise: Promise, seed: u64) -> Self {
        Self::timed_by(Arc::new(TokioTimer), stores, promise, seed)
    }

    /// The same, with a timer that says when something hangs: a call after a minute, a round after two.
    ///
    /// # Panics
    /// Without a store.
    pub fn timed_by(
        timer: Arc<dyn Timer>,
        stores: impl IntoIterator<Item = Store>,
        promise: Promise,
        seed: u64,
    ) -> Self {
        let stores: Vec<Store> = stores.into_iter().collect();
        assert!(!stores.is_empty(), "writers without a store");
        let shared = Shared {
            stores,
            promise,
            timer,
            books: Mutex::default(),
            next_token: AtomicU64::new(0),
            next_claim: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), seed, round: 0 }
    }

    /// How many rounds to go: `default`, or as the environment variable `KV_TEST_ROUNDS` says.
    ///
    /// # Panics
    /// When that is no number above zero.
    #[must_use]
    pub fn rounds(default: usize) -> usize {
        let Some(rounds) = env::var_os("KV_TEST_ROUNDS") else { return default };
        let parsed = rounds.to_str().and_then(|rounds| rounds.parse().ok()).filter(|rounds| *rounds > 0);
        parsed.unwrap_or_else(|| panic!("KV_TEST_ROUNDS is {}, which is no number above zero", rounds.display()))
    }

    /// Writes while `trouble` goes on, and after it until each writer has been acknowledged a write; then checks what
    /// is there. The trouble begins with the writers, and leaves the system as it should be.
    ///
    /// # Errors
    /// What is wrong, with the seed and the number of the round.
    pub async fn round(&mut self, trouble: impl Future<Output = Result<(), impl Display>>) -> Result<(), String> {
        self.round += 1;
        self.shared.is_over.store(false, Ordering::SeqCst);
        let ended = self.in_time(self.go(trouble)).await;
        let tally = {
            let mut books = self.shared.books();
            books.tally.rounds += u64::from(ended.is_ok());
            books.tally
        };
        ended.map_err(|error| format!("seed {}, round {}: {error} ({tally})", self.seed, self.round))
    }

    async fn go(&self, trouble: impl Future<Output = Result<(), impl Display>>) -> Result<(), String> {
        let mut writers = JoinSet::new();
        for number in 0..WRITERS {
            let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.round).wrapping_mul(WRITERS as u64);
            let rng = Rng::with_seed(seed.wrapping_add(number as u64));
            writers.spawn(Writer::new(Arc::clone(&self.shared), number, self.round, rng).run());
        }
        trouble.await.map_err(|error| format!("the trouble itself failed: {error}"))?;
        self.shared.is_over.store(true, Ordering::SeqCst);
        while let Some(ended) = writers.join_next().await {
            ended.map_err(|error| error.to_string())??;
        }
        self.check(|page| page.round.is_none_or(|round| round == self.round)).await
    }

    /// So many rounds, in each of which links break three times, one after the other, in the ways of
    /// [`Trouble::break_link`] with this `silence` in milliseconds.
    ///
    /// # Errors
    /// As [`round`](Self::round).
    ///
    /// # Panics
    /// Without a link, and as [`Link`] does.
    pub async fn break_links(&mut self, links: &[Link], silence: u64, rounds: usize) -> Result<(), String> {
        let mut trouble = Trouble::new(self.seed);
        for _ in 0..rounds {
            let breaks = async {
                for _ in 0..3 {
                    trouble.pause(5..40).await;
                    let link = &links[trouble.pick(links.len())];
                    trouble.break_link(link, silence).await;
                }
                links.iter().for_each(Trouble::mend);
                Ok::<_, String>(())
            };
            self.round(breaks).await?;
        }
        Ok(())
    }

    /// Checks everything again that was written in any round, and gives the sum.
    ///
    /// # Errors
    /// What is wrong, with the seed.
    pub async fn finish(self) -> Result<Tally, String> {
        let checked = self.in_time(self.check(|_| true)).await;
        checked.map_err(|error| format!("seed {}, in the end: {error}", self.seed))?;
        Ok(self.shared.books().tally)
    }

    async fn check(&self, is_wanted: impl Fn(&Page) -> bool) -> Result<(), String> {
        let names: Vec<String> = {
            let books = self.shared.books();
            let wanted = books.by_key.iter().filter(|(_, page)| is_wanted(page));
            wanted.map(|(name, _)| name.clone()).collect()
        };
        for names in names.chunks(READ_MAX) {
            let keys: Vec<String> = {
                let books = self.shared.books();
                names.iter().flat_map(|name| books.by_key.get(name).map(|page| page.keys(name))).flatten().collect()
            };
            let found = self.read(&keys).await?;
            let (mut found, books) = (found.into_iter(), self.shared.books());
            for name in names {
                let page = books.by_key.get(name).ok_or("a book is gone")?;
                let own: Vec<Option<Value>> = found.by_ref().take(page.keys(name).len()).collect();
                page.check(&own, self.shared.promise).map_err(|error| format!("{name} {error}"))?;
            }
        }
        Ok(())
    }

    /// Until it is answered, on a machine that may be too slow for the time limits of the store.
    async fn read(&self, keys: &[String]) -> Result<Vec<Option<Value>>, String> {
        loop {
            match self.shared.stores[0].get_many(keys.iter().map(String::as_str)).await {
                Err(error) if error.retry() == Retry::Safe => self.shared.timer.sleep(READ_AGAIN).await,
                found => return found.map_err(|error| format!("what is there cannot be read: {error:?}")),
            }
        }
    }

    /// Not for ever.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        match select(pin!(work), self.shared.timer.sleep(ROUND_MAX)).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) => Err(format!("it has not ended after {ROUND_MAX:?}")),
        }
    }
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        // A panic in here fails the test.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    /// The keys that the book of this name is about. Three of them share a slot of a cluster by their hash tag.
    fn keys(&self, name: &str) -> Vec<String> {
        match self.book {
            Book::Triple(_) => (0..3).map(|part| format!("{name}/{part}")).collect(),
            _ => vec![name.to_owned()],
        }
    }

    fn check(&self, found: &[Option<Value>], promise: Promise) -> Result<(), String> {
        let [first, rest @ ..] = found else { return Err("was not looked at".to_owned()) };
        let token = || first.as_ref().map(Token::read).transpose();
        match &self.book {
            Book::Counter(counter) => {
                let count = first.as_ref().map_or(Some(0), Value::as_i64).ok_or("is no counter")?;
                counter.check(count, promise)
            }
            Book::Chain(chain) => chain.check(token()?, promise),
            Book::Claim(claim) => claim.check(token()?, promise),
            Book::Triple(_) if rest.iter().any(|other| other != first) => Err(format!("is there in part: {found:?}")),
            Book::Triple(claim) => claim.check(token()?, promise),
        }
    }
}
