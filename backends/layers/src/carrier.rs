//! How an envelope of bytes is stored: as bytes, or as base64 text where the system keeps none; and what the envelopes
//! of this package have in common.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use kv_api::{Value, ValueKind, ValueKinds};

/// The first bytes of an envelope. They are no UTF-8, so that no text and no JSON begins with them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Magic {
    pub(crate) bytes: [u8; 4],
    /// The first three of them in base64: with them a text is refused before it is decoded.
    pub(crate) base64: &'static str,
}

/// What an envelope is stored as. Either form is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Bytes,
    /// Base64, by the standard alphabet and padded.
    Text,
}

impl Carrier {
    /// Bytes where the system keeps them, unless text is preferred; `None` where it keeps neither.
    pub(crate) const fn of(kinds: ValueKinds, prefers_text: bool) -> Option<Self> {
        match (kinds.contains(ValueKind::Bytes), kinds.contains(ValueKind::Text)) {
            (true, true) if prefers_text => Some(Self::Text),
            (true, _) => Some(Self::Bytes),
            (false, true) => Some(Self::Text),
            (false, false) => None,
        }
    }

    /// The envelope as it is stored.
    pub(crate) fn wrap(self, envelope: Vec<u8>) -> Value {
        match self {
            Self::Bytes => Value::from(envelope),
            Self::Text => Value::from(BASE64_STANDARD.encode(envelope)),
        }
    }
}

/// The envelope in what is stored, if it is one that begins with `magic`.
pub(crate) fn envelope_in(stored: &Value, magic: Magic) -> Option<Bytes> {
    let envelope = match stored.kind() {
        ValueKind::Bytes => stored.as_bytes().clone(),
        ValueKind::Text if stored.as_bytes().starts_with(magic.base64.as_bytes()) => {
            Bytes::from(BASE64_STANDARD.decode(stored.as_bytes()).ok()?)
        }
        _ => return None,
    };
    envelope.starts_with(&magic.bytes).then_some(envelope)
}

/// The byte that stands for a kind of value in an envelope; `None` for a kind that came after this library.
pub(crate) const fn kind_to_byte(kind: ValueKind) -> Option<u8> {
    match kind {
        ValueKind::Text => Some(1),
        ValueKind::Json => Some(2),
        ValueKind::Bytes => Some(3),
        _ => None,
    }
}

/// The kind that a byte stands for.
pub(crate) const fn kind_of_byte(byte: u8) -> Option<ValueKind> {
    match byte {
        1 => Some(ValueKind::Text),
        2 => Some(ValueKind::Json),
        3 => Some(ValueKind::Bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: Magic = Magic { bytes: *b"\x8fkv?", base64: "j2t2" };

    #[test]
    fn an_envelope_comes_back_from_bytes_and_from_text() {
        for (carrier, kind) in [(Carrier::Bytes, ValueKind::Bytes), (Carrier::Text, ValueKind::Text)] {
            for length in 0..5 {
                let envelope = [&MAGIC.bytes[..], &[7; 5][..length]].concat();
                let stored = carrier.wrap(envelope.clone());
                assert_eq!(stored.kind(), kind);
                assert_eq!(envelope_in(&stored, MAGIC).as_deref(), Some(&envelope[..]));
            }
        }
    }

    #[test]
    fn bytes_are_stored_as_such_where_they_can_be_and_nothing_else_is_wanted() {
        let [bytes, text, json] =
            [ValueKind::Bytes, ValueKind::Text, ValueKind::Json].map(|kind| ValueKinds::NONE.with(kind));
        for (kinds, expected, with_text_preferred) in [
            (ValueKinds::ALL, Some(Carrier::Bytes), Some(Carrier::Text)),
            (bytes, Some(Carrier::Bytes), Some(Carrier::Bytes)),
            (text, Some(Carrier::Text), Some(Carrier::Text)),
            (json, None, None),
        ] {
            assert_eq!((Carrier::of(kinds, false), Carrier::of(kinds, true)), (expected, with_text_preferred));
        }
    }

    #[test]
    fn what_is_no_envelope_is_not_taken_for_one() {
        for stored in [
            Value::from(&MAGIC.bytes[..3]),
            Value::from(""),
            Value::from("j2t2Pw="),
            Value::from("j2t2"),
            Value::from("j2t2Pg=="),
            Value::from("j2t2Pw==").as_bytes().to_vec().into(),
        ] {
            assert_eq!(envelope_in(&stored, MAGIC), None, "{:?}", stored.as_bytes());
        }
        assert!(envelope_in(&Value::from("j2t2Pw=="), MAGIC).is_some());
    }

    #[test]
    fn each_kind_has_a_byte_of_its_own() {
        for kind in [ValueKind::Text, ValueKind::Json, ValueKind::Bytes] {
            assert_eq!(kind_to_byte(kind).and_then(kind_of_byte), Some(kind));
        }
        assert_eq!((kind_of_byte(0), kind_of_byte(4)), (None, None));
    }
}
