//! Runs callers on a store, and notes what they see.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use kv_api::{DeleteOutcome, Entry, Retry, SetOutcome, SetStatus, Store, Value, Version};
use tokio::task::yield_now;

use super::history::{Action, Answer, Call, History, Moment, NOBODYS, VersionId, When};
use super::plan::{Kind, Plan, Step, Trouble};
use crate::harness::Faults;
use crate::outcome::Stop;
use crate::races::race;

/// The values behind the numbers of a history.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    /// JSON integers, so that what was set can be counted in.
    Integers,
    /// The value of each number.
    Listed(Vec<Value>),
}

impl Values {
    fn value(&self, number: i64) -> Value {
        let listed = |values: &Vec<Value>| values.get(usize::try_from(number).ok()?).cloned();
        match self {
            Self::Integers => None,
            Self::Listed(values) => listed(values),
        }
        .unwrap_or_else(|| Value::from(number))
    }

    fn number(&self, value: &Value) -> i64 {
        let found = match self {
            Self::Integers => value.as_i64(),
            Self::Listed(values) => {
                values.iter().position(|listed| listed == value).and_then(|at| i64::try_from(at).ok())
            }
        };
        found.unwrap_or(NOBODYS)
    }
}

/// What callers work on.
pub(crate) struct Scene<'s> {
    /// The callers take them in turn.
    pub(crate) handles: &'s [Store],
    pub(crate) keys: &'s [String],
    pub(crate) values: Values,
    /// What a touch gives.
    pub(crate) ttl: Duration,
    /// Whether the version of an entry that is read is that of its value.
    pub(crate) has_entry_snapshot: bool,
    /// How each key is looked at when all callers have ended.
    pub(crate) last: Kind,
    /// What makes the troubles of a plan.
    pub(crate) faults: Option<&'s dyn Faults>,
}

/// Runs the callers of a plan at the same time, and answers what happened on each key.
pub(crate) async fn record(scene: &Scene<'_>, plan: &Plan) -> Result<Vec<History>, Stop> {
    let notes = Arc::new(Notes::new(scene, plan));
    let callers = plan.callers.iter().enumerate().map(|(caller, steps)| {
        let (store, notes, steps) =
            (scene.handles[caller % scene.handles.len()].clone(), Arc::clone(&notes), steps.clone());
        async move { notes.call_all(caller, &store, &steps).await }
    });
    let mut troubled = Vec::new();
    let results = {
        let running = pin!(race(callers.collect()));
        let troubling = pin!(notes.trouble(scene, plan, &mut troubled));
        match select(running, troubling).await {
            Either::Left((results, _)) => results?,
            Either::Right(((), running)) => running.await?,
        }
    };
    if let (Some(faults), Some(last)) = (scene.faults, plan.troubles.last()) {
        faults.inject(last.fault, 0);
    }
    let mut calls = Vec::new();
    for result in results {
        calls.extend(result?);
    }
    let written = i64::try_from(calls.len()).unwrap_or(i64::MAX);
    for (key, value) in (0..scene.keys.len()).zip(written + 1..) {
        let step = Step { kind: scene.last, key, value, by: 0, own_version: false, pauses: 0 };
        calls.extend(notes.call_all(plan.callers.len(), &scene.handles[0], &[step]).await?);
    }
    note_repeats(&mut calls, &troubled);
    let on_key = |key| calls.iter().filter(move |(of, _)| *of == key).map(|(_, call)| call.clone()).collect();
    (0..scene.keys.len()).map(|key| History::new(on_key(key)).map_err(Stop::Failed)).collect()
}

/// What the callers have in common.
struct Notes {
    now: AtomicU64,
    keys: Vec<String>,
    values: Values,
    ttl: Duration,
    has_entry_snapshot: bool,
    /// When the troubles begin.
    troubles: Vec<Moment>,
    /// How many of them have begun.
    begun: AtomicUsize,
    versions: Mutex<Versions>,
}

#[derive(Default)]
struct Versions {
    /// Each version once; its place is its number.
    seen: Vec<Version>,
    /// The last that anybody was given, by key.
    last: Vec<Option<VersionId>>,
}

/// A call and the key that it is on.
type OnKey = (usize, Call);

impl Notes {
    fn new(scene: &Scene<'_>, plan: &Plan) -> Self {
        let versions = Versions { seen: Vec::new(), last: vec![None; scene.keys.len()] };
        Self {
            now: AtomicU64::new(0),
            keys: scene.keys.to_vec(),
            values: scene.values.clone(),
            ttl: scene.ttl,
            has_entry_snapshot: scene.has_entry_snapshot,
            troubles: plan.troubles.iter().map(|trouble| trouble.from).collect(),
            begun: AtomicUsize::new(0),
            versions: Mutex::new(versions),
        }
    }

    /// A moment of its own, after all that were taken before.
    fn moment(&self) -> Moment {
        self.now.fetch_add(1, Ordering::SeqCst)
    }

    fn versions(&self) -> MutexGuard<'_, Versions> {
        // Nothing in here can panic half-way, so a poisoned lock still guards a whole list.
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a version that was given on a key.
    fn number(&self, key: usize, version: &Version) -> VersionId {
        let mut versions = self.versions();
        let number = versions.seen.iter().position(|seen| seen == version).unwrap_or_else(|| {
            versions.seen.push(version.clone());
            versions.seen.len() - 1
        });
        versions.last[key] = Some(number);
        number
    }

    async fn call_all(&self, caller: usize, store: &Store, steps: &[Step]) -> Result<Vec<OnKey>, Stop> {
        let mut own = vec![None; self.keys.len()];
        let mut calls = Vec::with_capacity(steps.len());
        for step in steps {
            self.wait_for_trouble().await;
            for _ in 0..step.pauses {
                yield_now().await;
            }
            let last = self.versions().last[step.key];
            let version = if step.own_version { own[step.key].or(last) } else { last };
            let action = action(step, version);
            let began = self.moment();
            let result = self.call(store, step.key, action).await;
            let ended = Some(self.moment());
            let (reads, is_troubled) = (matches!(action, Action::Get | Action::GetEntry), !self.troubles.is_empty());
            let answer = match result {
                Ok(answer) => answer,
                Err(error) if is_troubled && (reads || error.retry() == Retry::Safe) => Answer::NotApplied,
                Err(error) if is_troubled && error.is_outcome_unknown() => Answer::Unknown,
                Err(error) => return Err(Stop::Failed(format!("{action} among concurrent calls: {error}"))),
            };
            if let Answer::Entry(Some((_, Some(version)))) | Answer::Written { version: Some(version), .. } = answer {
                own[step.key] = Some(version);
            }
            calls.push((step.key, Call { caller, action, began, ended, answer, repeats: 0 }));
        }
        Ok(calls)
    }

    async fn call(&self, store: &Store, at: usize, action: Action) -> kv_api::Result<Answer> {
        let key = &self.keys[at];
        let seen = |number: VersionId| self.versions().seen[number].clone();
        let value = |found: Option<Value>| Answer::Value(found.map(|found| self.values.number(&found)));
        let entry = |found: Option<Entry>| {
            Answer::Entry(found.map(|entry| {
                let version = entry.version().filter(|_| self.has_entry_snapshot);
                (self.values.number(entry.value()), version.map(|version| self.number(at, version)))
            }))
        };
        Ok(match action {
            Action::Get => value(store.get(key).await?),
            Action::GetEntry => entry(store.get_entry(key).await?),
            Action::Touch => entry(store.get_entry(key).touch(self.ttl).await?),
            Action::Expire => Answer::Exists(store.expire(key).never().await?),
            Action::Set(number, when) => {
                let set = store.set(key, self.values.value(number));
                let outcome = match when {
                    When::Always => set.await?,
                    When::IfNotExists => set.if_not_exists().await?,
                    When::IfExists => set.if_exists().await?,
                    When::IfVersion(version) => set.if_version(seen(version)).await?,
                };
                self.written(at, &outcome)
            }
            Action::Delete(version) => {
                let delete = store.delete(key);
                match version {
                    None => deleted(delete.await?),
                    Some(version) => deleted(delete.if_version(seen(version)).await?),
                }
            }
            Action::GetAndDelete => value(store.get_and_delete(key).await?),
            Action::Increment(by) => Answer::Count(store.increment(key, by).await?),
        })
    }

    fn written(&self, at: usize, outcome: &SetOutcome) -> Answer {
        let over_an_entry = match outcome.status() {
            SetStatus::NotMet => return Answer::NotMet,
            SetStatus::Created => Some(false),
            SetStatus::Updated => Some(true),
            _ => None,
        };
        Answer::Written { over_an_entry, version: outcome.version().map(|version| self.number(at, version)) }
    }

    /// Makes the troubles of a plan, each from its moment on and for its while, and notes when they were made.
    async fn trouble(&self, scene: &Scene<'_>, plan: &Plan, made: &mut Vec<Made>) {
        let Some(faults) = scene.faults else { return };
        for trouble in &plan.troubles {
            self.wait_for(trouble.from).await;
            made.push(Made { trouble: *trouble, from: self.moment(), until: None });
            if trouble.writes_only {
                faults.inject_into_writes(trouble.fault, trouble.count);
            } else {
                faults.inject(trouble.fault, trouble.count);
            }
            self.begun.fetch_add(1, Ordering::SeqCst);
            self.wait_for(trouble.until).await;
            faults.inject(trouble.fault, 0);
            let until = self.moment();
            made.iter_mut().rev().take(1).for_each(|made| made.until = Some(until));
        }
    }

    /// Waits for the troubles that are due, which a fast store would be through with before they come.
    async fn wait_for_trouble(&self) {
        let due = || {
            let now = self.now.load(Ordering::SeqCst);
            self.troubles.iter().filter(|from| **from <= now).count()
        };
        while self.begun.load(Ordering::SeqCst) < due() {
            yield_now().await;
        }
    }

    async fn wait_for(&self, moment: Moment) {
        while self.now.load(Ordering::SeqCst) < moment {
            yield_now().await;
        }
    }
}

fn action(step: &Step, version: Option<VersionId>) -> Action {
    let set = |when| Action::Set(step.value, when);
    match (step.kind, version) {
        (Kind::Get, _) => Action::Get,
        (Kind::GetEntry, _) => Action::GetEntry,
        (Kind::Touch, _) => Action::Touch,
        (Kind::Expire, _) => Action::Expire,
        (Kind::SetIfNotExists, _) => set(When::IfNotExists),
        (Kind::SetIfExists, _) => set(When::IfExists),
        (Kind::SetIfVersion, Some(version)) => set(When::IfVersion(version)),
        // As long as there is no version, one is made.
        (Kind::Set | Kind::SetIfVersion, _) | (Kind::DeleteIfVersion, None) => set(When::Always),
        (Kind::Delete, _) => Action::Delete(None),
        (Kind::DeleteIfVersion, Some(version)) => Action::Delete(Some(version)),
        (Kind::GetAndDelete, _) => Action::GetAndDelete,
        (Kind::Increment, _) => Action::Increment(step.by),
    }
}

const fn deleted(outcome: DeleteOutcome) -> Answer {
    match outcome {
        DeleteOutcome::NotMet => Answer::NotMet,
        DeleteOutcome::Deleted => Answer::Deleted { was_there: Some(true) },
        DeleteOutcome::NotFound => Answer::Deleted { was_there: Some(false) },
        _ => Answer::Deleted { was_there: None },
    }
}

/// A trouble, and when it was there.
struct Made {
    trouble: Trouble,
    from: Moment,
    /// `None` where the callers ended first.
    until: Option<Moment>,
}

/// Notes which writes may have been carried out more than once: an unconditional one of a call that was under way while
/// there was trouble, and whose answer does not say what it was carried out over (ERR-5). Which trouble does not
/// matter: on a connection, the others meet its end too, also where one request is certainly refused. So a trouble goes
/// on until all calls have ended that it may have met.
fn note_repeats(calls: &mut [OnKey], troubles: &[Made]) {
    let met =
        |call: &Call, from: Moment, until: Moment| call.began <= until && call.ended.is_none_or(|ended| ended >= from);
    for made in troubles {
        let until = made.until.unwrap_or(Moment::MAX);
        let ends = calls.iter().filter(|(_, call)| met(call, made.from, until)).filter_map(|(_, call)| call.ended);
        let until = ends.max().unwrap_or(until).max(until);
        for (_, call) in calls.iter_mut().filter(|(_, call)| met(call, made.from, until)) {
            let asks_for_a_state = matches!(call.action, Action::Set(_, When::Always) | Action::Delete(None));
            let may_be_its_own_doing = matches!(
                call.answer,
                Answer::Unknown | Answer::Written { over_an_entry: None, .. } | Answer::Deleted { was_there: None }
            );
            if asks_for_a_state && may_be_its_own_doing {
                call.repeats += usize::try_from(made.trouble.count).unwrap_or(usize::MAX);
            }
        }
    }
}
