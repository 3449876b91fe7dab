//! RESP, versions 2 and 3: the borders of commands and of answers.

use super::Malformed;

/// How much of a command's name and of its first argument is kept. No name is longer, and no cursor of SCAN.
const KEPT_BYTES: usize = 32;

/// More than a server takes (`proto-max-bulk-len`, 512 MB): a length above it is garbage.
const LENGTH_MAX: u64 = 1 << 40;

/// The line after a length, and the two bytes after a bulk.
const LINE_END: u64 = 2;

/// The beginning of a word, in upper case where it is a name.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    bytes: [u8; KEPT_BYTES],
    length: usize,
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(KEPT_BYTES - self.length);
        self.bytes[self.length..self.length + taken].copy_from_slice(&bytes[..taken]);
        self.length += taken;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A number in a line, which ends with CR LF.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    value: u64,
    negative: bool,
    digits: u32,
}

impl Number {
    /// Takes the next byte of the line; the number once it has ended, `None` for one below zero.
    fn take(&mut self, byte: u8) -> Result<Option<Option<u64>>, Malformed> {
        match byte {
            b'0'..=b'9' if self.value < LENGTH_MAX => {
                self.value = self.value * 10 + u64::from(byte - b'0');
                self.digits += 1;
            }
            b'-' if self.digits == 0 && !self.negative => self.negative = true,
            b'\r' if self.digits > 0 => {}
            b'\n' if self.digits > 0 => return Ok(Some((!self.negative).then_some(self.value))),
            _ => return Err(Malformed("a length that is no number")),
        }
        Ok(None)
    }
}

/// Finds commands in what a client sends.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    state: InCommand,
    /// How many words the command has, its name among them.
    words: u64,
    /// How many of them are still to end.
    left: u64,
    name: Kept,
    first: Kept,
}

#[derive(Debug, Default)]
enum InCommand {
    #[default]
    Between,
    /// After `*`.
    Count(Number),
    /// Before the `$` of a word.
    Word,
    /// After `$`.
    Length(Number),
    /// Inside a word, with so many bytes left, its line end among them.
    Bytes { kept: bool, left: u64 },
    /// A command on a line of its own.
    Inline { word: usize, in_word: bool },
    /// Named by its last byte: what is left is to say that it has ended.
    Ended,
}

/// What has been found in a client's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InRequest {
    /// Name and first argument of a command are known, the argument up to its first bytes.
    Named,
    /// The command that was named before has ended.
    End,
}

impl Commands {
    /// Looks at bytes up to the next event; how many were looked at, all of them without an event.
    ///
    /// # Errors
    /// What no command looks like.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<(usize, Option<InRequest>), Malformed> {
        let mut at = 0;
        if matches!(self.state, InCommand::Ended) {
            self.state = InCommand::Between;
            return Ok((0, Some(InRequest::End)));
        }
        while at < bytes.len() {
            if let InCommand::Bytes { kept, left } = &mut self.state {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                if *kept {
                    // Without the line end.
                    let text = usize::try_from(left.saturating_sub(LINE_END)).unwrap_or(usize::MAX).min(taken);
                    let word = if self.left == self.words { &mut self.name } else { &mut self.first };
                    let room = KEPT_BYTES - word.length;
                    word.push(&bytes[at..at + text]);
                    if self.left + 1 == self.words && text >= room && *left > LINE_END + room as u64 {
                        // A long argument: its beginning will do.
                        *kept = false;
                        *left -= room as u64;
                        return Ok((at + room, Some(InRequest::Named)));
                    }
                }
                at += taken;
                *left -= taken as u64;
                if *left > 0 {
                    continue;
                }
                if *kept && self.left == self.words {
                    self.name.bytes.make_ascii_uppercase();
                }
                let names = *kept && (self.words == 1 || self.left + 1 == self.words);
                self.left -= 1;
                self.state = if self.left > 0 { InCommand::Word } else { InCommand::Between };
                if names {
                    if self.left == 0 {
                        self.state = InCommand::Ended;
                    }
                    return Ok((at, Some(InRequest::Named)));
                }
                if self.left == 0 {
                    return Ok((at, Some(InRequest::End)));
                }
                continue;
            }
            let byte = bytes[at];
            at += 1;
            if self.step(byte)? {
                return Ok((at, Some(InRequest::Named)));
            }
        }
        Ok((at, None))
    }

    /// Takes one byte outside of a word with a length; whether it ends a command on a line of its own.
    fn step(&mut self, byte: u8) -> Result<bool, Malformed> {
        match &mut self.state {
            InCommand::Between => match byte {
                b'*' => {
                    self.begin();
                    self.state = InCommand::Count(Number::default());
                }
                // A server passes over empty lines.
                b'\r' | b'\n' => {}
                _ => {
                    self.begin();
                    self.words = 1;
                    self.name.push(&[byte]);
                    self.state = InCommand::Inline { word: 0, in_word: true };
                }
            },
            InCommand::Count(number) => match number.take(byte)? {
                None => {}
                // A server passes over empty commands too.
                Some(None | Some(0)) => self.state = InCommand::Between,
                Some(Some(words)) => {
                    (self.words, self.left) = (words, words);
                    self.state = InCommand::Word;
                }
            },
            InCommand::Word if byte == b'$' => self.state = InCommand::Length(Number::default()),
            InCommand::Word => return Err(Malformed("a word of a command that is no bulk string")),
            InCommand::Length(number) => match number.take(byte)? {
                None => {}
                Some(None) => return Err(Malformed("a word of a command without a length")),
                Some(Some(length)) => {
                    let kept = self.words - self.left < 2;
                    self.state = InCommand::Bytes { kept, left: length + LINE_END };
                }
            },
            InCommand::Inline { word, in_word } => match byte {
                b'\n' => {
                    self.name.bytes.make_ascii_uppercase();
                    self.state = InCommand::Ended;
                    return Ok(true);
                }
                b' ' | b'\t' | b'\r' => *in_word = false,
                _ => {
                    if !*in_word {
                        *word += 1;
                        self.words += 1;
                        *in_word = true;
                    }
                    match word {
                        0 => self.name.push(&[byte]),
                        1 => self.first.push(&[byte]),
                        _ => {}
                    }
                }
            },
            InCommand::Bytes { .. } | InCommand::Ended => {}
        }
        Ok(false)
    }

    fn begin(&mut self) {
        (self.words, self.left) = (0, 0);
        (self.name, self.first) = (Kept::default(), Kept::default());
    }

    /// Whether no command has begun that has not ended.
    pub(crate) const fn at_border(&self) -> bool {
        matches!(self.state, InCommand::Between)
    }

    /// The name of the command that was named last, in upper case.
    pub(crate) fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// The first bytes of its first argument; empty without one.
    pub(crate) fn first(&self) -> &[u8] {
        self.first.as_bytes()
    }

    /// How many words it has, its name among them.
    pub(crate) const fn words(&self) -> u64 {
        self.words
    }
}

/// Finds answers in what a server sends.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    state: InElement,
    /// How many elements are still to end, in all arrays that are open.
    left: u64,
    /// Whether what comes is no answer but a push (RESP3).
    push: bool,
}

#[derive(Debug, Default)]
enum InElement {
    #[default]
    Type,
    /// To the end of the line.
    Line,
    /// The length of a bulk.
    Length(Number),
    /// The number of elements, each of which counts so often.
    Count {
        number: Number,
        each: u64,
        attribute: bool,
    },
    Bytes(u64),
}

impl Answers {
    /// Looks at bytes up to the end of an answer; how many were looked at, and whether an answer, or a push, ended
    /// with them.
    ///
    /// # Errors
    /// What no answer looks like.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut at = 0;
        while at < bytes.len() {
            match &mut self.state {
                InElement::Line => match memchr::memchr(b'\n', &bytes[at..]) {
                    None => at = bytes.len(),
                    Some(end) => {
                        at += end + 1;
                        self.state = InElement::Type;
                    }
                },
                InElement::Bytes(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    at += taken;
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = InElement::Type;
                    }
                }
                InElement::Type | InElement::Length(_) | InElement::Count { .. } => {
                    self.step(bytes[at])?;
                    at += 1;
                }
            }
            if matches!(self.state, InElement::Type) && self.left == 0 {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        match &mut self.state {
            InElement::Type => {
                if self.left == 0 {
                    self.left = 1;
                    self.push = byte == b'>';
                }
                self.left -= 1;
                let count = |each| InElement::Count { number: Number::default(), each, attribute: byte == b'|' };
                self.state = match byte {
                    b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => InElement::Line,
                    b'$' | b'!' | b'=' => InElement::Length(Number::default()),
                    b'*' | b'~' | b'>' => count(1),
                    b'%' | b'|' => count(2),
                    _ => return Err(Malformed("an answer of no known type")),
                };
            }
            InElement::Length(number) => {
                if let Some(length) = number.take(byte)? {
                    self.state = length.map_or(InElement::Type, |length| InElement::Bytes(length + LINE_END));
                }
            }
            InElement::Count { number, each, attribute } => {
                if let Some(count) = number.take(byte)? {
                    // What an attribute belongs to comes after it.
                    let more = count.unwrap_or(0) * *each + u64::from(*attribute);
                    self.left = self.left.checked_add(more).ok_or(Malformed("an answer without end"))?;
                    self.state = InElement::Type;
                }
            }
            InElement::Line | InElement::Bytes(_) => {}
        }
        Ok(())
    }

    /// Whether what was looked at last is a push: it answers nothing.
    pub(crate) const fn is_push(&self) -> bool {
        self.push
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Name, first argument and number of words of each command, and where it ends; looked at in pieces of these sizes.
    fn commands(bytes: &[u8], pieces: &[usize]) -> Result<Vec<(String, String, u64, usize)>, Malformed> {
        let (mut finder, mut found, mut named) = (Commands::default(), Vec::new(), None);
        let mut from = 0;
        let mut sizes = pieces.iter().copied().chain(std::iter::repeat(bytes.len().max(1)));
        while from < bytes.len() {
            let to = (from + sizes.next().unwrap().max(1)).min(bytes.len());
            loop {
                let (count, event) = finder.scan(&bytes[from..to])?;
                from += count;
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                match event {
                    Some(InRequest::Named) => {
                        assert!(named.is_none(), "named twice");
                        named = Some((text(finder.name()), text(finder.first()), finder.words()));
                    }
                    Some(InRequest::End) => {
                        assert!(finder.at_border());
                        let (name, first, words) = named.take().expect("a command that ends has been named");
                        found.push((name, first, words, from));
                    }
                    None => {
                        assert_eq!(from, to, "all is looked at when nothing was found");
                        break;
                    }
                }
            }
        }
        Ok(found)
    }

    fn answers(bytes: &[u8], pieces: &[usize]) -> Result<Vec<(bool, usize)>, Malformed> {
        let (mut finder, mut found, mut from) = (Answers::default(), Vec::new(), 0);
        let mut sizes = pieces.iter().copied().chain(std::iter::repeat(bytes.len().max(1)));
        while from < bytes.len() {
            let to = (from + sizes.next().unwrap().max(1)).min(bytes.len());
            while from < to {
                let (count, has_ended) = finder.scan(&bytes[from..to])?;
                from += count;
                if has_ended {
                    found.push((finder.is_push(), from));
                }
            }
        }
        Ok(found)
    }

    fn command(words: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n", word.len()).bytes());
            bytes.extend(word);
            bytes.extend(b"\r\n");
        }
        bytes
    }

    #[test]
    fn a_command_is_named_by_its_first_two_words_wherever_the_bytes_are_split() {
        let long = "k".repeat(100);
        let sent = [
            &b"*1\r\n$4\r\nping\r\n"[..],
            b"*3\r\n$3\r\nSET\r\n$2\r\na\n\r\n$0\r\n\r\n",
            b"\r\n*0\r\n*-1\r\nget k\r\nPING\r\n",
            &command(&[b"get".to_vec(), long.clone().into_bytes()]),
            b"*2\r\n$6\r\ncLiEnT\r\n$0\r\n\r\n",
        ]
        .concat();
        let found = commands(&sent, &[]).unwrap();
        let named: Vec<_> =
            found.iter().map(|(name, first, words, _)| (name.as_str(), first.as_str(), *words)).collect();
        let expected = [
            ("PING", "", 1),
            ("SET", "a\n", 3),
            ("GET", "k", 2),
            ("PING", "", 1),
            ("GET", &long[..KEPT_BYTES], 2),
            ("CLIENT", "", 2),
        ];
        assert_eq!(named, expected);
        assert_eq!(found.last().unwrap().3, sent.len());
        for at in 1..sent.len() {
            assert_eq!(commands(&sent, &[at]).unwrap(), found, "split at {at}");
        }
        assert_eq!(commands(&sent, &vec![1; sent.len()]).unwrap(), found);
    }

    #[test]
    fn a_long_argument_names_its_command_before_it_has_come() {
        let mut finder = Commands::default();
        let begun = [&b"*2\r\n$3\r\nGET\r\n$1000000\r\n"[..], &[b'k'; KEPT_BYTES]].concat();
        assert_eq!(finder.scan(&begun), Ok((begun.len(), Some(InRequest::Named))));
        assert!(!finder.at_border());
    }

    #[test]
    fn an_answer_ends_where_it_ends_wherever_the_bytes_are_split() {
        let each: &[&[u8]] = &[
            b"+OK\r\n",
            b"-ERR no\r\n",
            b":-7\r\n",
            b"$-1\r\n",
            b"$0\r\n\r\n",
            b"$4\r\na\r\nb\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*2\r\n*1\r\n:1\r\n*2\r\n$1\r\na\r\n*0\r\n",
            b"_\r\n",
            b"#t\r\n",
            b",1.5\r\n",
            b"(12345678901234567890\r\n",
            b"!5\r\nERR x\r\n",
            b"=7\r\ntxt:abc\r\n",
            b"~1\r\n+a\r\n",
            b"%2\r\n+a\r\n*1\r\n:1\r\n+b\r\n%0\r\n",
            b"|1\r\n+ttl\r\n:3600\r\n*2\r\n:1\r\n:2\r\n",
        ];
        let sent = each.concat();
        let mut end = 0;
        let expected: Vec<(bool, usize)> = each
            .iter()
            .map(|answer| {
                end += answer.len();
                (false, end)
            })
            .collect();
        assert_eq!(answers(&sent, &[]).unwrap(), expected);
        for at in 1..sent.len() {
            assert_eq!(answers(&sent, &[at]).unwrap(), expected, "split at {at}");
        }
        assert_eq!(answers(&sent, &vec![1; sent.len()]).unwrap(), expected);
    }

    #[test]
    fn a_push_is_no_answer() {
        let sent = b":1\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n:2\r\n";
        assert_eq!(answers(sent, &[]).unwrap(), [(false, 4), (true, sent.len() - 4), (false, sent.len())]);
    }

    #[test]
    fn what_is_neither_command_nor_answer_is_refused() {
        for bytes in [&b"*x\r\n"[..], b"*1\r\n+GET\r\n", b"*1\r\n$-1\r\n", b"*99999999999999999999\r\n"] {
            assert!(commands(bytes, &[]).is_err(), "{bytes:?}");
        }
        for bytes in [&b"HTTP/1.1 200 OK\r\n"[..], b"$x\r\n", b"*\r\n", b"%99999999999999999999\r\n"] {
            assert!(answers(bytes, &[]).is_err(), "{bytes:?}");
        }
    }

    fn word() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 0..40),
            1 => Just(b"\r\n*2\r\n$3\r\n".to_vec()),
            1 => prop::collection::vec(any::<u8>(), 100..200),
        ]
    }

    fn answer() -> impl Strategy<Value = Vec<u8>> {
        let leaf = prop_oneof![
            Just(b"+OK\r\n".to_vec()),
            any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
            word().prop_map(|word| [format!("${}\r\n", word.len()).into_bytes(), word, b"\r\n".to_vec()].concat()),
            Just(b"$-1\r\n".to_vec()),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop::collection::vec(inner, 0..6)
                .prop_map(|inner| [format!("*{}\r\n", inner.len()).into_bytes(), inner.concat()].concat())
        })
    }

    proptest! {
        #[test]
        fn commands_are_found_in_any_pieces(
            sent in prop::collection::vec(prop::collection::vec(word(), 1..6), 1..8),
            pieces in prop::collection::vec(1..50_usize, 0..60),
        ) {
            let bytes: Vec<Vec<u8>> = sent.iter().map(|words| command(words)).collect();
            let found = commands(&bytes.concat(), &pieces).unwrap();
            prop_assert_eq!(found.len(), sent.len());
            let mut end = 0;
            for ((words, bytes), found) in sent.iter().zip(&bytes).zip(&found) {
                end += bytes.len();
                prop_assert_eq!(found.3, end);
                prop_assert_eq!(found.2, words.len() as u64);
            }
        }

        #[test]
        fn answers_are_found_in_any_pieces(
            sent in prop::collection::vec(answer(), 1..8),
            pieces in prop::collection::vec(1..50_usize, 0..60),
        ) {
            let mut end = 0;
            let expected: Vec<(bool, usize)> = sent.iter().map(|answer| {
                end += answer.len();
                (false, end)
            }).collect();
            prop_assert_eq!(answers(&sent.concat(), &pieces).unwrap(), expected);
        }

        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = commands(&bytes, &[]);
            let _ = answers(&bytes, &[]);
        }
    }
}
