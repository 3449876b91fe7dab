//! Large batches: one transaction as long as nobody waits, and answers that are true whatever comes in between.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashSet;
use std::future::ready;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{fmt, fs, thread};

use futures_util::FutureExt;
use futures_util::future::join_all;
use kv_api::{Backend, ErrorKind, ManualClock, Reason, Result, SetItem, SetStatus, Timer, Timestamp};
use kv_sqlite::{SqliteConfig, SqliteStore};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use support::{Place, all_keys, get, get_many, set, set_many, told};

/// Ten statements.
const ITEMS: usize = 10_000;

/// Operations of a large batch that one statement takes.
const STATEMENT: usize = 1000;

/// On a timer that stands, so that no transaction ends because the machine is slow.
fn config(place: &Place) -> SqliteConfig {
    let timer = ManualClock::new(Timestamp::from_unix_seconds(0));
    // Nothing is moved out of the log.
    place.config().with_timer(Arc::new(timer)).with_checkpoint_pages(0)
}

async fn open(place: &Place) -> SqliteStore {
    SqliteStore::open(config(place)).await.unwrap()
}

/// In no order, as ids and hashes are.
fn keys(items: usize) -> Vec<String> {
    (0..items).map(|index| format!("{:05}", index * 7_919 % items)).collect()
}

fn batch<'a>(keys: &'a [String], value: &'a str) -> Vec<SetItem<'a>> {
    keys.iter().map(|key| SetItem::new(key, value)).collect()
}

/// How many transactions the log holds: the last page of each says how long the file is then.
fn commits(place: &Place) -> usize {
    const HEADER: usize = 32;
    const FRAME: usize = 24 + 4096;
    let log = fs::read(place.directory.path().join("app.db-wal")).unwrap();
    log[HEADER..].chunks_exact(FRAME).filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
async fn a_large_batch_of_a_lone_caller_is_one_transaction() {
    let place = Place::new();
    let store = open(&place).await;
    // Reserves version numbers, which is a commit of its own.
    set(&store, SetItem::new("before", "v")).await.unwrap();
    let keys = keys(ITEMS);
    for status in [SetStatus::Created, SetStatus::Updated] {
        let before = commits(&place);
        for outcome in set_many(&store, batch(&keys, "v")).await {
            assert_eq!(outcome.unwrap().status(), status);
        }
        assert_eq!(commits(&place) - before, 1);
    }
    assert_eq!(all_keys(&store, "", 1000).await.len(), ITEMS + 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn large_batches_that_wait_share_a_transaction_and_each_has_its_answers() {
    let place = Place::new();
    let store = open(&place).await;
    set(&store, SetItem::new("before", "v")).await.unwrap();
    let before = commits(&place);
    // All three have the same keys.
    let keys = keys(2 * STATEMENT);
    let (first, second, third) = tokio::join!(
        set_many(&store, batch(&keys, "first")),
        set_many(&store, batch(&keys, "second")),
        set_many(&store, batch(&keys, "third"))
    );
    assert!(commits(&place) - before <= 2, "one for the first, and one for those that came meanwhile");
    let mut versions = HashSet::new();
    for (status, outcomes) in [(SetStatus::Created, first), (SetStatus::Updated, second), (SetStatus::Updated, third)] {
        assert_eq!(outcomes.len(), keys.len());
        for outcome in outcomes {
            let outcome = outcome.unwrap();
            assert_eq!(outcome.status(), status);
            assert!(versions.insert(outcome.version().unwrap().clone()));
        }
    }
    let names: Vec<_> = keys.iter().map(String::as_str).collect();
    for entry in get_many(&store, &names).await {
        let entry = entry.unwrap();
        assert_eq!(entry.value().as_text().unwrap(), "third");
        assert!(versions.contains(entry.version().unwrap()));
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn any_number_of_large_batches_that_wait_share_a_transaction() {
    let place = Place::new();
    let store = open(&place).await;
    set(&store, SetItem::new("before", "v")).await.unwrap();
    let before = commits(&place);
    let batches: Vec<Vec<String>> =
        (0..100).map(|batch| (0..300).map(|at| format!("{at}/{batch}")).collect()).collect();
    for outcome in join_all(batches.iter().map(|keys| set_many(&store, batch(keys, "v")))).await.into_iter().flatten() {
        assert_eq!(outcome.unwrap().status(), SetStatus::Created);
    }
    assert_eq!(commits(&place) - before, 1);
    store.close().await.unwrap();
}

/// Each call gets its turn after one statement of the batch.
#[tokio::test]
async fn a_caller_that_waits_ends_the_transaction_of_a_large_batch() {
    let place = Place::new();
    let store = open(&place).await;
    set(&store, SetItem::new("small", "v")).await.unwrap();
    let keys = keys(ITEMS);
    // On a busy machine a batch can be done before the other call comes. Then nothing waited, and it is tried again.
    for _ in 0..20 {
        let before = commits(&place);
        let mut large = Box::pin(set_many(&store, batch(&keys, "v")));
        let mut calls = 0;
        while large.as_mut().now_or_never().is_none() && calls < ITEMS / STATEMENT {
            set(&store, SetItem::new("small", "v")).await.unwrap();
            calls += 1;
        }
        if calls == 0 {
            continue;
        }
        let of_the_batch = commits(&place) - before - calls;
        drop(large);
        if of_the_batch > 1 {
            store.close().await.unwrap();
            return;
        }
    }
    panic!("no call ended the transaction of a batch");
}

#[tokio::test]
async fn err_6_what_is_left_of_a_dropped_batch_overwrites_nothing() {
    let place = Place::new();
    let store = open(&place).await;
    let keys = keys(ITEMS);
    let mut large = Box::pin(set_many(&store, batch(&keys, "old")));
    assert!(large.as_mut().now_or_never().is_none());
    set(&store, SetItem::new("small", "v")).await.unwrap();
    drop(large);
    let (first, last) = ("00000", "09999");
    for key in [first, last] {
        set(&store, SetItem::new(key, "new")).await.unwrap();
    }
    store.close().await.unwrap();
    let store = place.open().await;
    for key in [first, last] {
        assert_eq!(get(&store, key).await.unwrap().value().as_text().unwrap(), "new");
    }
    let written = all_keys(&store, "", 1000).await.len() - 2;
    assert!((STATEMENT..ITEMS / 2).contains(&written), "{written} items were written");
    store.close().await.unwrap();
}

#[tokio::test]
async fn life_2_closing_carries_out_a_large_batch_that_was_asked_for_before() {
    let place = Place::new();
    let store = open(&place).await;
    let keys = keys(ITEMS);
    let (outcomes, closed) = tokio::join!(set_many(&store, batch(&keys, "v")), store.close());
    closed.unwrap();
    assert!(outcomes.into_iter().all(|outcome| outcome.unwrap().is_written()));
    assert_eq!(place.number("SELECT count(*) FROM kv").await, i64::try_from(ITEMS).unwrap());
}

#[tokio::test]
async fn batch_6_refused_rows_of_a_large_batch_fail_alone() {
    let place = Place::new();
    let store = open(&place).await;
    for (name, word, refused) in [("abort", "ABORT, 'no'", "03333"), ("ignore", "IGNORE", "07777")] {
        let sql = format!(
            "CREATE TRIGGER {name} BEFORE INSERT ON kv WHEN NEW.key = '{refused}' BEGIN SELECT RAISE({word}); END"
        );
        place.run(&sql).await;
    }
    let keys = keys(ITEMS);
    for status in [SetStatus::Created, SetStatus::Updated] {
        for (key, outcome) in keys.iter().zip(set_many(&store, batch(&keys, "v")).await) {
            if ["03333", "07777"].contains(&key.as_str()) {
                assert_eq!(told(&outcome.unwrap_err()), (ErrorKind::Misconfigured, Some(Reason::RowRejected)));
            } else {
                assert_eq!(outcome.unwrap().status(), status, "{key}");
            }
        }
    }
    assert_eq!(place.number("SELECT count(*) FROM kv").await, i64::try_from(ITEMS - 2).unwrap());
    store.close().await.unwrap();
}

#[tokio::test]
async fn batch_6_answers_are_true_where_a_trigger_ends_the_transaction_or_keeps_the_row() {
    for word in ["ROLLBACK", "FAIL"] {
        for moment in ["BEFORE", "AFTER"] {
            let place = Place::new();
            let store = open(&place).await;
            let when = "WHEN NEW.key = '05500'";
            let sql = format!("CREATE TRIGGER own {moment} INSERT ON kv {when} BEGIN SELECT RAISE({word}, 'no'); END");
            place.run(&sql).await;
            let keys = keys(ITEMS);
            let outcomes = set_many(&store, batch(&keys, "v")).await;
            let names: Vec<_> = keys.iter().map(String::as_str).collect();
            let mut refused = 0;
            for ((key, outcome), entry) in keys.iter().zip(outcomes).zip(get_many(&store, &names).await) {
                match outcome {
                    Ok(outcome) => assert!(outcome.is_written() && entry.is_some(), "{word} {moment}: {key}"),
                    Err(error) => {
                        assert_eq!(told(&error), (ErrorKind::Misconfigured, Some(Reason::RowRejected)));
                        assert!(!error.is_outcome_unknown() && entry.is_none(), "{word} {moment}: {key} is there");
                        refused += 1;
                    }
                }
            }
            // What ends the transaction takes all rows of the statement with it.
            assert_eq!(refused, if word == "ROLLBACK" { STATEMENT } else { 1 }, "{word} {moment}");
            store.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_large_batch_ends_when_the_file_is_gone() {
    let place = Place::new();
    let store = open(&place).await;
    let keys = keys(ITEMS);
    let mut large = Box::pin(set_many(&store, batch(&keys, "v")));
    assert!(large.as_mut().now_or_never().is_none());
    set(&store, SetItem::new("small", "v")).await.unwrap();
    let path = place.path();
    fs::rename(&path, path.with_extension("old")).unwrap();
    let outcomes = large.await;
    let written = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!((STATEMENT..ITEMS).contains(&written), "{written} written");
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(told(&error), (ErrorKind::Misconfigured, Some(Reason::FileReplaced)));
    }
    store.close().await.unwrap_err();
}

/// The first of the merged batches is done before the second one fails.
#[tokio::test]
async fn batch_6_a_refused_row_ends_beside_a_batch_that_is_done() {
    let place = Place::new();
    let store = open(&place).await;
    place
        .run("CREATE TRIGGER abort BEFORE INSERT ON kv WHEN NEW.key = 'c3' BEGIN SELECT RAISE(ABORT, 'no'); END")
        .await;
    let named = |name, items| (0..items).map(|index| format!("{name}{index}")).collect::<Vec<_>>();
    let (first, second, third) = (named("a", 2 * STATEMENT), named("b", STATEMENT), named("c", STATEMENT));
    let calls = async {
        tokio::join!(
            set_many(&store, batch(&first, "v")),
            set_many(&store, batch(&second, "v")),
            set_many(&store, batch(&third, "v"))
        )
    };
    let (first, second, third) = tokio::time::timeout(Duration::from_secs(60), calls).await.unwrap();
    assert!(first.iter().chain(&second).all(Result::is_ok));
    let refused: Vec<usize> = (0..STATEMENT).filter(|index| third[*index].is_err()).collect();
    assert_eq!(refused, [3]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn set_2_conditions_and_expiries_hold_in_a_large_batch() {
    let place = Place::new();
    let store = open(&place).await;
    let keys = keys(3 * STATEMENT);
    let (live, rest) = keys.split_at(STATEMENT);
    let (expired, missing) = rest.split_at(STATEMENT);
    set_many(&store, batch(live, "old")).await.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    let expiring = |key| SetItem::new(key, "old").ttl(Duration::from_secs(1));
    set_many(&store, expired.iter().map(expiring).collect()).await.into_iter().for_each(|outcome| {
        outcome.unwrap();
    });
    place.clock.advance(Duration::from_secs(1));
    let items = keys.iter().map(|key| SetItem::new(key, "new").if_not_exists()).collect();
    let outcomes = set_many(&store, items).await;
    for (index, outcome) in outcomes.into_iter().enumerate() {
        let expected = if index < live.len() { SetStatus::NotMet } else { SetStatus::Created };
        assert_eq!(outcome.unwrap().status(), expected, "{index}");
    }
    for (keys, value) in [(live, "old"), (expired, "new"), (missing, "new")] {
        let names: Vec<_> = keys.iter().map(String::as_str).collect();
        for entry in get_many(&store, &names).await {
            assert_eq!(entry.unwrap().value().as_text().unwrap(), value);
        }
    }
    store.close().await.unwrap();
}

/// Half of the keys are new, some rows have a statement of their own, and the last transaction has several slices.
async fn each_put_of_a_batch_says_what_it_did(prepare: &str, ttl: Option<Duration>, expected_present: SetStatus) {
    let place = Place::new();
    let store = open(&place).await;
    let keys = keys(3 * STATEMENT);
    let present: HashSet<&String> = keys.iter().step_by(2).collect();
    let old = |key| match ttl {
        Some(ttl) => SetItem::new(key, "old").ttl(ttl),
        None => SetItem::new(key, "old"),
    };
    let items = keys.iter().step_by(2).map(old).collect();
    set_many(&store, items).await.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    place.run(prepare).await;
    place.clock.advance(Duration::from_secs(1));
    let large = "v".repeat(40_000);
    let value = |index: usize| if index.is_multiple_of(501) { large.as_str() } else { "new" };
    let items = keys.iter().enumerate().map(|(index, key)| SetItem::new(key, value(index))).collect();
    let outcomes = set_many(&store, items).await;
    let names: Vec<_> = keys.iter().map(String::as_str).collect();
    let mut entries = Vec::new();
    for names in names.chunks(STATEMENT) {
        entries.extend(get_many(&store, names).await);
    }
    let mut versions = HashSet::new();
    for (index, (outcome, entry)) in outcomes.into_iter().zip(entries).enumerate() {
        let (outcome, entry) = (outcome.unwrap(), entry.unwrap());
        let expected = if present.contains(&keys[index]) { expected_present } else { SetStatus::Created };
        assert_eq!(outcome.status(), expected, "{index}");
        assert_eq!(outcome.version(), entry.version(), "{index}");
        assert_eq!(entry.value().as_text().unwrap(), value(index));
        assert!(versions.insert(outcome.version().unwrap().clone()));
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn set_1_each_put_of_a_large_batch_says_whether_it_created_its_entry() {
    each_put_of_a_batch_says_what_it_did("SELECT 1", None, SetStatus::Updated).await;
}

#[tokio::test]
async fn exp_7_a_put_of_a_large_batch_over_an_expired_entry_creates_one() {
    each_put_of_a_batch_says_what_it_did("SELECT 1", Some(Duration::from_secs(1)), SetStatus::Created).await;
}

/// Of a put that is over when its turn comes nothing is written, and what was there before is gone.
#[tokio::test]
async fn exp_7_a_put_whose_expiry_comes_while_its_batch_waits_leaves_nothing() {
    let place = Place::new();
    let store = open(&place).await;
    set(&store, SetItem::new("over", "old")).await.unwrap();
    let end = Timestamp::from_unix_seconds(1_800_000_001);
    let items = vec![SetItem::new("stays", "new"), SetItem::new("over", "new").expire_at(end)];
    let mut batch = pin!(set_many(&store, items));
    // The writer has no turn before this task waits: this runtime has one thread.
    assert!(futures_util::poll!(&mut batch).is_pending());
    place.clock.advance(Duration::from_secs(1));
    let outcomes: Vec<_> = batch.await.into_iter().map(|outcome| outcome.unwrap().status()).collect();
    assert_eq!(outcomes, [SetStatus::Created, SetStatus::Updated]);
    assert!(get(&store, "stays").await.is_some() && get(&store, "over").await.is_none());
    assert_eq!(place.number("SELECT count(*) FROM kv").await, 1);
    store.close().await.unwrap();
}

/// Then SQLite takes any id that is free.
#[tokio::test]
async fn set_1_each_put_says_what_it_did_where_another_program_has_used_the_highest_id() {
    let used_up = "INSERT INTO kv (id, namespace, key, kind, version, value) \
                   VALUES (9223372036854775807, 1, 'zzz', 0, 4611686018427387904, x'')";
    each_put_of_a_batch_says_what_it_did(used_up, None, SetStatus::Updated).await;
}

/// The lock is waited out once for all of the batch.
#[tokio::test]
async fn err_3_a_large_batch_that_never_got_the_lock_was_not_applied() {
    let place = Place::new();
    let store = SqliteStore::open(place.config().with_busy_timeout(Duration::from_millis(20))).await.unwrap();
    set(&store, SetItem::new("before", "v")).await.unwrap();
    let mut other = place.raw().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let keys = keys(ITEMS);
    for outcome in set_many(&store, batch(&keys, "v")).await {
        let error = outcome.unwrap_err();
        assert_eq!(told(&error), (ErrorKind::Unavailable, Some(Reason::Busy)), "{error}");
        assert!(!error.is_outcome_unknown(), "{error}");
    }
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert!(set_many(&store, batch(&keys, "v")).await.into_iter().all(|outcome| outcome.unwrap().is_written()));
    store.close().await.unwrap();
}

/// Another process with the file open.
struct Other(mpsc::Sender<(&'static str, mpsc::Sender<bool>)>);

impl Other {
    fn start(place: &Place) -> Self {
        let options = SqliteConnectOptions::new().filename(place.path()).busy_timeout(Duration::ZERO);
        let (sender, statements) = mpsc::channel::<(_, mpsc::Sender<bool>)>();
        thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let mut connection = options.connect().await.unwrap();
                while let Ok((sql, done)) = statements.recv() {
                    done.send(sqlx::raw_sql(sql).execute(&mut connection).await.is_ok()).unwrap();
                }
            });
        });
        Self(sender)
    }

    /// Whether it could.
    fn run(&self, sql: &'static str) -> bool {
        let (done, ended) = mpsc::channel();
        self.0.send((sql, done)).unwrap();
        ended.recv().unwrap()
    }
}

/// A timer by which a second passes between any two looks at it. From some look on another process takes the lock as
/// soon as it is free.
struct Meddling {
    other: Other,
    seconds: AtomicU64,
    from: u64,
    locked: AtomicBool,
    /// Whether the lock is given back while the writer waits for it.
    gives_back: bool,
}

impl fmt::Debug for Meddling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meddling").finish_non_exhaustive()
    }
}

impl Timer for Meddling {
    fn monotonic_now(&self) -> Duration {
        let seconds = self.seconds.fetch_add(1, Ordering::SeqCst);
        if seconds >= self.from && !self.locked.load(Ordering::SeqCst) && self.other.run("BEGIN IMMEDIATE") {
            self.locked.store(true, Ordering::SeqCst);
        }
        Duration::from_secs(seconds)
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if self.gives_back && self.locked.load(Ordering::SeqCst) {
            self.other.run("ROLLBACK");
        }
        Box::pin(ready(()))
    }
}

async fn open_with(place: &Place, from: u64, gives_back: bool) -> (SqliteStore, Arc<Meddling>) {
    place.open().await.close().await.unwrap();
    let (other, locked) = (Other::start(place), AtomicBool::new(false));
    let timer = Arc::new(Meddling { other, seconds: AtomicU64::new(0), from, locked, gives_back });
    let store = SqliteStore::open(config(place).with_timer(Arc::clone(&timer) as Arc<dyn Timer>)).await.unwrap();
    set(&store, SetItem::new("before", "v")).await.unwrap();
    (store, timer)
}

/// Another process that waits for the lock cannot be seen.
#[tokio::test]
async fn a_transaction_of_a_large_batch_ends_after_a_second() {
    let place = Place::new();
    let (store, _) = open_with(&place, u64::MAX, false).await;
    let before = commits(&place);
    let keys = keys(ITEMS);
    assert!(set_many(&store, batch(&keys, "v")).await.iter().all(Result::is_ok));
    assert_eq!(commits(&place) - before, ITEMS / STATEMENT, "each statement takes a second");
    store.close().await.unwrap();
}

#[tokio::test]
async fn err_3_a_lock_taken_between_the_transactions_of_a_large_batch_is_waited_out() {
    const LOOKS: u64 = 30;
    for gives_back in [true, false] {
        let place = Place::new();
        let (store, timer) = open_with(&place, LOOKS, gives_back).await;
        let keys = keys(2 * ITEMS);
        let outcomes = set_many(&store, batch(&keys, "v")).await;
        assert!(timer.locked.load(Ordering::SeqCst));
        let written = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(written == keys.len(), gives_back, "{written}");
        assert!(written >= STATEMENT, "{written}");
        let names: Vec<_> = keys.iter().map(String::as_str).collect();
        for (outcome, entry) in outcomes.into_iter().zip(get_many(&store, &names).await) {
            assert_eq!(outcome.is_ok(), entry.is_some());
            if let Err(error) = outcome {
                assert_eq!(told(&error), (ErrorKind::Unavailable, Some(Reason::Busy)), "{error}");
                assert!(!error.is_outcome_unknown(), "{error}");
            }
        }
        timer.other.run("ROLLBACK");
        assert!(set_many(&store, batch(&keys, "v")).await.iter().all(Result::is_ok));
        store.close().await.unwrap();
    }
}
