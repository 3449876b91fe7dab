#!/usr/bin/env python3
"""Writes entries in Cloudflare's bulk format, one a line, the same ones on each run.

A value is text of 100 bytes. Each tenth entry has an expiry, and each tenth, from the sixth on, metadata.
"""

import argparse
import json
import random
import string

TEXT = string.ascii_letters + string.digits + " -"


def entry(index, order, source):
    key = f"{source.getrandbits(64):016x}" if order == "random" else f"{index:016x}"
    item = {"key": key, "value": "".join(source.choices(TEXT, k=100))}
    if index % 10 == 0:
        item["expiration"] = 4_000_000_000 + index
    if index % 10 == 5:
        item["metadata"] = {"owner": f"user-{index % 1000}", "size": index}
    return item


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("order", choices=["ordered", "random"], help="keys that count up, or 16 random hex digits")
    parser.add_argument("entries", type=int)
    parser.add_argument("file")
    arguments = parser.parse_args()
    source = random.Random(9)
    with open(arguments.file, "w", encoding="utf-8") as file:
        for index in range(arguments.entries):
            json.dump(entry(index, arguments.order, source), file, separators=(",", ":"))
            file.write("\n")


if __name__ == "__main__":
    main()
