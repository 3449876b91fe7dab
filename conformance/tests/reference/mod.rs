//! A small backend that keeps the whole contract, and can be told to break one promise.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kv_api::{
    Backend, BatchOutcome, Capabilities, Clock, Condition, Consistency, Delete, DeleteMany, DeleteOutcome, Entry,
    EntryExpiry, Error, ErrorKind, Expire, Expiry, ExpiryClock, Fields, GetAndDelete, Increment, ItemLimit, ListItem,
    ListOrder, ListPage, ManualClock, Metadata, Method, Methods, RawPage, Read, ReadMany, Reason, Result, Retry,
    SetOutcome, SetStatus, Store, Support, SystemClock, Timer, Timestamp, TokioTimer, Touch, Value, ValueKind,
    ValueKinds, Version, Write, WriteMany, WriteParts, async_trait,
};
use kv_conformance::{Fault, Faults, Fixture, Harness, OffsetClock, Time};
use tokio::task::yield_now;

/// A promise that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    AllOrNothingIsHalfApplied,
    BatchAnswersOutOfOrder,
    BatchBeginsAsStored,
    BatchStopsAtTheFirstUnmetItem,
    BytesBecomeText,
    CircleIsTheEnd,
    ClaimsItsOwnClock,
    CounterTakesBack,
    CounterTtlIsAStepOfItsOwn,
    CounterTtlIsIgnored,
    CounterTtlMovesTheEnd,
    CountersAreNotImplemented,
    CursorSkipsAfterARestart,
    CursorStartsAgain,
    DeleteIgnoresTheVersion,
    DeleteOfExpiredSaysDeleted,
    EmptyValueIsMissing,
    EndsOneTickEarly,
    ErrorNamesAnotherKey,
    ErrorShowsTheValue,
    ExistsSeesExpired,
    ExpireChangesTheVersion,
    ExpireCreates,
    ExpireIgnoresTheVersion,
    ExpireLooksAtTheVersionFirst,
    ExpiredIsCounted,
    ExpiredIsListed,
    ExpiredIsReadInBatches,
    ForeignTypeFailsTheBatch,
    ForeignTypeIsMissing,
    ForeignTypeIsMissingInBatches,
    ForeignTypeIsTaken,
    ForeignTypeIsTouched,
    GarbledIsMissing,
    HidesByTheClockHere,
    GetAndDeleteLeavesTheEntry,
    IfNotExistsIsRefusedOverExpired,
    IncrementAcceptsText,
    IncrementCountsBesideMetadata,
    IncrementDropsTheExpiry,
    IncrementWraps,
    IntegersBecomeFloats,
    KeysAreCaseFolded,
    KeysAreReadOneByOne,
    KeysAreTrimmed,
    ListCountsCharacters,
    ListIgnoresCaseInOrder,
    ListKeepsTheOldLength,
    ListLosesTheKeyAtTheBorder,
    ListOrderIsUtf16,
    ListPrefixIsAPattern,
    MembersAreSorted,
    MetadataLeaksIntoTheValue,
    NamespaceLeaksIntoLists,
    OverwriteKeepsTheExpiry,
    OverwriteKeepsTheMetadata,
    PageIsLargerThanAsked,
    PastIsNever,
    RacyIfExists,
    RacyIfNotExists,
    RacyIfVersion,
    RacyIncrement,
    RefusedConditionMovesTheExpiry,
    RefusedConditionWritesMetadata,
    RepeatsConditionsBlindly,
    RoundsTheExpiryDown,
    ScopeIsOfTheProcess,
    ScopeIsShared,
    SecondCloseFails,
    SecretIsShown,
    StandstillIsTheEnd,
    StrangersAreAskedToWait,
    StrangersAreServed,
    ThrottledIsUnknown,
    TakesWhatItDidNotRead,
    TakesWhatAnotherTook,
    TakesWhatExpired,
    TornByADrop,
    TornReads,
    TouchCreates,
    TouchIsARead,
    TouchLooksFirst,
    TouchReportsTheOldEnd,
    TtlIsMadeAbsoluteHere,
    UnknownIsCalledSafe,
    UnwrapsReservedMembers,
    UpdatedOverExpired,
    UtfSixteenSurrogatesAreLost,
    VersionIgnoresMetadata,
    VersionedSetDropsTheExpiry,
    VersionIsReusedAfterADelete,
    VisibleAtItsExpiry,
}

#[derive(Clone, Debug)]
struct Record {
    value: Value,
    metadata: Option<Metadata>,
    end: Option<Timestamp>,
    version: u64,
    /// The length that lists report.
    listed_bytes: usize,
    /// Whether it is of another type of the system, and no value.
    is_foreign: bool,
}

type Data = BTreeMap<String, Record>;

/// What another process would find too.
#[derive(Debug)]
struct System {
    namespaces: Mutex<HashMap<String, Data>>,
    versions: AtomicU64,
    opened: AtomicU64,
    requests: AtomicU64,
    /// How often a racy condition looked before it wrote.
    looks: AtomicU64,
    fault: Mutex<Option<(Fault, u32)>>,
    /// How many pages have led in circles.
    circles: AtomicU64,
    is_closing: AtomicBool,
    restarts: AtomicU8,
    /// Whether a restart ends the walks that have begun.
    loses_places: bool,
    clock: Arc<dyn Clock>,
    /// How long the system goes by one look at its clock; zero where it looks each time.
    tick: Duration,
    /// The clock of this side, which may be wrong.
    client_clock: OffsetClock,
}

const SECRET: &str = "hunter2-of-the-reference";

/// Everything the contract knows, at its strongest.
pub(crate) const EVERYTHING: Capabilities = Capabilities::new("reference")
    .with_value_kinds(ValueKinds::ALL)
    .with_if_not_exists(Support::Native)
    .with_if_exists(Support::Native)
    .with_if_version(Support::Native)
    .with_reports_set_outcome(true)
    .with_reports_delete_outcome(true)
    .with_reports_delete_many_outcome(true)
    .with_ttl(Support::Native)
    .with_expire_at(Support::Native)
    .with_expiry_resolution(Duration::from_millis(1))
    .with_expiry_read(true)
    .with_expire(Support::Native)
    .with_expire_if_version(Support::Native)
    .with_touch(Support::Native)
    .with_get_and_delete(Support::Native)
    .with_metadata(Support::Native)
    .with_list(Support::Native, ListOrder::Lexicographic)
    .with_list_metadata(true)
    .with_list_expiry(true)
    .with_list_value_bytes(true)
    .with_bulk_items(1000, 1000)
    .with_counters(Support::Native, i64::MIN, i64::MAX)
    .with_counter_range_atomic(true)
    .with_counter_expiry(true)
    .with_counter_ttl(Support::Native)
    .with_all_or_nothing(Support::Native)
    .with_entry_snapshot(true)
    .with_consistency(Consistency::Strong)
    .with_key_bytes(1, 1024)
    .with_item_limits(const { &[ItemLimit::value_bytes(1024 * 1024), ItemLimit::metadata_bytes(64 * 1024)] });

static CAPABILITIES: Capabilities = EVERYTHING;

static WITH_ITS_OWN_CLOCK: Capabilities = EVERYTHING.with_expiry_clock(ExpiryClock::Store);

#[derive(Debug)]
struct Reference {
    system: Arc<System>,
    namespace: String,
    /// Different for each handle that is opened.
    process: String,
    bug: Option<Bug>,
    /// Opened with wrong credentials.
    is_stranger: bool,
}

const ORIGIN: u64 = 0x0072_6566;

impl Reference {
    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// The time as the system takes it: that of the last tick.
    fn now(&self) -> Timestamp {
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

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Data>> {
        self.system.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that the next request meets, if it is one that fits.
    fn fault(&self, fits: impl FnOnce(Fault) -> bool) -> Option<Fault> {
        let mut ordered = self.system.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let (fault, count) = ordered.filter(|(fault, _)| fits(*fault))?;
        *ordered = (count > 1).then_some((fault, count - 1));
        Some(fault)
    }

    /// Sends one request: counts it, and lets what was ordered happen to it.
    fn request<T>(&self, carry_out: impl FnOnce(&mut Data) -> Result<T>) -> Result<T> {
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

    fn key(&self, key: &str) -> String {
        match self.bug {
            Some(Bug::KeysAreTrimmed) => key.trim().to_owned(),
            Some(Bug::KeysAreCaseFolded) => key.to_lowercase(),
            Some(Bug::UtfSixteenSurrogatesAreLost) => key.chars().filter(|c| u32::from(*c) < 0x1_0000).collect(),
            _ => key.to_owned(),
        }
    }

    fn is_live(&self, record: &Record) -> bool {
        let now = self.now();
        record.end.is_none_or(|end| end > now || (end == now && self.has(Bug::VisibleAtItsExpiry)))
    }

    fn live<'d>(&self, data: &'d Data, key: &str) -> Option<&'d Record> {
        let record = data.get(&self.key(key)).filter(|record| self.is_live(record));
        record.filter(|record| !(self.has(Bug::EmptyValueIsMissing) && record.value.as_bytes().is_empty()))
    }

    fn end(&self, expiry: Expiry) -> Option<Timestamp> {
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

    fn next_version(&self, before: Option<&Record>) -> u64 {
        match before {
            Some(record) if self.has(Bug::VersionIsReusedAfterADelete) => record.version + 1,
            None if self.has(Bug::VersionIsReusedAfterADelete) => 1,
            _ => self.system.versions.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn entry(&self, record: &Record) -> Entry {
        let expiry = record.end.map_or(EntryExpiry::Never, EntryExpiry::At);
        let value = match (&record.metadata, record.value.as_i64()) {
            (Some(metadata), _) if self.has(Bug::MetadataLeaksIntoTheValue) => Value::from(metadata.as_json_text()),
            (_, Some(integer)) if self.has(Bug::IntegersBecomeFloats) => {
                Value::from_stored(ValueKind::Json, format!("{integer}.0").into())
            }
            _ if self.has(Bug::MembersAreSorted) && record.value.kind() == ValueKind::Json => {
                record.value.to_json().map_or_else(|_| record.value.clone(), Value::from)
            }
            _ if self.has(Bug::UnwrapsReservedMembers) && record.value.kind() == ValueKind::Json => {
                let json = record.value.to_json().unwrap_or_default();
                let raw = json["$serde_json::private::RawValue"].as_str();
                let raw = raw.map(|raw| Value::from_stored(ValueKind::Json, raw.to_owned().into()));
                raw.unwrap_or_else(|| record.value.clone())
            }
            _ if self.has(Bug::BytesBecomeText) => match record.value.kind() {
                ValueKind::Bytes => Value::from_foreign(record.value.as_bytes().clone()),
                _ => record.value.clone(),
            },
            _ => record.value.clone(),
        };
        let version = Version::numbered(ORIGIN, record.version);
        Entry::with_details(value, record.metadata.clone(), expiry, Some(version))
    }

    fn holds(&self, condition: &Condition, live: Option<&Record>) -> bool {
        match condition {
            Condition::IfNotExists => live.is_none(),
            Condition::IfExists => live.is_some(),
            Condition::IfVersion(version) => {
                live.is_some_and(|record| version.number_from(ORIGIN) == Some(record.version))
            }
            _ => true,
        }
    }

    fn listed_bytes(&self, value: &Value) -> usize {
        match value.as_text() {
            Some(text) if self.has(Bug::ListCountsCharacters) => text.chars().count(),
            _ => value.as_bytes().len(),
        }
    }

    fn put(&self, data: &mut Data, parts: WriteParts<'_>) -> SetOutcome {
        let there = data.get(&self.key(&parts.key)).cloned();
        let live = self.live(data, &parts.key).cloned();
        let mut met = self.holds(&parts.condition, live.as_ref());
        if self.has(Bug::IfNotExistsIsRefusedOverExpired) && parts.condition == Condition::IfNotExists {
            met = there.is_none();
        }
        if !met {
            if let Some(record) = data.get_mut(&self.key(&parts.key)) {
                if self.has(Bug::RefusedConditionMovesTheExpiry) {
                    record.end = self.end(parts.expiry);
                }
                if self.has(Bug::RefusedConditionWritesMetadata) {
                    record.metadata = parts.metadata;
                }
            }
            return SetOutcome::new(SetStatus::NotMet);
        }
        let mut record = Record {
            end: self.end(parts.expiry),
            version: self.next_version(live.as_ref()),
            listed_bytes: self.listed_bytes(&parts.value),
            value: parts.value,
            metadata: parts.metadata,
            is_foreign: false,
        };
        if let Some(before) = &live {
            if self.has(Bug::ListKeepsTheOldLength) {
                record.listed_bytes = before.listed_bytes;
            }
            if self.has(Bug::OverwriteKeepsTheExpiry) {
                record.end = record.end.or(before.end);
            }
            if self.has(Bug::OverwriteKeepsTheMetadata) {
                record.metadata = record.metadata.or_else(|| before.metadata.clone());
            }
            if self.has(Bug::VersionIgnoresMetadata) && before.value == record.value {
                record.version = before.version;
            }
        }
        let updated = live.is_some() || (self.has(Bug::UpdatedOverExpired) && there.is_some());
        let status = if updated { SetStatus::Updated } else { SetStatus::Created };
        let version = Version::numbered(ORIGIN, record.version);
        data.insert(self.key(&parts.key), record);
        SetOutcome::new(status).with_version(version)
    }

    fn remove(&self, data: &mut Data, delete: &Delete<'_>) -> DeleteOutcome {
        let live = self.live(data, delete.key()).cloned();
        if let Some(version) = delete.if_version() {
            let met = self.holds(&Condition::IfVersion(version.clone()), live.as_ref());
            let ignored = self.has(Bug::DeleteIgnoresTheVersion) && live.is_some();
            if !met && !ignored {
                return DeleteOutcome::NotMet;
            }
        }
        let there = data.remove(&self.key(delete.key())).is_some();
        if live.is_some() || (there && self.has(Bug::DeleteOfExpiredSaysDeleted)) {
            DeleteOutcome::Deleted
        } else {
            DeleteOutcome::NotFound
        }
    }

    fn page(&self, data: &Data, everything: &HashMap<String, Data>, page: &ListPage<'_>) -> RawPage {
        let position = page.position().filter(|_| !self.has(Bug::CursorStartsAgain));
        let key = |position: &[u8]| String::from_utf8_lossy(position.get(1..).unwrap_or_default()).into_owned();
        let after = position.map(key);
        let run = self.system.restarts.load(Ordering::Relaxed);
        let is_of_another_run = position.is_some_and(|position| position.first() != Some(&run));
        let begins = |key: &str| match self.bug {
            Some(Bug::ListPrefixIsAPattern) => begins_like(key, page.prefix()),
            _ => key.starts_with(page.prefix()),
        };
        let shown = |record: &Record| self.has(Bug::ExpiredIsListed) || self.is_live(record);
        let mut found: Vec<(&String, &Record)> =
            data.iter().filter(|(key, record)| begins(key) && shown(record)).collect();
        if self.has(Bug::NamespaceLeaksIntoLists) {
            let others = everything.values().flatten().filter(|(key, _)| begins(key) && !data.contains_key(*key));
            found.extend(others);
        }
        let order = |key: &str| -> Vec<u16> {
            match self.bug {
                Some(Bug::ListOrderIsUtf16) => key.encode_utf16().collect(),
                Some(Bug::ListIgnoresCaseInOrder) => key.to_lowercase().bytes().map(u16::from).collect(),
                _ => key.bytes().map(u16::from).collect(),
            }
        };
        found.sort_by_cached_key(|(key, _)| order(key));
        if let Some(after) = &after {
            let skips = self.has(Bug::ListLosesTheKeyAtTheBorder)
                || (self.has(Bug::CursorSkipsAfterARestart) && is_of_another_run);
            let skipped = usize::from(skips);
            found = found.into_iter().skip_while(|(key, _)| order(key) <= order(after)).skip(skipped).collect();
        }
        let limit = page.limit().get().saturating_add(usize::from(self.has(Bug::PageIsLargerThanAsked)));
        let next = (found.len() > limit).then(|| [&[run], found[limit - 1].0.as_bytes()].concat());
        let item = |(key, record): &(&String, &Record)| {
            ListItem::new(key.as_str())
                .with_metadata(record.metadata.clone().into())
                .with_expiry(record.end.map_or(EntryExpiry::Never, EntryExpiry::At))
                .with_value_bytes(record.listed_bytes as u64)
        };
        RawPage::new(found.iter().take(limit).map(item).collect(), next)
    }

    /// What a read gives.
    fn found(&self, record: Option<&Record>) -> Result<Option<Entry>> {
        match record {
            Some(record) if record.is_foreign && self.has(Bug::ForeignTypeIsMissing) => Ok(None),
            Some(record) if record.is_foreign => Err(Error::new(ErrorKind::WrongType, "it holds no value")),
            record => Ok(record.map(|record| self.entry(record))),
        }
    }

    /// Every other item of a bulk request, and an answer that cannot be.
    fn half_done<T, D: Clone>(
        &self,
        items: Vec<T>,
        mut carry_out: impl FnMut(&mut Data, T),
        begins_as: D,
    ) -> Vec<Result<D>> {
        let asked = items.len();
        let mut namespaces = self.lock();
        let data = namespaces.entry(self.namespace.clone()).or_default();
        items.into_iter().step_by(2).for_each(|item| carry_out(data, item));
        let implausible = || Error::new(ErrorKind::Protocol, "-3 items were done").with_retry(Retry::OutcomeUnknown);
        let begins_as_done = self.has(Bug::BatchBeginsAsStored);
        (0..asked).map(|_| if begins_as_done { Ok(begins_as.clone()) } else { Err(implausible()) }).collect()
    }

    fn count(&self, data: &mut Data, increment: &Increment<'_>) -> Result<i64> {
        let key = self.key(increment.key());
        let seen = |record: &&Record| self.has(Bug::ExpiredIsCounted) || self.is_live(record);
        let before = data.get(&key).filter(seen).cloned();
        let no_counter = |record: &Record| {
            let text = if self.has(Bug::ErrorShowsTheValue) {
                format!("no counter: {}", String::from_utf8_lossy(record.value.as_bytes()))
            } else {
                "no counter".to_owned()
            };
            Error::new(ErrorKind::WrongType, text).with_reason(Reason::NotACounter)
        };
        let count = match &before {
            None => 0,
            Some(record) => {
                let beside = record.metadata.is_some() && !self.has(Bug::IncrementCountsBesideMetadata);
                let barred = beside || record.is_foreign || (record.end.is_some() && !increment.expiring_allowed());
                let text = record.value.as_text().filter(|_| self.has(Bug::IncrementAcceptsText));
                let integer = record.value.as_i64().or_else(|| text?.parse().ok());
                integer.filter(|_| !barred).ok_or_else(|| no_counter(record))?
            }
        };
        let (min, max) = (increment.min(), increment.max());
        let sum = match count.checked_add(increment.by()).filter(|sum| (min..=max).contains(sum)) {
            Some(sum) => sum,
            None if self.has(Bug::IncrementWraps) => count.wrapping_add(increment.by()),
            None => return Err(Error::invalid(Reason::CounterRange { min, max }, "beyond the range of counters")),
        };
        let is_created = before.is_none() || self.has(Bug::CounterTtlMovesTheEnd);
        let has_ttl = increment.created_expiry() != Expiry::Never;
        let end = match self.bug {
            Some(Bug::IncrementDropsTheExpiry) => None,
            Some(Bug::CounterTtlIsIgnored | Bug::CounterTtlIsAStepOfItsOwn) if before.is_none() => None,
            _ if is_created && has_ttl => self.end(increment.created_expiry()),
            _ => before.as_ref().and_then(|record| record.end),
        };
        let metadata = before.as_ref().and_then(|record| record.metadata.clone());
        let version = self.next_version(before.as_ref());
        let value = Value::from(sum);
        let listed_bytes = self.listed_bytes(&value);
        data.insert(key, Record { value, metadata, end, version, listed_bytes, is_foreign: false });
        Ok(sum)
    }
}

/// Longer than it takes to start all who race, so that others come between whichever thread runs them.
async fn round_trip() {
    for _ in 0..1000 {
        yield_now().await;
    }
}

/// The same, and until another call has looked too, if one comes: on a busy machine it may be late.
async fn round_trip_beside_another(looks: &AtomicU64) {
    let own = looks.fetch_add(1, Ordering::AcqRel) + 1;
    for _ in 0..100_000 {
        if looks.load(Ordering::Acquire) != own {
            break;
        }
        yield_now().await;
    }
    round_trip().await;
}

/// A prefix in which `%` stands for any text and `_` for any character, as in an unescaped `LIKE`.
fn begins_like(key: &str, pattern: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return true };
    let rest = &pattern[first.len_utf8()..];
    match first {
        '%' => (0..=key.len()).filter(|at| key.is_char_boundary(*at)).any(|at| begins_like(&key[at..], rest)),
        '_' => key.chars().next().is_some_and(|found| begins_like(&key[found.len_utf8()..], rest)),
        _ => key.strip_prefix(first).is_some_and(|key| begins_like(key, rest)),
    }
}

#[async_trait]
impl Backend for Reference {
    fn capabilities(&self) -> &Capabilities {
        if self.has(Bug::ClaimsItsOwnClock) { &WITH_ITS_OWN_CLOCK } else { &CAPABILITIES }
    }

    fn methods(&self) -> Methods {
        Methods::NONE
            .with(Method::ReadMany)
            .with(Method::WriteMany)
            .with(Method::WriteAllOrNothing)
            .with(Method::List)
            .with(Method::Increment)
            .with(Method::Expire)
            .with(Method::Touch)
            .with(Method::GetAndDelete)
    }

    fn scope(&self) -> &str {
        match self.bug {
            Some(Bug::ScopeIsOfTheProcess) => &self.process,
            Some(Bug::ScopeIsShared) => "reference",
            _ => &self.namespace,
        }
    }

    #[allow(clippy::misnamed_getters, reason = "of the two clocks the one of this side is lent")]
    fn clock(&self) -> &dyn Clock {
        &self.system.client_clock
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let fault = self.system.fault.lock().map(|fault| *fault).unwrap_or_default();
        if self.has(Bug::GarbledIsMissing) && matches!(fault, Some((Fault::AnswerGarbled, _))) {
            return Ok(None);
        }
        let look = || {
            self.request(|data| {
                let seen = self.has(Bug::ExistsSeesExpired) && read.fields() == Fields::Existence;
                let record = if seen { data.get(read.key()) } else { self.live(data, read.key()) };
                if read.fields() == Fields::Existence {
                    return Ok(record.map(|record| self.entry(record)));
                }
                self.found(record)
            })
        };
        let first = look()?;
        if !self.has(Bug::TornReads) {
            return Ok(first);
        }
        round_trip().await;
        let (first, second) = (first, look()?);
        Ok(second.zip(first).map(|(second, first)| {
            let metadata = first.metadata().cloned();
            Entry::with_details(second.value().clone(), metadata, second.expiry(), second.version().cloned())
        }))
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        let mut parts = write.into_parts();
        if self.has(Bug::TornReads) {
            // A write that takes its time, so that reads find one to be torn by.
            round_trip().await;
        }
        if self.has(Bug::RacyIfNotExists) && parts.condition == Condition::IfNotExists {
            if self.request(|data| Ok(self.live(data, &parts.key).is_some()))? {
                return Ok(SetOutcome::new(SetStatus::NotMet));
            }
            round_trip_beside_another(&self.system.looks).await;
            return self.request(|data| {
                parts.condition = Condition::Always;
                self.put(data, parts);
                Ok(SetOutcome::new(SetStatus::Created))
            });
        }
        if self.has(Bug::RacyIfExists) && parts.condition == Condition::IfExists {
            if !self.request(|data| Ok(self.live(data, &parts.key).is_some()))? {
                return Ok(SetOutcome::new(SetStatus::NotMet));
            }
            round_trip_beside_another(&self.system.looks).await;
            return self.request(|data| {
                parts.condition = Condition::Always;
                self.put(data, parts);
                Ok(SetOutcome::new(SetStatus::Updated))
            });
        }
        if self.has(Bug::RacyIfVersion) && matches!(parts.condition, Condition::IfVersion(_)) {
            if !self.request(|data| Ok(self.holds(&parts.condition, self.live(data, &parts.key))))? {
                return Ok(SetOutcome::new(SetStatus::NotMet));
            }
            round_trip().await;
            return self.request(|data| {
                parts.condition = Condition::Always;
                self.put(data, parts);
                Ok(SetOutcome::new(SetStatus::Updated))
            });
        }
        if self.has(Bug::VersionedSetDropsTheExpiry) && matches!(parts.condition, Condition::IfVersion(_)) {
            parts.expiry = Expiry::Never;
        }
        if self.has(Bug::TornByADrop) {
            let (key, metadata) = (parts.key.clone().into_owned(), parts.metadata.take());
            let outcome = self.request(|data| Ok(self.put(data, parts)))?;
            yield_now().await;
            return self.request(|data| {
                if let Some(record) = data.get_mut(&key).filter(|_| outcome.is_written()) {
                    record.metadata = metadata;
                }
                Ok(outcome)
            });
        }
        if self.has(Bug::RepeatsConditionsBlindly) {
            let first = self.request(|data| Ok(self.put(data, parts.clone())));
            if !matches!(&first, Err(error) if error.is_outcome_unknown()) {
                return first;
            }
        }
        self.request(|data| Ok(self.put(data, parts)))
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.request(|data| Ok(self.remove(data, &delete)))
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        if self.has(Bug::KeysAreReadOneByOne) {
            self.system.requests.fetch_add(reads.keys().len() as u64, Ordering::Relaxed);
        }
        self.request(|data| {
            let record = |key: &str| match self.bug {
                Some(Bug::ExpiredIsReadInBatches) => data.get(key),
                _ => self.live(data, key),
            };
            let is_enough = reads.fields() == Fields::Existence && !self.has(Bug::ForeignTypeIsMissingInBatches);
            let found = reads.keys().iter().map(|key| match self.found(record(key)) {
                Err(_) if is_enough => Ok(record(key).map(|record| self.entry(record))),
                Err(_) if !self.has(Bug::ForeignTypeFailsTheBatch) => Ok(None),
                found => found,
            });
            found.collect()
        })
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let writes = writes.into_writes();
        let asked = writes.len();
        if self.fault(|fault| fault == Fault::BulkAnswerImplausible).is_some() {
            let put = |data: &mut Data, write: Write<'_>| drop(self.put(data, write.into_parts()));
            return self.half_done(writes, put, SetOutcome::new(SetStatus::Stored));
        }
        let result = self.request(|data| {
            let mut outcomes: Vec<Result<SetOutcome>> = Vec::new();
            for write in writes {
                let outcome = self.put(data, write.into_parts());
                let stop = self.has(Bug::BatchStopsAtTheFirstUnmetItem) && !outcome.is_written();
                outcomes.push(Ok(outcome));
                if stop {
                    break;
                }
            }
            outcomes.resize_with(asked, || Ok(SetOutcome::new(SetStatus::NotMet)));
            if self.has(Bug::BatchAnswersOutOfOrder) {
                outcomes.reverse();
            }
            Ok(outcomes)
        });
        result.unwrap_or_else(|error| vec![Err(error); asked])
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let asked = deletes.keys().len();
        if self.fault(|fault| fault == Fault::BulkAnswerImplausible).is_some() {
            let remove = |data: &mut Data, delete: Delete<'_>| {
                self.remove(data, &delete);
            };
            return self.half_done(deletes.into_deletes().collect(), remove, DeleteOutcome::Deleted);
        }
        let result =
            self.request(|data| Ok(deletes.into_deletes().map(|delete| Ok(self.remove(data, &delete))).collect()));
        result.unwrap_or_else(|error| vec![Err(error); asked])
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        self.request(|data| {
            let mut changed = data.clone();
            let mut outcomes = Vec::new();
            for (index, write) in writes.into_writes().into_iter().enumerate() {
                let outcome = self.put(&mut changed, write.into_parts());
                if !outcome.is_written() {
                    if self.has(Bug::AllOrNothingIsHalfApplied) {
                        *data = changed;
                    }
                    return Ok(BatchOutcome::NotMet { index });
                }
                outcomes.push(outcome);
            }
            *data = changed;
            Ok(BatchOutcome::Written(outcomes))
        })
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        self.request(|_| Ok(()))?;
        let everything = self.lock();
        let empty = Data::new();
        let own = everything.get(&self.namespace).unwrap_or(&empty);
        let run = self.system.restarts.load(Ordering::Relaxed);
        let is_lost = page.position().is_some_and(|position| position.first() != Some(&run));
        if self.system.loses_places && is_lost {
            return Err(Error::invalid(Reason::CursorInvalid, "the place was lost by a restart"));
        }
        let is_of_a_list = |fault| matches!(fault, Fault::PageEmpty | Fault::PageStandsStill | Fault::PageInCircles);
        match self.fault(is_of_a_list) {
            // Before all keys, where there is no cursor yet.
            Some(Fault::PageStandsStill) => {
                let next = page.position().unwrap_or_default().to_vec();
                Ok(RawPage::new(Vec::new(), Some(next).filter(|_| !self.has(Bug::StandstillIsTheEnd))))
            }
            Some(fault) => {
                let begins = |key: &&String| key.starts_with(page.prefix());
                let limit = if fault == Fault::PageEmpty { 0 } else { page.limit().get() };
                let items = own.keys().filter(begins).take(limit).map(|key| ListItem::new(key.as_str())).collect();
                let circle = self.system.circles.fetch_add(1, Ordering::Relaxed);
                let next = Some(format!("\0{circle}").into_bytes()).filter(|_| !self.has(Bug::CircleIsTheEnd));
                Ok(RawPage::new(items, next))
            }
            None => Ok(self.page(own, &everything, &page)),
        }
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        if self.has(Bug::CountersAreNotImplemented) {
            return Err(Error::not_implemented("increment"));
        }
        if self.has(Bug::RacyIncrement) {
            let before = self.request(|data| Ok(data.clone()))?;
            yield_now().await;
            return self.request(|data| {
                let mut seen = before;
                let sum = self.count(&mut seen, &increment)?;
                data.extend(seen.remove_entry(increment.key()));
                Ok(sum)
            });
        }
        if self.has(Bug::CounterTakesBack) {
            let key = self.key(increment.key());
            let before = self.request(|data| {
                let before = data.get(&key).cloned();
                if let Some(record) = data.get_mut(&key)
                    && let Some(count) = record.value.as_i64()
                    && count.checked_add(increment.by()).is_none()
                {
                    let beyond = i128::from(count) + i128::from(increment.by());
                    record.value = Value::from_stored(ValueKind::Json, beyond.to_string().into());
                }
                Ok(before)
            })?;
            yield_now().await;
            self.request(|data| {
                data.extend(before.map(|before| (key, before)));
                Ok(())
            })?;
        }
        let count = self.request(|data| self.count(data, &increment))?;
        if self.has(Bug::CounterTtlIsAStepOfItsOwn) && count == increment.by() {
            round_trip().await;
            self.request(|data| {
                let record = data.get_mut(&self.key(increment.key()));
                record.into_iter().for_each(|record| record.end = self.end(increment.created_expiry()));
                Ok(())
            })?;
        }
        Ok(count)
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        let is_met = |data: &Data| {
            let version = expire.if_version().filter(|_| !self.has(Bug::ExpireIgnoresTheVersion));
            let condition = version.map_or(Condition::IfExists, |version| Condition::IfVersion(version.clone()));
            self.holds(&condition, self.live(data, expire.key()))
        };
        let looks_first = self.has(Bug::ExpireLooksAtTheVersionFirst) && expire.if_version().is_some();
        if looks_first {
            if !self.request(|data| Ok(is_met(data)))? {
                return Ok(false);
            }
            round_trip().await;
        }
        self.request(|data| {
            let key = self.key(expire.key());
            if !is_met(data) && !self.has(Bug::ExpireCreates) && !looks_first {
                return Ok(false);
            }
            let fresh = || Record {
                value: Value::from(""),
                metadata: None,
                end: None,
                version: self.next_version(None),
                listed_bytes: 0,
                is_foreign: false,
            };
            let record = data.entry(key).or_insert_with(fresh);
            record.end = self.end(expire.expiry());
            if self.has(Bug::ExpireChangesTheVersion) {
                record.version = self.next_version(None);
            }
            Ok(true)
        })
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        let key = self.key(touch.key());
        let first = if self.has(Bug::TouchLooksFirst) {
            let first = self.request(|data| self.found(self.live(data, touch.key())))?;
            round_trip().await;
            first
        } else {
            None
        };
        self.request(|data| {
            if self.has(Bug::TouchCreates) && self.live(data, touch.key()).is_none() {
                let (value, version) = (Value::from(""), self.next_version(None));
                let record = Record { value, metadata: None, end: None, version, listed_bytes: 0, is_foreign: false };
                data.insert(key.clone(), record);
            }
            let before = self.found(self.live(data, touch.key()));
            if before.is_err() && !self.has(Bug::ForeignTypeIsTouched) || matches!(before, Ok(None)) {
                return before;
            }
            if let Some(record) = data.get_mut(&key).filter(|_| !self.has(Bug::TouchIsARead)) {
                record.end = self.end(touch.expiry());
            }
            if self.has(Bug::TouchReportsTheOldEnd) {
                return before;
            }
            Ok(first.or(self.found(data.get(&key))?))
        })
    }

    async fn get_and_delete(&self, get_and_delete: GetAndDelete<'_>) -> Result<Option<Entry>> {
        let key = self.key(get_and_delete.key());
        let seen = |data: &Data| match self.bug {
            Some(Bug::TakesWhatExpired) => self.found(data.get(&key)),
            _ => self.found(self.live(data, get_and_delete.key())),
        };
        if self.has(Bug::TakesWhatAnotherTook) || self.has(Bug::TakesWhatItDidNotRead) {
            let found = self.request(|data| seen(data))?;
            round_trip().await;
            let deleted = self.request(|data| Ok(data.remove(&key).is_some()))?;
            return Ok(found.filter(|_| deleted || self.has(Bug::TakesWhatAnotherTook)));
        }
        self.request(|data| {
            let found = seen(data);
            if (found.is_ok() || self.has(Bug::ForeignTypeIsTaken)) && !self.has(Bug::GetAndDeleteLeavesTheEntry) {
                data.remove(&key);
            }
            found
        })
    }

    async fn ping(&self) -> Result<()> {
        self.request(|_| Ok(()))
    }

    async fn close(&self) -> Result<()> {
        if self.system.is_closing.swap(true, Ordering::Relaxed) && self.has(Bug::SecondCloseFails) {
            return Err(Error::new(ErrorKind::Internal, "it is being closed"));
        }
        yield_now().await;
        self.system.is_closing.store(false, Ordering::Relaxed);
        Ok(())
    }
}

impl Faults for SystemHandle {
    fn offers(&self, _: Fault) -> bool {
        true
    }

    fn inject(&self, fault: Fault, count: u32) {
        *self.0.fault.lock().unwrap_or_else(PoisonError::into_inner) = (count > 0).then_some((fault, count));
    }
}

/// Lets [`Faults`] be implemented for what the store shares.
struct SystemHandle(Arc<System>);

/// The time of the system, which that of this side follows.
struct StillTime {
    clock: ManualClock,
    tick: Duration,
}

#[async_trait]
impl Time for StillTime {
    fn now(&self) -> Timestamp {
        Clock::now(&self.clock)
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn lateness(&self) -> Duration {
        self.tick
    }
}

/// Real time, which nothing moves.
struct RunningTime {
    granularity: Duration,
}

#[async_trait]
impl Time for RunningTime {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn advance(&self, by: Duration) {
        TokioTimer.sleep(by).await;
    }

    fn granularity(&self) -> Duration {
        self.granularity
    }
}

/// Opens the reference, whole or with a bug, as it is or restricted.
#[derive(Default)]
pub(crate) struct ReferenceHarness {
    bug: Option<Bug>,
    restrict: Option<&'static Capabilities>,
    has_still_clock: bool,
    tick: Duration,
    loses_places: bool,
    /// Real time, with this granularity.
    runs: Option<Duration>,
}

impl ReferenceHarness {
    pub(crate) fn whole() -> Self {
        Self::default()
    }

    pub(crate) fn with(bug: Bug) -> Self {
        Self { bug: Some(bug), ..Self::default() }
    }

    pub(crate) fn that_cannot_move_time() -> Self {
        Self { has_still_clock: true, ..Self::default() }
    }

    /// A system that looks at its clock once in so long.
    pub(crate) fn with_tick(self, tick: Duration) -> Self {
        Self { tick, ..self }
    }

    /// On real time, which is said to have this granularity.
    #[allow(dead_code, reason = "most tests have no use for real time")]
    pub(crate) fn on_real_time(self, granularity: Duration) -> Self {
        Self { runs: Some(granularity), ..self }
    }

    /// A system whose walks end with it.
    pub(crate) fn that_loses_places(self) -> Self {
        Self { loses_places: true, ..self }
    }

    pub(crate) fn restricted_to(self, capabilities: &'static Capabilities) -> Self {
        Self { restrict: Some(capabilities), ..self }
    }
}

#[async_trait]
impl Harness for ReferenceHarness {
    async fn open(&self) -> Result<Fixture> {
        let start = Timestamp::from_unix_micros(1_795_161_822_123_456);
        let still = ManualClock::new(start);
        let clock: Arc<dyn Clock> = if self.runs.is_some() { Arc::new(SystemClock) } else { Arc::new(still.clone()) };
        let client_clock = OffsetClock::new(Arc::clone(&clock));
        let system = Arc::new(System {
            namespaces: Mutex::default(),
            versions: AtomicU64::new(1),
            opened: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            fault: Mutex::default(),
            circles: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
            restarts: AtomicU8::new(0),
            loses_places: self.loses_places,
            clock,
            client_clock: client_clock.clone(),
            tick: self.tick,
        });
        let (bug, restrict) = (self.bug, self.restrict);
        let open = {
            let system = Arc::clone(&system);
            move |namespace: &str, is_stranger: bool| {
                let system = Arc::clone(&system);
                let process = system.opened.fetch_add(1, Ordering::Relaxed).to_string();
                let backend = Reference { system, namespace: namespace.to_owned(), process, bug, is_stranger };
                Store::new(backend).restricted_to(restrict)
            }
        };
        let write_foreign = {
            let system = Arc::clone(&system);
            move |key: String, text: &str, is_foreign: bool| {
                let (value, listed_bytes) = (Value::from(text), text.len());
                let record = Record { value, metadata: None, end: None, version: 0, listed_bytes, is_foreign };
                let mut namespaces = system.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
                namespaces.entry("main".to_owned()).or_default().insert(key, record);
                std::future::ready(Ok(()))
            }
        };
        let write_foreign_type = write_foreign.clone();
        let (counted, restarted) = (Arc::clone(&system), Arc::clone(&system));
        let (reopen, other, stranger) = (open.clone(), open.clone(), open.clone());
        let fixture = Fixture::new(open("main", false));
        let fixture = match self.runs {
            _ if self.has_still_clock => fixture,
            Some(granularity) => fixture.with_time(RunningTime { granularity }),
            None => fixture.with_time(StillTime { clock: still, tick: self.tick }),
        };
        Ok(fixture
            .with_reopen(move || std::future::ready(Ok(reopen("main", false))))
            .with_namespaces(move |name| std::future::ready(Ok(other(&name, false))))
            .with_wrong_credentials(move || std::future::ready(Ok(stranger("main", true))))
            .with_restart(move || {
                restarted.restarts.fetch_add(1, Ordering::Relaxed);
                std::future::ready(Ok(()))
            })
            .with_foreign_writer(move |key, text| write_foreign(key, &text, false))
            .with_foreign_type_writer(move |key| write_foreign_type(key, "", true))
            .with_requests(move || counted.requests.load(Ordering::Relaxed))
            .with_faults(SystemHandle(system))
            .with_client_clock(client_clock)
            .with_secret(SECRET, String::new))
    }
}
