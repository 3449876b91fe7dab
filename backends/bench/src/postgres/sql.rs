//! The statements of the peers that are SQL drivers, on a table equal to ours.

/// The table of kv-postgres under another name, with its sequence of versions and its index of expiries.
pub(crate) const SCHEMA: [&str; 3] = [
    "CREATE SEQUENCE peer_version AS bigint",
    "CREATE TABLE peer (
        namespace text COLLATE \"C\" NOT NULL,
        key bytea NOT NULL,
        kind smallint NOT NULL,
        version bigint NOT NULL DEFAULT nextval('peer_version'),
        expires_at timestamptz CHECK (isfinite(expires_at)),
        metadata bytea,
        value bytea NOT NULL,
        PRIMARY KEY (namespace, key)
    )",
    "CREATE INDEX peer_expires_at ON peer (expires_at) WHERE expires_at IS NOT NULL",
];

macro_rules! on_conflict {
    () => {
        " ON CONFLICT (namespace, key) DO UPDATE SET kind = excluded.kind, value = excluded.value, \
         metadata = excluded.metadata, expires_at = excluded.expires_at, version = excluded.version"
    };
}

macro_rules! insert {
    () => {
        "INSERT INTO peer (namespace, key, kind, value, metadata, expires_at, version) \
         VALUES ('bench', $1, 0, $2, $3, clock_timestamp() + $4 * interval '1 millisecond', nextval('peer_version'))"
    };
}

macro_rules! unnest {
    () => {
        "INSERT INTO peer (namespace, key, kind, value, metadata, expires_at, version) \
         SELECT 'bench', key, 0, value, metadata, clock_timestamp() + ttl * interval '1 millisecond', nextval('peer_version') \
         FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[]) AS entry (key, value, metadata, ttl)"
    };
}

/// Key, value, metadata, milliseconds to live; answers the version, and whether there was no row.
pub(crate) const UPSERT: &str = concat!(insert!(), on_conflict!(), " RETURNING version, xmax = 0");

/// The same, where there is no live row; answers the version if it wrote.
pub(crate) const UPSERT_IF_NOT_EXISTS: &str =
    concat!(insert!(), on_conflict!(), " WHERE peer.expires_at <= clock_timestamp() RETURNING version");

/// Arrays of the same; answers nothing.
pub(crate) const UPSERT_MANY: &str = concat!(unnest!(), on_conflict!());

/// Arrays of the same; answers key, version, and whether there was no row.
pub(crate) const UPSERT_MANY_RETURNING: &str = concat!(unnest!(), on_conflict!(), " RETURNING key, version, xmax = 0");

/// Key.
pub(crate) const GET: &str = "SELECT kind, value FROM peer \
    WHERE namespace = 'bench' AND key = $1 AND (expires_at IS NULL OR expires_at > clock_timestamp())";

/// An array of keys.
pub(crate) const GET_MANY: &str = "SELECT key, kind, value FROM peer \
    WHERE namespace = 'bench' AND key = ANY($1) AND (expires_at IS NULL OR expires_at > clock_timestamp())";

/// First key, first key beyond, limit.
pub(crate) const PAGE: &str = "SELECT key, octet_length(value)::bigint, expires_at, metadata FROM peer WHERE namespace = 'bench' AND key >= $1 AND key < $2 \
    AND (expires_at IS NULL OR expires_at > clock_timestamp()) ORDER BY key LIMIT $3";
