-- Version 1. A change here is a new version: raise CURRENT in schema.rs and add a step.

CREATE TABLE kv_meta (
    id smallint PRIMARY KEY CHECK (id = 1),
    schema_version integer NOT NULL,
    -- Names this data for ever: the origin of its versions, and part of the scope of its cursors.
    store_id bigint NOT NULL
);

-- A write takes an odd number for the entry that it creates, and the even one before it for one that it replaces.
CREATE SEQUENCE kv_version AS bigint INCREMENT BY 2 MINVALUE 1 START WITH 1;

CREATE TABLE kv (
    namespace text COLLATE "C" NOT NULL,
    -- UTF-8. As bytes it may hold NUL, and its order is that of its bytes.
    key bytea NOT NULL,
    -- 0 text, 1 JSON, 2 bytes.
    kind smallint NOT NULL,
    version bigint NOT NULL DEFAULT nextval('kv_version'),
    -- NULL for never.
    expires_at timestamptz CHECK (isfinite(expires_at)),
    -- Compact JSON.
    metadata bytea,
    value bytea NOT NULL,
    PRIMARY KEY (namespace, key)
);

CREATE INDEX kv_expires_at ON kv (expires_at) WHERE expires_at IS NOT NULL;

INSERT INTO kv_meta (id, schema_version, store_id)
VALUES (1, 1, ('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint);
