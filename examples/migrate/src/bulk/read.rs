//! Reading a file in the bulk format.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::decompress::{Decompressed, damaged, decompressed, input_error};
use super::format::Compression;
use super::frame::{FrameError, Frames};
use super::item;
use crate::error::{Error, Result};
use crate::identity;
use crate::record::Record;

/// Reads the entries of a file one after the other: JSON array or lines, plain, gzip or zstd, as its first bytes say.
/// It blocks the thread, also when it opens a named pipe; [`Source`](crate::Source) reads on another one.
pub struct BulkReader {
    name: String,
    /// Not touched before the first read, so that making a reader never waits for standard input.
    raw: Option<Box<dyn Read + Send>>,
    frames: Option<Frames<Box<dyn BufRead + Send>>>,
    /// What the name says, and from the first read on what it is.
    compression: Compression,
    /// A file named `.json` holds an array, so that an empty one is a damaged one.
    array_expected: bool,
    text: Vec<u8>,
    /// How many items have been read.
    items: u64,
    bytes_read: Arc<AtomicU64>,
    bytes_total: Option<u64>,
    /// Of a regular file.
    identity: Option<String>,
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
        let (compression, plain) = Compression::split(&lower);
        Ok(Self {
            array_expected: plain.ends_with(".json"),
            bytes_total: about.is_file().then_some(about.len()),
            identity: identity::of_source_file(path, &about),
            ..Self::over(name, Box::new(file), compression)
        })
    }

    /// Reads standard input.
    #[must_use]
    pub fn stdin() -> Self {
        Self::over("standard input".to_owned(), Box::new(io::stdin()), Compression::None)
    }

    pub(crate) fn over(name: String, input: Box<dyn Read + Send>, compression: Compression) -> Self {
        Self {
            name,
            raw: Some(input),
            frames: None,
            compression,
            array_expected: false,
            text: Vec::new(),
            items: 0,
            bytes_read: Arc::default(),
            bytes_total: None,
            identity: None,
        }
    }

    /// How many items have been read, good and bad: to go on behind them, a reader of the same file passes over as
    /// many.
    #[must_use]
    pub const fn items_read(&self) -> u64 {
        self.items
    }

    /// What tells the file from others, and from what it was before; `None` where it cannot be read again.
    pub(crate) fn identity(&self) -> Option<String> {
        self.identity.clone()
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
    /// As [`next_item`](Self::next_item), and its inner errors. After an error there is no way on.
    pub fn next_record(&mut self) -> Result<Option<Record>> {
        self.next_item()?.transpose()
    }

    /// The next item, good or bad; `None` at the end. An inner error is about that item only, and reading can go on
    /// behind it: a line that is no item, or an object in an array that is none.
    ///
    /// ```
    /// use kv_migrate::BulkReader;
    /// # let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("in.jsonl");
    /// std::fs::write(&path, "oops\n{\"key\":\"a\",\"value\":\"\"}\n")?;
    /// let mut reader = BulkReader::open(&path)?;
    /// let bad = reader.next_item()?.expect("an item").unwrap_err();
    /// assert!(bad.to_string().contains("line 1: is not JSON"));
    /// let good = reader.next_item()?.expect("an item")?;
    /// assert_eq!((good.key.as_str(), reader.items_read()), ("a", 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Damaged`] with file, line, item and member; [`Error::Unsuitable`] for a compression that is not
    /// supported; [`Error::File`] when it cannot be read. After an outer error there is no way on.
    pub fn next_item(&mut self) -> Result<Option<Result<Record>>> {
        self.begin()?;
        let Some(frames) = &mut self.frames else { return Ok(None) };
        match frames.next(&mut self.text) {
            Ok(Some(line)) => {
                self.items += 1;
                let record = item::parse(&self.text, line).map_err(|wrong| Error::Damaged {
                    file: self.name.clone(),
                    line: line + wrong.line - 1,
                    item: Some(self.items),
                    key: wrong.key,
                    member: wrong.member,
                    problem: wrong.problem,
                });
                if self.text.capacity() > TEXT_BYTES_KEPT {
                    self.text = Vec::new();
                }
                Ok(Some(record))
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
            Err(FrameError::Io(error)) => Err(input_error(&self.name, frames.line(), self.compression, error)),
        }
    }

    /// Looks at the first bytes, once.
    fn begin(&mut self) -> Result<()> {
        if let Some(input) = self.raw.take() {
            let counted = Counted { input, bytes: Arc::clone(&self.bytes_read) };
            let Decompressed { text, compression } = decompressed(&self.name, counted, self.compression)?;
            self.compression = compression;
            self.frames = Some(Frames::new(text));
        }
        Ok(())
    }
}

/// The memory of an item that was longer is given back.
const TEXT_BYTES_KEPT: usize = 256 * 1024;

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
        let gzipped =
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xabV\xcaN\xadT\xb2RJT\xd2Q*K\xcc)M\x05\xb2\x95j\x01R\xfeUP\
            \x16\x00\x00\x00";
        for content in [&gzipped[..], b"\xef\xbb\xbf{\"key\":\"a\",\"value\":\"\"}"] {
            let mut reader = BulkReader::over("input".to_owned(), Box::new(Slow(content)), Compression::None);
            assert_eq!(reader.next_record().unwrap().map(|record| record.key).as_deref(), Some("a"));
            assert!(reader.next_record().unwrap().is_none());
        }
    }
}
