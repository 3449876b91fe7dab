//! What is written down about batches: the account, the checkpoint, the file of rejects.

use std::path::PathBuf;
use std::time::Duration;

use crate::bulk::{Mark, Rejects};
use crate::checkpoint::{Checkpoint, Place};
use crate::error::Result;
use crate::source::blocking;
use crate::summary::{Counts, Summary};

use super::batch::Batch;
use super::ledger::{Ledger, Written};

/// What is written down about batches.
#[derive(Debug)]
pub(super) struct Books {
    ledger: Ledger,
    checkpoint: Option<Checkpoint>,
    /// Away while another thread writes.
    rejects: Option<Rejects>,
    /// How long their file is.
    rejects_bytes: Option<u64>,
    /// When the checkpoint was last made lasting, by the timer.
    synced_at: Duration,
}

impl Books {
    /// How much of a checkpoint a loss of power may take.
    const SYNC_AFTER: Duration = Duration::from_secs(1);

    pub(super) fn new(ledger: Ledger, checkpoint: Option<Checkpoint>, rejects: Option<Rejects>) -> Self {
        let rejects_bytes = ledger.place().rejects_bytes.or(rejects.as_ref().map(|_| 0));
        Self { ledger, checkpoint, rejects, rejects_bytes, synced_at: Duration::ZERO }
    }

    pub(super) const fn place(&self) -> &Place {
        self.ledger.place()
    }

    /// What became of the entries dealt with.
    pub(super) fn counts(&self) -> Counts {
        self.ledger.counts()
    }

    /// How many batches have ended before an earlier one did.
    pub(super) fn batches_ahead(&self) -> usize {
        self.ledger.batches_ahead()
    }

    /// About what is held of them in memory.
    pub(super) fn bytes(&self) -> usize {
        self.ledger.bytes()
    }

    pub(super) const fn has_checkpoint(&self) -> bool {
        self.checkpoint.is_some()
    }

    /// A batch is about to be written.
    pub(super) fn begins(&mut self, batch: &Batch) -> Result<()> {
        match &mut self.checkpoint {
            Some(checkpoint) => checkpoint.begins(batch.number, batch.read()),
            None => Ok(()),
        }
    }

    /// A batch has ended, and perhaps the copy with it. Answers whether the place has moved.
    pub(super) fn ended(&mut self, written: Written, is_last: bool) -> bool {
        self.ledger.ended(written, is_last)
    }

    /// All before the place is in the target, and stays there; of a file, so much of it is whole.
    pub(super) async fn reached(&mut self, mark: Option<Mark>, now: Duration) -> Result<()> {
        self.write_rejects().await?;
        let examples = self.ledger.take_examples();
        let Some(checkpoint) = &mut self.checkpoint else { return Ok(()) };
        for failure in &examples {
            checkpoint.failed_with(failure)?;
        }
        checkpoint.reached(&Place { mark, rejects_bytes: self.rejects_bytes, ..self.ledger.place().clone() })?;
        if now.saturating_sub(self.synced_at) >= Self::SYNC_AFTER {
            self.synced_at = now;
            checkpoint.sync().await?;
        }
        Ok(())
    }

    /// Hands on what has come for the file of rejects, so that it is not kept in memory.
    pub(super) async fn write_rejects(&mut self) -> Result<()> {
        let new = self.ledger.take_rejects();
        if new.is_empty() {
            return Ok(());
        }
        let Some(mut rejects) = self.rejects.take() else { return Ok(()) };
        let (rejects, bytes) = blocking(move || {
            let written = new.iter().try_for_each(|(record, reason)| rejects.write(record, reason));
            let bytes = written.and_then(|()| rejects.flush());
            (rejects, bytes)
        })
        .await;
        self.rejects = Some(rejects);
        self.rejects_bytes = Some(bytes?);
        Ok(())
    }

    /// Enters batches that will be written again when the copy is resumed.
    pub(super) fn enter_the_rest(&mut self) {
        self.ledger.enter_the_rest();
    }

    pub(super) fn take_summary(&mut self) -> Summary {
        self.ledger.take_summary()
    }

    /// Nothing more is written. The checkpoint stays where it can be gone on from; then its path is answered.
    pub(super) async fn close(mut self, goes_on: bool) -> Result<Option<PathBuf>> {
        self.write_rejects().await?;
        match self.checkpoint {
            Some(checkpoint) if goes_on => checkpoint.keep().await.map(Some),
            Some(checkpoint) => checkpoint.remove().await.map(|()| None),
            None => Ok(None),
        }
    }
}
