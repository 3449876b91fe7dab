//! What the statement for many keys has found: one text, taken apart into a slot for each key. Pure.

use bytes::Bytes;
use kv_api::{Entry, Error, Fields, Result, Value};
use kv_sql::{damaged_row, entry, existing, kind_from_number, version};

use crate::packed_text::PackedText;
use crate::schema::NamespaceId;

/// How much of an entry the text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Kind and value: [`crate::queries::read::GET_MANY_VALUES`].
    Value,
    /// Version, expiry and metadata too: [`crate::queries::read::GET_MANY_ENTRIES`].
    Entry,
}

/// One slot for each key that was asked for.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) entries: Vec<Result<Option<Entry>>>,
    /// The slots of the entries that are too large for the text. Until they have been got, these are empty.
    pub(crate) withheld: Vec<usize>,
    fields: Vec<Fields>,
}

impl Slots {
    pub(crate) fn new(fields: impl Iterator<Item = Fields>) -> Self {
        let fields: Vec<Fields> = fields.collect();
        Self { entries: fields.iter().map(|_| Ok(None)).collect(), withheld: Vec::new(), fields }
    }

    pub(crate) fn entry(&mut self, slot: usize) -> Result<&mut Result<Option<Entry>>> {
        self.entries.get_mut(slot).ok_or_else(not_asked_for)
    }

    /// Takes the text apart. Each value is copied out of it: a part of a shared buffer would keep all of it in memory
    /// for as long as the caller keeps the smallest value.
    pub(crate) fn fill(&mut self, text: &[u8], content: Content, namespace_id: NamespaceId) -> Result<()> {
        let mut text = PackedText::new(text);
        while !text.is_empty() {
            let slot = usize::try_from(text.some_number()?).unwrap_or(usize::MAX);
            let fields = *self.fields.get(slot).ok_or_else(not_asked_for)?;
            match text.number()? {
                Some(kind) => {
                    *self.entry(slot)? = next_entry(&mut text, kind, content, fields, namespace_id)?.map(Some)
                }
                None if fields == Fields::Existence => *self.entry(slot)? = Ok(Some(existing())),
                None => self.withheld.push(slot),
            }
        }
        Ok(())
    }
}

/// The next entry of the text. The outer error: the text itself is damaged, and what follows cannot be found.
fn next_entry(
    text: &mut PackedText<'_>,
    kind: i64,
    content: Content,
    fields: Fields,
    namespace_id: NamespaceId,
) -> Result<Result<Entry>> {
    let value =
        |bytes: &[u8]| kind_from_number(kind).map(|kind| Value::from_stored(kind, Bytes::copy_from_slice(bytes)));
    if content == Content::Value {
        let value_bytes = text.some_number()?;
        return Ok(value(text.take(value_bytes)?).map(Entry::new));
    }
    let (stored_version, expires_at) = (text.some_number()?, text.number()?);
    let (metadata_bytes, value_bytes) = (text.number()?, text.some_number()?);
    let metadata = metadata_bytes.map(|bytes| text.take(bytes)).transpose()?;
    let value = value(text.take(value_bytes)?);
    Ok(value.map(|value| match fields {
        Fields::Value => Entry::new(value),
        _ => entry(
            value,
            metadata.map(Bytes::copy_from_slice),
            expires_at,
            version(namespace_id.file_id, stored_version),
        ),
    }))
}

pub(crate) fn not_asked_for() -> Error {
    damaged_row("its key was not asked for")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::Metadata;
    use kv_sql::entry_expiry;

    const NAMESPACE: NamespaceId = NamespaceId { file_id: 7, row_id: 1 };

    fn filled(text: &[u8], content: Content, fields: &[Fields]) -> Result<Slots> {
        let mut slots = Slots::new(fields.iter().copied());
        slots.fill(text, content, NAMESPACE).map(|()| slots)
    }

    #[test]
    fn each_entry_finds_its_slot_and_a_withheld_one_is_remembered() {
        let fields = [Fields::Value, Fields::Existence, Fields::Value, Fields::Value, Fields::Value];
        let slots = filled(b"3,2,4,1,\0\xff1,,4,,0,0,0,", Content::Value, &fields).unwrap();
        let value = |slot: usize| slots.entries[slot].as_ref().unwrap().as_ref().map(Entry::value);
        assert_eq!(value(0), Some(&Value::from("")));
        assert_eq!(value(1), Some(&Value::from(Vec::new())));
        assert_eq!(value(2), None);
        assert_eq!(value(3), Some(&Value::from(&b"1,\0\xff"[..])));
        assert_eq!((value(4), slots.withheld.as_slice()), (None, &[4][..]));
    }

    #[test]
    fn all_of_an_entry_is_told_to_those_who_asked_for_it() {
        let text = b"0,0,9,5,2,1,{}a1,0,9,5,2,1,{}a";
        let slots = filled(text, Content::Entry, &[Fields::All, Fields::Value]).unwrap();
        let entry = |slot: usize| slots.entries[slot].as_ref().unwrap().as_ref().unwrap();
        let metadata = Metadata::from_stored(Bytes::from_static(b"{}"));
        let whole = Entry::with_details(Value::from("a"), Some(metadata), entry_expiry(Some(5)), Some(version(7, 9)));
        assert_eq!((entry(0), entry(1)), (&whole, &Entry::new(Value::from("a"))));
    }

    #[test]
    fn a_row_of_an_unknown_kind_spoils_its_own_slot_and_a_damaged_text_everything() {
        let slots = filled(b"0,9,1,a1,0,1,b", Content::Value, &[Fields::Value; 2]).unwrap();
        assert!(slots.entries[0].is_err() && slots.entries[1].as_ref().is_ok_and(Option::is_some));
        for damaged in [&b"2,0,1,a"[..], b"-1,0,1,a", b"0", b"0,0,2,a", b"0,0,,a", b",0,1,a"] {
            assert!(filled(damaged, Content::Value, &[Fields::Value; 2]).is_err(), "{damaged:?}");
        }
    }
}
