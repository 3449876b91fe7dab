//! What a read of many reports about one entry: the value as text, which is not always the value.
//!
//! The service decodes the bytes of a value as text, without a word about what that loses: a byte order mark at the
//! beginning is dropped, which the tag says of our own values, and what is no UTF-8 becomes U+FFFD. Where that shows
//! the bytes have to be read; and as that is another request, they count only if they are those of the entry whose
//! kind, metadata and expiry were reported before (GET-1).

use bytes::Bytes;
use kv_api::{EntryExpiry, JsonText, KindTag, TaggedMetadata, Value, ValueKind};

const BOM: char = '\u{FEFF}';

/// Whether bytes that were read by themselves are those of an entry that was reported before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Match {
    /// They are, as this value.
    Same(Value),
    /// They are, as this value, if the metadata has not changed: with bad luck the bytes of another write look the
    /// same, such as the text U+FFFD written over a byte that is no UTF-8.
    SameIfUntouched(Value),
    /// They are of another write, so that the kind may be too.
    Other,
}

/// An entry as a bulk get reports it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) text: String,
    pub(crate) stored: TaggedMetadata,
    pub(crate) expiry: EntryExpiry,
}

impl Found {
    /// The value, when the text shows it without doubt; else the bytes must be read.
    pub(crate) fn value(&mut self) -> Option<Value> {
        if self.text.contains(char::REPLACEMENT_CHARACTER) || self.is_doubtful() {
            return None;
        }
        let mut text = std::mem::take(&mut self.text);
        if self.has_bom() {
            text.insert(0, BOM);
        }
        Some(of_kind(self.stored.tag, Bytes::from(text)))
    }

    /// What these bytes are. UTF-8 must be the text to the letter. Anything else is bytes, whatever the tag says, and
    /// is compared without regard to how many U+FFFD the service puts for how many bytes, which its documents do not
    /// say.
    pub(crate) fn compare(&self, bytes: Bytes) -> Match {
        let Ok(read) = std::str::from_utf8(&bytes) else {
            let read = String::from_utf8_lossy(&bytes);
            let is_same = |read: &str| squeezed(read).eq(squeezed(&self.text));
            let is_same = is_same(&read) || read.strip_prefix(BOM).is_some_and(is_same);
            return if is_same { Match::Same(Value::from_foreign(bytes)) } else { Match::Other };
        };
        let is_text = read == self.text || read.strip_prefix(BOM) == Some(&self.text);
        if !is_text || self.stored.tag.is_some_and(|tag| tag.has_bom() != read.starts_with(BOM)) {
            return Match::Other;
        }
        let is_certain = self.stored.tag.is_some() && !self.is_doubtful();
        let value = of_kind(self.stored.tag, bytes);
        if is_certain { Match::Same(value) } else { Match::SameIfUntouched(value) }
    }

    /// One byte order mark was written or two, of which one was dropped or none.
    fn is_doubtful(&self) -> bool {
        self.has_bom() && self.text.starts_with(BOM)
    }

    fn has_bom(&self) -> bool {
        self.stored.tag.is_some_and(KindTag::has_bom)
    }
}

/// A value of the kind that the tag says, or of the one that the bytes show where they are not what it says (VAL-5).
pub(crate) fn of_kind(tag: Option<KindTag>, bytes: Bytes) -> Value {
    match tag {
        Some(KindTag::Bytes | KindTag::BytesBom) => Value::from_stored(ValueKind::Bytes, bytes),
        Some(KindTag::Json) if is_json(&bytes) => Value::from_stored(ValueKind::Json, bytes),
        _ => Value::from_foreign(bytes),
    }
}

/// Whether these bytes can be a value of kind JSON: a string is text (VAL-1).
fn is_json(bytes: &[u8]) -> bool {
    bytes.first() != Some(&b'"') && JsonText::parse_slice_foreign(bytes).is_ok()
}

/// With one U+FFFD for each run of them.
fn squeezed(text: &str) -> impl Iterator<Item = char> + '_ {
    let mut last = None;
    text.chars().filter(move |c| {
        let repeats = *c == char::REPLACEMENT_CHARACTER && last == Some(*c);
        last = Some(*c);
        !repeats
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::Metadata;
    use proptest::prelude::*;
    use serde_json::json;

    /// What the service reports about a value that this library wrote.
    fn reported(value: &Value, metadata: Option<&Metadata>) -> Found {
        let stored = TaggedMetadata::encode(value, metadata);
        let text = String::from_utf8_lossy(value.as_bytes());
        Found {
            text: text.strip_prefix(BOM).unwrap_or(&text).to_owned(),
            stored: stored.map_or_else(TaggedMetadata::default, |stored| {
                TaggedMetadata::decode_json(stored.as_json().unwrap()).unwrap()
            }),
            expiry: EntryExpiry::Never,
        }
    }

    fn tagged(text: &str, tag: Option<KindTag>) -> Found {
        let mut stored = TaggedMetadata::default();
        stored.tag = tag;
        Found { text: text.to_owned(), stored, expiry: EntryExpiry::Never }
    }

    #[test]
    fn val_2_our_own_values_need_the_bytes_only_where_the_text_lost_something() {
        for (value, needs_bytes) in [
            (Value::from("text"), false),
            (Value::from(""), false),
            (Value::from("\u{FFFD}"), true),
            (Value::from("\u{FEFF}\u{FFFD}"), true),
            (Value::from(json!(["\u{FFFD}"])), true),
            (Value::from(b""), false),
            (Value::from(b"UTF-8"), false),
            (Value::from("\u{FEFF}x".as_bytes()), false),
            (Value::from("\u{FFFD}".as_bytes()), true),
            (Value::from(b"\xFF"), true),
            (Value::from(b"\xEF\xBB\xBF\xFF"), true),
        ] {
            let mut found = reported(&value, None);
            assert_eq!(found.value(), (!needs_bytes).then(|| value.clone()), "{:?}", value.as_bytes());
            if needs_bytes {
                assert_eq!(reported(&value, None).compare(value.as_bytes().clone()), Match::Same(value));
            }
        }
    }

    #[test]
    fn val_2_two_byte_order_marks_are_read_with_care() {
        let value = Value::from("\u{FEFF}\u{FEFF}x");
        for text in ["\u{FEFF}x", "\u{FEFF}\u{FEFF}x"] {
            assert_eq!(tagged(text, Some(KindTag::TextBom)).value(), None);
            let compared = tagged(text, Some(KindTag::TextBom)).compare(value.as_bytes().clone());
            assert_eq!(compared, Match::SameIfUntouched(value.clone()));
        }
    }

    #[test]
    fn val_5_foreign_data_is_never_refused_for_its_kind() {
        let json = Some(KindTag::Json);
        for (text, tag, kind) in [
            ("no json", json, ValueKind::Text),
            ("\"a string\"", json, ValueKind::Text),
            ("[1]", json, ValueKind::Json),
            ("[1]", None, ValueKind::Text),
            ("v", Some(KindTag::Bytes), ValueKind::Bytes),
        ] {
            let value = tagged(text, tag).value().unwrap();
            assert_eq!((value.kind(), &value.as_bytes()[..]), (kind, text.as_bytes()));
        }
        // A byte order mark in foreign text is seen where the bytes are read anyway.
        let bytes = Bytes::from("\u{FEFF}\u{FFFD}");
        let value = Value::from("\u{FEFF}\u{FFFD}");
        assert_eq!(tagged("\u{FFFD}", None).compare(bytes), Match::SameIfUntouched(value));
    }

    #[test]
    fn get_1_bytes_of_another_write_are_not_taken() {
        let bytes = Some(KindTag::Bytes);
        for (text, tag, read) in [
            ("\u{FFFD}", None, &b"x"[..]),
            ("\u{FFFD}", None, b"\xFFx"),
            ("a\u{FFFD}", bytes, b"\xEF\xBB\xBFa\xEF\xBF\xBD"),
            ("\u{FFFD}", bytes, b"\xEF\xBF\xBD\xEF\xBF\xBD"),
            ("\u{FEFF}x", Some(KindTag::BytesBom), b"x"),
        ] {
            let compared = tagged(text, tag).compare(Bytes::copy_from_slice(read));
            assert_eq!(compared, Match::Other, "{text:?} {read:?}");
        }
        // How many U+FFFD stand for a broken sequence is the server's affair.
        let read = Bytes::from_static(b"a\xE2\x82b");
        for text in ["a\u{FFFD}b", "a\u{FFFD}\u{FFFD}b"] {
            assert_eq!(tagged(text, None).compare(read.clone()), Match::Same(Value::from(read.clone())));
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let piece = prop_oneof![
            Just("\u{FEFF}".as_bytes().to_vec()),
            Just("\u{FFFD}".as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..3),
            ".{0,3}".prop_map(String::into_bytes),
        ];
        (prop::collection::vec(piece, 0..4), 0..3).prop_map(|(pieces, kind)| {
            let bytes = pieces.concat();
            match (kind, String::from_utf8(bytes)) {
                (0, Ok(text)) => Value::from(text),
                (1, Ok(text)) => Value::from(json!([text])),
                (_, Ok(text)) => Value::from(text.into_bytes()),
                (_, Err(error)) => Value::from(error.into_bytes()),
            }
        })
    }

    proptest! {
        #[test]
        fn val_2_every_value_is_told_by_the_text_or_by_text_and_bytes(
            value in any_value(),
            metadata in prop::option::of(prop::sample::select(vec![
                json!(1),
                json!({"a": 1}),
                json!({"$kv-envelope": 1}),
            ])),
        ) {
            let metadata = metadata.map(Metadata::from);
            let reported = reported(&value, metadata.as_ref());
            prop_assert_eq!(&reported.stored.metadata, &metadata);
            match reported.clone().value() {
                Some(read) => prop_assert_eq!(read, value),
                None => match reported.compare(value.as_bytes().clone()) {
                    Match::Same(read) | Match::SameIfUntouched(read) => prop_assert_eq!(read, value),
                    Match::Other => prop_assert!(false, "its own bytes"),
                },
            }
        }

        #[test]
        fn get_1_kind_and_bytes_never_come_from_different_writes(told_by in any_value(), read_by in any_value()) {
            let reported = reported(&told_by, None);
            if reported.clone().value().is_none()
                && let Match::Same(value) = reported.compare(read_by.as_bytes().clone())
            {
                prop_assert!(value == told_by || value == read_by, "{:?}", value.as_bytes());
            }
        }
    }
}
