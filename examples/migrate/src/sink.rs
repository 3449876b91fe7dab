//! Where entries go.

use std::fmt;
use std::path::{Path, PathBuf};

use kv_api::Store;

use crate::bulk::BulkWriter;
use crate::error::{Error, Result};
use crate::identity;
use crate::source::blocking;

/// Where entries go.
pub struct Sink(pub(crate) To);

pub(crate) enum To {
    Store(Store),
    File(PathBuf),
    Writer(BulkWriter),
}

impl Sink {
    /// Into a store: each entry replaces what is there under its key (SET-1), unless
    /// [`Options::on_conflict`](crate::Options::on_conflict) says otherwise.
    #[must_use]
    pub fn store(store: &Store) -> Self {
        Self(To::Store(store.clone()))
    }

    /// Into a file of this name, in the format that it says, see [`BulkWriter::create`]. It is opened when the copy
    /// begins, and a copy with a checkpoint goes on with what an earlier run has written.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self(To::File(path.to_owned()))
    }

    /// Into what a writer writes to.
    #[must_use]
    pub fn bulk(writer: BulkWriter) -> Self {
        Self(To::Writer(writer))
    }

    /// What tells it from other targets, across runs; `None` for what is gone when the run ends, such as a pipe.
    ///
    /// # Errors
    /// [`Error::File`] where no file can be written.
    pub(crate) async fn identity(&self) -> Result<Option<String>> {
        match &self.0 {
            To::Store(store) => Ok(Some(store.scope_fingerprint())),
            To::File(path) => {
                let of = path.clone();
                let identity = blocking(move || identity::of_target_file(&of)).await;
                identity.map_err(|error| Error::file(&path.display().to_string(), "write there", error))
            }
            To::Writer(_) => Ok(None),
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            To::Store(store) => f.debug_tuple("Sink").field(store).finish(),
            To::File(path) => f.debug_tuple("Sink").field(path).finish(),
            To::Writer(writer) => f.debug_tuple("Sink").field(writer).finish(),
        }
    }
}
