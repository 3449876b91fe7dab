//! Batches into a file.

use std::path::PathBuf;
use std::time::Duration;

use crate::bulk::{BulkWriter, Mark};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::source::blocking;

use super::batch::Batch;
use super::ledger::Written;

/// A file that entries are written to.
pub(super) struct FileTarget {
    /// Away while another thread writes.
    writer: Option<BulkWriter>,
    /// What is written is there at once, and stays when the copy stops: not so with a regular file.
    is_direct: bool,
    /// A mark has been made, in this run or an earlier one.
    has_mark: bool,
    /// It has a part of a batch that is written again when the copy is resumed: there is no mark behind that.
    is_beyond: bool,
    /// When it was last made lasting, by the timer.
    marked_at: Duration,
    /// Bytes of entries since then.
    bytes: usize,
}

impl FileTarget {
    /// How long what has been written is at stake.
    const MARK_AFTER: Duration = Duration::from_secs(1);
    const MARK_AFTER_BYTES: usize = 64 * 1024 * 1024;

    /// Opens a file, and goes on from a mark that an earlier run has left there.
    pub(super) async fn open(path: PathBuf, mark: Option<Mark>, now: Duration) -> Result<Self> {
        let writer = blocking(move || match mark {
            Some(mark) => BulkWriter::resume(&path, &mark),
            None => BulkWriter::create(&path),
        });
        Ok(Self { has_mark: mark.is_some(), ..Self::new(writer.await?, now) })
    }

    pub(super) fn new(writer: BulkWriter, now: Duration) -> Self {
        Self {
            is_direct: writer.is_direct(),
            writer: Some(writer),
            has_mark: false,
            is_beyond: false,
            marked_at: now,
            bytes: 0,
        }
    }

    pub(super) const fn has_mark(&self) -> bool {
        self.has_mark
    }

    pub(super) const fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// What writes a batch; `None` while another batch is written.
    pub(super) const fn take_writer(&mut self) -> Option<BulkWriter> {
        self.writer.take()
    }

    /// Takes back what has written a batch of so many bytes, and whether the place of the copy has moved behind it.
    pub(super) fn put_back(&mut self, writer: BulkWriter, bytes: usize, has_moved: bool) {
        self.writer = Some(writer);
        self.is_beyond |= !has_moved;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether enough has been written for a mark.
    pub(super) fn is_mark_due(&self, now: Duration) -> bool {
        self.bytes >= Self::MARK_AFTER_BYTES || now.saturating_sub(self.marked_at) >= Self::MARK_AFTER
    }

    /// Makes lasting what has been written; `None` where it could not be gone on from there.
    pub(super) async fn mark(&mut self, now: Duration) -> Result<Option<Mark>> {
        if self.is_beyond || self.is_broken() {
            return Ok(None);
        }
        let Some(mut writer) = self.writer.take() else { return Ok(None) };
        let (writer, mark) = blocking(move || {
            let mark = writer.checkpoint();
            (writer, mark)
        })
        .await;
        (self.writer, self.marked_at, self.bytes) = (Some(writer), now, 0);
        self.has_mark |= matches!(mark, Ok(Some(_)));
        mark
    }

    /// Whether the file did not take a part of what was written.
    pub(super) fn is_broken(&self) -> bool {
        self.writer.as_ref().is_none_or(BulkWriter::is_broken)
    }

    /// Ends the file, and puts it in its place.
    ///
    /// # Errors
    /// The target is untouched then, if it is a regular file.
    pub(super) async fn finish(self, options: &Options) -> Result<()> {
        let Some(writer) = self.writer else { return Ok(()) };
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
    pub(super) async fn finish_beside(self) -> Result<Option<PathBuf>> {
        match self.writer {
            Some(writer) => blocking(move || writer.finish_beside()).await,
            None => Ok(None),
        }
    }
}

/// Writes a batch.
pub(super) async fn to_file(mut writer: BulkWriter, batch: Batch, options: &Options) -> (Written, BulkWriter) {
    let Batch { number, entries, mut account, position, bytes, .. } = batch;
    let (writer, entries, results) = blocking(move || {
        let results: Result<Vec<_>> = entries.iter().map(|entry| writer.write(&entry.record)).collect();
        let results = results.and_then(|results| writer.flush().map(|()| results));
        (writer, entries, results)
    })
    .await;
    let count = entries.len();
    let stop = match results {
        Ok(results) => {
            for (entry, result) in entries.iter().zip(results) {
                match result {
                    Ok(()) => account.is_written(entry, None),
                    Err(error) => account.is_not_written(entry, error, options),
                }
            }
            None
        }
        // Which of them are in the file is not known; none is counted.
        Err(error) => Some(error),
    };
    (
        Written {
            number,
            account,
            position,
            bytes,
            entries: count,
            stop,
            is_cut_off: false,
            went_well: true,
            took: Duration::ZERO,
        },
        writer,
    )
}
