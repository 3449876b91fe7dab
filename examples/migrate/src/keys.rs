//! Keys from a file, for a store that cannot list its own.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use kv_api::JsonText;

use crate::error::{Error, Result};

/// The longest line that is read, in bytes: longer than any key.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Some editors put one in front of UTF-8. A key that begins with one is written as a JSON string in the first line.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads keys from a file with one a line, and perhaps a byte order mark before the first. Blank lines are passed over.
/// A line that begins with a double quote is the key as a JSON string, for one with a line break in it, or a blank at
/// its end, or a double quote at its beginning. It blocks the thread; [`Source`](crate::Source) reads on another one.
pub struct KeyReader {
    name: String,
    input: Box<dyn BufRead + Send>,
    line: u64,
}

impl KeyReader {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| Error::file(&name, "open", error))?;
        Ok(Self::over(name, Box::new(BufReader::new(file))))
    }

    fn over(name: String, input: Box<dyn BufRead + Send>) -> Self {
        Self { name, input, line: 0 }
    }

    /// The next key and its line, from 1; `None` at the end.
    pub(crate) fn next_key(&mut self) -> Result<Option<(String, u64)>> {
        loop {
            let mut line = Vec::new();
            let mut limited = io::Read::take(&mut self.input, LINE_BYTES_MAX);
            let read = limited.read_until(b'\n', &mut line).map_err(|error| Error::file(&self.name, "read", error))?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
                return Err(self.damaged("the line is too long for a key"));
            }
            let line = String::from_utf8(line).map_err(|_| self.damaged("the line is not UTF-8"))?;
            let line = match line.strip_prefix(BYTE_ORDER_MARK) {
                Some(rest) if self.line == 1 => rest,
                _ => &line,
            };
            let line = line.strip_suffix('\n').unwrap_or(line);
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.trim().is_empty() {
                continue;
            }
            if !line.starts_with('"') {
                return Ok(Some((line.to_owned(), self.line)));
            }
            let json = JsonText::parse_foreign(line).ok();
            return match json.and_then(JsonText::as_str) {
                Some(key) => Ok(Some((key.into_owned(), self.line))),
                None => Err(self.damaged(
                    "begins with a double quote and is no JSON string; a key that begins so is written as one",
                )),
            };
        }
    }

    fn damaged(&self, problem: &str) -> Error {
        let (file, problem) = (self.name.clone(), problem.to_owned());
        Error::Damaged { file, line: self.line, item: None, key: None, member: None, problem }
    }
}

impl fmt::Debug for KeyReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyReader").field("name", &self.name).field("line", &self.line).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static [u8]) -> Result<Vec<(String, u64)>> {
        let mut reader = KeyReader::over("keys.txt".to_owned(), Box::new(text));
        std::iter::from_fn(|| reader.next_key().transpose()).collect()
    }

    #[test]
    fn a_line_is_a_key_or_a_json_string() {
        let keys = read("plain\n\r\n a b \nin\"side\r\n\"line\\nbreak\"\n\"\\\"\"\n  \nno end".as_bytes()).unwrap();
        let keys: Vec<_> = keys.iter().map(|(key, line)| (key.as_str(), *line)).collect();
        let expected = [("plain", 1), (" a b ", 3), ("in\"side", 4), ("line\nbreak", 5), ("\"", 6), ("no end", 8)];
        assert_eq!(keys, expected);
        assert_eq!(read(b"").unwrap(), []);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_key() {
        let keys = |text: &'static str| -> Vec<(String, u64)> { read(text.as_bytes()).unwrap() };
        let expected = [("first".to_owned(), 1), ("second key".to_owned(), 2)];
        assert_eq!(keys("\u{feff}first\nsecond key\n"), expected);
        assert_eq!(keys("\u{feff}\"first\"\r\nsecond key"), expected);
        assert_eq!(keys("\u{feff}\n\u{feff}first"), [("\u{feff}first".to_owned(), 2)]);
        assert_eq!(keys("\"\\ufefffirst\""), [("\u{feff}first".to_owned(), 1)]);
    }

    #[test]
    fn a_line_that_is_no_key_is_named() {
        for (text, problem) in [
            (&b"a\n\"b"[..], "keys.txt: line 2: begins with a double quote"),
            (b"a\n\"b\" c\n", "keys.txt: line 2: begins with a double quote"),
            (b"a\n\"b\\ud800\"\n", "keys.txt: line 2: begins with a double quote"),
            (b"a\n\xff\n", "keys.txt: line 2: the line is not UTF-8"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(problem), "{error}");
        }
    }
}
