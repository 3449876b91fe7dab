#!/usr/bin/env bash
# Prints the peak of resident memory of copies in which large values come behind small ones, and of one line of
# LINE_MB megabytes. See README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
line_mb=${LINE_MB:-900}
manifest=$here/../Cargo.toml
cargo build --release --locked -p kv-migrate --manifest-path "$manifest"
program=$(cargo metadata --format-version 1 --no-deps --manifest-path "$manifest" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release/kv-migrate

folder=$(mktemp -d "${TMPDIR:-/tmp}/kv-migrate-memory.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# Writes so many small values, and behind them so many of so many megabytes.
generate() {
    python3 - "$@" <<'PYTHON'
import sys
small, large, megabytes = map(int, sys.argv[1:4])
with open(sys.argv[4], "w", encoding="utf-8") as file:
    for at in range(small):
        file.write('{"key":"a%06d","value":"small"}\n' % at)
    for at in range(large):
        file.write('{"key":"b%06d","value":"' % at)
        for _ in range(megabytes * 10):
            file.write("sixteen letters " * 6250)
        file.write('"}\n')
PYTHON
}

# Copies, and prints the peak beside 64 MiB and four times the largest value, which has so many megabytes.
peak() {
    python3 - "$program" "$@" <<'PYTHON'
import os, subprocess, sys
program, megabytes, source, target = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
process = subprocess.Popen([program, "copy", source, target], stderr=subprocess.PIPE)
output = process.stderr.read()
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
if process.returncode != 0:
    sys.exit(output.decode(errors="replace"))
bound = 64 * 1024 * 1024 / 1e6 + 4 * megabytes
print(f"| {source} -> {target}, {megabytes} MB | {usage.ru_maxrss * 1024 / 1e6:.0f} | {bound:.0f} |", flush=True)
PYTHON
}

echo "| copy, largest value | peak, MB | bound, MB |"
echo "| --- | --- | --- |"
generate 3000 60 20 mixed.jsonl
peak 20 mixed.jsonl sqlite:one.db
peak 20 sqlite:one.db sqlite:other.db
peak 20 sqlite:one.db one.jsonl
peak 20 mixed.jsonl other.jsonl
rm ./*.jsonl ./*.db
generate 0 1 "$line_mb" line.jsonl
peak "$line_mb" line.jsonl copy.jsonl
