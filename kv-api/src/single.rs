//! One read and one write, for calls that are made of several.

use crate::entry::{Entry, Fields};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::outcome::SetOutcome;
use crate::set_item::SetItem;

/// The entry of a key of the handle.
pub(crate) async fn read(handle: &Handle, key: &str, fields: Fields) -> Result<Option<Entry>> {
    let read = handle.resolver().read(key, fields)?;
    let _call = handle.enter()?;
    let answer = match handle.backend().read_now(&read) {
        Some(answer) => answer,
        None => handle.backend().read(read).await,
    };
    let entry = answer.map_err(Error::not_applied)?;
    Ok(entry.map(|entry| handle.shown_entry(entry)))
}

/// A set with a condition.
pub(crate) async fn write(handle: &Handle, item: SetItem<'_>) -> Result<SetOutcome> {
    let write = handle.resolver().write(item, handle.backend().clock())?;
    let _call = handle.enter()?;
    let answer = match handle.backend().write_now(&write) {
        Some(answer) => answer,
        None => handle.backend().write(write).await,
    };
    answer.map(|outcome| handle.shown_outcome(outcome, false))
}
