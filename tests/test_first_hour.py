"""The first hour of the README: its very commands, in order, in a folder of a new user."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
MADE_BEFORE = ("make run ", "source .venv/")
"""Left out: the tests are installed already, and `make run` has its own (test_up.py)."""
_BLOCK = re.compile(r"(?ms)^```(?P<kind>sh|python)(?P<place>[^\n]*)\n(?P<text>.*?)^```$")


@dataclass(frozen=True)
class Block:
    """One fenced block of the walk-through."""

    kind: str
    in_background: bool
    text: str

    def script(self) -> str:
        """Return what is to be run."""
        lines = self.text.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith(MADE_BEFORE))


def blocks() -> list[Block]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    hour = text.partition("## The first hour\n")[2].partition("\n## ")[0]
    return [
        Block(found["kind"], "terminal" in found["place"], found["text"])
        for found in _BLOCK.finditer(hour)
    ]


class NewUser:
    """Somebody with terminals, a home of their own, and the README."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "practice"
        programs = str(Path(sys.executable).parent)
        # No setting of whoever runs the tests reaches a new user.
        self.env = {"HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}"}
        self.running: list[subprocess.Popen[bytes]] = []

    def does(self, block: Block) -> str:
        """Run a block to its end as somebody would who pastes it; return what it printed."""
        command = [sys.executable, "-c"] if block.kind == "python" else ["bash", "-ec"]
        done = subprocess.run(
            [*command, block.script()],
            cwd=self.folder if self.folder.exists() else self.home,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def starts(self, block: Block, *, until: str) -> None:
        """Run a block in a terminal of its own, and wait for what it prints."""
        log = self.home / f"terminal-{len(self.running)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-ec", f"exec {block.text}"],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.running.append(process)

        def has_said_it() -> bool:
            assert process.poll() is None, log.read_text()
            return until in log.read_text()

        wait_until(has_said_it)

    def told(self, *arguments: str) -> dict[str, object]:
        """Return what a command says to programs."""
        done = subprocess.run(
            ["yse-ingest", *arguments, "--json"],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        answer: dict[str, object] = json.loads(done.stdout)
        return answer

    def fails(self, *arguments: str) -> str:
        """Return what a command that ends with 1 prints."""
        done = subprocess.run(
            ["yse-ingest", *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout + done.stderr

    def leaves(self) -> list[int]:
        """Press Ctrl-C in each terminal, the last one first; return the exit codes."""
        codes = []
        while self.running:
            process = self.running.pop()
            process.send_signal(signal.SIGINT)
            try:
                codes.append(process.wait(60))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        return codes


def wait_until(true: Callable[[], object], *, within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[NewUser]:
    user = NewUser(tmp_path)
    yield user
    user.leaves()


def test_the_first_hour_of_the_readme(user: NewUser) -> None:
    """Every block of it does what the text around it says, without an error."""
    begin, world, choose, service, look, python, why = blocks()

    user.does(begin)
    assert (user.folder / "yse-ingest.env").exists()
    user.starts(world, until="Running until Ctrl-C")
    said = user.does(choose)
    assert re.search(r"2019np.*33", said), said
    assert "FAIL" not in said
    assert re.findall(r"(?m)^warn  (\w+)", said) == ["workers", "beat"]
    user.starts(service, until="Flower ")

    def are_stored() -> bool:
        targets = user.told("status")["targets"]
        assert isinstance(targets, list)
        return len(targets) == 4 and all(each["stored"] for each in targets)

    wait_until(are_stored)
    said = user.does(look)
    assert re.search(r"2019np +alerce .* g-ZTF 16, r-ZTF 17 +idle", said), said
    assert "last upload" in said
    assert user.does(python) == "stored {'verified': 48}\n"
    said = user.does(why)
    assert "every 2.0 h, its own" in said
    assert "host nucleus" in said
    assert "ZTF19aaknvuh is resumed" in said
    assert re.search(r"alerce +ZTF .* 5 +ok", said), said
    assert user.leaves() == [0, 0]


def test_a_sandbox_outlives_its_redis(user: NewUser) -> None:
    """A Redis that is killed is started again with what it had; a second sandbox is refused."""
    begin, world, *_ = blocks()
    user.does(begin)
    user.starts(world, until="Running until Ctrl-C")
    user.told("targets", "add", "2019np")
    assert "sandbox: it is running already in this folder" in user.fails("sandbox")

    noted = user.folder / "var" / "sandbox" / "redis" / "redis.pid"
    os.kill(int(noted.read_text()), signal.SIGKILL)

    wait_until(lambda: "2019np" in str(user.told("targets", "list")))
    assert user.leaves() == [0]
