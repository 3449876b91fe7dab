//! The keys that a store has, one after the other.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::vec;

use kv_api::{ListItem, Store};

use crate::context::Context;
use crate::error::Result;
use crate::keys::KeyReader;
use crate::progress::Side;
use crate::source::{Pages, blocking};

/// The keys that a store has, one after the other.
pub(super) enum KeyWalk<'w> {
    Listed(Box<Listed<'w>>),
    Named(Named),
}

/// The keys of a list.
pub(super) struct Listed<'w> {
    pages: Pages<'w>,
    ahead: vec::IntoIter<ListItem>,
}

/// The keys of a file.
pub(super) struct Named {
    /// Away while another thread reads, and at the end.
    reader: Option<Box<KeyReader>>,
    ahead: VecDeque<(String, u64)>,
}

/// A key that a store has.
#[derive(Debug)]
pub(super) struct NamedKey {
    pub(super) key: String,
    /// Where a file names it.
    pub(super) line: Option<u64>,
    /// Where a list reports it.
    pub(super) value_bytes: Option<u64>,
}

impl<'w> KeyWalk<'w> {
    /// Those that begin with the prefix, as the store lists them. Where that is in no order a key may come again.
    pub(super) fn listed(store: &'w Store, side: Side, prefix: String) -> Self {
        let pages = Pages::new(store, side, prefix).allow_repeats();
        Self::Listed(Box::new(Listed { pages, ahead: Vec::new().into_iter() }))
    }

    /// Those of a file, in its order.
    pub(super) async fn named(file: &Path) -> Result<Self> {
        let file = file.to_owned();
        let reader = blocking(move || KeyReader::open(&file)).await?;
        Ok(Self::Named(Named { reader: Some(Box::new(reader)), ahead: VecDeque::new() }))
    }

    pub(super) async fn next(&mut self, context: &Context<'_>) -> Result<Option<NamedKey>> {
        match self {
            Self::Listed(listed) => {
                let item = listed.next(context).await?;
                Ok(item.map(|ListItem { key, value_bytes, .. }| NamedKey { key, line: None, value_bytes }))
            }
            Self::Named(named) => {
                let next = named.next().await?;
                Ok(next.map(|(key, line)| NamedKey { key, line: Some(line), value_bytes: None }))
            }
        }
    }
}

impl Listed<'_> {
    async fn next(&mut self, context: &Context<'_>) -> Result<Option<ListItem>> {
        loop {
            if let Some(item) = self.ahead.next() {
                return Ok(Some(item));
            }
            let Some(page) = self.pages.next(context).await? else { return Ok(None) };
            self.ahead = page.items.into_iter();
        }
    }
}

impl Named {
    /// The most keys that are read at once.
    const AHEAD: usize = 1000;

    async fn next(&mut self) -> Result<Option<(String, u64)>> {
        if self.ahead.is_empty()
            && let Some(mut away) = self.reader.take()
        {
            let (away, keys) = blocking(move || {
                let keys = away.next_keys(Self::AHEAD).map(VecDeque::from);
                (away, keys)
            })
            .await;
            self.ahead = keys?;
            self.reader = Some(away).filter(|_| !self.ahead.is_empty());
        }
        Ok(self.ahead.pop_front())
    }
}

impl fmt::Debug for KeyWalk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWalk").finish_non_exhaustive()
    }
}
