"""The processes of the Procfile under a supervisor that restarts what dies.

The supervisor is a child of its own session: Ctrl-C reaches us alone, and we end it in order.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import queue
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from yse_ingest.cli.deployment import processes, template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

PROCFILE = "Procfile"
LOG_BYTES = 10_000_000
LOG_BACKUPS = 3
FLOWER_WAIT_S = 4.0
"""Flower has nothing to end [s]."""
TELL_AGAIN_S = 2.0
"""What has not ended is told again after this, and again [s]."""
KILL_AFTER_S = 15.0
"""How much longer than its longest process the supervisor may take to end [s]."""

_EVENT = re.compile(
    r"(?P<what>spawned|success|exited|stopped|gave up|spawnerr): "
    r"'?(?P<name>[\w-]+)'?(?P<rest>.*)"
)
_PID = re.compile(r"with pid (\d+)")


@dataclass(frozen=True)
class Process:
    """One line of the Procfile."""

    name: str
    command: str

    @property
    def is_flower(self) -> bool:
        """Tell whether this is Flower, without which everything else works."""
        return "flower" in self.command.split()


def read_procfile(directory: Path) -> list[Process]:
    """Return the processes of the directory's Procfile; of ours where it has none.

    Raises
    ------
    SettingsError
        When a line is not ``name: command``.
    """
    path = directory / PROCFILE
    text = path.read_text(encoding="utf-8") if path.is_file() else template(PROCFILE)
    return [Process(name, command) for name, command in processes(text)]


def has_flower() -> bool:
    """Tell whether Flower is installed."""
    return importlib.util.find_spec("flower") is not None


def free_port(wanted: int) -> int:
    """Return the wanted port of 127.0.0.1, or a free one where that is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            with socket.socket() as other:
                other.bind(("127.0.0.1", 0))
                return int(other.getsockname()[1])
    return wanted


def supervisor_config(
    run: Sequence[Process], *, directory: Path, state_dir: Path, stop_wait_s: float
) -> str:
    """Return supervisord's configuration.

    Parameters
    ----------
    run
        What to run; the environment is handed on, so that no secret stands in this file.
    directory
        Where the processes work.
    state_dir
        Where their logs go.
    stop_wait_s
        How long a process may take to end what it has begun [s].
    """
    logs = state_dir / "log"
    head = {
        "nodaemon": "true",
        "logfile": logs / "supervisord.log",
        "logfile_maxbytes": LOG_BYTES,
        "logfile_backups": LOG_BACKUPS,
        "pidfile": state_dir / "supervisord.pid",
    }
    if os.geteuid() == 0:
        head["user"] = "root"
    sections = [
        _section("supervisord", head),
        # In one group they are stopped side by side, not one after the other.
        _section("group:service", {"programs": ",".join(process.name for process in run)}),
    ]
    for process in run:
        # env: so that a command may begin with NAME=value; exec: so that signals reach it.
        command = f"/bin/sh -c {shlex.quote('exec env ' + process.command)}"
        sections.append(
            _section(
                f"program:{process.name}",
                {
                    "command": command,
                    "directory": directory,
                    "autorestart": "true",
                    "startsecs": 2,
                    "startretries": 5,
                    "stopwaitsecs": round(FLOWER_WAIT_S if process.is_flower else stop_wait_s),
                    "killasgroup": "true",
                    "redirect_stderr": "true",
                    "stdout_logfile": logs / f"{process.name}.log",
                    "stdout_logfile_maxbytes": LOG_BYTES,
                    "stdout_logfile_backups": LOG_BACKUPS,
                },
            )
        )
    return "\n".join(sections)


def _section(name: str, values: Mapping[str, object]) -> str:
    # supervisord expands %(...)s.
    lines = [f"{key} = {str(value).replace('%', '%%')}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])


@dataclass(frozen=True)
class Event:
    """What happened to one process."""

    what: str
    """spawned, success (it stays up), exited, stopped, gave up, spawnerr"""
    name: str
    rest: str

    @property
    def is_trouble(self) -> bool:
        """Tell whether somebody should hear of it."""
        return self.what in {"gave up", "spawnerr", "exited"}


@dataclass
class Supervised:
    """The processes, from `__enter__` to `__exit__`; nothing of them is left afterwards."""

    run: Sequence[Process]
    directory: Path
    state_dir: Path
    env: Mapping[str, str]
    stop_wait_s: float
    beneath: Sequence[int] = ()
    """Processes that these need: ended after them, should ``up`` be killed."""
    _guardian: subprocess.Popen[bytes] | None = None
    _child: subprocess.Popen[str] | None = None
    _events: queue.SimpleQueue[Event] = field(default_factory=queue.SimpleQueue)
    _pids: dict[str, int] = field(default_factory=dict)
    _listener: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start the supervisor."""
        (self.state_dir / "log").mkdir(parents=True, exist_ok=True)
        config = self.state_dir / "supervisord.conf"
        config.write_text(
            supervisor_config(
                self.run,
                directory=self.directory,
                state_dir=self.state_dir.resolve(),
                stop_wait_s=self.stop_wait_s,
            ),
            encoding="utf-8",
        )
        # The programs of this Python's environment come first: celery, above all.
        programs = str(Path(sys.executable).parent)
        self._child = subprocess.Popen(  # noqa: S603  our own Python, no shell
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(config)],
            cwd=self.directory,
            env={**self.env, "PATH": f"{programs}{os.pathsep}{self.env.get('PATH', '')}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._guardian = subprocess.Popen(  # noqa: S603  our own Python, no shell
            [
                *(sys.executable, "-m", "yse_ingest.cli.guardian"),
                *map(str, (self._child.pid, *self.beneath)),
            ],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, args=(self._child,), daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all processes in order; kill what does not end."""
        child, guardian = self._child, self._guardian
        if child is None:
            return
        if guardian is not None:
            with guardian:
                guardian.kill()
        child.terminate()
        patience = time.monotonic() + self.stop_wait_s + KILL_AFTER_S
        while not self._ended_within(TELL_AGAIN_S):
            if time.monotonic() > patience:
                child.kill()
            else:
                self._tell_again()
        if self._listener is not None:
            self._listener.join(KILL_AFTER_S)
        self.kill()

    def _ended_within(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._child is None or self._child.wait(seconds) is not None
        return False

    def _tell_again(self) -> None:
        # The supervisor resets no signal handler between fork and exec: a SIGTERM that comes
        # then is lost, and the process runs on (seen once in 20 early ends on a busy machine).
        for pid in list(self._pids.values()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill(self) -> None:
        """End at once what still runs, with its children."""
        for pid in list(self._pids.values()):
            _kill_group(pid)

    @property
    def running(self) -> bool:
        """Tell whether the supervisor itself still runs."""
        return self._child is not None and self._child.poll() is None

    def events(self) -> Iterator[Event]:
        """Return what happened since the last call."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._events.get_nowait()

    def log_of(self, name: str) -> Path:
        """Return where a process logs."""
        return self.state_dir / "log" / f"{name}.log"

    def _listen(self, child: subprocess.Popen[str]) -> None:
        if child.stdout is None:
            return
        with child.stdout as said:
            for line in said:
                if found := _EVENT.search(line):
                    self._note(Event(found["what"], found["name"], found["rest"].strip()))

    def _note(self, event: Event) -> None:
        if event.what == "spawned" and (pid := _PID.search(event.rest)):
            self._pids[event.name] = int(pid[1])
        elif event.what in {"exited", "stopped"} and event.name in self._pids:
            # What it had started itself is not left behind.
            _kill_group(self._pids.pop(event.name))
        self._events.put(event)


def _kill_group(pid: int) -> None:
    """Kill a process that the supervisor started, and its children: they are one group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class Tail:
    """What was appended to a log since the last look; the log may be rotated meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._position = path.stat().st_size if path.exists() else 0

    def lines(self) -> list[str]:
        """Return the new whole lines."""
        try:
            with self._path.open("rb") as log:
                here = os.fstat(log.fileno())
                if (
                    self._inode and here.st_ino != self._inode
                ) or here.st_size < self._position:
                    self._position = 0
                self._inode = here.st_ino
                log.seek(self._position)
                text = log.read()
        except FileNotFoundError:
            return []
        whole = text.rfind(b"\n") + 1
        self._position += whole
        return text[:whole].decode(errors="replace").splitlines()


def last_words(path: Path, count: int = 5) -> list[str]:
    """Return the last lines of a log."""
    try:
        return path.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return []
