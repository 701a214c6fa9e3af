"""A run of the service's processes, watched from the terminal."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yse_ingest.cli import progress
from yse_ingest.cli.flower import with_login
from yse_ingest.cli.processes import (
    Supervised,
    Tail,
    free_port,
    has_flower,
    last_words,
    read_procfile,
)
from yse_ingest.cli.terminal import DONE, FAILED
from yse_ingest.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.cli.playground import Playground
    from yse_ingest.cli.progress import Progress
    from yse_ingest.cli.terminal import Terminal
    from yse_ingest.service import Service

FLOWER_PORT = 5555
LOOK_EVERY_S = 0.5
STOP_MARGIN_S = 10.0
_LOUD = ("WARNING", "ERROR", "CRITICAL")
_IDS = re.compile(r" task=\S+ task_id=\S+ attempt=\d+")
"""What tells two runs of a task apart: it stands in the log, and only fills a terminal."""


class Run:
    """One run of the processes, watched."""

    def __init__(
        self, terminal: Terminal, service: Service, playground: Playground | None
    ) -> None:
        self.terminal = terminal
        self.service = service
        self.playground = playground
        self.processes: Supervised | None = None
        self.stop = threading.Event()
        self._signals = 0
        self._trouble: dict[str, str] = {}
        self._flower_url: str | None = None
        self._heartbeat = False
        self._asked = 0

    def say(self, text: str, *, style: str | None = None) -> None:
        """Print a line for people: on the error output where JSON is asked for."""
        if self._heartbeat:
            click.echo("\r\x1b[K", nl=False)
        click.secho(text, fg=style, err=self.terminal.as_json)

    # ---------------------------------------------------------------- start and stop

    def started(self, *, once: bool) -> Supervised:
        """Return the processes, ready to be started."""
        directory = Path.cwd()
        run = read_procfile(directory)
        if not has_flower() and any(process.is_flower for process in run):
            self.say("Flower is not installed and left out: pip install 'yse-ingest[monitor]'")
            run = [process for process in run if not process.is_flower]
        env = dict(self.playground.environment() if self.playground else os.environ)
        if any(process.is_flower for process in run):
            wanted = int(env.get("FLOWER_PORT") or FLOWER_PORT)
            port = free_port(wanted)
            if port != wanted:
                self.say(f"Port {wanted} is taken: Flower gets {port}.")
            env["FLOWER_PORT"] = str(port)
            env, login = with_login(
                env,
                state_dir=self.service.settings.state_dir,
                sandbox=self.playground is not None,
            )
            self._flower_url = f"http://127.0.0.1:{port} ({login})"
        if once:
            now_ms = self.service.state.now_ms()
            self.service.sync_targets_file()
            for name in self.service.state.targets.names():
                self.service.state.targets.set_due(name, now_ms)
        settings = self.service.settings
        return Supervised(
            run,
            directory=directory,
            state_dir=settings.state_dir,
            env=env,
            stop_wait_s=settings.connect_timeout_s + settings.read_timeout_s + STOP_MARGIN_S,
            beneath=self.playground.beneath if self.playground else (),
        )

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """End in order at the first Ctrl-C or SIGTERM, at once at the second."""

        def ask(_number: int, _frame: Any) -> None:
            self._signals += 1
            self.stop.set()
            if self._signals > 1 and self.processes is not None:
                self.processes.kill()

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, ask) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # ---------------------------------------------------------------- the two ways to run

    def once(self, limit_s: float) -> int:
        """Wait until every target is stored and verified; return the exit code."""
        started = time.monotonic()
        since_ms = self.service.state.now_ms()
        rows: list[Progress] = []
        problem: str | None = None
        while problem is None:
            rows = self._look(since_ms) or rows
            if rows and all(row.done for row in rows):
                break
            refused = [row for row in rows if row.refused]
            if refused and all(row.done or row.refused for row in rows):
                problem = f"{refused[0].target} is {refused[0].state}: {refused[0].reason}"
            elif time.monotonic() - started > limit_s:
                problem = f"not done after {limit_s:g} s: {self._first_open(rows)}"
            elif self._gave_up:
                problem = self._gave_up
            elif self.processes is not None and not self.processes.running:
                problem = "the supervisor ended: see supervisord.log"
            elif self.stop.wait(LOOK_EVERY_S):
                problem = "stopped before all was stored"
        self._result(rows, problem, seconds=time.monotonic() - started)
        return FAILED if problem else DONE

    def on(self) -> int:
        """Run until Ctrl-C; return the exit code."""
        if self.processes is None:
            return FAILED
        quiet = self.playground is not None
        tails = {
            each.name: Tail(self.processes.log_of(each.name)) for each in self.processes.run
        }
        if quiet:
            self._until_stored()
        self._addresses()
        before: list[Progress] = []
        self._heartbeat = sys.stdout.isatty() and quiet
        while not self.stop.wait(LOOK_EVERY_S) and self.processes.running:
            if quiet:
                before = self._changes(before)
            else:
                self._processes_news()
            said = [(line, name) for name, tail in tails.items() for line in tail.lines()]
            # Each line begins with its time.
            for line, name in sorted(said):
                self._show(name, line, quiet=quiet)
            if self._gave_up:
                self.say(self._gave_up, style="red")
                return FAILED
        self.say("Stopping: what was begun is ended first (Ctrl-C again: at once).")
        return DONE if self.stop.is_set() else FAILED

    def _until_stored(self) -> None:
        """Wait for the first table of the sandbox."""
        stored = -1
        rows: list[Progress] = []
        while not (rows and all(row.done or row.refused for row in rows)):
            if self.stop.wait(LOOK_EVERY_S) or self._gave_up:
                return
            rows = self._look(0)
            count = sum(row.done for row in rows)
            if count != stored:
                self.say(f"{count} of {len(rows)} targets are stored and verified")
                stored = count
        progress.table(rows)

    # ---------------------------------------------------------------- what is seen

    def _look(self, since_ms: int) -> list[Progress]:
        self._processes_news()
        try:
            return progress.look(self.service, since_ms=since_ms)
        except StateError as error:
            self._say_once("Redis", str(error))
            return []

    def _changes(self, before: list[Progress]) -> list[Progress]:
        """Say in a line what changed since the last look."""
        rows = self._look(0)
        known = {row.target: row for row in before}
        for row in rows:
            was = known.get(row.target)
            if was and (was.state, was.delivered) != (row.state, row.delivered):
                reason = f": {row.reason}" if row.reason else ""
                self.say(
                    f"{_clock()} {row.target} {was.state} -> {row.state}, "
                    f"{was.delivered} -> {row.delivered} points{reason}"
                )
            self._asked += was is not None and was.asked_ms != row.asked_ms
        if rows:
            self._pulse(rows)
        return rows or before

    def _pulse(self, rows: list[Progress]) -> None:
        """Rewrite the last line of a terminal: a sign of life that scrolls nothing away."""
        if not self._heartbeat:
            return
        stored, waiting = sum(row.delivered for row in rows), sum(not row.done for row in rows)
        owed = f"{waiting} targets not done" if waiting else "nothing owed"
        text = f"{_clock()} questions to sources: {self._asked}, {stored} points stored, {owed}"
        click.echo(f"\r{text}\x1b[K", nl=False)

    def _processes_news(self) -> None:
        for event in self.processes.events() if self.processes else ():
            if event.is_trouble and self.processes:
                self._trouble[event.name] = event.what
                log = self.processes.log_of(event.name)
                self.say(f"{_clock()} {event.name} {event.what} {event.rest}", style="yellow")
                for line in last_words(log) if "exit status" in event.rest else ():
                    self.say(f"    {line}")
            elif event.what == "success" and event.name in self._trouble:
                del self._trouble[event.name]
                self.say(f"{_clock()} {event.name} runs again")

    @property
    def _gave_up(self) -> str | None:
        """Return why it makes no sense to go on: a process that dies whenever it is started."""
        for name, what in self._trouble.items():
            if what == "gave up" and name != "flower":
                return f"{name} cannot be kept running: see its log"
        return None

    def _show(self, name: str, line: str, *, quiet: bool) -> None:
        level = severity(line)
        if level in _LOUD or (level and not quiet):
            self.say(f"{name:8} {shortened(line)}", style="yellow" if level in _LOUD else None)

    def _say_once(self, what: str, text: str) -> None:
        if self._trouble.get(what) != text:
            self._trouble[what] = text
            self.say(text, style="yellow")

    def _addresses(self) -> None:
        if self._flower_url:
            self.say(f"Flower            {self._flower_url}")
        if self.playground:
            first = self.playground.supernovae[0].name
            url = self.playground.ysepz.url
            self.say(f"Stand-in YSE-PZ   {url}/")
            self.say(f"SN {first:15}{url}/transient_detail/{first}/")
            self.say(f"Stand-in MARS     {self.playground.mars.url}")
            self.say(f"Stand-in ALeRCE   {self.playground.alerce.api_url}")
            self.say(f"Stand-in Fink     {self.playground.fink.api_url}")
        self.say("Running until Ctrl-C.")

    def _result(self, rows: list[Progress], problem: str | None, *, seconds: float) -> None:
        if self.terminal.as_json:
            self.terminal.result(
                {
                    "state": "failed" if problem else "done",
                    "seconds": round(seconds, 1),
                    "targets": [row.as_dict() for row in rows],
                    **({"reason": problem} if problem else {}),
                }
            )
            return
        progress.table(rows)
        if problem:
            self.say(problem, style="red")
        else:
            count = sum(row.delivered for row in rows)
            self.say(
                f"{len(rows)} targets, {count} points stored and verified in {seconds:.0f} s"
            )

    @staticmethod
    def _first_open(rows: list[Progress]) -> str:
        still = [row for row in rows if not row.done]
        if not still:
            return "there is no target (YSE_INGEST_TARGETS, or `yse-ingest enqueue`)"
        first = still[0]
        reason = f" ({first.reason})" if first.reason else ""
        return f"{len(still)} of {len(rows)} targets, as {first.target}: {first.state}{reason}"


def shortened(line: str) -> str:
    """Return a line of our log for a terminal: what happened, without the ids of the task."""
    return line if line.startswith("{") else _IDS.sub("", line)


def severity(line: str) -> str | None:
    """Return the level of one of our log lines, text or JSON; None for other output."""
    if line.startswith("{"):
        _, found, rest = line.partition('"level": "')
        return rest.partition('"')[0] if found else None
    stamp, _, rest = line.partition(" ")
    level = rest.split(" ", 1)[0]
    return level if stamp.endswith("Z") and level.isupper() else None


def _clock() -> str:
    return time.strftime("%H:%M:%SZ", time.gmtime())
