//! Random operations, in groups of every size, against a model that carries them out one after the other.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use kv_api::{
    Backend, Clock, DeleteOutcome, EntryExpiry, ErrorKind, Metadata, Reason, Result, SetItem, SetOutcome, SetStatus,
    Timestamp, Value, Version,
};
use kv_sqlite::SqliteStore;
use serde_json::json;
use support::random::{Random, deadline, runs};
use support::{Place, RESOLVER, all_keys, expiring, get, get_many, incrementing, list, write};

const KEYS: &[&str] = &[
    "a",
    "A",
    "a\0",
    "\0",
    "a\0b",
    "e\u{301}",
    "\u{e9}",
    "\u{1F600}",
    "%",
    "_",
    "'",
    "\"",
    "\\",
    "{\"a\":[1]}",
    "../x",
    " ",
    "a ",
    "\u{10FFFF}",
    "\u{D7FF}",
    "counter",
];

#[derive(Clone, Debug)]
enum Call {
    Set {
        key: &'static str,
        value: Value,
        metadata: Option<Metadata>,
        ttl: Option<Duration>,
        at: Option<Timestamp>,
        condition: Option<Wanted>,
    },
    Delete {
        key: &'static str,
        if_version: Option<Version>,
    },
    Increment {
        key: &'static str,
        by: i64,
    },
    Expire {
        key: &'static str,
        ttl: Option<Duration>,
    },
}

#[derive(Clone, Debug)]
enum Wanted {
    NotExists,
    Exists,
    Version(Version),
}

#[derive(Debug)]
enum Answer {
    Set(Result<SetOutcome>),
    Delete(Result<DeleteOutcome>),
    Count(Result<i64>),
    Expire(Result<bool>),
}

#[derive(Clone, Debug)]
struct Known {
    value: Value,
    metadata: Option<Metadata>,
    expires_at: Option<Timestamp>,
    version: Option<Version>,
}

/// What one sequential writer would have made of all calls so far.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, Known>,
    versions: HashSet<Version>,
    /// Some old ones, for conditions that must fail.
    seen: Vec<Version>,
}

/// A trigger refuses this value.
const POISON: &str = "poison";

fn random_call(random: &mut Random, model: &Model, now: Timestamp, poison: bool) -> Call {
    let key = if random.one_in(3) { *random.pick(&KEYS[..3]) } else { *random.pick(KEYS) };
    let version = |random: &mut Random| match random.below(4) {
        0 | 1 => model.entries.get(key).and_then(|known| known.version.clone()),
        2 if !model.seen.is_empty() => Some(random.pick(&model.seen).clone()),
        2 => None,
        _ => Some(random.pick(&["nobody's", "0000000000000007-1"]).parse().unwrap()),
    };
    match random.below(20) {
        0..=10 => {
            let value = match random.below(12) {
                0 => Value::from(""),
                1 => Value::from(&[0xff, 0, 0xfe][..]),
                2 => Value::from(Vec::new()),
                3 => Value::from(json!({"a": [1, "\0"]})),
                4 => Value::from("x".repeat(40_000)),
                5 => Value::from(i64::MAX - 1),
                6 => Value::from("7"),
                7 if poison => Value::from(POISON),
                8 => Value::from("007\0"),
                _ => Value::from(i64::try_from(random.below(100)).unwrap()),
            };
            let condition = match random.below(10) {
                0 | 1 => Some(Wanted::NotExists),
                2 => Some(Wanted::Exists),
                3 | 4 => version(random).map(Wanted::Version),
                _ => None,
            };
            let metadata = random.one_in(4).then(|| Metadata::from(json!({"m": "'\"\u{1F600}"})));
            let (ttl, at) = match random_ttl(random) {
                Some(ttl) if random.one_in(2) => (None, Some(deadline(now, ttl))),
                ttl => (ttl, None),
            };
            Call::Set { key, value, metadata, ttl, at, condition }
        }
        11..=13 => Call::Delete { key, if_version: if random.one_in(2) { version(random) } else { None } },
        14..=17 => Call::Increment { key, by: *random.pick(&[1, -1, 5, i64::MAX, i64::MIN]) },
        _ => Call::Expire { key, ttl: random_ttl(random) },
    }
}

fn random_ttl(random: &mut Random) -> Option<Duration> {
    random.one_in(2).then(|| Duration::from_millis(u64::try_from(1 + random.below(30)).unwrap()))
}

/// The call, resolved as the handle does it.
fn send<'a>(store: &'a SqliteStore, call: &'a Call) -> BoxFuture<'a, Answer> {
    match call {
        Call::Set { key, value, metadata, ttl, at, condition } => {
            let mut item = SetItem::new(*key, value.clone());
            if let Some(metadata) = metadata {
                item = item.metadata(metadata.clone());
            }
            if let Some(ttl) = ttl {
                item = item.ttl(*ttl);
            }
            if let Some(at) = at {
                item = item.expire_at(*at);
            }
            item = match condition {
                None => item,
                Some(Wanted::NotExists) => item.if_not_exists(),
                Some(Wanted::Exists) => item.if_exists(),
                Some(Wanted::Version(version)) => item.if_version(version.clone()),
            };
            store.write(write(store, item)).map(Answer::Set).boxed()
        }
        Call::Delete { key, if_version } => {
            let delete = RESOLVER.delete(*key, if_version.clone(), false).unwrap();
            store.delete(delete).map(Answer::Delete).boxed()
        }
        Call::Increment { key, by } => store.increment(incrementing(key, *by)).map(Answer::Count).boxed(),
        Call::Expire { key, ttl } => store.expire(expiring(store, key, *ttl)).map(Answer::Expire).boxed(),
    }
}

impl Model {
    /// Checks the answer to one call, and applies the call.
    fn check(&mut self, call: &Call, answer: &Answer, now: Timestamp) {
        self.entries.retain(|_, known| known.expires_at.is_none_or(|at| at > now));
        let context = format!("{call:?} gave {answer:?}");
        match (call, answer) {
            (Call::Set { key, value, metadata, ttl, at, condition }, Answer::Set(outcome)) => {
                let old = self.entries.get(*key);
                let met = match condition {
                    None => true,
                    Some(Wanted::NotExists) => old.is_none(),
                    Some(Wanted::Exists) => old.is_some(),
                    Some(Wanted::Version(version)) => old.is_some_and(|old| old.version.as_ref() == Some(version)),
                };
                let poison = value.as_text() == Some(POISON);
                let expected = match (met, old) {
                    (false, _) => SetStatus::NotMet,
                    (true, None) => SetStatus::Created,
                    (true, Some(_)) => SetStatus::Updated,
                };
                let outcome = match outcome {
                    // Fine only where the row would have stayed: else a later call of the group replaced it.
                    Err(error) if poison && met => {
                        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{context}");
                        return;
                    }
                    outcome => outcome.as_ref().unwrap_or_else(|_| panic!("{context}")),
                };
                assert_eq!(outcome.status(), expected, "{context}");
                assert_eq!(outcome.version().is_some(), met, "{context}");
                if let Some(version) = outcome.version() {
                    assert!(self.versions.insert(version.clone()), "a version given twice: {context}");
                    if self.seen.len() < 50 {
                        self.seen.push(version.clone());
                    }
                    let known = Known {
                        value: value.clone(),
                        metadata: metadata.clone(),
                        expires_at: ttl.map(|ttl| deadline(now, ttl)).or(*at),
                        version: Some(version.clone()),
                    };
                    self.entries.insert((*key).to_owned(), known);
                }
            }
            (Call::Delete { key, if_version }, Answer::Delete(outcome)) => {
                let old = self.entries.get(*key);
                let expected = match (if_version, old) {
                    (None, None) => DeleteOutcome::NotFound,
                    (None, Some(_)) => DeleteOutcome::Deleted,
                    (Some(version), Some(old)) if old.version.as_ref() == Some(version) => DeleteOutcome::Deleted,
                    (Some(_), _) => DeleteOutcome::NotMet,
                };
                assert_eq!(outcome.as_ref().unwrap(), &expected, "{context}");
                if expected == DeleteOutcome::Deleted {
                    self.entries.remove(*key);
                }
            }
            (Call::Increment { key, by }, Answer::Count(outcome)) => {
                let old = self.entries.get(*key);
                let counted = match old {
                    None => Ok(0),
                    Some(Known { metadata: Some(_), .. }) => Err(Reason::NotACounter),
                    Some(known) => known.value.as_i64().ok_or(Reason::NotACounter),
                };
                let range = Reason::CounterRange { min: i64::MIN, max: i64::MAX };
                match counted.and_then(|old| old.checked_add(*by).ok_or(range)) {
                    Err(reason) => {
                        assert_eq!(outcome.as_ref().unwrap_err().reason(), Some(&reason), "{context}");
                    }
                    Ok(new) => {
                        assert_eq!(outcome.as_ref().unwrap(), &new, "{context}");
                        let expires_at = old.and_then(|old| old.expires_at);
                        let known = Known { value: Value::from(new), metadata: None, expires_at, version: None };
                        self.entries.insert((*key).to_owned(), known);
                    }
                }
            }
            (Call::Expire { key, ttl }, Answer::Expire(outcome)) => {
                let old = self.entries.get_mut(*key);
                assert_eq!(outcome.as_ref().unwrap(), &old.is_some(), "{context}");
                if let Some(old) = old {
                    old.expires_at = ttl.map(|ttl| deadline(now, ttl));
                }
            }
            _ => panic!("{context}"),
        }
    }

    /// Compares everything there is, by every way of reading.
    async fn compare(&mut self, store: &SqliteStore, now: Timestamp) {
        self.entries.retain(|_, known| known.expires_at.is_none_or(|at| at > now));
        let together = get_many(store, KEYS).await;
        for (key, by_many) in KEYS.iter().zip(together) {
            let entry = get(store, key).await;
            assert_eq!(entry, by_many, "{key:?}");
            let known = self.entries.get_mut(*key);
            assert_eq!(entry.is_some(), known.is_some(), "{key:?}");
            let (Some(entry), Some(known)) = (entry, known) else { continue };
            assert_eq!(entry.value(), &known.value, "{key:?}");
            assert_eq!(entry.metadata(), known.metadata.as_ref(), "{key:?}");
            assert_eq!(entry.expiry(), known.expires_at.map_or(EntryExpiry::Never, EntryExpiry::At), "{key:?}");
            let version = entry.version().unwrap();
            match &known.version {
                Some(known) => assert_eq!(version, known, "{key:?}"),
                // An increment does not tell its version: it must be new all the same.
                None => assert!(self.versions.insert(version.clone()), "a version given twice: {key:?}"),
            }
            known.version = Some(version.clone());
        }
        let keys: Vec<_> = self.entries.keys().cloned().collect();
        assert_eq!(all_keys(store, "", 3).await, keys);
        for item in list(store, "", 100, None).await.items {
            let known = &self.entries[&item.key];
            assert_eq!(item.metadata, known.metadata.clone().into(), "{:?}", item.key);
            assert_eq!(item.expiry, known.expires_at.map_or(EntryExpiry::Never, EntryExpiry::At), "{:?}", item.key);
        }
    }
}

async fn compare_with_model(seed: u64, groups: usize, poison: bool) {
    let place = Place::new();
    let store = place.open().await;
    let other = SqliteStore::open(place.config().with_namespace("other")).await.unwrap();
    support::set(&other, SetItem::new("a", "untouched")).await.unwrap();
    if poison {
        for event in ["INSERT", "UPDATE"] {
            place
                .run(&format!(
                    "CREATE TRIGGER refuse_{event} AFTER {event} ON kv WHEN NEW.value = CAST('{POISON}' AS BLOB) \
                     BEGIN SELECT RAISE(ABORT, 'refused'); END"
                ))
                .await;
        }
    }
    let mut random = Random(seed);
    let mut model = Model::default();
    for group in 0..groups {
        let size = if random.one_in(3) { 1 } else { 1 + random.below(40) };
        let calls: Vec<_> = (0..size).map(|_| random_call(&mut random, &model, place.clock.now(), poison)).collect();
        let mut sent: Vec<_> = calls.iter().map(|call| send(&store, call)).collect();
        // Each is handed over at its first poll: so they reach the writer in order, and wait for it together.
        for call in &mut sent {
            assert!(call.now_or_never_by_ref().is_none());
        }
        // What was asked for with a time may find that it has come.
        place.clock.advance(Duration::from_micros(u64::try_from(random.below(12_000)).unwrap()));
        let answers = join_all(sent).await;
        let now = place.clock.now();
        for (call, answer) in calls.iter().zip(&answers) {
            model.check(call, answer, now);
        }
        if group % 10 == 0 {
            model.compare(&store, now).await;
        }
        place.clock.advance(Duration::from_micros(u64::try_from(random.below(8_000)).unwrap()));
    }
    model.compare(&store, place.clock.now()).await;
    if poison {
        assert_eq!(place.number("SELECT count(*) FROM kv WHERE value = CAST('poison' AS BLOB)").await, 0);
    }
    // NS-1: the same key in another namespace is another entry.
    assert_eq!(get(&other, "a").await.unwrap().value(), &Value::from("untouched"));
    assert_eq!(all_keys(&other, "", 10).await, ["a"]);
    assert_eq!(place.number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'").await, 0);
    store.close().await.unwrap();
    other.close().await.unwrap();
}

/// Polls once and keeps the future.
trait PollOnce {
    fn now_or_never_by_ref(&mut self) -> Option<Answer>;
}

impl PollOnce for BoxFuture<'_, Answer> {
    fn now_or_never_by_ref(&mut self) -> Option<Answer> {
        (&mut *self).now_or_never()
    }
}

#[tokio::test]
async fn groups_do_what_one_after_the_other_would() {
    for seed in 0..runs() {
        compare_with_model(seed, 250, false).await;
    }
}

#[tokio::test]
async fn a_refused_row_fails_alone() {
    for seed in (0..runs()).map(|run| run + (1 << 32)) {
        compare_with_model(seed, 200, true).await;
    }
}
