"""Real worker processes on a real Valkey."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]


def wait_until(true: Callable[[], object], *, within: float = 20.0, what: str = "") -> float:
    """Wait for a condition; return how long it took [s]."""
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > within:
            raise AssertionError(f"not within {within} s: {what or true}")
        time.sleep(0.02)
    return time.monotonic() - started


class Program:
    """A process of ours, its output in a file."""

    def __init__(
        self, command: list[str], *, cwd: Path, env: Mapping[str, str], log: Path
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, *, within: float = 20.0) -> None:
        def seen() -> bool:
            assert self.alive or text in self.text, self.text
            return text in self.text

        wait_until(seen, within=within, what=f"{text!r} in {self.log}:\n{self.text}")

    def end(self, *, within: float = 20.0) -> int:
        """Wait until it ends by itself; return its exit code."""
        return self._process.wait(within)

    def stop(self, how: signal.Signals = signal.SIGTERM, *, within: float = 20.0) -> int:
        if self.alive:
            self._process.send_signal(how)
        return self._process.wait(within)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def until() -> Callable[..., float]:
    """Wait for a condition; return how long it took [s]."""
    return wait_until


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


@contextlib.contextmanager
def programs(folder: Path) -> Iterator[Callable[..., Program]]:
    """Start ``celery ...`` in a folder; everything ends with the block."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, env: Mapping[str, str], cwd: Path | None = None) -> Program:
            log = folder / f"{len(list(folder.glob('*.out')))}.out"
            command = [sys.executable, "-m", "celery", *arguments]
            program = Program(command, cwd=cwd or folder, env=env, log=log)
            stack.callback(program.kill)
            return program

        yield start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start ``celery ...`` in a folder of its own; everything ends with the test."""
    with programs(tmp_path) as start:
        yield start


SHORT = {
    "YSE_PZ_CONNECT_TIMEOUT": "1",
    "YSE_PZ_READ_TIMEOUT": "3",
    "YSE_PZ_REQUEST_LIMIT": "2",
    "YSE_INGEST_SOURCE_GET_TIMEOUT": "3",
    "YSE_INGEST_SOURCE_POST_TIMEOUT": "5",
    "YSE_INGEST_SETTLE_GAP": "0.2",
    "YSE_INGEST_LEASE": "5",
    "YSE_INGEST_MESSAGE_LIMIT": "10",
    "YSE_INGEST_VISIBILITY": "12",
    "YSE_INGEST_RETRY_WAIT": "0.5",
    "YSE_INGEST_RETRY_WAIT_MAX": "3",
}
"""The times of the service, short; the stand-in's worker limit goes with them."""


class Service:
    """A sandbox with its own Redis, and the programs of the service that a test starts."""

    def __init__(
        self,
        folder: Path,
        redis: EmbeddedRedis,
        mars: MarsStandIn,
        ysepz: YsePzStandIn,
        start: Callable[..., Program],
    ) -> None:
        self.folder = folder
        self.redis = redis
        self.mars = mars
        self.ysepz = ysepz
        self._start = start
        self.everything: Program | None = None
        self._programs: list[Program] = []
        self.supernovae = {each.name: each for each in supernovae.load()}
        self.env = {
            **SHORT,
            "CELERY_BROKER_URL": redis.url(),
            "YSE_PZ_URL": ysepz.url,
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": "sandbox-only",
            "MARS_URL": mars.url,
            "YSE_INGEST_STATE_DIR": str(folder / "var"),
        }

    def know(self, *names: str) -> None:
        """Put supernovae into YSE-PZ, without photometry."""
        for name in names:
            each = self.supernovae[name]
            self.ysepz.add_transient(name, each.ra, each.dec)

    def celery(self, *arguments: str, cwd: Path | None = None, **env: str) -> Program:
        program = self._start("-A", "workers", *arguments, env={**self.env, **env}, cwd=cwd)
        self._programs.append(program)
        return program

    def stop_everything(self) -> None:
        """End every program of the service at once."""
        for program in self._programs:
            program.kill()
        self._programs.clear()

    def worker(self, name: str, *queues: str) -> Program:
        listens = ["-Q", ",".join(queues)] if queues else []
        program = self.celery(
            "worker", "-n", f"{name}@test", *listens, "--without-gossip", "--without-mingle"
        )
        program.wait_for("ready.")
        return program

    def python(self, code: str, *, within: float = 30.0, **env: str) -> str:
        """Run a script as an astronomer's shell would; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.folder,
            env={**os.environ, **self.env, **env},
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stored(self, name: str) -> int:
        """Return how many points of a transient stand in YSE-PZ."""
        return len(self.ysepz.rows(name))

    def published(self, name: str) -> int:
        """Return how many positive detections of it were published."""
        return sum(alert.isdiffpos == "t" for alert in self.supernovae[name].alerts)


@contextlib.contextmanager
def service_in(folder: Path) -> Iterator[Service]:
    with (
        EmbeddedRedis(folder / "redis") as redis,
        MarsStandIn() as mars,
        YsePzStandIn(worker_limit_s=2) as ysepz,
        programs(folder) as start,
    ):
        supernovae.fill_mars(mars, supernovae.load())
        yield Service(folder, redis, mars, ysepz, start)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Give a test a sandbox of its own."""
    with service_in(tmp_path) as service:
        yield service


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a module a sandbox with one worker; its tests use targets of their own."""
    with service_in(tmp_path_factory.mktemp("service")) as service:
        service.everything = service.worker("everything")
        yield service
