//! VER-1 and VER-2.

use kv_api::{DeleteOutcome, Feature, SetStatus, Version};
use serde_json::json;

use crate::context::{Context, foreign_version};
use crate::outcome::CaseResult;

/// VER-1: a version is printable, at most 64 bytes, and can be stored and parsed back.
pub(crate) async fn ver_1_a_version_can_be_stored(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfVersion).await?;
    let key = cx.key("k");
    store.set(&key, cx.value(1)).await?;
    let text = cx.version(&key).await?.to_string();
    ensure!(text.len() <= Version::BYTES_MAX, "the version {text:?} has {} bytes", text.len());
    ensure!(text.bytes().all(|byte| byte.is_ascii_graphic()), "the version {text:?} is not printable");
    let parsed: Version = text.parse()?;
    let outcome = store.set(&key, cx.value(2)).if_version(parsed).await?;
    ensure_eq!(outcome.status(), SetStatus::Updated, "IfVersion with a version parsed back");
    Ok(())
}

/// VER-1: a version serves a handle that shares nothing but the data with the one that told it.
pub(crate) async fn ver_1_a_version_serves_another_process(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::IfVersion).await?;
    let other = cx.reopen().await?;
    let key = cx.key("k");
    cx.store().set(&key, cx.value(1)).await?;
    let version = cx.version(&key).await?;
    let outcome = other.set(&key, cx.value(2)).if_version(version.clone()).await?;
    ensure_eq!(outcome.status(), SetStatus::Updated, "IfVersion through a second handle");
    let outcome = cx.store().set(&key, cx.value(3)).if_version(version).await?;
    ensure_eq!(outcome.status(), SetStatus::NotMet, "IfVersion after a set through the second handle");
    Ok(())
}

/// VER-1: if value or metadata differ the version differs, also over a delete in between.
pub(crate) async fn ver_1_other_content_has_another_version(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfVersion).await?;
    let key = cx.key("k");
    let mut seen: Vec<(String, Version)> = Vec::new();
    for number in 0..8 {
        store.set(&key, cx.value(number)).await?;
        seen.push((format!("value {number}"), cx.version(&key).await?));
        if cx.declares(Feature::Metadata) {
            store.set(&key, cx.value(number)).metadata(json!({ "n": number })).await?;
            seen.push((format!("value and metadata {number}"), cx.version(&key).await?));
        }
        if number % 2 == 1 {
            store.delete(&key).await?;
        }
    }
    if cx.declares(Feature::Counters) {
        store.delete(&key).await?;
        for number in 0..3 {
            store.increment(&key, 1).await?;
            seen.push((format!("counter {number}"), cx.version(&key).await?));
        }
    }
    for (at, (name, version)) in seen.iter().enumerate() {
        for (earlier, same) in &seen[..at] {
            ensure!(version != same, "{name} has the version of {earlier}: {version}");
        }
    }
    Ok(())
}

/// VER-1: a delete and a new entry do not bring an old version back to life.
pub(crate) async fn ver_1_a_version_does_not_outlive_a_delete(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfVersion).await?;
    let key = cx.key("k");
    store.set(&key, cx.value(1)).await?;
    let old = cx.version(&key).await?;
    store.delete(&key).await?;
    store.set(&key, cx.value(2)).await?;
    let outcome = store.set(&key, cx.value(3)).if_version(old.clone()).await?;
    ensure_eq!(outcome.status(), SetStatus::NotMet, "IfVersion with the version of a deleted entry");
    ensure_eq!(store.delete(&key).if_version(old).await?, DeleteOutcome::NotMet, "delete with that version");
    cx.expect(&key, Some(&cx.value(2)), "after IfVersion with the version of a deleted entry").await
}

/// VER-1: reading leaves the version, and so does `expire`.
pub(crate) async fn ver_1_reads_and_expire_leave_the_version(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfVersion).await?;
    let key = cx.key("k");
    store.set(&key, cx.value(1)).await?;
    let version = cx.version(&key).await?;
    store.get(&key).await?;
    ensure_eq!(cx.version(&key).await?, version, "the version after reading");
    if cx.declares(Feature::Expire) {
        ensure!(store.expire(&key).never().await?, "expire of an entry says there is none");
        ensure_eq!(cx.version(&key).await?, version, "the version after expire with never");
        if cx.declares(Feature::Ttl) || cx.declares(Feature::ExpireAt) {
            let life = cx.life(cx.form().await?, 5)?;
            life.expire(store.expire(&key)).await?;
            ensure_eq!(cx.version(&key).await?, version, "the version after expire with an expiry");
        }
        let outcome = store.set(&key, cx.value(2)).if_version(version).await?;
        ensure_eq!(outcome.status(), SetStatus::Updated, "IfVersion after expire");
    }
    Ok(())
}

/// VER-2: `IfVersion` on a missing entry, or with a version that never came from this store, is not met.
pub(crate) async fn ver_2_a_version_of_nothing_is_not_met(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfVersion).await?;
    let [there, missing] = cx.keys(["there", "missing"]);
    store.set(&there, cx.value(1)).await?;
    let real = cx.version(&there).await?;
    let tokens = ["x", "0", "~!@#$%^&*()", "0000000000000000-0", &"f".repeat(64)];
    let mut versions = vec![foreign_version()];
    for token in tokens {
        versions.push(token.parse()?);
    }
    for version in &versions {
        let set = store.set(&there, cx.value(2)).if_version(version.clone()).await?;
        ensure_eq!(set.status(), SetStatus::NotMet, "IfVersion with {version}, which never came from here");
        let deleted = store.delete(&there).if_version(version.clone()).await?;
        ensure_eq!(deleted, DeleteOutcome::NotMet, "delete with {version}, which never came from here");
    }
    for version in versions.into_iter().chain([real]) {
        let set = store.set(&missing, cx.value(2)).if_version(version.clone()).await?;
        ensure_eq!(set.status(), SetStatus::NotMet, "IfVersion on a missing entry");
        let deleted = store.delete(&missing).if_version(version).await?;
        ensure_eq!(deleted, DeleteOutcome::NotMet, "delete with a version of a missing entry");
    }
    cx.expect(&there, Some(&cx.value(1)), "after versions that were not met").await?;
    cx.expect(&missing, None, "after versions that were not met").await
}
