//! What a copy would do: read, checked and counted, and written nowhere.

mod count;
mod note;
mod preview;
mod report;
mod sample;
mod traffic;

use std::fmt;

use kv_api::Store;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::patience::Observer;
use crate::progress::Event;
use crate::settle::check_source;
use crate::source::{Room, Source};
use crate::summary::{Counts, Failures};

pub use count::count;
pub use note::Note;
pub use sample::plan_sample;
pub use traffic::Traffic;

use preview::Preview;

/// Where the entries would go.
#[derive(Clone, Copy)]
pub enum PlanTarget<'t> {
    /// A store. It is asked nothing, unless [`Plan::existing`] is to be counted.
    Store(&'t Store),
    /// A file.
    File,
}

/// What a copy would do.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Plan {
    /// What the copy would count, as far as no other program changes source or target, and both answer: `written` is
    /// what would be written, `failed` what the target would refuse before it is sent anything. What is there under the
    /// same key is in [`existing`](Self::existing) instead of `unchanged` and `kept`.
    pub counts: Counts,
    /// The source names more keys than are kept in mind, as in [`Summary`](crate::Summary::repeated_at_least).
    pub repeated_at_least: bool,
    /// Why entries would not be copied, by cause.
    pub failures: Failures,
    /// Of `counts.written`, entries whose key the target has already; `None` where that was not asked for.
    pub existing: Option<u64>,
    /// Bytes of the keys that were read, as the source has them.
    pub key_bytes: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
    /// Bytes of their metadata, as compact JSON.
    pub metadata_bytes: u64,
    /// Bytes of the largest value. Of a sample it is the largest one met, which says little.
    pub value_bytes_max: u64,
    /// Entries that would end later in the target than in the source: it rounds up (EXP-4), or raises what is below its
    /// minimum where its handle says so (EXP-6).
    pub expiry_moved: u64,
    /// What lies in the nature of the two.
    pub notes: Vec<Note>,
    /// Requests to the source; `None` for a file.
    pub source: Option<Traffic>,
    /// Requests to the target; `None` for a file.
    pub target: Option<Traffic>,
    /// Where only a sample was read.
    pub sample: Option<Sample>,
    /// What ended the plan before its end, so that its figures are those of a part. [`Error::Lossy`] with all figures
    /// when the copy would not even begin.
    pub stopped: Option<Error>,
}

/// How the figures of a [`Plan`] were estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// Entries in the list of the source, of those that were selected: exact.
    pub listed: u64,
    /// Entries that were read for it.
    pub read: u64,
    /// `value_bytes` and `value_bytes_max` come from the list, and are exact too.
    pub value_bytes_listed: bool,
}

impl Plan {
    /// Whether the copy would be complete, as [`Summary::is_complete`](crate::Summary::is_complete) has it.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.stopped.is_none() && self.counts.failed == 0
    }

    /// What ended the plan is the reason, not what would have ended the copy.
    fn ended(mut self, ended: Result<()>) -> Self {
        self.stopped = ended.err().or(self.stopped);
        self
    }
}

/// Reads every entry to find out what [`copy`](crate::copy) would do with these options, and writes nothing. The
/// target's own checks are made without sending anything, so that what it would refuse is known before; what only the
/// system itself knows, such as a full disk, is not.
///
/// With `look_for_existing` the target is asked for each key that would be written whether it has it: one small request
/// each. `observe` is called from time to time.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_api::{Capabilities, ValueKinds};
/// use kv_migrate::{Options, PlanTarget, Source, plan};
/// static SMALL: Capabilities = Capabilities::new("small").with_value_kinds(ValueKinds::ALL).with_key_bytes(1, 8);
/// let from = kv_backends::open("memory:").await?;
/// from.set("short", "value").await?;
/// from.set("much longer", "value").await?;
/// let to = kv_backends::open("memory:").await?.restricted_to([&SMALL]);
///
/// let options = Options::default();
/// let source = Source::store(&from, &options)?;
/// let plan = plan(source, PlanTarget::Store(&to), &options, false, |_| {}).await;
/// assert_eq!((plan.counts.written, plan.counts.failed), (1, 1));
/// assert_eq!(plan.failures.causes()[0].examples[0].key, "much longer");
/// assert!(!to.exists("short").await?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn plan(
    mut source: Source<'_>,
    target: PlanTarget<'_>,
    options: &Options,
    look_for_existing: bool,
    mut observe: impl FnMut(Event<'_>) + Send,
) -> Plan {
    let observer = Observer::new(&mut observe);
    let context = Context::new(options, &observer);
    let existing_in = target.store().filter(|_| look_for_existing);
    let mut plan = Plan {
        existing: existing_in.map(|_| 0),
        notes: note::notes(source.capabilities(), target),
        stopped: check_source(&source, options).err(),
        ..Plan::default()
    };
    let mut preview = Preview::new(target, options, source.order());
    let ended = read(&mut preview, &mut plan, &mut source, existing_in, &context).await;
    let keys = plan.counts.read + plan.counts.missing;
    let listed = source.is_listed().then_some(keys);
    plan.source = source.capabilities().map(|source| traffic::of_source(source, listed, keys));
    plan.target = traffic::of_target(target, &plan, options);
    plan.ended(ended)
}

/// Reads a source to its end.
async fn read(
    preview: &mut Preview<'_>,
    plan: &mut Plan,
    source: &mut Source<'_>,
    existing_in: Option<&Store>,
    context: &Context<'_>,
) -> Result<()> {
    let room = Room { entries: usize::MAX, bytes: context.options.batch_bytes };
    while let Some(chunk) = source.next_chunk(room, context).await? {
        for unreadable in chunk.unreadable {
            plan.counts.read += 1;
            plan.counts.failed += 1;
            plan.failures.add(unreadable);
        }
        plan.counts.missing += chunk.missing;
        let keys = preview.add_all(plan, chunk.records);
        if let (Some(store), Some(existing)) = (existing_in, &mut plan.existing) {
            *existing += preview::existing(store, keys, context).await?;
        }
        context.progressed(plan.counts.read, source.bytes());
        // A store in memory never waits, and others want to run too.
        tokio::task::yield_now().await;
    }
    Ok(())
}

impl<'t> PlanTarget<'t> {
    const fn store(self) -> Option<&'t Store> {
        match self {
            Self::Store(store) => Some(store),
            Self::File => None,
        }
    }
}

impl fmt::Debug for PlanTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(store) => f.debug_tuple("Store").field(store).finish(),
            Self::File => f.write_str("File"),
        }
    }
}
