"""Targets per second, end to end, where each server takes 200 ms to answer anything."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bench.figures import Figure, main
from bench.world import PASSWORD, USER, World, cycle
from tests.campaigns.documented_cron import DocumentedCron

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from yse_ingest.clients import Hint
    from yse_ingest.service import Service

TARGETS = 500
POINTS = 10
BATCH = 25
FETCHERS = 64
UPLOADERS = 4
LATENCY_S = 0.2
NEWS_SHARE = 0.02
REPEATS = 3
CRON_TARGETS = 5


def figures() -> Iterator[Figure]:
    """Measure incremental cycles in which 2 % of the targets have a new point."""
    with World() as world:
        targets = world.seed(TARGETS, POINTS)
        names = [target.name for target in targets]
        service = world.service(YSE_INGEST_OVERLAP="0s")
        for target in targets:
            service.enqueue(target)
        cycle(service, names)
        for server in ("mars", "ysepz"):
            world.call("slow", server, LATENCY_S)
        rates = []
        for repeat in range(REPEATS):
            news = range(0, TARGETS, round(1 / NEWS_SHARE))
            world.call("night", news, POINTS + repeat)
            began = time.perf_counter()
            uploads = _cycle(service, names)
            rates.append(TARGETS / (time.perf_counter() - began))
            if uploads != len(news):
                raise RuntimeError(f"{uploads} uploads of {len(news)}")
        job = DocumentedCron(world.mars_url, world.ysepz_url, USER, PASSWORD)
        began = time.perf_counter()
        for target in targets[:CRON_TARGETS]:
            job.run(target.name, target.ra or 0.0, target.dec or 0.0)
        cron = CRON_TARGETS / (time.perf_counter() - began)
    rate = statistics.median(rates)
    name = "targets per second, end to end"
    ideal = FETCHERS / LATENCY_S
    note = f"{TARGETS} targets, in one process; the stand-ins work on the same cores"
    yield Figure(name, "/s", rate, 0.8, ideal, "/s, ideal", more_is_better=True, note=note)
    yield Figure(name, "/s", rate, 100, cron, "/s, cron", more_is_better=True)


def _cycle(service: Service, names: Sequence[str]) -> int:
    """Do a cycle as the two kinds of worker do; return how many uploads there were."""
    batches = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]

    def upload(hint: Hint) -> None:
        service.upload(hint.name, hint.key, hint.fence, attempt=1)

    uploads = 0
    with ThreadPoolExecutor(FETCHERS) as fetchers, ThreadPoolExecutor(UPLOADERS) as uploaders:
        for hints in fetchers.map(service.refresh, batches):
            uploads += len(hints)
            done = [uploaders.submit(upload, hint) for hint in hints]
        while hints := service.drain():
            uploads += len(hints)
            done += [uploaders.submit(upload, hint) for hint in hints]
        for each in done:
            each.result()
    while hints := service.drain():
        uploads += len(hints)
        for hint in hints:
            upload(hint)
    return uploads


if __name__ == "__main__":
    main(figures)
