"""What Celery itself costs per target: one hint for 25 of them, beside one for each."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from redis import Redis

from bench.figures import Figure, main
from bench.start_up import BIN, used_by
from bench.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 25
TARGETS = 2000
REPEATS = 3
DEADLINE_S = 60.0


def figures() -> Iterator[Figure]:
    """Measure producer and worker together, by their processor time."""
    with World() as world:
        environment = {
            **os.environ,
            **world.environment,
            "CELERY_BROKER_URL": world.redis.url(0),
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        folder = world.directory / "deployment"
        folder.mkdir()
        command = [*(str(BIN / "celery"), "-A", "bench.noop", "worker"), "-Q", "fetch"]
        command += ["--pool", "threads", "--concurrency", "64", "--loglevel", "WARNING"]
        worker = subprocess.Popen(  # noqa: S603  ours
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL
        )
        try:
            broker = Redis.from_url(world.redis.url(0))
            costs: dict[int, list[float]] = {1: [], BATCH: []}
            for names in [BATCH, 1, BATCH] + REPEATS * [1, BATCH]:
                costs[names].append(_cost_us(broker, worker, folder, environment, names))
        finally:
            worker.terminate()
            worker.wait()
    # The first ones warm up.
    batched, single = (statistics.median(costs[names][-REPEATS:]) for names in (BATCH, 1))
    yield Figure(
        "Celery overhead per target",
        "us",
        batched,
        1 / 5,
        single,
        "us, a no-op task each",
        note=f"processor time of producer and worker; {BATCH} targets in a message",
    )


def _cost_us(
    broker: Redis,
    worker: subprocess.Popen[bytes],
    folder: Path,
    environment: dict[str, str],
    names: int,
) -> float:
    before = used_by(worker.pid)
    command = [sys.executable, "-m", "bench.noop", str(TARGETS // names), str(names)]
    sent = subprocess.run(  # noqa: S603  ours
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    deadline = time.monotonic() + DEADLINE_S
    while _left(broker):
        if time.monotonic() > deadline:
            raise TimeoutError("the worker has not done its messages")
        time.sleep(0.1)
    after = used_by(worker.pid)
    return 1e6 * (float(sent.stdout) + after - before) / TARGETS


def _left(broker: Redis) -> int:
    """Return how many messages wait or are not acknowledged."""
    left = 0
    for key in broker.scan_iter(count=1000):
        kind = broker.type(key)
        if kind == b"list":
            left += int(str(broker.llen(key)))
        elif kind == b"hash" and key.endswith(b"unacked"):
            left += int(str(broker.hlen(key)))
    return left


if __name__ == "__main__":
    main(figures)
