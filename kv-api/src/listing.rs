//! One page of a list: what an adapter answered is checked and made into what the caller sees (LIST-1 to LIST-3).

use std::borrow::Cow;

use crate::capabilities::ListOrder;
use crate::cursor::CursorScope;
use crate::error::{Error, ErrorKind, Result};
use crate::handle::Handle;
use crate::page::{ListItem, Page, RawPage};
use crate::seen::Seen;

/// What a cursor of this handle is bound to.
pub(crate) fn cursor_scope<'a>(handle: &'a Handle, full_prefix: &'a str) -> CursorScope<'a> {
    CursorScope { system: handle.capabilities().system, scope: handle.backend().scope(), prefix: full_prefix }
}

/// Whether the backend itself lists in order; a restricted handle may not say so.
pub(crate) fn is_ordered(handle: &Handle) -> bool {
    handle.backend().capabilities().list_order == ListOrder::Lexicographic
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) full_prefix: &'a str,
    pub(crate) limit: usize,
    /// The last key before this page, where it is known.
    pub(crate) after: Option<&'a str>,
}

/// Refuses a page that is not one of the list that was asked for.
pub(crate) fn check(handle: &Handle, asked: Asked<'_>, items: &[ListItem]) -> Result<()> {
    let Asked { full_prefix, limit, after } = asked;
    let is_ordered = is_ordered(handle);
    if is_ordered && items.len() > limit {
        return Err(protocol("a listed page holds more keys than the limit"));
    }
    let mut before = after;
    for item in items {
        let key = item.key.as_str();
        if !key.starts_with(full_prefix) {
            return Err(protocol("a listed key does not begin with the prefix").with_key(key));
        }
        if is_ordered && before.is_some_and(|before| key <= before) {
            return Err(protocol("a listed key does not come after the one before it").with_key(key));
        }
        before = Some(key);
    }
    Ok(())
}

/// What stays in one place would be asked for without end (LIST-3).
pub(crate) fn stuck() -> Error {
    protocol("the cursor of the next page does not advance")
}

pub(crate) fn protocol(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

/// Items as the handle shows them: without the handle's prefix, and without what a restricted handle may not report.
pub(crate) fn shown_items(handle: &Handle, items: Vec<ListItem>) -> Vec<ListItem> {
    let prefix_bytes = handle.prefix().len();
    let shown = items.into_iter().map(|mut item| {
        if prefix_bytes > 0 {
            item.key.drain(..prefix_bytes);
        }
        handle.capabilities().show_item(item)
    });
    // The key that is the handle's prefix and nothing more has no name here (NS-2).
    shown.filter(|item| !item.key.is_empty()).collect()
}

/// A single page, with a cursor that another process can use.
pub(crate) fn shown_page(handle: &Handle, asked: Asked<'_>, raw: RawPage) -> Result<Page> {
    check(handle, asked, &raw.items)?;
    let cursor = raw.next.map(|position| cursor_scope(handle, asked.full_prefix).seal(&position));
    // A repeat in an ordered list was refused above.
    let items = if is_ordered(handle) { raw.items } else { Seen::new().new_among(raw.items) };
    Ok(Page { items: shown_items(handle, items), cursor })
}
