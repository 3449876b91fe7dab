//! The pages of a list, with patience.

use std::fmt;
use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use kv_api::{Cursor, Page, Store};

use crate::context::Context;
use crate::error::Result;
use crate::patience::{Waits, passes};
use crate::progress::Side;

/// The pages of a list, one after the other.
pub(crate) struct Pages<'s> {
    store: &'s Store,
    side: Side,
    prefix: String,
    repeats: bool,
    /// `None` before the first page, and after an error: a walk ends with its first one.
    walk: Option<Walk>,
    next: Next,
}

type Walk = Pin<Box<dyn Stream<Item = kv_api::Result<Page>> + Send>>;

/// Which page comes next.
enum Next {
    First,
    Page(Cursor),
    End,
}

impl<'s> Pages<'s> {
    /// Of the keys that begin with `prefix`, each once.
    pub(crate) const fn new(store: &'s Store, side: Side, prefix: String) -> Self {
        Self { store, side, prefix, repeats: false, walk: None, next: Next::First }
    }

    /// Where the list is in no order, a key may come again: what was listed need not be kept in mind then.
    pub(crate) fn allow_repeats(self) -> Self {
        Self { repeats: true, ..self }
    }

    /// The next page, perhaps an empty one; `None` at the end.
    pub(crate) async fn next(&mut self, context: &Context<'_>) -> Result<Option<Page>> {
        let mut waits = Waits::default();
        loop {
            let walk = match (&mut self.walk, &self.next) {
                (_, Next::End) => return Ok(None),
                (Some(walk), _) => walk,
                (none, next) => {
                    let list = self.store.list().prefix(self.prefix.clone());
                    let list = if self.repeats { list.allow_repeats() } else { list };
                    none.insert(match next {
                        Next::Page(cursor) => Box::pin(list.cursor(cursor.clone()).pages()),
                        Next::First | Next::End => Box::pin(list.pages()),
                    })
                }
            };
            context.patience.turn(self.side).await;
            context.pace(self.side).admit(1).await;
            match walk.next().await {
                Some(Ok(page)) => {
                    context.patience.progressed(self.side);
                    self.next = page.cursor.clone().map_or(Next::End, Next::Page);
                    return Ok(Some(page));
                }
                None => self.next = Next::End,
                Some(Err(error)) => {
                    self.walk = None;
                    if !passes(&error) {
                        return Err(error.into());
                    }
                    context.patience.wait(self.side, &error, &mut waits).await?;
                }
            }
        }
    }

    /// The cursor of the page that comes next; `None` for the first, and at the end.
    pub(super) const fn cursor(&self) -> Option<&Cursor> {
        match &self.next {
            Next::Page(cursor) => Some(cursor),
            Next::First | Next::End => None,
        }
    }

    /// Goes on with the page of this cursor.
    pub(super) fn go_to(&mut self, cursor: Cursor) {
        (self.walk, self.next) = (None, Next::Page(cursor));
    }

    /// Goes on with the first page.
    pub(super) fn begin_again(&mut self) {
        (self.walk, self.next) = (None, Next::First);
    }
}

impl fmt::Debug for Pages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("side", &self.side).finish_non_exhaustive()
    }
}
