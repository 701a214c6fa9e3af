"""From `enqueue_target` to "stored, with a receipt", beside the same requests by a bare loop.

The service runs as it is shipped (`yse-ingest up`) and has nothing else to do but its ticks;
the stand-ins take the time that the originals were measured to take. The floor repeats, for
other targets, what the service had to ask and send: by pooled connections, with `json.loads`
of what is JSON, and nothing else.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING

import requests

from bench.deployment import Deployment
from bench.figures import Figure, main
from bench.world import PASSWORD, USER, Asked, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from yse_ingest.targets import Target

TARGETS = 40
"""Enqueued one after the other; and as many others by the floor."""
WARMING = 8
"""Targets before: the first one reads YSE-PZ's vocabulary, which holds for an hour."""
POINTS = 33
LATE_MS = 100.0
UNAVOIDABLE = (
    ("mars", "GET", "/"),  # what was observed
    ("ysepz", "GET", "/api/transients/"),  # which transient it is
    ("ysepz", "GET", "/download_data/"),  # what stands there: nothing twice, nobody's damaged
    ("ysepz", "POST", "/add_transient_phot/"),
    ("ysepz", "GET", "/download_data/"),  # the proof, without which there is no receipt
)


def figures() -> Iterator[Figure]:
    """Measure each target by the clock of the process that enqueues it."""
    with World(delay=1.0) as world:
        every = world.seed(WARMING + 2 * TARGETS, POINTS)
        first, targets = every[:WARMING], every[WARMING : WARMING + TARGETS]
        others = every[WARMING + TARGETS :]
        floor = Floor(world)
        with Deployment(world) as service, service.astronomer() as astronomer:
            astronomer.stored(first)
            ours, theirs = [], []
            for target, other in zip(targets, others, strict=True):
                world.call("forget")
                ours.append(1000 * astronomer.stored([target]))
                needed = [*needed_of(world, target)]
                began = time.perf_counter()
                floor.run(needed, target, other)
                theirs.append(1000 * (time.perf_counter() - began))
        stored = {world.call("rows", each.name) for each in every}
    if stored != {POINTS}:
        raise RuntimeError(f"not all points of each were stored, but {stored}")
    yield Figure(
        "enqueue to stored and receipt, idle system, p95",
        "ms",
        p95(ours),
        LATE_MS,
        p95(theirs),
        "ms, the same requests",
        beyond=True,
        note=f"{TARGETS} targets of {POINTS} points, one after the other; medians "
        f"{statistics.median(ours):.0f} and {statistics.median(theirs):.0f} ms; "
        f"{len(UNAVOIDABLE)} requests, which take the time the originals were measured to take",
    )


def p95(values: Sequence[float]) -> float:
    """Return what 95 of 100 stay below."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def needed_of(world: World, target: Target) -> Iterator[tuple[str, Asked]]:
    """Yield those requests of the service for one target that cannot be avoided, in order.

    Others that it may have made, for this target or beside it, are the product's own affair.
    """
    asked = {server: iter(world.call("requests", server)) for server in ("mars", "ysepz")}
    for server, method, path in UNAVOIDABLE:
        yield (
            server,
            next(
                each
                for each in asked[server]
                if each.method == method
                and each.path.startswith(path)
                and (server == "mars" or target.name in f"{each.path}{each.query}{each.body!r}")
            ),
        )


class Floor:
    """The same requests by one pooled connection to each server."""

    def __init__(self, world: World) -> None:
        self.urls = {"mars": world.mars_url, "ysepz": world.ysepz_url}
        self.sessions = {name: requests.Session() for name in self.urls}
        self.sessions["ysepz"].auth = (USER, PASSWORD)

    def run(self, needed: Sequence[tuple[str, Asked]], of: Target, target: Target) -> None:
        """Ask and send for a target what was asked and sent for another one."""
        for server, asked in needed:
            answer = self.sessions[server].request(
                asked.method,
                self.urls[server] + asked.path.replace(of.name, target.name),
                params=[(name, _of(target, value, of)) for name, value in asked.query],
                data=asked.body.replace(of.name.encode(), target.name.encode()),
                headers={"Content-Type": "application/json"} if asked.body else {},
                timeout=30,
            )
            answer.raise_for_status()
            if "json" in answer.headers.get("Content-Type", ""):
                json.loads(answer.content)


def _of(target: Target, value: str, other: Target) -> str:
    """Return a value of a query as it is for another target."""
    place, _, radius = value.rpartition(",")
    if place.count(",") == 1:  # a cone
        return f"{target.ra},{target.dec},{radius}"
    return value.replace(other.name, target.name)


if __name__ == "__main__":
    main(figures)
