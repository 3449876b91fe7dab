//! The texts of all statements.
//!
//! `$1` is the namespace and `$2` the key, or the keys, unless a text says otherwise. Time is the server's, read where
//! it is compared: after a wait for a row's lock it is later than when the statement began. So is the time that a life
//! counts from: `excluded` was made before the wait, and so its `expires_at` is not taken over. (What waits for one
//! that is rolled back then, or has only locked the row, has been worked out before.) No text holds a dollar sign that
//! is not in front of a parameter, nor a string with a question of quoting, so that
//! [`Arguments`](crate::arguments::Arguments) can put literals in.

macro_rules! live {
    () => {
        "(expires_at IS NULL OR expires_at > clock_timestamp())"
    };
    ($table:literal) => {
        concat!("(", $table, ".expires_at IS NULL OR ", $table, ".expires_at > clock_timestamp())")
    };
}

/// When an entry ends, of a ttl in milliseconds and a time as text, of which at most one is given: up to whole
/// milliseconds (EXP-4).
macro_rules! deadline {
    ($ttl:literal, $at:literal) => {
        concat!(
            "coalesce(",
            $at,
            "::timestamptz, date_trunc('milliseconds', clock_timestamp() + interval '999 microseconds') + ",
            $ttl,
            " * interval '1 millisecond')"
        )
    };
}

/// The parts of an entry that only some reads want: version, expiry in milliseconds since 1970, metadata.
macro_rules! details {
    () => {
        "version, (date_part('epoch', expires_at) * 1000)::bigint, metadata"
    };
}

/// `$3` kind, `$4` ttl, `$5` time, `$6` metadata, `$7` value.
macro_rules! put {
    ($version:literal, $where:literal) => {
        concat!(
            "INSERT INTO kv AS old (namespace, key, kind, version, expires_at, metadata, value) \
             VALUES ($1, $2, $3, nextval('kv_version'), ",
            deadline!("$4::bigint", "$5::text"),
            ", $6, $7) ON CONFLICT (namespace, key) DO UPDATE SET kind = excluded.kind, version = ",
            $version,
            ", expires_at = ",
            deadline!("$4::bigint", "$5::text"),
            ", metadata = excluded.metadata, value = excluded.value",
            $where,
            " RETURNING version"
        )
    };
}

/// As above, with arrays.
macro_rules! put_many {
    ($version:literal, $where:literal) => {
        put_many!(
            $version,
            $where,
            deadline!("new.ttl", "new.at"),
            // Found by its key, as nothing but the columns of the table can be asked for. Where many lives differ that
            // takes its time.
            concat!(
                "CASE WHEN excluded.expires_at IS NOT NULL THEN ",
                deadline!(
                    "($4::bigint[])[array_position($2::bytea[], excluded.key)]",
                    "($5::text[])[array_position($2::bytea[], excluded.key)]"
                ),
                " END"
            ),
            "new.metadata",
            "$4::bigint[], $5::text[], $6::bytea[], $7::bytea[]",
            "ttl, at, metadata, value"
        )
    };
    (
        $version:literal,
        $where:literal,
        $deadline:expr,
        $deadline_over:expr,
        $metadata:literal,
        $arrays:literal,
        $columns:literal
    ) => {
        concat!(
            "INSERT INTO kv AS old (namespace, key, kind, version, expires_at, metadata, value) \
             SELECT $1, new.key, new.kind, nextval('kv_version'), ",
            $deadline,
            ", ",
            $metadata,
            ", new.value FROM unnest($2::bytea[], $3::smallint[], ",
            $arrays,
            ") AS new (key, kind, ",
            $columns,
            ") ON CONFLICT (namespace, key) DO UPDATE SET kind = excluded.kind, version = ",
            $version,
            ", expires_at = ",
            $deadline_over,
            ", metadata = excluded.metadata, value = excluded.value",
            $where,
            " RETURNING key, version"
        )
    };
}

/// One put. A row returned holds the new version; no row: the condition was not met.
pub(crate) const PUT: &str =
    put!("excluded.version - CASE WHEN old.expires_at <= clock_timestamp() THEN 0 ELSE 1 END", "");
pub(crate) const PUT_IF_NOT_EXISTS: &str = put!("excluded.version", " WHERE old.expires_at <= clock_timestamp()");
/// `$8` is the expected version, or null.
pub(crate) const PUT_OVER: &str = concat!(
    "UPDATE kv SET kind = $3, version = nextval('kv_version') - 1, expires_at = ",
    deadline!("$4::bigint", "$5::text"),
    ", metadata = $6, value = $7 WHERE namespace = $1 AND key = $2 AND ",
    live!(),
    " AND ($8::bigint IS NULL OR version = $8) RETURNING version"
);

/// Puts of distinct keys. A row for each that was carried out: key and new version.
pub(crate) const PUT_MANY: &str =
    put_many!("excluded.version - CASE WHEN old.expires_at <= clock_timestamp() THEN 0 ELSE 1 END", "");
/// The same where none has an expiry or metadata, which is usual: there is less to send and to work out. `$4` are the
/// values.
pub(crate) const PUT_MANY_PLAIN: &str = put_many!(
    "excluded.version - CASE WHEN old.expires_at <= clock_timestamp() THEN 0 ELSE 1 END",
    "",
    "NULL",
    "NULL",
    "NULL",
    "$4::bytea[]",
    "value"
);
/// The same where all have one life: `$4` ttl, `$5` time, `$6` metadata, `$7` values.
pub(crate) const PUT_MANY_OF_ONE_LIFE: &str = put_many!(
    "excluded.version - CASE WHEN old.expires_at <= clock_timestamp() THEN 0 ELSE 1 END",
    "",
    deadline!("$4::bigint", "$5::text"),
    deadline!("$4::bigint", "$5::text"),
    "new.metadata",
    "$6::bytea[], $7::bytea[]",
    "metadata, value"
);
pub(crate) const PUT_MANY_IF_NOT_EXISTS: &str =
    put_many!("excluded.version", " WHERE old.expires_at <= clock_timestamp()");
/// `$8` are the expected versions, or nulls.
pub(crate) const PUT_MANY_OVER: &str = concat!(
    "UPDATE kv SET kind = new.kind, version = nextval('kv_version') - 1, expires_at = ",
    deadline!("new.ttl", "new.at"),
    ", metadata = new.metadata, value = new.value FROM unnest($2::bytea[], $3::smallint[], $4::bigint[], $5::text[], \
     $6::bytea[], $7::bytea[], $8::bigint[]) AS new (key, kind, ttl, at, metadata, value, expected) \
     WHERE kv.namespace = $1 AND kv.key = new.key AND ",
    live!("kv"),
    " AND (new.expected IS NULL OR kv.version = new.expected) RETURNING kv.key, kv.version"
);

/// No row: there was none; else whether it was live.
pub(crate) const DELETE: &str = concat!("DELETE FROM kv WHERE namespace = $1 AND key = $2 RETURNING ", live!());
/// `$3` is the expected version. No row: not met.
pub(crate) const DELETE_IF_VERSION: &str =
    concat!("DELETE FROM kv WHERE namespace = $1 AND key = $2 AND version = $3 AND ", live!(), " RETURNING true");
/// A row for each that was there: key, and whether it was live.
pub(crate) const DELETE_MANY: &str =
    concat!("DELETE FROM kv WHERE namespace = $1 AND key = ANY($2::bytea[]) RETURNING key, ", live!());
/// `$3` ttl, `$4` time. No row: no live entry.
pub(crate) const EXPIRE: &str = concat!(
    "UPDATE kv SET expires_at = ",
    deadline!("$3::bigint", "$4::text"),
    " WHERE namespace = $1 AND key = $2 AND ",
    live!(),
    " RETURNING true"
);
/// The same with `$5`, the expected version. No row: no live entry of that version.
pub(crate) const EXPIRE_IF_VERSION: &str = concat!(
    "UPDATE kv SET expires_at = ",
    deadline!("$3::bigint", "$4::text"),
    " WHERE namespace = $1 AND key = $2 AND version = $5 AND ",
    live!(),
    " RETURNING true"
);

/// Changes a live entry and returns it. What no read can make an entry of is returned too, and left as it is.
macro_rules! returning_entry {
    ($statement:expr) => {
        concat!(
            "WITH changed AS (",
            $statement,
            " WHERE namespace = $1 AND key = $2 AND kind BETWEEN 0 AND 2 AND ",
            live!(),
            " RETURNING kind, value, ",
            details!(),
            ") SELECT * FROM changed UNION ALL SELECT kind, value, ",
            details!(),
            " FROM kv WHERE namespace = $1 AND key = $2 AND kind NOT BETWEEN 0 AND 2 AND ",
            live!()
        )
    };
}

/// `$3` ttl, `$4` time. The row returned has the new expiry. No row: no live entry.
pub(crate) const TOUCH: &str =
    returning_entry!(concat!("UPDATE kv SET expires_at = ", deadline!("$3::bigint", "$4::text")));
/// The row returned is the entry as it was. No row: no live entry.
pub(crate) const GET_AND_DELETE: &str = returning_entry!("DELETE FROM kv");

/// Whether the value is a JSON integer within 64 bits that stays in the range. The texts of such integers have at most
/// 20 bytes, one form, and are not looked at as numbers before that is known.
macro_rules! countable {
    () => {
        concat!(
            "old.kind = 1 AND old.metadata IS NULL AND ($6 OR old.expires_at IS NULL) AND CASE \
             WHEN octet_length(old.value) <= 20 AND encode(old.value, 'escape') ~ '^(0|-?[1-9][0-9]{0,18})$' \
             THEN encode(old.value, 'escape')::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 \
             AND encode(old.value, 'escape')::numeric + $3 BETWEEN $4 AND $5 ELSE false END"
        )
    };
}

macro_rules! counted {
    () => {
        "convert_to((encode(old.value, 'escape')::bigint + $3)::text, 'UTF8')"
    };
}

/// One increment from zero or of what is there: `$3` by, which is in the range, `$4` and `$5` the range, `$6` whether
/// an expiring entry may be counted in, `$7` the ttl of a new counter and `$8` its time. The row returned holds the new
/// value. No row: refused, and [`COUNTER`] says why.
pub(crate) const INCREMENT: &str = concat!(
    "INSERT INTO kv AS old (namespace, key, kind, version, expires_at, value) \
     VALUES ($1, $2, 1, nextval('kv_version'), ",
    deadline!("$7::bigint", "$8::text"),
    ", convert_to($3::bigint::text, 'UTF8')) \
     ON CONFLICT (namespace, key) DO UPDATE SET (kind, version, expires_at, metadata, value) = (SELECT 1, \
     CASE WHEN state.ended THEN excluded.version ELSE excluded.version - 1 END, \
     CASE WHEN state.ended THEN ",
    deadline!("$7::bigint", "$8::text"),
    " ELSE old.expires_at END, NULL::bytea, \
     CASE WHEN state.ended THEN excluded.value ELSE ",
    counted!(),
    " END FROM (SELECT coalesce(old.expires_at <= clock_timestamp(), false) AS ended) AS state) \
     WHERE old.expires_at <= clock_timestamp() OR (",
    countable!(),
    ") RETURNING convert_from(value, 'UTF8')::bigint"
);
/// The same where the step itself is out of the range, so that nothing can be counted from zero.
pub(crate) const INCREMENT_EXISTING: &str = concat!(
    "UPDATE kv AS old SET version = nextval('kv_version') - 1, value = ",
    counted!(),
    " WHERE namespace = $1 AND key = $2 AND ",
    live!("old"),
    " AND ",
    countable!(),
    " RETURNING convert_from(value, 'UTF8')::bigint"
);
/// What an increment has to know of a live entry.
pub(crate) const COUNTER: &str = concat!(
    "SELECT kind, metadata IS NOT NULL, substr(value, 1, 24), expires_at IS NOT NULL FROM kv \
     WHERE namespace = $1 AND key = $2 AND ",
    live!()
);

macro_rules! get {
    ($columns:expr) => {
        concat!("SELECT ", $columns, " FROM kv WHERE namespace = $1 AND key = $2 AND ", live!())
    };
}

macro_rules! get_many {
    ($columns:expr) => {
        concat!("SELECT ", $columns, " FROM kv WHERE namespace = $1 AND key = ANY($2::bytea[]) AND ", live!())
    };
}

pub(crate) const GET_EXISTENCE: &str = get!("true");
pub(crate) const GET_VALUE: &str = get!("kind, value");
pub(crate) const GET_ENTRY: &str = get!(concat!("kind, value, ", details!()));
pub(crate) const GET_MANY_EXISTENCE: &str = get_many!("key");
pub(crate) const GET_MANY_VALUES: &str = get_many!("key, kind, value");
pub(crate) const GET_MANY_ENTRIES: &str = get_many!(concat!("key, kind, value, ", details!()));

/// A page: `$2` the first key wanted, `$3` the number of entries, `$4` the first key beyond.
macro_rules! page {
    ($beyond:literal) => {
        concat!(
            "SELECT key, octet_length(value)::bigint, ",
            "(date_part('epoch', expires_at) * 1000)::bigint, metadata FROM kv \
             WHERE namespace = $1 AND key >= $2",
            $beyond,
            " AND ",
            live!(),
            " ORDER BY key LIMIT $3"
        )
    };
}

pub(crate) const PAGE: &str = page!("");
pub(crate) const PAGE_BELOW: &str = page!(" AND key < $4");

pub(crate) const PING: &str = "SELECT true FROM kv_meta WHERE id = 1";

/// A step of reclamation, by one process at a time: `$1` the number of rows, `$2` the lock. Rows that others hold are
/// left to them. `statement_timestamp()` is no later than the true time, and an index can be asked for it.
pub(crate) const RECLAIM: &str = "WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($2) AS is_ours), \
     ended AS MATERIALIZED (SELECT namespace, key FROM kv WHERE (SELECT is_ours FROM turn) \
     AND expires_at <= statement_timestamp() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED) \
     DELETE FROM kv USING ended WHERE kv.namespace = ended.namespace AND kv.key = ended.key \
     AND kv.expires_at <= statement_timestamp() RETURNING true";

pub(crate) const BEGIN: &str = "BEGIN";
pub(crate) const COMMIT: &str = "COMMIT";
pub(crate) const ROLLBACK: &str = "ROLLBACK";

/// What there is in the database, without touching any of it. `$1` is the namespace, which its encoding has to know.
pub(crate) const IDENTITY: &str = "SELECT current_setting('server_version_num')::integer, \
     to_regclass('kv_meta') IS NOT NULL, \
     to_regclass('kv') IS NOT NULL OR to_regclass('kv_version') IS NOT NULL, \
     coalesce((SELECT string_agg(attname || ' ' || format_type(atttypid, NULL), ', ' ORDER BY attname COLLATE \"C\") \
     FROM pg_attribute WHERE attrelid = to_regclass('kv') AND attnum > 0 AND NOT attisdropped \
     AND attname IN ('namespace', 'key', 'kind', 'version', 'expires_at', 'metadata', 'value')), ''), \
     current_setting('bytea_output'), $1";
pub(crate) const META: &str = "SELECT schema_version, store_id FROM kv_meta WHERE id = 1";
/// Held while the tables are created: of any number of processes that try, one does it.
pub(crate) const LOCK_SCHEMA: &str = "SELECT pg_advisory_xact_lock(7743170961228517221)";
/// The lock of [`RECLAIM`].
pub(crate) const RECLAIM_LOCK: i64 = 7_743_170_961_228_517_222;
