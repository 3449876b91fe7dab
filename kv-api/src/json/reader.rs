//! Checks text against the grammar of JSON (RFC 8259) and the rules of VAL-3, without recursion.

use std::borrow::Cow;

use super::error::{JsonError, JsonProblem};
use super::string::{plain_len, unescaped};
use super::{NESTING_MAX, number};

/// What is checked beyond the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// All that VAL-3 says of JSON that is written.
    Strict,
    /// Nothing: what another client wrote is read as it is (VAL-5).
    Grammar,
}

/// Checks all of `text`.
pub(super) fn check(text: &str, rules: Rules) -> Result<(), JsonError> {
    Reader { text, at: 0, rules, open: Vec::new(), names: Vec::new(), names_starts: Vec::new() }.document()
}

/// An array or object that has not ended. Small: what is nested as deep as it is long takes no more memory than its
/// text.
#[derive(Clone, Copy, PartialEq)]
enum Open {
    Array,
    Object,
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    rules: Rules,
    open: Vec<Open>,
    /// The members of all open objects so far, each with its position. Only under the strict rules.
    names: Vec<(Cow<'t, str>, usize)>,
    /// Where those of each open object begin.
    names_starts: Vec<usize>,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<(), JsonError> {
        loop {
            if self.value()? {
                continue;
            }
            // A value has ended, and perhaps what it stands in.
            loop {
                self.skip_space();
                let Some(open) = self.open.last() else {
                    return if self.at == self.text.len() {
                        Ok(())
                    } else {
                        Err(self.syntax("something follows the value"))
                    };
                };
                let is_object = *open == Open::Object;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.skip_space();
                        if is_object {
                            self.member_name()?;
                        }
                        break;
                    }
                    Some(b'}') if is_object => self.close()?,
                    Some(b']') if !is_object => self.close()?,
                    Some(_) if is_object => return Err(self.syntax("expected a comma or the end of the object")),
                    Some(_) => return Err(self.syntax("expected a comma or the end of the array")),
                    None => return Err(self.truncated()),
                }
            }
        }
    }

    /// Reads a value; `true` when it is an array or object that was opened and wants a value next.
    fn value(&mut self) -> Result<bool, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => {
                self.open(Open::Object)?;
                if self.peek() == Some(b'}') {
                    self.close()?;
                    return Ok(false);
                }
                self.member_name()?;
                Ok(true)
            }
            Some(b'[') => {
                self.open(Open::Array)?;
                if self.peek() == Some(b']') {
                    self.close()?;
                    return Ok(false);
                }
                Ok(true)
            }
            Some(b'"') => self.string().map(|_| false),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'N' | b'I') => Err(self.not_a_literal()),
            Some(_) => Err(self.syntax("expected a value")),
            None => Err(self.truncated()),
        }
    }

    fn open(&mut self, open: Open) -> Result<(), JsonError> {
        if self.rules == Rules::Strict && self.open.len() == NESTING_MAX {
            return Err(self.error(JsonProblem::NestingTooDeep, ""));
        }
        self.at += 1;
        if self.rules == Rules::Strict && open == Open::Object {
            self.names_starts.push(self.names.len());
        }
        self.open.push(open);
        self.skip_space();
        Ok(())
    }

    fn close(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        if self.open.pop() == Some(Open::Object)
            && let Some(names_start) = self.names_starts.pop()
        {
            let names = self.names.get_mut(names_start..).unwrap_or_default();
            names.sort_unstable();
            let repeated = names.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1);
            if let Some(position) = repeated {
                self.at = position;
                return Err(self.error(JsonProblem::RepeatedMember, ""));
            }
            self.names.truncate(names_start);
        }
        Ok(())
    }

    /// Reads the name of a member and the colon behind it.
    fn member_name(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(self.syntax("expected the name of a member")),
            None => return Err(self.truncated()),
        }
        let has_escapes = self.string()?;
        if self.rules == Rules::Strict {
            let name = self.text.get(start + 1..self.at - 1).unwrap_or_default();
            self.names.push((if has_escapes { unescaped(name) } else { Cow::Borrowed(name) }, start));
        }
        self.skip_space();
        match self.peek() {
            Some(b':') => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.syntax("expected a colon")),
            None => Err(self.truncated()),
        }
    }

    /// Reads a string; whether it has escapes.
    fn string(&mut self) -> Result<bool, JsonError> {
        self.at += 1;
        let mut has_escapes = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            self.at += plain_len(rest);
            match self.peek() {
                None => return Err(self.truncated()),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(has_escapes);
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.syntax("a control character in a string is not escaped")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let unit = self.code_unit()?;
                match unit {
                    0xD800..=0xDBFF => {
                        let is_pair = self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u")
                            && matches!(self.code_unit()?, 0xDC00..=0xDFFF);
                        if is_pair { Ok(()) } else { Err(self.syntax("an escape is half of a surrogate pair")) }
                    }
                    0xDC00..=0xDFFF => Err(self.syntax("an escape is half of a surrogate pair")),
                    _ => Ok(()),
                }
            }
            Some(_) => Err(self.syntax("an escape that JSON does not have")),
            None => {
                self.at = self.text.len();
                Err(self.truncated())
            }
        }
    }

    /// Reads `\u` and four hexadecimal digits.
    fn code_unit(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at + 2..self.text.len().min(self.at + 6)).unwrap_or_default();
        let mut unit = 0;
        for digit in digits {
            let Some(digit) = char::from(*digit).to_digit(16) else {
                return Err(self.syntax("an escape without four hexadecimal digits"));
            };
            unit = unit * 16 + digit;
        }
        if digits.len() < 4 {
            self.at = self.text.len();
            return Err(self.truncated());
        }
        self.at += 6;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => {
                self.at += 1;
                if matches!(self.peek(), Some(b'0'..=b'9')) {
                    return Err(self.syntax("a number begins with a zero"));
                }
            }
            Some(b'1'..=b'9') => self.skip_digits(),
            Some(b'I') => return Err(self.not_a_literal()),
            Some(_) => return Err(self.syntax("expected a digit")),
            None => return Err(self.truncated()),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        if self.rules == Rules::Strict {
            let problem = match self.text.get(start..self.at).map(number::Number::of) {
                Some(number::Number::Oversized(_)) => JsonProblem::IntegerRange,
                Some(number::Number::NotFinite) => JsonProblem::NotFinite,
                _ => return Ok(()),
            };
            self.at = start;
            return Err(self.error(problem, ""));
        }
        Ok(())
    }

    /// Reads one digit or more.
    fn digits(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'0'..=b'9') => {
                self.skip_digits();
                Ok(())
            }
            Some(_) => Err(self.syntax("expected a digit")),
            None => Err(self.truncated()),
        }
    }

    fn skip_digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn literal(&mut self, literal: &'static str) -> Result<bool, JsonError> {
        let rest = &self.text.as_bytes()[self.at..];
        if rest.starts_with(literal.as_bytes()) {
            self.at += literal.len();
            Ok(false)
        } else if literal.as_bytes().starts_with(rest) {
            self.at = self.text.len();
            Err(self.truncated())
        } else {
            Err(self.syntax("expected a value"))
        }
    }

    /// `NaN` and `Infinity` as other writers spell them.
    fn not_a_literal(&self) -> JsonError {
        let rest = &self.text.as_bytes()[self.at..];
        if rest.starts_with(b"NaN") || rest.starts_with(b"Infinity") {
            self.error(JsonProblem::NotFinite, "")
        } else {
            self.syntax("expected a value")
        }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn syntax(&self, detail: &'static str) -> JsonError {
        self.error(JsonProblem::Syntax, detail)
    }

    fn truncated(&self) -> JsonError {
        self.error(JsonProblem::Truncated, "")
    }

    fn error(&self, problem: JsonProblem, detail: &'static str) -> JsonError {
        JsonError::new(problem, detail, self.text.as_bytes(), self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_takes_a_byte_a_level() {
        assert_eq!(size_of::<Open>(), 1);
    }
}
