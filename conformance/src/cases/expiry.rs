//! EXP-1 to EXP-10.

use std::time::Duration;

use kv_api::{
    DeleteOutcome, EntryExpiry, ErrorKind, ExpiryClock, ExpiryPrecedence, Feature, Metadata, MinTtl, Reason, SetItem,
    SetStatus, Support, Timestamp,
};
use serde_json::json;

use crate::clock::ClientClock;
use crate::context::{Context, collected};
use crate::expiring::{Form, Life};
use crate::means::Means;
use crate::outcome::{CaseResult, Stop, not_applicable, not_shown};

/// Sets with a form of expiry, and looks just before and just after the end.
async fn ends_in_time(cx: &Context<'_>, form: Form) -> CaseResult {
    let key = cx.key("k");
    cx.align().await?;
    let life = cx.life(form, 1)?;
    life.set(cx.store().set(&key, cx.value(1))).await?;
    cx.expect(&key, Some(&cx.value(1)), "right after it was set").await?;
    cx.pass_until_before_end(life).await?;
    cx.expect(&key, Some(&cx.value(1)), "just before its expiry").await?;
    cx.pass_until_end(life).await?;
    cx.expect(&key, None, "at its expiry").await?;
    cx.pass(cx.long(life)?).await?;
    cx.expect(&key, None, "long after its expiry").await
}

/// EXP-1: a relative ttl ends the entry, neither early nor late.
pub(crate) async fn exp_1_a_ttl_ends_the_entry(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::Ttl).await?;
    ends_in_time(cx, Form::Ttl).await
}

/// EXP-1: an absolute expiry ends the entry, neither early nor late.
pub(crate) async fn exp_1_expire_at_ends_the_entry(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::ExpireAt).await?;
    ends_in_time(cx, Form::At).await
}

/// EXP-1: an entry without expiry outlives a hundred years.
pub(crate) async fn exp_1_without_expiry_it_never_ends(cx: &Context<'_>) -> CaseResult {
    cx.forms().await?;
    if !cx.time()?.granularity().is_zero() {
        return not_shown(Means::MovedTime, "the harness cannot wait for a hundred years");
    }
    let key = cx.key("k");
    cx.store().set(&key, cx.value(1)).await?;
    cx.pass(Duration::from_secs(100 * 365 * 86_400)).await?;
    cx.expect(&key, Some(&cx.value(1)), "after a hundred years").await
}

async fn both_forms(cx: &Context<'_>) -> Result<(), Stop> {
    cx.with(Feature::Ttl).await?;
    cx.with(Feature::ExpireAt).await?;
    cx.align().await
}

/// Sets a ttl and an absolute expiry, once with the one sooner and once with the other, and looks around the end that
/// counts: the ttl's if `by_ttl` says so.
async fn ends_with(
    cx: &Context<'_>,
    precedence: Option<ExpiryPrecedence>,
    by_ttl: fn(&Life, &Life) -> bool,
) -> CaseResult {
    for (ttl_lives, at_lives) in [(1, 3), (3, 1)] {
        let key = cx.key("k");
        cx.align().await?;
        let (ttl, at) = (cx.life(Form::Ttl, ttl_lives)?, cx.life(Form::At, at_lives)?);
        let (end, other) = if by_ttl(&ttl, &at) { (ttl, at) } else { (at, ttl) };
        let mut set = cx.store().set(&key, cx.value(1)).ttl(ttl.ttl).expire_at(at.end);
        if let Some(precedence) = precedence {
            set = set.expiry_precedence(precedence);
        }
        set.await?;
        cx.pass_until_before_end(end).await?;
        let when = format!("with both expiries, before the one that counts ({precedence:?}, {end:?}, not {other:?})");
        cx.expect(&key, Some(&cx.value(1)), &when).await?;
        cx.pass_until_end(end).await?;
        cx.expect(
            &key,
            None,
            &format!("with both expiries, at the one that counts ({precedence:?}, {end:?}, not {other:?})"),
        )
        .await?;
    }
    Ok(())
}

/// EXP-2: both given, `expire_at` wins, on every backend.
pub(crate) async fn exp_2_expire_at_wins_over_ttl(cx: &Context<'_>) -> CaseResult {
    both_forms(cx).await?;
    ends_with(cx, None, |_, _| false).await?;
    ends_with(cx, Some(ExpiryPrecedence::ExpireAt), |_, _| false).await
}

/// EXP-2: the loser takes no part: it is not checked either.
pub(crate) async fn exp_2_the_loser_is_not_checked(cx: &Context<'_>) -> CaseResult {
    both_forms(cx).await?;
    let key = cx.key("k");
    let life = cx.life(Form::At, 2)?;
    for ttl in [Duration::ZERO, Duration::MAX, Duration::from_nanos(1)] {
        cx.store().set(&key, cx.value(1)).ttl(ttl).expire_at(life.end).await?;
    }
    for at in [Timestamp::UNIX_EPOCH, Timestamp::from_unix_micros(i64::MAX), cx.now()?] {
        let set = cx.store().set(&key, cx.value(1)).ttl(life.ttl).expire_at(at);
        set.expiry_precedence(ExpiryPrecedence::Ttl).await?;
    }
    cx.pass_until_before_end(life).await?;
    cx.expect(&key, Some(&cx.value(1)), "before the expiry that counts").await
}

/// EXP-2: another precedence can be chosen: the ttl, the earliest, or that both are refused; on the handle too.
pub(crate) async fn exp_2_another_precedence_can_be_chosen(cx: &Context<'_>) -> CaseResult {
    both_forms(cx).await?;
    ends_with(cx, Some(ExpiryPrecedence::Ttl), |_, _| true).await?;
    ends_with(cx, Some(ExpiryPrecedence::Earliest), |ttl, at| ttl.end < at.end).await?;
    let key = cx.key("k");
    let (ttl, at) = (cx.life(Form::Ttl, 1)?, cx.life(Form::At, 2)?);
    let handle = cx.store().with_expiry_precedence(ExpiryPrecedence::Reject);
    let both = handle.set(&key, cx.value(2)).ttl(ttl.ttl).expire_at(at.end).await;
    ensure_invalid!(both, Reason::BothExpiries, "both expiries on a handle that rejects both");
    cx.expect(&key, None, "after both were rejected").await
}

/// EXP-3: a ttl counts from when the entry is written, not from when the store was opened or the key first used.
pub(crate) async fn exp_3_a_ttl_counts_from_the_write(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::Ttl).await?;
    let key = cx.key("k");
    cx.align().await?;
    let first = cx.life(Form::Ttl, 2)?;
    first.set(cx.store().set(&key, cx.value(1))).await?;
    cx.pass(cx.life(Form::Ttl, 1)?.ttl).await?;
    cx.align().await?;
    let second = cx.life(Form::Ttl, 2)?;
    second.set(cx.store().set(&key, cx.value(2))).await?;
    cx.pass_until_before_end(second).await?;
    cx.expect(&key, Some(&cx.value(2)), "just before the end of the second ttl").await?;
    cx.pass_until_end(second).await?;
    cx.expect(&key, None, "at the end of the second ttl").await
}

/// EXP-3: a ttl counts by the clock of the backend, so that a clock that is wrong here neither ends an entry early nor
/// keeps it.
pub(crate) async fn exp_3_a_wrong_clock_here_moves_no_ttl(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::Ttl).await?;
    if cx.capabilities().ttl != Support::Native {
        return not_applicable("a ttl is declared as emulated: the backend knows absolute times alone");
    }
    if cx.capabilities().expiry_clock == ExpiryClock::Store {
        return not_applicable("the store's clock is reported to decide, so it is right by what it says");
    }
    let clock = client_clock(cx)?;
    let fast = cx.now()?.checked_add(Duration::from_secs(86_400)).unwrap_or(Timestamp::YEAR_9999_END);
    for wrong in [fast, Timestamp::UNIX_EPOCH] {
        let key = cx.key("k");
        clock.set(wrong);
        cx.align().await?;
        let life = cx.life(Form::Ttl, 2)?;
        life.set(cx.store().set(&key, cx.value(1))).await?;
        cx.pass_until_before_end(life).await?;
        cx.expect(&key, Some(&cx.value(1)), "just before the end of its ttl, with a wrong clock here").await?;
        cx.pass_until_end(life).await?;
        cx.expect(&key, None, "at the end of its ttl, with a wrong clock here").await?;
    }
    clock.set(cx.now()?);
    Ok(())
}

/// EXP-4: rounding to the backend's resolution never ends an entry early.
pub(crate) async fn exp_4_rounding_never_ends_an_entry_early(cx: &Context<'_>) -> CaseResult {
    let resolution = cx.capabilities().expiry_resolution;
    let microsecond = Duration::from_micros(1);
    let odd = [Duration::ZERO, microsecond, resolution / 2, resolution.saturating_sub(microsecond)];
    let forms = cx.forms().await?;
    // From a whole moment and from an odd one; a clock that runs is at an odd one anyway.
    let starts = if cx.runs()? { &odd[..1] } else { &odd };
    for form in forms {
        for start in starts {
            for odd in odd {
                let key = cx.key("k");
                cx.align().await?;
                cx.pass(*start).await?;
                let ttl = cx.life(form, 1)?.ttl + odd;
                let life = cx.begin(form, ttl)?;
                life.set(cx.store().set(&key, cx.value(1))).await?;
                cx.pass_until_before_end(life).await?;
                let when = format!("just before the end of {form:?} {ttl:?}, begun {start:?} after a whole moment");
                cx.expect(&key, Some(&cx.value(1)), &when).await?;
                // A ttl is rounded up, and where the store keeps whole moments its end is too.
                cx.pass_until_end(life).await?;
                cx.pass(resolution * 2).await?;
                cx.expect(&key, None, &format!("two resolutions after the end of {form:?} {ttl:?}")).await?;
            }
        }
    }
    Ok(())
}

/// Tries an expiry that must be refused, by set, batch and `expire`, over an entry and over nothing: nothing may
/// change.
async fn refused(cx: &Context<'_>, form: Form, life: Life, reason: &Reason) -> CaseResult {
    let [there, missing] = cx.keys(["there", "missing"]);
    cx.store().set(&there, cx.value(1)).await?;
    let before = cx.entry(&there).await?;
    let sent = cx.requests();
    for key in [&there, &missing] {
        let set = life.set(cx.store().set(key, cx.value(2))).await;
        ensure_invalid!(set, reason.clone(), "a set with {life:?}");
        for result in cx.store().set_many([life.item(SetItem::new(&**key, cx.value(2)))]).await {
            ensure_invalid!(result, reason.clone(), "set_many with {life:?}");
        }
        if cx.declares(Feature::Expire) {
            ensure_invalid!(life.expire(cx.store().expire(key)).await, reason.clone(), "expire with {life:?}");
        }
    }
    cx.expect_sent(sent, 0, "an expiry that is not acceptable")?;
    ensure_eq!(cx.entry(&there).await?, before, "the entry after a refused {form:?}");
    cx.expect(&missing, None, "after a refused expiry").await
}

/// EXP-5: a ttl of zero is refused.
pub(crate) async fn exp_5_a_ttl_of_zero_is_refused(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::Ttl).await?;
    let life = Life { form: Form::Ttl, ttl: Duration::ZERO, end: cx.now()? };
    refused(cx, Form::Ttl, life, &Reason::TtlZero).await?;
    let error = ensure_err!(cx.store().set(cx.key("k"), cx.value(1)).ttl(Duration::ZERO).await, "a ttl of zero");
    ensure!(
        !error.is_expired(),
        "a migration must not take a ttl of zero for an entry that expired on the way: {error}"
    );
    Ok(())
}

/// EXP-5: an absolute expiry that is not in the future is refused.
pub(crate) async fn exp_5_an_expiry_in_the_past_is_refused(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::ExpireAt).await?;
    // Where two clocks run they may differ by as much.
    let room = i64::try_from(cx.room()?.as_micros()).unwrap_or(i64::MAX);
    let micros = cx.now()?.as_unix_micros().saturating_sub(room);
    let past = [micros, micros - 1, micros - 1_000_000, 1, 0, -1, i64::MIN].map(Timestamp::from_unix_micros);
    for end in past {
        refused(cx, Form::At, Life { form: Form::At, ttl: Duration::ZERO, end }, &Reason::ExpiryInPast).await?;
        let error = ensure_err!(cx.store().set(cx.key("k"), cx.value(1)).expire_at(end).await, "an expiry at {end}");
        ensure!(error.is_expired(), "a migration must see that the entry has expired on the way: {error}");
    }
    Ok(())
}

/// EXP-5: an expiry after the latest the store keeps, or one that overflows, is refused, and never becomes "never".
pub(crate) async fn exp_5_an_expiry_too_late_is_refused(cx: &Context<'_>) -> CaseResult {
    let latest = cx.capabilities().expire_at_max.min(Timestamp::YEAR_9999_END);
    let reason = Reason::ExpiryTooLate { latest };
    for form in cx.forms().await? {
        cx.align().await?;
        let until_latest = latest.saturating_since(cx.now()?);
        let over = until_latest + cx.capabilities().expiry_resolution;
        for ttl in [over, Duration::from_secs(u64::MAX / 2), Duration::MAX] {
            let end = cx.now()?.checked_add(ttl).unwrap_or(Timestamp::from_unix_micros(i64::MAX));
            refused(cx, form, Life { form, ttl, end }, &reason).await?;
        }
        // The latest itself, as far as the resolution reaches it; a ttl that is sent later ends later.
        let sent_within = if form == Form::Ttl && cx.runs()? { Duration::from_secs(60) } else { Duration::ZERO };
        let resolution = i64::try_from(cx.capabilities().expiry_resolution.as_micros()).unwrap_or(i64::MAX).max(1);
        let whole = Timestamp::from_unix_micros(latest.as_unix_micros().div_euclid(resolution) * resolution);
        let life = Life { form, ttl: whole.saturating_since(cx.now()?).saturating_sub(sent_within), end: whole };
        let key = cx.key("latest");
        life.set(cx.store().set(&key, cx.value(1))).await?;
        cx.expect(&key, Some(&cx.value(1)), "with the latest expiry").await?;
    }
    Ok(())
}

/// EXP-6: an expiry below the backend's minimum is refused with the minimum, compared after rounding.
pub(crate) async fn exp_6_an_expiry_below_the_minimum_is_refused(cx: &Context<'_>) -> CaseResult {
    let (minimum, resolution) = (cx.capabilities().expiry_min, cx.capabilities().expiry_resolution);
    let forms = cx.forms().await?;
    if minimum <= resolution {
        return not_applicable("no minimum above the resolution is declared");
    }
    for form in forms {
        cx.align().await?;
        refused(cx, form, cx.begin(form, minimum - resolution)?, &Reason::ExpiryTooSoon { minimum }).await?;
        // On a clock that runs an absolute time comes nearer on its way.
        let sent_within = if form == Form::At { cx.room()? * 4 } else { Duration::ZERO };
        for accepted in [minimum - resolution / 2, minimum] {
            let key = cx.key("k");
            let accepted = cx.begin(form, accepted + sent_within)?;
            accepted.set(cx.store().set(&key, cx.value(1))).await?;
            cx.expect(&key, Some(&cx.value(1)), "with the least expiry").await?;
        }
    }
    Ok(())
}

/// EXP-6: `MinTtl::RoundUp` gives the entry the minimum instead; a past time stays an error.
pub(crate) async fn exp_6_the_minimum_can_be_rounded_up_to(cx: &Context<'_>) -> CaseResult {
    let (minimum, resolution) = (cx.capabilities().expiry_min, cx.capabilities().expiry_resolution);
    let forms = cx.forms().await?;
    if minimum <= resolution {
        return not_applicable("no minimum above the resolution is declared");
    }
    for form in forms {
        let key = cx.key("k");
        cx.align().await?;
        let rounding = cx.store().with_min_ttl(MinTtl::RoundUp);
        // What is given instead counts from when it is asked for, in either form.
        let given = cx.begin(Form::Ttl, minimum)?;
        cx.begin(form, minimum / 2)?.set(rounding.set(&key, cx.value(1))).await?;
        cx.pass_until_before_end(given).await?;
        cx.expect(&key, Some(&cx.value(1)), "just before the minimum").await?;
        cx.pass_until_end(given).await?;
        cx.expect(&key, None, "at the minimum").await?;
        if form == Form::At {
            let past = rounding.set(&key, cx.value(1)).expire_at(cx.now()?).await;
            ensure_invalid!(past, Reason::ExpiryInPast, "a time that is not in the future, with RoundUp");
        } else {
            let zero = rounding.set(&key, cx.value(1)).ttl(Duration::ZERO).await;
            ensure_invalid!(zero, Reason::TtlZero, "a ttl of zero, with RoundUp");
        }
    }
    Ok(())
}

/// EXP-7: an expired entry is invisible to every read.
pub(crate) async fn exp_7_an_expired_entry_is_invisible_to_reads(cx: &Context<'_>) -> CaseResult {
    let [expired, alive] = cx.keys(["expired", "alive"]);
    cx.store().set(&alive, cx.value(2)).await?;
    cx.set_expired(&expired, 1).await?;
    cx.expect(&expired, None, "at its expiry").await?;
    ensure!(!cx.store().exists(&expired).await?, "exists of an expired entry says yes");
    ensure_eq!(cx.store().get_entry(&expired).await?, None, "get_entry of an expired entry");
    let many = cx.store().get_many([&*expired, &*alive, &*expired]).await?;
    ensure_eq!(many, [None, Some(cx.value(2)), None], "get_many with an expired entry");
    let entries = cx.store().get_entry_many([&*expired, &*alive]).await?;
    ensure!(entries[0].is_none() && entries[1].is_some(), "get_entry_many with an expired entry: {entries:?}");
    ensure_eq!(cx.store().get_as::<serde_json::Value>(&expired).await?, None, "get_as of an expired entry");
    Ok(())
}

/// EXP-7: an expired entry is invisible to lists, to walks over entries and to what deletes by prefix.
pub(crate) async fn exp_7_an_expired_entry_is_invisible_to_lists(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let [expired, alive] = cx.keys(["k/expired", "k/alive"]);
    cx.store().set(&alive, cx.value(2)).await?;
    cx.set_expired(&expired, 1).await?;
    ensure_eq!(cx.listed("").await?, std::slice::from_ref(&alive), "the keys listed");
    ensure_eq!(cx.listed(&expired).await?, Vec::<String>::new(), "the keys listed under the expired key");
    let entries = collected(cx.store().list().prefix("k/").entries()).await?;
    ensure_eq!(entries.len(), 1, "how many entries are walked");
    ensure_eq!(cx.store().delete_prefix("k/e").await?, 0, "how many expired entries delete_prefix counts");
    Ok(())
}

/// EXP-7: an expired entry is invisible to deletes.
pub(crate) async fn exp_7_an_expired_entry_is_invisible_to_deletes(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    cx.set_expired(&key, 1).await?;
    let outcome = cx.store().delete(&key).await?;
    ensure!(
        matches!(outcome, DeleteOutcome::NotFound | DeleteOutcome::Accepted),
        "a delete of an expired entry says {outcome:?}"
    );
    cx.set_expired(&key, 1).await?;
    for outcome in cx.store().delete_many([&*key]).await {
        let outcome = outcome?;
        ensure!(
            matches!(outcome, DeleteOutcome::NotFound | DeleteOutcome::Accepted),
            "delete_many of an expired entry says {outcome:?}"
        );
    }
    Ok(())
}

/// EXP-7, CNT-1: a counter over an expired entry, of whatever kind, starts at 0 and does not expire.
pub(crate) async fn exp_7_an_expired_entry_is_invisible_to_counters(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Counters).await?;
    let [key, number] = cx.keys(["k", "number"]);
    cx.set_expired(&key, 1).await?;
    ensure_eq!(store.increment(&key, 7).await?, 7, "the first increment over an expired entry");
    if cx.has_kind(kv_api::ValueKind::Json) && cx.capabilities().counter_expiry {
        let life = cx.life(cx.form().await?, 1)?;
        life.set(store.set(&number, 100)).await?;
        cx.pass_until_end(life).await?;
        cx.align().await?;
        cx.pass(life.ttl).await?;
        ensure_eq!(store.increment(&number, 1).await?, 1, "the first increment over an expired counter");
    }
    cx.pass(cx.long(cx.life(cx.form().await?, 1)?)?).await?;
    ensure_eq!(store.increment(&key, 1).await?, 8, "the second increment, long after");
    Ok(())
}

/// EXP-7: an expired entry is invisible to the conditions of a batch, and its metadata is not inherited.
pub(crate) async fn exp_7_an_expired_entry_leaves_nothing_behind(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    let form = cx.form().await?;
    cx.align().await?;
    let life = cx.life(form, 1)?;
    let mut set = life.set(cx.store().set(&key, cx.value(1)));
    if cx.declares(Feature::Metadata) {
        set = set.metadata(json!({ "old": true }));
    }
    set.await?;
    cx.pass_until_end(life).await?;
    if cx.declares(Feature::AllOrNothing) && cx.declares(Feature::IfExists) {
        let batch = cx.store().set_many_all_or_nothing([SetItem::new(&*key, cx.value(2)).if_exists()]).await?;
        ensure!(!batch.is_written(), "IfExists in an all-or-nothing batch was met over an expired entry");
    }
    cx.store().set(&key, cx.value(3)).await?;
    let entry = cx.entry(&key).await?;
    ensure_eq!(entry.metadata(), None, "metadata after a set over an expired entry");
    cx.pass(cx.long(life)?).await?;
    cx.expect(&key, Some(&cx.value(3)), "long after it was set without expiry").await
}

/// EXP-8: a read reports the expiry where that is declared, and says it does not know where it is not; never a guess.
pub(crate) async fn exp_8_a_read_reports_the_expiry(cx: &Context<'_>) -> CaseResult {
    let told = cx.capabilities().expiry_read;
    let [plain, ending] = cx.keys(["plain", "ending"]);
    cx.store().set(&plain, cx.value(1)).await?;
    let forms = cx.forms().await?;
    let expected = if told { EntryExpiry::Never } else { EntryExpiry::Unknown };
    ensure_eq!(cx.entry(&plain).await?.expiry(), expected, "the expiry of an entry without");
    for form in forms {
        cx.align().await?;
        let life = cx.life(form, 2)?;
        life.set(cx.store().set(&ending, cx.value(1))).await?;
        let latest = cx.latest_reported(life)?;
        let many = cx.store().get_entry_many([&*ending]).await?.pop().flatten();
        for entry in [Some(cx.entry(&ending).await?), many] {
            let found = entry.map(|entry| entry.expiry());
            let right = match found {
                Some(EntryExpiry::At(at)) => told && (life.end..=latest).contains(&at),
                Some(EntryExpiry::Unknown) => !told,
                _ => false,
            };
            ensure!(right, "the expiry of {life:?} is reported as {found:?}, and reading it is declared as {told}");
        }
    }
    Ok(())
}

/// EXP-9: `expire` changes the expiry and nothing else.
pub(crate) async fn exp_9_expire_changes_only_the_expiry(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Expire).await?;
    let key = cx.key("k");
    for form in cx.forms().await? {
        cx.align().await?;
        let mut set = store.set(&key, cx.value(1));
        if cx.declares(Feature::Metadata) {
            set = set.metadata(json!({ "kept": true }));
        }
        set.await?;
        let before = cx.entry(&key).await?;
        let (long, short) = (cx.life(form, 9)?, cx.life(form, 1)?);
        ensure!(long.expire(store.expire(&key)).await?, "expire of an entry says there is none");
        ensure!(short.expire(store.expire(&key)).await?, "expire of an entry says there is none");
        let after = cx.entry(&key).await?;
        ensure_eq!(after.value(), before.value(), "the value after expire");
        ensure_eq!(after.metadata(), before.metadata(), "the metadata after expire");
        cx.pass_until_before_end(short).await?;
        cx.expect(&key, Some(&cx.value(1)), "just before the expiry that expire gave it").await?;
        cx.pass_until_end(short).await?;
        cx.expect(&key, None, "at the expiry that expire gave it").await?;
    }
    Ok(())
}

/// EXP-9: `expire` with never removes the expiry.
pub(crate) async fn exp_9_expire_with_never_removes_the_expiry(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Expire).await?;
    let key = cx.key("k");
    let form = cx.form().await?;
    cx.align().await?;
    let life = cx.life(form, 1)?;
    life.set(store.set(&key, cx.value(1))).await?;
    ensure!(store.expire(&key).never().await?, "expire of an entry says there is none");
    if cx.capabilities().expiry_read {
        ensure_eq!(cx.entry(&key).await?.expiry(), EntryExpiry::Never, "the expiry after expire with never");
    }
    cx.pass_until_end(life).await?;
    cx.pass(cx.long(life)?).await?;
    cx.expect(&key, Some(&cx.value(1)), "past the expiry that was removed").await
}

/// EXP-9: `expire` of a missing or expired key answers false, and creates or revives nothing.
pub(crate) async fn exp_9_expire_creates_and_revives_nothing(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Expire).await?;
    let [missing, expired] = cx.keys(["missing", "expired"]);
    cx.set_expired(&expired, 1).await?;
    for key in [&missing, &expired] {
        ensure!(!store.expire(key).never().await?, "expire with never of {key:?} says there is an entry");
        for form in cx.forms().await? {
            let life = cx.life(form, 5)?;
            ensure!(!life.expire(store.expire(key)).await?, "expire of {key:?} says there is an entry");
        }
        cx.expect(key, None, "after expire").await?;
        ensure!(!store.exists(key).await?, "expire has created {key:?}");
    }
    if cx.declares(Feature::List) {
        ensure_eq!(cx.listed("").await?, Vec::<String>::new(), "the keys listed after expire");
    }
    Ok(())
}

/// EXP-9: `expire` needs an expiry or never, and not both; both forms follow the precedence.
pub(crate) async fn exp_9_expire_needs_one_wish(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Expire).await?;
    let key = cx.key("k");
    store.set(&key, cx.value(1)).await?;
    ensure_invalid!(store.expire(&key).await, Reason::NoExpiryGiven, "expire with nothing");
    let both = store.expire(&key).ttl(Duration::from_secs(3600)).never().await;
    ensure_invalid!(both, Reason::BothExpiries, "expire with a ttl and never");
    cx.expect(&key, Some(&cx.value(1)), "after expires that were refused").await
}

/// The clock of this side, which is right by now; without one the case ends.
fn client_clock<'c>(cx: &'c Context<'_>) -> Result<&'c dyn ClientClock, Stop> {
    match &cx.fixture.client_clock {
        Some(clock) => Ok(&**clock),
        None => not_shown(Means::ClientClock, "the harness has no clock of this side that could be wrong"),
    }
}

/// EXP-5: an absolute time that only the system's clock takes for past makes no entry that stays: it is gone at once,
/// with what was there before, or it is refused and nothing has changed.
pub(crate) async fn exp_5_an_expiry_past_by_the_systems_clock_alone_leaves_no_entry(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::ExpireAt).await?;
    if cx.capabilities().expiry_clock == ExpiryClock::Store {
        return not_applicable("the store's clock is reported to decide: what it takes for past is refused");
    }
    let clock = client_clock(cx)?;
    let [there, missing] = cx.keys(["there", "missing"]);
    let day = Duration::from_secs(86_400);
    for past in [cx.capabilities().expiry_resolution * 2 + cx.room()?, day, day * 3650] {
        clock.set(Timestamp::UNIX_EPOCH);
        let micros = i64::try_from(past.as_micros()).unwrap_or(i64::MAX);
        let end = Timestamp::from_unix_micros(cx.now()?.as_unix_micros().saturating_sub(micros));
        cx.store().set(&there, cx.value(1)).await?;
        let before = cx.entry(&there).await?;
        for (key, left) in [(&there, Some(&before)), (&missing, None)] {
            let set = cx.store().set(key, cx.value(2)).expire_at(end).await;
            match &set {
                Ok(outcome) => ensure!(outcome.is_written(), "a set of {key:?} with a past expiry: {outcome:?}"),
                Err(error) => ensure_eq!(error.kind(), ErrorKind::InvalidArgument, "the kind of {error}"),
            }
            cx.pass(cx.after()?).await?;
            let left = left.filter(|_| set.is_err());
            ensure_eq!(cx.store().get_entry(key).await?.as_ref(), left, "{key:?} after a set with a past expiry");
            ensure_eq!(cx.store().exists(key).await?, left.is_some(), "exists after a set with a past expiry");
        }
        if cx.declares(Feature::Expire) {
            cx.store().set(&there, cx.value(1)).await?;
            let expire = cx.store().expire(&there).expire_at(end).await;
            cx.pass(cx.after()?).await?;
            let left = cx.store().get(&there).await?;
            match expire {
                Ok(found) => ensure!(found && left.is_none(), "expire with a past time: {found}, and left {left:?}"),
                Err(error) => ensure!(
                    error.kind() == ErrorKind::InvalidArgument && left == Some(cx.value(1)),
                    "expire with a past time: {error}, and left {left:?}"
                ),
            }
        }
        clock.set(cx.now()?);
    }
    Ok(())
}

/// EXP-10: an entry ends by the clock that is reported to decide. Where that is the store's, it decides alone; where
/// it is the system's, a clock that is wrong here ends nothing early, keeps nothing and hides nothing.
pub(crate) async fn exp_10_the_reported_clock_ends_an_entry(cx: &Context<'_>) -> CaseResult {
    let forms = cx.forms().await?;
    let clock = client_clock(cx)?;
    let [key, behind] = cx.keys(["k", "behind"]);
    for form in forms {
        cx.align().await?;
        if cx.capabilities().expiry_clock == ExpiryClock::Store {
            let life = cx.life(form, 2)?;
            life.set(cx.store().set(&key, cx.value(1))).await?;
            clock.set(cx.latest_reported(life)?);
            cx.expect(&key, None, "past its expiry by the store's clock alone, which is reported to decide").await?;
            clock.set(cx.now()?);
            continue;
        }
        let life = cx.life(form, 2)?;
        life.set(cx.store().set(&key, cx.value(1))).await?;
        if form == Form::At {
            clock.set(Timestamp::UNIX_EPOCH);
            life.set(cx.store().set(&behind, cx.value(1))).await?;
        }
        clock.set(cx.latest_reported(life)?.checked_add(Duration::from_secs(86_400)).unwrap_or(life.end));
        let when = "before its expiry by the system's clock, with one here that is a day ahead";
        cx.expect(&key, Some(&cx.value(1)), when).await?;
        ensure!(cx.store().exists(&key).await?, "exists says no, {when}");
        ensure_eq!(cx.store().get_many([&*key]).await?, [Some(cx.value(1))], "get_many, {when}");
        if cx.declares(Feature::IfNotExists) {
            let outcome = cx.store().set(&key, cx.value(2)).if_not_exists().await?;
            ensure_eq!(outcome.status(), SetStatus::NotMet, "IfNotExists, {when}");
        }
        if cx.declares(Feature::List) {
            ensure!(cx.listed("").await?.contains(&key), "it is not listed, {when}");
        }
        cx.pass_until_before_end(life).await?;
        cx.expect(&key, Some(&cx.value(1)), "just before its expiry, with a clock here that is ahead").await?;
        clock.set(Timestamp::UNIX_EPOCH);
        if form == Form::At {
            cx.expect(&behind, Some(&cx.value(1)), "just before its expiry, with a clock here that is behind").await?;
        }
        cx.pass_until_end(life).await?;
        for key in [&key, &behind] {
            cx.expect(key, None, "at its expiry, with a clock here that is behind").await?;
            ensure!(!cx.store().exists(key).await?, "exists at its expiry says yes, with a clock here that is behind");
        }
        clock.set(cx.now()?);
    }
    Ok(())
}

/// EXP-10: the store lives by the clock it was given and no other.
pub(crate) async fn exp_10_time_comes_from_the_injected_clock(cx: &Context<'_>) -> CaseResult {
    let form = cx.form().await?;
    if !cx.time()?.granularity().is_zero() {
        return not_shown(Means::MovedTime, "the store lives by real time here");
    }
    let key = cx.key("k");
    cx.align().await?;
    // Ten years of life are over in no time, and in no time without the clock nothing is over.
    let ttl = Duration::from_secs(10 * 365 * 86_400);
    let life = cx.begin(form, ttl)?;
    life.set(cx.store().set(&key, cx.value(1))).await?;
    cx.pass_until_before_end(life).await?;
    cx.expect(&key, Some(&cx.value(1)), "ten years later, but for a moment").await?;
    cx.pass_until_end(life).await?;
    cx.expect(&key, None, "ten years later").await
}

/// EXP-7: value and metadata end together, and nothing of them is left for the next writer.
pub(crate) async fn exp_7_everything_ends_together(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::Metadata).await?;
    let form = cx.form().await?;
    let key = cx.key("k");
    cx.align().await?;
    let life = cx.life(form, 1)?;
    life.set(cx.store().set(&key, cx.value(1))).metadata(json!({ "m": 1 })).await?;
    cx.pass_until_before_end(life).await?;
    let entry = cx.entry(&key).await?;
    ensure_eq!(
        (entry.value(), entry.metadata()),
        (&cx.value(1), Some(&Metadata::from(json!({ "m": 1 })))),
        "just before the end"
    );
    cx.pass_until_end(life).await?;
    ensure_eq!(cx.store().get_entry(&key).await?, None, "get_entry at the end");
    if cx.declares(Feature::IfNotExists) {
        let outcome = cx.store().set(&key, cx.value(2)).if_not_exists().await?;
        ensure_eq!(outcome.status(), SetStatus::Created, "IfNotExists at the end");
        ensure_eq!(cx.entry(&key).await?.metadata(), None, "metadata after the end");
    }
    Ok(())
}
