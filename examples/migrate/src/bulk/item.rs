//! One item of the bulk format as text, in both directions.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kv_api::{ErrorKind, JsonError, JsonProblem, JsonText, Metadata, Timestamp, Value, ValueKind, json_quoted};

use super::ITEM_BYTES_MAX;
use super::frame::NO_ITEM;
use crate::record::{Record, RecordExpiry};

/// A member that an item may have.
#[derive(Clone, Copy)]
enum Member {
    Key,
    Value,
    Base64,
    Kind,
    Expiration,
    ExpirationTtl,
    Metadata,
    Reason,
}

impl Member {
    const COUNT: usize = 8;

    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "key" => Self::Key,
            "value" => Self::Value,
            "base64" => Self::Base64,
            "kind" => Self::Kind,
            "expiration" => Self::Expiration,
            "expiration_ttl" => Self::ExpirationTtl,
            "metadata" => Self::Metadata,
            "reason" => Self::Reason,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
            Self::Base64 => "base64",
            Self::Kind => "kind",
            Self::Expiration => "expiration",
            Self::ExpirationTtl => "expiration_ttl",
            Self::Metadata => "metadata",
            Self::Reason => "reason",
        }
    }
}

/// What is wrong with the text of an item.
#[derive(Debug, PartialEq)]
pub(super) struct ItemError {
    /// The line within the text, from 1.
    pub(super) line: u64,
    /// Where the item has one.
    pub(super) key: Option<String>,
    pub(super) member: Option<String>,
    pub(super) problem: String,
}

/// Reads an item that begins in `line` of its file.
pub(super) fn parse(bytes: &[u8], line: u64) -> Result<Record, ItemError> {
    let unreadable = |line, problem| ItemError { line, key: leading_key(bytes), member: None, problem };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
        unreadable(line, "is not UTF-8".to_owned())
    })?;
    let json = JsonText::parse_foreign(text).map_err(|error| {
        let problem = format!("is not JSON: {}", what(&error).trim_start_matches("not JSON: "));
        unreadable(error.line() as u64, problem)
    })?;
    let Some(named) = json.members() else {
        return Err(unreadable(line_of(json, text), NO_ITEM.to_owned()));
    };
    let mut members = Members { text, given: [None; Member::COUNT] };
    let mut wrong = None;
    for (name, value) in named {
        let member = Member::of(&name);
        let Some(place) = member.map(|member| &mut members.given[member as usize]) else {
            wrong.get_or_insert((name, value, "is no member of an item"));
            continue;
        };
        if place.is_none() {
            // Behind what is wrong only the key is still of interest, to name the item by.
            *place = Some(value);
        } else {
            wrong.get_or_insert((name, value, "is given twice"));
        }
    }
    match wrong {
        Some((name, value, problem)) => Err(members.wrong_at(line_of(value, text), &name, problem)),
        None => members.into_record(line),
    }
}

/// The members of an item as they stand.
struct Members<'t> {
    text: &'t str,
    given: [Option<JsonText<'t>>; Member::COUNT],
}

impl<'t> Members<'t> {
    fn into_record(self, line: u64) -> Result<Record, ItemError> {
        let key = self.string(Member::Key)?.ok_or_else(|| self.wrong(Member::Key, "is missing"))?.into_owned();
        let value = self.string(Member::Value)?.ok_or_else(|| self.wrong(Member::Value, "is missing"))?;
        let base64 = self.member(Member::Base64, JsonText::as_bool, "must be true or false")?.unwrap_or(false);
        let value = match (base64, self.string(Member::Kind)?.as_deref()) {
            (false, None) => Value::from(fitting(value)),
            (true, None) => {
                let bytes = STANDARD.decode(&*value);
                Value::from(bytes.map_err(|_| self.wrong(Member::Value, "is not base64 (standard alphabet)"))?)
            }
            (false, Some("json")) => self.json_value(&value)?,
            (true, Some("json")) => return Err(self.wrong(Member::Kind, "must not stand beside base64")),
            (_, Some(_)) => return Err(self.wrong(Member::Kind, "must be \"json\"")),
        };
        // What a file of rejects says of the item.
        self.string(Member::Reason)?;
        let (expiry, metadata) = (self.expiry()?, self.metadata()?);
        Ok(Record { key, value, metadata, expiry, line: Some(line) })
    }

    fn json_value(&self, text: &str) -> Result<Value, ItemError> {
        Value::from_json_text(text).map_err(|refused| match JsonText::parse(text) {
            Err(error) => {
                let place = format!("at line {}, column {} of it", error.line(), error.column());
                let problem = format!("is not JSON that can be kept: {}, {place}", named(&error, text));
                self.wrong(Member::Value, &problem)
            }
            // Valid, but perhaps null, which only a whole value must not be.
            Ok(_) => self.wrong(Member::Value, &format!("is not JSON that can be kept: {}", refused.message())),
        })
    }

    /// With both given the ttl counts and the time takes no part: that is the format's own rule (Cloudflare KV), and so
    /// it is decided here, whatever the store that the item goes to would do (EXP-2).
    fn expiry(&self) -> Result<RecordExpiry, ItemError> {
        let ttl = self.seconds(Member::ExpirationTtl, "must be a whole number of seconds")?;
        let at = self.seconds(Member::Expiration, "must be a whole number of seconds since 1970")?;
        match (ttl, at) {
            (Some(ttl), _) => Ok(match u64::try_from(ttl) {
                Ok(ttl) if ttl > 0 => RecordExpiry::After(Duration::from_secs(ttl)),
                _ => RecordExpiry::NotPositive,
            }),
            (None, Some(seconds)) if seconds <= 0 => Ok(RecordExpiry::NotPositive),
            (None, Some(seconds)) => {
                let at = Timestamp::from_unix_seconds(seconds);
                if at.as_unix_seconds_ceil() == seconds {
                    Ok(RecordExpiry::At(at))
                } else {
                    Err(self.wrong(Member::Expiration, "is beyond the times that can be kept"))
                }
            }
            (None, None) => Ok(RecordExpiry::Never),
        }
    }

    fn metadata(&self) -> Result<Option<Metadata>, ItemError> {
        let Some(metadata) = self.given[Member::Metadata as usize].filter(|metadata| !metadata.is_null()) else {
            return Ok(None);
        };
        match JsonText::parse(metadata.as_text()) {
            Ok(metadata) => Ok(Some(metadata.to_metadata())),
            Err(error) => {
                let line = line_of(metadata, self.text) + error.line() as u64 - 1;
                Err(self.wrong_at(
                    line,
                    Member::Metadata.name(),
                    &format!("cannot be kept: {}", named(&error, metadata.as_text())),
                ))
            }
        }
    }

    fn string(&self, member: Member) -> Result<Option<Cow<'t, str>>, ItemError> {
        self.member(member, JsonText::as_str, "must be a string")
    }

    /// `60` and, as some write it, `60.0`.
    fn seconds(&self, member: Member, problem: &str) -> Result<Option<i64>, ItemError> {
        self.member(member, |json| json.is_number().then_some(json), "must be a number")?
            .map(|number| whole(number).ok_or_else(|| self.wrong(member, problem)))
            .transpose()
    }

    fn member<T>(
        &self,
        member: Member,
        read: impl FnOnce(JsonText<'t>) -> Option<T>,
        problem: &str,
    ) -> Result<Option<T>, ItemError> {
        self.given[member as usize].map(|json| read(json).ok_or_else(|| self.wrong(member, problem))).transpose()
    }

    fn wrong(&self, member: Member, problem: &str) -> ItemError {
        let line = self.given[member as usize].map_or(1, |json| line_of(json, self.text));
        self.wrong_at(line, member.name(), problem)
    }

    fn wrong_at(&self, line: u64, member: &str, problem: &str) -> ItemError {
        let key = self.given[Member::Key as usize].and_then(JsonText::as_str).map(Cow::into_owned);
        ItemError { line, key, member: Some(member.to_owned()), problem: problem.to_owned() }
    }
}

/// Without the memory that the escapes of a string have left over, where that is much.
fn fitting(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Owned(mut text) if text.capacity() - text.len() > text.len() / 8 => {
            text.shrink_to_fit();
            Cow::Owned(text)
        }
        text => text,
    }
}

fn whole(number: JsonText<'_>) -> Option<i64> {
    /// Up to here every whole number is a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT)?;
        #[allow(clippy::cast_possible_truncation, reason = "whole and within range, by the line above")]
        Some(float as i64)
    })
}

/// The line in which a part of `text` begins, from 1.
fn line_of(json: JsonText<'_>, text: &str) -> u64 {
    let before = json.offset_in(text).map_or("", |offset| &text[..offset]);
    1 + before.bytes().filter(|byte| *byte == b'\n').count() as u64
}

/// What is wrong, without the position.
fn what(error: &JsonError) -> String {
    let text = error.to_string();
    let position = format!(", at line {}, column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_owned()
}

/// As [`what`], with the name of a member that `text` names twice.
fn named(error: &JsonError, text: &str) -> String {
    let name =
        text.get(error.offset()..).filter(|_| error.problem() == JsonProblem::RepeatedMember).and_then(first_string);
    name.map_or_else(|| what(error), |(name, _)| format!("the JSON names the member {name:?} twice"))
}

/// The key of an item that is not JSON as a whole, where the key comes first, as nearly all tools write it.
pub(super) fn leading_key(item: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(item) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&item[..error.valid_up_to()]).ok()?,
    };
    let (name, rest) = first_string(text.trim_start().strip_prefix('{')?.trim_start())?;
    let (key, _) = first_string(rest.trim_start().strip_prefix(':')?.trim_start())?;
    (name == "key").then(|| key.into_owned())
}

/// The string that a text begins with, and what follows it.
fn first_string(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    let length = 2 + text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    let string = JsonText::parse(text.get(..length)?).ok()?.as_str()?;
    Some((string, &text[length..]))
}

/// An item that can be written: what a store handed out is what it should be.
pub(super) struct Item<'r> {
    record: &'r Record,
    value: ItemValue<'r>,
    metadata: Option<Cow<'r, str>>,
    reason: Option<&'r str>,
}

enum ItemValue<'r> {
    Text(&'r str),
    Json(Cow<'r, str>),
    Bytes(&'r [u8]),
}

impl<'r> Item<'r> {
    /// # Errors
    /// When the text could not be read back: what a store handed out as text, JSON or metadata is not that.
    pub(super) fn of(record: &'r Record) -> kv_api::Result<Self> {
        let damaged = |what: &str| {
            kv_api::Error::new(ErrorKind::Protocol, format!("the store handed out {what}")).with_key(&record.key)
        };
        let value = match record.value.kind() {
            ValueKind::Text => {
                ItemValue::Text(record.value.as_text().ok_or_else(|| damaged("text that is not UTF-8"))?)
            }
            ValueKind::Json => {
                let json = record.value.as_json_text().ok_or_else(|| damaged("JSON that is not UTF-8"))?;
                let json = JsonText::parse(json);
                ItemValue::Json(json.map_err(|error| damaged(&format!("JSON that cannot be kept: {error}")))?.compact())
            }
            ValueKind::Bytes => ItemValue::Bytes(record.value.as_bytes()),
            _ => return Err(damaged("a kind of value that the bulk format has no words for")),
        };
        let metadata = match &record.metadata {
            // Compact, since a line end in it would cut the item in two.
            Some(metadata) => Some(
                JsonText::parse(metadata.as_json_text())
                    .map_err(|error| damaged(&format!("metadata that cannot be kept: {error}")))?
                    .compact(),
            ),
            None => None,
        };
        Ok(Self { record, value, metadata, reason: None })
    }

    /// The same for one that a file takes.
    ///
    /// # Errors
    /// As [`Self::of`]; `InvalidArgument` for one that is too large.
    pub(super) fn fitting(record: &'r Record) -> kv_api::Result<Self> {
        let item = Self::of(record)?;
        let bytes = item.bytes();
        if bytes > ITEM_BYTES_MAX {
            let error = kv_api::Error::limit("item_bytes_max", ITEM_BYTES_MAX as u64, bytes as u64);
            return Err(error.with_key(&record.key));
        }
        Ok(item)
    }

    /// With why it was not copied.
    pub(super) fn with_reason(self, reason: &'r str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// Writes it as one line without its end: members in a fixed order, so that equal entries give equal text. No
    /// piece ends within a character.
    pub(super) fn write(&self, output: &mut impl Write) -> io::Result<()> {
        output.write_all(b"{\"key\":")?;
        write_quoted(&self.record.key, output)?;
        output.write_all(b",\"value\":")?;
        match &self.value {
            ItemValue::Text(text) => write_quoted(text, output)?,
            ItemValue::Json(json) => {
                write_quoted(json, output)?;
                output.write_all(b",\"kind\":\"json\"")?;
            }
            ItemValue::Bytes(bytes) => {
                output.write_all(b"\"")?;
                bytes.chunks(PIECE_BYTES).try_for_each(|piece| output.write_all(STANDARD.encode(piece).as_bytes()))?;
                output.write_all(b"\",\"base64\":true")?;
            }
        }
        match self.record.expiry {
            // A store has no words for the last one; a file of rejects keeps it, to be read as what it was.
            RecordExpiry::NotPositive if self.reason.is_some() => output.write_all(b",\"expiration_ttl\":0")?,
            RecordExpiry::Never | RecordExpiry::Unknown | RecordExpiry::NotPositive => {}
            // Rounded up: a file never makes an entry end early (EXP-4).
            RecordExpiry::At(at) => write!(output, ",\"expiration\":{}", at.as_unix_seconds_ceil())?,
            RecordExpiry::After(ttl) => {
                write!(output, ",\"expiration_ttl\":{}", ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0))?;
            }
        }
        if let Some(metadata) = &self.metadata {
            output.write_all(b",\"metadata\":")?;
            output.write_all(metadata.as_bytes())?;
        }
        if let Some(reason) = self.reason {
            output.write_all(b",\"reason\":")?;
            write_quoted(reason, output)?;
        }
        output.write_all(b"}")
    }

    /// How many bytes that is, or more than any item may have.
    pub(super) fn bytes(&self) -> usize {
        /// A control character becomes `\u0000`.
        const GROWTH_MAX: usize = 6;
        /// Names of members, numbers, quotes.
        const BESIDE: usize = 256;
        let value = match &self.value {
            ItemValue::Text(text) => text.len(),
            ItemValue::Json(json) => json.len(),
            ItemValue::Bytes(bytes) => bytes.len(),
        };
        let metadata = self.metadata.as_ref().map_or(0, |metadata| metadata.len());
        let most = (self.record.key.len() + value + metadata + self.reason.map_or(0, str::len))
            .saturating_mul(GROWTH_MAX)
            .saturating_add(BESIDE);
        if most <= ITEM_BYTES_MAX {
            return most;
        }
        // Seldom, so that it may take a pass of its own.
        let mut counted = Counted(0);
        match self.write(&mut counted) {
            Ok(()) => counted.0,
            Err(_) => usize::MAX,
        }
    }
}

/// Of how many bytes a long string is escaped or encoded at a time. A multiple of three, so that base64 has no padding
/// in between.
const PIECE_BYTES: usize = 3 * 16 * 1024;

fn write_quoted(text: &str, output: &mut impl Write) -> io::Result<()> {
    if text.len() <= PIECE_BYTES {
        return output.write_all(json_quoted(text).as_bytes());
    }
    output.write_all(b"\"")?;
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
        let quoted = json_quoted(piece);
        output.write_all(&quoted.as_bytes()[1..quoted.len() - 1])?;
        rest = after;
    }
    output.write_all(b"\"")
}

/// Counts what is written.
struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Number, Value as Json, json};

    fn written(record: &Record) -> kv_api::Result<String> {
        let mut text = Vec::new();
        let item = Item::of(record)?;
        item.write(&mut text).unwrap();
        assert!(item.bytes() >= text.len());
        Ok(String::from_utf8(text).unwrap())
    }

    fn check_refused(text: &str, line: u64, member: Option<&str>, problem: &str) {
        let error = parse(text.as_bytes(), 7).map(|record| record.key).expect_err(text);
        assert_eq!((error.line, error.member.as_deref()), (line, member), "{text}: {}", error.problem);
        assert!(error.problem.contains(problem), "{text}: {}", error.problem);
    }

    #[test]
    fn names_line_and_member_of_what_is_wrong_and_shows_no_value() {
        check_refused("5", 1, None, "expected an item");
        check_refused("\"secret\"", 1, None, "expected an item");
        check_refused("{}", 1, Some("key"), "is missing");
        check_refused(r#"{"key":"a"}"#, 1, Some("value"), "is missing");
        check_refused(r#"{"value":"a"}"#, 1, Some("key"), "is missing");
        check_refused("{\"key\":\"a\",\n\"value\":12345}", 2, Some("value"), "must be a string");
        check_refused("{\"key\":\"a\",\n\n\"value\":null}", 3, Some("value"), "must be a string");
        check_refused(r#"{"key":["secret"],"value":""}"#, 1, Some("key"), "must be a string");
        for far in ["9223372036854775807", "9223372036856"] {
            let text = format!(r#"{{"key":"a","value":"b","expiration":{far}}}"#);
            check_refused(&text, 1, Some("expiration"), "beyond the times");
        }
        for levels in [101, 120] {
            let metadata = "[".repeat(levels) + &"]".repeat(levels);
            let text = format!(r#"{{"key":"a","value":"b","metadata":{metadata}}}"#);
            check_refused(&text, 1, Some("metadata"), "deeper than 100");
        }
        check_refused(r#"{"key":"a","value":"b","base64":"true"}"#, 1, Some("base64"), "true or false");
        check_refused(r#"{"key":"a","value":"@@","base64":true}"#, 1, Some("value"), "is not base64");
        check_refused(r#"{"key":"a","value":"YQ","base64":true}"#, 1, Some("value"), "is not base64");
        check_refused(r#"{"key":"a","value":"1","kind":"xml"}"#, 1, Some("kind"), "must be");
        check_refused(r#"{"key":"a","value":"1","kind":"json","base64":true}"#, 1, Some("kind"), "beside base64");
        check_refused(r#"{"key":"a","value":"{","kind":"json"}"#, 1, Some("value"), "is not JSON");
        check_refused(r#"{"key":"a","value":"","expiration":"1"}"#, 1, Some("expiration"), "must be a number");
        check_refused(r#"{"key":"a","value":"","expiration":1.5}"#, 1, Some("expiration"), "whole number");
        check_refused(r#"{"key":"a","value":"","expiration":1e300}"#, 1, Some("expiration"), "whole number");
        check_refused(r#"{"key":"a","value":"","expiration_ttl":-1.5}"#, 1, Some("expiration_ttl"), "whole number");
        check_refused(
            r#"{"key":"a","value":"","metadata":[18446744073709551616]}"#,
            1,
            Some("metadata"),
            "lose digits",
        );
        check_refused(r#"{"key":"a","value":"","metadata":1e400}"#, 1, Some("metadata"), "beyond the finite doubles");
        check_refused(
            r#"{"key":"a","value":"","metadata":{"x":1,"x":2}}"#,
            1,
            Some("metadata"),
            "the member \"x\" twice",
        );
        check_refused(
            "{\"key\":\"a\",\"value\":\"\",\n\"metadata\":[{\"x\":\n{\"\\u0079\":1,\n\"y\":2}}]}",
            4,
            Some("metadata"),
            "the member \"y\" twice",
        );
        check_refused(
            r#"{"key":"j","value":"{\"b\":1.0,\n\"b\":2}","kind":"json"}"#,
            1,
            Some("value"),
            "names the member \"b\" twice, at line 2, column 1 of it",
        );
        check_refused("{\"key\":\"a\",\"value\":\"\",\"ttl\":5}", 1, Some("ttl"), "is no member");
        check_refused("{\"key\":\"a\",\"key\":\"b\",\"value\":\"\"}", 1, Some("key"), "is given twice");
        check_refused(r#"{"key":"a","value":"\ud800"}"#, 1, None, "is not JSON");
        check_refused(r#"{"key":"a","value":"b"#, 1, None, "ends too early");
        check_refused(r#"{"key":"a","value":"b"} x"#, 1, None, "is not JSON");
        for (text, key) in [
            (r#"{"key":"b","value":2,"bogus":3}"#, Some("b")),
            (r#"{"bogus":3,"value":"","key":"b"}"#, Some("b")),
            (r#"{"key":"b","key":"c","value":""}"#, Some("b")),
            (r#"{"bogus":3,"key":5}"#, None),
            (r#"{"value":""}"#, None),
        ] {
            assert_eq!(parse(text.as_bytes(), 1).map(|record| record.key).unwrap_err().key.as_deref(), key, "{text}");
        }
        let error = parse(b"{\n\"key\":\"\xff\"}", 1).map(|record| record.key).unwrap_err();
        assert_eq!((error.line, error.problem.as_str()), (2, "is not UTF-8"));
    }

    #[test]
    fn reads_each_member() {
        let read = |text: &str| parse(text.as_bytes(), 7).unwrap();
        let plain = read(r#"{"value":"{\"a\":1}","key":"k"}"#);
        assert_eq!((plain.value, plain.line), (Value::from("{\"a\":1}"), Some(7)));
        assert_eq!(read(r#"{"key":"k","value":"/wA=","base64":true}"#).value, Value::from(vec![0xff, 0]));
        assert_eq!(read(r#"{"key":"k","value":"/wA=","base64":false}"#).value, Value::from("/wA="));
        assert_eq!(read(r#"{"key":"k","value":"{\"a\": 1}","kind":"json"}"#).value, Value::from(json!({"a": 1})));
        assert_eq!(read(r#"{"key":"k","value":"","metadata":null}"#).metadata, None);
        assert_eq!(read(r#"{"key":"k","value":"","metadata":[1e20]}"#).metadata, Some(json!([1e20]).into()));
        let at = |seconds| RecordExpiry::At(Timestamp::from_unix_seconds(seconds));
        assert_eq!(read(r#"{"key":"k","value":"","expiration":1795161822}"#).expiry, at(1_795_161_822));
        assert_eq!(read(r#"{"key":"k","value":"","expiration":1795161822.0}"#).expiry, at(1_795_161_822));
    }

    #[test]
    fn exp_2_the_ttl_wins_as_the_format_has_it() {
        let both = parse(br#"{"key":"k","value":"","expiration":1795161822,"expiration_ttl":60}"#, 1).unwrap();
        assert_eq!(both.expiry, RecordExpiry::After(Duration::from_secs(60)));
    }

    #[test]
    fn exp_5_zero_and_less_are_told_apart_from_a_time_in_the_past() {
        let expiry =
            |members: &str| parse(format!(r#"{{"key":"k","value":"",{members}}}"#).as_bytes(), 1).unwrap().expiry;
        for members in [
            r#""expiration":0"#,
            r#""expiration":-1"#,
            r#""expiration":-0.0"#,
            r#""expiration_ttl":0"#,
            r#""expiration_ttl":-1"#,
            r#""expiration_ttl":0,"expiration":4000000000"#,
        ] {
            assert_eq!(expiry(members), RecordExpiry::NotPositive, "{members}");
        }
        assert_eq!(expiry(r#""expiration":1"#), RecordExpiry::At(Timestamp::from_unix_seconds(1)));
        assert_eq!(expiry(r#""expiration":0,"expiration_ttl":60"#), RecordExpiry::After(Duration::from_secs(60)));
    }

    #[test]
    fn exp_4_an_expiry_is_rounded_up_to_whole_seconds() {
        let written_with = |expiry| {
            let record = Record { key: "k".into(), value: "".into(), metadata: None, expiry, line: None };
            written(&record).unwrap()
        };
        let at = RecordExpiry::At(Timestamp::from_unix_micros(1_000_001));
        assert_eq!(written_with(at), r#"{"key":"k","value":"","expiration":2}"#);
        let after = RecordExpiry::After(Duration::from_millis(1001));
        assert_eq!(written_with(after), r#"{"key":"k","value":"","expiration_ttl":2}"#);
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let refused = |value: Value, metadata| {
            let record = Record { key: "k".into(), value, metadata, expiry: RecordExpiry::Never, line: None };
            let error = written(&record).unwrap_err();
            assert_eq!((error.kind(), error.key()), (ErrorKind::Protocol, Some("k")));
        };
        refused(Value::from_stored(ValueKind::Text, vec![0xff].into()), None);
        refused(Value::from_stored(ValueKind::Json, "{".into()), None);
        refused("".into(), Some(Metadata::from_stored("{".into())));
        let two_lines = Metadata::from_stored("{\n\"a\": 1}".into());
        let record = Record {
            key: "k".into(),
            value: "".into(),
            metadata: Some(two_lines),
            expiry: RecordExpiry::Never,
            line: None,
        };
        assert_eq!(written(&record).unwrap(), r#"{"key":"k","value":"","metadata":{"a":1}}"#);
    }

    fn json_value() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_filter_map("finite", |float| Number::from_f64(float).map(Json::from)),
            any::<bool>().prop_map(Json::from),
            any::<String>().prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_equal(
            key in any::<String>(),
            value in prop_oneof![
                any::<String>().prop_map(Value::from),
                any::<Vec<u8>>().prop_map(Value::from),
                json_value().prop_map(Value::from),
            ],
            metadata in proptest::option::of(json_value().prop_map(Metadata::from)),
            expiry in prop_oneof![
                Just(RecordExpiry::Never),
                (0..1_i64 << 40).prop_map(|seconds| RecordExpiry::At(Timestamp::from_unix_seconds(seconds))),
                (0..1_u64 << 40).prop_map(|seconds| RecordExpiry::After(Duration::from_secs(seconds))),
            ],
        ) {
            let record = Record { key, value, metadata, expiry, line: Some(3) };
            let text = written(&record).unwrap();
            prop_assert!(!text.contains('\n'));
            let read = parse(text.as_bytes(), 3).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
            prop_assert_eq!(&read, &record);
            prop_assert_eq!(text, written(&read).unwrap());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<Vec<u8>>()) {
            let _ = parse(&text, 1);
        }
    }
}
