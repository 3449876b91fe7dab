//! Random calls against the plainest model of the contract.

use std::collections::BTreeMap;
use std::time::Duration;

use kv_api::{BatchOutcome, DeleteOutcome, Entry, EntryExpiry, Metadata, SetItem, SetStatus, Timestamp, Version};
use proptest::prelude::*;
use serde_json::json;

use super::{Fixture, millis};

#[derive(Clone, Debug)]
enum Call {
    Set { key: usize, value: i64, ttl: Option<u64>, metadata: bool, condition: u8 },
    Batch { first: usize, count: usize, value: i64, ttl: Option<u64>, if_exists: bool },
    Delete { key: usize, if_version: bool },
    GetAndDelete { key: usize },
    Increment { key: usize, by: i64, ttl: Option<u64> },
    Expire { key: usize, ttl: Option<u64>, if_version: bool },
    Touch { key: usize, ttl: u64 },
    Advance { micros: u64 },
    List { limit: usize },
}

#[derive(Clone, Debug, PartialEq)]
struct Modelled {
    value: i64,
    metadata: bool,
    expires_at: Option<i64>,
    version: Version,
}

const KEYS: usize = 12;

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let ttl = || proptest::option::of(1_u64..6);
    let call = prop_oneof![
        6 => (0..KEYS, 0..9_i64, ttl(), any::<bool>(), 0..5_u8).prop_map(|(key, value, ttl, metadata, condition)| {
            Call::Set { key, value, ttl, metadata, condition }
        }),
        2 => (0..KEYS, 1..6_usize, 0..9_i64, ttl(), any::<bool>()).prop_map(|(first, count, value, ttl, if_exists)| {
            Call::Batch { first, count, value, ttl, if_exists }
        }),
        2 => (0..KEYS, any::<bool>()).prop_map(|(key, if_version)| Call::Delete { key, if_version }),
        1 => (0..KEYS).prop_map(|key| Call::GetAndDelete { key }),
        2 => (0..KEYS, -3..3_i64, ttl()).prop_map(|(key, by, ttl)| Call::Increment { key, by, ttl }),
        2 => (0..KEYS, ttl(), any::<bool>()).prop_map(|(key, ttl, if_version)| Call::Expire { key, ttl, if_version }),
        2 => (0..KEYS, 1_u64..6).prop_map(|(key, ttl)| Call::Touch { key, ttl }),
        3 => (0..2500_u64).prop_map(|micros| Call::Advance { micros }),
        1 => (1..5_usize).prop_map(|limit| Call::List { limit }),
    ];
    proptest::collection::vec(call, 1..120)
}

fn key(number: usize) -> String {
    format!("k{number:02}")
}

struct Model {
    fixture: Fixture,
    entries: BTreeMap<String, Modelled>,
    /// The last version each key had, whether or not it still has it.
    last_seen: BTreeMap<String, Version>,
}

impl Model {
    fn now(&self) -> Timestamp {
        kv_api::Clock::now(&self.fixture.clock)
    }

    fn deadline(&self, ttl: Option<u64>) -> Option<i64> {
        ttl.map(|ttl| self.now().checked_add(millis(ttl)).unwrap().as_unix_millis_ceil())
    }

    fn forget_expired(&mut self) {
        let now = self.now().as_unix_micros();
        self.entries.retain(|_, entry| entry.expires_at.is_none_or(|at| now < at * 1000));
    }

    fn record(&mut self, key: String, value: i64, metadata: bool, expires_at: Option<i64>) {
        let version = self.fixture.version(&key);
        assert_ne!(self.last_seen.insert(key.clone(), version.clone()), Some(version.clone()));
        self.entries.insert(key, Modelled { value, metadata, expires_at, version });
    }

    fn run(&mut self, call: Call) {
        self.forget_expired();
        match call {
            Call::Set { key: number, value, ttl, metadata, condition } => {
                let key = key(number);
                let mut item = SetItem::new(&key, value);
                item = if let Some(ttl) = ttl { item.ttl(millis(ttl)) } else { item };
                item = if metadata { item.metadata(json!(1)) } else { item };
                let live = self.entries.get(&key);
                let (item, met) = match condition {
                    0 => (item.if_not_exists(), live.is_none()),
                    1 => (item.if_exists(), live.is_some()),
                    2 if self.last_seen.contains_key(&key) => {
                        let version = self.last_seen[&key].clone();
                        let met = live.is_some_and(|live| live.version == version);
                        (item.if_version(version), met)
                    }
                    _ => (item, true),
                };
                let expected = match (met, live) {
                    (false, _) => SetStatus::NotMet,
                    (true, Some(_)) => SetStatus::Updated,
                    (true, None) => SetStatus::Created,
                };
                let expires_at = self.deadline(ttl);
                let outcome = self.fixture.try_set(item).unwrap();
                assert_eq!(outcome.status(), expected);
                assert_eq!(outcome.version().is_some(), met);
                if met {
                    self.record(key, value, metadata, expires_at);
                }
            }
            Call::Batch { first, count, value, ttl, if_exists } => {
                let keys: Vec<String> = (first..first + count).map(key).collect();
                let items = keys.iter().map(|key| {
                    let item = SetItem::new(key, value);
                    let item = if let Some(ttl) = ttl { item.ttl(millis(ttl)) } else { item };
                    if if_exists { item.if_exists() } else { item }
                });
                let unmet = keys.iter().position(|key| if_exists && !self.entries.contains_key(key));
                let expires_at = self.deadline(ttl);
                match (self.fixture.all_or_nothing(items.collect()).unwrap(), unmet) {
                    (BatchOutcome::NotMet { index }, unmet) => assert_eq!(Some(index), unmet),
                    (BatchOutcome::Written(outcomes), None) => {
                        assert_eq!(outcomes.len(), count);
                        for key in keys {
                            self.record(key, value, false, expires_at);
                        }
                    }
                    (written, unmet) => panic!("{written:?} although {unmet:?}"),
                }
            }
            Call::Delete { key: number, if_version } => {
                let key = key(number);
                let version = if if_version { self.last_seen.get(&key).cloned() } else { None };
                let expected = match (self.entries.get(&key), &version) {
                    (Some(live), Some(version)) if live.version != *version => DeleteOutcome::NotMet,
                    (Some(_), _) => DeleteOutcome::Deleted,
                    (None, Some(_)) => DeleteOutcome::NotMet,
                    (None, None) => DeleteOutcome::NotFound,
                };
                assert_eq!(self.fixture.delete_if(&key, version), expected);
                if expected == DeleteOutcome::Deleted {
                    self.entries.remove(&key);
                }
            }
            Call::GetAndDelete { key: number } => {
                let key = key(number);
                let found = self.fixture.get_and_delete(&key).map(Self::modelled);
                assert_eq!(found, self.entries.remove(&key));
            }
            Call::Increment { key: number, by, ttl } => {
                let key = key(number);
                let live = self.entries.get(&key).cloned();
                let (created, result) = (self.deadline(ttl), self.fixture.add_for(&key, by, ttl.map(millis)));
                if live.as_ref().is_some_and(|live| live.metadata) {
                    assert!(result.is_err());
                } else {
                    let (value, expires_at) = live.map_or((0, created), |live| (live.value, live.expires_at));
                    assert_eq!(result.unwrap(), value + by);
                    self.record(key, value + by, false, expires_at);
                }
            }
            Call::Expire { key: number, ttl, if_version } => {
                let key = key(number);
                let expires_at = self.deadline(ttl);
                let version = if if_version { self.last_seen.get(&key).cloned() } else { None };
                let live = self.entries.get_mut(&key);
                let live = live.filter(|live| version.as_ref().is_none_or(|version| live.version == *version));
                assert_eq!(self.fixture.expire_if(&key, ttl.map(millis), version), live.is_some());
                if let Some(live) = live {
                    live.expires_at = expires_at;
                }
            }
            Call::Touch { key: number, ttl } => {
                let key = key(number);
                let expires_at = self.deadline(Some(ttl));
                let found = self.fixture.touch(&key, millis(ttl)).map(Self::modelled);
                let live = self.entries.get_mut(&key);
                assert_eq!(found.is_some(), live.is_some());
                if let Some(live) = live {
                    live.expires_at = expires_at;
                    assert_eq!(found.as_ref(), Some(&*live));
                }
            }
            Call::Advance { micros } => self.fixture.clock.advance(Duration::from_micros(micros)),
            Call::List { limit } => {
                let expected: Vec<&String> = self.entries.keys().collect();
                assert_eq!(self.fixture.keys("", limit).iter().collect::<Vec<_>>(), expected);
            }
        }
    }

    fn modelled(entry: Entry) -> Modelled {
        Modelled {
            value: entry.value().as_i64().unwrap(),
            metadata: entry.metadata().is_some_and(|metadata| *metadata == Metadata::from(json!(1))),
            expires_at: match entry.expiry() {
                EntryExpiry::At(at) => Some(at.as_unix_millis_floor()),
                _ => None,
            },
            version: entry.version().unwrap().clone(),
        }
    }

    fn check(&mut self) {
        self.forget_expired();
        for number in 0..KEYS + 6 {
            let key = key(number);
            let found = self.fixture.entry(&key).map(Self::modelled);
            assert_eq!(found.as_ref(), self.entries.get(&key), "{key}");
        }
        assert_eq!(self.fixture.audit(), self.entries.len(), "every expired entry was read, and so taken out");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_do_what_the_model_does(calls in calls()) {
        let mut model = Model { fixture: Fixture::new(), entries: BTreeMap::new(), last_seen: BTreeMap::new() };
        for call in calls {
            model.run(call);
        }
        model.check();
    }
}
