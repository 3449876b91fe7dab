//! Reading the text of JSON.

use super::{Map, Number, Value};
use crate::javascript;

/// The most levels of arrays and objects where a system has no limit of its own: more than fit into any metadata, and
/// few enough for any stack.
const LEVELS_MAX: usize = 600;

/// Text that is not JSON, or nested too deeply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

/// What the reader makes of numbers, and of the order of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Integers of 64 bits are exact, all other numbers doubles, and larger ones are refused. Members stay as they
    /// stand.
    Exact,
    /// `JSON.parse` and what `JSON.stringify` then makes of it.
    JavaScript,
}

/// The whole text; of a member that is repeated the last value counts, in the place of the first.
pub(crate) fn parse(text: &str, dialect: Dialect) -> Result<Value, Invalid> {
    parse_nested(text, dialect, LEVELS_MAX)
}

/// As [`parse`], of bytes that must be UTF-8.
pub(crate) fn parse_bytes(bytes: &[u8], dialect: Dialect) -> Result<Value, Invalid> {
    parse(std::str::from_utf8(bytes).map_err(|_| Invalid)?, dialect)
}

/// As [`parse`], with so many levels at most, for which the stack must suffice.
pub(crate) fn parse_nested(text: &str, dialect: Dialect, levels: usize) -> Result<Value, Invalid> {
    let mut reader = Reader { text, at: 0, dialect };
    let value = reader.value(levels)?;
    reader.skip_space();
    if reader.at == text.len() { Ok(value) } else { Err(Invalid) }
}

struct Reader<'a> {
    text: &'a str,
    /// Always between two characters.
    at: usize,
    dialect: Dialect,
}

impl Reader<'_> {
    fn value(&mut self, levels: usize) -> Result<Value, Invalid> {
        self.skip_space();
        match self.peek().ok_or(Invalid)? {
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'"' => self.string().map(Value::String),
            b'[' => self.array(levels.checked_sub(1).ok_or(Invalid)?),
            b'{' => self.object(levels.checked_sub(1).ok_or(Invalid)?),
            _ => self.number(),
        }
    }

    fn array(&mut self, levels: usize) -> Result<Value, Invalid> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(levels)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            self.expect(b',')?;
        }
    }

    fn object(&mut self, levels: usize) -> Result<Value, Invalid> {
        let mut members = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Object(Map::new()));
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            self.expect(b':')?;
            members.push((name, self.value(levels)?));
            self.skip_space();
            if self.take(b'}') {
                let members: Map = members.into_iter().collect();
                return Ok(Value::Object(match self.dialect {
                    Dialect::Exact => members,
                    Dialect::JavaScript => javascript::ordered(members),
                }));
            }
            self.expect(b',')?;
        }
    }

    fn string(&mut self) -> Result<String, Invalid> {
        self.expect(b'"')?;
        let mut string = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).ok_or(Invalid)?;
            string.push_str(&rest[..plain]);
            self.at += plain;
            match self.next().ok_or(Invalid)? {
                b'"' => return Ok(string),
                b'\\' => string.push(self.escaped()?),
                _ => return Err(Invalid),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Invalid> {
        Ok(match self.next().ok_or(Invalid)? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                match unit {
                    // The first half of a character, which the second half must follow.
                    0xd800..0xdc00 => {
                        self.expect(b'\\')?;
                        self.expect(b'u')?;
                        let low = self.unit()?.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or(Invalid)?;
                        char::from_u32(0x10000 + ((unit - 0xd800) << 10) + low).ok_or(Invalid)?
                    }
                    other => char::from_u32(other).ok_or(Invalid)?,
                }
            }
            _ => return Err(Invalid),
        })
    }

    /// The four digits of an escape.
    fn unit(&mut self) -> Result<u32, Invalid> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Invalid)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Invalid);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Invalid)
    }

    fn number(&mut self) -> Result<Value, Invalid> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut whole = true;
        if self.take(b'.') {
            whole = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            whole = false;
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        let double: f64 = text.parse().map_err(|_| Invalid)?;
        if self.dialect == Dialect::JavaScript {
            return Ok(javascript::read_number(double));
        }
        let integer = match (whole, text) {
            (false, _) | (true, "-0") => None,
            _ => text.parse().map(Number::Unsigned).or_else(|_| text.parse().map(Number::Negative)).ok(),
        };
        integer.or_else(|| Number::from_f64(double)).map(Value::Number).ok_or(Invalid)
    }

    /// At least one.
    fn digits(&mut self) -> Result<(), Invalid> {
        let count = self.text[self.at..].bytes().take_while(u8::is_ascii_digit).count();
        self.at += count;
        if count == 0 { Err(Invalid) } else { Ok(()) }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Invalid> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Invalid);
        }
        self.at += word.len();
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte, which must be ASCII.
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek().filter(u8::is_ascii)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Invalid> {
        if self.take(byte) { Ok(()) } else { Err(Invalid) }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn again(text: &str) -> Option<String> {
        parse(text, Dialect::Exact).ok().map(|value| value.to_string())
    }

    #[test]
    fn comes_back_as_it_was() {
        for text in [
            "null",
            r#"{"z":[true,false,null],"a":{"":[]},"m":{}}"#,
            r#"{"$serde_json::private::RawValue":"{\"admin\":true}"}"#,
            r#"[{"$serde_json::private::RawValue":":5"},{"$serde_json::private::Number":"x"}]"#,
            "[0,-1,18446744073709551615,-9223372036854775808,1.5,1.0,-0.0]",
            "\"\\u0000\\n\\\"\\\\é😀\u{7f}\"",
        ] {
            assert_eq!(again(text).as_deref(), Some(text));
        }
        for (text, expected) in [
            (" [ 1 , { \"a\" : 2 } ]\n", r#"[1,{"a":2}]"#),
            (r#""\u00e9\/\ud83d\ude00""#, "\"é/😀\""),
            (r#"{"b":1,"a":2,"b":3}"#, r#"{"b":3,"a":2}"#),
            ("18446744073709551616", "1.8446744073709552e+19"),
            ("-0", "-0.0"),
            ("1E3", "1000.0"),
        ] {
            assert_eq!(again(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            " ",
            "nul",
            "nulll",
            "01",
            "1.",
            ".5",
            "-",
            "+1",
            "1e",
            "1e+",
            "0x1",
            "NaN",
            "1e400",
            "[1,]",
            "[1",
            "[,]",
            "]",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u+123\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\n\"",
            "\"\0\"",
            "1 2",
            "[] []",
            "\u{feff}1",
            "\u{a0}1",
            "\"\\u00é\"",
            "\"\\é\"",
            "//\n1",
        ] {
            assert_eq!(again(text), None, "{text:?}");
        }
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(again(&nested(LEVELS_MAX)).is_some() && again(&nested(LEVELS_MAX + 1)).is_none());
        assert!(again(&"[".repeat(1_000_000)).is_none());
    }

    #[test]
    fn javascript_has_doubles_and_orders_what_looks_like_an_index() {
        let check = |text: &str, expected: &str| {
            let value = parse(text, Dialect::JavaScript).unwrap();
            assert_eq!(javascript::stringify(&value), expected);
        };
        check(
            r#"{"b":1.0,"10":1e3,"2":-0,"a":9007199254740993,"01":1e400,"-1":0}"#,
            r#"{"2":0,"10":1000,"b":1,"a":9007199254740992,"01":null,"-1":0}"#,
        );
        check(
            "[1e21,1e20,0.000001,1e-7,123456789012345680000]",
            "[1e+21,100000000000000000000,0.000001,1e-7,123456789012345680000]",
        );
        check(r#"{"__proto__":1,"4294967295":1,"4294967294":2}"#, r#"{"4294967294":2,"__proto__":1,"4294967295":1}"#);
    }

    proptest! {
        #[test]
        fn reads_what_another_reader_reads(text in r#"[\[\]{}",:0-9eE+.\-tfn \\u"ad]{0,12}"#) {
            let other = serde_json::from_str::<serde_json::Value>(&text).ok();
            let ours = again(&text).map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap());
            prop_assert_eq!(ours, other);
        }

        #[test]
        fn any_text_comes_back(text: String) {
            prop_assert_eq!(parse(&super::super::quoted(&text), Dialect::Exact), Ok(Value::String(text)));
        }

        #[test]
        fn every_double_comes_back(bits: u64) {
            let double = f64::from_bits(bits);
            prop_assume!(double.is_finite());
            let text = Value::from(double).to_string();
            prop_assert_eq!(parse(&text, Dialect::Exact), Ok(Value::from(double)), "{}", text);
        }
    }
}
