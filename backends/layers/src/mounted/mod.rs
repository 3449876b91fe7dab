//! Several backends as one: the key says which.

pub(crate) mod frame;
mod merge;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;

use futures_util::future::join_all;
use kv_api::{
    Backend, BatchOutcome, Capabilities, Clock, Delete, DeleteMany, DeleteOutcome, Entry, Error, ErrorKind, Expire,
    ExpiryClock, GetAndDelete, Increment, ListOrder, ListPage, RawPage, Read, ReadMany, Reason, Resolver, Result,
    SetOutcome, Slots, Touch, Write, WriteMany, WriteParts, async_trait,
};

use crate::batch::joined;
use crate::scope::scope_of;
use crate::shown::Shown;
use merge::{Merge, Place, Progress, Step};

/// Backends under prefixes of keys, as one backend. A key belongs to the mount with the longest prefix that it begins
/// with, and to the default mount if it begins with none. It is handed on whole, with that prefix.
///
/// It offers what all of its mounts offer: every capability the weaker, every limit the tighter (CAP-4). See
/// [the README](crate#mounted) for lists, batches, clocks and errors.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_api::{BackendExt, SetItem};
/// use kv_layers::Mounted;
/// use kv_memory::MemoryStore;
/// use std::sync::Arc;
/// let sessions = MemoryStore::default();
/// let store = Mounted::new(MemoryStore::default(), [("session/", Arc::new(sessions.clone()) as _)])?.into_store();
/// store.set_many([SetItem::new("session/1", "Ada"), SetItem::new("user/1", "Ada")]).await;
/// let keys: Vec<_> = store.list().await?.into_iter().map(|item| item.key).collect();
/// assert_eq!(keys, ["session/1", "user/1"]);
/// assert_eq!(sessions.into_store().list().await?.items[0].key, "session/1");
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Mounted {
    /// By the bytes of their prefixes, so the default mount is the first.
    mounts: Vec<Mount>,
    capabilities: Capabilities,
    scope: String,
    /// The mount whose clock is that of the whole.
    clock_of: usize,
}

struct Mount {
    prefix: String,
    backend: Arc<dyn Backend>,
}

impl Mounted {
    /// A default mount, and mounts with their prefixes in any order.
    ///
    /// # Errors
    /// `InvalidArgument` when a prefix is empty, which is the default mount's, or comes twice. `Misconfigured` when the
    /// clocks of all mounts are to end their entries ([`ExpiryClock::Store`]) and do not show the same time: each entry
    /// goes by one clock (EXP-10). Clocks that part later are not found.
    pub fn new<P: Into<String>>(
        default: impl Backend,
        mounts: impl IntoIterator<Item = (P, Arc<dyn Backend>)>,
    ) -> Result<Self> {
        let mut all = vec![Mount { prefix: String::new(), backend: Arc::new(default) }];
        all.extend(mounts.into_iter().map(|(prefix, backend)| Mount { prefix: prefix.into(), backend }));
        all.sort_by(|one, other| one.prefix.cmp(&other.prefix));
        if let Some(twice) = all.windows(2).find(|two| two[0].prefix == two[1].prefix) {
            let message = match &*twice[0].prefix {
                "" => "the empty prefix is that of the default mount".to_owned(),
                prefix => format!("two mounts have the prefix {prefix:?}"),
            };
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let mut capabilities = Capabilities::offered_by(&*all[0].backend);
        capabilities.system = "mounted";
        for mount in &all[1..] {
            capabilities = capabilities.restricted_to(&Capabilities::offered_by(&*mount.backend));
        }
        let clock_of = Self::clock_of(&all, capabilities.expiry_clock)?;
        let named =
            all.iter().flat_map(|mount| [&*mount.prefix, mount.backend.capabilities().system, mount.backend.scope()]);
        let scope = scope_of(named);
        Ok(Self { mounts: all, capabilities, scope, clock_of })
    }

    /// The mount whose clock judges an expiry before it is sent. Where not all mounts go by a clock of this side, that is
    /// one whose system goes by its own: then it is a guard for all of them, and decides for none.
    fn clock_of(mounts: &[Mount], expiry_clock: ExpiryClock) -> Result<usize> {
        let reported = |mount: &Mount| mount.backend.capabilities().expiry_clock;
        let clock_of = mounts.iter().position(|mount| reported(mount) == expiry_clock).unwrap_or(0);
        let clock = mounts[clock_of].backend.clock();
        let apart = mounts.iter().find(|mount| !shows_the_same(clock, mount.backend.clock()));
        match apart {
            Some(mount) if expiry_clock == ExpiryClock::Store => Err(Error::new(
                ErrorKind::Misconfigured,
                format!("the clock of the store mounted at {:?} shows another time: give all the same", mount.prefix),
            )),
            _ => Ok(clock_of),
        }
    }

    fn mount_of(&self, key: &str) -> usize {
        // Of prefixes of one key, the longer comes later.
        self.mounts.iter().rposition(|mount| key.starts_with(&mount.prefix)).unwrap_or(0)
    }

    fn backend_of(&self, key: &str) -> &dyn Backend {
        &*self.mounts[self.mount_of(key)].backend
    }

    /// The items of each mount, with their positions among all; mounts without any are left out.
    fn split<T>(&self, items: impl IntoIterator<Item = T>, key: impl Fn(&T) -> &str) -> Vec<(&Mount, Vec<(usize, T)>)> {
        let mut split: Vec<(&Mount, Vec<(usize, T)>)> = self.mounts.iter().map(|mount| (mount, Vec::new())).collect();
        for (index, item) in items.into_iter().enumerate() {
            split[self.mount_of(key(&item))].1.push((index, item));
        }
        split.retain(|(_, items)| !items.is_empty());
        split
    }

    /// The mount of all keys, where it is one.
    fn only_mount<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> Option<&Mount> {
        let mut mounts = keys.into_iter().map(|key| self.mount_of(key));
        let first = mounts.next()?;
        mounts.all(|mount| mount == first).then(|| &self.mounts[first])
    }

    fn shown<'a>(&'a self, mount: &'a Mount) -> Shown<'a> {
        Shown { inner: &*mount.backend, capabilities: &self.capabilities }
    }

    /// The mount of a key, as this store shows it.
    fn shown_of(&self, key: &str) -> Shown<'_> {
        self.shown(&self.mounts[self.mount_of(key)])
    }

    fn is_ordered(&self) -> bool {
        self.capabilities.list_order == ListOrder::Lexicographic
    }

    /// The mounts that can have keys with `prefix`, and the prefix to ask each for.
    fn listed<'p>(&'p self, prefix: &'p str) -> Vec<(usize, &'p str)> {
        let owner = self.mount_of(prefix);
        let asked = |(at, mount): (usize, &'p Mount)| {
            let below = mount.prefix.len() > prefix.len() && mount.prefix.starts_with(prefix);
            if below { Some((at, &*mount.prefix)) } else { (at == owner).then_some((at, prefix)) }
        };
        self.mounts.iter().enumerate().filter_map(asked).collect()
    }

    async fn list_of(
        &self,
        at: usize,
        prefix: &str,
        limit: NonZeroUsize,
        position: Option<Vec<u8>>,
    ) -> Result<RawPage> {
        let mount = &self.mounts[at];
        let page = Resolver::new(mount.backend.capabilities()).list(prefix, limit.get(), position)?;
        self.shown(mount).list(page).await.map_err(|error| mount.name(error))
    }

    async fn list_merged(&self, page: &ListPage<'_>) -> Result<RawPage> {
        let parts = self.listed(page.prefix());
        let progress = match page.position() {
            None => parts.iter().map(|(_, prefix)| Progress::At(Place::start(prefix))).collect(),
            Some(position) => frame::decode_merged(position, parts.len())?,
        };
        let mut merge = Merge::new(progress, page.limit());
        while let Step::Fetch(fetch) = merge.step() {
            let (at, prefix) = parts[fetch.part];
            let raw = self.list_of(at, prefix, fetch.limit, fetch.position.clone()).await?;
            merge
                .put(fetch, raw, prefix, |key| self.mount_of(key) == at)
                .map_err(|error| self.mounts[at].name(error))?;
        }
        let (items, progress) = merge.finish();
        let is_end = progress.iter().all(|progress| *progress == Progress::End);
        Ok(RawPage::new(items, if is_end { None } else { Some(frame::encode_merged(&progress)?) }))
    }

    /// One mount after the other, in the order of their prefixes, each page by itself.
    async fn list_in_turn(&self, page: &ListPage<'_>) -> Result<RawPage> {
        let parts = self.listed(page.prefix());
        let (number, position) = match page.position() {
            None => (0, None),
            Some(position) => frame::decode_in_turn(position)?,
        };
        // A cursor is bound to prefix and mounts, so it is one of another list.
        let Some((at, prefix)) = parts.get(number).copied() else {
            return Err(Error::invalid(Reason::CursorInvalid, "the cursor is not of a list over these mounts"));
        };
        let mut raw = self.list_of(at, prefix, page.limit(), position).await?;
        raw.items.retain(|item| self.mount_of(&item.key) == at);
        let next = match raw.next {
            Some(next) => Some(frame::encode_in_turn(number, Some(&next))?),
            None if number + 1 < parts.len() => Some(frame::encode_in_turn(number + 1, None)?),
            None => None,
        };
        Ok(RawPage::new(raw.items, next))
    }

    /// The same of all mounts at once. The error is that of the first mount that has one.
    async fn with_all<'a, F: Future<Output = Result<()>>>(&'a self, call: impl Fn(&'a dyn Backend) -> F) -> Result<()> {
        let results = join_all(self.mounts.iter().map(|mount| call(&*mount.backend))).await;
        self.mounts.iter().zip(results).try_for_each(|(mount, result)| result.map_err(|error| mount.name(error)))
    }
}

impl Mount {
    /// Adds to an error in which mount it happened, unless it names an item, whose key tells.
    fn name(&self, error: Error) -> Error {
        match (error.key(), error.index()) {
            (None, None) => {
                error.with_store(format!("{} mounted at {:?}", self.backend.capabilities().system, self.prefix))
            }
            _ => error,
        }
    }
}

/// Whether two clocks show the same time: one reading lies between two of the other. Three tries, for a step of the
/// system clock in between.
fn shows_the_same(one: &dyn Clock, other: &dyn Clock) -> bool {
    (0..3).any(|_| {
        let (before, reading, after) = (one.now(), other.now(), one.now());
        before <= reading && reading <= after
    })
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for Mounted {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    kv_api::forward_backend!(self => self.mounts[0].backend;
        forward: [],
        implement: [scope, clock, read_now, write_now, read, write, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete, ping, close]);

    fn scope(&self) -> &str {
        &self.scope
    }

    fn clock(&self) -> &dyn Clock {
        self.mounts[self.clock_of].backend.clock()
    }

    fn read_now(&self, read: &Read<'_>) -> Option<Result<Option<Entry>>> {
        self.shown_of(read.key()).read_now(read)
    }

    fn write_now(&self, write: &Write<'_>) -> Option<Result<SetOutcome>> {
        self.shown_of(write.key()).write_now(write)
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        self.shown_of(read.key()).read(read).await
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.shown_of(write.key()).write(write).await
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.shown_of(delete.key()).delete(delete).await
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        if let Some(mount) = self.only_mount(reads.keys().iter().map(|key| &**key)) {
            return self.shown(mount).read_many(reads).await.map_err(|error| mount.name(error));
        }
        let (fields, count) = (reads.fields(), reads.keys().len());
        let read_part = async |mount: &Mount, keys: Vec<(usize, Cow<'_, str>)>| {
            let (indices, keys): (Vec<usize>, Vec<Cow<'_, str>>) = keys.into_iter().unzip();
            let resolved = Resolver::new(mount.backend.capabilities()).read_many(keys.iter().cloned(), fields)?;
            let Some((part, _)) = resolved else { return Ok(Vec::new()) };
            let entries = self.shown(mount).read_many(part).await.map_err(|error| {
                // A position among these keys is none among all.
                match error.index().and_then(|index| keys.get(index)) {
                    Some(key) => error.with_key(key),
                    None => mount.name(error),
                }
            })?;
            if entries.len() != indices.len() {
                return Err(mount.name(Error::new(ErrorKind::Internal, "it answered another number of reads")));
            }
            Ok(indices.into_iter().zip(entries).collect())
        };
        let parts = self.split(reads.into_keys(), |key| key).into_iter();
        let answers = join_all(parts.map(|(mount, keys)| read_part(mount, keys))).await;
        let mut entries: Vec<Option<Entry>> = (0..count).map(|_| None).collect();
        for answer in answers {
            for (index, entry) in answer? {
                entries[index] = entry;
            }
        }
        Ok(entries)
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        if let Some(mount) = self.only_mount(writes.writes().iter().map(Write::key)) {
            return self.shown(mount).write_many(writes).await;
        }
        let count = writes.writes().len();
        let write_part = async |mount: &Mount, writes: Vec<(usize, Write<'_>)>| {
            let (indices, writes): (Vec<usize>, Vec<Write<'_>>) = writes.into_iter().unzip();
            let parts = writes.into_iter().map(|write| Ok(write.into_parts()));
            let (part, slots) = WriteParts::resolve_many(parts, &*mount.backend);
            let answers = match part {
                Some(part) => self.shown(mount).write_many(part).await,
                None => Vec::new(),
            };
            indices.into_iter().zip(slots.outcomes(answers)).collect::<Vec<_>>()
        };
        let parts = self.split(writes.into_writes(), Write::key).into_iter();
        let answers = join_all(parts.map(|(mount, writes)| write_part(mount, writes))).await;
        joined(count, answers.into_iter().flatten())
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        if let Some(mount) = self.only_mount(deletes.keys().iter().map(|key| &**key)) {
            return mount.backend.delete_many(deletes).await;
        }
        let count = deletes.keys().len();
        let delete_part = async |mount: &Mount, keys: Vec<(usize, Cow<'_, str>)>| {
            let (indices, keys): (Vec<usize>, Vec<Cow<'_, str>>) = keys.into_iter().unzip();
            let (part, slots) = Resolver::new(mount.backend.capabilities()).delete_many(keys);
            let answers = match part {
                Some(part) => mount.backend.delete_many(part).await,
                None => Vec::new(),
            };
            indices.into_iter().zip(Slots::from(slots).outcomes(answers)).collect::<Vec<_>>()
        };
        let parts = self.split(deletes.into_keys(), |key| key).into_iter();
        let answers = join_all(parts.map(|(mount, keys)| delete_part(mount, keys))).await;
        joined(count, answers.into_iter().flatten())
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        let mounts: Vec<usize> = writes.writes().iter().map(|write| self.mount_of(write.key())).collect();
        let Some(first) = mounts.first().copied() else { return Ok(BatchOutcome::Written(Vec::new())) };
        if let Some(index) = mounts.iter().position(|mount| *mount != first) {
            let message = "its key lies in another mount than that of the first item";
            return Err(Error::invalid(Reason::KeysApart, message).with_index(index));
        }
        let mount = &self.mounts[first];
        self.shown(mount).write_all_or_nothing(writes).await.map_err(|error| mount.name(error))
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        if self.is_ordered() { self.list_merged(&page).await } else { self.list_in_turn(&page).await }
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        self.backend_of(increment.key()).increment(increment).await
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        self.backend_of(expire.key()).expire(expire).await
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        self.shown_of(touch.key()).touch(touch).await
    }

    async fn get_and_delete(&self, request: GetAndDelete<'_>) -> Result<Option<Entry>> {
        self.shown_of(request.key()).get_and_delete(request).await
    }

    async fn ping(&self) -> Result<()> {
        self.with_all(|backend| backend.ping()).await
    }

    async fn close(&self) -> Result<()> {
        self.with_all(|backend| backend.close()).await
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mounted")?;
        f.debug_map().entries(self.mounts.iter().map(|mount| (&mount.prefix, &mount.backend))).finish()
    }
}
