//! What of an answer is shown: no more than the capabilities report (CAP-4). For a restricted handle, and for a layer
//! that reports less than the backend inside.

use crate::capabilities::{Capabilities, Support};
use crate::entry::{Entry, EntryExpiry};
use crate::outcome::{DeleteOutcome, SetOutcome, SetStatus};
use crate::page::{ListItem, ListedMetadata};

impl Capabilities {
    /// An entry as a store with these capabilities reports it: metadata, expiry and version only where they are
    /// supported (CAP-4).
    ///
    /// ```
    /// use kv_api::{Capabilities, Entry, EntryExpiry, Value};
    /// let entry = Entry::with_details(Value::from("v"), None, EntryExpiry::Never, None);
    /// let shown = Capabilities::new("plain").show_entry(entry);
    /// assert_eq!((shown.value(), shown.expiry()), (&Value::from("v"), EntryExpiry::Unknown));
    /// ```
    #[must_use]
    pub fn show_entry(&self, mut entry: Entry) -> Entry {
        let absent = |support| support == Support::None;
        entry.hide(absent(self.metadata), !self.expiry_read, absent(self.if_version));
        entry
    }

    /// The outcome of a set as a store with these capabilities reports it. Created or updated is hidden only of an
    /// unconditional set: a met condition says it by itself (CAP-4, SET-5).
    #[must_use]
    pub fn show_outcome(&self, outcome: SetOutcome, is_unconditional: bool) -> SetOutcome {
        let status = match outcome.status() {
            SetStatus::Created | SetStatus::Updated if is_unconditional && !self.reports_set_outcome => {
                SetStatus::Stored
            }
            status => status,
        };
        let shown = SetOutcome::new(status);
        match outcome.version() {
            Some(version) if self.if_version != Support::None => shown.with_version(version.clone()),
            _ => shown,
        }
    }

    /// The outcome of a delete without a version as a store with these capabilities reports it. A met version says it
    /// by itself, as in SET-5 (CAP-4).
    #[must_use]
    pub const fn show_delete(&self, outcome: DeleteOutcome) -> DeleteOutcome {
        match outcome {
            DeleteOutcome::Deleted | DeleteOutcome::NotFound if !self.reports_delete_outcome => DeleteOutcome::Accepted,
            outcome => outcome,
        }
    }

    /// The same for one key of `delete_many` (DEL-1).
    #[must_use]
    pub const fn show_delete_of_many(&self, outcome: DeleteOutcome) -> DeleteOutcome {
        match outcome {
            DeleteOutcome::Deleted | DeleteOutcome::NotFound if !self.reports_delete_many_outcome => {
                DeleteOutcome::Accepted
            }
            outcome => outcome,
        }
    }

    /// A listed key as a store with these capabilities reports it: with metadata, expiry and length only where its lists
    /// report them (CAP-4, LIST-1, LIST-6).
    #[must_use]
    pub fn show_item(&self, mut item: ListItem) -> ListItem {
        if !self.list_metadata {
            item.metadata = ListedMetadata::NotReported;
        }
        if !self.list_expiry {
            item.expiry = EntryExpiry::Unknown;
        }
        if !self.list_value_bytes {
            item.value_bytes = None;
        }
        item
    }
}
