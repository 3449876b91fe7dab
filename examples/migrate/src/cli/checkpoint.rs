//! Where the checkpoint of a copy is, where the command does not name it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use kv_api::StoreUrl;
use kv_migrate::{BulkWriter, CheckpointFile};

use super::arguments::CopyOptions;
use super::stop::{self, Opened, Stop};

/// What its name ends in.
const ENDING: &str = ".kv-migrate-checkpoint";

/// The checkpoint that is asked for, or the one that is kept by default; `None` where a copy cannot be resumed.
pub(crate) fn of(stops: &[Stop], opened: &[Opened], arguments: &CopyOptions) -> Result<Option<CheckpointFile>, String> {
    let ([from, to], [_, opened_to]) = (stops, opened) else {
        return if arguments.checkpoint.is_some() || arguments.restart {
            Err("--checkpoint and --restart are for a copy between two stops".to_owned())
        } else {
            Ok(None)
        };
    };
    let named = arguments.checkpoint.clone();
    let keys_again = arguments.selection.keys_from.as_deref().is_none_or(|path| !stop::is_read_only_once(path));
    let by_default =
        || beside(to, opened_to).filter(|path| can_be_read_again(from) && keys_again && can_be_written(path));
    let path = if arguments.no_checkpoint { None } else { named.or_else(by_default) };
    Ok(path.map(|path| CheckpointFile { path, restart: arguments.restart }))
}

/// Whether files can be made in its folder. Where not, a file target says so by its own name, and a store can be
/// written all the same.
fn can_be_written(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(folder).is_ok()
}

fn can_be_read_again(from: &Stop) -> bool {
    match from {
        Stop::Stdio => false,
        Stop::File(path) => !stop::is_read_only_once(path),
        Stop::Store { .. } => !from.is_in_memory(),
    }
}

/// The checkpoint of copies to a target, where it can have one: beside a file, or in this folder for a store elsewhere.
pub(crate) fn beside(to: &Stop, opened: &Opened) -> Option<PathBuf> {
    match (to, opened) {
        (Stop::File(path), _) if !stop::is_read_only_once(path) && !path.is_dir() => {
            let part = BulkWriter::part_path(path);
            let name = part.file_name()?.to_str()?.strip_suffix(".kv-migrate-part")?.to_owned();
            Some(part.with_file_name(name + ENDING))
        }
        (Stop::Store { url, .. }, Opened::Store(store)) => {
            let mut url: StoreUrl = url.parse().ok()?;
            match url.scheme() {
                "memory" => None,
                "sqlite" => {
                    let namespace = url.take_option("namespace");
                    let path = Path::new(url.rest().strip_prefix("//").unwrap_or(url.rest()));
                    // Each namespace is a target of its own.
                    let which = namespace.map_or_else(String::new, |_| format!(".{}", store.scope_fingerprint()));
                    let name = path.file_name()?.to_str()?.to_owned();
                    Some(path.with_file_name(name + &which + ENDING))
                }
                scheme => Some(PathBuf::from(format!("{scheme}-{}{ENDING}", store.scope_fingerprint()))),
            }
        }
        _ => None,
    }
}

/// Removes a checkpoint that no run is using, and says whether there was one.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    let file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => fs::remove_file(path).map(|()| true),
        // A file system without locks: nothing says whether a run uses it.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            fs::remove_file(path).map(|()| true)
        }
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
