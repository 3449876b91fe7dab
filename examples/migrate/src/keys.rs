//! Keys from a file, for a store that cannot list its own.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, Cursor, Read};
use std::path::Path;
use std::vec;

use kv_api::JsonText;

use crate::bulk::{Compression, Decompressed, FrameError, Frames, damaged, decompressed, input_error};
use crate::error::{Error, Result};
use crate::identity;

/// The longest line that is read, in bytes, and the longest object with a list of keys: longer than any key, or than
/// what one request lists.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Some editors put one in front of UTF-8. A key that begins with one is written as a JSON string in the first line.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads the keys that a file names, gzipped, compressed with zstd, or neither. It blocks the thread, also when it
/// opens a named pipe; [`Source`](crate::Source) reads on another one.
///
/// - One key a line, and perhaps a byte order mark before the first. Blank lines are passed over. A line that begins
///   with a double quote is the key as a JSON string, for one with a line break in it, or a blank at its end, or a
///   double quote at its beginning.
/// - Or JSON, as lists of keys come from other tools: an array of strings, or of objects with a member `name`, as
///   `wrangler kv key list` prints it; or an object with a member `keys` that is such an array, of 16 MiB at most.
///
/// A file whose first key begins with `[` or `{` is taken for JSON: such a key is written as a JSON string, too.
pub struct KeyReader {
    name: String,
    compression: Compression,
    form: Form,
    /// Behind the last key.
    line: u64,
    /// How many keys have been read.
    keys: u64,
    /// Of a regular file.
    identity: Option<String>,
}

enum Form {
    /// Nothing has been read yet.
    Unknown(Option<Box<dyn Read + Send>>),
    Lines(Box<dyn BufRead + Send>),
    Array(Frames<Box<dyn BufRead + Send>>),
    /// Those of an object.
    Listed(vec::IntoIter<String>),
}

impl KeyReader {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| Error::file(&name, "open", error))?;
        let about = file.metadata().map_err(|error| Error::file(&name, "open", error))?;
        if about.is_dir() {
            return Err(Error::file(&name, "read", io::ErrorKind::IsADirectory.into()));
        }
        Ok(Self { identity: identity::of_source_file(path, &about), ..Self::over(name, Box::new(file)) })
    }

    pub(crate) fn over(name: String, input: Box<dyn Read + Send>) -> Self {
        let compression = Compression::of_name(&name);
        Self { name, compression, form: Form::Unknown(Some(input)), line: 0, keys: 0, identity: None }
    }

    /// What tells the file from others, and from what it was before; `None` where it cannot be read again.
    pub(crate) fn identity(&self) -> Option<String> {
        self.identity.clone()
    }

    /// The next keys with their lines, from 1: at most so many, and not more than fit in memory well, but at least one;
    /// none at the end.
    pub(crate) fn next_keys(&mut self, most: usize) -> Result<Vec<(String, u64)>> {
        /// What reaches this ends with the key that does.
        const BYTES: usize = 1024 * 1024;
        let (mut keys, mut bytes) = (Vec::new(), 0);
        while keys.len() < most && bytes < BYTES {
            let Some(next) = self.next_key()? else { break };
            bytes += next.0.len();
            keys.push(next);
        }
        Ok(keys)
    }

    /// The next key and its line, from 1; `None` at the end.
    pub(crate) fn next_key(&mut self) -> Result<Option<(String, u64)>> {
        if let Form::Unknown(input) = &mut self.form {
            let Some(input) = input.take() else { return Ok(None) };
            self.form = self.recognised(input)?;
        }
        let mut text = Vec::new();
        let key = match &mut self.form {
            Form::Unknown(_) => None,
            Form::Listed(keys) => keys.next().map(|key| (key, 1)),
            Form::Lines(_) => self.next_line()?,
            Form::Array(frames) => match frames.next(&mut text) {
                Ok(None) => None,
                Ok(Some(line)) => match key_of(&text) {
                    Some(key) => Some((key, line)),
                    None => return Err(self.not_a_list(line)),
                },
                Err(FrameError::Io(error)) => {
                    return Err(input_error(&self.name, frames.line(), self.compression, error));
                }
                Err(FrameError::Damaged(_) | FrameError::DamagedItem(_)) => {
                    let line = frames.line();
                    return Err(self.not_a_list(line));
                }
            },
        };
        self.keys += u64::from(key.is_some());
        Ok(key)
    }

    /// How the keys stand in the file, by its first byte that is not blank.
    fn recognised(&mut self, input: Box<dyn Read + Send>) -> Result<Form> {
        let Decompressed { mut text, compression } = decompressed(&self.name, input, self.compression)?;
        self.compression = compression;
        let (before, first) = first_visible(&mut text).map_err(|error| self.unread(error))?;
        let text = Box::new(Cursor::new(before).chain(text));
        match first {
            Some(b'[') => Ok(Form::Array(Frames::with_strings(text))),
            Some(b'{') => {
                let mut object = Vec::new();
                text.take(LINE_BYTES_MAX).read_to_end(&mut object).map_err(|error| self.unread(error))?;
                let object = object.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&object);
                let keys = keys_of(object).ok_or_else(|| self.not_a_list(1))?;
                Ok(Form::Listed(keys.into_iter()))
            }
            _ => Ok(Form::Lines(text)),
        }
    }

    fn next_line(&mut self) -> Result<Option<(String, u64)>> {
        loop {
            let Form::Lines(input) = &mut self.form else { return Ok(None) };
            let mut line = Vec::new();
            let read = input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if read.map_err(|error| self.unread(error))? == 0 {
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

    fn unread(&self, error: io::Error) -> Error {
        input_error(&self.name, self.line + 1, self.compression, error)
    }

    fn damaged(&self, problem: &str) -> Error {
        damaged(&self.name, self.line, problem)
    }

    fn not_a_list(&self, line: u64) -> Error {
        let problem = "looks like JSON and is no list of keys, which is [\"key\", ...] or [{\"name\": \"key\"}, ...]; \
                       otherwise write one key a line, one that begins with [ or { as a JSON string";
        let (file, item) = (self.name.clone(), Some(self.keys + 1));
        Error::Damaged { file, line, item, key: None, member: None, problem: problem.to_owned() }
    }
}

/// The blanks that a text begins with, a byte order mark among them, and the byte behind them, which was not taken.
fn first_visible(text: &mut impl BufRead) -> io::Result<(Vec<u8>, Option<u8>)> {
    let mut before = Vec::new();
    while let Some(byte) = text.fill_buf()?.first().copied() {
        let is_mark = before.len() < 3 && b"\xef\xbb\xbf"[before.len()] == byte;
        // More of them are no beginning of a list.
        if !(is_mark || byte.is_ascii_whitespace()) || before.len() as u64 == LINE_BYTES_MAX {
            return Ok((before, Some(byte)));
        }
        before.push(byte);
        text.consume(1);
    }
    Ok((before, None))
}

/// The keys in an object that lists them; `None` when it does not, or says that there are more.
fn keys_of(object: &[u8]) -> Option<Vec<String>> {
    let members = JsonText::parse_slice_foreign(object).ok()?.object()?;
    if members.get("list_complete").is_some_and(|complete| complete.as_bool() != Some(true)) {
        return None;
    }
    members.get("keys")?.items()?.map(|key| key_of(key.as_text().as_bytes())).collect()
}

/// The key that an item of a list names.
fn key_of(item: &[u8]) -> Option<String> {
    let json = JsonText::parse_slice_foreign(item).ok()?;
    let name = json.as_str().or_else(|| json.object()?.get("name")?.as_str());
    name.map(std::borrow::Cow::into_owned)
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
        read_named("keys.txt", text)
    }

    fn read_named(name: &str, text: &'static [u8]) -> Result<Vec<(String, u64)>> {
        let mut reader = KeyReader::over(name.to_owned(), Box::new(text));
        std::iter::from_fn(|| reader.next_key().transpose()).collect()
    }

    #[test]
    fn long_keys_are_read_a_few_at_a_time() {
        let long = ("k".repeat(600 * 1024) + "\n").repeat(5) + "short\n";
        let mut reader = KeyReader::over("keys.txt".to_owned(), Box::new(Cursor::new(long)));
        let parts = [1000, 1000, 1, 1000, 1000].map(|most| reader.next_keys(most).unwrap().len());
        assert_eq!(parts, [2, 2, 1, 1, 0]);
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

    #[test]
    fn json_that_lists_keys_is_read() {
        for (text, lines) in [
            (r#"["a","[b\n\"","c"]"#, [1, 1, 1]),
            ("\u{feff} \n[\"a\",\n\"[b\\n\\\"\"\n,\"c\"]\n", [2, 3, 4]),
            (r#"[{"name":"a"},{"name":"[b\n\"","expiration":5,"metadata":{"name":"x"}},"c"]"#, [1, 1, 1]),
            ("[\n  {\n \"expiration\": 1,\n \"name\": \"a\"\n},{\"name\":\"[b\\n\\\"\"},{\"name\":\"c\"}]", [2, 5, 5]),
            (r#"{"keys":["a","[b\n\"",{"name":"c"}]}"#, [1, 1, 1]),
            ("\u{feff}{\"list_complete\":true,\"keys\":[\"a\",\"[b\\n\\\"\",\"c\"],\"cacheStatus\":null}\n", [1, 1, 1]),
        ] {
            let expected: Vec<_> = ["a", "[b\n\"", "c"].map(str::to_owned).into_iter().zip(lines).collect();
            assert_eq!(read(text.as_bytes()).unwrap(), expected, "{text}");
        }
        for empty in ["[]", " [ ]\n", "{\"keys\":[]}"] {
            assert_eq!(read(empty.as_bytes()).unwrap(), []);
        }
    }

    #[test]
    fn json_that_lists_no_keys_is_refused_with_a_word_on_how_to_write_them() {
        for (text, place) in [
            ("[b", 1),
            ("[\"a\",\n5]", 2),
            ("[\"a\",\n{\"key\":\"b\"}]", 2),
            ("[\"a\"\n\"b\"]", 2),
            ("[\"a\"]\nb", 2),
            ("[\"a", 1),
            ("[[\"a\"]]", 1),
            ("{\"name\":\"a\"}\n{\"name\":\"b\"}", 1),
            ("{\"keys\":{\"a\":1}}", 1),
            ("{\"keys\":[\"a\"],\"list_complete\":false,\"cursor\":\"c\"}", 1),
            ("{\"result\":[{\"name\":\"a\"}]}", 1),
            ("{placeholder}", 1),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            let expected = format!("keys.txt: line {place}: looks like JSON and is no list of keys");
            assert!(error.starts_with(&expected) && error.contains("as a JSON string"), "{text}: {error}");
        }
        // In a later line it can be nothing but a key.
        assert_eq!(read(b"a\n[b\n{c\n").unwrap().len(), 3);
        assert_eq!(read(b"\"[b\"\n[c\n").unwrap().len(), 2);
    }

    #[test]
    fn a_compressed_list_is_read() {
        let gzip = |text: &str| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
            &*encoder.finish().unwrap().leak()
        };
        let zstd = |text: &str| &*zstd::encode_all(text.as_bytes(), 0).unwrap().leak();
        let expected = vec![("a".to_owned(), 1), ("b".to_owned(), 1)];
        for name in ["keys", "keys.json.gz"] {
            assert_eq!(read_named(name, gzip("[\"a\",\"b\"]")).unwrap(), expected);
        }
        assert_eq!(read_named("keys.json.zst", zstd("{\"keys\":[\"a\",\"b\"]}")).unwrap(), expected);
        assert_eq!(read_named("keys.txt", zstd("a\nb")).unwrap()[1], ("b".to_owned(), 2));
        let error = read_named("keys.gz", b"a key, and another one\n").unwrap_err().to_string();
        assert!(error.starts_with("keys.gz: line 1: the gzip data is damaged"), "{error}");
        let error = read_named("keys", b"BZh91AY&SY").unwrap_err().to_string();
        assert!(error.starts_with("keys: is compressed with bzip2"), "{error}");
    }
}
