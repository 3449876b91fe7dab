//! What goes through a list page by page: streams, `count`, `delete_prefix`, `clear`. A walk ends,
//! unless the other side lists ever new keys (LIST-5).

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::{Stream, TryStreamExt, stream};

use crate::cursor::Cursor;
use crate::entry::{Entry, Fields};
use crate::error::{Error, Reason, Result, Retry};
use crate::handle::Handle;
use crate::listing::{self, Asked};
use crate::outcome::DeleteOutcome;
use crate::page::{ListItem, Page};
use crate::request::{DeleteMany, ReadMany};
use crate::seen::Seen;

/// The most keys of a page unless the caller says otherwise.
pub(crate) const KEYS_DEFAULT: usize = 1000;

/// The most entries that a stream of entries reads at once unless the caller says otherwise.
const ENTRIES_DEFAULT: usize = 100;

/// The most pages in a row without a new key (LIST-5). Systems that expire or delete in the background give some of
/// them; one that gives this many is not trusted to ever end.
const BARREN_PAGES_MAX: usize = 1000;

/// What is walked, and how.
#[derive(Debug)]
pub(crate) struct Options {
    /// Without the handle's own.
    pub(crate) prefix: String,
    pub(crate) limit: Option<usize>,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) repeats_allowed: bool,
    /// What an error names as the operation.
    pub(crate) operation: &'static str,
}

/// A walk over all pages, one after the other. It owns its handle, so that a stream can outlive the caller's.
struct Walk {
    handle: Arc<Handle>,
    full_prefix: String,
    limit: usize,
    operation: &'static str,
    at: At,
    repeats: Repeats,
    positions: Positions,
    barren_pages: usize,
}

enum At {
    Start(Option<Cursor>),
    Position(Vec<u8>),
    End,
}

impl Walk {
    fn new(handle: Arc<Handle>, options: Options, limit_default: usize) -> Self {
        let repeats = if listing::is_ordered(&handle) {
            Repeats::InOrder(None)
        } else if options.repeats_allowed {
            Repeats::OnOnePage
        } else {
            Repeats::Remembered(Seen::new())
        };
        Self {
            full_prefix: handle.resolver().prefixed(Cow::Owned(options.prefix)).into_owned(),
            handle,
            limit: options.limit.unwrap_or(limit_default),
            operation: options.operation,
            at: At::Start(options.cursor),
            repeats,
            positions: Positions::default(),
            barren_pages: 0,
        }
    }

    /// The new keys of the next page, as the handle shows them; `None` at the end.
    async fn next_page(&mut self) -> Result<Option<Vec<ListItem>>> {
        self.advance().await.map_err(|error| self.handle.explain_read(error, self.operation))
    }

    async fn advance(&mut self) -> Result<Option<Vec<ListItem>>> {
        let handle = &*self.handle;
        let position = match std::mem::replace(&mut self.at, At::End) {
            At::End => return Ok(None),
            At::Position(position) => Some(position),
            At::Start(None) => None,
            At::Start(Some(cursor)) => {
                let position = listing::cursor_scope(handle, &self.full_prefix).open(&cursor)?;
                self.positions.repeats(&position);
                Some(position)
            }
        };
        let page = handle.resolver().list_full(Cow::Borrowed(&self.full_prefix), self.limit, position)?;
        let _call = handle.enter()?;
        let raw = handle.backend().list(page).await.map_err(Error::without_index)?;
        let asked = Asked { full_prefix: &self.full_prefix, limit: self.limit, after: self.repeats.last() };
        listing::check(handle, asked, &raw.items)?;
        let items = self.repeats.without(raw.items);
        self.barren_pages = if items.is_empty() { self.barren_pages + 1 } else { 0 };
        if let Some(next) = raw.next {
            if self.positions.repeats(&next) {
                return Err(listing::stuck());
            }
            if self.barren_pages >= BARREN_PAGES_MAX {
                return Err(listing::protocol(format!("{BARREN_PAGES_MAX} pages in a row brought no new key")));
            }
            self.at = At::Position(next);
        }
        Ok(Some(listing::shown_items(handle, items)))
    }

    /// Where the walk goes on; `None` at its end.
    fn cursor(&self) -> Option<Cursor> {
        match &self.at {
            At::Start(cursor) => cursor.clone(),
            At::Position(position) => Some(listing::cursor_scope(&self.handle, &self.full_prefix).seal(position)),
            At::End => None,
        }
    }
}

/// How a walk knows a key that it has met before.
enum Repeats {
    /// By its order: the last key is enough, and a repeat has been refused already.
    InOrder(Option<String>),
    /// By all keys.
    Remembered(Seen),
    /// Only among the keys of one page: the caller allows the others.
    OnOnePage,
}

impl Repeats {
    fn last(&self) -> Option<&str> {
        match self {
            Self::InOrder(last) => last.as_deref(),
            Self::Remembered(_) | Self::OnOnePage => None,
        }
    }

    fn without(&mut self, items: Vec<ListItem>) -> Vec<ListItem> {
        match self {
            Self::InOrder(last) => {
                if let Some(item) = items.last() {
                    *last = Some(item.key.clone());
                }
                items
            }
            Self::Remembered(seen) => seen.new_among(items),
            Self::OnOnePage => Seen::new().new_among(items),
        }
    }
}

/// Finds positions that go round in a circle, and remembers only one of them: a mark that moves on after 1, 2, 4, ...
/// pages (Brent's algorithm). A position that comes twice in a row is found at once, a circle at the latest after three
/// rounds.
#[derive(Default)]
struct Positions {
    last: Option<Vec<u8>>,
    mark: Option<Vec<u8>>,
    steps: u64,
    steps_max: u64,
}

impl Positions {
    /// Whether `position` is known to have come before.
    fn repeats(&mut self, position: &[u8]) -> bool {
        if self.last.as_deref() == Some(position) || self.mark.as_deref() == Some(position) {
            return true;
        }
        if self.steps == self.steps_max {
            self.mark = Some(position.to_owned());
            (self.steps, self.steps_max) = (0, (self.steps_max * 2).max(1));
        }
        self.steps += 1;
        self.last = Some(position.to_owned());
        false
    }
}

pub(crate) fn pages(handle: Arc<Handle>, options: Options) -> impl Stream<Item = Result<Page>> + Send + Unpin {
    let walk = Walk::new(handle, options, KEYS_DEFAULT);
    Box::pin(stream::try_unfold(walk, |mut walk| async move {
        let items = walk.next_page().await?;
        Ok(items.map(|items| (Page { items, cursor: walk.cursor() }, walk)))
    }))
}

pub(crate) fn items(handle: Arc<Handle>, options: Options) -> impl Stream<Item = Result<ListItem>> + Send + Unpin {
    pages(handle, options).map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten()
}

pub(crate) fn entries(
    handle: Arc<Handle>,
    options: Options,
) -> impl Stream<Item = Result<(String, Entry)>> + Send + Unpin {
    let walk = Walk::new(handle, options, ENTRIES_DEFAULT);
    let pages = stream::try_unfold(walk, |mut walk| async move {
        let Some(items) = walk.next_page().await? else { return Ok::<_, Error>(None) };
        let entries = read_listed(&walk.handle, items, walk.operation).await?;
        Ok(Some((entries, walk)))
    });
    Box::pin(pages.map_ok(|entries| stream::iter(entries.into_iter().map(Ok))).try_flatten())
}

/// Reads what a list named. The keys are in the store, so the limits of a restricted handle are not asked again.
async fn read_listed(handle: &Handle, items: Vec<ListItem>, operation: &'static str) -> Result<Vec<(String, Entry)>> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let explain = |error| handle.explain(error, operation);
    let _call = handle.enter().map_err(explain)?;
    let full: Vec<_> = items.iter().map(|item| handle.resolver().prefixed(Cow::Borrowed(&*item.key))).collect();
    let reads = ReadMany { keys: full.clone(), fields: Fields::All };
    let entries = handle.backend().read_many(reads).await;
    let entries = entries.map_err(|error| handle.explain_batch(error.not_applied(), operation, &full, |_| None))?;
    if entries.len() != items.len() {
        return Err(explain(Error::wrong_count(items.len(), entries.len())));
    }
    drop(full);
    let found = items.into_iter().zip(entries);
    Ok(found.filter_map(|(item, entry)| Some((item.key, handle.shown_entry(entry?)))).collect())
}

/// As many keys as a stream would give (LIST-7).
pub(crate) async fn count(handle: Arc<Handle>, prefix: Cow<'_, str>) -> Result<u64> {
    let prefix = prefix.into_owned();
    let options = Options { prefix, limit: None, cursor: None, repeats_allowed: false, operation: "count" };
    let mut walk = Walk::new(handle, options, KEYS_DEFAULT);
    let mut keys = 0;
    while let Some(items) = walk.next_page().await? {
        keys += items.len() as u64;
    }
    Ok(keys)
}

pub(crate) async fn delete_prefix(handle: Arc<Handle>, prefix: Cow<'_, str>) -> Result<u64> {
    const OPERATION: &str = "delete_prefix";
    if prefix.is_empty() {
        let error = Error::invalid(Reason::PrefixEmpty, "an empty prefix; to delete everything, call clear");
        return Err(handle.explain(error, OPERATION));
    }
    delete_listed(handle, prefix.into_owned(), OPERATION).await
}

pub(crate) async fn clear(handle: Arc<Handle>) -> Result<u64> {
    delete_listed(handle, String::new(), "clear").await
}

async fn delete_listed(handle: Arc<Handle>, prefix: String, operation: &'static str) -> Result<u64> {
    let options = Options { prefix, limit: None, cursor: None, repeats_allowed: false, operation };
    let mut walk = Walk::new(handle, options, KEYS_DEFAULT);
    let mut deleted = 0;
    let ended = delete_pages(&mut walk, operation, &mut deleted).await;
    // Once an entry is gone, the call was applied in part, whatever is known of the request that failed.
    ended.map_err(|error| if deleted > 0 { error.after_a_change() } else { error })?;
    Ok(deleted)
}

async fn delete_pages(walk: &mut Walk, operation: &'static str, deleted: &mut u64) -> Result<()> {
    while let Some(items) = walk.next_page().await? {
        if items.is_empty() {
            continue;
        }
        let handle = &*walk.handle;
        let _call = handle.enter().map_err(|error| handle.explain(error, operation))?;
        // As in `read_listed`, the keys come from the store.
        let keys: Vec<_> = items.into_iter().map(|item| handle.resolver().prefixed(Cow::Owned(item.key))).collect();
        let outcomes = handle.backend().delete_many(DeleteMany(keys.clone())).await;
        if outcomes.len() != keys.len() {
            return Err(handle
                .explain(Error::wrong_count(keys.len(), outcomes.len()).with_retry(Retry::OutcomeUnknown), operation));
        }
        let mut failed = None;
        for (outcome, key) in outcomes.into_iter().zip(keys) {
            match outcome {
                Ok(DeleteOutcome::Deleted | DeleteOutcome::Accepted) => *deleted += 1,
                Ok(DeleteOutcome::NotFound | DeleteOutcome::NotMet) => {}
                Err(error) => {
                    let named = || handle.explain(error.placed(None, Some(key.into_owned())), operation);
                    failed.get_or_insert_with(named);
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_5_a_circle_of_positions_is_found_wherever_it_begins_and_however_long_it_is() {
        for before in 0..20_u32 {
            for round in 1..40_u32 {
                let mut positions = Positions::default();
                let walked = (0..).find(|step: &u32| {
                    let at = if *step < before { *step } else { before + (*step - before) % round };
                    positions.repeats(&at.to_be_bytes())
                });
                assert!(walked.unwrap() <= 3 * (before + round), "{before} before a circle of {round}: {walked:?}");
            }
        }
        let mut positions = Positions::default();
        assert!((0..10_000_u32).all(|at| !positions.repeats(&at.to_be_bytes())), "none of them came before");
    }
}
