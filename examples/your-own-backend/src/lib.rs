//! A backend of your own, in one file: each entry is a file in a folder.
//!
//! It keeps text and bytes, can create without overwriting, and lists in order. It supports nothing else, so everything
//! else is refused before a call gets here. `tests/conformance.rs` proves the rest.
//!
//! Files are read and written on tokio's threads for blocking work. A blocking call inside an `async fn` would stop
//! every other task on its thread, deadlines included.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kv_api::{
    Backend, Capabilities, Clock, Condition, Consistency, Delete, DeleteOutcome, Entry, EntryExpiry, Error, ErrorKind,
    ItemLimit, ListItem, ListOrder, ListPage, Method, Methods, RawPage, Read, Result, SetOutcome, SetStatus, Support,
    SystemClock, Value, ValueKind, ValueKinds, Write, async_trait,
};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

/// What it supports. The default is nothing, so this list is the whole truth.
static CAPABILITIES: Capabilities = Capabilities::new("folder")
    .with_value_kinds(ValueKinds::NONE.with(ValueKind::Text).with(ValueKind::Bytes))
    .with_if_not_exists(Support::Native)
    .with_expiry_read(true)
    .with_list(Support::Emulated, ListOrder::Lexicographic)
    .with_consistency(Consistency::Strong)
    .with_entry_snapshot(true)
    // Two digits for each byte, and a file name has 255 at most.
    .with_key_bytes(1, 127)
    .with_item_limits(const { &[ItemLimit::value_bytes(1024 * 1024)] });

/// A folder of files, one for each entry. The name is the key in hexadecimal digits, so that no key is a path and names
/// sort as keys do; the first byte says whether the rest is text or bytes.
#[derive(Debug)]
pub struct Folder {
    path: Arc<Path>,
    /// The path as text: absolute and without links, so that it is the same in every process (NS-3).
    scope: String,
    /// Held by the write or delete that is under way, also when its caller has dropped it: work on a thread cannot be
    /// stopped, and must not overtake a later write.
    writing: Arc<Mutex<()>>,
}

/// Files that are being written, numbered for the whole process: two handles to one folder must not share one.
static UNFINISHED: AtomicU64 = AtomicU64::new(0);

impl Folder {
    /// Opens the folder, and creates it where it is missing.
    ///
    /// # Errors
    /// `Misconfigured` when the folder does not exist and cannot be created, when its path is not UTF-8, or outside of
    /// a tokio runtime.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let path = on_blocking_thread(move || {
            fs::create_dir_all(&path)
                .and_then(|()| fs::canonicalize(&path))
                .map_err(|error| Error::new(ErrorKind::Misconfigured, "cannot create the folder").with_source(error))
        })
        .await?;
        let scope = path.to_str().map(str::to_owned);
        let scope = scope.ok_or_else(|| Error::new(ErrorKind::Misconfigured, "the path of the folder is not UTF-8"))?;
        Ok(Self { path: path.into(), scope, writing: Arc::default() })
    }

    fn file(&self, key: &str) -> PathBuf {
        self.path.join(file_name(key))
    }

    /// Work that changes files, one at a time.
    async fn change<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let turn = Arc::clone(&self.writing).lock_owned().await;
        on_blocking_thread(move || {
            let result = work();
            drop(turn);
            result
        })
        .await
    }
}

/// Runs blocking work on a thread that may be blocked. Dropping the future does not stop the work: it runs to its end,
/// so an entry is old or new and never half of each (ERR-6).
async fn on_blocking_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let runtime = Handle::try_current()
        .map_err(|_| Error::new(ErrorKind::Misconfigured, "a folder store needs a tokio runtime"))?;
    // Without a result it is not known what was done: `Unavailable` says that the outcome is unknown.
    runtime.spawn_blocking(work).await.map_err(|_| Error::new(ErrorKind::Unavailable, "the runtime has ended"))?
}

/// Writes beside the entry and puts the whole file in its place, so that no reader ever sees half of one.
fn put(folder: &Path, file: &Path, value: &Value, place: fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    let number = UNFINISHED.fetch_add(1, Ordering::Relaxed);
    let unfinished = folder.join(format!("unfinished-{}-{number}", std::process::id()));
    let written = fs::File::create_new(&unfinished).and_then(|mut file| {
        file.write_all(if value.kind() == ValueKind::Text { b"t" } else { b"b" })?;
        file.write_all(value.as_bytes())?;
        file.sync_all()
    });
    let placed = written.and_then(|()| place(&unfinished, file));
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => placed.and(Err(error)),
        _ => placed,
    }
}

fn file_name(key: &str) -> String {
    key.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of a file; `None` for a file that is not an entry.
fn key_of(name: &str) -> Option<String> {
    let pairs = name.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    let bytes = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<Vec<u8>>>()?;
    String::from_utf8(bytes).ok().filter(|key| file_name(key) == name)
}

/// What an operating system says about a file, as the contract's kinds.
fn explain(error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Unauthorized,
        io::ErrorKind::NotFound => ErrorKind::Misconfigured,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Exhausted,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, "a file cannot be used")
        .with_native_code(error.raw_os_error().unwrap_or_default())
        .with_source(error)
}

#[async_trait]
impl Backend for Folder {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn methods(&self) -> Methods {
        Methods::NONE.with(Method::List)
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }

    fn scope(&self) -> &str {
        &self.scope
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let file = self.file(read.key());
        on_blocking_thread(move || {
            let mut content = Vec::new();
            match fs::File::open(file).and_then(|mut file| file.read_to_end(&mut content)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                result => result.map_err(explain)?,
            };
            let kind = match content.first() {
                Some(b't') => ValueKind::Text,
                Some(b'b') => ValueKind::Bytes,
                _ => return Err(Error::new(ErrorKind::Protocol, "the file was not written by this backend")),
            };
            let value = Value::from_stored(kind, content.split_off(1).into());
            Ok(Some(Entry::with_details(value, None, EntryExpiry::Never, None)))
        })
        .await
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        let (folder, file, value) = (Arc::clone(&self.path), self.file(write.key()), write.value().clone());
        let unconditional = *write.condition() == Condition::Always;
        self.change(move || {
            if unconditional {
                put(&folder, &file, &value, |from, to| fs::rename(from, to)).map_err(explain)?;
                return Ok(SetOutcome::new(SetStatus::Stored));
            }
            // The only condition that is supported is IfNotExists. A link is never made over a file, and that is
            // decided by the operating system: of two callers one gets it.
            match put(&folder, &file, &value, |from, to| fs::hard_link(from, to)) {
                Ok(()) => Ok(SetOutcome::new(SetStatus::Created)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(SetOutcome::new(SetStatus::NotMet)),
                Err(error) => Err(explain(error)),
            }
        })
        .await
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        let file = self.file(delete.key());
        self.change(move || match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(explain(error)),
            _ => Ok(DeleteOutcome::Accepted),
        })
        .await
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let (folder, limit) = (Arc::clone(&self.path), page.limit().get());
        let (prefix, last) = (page.prefix().to_owned(), page.position().map(<[u8]>::to_vec));
        on_blocking_thread(move || {
            let mut keys = Vec::new();
            for file in fs::read_dir(folder).map_err(explain)? {
                let name = file.map_err(explain)?.file_name();
                keys.extend(name.to_str().and_then(key_of).filter(|key| {
                    let is_new = last.as_deref().is_none_or(|last| key.as_bytes() > last);
                    is_new && key.starts_with(&prefix)
                }));
            }
            keys.sort_unstable();
            let next = keys.get(limit).and(keys.get(limit - 1)).map(|last| last.clone().into_bytes());
            Ok(RawPage::new(keys.into_iter().take(limit).map(ListItem::new).collect(), next))
        })
        .await
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
