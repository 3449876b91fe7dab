//! The folder that a file is in.

use std::fs::File;
use std::io;
use std::path::Path;

/// The folder of a file of this name: that of the process for a bare name.
pub(crate) fn of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The folder of a file, to wait until the disk has its names. Not every system opens a folder.
pub(crate) fn open(path: &Path) -> io::Result<Option<File>> {
    if cfg!(unix) { File::open(of(path)).map(Some) } else { Ok(None) }
}
