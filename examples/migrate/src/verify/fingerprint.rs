//! What is kept of an entry to compare it.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::num::NonZeroU64;
use std::time::Duration;

use kv_api::{JsonText, Metadata, NESTING_MAX, Timestamp, Value, ValueKind};

use crate::record::{Record, RecordExpiry};

/// What is kept of an entry to compare it: so much, however long its value is.
///
/// Two values, or two metadata, that differ have one digest with a chance of one to 2^64, and nobody can make it
/// greater: the digests have a seed that is drawn at random.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fingerprint {
    pub(super) kind: ValueKind,
    pub(super) value: u64,
    pub(super) metadata: Option<NonZeroU64>,
    ends: Ends,
    /// Of the time or the ttl.
    micros: i64,
}

/// Which form the expiry has. Apart from its time, so that both take little room.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Never,
    After,
    At,
    Unknown,
    NotPositive,
}

impl Fingerprint {
    pub(super) fn expiry(&self) -> RecordExpiry {
        match self.ends {
            Ends::Never => RecordExpiry::Never,
            Ends::After => RecordExpiry::After(Duration::from_micros(self.micros.unsigned_abs())),
            Ends::At => RecordExpiry::At(Timestamp::from_unix_micros(self.micros)),
            Ends::Unknown => RecordExpiry::Unknown,
            Ends::NotPositive => RecordExpiry::NotPositive,
        }
    }
}

/// Makes fingerprints that can be compared with each other.
#[derive(Debug, Default)]
pub(super) struct Fingerprints {
    seed: RandomState,
}

impl Fingerprints {
    pub(super) fn of(&self, record: &Record) -> Fingerprint {
        let (ends, micros) = match record.expiry {
            RecordExpiry::Never => (Ends::Never, 0),
            RecordExpiry::After(ttl) => (Ends::After, i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX)),
            RecordExpiry::At(at) => (Ends::At, at.as_unix_micros()),
            RecordExpiry::Unknown => (Ends::Unknown, 0),
            RecordExpiry::NotPositive => (Ends::NotPositive, 0),
        };
        Fingerprint {
            kind: record.value.kind(),
            value: self.of_value(&record.value),
            metadata: record.metadata.as_ref().map(|metadata| self.of_metadata(metadata)),
            ends,
            micros,
        }
    }

    /// The same for texts and bytes that are equal byte by byte, and for JSON that means the same (VAL-3).
    fn of_value(&self, value: &Value) -> u64 {
        match value.as_json() {
            Ok(Some(json)) => self.of_json(json),
            // Text, bytes, or what a store hands out as JSON and is none: equal when its bytes are.
            Ok(None) | Err(_) => self.seed.hash_one(value.as_bytes()),
        }
    }

    fn of_metadata(&self, metadata: &Metadata) -> NonZeroU64 {
        let json = metadata.as_json();
        let digest = json.map_or_else(|_| self.seed.hash_one(metadata.as_bytes()), |json| self.of_json(json));
        NonZeroU64::new(digest).unwrap_or(NonZeroU64::MAX)
    }

    fn of_json(&self, json: JsonText<'_>) -> u64 {
        let mut hasher = self.seed.build_hasher();
        hash_json(json, 0, &mut hasher);
        hasher.finish()
    }
}

/// What two JSON texts that mean the same have in common: numbers by their mathematical value, strings without their
/// escapes, objects without the order of their members. As for their equality, what is nested deeper than this library
/// writes counts as text.
fn hash_json(json: JsonText<'_>, depth: usize, hasher: &mut impl Hasher) {
    if depth > NESTING_MAX {
        json.as_text().hash(hasher);
    } else if let Some(items) = json.items() {
        for item in items {
            b'['.hash(hasher);
            hash_json(item, depth + 1, hasher);
        }
        b']'.hash(hasher);
    } else if let Some(members) = json.members() {
        let mut members: Vec<_> = members.collect();
        members.sort_by(|left, right| left.0.cmp(&right.0));
        for (name, member) in members {
            b'{'.hash(hasher);
            name.hash(hasher);
            hash_json(member, depth + 1, hasher);
        }
        b'}'.hash(hasher);
    } else if let Some(text) = json.as_str() {
        b'"'.hash(hasher);
        text.hash(hasher);
    } else if json.is_number() {
        hash_number(json, hasher);
    } else {
        json.as_text().hash(hasher);
    }
}

/// An integer of 64 bits as one, however it is spelled; any other number as the nearest double.
fn hash_number(number: JsonText<'_>, hasher: &mut impl Hasher) {
    /// 2^64: a double from here on is no integer of 64 bits.
    const BEYOND_64_BITS: f64 = 18_446_744_073_709_551_616.0;
    let integer = match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(integer), _, _) => Some(i128::from(integer)),
        (_, Some(integer), _) => Some(i128::from(integer)),
        (_, _, Some(double)) if double.fract() == 0.0 && double.abs() < BEYOND_64_BITS => {
            #[allow(clippy::cast_possible_truncation, reason = "whole and within range, by the line above")]
            let integer = double as i128;
            Some(integer)
        }
        _ => None,
    };
    match (integer, number.as_f64()) {
        (Some(integer), _) => (b'i', integer).hash(hasher),
        (None, Some(double)) => (b'd', double.to_bits()).hash(hasher),
        // Beyond the doubles: equal when it is spelled alike.
        (None, None) => (b'n', number.as_text()).hash(hasher),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXTS: [&str; 36] = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "0.0",
        "-0.0e5",
        "1",
        "1.0",
        "10e-1",
        "1.5",
        "15e-1",
        "-1",
        "9007199254740993",
        "9007199254740992",
        "9007199254740992.0",
        "18446744073709551615",
        "18446744073709551616",
        "1.8446744073709551616e19",
        "-9223372036854775808",
        "-9.223372036854775808e18",
        "1e300",
        "1e400",
        "\"\"",
        "\"1\"",
        "\"a\"",
        "\"\\u0061\"",
        "[]",
        "[[]]",
        "[1,2]",
        "[2,1]",
        "[1.0, 2e0]",
        "{}",
        "{\"a\":1,\"b\":[]}",
        "{ \"b\" : [ ], \"\\u0061\" : 1.0 }",
        "{\"a\":1,\"b\":{}}",
    ];

    #[test]
    fn val_3_digests_are_equal_exactly_when_the_texts_mean_the_same() {
        let fingerprints = Fingerprints::default();
        for one in TEXTS {
            for other in TEXTS {
                let (left, right) = (JsonText::parse_foreign(one).unwrap(), JsonText::parse_foreign(other).unwrap());
                assert_eq!(fingerprints.of_json(left) == fingerprints.of_json(right), left == right, "{one} {other}");
            }
        }
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = proptest::sample::select(&TEXTS[..27]).prop_map(str::to_owned);
        leaf.prop_recursive(4, 24, 4, |inner| {
            let items = proptest::collection::vec(inner.clone(), 0..4);
            let members = proptest::collection::btree_map("[a-c]", inner, 0..4);
            prop_oneof![
                items.prop_map(|items| format!("[{}]", items.join(","))),
                (members, any::<bool>()).prop_map(|(members, backwards)| {
                    let mut members: Vec<String> =
                        members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                    if backwards {
                        members.reverse();
                    }
                    format!("{{{}}}", members.join(" , "))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn val_3_as_equality_has_it_for_nested_ones_too(one in json(), other in json()) {
            let fingerprints = Fingerprints::default();
            let (left, right) = (JsonText::parse_foreign(&one).unwrap(), JsonText::parse_foreign(&other).unwrap());
            prop_assert_eq!(fingerprints.of_json(left) == fingerprints.of_json(right), left == right);
        }
    }

    #[test]
    fn an_expiry_comes_back_as_it_was() {
        let fingerprints = Fingerprints::default();
        for expiry in [
            RecordExpiry::Never,
            RecordExpiry::After(Duration::from_secs(60)),
            RecordExpiry::At(Timestamp::from_unix_micros(4_000_000_000_000_001)),
            RecordExpiry::At(Timestamp::from_unix_seconds(-5)),
            RecordExpiry::Unknown,
            RecordExpiry::NotPositive,
        ] {
            let record = Record { key: String::new(), value: "".into(), metadata: None, expiry, line: None };
            assert_eq!(fingerprints.of(&record).expiry(), expiry);
        }
    }

    #[test]
    fn text_and_bytes_are_compared_byte_by_byte() {
        let fingerprints = Fingerprints::default();
        let digest = |value: Value| fingerprints.of_value(&value);
        assert_eq!(digest("1.0".into()), digest("1.0".into()));
        assert_ne!(digest("1.0".into()), digest("1".into()));
        assert_ne!(digest(vec![0].into()), digest(vec![0, 0].into()));
    }
}
