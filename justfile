# Short names for the plain cargo commands; nothing needs `just`.

# List the recipes.
default:
    @just --list

# All tests, or those of one backend: `just test sqlite`.
test backend="":
    cargo test --locked {{ if backend == "" { "--workspace" } else { "-p kv-" + backend } }}

# What CI runs.
check:
    .ci/run

# Ratios against what a user would pick instead, as a table and a plot. Builds heavy peers.
bench *arguments:
    cargo run --release --locked --manifest-path backends/bench/Cargo.toml -- {{ arguments }}

# What calls cost in instructions and allocations, held against kept figures; `renew` keeps new ones. Needs valgrind.
costs *arguments:
    conformance/costs/run {{ arguments }}

# Fuzzes every decoder of foreign bytes, or those named, for so many seconds each. Needs a C++ compiler.
fuzz seconds="20" *targets:
    conformance/fuzz/run {{ seconds }} {{ targets }}

# The property tests with many more cases each.
proptest cases="20000":
    PROPTEST_CASES={{ cases }} cargo test --release --locked --workspace

# The kept reports of the suite and the matrix made of them; all, or by name: `just reports redis`.
reports *names:
    conformance/reports/renew.sh {{ names }}

# Programs of others against kv-gateway over each backend; needs node, npm and python3.
clients *arguments:
    examples/gateway/clients/run {{ arguments }}
