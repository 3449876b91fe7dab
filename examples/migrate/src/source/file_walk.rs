//! The entries of a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Chunk, Position, Room, blocking};
use crate::bulk::BulkReader;
use crate::error::Result;
use crate::options::Options;
use crate::summary::Failure;

/// The most entries of a chunk.
const ENTRIES_MAX: usize = 1000;

/// The entries of a file.
pub(crate) struct FileWalk {
    /// Away while another thread reads.
    state: Option<Box<State>>,
    identity: Option<String>,
    bytes_read: Arc<AtomicU64>,
    bytes_total: Option<u64>,
}

struct State {
    reader: BulkReader,
    options: Options,
    /// What ended the reading, reported after the entries that came before it.
    end: Option<Result<()>>,
}

impl FileWalk {
    pub(crate) fn new(reader: BulkReader, options: &Options) -> Self {
        Self {
            identity: reader.identity(),
            bytes_read: reader.bytes_read(),
            bytes_total: reader.bytes_total(),
            state: Some(Box::new(State { reader, options: options.clone(), end: None })),
        }
    }

    pub(crate) async fn next_chunk(&mut self, room: Room) -> Result<Option<Chunk>> {
        let Some(mut state) = self.state.take() else { return Ok(None) };
        let (state, chunk) = blocking(move || {
            let chunk = state.next_chunk(room);
            (state, chunk)
        })
        .await;
        self.state = Some(state);
        chunk
    }

    pub(crate) async fn pass_over(&mut self, items: u64, mut passed: impl FnMut(&str) + Send) -> Result<()> {
        while let Some(mut state) = self.state.take() {
            let (state, keys) = blocking(move || {
                let keys = state.pass_over(items);
                (state, keys)
            })
            .await;
            self.state = Some(state);
            let keys = keys?;
            if keys.is_empty() {
                break;
            }
            keys.iter().for_each(|key| passed(key));
        }
        Ok(())
    }

    pub(crate) fn identity(&self) -> Option<String> {
        self.identity.clone()
    }

    pub(crate) fn bytes(&self) -> Option<(u64, u64)> {
        Some((self.bytes_read.load(Ordering::Relaxed), self.bytes_total?))
    }
}

impl State {
    fn next_chunk(&mut self, room: Room) -> Result<Option<Chunk>> {
        let mut chunk = Chunk { records: Vec::new(), unreadable: Vec::new(), missing: 0, position: Position::Start };
        let mut bytes = 0;
        let mut entries = 0;
        while self.end.is_none() && entries < ENTRIES_MAX.min(room.entries) && bytes < room.bytes {
            entries += 1;
            match self.reader.next_item() {
                Ok(Some(Ok(record))) => {
                    if self.options.selects(&record.key) {
                        bytes += record.bytes();
                        chunk.records.push(record);
                    }
                }
                Ok(Some(Err(error))) if self.options.skip_bad_lines => {
                    chunk.unreadable.push(Failure::of_item(error));
                }
                Ok(Some(Err(error))) | Err(error) => self.end = Some(Err(error)),
                Ok(None) => self.end = Some(Ok(())),
            }
        }
        chunk.position = Position::Items(self.reader.items_read());
        let is_empty = chunk.records.is_empty() && chunk.unreadable.is_empty();
        match &mut self.end {
            Some(end) if is_empty => std::mem::replace(end, Ok(())).map(|()| None),
            _ => Ok(Some(chunk)),
        }
    }

    /// Reads some of the items up to this one, and gives their keys: none when it is reached.
    fn pass_over(&mut self, items: u64) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        while self.reader.items_read() < items && keys.len() < ENTRIES_MAX {
            match self.reader.next_item()? {
                Some(Ok(record)) if self.options.selects(&record.key) => keys.push(record.key),
                Some(_) => {}
                None => return Err(super::no_such_place()),
            }
        }
        Ok(keys)
    }
}
