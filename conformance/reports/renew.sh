#!/usr/bin/env bash
# Makes the reports in this folder anew, each by one run of the command `kv-conformance` over a URL, and from them
# matrix.html and the matrix in the README at the top. With names only those reports: `renew.sh redis postgres`.
#
# The fakes run as processes of their own; Redis, a cluster of it and PostgreSQL are started for this and ended again.
# It takes as long as the longest wait: on Cloudflare an entry lives for a minute at least.
set -euo pipefail
cd "$(dirname "$0")/../.."

names=(memory sqlite redis redis-cluster postgres cloudflare backendless puter nemesisdb nemesisdb-envelope)
if [ $# -eq 0 ]; then set -- "${names[@]}"; fi
for name in "$@"; do
    [[ " ${names[*]} " == *" $name "* ]] || { echo "there is no report $name; there are ${names[*]}" >&2; exit 2; }
done
wants() { [[ " ${wanted[*]} " == *" $1 "* ]]; }
wanted=("$@")

cargo build --locked --quiet -p kv-conformance-cli -p kv-fakes
programs=${CARGO_TARGET_DIR:-target}/debug
work=$(mktemp -d)
chmod 755 "$work" # PostgreSQL runs as another user than root.
servers=()
runs=()
finish() {
    # Runs that are under way end in their own way, and not for their server's end.
    for pid in "${runs[@]}"; do pkill -P "$pid" 2>/dev/null || true; done
    for pid in "${runs[@]}"; do wait "$pid" 2>/dev/null || true; done
    for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${servers[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT

# Says a port of this machine that nothing listens on; below those that connections take, also for the second one of a
# node of a cluster, which is 10000 higher.
free_port() {
    local port
    while port=$((10000 + RANDOM % 12000)); (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

# Waits until a command succeeds, for half a minute.
until_it_works() {
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "this never worked: $*" >&2
    return 1
}

# Starts a fake as a process of its own; the URL of its store is in `url` then.
fake() {
    local name=$1 scheme=$2
    "$programs/kv-fakes" "$name" --port 0 >"$work/$name.fake" 2>&1 &
    servers+=($!)
    # The last line of all says where it listens.
    until_it_works grep -qE "^(http|ws)://" "$work/$name.fake"
    url=$(grep -m 1 "^$scheme://" "$work/$name.fake")
}

# Starts a Redis with these settings; it listens on `port`.
redis_server() {
    port=$(free_port)
    mkdir "$work/redis-$port"
    (cd "$work/redis-$port" && exec redis-server --port "$port" --bind 127.0.0.1 --save '' "$@" >log 2>&1) &
    servers+=($!)
    until_it_works redis-cli -p "$port" ping
}

# The same with PostgreSQL.
postgres_server() {
    local bin data=$work/postgres as=()
    bin=$(dirname "$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)")
    port=$(free_port)
    mkdir "$data"
    if [ "$(id -u)" = 0 ]; then
        chown postgres "$data"
        as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    fi
    "${as[@]}" "$bin/initdb" -D "$data" -U kv -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$work/postgres.log"
    "${as[@]}" "$bin/postgres" -D "$data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
        -c fsync=off >>"$work/postgres.log" 2>&1 &
    servers+=($!)
    until_it_works "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"
}

failed=0
# One report. What the run says is shown only where something is not as it should be.
run() {
    local name=$1 url=$2 through=(--through-proxy)
    # Nothing is between here and what is in this process, and a cluster has many connections.
    case $url in memory:* | sqlite:* | redis-cluster:*) through=() ;; esac
    if "$programs/kv-conformance" run "$url" --yes --profile full --rate none "${through[@]}" --stable \
        --output "conformance/reports/$name.json" >"$work/$name.txt" 2>&1; then
        echo "$name: $(tail -n 1 "$work/$name.txt")"
    else
        cat "$work/$name.txt" >&2
        echo "$name: FAILED" >&2
        return 1
    fi
}
# Those that wait for time to pass wait side by side.
begin() {
    run "$@" &
    runs+=($!)
}

export CLOUDFLARE_API_TOKEN=fake-cloudflare-token BACKENDLESS_API_KEY=API-KEY PUTER_AUTH_TOKEN=fake-puter-token
if wants memory; then begin memory memory:; fi
if wants sqlite; then begin sqlite "sqlite:$work/kv.db"; fi
if wants redis; then
    redis_server
    begin redis "redis://127.0.0.1:$port"
fi
if wants redis-cluster; then
    nodes=()
    for _ in 1 2 3; do
        redis_server --cluster-enabled yes
        nodes+=("127.0.0.1:$port")
    done
    redis-cli --cluster create "${nodes[@]}" --cluster-yes >"$work/cluster.log"
    until_it_works bash -c "redis-cli -p $port cluster info | grep -q cluster_state:ok"
    begin redis-cluster "redis-cluster://${nodes[0]},${nodes[1]},${nodes[2]}"
fi
if wants postgres; then
    postgres_server
    begin postgres "postgres://kv@127.0.0.1:$port/postgres"
fi
if wants cloudflare; then
    fake cloudflare cloudflare
    begin cloudflare "$url"
fi
if wants backendless; then
    fake backendless backendless
    begin backendless "$url"
fi
if wants puter; then
    fake puter puter
    begin puter "$url"
fi
if wants nemesisdb || wants nemesisdb-envelope; then fake nemesisdb nemesisdb; fi
if wants nemesisdb; then begin nemesisdb "$url"; fi
if wants nemesisdb-envelope; then begin nemesisdb-envelope "$url?expiry=envelope"; fi
for pid in "${runs[@]}"; do wait "$pid" || failed=1; done

"$programs/kv-conformance" matrix --write README.md --write conformance/reports/matrix.html conformance/reports/*.json
exit "$failed"
