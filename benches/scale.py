#!/usr/bin/env python3
"""What a tree of mxr gives to so many viewers: machines, bandwidth, ages, lines lost. Prints the tables of docs/scale.md.

The figures under MEASURED are those of `cargo bench --bench tree`, from the run that docs/scale.md tells; put your own there.
The faults of links under ASSUMED are an assumption. The same seed gives the same tables. Standard library only.
"""

import math
import random

SEED = 13
SAMPLES = 100_000

# --- MEASURED (docs/scale.md, Measured) ---
# Time that a hop adds to a part, in ms: p50, p99, longest; of the slowest of three runs.
HOP = {"lines": (0.36, 10.8, 45.0), "pictures": (0.69, 10.9, 30.4)}
# CPU of a delivered part, in microseconds, by its rate: 30 viewers at 1,000 lines/s, 10 KB pictures at 30/s, 10,000 at 2 lines/s.
COST = {"busy log": 3.7, "camera": 12.0, "quiet log": 5.8}
# Bytes of a part on the wire beside its body.
HEADERS = 155
# Until the slowest leaf had everything, after a link came back: (outage in s, shortest and longest recovery in s).
RECOVERY = [(0, 0.02, 0.55), (1, 0.56, 0.70), (4, 3.16, 4.25), (14, 2.69, 18.95)]
# What a feed of lines holds: lines, bytes (src/feed/limits.rs).
HELD_LINES, HELD_BYTES = 100_000, 32 << 20

# --- ASSUMED ---
# Each link breaks so often a day, for a time whose logarithm is normal: half of the breaks are shorter than this many seconds.
BREAKS_A_DAY, HALF_ARE_SHORTER, SPREAD = 4, 5.0, 1.5
# A machine's share of a core for its viewers, and its NIC in bit/s.
SHARE_OF_A_CORE, NIC = 0.5, 1e9
# The most viewers of an edge, as --max-viewers has it.
MOST_VIEWERS = 10_000

# Feeds: body in bytes, parts a second, the kind of HOP, whether every part counts.
FEEDS = {"quiet log": (80, 2, "lines"), "busy log": (80, 1000, "lines"), "camera": (10_000, 30, "pictures")}


def hop_time(rng, kind):
    """Seconds that a hop adds: between p50 and p99, and p99 and the longest, the logarithm is taken as straight."""
    middle, high, longest = HOP[kind]
    share = rng.random()
    points = [(0.0, middle / 2), (0.5, middle), (0.99, high), (1.0, longest)]
    for (low_share, low), (high_share, up) in zip(points, points[1:]):
        if share <= high_share:
            at = (share - low_share) / (high_share - low_share)
            return math.exp(math.log(low) + at * (math.log(up) - math.log(low))) / 1e3
    return longest / 1e3


def recovery(rng, outage):
    """Seconds from the return of a link until all is there: between the measured ones, and beyond them as the longest."""
    points = RECOVERY
    for (left, low, high), (right, next_low, next_high) in zip(points, points[1:]):
        if outage <= right:
            at = (outage - left) / (right - left)
            return rng.uniform(low + at * (next_low - low), high + at * (next_high - high))
    # Behind the longest pause between two attempts.
    return rng.uniform(points[-1][1], 30.0)


def edge_capacity(feed):
    """Viewers of a machine, and what bounds them."""
    size, rate, _ = FEEDS[feed]
    bounds = {
        "a core": SHARE_OF_A_CORE * 1e6 / (COST[feed] * rate),
        "the NIC": NIC / 8 / ((size + HEADERS) * rate),
        "--max-viewers": MOST_VIEWERS,
    }
    name = min(bounds, key=bounds.get)
    return int(bounds[name]), name


def shape(viewers, capacity):
    """The machines of each level below the origin: one level if the origin can serve all edges."""
    leaves = math.ceil(viewers / capacity)
    if leaves <= capacity:
        return [leaves]
    return [math.ceil(leaves / capacity), leaves]


def faults(rng, feed, hops):
    """The share of time in which a viewer sees what is older than a second, and of lines lost, over so many links."""
    size, rate, _ = FEEDS[feed]
    held = min(HELD_LINES, HELD_BYTES / (size + HEADERS)) / rate
    late = lost = 0.0
    breaks = SAMPLES
    for _ in range(breaks):
        outage = rng.lognormvariate(math.log(HALF_ARE_SHORTER), SPREAD)
        away = outage + recovery(rng, outage)
        late += max(0.0, away - 1)
        lost += max(0.0, away - held) * rate
    a_day = BREAKS_A_DAY * hops / breaks
    return late * a_day / 86_400, lost * a_day / (rate * 86_400)


def quantile(values, share):
    return sorted(values)[int((len(values) - 1) * share)]


def main():
    print("| feed | viewers of a machine | bound by | kbit/s a viewer | Mbit/s a machine |")
    print("|---|---|---|---|---|")
    for feed, (size, rate, _) in FEEDS.items():
        capacity, bound = edge_capacity(feed)
        kbit = (size + HEADERS) * rate * 8 / 1e3
        print(f"| {feed} | {capacity:,} | {bound} | {kbit:,.1f} | {kbit * capacity / 1e3:,.0f} |")
    print()
    print("| feed | viewers | machines below the origin | readers of the origin | age p50 ms | p99 ms | last viewer of a machine ms |"
          " time above 1 s | lines lost |")
    print("|---|---|---|---|---|---|---|---|---|")
    for feed, (_, rate, kind) in FEEDS.items():
        capacity, _ = edge_capacity(feed)
        for viewers in (10_000, 100_000, 1_000_000):
            rng = random.Random(f"{SEED} {feed} {viewers}")
            levels = shape(viewers, capacity)
            served = [min(levels[0], capacity)]
            served += [math.ceil(below / above) for above, below in zip(levels, levels[1:])]
            served += [math.ceil(viewers / levels[-1])]
            ages = []
            for _ in range(SAMPLES):
                age = sum(hop_time(rng, kind) for _ in levels)
                # The place of the reader in the turn of each machine.
                age += sum(rng.random() * count * COST[feed] / 1e6 for count in served)
                ages.append(age * 1e3)
            late, lost = faults(rng, feed, len(levels) + 1)
            machines = " + ".join(f"{level:,}" for level in levels)
            print(f"| {feed} | {viewers:,} | {machines} | {levels[0]:,} | {quantile(ages, 0.5):.1f} | {quantile(ages, 0.99):.1f} |"
                  f" {served[-1] * COST[feed] / 1e3:.1f} | {late:.4%} | {'-' if kind == 'pictures' else f'{lost:.4%}'} |")


if __name__ == "__main__":
    main()
