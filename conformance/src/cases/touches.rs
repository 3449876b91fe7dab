//! EXP-11 and EXP-12: a new expiry that depends on the entry, or comes with a look at it.

use std::time::Duration;

use kv_api::{EntryExpiry, Feature, Reason, Value, Version};
use serde_json::json;

use crate::context::{Context, foreign_version};
use crate::expiring::{Form, Life};
use crate::outcome::{CaseResult, Stop};
use crate::races::race;

/// Whether an entry never ends, by what a read reports or by letting its life pass.
async fn never_ends(cx: &Context<'_>, key: &str, life: Life) -> Result<bool, Stop> {
    if cx.capabilities().expiry_read {
        return Ok(cx.entry(key).await?.expiry() == EntryExpiry::Never);
    }
    cx.pass(life.ttl + cx.after()?).await?;
    Ok(cx.store().exists(key).await?)
}

/// EXP-11: `expire` with a version changes the entry of that version only, and leaves the version.
pub(crate) async fn exp_11_a_version_guards_an_expire(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::ExpireIfVersion).await?;
    let [key, missing, expired] = cx.keys(["k", "missing", "expired"]);
    store.set(&expired, cx.value(1)).await?;
    let gone = cx.version(&expired).await?;
    cx.set_expired(&expired, 1).await?;
    store.set(&key, cx.value(1)).await?;
    let old = cx.version(&key).await?;
    store.set(&key, cx.value(2)).await?;
    let current = cx.version(&key).await?;
    cx.align().await?;
    let life = cx.life(cx.form().await?, 1)?;
    for (key, version) in [(&key, old), (&key, foreign_version()), (&missing, gone.clone()), (&expired, gone)] {
        let changed = life.expire(store.expire(key)).if_version(version.clone()).await?;
        ensure!(!changed, "expire of {key:?} with version {version}, which it does not have, says true");
    }
    let before = cx.entry(&key).await?;
    if cx.capabilities().expiry_read {
        ensure_eq!(before.expiry(), EntryExpiry::Never, "the expiry after an expire that was not met");
    }
    let life = cx.life(cx.form().await?, 1)?;
    let same = life.expire(store.expire(&key)).if_version(current.clone()).if_version(current.clone());
    ensure!(same.await?, "expire with the version says false");
    ensure_eq!(cx.version(&key).await?, current, "the version after an expire");
    cx.pass_until_before_end(life).await?;
    cx.expect(&key, Some(&cx.value(2)), "just before the expiry").await?;
    cx.pass_until_end(life).await?;
    cx.expect(&key, None, "at the expiry").await?;
    ensure!(!store.expire(&key).never().if_version(current).await?, "expire of what has ended says true");
    for key in [&key, &missing, &expired] {
        ensure!(!store.exists(key).await?, "expire has created or revived {key:?}");
    }
    Ok(())
}

/// EXP-11: two different versions are refused, and so is none in place of one; nothing is sent.
pub(crate) async fn exp_11_one_version_is_needed(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::ExpireIfVersion).await?;
    let key = cx.key("k");
    store.set(&key, cx.value(1)).await?;
    let version = cx.version(&key).await?;
    let sent = cx.requests();
    let two = store.expire(&key).never().if_version(version).if_version(foreign_version()).await;
    ensure_invalid!(two, Reason::ConflictingConditions, "expire with two versions");
    let none = store.expire(&key).never().if_version(None::<Version>).await;
    ensure_invalid!(none, Reason::NoVersionGiven, "expire without a version in place of one");
    cx.expect_sent(sent, 0, "an expire that is refused")
}

/// EXP-11: an entry that was replaced meanwhile gets no expiry that was meant for the one before.
pub(crate) async fn exp_11_no_set_comes_between(cx: &Context<'_>) -> CaseResult {
    const CALLERS: usize = 8;
    let store = cx.with_atomic(Feature::ExpireIfVersion).await?;
    let key = cx.key("k");
    for _ in 0..8 {
        store.set(&key, cx.value(1)).await?;
        let version = cx.version(&key).await?;
        let life = cx.life(cx.form().await?, 2)?;
        let call = |caller: usize| {
            let (store, key, value, version) = (store.clone(), key.clone(), cx.value(2), version.clone());
            async move {
                if caller == CALLERS / 2 {
                    return store.set(&key, value).await.map(drop);
                }
                life.expire(store.expire(&key)).if_version(version).await.map(drop)
            }
        };
        for result in race((0..=CALLERS).map(call).collect()).await? {
            result?;
        }
        ensure!(never_ends(cx, &key, life).await?, "an entry got the expiry that was meant for the one before");
        cx.expect(&key, Some(&cx.value(2)), "after the set that came last").await?;
    }
    Ok(())
}

/// EXP-12: a touch answers the value and gives it a new end, whatever it had; nothing else changes.
pub(crate) async fn exp_12_touch_gives_a_new_end(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Touch).await?;
    let [ending, lasting] = cx.keys(["ending", "lasting"]);
    cx.align().await?;
    let short = cx.life(Form::Ttl, 1)?;
    let mut set = short.set(store.set(&ending, cx.value(1)));
    if cx.declares(Feature::Metadata) {
        set = set.metadata(json!({ "kept": true }));
    }
    set.await?;
    store.set(&lasting, cx.value(2)).await?;
    let before = cx.entry(&ending).await?;
    // Half of what is left: on a clock that runs, what came before has taken some of it.
    cx.pass(short.end.saturating_since(cx.now()?) / 2).await?;
    cx.align().await?;
    let long = cx.life(Form::Ttl, 3)?;
    ensure_eq!(store.get(&ending).touch(long.ttl).await?, Some(cx.value(1)), "the value that a touch reads");
    ensure_eq!(store.get(&lasting).touch(long.ttl).await?, Some(cx.value(2)), "the value that a touch reads");
    let after = cx.entry(&ending).await?;
    ensure_eq!(after.metadata(), before.metadata(), "the metadata after a touch");
    ensure_eq!(after.version(), before.version(), "the version after a touch");
    cx.pass_until_end(short).await?;
    cx.expect(&ending, Some(&cx.value(1)), "past the end it had before the touch").await?;
    cx.pass_until_before_end(long).await?;
    cx.expect(&lasting, Some(&cx.value(2)), "just before the end that a touch gave it").await?;
    cx.pass_until_end(long).await?;
    for key in [&ending, &lasting] {
        cx.expect(key, None, "at the end that a touch gave it").await?;
    }
    Ok(())
}

/// EXP-12: a touch of the whole entry answers all its parts, with the new expiry, as a read after it does.
pub(crate) async fn exp_12_touch_reads_all_that_is_there(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Touch).await?;
    let key = cx.key("k");
    let mut set = store.set(&key, cx.value(1));
    if cx.declares(Feature::Metadata) {
        set = set.metadata(json!({ "m": 1 }));
    }
    set.await?;
    let before = cx.entry(&key).await?;
    cx.align().await?;
    let life = cx.life(Form::Ttl, 2)?;
    let Some(touched) = store.get_entry(&key).touch(life.ttl).await? else {
        return Err(Stop::Failed("a touch of an entry finds none".to_owned()));
    };
    ensure_eq!(touched.value(), before.value(), "the value of a touched entry");
    ensure_eq!(touched.metadata(), before.metadata(), "the metadata of a touched entry");
    ensure_eq!(touched.version(), before.version(), "the version of a touched entry");
    match touched.expiry() {
        EntryExpiry::At(at) if cx.capabilities().expiry_read => {
            let latest = cx.latest_reported(life)?;
            ensure!(at >= life.end && at <= latest, "the new expiry: {at}, given {}, at the latest {latest}", life.end);
        }
        expiry => ensure_eq!((expiry, cx.capabilities().expiry_read), (EntryExpiry::Unknown, false), "the new expiry"),
    }
    Ok(())
}

/// EXP-12: a touch of a missing or expired entry is `None`, and creates or revives nothing.
pub(crate) async fn exp_12_touch_creates_and_revives_nothing(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Touch).await?;
    let [missing, expired] = cx.keys(["missing", "expired"]);
    cx.set_expired(&expired, 1).await?;
    for key in [&missing, &expired] {
        let life = cx.life(Form::Ttl, 5)?;
        ensure_eq!(store.get(key).touch(life.ttl).await?, None, "a touch of {key:?}");
        ensure_eq!(store.get_entry(key).touch(life.ttl).await?, None, "a touch of the entry {key:?}");
        ensure!(!store.exists(key).await?, "a touch has created {key:?}");
    }
    if cx.declares(Feature::List) {
        ensure_eq!(cx.listed("").await?, Vec::<String>::new(), "the keys listed after a touch");
    }
    Ok(())
}

/// EXP-12, EXP-5: the ttl is checked before anything is sent.
pub(crate) async fn exp_12_the_ttl_is_checked_as_any(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Touch).await?;
    let key = cx.key("k");
    store.set(&key, cx.value(1)).await?;
    let before = cx.entry(&key).await?;
    let sent = cx.requests();
    ensure_invalid!(store.get(&key).touch(Duration::ZERO).await, Reason::TtlZero, "a touch with a ttl of zero");
    let error = ensure_err!(store.get(&key).touch(Duration::MAX).await, "the longest ttl");
    ensure!(matches!(error.reason(), Some(Reason::ExpiryTooLate { .. })), "the longest ttl: {error}");
    let minimum = cx.capabilities().expiry_min;
    let below = minimum.saturating_sub(cx.capabilities().expiry_resolution);
    if !below.is_zero() {
        let result = store.get(&key).touch(below).await;
        ensure_invalid!(result, Reason::ExpiryTooSoon { minimum }, "a touch with a ttl below the minimum");
    }
    cx.expect_sent(sent, 0, "a touch with a ttl that is not acceptable")?;
    ensure_eq!(cx.entry(&key).await?, before, "the entry after touches that were refused");
    if !below.is_zero() {
        let rounded = store.get(&key).touch(below).min_ttl(kv_api::MinTtl::RoundUp).await?;
        ensure_eq!(rounded, Some(cx.value(1)), "a touch with a ttl rounded up to the minimum");
    }
    Ok(())
}

/// EXP-12: the entry that is touched is the one that is answered, also while others set.
pub(crate) async fn exp_12_no_set_comes_between(cx: &Context<'_>) -> CaseResult {
    let store = cx.with_atomic(Feature::Touch).await?;
    let key = cx.key("k");
    let (old, new) = (cx.value(1), cx.value(2));
    for round in 0..16 {
        // Few, so that now and then all of them look before the set.
        let callers = 1 + round % 3;
        store.set(&key, old.clone()).await?;
        let life = cx.life(Form::Ttl, 2)?;
        let call = |caller: usize| {
            let (store, key, new) = (store.clone(), key.clone(), new.clone());
            async move {
                if caller == callers {
                    return store.set(&key, new).await.map(|_| None);
                }
                store.get(&key).touch(life.ttl).await
            }
        };
        let mut answers: Vec<Value> = Vec::new();
        for result in race((0..=callers).map(call).collect()).await? {
            answers.extend(result?);
        }
        let is_touched = answers.contains(&new);
        let never_ends = never_ends(cx, &key, life).await?;
        ensure_eq!(never_ends, !is_touched, "whether an entry never ends, of which a touch was answered: {is_touched}");
    }
    Ok(())
}
