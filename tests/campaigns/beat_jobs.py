"""What each job of beat, and each look of a person, takes: by the number of targets.

CPU time of this process and of Redis, so that a busy host does not change the figures.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from workers.schedule import TICKS
from yse_ingest.cli import overview, target_lists
from yse_ingest.ledger import Ledger
from yse_ingest.reconcile import Auditor
from yse_ingest.service import DISPATCH_MAX, Service
from yse_ingest.settings import Settings
from yse_ingest.state import Clock, Look, side_connection
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target
from yse_ingest.watch.health import examine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

TIMES = 5
AT_ONCE = 1000
DAY_MS = 86_400_000
TICK_SHARE_MAX = 0.03
"""No job of beat takes more of one core, the server's part with it."""
WATCH_EVERY_S = TICKS["watch"]["schedule"]
WORKS = ("queue:fetch", "queue:upload", "queue:control", "dispatch", "drain", "sweep", "watch")
DETAIL = {
    "first_ms": 1_700_000_000_000,
    "newest_ms": 1_700_086_400_000,
    "news_ms": 1_700_090_000_000,
    "full_ms": 1_700_090_000_000,
    "object_id": "ZTF19aacgslb",
    "mag": 18.1,
    "slope": 0.01,
}
"""What a source last said of a target that is quiet."""


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    work: str
    cpu_s: float
    redis_s: float
    every_s: float | None
    """A job of beat runs so often [s]; None: when a person asks."""

    @property
    def share(self) -> float:
        """Return which part of one core it takes all the time."""
        return (self.cpu_s + self.redis_s) / self.every_s if self.every_s else 0.0

    def __str__(self) -> str:
        """Return it as a line."""
        line = f"{self.work}: {1000 * self.cpu_s:.1f} ms, Redis {1000 * self.redis_s:.1f} ms"
        if self.every_s is None:
            return line
        return f"{line}, each {self.every_s:g} s: {self.share:.2%} of a core"


def costs(folder: Path, names: Sequence[str]) -> Iterator[Cost]:
    """Measure every job with so many quiet targets."""
    with EmbeddedRedis(folder / f"jobs-{len(names)}") as redis:
        settings = {
            "CELERY_BROKER_URL": redis.url(0),
            "YSE_INGEST_STATE_DIR": str(folder / f"jobs-var-{len(names)}"),
            "YSE_INGEST_CADENCE": "2h",
            "YSE_PZ_URL": "http://127.0.0.1:1/",
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": "sandbox-only",
        }
        service = Service.from_settings(Settings.from_env(settings))
        fill(service, names)
        server = side_connection(redis.url(1))

        def cost(work: str, run: Callable[[], object], *, times: int = TIMES) -> Cost:
            spent: list[float] = []
            served: list[float] = []
            for _ in range(times):
                before, began = _served_s(server.call("INFO", "cpu")), time.process_time()
                run()
                spent.append(time.process_time() - began)
                served.append(_served_s(server.call("INFO", "cpu")) - before)
            job = work.partition(",")[0]
            every_s = TICKS[job]["schedule"] if job in TICKS else None
            return Cost(work, median(spent), median(served), every_s)

        def listed(sort: str) -> list[str]:
            chosen = target_lists._chosen(
                service, source=None, state=None, paused=False, origins=None
            )
            return target_lists._sorted(service, chosen, sort)[:20]

        due = min(DISPATCH_MAX, len(names))
        times = min(TIMES, len(names) // due)
        yield cost(f"dispatch, {due:,} due", service.dispatch, times=times)
        service.state.targets.set_all_due(service.state.now_ms() + DAY_MS)
        yield cost("dispatch, none due", service.dispatch)
        yield cost("drain", service.drain)
        yield cost("sweep", service.sweep)
        yield cost("follow", service.follow)
        auditor = Auditor(service)
        yield cost("audit", auditor.tick)
        yield cost("the first tick of watch after other settings", service.watch, times=1)
        some = names[: max(1, round(len(names) * WATCH_EVERY_S / service.settings.freshness_s))]

        def watch() -> None:
            # So many come up for a look between two ticks.
            known = service.state.looks.known(some)
            service.state.looks.note(Look(name, known[name], 0) for name in some)
            service.watch()

        yield cost(f"watch, {len(some):,} looked at", watch)
        yield cost("status", lambda: (overview.summary(service), overview.machinery(service)))
        yield cost("health", lambda: examine(service, timeout_s=60.0))
        yield cost("targets list", lambda: listed("name"))
        yield cost("targets list --sort due", lambda: listed("due"))
        server.close()
        service.state.close()


def fill(service: Service, names: Sequence[str]) -> None:
    """Follow targets that are quiet: asked, answered, stored, and proved long ago."""
    state = service.state
    source = service.source_of(Target(names[0]))
    now_ms = state.now_ms()
    old = replace(Ledger.empty(), read_back_ms=now_ms - 8 * DAY_MS)
    said = Clock(asked_ms=now_ms, answered_ms=now_ms, status="ok", detail=DETAIL)
    pks = {name: number for number, name in enumerate(names, start=1)}
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        state.targets.put_many(
            (Target(name, ra=10.0, dec=20.0) for name in some), origin="list"
        )
        state.clocks.record_answers(some, source, lambda *_: said)
        state.resolutions.put_many(
            {
                name: {"pk": pks[name], "name": name, "slug": name, "ra": 10.0, "dec": 20.0}
                for name in some
            }
        )
        for name in some:
            state.ledgers.put(pks[name], old, name=name, slug=name)
    for work in WORKS:
        state.heartbeats.beat(work)


def _served_s(info: dict[str, float]) -> float:
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
