//! Whether standard input and output are there: a copy to a closed one would be lost in silence.

use std::io;

use kv_migrate::{Error, Result};

/// # Errors
/// When what is written to standard output would be lost.
pub(super) fn check_output() -> Result<()> {
    is_output_there().map_err(|source| of("standard output", "write", source))
}

/// # Errors
/// When standard input was closed, which is not an empty input.
pub(super) fn check_input() -> Result<()> {
    is_there(&io::stdin()).and_then(open).map_err(|source| of("standard input", "read", source))
}

/// The same as [`check_output`], of a text for a person.
pub(super) fn is_output_there() -> io::Result<()> {
    is_there(&io::stdout()).and_then(open)
}

fn open(is_there: bool) -> io::Result<()> {
    if is_there { Ok(()) } else { Err(io::Error::other("it is closed, or leads nowhere")) }
}

fn of(file: &str, action: &'static str, source: io::Error) -> Error {
    Error::File { file: file.to_owned(), action, source }
}

/// Before the program begins, the standard library opens /dev/null for a standard stream that is closed, to read and
/// write. A shell opens it for one of the two, so that `> /dev/null` is not mistaken for that.
#[cfg(unix)]
fn is_there(stream: &impl std::os::fd::AsFd) -> io::Result<bool> {
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{OFlags, fcntl_getfl};

    if fcntl_getfl(stream)? & OFlags::ACCMODE != OFlags::RDWR {
        return Ok(true);
    }
    let about = File::from(stream.as_fd().try_clone_to_owned()?).metadata()?;
    // A regular file has the number of no device.
    Ok(about.is_file() || fs::metadata("/dev/null").map_or(true, |null| null.rdev() != about.rdev()))
}

#[cfg(not(unix))]
fn is_there<S>(_stream: &S) -> io::Result<bool> {
    Ok(true)
}
