//! The texts of a group: read the state of many keys, and write what came out, in one transaction of two statements.
//!
//! Keys and rows travel as two parameters, a JSON array of integers and the bytes that they point into; `pack.rs` has
//! the layout, and the texts here take it apart. What is read comes back as one text, which `packed_text.rs` takes
//! apart.

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

/// Writes the rows in two parameters: `$1` is the list, `$2` the bytes, `$3` the namespace. `$4` is taken off the version
/// of a row that is there already: 1 where the rows have the versions of new ones, since their state was not read.
///
/// `x` is the number of a row in the list: the position of the key is `x >> 36`, its length `x >> 20 & 65535`, and that
/// of the value `x >> 5 & 32767`. What is cut out is, in the order of the columns, the key, the kind, the version, the
/// expiry, the metadata and the value. `LIMIT -1` keeps the inner SELECT from being flattened, which would read the
/// number out of the list again for every use.
macro_rules! upsert {
    () => {
        "INSERT INTO kv (namespace, key, kind, version, expires_at, metadata, value) \
         SELECT $3, CAST(substr($2, x >> 36, x >> 20 & 65535) AS TEXT), x & 7, \
         CAST(substr($2, (x >> 36) - 20, 20) AS INTEGER), \
         CASE WHEN x & 8 THEN CAST(substr($2, (x >> 36) - 40, 20) AS INTEGER) END, \
         CASE WHEN x & 16 THEN CAST(substr($2, (x >> 36) + (x >> 20 & 65535) + (x >> 5 & 32767) + 6, \
         CAST(substr($2, (x >> 36) + (x >> 20 & 65535) + (x >> 5 & 32767), 6) AS INTEGER)) AS TEXT) END, \
         substr($2, (x >> 36) + (x >> 20 & 65535), x >> 5 & 32767) \
         FROM (SELECT value AS x FROM json_each($1) LIMIT -1) \
         WHERE true \
         ON CONFLICT (namespace, key) DO UPDATE SET kind = excluded.kind, version = excluded.version - $4, \
         expires_at = excluded.expires_at, metadata = excluded.metadata, value = excluded.value"
    };
}

/// Fails unless the statement before it changed this many rows: a trigger of another program can pass over a row
/// without an error, and then nothing may be committed. Outside of triggers SQL has no way to raise an error, but the
/// one absolute value that does not fit 64 bits is one.
macro_rules! changed {
    ($rows:literal) => {
        concat!("SELECT 1 WHERE abs(-9223372036854775808 + (changes() = ", $rows, ")) < 0")
    };
}

/// The state of a group's keys, as one text (see `packed_text.rs`): for each row found `position`, `id`, `version`,
/// `expiry or empty`, each followed by a comma. `$1` is a JSON array of packed offsets and lengths into `$2`; CROSS
/// JOIN makes the array the outer loop. `$4` and `$5` are the first and the last of the keys: where the file has nothing
/// from the one to the other, as when keys count up, no key is looked for by itself. Of the keys marked by a negative
/// number the text also has what an increment needs: `kind`, `whether there is metadata`, `bytes that follow`, and the
/// beginning of the value.
macro_rules! state {
    ($more:literal) => {
        concat!(
            "SELECT group_concat(concat(j.key, ',', kv.id, ',', kv.version, ',', kv.expires_at, ','",
            $more,
            "), '') FROM json_each($1) j CROSS JOIN kv \
             WHERE EXISTS (SELECT 1 FROM kv WHERE namespace = $3 AND key >= $4 AND key <= $5) \
             AND kv.namespace = $3 AND kv.key = CAST(substr($2, abs(j.value) >> 16, abs(j.value) & 65535) AS TEXT)"
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

pub(crate) const BEGIN_AND_STATE: &str = concat!("BEGIN IMMEDIATE; ", state!(""));

pub(crate) const BEGIN_AND_COUNTER_STATE: &str = concat!("BEGIN IMMEDIATE; ", counter_state!());

pub(crate) const STATE: &str = state!("");

pub(crate) const COUNTER_STATE: &str = counter_state!();

/// What tells whether the state of keys has to be read before they are put: the highest id, and the first expiry.
macro_rules! bounds {
    () => {
        "SELECT (SELECT max(id) FROM kv), (SELECT min(expires_at) FROM kv WHERE expires_at IS NOT NULL)"
    };
}

pub(crate) const BEGIN_AND_BOUNDS: &str = concat!("BEGIN IMMEDIATE; ", bounds!());

pub(crate) const BOUNDS: &str = bounds!();

/// The versions of the rows with an id above the parameter, as one text.
macro_rules! created {
    ($above:literal) => {
        concat!("SELECT group_concat(version || ',', '') FROM kv WHERE id > ", $above)
    };
}

/// `$1` is the highest id before the rows were written.
pub(crate) const CREATED: &str = created!("$1");

pub(crate) const UPSERT: &str = upsert!();

/// One row by parameters of its own: `$1` namespace, `$2` key, `$3` kind, `$4` version, `$5` expiry, `$6` metadata,
/// `$7` value, and `$8` as `$4` of many rows.
pub(crate) const UPSERT_ROW: &str = "INSERT INTO kv (namespace, key, kind, version, expires_at, metadata, value) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) \
    ON CONFLICT (namespace, key) DO UPDATE SET kind = excluded.kind, version = excluded.version - $8, \
    expires_at = excluded.expires_at, metadata = excluded.metadata, value = excluded.value";

/// `$1` is a JSON array of the rows to delete.
pub(crate) const DELETE_ROWS: &str = "DELETE FROM kv WHERE id IN (SELECT value FROM json_each($1))";

/// A text that ends a transaction, and the places of its statements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish {
    pub(crate) text: &'static str,
    /// Those that fail where a row was passed over.
    pub(crate) changed: &'static [usize],
    pub(crate) reclaim: Option<usize>,
    pub(crate) commit: usize,
}

/// `$5` is how many rows are written, `$6` a JSON array of the rows to delete, `$7` now, and `$8` how many rows are
/// deleted.
pub(crate) const FINISH: Finish = Finish {
    text: concat!(
        "DELETE FROM kv WHERE id IN (SELECT value FROM json_each($6)); ",
        changed!("$8"),
        "; ",
        reclaim!("$7"),
        "; ",
        upsert!(),
        "; ",
        changed!("$5"),
        "; COMMIT"
    ),
    changed: &[1, 4],
    reclaim: Some(2),
    commit: 5,
};

/// For rows whose state was not read: nothing is deleted, and nothing has expired. `$5` is how many rows are written,
/// `$6` the highest id before. Its row is that of [`CREATED`].
pub(crate) const FINISH_UNREAD: Finish = Finish {
    text: concat!(upsert!(), "; ", changed!("$5"), "; ", created!("$6"), "; COMMIT"),
    changed: &[1],
    reclaim: None,
    commit: 3,
};

/// `$1` is now.
pub(crate) const RECLAIM: &str = reclaim!("$1");

/// `$1` is a JSON array of pairs: row, and expiry or null.
pub(crate) const EXPIRE_ROWS: &str = "UPDATE kv SET expires_at = j.e \
    FROM (SELECT value->>0 AS id, value->>1 AS e FROM json_each($1) LIMIT -1) j WHERE kv.id = j.id";
