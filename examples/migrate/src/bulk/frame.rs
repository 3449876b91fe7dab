//! Where one item ends and the next begins: only its text is ever in memory, never the whole file.

use std::io::{self, BufRead, Read};

use super::ITEM_BYTES_MAX;

/// The problem of what stands in the place of an item.
pub(super) const NO_ITEM: &str = "expected an item, which is a JSON object";

/// What is wrong between or around items.
#[derive(Debug)]
pub(crate) enum FrameError {
    Io(io::Error),
    /// Between or around items.
    Damaged(&'static str),
    /// In the item that comes next.
    DamagedItem(&'static str),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Cuts the text of a file into items.
pub(crate) struct Frames<R> {
    input: R,
    /// Whether an item of an array may be a string.
    takes_strings: bool,
    place: Place,
    /// The line of the next byte, from 1.
    line: u64,
}

/// What has been read last.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Start,
    /// Items stand one a line.
    Lines,
    /// The array has begun.
    ArrayStart,
    /// An item of the array.
    ArrayItem,
    End,
}

impl<R: BufRead> Frames<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, takes_strings: false, place: Place::Start, line: 1 }
    }

    /// Of an array, whose items may be strings.
    pub(crate) const fn with_strings(input: R) -> Self {
        Self { input, takes_strings: true, place: Place::Start, line: 1 }
    }

    /// The line that was reached, from 1.
    pub(crate) const fn line(&self) -> u64 {
        self.line
    }

    /// Whether there was nothing but white space, up to here.
    pub(super) fn is_blank(&self) -> bool {
        self.place == Place::Start
    }

    /// Puts the text of the next item into `text` and answers the line it begins in; `None` at the end.
    pub(crate) fn next(&mut self, text: &mut Vec<u8>) -> Result<Option<u64>, FrameError> {
        text.clear();
        if self.place == Place::Start {
            self.skip_byte_order_mark()?;
            match self.skip_space()? {
                None => return Ok(None),
                Some(b'[') => {
                    self.input.consume(1);
                    self.place = Place::ArrayStart;
                }
                Some(_) => self.place = Place::Lines,
            }
        }
        match self.place {
            Place::Start | Place::Lines => self.next_line(text),
            Place::ArrayStart | Place::ArrayItem => self.next_in_array(text),
            Place::End => Ok(None),
        }
    }

    fn next_line(&mut self, text: &mut Vec<u8>) -> Result<Option<u64>, FrameError> {
        if self.skip_space()?.is_none() {
            return Ok(None);
        }
        let line = self.line;
        let most = ITEM_BYTES_MAX as u64 + 1;
        self.input.by_ref().take(most).read_until(b'\n', text)?;
        if text.last() == Some(&b'\n') {
            // Without its end, so that the parser reports a cut string in the line where it was cut.
            text.pop();
            self.line += 1;
        } else if text.len() > ITEM_BYTES_MAX {
            return Err(too_long());
        }
        Ok(Some(line))
    }

    fn next_in_array(&mut self, text: &mut Vec<u8>) -> Result<Option<u64>, FrameError> {
        const NOT_CLOSED: FrameError = FrameError::Damaged("the file ends before the array does");
        let first = self.place == Place::ArrayStart;
        match (self.skip_space()?.ok_or(NOT_CLOSED)?, first) {
            (b']', _) => {
                self.input.consume(1);
                self.place = Place::End;
                return match self.skip_space()? {
                    None => Ok(None),
                    Some(_) => Err(FrameError::Damaged("something follows the end of the array")),
                };
            }
            (b',', false) => self.input.consume(1),
            (_, false) => return Err(FrameError::DamagedItem("expected a comma or the end of the array")),
            (_, true) => {}
        }
        match self.skip_space()?.ok_or(NOT_CLOSED)? {
            b'{' => {}
            b'"' if self.takes_strings => {}
            _ => return Err(FrameError::DamagedItem(NO_ITEM)),
        }
        let line = self.line;
        self.object(text)?;
        self.place = Place::ArrayItem;
        Ok(Some(line))
    }

    /// Takes the text from an opening brace or quote to the one that closes it. Whether it is JSON is for the parser to
    /// say, but for a line end in a string: a quote too many would hide the good items behind it.
    fn object(&mut self, text: &mut Vec<u8>) -> Result<(), FrameError> {
        let mut nesting = Nesting::default();
        loop {
            let chunk = self.input.fill_buf()?;
            if chunk.is_empty() {
                return Err(FrameError::DamagedItem("the file ends in the middle of an item"));
            }
            let (taken, ended) = nesting.pass(chunk);
            text.extend_from_slice(&chunk[..taken]);
            self.line += memchr::memchr_iter(b'\n', &chunk[..taken]).count() as u64;
            self.input.consume(taken);
            if ended == Some(Ended::InString) {
                return Err(FrameError::DamagedItem("a line ends within a string"));
            }
            if text.len() > ITEM_BYTES_MAX {
                return Err(too_long());
            }
            if ended.is_some() {
                return Ok(());
            }
        }
    }

    /// Goes to the next byte that is no white space, and answers it without taking it.
    fn skip_space(&mut self) -> Result<Option<u8>, FrameError> {
        loop {
            let chunk = self.input.fill_buf()?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let spaces = chunk.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
            self.line += chunk[..spaces].iter().filter(|byte| **byte == b'\n').count() as u64;
            let found = chunk.get(spaces).copied();
            self.input.consume(spaces);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Some editors put one before UTF-8; a JSON reader may ignore it (RFC 8259, section 8.1). It is read byte by byte,
    /// since a slow pipe may hand out no more at a time.
    fn skip_byte_order_mark(&mut self) -> Result<(), FrameError> {
        for (at, byte) in b"\xef\xbb\xbf".iter().enumerate() {
            if self.input.fill_buf()?.first() == Some(byte) {
                self.input.consume(1);
            } else if at == 0 {
                break;
            } else {
                return Err(FrameError::DamagedItem(NO_ITEM));
            }
        }
        Ok(())
    }
}

/// How deep the next byte of an item lies.
#[derive(Default)]
struct Nesting {
    depth: u64,
    in_string: bool,
    escaped: bool,
}

/// What ended the walk over an item.
#[derive(PartialEq)]
enum Ended {
    /// Its closing brace or quote.
    Closed,
    /// A line end where none may be; it was not taken.
    InString,
}

impl Nesting {
    /// Goes on through `chunk` up to the end of the item, and answers how many bytes that took.
    fn pass(&mut self, chunk: &[u8]) -> (usize, Option<Ended>) {
        let mut at = 0;
        while at < chunk.len() {
            if self.escaped && chunk[at] != b'\n' {
                self.escaped = false;
                at += 1;
                continue;
            }
            if self.in_string {
                let Some(plain) = memchr::memchr3(b'"', b'\\', b'\n', &chunk[at..]) else { break };
                at += plain;
                match chunk[at] {
                    b'"' if self.depth == 0 => return (at + 1, Some(Ended::Closed)),
                    b'"' => self.in_string = false,
                    b'\\' => self.escaped = true,
                    _ => return (at, Some(Ended::InString)),
                }
                at += 1;
                continue;
            }
            let byte = chunk[at];
            at += 1;
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (at, Some(Ended::Closed));
                    }
                }
                _ => {}
            }
        }
        (chunk.len(), None)
    }
}

fn too_long() -> FrameError {
    FrameError::DamagedItem("an item is longer than 1 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line and what is wrong there.
    type Damage = (u64, &'static str);

    /// The items with their lines, and what ended the walk; read through a buffer so small that everything is cut.
    fn walk(text: &str) -> (Vec<(u64, String)>, Option<Damage>) {
        let mut frames = Frames::new(io::BufReader::with_capacity(1, text.as_bytes()));
        let (mut items, mut item) = (Vec::new(), Vec::new());
        loop {
            match frames.next(&mut item) {
                Ok(Some(line)) => items.push((line, String::from_utf8_lossy(&item).trim().to_owned())),
                Ok(None) => return (items, None),
                Err(FrameError::Damaged(problem) | FrameError::DamagedItem(problem)) => {
                    return (items, Some((frames.line(), problem)));
                }
                Err(FrameError::Io(error)) => panic!("{error}"),
            }
        }
    }

    fn items(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
        expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect()
    }

    #[test]
    fn finds_items_in_lines_and_arrays() {
        for (text, expected) in [
            ("", &[] as &[_]),
            (" \n\n ", &[]),
            ("[]", &[]),
            (" [ ] \n", &[]),
            ("{}", &[(1, "{}")]),
            ("\n{\"a\":1}\r\n\n{}\n", &[(2, "{\"a\":1}"), (4, "{}")]),
            ("[{}\n,\n{}]", &[(1, "{}"), (3, "{}")]),
            ("\u{feff}[{\n\n},{}]", &[(1, "{\n\n}"), (3, "{}")]),
            (r#"[{"a":"}]\"{"},{"b":[{}]}]"#, &[(1, r#"{"a":"}]\"{"}"#), (1, r#"{"b":[{}]}"#)]),
            (r#"[{"a":"\\"},{}]"#, &[(1, r#"{"a":"\\"}"#), (1, "{}")]),
        ] {
            assert_eq!(walk(text), (items(expected), None), "{text:?}");
        }
    }

    #[test]
    fn says_what_is_wrong_around_items_and_where() {
        for (text, found, line, problem) in [
            ("[", 0, 1, "the file ends before the array does"),
            ("[{}", 1, 1, "the file ends before the array does"),
            ("[{},\n", 1, 2, "the file ends before the array does"),
            ("[{\"a\":\n", 0, 2, "the file ends in the middle of an item"),
            ("[{\"a\":\"}]", 0, 1, "the file ends in the middle of an item"),
            ("[{\"a\":\"\\\n\"}]", 0, 1, "a line ends within a string"),
            ("[{\"a\":\"b\n\"}]", 0, 1, "a line ends within a string"),
            ("[{},{\"a\":\"b\"\"},\n{\"b\":\"\"\"}]", 1, 1, "a line ends within a string"),
            ("[1]", 0, 1, "expected an item"),
            ("[{},]", 1, 1, "expected an item"),
            ("[,{}]", 0, 1, "expected an item"),
            ("[{}\n{}]", 1, 2, "expected a comma"),
            ("[{}]\n x", 1, 2, "something follows"),
            ("[][]", 0, 1, "something follows"),
            ("\u{fec0}{}", 0, 1, "expected an item"),
        ] {
            let (items, end) = walk(text);
            assert_eq!(items.len(), found, "{text:?}");
            let (at, message) = end.unwrap_or_else(|| panic!("{text:?} was accepted"));
            assert!(at == line && message.starts_with(problem), "{text:?}: line {at}: {message}");
        }
    }
}
