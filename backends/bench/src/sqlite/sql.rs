//! The statements and settings of the peers that are SQL drivers: the same table as ours, and the same pragmas.

/// The table of kv-sqlite, with its index of expiries.
pub(crate) const SCHEMA: &str = "
CREATE TABLE kv (
    id INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL,
    key TEXT NOT NULL,
    kind INTEGER NOT NULL,
    version INTEGER NOT NULL,
    expires_at INTEGER,
    metadata TEXT,
    value BLOB NOT NULL,
    UNIQUE (namespace, key)
) STRICT;
CREATE INDEX kv_expires_at ON kv (expires_at) WHERE expires_at IS NOT NULL;";

/// 64 MiB of pages, statement journals in memory, a checkpoint each 4000 pages: what kv-sqlite's writer has.
pub(crate) const PRAGMAS: [(&str, &str); 5] = [
    ("journal_mode", "WAL"),
    ("synchronous", "FULL"),
    ("cache_size", "-65536"),
    ("temp_store", "MEMORY"),
    ("wal_autocheckpoint", "4000"),
];

/// How long a statement waits for another connection's lock.
pub(crate) const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

macro_rules! upsert {
    () => {
        "INSERT INTO kv (namespace, key, kind, version, expires_at, metadata, value) VALUES (1, $1, 2, 1, $2, $3, $4) \
         ON CONFLICT (namespace, key) DO UPDATE SET kind = 2, version = kv.version + 1, \
         expires_at = excluded.expires_at, metadata = excluded.metadata, value = excluded.value"
    };
}

/// Key, expiry, metadata, value.
pub(crate) const UPSERT: &str = upsert!();

/// The same, telling the new version: 1 where there was no row.
pub(crate) const UPSERT_RETURNING: &str = concat!(upsert!(), " RETURNING version");

/// Key, now.
pub(crate) const GET: &str =
    "SELECT kind, value FROM kv WHERE namespace = 1 AND key = $1 AND (expires_at IS NULL OR expires_at > $2)";

/// First key, first key beyond, now, limit.
pub(crate) const PAGE: &str = "SELECT key, expires_at, metadata FROM kv WHERE namespace = 1 AND key >= $1 AND key < $2 \
    AND (expires_at IS NULL OR expires_at > $3) ORDER BY key LIMIT $4";
