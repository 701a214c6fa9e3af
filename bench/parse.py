"""From the bytes of a 100-alert reply to what is owed, beside `json.loads` of those bytes."""

from __future__ import annotations

import json
import statistics
import sys
from typing import TYPE_CHECKING

import requests

from bench.figures import Figure, cpu_s, main
from bench.profiling import print_profile
from bench.world import World
from yse_ingest.delta import Verdict, compare, windows
from yse_ingest.ledger import Ledger
from yse_ingest.pipeline import fetch_light_curves
from yse_ingest.sources import Ask
from yse_ingest.sources.mars import MarsSource
from yse_ingest.sources.reply import HttpReply
from yse_ingest.targets import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from yse_ingest.targets import Target

POINTS = 99
"""One page that says by itself that no other one follows."""
TIMES = 5
REPEATS = 15


class _Replay:
    """A client that gives the same pages again and again."""

    base_url = ""

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self.bodies = bodies

    def deadline(self) -> float:
        return 0.0

    def get(self, _: str, query: Mapping[str, str], **__: object) -> HttpReply:
        body = self.bodies[int(query["page"]) - 1]
        return HttpReply("MARS", 200, "application/json", body)


def body_of(target: Target, url: str, *, page: int = 1) -> bytes:
    """Return a page that MARS sends of a target."""
    cone: Mapping[str, str] = {
        "format": "json",
        "cone": f"{target.ra},{target.dec},0.0014",
        "sort_value": "id",
        "sort_order": "asc",
        "page": str(page),
    }
    return requests.get(url, params=cone, timeout=30).content


def reading_of(target: Target, bodies: Sequence[bytes]) -> Callable[[], int]:
    """Return what reads these pages and compares them with an empty ledger: points owed."""
    source = MarsSource(_Replay(bodies))  # type: ignore[arg-type]  # all that is asked of it
    ledger = Ledger.empty()

    def read() -> int:
        (fetched,) = fetch_light_curves([Ask(target=target, rules=Rules())], source)
        curve = fetched.curve
        window = windows(
            curve.band,
            instrument=curve.instrument,
            gaps=fetched.gaps,
            tolerance_ms=fetched.tolerance_ms,
        )
        verdicts = compare(
            curve, ledger, window, ours=ledger.ours, value_hash=ledger.value_hash
        )
        return verdicts.count(Verdict.NEW)

    return read


def figures(*, profile: bool = False) -> Iterator[Figure]:
    """Measure reading, checking, light curve and comparison of one reply."""
    with World() as world:
        (target,) = world.seed(1, POINTS, transients=False)
        body = body_of(target, world.mars_url)
    read = reading_of(target, [body])
    if read() != POINTS:
        raise RuntimeError("the reply was not read whole")
    if profile:
        print_profile(lambda: [read() for _ in range(50)])
    ours, floor = [], []
    for _ in range(REPEATS):
        ours.append(1000 * cpu_s(read, times=TIMES))
        floor.append(1000 * cpu_s(lambda: json.loads(body), times=TIMES))
    yield Figure(
        f"own CPU, a reply of {POINTS} alerts to what is owed",
        "ms",
        statistics.median(ours),
        3.0,
        statistics.median(floor),
        "ms, json.loads",
        note=f"{len(body) / 1000:.0f} kB; json.loads is part of both",
    )


if __name__ == "__main__":
    main(lambda: figures(profile="--profile" in sys.argv))
