//! The optional bounds of a store on entries and bytes.

use kv_api::{Error, ErrorKind, Reason, Result};
use parking_lot::Mutex;

/// How much one or several entries take: their number, and the bytes of key, value and metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Size {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { entries: self.entries + other.entries, bytes: self.bytes + other.bytes }
    }

    fn minus(self, other: Self) -> Self {
        // What is given back was taken before, so this never goes below zero.
        Self { entries: self.entries.saturating_sub(other.entries), bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

/// Counts what is in the store against its bounds; a store without bounds counts nothing. Its lock is taken last, after
/// those of shards and index.
pub(crate) struct Capacity(Option<Bounds>);

struct Bounds {
    max: Size,
    used: Mutex<Size>,
}

impl Capacity {
    pub(crate) fn new(entries_max: Option<u64>, bytes_max: Option<u64>) -> Self {
        Self((entries_max.is_some() || bytes_max.is_some()).then(|| Bounds {
            max: Size { entries: entries_max.unwrap_or(u64::MAX), bytes: bytes_max.unwrap_or(u64::MAX) },
            used: Mutex::default(),
        }))
    }

    /// Takes room for `new` in place of `old`, or none at all. Called under the lock of every shard concerned, so that
    /// the count is never behind the tables and a bound never passed.
    ///
    /// # Errors
    /// `Exhausted` with [`Reason::StoreFull`] when it does not fit. What takes no more room than before always fits.
    #[inline]
    pub(crate) fn replace(&self, old: Size, new: Size) -> Result<()> {
        match &self.0 {
            None => Ok(()),
            Some(bounds) => bounds.replace(old, new),
        }
    }

    /// Gives back the room of removed entries.
    pub(crate) fn release(&self, size: Size) {
        if let Some(Bounds { used, .. }) = &self.0 {
            let mut used = used.lock();
            *used = used.minus(size);
        }
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> Option<Size> {
        self.0.as_ref().map(|bounds| *bounds.used.lock())
    }
}

impl Bounds {
    fn replace(&self, old: Size, new: Size) -> Result<()> {
        let Self { max, used } = self;
        let mut used = used.lock();
        let next = used.minus(old).plus(new);
        let full = |bound, allowed, wanted| {
            let message = format!("the store is full: {bound} is {allowed}, and this would make it {wanted}");
            Err(Error::new(ErrorKind::Exhausted, message).with_reason(Reason::StoreFull))
        };
        if next.entries > max.entries {
            return full("entries_max", max.entries, next.entries);
        }
        if next.bytes > max.bytes {
            return full("bytes_max", max.bytes, next.bytes);
        }
        *used = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_all_or_nothing() {
        let capacity = Capacity::new(Some(2), Some(10));
        let size = |entries, bytes| Size { entries, bytes };
        capacity.replace(Size::default(), size(1, 10)).unwrap();
        let error = capacity.replace(Size::default(), size(1, 1)).unwrap_err();
        assert_eq!((error.kind(), error.reason()), (ErrorKind::Exhausted, Some(&Reason::StoreFull)));
        assert_eq!(capacity.used(), Some(size(1, 10)));
        capacity.replace(size(1, 10), size(2, 10)).unwrap();
        assert!(capacity.replace(size(1, 5), size(2, 1)).is_err());
        capacity.release(size(1, 4));
        assert_eq!(capacity.used(), Some(size(1, 6)));
    }

    #[test]
    fn a_store_without_bounds_counts_nothing() {
        let capacity = Capacity::new(None, None);
        capacity.replace(Size::default(), Size { entries: u64::MAX, bytes: u64::MAX }).unwrap();
        assert_eq!(capacity.used(), None);
    }
}
