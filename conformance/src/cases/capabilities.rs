//! CAP-1 to CAP-5, CHK-1 and CHK-2.

use std::time::Duration;

use kv_api::{
    Capabilities, DeleteOutcome, EntryExpiry, ErrorKind, Feature, ItemLimit, ItemParts, ListedMetadata, Metadata,
    Reason, RequestRate, SetItem, SetStatus, Support, Value, ValueKind, ValueKinds,
};
use serde_json::json;

use super::sample_limit::{LARGEST_ITEM, LARGEST_REFUSED_ITEM};
use crate::context::{Context, collected, support, value_of};
use crate::outcome::{CaseResult, Stop, not_applicable, not_exercised};
use crate::wrappers::Behind;

/// A case for each feature: declared it does not fail, undeclared it is refused and changes nothing.
macro_rules! declared_or_refused {
    ($($(#[$doc:meta])* $name:ident, $feature:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) async fn $name(cx: &Context<'_>) -> CaseResult {
            let feature = $feature;
            let store = cx.with(feature).await?;
            let key = cx.key("k");
            let set = store.set(&key, cx.value(1));
            match feature {
                Feature::IfNotExists => drop(set.if_not_exists().await?),
                Feature::IfExists => drop(set.if_exists().await?),
                Feature::IfVersion => drop(set.if_version(crate::context::foreign_version()).await?),
                Feature::Ttl => drop(set.ttl(a_while(cx)).await?),
                Feature::ExpireAt => {
                    drop(crate::expiring::Life::set(cx.life(crate::expiring::Form::At, 1)?, set).await?);
                }
                Feature::Metadata => drop(set.metadata(json!({ "m": 1 })).await?),
                Feature::ValueKind(kind) => drop(store.set(&key, value_of(kind)).await?),
                Feature::Expire => drop(store.expire(&key).never().await?),
                Feature::ExpireIfVersion => {
                    let version = crate::context::foreign_version();
                    ensure!(!store.expire(&key).never().if_version(version).await?, "expire with a foreign version");
                }
                Feature::Touch => drop(store.get(&key).touch(a_while(cx)).await?),
                Feature::GetAndDelete => drop(store.get_and_delete(&key).await?),
                Feature::Counters => drop(store.increment(&key, 1).await?),
                Feature::CounterTtl => drop(store.increment(&key, 1).ttl_if_created(a_while(cx)).await?),
                Feature::AllOrNothing => {
                    drop(store.set_many_all_or_nothing([SetItem::new(&*key, cx.value(1))]).await?);
                }
                _ => drop(store.list().await?),
            }
            Ok(())
        }
    )*};
}

/// A ttl that every store with ttls accepts.
pub(crate) fn a_while(cx: &Context<'_>) -> Duration {
    cx.capabilities().expiry_min.max(Duration::from_secs(3600))
}

declared_or_refused! {
    /// CAP-1: `IfNotExists` works where it is declared and is refused where it is not.
    cap_1_if_not_exists_is_kept_or_refused, Feature::IfNotExists;
    /// CAP-1: `IfExists` works where it is declared and is refused where it is not.
    cap_1_if_exists_is_kept_or_refused, Feature::IfExists;
    /// CAP-1: `IfVersion` works where it is declared and is refused where it is not.
    cap_1_if_version_is_kept_or_refused, Feature::IfVersion;
    /// CAP-1: a ttl works where it is declared and is refused where it is not.
    cap_1_ttl_is_kept_or_refused, Feature::Ttl;
    /// CAP-1: an absolute expiry works where it is declared and is refused where it is not.
    cap_1_expire_at_is_kept_or_refused, Feature::ExpireAt;
    /// CAP-1: `expire` works where it is declared and is refused where it is not.
    cap_1_expire_is_kept_or_refused, Feature::Expire;
    /// CAP-1: `expire` with a version works where it is declared and is refused where it is not.
    cap_1_expire_if_version_is_kept_or_refused, Feature::ExpireIfVersion;
    /// CAP-1: a touch works where it is declared and is refused where it is not.
    cap_1_touch_is_kept_or_refused, Feature::Touch;
    /// CAP-1: `get_and_delete` works where it is declared and is refused where it is not.
    cap_1_get_and_delete_is_kept_or_refused, Feature::GetAndDelete;
    /// CAP-1: metadata works where it is declared and is refused where it is not.
    cap_1_metadata_is_kept_or_refused, Feature::Metadata;
    /// CAP-1: text works where it is declared and is refused where it is not.
    cap_1_text_is_kept_or_refused, Feature::ValueKind(ValueKind::Text);
    /// CAP-1: JSON works where it is declared and is refused where it is not.
    cap_1_json_is_kept_or_refused, Feature::ValueKind(ValueKind::Json);
    /// CAP-1: bytes work where they are declared and are refused where they are not.
    cap_1_bytes_are_kept_or_refused, Feature::ValueKind(ValueKind::Bytes);
    /// CAP-1: a list works where it is declared and is refused where it is not, with all that walks it.
    cap_1_list_is_kept_or_refused, Feature::List;
    /// CAP-1: counters work where they are declared and are refused where they are not.
    cap_1_counters_are_kept_or_refused, Feature::Counters;
    /// CAP-1: a ttl for a new counter works where it is declared and is refused where it is not.
    cap_1_counter_ttl_is_kept_or_refused, Feature::CounterTtl;
    /// CAP-1: all-or-nothing batches work where they are declared and are refused where they are not.
    cap_1_all_or_nothing_is_kept_or_refused, Feature::AllOrNothing;
}

/// CAP-2: best effort is refused with a reason of its own, which names the way to accept it.
pub(crate) async fn cap_2_the_refusal_of_best_effort_tells_the_way(cx: &Context<'_>) -> CaseResult {
    let weaker = Capabilities::new("best effort")
        .with_value_kinds(ValueKinds::ALL)
        .with_if_not_exists(Support::BestEffort)
        .with_if_exists(Support::BestEffort);
    let restrict = cx.strict().restricted_to([&weaker]);
    let key = cx.key("k");
    let mut tried = false;
    for feature in [Feature::IfNotExists, Feature::IfExists].into_iter().filter(|feature| cx.declares(*feature)) {
        tried = true;
        let set = |store: &kv_api::Store| {
            let set = store.clone();
            let (key, value) = (key.clone(), cx.value(1));
            async move {
                let set = set.set(&key, value);
                if feature == Feature::IfExists { set.if_exists().await } else { set.if_not_exists().await }
            }
        };
        let error = ensure_err!(set(&restrict).await, "best effort without an opt-in");
        ensure_eq!(error.kind(), ErrorKind::Unsupported, "the kind");
        ensure_eq!(error.reason(), Some(&Reason::BestEffortNotAllowed(feature)), "the reason");
        ensure!(error.to_string().contains("allow_best_effort"), "the error does not tell the way: {error}");
        set(&restrict.allow_best_effort()).await?;
    }
    if tried { Ok(()) } else { not_applicable("no condition is declared that could be restricted to best effort") }
}

/// CAP-3, LAYER-1: what is declared makes sense together, and with the methods that the backend names.
pub(crate) async fn cap_3_the_declaration_makes_sense(cx: &Context<'_>) -> CaseResult {
    let capabilities = cx.capabilities();
    ensure!(
        !capabilities.system.is_empty() && !capabilities.system.contains('\0'),
        "the name of the system: {:?}",
        capabilities.system
    );
    ensure!(capabilities.value_kinds != ValueKinds::NONE, "no kind of value is declared, so nothing can be written");
    ensure!(capabilities.key_bytes_min >= 1, "key_bytes_min is {}, and no key is empty", capabilities.key_bytes_min);
    ensure!(capabilities.key_bytes_min <= capabilities.key_bytes_max, "key_bytes_min is above key_bytes_max");
    ensure!(capabilities.expiry_resolution >= Duration::from_micros(1), "an expiry_resolution below a microsecond");
    ensure!(capabilities.list == Support::None || capabilities.list_page_max >= 1, "pages of no key");
    let counts = capabilities.counters != Support::None;
    ensure!(
        !counts || (capabilities.counter_min <= 0 && capabilities.counter_max >= 0),
        "a range of counters without 0"
    );
    ensure!(!counts || cx.has_kind(ValueKind::Json), "counters read as JSON integers, and JSON is not declared");
    let expires = capabilities.ttl != Support::None || capabilities.expire_at != Support::None;
    ensure!(expires || capabilities.expire == Support::None, "expire is declared, and no form of expiry is");
    for feature in [Feature::CounterTtl, Feature::ExpireIfVersion, Feature::Touch, Feature::GetAndDelete] {
        ensure_eq!(capabilities.support(feature), support(capabilities, feature), "the support of {feature}");
    }
    for limit in &*capabilities.item_limits {
        ensure!(!limit.name.is_empty(), "a limit without a name");
    }
    let Some(backend) = Behind::of(cx.strict()) else {
        return Err(Stop::Failed("no backend was found behind the handle".to_owned()));
    };
    let (reported, offered) = (backend.capabilities(), Capabilities::offered_by(&*backend));
    for &feature in Feature::ALL {
        ensure!(
            offered.support(feature) == reported.support(feature),
            "{feature} is reported, and the backend does not name its method"
        );
    }
    let bulk = |capabilities: &Capabilities| (capabilities.bulk_write_items, capabilities.bulk_read_items);
    ensure!(
        bulk(&offered) == bulk(reported),
        "bulk requests of (writes, reads) {:?} are reported, and the backend does not name their methods",
        bulk(reported)
    );
    Ok(())
}

/// CAP-3, CAP-1: what is told beside outcomes and entries is what is declared.
pub(crate) async fn cap_3_nothing_is_told_that_is_not_declared(cx: &Context<'_>) -> CaseResult {
    let capabilities = cx.capabilities();
    let key = cx.key("k");
    let set = cx.store().set(&key, cx.value(1)).await?;
    let entry = cx.entry(&key).await?;
    if capabilities.if_version == Support::None {
        ensure_eq!((set.version(), entry.version()), (None, None), "versions, which are declared absent");
    }
    if !capabilities.expiry_read {
        ensure_eq!(entry.expiry(), EntryExpiry::Unknown, "the expiry, whose reading is declared absent");
    }
    if capabilities.metadata == Support::None {
        ensure_eq!(entry.metadata(), None, "metadata, which is declared absent");
    }
    if capabilities.list != Support::None {
        for item in collected(cx.store().list().stream()).await? {
            ensure!(
                capabilities.list_metadata || item.metadata == ListedMetadata::NotReported,
                "listed metadata, declared absent"
            );
            ensure!(capabilities.list_expiry || item.expiry == EntryExpiry::Unknown, "listed expiry, declared absent");
            ensure!(capabilities.list_value_bytes || item.value_bytes.is_none(), "a listed length, declared absent");
        }
    }
    let deleted = cx.store().delete(&key).await?;
    let expected = if capabilities.reports_delete_outcome { DeleteOutcome::Deleted } else { DeleteOutcome::Accepted };
    ensure_eq!(deleted, expected, "the outcome of a delete");
    Ok(())
}

/// CAP-4: a restricted handle offers less, refuses the rest, and hides what the narrower system could not tell.
pub(crate) async fn cap_4_a_restricted_handle_hides_what_others_cannot_tell(cx: &Context<'_>) -> CaseResult {
    // Limits hold for the whole key.
    let (min, max) = (cx.prefix().len() + 2, cx.prefix().len() + 64);
    let least = Capabilities::new("least").with_value_kinds(ValueKinds::ALL).with_key_bytes(min, max);
    let restrict = cx.store().restricted_to([&least]);
    let key = cx.key("key");
    ensure_eq!(restrict.set(&key, cx.value(1)).await?.status(), SetStatus::Stored, "a set over nothing");
    let outcome = restrict.set(&key, cx.value(2)).await?;
    ensure_eq!((outcome.status(), outcome.version()), (SetStatus::Stored, None), "a set over an entry");
    let Some(entry) = restrict.get_entry(&key).await? else {
        return Err(Stop::Failed("a restricted handle does not see what it wrote".to_owned()));
    };
    ensure_eq!((entry.expiry(), entry.version()), (EntryExpiry::Unknown, None), "what an entry tells");
    ensure_refused!(restrict.set(&key, cx.value(3)).if_not_exists().await, ErrorKind::Unsupported, None, "IfNotExists");
    ensure_refused!(restrict.increment(&key, 1).await, ErrorKind::Unsupported, None, "increment");
    ensure_refused!(restrict.list().await, ErrorKind::Unsupported, None, "list");
    ensure_refused!(restrict.expire(&key).never().await, ErrorKind::Unsupported, None, "expire");
    ensure_refused!(restrict.get_and_delete(&key).await, ErrorKind::Unsupported, None, "get_and_delete");
    ensure_refused!(restrict.get(&key).touch(a_while(cx)).await, ErrorKind::Unsupported, None, "touch");
    let short = restrict.set("k", cx.value(3)).await;
    ensure_refused!(short, ErrorKind::InvalidArgument, None, "a key below the tighter limit");
    ensure_eq!(restrict.delete(&key).await?, DeleteOutcome::Accepted, "a delete");
    ensure_eq!(restrict.delete(&key).await?, DeleteOutcome::Accepted, "a delete of nothing");
    for outcome in restrict.delete_many([&*key]).await {
        ensure_eq!(outcome?, DeleteOutcome::Accepted, "a delete of nothing among many");
    }
    cx.expect(&key, None, "after a delete through a restricted handle").await
}

/// CAP-5: what is reported for planning makes sense, and is true where requests can be counted.
pub(crate) async fn cap_5_a_bulk_request_takes_what_is_reported(cx: &Context<'_>) -> CaseResult {
    const ITEMS: usize = 20;
    let capabilities = cx.capabilities();
    let (writes, reads) = (capabilities.bulk_write_items, capabilities.bulk_read_items);
    ensure!(writes >= 1 && reads >= 1, "a bulk request of no item: {writes}, {reads}");
    if let Some(rate) = capabilities.request_rate {
        ensure!(rate.requests >= 1 && !rate.per.is_zero(), "a rate without requests or time: {rate:?}");
    }
    // Slower than any.
    let slow = RequestRate::new(1, Duration::from_secs(1_000_000));
    let other = Capabilities::new("slow").with_value_kinds(ValueKinds::ALL).with_request_rate(slow);
    let restrict = cx.store().restricted_to([&other]);
    let restricted = restrict.capabilities();
    let reported = (restricted.bulk_write_items, restricted.bulk_read_items, restricted.request_rate);
    ensure_eq!(reported, (1, 1, Some(slow)), "what a restricted handle reports");

    let keys: Vec<String> = (0..ITEMS).map(|number| cx.key(&format!("k{number}."))).collect();
    let together = |bulk: usize, before: Option<u64>, what: &str| -> CaseResult {
        let Some((before, now)) = before.zip(cx.requests()) else { return Ok(()) };
        let sent = now - before;
        ensure!(
            bulk < ITEMS || sent < ITEMS as u64,
            "{what} of {ITEMS} items sent {sent} requests; one is reported to take {bulk} items"
        );
        Ok(())
    };
    let before = cx.requests();
    for result in cx.store().set_many(keys.iter().map(|key| SetItem::new(key, cx.value(1)))).await {
        result?;
    }
    together(writes, before, "set_many")?;
    let before = cx.requests();
    let values = cx.store().get_many(keys.iter().map(String::as_str)).await?;
    ensure_eq!(values, vec![Some(cx.value(1)); ITEMS], "the values of a bulk request");
    together(reads, before, "get_many")
}

/// CHK-1: what is not acceptable reaches no adapter: nothing is sent and nothing has changed.
pub(crate) async fn chk_1_what_is_not_acceptable_is_not_sent(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    cx.store().set(&key, cx.value(1)).await?;
    let before = cx.entry(&key).await?;
    let sent = cx.requests();
    let too_long = (cx.capabilities().key_bytes_max < super::sample_limit::LARGEST_KEY)
        .then(|| "k".repeat(cx.key_bytes().end() + 1));
    for bad in [Some(String::new()), too_long].into_iter().flatten() {
        ensure!(cx.store().get(&bad).await.is_err(), "a get of a key that is not acceptable");
        ensure!(cx.store().set(&bad, cx.value(2)).await.is_err(), "a set of a key that is not acceptable");
        ensure!(cx.store().delete(&bad).await.is_err(), "a delete of a key that is not acceptable");
        ensure!(cx.store().get_many([&*key, &*bad]).await.is_err(), "get_many with a key that is not acceptable");
    }
    ensure!(cx.store().set(&key, cx.value(2)).if_exists().if_not_exists().await.is_err(), "two conditions");
    ensure!(cx.store().set(&key, serde_json::Value::Null).await.is_err(), "a set of null");
    cx.expect_sent(sent, 0, "what is not acceptable")?;
    ensure_eq!(cx.entry(&key).await?, before, "the entry");
    Ok(())
}

/// What of an item grows to reach a limit.
#[derive(Clone, Copy)]
enum Filler {
    Value(ValueKind),
    Metadata,
}

impl Filler {
    fn item(self, cx: &Context<'_>, length: usize) -> (Value, Option<Metadata>) {
        let text = "x".repeat(length);
        match self {
            Self::Value(ValueKind::Text) => (Value::from(text), None),
            Self::Value(ValueKind::Json) => (Value::from(json!([text])), None),
            Self::Value(_) => (Value::from(text.into_bytes()), None),
            Self::Metadata => (cx.value(1), Some(Metadata::from(json!(text)))),
        }
    }
}

/// CHK-2, META-1: each declared limit is kept from both sides: the greatest item works, one byte more is refused with
/// the limit's name and both figures.
pub(crate) async fn chk_2_each_limit_is_kept_from_both_sides(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    let mut too_large = Vec::new();
    let limits = cx.capabilities().item_limits.clone();
    if limits.is_empty() {
        return not_applicable("no limit on the size of an item is declared");
    }
    for limit in &*limits {
        // Of limits of one name, as a restricted handle has them, the tightest counts.
        if limits.iter().any(|other| other.name == limit.name && other.max < limit.max) {
            continue;
        }
        let measure = |filler: Filler, length: usize| {
            let (value, metadata) = filler.item(cx, length);
            limit.measure(ItemParts::new(&cx.whole(&key), &value, metadata.as_ref(), false))
        };
        let kinds = [ValueKind::Text, ValueKind::Json, ValueKind::Bytes].into_iter().filter(|kind| cx.has_kind(*kind));
        let fillers = kinds.map(Filler::Value).chain(cx.declares(Feature::Metadata).then_some(Filler::Metadata));
        let growing: Vec<Filler> = fillers.filter(|filler| measure(*filler, 64) > measure(*filler, 0)).collect();
        if growing.is_empty() {
            if limit.name == "metadata_bytes_max" && !cx.declares(Feature::Metadata) {
                continue; // a limit on what is refused anyway
            }
            return not_exercised(format!("the limit {} grows with nothing that an item holds", limit.name));
        }
        if limit.max > LARGEST_REFUSED_ITEM {
            too_large.push(format!("{} is {}, too large to try", limit.name, limit.max));
            continue;
        }
        for filler in growing {
            try_limit(cx, &key, limit, &limits, filler).await?;
        }
        if limit.max > LARGEST_ITEM {
            too_large.push(format!(
                "{} is {}, too large to write here; the refusal above it was checked",
                limit.name, limit.max
            ));
        }
    }
    if too_large.is_empty() { Ok(()) } else { not_applicable(too_large.join("; ")) }
}

async fn try_limit(cx: &Context<'_>, key: &str, limit: &ItemLimit, all: &[ItemLimit], filler: Filler) -> CaseResult {
    let whole = cx.whole(key);
    let measured = |limit: &ItemLimit, length: usize| {
        let (value, metadata) = filler.item(cx, length);
        limit.measure(ItemParts::new(&whole, &value, metadata.as_ref(), false))
    };
    // The greatest filler that the limit allows.
    let max = usize::try_from(limit.max).unwrap_or(usize::MAX);
    let (mut fits, mut over) = (0, max.saturating_add(1));
    // Most limits count the filler byte by byte: look there first, since a large item is slow to make.
    let beside = usize::try_from(measured(limit, 0)).unwrap_or(usize::MAX);
    let guess = max.saturating_sub(beside);
    if measured(limit, guess) <= limit.max && measured(limit, guess + 1) > limit.max {
        (fits, over) = (guess, guess + 1);
    }
    while fits + 1 < over {
        let middle = fits + (over - fits) / 2;
        if measured(limit, middle) <= limit.max { fits = middle } else { over = middle }
    }
    // Another limit may be met first; then this one cannot be reached in this way.
    if all.iter().any(|other| other.name != limit.name && measured(other, over) > other.max) {
        return Ok(());
    }
    let set = |length: usize| {
        let (value, metadata) = filler.item(cx, length);
        let set = cx.store().set(key, value);
        match metadata {
            Some(metadata) => set.metadata(metadata),
            None => set,
        }
    };
    cx.store().delete(key).await?;
    if limit.max <= LARGEST_ITEM {
        set(fits).await?;
        let (value, metadata) = filler.item(cx, fits);
        let entry = cx.entry(key).await?;
        ensure!(entry.value() == &value, "the value of an item as large as {} allows came back changed", limit.name);
        ensure!(
            entry.metadata() == metadata.as_ref(),
            "the metadata of an item as large as {} allows came back changed",
            limit.name
        );
    }
    let before = cx.store().get_entry(key).await?;
    let sent = cx.requests();
    let reason = Reason::Limit { name: limit.name.clone(), allowed: limit.max, found: measured(limit, over) };
    ensure_invalid!(set(over).await, reason, "an item one step above {}", limit.name);
    cx.expect_sent(sent, 0, "an item above a limit")?;
    ensure!(cx.store().get_entry(key).await? == before, "an item above {} has changed the entry", limit.name);
    Ok(())
}
