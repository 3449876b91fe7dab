//! What goes through a list page by page: streams, `delete_prefix`, `clear`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::batch::wrong_count;
use crate::calls::List;
use crate::capabilities::ListOrder;
use crate::cursor::CursorScope;
use crate::entry::{Entry, EntryExpiry, Fields};
use crate::error::{Error, ErrorKind, Reason, Result, Retry};
use crate::outcome::DeleteOutcome;
use crate::page::{ListItem, ListedMetadata, Page, RawPage};
use crate::request::{DeleteMany, ReadMany};
use crate::store::Store;

pub(crate) fn cursor_scope<'a>(store: &'a Store, full_prefix: &'a str) -> CursorScope<'a> {
    CursorScope { system: store.capabilities().system, scope: store.backend().scope(), prefix: full_prefix }
}

/// A page as the handle shows it: without the handle's prefix, without what a restricted handle may not tell, and with a
/// framed cursor.
pub(crate) fn shown_page(store: &Store, full_prefix: &str, raw: RawPage) -> Result<Page> {
    let capabilities = store.capabilities();
    let handle_prefix = store.prefix();
    let mut items = raw.items;
    for item in &mut items {
        if !item.key.starts_with(full_prefix) {
            return Err(Error::new(ErrorKind::Internal, "the adapter listed a key outside the prefix"));
        }
        if !handle_prefix.is_empty() {
            item.key.drain(..handle_prefix.len());
        }
        if !capabilities.list_metadata {
            item.metadata = ListedMetadata::NotReported;
        }
        if !capabilities.list_expiry {
            item.expiry = EntryExpiry::Unknown;
        }
    }
    // The key that is the handle's prefix and nothing more has no name here (NS-2).
    items.retain(|item| !item.key.is_empty());
    let cursor = raw.next.map(|position| cursor_scope(store, full_prefix).seal(&position));
    Ok(Page { items, cursor })
}

/// The pages of a list, one after the other.
fn pages<'a>(list: List<'a>, limit: usize) -> impl Stream<Item = Result<Vec<ListItem>>> + Send + 'a {
    let List { store, prefix, cursor, operation, .. } = list;
    stream::try_unfold(Some((prefix, cursor)), move |at| async move {
        let Some((prefix, cursor)) = at else { return Ok(None) };
        let mut page = List::new(store, operation).prefix(prefix.clone()).limit(limit);
        if let Some(cursor) = cursor {
            page = page.cursor(cursor);
        }
        let page = page.await?;
        Ok(Some((page.items, page.cursor.map(|cursor| (prefix, Some(cursor))))))
    })
}

pub(crate) fn items<'a>(list: List<'a>) -> impl Stream<Item = Result<ListItem>> + Send + Unpin + 'a {
    let mut seen = Seen::for_list(&list);
    let limit = list.limit.unwrap_or(List::LIMIT_DEFAULT);
    Box::pin(
        pages(list, limit)
            .map_ok(|items| stream::iter(items.into_iter().map(Ok)))
            .try_flatten()
            .try_filter(move |item: &ListItem| std::future::ready(seen.is_new(&item.key))),
    )
}

pub(crate) fn entries<'a>(list: List<'a>) -> impl Stream<Item = Result<(String, Entry)>> + Send + Unpin + 'a {
    const LIMIT_DEFAULT: usize = 100;
    let store = list.store;
    let mut seen = Seen::for_list(&list);
    let limit = list.limit.unwrap_or(LIMIT_DEFAULT);
    Box::pin(
        pages(list, limit)
            .and_then(move |items| {
                let keys = items.into_iter().map(|item| item.key).filter(|key| seen.is_new(key)).collect();
                read_listed(store, keys)
            })
            .map_ok(|entries| stream::iter(entries.into_iter().map(Ok)))
            .try_flatten(),
    )
}

/// Reads what a list named. The keys are in the store, so the limits of a restricted handle are not asked again.
fn read_listed(store: &Store, keys: Vec<String>) -> BoxFuture<'_, Result<Vec<(String, Entry)>>> {
    Box::pin(async move {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let _call = store.enter().map_err(|error| store.explain(error, "list"))?;
        let full = keys.iter().map(|key| store.resolver().prefixed(Cow::Owned(key.clone()))).collect();
        let asked = keys.len();
        let entries = store
            .backend()
            .read_many(ReadMany { keys: full, fields: Fields::All })
            .await
            .map_err(|error| store.explain(error, "list"))?;
        if entries.len() != asked {
            return Err(store.explain(wrong_count(asked, entries.len(), Retry::Never), "list"));
        }
        let found = keys.into_iter().zip(entries);
        Ok(found.filter_map(|(key, entry)| Some((key, store.shown_entry(entry?)))).collect())
    })
}

/// The keys a stream has given, so that none comes twice from an unordered store (LIST-2): 16 bytes each, keyed with a
/// random key so that nobody can choose keys that collide.
struct Seen {
    hashes: HashSet<u128>,
    key: Option<(u64, u64)>,
}

impl Seen {
    fn for_list(list: &List<'_>) -> Self {
        let remembers = list.store.capabilities().list_order == ListOrder::Unordered
            && list.store.backend().capabilities().list_order == ListOrder::Unordered
            && !list.repeats_allowed;
        let random = || RandomState::new().hash_one(0);
        Self { hashes: HashSet::new(), key: remembers.then(|| (random(), random())) }
    }

    fn is_new(&mut self, key: &str) -> bool {
        let Some((key0, key1)) = self.key else { return true };
        let mut hasher = SipHasher13::new_with_keys(key0, key1);
        hasher.write(key.as_bytes());
        self.hashes.insert(hasher.finish128().as_u128())
    }
}

pub(crate) async fn delete_prefix(store: &Store, prefix: &str) -> Result<u64> {
    if prefix.is_empty() {
        let error = Error::invalid(Reason::PrefixEmpty, "an empty prefix; to delete everything, call clear");
        return Err(store.explain(error, "delete_prefix"));
    }
    delete_listed(store, prefix, "delete_prefix").await
}

pub(crate) async fn clear(store: &Store) -> Result<u64> {
    delete_listed(store, "", "clear").await
}

async fn delete_listed(store: &Store, prefix: &str, operation: &'static str) -> Result<u64> {
    let mut deleted = 0;
    let list = List::new(store, operation).prefix(prefix);
    let mut pages = Box::pin(pages(list, List::LIMIT_DEFAULT));
    while let Some(items) = pages.next().await {
        let items = items?;
        if items.is_empty() {
            continue;
        }
        let _call = store.enter().map_err(|error| store.explain(error, operation))?;
        // As in `read_listed`, the keys come from the store.
        let keys: Vec<_> = items.into_iter().map(|item| store.resolver().prefixed(Cow::Owned(item.key))).collect();
        let outcomes = store.backend().delete_many(DeleteMany(keys.clone())).await;
        if outcomes.len() != keys.len() {
            return Err(store.explain(wrong_count(keys.len(), outcomes.len(), Retry::OutcomeUnknown), operation));
        }
        for (outcome, key) in outcomes.into_iter().zip(keys) {
            match outcome.map_err(|error| store.explain(error, operation).with_key(&key))? {
                DeleteOutcome::Deleted | DeleteOutcome::Accepted => deleted += 1,
                DeleteOutcome::NotFound | DeleteOutcome::NotMet => {}
            }
        }
    }
    Ok(deleted)
}
