//! The entries of a file.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, FutureExt, select};
use kv_api::Timer;
use parking_lot::Mutex;

use super::{Chunk, Position, Room, blocking};
use crate::bulk::BulkReader;
use crate::error::Result;
use crate::options::Options;
use crate::summary::Failure;

/// The most items that are read for a chunk.
const ITEMS_MAX: usize = 1000;

/// How long what has been read waits for more, where that may never come.
const PAUSE: Duration = Duration::from_secs(1);

/// The entries of a file.
pub(crate) struct FileWalk {
    /// Away while another thread reads.
    state: Option<Box<State>>,
    reading: Option<Reading>,
    timer: Arc<dyn Timer>,
    identity: Option<String>,
    bytes_read: Arc<AtomicU64>,
    bytes_total: Option<u64>,
}

/// A chunk that another thread reads.
struct Reading {
    done: BoxFuture<'static, Box<State>>,
    chunk: Arc<Mutex<Chunk>>,
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
            reading: None,
            timer: Arc::clone(&options.timer),
        }
    }

    pub(crate) async fn next_chunk(&mut self, room: Room) -> Result<Option<Chunk>> {
        if let Some(state) = self.state.take() {
            self.reading = Some(Reading::begin(state, room));
        }
        let Some(Reading { done, chunk }) = &mut self.reading else { return Ok(None) };
        let mut state = if self.bytes_total.is_some() {
            done.await
        } else {
            // The other end of a pipe may leave it open, and write nothing for long.
            loop {
                match select(&mut *done, self.timer.sleep(PAUSE)).await {
                    Either::Left((state, _)) => break state,
                    Either::Right(_) => {
                        let chunk = chunk.lock().take();
                        if !chunk.is_empty() {
                            return Ok(Some(chunk));
                        }
                    }
                }
            }
        };
        let chunk = chunk.lock().take();
        let end = state.end.as_mut().filter(|_| chunk.is_empty()).map(|end| mem::replace(end, Ok(())));
        (self.state, self.reading) = (Some(state), None);
        end.map_or(Ok(Some(chunk)), |end| end.map(|()| None))
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

impl Reading {
    fn begin(mut state: Box<State>, room: Room) -> Self {
        let position = Position::Items(state.reader.items_read());
        let chunk = Arc::new(Mutex::new(Chunk { records: Vec::new(), unreadable: Vec::new(), missing: 0, position }));
        let filling = Arc::clone(&chunk);
        let done = blocking(move || {
            state.fill(&filling, room);
            state
        });
        Self { done: done.boxed(), chunk }
    }
}

impl Chunk {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.unreadable.is_empty()
    }

    fn take(&mut self) -> Self {
        let (records, unreadable) = (mem::take(&mut self.records), mem::take(&mut self.unreadable));
        Self { records, unreadable, missing: 0, position: self.position.clone() }
    }
}

impl State {
    /// Adds the next items, which may be taken away meanwhile.
    fn fill(&mut self, chunk: &Mutex<Chunk>, room: Room) {
        let (mut items, mut entries, mut bytes) = (0, 0, 0);
        while self.end.is_none() && items < ITEMS_MAX && entries < room.entries && bytes < room.bytes {
            items += 1;
            let item = self.reader.next_item();
            let mut chunk = chunk.lock();
            match item {
                Ok(Some(Ok(record))) => {
                    if self.options.selects(&record.key) {
                        entries += 1;
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
            chunk.position = Position::Items(self.reader.items_read());
        }
    }

    /// Reads some of the items up to this one, and gives their keys: none when it is reached.
    fn pass_over(&mut self, items: u64) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        while self.reader.items_read() < items && keys.len() < ITEMS_MAX {
            match self.reader.next_item()? {
                Some(Ok(record)) if self.options.selects(&record.key) => keys.push(record.key),
                Some(_) => {}
                None => return Err(super::no_such_place()),
            }
        }
        Ok(keys)
    }
}
