"""The service's processes: real Celery workers and beats, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[3]

QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
KNOBS = """\
yse_ingest_config = 1
beat_schedule = {
    "dispatch": {"schedule": 1.0},
    "drain": {"schedule": 0.5},
    "sweep": {"schedule": 2.0},
}
beat_max_loop_interval = 1
worker_concurrency = 4
broker_transport_options = {"socket_timeout": 4, "socket_connect_timeout": 1}
"""


def roles(folder: Path) -> dict[str, list[str]]:
    """Return the processes of the service by name: the arguments of ``celery``."""

    def worker(name: str, queue: str) -> list[str]:
        return ["-A", "workers", "worker", "-n", f"{name}@chaos", "-Q", queue, *QUIET]

    def beat(name: str) -> list[str]:
        return ["-A", "workers", "beat", "-s", str(folder / f"{name}-schedule")]

    return {
        "fetch": worker("fetch", "fetch"),
        "upload1": worker("upload1", "upload"),
        "upload2": worker("upload2", "upload"),
        "control": worker("control", "control"),
        "beat1": beat("beat1"),
        "beat2": beat("beat2"),
    }


class Processes:
    """Every process of the service, each started again whenever it is found dead."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        (folder / "celeryconfig.py").write_text(KNOBS)
        self.roles = roles(folder)
        self._pids: dict[str, int] = {}
        self._killed: set[int] = set()
        self.ended_by_themselves: list[str] = []
        self._log = (folder / "nursery.log").open("ab")
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.campaigns.chaos.nursery"],
            cwd=folder,
            env={
                **os.environ,
                **environment,
                "PYTHONPATH": str(ROOT),
                "OPENBLAS_NUM_THREADS": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            bufsize=1,
        )

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._nursery.stdin is None or self._nursery.stdout is None:
            raise BrokenPipeError("the nursery has no pipes")
        self._nursery.stdin.write(json.dumps(request) + "\n")
        line = self._nursery.stdout.readline()
        if not line:
            raise ChildProcessError(f"the nursery ended; see {self._folder / 'nursery.log'}")
        reply: dict[str, Any] = json.loads(line)
        for pid in reply["ended"]:
            name = next((name for name, known in self._pids.items() if known == pid), None)
            if name is not None:
                del self._pids[name]
                if pid not in self._killed:
                    self.ended_by_themselves.append(name)
        return reply

    def keep(self) -> None:
        """Start whatever does not run."""
        self._ask({})
        for slot, (name, arguments) in enumerate(self.roles.items()):
            if name not in self._pids:
                log = str(self._folder / f"{name}.log")
                request = {"start": arguments, "log": log, "slot": slot}
                self._pids[name] = self._ask(request)["pid"]

    def kill(self, name: str) -> bool:
        """Send SIGKILL to one of them; return whether it was there."""
        pid = self._pids.get(name)
        if pid is None:
            return False
        self._killed.add(pid)
        os.kill(pid, signal.SIGKILL)
        return True

    def close(self) -> None:
        """End them all."""
        if self._nursery.stdin is not None:
            self._nursery.stdin.close()
        if self._nursery.stdout is not None:
            self._nursery.stdout.close()
        self._nursery.wait(20)
        self._log.close()
