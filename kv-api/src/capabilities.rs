//! What a store can do and how much it can hold, as data (CAP-1 to CAP-5).

use std::borrow::Cow;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::clock::Timestamp;
use crate::error::{Error, Feature, Result};
use crate::metadata::Metadata;
use crate::methods::{Method, Methods};
use crate::request_rate::RequestRate;
use crate::value::Value;
use crate::value_kind::ValueKind;

/// How far a store keeps a promise (CAP-2). Ordered: what comes later promises more. Through serde it is `none`,
/// `best_effort`, `emulated` or `native`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Support {
    /// Refused with `Unsupported` before anything is sent.
    #[default]
    None,
    /// With a race window: refused unless the caller opted in (SET-6).
    BestEffort,
    /// The same guarantees as `Native`, kept by the adapter.
    Emulated,
    /// Done by the system itself.
    Native,
}

impl Support {
    /// Whether it keeps all guarantees without an opt-in: `Native` or `Emulated`.
    #[must_use]
    pub const fn is_full(self) -> bool {
        matches!(self, Self::Native | Self::Emulated)
    }

    /// This, where what it needs is supported at all.
    const fn given(self, needed: Self) -> Self {
        if matches!(needed, Self::None) { Self::None } else { self }
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::BestEffort => "best effort",
            Self::Emulated => "emulated",
            Self::Native => "native",
        })
    }
}

/// The order of a list (LIST-2). Ordered: what comes later promises more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ListOrder {
    /// No order; a key may come on more than one page, never twice on one.
    #[default]
    Unordered,
    /// By the bytes of the key; a key that exists during the whole walk comes exactly once.
    Lexicographic,
}

/// Whose clock ends an entry (EXP-10). Ordered: what comes later promises more.
///
/// ```
/// use kv_api::{Capabilities, ExpiryClock};
/// let capabilities = Capabilities::new("example");
/// assert_eq!(capabilities.expiry_clock, ExpiryClock::System); // the default
/// assert_eq!(capabilities.with_expiry_clock(ExpiryClock::Store).expiry_clock.to_string(), "store");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ExpiryClock {
    /// The system's own, which is not ours to inject. What is checked before sending is checked by the store's injected
    /// clock, and is a guard and no decision (EXP-5).
    #[default]
    System,
    /// The store's injected clock, and no other: what is checked before sending is what decides.
    Store,
}

impl fmt::Display for ExpiryClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::Store => "store",
        })
    }
}

/// When a write is seen (SET-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Consistency {
    /// By every read that starts after the write was acknowledged.
    Strong,
    /// Later.
    Eventual {
        /// Usually within this time, by the system's own word; `None` where it gives none. Never a bound.
        usually_within: Option<Duration>,
    },
}

/// A set of [`ValueKind`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ValueKinds(u8);

impl ValueKinds {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Text, JSON and bytes.
    pub const ALL: Self = Self::NONE.with(ValueKind::Text).with(ValueKind::Json).with(ValueKind::Bytes);

    /// The set with `kind` in it.
    #[must_use]
    pub const fn with(self, kind: ValueKind) -> Self {
        Self(self.0 | Self::bit(kind))
    }

    /// Whether `kind` is in the set.
    #[must_use]
    pub const fn contains(self, kind: ValueKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    const fn bit(kind: ValueKind) -> u8 {
        match kind {
            ValueKind::Text => 1,
            ValueKind::Json => 2,
            ValueKind::Bytes => 4,
        }
    }
}

impl fmt::Debug for ValueKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [ValueKind::Text, ValueKind::Json, ValueKind::Bytes];
        f.debug_set().entries(kinds.iter().filter(|kind| self.contains(**kind))).finish()
    }
}

/// What a size limit measures: an item as the caller gave it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ItemParts<'a> {
    /// The whole key, with the handle's prefix.
    pub key: &'a str,
    /// The value.
    pub value: &'a Value,
    /// The metadata, if there is any.
    pub metadata: Option<&'a Metadata>,
    /// Whether the item carries an expiry.
    pub expires: bool,
}

impl<'a> ItemParts<'a> {
    /// The parts of an item, for an adapter's own tests of its measuring functions.
    #[must_use]
    pub const fn new(key: &'a str, value: &'a Value, metadata: Option<&'a Metadata>, expires: bool) -> Self {
        Self { key, value, metadata, expires }
    }
}

/// A limit on the size of an item, measured in the target's own encoding by a pure function (CHK-2).
///
/// ```
/// use kv_api::{ItemLimit, ItemParts, Value};
/// let sealed = ItemLimit::measured_by("sealed_bytes_max", 100, |item| item.value.as_bytes().len() as u64 + 40);
/// assert_eq!(sealed.measure(ItemParts::new("k", &Value::from("12345"), None, false)), 45);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ItemLimit {
    /// The name an error gives, such as `value_bytes_max`.
    pub name: Cow<'static, str>,
    /// The greatest size that is accepted.
    pub max: u64,
    measure: Measure,
}

#[derive(Clone)]
enum Measure {
    Plain(fn(ItemParts<'_>) -> u64),
    /// One that knows more than the item, such as how another limit measures it.
    Captured(Arc<dyn Fn(ItemParts<'_>) -> u64 + Send + Sync>),
}

impl ItemLimit {
    /// A limit of this name: `max` in the unit of `measure`.
    #[must_use]
    pub const fn new(name: &'static str, max: u64, measure: fn(ItemParts<'_>) -> u64) -> Self {
        Self { name: Cow::Borrowed(name), max, measure: Measure::Plain(measure) }
    }

    /// The same, with a measure that captures what it needs. It must be pure all the same.
    #[must_use]
    pub fn measured_by(
        name: impl Into<Cow<'static, str>>,
        max: u64,
        measure: impl Fn(ItemParts<'_>) -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), max, measure: Measure::Captured(Arc::new(measure)) }
    }

    /// A limit on the bytes of the value as it is.
    #[must_use]
    pub const fn value_bytes(max: u64) -> Self {
        Self::new("value_bytes_max", max, |item| item.value.as_bytes().len() as u64)
    }

    /// A limit on the bytes of the metadata's compact JSON text (META-1).
    #[must_use]
    pub const fn metadata_bytes(max: u64) -> Self {
        Self::new("metadata_bytes_max", max, |item| {
            item.metadata.map_or(0, |metadata| metadata.as_bytes().len() as u64)
        })
    }

    /// The size of an item, in the unit of [`max`](Self::max).
    #[must_use]
    pub fn measure(&self, item: ItemParts<'_>) -> u64 {
        match &self.measure {
            Measure::Plain(measure) => measure(item),
            Measure::Captured(measure) => measure(item),
        }
    }

    /// Refuses an item that is above the limit.
    pub(crate) fn check(&self, item: ItemParts<'_>) -> Result<()> {
        let found = self.measure(item);
        if found > self.max { Err(Error::limit(self.name.clone(), self.max, found)) } else { Ok(()) }
    }
}

impl fmt::Debug for ItemLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.max)
    }
}

/// What a store supports, and its limits (CAP-3). [`Capabilities::new`] supports nothing; each `with_` method
/// sets one thing, and all are `const`, so that an adapter's capabilities are a `static`.
///
/// ```
/// use kv_api::{ItemLimit, Capabilities, Support, ValueKind, ValueKinds};
/// static CAPABILITIES: Capabilities = Capabilities::new("example")
///     .with_value_kinds(ValueKinds::NONE.with(ValueKind::Text))
///     .with_if_not_exists(Support::Native)
///     .with_key_bytes(1, 512)
///     .with_item_limits(const { &[ItemLimit::value_bytes(1024)] });
/// assert_eq!(CAPABILITIES.if_not_exists, Support::Native);
/// assert_eq!(CAPABILITIES.counters, Support::None); // the default
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Capabilities {
    /// The name of the system, as errors show it.
    pub system: &'static str,
    /// The condition `IfNotExists` (SET-2, SET-6).
    pub if_not_exists: Support,
    /// The condition `IfExists` (SET-2, SET-6).
    pub if_exists: Support,
    /// Versions: the condition `IfVersion` on set and delete, and the versions that reads and outcomes report (VER-1).
    pub if_version: Support,
    /// An unconditional set reports created or updated; else it answers `Stored` (SET-5).
    pub reports_set_outcome: bool,
    /// A delete reports whether there was an entry; else it answers `Accepted` (DEL-1).
    pub reports_delete_outcome: bool,
    /// `delete_many` reports it for every key; else it may answer `Accepted` for any of them, as systems do that count
    /// what they deleted (DEL-1).
    pub reports_delete_many_outcome: bool,
    /// A relative ttl (EXP-1).
    pub ttl: Support,
    /// An absolute expiry (EXP-1).
    pub expire_at: Support,
    /// Whose clock ends an entry (EXP-10).
    pub expiry_clock: ExpiryClock,
    /// What expiries are rounded up to (EXP-4).
    pub expiry_resolution: Duration,
    /// The least time ahead of an expiry, for both forms; zero without one (EXP-6).
    pub expiry_min: Duration,
    /// The latest expiry (EXP-5).
    pub expire_at_max: Timestamp,
    /// A read reports the expiry; else it is `Unknown` (EXP-8).
    pub expiry_read: bool,
    /// Changing only the expiry of an entry (EXP-9).
    pub expire: Support,
    /// The condition `IfVersion` on `expire`. It needs `expire` and `if_version`, as `counter_ttl` needs others
    /// (EXP-11).
    pub expire_if_version: Support,
    /// A new ttl for an entry in the step that reads it. It needs `ttl` (EXP-12).
    pub touch: Support,
    /// Reading an entry and deleting it in one step (GET-4).
    pub get_and_delete: Support,
    /// Metadata (META-1).
    pub metadata: Support,
    /// The kinds of values it keeps (VAL-2).
    pub value_kinds: ValueKinds,
    /// Listing (LIST-1).
    pub list: Support,
    /// The order of a list (LIST-2).
    pub list_order: ListOrder,
    /// A list reports the metadata of each key (META-2).
    pub list_metadata: bool,
    /// A list reports the expiry of each key (LIST-1).
    pub list_expiry: bool,
    /// A list reports the length of each value in bytes (LIST-6).
    pub list_value_bytes: bool,
    /// The most keys the system puts on a page: a greater limit is asked for as this one.
    pub list_page_max: usize,
    /// Atomic counters (CNT-1).
    pub counters: Support,
    /// The least value of a counter (CNT-1).
    pub counter_min: i64,
    /// The greatest value of a counter (CNT-1).
    pub counter_max: i64,
    /// The range of counters is checked in the same step that counts. Otherwise the value is read before the step, and
    /// another write between the two can lead out of the range until the step is taken back (CNT-1).
    pub counter_range_atomic: bool,
    /// An entry with an expiry can be counted in (CNT-2).
    pub counter_expiry: bool,
    /// A ttl for a counter in the step that creates it. It needs `counters`, `counter_expiry` and `ttl`: without one of
    /// them [`support`](Self::support) answers `None` (CNT-3).
    pub counter_ttl: Support,
    /// Batches that are written whole or not at all (BATCH-3).
    pub all_or_nothing: Support,
    /// The most items that one request, or transaction, of the system writes; 1 where each is a request of its own.
    /// Where it takes any number, more than this gain little. Their bytes, and what they ask for, can make it less
    /// (BATCH-5, CAP-5).
    pub bulk_write_items: usize,
    /// The most items that one request, or transaction, of the system reads; 1 where each is a request of its own.
    /// Where it takes any number, more than this gain little. Their bytes, and what is asked of them, can make it less
    /// (CAP-5).
    pub bulk_read_items: usize,
    /// The rate of requests that the system's documents allow; `None` where they name none (CAP-5).
    pub request_rate: Option<RequestRate>,
    /// All parts of an entry that `get_entry` answers come from one write (GET-1).
    pub entry_snapshot: bool,
    /// When a write is seen (SET-7).
    pub consistency: Consistency,
    /// Keys the system cannot hold (KEY-2).
    pub forbidden_keys: Cow<'static, [Cow<'static, str>]>,
    /// The least length of a key in bytes of UTF-8; at least 1 (KEY-1).
    pub key_bytes_min: usize,
    /// The greatest length of a key in bytes of UTF-8 (KEY-1).
    pub key_bytes_max: usize,
    /// Limits on the size of an item; all of them hold (CHK-2).
    pub item_limits: Cow<'static, [ItemLimit]>,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $method:ident, $field:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub const fn $method(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    )*};
}

impl Capabilities {
    /// A store that supports nothing: no condition, no expiry, no list, no kind of value, keys of any length.
    #[must_use]
    pub const fn new(system: &'static str) -> Self {
        Self {
            system,
            if_not_exists: Support::None,
            if_exists: Support::None,
            if_version: Support::None,
            reports_set_outcome: false,
            reports_delete_outcome: false,
            reports_delete_many_outcome: false,
            ttl: Support::None,
            expire_at: Support::None,
            expiry_clock: ExpiryClock::System,
            expiry_resolution: Duration::from_secs(1),
            expiry_min: Duration::ZERO,
            expire_at_max: Timestamp::YEAR_9999_END,
            expiry_read: false,
            expire: Support::None,
            expire_if_version: Support::None,
            touch: Support::None,
            get_and_delete: Support::None,
            metadata: Support::None,
            value_kinds: ValueKinds::NONE,
            list: Support::None,
            list_order: ListOrder::Unordered,
            list_metadata: false,
            list_expiry: false,
            list_value_bytes: false,
            list_page_max: usize::MAX,
            counters: Support::None,
            counter_min: i64::MIN,
            counter_max: i64::MAX,
            counter_range_atomic: false,
            counter_expiry: false,
            counter_ttl: Support::None,
            all_or_nothing: Support::None,
            bulk_write_items: 1,
            bulk_read_items: 1,
            request_rate: None,
            entry_snapshot: false,
            consistency: Consistency::Eventual { usually_within: None },
            forbidden_keys: Cow::Borrowed(&[]),
            key_bytes_min: 1,
            key_bytes_max: usize::MAX,
            item_limits: Cow::Borrowed(&[]),
        }
    }

    setters! {
        /// Sets the support of the condition `IfNotExists`.
        with_if_not_exists, if_not_exists: Support;
        /// Sets the support of the condition `IfExists`.
        with_if_exists, if_exists: Support;
        /// Sets the support of versions and the condition `IfVersion`.
        with_if_version, if_version: Support;
        /// Sets whether an unconditional set reports created or updated.
        with_reports_set_outcome, reports_set_outcome: bool;
        /// Sets whether a delete reports if there was an entry.
        with_reports_delete_outcome, reports_delete_outcome: bool;
        /// Sets whether `delete_many` reports it for every key.
        with_reports_delete_many_outcome, reports_delete_many_outcome: bool;
        /// Sets the support of a relative ttl.
        with_ttl, ttl: Support;
        /// Sets the support of an absolute expiry.
        with_expire_at, expire_at: Support;
        /// Sets whose clock ends an entry; the system's by default.
        with_expiry_clock, expiry_clock: ExpiryClock;
        /// Sets what expiries are rounded up to: at least 1 microsecond; 1 second by default.
        with_expiry_resolution, expiry_resolution: Duration;
        /// Sets the least time ahead of an expiry; zero by default.
        with_expiry_min, expiry_min: Duration;
        /// Sets the latest expiry; never later than the year 9999.
        with_expire_at_max, expire_at_max: Timestamp;
        /// Sets whether a read reports the expiry.
        with_expiry_read, expiry_read: bool;
        /// Sets the support of `expire`.
        with_expire, expire: Support;
        /// Sets the support of the condition `IfVersion` on `expire`.
        with_expire_if_version, expire_if_version: Support;
        /// Sets the support of a new ttl in the step that reads.
        with_touch, touch: Support;
        /// Sets the support of reading and deleting in one step.
        with_get_and_delete, get_and_delete: Support;
        /// Sets the support of metadata.
        with_metadata, metadata: Support;
        /// Sets the kinds of values.
        with_value_kinds, value_kinds: ValueKinds;
        /// Sets whether a list reports the metadata of each key.
        with_list_metadata, list_metadata: bool;
        /// Sets whether a list reports the expiry of each key.
        with_list_expiry, list_expiry: bool;
        /// Sets whether a list reports the length of each value in bytes.
        with_list_value_bytes, list_value_bytes: bool;
        /// Sets the most keys on a page; no limit by default.
        with_list_page_max, list_page_max: usize;
        /// Sets whether the range of counters is checked in the same step that counts.
        with_counter_range_atomic, counter_range_atomic: bool;
        /// Sets whether an entry with an expiry can be counted in.
        with_counter_expiry, counter_expiry: bool;
        /// Sets the support of a ttl for a counter in the step that creates it.
        with_counter_ttl, counter_ttl: Support;
        /// Sets the support of batches that are written whole or not at all.
        with_all_or_nothing, all_or_nothing: Support;
        /// Sets whether all parts of an entry come from one write.
        with_entry_snapshot, entry_snapshot: bool;
        /// Sets when a write is seen; eventually by default.
        with_consistency, consistency: Consistency;
    }

    /// Sets the support of listing, and its order.
    #[must_use]
    pub const fn with_list(mut self, list: Support, order: ListOrder) -> Self {
        self.list = list;
        self.list_order = order;
        self
    }

    /// Sets the support of counters, and the range of their values.
    #[must_use]
    pub const fn with_counters(mut self, counters: Support, min: i64, max: i64) -> Self {
        self.counters = counters;
        self.counter_min = min;
        self.counter_max = max;
        self
    }

    /// Sets the most items that one request, or transaction, writes and reads: at least 1 each, and 1 by default.
    #[must_use]
    pub const fn with_bulk_items(mut self, write: usize, read: usize) -> Self {
        self.bulk_write_items = write;
        self.bulk_read_items = read;
        self
    }

    /// Sets the rate of requests that the system's documents allow; none by default.
    #[must_use]
    pub const fn with_request_rate(mut self, rate: RequestRate) -> Self {
        self.request_rate = Some(rate);
        self
    }

    /// Sets the length of keys in bytes of UTF-8; 1 to no limit by default.
    #[must_use]
    pub const fn with_key_bytes(mut self, min: usize, max: usize) -> Self {
        self.key_bytes_min = min;
        self.key_bytes_max = max;
        self
    }

    /// Sets the keys that the system cannot hold; none by default.
    #[must_use]
    pub const fn with_forbidden_keys(mut self, keys: &'static [Cow<'static, str>]) -> Self {
        // Forgetting the old value is what makes this possible in a `const fn`: a default owns nothing.
        mem::forget(mem::replace(&mut self.forbidden_keys, Cow::Borrowed(keys)));
        self
    }

    /// Sets the limits on the size of an item; none by default.
    #[must_use]
    pub const fn with_item_limits(mut self, limits: &'static [ItemLimit]) -> Self {
        // As in `with_forbidden_keys`.
        mem::forget(mem::replace(&mut self.item_limits, Cow::Borrowed(limits)));
        self
    }

    /// How far the store keeps the promise of a feature (CAP-2).
    #[must_use]
    pub const fn support(&self, feature: Feature) -> Support {
        match feature {
            Feature::IfNotExists => self.if_not_exists,
            Feature::IfExists => self.if_exists,
            Feature::IfVersion => self.if_version,
            Feature::Ttl => self.ttl,
            Feature::ExpireAt => self.expire_at,
            Feature::Expire => self.expire,
            Feature::ExpireIfVersion => self.expire_if_version.given(self.expire).given(self.if_version),
            Feature::Touch => self.touch.given(self.ttl),
            Feature::GetAndDelete => self.get_and_delete,
            Feature::Metadata => self.metadata,
            Feature::ValueKind(kind) if self.value_kinds.contains(kind) => Support::Native,
            Feature::ValueKind(_) => Support::None,
            Feature::List => self.list,
            Feature::Counters => self.counters,
            Feature::CounterTtl if self.counter_expiry => self.counter_ttl.given(self.counters).given(self.ttl),
            Feature::CounterTtl => Support::None,
            Feature::AllOrNothing => self.all_or_nothing,
        }
    }

    /// Whether a request that needs `feature` is accepted without an opt-in: its support is `Native` or `Emulated`
    /// (CAP-2, SET-6).
    ///
    /// ```
    /// use kv_api::{Capabilities, Feature, Support};
    /// let capabilities =
    ///     Capabilities::new("example").with_ttl(Support::Native).with_if_not_exists(Support::BestEffort);
    /// assert!(capabilities.supports(Feature::Ttl));
    /// assert!(!capabilities.supports(Feature::IfNotExists)); // only with `allow_best_effort`
    /// assert!(!capabilities.supports(Feature::Counters));
    /// ```
    #[must_use]
    pub const fn supports(&self, feature: Feature) -> bool {
        self.support(feature).is_full()
    }

    /// What a backend reports and also implements: a capability without its method is not supported (LAYER-1). What a
    /// handle offers, and what a layer starts from.
    ///
    /// ```
    /// use kv_api::Capabilities;
    /// let memory = kv_memory::MemoryStore::default();
    /// assert_eq!(Capabilities::offered_by(&memory).counters, kv_memory::CAPABILITIES.counters);
    /// ```
    #[must_use]
    pub fn offered_by(backend: &dyn Backend) -> Self {
        backend.capabilities().clone().masked_by(backend.methods())
    }

    /// What is left of these capabilities where only `methods` of the optional methods are implemented.
    fn masked_by(mut self, methods: Methods) -> Self {
        for (support, method) in [
            (&mut self.all_or_nothing, Method::WriteAllOrNothing),
            (&mut self.list, Method::List),
            (&mut self.counters, Method::Increment),
            (&mut self.counter_ttl, Method::Increment),
            (&mut self.expire, Method::Expire),
            (&mut self.expire_if_version, Method::Expire),
            (&mut self.touch, Method::Touch),
            (&mut self.get_and_delete, Method::GetAndDelete),
        ] {
            if !methods.contains(method) {
                *support = Support::None;
            }
        }
        if !methods.contains(Method::WriteMany) {
            self.bulk_write_items = 1;
        }
        if !methods.contains(Method::ReadMany) {
            self.bulk_read_items = 1;
        }
        self
    }

    /// The greatest size allowed by a limit of this name, where there is one.
    #[must_use]
    pub fn item_limit(&self, name: &str) -> Option<u64> {
        self.item_limits.iter().filter(|limit| limit.name == name).map(|limit| limit.max).min()
    }

    /// These capabilities restricted to `other` (CAP-4): every capability the weaker, every limit the tighter, the
    /// forbidden keys and measuring functions of both. It keeps the name of its own system. They say what is refused
    /// and how much is held, not how stale a read is or who wins a race.
    ///
    /// ```
    /// use kv_api::{Capabilities, ExpiryClock, Support};
    /// let strong = Capabilities::new("strong").with_if_exists(Support::Native).with_key_bytes(1, 1024);
    /// let weak = Capabilities::new("weak").with_if_exists(Support::BestEffort).with_key_bytes(6, 4096);
    /// let restricted = strong.restricted_to(&weak);
    /// assert_eq!((restricted.system, restricted.if_exists), ("strong", Support::BestEffort));
    /// assert_eq!((restricted.key_bytes_min, restricted.key_bytes_max), (6, 1024));
    /// let store = Capabilities::new("store").with_expiry_clock(ExpiryClock::Store);
    /// assert_eq!(store.restricted_to(&weak).expiry_clock, ExpiryClock::System);
    /// ```
    #[must_use]
    pub fn restricted_to(&self, other: &Self) -> Self {
        Self {
            system: self.system,
            if_not_exists: self.if_not_exists.min(other.if_not_exists),
            if_exists: self.if_exists.min(other.if_exists),
            if_version: self.if_version.min(other.if_version),
            reports_set_outcome: self.reports_set_outcome && other.reports_set_outcome,
            reports_delete_outcome: self.reports_delete_outcome && other.reports_delete_outcome,
            reports_delete_many_outcome: self.reports_delete_many_outcome && other.reports_delete_many_outcome,
            ttl: self.ttl.min(other.ttl),
            expire_at: self.expire_at.min(other.expire_at),
            expiry_clock: self.expiry_clock.min(other.expiry_clock),
            expiry_resolution: self.expiry_resolution.max(other.expiry_resolution),
            expiry_min: self.expiry_min.max(other.expiry_min),
            expire_at_max: self.expire_at_max.min(other.expire_at_max),
            expiry_read: self.expiry_read && other.expiry_read,
            expire: self.expire.min(other.expire),
            expire_if_version: self.expire_if_version.min(other.expire_if_version),
            touch: self.touch.min(other.touch),
            get_and_delete: self.get_and_delete.min(other.get_and_delete),
            metadata: self.metadata.min(other.metadata),
            value_kinds: ValueKinds(self.value_kinds.0 & other.value_kinds.0),
            list: self.list.min(other.list),
            list_order: self.list_order.min(other.list_order),
            list_metadata: self.list_metadata && other.list_metadata,
            list_expiry: self.list_expiry && other.list_expiry,
            list_value_bytes: self.list_value_bytes && other.list_value_bytes,
            list_page_max: self.list_page_max.min(other.list_page_max),
            counters: self.counters.min(other.counters),
            counter_min: self.counter_min.max(other.counter_min),
            counter_max: self.counter_max.min(other.counter_max),
            counter_range_atomic: self.counter_range_atomic && other.counter_range_atomic,
            counter_expiry: self.counter_expiry && other.counter_expiry,
            counter_ttl: self.counter_ttl.min(other.counter_ttl),
            all_or_nothing: self.all_or_nothing.min(other.all_or_nothing),
            bulk_write_items: self.bulk_write_items.min(other.bulk_write_items),
            bulk_read_items: self.bulk_read_items.min(other.bulk_read_items),
            request_rate: slower_rate(self.request_rate, other.request_rate),
            entry_snapshot: self.entry_snapshot && other.entry_snapshot,
            consistency: weaker_consistency(self.consistency, other.consistency),
            forbidden_keys: self.forbidden_keys.iter().chain(&*other.forbidden_keys).cloned().collect(),
            key_bytes_min: self.key_bytes_min.max(other.key_bytes_min),
            key_bytes_max: self.key_bytes_max.min(other.key_bytes_max),
            item_limits: self.item_limits.iter().chain(&*other.item_limits).cloned().collect(),
        }
    }
}

/// A rate that is named is tighter than none.
fn slower_rate(left: Option<RequestRate>, right: Option<RequestRate>) -> Option<RequestRate> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.slower(right)),
        (left, right) => left.or(right),
    }
}

fn weaker_consistency(left: Consistency, right: Consistency) -> Consistency {
    match (left, right) {
        (Consistency::Strong, other) | (other, Consistency::Strong) => other,
        (Consistency::Eventual { usually_within: left }, Consistency::Eventual { usually_within: right }) => {
            // No word about the time is the weakest word.
            Consistency::Eventual { usually_within: left.zip(right).map(|(left, right)| left.max(right)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_1_a_capability_without_its_method_is_not_supported() {
        let counts =
            Capabilities::new("example").with_counters(Support::Native, 0, 9).with_counter_ttl(Support::Native);
        let masked = counts.masked_by(Methods::NONE);
        assert_eq!((masked.counters, masked.counter_ttl), (Support::None, Support::None));
    }
}
