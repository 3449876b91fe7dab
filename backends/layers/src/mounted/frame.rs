//! The position of a list over several mounts: how far each of them has come, as bytes (LIST-3). The handle adds the
//! check sum and what the cursor is bound to.
//!
//! Merged: a byte `1`, then for each mount that takes part a byte `0` at its end, or `1`, position, first key to come,
//! and the limit of a page that was begun, 0 for none (8 bytes). One after the other: a byte `2`, the number of the
//! mount (4 bytes), its position. A position is a byte `0`, or `1` and bytes. Bytes are their length (4 bytes) and they.
//! Numbers are big endian.

use std::num::NonZeroUsize;

use kv_api::{Error, ErrorKind, Reason, Result};

use super::merge::{Place, Progress};

const MERGED: u8 = 1;
const IN_TURN: u8 = 2;

/// # Errors
/// `Internal` when one part is longer than 4 GiB.
pub(super) fn encode_merged(progress: &[Progress]) -> Result<Vec<u8>> {
    let mut bytes = vec![MERGED];
    for progress in progress {
        match progress {
            Progress::End => bytes.push(0),
            Progress::At(Place { position, from, asked }) => {
                bytes.push(1);
                push_position(&mut bytes, position.as_deref())?;
                push(&mut bytes, from.as_bytes())?;
                bytes.extend_from_slice(&asked.map_or(0, |asked| asked.get() as u64).to_be_bytes());
            }
        }
    }
    Ok(bytes)
}

/// # Errors
/// `InvalidArgument` when it is no position of this many parts.
pub(super) fn decode_merged(bytes: &[u8], parts: usize) -> Result<Vec<Progress>> {
    let mut rest = Rest(bytes);
    let read = |rest: &mut Rest<'_>| {
        if rest.byte()? != MERGED {
            return None;
        }
        let progress: Vec<Progress> = (0..parts).map(|_| rest.progress()).collect::<Option<_>>()?;
        rest.0.is_empty().then_some(progress)
    };
    read(&mut rest).ok_or_else(invalid)
}

/// # Errors
/// `Internal` when the position is longer than 4 GiB.
pub(super) fn encode_in_turn(mount: usize, position: Option<&[u8]>) -> Result<Vec<u8>> {
    let mut bytes = vec![IN_TURN];
    bytes.extend_from_slice(&length(mount)?.to_be_bytes());
    push_position(&mut bytes, position)?;
    Ok(bytes)
}

/// # Errors
/// `InvalidArgument` when it is no such position.
pub(super) fn decode_in_turn(bytes: &[u8]) -> Result<(usize, Option<Vec<u8>>)> {
    let mut rest = Rest(bytes);
    let read = |rest: &mut Rest<'_>| {
        if rest.byte()? != IN_TURN {
            return None;
        }
        let found = (rest.length()?, rest.position()?);
        rest.0.is_empty().then_some(found)
    };
    read(&mut rest).ok_or_else(invalid)
}

/// The position as it is written again, where it is one of either form.
#[cfg(fuzzing)]
pub(crate) fn written_again(bytes: &[u8], parts: usize) -> Option<Vec<u8>> {
    if let Ok(progress) = decode_merged(bytes, parts) {
        return encode_merged(&progress).ok();
    }
    let (mount, position) = decode_in_turn(bytes).ok()?;
    encode_in_turn(mount, position.as_deref()).ok()
}

fn push_position(bytes: &mut Vec<u8>, position: Option<&[u8]>) -> Result<()> {
    bytes.push(u8::from(position.is_some()));
    position.map_or(Ok(()), |position| push(bytes, position))
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) -> Result<()> {
    bytes.extend_from_slice(&length(part.len())?.to_be_bytes());
    bytes.extend_from_slice(part);
    Ok(())
}

fn length(length: usize) -> Result<u32> {
    u32::try_from(length).map_err(|_| Error::new(ErrorKind::Internal, "a list position of more than 4 GiB"))
}

fn invalid() -> Error {
    Error::invalid(Reason::CursorInvalid, "the cursor is not of a list over these mounts")
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.take(4)?.try_into().ok()?)).ok()
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = self.length()?;
        self.take(length).map(<[u8]>::to_vec)
    }

    fn position(&mut self) -> Option<Option<Vec<u8>>> {
        match self.byte()? {
            0 => Some(None),
            1 => self.bytes().map(Some),
            _ => None,
        }
    }

    fn progress(&mut self) -> Option<Progress> {
        match self.byte()? {
            0 => Some(Progress::End),
            1 => {
                let position = self.position()?;
                let from = String::from_utf8(self.bytes()?).ok()?;
                let asked = usize::try_from(u64::from_be_bytes(self.take(8)?.try_into().ok()?)).ok()?;
                Some(Progress::At(Place { position, from, asked: NonZeroUsize::new(asked) }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn list_3_the_wire_form_is_stable() {
        // A change here breaks cursors that callers have stored: give it a new first byte instead.
        let place = Place { position: Some(vec![7]), from: "k".to_owned(), asked: NonZeroUsize::new(2) };
        let merged = encode_merged(&[Progress::End, Progress::At(place)]).unwrap();
        assert_eq!(merged, b"\x01\0\x01\x01\0\0\0\x01\x07\0\0\0\x01k\0\0\0\0\0\0\0\x02");
        assert_eq!(encode_in_turn(1, Some(b"p")).unwrap(), b"\x02\0\0\0\x01\x01\0\0\0\x01p");
        assert_eq!(encode_in_turn(0, None).unwrap(), b"\x02\0\0\0\0\0");
    }

    proptest! {
        #[test]
        fn list_3_no_bytes_make_it_panic(bytes: Vec<u8>, parts in 0..4_usize) {
            for bytes in [bytes.clone(), [&[MERGED], &*bytes].concat(), [&[IN_TURN], &*bytes].concat()] {
                let _ = decode_merged(&bytes, parts);
                let _ = decode_in_turn(&bytes);
            }
        }

        #[test]
        fn list_3_a_position_comes_back(mount in 0..9_usize, position: Option<Vec<u8>>) {
            let bytes = encode_in_turn(mount, position.as_deref()).unwrap();
            prop_assert_eq!(decode_in_turn(&bytes).unwrap(), (mount, position));
            prop_assert!(decode_merged(&bytes, 1).is_err());
            prop_assert!(decode_in_turn(&[&*bytes, &[0]].concat()).is_err());
        }
    }
}
