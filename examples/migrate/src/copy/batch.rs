//! Batches: as many entries as the target takes at once, within the bounds of memory.

use kv_api::Capabilities;

use crate::options::Options;
use crate::record::Record;
use crate::source::{Chunk, Position};

use super::account::Account;

/// Entries that are written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// From 1.
    pub(super) number: u64,
    pub(super) entries: Vec<Moving>,
    /// Of those that were read with them and cannot be written; the others are added when they are written.
    pub(super) account: Account,
    /// Where the source goes on behind them.
    pub(super) position: Position,
    /// About what they take in memory.
    pub(super) bytes: usize,
    /// How many chunks had none of them: what was passed over is written down too.
    pub(super) idle_chunks: usize,
}

/// An entry on its way, with the key that it has in the target.
#[derive(Debug)]
pub(super) struct Moving {
    pub(super) record: Record,
    /// The key that it has in the source, where that is another one.
    source_key: Option<String>,
}

impl Batch {
    /// Adds what was read; `target` is what a store keeps.
    pub(super) fn add(&mut self, chunk: Chunk, options: &Options, target: Option<&Capabilities>) {
        self.position = chunk.position.clone();
        let (entries, held) = (self.entries.len(), self.account.bytes());
        for record in self.account.take_unwritable(chunk, options, target) {
            match Moving::new(record, options) {
                Ok(moving) => {
                    self.bytes += moving.bytes();
                    self.entries.push(moving);
                }
                Err(refused) => {
                    let (record, error) = *refused;
                    self.account.is_not_written(&Moving { record, source_key: None }, error, options);
                }
            }
        }
        self.bytes += self.account.bytes() - held;
        self.idle_chunks += usize::from(self.entries.len() == entries);
    }

    /// How many entries were read for it.
    pub(super) fn read(&self) -> u64 {
        self.entries.len() as u64 + self.account.counts.read
    }

    /// Whether nothing was read for it.
    pub(super) fn is_empty(&self) -> bool {
        self.position == Position::Start
    }
}

impl Moving {
    fn new(mut record: Record, options: &Options) -> Result<Self, Box<(Record, kv_api::Error)>> {
        if options.rewrite.is_identity() {
            return Ok(Self { record, source_key: None });
        }
        match options.rewrite.target_key(record.key.as_str()) {
            Ok(key) => {
                let source_key = Some(std::mem::replace(&mut record.key, key));
                Ok(Self { record, source_key })
            }
            Err(error) => Err(Box::new((record, error))),
        }
    }

    /// About what it takes in memory.
    fn bytes(&self) -> usize {
        self.record.bytes() + self.source_key.as_ref().map_or(0, String::len)
    }

    /// The key by which messages name it.
    pub(super) fn source_key(&self) -> &str {
        self.source_key.as_deref().unwrap_or(&self.record.key)
    }
}
