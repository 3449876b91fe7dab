//! Gzip as gzip(1) reads it: member after member, and the zeros behind them that tapes and block devices leave.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The first byte of a member.
const MEMBER: u8 = 0x1f;

/// The bytes of all members of a gzip file, one after the other. Anything but zeros behind the last one is an error.
pub(super) struct GzipReader<R> {
    place: Place<R>,
}

enum Place<R> {
    Member(Box<GzDecoder<R>>),
    End,
}

impl<R: BufRead> GzipReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { place: Place::Member(Box::new(GzDecoder::new(input))) }
    }
}

impl<R: BufRead> Read for GzipReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Place::Member(member) = &mut self.place {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match next_byte(member.get_mut())? {
                Some(MEMBER) => {
                    if let Place::Member(member) = std::mem::replace(&mut self.place, Place::End) {
                        *self = Self::new(member.into_inner());
                    }
                }
                None => self.place = Place::End,
                Some(_) => {
                    skip_zeros(member.get_mut())?;
                    self.place = Place::End;
                }
            }
        }
        Ok(0)
    }
}

/// The next byte, without taking it.
fn next_byte(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    input.fill_buf().map(|bytes| bytes.first().copied())
}

/// To the end of the input.
fn skip_zeros(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "something else follows the compressed data"));
        }
        let zeros = bytes.len();
        input.consume(zeros);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        // Through a buffer so small that everything is cut.
        GzipReader::new(BufReader::with_capacity(3, bytes)).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn members_follow_one_another_and_zeros_follow_the_last() {
        let (one, two) = (gzip("one"), gzip(""));
        assert_eq!(read(&one).unwrap(), "one");
        assert_eq!(read(&[&one[..], &two, &one].concat()).unwrap(), "oneone");
        for zeros in [1, 2, 3, 512, 10_000] {
            assert_eq!(read(&[&one[..], &one, &vec![0; zeros]].concat()).unwrap(), "oneone");
        }
    }

    #[test]
    fn anything_else_behind_a_member_is_an_error() {
        let one = gzip("one");
        for rest in [&b"rest"[..], b"\n", b"\0\0x", b"\x1f", b"\x1f\x8b", b"\x1fx rest"] {
            assert!(read(&[&one[..], rest].concat()).is_err(), "{rest:?}");
        }
        // As gzip(1), which looks for no further member behind zeros.
        assert!(read(&[&one[..], &[0; 512], &one].concat()).is_err());
        for cut in 0..one.len() {
            assert!(read(&one[..cut]).is_err(), "{cut}");
        }
    }
}
