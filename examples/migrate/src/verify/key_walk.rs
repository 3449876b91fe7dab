//! The keys that a store has, one after the other.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::vec;

use futures_util::{Stream, StreamExt};
use kv_api::{Cursor, ListItem, Page, Store};

use crate::context::Context;
use crate::error::Result;
use crate::keys::KeyReader;
use crate::patience::{self, Waits};
use crate::progress::Side;
use crate::source::blocking;

/// The keys that a store has, one after the other.
pub(super) enum KeyWalk<'w> {
    Listed(Box<Listed<'w>>),
    Named(Named),
}

/// The keys of a list.
pub(super) struct Listed<'w> {
    store: &'w Store,
    side: Side,
    prefix: String,
    /// `None` before the first page, after an error that passes, and at the end.
    pages: Option<Pages>,
    /// Of the next page.
    next: Next,
    ahead: vec::IntoIter<ListItem>,
}

type Pages = Pin<Box<dyn Stream<Item = kv_api::Result<Page>> + Send>>;

enum Next {
    First,
    Page(Cursor),
    End,
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
        let ahead = Vec::new().into_iter();
        Self::Listed(Box::new(Listed { store, side, prefix, pages: None, next: Next::First, ahead }))
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
            if !self.next_page(context).await? {
                return Ok(None);
            }
        }
    }

    /// Whether there was one more page. It may be empty.
    async fn next_page(&mut self, context: &Context<'_>) -> Result<bool> {
        let mut waits = Waits::default();
        let page = loop {
            let pages = match (&mut self.pages, &self.next) {
                (_, Next::End) => return Ok(false),
                (Some(pages), _) => pages,
                (none, next) => {
                    let list = self.store.list().prefix(self.prefix.clone()).allow_repeats();
                    none.insert(match next {
                        Next::Page(cursor) => Box::pin(list.cursor(cursor.clone()).pages()),
                        Next::First | Next::End => Box::pin(list.pages()),
                    })
                }
            };
            context.pace(self.side).admit(1).await;
            match pages.next().await {
                Some(Ok(page)) => break page,
                None => {
                    self.next = Next::End;
                    return Ok(false);
                }
                // The walk ends with its first error; another one goes on from the same page.
                Some(Err(error)) if patience::passes(&error) => {
                    self.pages = None;
                    context.patience.wait(self.side, &error, &mut waits).await?;
                }
                Some(Err(error)) => return Err(error.into()),
            }
        };
        context.patience.progressed(self.side);
        self.next = page.cursor.map_or(Next::End, Next::Page);
        self.ahead = page.items.into_iter();
        Ok(true)
    }
}

impl Named {
    /// How many keys are read at once.
    const AHEAD: usize = 1000;

    async fn next(&mut self) -> Result<Option<(String, u64)>> {
        if self.ahead.is_empty()
            && let Some(mut away) = self.reader.take()
        {
            let (away, keys) = blocking(move || {
                let keys: Result<VecDeque<_>> =
                    std::iter::from_fn(|| away.next_key().transpose()).take(Self::AHEAD).collect();
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
