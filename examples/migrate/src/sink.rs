//! Where entries go, batch by batch.

use std::fmt;

use kv_api::Store;

use crate::bulk::BulkWriter;
use crate::error::Result;
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

    /// Makes it lasting: until then a file is not there under its name.
    pub(crate) async fn finish(self) -> Result<()> {
        match self.0 {
            To::Store(_) | To::Bulk(None) => Ok(()),
            To::Bulk(Some(writer)) => blocking(move || writer.finish()).await,
        }
    }

    /// Whether what was written before an error stays.
    pub(crate) const fn keeps_part(&self) -> bool {
        match &self.0 {
            To::Store(_) => true,
            To::Bulk(Some(writer)) => writer.keeps_part(),
            To::Bulk(None) => false,
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
