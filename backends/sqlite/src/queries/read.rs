//! The texts of readers. `$1` namespace, `$2` key, `$3` now, unless a text says otherwise.

pub(crate) const GET_EXISTENCE: &str =
    "SELECT 1 FROM kv WHERE namespace = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3)";
pub(crate) const GET_VALUE: &str =
    "SELECT kind, value FROM kv WHERE namespace = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3)";
pub(crate) const GET_ENTRY: &str = "SELECT kind, value, version, expires_at, metadata FROM kv \
     WHERE namespace = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3)";

/// The same by the id of the row, `$1`, which is known to be live.
pub(crate) const GET_ROW: &str = "SELECT kind, value, version, expires_at, metadata FROM kv WHERE id = $1";

/// Many keys, packed as for the state of a group; `$4` is now. Of a key marked by a negative number only the existence
/// is wanted.
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

/// The same as one text: for each entry found its position, a comma, and then either what it holds, or a comma
/// alone: where only the existence is wanted, or where the entry is so large that a row of its own costs less than more
/// copies.
macro_rules! get_many_packed {
    ($bytes:literal, $content:literal) => {
        get_many!(concat!(
            "group_concat(CASE WHEN j.value > 0 AND ",
            $bytes,
            " <= 4096 THEN concat(j.key, ',', kv.kind, ',', ",
            $content,
            ") ELSE concat(j.key, ',,') END, '')"
        ))
    };
}

/// An entry is `kind`, `bytes of the value`, each followed by a comma, and the value.
pub(crate) const GET_MANY_VALUES: &str =
    get_many_packed!("octet_length(kv.value)", "octet_length(kv.value), ',', kv.value");
/// An entry is `kind`, `version`, `expiry or empty`, `bytes of the metadata or empty`, `bytes of the value`, each
/// followed by a comma, then metadata and value.
pub(crate) const GET_MANY_ENTRIES: &str = get_many_packed!(
    "octet_length(kv.value) + ifnull(octet_length(kv.metadata), 0)",
    "kv.version, ',', kv.expires_at, ',', octet_length(kv.metadata), ',', octet_length(kv.value), ',', \
     kv.metadata, kv.value"
);
/// A row for each entry found: position, and the columns of the single reads.
pub(crate) const GET_MANY_VALUE_ROWS: &str = get_many!("j.key, kv.kind, kv.value");
pub(crate) const GET_MANY_ENTRY_ROWS: &str =
    get_many!("j.key, kv.kind, kv.value, kv.version, kv.expires_at, kv.metadata");

/// One page as one text, because a row costs more on its way than its content: for each entry `lengths`, `expiry or
/// empty`, `metadata bytes or empty`, each followed by a comma, then key and metadata; metadata longer than `$6` is
/// left out. `lengths` is one number, since each further one costs a tenth of the page: the bytes of the value above
/// bit 31, those of the key below. The bytes of the value are asked for where the row is at hand, so that they come
/// from its header and the value is not read. `$2` is the first key wanted, `$3` the first one beyond (an empty BLOB
/// sorts after every text: no bound), `$4` now, `$5` the number of entries: as a bare parameter it would be part of the
/// plan, and the statement would be prepared again for each page.
pub(crate) const PAGE: &str = "SELECT group_concat((value_bytes << 32 | octet_length(key)) || ',' || \
     ifnull(expires_at, '') || ',' || ifnull(octet_length(metadata), '') || ',' || key || \
     CASE WHEN octet_length(metadata) <= $6 THEN metadata ELSE '' END, '') \
     FROM (SELECT key, expires_at, metadata, octet_length(value) AS value_bytes FROM kv \
     WHERE namespace = $1 AND key >= $2 AND key < $3 \
     AND (expires_at IS NULL OR expires_at > $4) ORDER BY key LIMIT $5 + 0)";

pub(crate) const PING: &str = "SELECT 1 FROM namespaces WHERE id = $1";
