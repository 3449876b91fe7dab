//! Where entries go, batch by batch.

use std::fmt;
use std::path::PathBuf;

use kv_api::{Capabilities, Store};

use crate::bulk::BulkWriter;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::record::Record;
use crate::source::blocking;

/// Where entries go.
pub struct Sink(To);

enum To {
    Store(Store),
    /// Away while another thread writes.
    Bulk(Option<BulkWriter>),
}

impl Sink {
    /// Into a store: each entry replaces what is there under its key (SET-1).
    #[must_use]
    pub fn store(store: &Store) -> Self {
        Self(To::Store(store.clone()))
    }

    /// Into a file.
    #[must_use]
    pub fn bulk(writer: BulkWriter) -> Self {
        Self(To::Bulk(Some(writer)))
    }

    /// Writes a batch: one result for each entry, in order.
    pub(crate) async fn write(&mut self, records: Vec<Record>) -> Result<Vec<kv_api::Result<()>>> {
        match &mut self.0 {
            To::Store(store) => {
                let results = store.set_many(records.into_iter().map(Record::into_item)).await;
                Ok(results.into_iter().map(|result| result.map(drop)).collect())
            }
            To::Bulk(slot) => {
                let Some(mut writer) = slot.take() else { return Ok(Vec::new()) };
                let (writer, results) = blocking(move || {
                    let results: Result<Vec<_>> = records.iter().map(|record| writer.write(record)).collect();
                    let results = results.and_then(|results| writer.flush().map(|()| results));
                    (writer, results)
                })
                .await;
                *slot = Some(writer);
                results
            }
        }
    }

    /// Whether what is written is there at once, and stays when the copy stops: not so with a regular file.
    pub(crate) fn is_direct(&self) -> bool {
        match &self.0 {
            To::Store(_) => true,
            To::Bulk(Some(writer)) => writer.is_direct(),
            To::Bulk(None) => false,
        }
    }

    /// What a store keeps; `None` for a file, which keeps everything.
    pub(crate) fn capabilities(&self) -> Option<&Capabilities> {
        match &self.0 {
            To::Store(store) => Some(store.capabilities()),
            To::Bulk(_) => None,
        }
    }

    pub(crate) const fn is_store(&self) -> bool {
        matches!(self.0, To::Store(_))
    }

    /// Whether a file did not take a part of what was written.
    pub(crate) const fn is_broken(&self) -> bool {
        matches!(&self.0, To::Bulk(Some(writer)) if writer.is_broken())
    }

    /// Makes it lasting: until then a file is not there under its name.
    ///
    /// # Errors
    /// The target is untouched then, if it is a file.
    pub(crate) async fn finish(self, options: &Options) -> Result<()> {
        let To::Bulk(Some(writer)) = self.0 else { return Ok(()) };
        let allow_empty = options.allow_empty;
        blocking(move || {
            if !allow_empty && writer.would_empty_the_file() {
                return Err(Error::EmptyResult(writer.name().to_owned()));
            }
            writer.finish()
        })
        .await
    }

    /// Keeps what has been written under another name than that of the target file; `None` when there is nothing to
    /// keep.
    pub(crate) async fn finish_beside(self) -> Result<Option<PathBuf>> {
        match self.0 {
            To::Bulk(Some(writer)) => blocking(move || writer.finish_beside()).await,
            To::Store(_) | To::Bulk(None) => Ok(None),
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            To::Store(store) => f.debug_tuple("Sink").field(store).finish(),
            To::Bulk(writer) => f.debug_tuple("Sink").field(writer).finish(),
        }
    }
}
