"""Targets per second, end to end, where each server takes 200 ms to answer anything.

The processes of the Procfile do the work; what beat does, send a tick, is done here. With
``--timeline`` it shows when each request of a cycle was under way.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from celery import Celery
from redis import Redis

from bench.figures import Figure, main
from bench.start_up import BIN, used_by
from bench.world import PASSWORD, USER, World, cycle
from tests.campaigns.documented_cron import DocumentedCron
from yse_ingest.state import QUEUES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.world import Server
    from yse_ingest.service import Service

TARGETS = 1000
POINTS = 10
THREADS = {"fetch": 64, "upload": 4, "control": 2}
LATENCY_S = 0.2
NEWS_SHARE = 0.02
REPEATS = 5
CRON_TARGETS = 5
POLL_S = 0.01
DRAIN_S = 2.0
"""How often beat sends `drain`."""
DEADLINE_S = 120.0


@dataclass(frozen=True)
class Cycle:
    """How one cycle went."""

    seconds: float
    """From the tick to the last receipt."""
    stand_ins_s: float
    """Processor time of both stand-ins."""
    workers_s: float
    """Processor time of all workers."""
    spans: dict[Server, list[tuple[str, float, float]]]
    """Path of each request, and when it began and ended since the tick [s]."""

    @property
    def busy(self) -> dict[str, float]:
        """Return how many requests each server had under way, on average."""
        return {
            server: sum(end - start for _, start, end in each) / self.seconds
            for server, each in self.spans.items()
        }

    def lines(self) -> Iterator[str]:
        """Yield one line for each request, in order."""
        every = [
            (start, end, server, path)
            for server, each in self.spans.items()
            for path, start, end in each
        ]
        for start, end, server, path in sorted(every):
            yield f"{start:6.2f} to {end:5.2f} s  {server:5}  {path}"


def figures(*, timeline: bool = False) -> Iterator[Figure]:
    """Measure incremental cycles in which 2 % of the targets have a new point."""
    with World() as world:
        overlay = {"YSE_INGEST_OVERLAP": "0s", "CELERY_BROKER_URL": world.redis.url(0)}
        service = world.service(**overlay)
        targets = world.seed(TARGETS, POINTS)
        names = [target.name for target in targets]
        service.enqueue_many(targets)
        cycle(service, names)
        with Workers(world, overlay) as workers:
            workers.cycle(service, names, POINTS)  # they build their clients
            for server in ("mars", "ysepz"):
                world.call("slow", server, LATENCY_S)
            cycles = [
                workers.cycle(service, names, POINTS + number)
                for number in range(1, REPEATS + 1)
            ]
        job = DocumentedCron(world.mars_url, world.ysepz_url, USER, PASSWORD)
        began = time.perf_counter()
        for target in targets[:CRON_TARGETS]:
            job.run(target.name, target.ra or 0.0, target.dec or 0.0)
        cron = CRON_TARGETS / (time.perf_counter() - began)
    middle = sorted(cycles, key=lambda each: each.seconds)[len(cycles) // 2]
    if timeline:
        sys.stdout.write("\n".join(middle.lines()) + "\n")
    rate = TARGETS / middle.seconds
    name = "targets per second, end to end"
    busy = ", ".join(f"{count:.1f} at {server}" for server, count in middle.busy.items())
    note = (
        f"{TARGETS} targets in {middle.seconds:.2f} s; requests under way, on average: {busy}; "
        f"processor time: workers {middle.workers_s:.2f} s, stand-ins {middle.stand_ins_s:.2f} "
        "s, which is not taken off"
    )
    ideal = THREADS["fetch"] / LATENCY_S
    yield Figure(name, "/s", rate, 0.8, ideal, "/s, ideal", more_is_better=True, note=note)
    yield Figure(name, "/s", rate, 100, cron, "/s, cron", more_is_better=True)


class Workers(contextlib.ExitStack):
    """The workers of a deployment, started as the Procfile does."""

    def __init__(self, world: World, overlay: dict[str, str]) -> None:
        super().__init__()
        self._world = world
        self._environment = {**os.environ, **world.environment, **overlay}
        self._broker = Redis.from_url(world.redis.url(0))
        self._celery = Celery(broker=world.redis.url(0), set_as_current=False)
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start them."""
        super().__enter__()
        folder = self._world.directory / "deployment"
        folder.mkdir()
        for queue, threads in THREADS.items():
            command = [str(BIN / "celery"), "-A", "workers", "worker", "-Q", queue]
            command += ["--pool", "threads", "--concurrency", str(threads)]
            command += ["-n", f"{queue}@%h", "--without-gossip", "--without-mingle"]
            process = subprocess.Popen(  # noqa: S603  ours
                command,
                cwd=folder,
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self._processes.append(process)
            self.callback(process.wait)
            self.callback(process.terminate)
        return self

    def cycle(self, service: Service, names: Sequence[str], night: int) -> Cycle:
        """Let all targets be due at once, some with a new point; wait until all is stored."""
        news = range(0, len(names), round(1 / NEWS_SHARE))
        self._world.call("night", news, night)
        self._world.call("spans")
        before = self._used()
        due_ms = service.state.now_ms()
        service.state.targets.set_all_due(due_ms)
        began, tick_s = time.perf_counter(), time.time()
        self._tick("dispatch")
        self._wait(service, names, due_ms)
        seconds = time.perf_counter() - began
        used = [after - before for after, before in zip(self._used(), before, strict=True)]
        spans = {
            server: [(path, start - tick_s, end - tick_s) for path, start, end in each]
            for server, each in self._world.call("spans").items()
        }
        uploads = sum(path == "/add_transient_phot/" for path, _, _ in spans["ysepz"])
        if uploads != len(news):
            raise RuntimeError(f"{uploads} uploads of {len(news)}")
        return Cycle(seconds, used[0], sum(used[1:]), spans)

    def _tick(self, task: str) -> None:
        self._celery.send_task(f"yse_ingest.{task}", queue="control")

    def _wait(self, service: Service, names: Sequence[str], due_ms: int) -> None:
        """Wait until no message is left, nothing is owed, and every target was asked about."""
        began = drained = time.perf_counter()
        while (
            self._messages() or service.state.outbox.rows(1) or _unasked(service, names, due_ms)
        ):
            now = time.perf_counter()
            if now - began > DEADLINE_S:
                raise TimeoutError("the workers have not done the cycle")
            if now - drained > DRAIN_S:
                drained = now
                self._tick("drain")
            time.sleep(POLL_S)

    def _messages(self) -> int:
        """Return how many messages wait or are not acknowledged."""
        pipe = self._broker.pipeline(transaction=False)
        for queue in QUEUES:
            pipe.llen(queue)
        pipe.hlen("unacked")
        return sum(pipe.execute())

    def _used(self) -> list[float]:
        pids = [self._world.stand_ins_pid, *(each.pid for each in self._processes)]
        return [used_by(pid) for pid in pids]


def _unasked(service: Service, names: Sequence[str], due_ms: int) -> bool:
    known = service.state.clocks.all(names)
    return any((known[name]["mars"].answered_ms or 0) < due_ms for name in names)


if __name__ == "__main__":
    main(lambda: figures(timeline="--timeline" in sys.argv))
