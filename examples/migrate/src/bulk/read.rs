//! Reading a file in the bulk format.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::frame::{FrameError, Frames};
use super::gzip::{self, GzipReader};
use super::item;
use crate::error::{Error, Result};
use crate::record::Record;

const BUFFER_BYTES: usize = 128 * 1024;

/// Reads the entries of a file one after the other: JSON array or lines, gzipped or not, as its first bytes tell. It
/// blocks the thread; [`Source`](crate::Source) reads on another one.
pub struct BulkReader {
    name: String,
    /// Not touched before the first read, so that making a reader never waits for standard input.
    raw: Option<Raw>,
    frames: Option<Frames<Box<dyn BufRead + Send>>>,
    /// A file named `.json` holds an array, so that an empty one is a damaged one.
    array_expected: bool,
    text: Vec<u8>,
    /// How many items have been read.
    items: u64,
    bytes_read: Arc<AtomicU64>,
    bytes_total: Option<u64>,
}

struct Raw {
    input: Box<dyn Read + Send>,
    gzip_expected: bool,
}

impl BulkReader {
    /// Files tell expiries in whole seconds.
    pub(crate) const EXPIRY_RESOLUTION: Duration = Duration::from_secs(1);

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
        let lower = name.to_ascii_lowercase();
        let (plain, gzip_expected) = lower.strip_suffix(".gz").map_or((lower.as_str(), false), |plain| (plain, true));
        Ok(Self {
            array_expected: plain.ends_with(".json"),
            bytes_total: about.is_file().then_some(about.len()),
            ..Self::over(name, Box::new(file), gzip_expected)
        })
    }

    /// Reads standard input.
    #[must_use]
    pub fn stdin() -> Self {
        Self::over("standard input".to_owned(), Box::new(io::stdin()), false)
    }

    fn over(name: String, input: Box<dyn Read + Send>, gzip_expected: bool) -> Self {
        Self {
            name,
            raw: Some(Raw { input, gzip_expected }),
            frames: None,
            array_expected: false,
            text: Vec::new(),
            items: 0,
            bytes_read: Arc::default(),
            bytes_total: None,
        }
    }

    /// How many bytes of the file have been read, shared; before decompression.
    pub(crate) fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes_read)
    }

    /// How many bytes the file has, if it is one.
    pub(crate) const fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Damaged`] with file, line, item and member; [`Error::File`] when it cannot be read. After an error
    /// there is no way on.
    pub fn next_record(&mut self) -> Result<Option<Record>> {
        let frames = match &mut self.frames {
            Some(frames) => frames,
            slot => {
                let Some(raw) = self.raw.take() else { return Ok(None) };
                let counted = Counted { input: raw.input, bytes: Arc::clone(&self.bytes_read) };
                let input = decompressed(counted, raw.gzip_expected)
                    .map_err(|error| input_error(&self.name, 1, raw.gzip_expected, error))?;
                slot.insert(Frames::new(input))
            }
        };
        match frames.next(&mut self.text) {
            Ok(Some(line)) => {
                self.items += 1;
                item::parse(&self.text, line).map(Some).map_err(|wrong| Error::Damaged {
                    file: self.name.clone(),
                    line: line + wrong.line - 1,
                    item: Some(self.items),
                    key: wrong.key,
                    member: wrong.member,
                    problem: wrong.problem,
                })
            }
            Ok(None) if self.array_expected && frames.is_blank() => {
                Err(damaged(&self.name, 1, "is empty; an array without items is []"))
            }
            Ok(None) => Ok(None),
            Err(FrameError::Damaged(problem)) => Err(damaged(&self.name, frames.line(), problem)),
            Err(FrameError::DamagedItem(problem)) => {
                let (file, item, problem) = (self.name.clone(), Some(self.items + 1), problem.to_owned());
                let key = item::leading_key(&self.text);
                Err(Error::Damaged { file, line: frames.line(), item, key, member: None, problem })
            }
            Err(FrameError::Io(error)) => Err(input_error(&self.name, frames.line(), true, error)),
        }
    }
}

fn damaged(name: &str, line: u64, problem: impl Into<String>) -> Error {
    Error::Damaged { file: name.to_owned(), line, item: None, key: None, member: None, problem: problem.into() }
}

/// What the decompressor finds wrong is damage, although it comes as an input error; what the system refuses is not.
fn input_error(name: &str, line: u64, compressed: bool, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof if compressed => damaged(name, line, "the gzip data ends too early"),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            damaged(name, line, format!("the gzip data is damaged: {error}"))
        }
        _ => Error::file(name, "read", error),
    }
}

/// Gzip where the name says so or the first byte does.
fn decompressed(input: impl Read + Send + 'static, gzip_expected: bool) -> io::Result<Box<dyn BufRead + Send>> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    if gzip_expected || gzip::next_byte(&mut input)? == Some(gzip::MEMBER) {
        Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, GzipReader::new(input))))
    } else {
        Ok(Box::new(input))
    }
}

struct Counted<R> {
    input: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl fmt::Debug for BulkReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkReader").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out one byte at a time, as a slow pipe may.
    struct Slow(&'static [u8]);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let one = self.0.len().min(1);
            self.0.read(&mut buffer[..one])
        }
    }

    #[test]
    fn what_a_slow_pipe_brings_is_recognised_by_its_content() {
        // The item {"key":"a","value":""}, gzipped.
        let gzipped = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xabV\xcaN\xadT\xb2RJT\xd2Q*K\xcc)M\x05\xb2\x95j\x01R\xfeUP\x16\x00\x00\x00";
        for content in [&gzipped[..], b"\xef\xbb\xbf{\"key\":\"a\",\"value\":\"\"}"] {
            let mut reader = BulkReader::over("input".to_owned(), Box::new(Slow(content)), false);
            assert_eq!(reader.next_record().unwrap().map(|record| record.key).as_deref(), Some("a"));
            assert!(reader.next_record().unwrap().is_none());
        }
    }
}
