//! Part files: where a regular file is written until it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::Crc;
use tempfile::TempPath;

use super::write::Mark;
use crate::folder;

/// What the name of a part file ends in, behind the name of the file.
const ENDING: &str = ".kv-migrate-part";

/// A file that takes the place of another one when it is whole. Its name is fixed, so that a later run finds it, and a
/// lock says that a run still writes to it: one without a lock was left behind.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    target: PathBuf,
    /// It stays when this goes, to be resumed.
    stays: bool,
}

impl Part {
    /// A new part file for `target`, in place of one that was left behind.
    pub(super) fn create(target: &Path) -> io::Result<Self> {
        let replaces_one = permissions(target)?.is_some();
        let path = path_of(target);
        for _ in 0..ATTEMPTS_MAX {
            if let Some(left) = locked(&path)? {
                fs::remove_file(&path)?;
                drop(left);
            }
            let file = match new_file(&path, replaces_one) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue, // by another run, just now
                Err(error) => return Err(error),
            };
            lock(&file)?;
            if !is_at(&file, &path)? {
                continue; // another run took it for left behind before it was locked
            }
            return Ok(Self { file, path, target: target.to_owned(), stays: false });
        }
        Err(in_use())
    }

    /// The part file that an earlier run has left behind, from `mark` on.
    pub(super) fn resume(target: &Path, mark: &Mark) -> io::Result<Self> {
        let path = path_of(target);
        let mut file = locked(&path)?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("{} is gone; --restart begins anew", path.display()))
        })?;
        if file.metadata()?.len() < mark.bytes {
            let problem = format!("{} is shorter than it was; --restart begins anew", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        if tail(&mut file, mark.bytes)? != mark.tail {
            let problem = format!("{} is by another run; --restart begins anew", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        file.set_len(mark.bytes)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, path, target: target.to_owned(), stays: true })
    }

    /// Waits until the disk has what was written, and keeps it from here on. Answers how long the file is, and the
    /// checksum of its tail.
    pub(super) fn checkpoint(&mut self) -> io::Result<(u64, u32)> {
        self.file.sync_data()?;
        if !self.stays {
            // Its name, too.
            if let Some(folder) = folder::open(&self.path)? {
                folder.sync_all()?;
            }
            self.stays = true;
        }
        let bytes = self.file.stream_position()?;
        let tail = tail(&mut self.file, bytes)?;
        Ok((bytes, tail))
    }

    /// The file whose place it takes.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Gives it the name of its target.
    pub(super) fn replace_target(mut self) -> io::Result<()> {
        let folder = self.synced()?;
        fs::rename(&self.path, &self.target)?;
        self.stays = true;
        folder.map_or(Ok(()), |folder| folder.sync_all())
    }

    /// Gives it the first of `names` that is free.
    pub(super) fn take_free(mut self, names: impl Iterator<Item = PathBuf>) -> io::Result<PathBuf> {
        let folder = self.synced()?;
        let mut path = TempPath::try_from_path(&self.path)?;
        // This part decides whether the file stays.
        path.disable_cleanup(true);
        for name in names {
            match path.persist_noclobber(&name) {
                Ok(()) => {
                    self.stays = true;
                    folder.map_or(Ok(()), |folder| folder.sync_all())?;
                    return Ok(name);
                }
                Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => path = refused.path,
                Err(refused) => return Err(refused.error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Waits until the disk has the file, with the permissions of its target, and opens its folder: its name is durable
    /// only when that is. Opened before the name is given: where that is refused, nothing has changed yet, as the error
    /// says.
    fn synced(&self) -> io::Result<Option<File>> {
        if let Some(permissions) = permissions(&self.target)? {
            // A user who could not read the old file must not read the new one.
            self.file.set_permissions(permissions)?;
        }
        self.file.sync_all()?;
        folder::open(&self.path)
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.stays {
            // Still locked, so that it is this one. Where it cannot be removed, the next run does.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The checksum of what is before this place, which is where the file goes on then.
fn tail(file: &mut File, end: u64) -> io::Result<u32> {
    const BYTES_MAX: u64 = 4096;
    let start = end.saturating_sub(BYTES_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(end - start).read_to_end(&mut bytes)?;
    let mut crc = Crc::new();
    crc.update(&bytes);
    Ok(crc.sum())
}

/// How often a part file is made anew because another run has removed it.
const ATTEMPTS_MAX: u32 = 8;

/// The name of the part file of a file.
pub(super) fn path_of(target: &Path) -> PathBuf {
    let mut name = target.file_name().map(OsStr::to_owned).unwrap_or_default();
    name.push(ENDING);
    target.with_file_name(name)
}

/// Removes what interrupted runs have left beside a file, and names it: its part file, and the temporary files of
/// earlier versions, which do not tell what file they are of.
pub(super) fn clean(target: &Path) -> io::Result<Vec<PathBuf>> {
    let own = path_of(target);
    let own_name: OsString = own.file_name().map(OsStr::to_owned).unwrap_or_default();
    let mut removed = Vec::new();
    for entry in fs::read_dir(folder::of(target))? {
        let entry = entry?;
        let name = entry.file_name();
        let is_temporary =
            name.to_str().is_some_and(|name| name.starts_with(".kv-migrate-") && name.ends_with(".part"));
        if !(name == own_name || is_temporary) || !entry.file_type()?.is_file() {
            continue;
        }
        let path = target.with_file_name(name);
        match locked(&path) {
            Ok(Some(left)) => {
                fs::remove_file(&path)?;
                drop(left);
                removed.push(path);
            }
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(error) => return Err(error),
        }
    }
    removed.sort_unstable();
    Ok(removed)
}

/// Opens and locks a file that was left behind; `None` when there is none. What is no regular file, or another name of
/// one, was not made here.
fn locked(path: &Path) -> io::Result<Option<File>> {
    match fs::symlink_metadata(path) {
        Ok(about) if is_ours(&about) => {}
        Ok(_) => return Err(foreign(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    lock(&file)?;
    // Not where a link was put there meanwhile.
    if is_at(&file, path)? { Ok(Some(file)) } else { Err(in_use()) }
}

fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(in_use()),
        // A file system without locks: nothing says whether another run writes.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "another copy is writing to it")
}

fn foreign(path: &Path) -> io::Error {
    let name = path.file_name().unwrap_or_default().display();
    let problem = format!("{name} beside it is no file that kv-migrate has made; remove it");
    io::Error::new(io::ErrorKind::AlreadyExists, problem)
}

/// Those of the file of this name, if there is one.
fn permissions(target: &Path) -> io::Result<Option<Permissions>> {
    match fs::metadata(target) {
        Ok(existing) => Ok(Some(existing.permissions())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn new_file(path: &Path, replaces_one: bool) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    if replaces_one {
        // Its user's alone, until it is whole and gets the permissions of the file that it replaces. Those may forbid
        // to write, and so to resume.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = replaces_one;
    options.open(path)
}

/// A regular file that has no other name.
#[cfg(unix)]
fn is_ours(about: &Metadata) -> bool {
    about.is_file() && std::os::unix::fs::MetadataExt::nlink(about) == 1
}

#[cfg(not(unix))]
fn is_ours(about: &Metadata) -> bool {
    about.is_file()
}

/// Whether an open file is the one of this name, and the name no link.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok(is_ours(&named) && (open.dev(), open.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where the system does not remove a file that is open.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}
