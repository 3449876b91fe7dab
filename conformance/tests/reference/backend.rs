//! The calls of the backend, each made of requests.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use kv_api::{
    Backend, BatchOutcome, Capabilities, Clock, Condition, Delete, DeleteMany, DeleteOutcome, Entry, Error, ErrorKind,
    Expire, Expiry, ExpiryClock, Fields, GetAndDelete, Increment, ListItem, ListPage, Method, Methods, RawPage, Read,
    ReadMany, Reason, Result, SetOutcome, SetStatus, Support, Touch, Value, ValueKind, Write, WriteMany, WriteParts,
    async_trait,
};
use kv_conformance::Fault;
use tokio::task::yield_now;

use super::EVERYTHING;
use super::bug::Bug;
use super::lists::hash;
use super::odd::Odd;
use super::system::{Data, Record, Reference};

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

impl Reference {
    /// Waits for all other writes of this store, where they must not come between a look and a write.
    async fn turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if self.is(Odd::LooksThenWrites) { Some(self.turn.lock().await) } else { None }
    }

    /// A step on one entry: one request, or a look and a write as if no other process had written meanwhile.
    async fn step<T>(&self, key: &str, carry_out: impl FnOnce(&mut Data) -> Result<T> + Send) -> Result<T> {
        let turn = self.turn().await;
        if turn.is_none() {
            return self.request(carry_out).await;
        }
        let key = self.key(key);
        let seen = self.look(|data| Ok(data.get(&key).cloned())).await?;
        yield_now().await;
        self.request(|data| {
            let mut own: Data = seen.iter().map(|record| (key.clone(), record.clone())).collect();
            let answer = carry_out(&mut own)?;
            match own.remove(&key) {
                changed if changed == seen => {}
                Some(record) => drop(data.insert(key, record)),
                None => drop(data.remove(&key)),
            }
            Ok(answer)
        })
        .await
    }
}

impl Reference {
    /// Writes what may be written already: of what it came over nothing is known (ERR-5).
    async fn set_again(&self, parts: WriteParts<'_>) -> Result<SetOutcome> {
        let outcome = self.request(|data| Ok(self.put(data, parts))).await?;
        let stored = SetOutcome::new(SetStatus::Stored);
        Ok(match outcome.version() {
            Some(version) => stored.with_version(version.clone()),
            None => stored,
        })
    }
}

static WITHOUT_ZERO: Capabilities = EVERYTHING.with_counters(Support::Native, 1, 1000);

#[async_trait]
impl Backend for Reference {
    fn capabilities(&self) -> &Capabilities {
        match self.bug {
            Some(Bug::CapabilitiesContradict) => &WITHOUT_ZERO,
            Some(Bug::ClaimsItsOwnClock) => &WITH_ITS_OWN_CLOCK,
            _ => self.reported,
        }
    }

    fn methods(&self) -> Methods {
        let bulk = Methods::NONE.with(Method::ReadMany).with(Method::WriteMany);
        let is_forgotten = self.bug == Some(Bug::MethodsForManyAreNotNamed);
        let bulk = if is_forgotten || self.is(Odd::SinglesOnly) { Methods::NONE } else { bulk };
        bulk.with(Method::WriteAllOrNothing)
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
            _ => &self.scope,
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
        if self.has(Bug::KeepsWhatIsBeingWritten) && read.fields() != Fields::Existence {
            return self.read_what_is_kept(read.key()).await;
        }
        if self.has(Bug::RollsBackWhatWasSeen) && read.fields() != Fields::Existence {
            return self.read_for_the_last_time(read.key()).await;
        }
        let look = async || {
            self.observe(|data| {
                let seen = self.has(Bug::ExistsSeesExpired) && read.fields() == Fields::Existence;
                let record = if seen { data.get(read.key()) } else { self.live(data, read.key()) };
                if read.fields() == Fields::Existence {
                    return Ok(record.map(|record| self.entry(record)));
                }
                self.found(record)
            })
            .await
        };
        if self.has(Bug::ReplyGoesToTheNextCall) {
            let reply = look().await;
            self.replies.lock().unwrap_or_else(PoisonError::into_inner).push_back(reply);
            yield_now().await;
            let reply = self.replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            return reply.unwrap_or(Ok(None));
        }
        let first = look().await?;
        if self.has(Bug::ReadsAnswerTheOneBefore) {
            let mut read_before = self.read_before.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(read_before.insert(read.key().to_owned(), first.clone()).unwrap_or(first));
        }
        if first.is_none() && self.has(Bug::MissingIsAnError) {
            return Err(Error::new(ErrorKind::Internal, "there is no such key"));
        }
        if !self.has(Bug::TornReads) && !self.is(Odd::ReadsInTwoSteps) {
            return Ok(first);
        }
        round_trip().await;
        let (first, second) = (first, look().await?);
        Ok(second.zip(first).map(|(second, first)| {
            let metadata = first.metadata().cloned();
            Entry::with_details(second.value().clone(), metadata, second.expiry(), second.version().cloned())
        }))
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        let mut parts = write.into_parts();
        self.check(&parts)?;
        if self.has(Bug::TornReads) {
            // A write that takes its time, so that reads find one to be torn by.
            round_trip().await;
        }
        let races = [Bug::KeepsWhatIsBeingWritten, Bug::RollsBackWhatWasSeen, Bug::SetLooksForItsOutcome];
        if races.into_iter().any(|bug| self.has(bug)) {
            return self.set_among_others(parts).await;
        }
        let racy = match parts.condition {
            Condition::IfNotExists => Some((Bug::RacyIfNotExists, SetStatus::Created)),
            Condition::IfExists => Some((Bug::RacyIfExists, SetStatus::Updated)),
            Condition::IfVersion(_) => Some((Bug::RacyIfVersion, SetStatus::Updated)),
            _ => None,
        };
        if let Some((bug, status)) = racy.filter(|(bug, _)| self.has(*bug)) {
            if !self.request(|data| Ok(self.holds(&parts.condition, self.live(data, &parts.key)))).await? {
                return Ok(SetOutcome::new(SetStatus::NotMet));
            }
            match bug {
                Bug::RacyIfVersion => round_trip().await,
                _ => round_trip_beside_another(&self.system.looks).await,
            }
            return self
                .request(|data| {
                    parts.condition = Condition::Always;
                    self.put(data, parts);
                    Ok(SetOutcome::new(status))
                })
                .await;
        }
        if self.has(Bug::VersionedSetDropsTheExpiry) && matches!(parts.condition, Condition::IfVersion(_)) {
            parts.expiry = Expiry::Never;
        }
        if self.has(Bug::TornByADrop) {
            let (key, metadata) = (parts.key.clone().into_owned(), parts.metadata.take());
            let outcome = self.request(|data| Ok(self.put(data, parts))).await?;
            yield_now().await;
            return self
                .request(|data| {
                    if let Some(record) = data.get_mut(&key).filter(|_| outcome.is_written()) {
                        record.metadata = metadata;
                    }
                    Ok(outcome)
                })
                .await;
        }
        if self.has(Bug::RepeatsConditionsBlindly) {
            let first = self.request(|data| Ok(self.put(data, parts.clone()))).await;
            if !matches!(&first, Err(error) if error.is_outcome_unknown()) {
                return first;
            }
        }
        if parts.condition == Condition::Always {
            let _turn = self.turn().await;
            let again = self.is(Odd::SharesOneConnection).then(|| parts.clone());
            let first = self.request(|data| Ok(self.put(data, parts))).await;
            return match again.filter(|_| matches!(&first, Err(error) if error.is_outcome_unknown())) {
                Some(parts) => self.set_again(parts).await,
                None => first,
            };
        }
        let key = parts.key.clone().into_owned();
        self.step(&key, |data| Ok(self.put(data, parts))).await
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        if self.has(Bug::DeleteLooksForItsOutcome) && delete.if_version().is_none() {
            return self.delete_that_looks_for_its_outcome(&delete).await;
        }
        if delete.if_version().is_some() && self.has(Bug::RacyDelete) {
            let is_met = |data: &mut Data| {
                let condition = delete.if_version().map(|version| Condition::IfVersion(version.clone()));
                Ok(condition.is_some_and(|condition| self.holds(&condition, self.live(data, delete.key()))))
            };
            if !self.request(is_met).await? {
                return Ok(DeleteOutcome::NotMet);
            }
            round_trip_beside_another(&self.system.looks).await;
            return self
                .request(|data| {
                    data.remove(&self.key(delete.key()));
                    Ok(DeleteOutcome::Deleted)
                })
                .await;
        }
        if delete.if_version().is_some() {
            return self.step(delete.key(), |data| Ok(self.remove(data, &delete))).await;
        }
        let _turn = self.turn().await;
        self.request(|data| Ok(self.remove(data, &delete))).await
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        if self.has(Bug::KeysAreReadOneByOne) {
            self.system.requests.fetch_add(reads.keys().len() as u64, Ordering::Relaxed);
        }
        let answer = self
            .observe(|data| {
                let record = |key: &str| match self.bug {
                    Some(Bug::ExpiredIsReadInBatches) => data.get(key),
                    _ => self.live(data, key),
                };
                let is_enough = reads.fields() == Fields::Existence && !self.has(Bug::ForeignTypeIsMissingInBatches);
                let found = reads.keys().iter().map(|key| match self.found(record(key)) {
                    Err(_) if is_enough => Ok(record(key).map(|record| self.entry(record))),
                    Err(_) if !self.has(Bug::ForeignTypeFailsTheBatch) => Ok(None),
                    Ok(None) if self.has(Bug::MissingFailsTheBatch) => {
                        Err(Error::new(ErrorKind::Internal, "it is missing"))
                    }
                    found => found,
                });
                let mut found: Vec<(&str, Option<Entry>)> = reads
                    .keys()
                    .iter()
                    .map(|key| &**key)
                    .zip(found)
                    .map(|(key, found)| Ok((key, found?)))
                    .collect::<Result<_>>()?;
                if self.has(Bug::ManyAnswersInOrderOfKeys) {
                    found.sort_by_key(|(key, _)| *key);
                }
                Ok(found.into_iter().map(|(_, found)| found).collect())
            })
            .await;
        match answer {
            Err(_) if self.has(Bug::FailedReadsAreMissing) => Ok(vec![None; reads.keys().len()]),
            answer => answer,
        }
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let writes = writes.into_writes();
        let asked = writes.len();
        if self.has(Bug::SendsEachItemTwice) {
            self.system.requests.fetch_add(2 * asked as u64, Ordering::Relaxed);
        }
        if self.fault(|fault| fault == Fault::BulkAnswerImplausible).is_some() {
            let put = |data: &mut Data, write: Write<'_>| drop(self.put(data, write.into_parts()));
            return self.half_done(writes, put, SetOutcome::new(SetStatus::Stored));
        }
        let _turn = self.turn().await;
        let result = self
            .request(|data| {
                let mut outcomes: Vec<Result<SetOutcome>> = Vec::new();
                let mut of_the_first = None;
                for write in
                    writes.into_iter().take(if self.has(Bug::BatchForgetsBeyondAHundred) { 100 } else { asked })
                {
                    let mut parts = write.into_parts();
                    if self.has(Bug::BatchIgnoresConditions) {
                        parts.condition = Condition::Always;
                    }
                    if self.has(Bug::BatchOptionsAreOfTheFirst) {
                        let (metadata, expiry) = of_the_first.get_or_insert((parts.metadata, parts.expiry)).clone();
                        (parts.metadata, parts.expiry) = (metadata, expiry);
                    }
                    if let Err(refused) = self.check(&parts) {
                        outcomes.push(Err(refused));
                        continue;
                    }
                    let outcome = self.put(data, parts);
                    let stop = self.has(Bug::BatchStopsAtTheFirstUnmetItem) && !outcome.is_written();
                    outcomes.push(Ok(outcome));
                    if stop {
                        break;
                    }
                }
                let rest =
                    if self.has(Bug::BatchForgetsBeyondAHundred) { SetStatus::Stored } else { SetStatus::NotMet };
                outcomes.resize_with(asked, || Ok(SetOutcome::new(rest)));
                if self.has(Bug::BatchAnswersOutOfOrder) {
                    outcomes.reverse();
                }
                Ok(outcomes)
            })
            .await;
        result.unwrap_or_else(|error| vec![Err(error); asked])
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let asked = deletes.keys().len();
        if self.is(Odd::SinglesOnly) {
            return join_all(deletes.into_deletes().map(|delete| self.delete(delete))).await;
        }
        if self.fault(|fault| fault == Fault::BulkAnswerImplausible).is_some() {
            let remove = |data: &mut Data, delete: Delete<'_>| {
                self.remove(data, &delete);
            };
            return self.half_done(deletes.into_deletes().collect(), remove, DeleteOutcome::Deleted);
        }
        let _turn = self.turn().await;
        if self.has(Bug::DeleteReachesIntoOtherNamespaces) {
            let keys = deletes.keys().iter().map(|key| self.key(key));
            keys.for_each(|key| self.lock().values_mut().for_each(|data| drop(data.remove(&key))));
        }
        let result = self
            .request(|data| {
                if self.has(Bug::DeleteManyForgetsTheLast) {
                    let all_but_the_last = deletes.into_deletes().take(asked - 1);
                    all_but_the_last.for_each(|delete| {
                        self.remove_one_of_many(data, &delete);
                    });
                    return Ok((0..asked).map(|_| Ok(DeleteOutcome::Deleted)).collect());
                }
                Ok(deletes.into_deletes().map(|delete| Ok(self.remove_one_of_many(data, &delete))).collect())
            })
            .await;
        result.unwrap_or_else(|error| vec![Err(error); asked])
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        let writes = writes.into_writes();
        let first = writes.first().map_or(0, |write| hash(write.key()) % 2);
        if let Some(index) = writes.iter().position(|write| hash(write.key()) % 2 != first)
            && self.is(Odd::RefusesKeysApart)
        {
            return Err(Error::invalid(Reason::KeysApart, "it lies apart from the first item").with_index(index));
        }
        let _turn = self.turn().await;
        let before = match self.bug {
            Some(Bug::RacyAllOrNothing) => {
                let before = self.request(|data| Ok(data.clone())).await?;
                round_trip_beside_another(&self.system.looks).await;
                Some(before)
            }
            _ => None,
        };
        self.request(|data| {
            let mut changed = before.unwrap_or_else(|| data.clone());
            let mut outcomes = Vec::new();
            for (index, write) in writes.into_iter().enumerate() {
                let parts = write.into_parts();
                self.check(&parts).map_err(|refused| refused.with_index(index))?;
                let outcome = self.put(&mut changed, parts);
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
        .await
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        self.observe(|_| Ok(())).await?;
        let everything = self.lock();
        let empty = Data::new();
        let late = self.late();
        let own = late.as_ref().or_else(|| everything.get(&self.place)).unwrap_or(&empty);
        let run = self.system.restarts.load(Ordering::Relaxed);
        let is_lost = page.position().is_some_and(|position| position.first() != Some(&run));
        let is_of_a_list = |fault| matches!(fault, Fault::PageEmpty | Fault::PageStandsStill | Fault::PageInCircles);
        match self.fault(is_of_a_list) {
            // Before all keys, where there is no cursor yet.
            Some(Fault::PageStandsStill) => {
                let next = page.position().unwrap_or_default().to_vec();
                Ok(RawPage::new(Vec::new(), Some(next).filter(|_| !self.has(Bug::StandstillIsTheEnd))))
            }
            Some(fault) => {
                let limit = if fault == Fault::PageEmpty { 0 } else { page.limit().get() };
                let found = self.listed(own, &everything, page.prefix()).into_iter().take(limit);
                let items = found.map(|(key, _)| ListItem::new(key)).collect();
                let circle = self.system.circles.fetch_add(1, Ordering::Relaxed);
                let next = Some(format!("\0{circle}").into_bytes()).filter(|_| !self.has(Bug::CircleIsTheEnd));
                Ok(RawPage::new(items, next))
            }
            None if is_lost && self.is(Odd::LosesPlaces) => {
                Err(Error::invalid(Reason::CursorInvalid, "the place was lost by a restart"))
            }
            None => Ok(self.page(own, &everything, &page)),
        }
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        if self.has(Bug::CountersAreNotImplemented) {
            return Err(Error::not_implemented("increment"));
        }
        if self.has(Bug::SendsIncrementsAgain) {
            return self.increment_with_what_was_unanswered(&increment).await;
        }
        if self.has(Bug::RacyIncrement) {
            let before = self.request(|data| Ok(data.clone())).await?;
            yield_now().await;
            return self
                .request(|data| {
                    let mut seen = before;
                    let sum = self.count(&mut seen, &increment)?;
                    data.extend(seen.remove_entry(increment.key()));
                    Ok(sum)
                })
                .await;
        }
        if self.has(Bug::CounterTakesBack) {
            let key = self.key(increment.key());
            let before = self
                .request(|data| {
                    let before = data.get(&key).cloned();
                    if let Some(record) = data.get_mut(&key)
                        && let Some(count) = record.value.as_i64()
                        && count.checked_add(increment.by()).is_none()
                    {
                        let beyond = i128::from(count) + i128::from(increment.by());
                        record.value = Value::from_stored(ValueKind::Json, beyond.to_string().into());
                    }
                    Ok(before)
                })
                .await?;
            yield_now().await;
            self.request(|data| {
                data.extend(before.map(|before| (key, before)));
                Ok(())
            })
            .await?;
        }
        if self.has(Bug::RepeatsStepsBlindly) {
            let first = self.request(|data| self.count(data, &increment)).await;
            if !matches!(&first, Err(error) if error.is_outcome_unknown()) {
                return first;
            }
        }
        if self.has(Bug::IncrementIsTakenBack) {
            // Once more than it should, and back.
            let count = self.request(|data| self.count(data, &increment)).await?;
            self.request(|data| self.count(data, &increment)).await?;
            yield_now().await;
            let key = self.key(increment.key());
            return self
                .request(|data| {
                    data.entry(key).and_modify(|record| record.value = Value::from(count));
                    Ok(count)
                })
                .await;
        }
        let count = self.step(increment.key(), |data| self.count(data, &increment)).await?;
        if self.has(Bug::CounterTtlIsAStepOfItsOwn) && count == increment.by() {
            round_trip().await;
            self.request(|data| {
                let record = data.get_mut(&self.key(increment.key()));
                record.into_iter().for_each(|record| record.end = self.end(increment.created_expiry()));
                Ok(())
            })
            .await?;
        }
        Ok(count)
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        self.check_end(expire.expiry())?;
        let is_met = |data: &Data| {
            let version = expire.if_version().filter(|_| !self.has(Bug::ExpireIgnoresTheVersion));
            let condition = version.map_or(Condition::IfExists, |version| Condition::IfVersion(version.clone()));
            self.holds(&condition, self.live(data, expire.key()))
        };
        let looks_first = self.has(Bug::ExpireLooksAtTheVersionFirst) && expire.if_version().is_some();
        if looks_first {
            if !self.request(|data| Ok(is_met(data))).await? {
                return Ok(false);
            }
            round_trip().await;
        }
        self.step(expire.key(), |data| {
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
            if expire.expiry() != Expiry::Never || !self.has(Bug::NeverIsIgnored) {
                record.end = self.end(expire.expiry());
            }
            if self.has(Bug::ExpireChangesTheVersion) {
                record.version = self.next_version(None);
            }
            Ok(true)
        })
        .await
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        let key = self.key(touch.key());
        let first = if self.has(Bug::TouchLooksFirst) {
            let first = self.request(|data| self.found(self.live(data, touch.key()))).await?;
            round_trip().await;
            first
        } else {
            None
        };
        self.step(touch.key(), |data| {
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
        .await
    }

    async fn get_and_delete(&self, get_and_delete: GetAndDelete<'_>) -> Result<Option<Entry>> {
        let key = self.key(get_and_delete.key());
        let seen = |data: &Data| match self.bug {
            Some(Bug::TakesWhatExpired) => self.found(data.get(&key)),
            _ => self.found(self.live(data, get_and_delete.key())),
        };
        if self.has(Bug::TakesWhatAnotherTook) || self.has(Bug::TakesWhatItDidNotRead) {
            let found = self.request(|data| seen(data)).await?;
            round_trip().await;
            let deleted = self.request(|data| Ok(data.remove(&key).is_some())).await?;
            return Ok(found.filter(|_| deleted || self.has(Bug::TakesWhatAnotherTook)));
        }
        self.step(get_and_delete.key(), |data| {
            let found = seen(data);
            if (found.is_ok() || self.has(Bug::ForeignTypeIsTaken)) && !self.has(Bug::GetAndDeleteLeavesTheEntry) {
                data.remove(&key);
            }
            found
        })
        .await
    }

    async fn ping(&self) -> Result<()> {
        self.request(|data| {
            if self.has(Bug::PingLeavesAKey) {
                let (value, version) = (Value::from("pong"), self.next_version(None));
                let record = Record { value, metadata: None, end: None, version, listed_bytes: 4, is_foreign: false };
                data.insert(self.key("ping"), record);
            }
            Ok(())
        })
        .await
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
