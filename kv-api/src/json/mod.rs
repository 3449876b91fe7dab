//! JSON as the contract means it (VAL-3): what is accepted, and when two are equal. All of it works on text, because
//! what `serde_json::Value` makes of some JSON depends on features that any crate of the program can turn on.

mod compare;
mod error;
mod number;
mod reader;
mod serialize;
mod string;
#[cfg(test)]
mod tests;
mod text;
mod typed;

use serde::Serialize;

pub use error::{JsonError, JsonProblem};
pub use string::{quoted, quoted_into, quoted_len};
pub use text::JsonText;
pub(crate) use typed::decode;

use crate::error::Result;

/// Arrays and objects nested deeper are refused everywhere (VAL-3). serde_json itself reads 127 levels; the rest is
/// room for the envelope.
pub const NESTING_MAX: usize = 100;

/// The compact text of JSON that a caller gave.
pub(crate) fn parse(text: &str) -> Result<String> {
    Ok(JsonText::parse(text)?.compact().into_owned())
}

/// The compact text of what `value` serialises to.
pub(crate) fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    let text = serialize::to_text(value)?;
    // An integer of 128 bits, one name for two members, JSON that `value` brings as text.
    let compact = JsonText::parse(&text)?.compact();
    Ok(if compact.len() == text.len() { text } else { compact.into_owned() })
}
