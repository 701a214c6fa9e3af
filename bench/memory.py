"""What the service weighs after real work: the fetch worker of 64 threads, and all processes.

A process is weighed by its resident memory, which counts the libraries that it shares with the
others as its own. All together are weighed by their proportional share (PSS), in which each
page counts once.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.deployment import THREADS, Deployment
from bench.figures import Figure, main
from bench.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGETS = 200
POINTS = 33
LATENCY_S = 0.2
"""Of MARS, so that all threads are at work at once."""
REST_S = 10.0
REPEATS = 3
KB_PER_MB = 1024.0


def figures() -> Iterator[Figure]:
    """Weigh a service that has fetched and stored some hundred light curves, and rests."""
    runs = [weights() for _ in range(REPEATS)]
    fetch = statistics.median(run["fetch"][0] for run in runs)
    whole = statistics.median(sum(pss for _, pss in run.values()) for run in runs)
    resident = statistics.median(sum(rss for rss, _ in run.values()) for run in runs)
    flower = statistics.median(run["flower"][1] for run in runs)
    each = ", ".join(f"{name} {pss:.0f}" for name, (_, pss) in runs[-1].items())
    yield Figure(
        f"memory of a fetch worker at {THREADS} threads, after work",
        "MB",
        fetch,
        150.0,
        note=f"resident; after {TARGETS} light curves of {POINTS} points, each asked for by a "
        f"message of its own and all {THREADS} threads at work",
    )
    yield Figure(
        "memory of the whole service, idle after that work",
        "MB",
        whole,
        500.0,
        note=f"proportional share: {each}; without Flower {whole - flower:.0f}; the sum of "
        f"resident sizes, in which shared libraries count once for each process, is "
        f"{resident:.0f}; the stand-ins are not in it",
    )


def weights() -> dict[str, tuple[float, float]]:
    """Return resident size and proportional share of each process [MB]."""
    with World() as world:
        targets = world.seed(TARGETS, POINTS)
        with Deployment(world) as service:
            world.call("slow", "mars", LATENCY_S)
            with service.astronomer() as astronomer:
                astronomer.stored(targets)
            time.sleep(REST_S)
            processes = {**service.processes(), "Valkey": world.redis.pid or 0}
            if (threads := threads_of(processes["fetch"])) < THREADS:
                raise RuntimeError(f"only {threads} threads have worked")
            return {name: weight(pid) for name, pid in processes.items()}


def weight(pid: int) -> tuple[float, float]:
    """Return resident size and proportional share of a process [MB]."""
    parts = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    )
    rss, pss = (int(parts[name].split()[0]) / KB_PER_MB for name in ("Rss", "Pss"))
    return rss, pss


def threads_of(pid: int) -> int:
    """Return how many threads a process has."""
    return int(Path(f"/proc/{pid}/status").read_text().split("Threads:")[1].split()[0])


if __name__ == "__main__":
    main(figures)
