//! The texts of one operation: a condition and what it leads to in one statement, which is its own transaction.
//!
//! Parameters: `$1` namespace, `$2` key, `$3` kind, `$4` version, `$5` expiry, `$6` metadata, `$7` value, `$8` now,
//! `$9` expected version, unless a text says otherwise.
//!
//! A version is twice a number, plus 1 where the write created the entry: so the row returned distinguishes created
//! from updated. No row returned: nothing was changed.

macro_rules! put {
    ($where:literal) => {
        concat!(
            "INSERT INTO kv (namespace, key, kind, version, expires_at, metadata, value) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (namespace, key) DO UPDATE SET kind = excluded.kind, \
             version = CASE WHEN kv.expires_at <= $8 THEN excluded.version ELSE excluded.version - 1 END, \
             expires_at = excluded.expires_at, metadata = excluded.metadata, value = excluded.value",
            $where,
            " RETURNING version"
        )
    };
}

macro_rules! put_over {
    ($where:literal) => {
        concat!(
            "UPDATE kv SET kind = $3, version = $4 - 1, expires_at = $5, metadata = $6, value = $7 \
             WHERE namespace = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $8)",
            $where,
            " RETURNING version"
        )
    };
}

pub(crate) const PUT: &str = put!("");
pub(crate) const PUT_IF_NOT_EXISTS: &str = put!(" WHERE kv.expires_at <= $8");
pub(crate) const PUT_IF_EXISTS: &str = put_over!("");
pub(crate) const PUT_IF_VERSION: &str = put_over!(" AND version = $9");

/// `$3` is now. No row: there was none; else whether it was live.
pub(crate) const DELETE: &str =
    "DELETE FROM kv WHERE namespace = $1 AND key = $2 RETURNING (expires_at IS NULL OR expires_at > $3)";
/// `$3` is now, `$4` the expected version. No row: not met.
pub(crate) const DELETE_IF_VERSION: &str = "DELETE FROM kv WHERE namespace = $1 AND key = $2 AND version = $4 \
     AND (expires_at IS NULL OR expires_at > $3) RETURNING 1";
/// `$3` is now, `$4` the new expiry. No row: no live entry.
pub(crate) const EXPIRE: &str = "UPDATE kv SET expires_at = $4 WHERE namespace = $1 AND key = $2 \
     AND (expires_at IS NULL OR expires_at > $3) RETURNING 1";

/// The same with `$5`, the expected version. No row: no live entry of that version.
pub(crate) const EXPIRE_IF_VERSION: &str = "UPDATE kv SET expires_at = $4 WHERE namespace = $1 AND key = $2 \
     AND version = $5 AND (expires_at IS NULL OR expires_at > $3) RETURNING 1";

/// A row that a read can make an entry of, and then what the read needs, in the order of the columns of
/// [`GET_ENTRY`](super::read::GET_ENTRY). What cannot be read is neither touched nor taken.
macro_rules! returning_entry {
    ($statement:literal) => {
        concat!(
            $statement,
            " WHERE namespace = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3) AND kind BETWEEN 0 AND 2 \
             RETURNING kind, value, version, expires_at, metadata"
        )
    };
}
/// `$3` is now, `$4` the new expiry. No row: no live entry.
pub(crate) const TOUCH: &str = returning_entry!("UPDATE kv SET expires_at = $4");
/// `$3` is now. No row: no live entry.
pub(crate) const GET_AND_DELETE: &str = returning_entry!("DELETE FROM kv");

/// One increment. `$3` by, `$4` version, `$5` and `$6` the range, `$7` whether an expiring entry may be counted in,
/// `$8` now, `$9` the expiry of a new counter. The row returned holds the new value. No row: refused, and [`COUNTER`]
/// says why. A sum that overflows 64 bits becomes a real number in SQLite, hence `typeof`.
pub(crate) const INCREMENT: &str = "INSERT INTO kv (namespace, key, kind, version, expires_at, metadata, value) \
     SELECT $1, $2, 1, $4, $9, NULL, CAST(CAST($3 AS TEXT) AS BLOB) \
     WHERE $3 BETWEEN $5 AND $6 OR EXISTS (SELECT 1 FROM kv WHERE namespace = $1 AND key = $2 \
     AND (expires_at IS NULL OR expires_at > $8)) \
     ON CONFLICT (namespace, key) DO UPDATE SET kind = excluded.kind, metadata = NULL, \
     version = CASE WHEN kv.expires_at <= $8 THEN excluded.version ELSE excluded.version - 1 END, \
     expires_at = CASE WHEN kv.expires_at <= $8 THEN excluded.expires_at ELSE kv.expires_at END, \
     value = CASE WHEN kv.expires_at <= $8 THEN excluded.value \
     ELSE CAST(CAST(CAST(CAST(kv.value AS TEXT) AS INTEGER) + $3 AS TEXT) AS BLOB) END \
     WHERE kv.expires_at <= $8 OR (kv.kind = 1 AND kv.metadata IS NULL AND ($7 OR kv.expires_at IS NULL) \
     AND length(kv.value) <= 20 \
     AND CAST(CAST(CAST(CAST(kv.value AS TEXT) AS INTEGER) AS TEXT) AS BLOB) = kv.value \
     AND typeof(CAST(CAST(kv.value AS TEXT) AS INTEGER) + $3) = 'integer' \
     AND CAST(CAST(kv.value AS TEXT) AS INTEGER) + $3 BETWEEN $5 AND $6) \
     RETURNING value";
/// What an increment has to know of one key: `$1` namespace, `$2` key.
pub(crate) const COUNTER: &str = "SELECT id, version, expires_at, kind, metadata IS NOT NULL, substr(value, 1, 24) \
     FROM kv WHERE namespace = $1 AND key = $2";
