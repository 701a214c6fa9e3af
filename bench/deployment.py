"""The whole service as people run it: `yse-ingest up`, on the stand-ins of a world."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.start_up import BIN, compiled_in
from yse_ingest.cli.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.world import World
    from yse_ingest.targets import Target

ROOT = Path(__file__).parent.parent
THREADS = 64
WORKERS = ("fetch", "upload", "control")
READY_S, END_S = 60.0, 120.0
COMPILED = (
    "import celery.bin.celery, flower.command, supervisor.supervisord, workers.enqueue, "
    "workers.fetch, workers.upload, workers.dispatch, yse_ingest.cli.up, "
    "yse_ingest.cli.running, yse_ingest.service"
)
"""What the processes import: an installation has compiled it, and compiling takes memory."""


class Deployment(contextlib.ExitStack):
    """A folder in which the service runs: every process of the Procfile, Flower among them.

    Parameters
    ----------
    world
        Its stand-ins and its Redis.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.folder = world.directory / "deployment"
        # That of the Redis is taken: this is one that is free.
        self._flower = "127.0.0.1", free_port(world.redis.port)
        self.environment = {
            **compiled_in(world.directory / "compiled"),
            **world.environment,
            "CELERY_BROKER_URL": world.redis.url(0),
            "YSE_INGEST_FETCH_CONCURRENCY": str(THREADS),
            "FLOWER_PORT": str(self._flower[1]),
            "PYTHONPATH": str(ROOT),
        }

    def __enter__(self) -> Self:
        """Start it, and wait until every process does its work."""
        super().__enter__()
        self.folder.mkdir()
        compiling = [sys.executable, "-c", COMPILED]
        subprocess.run(  # noqa: S603  ours
            compiling, cwd=self.folder, env=self.environment, check=True
        )
        self._heartbeats = self.world.service().state.heartbeats
        log = self.enter_context((self.folder / "up.log").open("w"))
        self._up = subprocess.Popen(  # noqa: S603  ours
            [str(BIN / "yse-ingest"), "up"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        self.callback(self._end)
        deadline = time.monotonic() + READY_S
        while not self._is_ready():
            if time.monotonic() > deadline or self._up.poll() is not None:
                raise RuntimeError((self.folder / "up.log").read_text())
            time.sleep(0.1)
        return self

    def _end(self) -> None:
        self._up.send_signal(signal.SIGINT)
        self._up.wait(END_S)

    def _is_ready(self) -> bool:
        logs = self.world.directory / "var" / "log"
        texts = {path.stem: path.read_text() for path in logs.glob("*.log")}
        if not all("ready." in texts.get(name, "") for name in WORKERS):
            return False
        if "dispatch" not in self._heartbeats.all():  # beat has not ticked yet
            return False
        with contextlib.suppress(OSError), socket.create_connection(self._flower, timeout=1):
            return True
        return False

    def processes(self) -> dict[str, int]:
        """Return name and number of each process: of the Procfile, and what holds them."""
        return {_name(pid): pid for pid in (self._up.pid, *_below(self._up.pid))}

    @contextlib.contextmanager
    def astronomer(self) -> Iterator[Astronomer]:
        """Give a Python process of a user, in which targets are enqueued."""
        with subprocess.Popen(
            [sys.executable, "-m", "bench.astronomer"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            yield Astronomer(process)


class Astronomer:
    """Enqueues targets in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def stored(self, targets: Sequence[Target]) -> float:
        """Enqueue targets one after the other; return when all were stored, with receipts [s].

        Raises
        ------
        RuntimeError
            When one of them is not.
        """
        told, heard = self._process.stdin, self._process.stdout
        if told is None or heard is None:
            raise RuntimeError("no pipes")
        told.write(json.dumps([[each.name, each.ra, each.dec] for each in targets]) + "\n")
        told.flush()
        said = heard.readline()
        if not said:
            raise RuntimeError("the astronomer's process ended")
        return float(said)


def _below(pid: int) -> list[int]:
    """Return all processes that a process has started, theirs too."""
    mine = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if _parent(path) == pid
    ]
    return [each for child in mine for each in (child, *_below(child))]


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:  # it ended just now
        return 0


def _name(pid: int) -> str:
    """Return what a process is: its node, its command, or its module."""
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    for word in words:
        if "@" in word:
            return word.partition("@")[0]
    known = ("beat", "flower", "up", "supervisor.supervisord", "yse_ingest.cli.guardian")
    return next((word.rpartition(".")[2] for word in known if word in words), f"process {pid}")
