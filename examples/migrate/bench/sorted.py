#!/usr/bin/env python3
"""Whether two files in the bulk format hold the same entries, whatever their order. Exit code 1 if not."""

import gzip
import json
import sys


def lines(path):
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8") as file:
        return sorted(json.dumps(json.loads(line), sort_keys=True) for line in file)


def main():
    before, after = lines(sys.argv[1]), lines(sys.argv[2])
    print(f"{len(before)} and {len(after)} entries, {'identical' if before == after else 'DIFFERENT'} after sorting")
    sys.exit(before != after)


if __name__ == "__main__":
    main()
