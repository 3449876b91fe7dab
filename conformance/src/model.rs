//! A model of the contract in a few lines, and random sequences of calls against it (MODEL).

use std::collections::BTreeMap;
use std::time::Duration;

use kv_api::{
    BatchOutcome, Condition, DeleteOutcome, Entry, EntryExpiry, Error, ErrorKind, Feature, ListOrder, Metadata, Reason,
    SetItem, SetOutcome, SetStatus, Timestamp, Value, ValueKind, Version,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::cases::deletes::exactly_counted;
use crate::check::show;
use crate::context::{Context, collected, foreign_version, value_of};
use crate::expiring::{Form, Life};
use crate::outcome::{CaseResult, Outcome, Stop};

/// How many sequences are tried, and how many calls each has at most. The sequences are the same in every run.
const SEQUENCES: usize = 64;
const CALLS: usize = 40;
/// How many shorter sequences are tried to find the shortest that fails.
const SHRINKS: usize = 400;

/// What a call is made from: numbers, so that proptest shrinks any call towards the simplest.
type Seed = [u8; 16];

/// MODEL: random sequences of all calls with all options do what a model of the contract does.
pub(crate) async fn model_random_calls_agree_with_the_model(cx: &Context<'_>) -> CaseResult {
    let strategy = prop::collection::vec(prop::array::uniform16(0_u8..), 1..=CALLS);
    let mut runner = TestRunner::deterministic();
    for sequence in 0..SEQUENCES {
        let mut tree = match strategy.new_tree(&mut runner) {
            Ok(tree) => tree,
            Err(reason) => return Err(Stop::Failed(format!("no sequence could be made: {reason}"))),
        };
        let Err(failure) = agree(cx, &tree.current()).await else { continue };
        let mut shortest = failure;
        let mut left = SHRINKS;
        let mut smaller = tree.simplify();
        while smaller && left > 0 {
            left -= 1;
            smaller = match agree(cx, &tree.current()).await {
                Err(failure) => {
                    shortest = failure;
                    tree.simplify()
                }
                Ok(()) => tree.complicate(),
            };
        }
        let Failure { calls, found } = shortest;
        return Err(Stop::Failed(format!(
            "sequence {sequence} of {SEQUENCES}, made shorter, ends otherwise than the model:\n  {}\n  {found}",
            calls.join("\n  ")
        )));
    }
    Ok(())
}

struct Failure {
    calls: Vec<String>,
    found: String,
}

/// Carries out a sequence on a fresh store and the model.
async fn agree(cx: &Context<'_>, seeds: &[Seed]) -> Result<(), Failure> {
    let mut calls = Vec::new();
    let result = async {
        let cx = cx.fresh().await?;
        let mut world = World::new(&cx).await?;
        for seed in seeds {
            world.call(seed, &mut calls).await?;
        }
        world.compare_all().await
    };
    match result.await {
        Ok(()) => Ok(()),
        Err(Stop::Failed(found)) => Err(Failure { calls, found }),
        // A sequence asks only for what the store supports, so none of the rest is an answer.
        Err(stop) => Err(Failure { calls, found: Outcome::from(Err(stop)).to_string() }),
    }
}

/// What the contract says is there.
#[derive(Clone, Debug)]
struct Modelled {
    value: Value,
    metadata: Option<Metadata>,
    end: Option<Timestamp>,
    /// As the store told it; opaque to the model.
    version: Option<Version>,
}

/// The model beside the store.
struct World<'c> {
    cx: &'c Context<'c>,
    keys: Vec<String>,
    values: Vec<Value>,
    entries: BTreeMap<String, Modelled>,
    /// Versions told earlier, for conditions that must not hold.
    old_versions: Vec<Version>,
    /// The length of a life; without a clock that stands still, nothing expires in these sequences.
    life: Option<Duration>,
}

/// A set as the seed describes it.
#[derive(Clone, Debug)]
struct Wish {
    key: String,
    value: Value,
    metadata: Option<Metadata>,
    life: Option<Life>,
    condition: Condition,
}

impl Wish {
    fn item(&self) -> SetItem<'_> {
        let mut item = SetItem::new(&*self.key, self.value.clone()).condition(self.condition.clone());
        if let Some(metadata) = &self.metadata {
            item = item.metadata(metadata.clone());
        }
        match self.life {
            Some(life) => life.item(item),
            None => item,
        }
    }
}

impl<'c> World<'c> {
    async fn new(cx: &'c Context<'c>) -> Result<Self, Stop> {
        let exact =
            cx.fixture.time.as_ref().is_some_and(|time| time.granularity().is_zero() && time.lateness().is_zero());
        let life = if exact {
            cx.align().await?;
            Some(cx.life(Form::Ttl, 1)?.ttl)
        } else {
            None
        };
        let near_the_end = cx.capabilities().counter_max.saturating_sub(1);
        let values = vec![
            cx.value(1),
            Value::from(json!(7)),
            cx.value(2),
            Value::from(json!(-1)),
            Value::from("5"),
            value_of(ValueKind::Json),
            value_of(ValueKind::Bytes),
            Value::from(near_the_end),
        ];
        let keys = ["a", "a%", "a/1", "B", "é"].map(|name| cx.key(name)).to_vec();
        Ok(Self { cx, keys, values, entries: BTreeMap::new(), old_versions: Vec::new(), life })
    }

    fn now(&self) -> Result<Timestamp, Stop> {
        match self.life {
            Some(_) => self.cx.now(),
            None => Ok(Timestamp::UNIX_EPOCH),
        }
    }

    fn key(&self, byte: u8) -> String {
        // The first ones more often, so that calls meet.
        self.keys[[0, 0, 0, 1, 1, 2, 3, 4][usize::from(byte % 8)]].clone()
    }

    fn options(&self, seed: &[u8]) -> Result<Wish, Stop> {
        let key = self.key(seed[0]);
        let life = match (seed[2] % 6, self.life) {
            (1, Some(_)) => Some(self.cx.life(Form::Ttl, 1)?),
            (2, Some(_)) => Some(self.cx.life(Form::At, 1)?),
            (3, Some(_)) => Some(self.cx.life(Form::Ttl, 3)?),
            _ => None,
        };
        let metadata = match seed[3] % 8 {
            1 => Some(Metadata::from(json!({ "m": seed[3] }))),
            2 => Some(Metadata::from(json!("text"))),
            _ => None,
        };
        let condition = match seed[4] % 12 {
            1 | 2 => Condition::IfNotExists,
            3 => Condition::IfExists,
            4 | 5 => Condition::IfVersion(self.current_version(&key)),
            6 => Condition::IfVersion(self.old_versions.last().cloned().unwrap_or_else(foreign_version)),
            _ => Condition::Always,
        };
        Ok(Wish {
            key,
            value: self.values[usize::from(seed[1]) % self.values.len()].clone(),
            metadata,
            life,
            condition,
        })
    }

    fn current_version(&self, key: &str) -> Version {
        self.entries.get(key).and_then(|entry| entry.version.clone()).unwrap_or_else(foreign_version)
    }

    /// What a set needs that the store does not declare.
    fn missing(&self, options: &Wish) -> Option<Feature> {
        let needed = [
            Some(Feature::ValueKind(options.value.kind())),
            match options.condition {
                Condition::IfNotExists => Some(Feature::IfNotExists),
                Condition::IfExists => Some(Feature::IfExists),
                Condition::IfVersion(_) => Some(Feature::IfVersion),
                _ => None,
            },
            options.metadata.as_ref().map(|_| Feature::Metadata),
            options.life.map(|life| if life.form == Form::Ttl { Feature::Ttl } else { Feature::ExpireAt }),
        ];
        needed.into_iter().flatten().find(|feature| !self.cx.declares(*feature))
    }

    /// The live entry of a key; what has expired is forgotten.
    fn live(&mut self, key: &str) -> Result<Option<&mut Modelled>, Stop> {
        let now = self.now()?;
        if self.entries.get(key).is_some_and(|entry| entry.end.is_some_and(|end| end <= now)) {
            let expired = self.entries.remove(key);
            self.old_versions.extend(expired.and_then(|entry| entry.version));
        }
        Ok(self.entries.get_mut(key))
    }

    fn holds(&mut self, options: &Wish) -> Result<bool, Stop> {
        let live = self.live(&options.key)?;
        Ok(match &options.condition {
            Condition::IfNotExists => live.is_none(),
            Condition::IfExists => live.is_some(),
            Condition::IfVersion(version) => live.is_some_and(|entry| entry.version.as_ref() == Some(version)),
            _ => true,
        })
    }

    /// Carries out a set in the model and checks what the store said about it. `over_expired`: `Stored` is acceptable
    /// too.
    fn set(&mut self, options: &Wish, outcome: &SetOutcome, what: &str) -> CaseResult {
        let over_expired = self.entries.contains_key(&options.key) && self.live(&options.key)?.is_none();
        let existed = self.live(&options.key)?.is_some();
        let met = self.holds(options)?;
        let told = self.cx.capabilities().reports_set_outcome || options.condition != Condition::Always;
        let expected = match (met, told, existed) {
            (false, _, _) => SetStatus::NotMet,
            (true, false, _) => SetStatus::Stored,
            (true, true, true) => SetStatus::Updated,
            (true, true, false) => SetStatus::Created,
        };
        let stored_instead =
            over_expired && options.condition == Condition::Always && met && outcome.status() == SetStatus::Stored;
        if !stored_instead {
            ensure_eq!(outcome.status(), expected, "the outcome of {what}");
        }
        let has_version = met && self.cx.declares(Feature::IfVersion);
        ensure_eq!(outcome.version().is_some(), has_version, "whether {what} told a version");
        if met {
            self.store(options, outcome.version().cloned());
        }
        Ok(())
    }

    fn store(&mut self, options: &Wish, version: Option<Version>) {
        let Wish { key, value, metadata, life, .. } = options.clone();
        let entry = Modelled { value, metadata, end: life.map(|life| life.end), version };
        let before = self.entries.insert(key, entry);
        self.old_versions.extend(before.and_then(|entry| entry.version));
    }

    fn remove(&mut self, key: &str) {
        let before = self.entries.remove(key);
        self.old_versions.extend(before.and_then(|entry| entry.version));
    }

    async fn call(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        match seed[0] % 19 {
            0..=2 => self.call_set(seed, calls).await,
            3 => self.call_delete(seed, calls).await,
            4 => self.call_get(seed, calls).await,
            5 | 6 => self.call_increment(seed, calls).await,
            7 => self.call_expire(seed, calls).await,
            8 => self.call_list(seed, calls).await,
            9 | 10 => self.call_set_many(seed, calls).await,
            11 => self.call_all_or_nothing(seed, calls).await,
            12 | 13 => self.call_advance(seed, calls).await,
            14 => self.call_delete_many(seed, calls).await,
            15 | 16 => self.call_touch(seed, calls).await,
            17 => self.call_get_and_delete(seed, calls).await,
            _ => self.call_delete_prefix(seed, calls).await,
        }
    }

    async fn call_set(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        let options = self.options(&seed[1..])?;
        calls.push(format!("set {}", describe(&options)));
        let mut set = self.cx.store().set(&options.key, options.value.clone()).condition(options.condition.clone());
        if let Some(metadata) = &options.metadata {
            set = set.metadata(metadata.clone());
        }
        if let Some(life) = options.life {
            set = life.set(set);
        }
        let result = set.await;
        match self.missing(&options) {
            Some(feature) => refused(result, feature, "set"),
            None => self.set(&options, &result?, "set"),
        }
    }

    async fn call_delete(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        let key = self.key(seed[1]);
        let version = match seed[2] % 4 {
            1 => Some(self.current_version(&key)),
            2 => Some(self.old_versions.last().cloned().unwrap_or_else(foreign_version)),
            _ => None,
        };
        calls.push(format!("delete {key:?} if version {version:?}"));
        let delete = self.cx.store().delete(&key);
        let result = match version.clone() {
            Some(version) => delete.if_version(version).await,
            None => delete.await,
        };
        if version.is_some() && !self.cx.declares(Feature::IfVersion) {
            return refused(result, Feature::IfVersion, "delete");
        }
        let live = self.live(&key)?;
        let existed = live.is_some();
        let met = version.is_none() || live.is_some_and(|entry| entry.version == version);
        // A met version tells by itself (DEL-2).
        let told = version.is_some() || self.cx.capabilities().reports_delete_outcome;
        let expected = match (met, told, existed) {
            (false, _, _) => DeleteOutcome::NotMet,
            (true, false, _) => DeleteOutcome::Accepted,
            (true, true, true) => DeleteOutcome::Deleted,
            (true, true, false) => DeleteOutcome::NotFound,
        };
        ensure_eq!(result?, expected, "the outcome of delete");
        if met {
            self.remove(&key);
        }
        Ok(())
    }

    async fn call_delete_many(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        let keys: Vec<String> = seed[1..=1 + usize::from(seed[15] % 4)].iter().map(|byte| self.key(*byte)).collect();
        calls.push(format!("delete_many {keys:?}"));
        let results = self.cx.store().delete_many(keys.iter().map(String::as_str)).await;
        ensure_eq!(results.len(), keys.len(), "how many results delete_many has");
        let told = self.cx.capabilities().reports_delete_many_outcome;
        let mut existed = Vec::new();
        for key in &keys {
            existed.push(self.live(key)?.is_some());
        }
        for ((key, existed), result) in keys.iter().zip(existed).zip(results) {
            let (outcome, expected) = (result?, if existed { DeleteOutcome::Deleted } else { DeleteOutcome::NotFound });
            let right = outcome == expected || (!told && outcome == DeleteOutcome::Accepted);
            ensure!(right, "the result of {key:?} in delete_many: {outcome:?}");
            self.remove(key);
        }
        Ok(())
    }

    async fn call_delete_prefix(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        let prefix = ["a", "a%", "a/", "b", "é"][usize::from(seed[1]) % 5];
        calls.push(format!("delete_prefix {prefix:?}"));
        let result = self.cx.store().delete_prefix(prefix).await;
        if !self.cx.declares(Feature::List) {
            return refused(result, Feature::List, "delete_prefix");
        }
        let below: Vec<String> = self.live_keys(prefix)?;
        if exactly_counted(self.cx) {
            ensure_eq!(result?, below.len() as u64, "how many delete_prefix says it deleted");
        } else {
            result?;
        }
        below.iter().for_each(|key| self.remove(key));
        Ok(())
    }

    async fn call_get(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        let keys: Vec<String> = seed[1..=1 + usize::from(seed[15] % 4)].iter().map(|byte| self.key(*byte)).collect();
        calls.push(format!("get_entry_many {keys:?}"));
        let entries = self.cx.store().get_entry_many(keys.iter().map(String::as_str)).await?;
        ensure_eq!(entries.len(), keys.len(), "how many slots get_entry_many has");
        for (key, entry) in keys.iter().zip(&entries) {
            self.compare(key, entry.as_ref())?;
        }
        let single = self.cx.store().get_entry(&keys[0]).await?;
        self.compare(&keys[0], single.as_ref())?;
        let exists = self.cx.store().exists(&keys[0]).await?;
        ensure_eq!(exists, self.live(&keys[0])?.is_some(), "exists {:?}", keys[0]);
        let mut there = Vec::new();
        for key in &keys {
            there.push(self.live(key)?.is_some());
        }
        let found = self.cx.store().exists_many(keys.iter().map(String::as_str)).await?;
        ensure_eq!(found, there, "exists_many of {keys:?}");
        Ok(())
    }

    async fn call_increment(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        let key = self.key(seed[1]);
        let by = [1, -3, 100, 1, 2, i64::MAX, i64::MIN][usize::from(seed[2]) % 7];
        let life = if seed[3].is_multiple_of(2) { None } else { self.ttl(seed[4])? };
        calls.push(format!("increment {key:?} by {by}, if it is created for {:?}", life.map(|life| life.ttl)));
        let increment = self.cx.store().increment(&key, by);
        let result = match life {
            Some(life) => increment.ttl_if_created(life.ttl).await,
            None => increment.await,
        };
        if life.is_some() && !self.cx.declares(Feature::CounterTtl) {
            return refused(result, Feature::CounterTtl, "increment");
        }
        if !self.cx.declares(Feature::Counters) {
            return refused(result, Feature::Counters, "increment");
        }
        let (min, max) = (self.cx.capabilities().counter_min, self.cx.capabilities().counter_max);
        let expiring_allowed = self.cx.capabilities().counter_expiry;
        let live = self.live(&key)?;
        let count = match &live {
            None => Some(0),
            Some(entry) if entry.metadata.is_some() || (entry.end.is_some() && !expiring_allowed) => None,
            Some(entry) => entry.value.as_i64(),
        };
        let Some(count) = count else {
            ensure_refused!(result, ErrorKind::WrongType, None, "increment of what is no counter");
            return Ok(());
        };
        let Some(sum) = count.checked_add(by).filter(|sum| (min..=max).contains(sum)) else {
            ensure_invalid!(result, Reason::CounterRange { min, max }, "increment beyond the range");
            return Ok(());
        };
        ensure_eq!(result?, sum, "increment");
        let end = live.map_or(life.map(|life| life.end), |entry| entry.end);
        let version = self.cx.store().get_entry(&key).await?.and_then(|entry| entry.version().cloned());
        self.remove(&key);
        self.entries.insert(key, Modelled { value: Value::from(sum), metadata: None, end, version });
        Ok(())
    }

    async fn call_expire(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        let key = self.key(seed[1]);
        let life = match (seed[2] % 4, self.life) {
            (1, Some(_)) => Some(self.cx.life(Form::Ttl, 1)?),
            (2, Some(_)) => Some(self.cx.life(Form::At, 2)?),
            (3, Some(_)) => Some(self.cx.life(Form::Ttl, 3)?),
            _ => None,
        };
        let version = match seed[3] % 4 {
            1 => Some(self.current_version(&key)),
            2 => Some(self.old_versions.last().cloned().unwrap_or_else(foreign_version)),
            _ => None,
        };
        calls.push(format!("expire {key:?} {life:?} if version {version:?}"));
        let mut expire = self.cx.store().expire(&key);
        if let Some(version) = version.clone() {
            expire = expire.if_version(version);
        }
        let result = match life {
            Some(life) => life.expire(expire).await,
            None => expire.never().await,
        };
        if version.is_some() && !self.cx.declares(Feature::ExpireIfVersion) {
            return refused(result, Feature::ExpireIfVersion, "expire");
        }
        if !self.cx.declares(Feature::Expire) {
            return refused(result, Feature::Expire, "expire");
        }
        let form = life.map(|life| if life.form == Form::Ttl { Feature::Ttl } else { Feature::ExpireAt });
        if let Some(feature) = form.filter(|feature| !self.cx.declares(*feature)) {
            return refused(result, feature, "expire");
        }
        let met = self.live(&key)?.filter(|entry| version.is_none() || entry.version == version);
        ensure_eq!(result?, met.is_some(), "whether expire found an entry");
        if let Some(entry) = met {
            entry.end = life.map(|life| life.end);
        }
        Ok(())
    }

    /// A life of one to three, for calls that take a ttl alone; none where nothing can show its end.
    fn ttl(&self, byte: u8) -> Result<Option<Life>, Stop> {
        self.life.map(|_| self.cx.life(Form::Ttl, 1 + u32::from(byte % 3))).transpose()
    }

    async fn call_touch(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        let key = self.key(seed[1]);
        let Some(life) = self.ttl(seed[2])? else { return Ok(()) };
        calls.push(format!("touch {key:?} for {:?}", life.ttl));
        let result = self.cx.store().get_entry(&key).touch(life.ttl).await;
        if !self.cx.declares(Feature::Touch) {
            return refused(result, Feature::Touch, "touch");
        }
        if let Some(entry) = self.live(&key)? {
            entry.end = Some(life.end);
        }
        self.compare(&key, result?.as_ref())
    }

    async fn call_get_and_delete(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        let key = self.key(seed[1]);
        calls.push(format!("get_and_delete {key:?}"));
        let result = self.cx.store().get_and_delete(&key).entry().await;
        if !self.cx.declares(Feature::GetAndDelete) {
            return refused(result, Feature::GetAndDelete, "get_and_delete");
        }
        self.compare(&key, result?.as_ref())?;
        self.remove(&key);
        Ok(())
    }

    async fn call_list(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        let prefix = ["", "a", "a%", "b", "é"][usize::from(seed[1]) % 5];
        let limit = 1 + usize::from(seed[2] % 6);
        calls.push(format!("list {prefix:?} in pages of {limit}"));
        if !self.cx.declares(Feature::List) {
            return refused(self.cx.store().list().await, Feature::List, "list");
        }
        let mut found = self.cx.listed_in_pages(prefix, limit).await?;
        if self.cx.capabilities().list_order == ListOrder::Unordered {
            found.sort_unstable();
            found.dedup();
        }
        ensure_eq!(found, self.live_keys(prefix)?, "the keys listed");
        let count = self.cx.store().count(prefix).await?;
        ensure_eq!(count, self.live_keys(prefix)?.len() as u64, "count of {prefix:?}");
        Ok(())
    }

    async fn call_set_many(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        let wishes = self.wishes(seed)?;
        calls.push(format!("set_many {}", wishes.iter().map(describe).collect::<Vec<_>>().join("; ")));
        let results = self.cx.store().set_many(wishes.iter().map(Wish::item)).await;
        ensure_eq!(results.len(), wishes.len(), "how many results set_many has");
        for (index, (options, result)) in wishes.iter().zip(results).enumerate() {
            if let Some(feature) = self.missing(options) {
                refused(result, feature, "an item of set_many")?;
                continue;
            }
            // The next valid item on its key: if both are unconditional, this one is not sent (BATCH-4).
            let next = wishes[index + 1..].iter().find(|next| next.key == options.key && self.missing(next).is_none());
            let replaced =
                options.condition == Condition::Always && next.is_some_and(|next| next.condition == Condition::Always);
            let outcome = result?;
            if replaced {
                ensure_eq!(outcome, SetOutcome::new(SetStatus::Stored), "the outcome of a replaced item");
            } else {
                self.set(options, &outcome, "an item of set_many")?;
            }
        }
        Ok(())
    }

    async fn call_all_or_nothing(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        let wishes = self.wishes(seed)?;
        calls.push(format!("set_many_all_or_nothing {}", wishes.iter().map(describe).collect::<Vec<_>>().join("; ")));
        let result = self.cx.store().set_many_all_or_nothing(wishes.iter().map(Wish::item)).await;
        if !self.cx.declares(Feature::AllOrNothing) {
            return refused(result, Feature::AllOrNothing, "set_many_all_or_nothing");
        }
        for (index, options) in wishes.iter().enumerate() {
            if let Some(feature) = self.missing(options) {
                return refused(result, feature, "an all-or-nothing batch");
            }
            if let Some(first_index) = wishes[..index].iter().position(|before| before.key == options.key) {
                ensure_invalid!(result, Reason::RepeatedKey { first_index }, "a repeated key");
                return Ok(());
            }
        }
        // What lies apart may be refused; that nothing was written shows in what follows.
        if let Err(error) = &result
            && error.reason() == Some(&Reason::KeysApart)
        {
            ensure_eq!(error.kind(), ErrorKind::InvalidArgument, "the kind of {error}");
            ensure!(error.index().is_some_and(|index| index >= 1), "an item that lies apart from the first: {error}");
            return Ok(());
        }
        let mut unmet = None;
        for (index, options) in wishes.iter().enumerate() {
            if unmet.is_none() && !self.holds(options)? {
                unmet = Some(index);
            }
        }
        match (result?, unmet) {
            (BatchOutcome::NotMet { index }, Some(expected)) => {
                ensure_eq!(index, expected, "the unmet item of an all-or-nothing batch");
            }
            (BatchOutcome::Written(outcomes), None) => {
                ensure_eq!(outcomes.len(), wishes.len(), "how many outcomes there are");
                for (options, outcome) in wishes.iter().zip(&outcomes) {
                    self.set(options, outcome, "an item of an all-or-nothing batch")?;
                }
            }
            (outcome, unmet) => {
                return Err(Stop::Failed(format!(
                    "an all-or-nothing batch: {outcome:?}, and its unmet item is {unmet:?}"
                )));
            }
        }
        Ok(())
    }

    async fn call_advance(&mut self, seed: &Seed, calls: &mut Vec<String>) -> CaseResult {
        let Some(life) = self.life else { return Ok(()) };
        let lives = 1 + u32::from(seed[1] % 3);
        calls.push(format!("let {:?} pass", life * lives));
        self.cx.pass(life * lives).await
    }

    /// One to three items.
    fn wishes(&self, seed: &Seed) -> Result<Vec<Wish>, Stop> {
        seed[1..].chunks_exact(5).take(1 + usize::from(seed[15] % 3)).map(|seed| self.options(seed)).collect()
    }

    fn live_keys(&mut self, prefix: &str) -> Result<Vec<String>, Stop> {
        let mut keys = Vec::new();
        for key in self.keys.clone() {
            if self.live(&key)?.is_some() && key.starts_with(prefix) {
                keys.push(key);
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }

    fn compare(&mut self, key: &str, found: Option<&Entry>) -> CaseResult {
        let (told, has_version) = (self.cx.capabilities().expiry_read, self.cx.declares(Feature::IfVersion));
        let resolution = self.cx.capabilities().expiry_resolution;
        let exact = self.life.is_some();
        let expected = self.live(key)?;
        let (Some(found), Some(expected)) = (found, &expected) else {
            ensure!(
                found.is_none() && expected.is_none(),
                "{key:?}: expected {}, found {}",
                show(expected.map(|entry| &entry.value)),
                show(found.map(Entry::value))
            );
            return Ok(());
        };
        ensure!(
            found.value() == &expected.value,
            "{key:?}: expected {}, found {}",
            show(Some(&expected.value)),
            show(Some(found.value()))
        );
        ensure_eq!(
            found.metadata().map(Metadata::as_json_text),
            expected.metadata.as_ref().map(Metadata::as_json_text),
            "the metadata of {key:?}"
        );
        let right = match (told, found.expiry(), expected.end) {
            (false, expiry, _) => expiry == EntryExpiry::Unknown,
            (true, EntryExpiry::At(at), Some(end)) => {
                !exact || (at >= end && at.saturating_since(end) <= resolution * 2)
            }
            (true, EntryExpiry::Never, None) => true,
            _ => false,
        };
        ensure!(right, "the expiry of {key:?}: expected {:?}, found {:?}", expected.end, found.expiry());
        if has_version {
            ensure_eq!(found.version(), expected.version.as_ref(), "the version of {key:?}");
        } else {
            ensure_eq!(found.version(), None, "the version of {key:?}");
        }
        Ok(())
    }

    async fn compare_all(&mut self) -> CaseResult {
        for key in self.keys.clone() {
            let found = self.cx.store().get_entry(&key).await?;
            self.compare(&key, found.as_ref())?;
        }
        if self.cx.declares(Feature::List) {
            let mut walked: Vec<(String, Entry)> = collected(self.cx.store().list().entries()).await?;
            walked.sort_by(|left, right| left.0.cmp(&right.0));
            let keys: Vec<String> = walked.iter().map(|(key, _)| key.clone()).collect();
            ensure_eq!(keys, self.live_keys("")?, "the keys of all entries walked");
            for (key, entry) in &walked {
                self.compare(key, Some(entry))?;
            }
        }
        Ok(())
    }
}

fn refused<T>(result: Result<T, Error>, feature: Feature, what: &str) -> CaseResult {
    ensure_refused!(result, ErrorKind::Unsupported, Some(Reason::Unsupported(feature)), "{what} with {feature}");
    Ok(())
}

fn describe(options: &Wish) -> String {
    let metadata = options.metadata.as_ref().map(Metadata::as_json_text);
    let life = options.life.map(|life| (life.form, life.ttl));
    format!(
        "{:?} to {}, metadata {metadata:?}, expiry {life:?}, {:?}",
        options.key,
        show(Some(&options.value)),
        options.condition
    )
}
