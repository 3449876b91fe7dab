//! The calls of the backend, each made of requests.

use std::sync::atomic::{AtomicU64, Ordering};

use kv_api::{
    Backend, BatchOutcome, Capabilities, Clock, Condition, Delete, DeleteMany, DeleteOutcome, Entry, Error, ErrorKind,
    Expire, Expiry, ExpiryClock, Fields, GetAndDelete, Increment, ListItem, ListPage, Method, Methods, RawPage, Read,
    ReadMany, Reason, Result, SetOutcome, SetStatus, Touch, Value, ValueKind, Write, WriteMany, async_trait,
};
use kv_conformance::Fault;
use tokio::task::yield_now;

use super::EVERYTHING;
use super::bug::Bug;
use super::system::{Data, Record, Reference};

static CAPABILITIES: Capabilities = EVERYTHING;

static WITH_ITS_OWN_CLOCK: Capabilities = EVERYTHING.with_expiry_clock(ExpiryClock::Store);

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
