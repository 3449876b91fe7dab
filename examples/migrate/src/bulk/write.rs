//! Writing a file in the bulk format.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use kv_api::Escaped;
use serde::{Deserialize, Serialize};

use super::BulkReader;
use super::compress::Compressor;
use super::format::{BulkFormat, Compression};
use super::item::Item;
use super::part::{self, Part};
use crate::error::{Error, Result};
use crate::record::Record;

const BUFFER_BYTES: usize = 128 * 1024;

/// Writes entries to a file. A regular file appears, or is replaced, only with [`finish`](Self::finish): until then the
/// entries are in its [part file](Self::part_path), which goes with the writer, unless a
/// [`checkpoint`](Self::checkpoint) or [`finish_beside`](Self::finish_beside) keeps it. It blocks the thread;
/// [`Sink`](crate::Sink) writes on another one.
pub struct BulkWriter {
    name: String,
    format: BulkFormat,
    compressor: Compressor,
    output: BufWriter<Destination>,
    to_terminal: bool,
    items: u64,
    /// The file did not take a part of what was written, so that the rest is of no use.
    broken: bool,
    text: Vec<u8>,
}

/// Up to where a [part file](BulkWriter::part_path) is lasting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its length in bytes.
    pub bytes: u64,
    /// The items in it.
    pub items: u64,
    /// A checksum (CRC-32) of the last of these bytes, 4 KiB at most: what another run has written there is another
    /// file.
    pub tail: u32,
}

enum Destination {
    Part(Part),
    /// A device or pipe, for which there is nothing to put in its place.
    Direct(File),
    Stdout(io::Stdout),
}

impl BulkWriter {
    /// The most incomplete results that are kept beside one file.
    pub const BESIDE_MAX: u32 = 100;

    /// Writes to a file of this name, in the format that the name says. A part file that an earlier run has left is
    /// discarded.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] when the name says no format; [`Error::File`] when nothing can be written beside the file,
    /// or another writer writes there.
    pub fn create(path: &Path) -> Result<Self> {
        let (format, compression) = BulkFormat::of_target(path)?;
        let name = path.display().to_string();
        let destination = destination(path).map_err(|error| Error::file(&name, "write there", error))?;
        Ok(Self::over(name, format, compression, destination))
    }

    /// Goes on with the part file of a writer to this file, from a mark that a [`checkpoint`](Self::checkpoint) of it
    /// has answered. What was written behind the mark is cut off.
    ///
    /// ```
    /// use kv_migrate::{BulkReader, BulkWriter, Record, RecordExpiry};
    /// # let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("out.jsonl");
    /// let record = |key: &str| Record {
    ///     key: key.to_owned(),
    ///     value: "".into(),
    ///     metadata: None,
    ///     expiry: RecordExpiry::Never,
    ///     line: None,
    /// };
    /// let mut writer = BulkWriter::create(&path)?;
    /// writer.write(&record("a"))??;
    /// let mark = writer.checkpoint()?.expect("a regular file");
    /// writer.write(&record("not lasting"))??;
    /// drop(writer);
    ///
    /// let mut writer = BulkWriter::resume(&path, &mark)?;
    /// writer.write(&record("b"))??;
    /// writer.finish()?;
    /// let mut reader = BulkReader::open(&path)?;
    /// assert_eq!(reader.next_record()?.map(|record| record.key).as_deref(), Some("a"));
    /// assert_eq!(reader.next_record()?.map(|record| record.key).as_deref(), Some("b"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsuitable`] when the name says no format; [`Error::File`] when the part file is gone, is not
    /// the one of the mark, or another writer writes to it. It is left as it is then.
    pub fn resume(path: &Path, mark: &Mark) -> Result<Self> {
        let (format, compression) = BulkFormat::of_target(path)?;
        let name = path.display().to_string();
        let part = resolved(path).and_then(|target| Part::resume(&target, mark));
        let part = part.map_err(|error| Error::file(&name, "be resumed", error))?;
        Ok(Self { items: mark.items, ..Self::over(name, format, compression, Destination::Part(part)) })
    }

    /// Writes to standard output. On a terminal, characters that would steer it are written as the escapes of JSON.
    #[must_use]
    pub fn stdout(format: BulkFormat) -> Self {
        let stdout = io::stdout();
        let to_terminal = stdout.is_terminal();
        let writer = Self::over("standard output".to_owned(), format, Compression::None, Destination::Stdout(stdout));
        Self { to_terminal, ..writer }
    }

    fn over(name: String, format: BulkFormat, compression: Compression, destination: Destination) -> Self {
        let output = BufWriter::with_capacity(BUFFER_BYTES, destination);
        let compressor = Compressor::new(compression);
        Self { name, format, compressor, output, to_terminal: false, items: 0, broken: false, text: Vec::new() }
    }

    /// The part file of a file: `out.jsonl.kv-migrate-part` for `out.jsonl`, in the same folder, through a symbolic
    /// link.
    #[must_use]
    pub fn part_path(path: &Path) -> PathBuf {
        part::path_of(&resolved(path).unwrap_or_else(|_| path.to_owned()))
    }

    /// Removes what interrupted copies to this file have left beside it, and names it: its part file, and temporary
    /// files of earlier versions, which do not tell what file they are of (`.kv-migrate-*.part`). What another writer
    /// writes to stays.
    ///
    /// # Errors
    /// [`Error::File`] when the folder cannot be read, or something in it not be removed.
    pub fn clean(path: &Path) -> Result<Vec<PathBuf>> {
        let removed = resolved(path).and_then(|target| part::clean(&target));
        removed.map_err(|error| Error::file(&path.display().to_string(), "remove what was left beside it", error))
    }

    /// Writes one entry; the inner result is that entry's own.
    ///
    /// # Errors
    /// [`Error::File`] when the file takes no more.
    pub fn write(&mut self, record: &Record) -> Result<kv_api::Result<()>> {
        let item = match Item::fitting(record) {
            Ok(item) => item,
            Err(error) => return Ok(Err(error)),
        };
        match self.write_item(&item) {
            Ok(()) => {
                self.items += 1;
                Ok(Ok(()))
            }
            Err(error) => {
                self.broken = true;
                Err(Error::file(&self.name, "write", error))
            }
        }
    }

    fn write_item(&mut self, item: &Item<'_>) -> io::Result<()> {
        let (before, after): (&[u8], &[u8]) = match (self.format, self.items) {
            (BulkFormat::Lines, _) => (b"", b"\n"),
            (BulkFormat::Array, 0) => (b"[\n", b""),
            (BulkFormat::Array, _) => (b",\n", b""),
        };
        let Self { compressor, output, text, to_terminal, .. } = self;
        // In pieces, so that a large value is not in memory once more.
        let mut pieces =
            Pieces { text, hand_on: |piece: &[u8]| compressor.write(piece, output), to_terminal: *to_terminal };
        pieces.write_all(before)?;
        item.write(&mut pieces)?;
        pieces.write_all(after)?;
        pieces.flush()
    }

    /// Makes all that has been written lasting, and answers up to where: an interrupted copy can be
    /// [resumed](Self::resume) from there. From now on the part file stays when the writer goes. `None` for what is
    /// not a regular file, and has no part file. A compressed file gets another member or frame behind it, so a
    /// checkpoint after each few entries costs compression.
    ///
    /// # Errors
    /// [`Error::File`] when the file takes no more.
    pub fn checkpoint(&mut self) -> Result<Option<Mark>> {
        if self.is_direct() {
            return self.flush().map(|()| None);
        }
        let Self { compressor, output, .. } = self;
        let part = compressor.end(output).and_then(|()| output.flush()).and_then(|()| match output.get_mut() {
            Destination::Part(part) => part.checkpoint().map(Some),
            Destination::Direct(_) | Destination::Stdout(_) => Ok(None),
        });
        let items = self.items;
        match part {
            Ok(part) => Ok(part.map(|(bytes, tail)| Mark { bytes, items, tail })),
            Err(error) => {
                self.broken = true;
                Err(Error::file(&self.name, "write", error))
            }
        }
    }

    /// The file, as the user named it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether what has been written is there at once, and stays when the writer goes without having finished: not so
    /// with a regular file.
    pub(crate) fn is_direct(&self) -> bool {
        !matches!(self.output.get_ref(), Destination::Part(_))
    }

    /// Whether the file did not take a part of what was written.
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether no item has been written, and the file that would be replaced holds one, or something else.
    pub(crate) fn would_empty_the_file(&self) -> bool {
        /// No file without items is longer, unless it is filled with blanks.
        const BYTES_WITHOUT_ITEMS: u64 = 4096;
        let (0, Destination::Part(part)) = (self.items, self.output.get_ref()) else { return false };
        let Ok(about) = fs::metadata(part.target()) else { return false };
        match about.len() {
            0 => false,
            1..=BYTES_WITHOUT_ITEMS => {
                !matches!(BulkReader::open(part.target()).and_then(|mut reader| reader.next_record()), Ok(None))
            }
            _ => true,
        }
    }

    /// Hands on what has been buffered, so that the reader of a pipe sees it.
    ///
    /// # Errors
    /// [`Error::File`] when the file takes no more.
    pub fn flush(&mut self) -> Result<()> {
        // Not what the compressor holds: to flush that at each batch would cost compression.
        self.output.flush().map_err(|error| {
            self.broken = true;
            Error::file(&self.name, "write", error)
        })
    }

    /// Ends the file, waits until the disk has it, and gives it its name.
    ///
    /// # Errors
    /// [`Error::File`] when the file takes no more; then no file of that name has appeared or changed.
    pub fn finish(self) -> Result<()> {
        let name = self.name.clone();
        let finished = match self.ended()? {
            Destination::Part(part) => part.replace_target(),
            Destination::Direct(_) | Destination::Stdout(_) => Ok(()),
        };
        finished.map_err(|error| Error::file(&name, "write", error))
    }

    /// Ends the file, waits until the disk has it, and gives it a free name beside that of the file, which stays as it
    /// is: `out.incomplete.jsonl` for `out.jsonl`, or `out.incomplete-2.jsonl` and so on. Answers that name; `None`
    /// when there is nothing to keep, or nothing that is whole. What is not a regular file is ended like by
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`Error::File`] when the disk takes no more, or [`BESIDE_MAX`](Self::BESIDE_MAX) such names are taken.
    pub fn finish_beside(self) -> Result<Option<PathBuf>> {
        if !self.is_direct() && (self.items == 0 || self.broken) {
            return Ok(None);
        }
        let name = self.name.clone();
        let Destination::Part(part) = self.ended()? else { return Ok(None) };
        let target = part.target().to_owned();
        let names = (1..=Self::BESIDE_MAX).map(|number| beside(&target, number));
        let kept = part.take_free(names).map(Some);
        kept.map_err(|error| Error::file(&name, "keep the incomplete result beside it", error))
    }

    /// With the end of the format, and all that was buffered.
    fn ended(self) -> Result<Destination> {
        let Self { name, format, mut compressor, mut output, items, .. } = self;
        let end: &[u8] = match (format, items) {
            (BulkFormat::Lines, _) => b"",
            (BulkFormat::Array, 0) => b"[]\n",
            (BulkFormat::Array, _) => b"\n]\n",
        };
        let written = if items == 0 { compressor.begin() } else { Ok(()) };
        written
            .and_then(|()| if end.is_empty() { Ok(()) } else { compressor.write(end, &mut output) })
            .and_then(|()| compressor.end(&mut output))
            .and_then(|()| output.flush())
            .and_then(|()| output.into_inner().map_err(io::IntoInnerError::into_error))
            .map_err(|error| Error::file(&name, "write", error))
    }
}

/// Collects what is written, and hands it on when there is enough.
struct Pieces<'a, F> {
    text: &'a mut Vec<u8>,
    hand_on: F,
    to_terminal: bool,
}

impl<F: FnMut(&[u8]) -> io::Result<()>> Write for Pieces<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() >= BUFFER_BYTES && !self.to_terminal {
            self.flush()?;
            (self.hand_on)(bytes)?;
            return Ok(bytes.len());
        }
        self.text.extend_from_slice(bytes);
        if self.text.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let handed_on = if self.to_terminal {
            (self.hand_on)(escaped(&String::from_utf8_lossy(self.text)).as_bytes())
        } else {
            (self.hand_on)(self.text)
        };
        self.text.clear();
        handed_on
    }
}

/// JSON in which nothing moves the cursor or turns the line around (ERR-2), and that reads back as the same: such
/// characters stand in strings alone, where escapes mean the same. Line ends stay.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        let (mut own, mut units) = ([0; 4], [0; 2]);
        let own = character.encode_utf8(&mut own);
        if character == '\n' || Escaped(own).to_string() == *own {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                // Writing to a text does not fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

/// The file that a name stands for, through a symbolic link: the file is replaced, not the link.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    if !path.is_symlink() {
        return Ok(path.to_owned());
    }
    fs::canonicalize(path).map_err(|error| match (error.kind(), fs::read_link(path)) {
        (io::ErrorKind::NotFound, Ok(to)) => {
            io::Error::new(error.kind(), format!("it is a link to {}, which does not exist", to.display()))
        }
        _ => error,
    })
}

/// Where the entries of a file of this name go until it is whole.
fn destination(path: &Path) -> io::Result<Destination> {
    let path = resolved(path)?;
    match fs::metadata(&path) {
        Ok(about) if about.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(about) if !about.is_file() => File::options().write(true).open(&path).map(Destination::Direct),
        _ => Part::create(&path).map(Destination::Part),
    }
}

/// A name with the same ending, so that it reads like the file itself.
fn beside(path: &Path, number: u32) -> PathBuf {
    let name = path.file_name().map_or_else(Default::default, std::ffi::OsStr::to_string_lossy);
    let lower = name.to_ascii_lowercase();
    let stem_end = Compression::split(&lower).1.rfind('.').unwrap_or(name.len());
    let (stem, ending) = name.split_at(stem_end);
    let number = if number == 1 { String::new() } else { format!("-{number}") };
    path.with_file_name(format!("{stem}.incomplete{number}{ending}"))
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Part(part) => part.write(bytes),
            Self::Direct(file) => file.write(bytes),
            Self::Stdout(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Part(part) => part.flush(),
            Self::Direct(file) => file.flush(),
            Self::Stdout(output) => output.flush(),
        }
    }
}

impl fmt::Debug for BulkWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkWriter").field("name", &self.name).field("format", &self.format).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_has_the_same_ending() {
        for (path, number, expected) in [
            ("out.jsonl", 1, "out.incomplete.jsonl"),
            ("a.b/out.json.gz", 2, "a.b/out.incomplete-2.json.gz"),
            ("OUT.JSON.GZ", 1, "OUT.incomplete.JSON.GZ"),
            ("out.ndjson.zst", 1, "out.incomplete.ndjson.zst"),
        ] {
            let beside = beside(Path::new(path), number);
            assert_eq!(beside, Path::new(expected));
            assert_eq!(BulkFormat::of_path(&beside), BulkFormat::of_path(Path::new(path)));
        }
    }

    #[test]
    fn err_2_a_terminal_gets_escapes_that_read_back_as_the_same() {
        let json = "{\"key\":\"a\u{9b}2J\u{7f}\u{202e}\u{e0001}é\u{1f600}\"}\n";
        let shown = escaped(json);
        assert_eq!(shown, "{\"key\":\"a\\u009b2J\\u007f\\u202e\\udb40\\udc01é\u{1f600}\"}\n");
        let parse = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&shown), parse(json));
    }
}
