//! The connection for gets that come alone: lent to one caller at a time, whose own task runs the get.

use std::mem;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use kv_api::{Result, Timer};
use tokio::sync::Notify;

use crate::reader::Reader;

/// How long closing waits for a get that its caller has begun and does not go on with.
pub(crate) const GET_MAX: Duration = Duration::from_secs(5);

/// Nobody but [`close`](Self::close) waits for it, since a caller may stop polling half way.
#[derive(Debug)]
pub(crate) struct DirectReader {
    slot: Mutex<Slot>,
    /// Somebody who closes may look at the slot again.
    changed: Notify,
}

#[derive(Debug)]
enum Slot {
    Idle(Box<Reader>),
    Lent,
    Closed,
}

/// The reader, which goes back when this is dropped.
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    lender: &'a DirectReader,
    reader: Option<Box<Reader>>,
}

impl DirectReader {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { slot: Mutex::new(Slot::Idle(Box::new(reader))), changed: Notify::new() }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reader, if nobody has it.
    pub(crate) fn lend(&self) -> Option<Lent<'_>> {
        let mut slot = self.slot();
        match mem::replace(&mut *slot, Slot::Lent) {
            Slot::Idle(reader) => Some(Lent { lender: self, reader: Some(reader) }),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// Closes the connection. A get under way ends first, for as long as a caller may take that does not poll it; the
    /// connection of one that takes longer goes with the store.
    pub(crate) async fn close(&self, timer: &dyn Timer) -> Result<()> {
        match select(pin!(self.taken()), timer.sleep(GET_MAX)).await {
            Either::Left((Some(reader), _)) => reader.close().await,
            Either::Left((None, _)) | Either::Right(_) => Ok(()),
        }
    }

    /// The reader as soon as it is there; `None` where another call has closed it.
    async fn taken(&self) -> Option<Box<Reader>> {
        loop {
            {
                let mut slot = self.slot();
                match mem::replace(&mut *slot, Slot::Closed) {
                    Slot::Lent => *slot = Slot::Lent,
                    found => {
                        self.changed.notify_one();
                        return if let Slot::Idle(reader) = found { Some(reader) } else { None };
                    }
                }
            }
            self.changed.notified().await;
        }
    }
}

impl Lent<'_> {
    /// Always there.
    pub(crate) fn reader(&mut self) -> Option<&mut Reader> {
        self.reader.as_deref_mut()
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            *self.lender.slot() = Slot::Idle(reader);
            self.lender.changed.notify_one();
        }
    }
}
