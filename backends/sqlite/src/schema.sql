-- Version 2 of the file. A change here is a new version: raise CURRENT in schema.rs and add a step to MIGRATIONS.

CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- Names this file for ever: the origin of its versions, and part of the scope of its cursors.
    file_id INTEGER NOT NULL,
    -- The first version number that no process has reserved yet.
    next_version INTEGER NOT NULL
) STRICT;

CREATE TABLE namespaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- A rowid table: WITHOUT ROWID would put values of some kilobytes into the pages of the key index.
CREATE TABLE kv (
    id INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL,
    key TEXT NOT NULL,
    -- 0 text, 1 JSON, 2 bytes.
    kind INTEGER NOT NULL,
    version INTEGER NOT NULL,
    -- Milliseconds since 1970; NULL for never.
    expires_at INTEGER,
    -- Compact JSON.
    metadata TEXT,
    -- Last, so that the small columns are read without walking the pages of a large value.
    value BLOB NOT NULL,
    UNIQUE (namespace, key)
) STRICT;

CREATE INDEX kv_expires_at ON kv (expires_at) WHERE expires_at IS NOT NULL;

INSERT INTO meta (id, file_id, next_version) VALUES (1, random(), 1);
