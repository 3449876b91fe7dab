//! The frames of a WebSocket: where they begin and end.

use super::Malformed;

/// The longest head of a frame: two bytes, a length of eight, and a mask of four.
const HEAD_MAX: usize = 14;

/// How long a frame may be that is no part of a message.
const CONTROL_MAX: u64 = 125;

/// What the head of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Neither a message nor a part of one: close, ping or pong.
    pub(crate) is_control: bool,
    /// The first frame of a message.
    pub(crate) begins: bool,
    /// The last frame of a message.
    pub(crate) ends: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The head of a frame has not come as a whole.
    Nothing,
    Head(Frame),
    Payload,
    /// The frame has ended.
    End,
}

/// One direction of a WebSocket.
#[derive(Debug)]
pub(crate) struct Frames {
    is_of_client: bool,
    head: [u8; HEAD_MAX],
    come: usize,
    in_payload: bool,
    left: u64,
    mask: [u8; 4],
    /// At which byte of the mask the payload goes on.
    at_mask: usize,
    in_message: bool,
}

impl Frames {
    pub(crate) const fn of_client() -> Self {
        Self::new(true)
    }

    pub(crate) const fn of_server() -> Self {
        Self::new(false)
    }

    const fn new(is_of_client: bool) -> Self {
        Self {
            is_of_client,
            head: [0; HEAD_MAX],
            come: 0,
            in_payload: false,
            left: 0,
            mask: [0; 4],
            at_mask: 0,
            in_message: false,
        }
    }

    /// How many of these bytes belong to what comes next.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<(usize, Piece), Malformed> {
        if self.in_payload {
            if self.left == 0 {
                self.in_payload = false;
                return Ok((0, Piece::End));
            }
            let count = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.left -= count as u64;
            self.at_mask = (self.at_mask + count) % 4;
            return Ok((count, if count == 0 { Piece::Nothing } else { Piece::Payload }));
        }
        for (at, byte) in bytes.iter().enumerate() {
            self.head[self.come] = *byte;
            self.come += 1;
            if self.come >= 2 && self.come == self.head_length() {
                self.come = 0;
                return Ok((at + 1, Piece::Head(self.begin()?)));
            }
        }
        Ok((bytes.len(), Piece::Nothing))
    }

    const fn head_length(&self) -> usize {
        let length = match self.head[1] & 0x7f {
            127 => 8,
            126 => 2,
            _ => 0,
        };
        2 + length + if self.head[1] & 0x80 == 0 { 0 } else { 4 }
    }

    fn begin(&mut self) -> Result<Frame, Malformed> {
        let is_masked = self.head[1] & 0x80 != 0;
        if is_masked != self.is_of_client {
            return Err(Malformed("a frame that is masked on the wrong side"));
        }
        let (length, mask_at) = match self.head[1] & 0x7f {
            127 => (u64::from_be_bytes([2, 3, 4, 5, 6, 7, 8, 9].map(|at: usize| self.head[at])), 10),
            126 => (u64::from(u16::from_be_bytes([self.head[2], self.head[3]])), 4),
            length => (u64::from(length), 2),
        };
        if is_masked {
            self.mask = [0, 1, 2, 3].map(|at: usize| self.head[mask_at + at]);
        }
        let (opcode, is_last) = (self.head[0] & 0x0f, self.head[0] & 0x80 != 0);
        let is_control = opcode >= 8;
        if is_control && (!is_last || length > CONTROL_MAX) {
            return Err(Malformed("a control frame that is longer than one can be"));
        }
        if !is_control && (opcode == 0) != self.in_message {
            return Err(Malformed("a part of a message that is none"));
        }
        if !is_control {
            self.in_message = !is_last;
        }
        (self.in_payload, self.left, self.at_mask) = (true, length, 0);
        Ok(Frame { is_control, begins: !is_control && opcode != 0, ends: !is_control && is_last })
    }

    /// Adds what a piece of payload says that was just scanned, up to `most` bytes in all.
    pub(crate) fn read(&self, payload: &[u8], into: &mut Vec<u8>, most: usize) {
        let begin = (self.at_mask + 4 - payload.len() % 4) % 4;
        let room = most.saturating_sub(into.len());
        into.extend(payload.iter().take(room).enumerate().map(|(at, byte)| byte ^ self.mask[(begin + at) % 4]));
    }

    /// Whether no frame has begun.
    pub(crate) const fn between_frames(&self) -> bool {
        self.come == 0 && !self.in_payload
    }

    /// Whether no message has begun.
    pub(crate) const fn at_border(&self) -> bool {
        self.between_frames() && !self.in_message
    }
}

/// A text message of a server. Of what is longer than 125 bytes, the beginning.
pub(crate) fn text(message: &str) -> Vec<u8> {
    let mut end = message.len().min(125);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let mut frame = vec![0x81, u8::try_from(end).unwrap_or(125)];
    frame.extend_from_slice(&message.as_bytes()[..end]);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MASK: [u8; 4] = [0x11, 0x72, 0xa3, 0xf4];

    fn frame(head: u8, payload: &[u8], is_masked: bool) -> Vec<u8> {
        let mark = if is_masked { 0x80 } else { 0 };
        let mut bytes = vec![head];
        match u16::try_from(payload.len()) {
            Ok(length @ 0..126) => bytes.push(mark | u8::try_from(length).unwrap()),
            Ok(length) => {
                bytes.push(mark | 126);
                bytes.extend(length.to_be_bytes());
            }
            Err(_) => {
                bytes.push(mark | 127);
                bytes.extend((payload.len() as u64).to_be_bytes());
            }
        }
        if is_masked {
            bytes.extend(MASK);
            bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        } else {
            bytes.extend(payload);
        }
        bytes
    }

    /// The messages in these bytes, read in pieces of this size, and how many control frames there are.
    fn read(bytes: &[u8], is_of_client: bool, size: usize) -> Result<(Vec<Vec<u8>>, usize), Malformed> {
        let mut frames = Frames::new(is_of_client);
        let (mut messages, mut message, mut controls, mut current) = (Vec::new(), Vec::new(), 0, None);
        let mut at = 0;
        loop {
            let end = (at + size).min(bytes.len());
            let (count, piece) = frames.scan(&bytes[at..end])?;
            let payload = &bytes[at..at + count];
            at += count;
            match (piece, current) {
                (Piece::Head(frame), _) => {
                    current = Some(frame);
                    controls += usize::from(frame.is_control);
                }
                (Piece::Payload, Some(Frame { is_control: false, .. })) => frames.read(payload, &mut message, 1 << 20),
                (Piece::End, Some(Frame { ends: true, .. })) => messages.push(std::mem::take(&mut message)),
                (Piece::Nothing, _) if at == bytes.len() => return Ok((messages, controls)),
                _ => {}
            }
        }
    }

    #[test]
    fn messages_are_read_whatever_their_pieces() {
        for is_of_client in [true, false] {
            let long = vec![b'x'; 70_000];
            let bytes = [
                frame(0x81, b"one", is_of_client),
                frame(0x02, b"tw", is_of_client),
                frame(0x89, b"ping", is_of_client),
                frame(0x80, b"o", is_of_client),
                frame(0x81, b"", is_of_client),
                frame(0x82, &long, is_of_client),
                frame(0x82, &long[..200], is_of_client),
            ]
            .concat();
            let expected = vec![b"one".to_vec(), b"two".to_vec(), Vec::new(), long.clone(), long[..200].to_vec()];
            for size in [1, 3, 7, 1000, 100_000] {
                assert_eq!(read(&bytes, is_of_client, size).unwrap(), (expected.clone(), 1), "{size}");
            }
            assert!(read(&bytes, !is_of_client, 9).is_err());
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bytes in [frame(0x80, b"x", false), [frame(0x01, b"x", false), frame(0x81, b"x", false)].concat()] {
            assert!(read(&bytes, false, 9).is_err(), "{bytes:?}");
        }
        assert!(read(&frame(0x09, b"x", false), false, 9).is_err());
        assert!(read(&frame(0x89, &[0; 126], false), false, 9).is_err());
    }

    #[test]
    fn a_text_is_a_frame() {
        assert_eq!(read(&text("{}"), false, 9).unwrap().0, [b"{}"]);
        let long = "é".repeat(100);
        assert_eq!(read(&text(&long), false, 9).unwrap().0, [long.as_bytes()[..124].to_vec()]);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1..20_usize) {
            let _ = read(&bytes, true, size);
            let _ = read(&bytes, false, size);
        }
    }
}
