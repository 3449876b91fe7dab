//! Pages of key names.

use kv_api::Timestamp;

use super::glob;
use super::hive::{FIRST_PLACE, Hive};
use super::switches::{Cursors, Pages};

/// The documents give two defaults, 10,000 in the text and 5,000 in the table.
pub(super) const PAGE_SIZE_DEFAULT: usize = 10_000;

/// Added to a place to make a large cursor.
const LARGE: u64 = 1 << 63;

fn offset(cursors: Cursors) -> u64 {
    match cursors {
        Cursors::Small => 0,
        Cursors::Large => LARGE,
    }
}

/// A page: names, and the cursor that the next one starts from, 0 at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) keys: Vec<String>,
    pub(super) cursor: u64,
}

/// What is listed.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) pattern: String,
    pub(super) cursor: u64,
    pub(super) size: usize,
}

impl Listing {
    /// The page from the cursor on. A name that exists during a whole walk is on one page at least, whatever happens to
    /// others meanwhile, since every name has a place of its own that nothing moves.
    pub(super) fn page(&self, hive: &Hive, pages: Pages, cursors: Cursors, now: Timestamp) -> Page {
        let start = self.cursor.saturating_sub(offset(cursors));
        let (keys, next) = match pages {
            Pages::Even => self.even(hive, start, now),
            Pages::Uneven => self.uneven(hive, start, now),
        };
        Page { keys, cursor: next.map_or(0, |place| place + offset(cursors)) }
    }

    /// No names, and another cursor than the one that was given, which misses none of the names that are left.
    pub(super) fn empty_page(&self, cursors: Cursors) -> Page {
        let start = self.cursor.saturating_sub(offset(cursors));
        // Before all names one place is as good as another; further on, a step back may only repeat a name.
        let start = if start < FIRST_PLACE { start + 1 } else { start - 1 };
        Page { keys: Vec::new(), cursor: start + offset(cursors) }
    }

    /// No names, and the cursor that was given.
    pub(super) fn stuck_page(&self, cursors: Cursors) -> Page {
        // As a cursor, 0 would be the end.
        Page { keys: Vec::new(), cursor: self.cursor.max(1 + offset(cursors)) }
    }

    /// The first names, wherever the cursor is, and a cursor further on; `None` where there are no names.
    pub(super) fn first_again(&self, hive: &Hive, cursors: Cursors, now: Timestamp) -> Option<Page> {
        let start = self.cursor.saturating_sub(offset(cursors)).max(1);
        let (keys, _) = self.even(hive, 0, now);
        (!keys.is_empty()).then(|| Page { keys, cursor: start + 1 + offset(cursors) })
    }

    fn even(&self, hive: &Hive, start: u64, now: Timestamp) -> (Vec<String>, Option<u64>) {
        let mut keys = Vec::new();
        let mut last = None;
        for (place, key) in hive.names_from(start, now).filter(|(_, key)| glob::matches(&self.pattern, key)) {
            // A cursor names a place, so the few names that share one are never parted.
            if keys.len() >= self.size && last != Some(place) {
                return (keys, Some(place));
            }
            last = Some(place);
            keys.push(key.to_owned());
        }
        (keys, None)
    }

    /// From a place where no name is: an empty page, and the cursor is the next name's place. From a name's own place:
    /// a page of one name more or fewer than asked for, whether they match or not, and the cursor is just after the
    /// last.
    fn uneven(&self, hive: &Hive, start: u64, now: Timestamp) -> (Vec<String>, Option<u64>) {
        let mut names = hive.names_from(start, now);
        let Some((first_place, first)) = names.next() else { return (Vec::new(), None) };
        if first_place > start {
            return (Vec::new(), Some(first_place));
        }
        let count = if first_place % 2 == 0 { self.size.saturating_add(1) } else { (self.size - 1).max(1) };
        let mut scanned = vec![first];
        let mut last_place = first_place;
        for (place, key) in names {
            if scanned.len() >= count && place != last_place {
                break;
            }
            last_place = place;
            scanned.push(key);
        }
        // Again what the page before ended with, and what this one began with.
        let repeated = hive.name_before(start, now).into_iter();
        let keys = repeated.chain(scanned).chain([first]).filter(|key| glob::matches(&self.pattern, key));
        (keys.map(str::to_owned).collect(), Some(last_place + 1))
    }
}
