"""What a target costs our own processor when nothing is new: the answer is empty."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING

import requests

from bench.figures import Figure, cpu_s, main
from bench.profiling import print_profile
from bench.world import World, cycle

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGETS = 200
POINTS = 33
BATCH = 25
REPEATS = 7


def figures(*, profile: bool = False) -> Iterator[Figure]:
    """Measure the processor time of a quiet target, and the floor's beside it."""
    with World() as world:
        targets = world.seed(TARGETS, POINTS)
        names = [target.name for target in targets]
        # No overlap: the answer is empty. With one, the points of its days are read once more.
        service = world.service(YSE_INGEST_OVERLAP="0s")
        for target in targets:
            service.enqueue(target)
        cycle(service, names)
        cycle(service, names)
        if profile:
            print_profile(lambda: cycle(service, names))
        overlap = world.service()
        cycle(overlap, names)
        floor = _Floor(world, len(targets))
        ours, theirs, usual = [], [], []
        for _ in range(REPEATS):
            ours.append(1000 * cpu_s(lambda: cycle(service, names)) / TARGETS)
            theirs.append(1000 * cpu_s(floor.cycle) / TARGETS)
            usual.append(1000 * cpu_s(lambda: cycle(overlap, names)) / TARGETS)
    yield Figure(
        "own CPU per quiet target",
        "ms",
        statistics.median(ours),
        0.5,
        note="the floor (the same requests and json.loads) "
        f"{statistics.median(theirs):.3g} ms; with an overlap of 3 days, "
        "in which 3 points are read again, "
        f"{statistics.median(usual):.3g} ms",
    )


class _Floor:
    """The same requests by one pooled connection, and json.loads: nothing else."""

    def __init__(self, world: World, count: int) -> None:
        self.url = world.mars_url
        self.session = requests.Session()
        self.queries = [
            [
                {
                    "id": f"{number}.0",
                    "cone": "10.0000000,5.0000000,0.0008",
                    "jd__gt": "2460000.5",
                }
                for number in range(BATCH)
            ]
            for _ in range(count // BATCH)
        ]

    def cycle(self) -> None:
        for queries in self.queries:
            self.session.post(self.url, json={"queries": queries}, timeout=30).json()


if __name__ == "__main__":
    main(lambda: figures(profile="--profile" in sys.argv))
