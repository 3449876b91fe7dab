//! Writing a file in the bulk format.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use kv_api::Escaped;
use tempfile::NamedTempFile;

use super::{BulkReader, ITEM_BYTES_MAX, item};
use crate::error::{Error, Result};
use crate::record::Record;

const BUFFER_BYTES: usize = 128 * 1024;

/// How the items stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkFormat {
    /// One item a line: `.jsonl` and `.ndjson`.
    Lines,
    /// A JSON array with one item a line: `.json`, as Cloudflare's bulk upload takes it.
    Array,
}

impl BulkFormat {
    /// What the name of a file says: its format, and whether it is gzipped. `None` when it says nothing.
    ///
    /// ```
    /// use kv_migrate::BulkFormat;
    /// use std::path::Path;
    /// assert_eq!(BulkFormat::of_path(Path::new("out.jsonl.gz")), Some((BulkFormat::Lines, true)));
    /// assert_eq!(BulkFormat::of_path(Path::new("out.txt")), None);
    /// ```
    #[must_use]
    pub fn of_path(path: &Path) -> Option<(Self, bool)> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (name, gzip) = name.strip_suffix(".gz").map_or((name.as_str(), false), |name| (name, true));
        let (_, extension) = name.rsplit_once('.')?;
        match extension {
            "json" => Some((Self::Array, gzip)),
            "jsonl" | "ndjson" => Some((Self::Lines, gzip)),
            _ => None,
        }
    }
}

/// Writes entries to a file. A regular file appears, or is replaced, only with [`finish`](Self::finish): until then the
/// entries are in a temporary file beside it, which goes with the writer, unless
/// [`finish_beside`](Self::finish_beside) keeps it. It blocks the thread; [`Sink`](crate::Sink) writes on another one.
pub struct BulkWriter {
    name: String,
    format: BulkFormat,
    output: Output,
    direct: bool,
    to_terminal: bool,
    items: u64,
    /// The file did not take a part of what was written, so that the rest is of no use.
    broken: bool,
    text: Vec<u8>,
}

enum Output {
    Plain(BufWriter<Destination>),
    Gzip(Box<GzEncoder<BufWriter<Destination>>>),
}

enum Destination {
    Temporary {
        file: NamedTempFile,
        path: PathBuf,
    },
    /// A device or pipe, for which there is nothing to put in its place.
    Direct(File),
    Stdout(io::Stdout),
}

impl BulkWriter {
    /// The most incomplete results that are kept beside one file.
    pub const BESIDE_MAX: u32 = 100;

    /// Writes to a file of this name, in the format that the name says.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] when the name says no format; [`Error::File`] when nothing can be written beside the file.
    pub fn create(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let (format, gzip) = BulkFormat::of_path(path).ok_or_else(|| {
            let known = "end it in .json, .jsonl or .ndjson, and .gz after that for gzip";
            Error::Unsuitable(format!("{name}: the name does not say in which format to write: {known}"))
        })?;
        let destination = destination(path).map_err(|error| Error::file(&name, "write there", error))?;
        Ok(Self::over(name, format, gzip, destination))
    }

    /// Writes to standard output. On a terminal, characters that would steer it are written as the escapes of JSON.
    #[must_use]
    pub fn stdout(format: BulkFormat) -> Self {
        let stdout = io::stdout();
        let to_terminal = stdout.is_terminal();
        let writer = Self::over("standard output".to_owned(), format, false, Destination::Stdout(stdout));
        Self { to_terminal, ..writer }
    }

    fn over(name: String, format: BulkFormat, gzip: bool, destination: Destination) -> Self {
        let direct = !matches!(destination, Destination::Temporary { .. });
        let output = BufWriter::with_capacity(BUFFER_BYTES, destination);
        let output = if gzip {
            Output::Gzip(Box::new(GzEncoder::new(output, Compression::default())))
        } else {
            Output::Plain(output)
        };
        Self { name, format, output, direct, to_terminal: false, items: 0, broken: false, text: Vec::new() }
    }

    /// Writes one entry; the inner result is that entry's own.
    ///
    /// # Errors
    /// [`Error::File`] when the file takes no more.
    pub fn write(&mut self, record: &Record) -> Result<kv_api::Result<()>> {
        self.text.clear();
        self.text.extend_from_slice(match (self.format, self.items) {
            (BulkFormat::Lines, _) => b"",
            (BulkFormat::Array, 0) => b"[\n",
            (BulkFormat::Array, _) => b",\n",
        });
        if let Err(error) = item::write(record, &mut self.text) {
            return Ok(Err(error));
        }
        if self.text.len() > ITEM_BYTES_MAX {
            let error = kv_api::Error::limit("item_bytes_max", ITEM_BYTES_MAX as u64, self.text.len() as u64);
            return Ok(Err(error.with_key(&record.key)));
        }
        if self.format == BulkFormat::Lines {
            self.text.push(b'\n');
        }
        if self.to_terminal {
            self.text = escaped(&String::from_utf8_lossy(&self.text)).into_bytes();
        }
        if let Err(error) = self.output.writer().write_all(&self.text) {
            self.broken = true;
            return Err(Error::file(&self.name, "write", error));
        }
        self.items += 1;
        Ok(Ok(()))
    }

    /// The file, as the user named it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether what has been written is there at once, and stays when the writer goes without having finished: not so
    /// with a regular file.
    pub(crate) const fn is_direct(&self) -> bool {
        self.direct
    }

    /// Whether the file did not take a part of what was written.
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether no item has been written, and the file that would be replaced holds one, or something else.
    pub(crate) fn would_empty_the_file(&self) -> bool {
        /// No file without items is longer, unless it is filled with blanks.
        const BYTES_WITHOUT_ITEMS: u64 = 4096;
        let (0, Some(path)) = (self.items, self.output.path()) else { return false };
        let Ok(about) = fs::metadata(path) else { return false };
        match about.len() {
            0 => false,
            1..=BYTES_WITHOUT_ITEMS => {
                !matches!(BulkReader::open(path).and_then(|mut reader| reader.next_record()), Ok(None))
            }
            _ => true,
        }
    }

    /// Hands on what has been buffered, so that the reader of a pipe sees it.
    ///
    /// # Errors
    /// [`Error::File`] when the file takes no more.
    pub fn flush(&mut self) -> Result<()> {
        match &mut self.output {
            Output::Plain(output) => output.flush().map_err(|error| {
                self.broken = true;
                Error::file(&self.name, "write", error)
            }),
            // To flush a compressor at each batch would cost compression.
            Output::Gzip(_) => Ok(()),
        }
    }

    /// Ends the file, waits until the disk has it, and gives it its name.
    ///
    /// # Errors
    /// [`Error::File`] when the file takes no more; then no file of that name has appeared or changed.
    pub fn finish(self) -> Result<()> {
        let name = self.name.clone();
        let destination = self.ended()?;
        destination.finish().map_err(|error| Error::file(&name, "write", error))
    }

    /// Ends the file, waits until the disk has it, and gives it a free name beside that of the file, which stays as it
    /// is: `out.incomplete.jsonl` for `out.jsonl`, or `out.incomplete-2.jsonl` and so on. Answers that name; `None`
    /// when there is nothing to keep, or nothing that is whole. What is not a regular file is ended like by
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`Error::File`] when the disk takes no more, or [`BESIDE_MAX`](Self::BESIDE_MAX) such names are taken.
    pub fn finish_beside(self) -> Result<Option<PathBuf>> {
        if !self.direct && (self.items == 0 || self.broken) {
            return Ok(None);
        }
        let name = self.name.clone();
        let destination = self.ended()?;
        destination.finish_beside().map_err(|error| Error::file(&name, "keep the incomplete result beside it", error))
    }

    /// With the end of the format, and all that was buffered.
    fn ended(mut self) -> Result<Destination> {
        let end: &[u8] = match (self.format, self.items) {
            (BulkFormat::Lines, _) => b"",
            (BulkFormat::Array, 0) => b"[]\n",
            (BulkFormat::Array, _) => b"\n]\n",
        };
        let Self { name, output, .. } = &mut self;
        output.writer().write_all(end).map_err(|error| Error::file(name, "write", error))?;
        let buffered = match self.output {
            Output::Plain(output) => Ok(output),
            Output::Gzip(output) => output.finish(),
        };
        buffered
            .and_then(|output| output.into_inner().map_err(io::IntoInnerError::into_error))
            .map_err(|error| Error::file(&self.name, "write", error))
    }
}

impl Output {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(output) => output,
            Self::Gzip(output) => output,
        }
    }

    /// The regular file that is to be replaced.
    fn path(&self) -> Option<&Path> {
        let destination = match self {
            Self::Plain(output) => output.get_ref(),
            Self::Gzip(output) => output.get_ref().get_ref(),
        };
        match destination {
            Destination::Temporary { path, .. } => Some(path),
            Destination::Direct(_) | Destination::Stdout(_) => None,
        }
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

/// Where the entries of a file of this name go until it is whole.
fn destination(path: &Path) -> io::Result<Destination> {
    // Through a symbolic link: the file is replaced, not the link.
    let path = if path.is_symlink() { fs::canonicalize(path).ok() } else { None }.unwrap_or_else(|| path.to_owned());
    let existing = fs::metadata(&path).ok();
    match &existing {
        Some(existing) if existing.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Some(existing) if !existing.is_file() => {
            return File::options().write(true).open(&path).map(Destination::Direct);
        }
        _ => {}
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".kv-migrate-").suffix(".part");
    #[cfg(unix)]
    {
        // What any new file gets: all may read and write, less what the umask takes away.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    // The error would name the temporary file, which the user does not know.
    let file = builder.tempfile_in(directory).map_err(|error| io::Error::from(error.kind()))?;
    if let Some(existing) = existing {
        // A user who could not read the old file must not read the new one.
        file.as_file().set_permissions(existing.permissions())?;
    }
    Ok(Destination::Temporary { file, path })
}

impl Destination {
    fn finish(self) -> io::Result<()> {
        match self {
            Self::Stdout(mut output) => output.flush(),
            Self::Direct(mut file) => file.flush(),
            Self::Temporary { file, path } => {
                let directory = synced(&file)?;
                file.persist(path)?;
                directory.map_or(Ok(()), |directory| directory.sync_all())
            }
        }
    }

    fn finish_beside(self) -> io::Result<Option<PathBuf>> {
        let Self::Temporary { mut file, path } = self else { return self.finish().map(|()| None) };
        let directory = synced(&file)?;
        for number in 1..=BulkWriter::BESIDE_MAX {
            let beside = beside(&path, number);
            match file.persist_noclobber(&beside) {
                Ok(_) => {
                    directory.map_or(Ok(()), |directory| directory.sync_all())?;
                    return Ok(Some(beside));
                }
                Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => file = refused.file,
                Err(refused) => return Err(refused.error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Waits until the disk has the file, and opens its directory: its name is durable only when that is. Opened before the
/// name is given: where that is refused, nothing has changed yet, as the error says.
fn synced(file: &NamedTempFile) -> io::Result<Option<File>> {
    file.as_file().sync_all()?;
    match file.path().parent() {
        Some(directory) if cfg!(unix) => File::open(directory).map(Some),
        _ => Ok(None),
    }
}

/// A name with the same ending, so that it reads like the file itself.
fn beside(path: &Path, number: u32) -> PathBuf {
    let name = path.file_name().map_or_else(Default::default, std::ffi::OsStr::to_string_lossy);
    let lower = name.to_ascii_lowercase();
    let stem_end = lower.strip_suffix(".gz").unwrap_or(&lower).rfind('.').unwrap_or(name.len());
    let (stem, ending) = name.split_at(stem_end);
    let number = if number == 1 { String::new() } else { format!("-{number}") };
    path.with_file_name(format!("{stem}.incomplete{number}{ending}"))
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Temporary { file, .. } => file.write(bytes),
            Self::Direct(file) => file.write(bytes),
            Self::Stdout(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Temporary { file, .. } => file.flush(),
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
