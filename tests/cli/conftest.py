from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from yse_ingest.cli import main
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(sys.executable).parent / "yse-ingest"
CADENCE_MS = 30 * 60 * 1000


@dataclass
class Console:
    """A terminal in an empty folder, beside stand-ins of MARS and YSE-PZ that have 2019np."""

    mars: MarsStandIn
    ysepz: YsePzStandIn
    folder: Path
    environment: dict[str, str]
    services: list[Service] = field(default_factory=list)

    def run(self, *arguments: str, **changes: str | None) -> Result:
        """Run one command; ``changes`` are of its environment."""
        logger = logging.getLogger("yse_ingest")
        handlers, level = list(logger.handlers), logger.level
        try:
            return CliRunner().invoke(
                main, arguments, env={**self.environment, **changes}, prog_name="yse-ingest"
            )
        finally:  # --verbose is for one command
            logger.handlers[:] = handlers
            logger.setLevel(level)

    def start(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run one command as a process of its own, its error output among its output.

        `doctor` needs that: it asks workers, and Celery knows one broker per process.
        """
        return subprocess.run(
            [PROGRAM, *arguments],
            env={**self.process_environment(), **changes},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def at_a_terminal(self, *arguments: str) -> tuple[str, str]:
        """Run one command whose error output is a terminal; return its output, and that."""
        reader, writer = os.openpty()
        with subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=self.folder,
            env={**self.process_environment(), "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=writer,
        ) as process:
            os.close(writer)
            shown = b""
            with contextlib.suppress(OSError):  # the end of a terminal
                while part := os.read(reader, 65536):
                    shown += part
            assert process.stdout is not None
            output = process.stdout.read().decode()
        os.close(reader)
        return output, shown.decode()

    def process_environment(self) -> dict[str, str]:
        """Return the environment of a process of this deployment."""
        return {**os.environ, **self.environment}

    def service(self, **changes: str) -> Service:
        """Return a service of the same deployment."""
        service = Service.from_settings(Settings.from_env({**self.environment, **changes}))
        self.services.append(service)
        return service

    def cycle(self, **changes: str) -> None:
        """Do what the workers would: fetch 2019np, and upload once what is owed."""
        service = self.service(**changes)
        service.enqueue(Target("2019np"))
        for hint in service.refresh(["2019np"]):
            service.upload(hint.name, hint.key, hint.fence, attempt=1)
        service.state.targets.set_due("2019np", service.state.now_ms() + CADENCE_MS)

    def writes(self) -> list[str]:
        """Return the paths of all requests that were to change something in YSE-PZ."""
        return [each.path for each in self.ysepz.log if each.method != "GET"]

    def targets_file(self, text: str) -> str:
        """Write a targets file; return its path."""
        path = self.folder / "targets.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def console(
    valkey: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any
) -> Iterator[Console]:
    monkeypatch.chdir(tmp_path)
    first = supernovae.load()[0]
    with MarsStandIn() as mars, YsePzStandIn() as ysepz:
        supernovae.fill_mars(mars, [first])
        ysepz.add_transient(first.name, first.ra, first.dec, status="Following")
        found = Console(
            mars,
            ysepz,
            tmp_path,
            {
                "MARS_URL": mars.url,
                "YSE_PZ_URL": ysepz.url,
                "YSE_PZ_USERNAME": "ingest",
                "YSE_PZ_PASSWORD": "sandbox-only",
                "CELERY_BROKER_URL": valkey.url(),
                # One Redis for all tests: a namespace each.
                "YSE_INGEST_NAMESPACE": f"test-{request.node.nodeid.__hash__() & 0xFFFFFF:x}",
                "YSE_INGEST_STATE_DIR": str(tmp_path / "var"),
                "XDG_STATE_HOME": str(tmp_path / "state"),
                "NETRC": str(tmp_path / "no-netrc"),
            },
        )
        yield found
        for service in found.services:
            service.state.close()
