//! Writing a file in the bulk format.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use kv_api::Escaped;
use tempfile::NamedTempFile;

use super::{ITEM_BYTES_MAX, item};
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
/// entries are in a temporary file beside it, which goes with the writer. It blocks the thread; [`Sink`](crate::Sink)
/// writes on another one.
pub struct BulkWriter {
    name: String,
    format: BulkFormat,
    output: Output,
    direct: bool,
    to_terminal: bool,
    items: u64,
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
        Self { name, format, output, direct, to_terminal: false, items: 0, text: Vec::new() }
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
        self.output.writer().write_all(&self.text).map_err(|error| Error::file(&self.name, "write", error))?;
        self.items += 1;
        Ok(Ok(()))
    }

    /// Whether what has been written stays when the writer goes without having finished: not so with a regular file.
    pub(crate) const fn keeps_part(&self) -> bool {
        self.direct
    }

    /// Hands on what has been buffered, so that the reader of a pipe sees it.
    ///
    /// # Errors
    /// [`Error::File`] when the file takes no more.
    pub fn flush(&mut self) -> Result<()> {
        match &mut self.output {
            Output::Plain(output) => output.flush().map_err(|error| Error::file(&self.name, "write", error)),
            // To flush a compressor at each batch would cost compression.
            Output::Gzip(_) => Ok(()),
        }
    }

    /// Ends the file, waits until the disk has it, and gives it its name.
    ///
    /// # Errors
    /// [`Error::File`] when the file takes no more; then no file of that name has appeared or changed.
    pub fn finish(mut self) -> Result<()> {
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
            .and_then(Destination::finish)
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
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
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
    // The error would name the temporary file, which nobody knows.
    let file = builder.tempfile_in(directory).map_err(|error| io::Error::from(error.kind()))?;
    if let Some(existing) = existing {
        // Whom the old file was hidden from must not read the new one.
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
                file.as_file().sync_all()?;
                // The name is durable only when the directory is. Opened first: where that is refused, nothing has changed
                // yet, as the error says.
                let directory = match file.path().parent() {
                    Some(directory) if cfg!(unix) => Some(File::open(directory)?),
                    _ => None,
                };
                file.persist(path)?;
                directory.map_or(Ok(()), |directory| directory.sync_all())
            }
        }
    }
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
    fn err_2_a_terminal_gets_escapes_that_read_back_as_the_same() {
        let json = "{\"key\":\"a\u{9b}2J\u{7f}\u{202e}\u{e0001}é\u{1f600}\"}\n";
        let shown = escaped(json);
        assert_eq!(shown, "{\"key\":\"a\\u009b2J\\u007f\\u202e\\udb40\\udc01é\u{1f600}\"}\n");
        let parse = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&shown), parse(json));
    }
}
