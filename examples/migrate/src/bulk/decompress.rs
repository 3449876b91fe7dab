//! Which compression a file has, and its text.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use super::format::Compression;
use super::gzip::GzipReader;
use crate::error::{Error, Result};

/// How much is read, and decompressed, at a time.
const BUFFER_BYTES: usize = 128 * 1024;

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magic {
    Readable(Compression),
    Unsupported(&'static str),
}

/// First bytes of files. No JSON text begins with one of them.
const MAGICS: [(&[u8], Magic); 8] = [
    (b"\x1f\x8b", Magic::Readable(Compression::Gzip)),
    (b"\x28\xb5\x2f\xfd", Magic::Readable(Compression::Zstd)),
    (b"BZh", Magic::Unsupported("bzip2")),
    (b"PK\x03\x04", Magic::Unsupported("zip")),
    (b"\xfd7zXZ\0", Magic::Unsupported("xz")),
    (b"7z\xbc\xaf\x27\x1c", Magic::Unsupported("7-Zip")),
    (b"\x04\x22\x4d\x18", Magic::Unsupported("lz4")),
    (b"\x1f\x9d", Magic::Unsupported("compress")),
];

/// Text that is perhaps compressed.
pub(crate) struct Decompressed {
    pub(crate) text: Box<dyn BufRead + Send>,
    pub(crate) compression: Compression,
}

/// The text of the file of this name, decompressed as that says or, where it says nothing, as the first bytes do.
///
/// # Errors
/// [`Error::Unsuitable`] for a compression that is not supported; [`Error::File`] when it cannot be read.
pub(crate) fn decompressed(
    name: &str,
    input: impl Read + Send + 'static,
    expected: Compression,
) -> Result<Decompressed> {
    let read = |error| Error::file(name, "read", error);
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    let (first, magic) = first_bytes(&mut input).map_err(read)?;
    let compression = match (magic, expected) {
        (Some(Magic::Unsupported(compression)), _) => {
            let problem = format!("is compressed with {compression}, which is not supported: decompress it first");
            return Err(Error::Unsuitable(format!("{name}: {problem}")));
        }
        (Some(Magic::Readable(compression)), Compression::None) => compression,
        (_, expected) => expected,
    };
    let input = Cursor::new(first).chain(input);
    let text: Box<dyn BufRead + Send> = match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(BufReader::with_capacity(BUFFER_BYTES, GzipReader::new(input))),
        Compression::Zstd => {
            // Frame by frame, and past what is to be skipped between them. As zstd(1), with a window of 128 MiB at
            // most.
            let frames = zstd::stream::read::Decoder::with_buffer(input).map_err(read)?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, frames))
        }
    };
    Ok(Decompressed { text, compression })
}

/// What is wrong at a line, and is not about one item.
pub(crate) fn damaged(name: &str, line: u64, problem: impl Into<String>) -> Error {
    Error::Damaged { file: name.to_owned(), line, item: None, key: None, member: None, problem: problem.into() }
}

/// What the decompressor finds wrong is damage, although it comes as an input error; what the system refuses is not.
pub(crate) fn input_error(name: &str, line: u64, compression: Compression, error: io::Error) -> Error {
    if compression == Compression::None || error.raw_os_error().is_some() {
        return Error::file(name, "read", error);
    }
    let what = compression.name();
    match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(name, line, format!("the {what} data ends too early")),
        io::ErrorKind::OutOfMemory => Error::file(name, "read", error),
        // The words of the library for a window that is too large.
        _ if compression == Compression::Zstd && error.to_string().contains("too much memory") => {
            damaged(name, line, "needs a window of more than 128 MiB to decompress; compress it with less (--long=27)")
        }
        _ => damaged(name, line, format!("the {what} data is damaged: {error}")),
    }
}

/// Takes bytes as long as they may be the first ones of a compressed file. One by one, since a slow pipe may hand out
/// no more at a time, and waits when it is asked for more than it has.
fn first_bytes(input: &mut impl BufRead) -> io::Result<(Vec<u8>, Option<Magic>)> {
    let mut first = Vec::new();
    loop {
        let Some(byte) = input.fill_buf()?.first().copied() else { return Ok((first, None)) };
        first.push(byte);
        input.consume(1);
        if let Some(magic) = magic_of(&first) {
            return Ok((first, Some(magic)));
        }
        let may_become_one = is_skippable(&first) || MAGICS.iter().any(|(magic, _)| magic.starts_with(&first));
        if !may_become_one {
            return Ok((first, None));
        }
    }
}

fn magic_of(first: &[u8]) -> Option<Magic> {
    const MAGIC_BYTES: usize = 4;
    if first.len() == MAGIC_BYTES && is_skippable(first) {
        return Some(Magic::Readable(Compression::Zstd));
    }
    MAGICS.iter().find(|(magic, _)| *magic == first).map(|(_, found)| *found)
}

/// Whether a frame that a reader of zstd passes over may begin so: one of sixteen bytes, and three more.
fn is_skippable(first: &[u8]) -> bool {
    const REST: [u8; 3] = [0x2a, 0x4d, 0x18];
    first.first().is_some_and(|byte| byte & 0xf0 == 0x50) && REST.starts_with(&first[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn magic(bytes: &[u8]) -> Option<Magic> {
        // The bytes that were looked at are handed back.
        let mut input = bytes;
        let (first, magic) = first_bytes(&mut input).unwrap();
        assert_eq!([&first, input].concat(), bytes);
        magic
    }

    #[test]
    fn the_first_bytes_say_the_compression() {
        for (bytes, expected) in [
            (&b"\x1f\x8b\x08rest"[..], Some(Magic::Readable(Compression::Gzip))),
            (b"\x28\xb5\x2f\xfdrest", Some(Magic::Readable(Compression::Zstd))),
            (b"\x50\x2a\x4d\x18\0\0\0\0", Some(Magic::Readable(Compression::Zstd))),
            (b"\x5f\x2a\x4d\x18", Some(Magic::Readable(Compression::Zstd))),
            (b"BZh91AY", Some(Magic::Unsupported("bzip2"))),
            (b"PK\x03\x04", Some(Magic::Unsupported("zip"))),
            (b"\xfd7zXZ\0", Some(Magic::Unsupported("xz"))),
            (b"", None),
            (b"{\"key\"", None),
            (b"\x1f", None),
            (b"BZ", None),
            (b"Pack", None),
            (b"\x5f\x2a\x4d\x19", None),
        ] {
            assert_eq!(magic(bytes), expected, "{bytes:?}");
        }
    }
}
