//! Every SQL text.
//!
//! Parameters are written `$1`, not `?1`: SQLite numbers names by their first use, so each statement of a text with
//! several has exactly the parameters it uses, and the driver finds the argument by the number in the name. None of the
//! texts holds a value or a count, so the driver's cache of prepared statements holds them all.
//!
//! "Live" is the same everywhere: no expiry, or one that lies after now (EXP-7).

/// How many expired rows one statement reclaims at most.
macro_rules! reclaim {
    ($now:literal) => {
        concat!(
            "DELETE FROM kv WHERE id IN (SELECT id FROM kv WHERE expires_at <= ",
            $now,
            " ORDER BY expires_at LIMIT 256)"
        )
    };
}

/// Rows out of two parameters: `$1` is a JSON array with one integer per row, `$2` the bytes of all rows; `pack.rs` has the
/// layout. Numbers that are cut out of the bytes cost less than those of an inner array. `LIMIT -1` keeps the subselect from
/// being flattened, which would cut the numbers out again for every use. `$3` is the namespace.
macro_rules! upsert {
    () => {
        "INSERT INTO kv (namespace, key, kind, version, expires_at, metadata, value) \
         SELECT $3, CAST(substr($2, p, k) AS TEXT), s & 7, v, \
         CASE WHEN s & 8 THEN CAST(substr($2, p - 20, 20) AS INTEGER) END, \
         CASE WHEN (s >> 4) & 65535 > 0 THEN CAST(substr($2, p + k, ((s >> 4) & 65535) - 1) AS TEXT) END, \
         substr($2, p + k + max(((s >> 4) & 65535) - 1, 0), s >> 20) \
         FROM (SELECT (value >> 16) + 60 AS p, value & 65535 AS k, CAST(substr($2, value >> 16, 20) AS INTEGER) AS s, \
         CAST(substr($2, (value >> 16) + 20, 20) AS INTEGER) AS v FROM json_each($1) LIMIT -1) \
         WHERE true \
         ON CONFLICT (namespace, key) DO UPDATE SET kind = excluded.kind, version = excluded.version, \
         expires_at = excluded.expires_at, metadata = excluded.metadata, value = excluded.value"
    };
}

/// Fails unless the statement before it changed this many rows: a trigger of another program can pass over a row without an
/// error, and then nothing may be committed. Outside of triggers SQL has no way to raise an error, but the one absolute
/// value that does not fit 64 bits is one.
macro_rules! changed {
    ($rows:literal) => {
        concat!("SELECT 1 WHERE abs(-9223372036854775808 + (changes() = ", $rows, ")) < 0")
    };
}

/// The state of a group's keys, as one text (see `packed_text.rs`): for each row found `position`, `id`, `version`, `expiry or
/// empty`, each followed by a comma. `$1` is a JSON array of packed offsets and lengths into `$2`; CROSS JOIN makes the array
/// the outer loop. Of the keys marked by a negative number the text also tells what an increment has to know: `kind`,
/// `whether there is metadata`, `bytes that follow`, and the beginning of the value.
macro_rules! state {
    ($more:literal) => {
        concat!(
            "SELECT group_concat(concat(j.key, ',', kv.id, ',', kv.version, ',', kv.expires_at, ','",
            $more,
            "), '') FROM json_each($1) j CROSS JOIN kv WHERE kv.namespace = $3 \
             AND kv.key = CAST(substr($2, abs(j.value) >> 16, abs(j.value) & 65535) AS TEXT)"
        )
    };
}

macro_rules! counter_state {
    () => {
        state!(
            ", CASE WHEN j.value < 0 THEN concat(kv.kind, ',', kv.metadata IS NOT NULL, ',', \
             min(octet_length(kv.value), 24), ',', substr(kv.value, 1, 24)) END"
        )
    };
}

/// Takes the write lock first: a plain BEGIN would take it after the read, and another process in between could not be
/// waited out.
pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(crate) const BEGIN_AND_STATE: &str = concat!("BEGIN IMMEDIATE; ", state!(""));
pub(crate) const BEGIN_AND_COUNTER_STATE: &str = concat!("BEGIN IMMEDIATE; ", counter_state!());
pub(crate) const STATE: &str = state!("");
pub(crate) const COUNTER_STATE: &str = counter_state!();
pub(crate) const UPSERT: &str = upsert!();
/// One row by parameters of its own: `$1` namespace, `$2` key, `$3` kind, `$4` version, `$5` expiry, `$6` metadata, `$7` value.
pub(crate) const UPSERT_ROW: &str = "INSERT INTO kv (namespace, key, kind, version, expires_at, metadata, value) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) \
    ON CONFLICT (namespace, key) DO UPDATE SET kind = excluded.kind, version = excluded.version, \
    expires_at = excluded.expires_at, metadata = excluded.metadata, value = excluded.value";
/// `$4` is a JSON array of the rows to delete, `$5` now, `$6` how many rows are deleted, and `$7` how many are written.
pub(crate) const FINISH: &str = concat!(
    "DELETE FROM kv WHERE id IN (SELECT value FROM json_each($4)); ",
    changed!("$6"),
    "; ",
    reclaim!("$5"),
    "; ",
    upsert!(),
    "; ",
    changed!("$7"),
    "; COMMIT"
);
/// Which of the statements of [`FINISH`] fail where a row was passed over, which one reclaims, and which one commits.
pub(crate) const FINISH_CHANGED_INDEXES: [usize; 2] = [1, 4];
pub(crate) const FINISH_RECLAIM_INDEX: usize = 2;
pub(crate) const FINISH_COMMIT_INDEX: usize = 5;
pub(crate) const COMMIT: &str = "COMMIT";
pub(crate) const ROLLBACK: &str = "ROLLBACK";
/// `$1` is now.
pub(crate) const RECLAIM: &str = reclaim!("$1");
/// `$1` is a JSON array of pairs: row, and expiry or null.
pub(crate) const EXPIRE_ROWS: &str = "UPDATE kv SET expires_at = j.e \
    FROM (SELECT value->>0 AS id, value->>1 AS e FROM json_each($1) LIMIT -1) j WHERE kv.id = j.id";

// Single writes. $1 namespace, $2 key, $3 kind, $4 version, $5 expiry, $6 metadata, $7 value, $8 now, $9 expected version.
// A version is twice a number, plus 1 where the write created the entry: so the row returned tells created from updated.
// No row returned: the condition was not met.

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

/// One increment. `$3` by, `$4` version, `$5` and `$6` the range, `$7` whether an expiring entry may be counted in, `$8`
/// now. The row returned holds the new value; none: refused, and [`COUNTER`] tells why. A sum that overflows 64 bits
/// becomes a real number in SQLite, hence `typeof`.
pub(crate) const INCREMENT: &str = "INSERT INTO kv (namespace, key, kind, version, expires_at, metadata, value) \
     SELECT $1, $2, 1, $4, NULL, NULL, CAST(CAST($3 AS TEXT) AS BLOB) \
     WHERE $3 BETWEEN $5 AND $6 OR EXISTS (SELECT 1 FROM kv WHERE namespace = $1 AND key = $2 \
     AND (expires_at IS NULL OR expires_at > $8)) \
     ON CONFLICT (namespace, key) DO UPDATE SET kind = excluded.kind, metadata = NULL, \
     version = CASE WHEN kv.expires_at <= $8 THEN excluded.version ELSE excluded.version - 1 END, \
     expires_at = CASE WHEN kv.expires_at <= $8 THEN NULL ELSE kv.expires_at END, \
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

/// Reserves `$1` version numbers and returns the first one after them. Synced to the disk whatever the durability: a number
/// handed out twice after a loss of power would be two contents under one version (VER-1).
pub(crate) const RESERVE_FULL: &str = "UPDATE meta SET next_version = next_version + $1 RETURNING next_version";
pub(crate) const RESERVE_NORMAL: &str = "PRAGMA synchronous = FULL; \
     UPDATE meta SET next_version = next_version + $1 RETURNING next_version; PRAGMA synchronous = NORMAL";

pub(crate) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

// Reads. $1 namespace, $2 key, $3 now.

pub(crate) const GET_EXISTENCE: &str =
    "SELECT 1 FROM kv WHERE namespace = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3)";
pub(crate) const GET_VALUE: &str =
    "SELECT kind, value FROM kv WHERE namespace = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3)";
pub(crate) const GET_ENTRY: &str = "SELECT kind, value, version, expires_at, metadata FROM kv \
     WHERE namespace = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3)";

/// Many keys, packed as for the state of a group; `$4` is now. Of a key marked by a negative number only the existence is
/// wanted.
macro_rules! get_many {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM json_each($1) j CROSS JOIN kv WHERE kv.namespace = $3 \
             AND kv.key = CAST(substr($2, abs(j.value) >> 16, abs(j.value) & 65535) AS TEXT) \
             AND (kv.expires_at IS NULL OR kv.expires_at > $4)"
        )
    };
}

/// The same as one text: for each entry found its position, a comma, and then either what is told of it, or a comma alone:
/// where only the existence is wanted, or where the entry is so large that a row of its own costs less than more copies.
macro_rules! get_many_packed {
    ($bytes:literal, $told:literal) => {
        get_many!(concat!(
            "group_concat(CASE WHEN j.value > 0 AND ",
            $bytes,
            " <= 4096 THEN concat(j.key, ',', kv.kind, ',', ",
            $told,
            ") ELSE concat(j.key, ',,') END, '')"
        ))
    };
}

/// Told are `kind`, `bytes of the value`, each followed by a comma, and the value.
pub(crate) const GET_MANY_VALUES: &str =
    get_many_packed!("octet_length(kv.value)", "octet_length(kv.value), ',', kv.value");
/// Told are `kind`, `version`, `expiry or empty`, `bytes of the metadata or empty`, `bytes of the value`, each followed by a
/// comma, then metadata and value.
pub(crate) const GET_MANY_ENTRIES: &str = get_many_packed!(
    "octet_length(kv.value) + ifnull(octet_length(kv.metadata), 0)",
    "kv.version, ',', kv.expires_at, ',', octet_length(kv.metadata), ',', octet_length(kv.value), ',', \
     kv.metadata, kv.value"
);
/// A row for each entry found: position, and the columns of the single reads.
pub(crate) const GET_MANY_VALUE_ROWS: &str = get_many!("j.key, kv.kind, kv.value");
pub(crate) const GET_MANY_ENTRY_ROWS: &str =
    get_many!("j.key, kv.kind, kv.value, kv.version, kv.expires_at, kv.metadata");

/// One page as one text, because a row costs more on its way than its content: for each entry `key bytes`, `expiry or
/// empty`, `metadata bytes or empty`, each followed by a comma, then key and metadata; metadata longer than `$6` is left
/// out. `$2` is the first key wanted, `$3` the first one beyond (an empty BLOB sorts after every text: no bound), `$4` now,
/// `$5` the number of entries.
pub(crate) const PAGE: &str = "SELECT group_concat(octet_length(key) || ',' || ifnull(expires_at, '') || ',' || \
     ifnull(octet_length(metadata), '') || ',' || key || \
     CASE WHEN octet_length(metadata) <= $6 THEN metadata ELSE '' END, '') \
     FROM (SELECT key, expires_at, metadata FROM kv WHERE namespace = $1 AND key >= $2 AND key < $3 \
     AND (expires_at IS NULL OR expires_at > $4) ORDER BY key LIMIT $5)";

pub(crate) const PING: &str = "SELECT 1 FROM namespaces WHERE id = $1";

// Opening.

/// What a file says it is: application, schema version, number of tables and the like, whether its text is UTF-8, and which
/// version of our schema its tables would be, 0 for none.
pub(crate) const IDENTITY: &str = "SELECT (SELECT application_id FROM pragma_application_id), \
     (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema), \
     (SELECT encoding = 'UTF-8' FROM pragma_encoding), \
     (SELECT CASE WHEN count(*) = 3 THEN 1 + EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'kv_expires_at') ELSE 0 END \
     FROM sqlite_schema WHERE type = 'table' AND name IN ('meta', 'namespaces', 'kv'))";
pub(crate) const USE_WAL: &str = "PRAGMA journal_mode = WAL";
/// Begins to write the mark that every file of ours has, and takes it back. The one statement that SQLite refuses for a file
/// that may only be read before it has read anything: before it has created a log.
pub(crate) const TRY_TO_WRITE: &str = "BEGIN; PRAGMA application_id = 1802924913; ROLLBACK";
pub(crate) const FILE_ID: &str = "SELECT file_id FROM meta WHERE id = 1";
pub(crate) const NAMESPACE: &str = "SELECT id FROM namespaces WHERE name = $1";
pub(crate) const CREATE_NAMESPACE: &str = "INSERT INTO namespaces (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
    use sqlx::{AssertSqlSafe, ConnectOptions, Row};

    async fn connection() -> SqliteConnection {
        let mut connection = SqliteConnectOptions::new().in_memory(true).connect().await.unwrap();
        sqlx::raw_sql(include_str!("schema.sql")).execute(&mut connection).await.unwrap();
        connection
    }

    /// The plan of a statement, one step a line.
    async fn plan(connection: &mut SqliteConnection, sql: &str, first: Option<&str>, beyond: Option<&str>) -> String {
        let query = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let query = sqlx::query(query).bind(1).bind(first.map(str::to_owned));
        let query = match beyond {
            Some(beyond) => query.bind(beyond.to_owned()),
            None => query.bind(Vec::new()),
        };
        let rows = query.bind(0).bind(10).bind(10).fetch_all(connection).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
    }

    #[tokio::test]
    async fn list_1_a_page_is_a_range_of_the_key_index_whatever_the_prefix_holds() {
        let mut connection = connection().await;
        for prefix in ["", "a", "%", "_", "*", "?", "[", "a%_", "\0", "'", "\u{10FFFF}"] {
            let beyond = crate::list::key_after(prefix);
            let plan = plan(&mut connection, PAGE, Some(prefix), beyond.as_deref()).await;
            assert!(plan.contains("SEARCH kv USING INDEX"), "{prefix:?}: {plan}");
            assert!(plan.contains("(namespace=? AND key>? AND key<?)"), "{prefix:?}: {plan}");
            assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN kv"), "{prefix:?}: {plan}");
        }
    }

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        let mut connection = connection().await;
        let statements = [
            STATE,
            COUNTER_STATE,
            EXPIRE_ROWS,
            RECLAIM,
            PUT,
            PUT_IF_NOT_EXISTS,
            PUT_IF_EXISTS,
            PUT_IF_VERSION,
            DELETE,
            DELETE_IF_VERSION,
            EXPIRE,
            INCREMENT,
            COUNTER,
            GET_EXISTENCE,
            GET_VALUE,
            GET_ENTRY,
            GET_MANY_VALUES,
            GET_MANY_ENTRIES,
            GET_MANY_VALUE_ROWS,
            GET_MANY_ENTRY_ROWS,
            PING,
        ];
        for sql in statements {
            let plan = plan(&mut connection, sql, None, None).await;
            assert!(!plan.contains("SCAN kv"), "{sql}: {plan}");
        }
        let plan = plan(&mut connection, RECLAIM, None, None).await;
        assert!(plan.contains("kv_expires_at"), "{plan}");
    }
}
