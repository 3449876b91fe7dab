//! Whether two stores have the same: a pure function of what was read from both.

use kv_api::{Entry, EntryExpiry, Fields};

/// What a comparison of one key has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Equal,
    Different,
    Missing,
    Unexpected,
}

/// Compares as much as was read. Of the expiry only whether there is one: the two count from different moments, and
/// round in their own way.
pub(super) fn compare(primary: Option<&Entry>, secondary: Option<&Entry>, fields: Fields) -> Verdict {
    let same = match (primary, secondary) {
        (None, None) => true,
        (Some(_), None) => return Verdict::Missing,
        (None, Some(_)) => return Verdict::Unexpected,
        (Some(_), Some(_)) if fields == Fields::Existence => true,
        (Some(one), Some(other)) => {
            let is_whole = fields == Fields::All;
            one.value() == other.value()
                && (!is_whole || (one.metadata() == other.metadata() && ends_alike(one.expiry(), other.expiry())))
        }
    };
    if same { Verdict::Equal } else { Verdict::Different }
}

/// Whether both end or neither does, as far as both say it.
fn ends_alike(one: EntryExpiry, other: EntryExpiry) -> bool {
    use EntryExpiry::{At, Never};
    !matches!((one, other), (Never, At(_)) | (At(_), Never))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{Metadata, Timestamp, Value};
    use serde_json::json;

    fn entry(value: impl Into<Value>, metadata: Option<u8>, expiry: EntryExpiry) -> Entry {
        Entry::with_details(value.into(), metadata.map(|number| Metadata::from(json!(number))), expiry, None)
    }

    #[test]
    fn what_was_read_is_compared_and_nothing_else() {
        let (never, ends) = (EntryExpiry::Never, EntryExpiry::At(Timestamp::UNIX_EPOCH));
        let one = entry("v", Some(1), never);
        let check = |other: &Entry, fields, expected| {
            assert_eq!(compare(Some(&one), Some(other), fields), expected, "{other:?}");
        };
        check(&one, Fields::All, Verdict::Equal);
        check(&entry("w", Some(1), never), Fields::Existence, Verdict::Equal);
        check(&entry("w", Some(1), never), Fields::Value, Verdict::Different);
        check(&entry(&b"v"[..], Some(1), never), Fields::Value, Verdict::Different);
        check(&entry("v", Some(2), ends), Fields::Value, Verdict::Equal);
        check(&entry("v", Some(2), never), Fields::All, Verdict::Different);
        check(&entry("v", None, never), Fields::All, Verdict::Different);
        check(&entry("v", Some(1), ends), Fields::All, Verdict::Different);
        check(&entry("v", Some(1), EntryExpiry::Unknown), Fields::All, Verdict::Equal);
        let numbers = |text: &str| entry(Value::from_json_text(text).unwrap(), None, never);
        let compared = compare(Some(&numbers("[1.0,2]")), Some(&numbers("[1,2]")), Fields::Value);
        assert_eq!(compared, Verdict::Equal, "JSON by its meaning");
        for fields in [Fields::Existence, Fields::Value, Fields::All] {
            assert_eq!(compare(None, None, fields), Verdict::Equal);
            assert_eq!(compare(Some(&one), None, fields), Verdict::Missing);
            assert_eq!(compare(None, Some(&one), fields), Verdict::Unexpected);
        }
    }
}
