"""The tables of ./run, from the lines that it wrote down."""

import sys
from collections import Counter, defaultdict
from statistics import median

NAMES = {
    "gateway-memory": "kv-gateway over memory",
    "gateway-sqlite": "kv-gateway over SQLite",
    "bare": "bare axum handler",
    "miniflare": "Miniflare",
}
METHODS = {"GET": "get", "PUT": "put"}
# Of the gateway over memory, beside each: the least ratio that is wanted of the median.
TARGETS = {"bare": 0.7, "miniflare": 5.0}
# How much the most that is held may rise after the first requests, in KiB. What is held at one moment goes up and down
# with what the allocator gives back.
GROWTH_MAX = 1024

machine = []
races = defaultdict(lambda: defaultdict(list))
failures = Counter()
resident = []
for line in sys.stdin:
    kind, rest = line.split(maxsplit=1)
    if kind == "machine":
        machine.append(rest.strip())
    elif kind == "race":
        method, size, connections, _, contender, requests, seconds, p99, length, failed, ticks = rest.split()
        failures[contender] += int(failed)
        races[method, int(size), int(connections)][contender].append(
            (int(requests) / float(seconds), float(p99), int(length), int(ticks) * 10_000 / int(requests)))
    elif kind == "resident":
        *when, most, now = rest.split()
        resident.append((" ".join(when), int(now), int(most)))


def ratios(ours, theirs):
    """Those of each round, sorted."""
    return sorted(our[0] / their[0] for our, their in zip(ours, theirs, strict=True))


def cpu_beside(ours, theirs):
    """Of rounds that are long enough for the clock of processes."""
    return median(their[3] / our[3] for our, their in zip(ours, theirs, strict=True) if our[3])


def shown(values):
    digits = 2 if median(values) < 10 else 0
    return f"{median(values):.{digits}f} ({values[0]:.{digits}f} to {values[-1]:.{digits}f})"


targets = []


def target(is_met, text):
    targets.append(f"{'met   ' if is_met else 'MISSED'}  {text}")


print("\n".join(machine))
print("""
beside: requests in a second, ours / theirs, of each round: median (least to greatest)
CPU us: what the server takes of the processors for a request; beside: theirs / ours, median""")
for (method, size, connections), contenders in races.items():
    title = f"{METHODS[method]} of {size:,} B, {connections} connection{'s' if connections > 1 else ''}"
    heads = [f"beside {name:<17}{'CPU':>6}" for name in ("bare", "Miniflare")]
    print(f"\n{title:<32}{'requests/s':>10}  {'p99 ms':>7}  {'answer B':>8}  {'CPU us':>7}   {'  '.join(heads)}")
    for contender, rounds in contenders.items():
        rate, p99, length, cpu = (median(values) for values in zip(*rounds))
        beside = {other: ratios(rounds, contenders[other])
                  for other in TARGETS if other in contenders and contender.startswith("gateway")}
        cells = [f"{shown(beside[other]):<24}{cpu_beside(rounds, contenders[other]):>6.2f}"
                 for other in TARGETS if other in beside]
        line = f"  {NAMES[contender]:<30}{rate:>10,.0f}  {p99:>7.2f}  {length:>8.0f}  {cpu:>7.1f}   {'  '.join(cells)}"
        print(line.rstrip())
        for other, least in TARGETS.items():
            if contender == "gateway-memory" and other in beside:
                reached = median(beside[other])
                target(reached >= least, f"{title}: {reached:.2f} of {NAMES[other]}, wanted {least}")

for contender, failed in failures.items():
    if failed:
        print(f"\n{failed:,} requests to {NAMES[contender]} failed and are not among these.")

print(f"\n{'resident memory of kv-gateway over memory, 1,000 keys':<56}{'KiB':>8}  {'most so far':>11}")
for when, now, most in resident:
    print(f"  {when:<54}{now:>8,}  {most:>11,}")
for when, _, most in resident[1:]:
    rise = most - resident[0][2]
    target(rise <= GROWTH_MAX, f"the most resident memory {when}: {rise:+,} KiB, wanted at most +{GROWTH_MAX:,}")

print("\ntargets, of kv-gateway over memory:")
print("\n".join(targets))
