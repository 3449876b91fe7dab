//! Decoders for the fuzz targets in `conformance/fuzz`. Built with `--cfg fuzzing` only.

use kv_api::{Entry, Fields, Result};

use crate::found::{Content, Slots};
use crate::packed_text::PackedText;
use crate::row::StoredRow;
use crate::schema::NamespaceId;

const NAMESPACE: NamespaceId = NamespaceId { file_id: 7, row_id: 1 };

/// What the statement for many keys has found, and the slots that are still to be got.
#[allow(clippy::type_complexity, reason = "a target looks into all of it")]
///
/// # Errors
/// `Protocol` for a damaged text.
pub fn found(text: &[u8], fields: &[Fields], whole: bool) -> Result<(Vec<Result<Option<Entry>>>, Vec<usize>)> {
    let content = if whole { Content::Entry } else { Content::Value };
    let mut slots = Slots::new(fields.iter().copied());
    slots.fill(text, content, NAMESPACE)?;
    Ok((slots.entries, slots.withheld))
}

/// The states of keys, printed.
///
/// # Errors
/// `Protocol` for a damaged text.
pub fn states(text: &[u8], counted: bool) -> Result<Vec<String>> {
    let mut text = PackedText::new(text);
    let mut states = Vec::new();
    while !text.is_empty() {
        states.push(format!("{:?}", StoredRow::unpack(&mut text, counted)?));
    }
    Ok(states)
}
