//! How far a copy has come, on the disk: whatever ends the copy, the same one goes on from there.

pub(crate) mod journal;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bulk::Mark;
use crate::error::{Error, Result};
use crate::options::CheckpointFile;
use crate::progress::Resumed;
use crate::source::{Position, blocking};
use crate::summary::{Counts, Failure};

use journal::Journal;

/// Which copy a checkpoint is of: source, target, and each option that decides what is copied, by name.
pub(crate) type Identity = BTreeMap<String, String>;

/// A place that a copy has come to: all before it is in the target, and stays there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The last batch before it, from 1.
    pub(crate) batch: u64,
    pub(crate) position: Position,
    pub(crate) counts: Counts,
    /// Of a target file: how much of its part file is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<Mark>,
    /// How long the file of rejects is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rejects_bytes: Option<u64>,
}

/// The checkpoint of a copy that is under way.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
    journal: Journal,
    /// Where an earlier run ended.
    earlier: Option<Earlier>,
}

/// What an earlier run has left.
#[derive(Clone, Debug)]
pub(crate) struct Earlier {
    pub(crate) place: Place,
    pub(crate) resumed: Resumed,
    /// Examples of what was not copied.
    pub(crate) failures: Vec<Failure>,
    /// When the first run began, in microseconds since 1970: what a ttl counts from at the earliest.
    pub(crate) started: i64,
}

impl Checkpoint {
    /// Opens the checkpoint of this copy, or begins one. It blocks the thread.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] when it is of another copy, or another run uses it; [`Error::File`] when it cannot be read
    /// or written.
    pub(crate) fn open(file: &CheckpointFile, identity: &Identity, started: i64) -> Result<Self> {
        let (journal, earlier) = Journal::open(&file.path, file.restart, identity, started)?;
        Ok(Self { path: file.path.clone(), journal, earlier })
    }

    /// Where an earlier run ended, the first time that it is asked.
    pub(crate) fn take_earlier(&mut self) -> Option<Earlier> {
        self.earlier.take()
    }

    /// Says that a batch is about to be written: from now on the target may have its entries.
    pub(crate) fn begins(&mut self, batch: u64, entries: u64) -> Result<()> {
        self.journal.begins(batch, entries).map_err(|error| self.failed(error))
    }

    /// Says that an entry was not copied, and why, for the summary of a later run. It counts with the place that is
    /// reached next.
    pub(crate) fn failed_with(&mut self, failure: &Failure) -> Result<()> {
        self.journal.failed_with(failure).map_err(|error| self.failed(error))
    }

    /// Says that all up to this place is in the target.
    pub(crate) fn reached(&mut self, place: &Place) -> Result<()> {
        self.journal.reached(place).map_err(|error| self.failed(error))
    }

    /// Waits until the disk has what was said.
    pub(crate) async fn sync(&mut self) -> Result<()> {
        let synced = match self.journal.handle() {
            Ok(file) => blocking(move || file.sync_data()).await,
            Err(error) => Err(error),
        };
        synced.map_err(|error| self.failed(error))
    }

    /// Ends the run. The same copy goes on from here; what was said is on the disk then.
    pub(crate) async fn keep(mut self) -> Result<PathBuf> {
        self.sync().await?;
        Ok(self.path)
    }

    /// Nothing is left to go on with.
    pub(crate) async fn remove(self) -> Result<()> {
        let path = self.path.clone();
        match blocking(move || std::fs::remove_file(path)).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::file(&self.path.display().to_string(), "write the checkpoint", error)
    }
}
