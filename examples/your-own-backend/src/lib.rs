//! A backend of your own, in one file: each entry is a file in a folder.
//!
//! It keeps text and bytes, can create without overwriting, and lists in order. Everything else is not declared, and so it
//! is refused for every caller before it gets here. `tests/conformance.rs` proves the rest.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use kv_api::{
    Backend, Capabilities, Condition, Consistency, Delete, DeleteOutcome, Entry, EntryExpiry, Error, ErrorKind,
    ItemLimit, ListItem, ListOrder, ListPage, RawPage, Read, Result, SetOutcome, SetStatus, Support, Value, ValueKind,
    ValueKinds, Write, async_trait,
};

/// What it can do. Nothing is declared by default, so this list is the whole truth.
static CAPABILITIES: Capabilities = Capabilities::new("folder")
    .with_value_kinds(ValueKinds::NONE.with(ValueKind::Text).with(ValueKind::Bytes))
    .with_if_not_exists(Support::Native)
    .with_expiry_read(true)
    .with_list(Support::Emulated, ListOrder::Lexicographic)
    .with_consistency(Consistency::Strong)
    .with_entry_snapshot(true)
    // Two digits for each byte, and a file name has 255 at most.
    .with_key_bytes(1, 127)
    .with_item_limits(&[ItemLimit::value_bytes(1024 * 1024)]);

/// A folder of files, one for each entry. The name is the key in hexadecimal digits, so that no key is a path and names
/// sort as keys do; the first byte says whether the rest is text or bytes.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

/// Files that are being written, numbered for the whole process: two handles to one folder must not share one.
static UNFINISHED: AtomicU64 = AtomicU64::new(0);

impl Folder {
    /// Opens the folder, and creates it where it is missing.
    ///
    /// # Errors
    /// `Misconfigured` when there is no folder at `path` and none can be made.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path)
            .map_err(|error| Error::new(ErrorKind::Misconfigured, "cannot create the folder").with_source(error))?;
        Ok(Self { path })
    }

    fn file(&self, key: &str) -> PathBuf {
        self.path.join(file_name(key))
    }

    /// Writes beside the entry and puts the whole file in its place, so that nobody ever reads half of one.
    fn put(&self, key: &str, value: &Value, place: fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
        let number = UNFINISHED.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.path.join(format!("unfinished-{}-{number}", std::process::id()));
        let written = fs::File::create_new(&unfinished).and_then(|mut file| {
            file.write_all(if value.kind() == ValueKind::Text { b"t" } else { b"b" })?;
            file.write_all(value.as_bytes())?;
            file.sync_all()
        });
        let placed = written.and_then(|()| place(&unfinished, &self.file(key)));
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => placed.and(Err(error)),
            _ => placed,
        }
    }
}

fn file_name(key: &str) -> String {
    key.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of a file, unless it is none of ours.
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

    fn scope(&self) -> &str {
        self.path.to_str().unwrap_or_default()
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let mut content = Vec::new();
        match fs::File::open(self.file(read.key())).and_then(|mut file| file.read_to_end(&mut content)) {
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
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        if *write.condition() == Condition::Always {
            self.put(write.key(), write.value(), |from, to| fs::rename(from, to)).map_err(explain)?;
            return Ok(SetOutcome::new(SetStatus::Stored));
        }
        // The other conditions are not declared, so this is IfNotExists. A link is never made over a file, and that is
        // decided by the system: of two callers one gets it.
        match self.put(write.key(), write.value(), |from, to| fs::hard_link(from, to)) {
            Ok(()) => Ok(SetOutcome::new(SetStatus::Created)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(SetOutcome::new(SetStatus::NotMet)),
            Err(error) => Err(explain(error)),
        }
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        match fs::remove_file(self.file(delete.key())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(explain(error)),
            _ => Ok(DeleteOutcome::Accepted),
        }
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let mut keys = Vec::new();
        for file in fs::read_dir(&self.path).map_err(explain)? {
            let name = file.map_err(explain)?.file_name();
            keys.extend(name.to_str().and_then(key_of).filter(|key| {
                let is_new = page.position().is_none_or(|last| key.as_bytes() > last);
                is_new && key.starts_with(page.prefix())
            }));
        }
        keys.sort_unstable();
        let limit = page.limit().get();
        let next = keys.get(limit).and(keys.get(limit - 1)).map(|last| last.clone().into_bytes());
        Ok(RawPage::new(keys.into_iter().take(limit).map(ListItem::new).collect(), next))
    }
}
