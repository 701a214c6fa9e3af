"""How long the terminal, the library and a worker take to be there.

Every program has its compiled modules, as after an installation: a first start that writes
them, into a folder of this run, is not counted.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import Figure, main
from bench.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
REPEATS = 11
WORKERS = 5


def compiled_in(folder: Path) -> dict[str, str]:
    """Return the environment of a program that keeps its compiled modules in a folder."""
    unwanted = {"YSE_INGEST_LOG", "PYTHONDONTWRITEBYTECODE"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder)}


def child_s(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return how long a command takes: by the clock, and of the processor [s]."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(  # noqa: S603  ours
        command, check=True, env=environment, stdout=subprocess.DEVNULL
    )
    wall, after = time.perf_counter() - began, os.times()
    used = after.children_user - before.children_user
    return wall, used + after.children_system - before.children_system


def figures() -> Iterator[Figure]:
    """Measure the starts; each beside that of a Python that does nothing."""
    with World() as world:
        environment = compiled_in(world.directory / "compiled")
        yield from _commands(environment)
        environment |= {**world.environment, "CELERY_BROKER_URL": world.redis.url(0)}
        folder = world.directory / "deployment"
        folder.mkdir()
        worker_ready_s(folder, environment)
        ready = [worker_ready_s(folder, environment) for _ in range(WORKERS)]
    wall, used = (statistics.median(column) for column in zip(*ready, strict=True))
    yield Figure("fetch worker ready", "s", wall, 1.0, note=f"{used:.2f} s of the processor")


def _commands(environment: dict[str, str]) -> Iterator[Figure]:
    bare = [sys.executable, "-c", "pass"]
    for name, command, goal in (
        ("yse-ingest --help", [str(BIN / "yse-ingest"), "--help"], 0.15),
        ("import yse_ingest", [sys.executable, "-c", "import yse_ingest"], 0.10),
    ):
        child_s(command, environment)
        pairs = [
            (*child_s(command, environment), *child_s(bare, environment))
            for _ in range(REPEATS)
        ]
        wall, used, nothing, _ = (
            statistics.median(column) for column in zip(*pairs, strict=True)
        )
        note = f"{used:.3f} s of the processor; python -c pass takes {nothing:.3f} s"
        yield Figure(name, "s", wall, goal, note=note)


def worker_ready_s(folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Start a fetch worker; return when it was ready, and its processor time [s]."""
    command = [*(str(BIN / "celery"), "-A", "workers", "worker"), "-Q", "fetch"]
    command += [*("--pool", "threads", "--concurrency", "64"), "-n", "bench@%h"]
    command += ["--without-gossip", "--without-mingle"]  # as in the Procfile
    began = time.perf_counter()
    worker = subprocess.Popen(  # noqa: S603  ours
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        told = []
        for line in worker.stdout or ():
            told.append(line)
            if re.search(r"\bready\b", line):
                return time.perf_counter() - began, used_by(worker.pid)
        raise RuntimeError("the worker ended: " + "".join(told)[-2000:])
    finally:
        worker.terminate()
        worker.communicate()


def used_by(pid: int) -> float:
    """Return the processor time of a process [s]."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main(figures)
