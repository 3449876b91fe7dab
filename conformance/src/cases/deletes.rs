//! DEL-1 to DEL-3.

use kv_api::{DeleteOutcome, Feature, ListOrder, Reason, Store};

use crate::context::Context;
use crate::outcome::{CaseResult, Stop};
use crate::races::race;

fn expected(cx: &Context<'_>, told: DeleteOutcome) -> DeleteOutcome {
    if cx.capabilities().reports_delete_outcome { told } else { DeleteOutcome::Accepted }
}

/// Whether what a walk deletes can be counted without counting a key twice: no key is listed twice, or a second delete
/// of it says so.
pub(crate) fn exactly_counted(cx: &Context<'_>) -> bool {
    cx.capabilities().list_order == ListOrder::Lexicographic || cx.capabilities().reports_delete_many_outcome
}

/// DEL-1: delete is idempotent, and tells what it declares.
pub(crate) async fn del_1_delete_is_idempotent(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    ensure_eq!(cx.store().delete(&key).await?, expected(cx, DeleteOutcome::NotFound), "a delete of nothing");
    cx.store().set(&key, cx.value(1)).await?;
    ensure_eq!(cx.store().delete(&key).await?, expected(cx, DeleteOutcome::Deleted), "a delete of an entry");
    cx.expect(&key, None, "after its delete").await?;
    ensure!(!cx.store().exists(&key).await?, "exists after a delete says yes");
    ensure_eq!(cx.store().delete(&key).await?, expected(cx, DeleteOutcome::NotFound), "a second delete");
    Ok(())
}

/// DEL-1: delete takes everything of an entry: a later set starts without metadata and expiry.
pub(crate) async fn del_1_delete_takes_everything(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    let mut set = cx.store().set(&key, cx.value(1));
    if cx.declares(Feature::Metadata) {
        set = set.metadata(serde_json::json!({ "old": true }));
    }
    set.await?;
    cx.store().delete(&key).await?;
    ensure_eq!(cx.store().get_entry(&key).await?, None, "get_entry after a delete");
    if cx.declares(Feature::List) {
        ensure_eq!(cx.listed("").await?, Vec::<String>::new(), "the keys listed after a delete");
    }
    cx.store().set(&key, cx.value(2)).await?;
    ensure_eq!(cx.entry(&key).await?.metadata(), None, "metadata after a delete and a set");
    Ok(())
}

/// DEL-1: `delete_many` has one result per item in input order; an invalid key fails alone.
pub(crate) async fn del_1_delete_many_has_one_result_per_item(cx: &Context<'_>) -> CaseResult {
    let [first, missing, last, kept] = cx.keys(["first", "missing", "last", "kept"]);
    for key in [&first, &last, &kept] {
        cx.store().set(key, cx.value(1)).await?;
    }
    let results = cx.store().delete_many([&*first, "", &*missing, &*last]).await;
    ensure_eq!(results.len(), 4, "the number of results");
    let fits = |at: usize, told: DeleteOutcome| {
        // One count for a whole batch is all that some systems tell; what they tell is true.
        let may_be_silent = !cx.capabilities().reports_delete_many_outcome;
        matches!(&results[at], Ok(found) if *found == told || (may_be_silent && *found == DeleteOutcome::Accepted))
    };
    ensure!(fits(0, DeleteOutcome::Deleted), "the result of an entry: {:?}", results[0]);
    ensure!(fits(2, DeleteOutcome::NotFound), "the result of a missing key: {:?}", results[2]);
    ensure!(fits(3, DeleteOutcome::Deleted), "the result of the last entry: {:?}", results[3]);
    let error = ensure_err!(&results[1], "the result of an empty key");
    ensure_eq!(error.reason(), Some(&Reason::KeyEmpty), "the reason for an empty key");
    ensure_eq!(error.index(), Some(1), "the index in the error of an empty key");
    for key in [&first, &last] {
        cx.expect(key, None, "after delete_many").await?;
    }
    cx.expect(&kept, Some(&cx.value(1)), "which delete_many did not name").await?;
    ensure!(cx.store().delete_many(Vec::<String>::new()).await.is_empty(), "results of an empty delete_many");
    Ok(())
}

/// DEL-1: a repeated key in `delete_many` shares one result.
pub(crate) async fn del_1_a_repeated_key_shares_one_result(cx: &Context<'_>) -> CaseResult {
    let [twice, other] = cx.keys(["twice", "other"]);
    cx.store().set(&twice, cx.value(1)).await?;
    let results = cx.store().delete_many([&*twice, &*other, &*twice]).await;
    let outcomes: Vec<DeleteOutcome> = results.into_iter().map(|result| Ok(result?)).collect::<Result<_, Stop>>()?;
    ensure_eq!(outcomes.len(), 3, "the number of results");
    ensure_eq!(outcomes[0], outcomes[2], "the results of one key given twice");
    ensure!(outcomes[0] != DeleteOutcome::NotFound, "an entry deleted twice in one batch says NotFound");
    ensure!(outcomes[1] != DeleteOutcome::Deleted, "a missing key says Deleted");
    cx.expect(&twice, None, "after delete_many").await
}

/// DEL-2: a delete with a version deletes the entry of that version only.
pub(crate) async fn del_2_a_version_guards_a_delete(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfVersion).await?;
    let key = cx.key("k");
    store.set(&key, cx.value(1)).await?;
    let old = cx.version(&key).await?;
    store.set(&key, cx.value(2)).await?;
    ensure_eq!(store.delete(&key).if_version(old).await?, DeleteOutcome::NotMet, "a delete with an old version");
    cx.expect(&key, Some(&cx.value(2)), "after a delete with an old version").await?;
    let current = cx.version(&key).await?;
    let outcome = store.delete(&key).if_version(current.clone()).await?;
    ensure!(
        matches!(outcome, DeleteOutcome::Deleted | DeleteOutcome::Accepted),
        "a delete with the version: {outcome:?}"
    );
    cx.expect(&key, None, "after a delete with the version").await?;
    ensure_eq!(store.delete(&key).if_version(current).await?, DeleteOutcome::NotMet, "the same delete again");
    Ok(())
}

/// DEL-2, SET-6: of any number of concurrent deletes with one version exactly one deletes.
pub(crate) async fn del_2_exactly_one_delete_with_a_version_wins(cx: &Context<'_>) -> CaseResult {
    const CALLERS: usize = 64;
    let store = cx.with_atomic(Feature::IfVersion).await?.clone();
    let mut handles: Vec<Store> = vec![store];
    handles.extend(cx.reopened().await?);
    let key = cx.key("k");
    for _ in 0..4 {
        cx.store().set(&key, cx.value(1)).await?;
        let version = cx.version(&key).await?;
        let call = |caller: usize| {
            let (store, key, version) = (handles[caller % handles.len()].clone(), key.clone(), version.clone());
            async move { store.delete(&key).if_version(version).await }
        };
        let mut winners = 0;
        for outcome in race((0..CALLERS).map(call).collect()).await? {
            winners += usize::from(outcome? != DeleteOutcome::NotMet);
        }
        ensure_eq!(winners, 1, "how many of {CALLERS} concurrent deletes with one version were met");
    }
    Ok(())
}

/// DEL-3: `delete_prefix` deletes what begins with the prefix, literally, counts it, and touches nothing else.
pub(crate) async fn del_3_delete_prefix_stays_within_the_prefix(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let inside = cx.keys(["a%_*/1", "a%_*/2", "a%_*/three"]);
    let outside = cx.keys(["a", "a%_*", "aXY*/1", "a%_Z/1", "b", "A%_*/1", "%_*/1"]);
    for key in inside.iter().chain(&outside) {
        cx.store().set(key, cx.value(1)).await?;
    }
    let deleted = cx.store().delete_prefix("a%_*/").await?;
    if exactly_counted(cx) {
        ensure_eq!(deleted, 3, "how many delete_prefix says it deleted");
    }
    for key in &inside {
        cx.expect(key, None, "inside the prefix, after delete_prefix").await?;
    }
    for key in &outside {
        cx.expect(key, Some(&cx.value(1)), "outside the prefix, after delete_prefix").await?;
    }
    ensure_eq!(cx.store().delete_prefix("a%_*/").await?, 0, "how many a second delete_prefix says it deleted");
    Ok(())
}

/// DEL-3: an empty prefix is refused: only `clear` says "everything".
pub(crate) async fn del_3_an_empty_prefix_is_refused(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let key = cx.key("k");
    cx.store().set(&key, cx.value(1)).await?;
    ensure_invalid!(cx.store().delete_prefix("").await, Reason::PrefixEmpty, "delete_prefix of nothing");
    ensure_invalid!(
        cx.store().with_prefix("x").delete_prefix("").await,
        Reason::PrefixEmpty,
        "the same below a prefix"
    );
    cx.expect(&key, Some(&cx.value(1)), "after delete_prefix of nothing").await
}

/// DEL-3: `clear` deletes everything of the handle, over all pages, and counts it.
pub(crate) async fn del_3_clear_deletes_everything(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    // More than one page of the default limit.
    const ENTRIES: usize = 1100;
    let keys: Vec<String> = (0..ENTRIES).map(|number| cx.key(&format!("k{number}."))).collect();
    let items = keys.iter().map(|key| kv_api::SetItem::new(key, cx.value(1)));
    for result in cx.store().set_many(items).await {
        result?;
    }
    let deleted = cx.store().clear().await?;
    if exactly_counted(cx) {
        ensure_eq!(deleted, ENTRIES as u64, "how many clear says it deleted");
    }
    ensure_eq!(cx.listed("").await?.len(), 0, "how many keys are listed after clear");
    ensure_eq!(cx.store().clear().await?, 0, "how many a second clear says it deleted");
    Ok(())
}
