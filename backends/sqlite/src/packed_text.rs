//! Rows that arrive as one text, because a row costs more on its way through the driver than its content: numbers that
//! each end with a comma, and bytes whose length such a number gives. So no byte of a key or value means anything
//! here (KEY-2, VAL-3).

use kv_api::{Error, Result};
use kv_sql::damaged_row;

/// What has not been read yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedText<'a> {
    rest: &'a [u8],
}

impl<'a> PackedText<'a> {
    pub(crate) const fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The number before the next comma; `None` when nothing stands there.
    pub(crate) fn number(&mut self) -> Result<Option<i64>> {
        let end = self.rest.iter().position(|byte| *byte == b',').ok_or_else(damaged)?;
        let (digits, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        if digits.is_empty() {
            return Ok(None);
        }
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        number.map(Some).ok_or_else(damaged)
    }

    /// The number before the next comma, which must be there.
    pub(crate) fn some_number(&mut self) -> Result<i64> {
        self.number()?.ok_or_else(damaged)
    }

    /// The next `bytes` bytes.
    pub(crate) fn take(&mut self, bytes: i64) -> Result<&'a [u8]> {
        let (taken, rest) =
            usize::try_from(bytes).ok().and_then(|bytes| self.rest.split_at_checked(bytes)).ok_or_else(damaged)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn damaged() -> Error {
    damaged_row("a packed text does not add up")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_by_their_length_alone() {
        let mut text = PackedText::new(b"-5,,4,1,\0\xff3,0,");
        assert_eq!(text.number().unwrap(), Some(-5));
        assert_eq!(text.number().unwrap(), None);
        let length = text.some_number().unwrap();
        assert_eq!(text.take(length).unwrap(), b"1,\0\xff");
        assert_eq!(text.some_number().unwrap(), 3);
        let length = text.some_number().unwrap();
        assert_eq!(text.take(length).unwrap(), b"");
        assert!(text.is_empty());
    }

    #[test]
    fn what_does_not_add_up_is_an_error() {
        for number in [&b""[..], b"5", b"x,", b"\xff,", b"9223372036854775808,"] {
            assert!(PackedText::new(number).number().is_err(), "{number:?}");
        }
        assert!(PackedText::new(b",").some_number().is_err());
        assert!(PackedText::new(b"ab").take(3).is_err());
        assert!(PackedText::new(b"ab").take(-1).is_err());
    }
}
