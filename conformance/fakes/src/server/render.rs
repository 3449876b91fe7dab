//! What both engines do in the same way between the wire and a model.

use std::fmt;

use hyper::HeaderMap;

use crate::model::Answer;

/// Headers as a model sees them, their names in lower case.
pub(super) fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect()
}

/// The whole length announced, half of it sent. The space after the number is optional white space to a reader of the
/// header, and keeps hyper's debug builds from taking the number for one that it should compare.
pub(super) fn truncated(mut answer: Answer) -> Answer {
    let length = answer.body.len();
    answer.body.truncate(length / 2);
    answer.headers.push(("content-length", format!("{length} ")));
    answer.headers.push(("connection", "close".to_owned()));
    answer
}

/// Why a connection ends without an answer.
#[derive(Debug)]
pub(super) struct CutByRequest;

impl fmt::Display for CutByRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is cut, as ordered")
    }
}

impl std::error::Error for CutByRequest {}
