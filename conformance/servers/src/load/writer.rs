//! One writer.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::{Either, select};
use kv_api::{BatchOutcome, SetItem, SetOutcome, SetStatus, Store, Support, Version};
use tokio::task::yield_now;

use super::books::{Came, Chain, Claim, Counter, Token};
use super::{Book, Page, Promise, Shared};

/// How long one call may take. A store that keeps its time limits gives up far earlier.
const CALL_MAX: Duration = Duration::from_secs(60);

/// So few that writers meet on each.
const COUNTERS: usize = 4;
const CHAINS: usize = 8;

/// How many writers want the same key.
const RIVALS: u64 = 4;

pub(super) struct Writer {
    shared: Arc<Shared>,
    store: Store,
    round: u64,
    rng: Rng,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, number: usize, round: u64, rng: Rng) -> Self {
        let store = shared.stores[number % shared.stores.len()].clone();
        Self { shared, store, round, rng }
    }

    /// Goes on until a write is acknowledged that began after the trouble.
    pub(super) async fn run(mut self) -> Result<(), String> {
        loop {
            let is_over = self.shared.is_over.load(Ordering::SeqCst);
            let came = match self.rng.u8(..8) {
                0..3 => self.increment().await?,
                3..5 => self.claim().await?,
                5..7 => self.replace().await?,
                _ => self.claim_three().await?,
            };
            if is_over && came == Some(Came::Applied) {
                return Ok(());
            }
            // A store that answers at once would leave no moment to the others.
            yield_now().await;
        }
    }

    async fn increment(&mut self) -> Result<Option<Came>, String> {
        let key = format!("count/{}", self.rng.usize(..COUNTERS));
        let (came, answer) = match self.timed(self.store.increment(&key, 1)).await? {
            Ok(answer) => (Came::Applied, Some(answer)),
            Err(error) => (Came::of(&error)?, None),
        };
        let new = || Book::Counter(Counter::default());
        self.note(key, None, came, new, |book| {
            if let Book::Counter(counter) = book {
                counter.note(came, answer);
            }
        });
        Ok(Some(came))
    }

    async fn claim(&mut self) -> Result<Option<Came>, String> {
        let (token, number) = (self.next_token(), self.next_claim());
        let key = format!("claim/{number}");
        let set = self.timed(self.store.set(&key, token.value()).if_not_exists()).await?;
        let came = came_of_set(&set, SetStatus::Created)?;
        self.note_claim(key.clone(), came, Book::Claim, token);
        if came == Came::Applied && self.shared.promise == Promise::Kept && self.rng.bool() {
            let found = self.timed(self.store.get(&key)).await?;
            // SET-7. A read that fails shows nothing.
            if found.as_ref().is_ok_and(|found| *found != Some(token.value().into())) {
                return Err(format!("{key} was created as {token:?}, and a read just after it gave {found:?}"));
            }
        }
        Ok(Some(came))
    }

    async fn claim_three(&mut self) -> Result<Option<Came>, String> {
        if self.store.capabilities().all_or_nothing == Support::None {
            return Ok(None);
        }
        let (token, number) = (self.next_token(), self.next_claim());
        let name = format!("three/{{{number}}}");
        let items = (0..3).map(|part| SetItem::new(format!("{name}/{part}"), token.value()).if_not_exists());
        let came = match self.timed(self.store.set_many_all_or_nothing(items)).await? {
            Ok(BatchOutcome::Written(_)) => Came::Applied,
            Ok(BatchOutcome::NotMet { .. }) => Came::NotMet,
            Ok(outcome) => return Err(format!("a batch came to {outcome:?}")),
            Err(error) => Came::of(&error)?,
        };
        self.note_claim(name, came, Book::Triple, token);
        Ok(Some(came))
    }

    /// Reads an entry and replaces what was read, and then perhaps what was written.
    async fn replace(&mut self) -> Result<Option<Came>, String> {
        let key = format!("chain/{}", self.rng.usize(..CHAINS));
        let Ok(entry) = self.timed(self.store.get_entry(&key)).await? else { return Ok(None) };
        let before = entry.as_ref().map(|entry| Token::read(entry.value())).transpose()?;
        let version = entry.as_ref().and_then(|entry| entry.version().cloned());
        let (came, token, version) = self.replace_one(&key, before, version).await?;
        if came == Came::Applied && version.is_some() && self.rng.bool() {
            return Ok(Some(self.replace_one(&key, Some(token), version).await?.0));
        }
        Ok(Some(came))
    }

    async fn replace_one(
        &mut self,
        key: &str,
        before: Option<Token>,
        version: Option<Version>,
    ) -> Result<(Came, Token, Option<Version>), String> {
        let token = self.next_token();
        let met = if version.is_none() { SetStatus::Created } else { SetStatus::Updated };
        let set = self.timed(self.store.set(key, token.value()).if_version(version)).await?;
        let came = came_of_set(&set, met)?;
        let new = || Book::Chain(Chain::default());
        self.note(key.to_owned(), None, came, new, |book| {
            if let Book::Chain(chain) = book {
                chain.note(token, before, came);
            }
        });
        Ok((came, token, set.ok().and_then(|outcome| outcome.version().cloned())))
    }

    /// Waits for a call, not for ever.
    async fn timed<T>(&self, call: impl IntoFuture<Output = T>) -> Result<T, String> {
        let timer = &*self.shared.timer;
        let started = timer.monotonic_now();
        let Either::Left((ended, _)) = select(pin!(call.into_future()), timer.sleep(CALL_MAX)).await else {
            return Err(format!("a call has not ended after {CALL_MAX:?}"));
        };
        let took = timer.monotonic_now().saturating_sub(started);
        let mut books = self.shared.books();
        books.tally.longest = books.tally.longest.max(took);
        Ok(ended)
    }

    fn next_token(&self) -> Token {
        Token(self.shared.next_token.fetch_add(1, Ordering::Relaxed))
    }

    /// Each number a few times, so that writers meet.
    fn next_claim(&self) -> u64 {
        self.shared.next_claim.fetch_add(1, Ordering::Relaxed) / RIVALS
    }

    fn note_claim(&self, name: String, came: Came, new: fn(Claim) -> Book, token: Token) {
        self.note(
            name,
            Some(self.round),
            came,
            || new(Claim::default()),
            |book| {
                if let Book::Claim(claim) | Book::Triple(claim) = book {
                    claim.note(token, came);
                }
            },
        );
    }

    fn note(
        &self,
        name: String,
        round: Option<u64>,
        came: Came,
        new: impl FnOnce() -> Book,
        note: impl FnOnce(&mut Book),
    ) {
        let mut books = self.shared.books();
        note(&mut books.by_key.entry(name).or_insert_with(|| Page { round, book: new() }).book);
        books.tally.count(came);
    }
}

fn came_of_set(set: &kv_api::Result<SetOutcome>, met: SetStatus) -> Result<Came, String> {
    match set {
        Ok(outcome) if outcome.status() == met => Ok(Came::Applied),
        Ok(outcome) if outcome.status() == SetStatus::NotMet => Ok(Came::NotMet),
        Ok(outcome) => Err(format!("a set that wants {met:?} came to {outcome:?}")),
        Err(error) => Came::of(error),
    }
}
