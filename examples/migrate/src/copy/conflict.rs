//! What becomes of an entry whose key the target has already, where what is there stays.

use kv_api::{Entry, ErrorKind, Store};

use crate::error::Result;
use crate::options::OnConflict;
use crate::progress::Side;
use crate::record::Record;
use crate::verify::Window;

use super::account::Account;
use super::batch::Moving;
use super::write::Writing;

/// Looks at what is there: an entry that is just as it would have been written is no conflict. So an interrupted copy
/// can be resumed, and an attempt whose answer was lost can be repeated.
///
/// # Errors
/// What ends the copy: the target cannot be read.
pub(super) async fn settle(
    store: &Store,
    conflicts: Vec<&Moving>,
    account: &mut Account,
    writing: &Writing<'_>,
) -> Result<()> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let context = writing.context;
    let capabilities = store.capabilities();
    let per_request = capabilities.bulk_read_items.max(1);
    // More step by step, so that it is known about how large what is there is.
    let mut at_once = 1;
    let mut rest = &*conflicts;
    while !rest.is_empty() {
        let some;
        (some, rest) = rest.split_at(at_once.min(rest.len()));
        let requests = some.len().div_ceil(per_request);
        let keys = || store.get_entry_many(some.iter().map(|entry| entry.record.key.as_str()));
        let there = context.ask(Side::Target, requests, keys).await?;
        let (started, now) = (Some(writing.started), context.options.clock.now());
        // An expiry that an earlier attempt had rounded up (EXP-6) is the same.
        let (rounding, min_ttl) = (capabilities.expiry_resolution, capabilities.expiry_min);
        let window = Window { started, now, rounding, min_ttl };
        let largest = there.iter().flatten().map(|there| there.value().as_bytes().len()).max().unwrap_or(0);
        at_once = (context.options.batch_bytes / largest.max(1)).min(at_once * 2).clamp(1, AT_ONCE_MAX);
        for (entry, there) in some.iter().zip(there) {
            if there.is_some_and(|there| is_as_written(&entry.record, there, &window)) {
                account.counts.read += 1;
                account.counts.unchanged += 1;
            } else if context.options.on_conflict == OnConflict::Skip {
                account.counts.read += 1;
                account.counts.kept += 1;
            } else {
                let message = "the target has another entry under this key";
                let error = kv_api::Error::new(ErrorKind::InvalidArgument, message);
                account.is_not_written(entry, error, context.options);
            }
        }
    }
    Ok(())
}

/// The most entries of the target that are looked at together.
const AT_ONCE_MAX: usize = 100;

/// Whether the target has an entry as it would be written, as far as it can tell.
fn is_as_written(record: &Record, there: Entry, window: &Window) -> bool {
    let there = Record::from_entry(record.key.clone(), there);
    record.value == there.value
        && record.metadata == there.metadata
        && window.same_expiry(record.expiry, there.expiry).unwrap_or(true)
}
