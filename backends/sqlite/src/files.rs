//! The files of a store in their directory: which of them lie there, and whether they are still those that were opened.
//!
//! Only names are looked at, never contents: a file that is opened and closed here would take with it the locks that
//! SQLite has on it in this process.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io::{self, ErrorKind as IoErrorKind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use kv_api::{Error, ErrorKind, Reason, Result, Retry};

/// Where the files of a store lie.
#[derive(Debug)]
pub(crate) struct Files {
    /// As the settings name it, made absolute. A symbolic link in it may point elsewhere one day, and is then noticed.
    pub(crate) path: PathBuf,
    log: PathBuf,
    log_index: PathBuf,
    journal: PathBuf,
    /// Which of them was removed or replaced. Once set, the store answers nothing more.
    replaced: OnceLock<&'static str>,
}

/// What lies there at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) file: Option<FileStamp>,
    pub(crate) log: Option<FileStamp>,
    pub(crate) log_index: Option<FileStamp>,
    pub(crate) journal: Option<FileStamp>,
}

/// A file at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp {
    id: FileId,
    pub(crate) bytes: u64,
    modified: Option<SystemTime>,
    /// Seconds and nanoseconds of the last change of any kind, which no program can set.
    changed: (i64, i64),
}

/// Tells a file from every other, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl Files {
    pub(crate) fn new(path: PathBuf) -> Self {
        // SQLite follows symbolic links before it names the log.
        let file = path.canonicalize().unwrap_or_else(|_| path.clone());
        let beside = |suffix| {
            let mut name = OsString::from(&file);
            name.push(suffix);
            PathBuf::from(name)
        };
        let (log, log_index, journal) = (beside("-wal"), beside("-shm"), beside("-journal"));
        Self { path, log, log_index, journal, replaced: OnceLock::new() }
    }

    /// Looks at all of them.
    pub(crate) fn look(&self) -> Result<Found> {
        Ok(Found {
            file: stamp(&self.path)?,
            log: stamp(&self.log)?,
            log_index: stamp(&self.log_index)?,
            journal: stamp(&self.journal)?,
        })
    }

    /// Fails once a file is known to have been removed or replaced.
    pub(crate) fn check_known(&self) -> Result<()> {
        self.replaced.get().map_or(Ok(()), |what| Err(replaced(what)))
    }

    /// Compares the files with those that a connection has open, and takes up in `opened` what it opened since. Costs
    /// three calls of the system.
    ///
    /// # Errors
    /// `Misconfigured` with [`Reason::FileReplaced`] from the first difference on; `Unavailable` where it cannot be
    /// known.
    pub(crate) fn check(&self, opened: &mut Found) -> Result<()> {
        self.check_known()?;
        for (path, opened, what) in [
            (&self.path, &mut opened.file, "the file"),
            // A connection opens them with its first statement. Until it is closed no other process of SQLite removes
            // them.
            (&self.log, &mut opened.log, "the write-ahead log of the file (-wal)"),
            (&self.log_index, &mut opened.log_index, "the shared memory of the file (-shm)"),
        ] {
            let now = stamp(path)?;
            if opened.is_some_and(|opened| now.is_none_or(|now| now.id != opened.id)) {
                let _ = self.replaced.set(what);
                return self.check_known();
            }
            *opened = now;
        }
        Ok(())
    }
}

impl Found {
    /// Whether the log holds anything.
    pub(crate) fn has_log(&self) -> bool {
        self.log.is_some_and(|log| log.bytes > 0)
    }

    /// Whether the journal of a transaction lies there, as tools write one that do not use a write-ahead log.
    pub(crate) fn has_journal(&self) -> bool {
        self.journal.is_some_and(|journal| journal.bytes > 0)
    }

    /// The file alone, for a connection that has no log open.
    pub(crate) fn without_log(&self) -> Self {
        Self { file: self.file, ..Self::default() }
    }

    /// Whether the same files lie there, whatever was written into them since.
    pub(crate) fn has_same_files(&self, before: &Self) -> bool {
        let ids = |found: &Self| {
            [found.file, found.log, found.log_index, found.journal].map(|stamp| stamp.map(|stamp| stamp.id))
        };
        ids(self) == ids(before)
    }

    /// Whether it was another file that lay there before.
    pub(crate) fn is_another_file(&self, before: &Self) -> bool {
        before.file.is_some_and(|before| self.file.is_none_or(|file| file.id != before.id))
    }
}

/// `None` where there is no such file.
fn stamp(path: &Path) -> Result<Option<FileStamp>> {
    match path.metadata() {
        Ok(metadata) => Ok(Some(FileStamp {
            id: FileId::of(&metadata),
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            changed: changed(&metadata),
        })),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(Error::new(ErrorKind::Unavailable, "the directory of the file cannot be looked at")
            .with_retry(Retry::Safe)
            .with_source(error)),
    }
}

/// Whether nothing lies at a path, as opposed to something that cannot be looked at.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), IoErrorKind::NotFound | IoErrorKind::NotADirectory)
}

#[cfg(unix)]
impl FileId {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Elsewhere a file that SQLite has open can be neither removed nor replaced.
#[cfg(not(unix))]
impl FileId {
    const fn of(_: &Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }
}

#[cfg(unix)]
fn changed(metadata: &Metadata) -> (i64, i64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
const fn changed(_: &Metadata) -> (i64, i64) {
    (0, 0)
}

/// How many names the file has, hard links to it.
#[cfg(unix)]
pub(crate) fn names(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata)
}

#[cfg(not(unix))]
pub(crate) const fn names(_: &Metadata) -> u64 {
    1
}

fn replaced(what: &str) -> Error {
    let message = format!(
        "{what} was removed or replaced while the store had it open, so nothing more is read or acknowledged: \
         open the store again"
    );
    Error::new(ErrorKind::Misconfigured, message).with_reason(Reason::FileReplaced)
}
