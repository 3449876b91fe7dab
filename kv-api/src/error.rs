//! What can go wrong, by what the reader does next (ERR-1 to ERR-3).

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::printing::Escaped;
use crate::value_kind::ValueKind;

/// The result of every call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the reader of an error does next (ERR-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Fix the call: a key, value, limit, expiry, cursor or option is not acceptable.
    InvalidArgument,
    /// Change the option or the backend: this store does not support what the call needs.
    Unsupported,
    /// The stored value is not what the call needs.
    WrongType,
    /// Fix the credentials or their permissions.
    Unauthorized,
    /// The namespace, table, file or host is not there, or is not ours.
    Misconfigured,
    /// A quota, credit, disk or bounded store is full.
    Exhausted,
    /// Wait: the system asks for fewer calls. See [`Error::retry_after`].
    RateLimited,
    /// Wait: the system cannot be reached or does not answer now.
    Unavailable,
    /// The system answered outside its documentation: report it.
    Protocol,
    /// The store was closed (LIFE-2).
    Closed,
    /// A mistake of this library or of an adapter: report it.
    Internal,
}

impl ErrorKind {
    const fn label(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid argument",
            Self::Unsupported => "unsupported",
            Self::WrongType => "wrong type",
            Self::Unauthorized => "unauthorized",
            Self::Misconfigured => "misconfigured",
            Self::Exhausted => "exhausted",
            Self::RateLimited => "rate limited",
            Self::Unavailable => "unavailable",
            Self::Protocol => "protocol violation",
            Self::Closed => "store closed",
            Self::Internal => "internal error",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Whether the same call may be sent again (ERR-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// The same call would fail again.
    Never,
    /// Certainly not applied: any operation may be repeated.
    Safe,
    /// Sent, with no trustworthy answer: it may have been applied. Only what asks for a state may be repeated, never a
    /// condition, an increment, `expire`, `touch`, `get_and_delete` or an all-or-nothing batch (ERR-4).
    OutcomeUnknown,
}

/// A capability that a call needed and the store does not support (CAP-1). Its text is what a person reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// The condition `IfNotExists`.
    IfNotExists,
    /// The condition `IfExists`.
    IfExists,
    /// The condition `IfVersion`, on set or delete.
    IfVersion,
    /// A relative time to live.
    Ttl,
    /// An absolute expiry.
    ExpireAt,
    /// Changing only the expiry of an entry.
    Expire,
    /// The condition `IfVersion` on `expire` (EXP-11).
    ExpireIfVersion,
    /// A new ttl for an entry in the step that reads it (EXP-12).
    Touch,
    /// Reading an entry and deleting it in one step (GET-4).
    GetAndDelete,
    /// Metadata beside a value.
    Metadata,
    /// Values of this kind.
    ValueKind(ValueKind),
    /// Listing, and what walks a list: `delete_prefix`, `clear`.
    List,
    /// Atomic counters.
    Counters,
    /// A ttl for a counter in the step that creates it (CNT-3).
    CounterTtl,
    /// Batches that are written whole or not at all.
    AllOrNothing,
}

impl Feature {
    /// Every feature, in the order in which a table shows them.
    pub const ALL: &[Self] = &[
        Self::ValueKind(ValueKind::Text),
        Self::ValueKind(ValueKind::Json),
        Self::ValueKind(ValueKind::Bytes),
        Self::Metadata,
        Self::IfNotExists,
        Self::IfExists,
        Self::IfVersion,
        Self::Ttl,
        Self::ExpireAt,
        Self::Expire,
        Self::ExpireIfVersion,
        Self::Touch,
        Self::GetAndDelete,
        Self::List,
        Self::Counters,
        Self::CounterTtl,
        Self::AllOrNothing,
    ];
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IfNotExists => f.write_str("the condition IfNotExists"),
            Self::IfExists => f.write_str("the condition IfExists"),
            Self::IfVersion => f.write_str("the condition IfVersion"),
            Self::Ttl => f.write_str("a relative ttl"),
            Self::ExpireAt => f.write_str("an absolute expiry"),
            Self::Expire => f.write_str("expire"),
            Self::ExpireIfVersion => f.write_str("expire with a version"),
            Self::Touch => f.write_str("touch"),
            Self::GetAndDelete => f.write_str("get_and_delete"),
            Self::Metadata => f.write_str("metadata"),
            Self::ValueKind(kind) => write!(f, "a value of kind {kind}"),
            Self::List => f.write_str("list"),
            Self::Counters => f.write_str("increment"),
            Self::CounterTtl => f.write_str("increment with a ttl for a new counter"),
            Self::AllOrNothing => f.write_str("set_many_all_or_nothing"),
        }
    }
}

/// The machine-readable reason of an error, so that a tool never parses a text (ERR-1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A limit was passed (CHK-2, KEY-1).
    Limit {
        /// The name of the limit as the capabilities have it, such as `key_bytes_max`.
        name: Cow<'static, str>,
        /// What the limit allows.
        allowed: u64,
        /// What was found, in the same unit.
        found: u64,
    },
    /// The key is empty (KEY-1).
    KeyEmpty,
    /// The backend forbids this key (KEY-2).
    KeyForbidden,
    /// Top-level JSON null cannot be written (VAL-1, META-1).
    NullValue,
    /// JSON nested deeper than 100 levels (VAL-3).
    NestingTooDeep,
    /// The text is not JSON, or holds a number that would not survive (VAL-3).
    InvalidJson,
    /// The JSON names a member of an object twice (VAL-3).
    RepeatedMember,
    /// A relative ttl of zero (EXP-5).
    TtlZero,
    /// The absolute expiry is not in the future (EXP-5).
    ExpiryInPast,
    /// The expiry is after the latest the store keeps, or does not fit any time stamp (EXP-5).
    ExpiryTooLate {
        /// The latest acceptable expiry.
        latest: Timestamp,
    },
    /// The expiry, after rounding, is nearer than the store's minimum (EXP-6).
    ExpiryTooSoon {
        /// The least time an entry can be given.
        minimum: Duration,
    },
    /// Both forms of expiry were given and the precedence says `Reject` (EXP-2).
    BothExpiries,
    /// `expire` was given neither a ttl, nor a time, nor "never" (EXP-9).
    NoExpiryGiven,
    /// The store does not report when an entry ends, so an update could not keep it (SET-9).
    ExpiryNotReported,
    /// Other writers came first each time (SET-9). Nothing was written; wait, and try again.
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// Two different conditions on one request (SET-2).
    ConflictingConditions,
    /// A delete or an `expire` was given no version to ask for, in place of one (DEL-2, EXP-11).
    NoVersionGiven,
    /// The cursor is damaged, of another store or namespace, of another prefix, or the system lost its place (LIST-3).
    CursorInvalid,
    /// A page limit of zero (LIST-1).
    PageLimitZero,
    /// An empty prefix where only `clear` may say "everything" (DEL-3).
    PrefixEmpty,
    /// The store does not support this (CAP-1).
    Unsupported(Feature),
    /// The store can do this only with a race window, and the caller did not opt in (SET-6).
    BestEffortNotAllowed(Feature),
    /// The stored value is of another kind than the call needs (VAL-6, CNT-1).
    Found(ValueKind),
    /// A counter must be a JSON integer without metadata, and without expiry where `counter_expiry` is not supported
    /// (CNT-1, CNT-2).
    NotACounter,
    /// The new value of the counter is outside the range of the store's counters (CNT-1).
    CounterRange {
        /// The least value a counter can take.
        min: i64,
        /// The greatest value a counter can take.
        max: i64,
    },
    /// An item of an all-or-nothing batch has the key of an earlier one (BATCH-3).
    RepeatedKey {
        /// Position of the first item with that key.
        first_index: usize,
    },
    /// An item of an all-or-nothing batch lies apart from the first one, in a system that writes together only what lies
    /// together, such as the keys of one slot (BATCH-3).
    KeysApart,
    /// A bounded store is full.
    StoreFull,
    /// The scheme of a store URL names no backend that is built in.
    UnknownScheme,
    /// An option of a store URL is unknown, or its value is.
    UnknownOption,
    /// Another process holds the lock, and the wait for it ran out.
    Busy,
    /// The store was written by a newer version of this library.
    NewerSchema {
        /// The version found.
        found: i64,
        /// The newest version understood.
        understood: i64,
    },
    /// The file or table exists and is not one of ours.
    Foreign,
    /// The store can only be read.
    ReadOnly,
    /// A trigger or constraint that another program added to the store refused the row: nothing was stored for it.
    RowRejected,
    /// The file has several names (hard links), and the store would keep a log of its own for each of them.
    HardLinked {
        /// How many names the file has.
        links: u64,
    },
    /// The file of the store was removed or replaced while the store had it open.
    FileReplaced,
    /// The store was opened by the parent of this process, and a forked child has no part in it (LIFE-3).
    ForkedProcess,
    /// Nothing drives the runtime that the store was opened in, so no call makes progress (LIFE-3).
    RuntimeStalled,
}

/// A store's error: what went wrong, where, and whether to try again.
///
/// One pointer wide. The text names store, operation and key; it never holds a value or a secret (ERR-2), because
/// nothing in this library puts one in.
///
/// ```
/// use kv_api::{Error, ErrorKind, Reason, Retry};
/// let error = Error::limit("key_bytes_max", 512, 513).with_store("cloudflare").with_operation("set").with_key("k");
/// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
/// assert_eq!(error.reason(), Some(&Reason::Limit { name: "key_bytes_max".into(), allowed: 512, found: 513 }));
/// assert_eq!(error.retry(), Retry::Never);
/// assert_eq!(error.to_string(), r#"cloudflare: set "k": invalid argument: key_bytes_max is 512, found 513"#);
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    reason: Option<Reason>,
    retry: Retry,
    retry_after: Option<Duration>,
    message: Cow<'static, str>,
    store: Option<Cow<'static, str>>,
    operation: Option<&'static str>,
    key: Option<String>,
    index: Option<usize>,
    native_code: Option<String>,
    /// Shared, so that one failed request can be the error of each of its items.
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a message that adds to the kind: one line, lower case, no full stop, no value, no
    /// secret.
    ///
    /// Its retry class is [`Retry::Safe`] for `RateLimited`, [`Retry::OutcomeUnknown`] for `Unavailable`, else
    /// [`Retry::Never`]; an adapter that knows better says so with [`with_retry`](Self::with_retry). So one that
    /// forgets to gets a call repeated too seldom, never an increment twice.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let retry = match kind {
            ErrorKind::RateLimited => Retry::Safe,
            ErrorKind::Unavailable => Retry::OutcomeUnknown,
            _ => Retry::Never,
        };
        Self(Box::new(Inner {
            kind,
            reason: None,
            retry,
            retry_after: None,
            message: message.into(),
            store: None,
            operation: None,
            key: None,
            index: None,
            native_code: None,
            source: None,
        }))
    }

    /// `InvalidArgument` with a reason.
    #[must_use]
    pub fn invalid(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message).with_reason(reason)
    }

    /// `InvalidArgument`: a limit was passed (CHK-2). Names the limit, what is allowed and what was found.
    #[must_use]
    pub fn limit(name: impl Into<Cow<'static, str>>, allowed: u64, found: u64) -> Self {
        let name = name.into();
        let message = format!("{name} is {allowed}, found {found}");
        Self::invalid(Reason::Limit { name, allowed, found }, message)
    }

    /// `Unsupported`: the store does not support `feature` (CAP-1).
    #[must_use]
    pub fn unsupported(feature: Feature) -> Self {
        Self::new(ErrorKind::Unsupported, format!("this store does not offer {feature}"))
            .with_reason(Reason::Unsupported(feature))
    }

    /// `WrongType`: an entry that cannot be counted in (CNT-1, CNT-2), and why not.
    #[must_use]
    pub fn not_a_counter(why: &'static str) -> Self {
        Self::new(ErrorKind::WrongType, format!("only a JSON integer without metadata can be counted in: {why}"))
            .with_reason(Reason::NotACounter)
    }

    /// `InvalidArgument`: an increment whose result would be out of range (CNT-1).
    #[must_use]
    pub fn counter_range(min: i64, max: i64) -> Self {
        let message = format!("the counter would leave the range {min} to {max}");
        Self::invalid(Reason::CounterRange { min, max }, message)
    }

    /// `Internal`: a capability that the adapter reports and does not implement.
    #[must_use]
    pub fn not_implemented(method: &'static str) -> Self {
        Self::new(ErrorKind::Internal, format!("declared but not implemented by the adapter: {method}"))
    }

    /// `Internal`: a backend answered too little or too much, so that which answer is whose is not known.
    #[must_use]
    pub fn wrong_count(asked: usize, answered: usize) -> Self {
        Self::new(ErrorKind::Internal, format!("the adapter answered {answered} of {asked} items"))
    }

    /// Adds the machine-readable reason.
    #[must_use]
    pub fn with_reason(mut self, reason: Reason) -> Self {
        self.0.reason = Some(reason);
        self
    }

    /// Sets the retry class.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Adds how long the system asked to wait.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.0.retry_after = Some(retry_after);
        self
    }

    /// Names the store, such as `sqlite`. The first name given stays: what is nearer to the error knows better.
    #[must_use]
    pub fn with_store(mut self, store: impl Into<Cow<'static, str>>) -> Self {
        self.0.store.get_or_insert_with(|| store.into());
        self
    }

    /// Names the operation, such as `set`. The first name given stays.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Names the key. The first one given stays, until the handle puts the caller's in its place (ERR-7).
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.0.key.get_or_insert_with(|| key.to_owned());
        self
    }

    /// Names the position of the item in the batch that was given. The first one given stays, until the handle puts the
    /// position in the caller's batch in its place (ERR-7).
    #[must_use]
    pub fn with_index(mut self, index: usize) -> Self {
        self.0.index.get_or_insert(index);
        self
    }

    /// Replaces index and key by those of the caller's request (ERR-7).
    pub(crate) fn placed(mut self, index: Option<usize>, key: Option<String>) -> Self {
        (self.0.index, self.0.key) = (index, key);
        self
    }

    /// Replaces the index by the one in the caller's batch (ERR-7).
    pub(crate) fn at_index(mut self, index: usize) -> Self {
        self.0.index = Some(index);
        self
    }

    /// Of a call that certainly changed nothing, such as a read: whatever was said of it, its outcome is not unknown
    /// (ERR-3).
    ///
    /// ```
    /// use kv_api::{Error, ErrorKind, Retry};
    /// let lost = Error::new(ErrorKind::Unavailable, "no answer").with_retry(Retry::OutcomeUnknown);
    /// assert_eq!(lost.not_applied().retry(), Retry::Safe);
    /// let refused = Error::new(ErrorKind::Unauthorized, "no");
    /// assert_eq!(refused.not_applied().retry(), Retry::Never);
    /// ```
    #[must_use]
    pub fn not_applied(self) -> Self {
        if self.is_outcome_unknown() { self.with_retry(Retry::Safe) } else { self }
    }

    /// Of a call that has changed something before it failed: it is not certain any more that nothing was applied
    /// (ERR-3).
    pub(crate) fn after_a_change(self) -> Self {
        if self.retry() == Retry::Safe { self.with_retry(Retry::OutcomeUnknown) } else { self }
    }

    /// Takes the index away, where the caller gave no batch (ERR-7).
    pub(crate) fn without_index(mut self) -> Self {
        self.0.index = None;
        self
    }

    /// Adds the system's own code, such as an HTTP status and error number.
    #[must_use]
    pub fn with_native_code(mut self, code: impl fmt::Display) -> Self {
        self.0.native_code = Some(code.to_string());
        self
    }

    /// Adds the cause. It must print no secret: strip URLs first.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// What the reader does next.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message alone, without kind and context; empty where the kind says it all. For a tool that shows the context
    /// in its own way; what a program decides by is [`kind`](Self::kind) and [`reason`](Self::reason).
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The machine-readable reason, where there is one.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        self.0.reason.as_ref()
    }

    /// Whether the same call may be sent again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// How long the system asked to wait, where it did.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The store it happened in.
    #[must_use]
    pub fn store(&self) -> Option<&str> {
        self.0.store.as_deref()
    }

    /// The operation that failed.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The key it was about.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The position of the item in the caller's batch.
    #[must_use]
    pub fn index(&self) -> Option<usize> {
        self.0.index
    }

    /// The system's own code.
    #[must_use]
    pub fn native_code(&self) -> Option<&str> {
        self.0.native_code.as_deref()
    }

    /// Whether the call may or may not have been applied (SET-8).
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        self.0.retry == Retry::OutcomeUnknown
    }

    /// Whether the reason is that the expiry is not in the future: what a migration skips as "expired on the way"
    /// (EXP-5). A ttl does not run out on the way, so one of zero is a mistake of the caller.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.0.reason == Some(Reason::ExpiryInPast)
    }
}

/// One line: store, operation, item, key, kind, message, native code, and what is known about repeating it. Control
/// characters and what changes the direction of text are escaped (ERR-2).
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(store) = &inner.store {
            write!(f, "{}: ", Escaped(store))?;
        }
        let mut context = false;
        if let Some(operation) = inner.operation {
            f.write_str(operation)?;
            context = true;
        }
        if let Some(index) = inner.index {
            write!(f, "{}item {index}", if context { " " } else { "" })?;
            context = true;
        }
        if let Some(key) = &inner.key {
            write!(f, "{}{}", if context { " " } else { "" }, Shortened(key))?;
            context = true;
        }
        if context {
            f.write_str(": ")?;
        }
        f.write_str(inner.kind.label())?;
        if !inner.message.is_empty() {
            write!(f, ": {}", Escaped(&inner.message))?;
        }
        if let Some(code) = &inner.native_code {
            write!(f, " (code {})", Escaped(code))?;
        }
        match inner.retry {
            Retry::OutcomeUnknown => f.write_str(" (outcome unknown: it may have been applied)")?,
            Retry::Never | Retry::Safe => {}
        }
        if let Some(wait) = inner.retry_after {
            write!(f, " (retry after {wait:?})")?;
        }
        Ok(())
    }
}

/// A key as an error shows it: quoted and escaped, cut where a person would stop reading.
struct Shortened<'a>(&'a str);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_SHOWN: usize = 120;
        match self.0.char_indices().nth(CHARS_SHOWN) {
            Some((cut, _)) => write!(f, "{:?}... ({} bytes)", &self.0[..cut], self.0.len()),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// The line that `Display` gives, and behind it what a report should hold: a program whose `main` returns an error
/// prints it so.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { reason, retry, source, .. } = &*self.0;
        write!(f, "{self} [retry: {retry:?}")?;
        if let Some(reason) = reason {
            write!(f, ", reason: {reason:?}")?;
        }
        if let Some(source) = source {
            write!(f, ", source: {}", Escaped(&source.to_string()))?;
        }
        f.write_str("]")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_pointer_wide_and_shareable() {
        fn shareable<T: Send + Sync + Clone + 'static>() {}
        shareable::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn every_feature_is_in_the_list_of_all() {
        // A feature that is added does not compile here before it has its place there.
        let place = |feature: &Feature| match feature {
            Feature::ValueKind(ValueKind::Text) => 0,
            Feature::ValueKind(ValueKind::Json) => 1,
            Feature::ValueKind(ValueKind::Bytes) => 2,
            Feature::Metadata => 3,
            Feature::IfNotExists => 4,
            Feature::IfExists => 5,
            Feature::IfVersion => 6,
            Feature::Ttl => 7,
            Feature::ExpireAt => 8,
            Feature::Expire => 9,
            Feature::ExpireIfVersion => 10,
            Feature::Touch => 11,
            Feature::GetAndDelete => 12,
            Feature::List => 13,
            Feature::Counters => 14,
            Feature::CounterTtl => 15,
            Feature::AllOrNothing => 16,
        };
        assert!(Feature::ALL.iter().map(place).eq(0..17));
    }

    #[test]
    fn the_context_nearest_to_the_error_stays() {
        let error =
            Error::new(ErrorKind::Unavailable, "").with_store("inner").with_store("outer").with_key("a").with_key("b");
        assert_eq!((error.store(), error.key()), (Some("inner"), Some("a")));
    }

    #[test]
    fn debug_is_a_report_of_one_line() {
        let error = Error::limit("key_bytes_max", 1, 2).with_source(fmt::Error);
        assert_eq!(
            format!("{error:?}"),
            "invalid argument: key_bytes_max is 1, found 2 [retry: Never, reason: Limit { name: \"key_bytes_max\", allowed: \
             1, found: 2 }, source: an error occurred when formatting an argument]"
        );
    }

    #[test]
    fn a_long_key_is_cut_and_control_characters_are_escaped() {
        let error = Error::new(ErrorKind::Unavailable, "gone").with_key(&"é\n".repeat(100));
        let text = error.to_string();
        assert!(text.contains("... (300 bytes)") && !text.contains('\n'), "{text}");
    }
}
