#!/usr/bin/env bash
# Compares a million entries copied by kv-migrate with the same copied by reference.py, in one run. See README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
entries=${ENTRIES:-1000000}
rounds=${ROUNDS:-3}

cargo build --release --locked -p kv-migrate --manifest-path "$here/../Cargo.toml"
target=$(cargo metadata --format-version 1 --no-deps --manifest-path "$here/../Cargo.toml" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')

folder=$(mktemp -d "${TMPDIR:-/tmp}/kv-migrate-bench.XXXXXX")
trap 'rm -rf "$folder"' EXIT
for order in ordered random; do
    python3 "$here/generate.py" "$order" "$entries" "$folder/$order.jsonl"
done
python3 "$here/measure.py" --rounds "$rounds" "$@" "$folder" "$target/release/kv-migrate"
