//! SET-1 to SET-8.

use kv_api::{Condition, DeleteOutcome, Feature, Metadata, Reason, SetItem, SetOutcome, SetStatus, Store, Value};
use serde_json::json;

use crate::context::{Context, foreign_version, support};
use crate::harness::Fault;
use crate::outcome::{CaseResult, Stop, not_applicable};
use crate::races::race;

/// SET-1: a set replaces the value.
pub(crate) async fn set_1_replaces_the_value(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    for number in 1..4 {
        cx.store().set(&key, cx.value(number)).await?;
        cx.expect(&key, Some(&cx.value(number)), "after a set").await?;
    }
    Ok(())
}

/// SET-1: a set without expiry makes an entry that never expires, even over one that would.
pub(crate) async fn set_1_a_set_without_expiry_never_expires(cx: &Context<'_>) -> CaseResult {
    for form in cx.forms().await? {
        let [plain, batch, conditional] = cx.keys(["plain", "batch", "cond"]);
        cx.align().await?;
        let life = cx.life(form, 1)?;
        for key in [&plain, &batch, &conditional] {
            life.set(cx.store().set(key, cx.value(1))).await?;
        }
        cx.store().set(&plain, cx.value(2)).await?;
        for result in cx.store().set_many([SetItem::new(&*batch, cx.value(2))]).await {
            result?;
        }
        let mut replaced = vec![&plain, &batch];
        if cx.declares(Feature::IfExists) {
            cx.store().set(&conditional, cx.value(2)).if_exists().await?;
            replaced.push(&conditional);
        }
        cx.pass_until_end(life).await?;
        cx.pass(cx.long(life)?).await?;
        for key in replaced {
            cx.expect(key, Some(&cx.value(2)), "past the expiry of the entry before it").await?;
        }
    }
    Ok(())
}

/// SET-1: a set without metadata makes an entry that has none, even over one that had some.
pub(crate) async fn set_1_a_set_without_metadata_has_none(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::Metadata).await?;
    let [plain, batch, conditional] = cx.keys(["plain", "batch", "cond"]);
    for key in [&plain, &batch, &conditional] {
        cx.store().set(key, cx.value(1)).metadata(json!({ "old": true })).await?;
    }
    cx.store().set(&plain, cx.value(2)).await?;
    for result in cx.store().set_many([SetItem::new(&*batch, cx.value(2))]).await {
        result?;
    }
    let mut replaced = vec![&plain, &batch];
    if cx.declares(Feature::IfExists) {
        cx.store().set(&conditional, cx.value(2)).if_exists().await?;
        replaced.push(&conditional);
    }
    for key in replaced {
        ensure_eq!(cx.entry(key).await?.metadata(), None, "metadata of {key:?} after a set without");
    }
    Ok(())
}

fn is(outcome: &SetOutcome, expected: SetStatus, call: &str) -> CaseResult {
    ensure_eq!(outcome.status(), expected, "the outcome of {call}");
    Ok(())
}

/// SET-2: `IfNotExists` writes over nothing, and only then.
pub(crate) async fn set_2_if_not_exists_writes_over_nothing_only(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfNotExists).await?;
    let key = cx.key("k");
    is(&store.set(&key, cx.value(1)).if_not_exists().await?, SetStatus::Created, "IfNotExists over nothing")?;
    cx.expect(&key, Some(&cx.value(1)), "after IfNotExists over nothing").await?;
    is(&store.set(&key, cx.value(2)).if_not_exists().await?, SetStatus::NotMet, "IfNotExists over an entry")?;
    cx.expect(&key, Some(&cx.value(1)), "after IfNotExists over an entry").await?;
    store.delete(&key).await?;
    is(&store.set(&key, cx.value(3)).if_not_exists().await?, SetStatus::Created, "IfNotExists after a delete")
}

/// SET-2: `IfExists` writes over an entry, and only then.
pub(crate) async fn set_2_if_exists_writes_over_an_entry_only(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfExists).await?;
    let key = cx.key("k");
    is(&store.set(&key, cx.value(1)).if_exists().await?, SetStatus::NotMet, "IfExists over nothing")?;
    cx.expect(&key, None, "after IfExists over nothing").await?;
    store.set(&key, cx.value(2)).await?;
    is(&store.set(&key, cx.value(3)).if_exists().await?, SetStatus::Updated, "IfExists over an entry")?;
    cx.expect(&key, Some(&cx.value(3)), "after IfExists over an entry").await
}

/// SET-2: `IfVersion` writes over the entry of that version, and only then.
pub(crate) async fn set_2_if_version_writes_over_that_version_only(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfVersion).await?;
    let key = cx.key("k");
    store.set(&key, cx.value(1)).await?;
    let first = cx.version(&key).await?;
    is(
        &store.set(&key, cx.value(2)).if_version(first.clone()).await?,
        SetStatus::Updated,
        "IfVersion with the version",
    )?;
    cx.expect(&key, Some(&cx.value(2)), "after IfVersion with the version").await?;
    is(&store.set(&key, cx.value(3)).if_version(first).await?, SetStatus::NotMet, "IfVersion with the old version")?;
    cx.expect(&key, Some(&cx.value(2)), "after IfVersion with the old version").await
}

/// SET-2: two different conditions on one request are refused, whatever the store can do; one given twice is one.
pub(crate) async fn set_2_two_conditions_are_refused(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    let sent = cx.requests();
    let both = cx.store().set(&key, cx.value(1)).if_not_exists().if_exists().await;
    ensure_invalid!(both, Reason::ConflictingConditions, "IfNotExists and IfExists");
    let both = cx.store().set(&key, cx.value(1)).if_exists().if_version(foreign_version()).await;
    ensure_invalid!(both, Reason::ConflictingConditions, "IfExists and IfVersion");
    cx.expect_sent(sent, 0, "two conditions")?;
    cx.expect(&key, None, "after two conditions").await?;
    if cx.declares(Feature::IfNotExists) {
        let twice = cx.store().set(&key, cx.value(1)).if_not_exists().if_not_exists().await?;
        is(&twice, SetStatus::Created, "IfNotExists given twice")?;
    }
    Ok(())
}

/// Tries a condition that does not hold, with everything a set can carry, over an entry that has everything the store
/// can keep: nothing of it may change, and it must still end when it was to end.
async fn leaves_untouched(cx: &Context<'_>, feature: Feature, condition: Condition) -> CaseResult {
    let store = cx.with(feature).await?;
    let key = cx.key("k");
    let has_expiry = cx.declares(Feature::Ttl) || cx.declares(Feature::ExpireAt);
    let form = if has_expiry { Some(cx.form().await?) } else { None };
    if form.is_some() {
        cx.align().await?;
    }
    let lives = |lives| form.map(|form| cx.life(form, lives)).transpose();
    let (short, long) = (lives(2)?, lives(20)?);
    let mut set = store.set(&key, cx.value(1));
    let mut refused = store.set(&key, cx.value(2)).condition(condition.clone());
    let mut item = SetItem::new(&*key, cx.value(3)).condition(condition);
    if cx.declares(Feature::Metadata) {
        set = set.metadata(json!({ "kept": true }));
        refused = refused.metadata(json!({ "kept": false }));
        item = item.metadata(json!({ "kept": false }));
    }
    if let (Some(short), Some(long)) = (short, long) {
        set = short.set(set);
        refused = long.set(refused);
        item = long.item(item);
    }
    set.await?;
    let before = cx.entry(&key).await?;
    let outcome = refused.await?;
    is(&outcome, SetStatus::NotMet, "a condition that does not hold")?;
    ensure_eq!(outcome.version(), None, "the version of a set that was not met");
    for outcome in store.set_many([item]).await {
        is(&outcome?, SetStatus::NotMet, "a condition that does not hold, in a batch")?;
    }
    let after = cx.entry(&key).await?;
    cx.expect_same(Some(&after), Some(&before), "the entry after a condition that was not met")?;
    cx.expect(&key, Some(&cx.value(1)), "after a condition that was not met").await?;
    if let Some(short) = short {
        cx.pass_until_before_end(short).await?;
        cx.expect(&key, Some(&cx.value(1)), "just before the expiry it was set with").await?;
        cx.pass_until_end(short).await?;
        cx.expect(&key, None, "at the expiry it was set with, after a refused set with a later one").await?;
    }
    Ok(())
}

/// SET-3: `IfNotExists` over an entry is an outcome, and leaves value, expiry, metadata and version.
pub(crate) async fn set_3_if_not_exists_not_met_leaves_everything_untouched(cx: &Context<'_>) -> CaseResult {
    leaves_untouched(cx, Feature::IfNotExists, Condition::IfNotExists).await
}

/// SET-3: `IfVersion` with another version is an outcome, and leaves value, expiry, metadata and version.
pub(crate) async fn set_3_if_version_not_met_leaves_everything_untouched(cx: &Context<'_>) -> CaseResult {
    leaves_untouched(cx, Feature::IfVersion, Condition::IfVersion(foreign_version())).await
}

/// SET-3: `IfExists` over nothing is an outcome, and creates nothing.
pub(crate) async fn set_3_if_exists_not_met_creates_nothing(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfExists).await?;
    let key = cx.key("k");
    is(&store.set(&key, cx.value(1)).if_exists().await?, SetStatus::NotMet, "IfExists over nothing")?;
    for outcome in store.set_many([SetItem::new(&*key, cx.value(1)).if_exists()]).await {
        is(&outcome?, SetStatus::NotMet, "IfExists over nothing, in a batch")?;
    }
    ensure!(!store.exists(&key).await?, "IfExists over nothing created an entry");
    if cx.declares(Feature::List) {
        ensure_eq!(cx.listed("").await?, Vec::<String>::new(), "the keys listed");
    }
    Ok(())
}

/// SET-4: an expired entry does not exist, so `IfNotExists` is met over it.
pub(crate) async fn set_4_if_not_exists_is_met_over_an_expired_entry(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfNotExists).await?;
    let key = cx.key("k");
    cx.set_expired(&key, 1).await?;
    is(&store.set(&key, cx.value(2)).if_not_exists().await?, SetStatus::Created, "IfNotExists over an expired entry")?;
    cx.expect(&key, Some(&cx.value(2)), "after IfNotExists over an expired entry").await?;
    cx.set_expired(&key, 1).await?;
    for outcome in store.set_many([SetItem::new(&*key, cx.value(3)).if_not_exists()]).await {
        is(&outcome?, SetStatus::Created, "IfNotExists over an expired entry, in a batch")?;
    }
    cx.expect(&key, Some(&cx.value(3)), "after IfNotExists over an expired entry, in a batch").await
}

/// SET-4: an expired entry does not exist, so `IfExists` is not met over it.
pub(crate) async fn set_4_if_exists_is_not_met_over_an_expired_entry(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfExists).await?;
    let key = cx.key("k");
    cx.set_expired(&key, 1).await?;
    is(&store.set(&key, cx.value(2)).if_exists().await?, SetStatus::NotMet, "IfExists over an expired entry")?;
    cx.expect(&key, None, "after IfExists over an expired entry").await
}

/// SET-4, VER-2: an expired entry does not exist, so `IfVersion` is not met over it, even with the version it had.
pub(crate) async fn set_4_if_version_is_not_met_over_an_expired_entry(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfVersion).await?;
    let key = cx.key("k");
    let form = cx.form().await?;
    cx.align().await?;
    let life = cx.life(form, 1)?;
    life.set(store.set(&key, cx.value(1))).await?;
    let version = cx.version(&key).await?;
    cx.pass_until_end(life).await?;
    is(&store.set(&key, cx.value(2)).if_version(version).await?, SetStatus::NotMet, "IfVersion over an expired entry")?;
    cx.expect(&key, None, "after IfVersion over an expired entry").await
}

/// SET-5: an unconditional set tells created from updated where that is declared, and says `Stored` where it is not.
pub(crate) async fn set_5_an_unconditional_set_tells_what_it_declares(cx: &Context<'_>) -> CaseResult {
    let told = cx.capabilities().reports_set_outcome;
    let expected = |told_status| if told { told_status } else { SetStatus::Stored };
    let key = cx.key("k");
    is(&cx.store().set(&key, cx.value(1)).await?, expected(SetStatus::Created), "a set over nothing")?;
    is(&cx.store().set(&key, cx.value(2)).await?, expected(SetStatus::Updated), "a set over an entry")?;
    is(&cx.store().set(&key, cx.value(2)).await?, expected(SetStatus::Updated), "a set of the same value")?;
    cx.store().delete(&key).await?;
    is(&cx.store().set(&key, cx.value(3)).await?, expected(SetStatus::Created), "a set after a delete")?;
    let other = cx.key("other");
    let results = cx.store().set_many([SetItem::new(&*key, cx.value(4)), SetItem::new(&*other, cx.value(4))]).await;
    let statuses: Vec<SetStatus> =
        results.into_iter().map(|result| Ok(result?.status())).collect::<Result<_, Stop>>()?;
    ensure_eq!(statuses, [expected(SetStatus::Updated), expected(SetStatus::Created)], "the outcomes of set_many");
    Ok(())
}

/// SET-5: over an expired entry an unconditional set is `Created`, or `Stored`; never `Updated`.
pub(crate) async fn set_5_over_an_expired_entry_nothing_is_updated(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    cx.set_expired(&key, 1).await?;
    let outcome = cx.store().set(&key, cx.value(2)).await?;
    ensure!(
        matches!(outcome.status(), SetStatus::Created | SetStatus::Stored),
        "a set over an expired entry says {:?}",
        outcome.status()
    );
    cx.expect(&key, Some(&cx.value(2)), "after a set over an expired entry").await
}

/// SET-5: the outcome of a write carries the new version where versions are declared, and none where they are not.
pub(crate) async fn set_5_an_outcome_carries_the_version(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    if !cx.declares(Feature::IfVersion) {
        let outcome = cx.store().set(&key, cx.value(1)).await?;
        ensure_eq!(outcome.version(), None, "the version of a store that declares none");
        ensure_eq!(cx.entry(&key).await?.version(), None, "the version of a store that declares none");
        cx.with(Feature::IfVersion).await?;
    }
    let mut outcomes = vec![cx.store().set(&key, cx.value(1)).await?];
    let read = cx.version(&key).await?;
    ensure_eq!(outcomes[0].version(), Some(&read), "the version in the outcome, against the one read");
    if cx.declares(Feature::IfExists) {
        outcomes.push(cx.store().set(&key, cx.value(2)).if_exists().await?);
    }
    outcomes.push(cx.store().set(&key, cx.value(3)).if_version(cx.version(&key).await?).await?);
    for outcome in cx.store().set_many([SetItem::new(&*key, cx.value(4))]).await {
        outcomes.push(outcome?);
    }
    for outcome in &outcomes {
        ensure!(outcome.version().is_some(), "a write told no version, and versions are declared");
    }
    ensure_eq!(outcomes.last().and_then(SetOutcome::version), Some(&cx.version(&key).await?), "the last version");
    Ok(())
}

const CALLERS: usize = 64;
const ROUNDS: usize = 8;

/// Races `CALLERS` conditional sets on one key, over these handles in turn, and answers who has won.
async fn winners(cx: &Context<'_>, handles: &[Store], key: &str, condition: &Condition) -> Result<Vec<usize>, Stop> {
    let call = |caller: usize| {
        let (store, key, condition) = (handles[caller % handles.len()].clone(), key.to_owned(), condition.clone());
        let value = cx.value(caller);
        async move { store.set(&key, value).condition(condition).await }
    };
    let mut winners = Vec::new();
    for (caller, outcome) in race((0..CALLERS).map(call).collect()).await?.into_iter().enumerate() {
        if outcome?.is_written() {
            winners.push(caller);
        }
    }
    Ok(winners)
}

async fn one_winner(cx: &Context<'_>, handles: &[Store], key: &str, condition: &Condition) -> CaseResult {
    let winners = winners(cx, handles, key, condition).await?;
    ensure!(winners.len() == 1, "of {CALLERS} concurrent sets {} were written, callers {winners:?}", winners.len());
    cx.expect(key, Some(&cx.value(winners[0])), "after the race: the winner's value").await
}

/// SET-6: of any number of concurrent `IfNotExists` on one absent key exactly one is written.
pub(crate) async fn set_6_exactly_one_if_not_exists_wins(cx: &Context<'_>) -> CaseResult {
    let store = cx.with_atomic(Feature::IfNotExists).await?;
    for round in 0..ROUNDS {
        let key = cx.key(&format!("k{round}."));
        one_winner(cx, std::slice::from_ref(store), &key, &Condition::IfNotExists).await?;
    }
    Ok(())
}

/// SET-6, SET-4: the same over an entry that has expired.
pub(crate) async fn set_6_exactly_one_if_not_exists_wins_over_an_expired_entry(cx: &Context<'_>) -> CaseResult {
    let store = cx.with_atomic(Feature::IfNotExists).await?;
    let key = cx.key("k");
    for _ in 0..ROUNDS {
        cx.set_expired(&key, 0).await?;
        one_winner(cx, std::slice::from_ref(store), &key, &Condition::IfNotExists).await?;
    }
    Ok(())
}

/// SET-6: the same over two handles that share nothing but the data.
pub(crate) async fn set_6_exactly_one_if_not_exists_wins_over_two_handles(cx: &Context<'_>) -> CaseResult {
    let store = cx.with_atomic(Feature::IfNotExists).await?.clone();
    let handles = [store, cx.reopen().await?];
    for round in 0..ROUNDS {
        let key = cx.key(&format!("k{round}."));
        one_winner(cx, &handles, &key, &Condition::IfNotExists).await?;
    }
    Ok(())
}

/// SET-6: of many concurrent `IfNotExists` through one store and its clones exactly one is written, single or in a
/// batch, also where the condition is declared as best effort: that may race with others, never with itself.
pub(crate) async fn set_6_one_store_never_races_with_itself(cx: &Context<'_>) -> CaseResult {
    const CALLERS: usize = 128;
    let store = cx.with(Feature::IfNotExists).await?;
    let below = store.with_prefix("k");
    for round in 0..3 {
        let key = cx.key(&format!("k{round}."));
        let call = |caller: usize| {
            let (store, key) = if caller % 4 == 3 { (&below, &key[1..]) } else { (store, &*key) };
            let (store, key, value) = (store.clone(), key.to_owned(), cx.value(caller));
            async move {
                // First single calls, then batches, then both.
                if round == 0 || (round == 2 && caller.is_multiple_of(2)) {
                    return store.set(&key, value).if_not_exists().await;
                }
                store.set_many([SetItem::new(&*key, value).if_not_exists()]).await.remove(0)
            }
        };
        let mut winners = Vec::new();
        for (caller, outcome) in race((0..CALLERS).map(call).collect()).await?.into_iter().enumerate() {
            match outcome?.status() {
                SetStatus::Created => winners.push(caller),
                status => ensure_eq!(status, SetStatus::NotMet, "the outcome of caller {caller}"),
            }
        }
        ensure!(
            winners.len() == 1,
            "of {CALLERS} concurrent sets of one store {} were written, callers {winners:?}",
            winners.len()
        );
        cx.expect(&key, Some(&cx.value(winners[0])), "after the race: the winner's value").await?;
    }
    Ok(())
}

/// How many calls meet that may come between one another.
const AMONG: usize = 16;

/// The call that is unlike the others: one in the middle, so that some have begun before it.
const fn in_the_middle(round: usize) -> usize {
    (AMONG / 2 + round) % AMONG
}

/// SET-6: no delete of the same store comes between the look and the write of a call that needs an entry: whichever
/// came first, after both there is none.
pub(crate) async fn set_6_no_delete_of_the_store_comes_between(cx: &Context<'_>) -> CaseResult {
    let needs_an_entry: Vec<Feature> =
        [Feature::IfExists, Feature::Expire].into_iter().filter(|feature| cx.declares(*feature)).collect();
    if needs_an_entry.is_empty() {
        cx.with(Feature::IfExists).await?;
    }
    for round in 0..ROUNDS {
        let key = cx.key(&format!("k{round}."));
        cx.store().set(&key, cx.value(AMONG)).await?;
        let call = |caller: usize| {
            let (store, key, value) = (cx.store().clone(), key.clone(), cx.value(caller));
            let feature = needs_an_entry[caller % needs_an_entry.len()];
            async move {
                if caller == in_the_middle(round) {
                    return match round % 2 {
                        0 => store.delete(&key).await.map(drop),
                        _ => store.delete_many([&*key]).await.remove(0).map(drop),
                    };
                }
                match feature {
                    Feature::Expire => store.expire(&key).never().await.map(drop),
                    _ => store.set(&key, value).if_exists().await.map(drop),
                }
            }
        };
        for result in race((0..AMONG).map(call).collect()).await? {
            result?;
        }
        cx.expect(&key, None, "after a delete among calls that need an entry").await?;
    }
    Ok(())
}

/// SET-6: no unconditional set of the same store comes between the look and the write of an `IfNotExists`: whichever
/// came first, after both the unconditional one's value is there.
pub(crate) async fn set_6_no_set_of_the_store_comes_between(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfNotExists).await?;
    for round in 0..ROUNDS {
        let key = cx.key(&format!("k{round}."));
        let call = |caller: usize| {
            let (store, key, value) = (store.clone(), key.clone(), cx.value(caller));
            async move {
                match round % 2 {
                    _ if caller != in_the_middle(round) => store.set(&key, value).if_not_exists().await,
                    0 => store.set(&key, value).await,
                    _ => store.set_many([SetItem::new(&*key, value)]).await.remove(0),
                }
            }
        };
        for outcome in race((0..AMONG).map(call).collect()).await? {
            outcome?;
        }
        cx.expect(&key, Some(&cx.value(in_the_middle(round))), "after an unconditional set among conditional ones")
            .await?;
    }
    Ok(())
}

/// SET-6: of any number of concurrent `IfVersion` with one version exactly one is written.
pub(crate) async fn set_6_exactly_one_if_version_wins(cx: &Context<'_>) -> CaseResult {
    let store = cx.with_atomic(Feature::IfVersion).await?.clone();
    let mut handles = vec![store];
    handles.extend(cx.reopened().await?);
    let key = cx.key("k");
    cx.store().set(&key, cx.value(CALLERS)).await?;
    for _ in 0..ROUNDS {
        let version = cx.version(&key).await?;
        one_winner(cx, &handles, &key, &Condition::IfVersion(version)).await?;
        cx.store().set(&key, cx.value(CALLERS)).await?;
    }
    Ok(())
}

/// SET-6: a number raised by concurrent read-and-compare loops loses no step.
pub(crate) async fn set_6_compare_and_set_loops_lose_nothing(cx: &Context<'_>) -> CaseResult {
    const LOOPS: usize = 8;
    const STEPS: usize = 16;
    let store = cx.with_atomic(Feature::IfVersion).await?.clone();
    let mut handles = vec![store];
    handles.extend(cx.reopened().await?);
    let key = cx.key("k");
    let values: Vec<Value> = (0..=LOOPS * STEPS).map(|number| cx.value(number)).collect();
    cx.store().set(&key, values[0].clone()).await?;
    let raise = |number: usize| {
        let (store, key, values) = (handles[number % handles.len()].clone(), key.clone(), values.clone());
        async move {
            let mut steps = 0;
            while steps < STEPS {
                let Some(entry) = store.get_entry(&key).await? else {
                    return Err(Stop::Failed("the entry vanished during compare-and-set".to_owned()));
                };
                let position = values.iter().position(|value| value == entry.value());
                let (Some(at), Some(version)) = (position, entry.version().cloned()) else {
                    return Err(Stop::Failed("an entry without version, or of a value that nobody set".to_owned()));
                };
                let Some(next) = values.get(at + 1) else {
                    return Err(Stop::Failed("more steps were written than made".to_owned()));
                };
                steps += usize::from(store.set(&key, next.clone()).if_version(version).await?.is_written());
            }
            Ok(())
        }
    };
    for result in race((0..LOOPS).map(raise).collect()).await? {
        result?;
    }
    cx.expect_through(&cx.unread().await?, &key, values.last(), "after all steps of all loops").await
}

/// SET-6: what is declared as best effort is refused until the caller opts in, for the handle or the request.
pub(crate) async fn set_6_best_effort_needs_an_opt_in(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    let mut tried = false;
    for feature in [Feature::IfNotExists, Feature::IfExists, Feature::IfVersion, Feature::Counters, Feature::Expire] {
        if support(cx.capabilities(), feature) != kv_api::Support::BestEffort {
            continue;
        }
        tried = true;
        cx.with(feature).await?; // the refusal
        let store = cx.strict();
        let set = || store.set(&key, cx.value(1)).allow_best_effort();
        match feature {
            Feature::IfNotExists => drop(set().if_not_exists().await?),
            Feature::IfExists => drop(set().if_exists().await?),
            Feature::IfVersion => drop(set().if_version(foreign_version()).await?),
            Feature::Counters => drop(store.increment(cx.key("counter"), 1).allow_best_effort().await?),
            _ => drop(store.expire(&key).never().allow_best_effort().await?),
        }
    }
    if tried { Ok(()) } else { not_applicable("nothing is declared as best effort") }
}

/// SET-7: a read that starts after a write was acknowledged sees it, through the handle and its clones.
pub(crate) async fn set_7_a_read_after_a_write_sees_it(cx: &Context<'_>) -> CaseResult {
    cx.needs_strong_consistency()?;
    let call = |caller: usize| {
        let (store, reader, key) = (cx.store().clone(), cx.store().clone(), cx.key(&format!("k{caller}.")));
        let values: Vec<Value> = (0..ROUNDS).map(|round| cx.value(caller * ROUNDS + round)).collect();
        async move {
            for value in values {
                store.set(&key, value.clone()).await?;
                let (read, many) = (reader.get(&key).await?, reader.get_many([&*key]).await?);
                ensure!(read.as_ref() == Some(&value), "get of {key:?} after an acknowledged set sees another value");
                ensure!(
                    many[0].as_ref() == Some(&value),
                    "get_many of {key:?} after an acknowledged set sees another value"
                );
            }
            let deleted = store.delete(&key).await?;
            ensure!(matches!(deleted, DeleteOutcome::Deleted | DeleteOutcome::Accepted), "delete says {deleted:?}");
            ensure!(!reader.exists(&key).await?, "{key:?} exists after an acknowledged delete");
            Ok(())
        }
    };
    for result in race((0..CALLERS).map(call).collect()).await? {
        result?;
    }
    Ok(())
}

/// SET-8: a conditional set whose answer is lost is an error that says so; it is never repeated blindly, since its own
/// first attempt would make the condition false.
pub(crate) async fn set_8_an_unknown_outcome_says_so(cx: &Context<'_>) -> CaseResult {
    let faults = cx.faults()?;
    let store = cx.with(Feature::IfNotExists).await?;
    // The first call of its kind may take more requests, to prepare what it sends.
    store.set(cx.key("first"), cx.value(1)).if_not_exists().await?;
    let before = cx.requests();
    store.set(cx.key("second"), cx.value(1)).if_not_exists().await?;
    let of_a_set = cx.requests().zip(before).map_or(0, |(now, before)| now - before);
    for (fault, name) in [(Fault::AnswerLost, "a1"), (Fault::RequestLost, "r1")] {
        let key = cx.key(name);
        let sent = cx.requests();
        faults.inject_into_writes(fault, 1);
        let result = store.set(&key, cx.value(1)).if_not_exists().await;
        faults.inject_into_writes(fault, 0);
        let error = ensure_err!(result, "IfNotExists with {fault:?}");
        ensure!(error.is_outcome_unknown(), "IfNotExists with {fault:?} must say that its outcome is unknown: {error}");
        if fault == Fault::AnswerLost {
            if cx.capabilities().if_not_exists.is_full() {
                cx.expect_sent(sent, of_a_set, "a conditional set whose answer was lost")?;
            }
            cx.expect(&key, Some(&cx.value(1)), "which was carried out, its answer lost").await?;
        }
    }
    Ok(())
}

/// SET-1: a set with everything, over everything, replaces all of it together.
pub(crate) async fn set_1_a_set_with_everything_replaces_everything(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::Metadata).await?;
    let form = cx.form().await?;
    let key = cx.key("k");
    cx.align().await?;
    let (short, long) = (cx.life(form, 1)?, cx.life(form, 3)?);
    short.set(cx.store().set(&key, cx.value(1))).metadata(json!({ "n": 1 })).await?;
    long.set(cx.store().set(&key, cx.value(2))).metadata(json!({ "n": 2 })).await?;
    let check = async |when: &str| {
        let entry = cx.entry(&key).await?;
        ensure_eq!(entry.value(), &cx.value(2), "the value {when}");
        ensure_eq!(entry.metadata(), Some(&Metadata::from(json!({ "n": 2 }))), "the metadata {when}");
        Ok::<(), Stop>(())
    };
    check("after the second set").await?;
    cx.pass_until_end(short).await?;
    check("past the first expiry").await?;
    cx.pass_until_end(long).await?;
    cx.expect(&key, None, "at the second expiry").await
}
