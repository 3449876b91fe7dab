//! The listing of keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kv_api::Timestamp;

use super::namespace::{Entry, Namespace};
use super::refusal::{Refusal, page};
use super::route::parameter;
use super::rules::check_key_length;
use crate::json::{Value, json};
use crate::model::Answer;

/// The most keys on a page, and how many there are where no limit is given.
pub(super) const LIMIT_MAX: usize = 1000;
/// The smallest limit that is taken.
const LIMIT_MIN: usize = 10;

/// Begins a cursor in front of the first key, which only a page out of order needs. No base64 text looks like it.
const BEGINNING: &str = ".";

/// Behind a cursor, any number of times, it makes another cursor for the same place: after an empty page a cursor is
/// not the one that the page was asked for with.
const SAME_PLACE: char = '!';

/// What a listing asks for.
#[derive(Debug)]
pub(super) struct Listing {
    prefix: String,
    limit: usize,
    /// As it was given; empty when there was none.
    cursor: String,
}

impl Listing {
    pub(super) fn parse(query: &str) -> Result<Self, Refusal> {
        let prefix = parameter(query, "prefix").unwrap_or_default();
        check_key_length(&prefix)?;
        let limit = match parameter(query, "limit") {
            Some(text) => parse_limit(&text)?,
            None => LIMIT_MAX,
        };
        Ok(Self { prefix, limit, cursor: parameter(query, "cursor").unwrap_or_default() })
    }

    /// A page of at most `page_keys_max` keys, whatever the limit.
    pub(super) fn answer(&self, namespace: &Namespace, page_keys_max: usize, now: Timestamp) -> Answer {
        let after = match self.position() {
            Ok(after) => after,
            // Assumed, as the local implementation does: what is no cursor is taken for the end.
            Err(NoCursor) => return answer(&[], ""),
        };
        let mut walk = namespace.walk(&self.prefix, after.as_deref(), now).peekable();
        let keys: Vec<_> = walk.by_ref().take(self.limit.min(page_keys_max)).collect();
        let cursor = match (keys.last(), walk.peek()) {
            (Some((last, _)), Some(_)) => STANDARD.encode(last),
            _ => String::new(),
        };
        let keys: Vec<_> = keys.into_iter().map(|(name, entry)| item(name, entry)).collect();
        answer(&keys, &cursor)
    }

    /// No keys, and another cursor for the place that the request goes on from.
    pub(super) fn answer_empty(&self) -> Answer {
        let cursor = if self.cursor.is_empty() { BEGINNING } else { &self.cursor };
        answer(&[], &format!("{cursor}{SAME_PLACE}"))
    }

    /// No keys, and the cursor that the request came with.
    pub(super) fn answer_stuck(&self) -> Answer {
        answer(&[], if self.cursor.is_empty() { BEGINNING } else { &self.cursor })
    }

    /// The first keys, wherever the request goes on from, and a cursor that leads to them once more; `None` where there
    /// are no keys.
    pub(super) fn answer_first_again(
        &self,
        namespace: &Namespace,
        page_keys_max: usize,
        now: Timestamp,
    ) -> Option<Answer> {
        let keys = namespace.walk(&self.prefix, None, now).take(self.limit.min(page_keys_max));
        let keys: Vec<_> = keys.map(|(name, entry)| item(name, entry)).collect();
        let round: u64 = self.cursor.strip_prefix(BEGINNING).and_then(|round| round.parse().ok()).unwrap_or(0);
        (!keys.is_empty()).then(|| answer(&keys, &format!("{BEGINNING}{}", round + 1)))
    }

    /// The key after which the page begins.
    fn position(&self) -> Result<Option<String>, NoCursor> {
        if self.cursor.is_empty() || self.cursor.starts_with(BEGINNING) {
            return Ok(None);
        }
        let cursor = self.cursor.trim_end_matches(SAME_PLACE);
        if cursor.is_empty() {
            return Err(NoCursor);
        }
        let key = STANDARD.decode(cursor).map_err(|_| NoCursor)?;
        String::from_utf8(key).map(Some).map_err(|_| NoCursor)
    }
}

struct NoCursor;

/// A fraction is cut off, as the local implementation does.
fn parse_limit(text: &str) -> Result<usize, Refusal> {
    let not_a_number =
        || Refusal::bad_request(format!("limit: Expected query param to be number but received {text:?}"));
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(not_a_number)?;
    let outside = |side: &str, sign: &str, bound: usize| {
        Refusal::bad_request(format!("limit: Too {side}: expected number to be {sign}={bound}"))
    };
    // A negative number has no such text as a `usize`, and neither has one that is too large for it.
    match number.trunc().to_string().parse() {
        Ok(limit) if limit > LIMIT_MAX => Err(outside("big", "<", LIMIT_MAX)),
        Ok(limit) if limit >= LIMIT_MIN => Ok(limit),
        Err(_) if number > 0.0 => Err(outside("big", "<", LIMIT_MAX)),
        _ => Err(outside("small", ">", LIMIT_MIN)),
    }
}

fn item(name: &str, entry: &Entry) -> Value {
    let mut item = json!({ "name": name });
    if let Some(second) = entry.expiration {
        item["expiration"] = second.into();
    }
    if let Some(metadata) = &entry.metadata {
        item["metadata"] = metadata.clone();
    }
    item
}

fn answer(keys: &[Value], cursor: &str) -> Answer {
    page(keys, &json!({ "count": keys.len(), "cursor": cursor }))
}
