//! Calls handed on to a backend that reports more than the layer before it: what the layer does not report is taken off
//! the answers (CAP-4).

use kv_api::{
    Backend, BatchOutcome, Capabilities, Delete, DeleteOutcome, Entry, GetAndDelete, ListPage, RawPage, Read, ReadMany,
    Result, SetOutcome, Touch, Write, WriteMany,
};

/// A backend, and what the layer before it reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) inner: &'a dyn Backend,
    pub(crate) capabilities: &'a Capabilities,
}

impl Shown<'_> {
    pub(crate) fn entry(&self, entry: Option<Entry>) -> Option<Entry> {
        entry.map(|entry| self.capabilities.show_entry(entry))
    }

    pub(crate) fn read_now(&self, read: &Read<'_>) -> Option<Result<Option<Entry>>> {
        Some(self.inner.read_now(read)?.map(|entry| self.entry(entry)))
    }

    pub(crate) fn write_now(&self, write: &Write<'_>) -> Option<Result<SetOutcome>> {
        let outcome = self.inner.write_now(write)?;
        Some(outcome.map(|outcome| self.capabilities.show_outcome(outcome, write.is_unconditional())))
    }

    pub(crate) async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        Ok(self.entry(self.inner.read(read).await?))
    }

    pub(crate) async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        let is_unconditional = write.is_unconditional();
        let outcome = self.inner.write(write).await?;
        Ok(self.capabilities.show_outcome(outcome, is_unconditional))
    }

    pub(crate) async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        let is_unconditional = delete.if_version().is_none();
        let outcome = self.inner.delete(delete).await?;
        Ok(if is_unconditional { self.capabilities.show_delete(outcome) } else { outcome })
    }

    pub(crate) async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let entries = self.inner.read_many(reads).await?;
        Ok(entries.into_iter().map(|entry| self.entry(entry)).collect())
    }

    /// Answers of another number are handed on: the handle refuses them.
    pub(crate) async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let mut unconditional = writes.writes().iter().map(Write::is_unconditional).collect::<Vec<_>>().into_iter();
        let outcomes = self.inner.write_many(writes).await.into_iter();
        let show = |outcome: Result<SetOutcome>| {
            let is_unconditional = unconditional.next().unwrap_or(true);
            outcome.map(|outcome| self.capabilities.show_outcome(outcome, is_unconditional))
        };
        outcomes.map(show).collect()
    }

    pub(crate) async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        let mut unconditional = writes.writes().iter().map(Write::is_unconditional).collect::<Vec<_>>().into_iter();
        Ok(match self.inner.write_all_or_nothing(writes).await? {
            BatchOutcome::Written(outcomes) => {
                let show = |outcome| self.capabilities.show_outcome(outcome, unconditional.next().unwrap_or(true));
                BatchOutcome::Written(outcomes.into_iter().map(show).collect())
            }
            not_written => not_written,
        })
    }

    pub(crate) async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        Ok(self.entry(self.inner.touch(touch).await?))
    }

    pub(crate) async fn get_and_delete(&self, request: GetAndDelete<'_>) -> Result<Option<Entry>> {
        Ok(self.entry(self.inner.get_and_delete(request).await?))
    }

    pub(crate) async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let raw = self.inner.list(page).await?;
        Ok(RawPage::new(raw.items.into_iter().map(|item| self.capabilities.show_item(item)).collect(), raw.next))
    }
}
