//! What a list answers (LIST-1).

use crate::cursor::Cursor;
use crate::entry::EntryExpiry;
use crate::metadata::Metadata;

/// The metadata of a listed key: "not reported" differs from "none" (LIST-1).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum ListedMetadata {
    /// The list does not report it.
    #[default]
    NotReported,
    /// The entry has none.
    None,
    /// The entry's metadata.
    Some(Metadata),
}

impl From<Option<Metadata>> for ListedMetadata {
    fn from(metadata: Option<Metadata>) -> Self {
        metadata.map_or(Self::None, Self::Some)
    }
}

/// A listed key, with what came along for free.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ListItem {
    /// The key, without the prefix of the handle.
    pub key: String,
    /// Its metadata.
    pub metadata: ListedMetadata,
    /// Its expiry; [`EntryExpiry::Unknown`] where the list does not report it.
    pub expiry: EntryExpiry,
    /// The length of its value in bytes, that of [`Value::as_bytes`](crate::Value::as_bytes) after a read; `None` where
    /// the list does not report it (LIST-6).
    pub value_bytes: Option<u64>,
}

impl ListItem {
    /// A key of which nothing else is reported.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), metadata: ListedMetadata::NotReported, expiry: EntryExpiry::Unknown, value_bytes: None }
    }

    /// Adds the metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: ListedMetadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Adds the expiry.
    #[must_use]
    pub fn with_expiry(mut self, expiry: EntryExpiry) -> Self {
        self.expiry = expiry;
        self
    }

    /// Adds the length of the value in bytes.
    #[must_use]
    pub const fn with_value_bytes(mut self, bytes: u64) -> Self {
        self.value_bytes = Some(bytes);
        self
    }
}

/// A page of keys. It may be shorter than asked for, and empty: only the absence of a cursor is the end (LIST-1).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// The keys of this page.
    pub items: Vec<ListItem>,
    /// Where the next page begins; `None` at the end.
    pub cursor: Option<Cursor>,
}

/// The items of the page.
impl IntoIterator for Page {
    type Item = ListItem;
    type IntoIter = std::vec::IntoIter<ListItem>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

/// The items of the page.
impl<'a> IntoIterator for &'a Page {
    type Item = &'a ListItem;
    type IntoIter = std::slice::Iter<'a, ListItem>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

/// A page as an adapter answers it: whole keys, and the position after them in the adapter's own terms, which the
/// handle frames as a [`Cursor`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RawPage {
    /// The listed keys, none twice, all beginning with the prefix asked for; in ascending order of their bytes where
    /// the store supports that order, and then no more than [`ListPage::limit`](crate::ListPage::limit). Anything else
    /// is `Protocol`, but for a repeat in a list without an order, which is removed (LIST-1, LIST-2).
    pub items: Vec<ListItem>,
    /// What [`ListPage::position`](crate::ListPage::position) of the next page is to be; `None` at the end. Never the
    /// position of this page (LIST-3).
    pub next: Option<Vec<u8>>,
}

impl RawPage {
    /// A page and where the next one begins.
    #[must_use]
    pub const fn new(items: Vec<ListItem>, next: Option<Vec<u8>>) -> Self {
        Self { items, next }
    }
}
