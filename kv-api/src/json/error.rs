//! What is wrong with JSON text, and where.

use std::fmt;

use crate::error::{Error, Reason};

use super::NESTING_MAX;

/// What is wrong with JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JsonProblem {
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The text is not JSON.
    Syntax,
    /// The text ends inside of the JSON.
    Truncated,
    /// An object names a member twice (VAL-3).
    RepeatedMember,
    /// An integer outside -2^63 to 2^64-1 (VAL-3).
    IntegerRange,
    /// A number beyond the finite doubles, a NaN or an infinity (VAL-3).
    NotFinite,
    /// Arrays and objects nested deeper than [`NESTING_MAX`] (VAL-3).
    NestingTooDeep,
}

/// Why text is not acceptable JSON. It names the position and shows no part of the text (ERR-2).
///
/// ```
/// use kv_api::{JsonProblem, JsonText};
/// let error = JsonText::parse("{\"a\": 1,\n \"a\": 2}").unwrap_err();
/// assert_eq!(error.problem(), JsonProblem::RepeatedMember);
/// assert_eq!((error.offset(), error.line(), error.column()), (10, 2, 2));
/// assert_eq!(error.to_string(), "the JSON names a member twice, at line 2, column 2");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    problem: JsonProblem,
    detail: &'static str,
    offset: usize,
    line: usize,
    column: usize,
}

impl JsonError {
    pub(super) fn new(problem: JsonProblem, detail: &'static str, text: &[u8], offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Self { problem, detail, offset, line, column: 1 + offset - line_start }
    }

    /// What is wrong.
    #[must_use]
    pub const fn problem(&self) -> JsonProblem {
        self.problem
    }

    /// Where, in bytes from the start of the text. Of a repeated member it is where the second one begins.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The line of that position, from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The column of that position in its line, in bytes from 1.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem {
            JsonProblem::NotUtf8 => f.write_str("the JSON is not UTF-8"),
            JsonProblem::Syntax => write!(f, "not JSON: {}", self.detail),
            JsonProblem::Truncated => f.write_str("the JSON ends too early"),
            JsonProblem::RepeatedMember => f.write_str("the JSON names a member twice"),
            JsonProblem::IntegerRange => {
                f.write_str("an integer outside -2^63 to 2^64-1 would lose digits; store it as text")
            }
            JsonProblem::NotFinite => f.write_str("a NaN, an infinity or a number beyond the finite doubles"),
            JsonProblem::NestingTooDeep => write!(f, "JSON is nested deeper than {NESTING_MAX} levels"),
        }?;
        write!(f, ", at line {}, column {}", self.line, self.column)
    }
}

impl std::error::Error for JsonError {}

/// `InvalidArgument`, as for JSON that a caller gave.
impl From<JsonError> for Error {
    fn from(error: JsonError) -> Self {
        let reason = match error.problem {
            JsonProblem::RepeatedMember => Reason::RepeatedMember,
            JsonProblem::NestingTooDeep => Reason::NestingTooDeep,
            _ => Reason::InvalidJson,
        };
        Self::invalid(reason, error.to_string())
    }
}
