//! A file of what was not copied, and why.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use super::item::Item;
use crate::error::{Error, Result};
use crate::record::Record;

/// Writes entries that were not copied, one a line in the bulk format with one member more: `reason`, a text for a
/// person, which is passed over when the file is copied in turn. It is a file like any other from its first byte on,
/// without a part file.
///
/// An expiry of zero or less is written as `"expiration_ttl":0`, and so is read back as what it was. One that is not
/// known is not written, since the format has no words for it: the entry is read back as one that never expires. It is
/// to the reason to say so.
pub struct Rejects {
    name: String,
    output: BufWriter<File>,
    /// A pipe or device makes nothing lasting.
    is_regular: bool,
    /// How long the file is.
    bytes: u64,
}

impl Rejects {
    /// A new file, in place of what is there.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let opened = File::create(path).and_then(|file| Ok((file.metadata()?.is_file(), file)));
        let (is_regular, file) = opened.map_err(|error| Error::file(&name, "write there", error))?;
        Ok(Self { name, output: BufWriter::new(file), is_regular, bytes: 0 })
    }

    /// Goes on with the file of an earlier run, from a length that [`flush`](Self::flush) has answered. What was
    /// written behind it is cut off.
    ///
    /// # Errors
    /// [`Error::File`] when it is gone, is shorter than that, or cannot be written.
    pub fn resume(path: &Path, bytes: u64) -> Result<Self> {
        if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
            return Self::create(path); // a pipe or a device, which keeps nothing
        }
        let name = path.display().to_string();
        let file = opened_at(path, bytes).map_err(|error| Error::file(&name, "be resumed", error))?;
        Ok(Self { name, output: BufWriter::new(file), is_regular: true, bytes })
    }

    /// Writes one entry and why it was not copied.
    ///
    /// # Errors
    /// [`Error::File`] when the file takes no more; [`Error::Store`] when what the store handed out is not what it
    /// should be, so that it could not be read back.
    pub fn write(&mut self, record: &Record, reason: &str) -> Result<()> {
        let item = Item::of(record)?.with_reason(reason);
        let mut counted = Counted { output: &mut self.output, bytes: &mut self.bytes };
        let written = item.write(&mut counted).and_then(|()| counted.write_all(b"\n"));
        written.map_err(|error| Error::file(&self.name, "write", error))
    }

    /// Makes all that has been written lasting, and answers how long the file is.
    ///
    /// # Errors
    /// [`Error::File`] when the file takes no more.
    pub fn flush(&mut self) -> Result<u64> {
        let synced = |output: &BufWriter<File>| if self.is_regular { output.get_ref().sync_data() } else { Ok(()) };
        let flushed = self.output.flush().and_then(|()| synced(&self.output));
        flushed.map(|()| self.bytes).map_err(|error| Error::file(&self.name, "write", error))
    }
}

struct Counted<'a> {
    output: &'a mut BufWriter<File>,
    bytes: &'a mut u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        *self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

fn opened_at(path: &Path, bytes: u64) -> io::Result<File> {
    let mut file = File::options().read(true).write(true).open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "it is gone; --restart begins anew"),
        _ => error,
    })?;
    if file.metadata()?.len() < bytes {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is shorter than it was; --restart begins anew"));
    }
    file.set_len(bytes)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

impl fmt::Debug for Rejects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejects").field("name", &self.name).finish_non_exhaustive()
    }
}
