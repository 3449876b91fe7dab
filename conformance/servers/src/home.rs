//! The folder of this process, and the watcher that ends its servers when it is gone.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use tempfile::TempDir;

use crate::error::While;
use crate::{Error, Result};

/// One a process, made at first use. A value that lives as long as the process is never dropped, so the watcher removes
/// the folder.
#[derive(Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    watcher: Mutex<ChildStdin>,
}

/// The home of this process.
pub(crate) fn home() -> Result<&'static Home> {
    static HOME: OnceLock<std::result::Result<Home, String>> = OnceLock::new();
    HOME.get_or_init(|| Home::make().map_err(|error| error.to_string()))
        .as_ref()
        .map_err(|text| Error::failed(text.as_str()))
}

impl Home {
    fn make() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kv-servers-").tempdir().when("no temporary folder")?;
        // PostgreSQL refuses to run as root; the user that it runs as then has to find its own folder in here.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
        // In a group of its own, so that an interrupt from the terminal does not end it before its time.
        let mut watcher = Command::new("/bin/sh")
            .args(["-c", include_str!("watcher.sh"), "kv-servers-watcher"])
            .arg(folder.path())
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .when("no watcher for the servers")?;
        let stdin = watcher.stdin.take().ok_or_else(|| Error::failed("the watcher has no input"))?;
        // Without symbolic links, as the system names the folder that a process works in.
        Ok(Self { folder: folder.keep().canonicalize()?, watcher: Mutex::new(stdin) })
    }

    /// A new folder, which is removed when it is dropped.
    pub(crate) fn folder(&self, prefix: &str) -> Result<TempDir> {
        tempfile::Builder::new()
            .prefix(prefix)
            .permissions(Permissions::from_mode(0o711))
            .tempdir_in(&self.folder)
            .when("no folder for a server")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// From now on the watcher ends this process with this signal.
    pub(crate) fn watch(&self, pid: u32, signal: &str) -> Result<()> {
        self.say(&format!("+ {pid} {signal}\n")).when("the watcher is gone")
    }

    /// The process has ended, and its id may be given to another.
    pub(crate) fn unwatch(&self, pid: u32) {
        // Where the watcher is gone there is nothing to take back.
        let _ = self.say(&format!("- {pid}\n"));
    }

    fn say(&self, line: &str) -> std::io::Result<()> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
    }
}
