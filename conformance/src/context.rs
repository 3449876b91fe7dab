//! What a case works with: the fresh store, keys and values within its limits, and what it declares.

use futures_util::{Stream, StreamExt, TryStreamExt};
use kv_api::{
    Capabilities, Consistency, Cursor, Entry, ErrorKind, Feature, ItemParts, Metadata, Reason, SetItem, Store, Support,
    Value, ValueKind, Version,
};
use serde_json::json;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::check::show;
use crate::harness::{Fault, Faults, Fixture, Harness};
use crate::means::Means;
use crate::outcome::{CaseResult, Stop, not_applicable, not_shown, refused};
use crate::pace::Pace;
use crate::trail::Trail;

/// What a case works with.
pub(crate) struct Context<'h> {
    harness: &'h dyn Harness,
    pub(crate) fixture: Fixture,
    /// The store, with every race window accepted: what is tried one call after the other is the same with one.
    willing: Store,
    pub(crate) pace: Arc<Pace>,
    trail: Arc<Trail>,
    /// How many requests had been counted when it was opened.
    requests_before: Option<u64>,
    /// Said when the case has done with the fixture.
    is_done: Arc<AtomicBool>,
}

/// What was sent counts however the case ends.
impl Drop for Context<'_> {
    fn drop(&mut self) {
        if let (Some(before), Some(now)) = (self.requests_before, self.requests()) {
            self.trail.add_requests(now.saturating_sub(before));
        }
        self.is_done.store(true, Ordering::Release);
    }
}

impl<'h> Context<'h> {
    pub(crate) async fn open(harness: &'h dyn Harness, pace: Arc<Pace>, trail: Arc<Trail>) -> kv_api::Result<Self> {
        let mut fixture = harness.open().await?;
        let is_done = trail.keep_teardown(&mut fixture);
        let willing = fixture.store.allow_best_effort();
        let requests_before = fixture.requests.as_ref().map(|requests| requests());
        Ok(Self { harness, fixture, willing, pace, trail, requests_before, is_done })
    }

    /// The same on another fresh store.
    pub(crate) async fn fresh(&self) -> Result<Self, Stop> {
        self.trail.begin_to_tear_down();
        Ok(Self::open(self.harness, Arc::clone(&self.pace), Arc::clone(&self.trail)).await?)
    }

    /// The handle as the harness gave it.
    pub(crate) fn strict(&self) -> &Store {
        &self.fixture.store
    }

    /// The handle with race windows accepted.
    pub(crate) fn store(&self) -> &Store {
        &self.willing
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        self.fixture.store.capabilities()
    }

    /// What the handle puts before every key, where it has a prefix.
    pub(crate) fn prefix(&self) -> &str {
        self.fixture.store.prefix()
    }

    /// The whole key: what the limits hold for, and what errors name (NS-2, ERR-7).
    pub(crate) fn whole(&self, key: &str) -> String {
        format!("{}{key}", self.prefix())
    }

    /// How many bytes a key of this handle has at least and at most.
    pub(crate) fn key_bytes(&self) -> RangeInclusive<usize> {
        let (min, max) = (self.capabilities().key_bytes_min, self.capabilities().key_bytes_max);
        min.saturating_sub(self.prefix().len()).max(1)..=max.saturating_sub(self.prefix().len())
    }

    /// A key of this name, made long enough for the store. Names of one case must differ by more than
    /// the letter `q` at their end.
    pub(crate) fn key(&self, name: &str) -> String {
        let missing = self.key_bytes().start().saturating_sub(name.len());
        format!("{name}{}", "q".repeat(missing))
    }

    /// Keys of these names, each made long enough at its end.
    pub(crate) fn keys<const N: usize>(&self, names: [&str; N]) -> [String; N] {
        names.map(|name| self.key(name))
    }

    /// Keys of these names that an all-or-nothing batch writes, which may be refused where they lie apart (BATCH-3);
    /// nothing is left there. Where no such keys are found the case ends.
    pub(crate) async fn keys_together<const N: usize>(&self, names: [&str; N]) -> Result<[String; N], Stop> {
        const TRIES: usize = 32;
        let mut keys = self.keys(names);
        for at in 1..N {
            let mut tries = 0;
            loop {
                let items = keys[..=at].iter().map(|key| SetItem::new(key, self.value(0)));
                match self.store().set_many_all_or_nothing(items).await {
                    Err(error) if error.reason() == Some(&Reason::KeysApart) && tries < TRIES => {
                        keys[at] = self.key(&format!("{}{tries}.", names[at]));
                        tries += 1;
                    }
                    Err(error) if error.reason() == Some(&Reason::KeysApart) => {
                        return not_applicable(
                            "the system writes together what lies together, and no such keys were found",
                        );
                    }
                    outcome => {
                        ensure!(outcome?.is_written(), "an all-or-nothing batch over nothing was not written");
                        break;
                    }
                }
            }
        }
        for result in self.store().delete_many(keys.iter().map(String::as_str)).await {
            result?;
        }
        Ok(keys)
    }

    /// Whether an item is within the limits of the store.
    pub(crate) fn fits(&self, key: &str, value: &Value, metadata: Option<&Metadata>) -> bool {
        let key = self.whole(key);
        let parts = ItemParts::new(&key, value, metadata, false);
        self.capabilities().item_limits.iter().all(|limit| limit.measure(parts) <= limit.max)
    }

    pub(crate) fn has_kind(&self, kind: ValueKind) -> bool {
        self.capabilities().value_kinds.contains(kind)
    }

    /// A value of a kind the store keeps; different for each number.
    pub(crate) fn value(&self, number: usize) -> Value {
        if self.has_kind(ValueKind::Text) {
            Value::from(format!("value {number}"))
        } else if self.has_kind(ValueKind::Json) {
            Value::from(json!({ "value": number }))
        } else {
            Value::from(format!("value {number}").into_bytes())
        }
    }

    /// A handle on which `feature` works. Where it is declared as best effort its refusal without the opt-in is checked
    /// first; where it is not declared its refusal is checked, and the case ends there as refused.
    pub(crate) async fn with(&self, feature: Feature) -> Result<&Store, Stop> {
        match support(self.capabilities(), feature) {
            Support::None => {
                self.check_refused(feature, self.store(), Reason::Unsupported(feature)).await?;
                refused(format!("{feature} is not supported; the refusal was checked"))
            }
            Support::BestEffort if needs_opt_in(feature) => {
                self.check_refused(feature, self.strict(), Reason::BestEffortNotAllowed(feature)).await?;
                Ok(self.store())
            }
            _ => Ok(self.store()),
        }
    }

    /// The same for a promise about concurrent callers of several handles, which best effort does not give.
    pub(crate) async fn with_atomic(&self, feature: Feature) -> Result<&Store, Stop> {
        let store = self.with(feature).await?;
        if support(self.capabilities(), feature).is_full() {
            Ok(store)
        } else {
            not_applicable(format!(
                "{feature} is declared as best effort, which promises nothing to concurrent callers"
            ))
        }
    }

    pub(crate) fn declares(&self, feature: Feature) -> bool {
        support(self.capabilities(), feature) != Support::None
    }

    /// Tries what the store must refuse, over an entry and over nothing: the error is `Unsupported` for this reason,
    /// nothing has changed, and nothing was sent (CAP-1).
    async fn check_refused(&self, feature: Feature, store: &Store, reason: Reason) -> CaseResult {
        let [there, missing] = self.keys(["refused", "nothing"]);
        self.store().set(&there, self.value(1)).await?;
        let before = self.store().get_entry(&there).await?;
        let sent = self.requests();
        for key in [&there, &missing] {
            for (call, error) in attempts(store, feature, key, &self.value(2)).await {
                let error = ensure_err!(error, "{call} with {feature}, which must be refused");
                let wrong = crate::check::differs(&error, ErrorKind::Unsupported, Some(reason.clone()));
                if let Some(wrong) = wrong {
                    return Err(Stop::Failed(format!("{call} with {feature}, which must be refused: {wrong}")));
                }
            }
        }
        self.expect_sent(sent, 0, "what is refused")?;
        ensure_eq!(self.store().get_entry(&there).await?, before, "the entry after a refused {feature}");
        self.expect(&missing, None, "after a refusal").await?;
        self.store().delete(&there).await?;
        Ok(())
    }

    /// Reads `key` and compares.
    pub(crate) async fn expect(&self, key: &str, expected: Option<&Value>, when: &str) -> CaseResult {
        self.expect_through(self.store(), key, expected, when).await
    }

    /// Reads `key` through another handle and compares.
    pub(crate) async fn expect_through(
        &self,
        store: &Store,
        key: &str,
        expected: Option<&Value>,
        when: &str,
    ) -> CaseResult {
        let found = store.get(key).await?;
        ensure!(
            found.as_ref() == expected,
            "get of {key:?} {when}: expected {}, found {}",
            show(expected),
            show(found.as_ref())
        );
        Ok(())
    }

    /// The entry of `key`, which must be there.
    pub(crate) async fn entry(&self, key: &str) -> Result<Entry, Stop> {
        match self.store().get_entry(key).await? {
            Some(entry) => Ok(entry),
            None => Err(Stop::Failed(format!("get_entry of {key:?}, which was set: found no entry"))),
        }
    }

    /// Compares two reads of one entry. On a clock that runs their ends are not compared: where the system reports the
    /// time that is left, each read has the end a little elsewhere.
    pub(crate) fn expect_same(&self, found: Option<&Entry>, expected: Option<&Entry>, what: &str) -> CaseResult {
        let runs = self.fixture.time.as_ref().is_some_and(|time| !time.granularity().is_zero());
        let parts = |entry: &Entry| {
            let end = (!runs).then(|| entry.expiry());
            (entry.value().clone(), entry.metadata().cloned(), entry.version().cloned(), end)
        };
        ensure_eq!(found.map(parts), expected.map(parts), "{what}");
        Ok(())
    }

    /// The version of `key`, where versions are declared.
    pub(crate) async fn version(&self, key: &str) -> Result<Version, Stop> {
        match self.entry(key).await?.version() {
            Some(version) => Ok(version.clone()),
            None => Err(Stop::Failed(format!("versions are declared, and get_entry of {key:?} tells none"))),
        }
    }

    /// All keys below a prefix, over all pages.
    pub(crate) async fn listed(&self, prefix: &str) -> Result<Vec<String>, Stop> {
        listed(self.store(), prefix).await
    }

    /// All keys below a prefix, page after page of at most `limit`, exactly as the pages tell them.
    pub(crate) async fn listed_in_pages(&self, prefix: &str, limit: usize) -> Result<Vec<String>, Stop> {
        let mut keys = Vec::new();
        let mut cursor: Option<Cursor> = None;
        // A walk that never ends would be a failure too; a page may be empty, so pages alone do not count.
        for _ in 0..WALK_MAX {
            let mut list = self.store().list().prefix(prefix).limit(limit);
            if let Some(cursor) = cursor.take() {
                list = list.cursor(cursor);
            }
            let page = list.await?;
            keys.extend(page.items.into_iter().map(|item| item.key));
            match page.cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(keys),
            }
        }
        Err(Stop::Failed(format!("a list of {prefix:?} in pages of {limit} has not ended after {WALK_MAX} pages")))
    }

    /// How many requests were sent, where the harness counts them.
    pub(crate) fn requests(&self) -> Option<u64> {
        self.fixture.requests.as_ref().map(|requests| requests())
    }

    /// Compares how many requests were sent since `before`, where the harness counts them.
    pub(crate) fn expect_sent(&self, before: Option<u64>, expected: u64, what: &str) -> CaseResult {
        if let (Some(before), Some(now)) = (before, self.requests()) {
            ensure_eq!(now - before, expected, "requests sent for {what}");
        }
        Ok(())
    }

    /// A second handle to the same data, where the harness has one.
    pub(crate) async fn reopened(&self) -> Result<Option<Store>, Stop> {
        match &self.fixture.reopen {
            Some(reopen) => Ok(Some(self.like_fixture(reopen().await?))),
            None => Ok(None),
        }
    }

    /// A handle that has read nothing yet, where the harness opens one. After writes through several handles it sees the
    /// last of them also where each may answer with what it has read before (SET-7).
    pub(crate) async fn unread(&self) -> Result<Store, Stop> {
        Ok(self.reopened().await?.unwrap_or_else(|| self.store().clone()))
    }

    /// A second handle to the same data; without one the case ends.
    pub(crate) async fn reopen(&self) -> Result<Store, Stop> {
        match self.reopened().await? {
            Some(store) => Ok(store),
            None => not_shown(Means::Reopen, "the harness opens no second handle to the same data"),
        }
    }

    pub(crate) async fn namespace(&self, name: &str) -> Result<Store, Stop> {
        match &self.fixture.open_namespace {
            Some(open) => Ok(self.like_fixture(open(name.to_owned()).await?)),
            None => not_shown(Means::Namespaces, "the harness opens no other namespace"),
        }
    }

    /// With race windows accepted, as [`store`](Self::store) is.
    fn like_fixture(&self, store: Store) -> Store {
        store.allow_best_effort()
    }

    pub(crate) fn faults(&self) -> Result<&dyn Faults, Stop> {
        match &self.fixture.faults {
            Some(faults) => Ok(&**faults),
            None => not_shown(Means::Faults, "the harness injects no faults"),
        }
    }

    /// The faults, of which the harness can make this one; without it the case ends.
    pub(crate) fn faults_like(&self, fault: Fault) -> Result<&dyn Faults, Stop> {
        let missing = || not_shown(Means::Fault(fault), format!("the harness makes no fault like {fault:?}"));
        match &self.fixture.faults {
            Some(faults) if faults.offers(fault) => Ok(&**faults),
            _ => missing(),
        }
    }

    /// Ends the case where nothing is promised about when a write is seen.
    pub(crate) fn needs_strong_consistency(&self) -> CaseResult {
        match self.capabilities().consistency {
            Consistency::Strong => Ok(()),
            _ => not_applicable("consistency is declared eventual: no bound is promised"),
        }
    }
}

/// All keys below a prefix of a handle, over all pages.
pub(crate) async fn listed(store: &Store, prefix: &str) -> Result<Vec<String>, Stop> {
    collected(store.list().prefix(prefix).stream().map_ok(|item| item.key)).await
}

/// How many items a walk may give, where every case sets fewer: one that goes in circles is a failure and must end.
pub(crate) const WALK_MAX: usize = 10_000;

/// All that a walk gives.
pub(crate) async fn collected<T>(walk: impl Stream<Item = kv_api::Result<T>>) -> Result<Vec<T>, Stop> {
    let items: Vec<T> = walk.take(WALK_MAX).try_collect().await?;
    ensure!(items.len() < WALK_MAX, "a walk has not ended after {WALK_MAX} items");
    Ok(items)
}

/// What a store supports of a feature.
pub(crate) fn support(capabilities: &Capabilities, feature: Feature) -> Support {
    let native_if = |declared: bool| if declared { Support::Native } else { Support::None };
    match feature {
        Feature::IfNotExists => capabilities.if_not_exists,
        Feature::IfExists => capabilities.if_exists,
        Feature::IfVersion => capabilities.if_version,
        Feature::Ttl => capabilities.ttl,
        Feature::ExpireAt => capabilities.expire_at,
        Feature::Expire => capabilities.expire,
        Feature::ExpireIfVersion => {
            given(capabilities.expire_if_version, &[capabilities.expire, capabilities.if_version])
        }
        Feature::Touch => given(capabilities.touch, &[capabilities.ttl]),
        Feature::GetAndDelete => capabilities.get_and_delete,
        Feature::Metadata => capabilities.metadata,
        Feature::ValueKind(kind) => native_if(capabilities.value_kinds.contains(kind)),
        Feature::List => capabilities.list,
        Feature::Counters => capabilities.counters,
        Feature::CounterTtl if capabilities.counter_expiry => {
            given(capabilities.counter_ttl, &[capabilities.counters, capabilities.ttl])
        }
        // Atomic or refused: there is no opt-in to a batch that only tries.
        Feature::AllOrNothing => native_if(capabilities.all_or_nothing.is_full()),
        _ => Support::None,
    }
}

/// What builds on others is not there without them.
fn given(support: Support, needed: &[Support]) -> Support {
    if needed.contains(&Support::None) { Support::None } else { support }
}

/// Whether best effort is refused without an opt-in. An expiry has no race to lose.
const fn needs_opt_in(feature: Feature) -> bool {
    !matches!(feature, Feature::Ttl | Feature::ExpireAt)
}

/// A value of a kind.
pub(crate) fn value_of(kind: ValueKind) -> Value {
    match kind {
        ValueKind::Text => Value::from("text"),
        ValueKind::Json => Value::from(json!({ "json": true })),
        _ => Value::from(&[0x00, 0xff, 0x80, 0x41]),
    }
}

/// Every call that needs `feature`, and how it ended.
async fn attempts(
    store: &Store,
    feature: Feature,
    key: &str,
    value: &Value,
) -> Vec<(&'static str, kv_api::Result<()>)> {
    let set = || store.set(key, value.clone());
    let item = || SetItem::new(key, value.clone());
    let life =
        store.capabilities().expiry_min.max(store.capabilities().expiry_resolution).max(Duration::from_secs(3600));
    let (single, item) = match feature {
        Feature::IfNotExists => {
            let load = async || Ok::<_, kv_api::Error>(value.clone());
            return vec![
                ("set", set().if_not_exists().await.map(drop)),
                ("set_many", set_one(store, item().if_not_exists()).await),
                ("get_or_set", store.get_or_set(key, load).await.map(drop)),
            ];
        }
        Feature::IfExists => (set().if_exists(), item().if_exists()),
        Feature::IfVersion => {
            let deleted = store.delete(key).if_version(foreign_version()).await.map(drop);
            let version = foreign_version();
            return vec![
                ("delete", deleted),
                ("set", set().if_version(version.clone()).await.map(drop)),
                ("set_many", set_one(store, item().if_version(version)).await),
                ("update", store.update(key, |_| Some(value)).never().await.map(drop)),
            ];
        }
        Feature::Ttl => (set().ttl(life), item().ttl(life)),
        Feature::ExpireAt => {
            let at = kv_api::Timestamp::YEAR_9999_END;
            (set().expire_at(at), item().expire_at(at))
        }
        Feature::Metadata => {
            let metadata = Metadata::from(json!({ "refused": true }));
            (set().metadata(metadata.clone()), item().metadata(metadata))
        }
        Feature::ValueKind(kind) => (store.set(key, value_of(kind)), SetItem::new(key.to_owned(), value_of(kind))),
        Feature::Expire => return vec![("expire", store.expire(key).never().await.map(drop))],
        Feature::ExpireIfVersion => {
            let expire = store.expire(key).never().if_version(foreign_version());
            return vec![("expire", expire.await.map(drop))];
        }
        Feature::Touch => {
            return vec![
                ("get", store.get(key).touch(life).await.map(drop)),
                ("get_entry", store.get_entry(key).touch(life).await.map(drop)),
            ];
        }
        Feature::GetAndDelete => {
            return vec![
                ("get_and_delete", store.get_and_delete(key).await.map(drop)),
                ("get_and_delete", store.get_and_delete(key).entry().await.map(drop)),
            ];
        }
        Feature::Counters => return vec![("increment", store.increment(key, 1).await.map(drop))],
        Feature::CounterTtl => {
            return vec![("increment", store.increment(key, 1).ttl_if_created(life).await.map(drop))];
        }
        Feature::AllOrNothing => {
            return vec![("set_many_all_or_nothing", store.set_many_all_or_nothing([item()]).await.map(drop))];
        }
        Feature::List => {
            return vec![
                ("list", store.list().await.map(drop)),
                ("count", store.count(key).await.map(drop)),
                ("delete_prefix", store.delete_prefix(key).await.map(drop)),
                ("clear", store.clear().await.map(drop)),
            ];
        }
        _ => return Vec::new(),
    };
    vec![("set", single.await.map(drop)), ("set_many", set_one(store, item).await)]
}

async fn set_one(store: &Store, item: SetItem<'_>) -> kv_api::Result<()> {
    store.set_many([item]).await.into_iter().try_for_each(|result| result.map(drop))
}

/// A version that no store here has given (VER-2).
pub(crate) fn foreign_version() -> Version {
    Version::numbered(0xdead_beef, 1)
}
