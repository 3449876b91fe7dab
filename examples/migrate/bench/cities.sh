#!/usr/bin/env bash
# Copies a file -> SQLite -> a fake of Cloudflare -> SQLite -> a file, verifies each copy, and counts the requests that
# write to Cloudflare. See README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
file=${1:?usage: cities.sh FILE}
limit=${RATE_LIMIT:-400/10}
manifest=$here/../Cargo.toml
cargo build --release --locked -p kv-migrate -p kv-fakes --manifest-path "$manifest"
programs=$(cargo metadata --format-version 1 --no-deps --manifest-path "$manifest" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release

folder=$(mktemp -d "${TMPDIR:-/tmp}/kv-migrate-cities.XXXXXX")
"$programs/kv-fakes" cloudflare --latency 20 --rate-limit "$limit" --verbose >"$folder/ready" 2>"$folder/log" &
fake=$!
trap 'kill "$fake" || true; rm -rf "$folder"' EXIT
until [ -s "$folder/ready" ]; do
    kill -0 "$fake"
    sleep 0.1
done
export CLOUDFLARE_API_TOKEN=fake-cloudflare-token
cloudflare=$(grep -m 1 -o 'cloudflare://.*' "$folder/log")

stops=("$file" "sqlite:$folder/before.db" "$cloudflare" "sqlite:$folder/after.db" "$folder/after.jsonl")
for at in 0 1 2 3; do
    "$programs/kv-migrate" copy "${stops[at]}" "${stops[at + 1]}"
    "$programs/kv-migrate" verify "${stops[at]}" "${stops[at + 1]}"
done
"$programs/kv-migrate" verify "$file" "$folder/after.jsonl"
python3 "$here/sorted.py" "$file" "$folder/after.jsonl"
echo "requests that wrote to Cloudflare: $(grep -c '^PUT ' "$folder/log")"
