//! Bytes that requests hold in memory, within a bound over all of them.

use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::admission::rejected;
use crate::fault::Fault;

/// What a permit stands for: 1 KiB, so that their number fits where the runtime counts them.
const UNIT_BYTES: usize = 1024;
const UNIT_BYTES_F64: f64 = 1024.0;

/// How many bytes may be held.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    shared: Shared,
}

/// What a refusal says.
#[derive(Clone, Copy, Debug)]
struct Shared {
    /// The name of the limit.
    limit: &'static str,
    bytes_max: usize,
    /// Of what does not even fit when nothing else is held.
    too_long: fn(usize) -> Fault,
}

impl Budget {
    pub(crate) fn new(limit: &'static str, bytes_max: usize, too_long: fn(usize) -> Fault) -> Self {
        // Whole permits, so that what fits at all is what the limit says.
        let bytes_max = units(bytes_max).clamp(1, Semaphore::MAX_PERMITS) * UNIT_BYTES;
        let units = bytes_max / UNIT_BYTES;
        Self { units: Arc::new(Semaphore::new(units)), shared: Shared { limit, bytes_max, too_long } }
    }

    /// 429 when nothing is left: for what takes room as soon as its length is known.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if self.units.available_permits() == 0 { Err(rejected(self.shared.limit)) } else { Ok(()) }
    }

    /// The name of its limit, and how many bytes are held.
    pub(crate) fn held(&self) -> (&'static str, f64) {
        let units = self.shared.bytes_max / UNIT_BYTES - self.units.available_permits();
        (self.shared.limit, f64::from(u32::try_from(units).unwrap_or(u32::MAX)) * UNIT_BYTES_F64)
    }

    /// Room for so many bytes: 429 when others hold too much for that.
    pub(crate) fn room(&self, bytes: usize) -> Result<Room, Fault> {
        let permit = take(&self.units, units(bytes)).ok_or_else(|| self.shared.refusal(bytes))?;
        Ok(Room { permit, shared: self.shared })
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES)
}

fn take(units: &Arc<Semaphore>, count: usize) -> Option<OwnedSemaphorePermit> {
    Arc::clone(units).try_acquire_many_owned(u32::try_from(count).ok()?).ok()
}

impl Shared {
    fn refusal(self, bytes: usize) -> Fault {
        if bytes > self.bytes_max { (self.too_long)(self.bytes_max) } else { rejected(self.limit) }
    }
}

/// Room for bytes, which is given back with it.
#[derive(Debug)]
pub(crate) struct Room {
    permit: OwnedSemaphorePermit,
    shared: Shared,
}

impl Room {
    /// Room for so many bytes in all. Where there is none it stays as it is.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Fault> {
        self.try_grow_to(bytes).ok_or_else(|| self.shared.refusal(bytes))
    }

    fn try_grow_to(&mut self, bytes: usize) -> Option<()> {
        let more = units(bytes).saturating_sub(self.permit.num_permits());
        if more > 0 {
            self.permit.merge(take(self.permit.semaphore(), more)?);
        }
        Some(())
    }

    /// Room for so many bytes in all, of those that it had.
    pub(crate) fn shrunk_to(mut self, bytes: usize) -> Self {
        let less = self.permit.num_permits().saturating_sub(units(bytes));
        drop(self.permit.split(less));
        self
    }

    /// Bytes that take this room for as long as any part of them is held.
    pub(crate) fn with(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Held { bytes, _room: self })
    }
}

struct Held<B> {
    bytes: B,
    _room: Room,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Held<B> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// Bytes that become more, and their room.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    room: Room,
    /// How many there will be at most, if that is known.
    bytes_max: usize,
}

impl Buffer {
    pub(crate) const fn new(room: Room, bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), room, bytes_max }
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes more, when there is room for it.
    pub(crate) fn push(&mut self, more: &[u8]) -> Result<(), Fault> {
        let needed = self.bytes.len().saturating_add(more.len());
        let has = self.bytes.capacity();
        if needed > has {
            // In larger and larger steps, as long as there is room for those.
            let ample = has.saturating_add(has / 2).max(UNIT_BYTES).min(self.bytes_max).max(needed);
            let capacity = match self.room.try_grow_to(ample) {
                Some(()) => ample,
                None => self.room.grow_to(needed).map(|()| needed)?,
            };
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    pub(crate) fn into_parts(self) -> (Vec<u8>, Room) {
        (self.bytes, self.room)
    }

    /// They take their room for as long as any part of them is held.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.room.with(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(units: usize) -> Budget {
        Budget::new("test", units * UNIT_BYTES, Fault::body_too_long)
    }

    fn status<T>(result: Result<T, Fault>) -> u16 {
        result.map_or_else(|fault| fault.status.as_u16(), |_| 200)
    }

    #[test]
    fn all_share_the_room() {
        let budget = budget(10);
        let mut first = budget.room(4 * UNIT_BYTES).unwrap();
        first.grow_to(9 * UNIT_BYTES).unwrap();
        assert_eq!(status(budget.room(UNIT_BYTES + 1)), 429);
        assert_eq!(status(budget.check()), 200);
        first.grow_to(10 * UNIT_BYTES).unwrap();
        assert_eq!((status(budget.check()), status(budget.room(1))), (429, 429));
        drop(first);
        assert_eq!(status(budget.room(10 * UNIT_BYTES)), 200);
    }

    #[test]
    fn what_is_not_needed_any_more_is_given_back() {
        let budget = budget(10);
        let room = budget.room(10 * UNIT_BYTES).unwrap().shrunk_to(3 * UNIT_BYTES - 1);
        let room = room.shrunk_to(20 * UNIT_BYTES);
        assert_eq!((status(budget.room(7 * UNIT_BYTES + 1)), status(budget.room(7 * UNIT_BYTES))), (429, 200));
        drop(room);
        assert_eq!(status(budget.room(10 * UNIT_BYTES)), 200);
    }

    #[test]
    fn a_limit_holds_to_its_last_byte() {
        let budget = Budget::new("test", 100_000_000, Fault::body_too_long);
        assert_eq!(status(budget.room(100_000_000)), 200);
    }

    #[test]
    fn what_never_fits_is_not_put_off() {
        let budget = budget(10);
        let mut room = budget.room(UNIT_BYTES).unwrap();
        for bytes in [10 * UNIT_BYTES + 1, usize::MAX] {
            assert_eq!((status(budget.room(bytes)), status(room.grow_to(bytes))), (413, 413), "{bytes}");
        }
        assert_eq!(status(room.grow_to(10 * UNIT_BYTES)), 200);
    }

    #[test]
    fn the_room_is_taken_while_any_part_is_held() {
        let budget = budget(10);
        let bytes = budget.room(10 * UNIT_BYTES).unwrap().with(vec![7; 10 * UNIT_BYTES]);
        let last = bytes.slice(10 * UNIT_BYTES - 1..);
        drop(bytes);
        assert_eq!(status(budget.room(1)), 429);
        assert_eq!(last, [7][..]);
        drop(last);
        assert_eq!(status(budget.room(10 * UNIT_BYTES)), 200);
    }

    #[test]
    fn what_grows_takes_room_for_all_that_it_holds() {
        let budget = budget(10);
        let mut buffer = Buffer::new(budget.room(0).unwrap(), usize::MAX);
        for length in 1..=10 {
            buffer.push(&[7; UNIT_BYTES]).unwrap();
            assert!(buffer.bytes.capacity() <= buffer.room.permit.num_permits() * UNIT_BYTES);
            assert_eq!(buffer.len(), length * UNIT_BYTES);
        }
        assert_eq!(status(buffer.push(&[7])), 413);
        assert_eq!(buffer.into_bytes(), vec![7; 10 * UNIT_BYTES]);
        // What is known to become no longer takes no more.
        let mut buffer = Buffer::new(budget.room(0).unwrap(), 3000);
        for _ in 0..3 {
            buffer.push(&[7; 1000]).unwrap();
        }
        assert_eq!((buffer.bytes.capacity(), buffer.room.permit.num_permits()), (3000, 3));
    }
}
