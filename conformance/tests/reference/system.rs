//! The system: what it keeps, and how one request is carried out.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kv_api::{Clock, Error, ErrorKind, Expiry, Metadata, Result, Retry, Timestamp, Value};
use kv_conformance::{Fault, OffsetClock};

use super::bug::Bug;

#[derive(Clone, Debug)]
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
    pub(super) namespaces: Mutex<HashMap<String, Data>>,
    pub(super) versions: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) requests: AtomicU64,
    /// How often a racy condition looked before it wrote.
    pub(super) looks: AtomicU64,
    pub(super) fault: Mutex<Option<(Fault, u32)>>,
    /// How many pages have led in circles.
    pub(super) circles: AtomicU64,
    pub(super) is_closing: AtomicBool,
    pub(super) restarts: AtomicU8,
    /// Whether a restart ends the walks that have begun.
    pub(super) loses_places: bool,
    pub(super) clock: Arc<dyn Clock>,
    /// How long the system goes by one look at its clock; zero where it looks each time.
    pub(super) tick: Duration,
    /// The clock of this side, which may be wrong.
    pub(super) client_clock: OffsetClock,
}

pub(super) const SECRET: &str = "hunter2-of-the-reference";

pub(super) const ORIGIN: u64 = 0x0072_6566;

#[derive(Debug)]
pub(super) struct Reference {
    pub(super) system: Arc<System>,
    pub(super) namespace: String,
    /// Different for each handle that is opened.
    pub(super) process: String,
    pub(super) bug: Option<Bug>,
    /// Opened with wrong credentials.
    pub(super) is_stranger: bool,
}

impl Reference {
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// The time as the system takes it: that of the last tick.
    pub(super) fn now(&self) -> Timestamp {
        let now = match self.bug {
            Some(Bug::HidesByTheClockHere) => self.system.client_clock.now(),
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

    /// Sends one request: counts it, and lets what was ordered happen to it.
    pub(super) fn request<T>(&self, carry_out: impl FnOnce(&mut Data) -> Result<T>) -> Result<T> {
        self.system.requests.fetch_add(1, Ordering::Relaxed);
        if self.is_stranger && !self.has(Bug::StrangersAreServed) {
            let waits = self.has(Bug::StrangersAreAskedToWait);
            let kind = if waits { ErrorKind::Unavailable } else { ErrorKind::Unauthorized };
            return Err(Error::new(kind, "these credentials are wrong"));
        }
        let fault = self.fault(|fault| {
            !matches!(
                fault,
                Fault::BulkAnswerImplausible | Fault::PageEmpty | Fault::PageStandsStill | Fault::PageInCircles
            )
        });
        let gone = |retry| {
            let secret = if self.has(Bug::SecretIsShown) { SECRET } else { "..." };
            let error = Error::new(ErrorKind::Unavailable, format!("the connection to user:{secret}@host broke"));
            let named = self.has(Bug::ErrorNamesAnotherKey);
            Err(if named { error.with_key("another").with_index(77) } else { error }.with_retry(retry))
        };
        let throttled = if self.has(Bug::ThrottledIsUnknown) { Retry::OutcomeUnknown } else { Retry::Safe };
        let unknown = if self.has(Bug::UnknownIsCalledSafe) { Retry::Safe } else { Retry::OutcomeUnknown };
        match fault {
            Some(Fault::Refused) => gone(Retry::Safe),
            Some(Fault::RequestLost) => gone(unknown),
            Some(Fault::Throttled) => Err(Error::new(ErrorKind::RateLimited, "").with_retry(throttled)),
            Some(_) => carry_out(self.lock().entry(self.namespace.clone()).or_default()).and_then(|_| gone(unknown)),
            None => carry_out(self.lock().entry(self.namespace.clone()).or_default()),
        }
    }

    pub(super) fn key(&self, key: &str) -> String {
        match self.bug {
            Some(Bug::KeysAreTrimmed) => key.trim().to_owned(),
            Some(Bug::KeysAreCaseFolded) => key.to_lowercase(),
            Some(Bug::UtfSixteenSurrogatesAreLost) => key.chars().filter(|c| u32::from(*c) < 0x1_0000).collect(),
            _ => key.to_owned(),
        }
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
        let now = self.system.clock.now();
        let end = expiry.deadline(if self.has(Bug::TtlIsMadeAbsoluteHere) { here } else { now })?;
        if self.has(Bug::PastIsNever) && end <= now {
            return None;
        }
        if !self.has(Bug::RoundsTheExpiryDown) {
            return Some(end);
        }
        Some(Timestamp::from_unix_millis(end.as_unix_millis_floor()))
    }

    pub(super) fn next_version(&self, before: Option<&Record>) -> u64 {
        match before {
            Some(record) if self.has(Bug::VersionIsReusedAfterADelete) => record.version + 1,
            None if self.has(Bug::VersionIsReusedAfterADelete) => 1,
            _ => self.system.versions.fetch_add(1, Ordering::Relaxed),
        }
    }
}
