//! The system: what it keeps, and how one request is carried out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kv_api::{
    Capabilities, Clock, Entry, Error, ErrorKind, Expiry, Metadata, Reason, Result, Retry, Support, Timer, Timestamp,
    Value, Version, WriteParts,
};
use kv_conformance::{Fault, OffsetClock};
use tokio::task::yield_now;

use super::bug::Bug;
use super::odd::Odd;
use super::races::Races;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) value: Value,
    pub(super) metadata: Option<Metadata>,
    pub(super) end: Option<Timestamp>,
    pub(super) version: u64,
    /// The length that lists report.
    pub(super) listed_bytes: usize,
    /// Whether it is of another type of the system, and no value.
    pub(super) is_foreign: bool,
}

pub(super) type Data = BTreeMap<String, Record>;

/// What another process would find too.
#[derive(Debug)]
pub(super) struct System {
    /// Several systems may have the same.
    pub(super) namespaces: Arc<Mutex<HashMap<String, Data>>>,
    pub(super) versions: Arc<AtomicU64>,
    pub(super) opened: AtomicU64,
    pub(super) requests: AtomicU64,
    /// How often a racy condition looked before it wrote.
    pub(super) looks: AtomicU64,
    pub(super) races: Races,
    pub(super) fault: Mutex<Option<(Fault, u32)>>,
    /// Whether the fault is not for the look of a step that looks and writes.
    pub(super) spares_looks: AtomicBool,
    /// How many pages have led in circles.
    pub(super) circles: AtomicU64,
    pub(super) is_closing: AtomicBool,
    pub(super) restarts: AtomicU8,
    /// What was there before the writes of each moment, with its place, where reads are late.
    pub(super) old: Mutex<Vec<(Duration, String, Data)>>,
    pub(super) timer: Turning,
    /// How many connections have ended.
    pub(super) connections: AtomicU64,
    pub(super) clock: Arc<dyn Clock>,
    /// When it began, by its clock.
    pub(super) began: Timestamp,
    /// How long the system goes by one look at its clock; zero where it looks each time.
    pub(super) tick: Duration,
    /// The clock of this side, which may be wrong.
    pub(super) client_clock: OffsetClock,
}

/// How late a read may be, by the timer.
const LATE: Duration = Duration::from_millis(120);

/// A timer on which a wait is over at once, and time passes while it is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Turning(Arc<AtomicU64>);

impl Turning {
    fn turn(&self, by: Duration) -> Duration {
        let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.0.fetch_add(by, Ordering::SeqCst) + by)
    }
}

impl Timer for Turning {
    fn monotonic_now(&self) -> Duration {
        self.turn(Duration::from_millis(1))
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.turn(duration);
        Box::pin(yield_now())
    }
}

pub(super) const SECRET: &str = "hunter2-of-the-reference";

pub(super) const ORIGIN: u64 = 0x0072_6566;

#[derive(Debug)]
pub(super) struct Reference {
    pub(super) system: Arc<System>,
    pub(super) scope: String,
    /// Under which name the system keeps the entries of the namespace, and what stands before their keys there.
    pub(super) place: String,
    pub(super) root: String,
    /// Different for each handle that is opened.
    pub(super) process: String,
    pub(super) bug: Option<Bug>,
    pub(super) odd: &'static [Odd],
    /// What it reports, and so what it does.
    pub(super) reported: &'static Capabilities,
    /// What a bug keeps beside the system: what each key was read as, and replies that nobody has taken.
    pub(super) read_before: Mutex<HashMap<String, Option<Entry>>>,
    pub(super) replies: Mutex<VecDeque<Result<Option<Entry>>>>,
    /// Held by a write of this store where each is a look and a write.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Opened with wrong credentials.
    pub(super) is_stranger: bool,
}

impl Reference {
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(super) fn is(&self, odd: Odd) -> bool {
        self.odd.contains(&odd)
    }

    /// The time as the system takes it: that of the last tick.
    pub(super) fn now(&self) -> Timestamp {
        let now = match self.bug {
            Some(Bug::HidesByTheClockHere) => self.system.client_clock.now(),
            _ if self.is(Odd::OwnClock) => self.system.client_clock.now(),
            _ => self.system.clock.now(),
        };
        let now = now.as_unix_micros();
        let Ok(tick @ 1..) = i64::try_from(self.system.tick.as_micros()) else {
            return Timestamp::from_unix_micros(now);
        };
        let ahead = if self.has(Bug::EndsOneTickEarly) { tick } else { 0 };
        Timestamp::from_unix_micros(now - now % tick + ahead)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Data>> {
        self.system.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that the next request meets, if it is one that fits.
    pub(super) fn fault(&self, fits: impl FnOnce(Fault) -> bool) -> Option<Fault> {
        let mut ordered = self.system.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let (fault, count) = ordered.filter(|(fault, _)| fits(*fault))?;
        *ordered = (count > 1).then_some((fault, count - 1));
        Some(fault)
    }

    /// Sends one request, after which nothing is kept that was read before.
    pub(super) async fn request<T>(&self, carry_out: impl FnOnce(&mut Data) -> Result<T>) -> Result<T> {
        let carry_out = |data: &mut Data| {
            self.system.races.forget_all();
            self.keep_old(data);
            carry_out(data)
        };
        self.send(carry_out, false).await
    }

    /// Sends a request that only reads, which may be late.
    pub(super) async fn observe<T>(&self, carry_out: impl FnOnce(&mut Data) -> Result<T>) -> Result<T> {
        let carry_out = |data: &mut Data| {
            self.system.races.forget_all();
            match self.late() {
                Some(mut old) => carry_out(&mut old),
                None => carry_out(data),
            }
        };
        self.send(carry_out, false).await
    }

    /// Keeps what there is, which reads will show for a while.
    fn keep_old(&self, data: &Data) {
        if !self.is(Odd::ShowsWritesLate) {
            return;
        }
        let now = self.system.timer.turn(Duration::ZERO);
        let mut old = self.system.old.lock().unwrap_or_else(PoisonError::into_inner);
        old.retain(|(at, ..)| *at + LATE > now);
        if !old.iter().any(|(at, place, _)| *at == now && *place == self.place) {
            old.push((now, self.place.clone(), data.clone()));
        }
    }

    /// What a read shows, where that is not what there is.
    pub(super) fn late(&self) -> Option<Data> {
        let now = self.system.timer.turn(Duration::ZERO);
        let old = self.system.old.lock().unwrap_or_else(PoisonError::into_inner);
        let (.., data) = old.iter().find(|(at, place, _)| *at + LATE > now && *place == self.place)?;
        Some(data.clone())
    }

    /// The same, and what is kept stays.
    pub(super) async fn exchange<T>(&self, carry_out: impl FnOnce(&mut Data) -> Result<T>) -> Result<T> {
        self.send(carry_out, false).await
    }

    /// Sends the look of a step that looks and writes.
    pub(super) async fn look<T>(&self, carry_out: impl FnOnce(&mut Data) -> Result<T>) -> Result<T> {
        self.send(carry_out, true).await
    }

    async fn send<T>(&self, carry_out: impl FnOnce(&mut Data) -> Result<T>, is_look: bool) -> Result<T> {
        let number = self.system.requests.load(Ordering::Relaxed);
        let connection = self.system.connections.load(Ordering::Relaxed);
        self.travel(number).await;
        if self.is(Odd::TurnsAwayFirst) {
            self.system.requests.fetch_add(1, Ordering::Relaxed);
            yield_now().await;
        }
        let answer = self.arrive(carry_out, is_look);
        self.travel(number).await;
        let is_refused = matches!(&answer, Err(error) if error.retry() == Retry::Safe);
        if self.system.connections.load(Ordering::Relaxed) != connection && !is_refused {
            let error = Error::new(ErrorKind::Unavailable, "the connection ended while the request was under way");
            return Err(error.with_retry(Retry::OutcomeUnknown));
        }
        answer
    }

    /// How long a request is on its way.
    async fn travel(&self, number: u64) {
        let steps = if self.is(Odd::AnswersSlowly) {
            50
        } else if self.is(Odd::SharesOneConnection) {
            8
        } else if self.is(Odd::AnswersOutOfOrder) {
            // The later of eight, the sooner.
            (7 - number % 8) * 8
        } else {
            0
        };
        for _ in 0..steps {
            yield_now().await;
        }
    }

    /// Counts a request, and lets what was ordered happen to it.
    fn arrive<T>(&self, carry_out: impl FnOnce(&mut Data) -> Result<T>, is_look: bool) -> Result<T> {
        let is_spared = is_look && self.system.spares_looks.load(Ordering::Relaxed);
        self.system.requests.fetch_add(1, Ordering::Relaxed);
        if self.is_stranger && !self.has(Bug::StrangersAreServed) {
            let waits = self.has(Bug::StrangersAreAskedToWait);
            let lost = if self.is(Odd::StrangersAreLost) { ErrorKind::Misconfigured } else { ErrorKind::Unauthorized };
            let kind = if waits { ErrorKind::Unavailable } else { lost };
            return Err(Error::new(kind, "these credentials are wrong"));
        }
        let fault = self.fault(|fault| {
            let is_of_one_call = matches!(
                fault,
                Fault::BulkAnswerImplausible | Fault::PageEmpty | Fault::PageStandsStill | Fault::PageInCircles
            );
            !is_of_one_call && !is_spared
        });
        let gone = |retry| {
            let secret = if self.has(Bug::SecretIsShown) { SECRET } else { "..." };
            let error = Error::new(ErrorKind::Unavailable, format!("the connection to user:{secret}@host broke"));
            let named = self.has(Bug::ErrorNamesAnotherKey);
            Err(if named { error.with_key("another").with_index(77) } else { error }.with_retry(retry))
        };
        let throttled = if self.has(Bug::ThrottledIsUnknown) { Retry::OutcomeUnknown } else { Retry::Safe };
        let starting =
            if self.has(Bug::UnavailableIsThrottled) { ErrorKind::RateLimited } else { ErrorKind::Unavailable };
        let turned_away = if self.has(Bug::UnavailableIsUnknown) { Retry::OutcomeUnknown } else { Retry::Safe };
        let unknown = if self.has(Bug::UnknownIsCalledSafe) { Retry::Safe } else { Retry::OutcomeUnknown };
        let carry_out = |data: &mut Data| {
            if self.is(Odd::SweepsAlways) {
                data.retain(|_, record| self.is_live(record));
            }
            carry_out(data)
        };
        if fault == Some(Fault::Refused) && self.is(Odd::SharesOneConnection) {
            self.system.connections.fetch_add(1, Ordering::Relaxed);
        }
        match fault {
            Some(Fault::Refused) => gone(Retry::Safe),
            Some(Fault::RequestLost) => gone(unknown),
            Some(Fault::Throttled) => Err(Error::new(ErrorKind::RateLimited, "").with_retry(throttled)),
            Some(Fault::Unavailable) => Err(Error::new(starting, "").with_retry(turned_away)),
            Some(_) => carry_out(self.lock().entry(self.place.clone()).or_default()).and_then(|_| gone(unknown)),
            None => carry_out(self.lock().entry(self.place.clone()).or_default()),
        }
    }

    pub(super) fn key(&self, key: &str) -> String {
        let key = match self.bug {
            Some(Bug::KeysAreTrimmed) => key.trim().to_owned(),
            Some(Bug::KeysAreCaseFolded) => key.to_lowercase(),
            Some(Bug::UtfSixteenSurrogatesAreLost) => key.chars().filter(|c| u32::from(*c) < 0x1_0000).collect(),
            Some(Bug::KeysAreCut) => key[..key.floor_char_boundary(255)].to_owned(),
            Some(Bug::LeadingZerosAreLost) => key.replace("/0", "/"),
            _ => key.to_owned(),
        };
        format!("{}{key}", self.root)
    }

    pub(super) fn is_live(&self, record: &Record) -> bool {
        let now = self.now();
        record.end.is_none_or(|end| end > now || (end == now && self.has(Bug::VisibleAtItsExpiry)))
    }

    pub(super) fn live<'d>(&self, data: &'d Data, key: &str) -> Option<&'d Record> {
        let record = data.get(&self.key(key)).filter(|record| self.is_live(record));
        record.filter(|record| !(self.has(Bug::EmptyValueIsMissing) && record.value.as_bytes().is_empty()))
    }

    pub(super) fn end(&self, expiry: Expiry) -> Option<Timestamp> {
        let here = self.system.client_clock.now();
        // By its clock and not by its last tick, or a ttl would end early.
        let now = if self.is(Odd::OwnClock) { here } else { self.system.clock.now() };
        let from = match self.bug {
            Some(Bug::TtlIsMadeAbsoluteHere) => here,
            Some(Bug::TtlCountsFromTheStart) => self.system.began,
            _ => now,
        };
        let end = expiry.deadline(from).filter(|_| !self.has(Bug::ExpireAtIsIgnored) || is_relative(expiry))?;
        if self.has(Bug::PastIsNever) && end <= now {
            return None;
        }
        if !self.has(Bug::RoundsTheExpiryDown) {
            return Some(end);
        }
        Some(Timestamp::from_unix_millis(end.as_unix_millis_floor()))
    }

    /// Refuses what it cannot write.
    pub(super) fn check(&self, parts: &WriteParts<'_>) -> Result<()> {
        if self.has(Bug::LimitIsLowerThanReported) && parts.value.as_bytes().len() > 512 * 1024 {
            return Err(Error::new(ErrorKind::InvalidArgument, "the system takes half a megabyte"));
        }
        self.check_end(parts.expiry)
    }

    /// Refuses what is past by the system's clock, where it does not end the entry at once (EXP-5).
    pub(super) fn check_end(&self, expiry: Expiry) -> Result<()> {
        let is_past = self.end(expiry).is_some_and(|end| end <= self.now());
        if is_past && self.is(Odd::RefusesThePast) {
            return Err(Error::invalid(Reason::ExpiryInPast, "by the clock of the system it is past"));
        }
        Ok(())
    }

    /// The version as it is reported, where versions are.
    pub(super) fn version(&self, record: &Record) -> Option<Version> {
        if self.reported.if_version == Support::None {
            None
        } else if self.is(Odd::VersionsAreDigests) {
            Some(Version::digest(&record.value, record.metadata.as_ref()))
        } else if self.is(Odd::VersionsAreLong) {
            format!("{:~>1$}", record.version, Version::BYTES_MAX).parse().ok()
        } else {
            Some(Version::numbered(ORIGIN, record.version))
        }
    }

    pub(super) fn next_version(&self, before: Option<&Record>) -> u64 {
        match before {
            Some(record) if self.has(Bug::VersionIsReusedAfterADelete) => record.version + 1,
            None if self.has(Bug::VersionIsReusedAfterADelete) => 1,
            _ => self.system.versions.fetch_add(1, Ordering::Relaxed),
        }
    }
}

const fn is_relative(expiry: Expiry) -> bool {
    matches!(expiry, Expiry::After(_))
}
