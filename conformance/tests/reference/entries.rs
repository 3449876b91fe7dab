//! What one request does to entries and counters.

use std::time::Duration;

use kv_api::{
    Condition, Delete, DeleteOutcome, Entry, EntryExpiry, Error, ErrorKind, Expiry, Increment, Metadata, Reason,
    Result, Retry, SetOutcome, SetStatus, Timestamp, Value, ValueKind, WriteParts,
};
use serde_json::json;

use super::bug::Bug;
use super::odd::Odd;
use super::system::{Data, Record, Reference};

impl Reference {
    pub(super) fn entry(&self, record: &Record) -> Entry {
        let expiry = record.end.map_or(EntryExpiry::Never, EntryExpiry::At);
        let expiry = match expiry {
            EntryExpiry::At(at) if self.has(Bug::ExpiryIsReportedLate) => {
                EntryExpiry::At(at.checked_add(Duration::from_secs(60)).unwrap_or(at))
            }
            expiry => expiry,
        };
        let expiry = if self.reported.expiry_read { expiry } else { EntryExpiry::Unknown };
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
            _ if self.has(Bug::EnvelopesAreOpened) => opened(&record.value),
            _ if self.has(Bug::TextIsReadAsJson) => {
                let json = record.value.as_text().and_then(|text| Value::from_json_text(text).ok());
                json.unwrap_or_else(|| record.value.clone())
            }
            _ if self.has(Bug::BytesBecomeText) => match record.value.kind() {
                ValueKind::Bytes => Value::from_foreign(record.value.as_bytes().clone()),
                _ => record.value.clone(),
            },
            _ => record.value.clone(),
        };
        let metadata = match &record.metadata {
            Some(metadata) if self.has(Bug::MetadataIsReadAsText) => {
                Some(Metadata::from(json!(metadata.as_json_text())))
            }
            metadata => metadata.clone(),
        };
        Entry::with_details(value, metadata, expiry, self.version(record))
    }

    pub(super) fn holds(&self, condition: &Condition, live: Option<&Record>) -> bool {
        match condition {
            Condition::IfNotExists => live.is_none(),
            Condition::IfExists => live.is_some(),
            Condition::IfVersion(_) if live.is_none() => self.has(Bug::VersionOfNothingIsMet),
            Condition::IfVersion(version) => live.is_some_and(|record| self.version(record).as_ref() == Some(version)),
            _ => true,
        }
    }

    pub(super) fn listed_bytes(&self, value: &Value) -> usize {
        match value.as_text() {
            Some(text) if self.has(Bug::ListCountsCharacters) => text.chars().count(),
            _ => value.as_bytes().len(),
        }
    }

    pub(super) fn put(&self, data: &mut Data, mut parts: WriteParts<'_>) -> SetOutcome {
        if self.is(Odd::RewritesJson) {
            let json = parts.value.to_json().ok().filter(|_| parts.value.kind() == ValueKind::Json);
            parts.value = json.map_or(parts.value, Value::from);
            parts.metadata = parts.metadata.and_then(|metadata| Some(Metadata::from(metadata.to_json().ok()?)));
        }
        let there = data.get(&self.key(&parts.key)).cloned();
        let live = self.live(data, &parts.key).cloned();
        let mut met = self.holds(&parts.condition, live.as_ref());
        if self.has(Bug::IfNotExistsIsRefusedOverExpired) && parts.condition == Condition::IfNotExists {
            met = there.is_none();
        }
        met |= match parts.condition {
            Condition::IfNotExists => self.has(Bug::IfNotExistsIsIgnored),
            Condition::IfExists => self.has(Bug::IfExistsIsIgnored),
            Condition::IfVersion(_) => self.has(Bug::IfVersionIsIgnored),
            _ => true,
        };
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
        if self.has(Bug::MetadataOutlivesTheEntry) {
            record.metadata = record.metadata.or_else(|| there.as_ref()?.metadata.clone());
        }
        let updated = live.is_some() || (self.has(Bug::UpdatedOverExpired) && there.is_some());
        let status = match parts.condition {
            _ if self.has(Bug::SetAlwaysSaysCreated) => SetStatus::Created,
            Condition::Always if !self.reported.reports_set_outcome => SetStatus::Stored,
            _ if updated => SetStatus::Updated,
            _ => SetStatus::Created,
        };
        let version = self.version(&record).filter(|_| !self.has(Bug::OutcomeHasNoVersion));
        data.insert(self.key(&parts.key), record);
        let outcome = SetOutcome::new(status);
        match version {
            Some(version) => outcome.with_version(version),
            None => outcome,
        }
    }

    pub(super) fn remove(&self, data: &mut Data, delete: &Delete<'_>) -> DeleteOutcome {
        let live = self.live(data, delete.key()).cloned();
        if let Some(version) = delete.if_version() {
            let met = self.holds(&Condition::IfVersion(version.clone()), live.as_ref());
            let ignored = self.has(Bug::DeleteIgnoresTheVersion) && live.is_some();
            if !met && !ignored {
                return DeleteOutcome::NotMet;
            }
        }
        let key = self.key(delete.key());
        let there = match data.get_mut(&key) {
            // It lies there as what has ended.
            Some(record) if self.has(Bug::MetadataOutlivesTheEntry) => {
                record.end = Some(Timestamp::UNIX_EPOCH);
                true
            }
            _ => data.remove(&key).is_some(),
        };
        if self.has(Bug::DeleteAlwaysSaysDeleted) {
            return DeleteOutcome::Deleted;
        }
        if delete.if_version().is_none() && !self.reported.reports_delete_outcome {
            DeleteOutcome::Accepted
        } else if live.is_some() || (there && self.has(Bug::DeleteOfExpiredSaysDeleted)) {
            DeleteOutcome::Deleted
        } else {
            DeleteOutcome::NotFound
        }
    }

    pub(super) fn remove_one_of_many(&self, data: &mut Data, delete: &Delete<'_>) -> DeleteOutcome {
        let outcome = self.remove(data, delete);
        if self.reported.reports_delete_many_outcome { outcome } else { DeleteOutcome::Accepted }
    }

    /// What a read gives.
    pub(super) fn found(&self, record: Option<&Record>) -> Result<Option<Entry>> {
        match record {
            Some(record) if record.is_foreign && self.has(Bug::ForeignTypeIsMissing) => Ok(None),
            Some(record) if record.version == 0 && !record.is_foreign && self.has(Bug::ForeignTextIsRefused) => {
                Err(Error::new(ErrorKind::Protocol, "it is in no envelope"))
            }
            Some(record) if record.is_foreign => Err(Error::new(ErrorKind::WrongType, "it holds no value")),
            record => Ok(record.map(|record| self.entry(record))),
        }
    }

    /// Every other item of a bulk request, and an answer that cannot be.
    pub(super) fn half_done<T, D: Clone>(
        &self,
        items: Vec<T>,
        mut carry_out: impl FnMut(&mut Data, T),
        begins_as: D,
    ) -> Vec<Result<D>> {
        let asked = items.len();
        let mut namespaces = self.lock();
        let data = namespaces.entry(self.place.clone()).or_default();
        items.into_iter().step_by(2).for_each(|item| carry_out(data, item));
        let implausible = || Error::new(ErrorKind::Protocol, "-3 items were done").with_retry(Retry::OutcomeUnknown);
        let begins_as_done = self.has(Bug::BatchBeginsAsStored);
        (0..asked).map(|_| if begins_as_done { Ok(begins_as.clone()) } else { Err(implausible()) }).collect()
    }

    pub(super) fn count(&self, data: &mut Data, increment: &Increment<'_>) -> Result<i64> {
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
                let reads_text = self.has(Bug::IncrementAcceptsText) || self.has(Bug::CounterReadsAsText);
                let text = record.value.as_text().filter(|_| reads_text);
                let integer = record.value.as_i64().or_else(|| text?.parse().ok());
                integer.filter(|_| !barred).ok_or_else(|| no_counter(record))?
            }
        };
        let (min, max) = match self.bug {
            Some(Bug::CounterIgnoresANarrowerRange) => (self.reported.counter_min, self.reported.counter_max),
            _ => (increment.min(), increment.max()),
        };
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
        let value = if self.has(Bug::CounterReadsAsText) { Value::from(sum.to_string()) } else { Value::from(sum) };
        let listed_bytes = self.listed_bytes(&value);
        data.insert(key, Record { value, metadata, end, version, listed_bytes, is_foreign: false });
        Ok(if self.has(Bug::IncrementAnswersTheOld) { count } else { sum })
    }
}

/// What an envelope holds, whoever has made it.
fn opened(value: &Value) -> Value {
    let json = value.to_json().ok().or_else(|| serde_json::from_slice(value.as_bytes()).ok());
    match json {
        Some(mut json) if json["$kv-envelope"] == 1 => Value::from(json["value"].take()),
        _ => value.clone(),
    }
}
