//! What tells files apart, across runs of the program.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::folder;

/// Of a file that is read: it is another one when it has changed. `None` for what is not a regular file.
pub(crate) fn of_source_file(path: &Path, about: &Metadata) -> Option<String> {
    if !about.is_file() {
        return None;
    }
    let path = fs::canonicalize(path).ok()?;
    let changed = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    Some(format!("{} of {} bytes, changed at {changed}", path.display(), about.len()))
}

/// Of a file that is written, by its place. `None` for what is not a regular file.
///
/// # Errors
/// Why there can be no file of this name.
pub(crate) fn of_target_file(path: &Path) -> io::Result<Option<String>> {
    if let Ok(path) = fs::canonicalize(path) {
        let about = fs::metadata(&path)?;
        if about.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        return Ok(about.is_file().then(|| path.display().to_string()));
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    Ok(Some(fs::canonicalize(folder::of(path))?.join(name).display().to_string()))
}
