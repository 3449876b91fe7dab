//! What was last written under each key, for as long as a system of eventual consistency may show something older.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kv_api::{Entry, EntryExpiry, ErrorKind, Fields, JsonText, Metadata, Result, Timestamp, Value, ValueKind};

/// How many keys are remembered at most; more than any case writes.
const KEYS_MAX: usize = 20_000;

/// What was written, and when.
#[derive(Debug)]
pub(super) struct Memory {
    /// How long after a write something older may show.
    bound: Duration,
    /// What expiries are rounded up to.
    resolution: Duration,
    /// Whether a read of a key of which the last write is not known waits until nothing old may show.
    is_thorough: bool,
    keys: Mutex<HashMap<String, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    state: State,
    /// By a timer.
    written_at: Duration,
    under_way: u32,
    /// Two writes have been under way at once: which one came last is not known.
    is_contested: bool,
    /// A write was given up, and may still be carried out.
    doubtful_since: Option<Duration>,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// An outcome that is not known, or nothing was written.
    Unknown,
    Nothing,
    Written(Content),
}

/// A written entry, by its digests.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    /// `None`: whatever it is.
    pub(super) value: Option<u64>,
    /// The length that a list may report of it. `None`: whatever it is.
    pub(super) bytes: Option<u64>,
    /// `None`: whatever there is.
    pub(super) metadata: Option<Option<u64>>,
    pub(super) ends: Ends,
}

/// When an entry ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ends {
    Unknown,
    Never,
    Between(Timestamp, Timestamp),
}

/// What a read has to show, and for how long something else may be old.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expected {
    state: State,
    pub(super) patience: Duration,
    /// Nothing that is found says whether it is old: only the end of the patience does.
    is_waited_out: bool,
}

/// The present time, of the wall and of a timer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) wall: Timestamp,
    pub(super) timer: Duration,
}

impl Memory {
    pub(super) fn new(bound: Duration, resolution: Duration) -> Self {
        Self { bound, resolution, is_thorough: false, keys: Mutex::default() }
    }

    /// The same, without what it remembers.
    pub(super) fn thorough(&self) -> Self {
        Self { is_thorough: true, ..Self::new(self.bound, self.resolution) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        // Nothing in here can panic half-way, so a poisoned lock still guards a whole map.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a key is written.
    pub(super) fn begin(&self, key: &str, now: Now) {
        let mut keys = self.lock();
        if keys.len() >= KEYS_MAX && !keys.contains_key(key) {
            keys.retain(|_, known| known.under_way > 0 || now.timer.saturating_sub(known.written_at) < self.bound);
            if keys.len() >= KEYS_MAX {
                return;
            }
        }
        let known = keys.entry(key.to_owned()).or_insert_with(|| Known {
            state: State::Unknown,
            written_at: now.timer,
            under_way: 0,
            is_contested: false,
            doubtful_since: None,
        });
        known.under_way += 1;
        known.is_contested |= known.under_way > 1;
    }

    /// After it was written; `None` where nothing has changed.
    pub(super) fn end(&self, key: &str, state: Option<State>, now: Now) {
        let mut keys = self.lock();
        let Some(known) = keys.get_mut(key) else { return };
        known.under_way = known.under_way.saturating_sub(1);
        if state == Some(State::Unknown) {
            known.doubtful_since = Some(now.timer);
        }
        if known.is_contested {
            (known.state, known.written_at) = (State::Unknown, now.timer);
            known.is_contested = known.under_way > 0;
        } else if let Some(state) = state {
            (known.state, known.written_at) = (state, now.timer);
        }
    }

    /// What is known to be there.
    pub(super) fn state(&self, key: &str) -> State {
        self.lock().get(key).map_or(State::Unknown, |known| known.state.clone())
    }

    /// What a read of the key has to show now.
    pub(super) fn expected(&self, key: &str, now: Now) -> Expected {
        self.lock().get(key).map_or(Expected::ANYTHING, |known| self.expected_of(known, now))
    }

    fn expected_of(&self, known: &Known, now: Now) -> Expected {
        let is_doubtful = known.doubtful_since.is_some_and(|since| now.timer.saturating_sub(since) < self.bound);
        if known.under_way > 0 {
            return Expected::ANYTHING;
        }
        if self.is_thorough {
            // What ends by a clock may be there or not: the one of this side may be wrong.
            let may_have_ended = matches!(
                known.state,
                State::Written(Content { ends: Ends::Between(earliest, _), .. }) if now.wall >= earliest
            );
            if is_doubtful || may_have_ended || known.state == State::Unknown {
                let since = known.doubtful_since.unwrap_or_default().max(known.written_at);
                let patience = self.bound.saturating_sub(now.timer.saturating_sub(since));
                return Expected { state: State::Unknown, patience, is_waited_out: !patience.is_zero() };
            }
        }
        if is_doubtful {
            return Expected::ANYTHING;
        }
        let since_write = now.timer.saturating_sub(known.written_at);
        let (state, since) = match &known.state {
            State::Written(Content { ends: Ends::Between(_, latest), .. }) if now.wall > *latest => {
                (State::Nothing, now.wall.saturating_since(*latest))
            }
            State::Written(Content { ends: Ends::Between(earliest, _), .. }) if now.wall >= *earliest => {
                return Expected::ANYTHING;
            }
            state => (state.clone(), since_write),
        };
        Expected { state, patience: self.bound.saturating_sub(since), is_waited_out: false }
    }

    /// The same for each key below a prefix.
    pub(super) fn expected_below(&self, prefix: &str, now: Now) -> Vec<(String, Expected)> {
        let keys = self.lock();
        let below = keys.iter().filter(|(key, _)| key.starts_with(prefix));
        below.map(|(key, known)| (key.clone(), self.expected_of(known, now))).collect()
    }

    /// When an entry ends that was given until `deadline` between two moments.
    pub(super) fn ends(&self, began: Option<Timestamp>, ended: Option<Timestamp>) -> Ends {
        match (began, ended) {
            (Some(earliest), Some(ended)) => {
                let rounded = ended.checked_ceil_to(self.resolution).and_then(|end| end.checked_add(self.resolution));
                Ends::Between(earliest, rounded.unwrap_or(ended))
            }
            _ => Ends::Never,
        }
    }
}

impl Expected {
    const ANYTHING: Self = Self { state: State::Unknown, patience: Duration::ZERO, is_waited_out: false };

    /// Whether this is it. What a read was not asked for is not looked at.
    pub(super) fn is_met_by(&self, found: Option<&Entry>, fields: Fields) -> bool {
        match (&self.state, found) {
            (State::Unknown, _) => !self.is_waited_out,
            (State::Nothing, None) => true,
            (State::Nothing, Some(_)) | (State::Written(_), None) => false,
            (State::Written(content), Some(found)) => {
                let has_value = fields == Fields::Existence || content.has_value(found.value());
                has_value && (fields != Fields::All || content.has_details(found.metadata(), found.expiry()))
            }
        }
    }

    /// The same of a read that may have failed. That a key holds no value may be old too (VAL-7).
    pub(super) fn is_shown_by(&self, found: &Result<Option<Entry>>, fields: Fields) -> bool {
        match found {
            Ok(found) => self.is_met_by(found.as_ref(), fields),
            Err(error) => error.kind() != ErrorKind::WrongType || self.state == State::Unknown && !self.is_waited_out,
        }
    }

    /// Whether a list shows a key that it must show, or none that it must not.
    pub(super) fn is_met_by_listed(&self, is_listed: bool) -> bool {
        match &self.state {
            State::Unknown => !self.is_waited_out,
            State::Nothing => !is_listed,
            State::Written(_) => is_listed,
        }
    }

    /// Whether what a list shows of a key is what was written.
    pub(super) fn has_listed(
        &self,
        metadata: Option<Option<&Metadata>>,
        expiry: EntryExpiry,
        bytes: Option<u64>,
    ) -> bool {
        let State::Written(content) = &self.state else { return true };
        let has_length = bytes.is_none() || content.bytes.is_none() || bytes == content.bytes;
        has_length && metadata.map_or_else(|| content.ends_at(expiry), |metadata| content.has_details(metadata, expiry))
    }

    pub(super) fn is_there(&self) -> bool {
        matches!(self.state, State::Written(_))
    }

    pub(super) fn is_gone(&self) -> bool {
        self.state == State::Nothing
    }
}

impl Content {
    fn has_value(&self, value: &Value) -> bool {
        self.value.is_none_or(|written| written == digest_of(value))
    }

    fn has_details(&self, metadata: Option<&Metadata>, expiry: EntryExpiry) -> bool {
        self.metadata.is_none_or(|written| written == metadata.map(digest_of_metadata)) && self.ends_at(expiry)
    }

    fn ends_at(&self, expiry: EntryExpiry) -> bool {
        match (self.ends, expiry) {
            (Ends::Never, EntryExpiry::At(_)) | (Ends::Between(..), EntryExpiry::Never) => false,
            // What a system reports may be rounded twice (EXP-8).
            (Ends::Between(earliest, latest), EntryExpiry::At(at)) => {
                let slack = latest.saturating_since(earliest);
                earliest <= at && at <= latest.checked_add(slack).unwrap_or(latest)
            }
            _ => true,
        }
    }
}

/// The same for values that mean the same: a system may write JSON anew.
pub(super) fn digest_of(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.kind().hash(&mut hasher);
    if value.kind() == ValueKind::Json {
        hash_json(value.as_bytes(), &mut hasher);
    } else {
        value.as_bytes().hash(&mut hasher);
    }
    hasher.finish()
}

pub(super) fn digest_of_metadata(metadata: &Metadata) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_json(metadata.as_bytes(), &mut hasher);
    hasher.finish()
}

/// Deeper JSON is whatever JSON.
const NESTING_MAX: usize = 128;

fn hash_json(text: &[u8], hasher: &mut DefaultHasher) {
    fn hash(json: JsonText<'_>, hasher: &mut DefaultHasher) {
        if let Some(text) = json.as_str() {
            text.hash(hasher);
        } else if let Some(items) = json.array() {
            ("items", items.len()).hash(hasher);
            items.into_iter().for_each(|item| hash(item, hasher));
        } else if let Some(members) = json.members() {
            let mut members: Vec<_> = members.collect();
            members.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
            ("members", members.len()).hash(hasher);
            for (name, member) in members {
                name.hash(hasher);
                hash(member, hasher);
            }
        } else if json.is_number() {
            // Some systems round numbers to doubles, and tell no zeros apart.
            json.as_f64().map(|number| (number + 0.0).to_bits()).hash(hasher);
        } else {
            json.as_text().hash(hasher);
        }
    }
    match JsonText::parse_slice_foreign(text) {
        Ok(json) if json.nesting() <= NESTING_MAX => hash(json, hasher),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const fn now(seconds: u64) -> Now {
        Now { wall: Timestamp::from_unix_seconds(seconds.cast_signed()), timer: Duration::from_secs(seconds) }
    }

    fn written(value: &str, ends: Ends) -> State {
        State::Written(Content { value: Some(digest_of(&Value::from(value))), bytes: None, metadata: Some(None), ends })
    }

    fn memory() -> Memory {
        Memory::new(Duration::from_secs(60), Duration::from_secs(1))
    }

    #[test]
    fn something_old_is_not_believed_until_the_bound_has_passed() {
        let memory = memory();
        assert_eq!(memory.expected("k", now(0)), Expected::ANYTHING);
        memory.begin("k", now(0));
        assert_eq!(memory.expected("k", now(0)), Expected::ANYTHING);
        memory.end("k", Some(written("v", Ends::Never)), now(10));
        let expected = memory.expected("k", now(30));
        assert_eq!(expected.patience, Duration::from_secs(40));
        let (new, old) = (Entry::new("v".into()), Entry::new("old".into()));
        assert!(expected.is_met_by(Some(&new), Fields::Value) && !expected.is_met_by(Some(&old), Fields::Value));
        assert!(expected.is_met_by(Some(&old), Fields::Existence) && !expected.is_met_by(None, Fields::Existence));
        assert!(expected.is_met_by_listed(true) && !expected.is_met_by_listed(false));
        assert_eq!(memory.expected("k", now(71)).patience, Duration::ZERO);
    }

    #[test]
    fn around_its_end_an_entry_may_be_there_or_not_and_then_it_is_gone() {
        let memory = memory();
        memory.begin("k", now(0));
        let at = |seconds| Timestamp::from_unix_seconds(seconds);
        let ends = memory.ends(Some(at(100)), Some(at(101)));
        memory.end("k", Some(written("v", ends)), now(1));
        assert!(memory.expected("k", now(99)).is_there());
        assert_eq!(memory.expected("k", now(101)), Expected::ANYTHING);
        let after = memory.expected("k", now(110));
        assert!(after.is_gone());
        assert_eq!(after.patience, Duration::from_secs(52));
        let shown = Entry::with_details("v".into(), None, EntryExpiry::At(at(101)), None);
        assert!(memory.expected("k", now(9)).is_met_by(Some(&shown), Fields::All));
        for expiry in [EntryExpiry::Never, EntryExpiry::At(at(300))] {
            let other = Entry::with_details("v".into(), None, expiry, None);
            assert!(!memory.expected("k", now(9)).is_met_by(Some(&other), Fields::All));
        }
    }

    #[test]
    fn of_two_writes_at_once_neither_is_known_to_be_the_last() {
        let memory = memory();
        memory.begin("k", now(0));
        memory.begin("k", now(0));
        memory.end("k", Some(State::Nothing), now(1));
        memory.end("k", Some(written("v", Ends::Never)), now(1));
        assert_eq!(memory.expected("k", now(2)).state, State::Unknown);
        memory.begin("k", now(3));
        memory.end("k", Some(State::Nothing), now(3));
        assert!(memory.expected("k", now(4)).is_gone());
    }

    #[test]
    fn err_6_a_write_that_was_given_up_may_come_later() {
        let memory = memory();
        memory.begin("k", now(0));
        memory.end("k", Some(State::Unknown), now(1));
        memory.begin("k", now(2));
        memory.end("k", Some(written("v", Ends::Never)), now(2));
        assert_eq!(memory.expected("k", now(3)), Expected::ANYTHING);
        memory.begin("k", now(70));
        memory.end("k", Some(State::Nothing), now(70));
        assert!(memory.expected("k", now(71)).is_gone());
    }

    #[test]
    fn no_more_keys_are_remembered_than_said() {
        let memory = memory();
        for key in 0..KEYS_MAX {
            memory.begin(&key.to_string(), now(0));
            memory.end(&key.to_string(), Some(State::Nothing), now(0));
        }
        memory.begin("new", now(1));
        assert_eq!(memory.lock().len(), KEYS_MAX);
        assert_eq!(memory.expected("new", now(1)), Expected::ANYTHING);
        memory.begin("later", now(100));
        assert_eq!(memory.lock().len(), 1);
    }

    #[test]
    fn val_3_json_that_means_the_same_has_one_digest() {
        let text = |text: &str| digest_of(&Value::from_json_text(text).unwrap());
        assert_eq!(text(r#"{"a":1.0,"b":[true,null,"x"]}"#), text(r#"{ "b": [true, null, "\u0078"], "a": 1 }"#));
        for other in [r#"{"a":1,"b":[true,null,"y"]}"#, r#"{"a":1}"#, r#"[{"a":1}]"#, "\"1\""] {
            assert_ne!(text(r#"{"a":1,"b":[true,null,"x"]}"#), text(other));
        }
        assert_ne!(digest_of(&Value::from("1")), digest_of(&Value::from(json!(1))));
    }

    #[test]
    fn what_is_not_known_is_waited_for_only_where_that_is_asked_for() {
        let at = Timestamp::from_unix_seconds;
        for (is_thorough, memory) in [(false, memory()), (true, memory().thorough())] {
            // Two writes that met, one without an outcome, and one that may have ended.
            memory.begin("met", now(0));
            memory.begin("met", now(0));
            memory.end("met", Some(written("one", Ends::Never)), now(1));
            memory.end("met", Some(written("other", Ends::Never)), now(1));
            memory.begin("lost", now(0));
            memory.end("lost", Some(State::Unknown), now(1));
            memory.begin("ends", now(0));
            memory.end("ends", Some(written("v", memory.ends(Some(at(5)), Some(at(5))))), now(1));
            for key in ["met", "lost", "ends"] {
                let expected = memory.expected(key, now(6));
                let is_over = expected.patience.is_zero() || expected.is_met_by(None, Fields::Value);
                assert_eq!(is_over, !is_thorough, "{key}");
                assert!(!is_thorough || expected.patience == Duration::from_secs(55), "{key}: {expected:?}");
                // One that has ended may show for as long after its end.
                assert!(memory.expected(key, now(67)).patience.is_zero(), "{key}");
            }
        }
    }

    #[test]
    fn val_3_different_json_has_different_digests() {
        const RESERVED: &str = r#"{"$serde_json::private::RawValue":"1"}"#;
        let texts = [
            RESERVED,
            r#"{"$serde_json::private::RawValue":"2"}"#,
            "true",
            "null",
            "{}",
            "[]",
            "0",
            "1",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
            "[[]]",
            "[{}]",
            "0.5",
        ];
        let digests: std::collections::HashSet<u64> =
            texts.iter().map(|text| digest_of(&Value::from_json_text(text).expect("JSON"))).collect();
        assert_eq!(digests.len(), texts.len());
        let digest = |text: &str| digest_of(&Value::from_json_text(text).expect("JSON"));
        assert_eq!((digest("1.0"), digest("-0.0")), (digest("1"), digest("0")));
    }

    #[test]
    fn val_7_that_a_key_holds_no_value_may_be_old() {
        let memory = memory();
        memory.begin("k", now(0));
        memory.end("k", Some(written("v", Ends::Never)), now(1));
        let error = |kind| Err(kv_api::Error::new(kind, "why"));
        let expected = memory.expected("k", now(2));
        assert!(!expected.is_shown_by(&error(ErrorKind::WrongType), Fields::Value));
        assert!(expected.is_shown_by(&error(ErrorKind::Unavailable), Fields::Value));
        assert!(memory.expected("other", now(2)).is_shown_by(&error(ErrorKind::WrongType), Fields::Value));
    }
}
