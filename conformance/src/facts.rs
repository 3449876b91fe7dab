//! What a store reports of itself, in a form that can be kept, compared and shown.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use kv_api::{Capabilities, Consistency, Feature, ListOrder, Support, ValueKind};
use serde::{Deserialize, Serialize};

/// One capability or one limit of a store (CAP-1, CAP-3).
///
/// ```
/// use kv_conformance::{Fact, FactValue};
/// use kv_conformance::kv_api::{Capabilities, Support};
/// let facts = Fact::all(&Capabilities::new("example").with_ttl(Support::Native));
/// let ttl = facts.iter().find(|fact| fact.name == "ttl").expect("every feature is a fact");
/// assert_eq!(ttl.value, FactValue::Support(Support::Native));
/// assert_eq!((ttl.title.as_str(), ttl.value.to_string().as_str()), ("a relative ttl", "native"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Its name in [`Capabilities`]: `expiry_min`, `value_kinds.text`, `item_limits.value_bytes_max`.
    pub name: String,
    /// What it is about.
    pub group: FactGroup,
    /// Its name for a person.
    pub title: String,
    /// What the store reports.
    pub value: FactValue,
}

/// What a fact is about, in the order in which a table shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FactGroup {
    /// Kinds of values, and metadata.
    Values,
    /// Conditions, versions, and what a write reports.
    Conditions,
    /// Expiry.
    Expiry,
    /// When a write is seen, and what belongs together.
    Consistency,
    /// Lists.
    Lists,
    /// Counters.
    Counters,
    /// Batches, and the rate of requests.
    Batches,
    /// Keys and sizes.
    Limits,
}

impl FactGroup {
    /// Every group.
    pub const ALL: &[Self] = &[
        Self::Values,
        Self::Conditions,
        Self::Expiry,
        Self::Consistency,
        Self::Lists,
        Self::Counters,
        Self::Batches,
        Self::Limits,
    ];
}

impl fmt::Display for FactGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Values => "values",
            Self::Conditions => "conditions",
            Self::Expiry => "expiry",
            Self::Consistency => "consistency",
            Self::Lists => "lists",
            Self::Counters => "counters",
            Self::Batches => "batches",
            Self::Limits => "limits",
        })
    }
}

/// What a store reports of one capability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FactValue {
    /// How far a promise is kept.
    Support(Support),
    /// Whether something holds; `true` promises more.
    Flag(bool),
    /// The greatest number that is accepted; `None` without a limit.
    AtMost(Option<i64>),
    /// The least number that is accepted.
    AtLeast(i64),
    /// A time in microseconds, of which less promises more; `None` where none is reported.
    Micros(Option<u64>),
    /// What has no order.
    Text(String),
}

impl fmt::Display for FactValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Support(support) => write!(f, "{support}"),
            Self::Flag(true) => f.write_str("yes"),
            Self::Flag(false) => f.write_str("no"),
            Self::AtMost(None) => f.write_str("no limit"),
            Self::AtMost(Some(number)) | Self::AtLeast(number) => f.write_str(&spelled(*number)),
            Self::Micros(None) => f.write_str("not reported"),
            Self::Micros(Some(micros)) if micros % 1_000_000 == 0 => write!(f, "{} s", micros / 1_000_000),
            Self::Micros(Some(micros)) if micros % 1000 == 0 => write!(f, "{} ms", micros / 1000),
            Self::Micros(Some(micros)) => write!(f, "{micros} µs"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The ends of what numbers of 64 and of 53 bits hold are known better as powers.
fn spelled(number: i64) -> String {
    const DOUBLE_MAX: i64 = (1 << 53) - 1;
    match number {
        i64::MAX => "2^63-1".to_owned(),
        i64::MIN => "-2^63".to_owned(),
        DOUBLE_MAX => "2^53-1".to_owned(),
        number if number == -DOUBLE_MAX => "-(2^53-1)".to_owned(),
        number => in_thousands(number),
    }
}

/// `65,535`.
fn in_thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut spelled = if number < 0 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            spelled.push(',');
        }
        spelled.push(digit);
    }
    spelled
}

impl Fact {
    /// Everything that `capabilities` say but the name of the system, in the order in which a table shows it.
    #[must_use]
    pub fn all(capabilities: &Capabilities) -> Vec<Self> {
        let mut facts: Vec<Self> = Feature::ALL.iter().map(|feature| of_feature(capabilities, *feature)).collect();
        facts.extend(beside_features(capabilities));
        facts.extend(limits(capabilities));
        facts.sort_by_key(|fact| fact.group);
        facts
    }

    fn new(group: FactGroup, name: impl Into<String>, title: impl Into<String>, value: FactValue) -> Self {
        Self { name: name.into(), group, title: title.into(), value }
    }
}

fn of_feature(capabilities: &Capabilities, feature: Feature) -> Fact {
    let (group, name) = known(feature).unwrap_or_else(|| (FactGroup::Values, feature.to_string().into()));
    Fact::new(group, name, feature.to_string(), FactValue::Support(capabilities.support(feature)))
}

/// The field of [`Capabilities`] that a feature stands for.
fn known(feature: Feature) -> Option<(FactGroup, Cow<'static, str>)> {
    let (group, name) = match feature {
        Feature::ValueKind(ValueKind::Text) => (FactGroup::Values, "value_kinds.text"),
        Feature::ValueKind(ValueKind::Json) => (FactGroup::Values, "value_kinds.json"),
        Feature::ValueKind(ValueKind::Bytes) => (FactGroup::Values, "value_kinds.bytes"),
        Feature::Metadata => (FactGroup::Values, "metadata"),
        Feature::IfNotExists => (FactGroup::Conditions, "if_not_exists"),
        Feature::IfExists => (FactGroup::Conditions, "if_exists"),
        Feature::IfVersion => (FactGroup::Conditions, "if_version"),
        Feature::GetAndDelete => (FactGroup::Conditions, "get_and_delete"),
        Feature::Ttl => (FactGroup::Expiry, "ttl"),
        Feature::ExpireAt => (FactGroup::Expiry, "expire_at"),
        Feature::Expire => (FactGroup::Expiry, "expire"),
        Feature::ExpireIfVersion => (FactGroup::Expiry, "expire_if_version"),
        Feature::Touch => (FactGroup::Expiry, "touch"),
        Feature::List => (FactGroup::Lists, "list"),
        Feature::Counters => (FactGroup::Counters, "counters"),
        Feature::CounterTtl => (FactGroup::Counters, "counter_ttl"),
        Feature::AllOrNothing => (FactGroup::Batches, "all_or_nothing"),
        _ => return None,
    };
    Some((group, name.into()))
}

/// What is no feature that a request could ask for. What says more about a feature that is not supported is left out:
/// it would be a default, and no promise.
fn beside_features(capabilities: &Capabilities) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |group, name: &str, title: &str, value| facts.push(Fact::new(group, name, title, value));
    let c = capabilities;
    {
        use FactGroup::{Batches, Conditions, Consistency as Seen, Counters, Expiry, Lists};
        use FactValue::{AtLeast, AtMost, Flag, Text};
        add(Conditions, "reports_set_outcome", "a set reports created or updated", Flag(c.reports_set_outcome));
        add(Conditions, "reports_delete_outcome", "a delete reports what it found", Flag(c.reports_delete_outcome));
        let many = Flag(c.reports_delete_many_outcome);
        add(Conditions, "reports_delete_many_outcome", "delete_many reports it for every key", many);
        if c.ttl != Support::None || c.expire_at != Support::None {
            add(Expiry, "expiry_min", "shortest expiry", micros(c.expiry_min.max(c.expiry_resolution)));
            add(Expiry, "expiry_resolution", "expiries are rounded up to", micros(c.expiry_resolution));
            add(Expiry, "expire_at_max", "latest expiry", Text(c.expire_at_max.to_string()));
            add(Expiry, "expiry_clock", "the clock that ends an entry", Text(c.expiry_clock.to_string()));
            add(Expiry, "expiry_read", "a read reports the expiry", Flag(c.expiry_read));
        }
        let (strong, within) = match c.consistency {
            Consistency::Eventual { usually_within } => (false, Some(usually_within)),
            consistency => (consistency == Consistency::Strong, None),
        };
        add(Seen, "consistency", "a read sees each acknowledged write", Flag(strong));
        if let Some(within) = within {
            let within = within.map_or(FactValue::Micros(None), micros);
            add(Seen, "consistency.usually_within", "a write is usually seen within", within);
        }
        add(Seen, "entry_snapshot", "all parts of an entry come from one write", Flag(c.entry_snapshot));
        if c.list != Support::None {
            let ordered = Flag(c.list_order == ListOrder::Lexicographic);
            add(Lists, "list_order", "lists in the order of keys", ordered);
            add(Lists, "list_page_max", "most keys on a page", at_most(c.list_page_max));
            add(Lists, "list_metadata", "lists report metadata", Flag(c.list_metadata));
            add(Lists, "list_expiry", "lists report expiries", Flag(c.list_expiry));
            add(Lists, "list_value_bytes", "lists report lengths of values", Flag(c.list_value_bytes));
        }
        if c.counters != Support::None {
            add(Counters, "counter_min", "least value of a counter", AtLeast(c.counter_min));
            add(Counters, "counter_max", "greatest value of a counter", AtMost(Some(c.counter_max)));
            let atomic = Flag(c.counter_range_atomic);
            add(Counters, "counter_range_atomic", "the range is checked in the step that counts", atomic);
            add(Counters, "counter_expiry", "entries that expire can be counted in", Flag(c.counter_expiry));
        }
        let rate = c
            .request_rate
            .map_or_else(|| "none".to_owned(), |rate| format!("{} in {} s", rate.requests, rate.per.as_secs_f64()));
        add(Batches, "bulk_write_items", "items that one request writes", at_most(c.bulk_write_items));
        add(Batches, "bulk_read_items", "items that one request reads", at_most(c.bulk_read_items));
        add(Batches, "request_rate", "requests that the system allows", Text(rate));
    }
    facts
}

fn limits(capabilities: &Capabilities) -> Vec<Fact> {
    let group = FactGroup::Limits;
    let least = i64::try_from(capabilities.key_bytes_min).unwrap_or(i64::MAX);
    let mut facts = vec![
        Fact::new(group, "key_bytes_min", "shortest key in bytes", FactValue::AtLeast(least)),
        Fact::new(group, "key_bytes_max", "longest key in bytes", at_most(capabilities.key_bytes_max)),
    ];
    let forbidden: Vec<String> = capabilities.forbidden_keys.iter().map(|key| format!("{key:?}")).collect();
    let forbidden = if forbidden.is_empty() { "none".to_owned() } else { forbidden.join(", ") };
    facts.push(Fact::new(group, "forbidden_keys", "forbidden keys", FactValue::Text(forbidden)));
    let mut names: Vec<&str> = capabilities.item_limits.iter().map(|limit| &*limit.name).collect();
    names.sort_unstable();
    names.dedup();
    facts.extend(names.into_iter().map(|name| {
        let max = capabilities.item_limit(name).and_then(|max| i64::try_from(max).ok());
        let title = match name {
            "value_bytes_max" => "largest value in bytes",
            "metadata_bytes_max" => "largest metadata in bytes",
            name => name,
        };
        Fact::new(group, format!("item_limits.{name}"), title, FactValue::AtMost(max))
    }));
    facts
}

/// What no number of the machine can pass is no limit.
fn at_most(number: usize) -> FactValue {
    FactValue::AtMost(if number == usize::MAX { None } else { i64::try_from(number).ok() })
}

fn micros(time: Duration) -> FactValue {
    FactValue::Micros(u64::try_from(time.as_micros()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Supports everything, so that nothing is left out.
    fn whole() -> Capabilities {
        Capabilities::new("example")
            .with_ttl(Support::Native)
            .with_list(Support::Native, ListOrder::Unordered)
            .with_counters(Support::Emulated, i64::MIN, (1 << 53) - 1)
    }

    #[test]
    fn cap_1_no_capability_is_left_out() {
        let facts = Fact::all(&whole());
        let shown = format!("{:#?}", whole());
        // The fields of the struct itself stand four spaces in.
        let fields = shown.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": ")).map(|(name, _)| name);
        let mut count = 0;
        for field in fields.filter(|name| !name.starts_with(' ') && !["system", "item_limits"].contains(name)) {
            let is_told = facts.iter().any(|fact| fact.name.split('.').next() == Some(field));
            assert!(is_told, "{field} is missing in {facts:#?}");
            count += 1;
        }
        assert!(count > 35, "{shown}");
        for feature in Feature::ALL {
            assert!(known(*feature).is_some(), "{feature} has no name here");
        }
        let mut names: Vec<&str> = facts.iter().map(|fact| fact.name.as_str()).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let facts = Fact::all(&whole());
        let text = serde_json::to_string(&facts).expect("facts are JSON");
        assert_eq!(serde_json::from_str::<Vec<Fact>>(&text).expect("facts are read"), facts);
        let counters = r#"{"name":"counters","group":"counters","title":"increment","value":{"support":"emulated"}}"#;
        assert!(text.contains(counters), "{text}");
    }

    #[test]
    fn numbers_and_times_are_shown_as_a_person_reads_them() {
        let facts = Fact::all(&whole());
        let shown = |name| facts.iter().find(|fact| fact.name == name).map(|fact| fact.value.to_string());
        assert_eq!(shown("counter_max").as_deref(), Some("2^53-1"));
        assert_eq!(shown("counter_min").as_deref(), Some("-2^63"));
        assert_eq!(shown("expiry_min").as_deref(), Some("1 s"));
        assert_eq!(shown("key_bytes_max").as_deref(), Some("no limit"));
        assert_eq!(shown("expire_at_max").as_deref(), Some("9999-12-31T23:59:59Z"));
        assert_eq!(FactValue::Micros(Some(1500)).to_string(), "1500 µs");
        let spelled = [0, 12, 999, 1000, 65_535, -1_048_576].map(|number| FactValue::AtLeast(number).to_string());
        assert_eq!(spelled, ["0", "12", "999", "1,000", "65,535", "-1,048,576"]);
        let silent = Fact::all(&Capabilities::new("silent"));
        assert!(!silent.iter().any(|fact| fact.name == "counter_max"), "a default is no promise");
    }
}
