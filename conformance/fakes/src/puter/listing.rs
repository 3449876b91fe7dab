//! Listings: everything at once, or in pages that go on from a cursor.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use kv_api::Timestamp;

use super::entry::Entry;
use super::namespace::{Namespace, Start};
use super::refusal::Refusal;
use super::switches::Poison;
use crate::javascript::{is_truthy, to_number, trimmed};
use crate::json::{Dialect, Map, Value, json, parse, parse_bytes, quoted};

/// The largest number of entries that can be skipped.
const OFFSET_MAX: f64 = 5000.0;

/// The member of a cursor that counts empty pages. No real cursor has it.
const EMPTY_PAGES: &str = "emptyPages";

/// How many pages of the storage a page is filled from at most.
const FILL_PAGES_MAX: usize = 10;

/// As the program decodes: padding or none.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

type Result<T> = std::result::Result<T, Refusal>;

/// What of each entry is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Keys,
    Values,
    Entries,
}

/// What is listed, and how.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    form: Form,
    prefix: String,
    /// Zero is a page without a limit, which ends where the storage ends one.
    limit: Option<usize>,
    start: Start,
    /// After how many empty pages in a row it goes on, which tells their cursors apart.
    empty_pages: i64,
    offset: Option<usize>,
    total: bool,
    fill: bool,
    paged: bool,
}

impl Listing {
    /// Reads the arguments, in the order in which the system objects to them.
    pub(super) fn read(arguments: &Map, namespace: &str) -> Result<Self> {
        let given = |name: &str| arguments.get(name).filter(|value| !value.is_null());
        let limit = match given("limit").map(to_number) {
            None => None,
            Some(limit) if limit.is_finite() && limit > 0.0 => Some(floored(limit)),
            Some(_) => return Err(Refusal::bad_request("kv: limit must be a positive number")),
        };
        let offset = match given("offset").map(to_number) {
            None => None,
            Some(offset) if !offset.is_finite() || offset < 0.0 => {
                return Err(Refusal::bad_request("kv: offset must be a non-negative number"));
            }
            Some(offset) if offset.floor() > OFFSET_MAX => {
                return Err(Refusal::bad_request("kv: offset may not exceed 5000"));
            }
            Some(offset) => Some(floored(offset)),
        };
        let cursor = given("cursor").map(read_cursor).transpose()?.flatten();
        let prefix = match given("pattern") {
            None => "",
            Some(Value::String(pattern)) => prefix(pattern),
            Some(_) => return Err(Refusal::bad_request("kv: pattern must be a string")),
        };
        if cursor.is_some() && offset.is_some() {
            return Err(Refusal::bad_request("kv: cursor and offset cannot be combined"));
        }
        let truthy = |name: &str| given(name).is_some_and(is_truthy);
        if truthy("fetchUntilFull") && limit.is_none() {
            return Err(Refusal::bad_request("kv: fetchUntilFull requires limit"));
        }
        let form = match given("as") {
            None => Form::Entries,
            Some(form) => match form.as_str() {
                Some("keys") => Form::Keys,
                Some("values") => Form::Values,
                Some("entries") => Form::Entries,
                _ => return Err(Refusal::bad_request("kv: list \"as\" must be keys, values, or entries")),
            },
        };
        let told = |name: &str| given(name) == Some(&Value::Bool(true));
        Ok(Self {
            form,
            limit,
            offset,
            paged: limit.is_some() || offset.is_some() || cursor.is_some() || told("includeTotal"),
            empty_pages: cursor.as_ref().and_then(|cursor| cursor[EMPTY_PAGES].as_i64()).unwrap_or(0),
            start: cursor.map_or(Ok(Start::First), |cursor| start(&cursor, namespace, prefix))?,
            prefix: prefix.to_owned(),
            total: truthy("includeTotal"),
            fill: truthy("fetchUntilFull"),
        })
    }

    /// Whether the keys alone are asked for, which takes no credit.
    pub(super) fn is_of_keys(arguments: &Map) -> bool {
        arguments.get("as").and_then(Value::as_str) == Some("keys")
    }

    /// The answer: all that there is, or a page.
    pub(super) fn answer(&self, namespace: &Namespace, foreign: bool, poison: Poison, now: Timestamp) -> Result<Value> {
        let is_listed = |entry: &Entry| entry.is_listed(now) && !(foreign && entry.private);
        let mut start = Some(self.start.clone());
        // Skipping counts what is there, page by page of the storage, up to the last one skipped.
        let mut skipped = 0;
        while let Some(from) = start.take_if(|_| skipped < self.offset.unwrap_or(0)) {
            let page = namespace.page(&self.prefix, &from, self.offset.map(|offset| offset - skipped));
            skipped += page.entries.iter().filter(|(_, entry)| is_listed(entry)).count();
            start = page.last.map(Start::After);
        }

        let mut items = Vec::new();
        let mut pages = 0;
        while let Some(from) = start.take() {
            let limit = self.limit.filter(|limit| *limit > 0).map(|limit| limit - items.len());
            let page = namespace.page(&self.prefix, &from, limit);
            for (key, entry) in page.entries.into_iter().filter(|(_, entry)| is_listed(entry)) {
                if entry.is_poisoned() && (self.form != Form::Keys || poison == Poison::Everything) {
                    return Err(Refusal::internal());
                }
                items.push(self.item(key, entry));
            }
            start = page.last.map(Start::After);
            pages += 1;
            let full = self.limit.is_some_and(|limit| !self.fill || items.len() >= limit || pages >= FILL_PAGES_MAX);
            if full {
                break;
            }
        }
        if !self.paged {
            return Ok(Value::Array(items));
        }
        let mut answer = Map::new();
        answer.insert("items".to_owned(), Value::Array(items));
        if let Some(Start::After(key)) = start {
            answer.insert("cursor".to_owned(), Value::String(cursor(namespace.name(), &key)));
        }
        if self.total {
            let all = namespace.with_prefix(&self.prefix);
            answer.insert("total".to_owned(), json!(all.filter(|(_, entry)| is_listed(entry)).count()));
        }
        Ok(Value::Object(answer))
    }

    /// A page without items and with a cursor that goes on from the same place, as one is where everything has expired;
    /// `None` where no pages are asked for. With a step of 0 it is the cursor that was given, if that was of such a
    /// page.
    pub(super) fn empty_page(&self, namespace: &str, step: i64) -> Option<Value> {
        let (key, inclusive) = match &self.start {
            // A real one always names a key that was read; this names the first that is to be.
            Start::First => (&self.prefix, true),
            Start::At(key) => (key, true),
            Start::After(key) => (key, false),
        };
        let mut cursor = json!({"namespace": namespace, "key": key, "inclusive": inclusive});
        cursor[EMPTY_PAGES] = json!(self.empty_pages.saturating_add(step));
        self.paged.then(|| json!({"items": [], "cursor": STANDARD.encode(cursor.to_string())}))
    }

    /// The first items, wherever the cursor is, and a cursor further on; `None` without items, or where no pages are
    /// asked for.
    pub(super) fn first_again(
        &self,
        namespace: &Namespace,
        foreign: bool,
        poison: Poison,
        now: Timestamp,
    ) -> Option<Value> {
        let first = Self { start: Start::First, total: false, ..self.clone() };
        let mut page = first.answer(namespace, foreign, poison, now).ok()?;
        page["items"].as_array().filter(|items| self.paged && !items.is_empty())?;
        let from = match &self.start {
            Start::First => &self.prefix,
            Start::At(key) | Start::After(key) => key,
        };
        page["cursor"] = json!(cursor(namespace.name(), &format!("{from}~")));
        Some(page)
    }

    fn item(&self, key: &str, entry: &Entry) -> Value {
        match (self.form, &entry.value) {
            (Form::Keys, _) => json!(key),
            (Form::Values, value) => value.clone().unwrap_or_default(),
            (Form::Entries, Some(value)) => json!({"key": key, "value": value}),
            (Form::Entries, None) => json!({"key": key}),
        }
    }
}

/// A pattern is a prefix: without white space at its ends, and without one star at its end.
fn prefix(pattern: &str) -> &str {
    let pattern = trimmed(pattern);
    pattern.strip_suffix('*').unwrap_or(pattern)
}

fn floored(number: f64) -> usize {
    format!("{:.0}", number.floor()).parse().unwrap_or(usize::MAX)
}

/// The members in the order in which the system writes them.
fn cursor(namespace: &str, key: &str) -> String {
    STANDARD.encode(format!(r#"{{"namespace":{},"key":{}}}"#, quoted(namespace), quoted(key)))
}

/// What a cursor says: base64 of JSON, the JSON itself as a text, or the object.
fn read_cursor(cursor: &Value) -> Result<Option<Value>> {
    let text = match cursor {
        Value::String(text) => trimmed(text),
        Value::Object(_) => return Ok(Some(cursor.clone())),
        Value::Array(_) => return Err(invalid_cursor()),
        // The program takes it for a text, and fails.
        _ => return Err(Refusal::internal()),
    };
    if text.is_empty() {
        return Ok(None);
    }
    let decoded = LENIENT.decode(text).ok().and_then(|json| parse_bytes(&json, Dialect::JavaScript).ok());
    let decoded: Option<Value> = decoded.or_else(|| parse(text, Dialect::JavaScript).ok());
    decoded.filter(Value::is_object).map(Some).ok_or_else(invalid_cursor)
}

/// Where to go on. The storage insists on a key within what is listed.
fn start(cursor: &Value, namespace: &str, prefix: &str) -> Result<Start> {
    let (Some(own), Some(key)) = (cursor["namespace"].as_str(), cursor["key"].as_str()) else {
        return Err(Refusal::storage("The provided starting key is invalid"));
    };
    if own != namespace || !key.starts_with(prefix) {
        return Err(Refusal::storage(
            "The provided starting key is outside query boundaries based on provided conditions",
        ));
    }
    let key = key.to_owned();
    Ok(if cursor["inclusive"] == true { Start::At(key) } else { Start::After(key) })
}

fn invalid_cursor() -> Refusal {
    Refusal::bad_request("invalid kv: cursor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_literal_prefix() {
        let check = |pattern, expected| assert_eq!(prefix(pattern), expected, "{pattern:?}");
        check("", "");
        check("*", "");
        check(" * ", "");
        check("a*", "a");
        check("a**", "a*");
        check("a*b*", "a*b");
        check("*x", "*x");
        check(" lead ", "lead");
        check("\u{feff}a\u{a0}", "a");
        check("\u{85}a", "\u{85}a");
    }

    #[test]
    fn a_cursor_is_read_in_every_form() {
        let json = json!({"namespace": "n", "key": "k"});
        let encoded = cursor("n", "k");
        assert_eq!(encoded, "eyJuYW1lc3BhY2UiOiJuIiwia2V5IjoiayJ9");
        for form in [json!(&encoded), json!(format!(" {encoded} ")), json!(json.to_string()), json.clone()] {
            assert_eq!(read_cursor(&form), Ok(Some(json.clone())), "{form}");
        }
        assert_eq!(read_cursor(&json!(" ")), Ok(None));
        for form in [json!("!!!"), json!("NQ=="), json!("5"), json!([])] {
            assert_eq!(read_cursor(&form), Err(invalid_cursor()), "{form}");
        }
        for form in [json!(5), json!(true)] {
            assert_eq!(read_cursor(&form), Err(Refusal::internal()), "{form}");
        }
    }

    #[test]
    fn a_cursor_leads_only_where_it_came_from() {
        let lead = |cursor: Value, prefix| start(&cursor, "n", prefix).map_err(|refusal| refusal.code);
        assert_eq!(lead(json!({"namespace": "n", "key": "k1"}), "k"), Ok(Start::After("k1".to_owned())));
        assert_eq!(lead(json!({"namespace": "m", "key": "k1"}), "k"), Err("upstream_bad_request"));
        assert_eq!(lead(json!({"namespace": "n", "key": "k1"}), "l"), Err("upstream_bad_request"));
        assert_eq!(lead(json!({"key": "k1"}), ""), Err("upstream_bad_request"));
    }
}
