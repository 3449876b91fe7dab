//! Many callers on one connection: every reply is checked, whatever happens to the connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use kv_api::{Clock, DeleteOutcome, ManualClock, Retry, SetItem, SetStatus, Store, Timestamp, Value};
use kv_fakes::ServerOptions;
use kv_fakes::nemesisdb::Fake;
use kv_nemesisdb::RetryPolicy;

use crate::harness::{System, open};

const TASKS: usize = 64;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// How the calls of a caller ended.
#[derive(Default)]
struct Ends {
    done: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
}

impl Ends {
    fn all(&self) -> u64 {
        [&self.done, &self.refused, &self.unknown].iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Counts an end; what it says has happened: for sure, not at all, or perhaps.
    fn count<T>(&self, result: kv_api::Result<T>) -> Known<T> {
        match result {
            Ok(answer) => {
                self.done.fetch_add(1, Ordering::Relaxed);
                Known::Done(answer)
            }
            Err(error) => {
                assert_ne!(error.retry(), Retry::Never, "{error}");
                if error.retry() == Retry::Safe {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    Known::Refused
                } else {
                    self.unknown.fetch_add(1, Ordering::Relaxed);
                    Known::Perhaps
                }
            }
        }
    }
}

enum Known<T> {
    Done(T),
    Refused,
    Perhaps,
}

/// Keys that only one caller changes, each with all that it may hold.
struct Caller {
    store: Store,
    number: usize,
    dice: Dice,
    may_hold: HashMap<String, Vec<Option<u64>>>,
    values: u64,
    ends: Arc<Ends>,
}

impl Caller {
    fn new(store: &Store, number: usize, ends: &Arc<Ends>) -> Self {
        let keys = (0..5).map(|key| (format!("task {number:02} key {key}"), vec![None]));
        let dice = Dice(number as u64);
        Self { store: store.clone(), number, dice, may_hold: keys.collect(), values: 0, ends: Arc::clone(ends) }
    }

    fn key(&mut self) -> String {
        format!("task {:02} key {}", self.number, self.dice.below(5))
    }

    fn value(&mut self) -> u64 {
        self.values += 1;
        self.values
    }

    fn wrote(&mut self, key: &str, value: Option<u64>, known: &Known<bool>) {
        let may_hold = self.may_hold.get_mut(key).unwrap();
        match known {
            Known::Done(true) => *may_hold = vec![value],
            Known::Done(false) | Known::Refused => {}
            Known::Perhaps => may_hold.push(value),
        }
    }

    /// One of the calls, and all that its answer says against all that is known.
    async fn call(&mut self) {
        let key = self.key();
        match self.dice.below(8) {
            0 | 1 => {
                let value = self.value();
                let known = self.ends.count(self.store.set(&key, value).await);
                self.check_set(&key, value, known);
            }
            2 => {
                let value = self.value();
                let known = self.ends.count(self.store.set(&key, value).if_not_exists().await);
                self.check_set(&key, value, known);
            }
            3 => {
                let known = self.ends.count(self.store.delete(&key).await);
                if let Known::Done(outcome) = &known {
                    let was = &self.may_hold[&key];
                    match outcome {
                        DeleteOutcome::Deleted => assert!(was.iter().any(Option::is_some), "{key}: {was:?}"),
                        DeleteOutcome::NotFound => assert!(was.contains(&None), "{key}: {was:?}"),
                        other => assert_eq!(*other, DeleteOutcome::Accepted),
                    }
                }
                let known = match known {
                    Known::Done(_) => Known::Done(true),
                    Known::Refused => Known::Refused,
                    Known::Perhaps => Known::Perhaps,
                };
                self.wrote(&key, None, &known);
            }
            4 => {
                let items: Vec<(String, u64)> =
                    (0..3).map(|at| (format!("task {:02} key {at}", self.number), self.value())).collect();
                let results = self.store.set_many(items.iter().map(|(key, value)| SetItem::new(key, *value))).await;
                for ((key, value), result) in items.into_iter().zip(results) {
                    let known = self.ends.count(result);
                    self.check_set(&key, value, known);
                }
            }
            5 => {
                let mut keys: Vec<String> = self.may_hold.keys().cloned().collect();
                keys.sort_unstable();
                let found = self.ends.count(self.store.get_many(keys.iter().map(String::as_str)).await);
                if let Known::Done(found) = found {
                    keys.into_iter().zip(found).for_each(|(key, found)| self.check_found(&key, found));
                }
            }
            _ => {
                let found = self.ends.count(self.store.get(&key).await);
                if let Known::Done(found) = found {
                    self.check_found(&key, found);
                }
            }
        }
    }

    fn check_set(&mut self, key: &str, value: u64, known: Known<kv_api::SetOutcome>) {
        let known = match known {
            Known::Done(outcome) => {
                let was = &self.may_hold[key];
                match outcome.status() {
                    SetStatus::Created => assert!(was.contains(&None), "{key}: {was:?}"),
                    SetStatus::Updated | SetStatus::NotMet => {
                        assert!(was.iter().any(Option::is_some), "{key}: {was:?}")
                    }
                    other => assert_eq!(other, SetStatus::Stored),
                }
                Known::Done(outcome.is_written())
            }
            Known::Refused => Known::Refused,
            Known::Perhaps => Known::Perhaps,
        };
        self.wrote(key, Some(value), &known);
    }

    /// What is read must be among what may be there, and after that it is known: what this server has not carried out
    /// when it drops a connection, it never will.
    fn check_found(&mut self, key: &str, found: Option<Value>) {
        let found = found.map(|value| value.decode::<u64>().unwrap());
        let may_hold = self.may_hold.get_mut(key).unwrap();
        assert!(may_hold.contains(&found), "{key} holds {found:?}, and may hold {may_hold:?}");
        *may_hold = vec![found];
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn err_6_ten_thousand_operations_of_64_tasks_share_one_connection_and_each_gets_its_reply() {
    let fake = Fake::new().with_spread(Duration::from_millis(2)).with_seed(7);
    let system = System::start_as(fake, ServerOptions::new()).await;
    let store = system.store().await;
    let ends = Arc::new(Ends::default());
    let started = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let (mut caller, started) = (Caller::new(&store, number, &ends), Arc::clone(&started));
            tokio::spawn(async move {
                while started.fetch_add(1, Ordering::Relaxed) < 10_000 {
                    caller.call().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(ends.done.load(Ordering::Relaxed) >= 10_000);
    assert_eq!(ends.all(), ends.done.load(Ordering::Relaxed), "nothing went wrong");
    assert_eq!(system.server.connections(), 1);
    assert!(system.server.messages().iter().all(|message| message.bytes <= 1024 && !message.keys.is_empty()));
    store.close().await.unwrap();
    assert_eq!(system.server.closes_with_answers_due(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn err_6_a_minute_of_random_drops_under_load_ends_every_call_as_done_refused_or_unknown() {
    const STEP: Duration = Duration::from_millis(20);
    let fake = Fake::new().with_spread(Duration::from_micros(200)).with_seed(11);
    let system = System::start_as(fake, ServerOptions::new()).await;
    let start = Timestamp::UNIX_EPOCH;
    let time = ManualClock::new(start);
    let remote = kv_nemesisdb::RemoteSettings::default()
        .with_clock(Arc::new(time.clone()))
        .with_timer(Arc::new(time.clone()))
        .with_retry(RetryPolicy::default().with_delays(Duration::from_millis(20), Duration::from_millis(100)));
    let store = open(system.config().with_remote(remote)).await.unwrap();
    system.server.drop_at_random(60);
    let ends = Arc::new(Ends::default());
    let end = start.checked_add(Duration::from_secs(60)).unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let (mut caller, time) = (Caller::new(&store, number, &ends), time.clone());
            tokio::spawn(async move {
                while time.now() < end {
                    caller.call().await;
                }
                caller
            })
        })
        .collect();
    // Time passes with the calls that end; where none does, because those there are wait for it, it passes too.
    let mut seen = 0;
    let mut idle = 0;
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        let now = ends.all();
        if now >= seen + 4 || idle > 2_000 {
            (seen, idle) = (now, 0);
            time.advance(STEP);
        }
        idle += 1;
        tokio::task::yield_now().await;
    }
    system.server.drop_at_random(0);
    for task in tasks {
        let mut caller = task.await.unwrap();
        let keys: Vec<String> = caller.may_hold.keys().cloned().collect();
        for key in keys {
            let found = store.get(&key).await.unwrap();
            caller.check_found(&key, found);
        }
    }
    let [done, unknown] = [&ends.done, &ends.unknown].map(|count| count.load(Ordering::Relaxed));
    assert!(done >= 5_000 && unknown >= 1, "{done} done, {unknown} unknown");
    assert!(system.server.connections() >= 20, "{}", system.server.connections());
    store.close().await.unwrap();
    assert_eq!(system.server.closes_with_answers_due(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn err_3_one_refused_connection_costs_each_caller_one_attempt() {
    let system = System::start().await;
    let thrice = RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO);
    let thrice = thrice.with_attempts_max(const { std::num::NonZeroU32::new(3).unwrap() });
    let store = system.store_with(|remote| remote.with_retry(thrice)).await;
    for _ in 0..100 {
        system.server.refuse_connections(1);
        // The old connection may cost one attempt, the refused one another.
        let gets = (0..8).map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.get(format!("number{number}")).await })
        });
        for get in gets.collect::<Vec<_>>() {
            assert_eq!(get.await.unwrap().unwrap(), None);
        }
    }
}

/// All ask for the same thing about the same key at once; only the order of the requests says whose reply it is. The
/// one whose outcome is `Created` must find its own value there. Some go away before they have an outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn err_6_of_64_callers_with_one_request_each_gets_the_reply_to_its_own() {
    let fake = Fake::new().with_spread(Duration::from_millis(1)).with_seed(3);
    let system = System::start_as(fake, ServerOptions::new()).await;
    let store = system.store().await;
    for round in 0..100 {
        let key = format!("race {round}");
        let racers: Vec<_> = (0..TASKS)
            .map(|racer| {
                let (store, key) = (store.clone(), key.clone());
                tokio::spawn(async move {
                    let mut add = Box::pin(store.set(&key, racer).if_not_exists());
                    if (racer + round) % 3 == 0 {
                        // Sent, for the first poll hands it over, and perhaps answered.
                        let answered = (&mut add).now_or_never();
                        return (racer, answered.map(|outcome| outcome.unwrap().status()));
                    }
                    (racer, Some(add.await.unwrap().status()))
                })
            })
            .collect();
        let (mut winners, mut gone) = (Vec::new(), Vec::new());
        for racer in racers {
            match racer.await.unwrap() {
                (racer, Some(SetStatus::Created)) => winners.push(racer),
                (_, Some(status)) => assert_eq!(status, SetStatus::NotMet),
                (racer, None) => gone.push(racer),
            }
        }
        let found = store.get(&key).await.unwrap().unwrap().decode::<usize>().unwrap();
        match winners[..] {
            [] => assert!(gone.contains(&found), "{key}: no outcome says that {found} won"),
            [winner] => assert_eq!(winner, found, "{key}: who won, and whose value it is"),
            _ => panic!("{key}: {winners:?} all won"),
        }
    }
    assert_eq!(system.server.connections(), 1);
    store.close().await.unwrap();
    assert_eq!(system.server.closes_with_answers_due(), 0);
}
