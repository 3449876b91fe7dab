//! The protocol of PostgreSQL, version 3: the borders of messages, in both directions.

use super::Malformed;

/// What a server takes at most (`PQ_LARGE_MESSAGE_LIMIT`).
const LENGTH_MAX: u32 = 0x3fff_ffff;

/// The length of a message counts itself.
const LENGTH_BYTES: u32 = 4;

/// What comes before the first message with a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Asks for TLS or GSSAPI, and waits for one byte.
    Encryption,
    /// Asks to cancel another connection's statement: nothing else comes, and no answer.
    Cancel,
    /// Begins a session; whatever is no other is taken for it.
    Startup,
}

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A client's first messages have no tag; their head is length and code.
    Opening(Opening),
    /// Tag and length have been read.
    Head(u8),
    /// Bytes of a body.
    Body,
    /// The message has ended.
    End,
    /// More is needed.
    Nothing,
}

#[derive(Debug)]
enum State {
    Head,
    Body,
}

/// Finds messages.
#[derive(Debug)]
pub(crate) struct Messages {
    state: State,
    head: [u8; 8],
    head_length: usize,
    left: u32,
    /// Whether the next message has no tag.
    is_opening: bool,
}

impl Messages {
    /// Of a client: the first ones have no tag.
    pub(crate) const fn of_client() -> Self {
        Self { state: State::Head, head: [0; 8], head_length: 0, left: 0, is_opening: true }
    }

    /// Of a server.
    pub(crate) const fn of_server() -> Self {
        Self { is_opening: false, ..Self::of_client() }
    }

    /// Looks at bytes up to the next piece; how many were looked at.
    ///
    /// # Errors
    /// A length that cannot be.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<(usize, Piece), Malformed> {
        match self.state {
            State::Body if self.left == 0 => {
                self.state = State::Head;
                Ok((0, Piece::End))
            }
            State::Body => {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                if count == 0 {
                    return Ok((0, Piece::Nothing));
                }
                self.left -= u32::try_from(count).unwrap_or(self.left);
                Ok((count, Piece::Body))
            }
            State::Head => {
                let whole = if self.is_opening { 8 } else { 5 };
                let count = bytes.len().min(whole - self.head_length);
                self.head[self.head_length..self.head_length + count].copy_from_slice(&bytes[..count]);
                self.head_length += count;
                if self.head_length < whole {
                    return Ok((count, Piece::Nothing));
                }
                self.head_length = 0;
                self.state = State::Body;
                Ok((count, self.begin()?))
            }
        }
    }

    fn begin(&mut self) -> Result<Piece, Malformed> {
        let [a, b, c, d, e, f, g, h] = self.head;
        let (length, own, piece) = if self.is_opening {
            let opening = match u32::from_be_bytes([e, f, g, h]) {
                80_877_103 | 80_877_104 => Opening::Encryption,
                80_877_102 => Opening::Cancel,
                _ => Opening::Startup,
            };
            self.is_opening = opening == Opening::Encryption;
            (u32::from_be_bytes([a, b, c, d]), LENGTH_BYTES + 4, Piece::Opening(opening))
        } else {
            (u32::from_be_bytes([b, c, d, e]), LENGTH_BYTES, Piece::Head(a))
        };
        if length < own || length > LENGTH_MAX {
            return Err(Malformed("a message whose length cannot be"));
        }
        self.left = length - own;
        Ok(piece)
    }

    /// Whether no message has begun that has not ended.
    pub(crate) const fn at_border(&self) -> bool {
        matches!(self.state, State::Head) && self.head_length == 0
    }
}

/// A message that ends an answer, with the transaction's state.
pub(crate) const fn ready(status: u8) -> [u8; 6] {
    [b'Z', 0, 0, 0, 5, status]
}

/// A message that asks for nothing but the end of an answer.
pub(crate) const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];

/// An error of this SQLSTATE.
pub(crate) fn error(sqlstate: &str, message: &str) -> Vec<u8> {
    let fields = format!("SERROR\0VERROR\0C{sqlstate}\0M{message}\0\0");
    let length = u32::try_from(fields.len()).unwrap_or(LENGTH_MAX).saturating_add(LENGTH_BYTES);
    [&b"E"[..], &length.to_be_bytes(), fields.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tag, body and end of each message; a space for what has no tag. Looked at in pieces of these sizes.
    fn messages(mut finder: Messages, bytes: &[u8], sizes: &[usize]) -> Result<Vec<(u8, Vec<u8>, usize)>, Malformed> {
        let (mut found, mut current, mut from) = (Vec::new(), None, 0);
        let mut sizes = sizes.iter().copied().chain(std::iter::repeat(bytes.len().max(1)));
        while from < bytes.len() {
            let to = (from + sizes.next().unwrap().max(1)).min(bytes.len());
            loop {
                let (count, piece) = finder.scan(&bytes[from..to])?;
                match piece {
                    Piece::Opening(_) => current = Some((b' ', Vec::new())),
                    Piece::Head(tag) => current = Some((tag, Vec::new())),
                    Piece::Body => current.as_mut().unwrap().1.extend(&bytes[from..from + count]),
                    Piece::End => {
                        let (tag, body) = current.take().unwrap();
                        found.push((tag, body, from + count));
                        assert!(finder.at_border());
                    }
                    Piece::Nothing => {}
                }
                from += count;
                if piece == Piece::Nothing {
                    assert_eq!(from, to, "all is looked at when nothing was found");
                    break;
                }
            }
        }
        Ok(found)
    }

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap() + 4;
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    #[test]
    fn a_session_opens_without_tags() {
        let ssl = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
        let startup = [&[0, 0, 0, 17, 0, 3, 0, 0][..], b"user\0me\0\0"].concat();
        let sent = [&ssl[..], &startup, &message(b'Q', b"select 1\0"), &SYNC].concat();
        let whole = messages(Messages::of_client(), &sent, &[]).unwrap();
        let tags: Vec<u8> = whole.iter().map(|(tag, ..)| *tag).collect();
        assert_eq!(tags, b"  QS");
        assert_eq!((&*whole[1].1, &*whole[2].1), (&b"user\0me\0\0"[..], &b"select 1\0"[..]));
        for at in 1..sent.len() {
            assert_eq!(messages(Messages::of_client(), &sent, &[at]).unwrap(), whole, "split at {at}");
        }
        assert_eq!(messages(Messages::of_client(), &sent, &vec![1; sent.len()]).unwrap(), whole);
        let cancel = [0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 1, 2, 3, 4, 5, 6, 7, 8];
        let first = Messages::of_client().scan(&cancel);
        assert_eq!(first, Ok((8, Piece::Opening(Opening::Cancel))));
    }

    #[test]
    fn a_length_that_cannot_be_is_refused() {
        for head in [&[b'Z', 0, 0, 0, 3][..], &[b'Z', 0xff, 0, 0, 0], b"HTTP/1.1"] {
            assert!(messages(Messages::of_server(), head, &[]).is_err(), "{head:?}");
        }
        assert!(messages(Messages::of_client(), &[0, 0, 0, 7, 0, 3, 0, 0], &[]).is_err());
    }

    #[test]
    fn an_error_has_its_length() {
        let bytes = [error("53300", "no"), ready(b'I').to_vec()].concat();
        let found = messages(Messages::of_server(), &bytes, &[]).unwrap();
        assert_eq!(found[0].1, b"SERROR\0VERROR\0C53300\0Mno\0\0");
        assert_eq!((found[1].0, &*found[1].1), (b'Z', &b"I"[..]));
    }

    proptest! {
        #[test]
        fn messages_are_found_in_any_pieces(
            sent in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)), 1..12),
            sizes in prop::collection::vec(1..40_usize, 0..60),
        ) {
            let mut end = 0;
            let mut bytes = Vec::new();
            let expected: Vec<(u8, Vec<u8>, usize)> = sent.into_iter().map(|(tag, body)| {
                bytes.extend(message(tag, &body));
                end += body.len() + 5;
                (tag, body, end)
            }).collect();
            prop_assert_eq!(messages(Messages::of_server(), &bytes, &sizes).unwrap(), expected);
        }
    }
}
