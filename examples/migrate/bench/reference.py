#!/usr/bin/env python3
"""The contender: the script that one would write for the job, with the modules that come with Python.

It copies a file in Cloudflare's bulk format, or its own SQLite file, into a SQLite file: batches of 10,000 in one
transaction each, a write-ahead log, every commit synced. Its table has no index of expiries.
"""

import argparse
import itertools
import json
import sqlite3
import time

BATCH = 10_000

CREATE = """
CREATE TABLE IF NOT EXISTS kv (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL,
    metadata TEXT,
    expires_at INTEGER,
    version INTEGER NOT NULL
)
"""

UPSERT = """
INSERT INTO kv (key, value, metadata, expires_at, version) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, metadata = excluded.metadata,
    expires_at = excluded.expires_at, version = excluded.version
"""


def rows_of_file(path):
    with open(path, encoding="utf-8") as file:
        for version, line in enumerate(file, 1):
            item = json.loads(line)
            metadata = item.get("metadata")
            if metadata is not None:
                metadata = json.dumps(metadata, separators=(",", ":"))
            yield item["key"], item["value"], metadata, item.get("expiration"), version


def rows_of_sqlite(path):
    source = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    query = "SELECT key, value, metadata, expires_at, version FROM kv WHERE expires_at IS NULL OR expires_at > ?"
    cursor = source.execute(query, (time.time(),))
    while rows := cursor.fetchmany(BATCH):
        yield from rows
    source.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("target")
    arguments = parser.parse_args()
    rows = rows_of_file(arguments.source) if arguments.source.endswith(".jsonl") else rows_of_sqlite(arguments.source)
    target = sqlite3.connect(arguments.target)
    target.execute("PRAGMA journal_mode = WAL")
    target.execute("PRAGMA synchronous = FULL")
    target.execute(CREATE)
    while batch := list(itertools.islice(rows, BATCH)):
        with target:
            target.executemany(UPSERT, batch)
    target.close()


if __name__ == "__main__":
    main()
