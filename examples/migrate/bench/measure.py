#!/usr/bin/env python3
"""Runs two programs in turn and prints how they compare: time and peak memory of each copy.

Each round runs the contender and kv-migrate once for each of four copies, each into a new file.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def remove(path):
    for suffix in ("", "-wal", "-shm", ".kv-migrate-checkpoint"):
        if os.path.exists(path + suffix):
            os.remove(path + suffix)


def run(command, target):
    """Seconds and peak resident MB of one program."""
    remove(target)
    # What was written before is not paid for by this program.
    os.sync()
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    output = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output.decode(errors='replace')}")
    return seconds, usage.ru_maxrss * 1024 / 1e6


def figures(values, digits):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{low:.{digits}f} / {middle:.{digits}f} / {high:.{digits}f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="where ordered.jsonl and random.jsonl are, and where the copies go")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only the copies with this in their name")
    parser.add_argument("--options", default="", help="further options for the copies of kv-migrate")
    parser.add_argument("program", help="kv-migrate")
    arguments = parser.parse_args()
    options = shlex.split(arguments.options)
    reference = [sys.executable, os.path.join(HERE, "reference.py")]

    def path(name):
        return os.path.join(arguments.folder, name)

    def ours(source, target):
        return [arguments.program, "copy", *options, source, target]

    copies = {}
    for order in ("ordered", "random"):
        file, theirs_db, ours_db = path(f"{order}.jsonl"), path(f"{order}-reference.db"), path(f"{order}-ours.db")
        copies[f"file -> SQLite, {order}"] = (
            (reference + [file, theirs_db], theirs_db),
            (ours(file, f"sqlite:{ours_db}"), ours_db),
        )
        copies[f"SQLite -> SQLite, {order}"] = (
            (reference + [theirs_db, path("copy-reference.db")], path("copy-reference.db")),
            (ours(f"sqlite:{ours_db}", f"sqlite:{path('copy-ours.db')}"), path("copy-ours.db")),
        )
    results = {name: ([], []) for name in copies if arguments.only in name}
    for turn in range(arguments.rounds):
        for name, both in copies.items():
            if name not in results:
                continue
            for (command, target), measured in zip(both, results[name]):
                measured.append(run(command, target))
            theirs, own = results[name][0][-1], results[name][1][-1]
            print(f"round {turn + 1}, {name}: {theirs[0]:.1f} s, {own[0]:.1f} s", file=sys.stderr)

    print("| copy | reference, s | kv-migrate, s | times as fast | reference, MB | kv-migrate, MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (theirs, own) in results.items():
        ratios = [their[0] / our[0] for their, our in zip(theirs, own)]
        columns = [
            figures([seconds for seconds, _ in theirs], 1),
            figures([seconds for seconds, _ in own], 1),
            figures(ratios, 2),
            f"{max(memory for _, memory in theirs):.0f}",
            f"{max(memory for _, memory in own):.0f}",
        ]
        print(f"| {name} | {' | '.join(columns)} |")


if __name__ == "__main__":
    main()
