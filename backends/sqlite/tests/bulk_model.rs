//! Random large batches of several callers at once, against a model that carries them out one after the other.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use kv_api::{
    Backend, Clock, DeleteOutcome, EntryExpiry, ManualClock, Reason, Result, SetItem, SetOutcome, SetStatus, Timestamp,
    Value, Version,
};
use kv_sqlite::SqliteStore;
use support::random::{Random, deadline, runs};
use support::{Place, all_keys, delete_many, get_many, set, set_many};

/// Few, so that batches meet on them.
const KEYS: usize = 3000;

/// Around what makes a batch large, and around what a statement takes.
const SIZES: &[usize] = &[260, 300, 999, 1000, 1001, 2000, 2700];

#[derive(Clone, Debug)]
struct Put {
    key: String,
    value: String,
    ttl: Option<Duration>,
    condition: Wanted,
}

#[derive(Clone, Debug)]
enum Wanted {
    Nothing,
    NotExists,
    Exists,
    Version(Version),
}

#[derive(Debug)]
enum Batch {
    Set(Vec<Put>),
    Delete(Vec<String>),
}

#[derive(Debug)]
enum Answers {
    Set(Vec<Result<SetOutcome>>),
    Delete(Vec<Result<DeleteOutcome>>),
}

#[derive(Debug)]
struct Known {
    value: String,
    expires_at: Option<Timestamp>,
    version: Version,
}

#[derive(Default)]
struct Model {
    entries: BTreeMap<String, Known>,
    versions: HashSet<Version>,
}

/// So many distinct keys, in any order.
fn keys(random: &mut Random, count: usize) -> Vec<String> {
    let mut keys: Vec<String> = (0..KEYS).map(|index| format!("k{index:04}")).collect();
    for at in 0..count {
        keys.swap(at, at + random.below(KEYS - at));
    }
    keys.truncate(count);
    keys
}

/// Triggers refuse these: one with an error, one without.
fn is_refused(key: &str) -> bool {
    key.ends_with("499") || key.ends_with("998")
}

fn random_batch(random: &mut Random, model: &Model, refusing: bool) -> Batch {
    let size = *random.pick(SIZES);
    let keys = keys(random, size).into_iter();
    if random.one_in(4) {
        return Batch::Delete(keys.filter(|key| !is_refused(key)).collect());
    }
    let put = |key: String| {
        let condition = match random.below(8) {
            0 | 1 => Wanted::NotExists,
            2 => Wanted::Exists,
            3 => model.entries.get(&key).map_or(Wanted::Nothing, |known| Wanted::Version(known.version.clone())),
            _ => Wanted::Nothing,
        };
        let bytes = *random.pick(&[0, 1, 10, 10, 10, 10, 10, 10, 10, 10, 10, 6000, 6000, 40_000]);
        let expires = random.one_in(4) && !(refusing && is_refused(&key));
        let ttl = expires.then(|| Duration::from_millis(1 + u64::try_from(random.below(20)).unwrap()));
        Put { key, value: "v".repeat(bytes), ttl, condition }
    };
    Batch::Set(keys.map(put).collect())
}

fn send<'a>(store: &'a SqliteStore, batch: &'a Batch) -> BoxFuture<'a, Answers> {
    match batch {
        Batch::Delete(keys) => delete_many(store, keys).map(Answers::Delete).boxed(),
        Batch::Set(puts) => {
            let item = |put: &'a Put| {
                let mut item = SetItem::new(&*put.key, &*put.value);
                if let Some(ttl) = put.ttl {
                    item = item.ttl(ttl);
                }
                match &put.condition {
                    Wanted::Nothing => item,
                    Wanted::NotExists => item.if_not_exists(),
                    Wanted::Exists => item.if_exists(),
                    Wanted::Version(version) => item.if_version(version.clone()),
                }
            };
            set_many(store, puts.iter().map(item).collect()).map(Answers::Set).boxed()
        }
    }
}

impl Model {
    fn check(&mut self, batch: &Batch, answers: &Answers, now: Timestamp, refusing: bool) {
        match (batch, answers) {
            (Batch::Set(puts), Answers::Set(outcomes)) => {
                assert_eq!(puts.len(), outcomes.len());
                for (put, outcome) in puts.iter().zip(outcomes) {
                    self.check_put(put, outcome, now, refusing);
                }
            }
            (Batch::Delete(keys), Answers::Delete(outcomes)) => {
                assert_eq!(keys.len(), outcomes.len());
                for (key, outcome) in keys.iter().zip(outcomes) {
                    let removed = self.entries.remove(key);
                    let expected = removed.map_or(DeleteOutcome::NotFound, |_| DeleteOutcome::Deleted);
                    assert_eq!(outcome.as_ref().unwrap(), &expected, "{key}");
                }
            }
            _ => panic!("{batch:?} gave {answers:?}"),
        }
    }

    fn check_put(&mut self, put: &Put, outcome: &Result<SetOutcome>, now: Timestamp, refusing: bool) {
        let Put { key, value, ttl, condition } = put;
        let old = self.entries.get(key);
        let met = match condition {
            Wanted::Nothing => true,
            Wanted::NotExists => old.is_none(),
            Wanted::Exists => old.is_some(),
            Wanted::Version(version) => old.is_some_and(|old| old.version == *version),
        };
        if refusing && met && is_refused(key) {
            assert_eq!(outcome.as_ref().unwrap_err().reason(), Some(&Reason::RowRejected), "{key}");
            return;
        }
        let expected = match (met, old) {
            (false, _) => SetStatus::NotMet,
            (true, None) => SetStatus::Created,
            (true, Some(_)) => SetStatus::Updated,
        };
        let outcome = outcome.as_ref().unwrap();
        assert_eq!(outcome.status(), expected, "{key} {condition:?}");
        if let Some(version) = outcome.version() {
            assert!(self.versions.insert(version.clone()), "a version given twice: {key}");
            let expires_at = ttl.map(|ttl| deadline(now, ttl));
            self.entries.insert(key.clone(), Known { value: value.clone(), expires_at, version: version.clone() });
        }
    }

    fn forget_expired(&mut self, now: Timestamp) {
        self.entries.retain(|_, known| known.expires_at.is_none_or(|at| at > now));
    }

    async fn compare(&mut self, store: &SqliteStore, now: Timestamp) {
        self.forget_expired(now);
        let keys: Vec<&str> = self.entries.keys().map(String::as_str).collect();
        assert_eq!(all_keys(store, "k", 1000).await, keys);
        for (entry, (key, known)) in get_many(store, &keys).await.into_iter().zip(&self.entries) {
            let entry = entry.unwrap();
            assert_eq!(entry.value(), &Value::from(&*known.value), "{key}");
            assert_eq!(entry.version(), Some(&known.version), "{key}");
            assert_eq!(entry.expiry(), known.expires_at.map_or(EntryExpiry::Never, EntryExpiry::At), "{key}");
        }
    }
}

async fn compare_with_model(seed: u64, rounds: usize, refusing: bool) {
    let place = Place::new();
    // No transaction ends because the machine is slow: what happens depends on the seed alone.
    let timer = ManualClock::new(Timestamp::from_unix_seconds(0));
    let store = SqliteStore::open(place.config().with_timer(Arc::new(timer))).await.unwrap();
    if refusing {
        for (name, word, end) in [("abort", "ABORT, 'no'", "499"), ("ignore", "IGNORE", "998")] {
            let when = format!("NEW.key LIKE 'k%{end}'");
            place
                .run(&format!("CREATE TRIGGER {name} BEFORE INSERT ON kv WHEN {when} BEGIN SELECT RAISE({word}); END"))
                .await;
        }
    }
    let mut random = Random(seed);
    let mut model = Model::default();
    // Carried out last, so that most of it is left when it is dropped.
    let dropped: Vec<String> = (0..1500).map(|index| format!("z/dropped/{index:04}")).collect();
    let again: Vec<&str> = dropped.iter().step_by(100).map(String::as_str).collect();
    for round in 0..rounds {
        let callers = 1 + random.below(4);
        let batches: Vec<_> = (0..callers).map(|_| random_batch(&mut random, &model, refusing)).collect();
        let mut sent: Vec<_> = batches.iter().map(|batch| send(&store, batch)).collect();
        let old = format!("old {round}");
        let mut to_drop = Box::pin(set_many(&store, dropped.iter().map(|key| SetItem::new(&**key, &*old)).collect()));
        let place_of_drop = random.below(callers);
        // Each is handed over at its first poll: so they reach the writer in order, and wait for it together.
        for (index, call) in sent.iter_mut().enumerate() {
            assert!(call.now_or_never().is_none());
            if index == place_of_drop {
                assert!((&mut to_drop).now_or_never().is_none());
            }
        }
        place.clock.advance(Duration::from_micros(u64::try_from(random.below(12_000)).unwrap()));
        let now = place.clock.now();
        model.forget_expired(now);
        let answers = join_all(sent);
        let small = async {
            // They end transactions early, and one batch is given up in between.
            for _ in 0..random.below(4) {
                set(&store, SetItem::new("small", "v")).await.unwrap();
            }
            drop(to_drop);
            // These calls have their turn before what is left of it.
            for key in &again {
                set(&store, SetItem::new(*key, "new")).await.unwrap();
            }
        };
        let (answers, ()) = tokio::join!(answers, small);
        for (batch, answers) in batches.iter().zip(&answers) {
            model.check(batch, answers, now, refusing);
        }
        model.compare(&store, now).await;
        for entry in get_many(&store, &again).await {
            assert_eq!(entry.unwrap().value(), &Value::from("new"), "ERR-6: what was given up comes no later");
        }
        place.clock.advance(Duration::from_micros(u64::try_from(random.below(8_000)).unwrap()));
        model.forget_expired(place.clock.now());
    }
    assert_eq!(place.number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'").await, 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn batch_4_large_batches_do_what_one_after_the_other_would() {
    for seed in 0..runs() {
        compare_with_model(seed, 5, false).await;
    }
}

#[tokio::test]
async fn batch_6_refused_rows_fail_alone_in_large_batches_of_several_callers() {
    for seed in (0..runs()).map(|run| run + (1 << 32)) {
        compare_with_model(seed, 5, true).await;
    }
}
