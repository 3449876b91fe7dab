//! The pages of a list, with patience.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use kv_api::{Cursor, Page, Store};

use crate::context::Context;
use crate::error::Result;
use crate::patience::{Waits, passes};
use crate::progress::Side;

/// The pages of the source's list, one after the other.
pub(super) struct Pages<'s> {
    source: &'s Store,
    prefix: String,
    /// `None` before the first page, and after an error that passes.
    walk: Option<Walk>,
    /// Of the page that comes next; `None` for the first.
    next: Option<Cursor>,
}

type Walk = Pin<Box<dyn Stream<Item = kv_api::Result<Page>> + Send>>;

impl<'s> Pages<'s> {
    pub(super) const fn new(source: &'s Store, prefix: String) -> Self {
        Self { source, prefix, walk: None, next: None }
    }

    /// The next page, perhaps an empty one; `None` at the end, and not to be called again then.
    pub(super) async fn next(&mut self, context: &Context<'_>) -> Result<Option<Page>> {
        let mut waits = Waits::default();
        loop {
            let Self { source, prefix, walk, next } = self;
            let walk = walk.get_or_insert_with(|| {
                let list = source.list().prefix(prefix.clone());
                match next {
                    Some(cursor) => Box::pin(list.cursor(cursor.clone()).pages()),
                    None => Box::pin(list.pages()),
                }
            });
            context.source_pace.admit(1).await;
            match walk.next().await {
                Some(Ok(page)) => {
                    context.patience.progressed(Side::Source);
                    self.next.clone_from(&page.cursor);
                    return Ok(Some(page));
                }
                None => return Ok(None),
                // A walk ends with its first error; another one goes on from the same page.
                Some(Err(error)) if passes(&error) => {
                    self.walk = None;
                    context.patience.wait(Side::Source, &error, &mut waits).await?;
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }
}
