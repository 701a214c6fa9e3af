"""Whether the work per unit stays the same as targets and points become many."""

from __future__ import annotations

import gc
import json
import statistics
from typing import TYPE_CHECKING

from bench.figures import Figure, cpu_s, main
from bench.parse import body_of, reading_of
from bench.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW, MANY = 100, 3000
REPEATS = 5
PAGE = 100


def figures() -> Iterator[Figure]:
    """Measure a point of a long light curve beside a point of a short one."""
    costs = {}
    for points in (FEW, MANY):
        with World() as world:
            (target,) = world.seed(1, points, transients=False)
            rows = [
                row
                for page in range(1, 2 + (points - 1) // PAGE)
                for row in json.loads(body_of(target, world.mars_url, page=page))["results"]
            ]
        bodies = [
            json.dumps({"results": rows[start : start + PAGE]}).encode()
            for start in range(0, points, PAGE)
        ]
        # A short last page ends the reading.
        read = reading_of(target, [*bodies, b'{"results": []}'])
        if read() != points:
            raise RuntimeError("the pages were not read whole")
        gc.collect()
        times = max(1, MANY // points // 3)
        costs[points] = 1e6 * statistics.median(
            cpu_s(read, times=times) / points for _ in range(REPEATS)
        )
    yield Figure(
        f"own CPU per point, light curves of {MANY:,} points",
        "us",
        costs[MANY],
        1.3,
        costs[FEW],
        f"us, of {FEW} points",
        note="from the bytes to what is owed, json.loads included",
    )


if __name__ == "__main__":
    main(figures)
