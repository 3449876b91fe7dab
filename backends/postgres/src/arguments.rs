//! The parameters of a statement, in either protocol: bound to a prepared statement, or as literals in its text.

use std::fmt::Write;

use kv_api::{Error, ErrorKind, Result};
use sqlx::Arguments as _;
use sqlx::encode::Encode;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::types::Type;

/// How statements are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Prepared once for each connection, with parameters as bytes.
    Prepared,
    /// One message with the whole text, which needs nothing that a pooler between us and the server would have to keep:
    /// PgBouncer gives each transaction a connection of its own.
    Simple,
}

/// The parameters of one statement, in their order.
#[derive(Debug)]
pub(crate) enum Arguments {
    Bound(PgArguments),
    Literal(Vec<String>),
    /// One of them is larger than the protocol takes.
    Refused,
}

/// A statement as it is sent.
#[derive(Debug)]
pub(crate) enum Sent {
    Prepared(&'static str, PgArguments),
    Simple(String),
}

impl Sent {
    pub(crate) fn sql(&self) -> &str {
        match self {
            Self::Prepared(sql, _) => sql,
            Self::Simple(sql) => sql,
        }
    }
}

impl Arguments {
    pub(crate) fn new(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Prepared => Self::Bound(PgArguments::default()),
            Protocol::Simple => Self::Literal(Vec::new()),
        }
    }

    fn add<'t, T: Encode<'t, Postgres> + Type<Postgres>>(mut self, value: T, literal: impl FnOnce() -> String) -> Self {
        match &mut self {
            Self::Bound(arguments) => match arguments.add(value) {
                Ok(()) => self,
                Err(_) => Self::Refused,
            },
            Self::Literal(literals) => {
                literals.push(literal());
                self
            }
            Self::Refused => self,
        }
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.add(text, || text_literal(text))
    }

    pub(crate) fn optional_text(self, text: Option<&str>) -> Self {
        self.add(text, || text.map_or_else(|| "NULL::text".to_owned(), text_literal))
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        self.add(bytes, || bytes_literal(bytes))
    }

    pub(crate) fn optional_bytes(self, bytes: Option<&[u8]>) -> Self {
        self.add(bytes, || optional_bytes_literal(bytes))
    }

    pub(crate) fn small(self, number: i16) -> Self {
        self.add(number, || format!("({number})::smallint"))
    }

    pub(crate) fn number(self, number: i64) -> Self {
        self.add(number, || number_literal(Some(number)))
    }

    pub(crate) fn optional_number(self, number: Option<i64>) -> Self {
        self.add(number, || number_literal(number))
    }

    pub(crate) fn flag(self, flag: bool) -> Self {
        self.add(flag, || flag.to_string())
    }

    pub(crate) fn bytes_list(self, list: Vec<&[u8]>) -> Self {
        self.add(&*list, || list_literal(list.iter().map(|bytes| bytes_literal(bytes)), "bytea"))
    }

    pub(crate) fn optional_bytes_list(self, list: Vec<Option<&[u8]>>) -> Self {
        self.add(&*list, || list_literal(list.iter().map(|bytes| optional_bytes_literal(*bytes)), "bytea"))
    }

    pub(crate) fn small_list(self, list: Vec<i16>) -> Self {
        self.add(&*list, || list_literal(list.iter().map(ToString::to_string), "smallint"))
    }

    pub(crate) fn optional_number_list(self, list: Vec<Option<i64>>) -> Self {
        self.add(&*list, || list_literal(list.iter().map(|number| number_literal(*number)), "bigint"))
    }

    pub(crate) fn optional_text_list(self, list: Vec<Option<String>>) -> Self {
        self.add(&*list, || {
            let literal = |text: &Option<String>| text.as_deref().map_or_else(|| "NULL".to_owned(), text_literal);
            list_literal(list.iter().map(literal), "text")
        })
    }

    /// The statement with these parameters.
    pub(crate) fn of(self, sql: &'static str) -> Result<Sent> {
        match self {
            Self::Bound(arguments) => Ok(Sent::Prepared(sql, arguments)),
            Self::Literal(literals) => with_literals(sql, &literals).map(Sent::Simple),
            Self::Refused => {
                Err(Error::new(ErrorKind::InvalidArgument, "the item is larger than the protocol of PostgreSQL takes"))
            }
        }
    }
}

/// As hexadecimal digits, so that no byte of it can end the literal.
fn bytes_literal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    const BEFORE: &str = "decode('";
    const AFTER: &str = "', 'hex')";
    let mut literal = String::with_capacity(BEFORE.len() + 2 * bytes.len() + AFTER.len());
    literal.push_str(BEFORE);
    for byte in bytes {
        literal.push(char::from(DIGITS[usize::from(byte >> 4)]));
        literal.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    literal.push_str(AFTER);
    literal
}

fn optional_bytes_literal(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "NULL::bytea".to_owned(), bytes_literal)
}

fn text_literal(text: &str) -> String {
    format!("convert_from({}, 'UTF8')", bytes_literal(text.as_bytes()))
}

fn number_literal(number: Option<i64>) -> String {
    number.map_or_else(|| "NULL::bigint".to_owned(), |number| format!("({number})::bigint"))
}

fn list_literal(items: impl Iterator<Item = String>, of: &str) -> String {
    let mut literal = "ARRAY[".to_owned();
    for (at, item) in items.enumerate() {
        if at > 0 {
            literal.push(',');
        }
        literal.push_str(&item);
    }
    // Writing to a string does not fail.
    let _ = write!(literal, "]::{of}[]");
    literal
}

/// The text with a literal in the place of each parameter.
fn with_literals(sql: &str, literals: &[String]) -> Result<String> {
    let mut parts = sql.split('$');
    let mut text = String::with_capacity(sql.len() + literals.iter().map(String::len).sum::<usize>());
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            // The end of a regular expression.
            text.push('$');
            text.push_str(part);
            continue;
        }
        let literal = part[..digits].parse::<usize>().ok().and_then(|number| literals.get(number.checked_sub(1)?));
        let literal = literal.ok_or_else(|| Error::new(ErrorKind::Internal, "a statement lacks a parameter"))?;
        text.push_str(literal);
        text.push_str(&part[digits..]);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(arguments: impl FnOnce(Arguments) -> Arguments) -> String {
        match arguments(Arguments::new(Protocol::Simple)).of("$1").unwrap() {
            Sent::Simple(text) => text,
            Sent::Prepared(..) => panic!("it is sent as one text"),
        }
    }

    #[test]
    fn key_2_no_byte_of_a_parameter_ends_its_literal() {
        assert_eq!(literal(|arguments| arguments.bytes(b"'; \0\xff")), "decode('273b2000ff', 'hex')");
        assert_eq!(literal(|arguments| arguments.text("$1")), "convert_from(decode('2431', 'hex'), 'UTF8')");
        assert_eq!(literal(|arguments| arguments.number(i64::MIN)), "(-9223372036854775808)::bigint");
        let list = literal(|arguments| arguments.optional_bytes_list(vec![Some(b"a"), None]));
        assert_eq!(list, "ARRAY[decode('61', 'hex'),NULL::bytea]::bytea[]");
        assert_eq!(literal(|arguments| arguments.small_list(Vec::new())), "ARRAY[]::smallint[]");
    }

    #[test]
    fn parameters_are_put_in_by_their_numbers_and_nothing_else_is() {
        let literals: Vec<String> = (1..=12).map(|number| format!("<{number}>")).collect();
        assert_eq!(with_literals("$12 ~ '^a$' $1$2", &literals).unwrap(), "<12> ~ '^a$' <1><2>");
        assert_eq!(with_literals("$13", &literals).unwrap_err().kind(), ErrorKind::Internal);
    }
}
