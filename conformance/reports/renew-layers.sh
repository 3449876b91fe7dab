#!/usr/bin/env bash
# Makes layers.html anew: what the suite finds through each layer of kv-layers over the memory store. No URL opens a store
# with a layer, so the reports are those of the layers' own tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
KV_LAYER_REPORTS=$work KV_CONFORMANCE_STRICT=1 cargo test --locked -p kv-layers --no-fail-fast --tests -- memory
cargo run --locked --quiet -p kv-conformance-cli -- render "$work"/*memory*.json --output conformance/reports/layers.html
