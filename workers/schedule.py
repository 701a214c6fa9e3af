"""What beat ticks for: one entry per kind of work, and whatever the deployment adds."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery.beat import PersistentScheduler
from celery.schedules import BaseSchedule

from yse_ingest.state import QUEUES

if TYPE_CHECKING:
    from types import FrameType

# Every tick is idempotent and expires, so that ticks never pile up behind a worker that was
# away. A target added by hand is sent at once: dispatch serves the cadence (minutes), drain the
# retries (5 s at least), sweep what got lost.
TICKS: dict[str, dict[str, Any]] = {
    "dispatch": {"task": "yse_ingest.dispatch", "schedule": 5.0, "options": {"expires": 20}},
    "drain": {"task": "yse_ingest.drain", "schedule": 2.0, "options": {"expires": 8}},
    "audit": {"task": "yse_ingest.audit", "schedule": 10.0, "options": {"expires": 40}},
    "follow": {"task": "yse_ingest.follow", "schedule": 15.0, "options": {"expires": 60}},
    "sweep": {"task": "yse_ingest.sweep", "schedule": 30.0, "options": {"expires": 120}},
    "watch": {"task": "yse_ingest.watch", "schedule": 30.0, "options": {"expires": 120}},
    # Proof that beat, broker and workers work: whoever gets one notes the time.
    **{
        f"pulse-{queue}": {
            "task": "yse_ingest.pulse",
            "args": [queue],
            "schedule": 20.0,
            "options": {"expires": 60, "queue": queue},
        }
        for queue in QUEUES
    },
}


KEYS = ("task", "schedule", "args", "kwargs", "options", "relative")
"""What an entry may say."""


def schedule(added: object) -> dict[str, dict[str, Any]]:
    """Return our ticks with a deployment's entries laid over and added to them.

    An entry of the same name changes only what it names: ``{"dispatch": {"schedule": 10.0}}``.
    Those with a fault are left out: beat would not start with one of them (Celery 5.7).
    """
    faults = faults_of(added)
    entries = added if isinstance(added, Mapping) else {}
    names = [name for name in dict.fromkeys([*TICKS, *entries]) if name not in faults]
    sound = {name: {**TICKS.get(name, {}), **entries.get(name, {})} for name in names}
    return {**TICKS, **sound}


def faults_of(added: object) -> dict[str, str]:
    """Return the names of a deployment's entries that beat cannot use, each with its fault."""
    if not isinstance(added, Mapping):
        return {"all": f"are left out: it is no dictionary, but {added!r}"}
    found = {name: _fault(name, entry) for name, entry in added.items()}
    return {str(name): f"is left out: it {fault}" for name, fault in found.items() if fault}


def _fault(name: object, entry: object) -> str | None:
    if not isinstance(name, str) or not isinstance(entry, Mapping):
        return "has no name, or is no dictionary"
    if strange := [key for key in entry if key not in KEYS]:
        return f"has the key {strange[0]!r}, and takes {', '.join(KEYS)}"
    whole = {**TICKS.get(name, {}), **entry}
    if not isinstance(whole.get("task"), str):
        return "has no task"
    if not isinstance(whole.get("args", ()), list | tuple):
        return f'has the args {whole["args"]!r}, and takes a list: ["2019np"]'
    for key in ("kwargs", "options"):
        if not isinstance(whole.get(key) or {}, Mapping):
            return f"has {key} that are no dictionary"
    if not _is_period(whole.get("schedule")):
        return f"has the schedule {whole.get('schedule')!r}, and takes seconds or crontab(...)"
    return None


def _is_period(value: object) -> bool:
    if isinstance(value, timedelta):
        return value > timedelta()
    if isinstance(value, int | float):
        return math.isfinite(value) and value > 0
    return isinstance(value, BaseSchedule)


class Scheduler(PersistentScheduler):
    """Celery's own scheduler, keeping its file in a folder that it makes.

    Beat's own handler of SIGTERM closes the schedule's file and raises from wherever it
    happens to interrupt. Measured with Celery 5.7: in the first 50 ms an error on the
    half-opened file takes the place of the exit, and now and then is swallowed; beat then runs
    on until it is killed. Here a signal waits for the end of the tick, but not for a broker
    that is away: that may be for ever.
    """

    schedule_filename: str
    _asked_to_end = False
    _may_end = False

    def setup_schedule(self) -> None:
        """Open the schedule's file; without an announcement of each tick to Flower."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._end)
        Path(self.schedule_filename).parent.mkdir(parents=True, exist_ok=True)
        self.app.conf.task_send_sent_event = False
        super().setup_schedule()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; return how long nothing else is [s]."""
        self._may_end = False
        if self._asked_to_end:
            raise SystemExit
        self._heed_the_clock()
        wait: float = super().tick(*args, **kwargs)
        self._may_end = True
        if self._asked_to_end:
            raise SystemExit
        return wait

    def _ensure_connected(self) -> Any:
        """Wait for the broker; a signal ends it, for no file is open half here."""
        self._may_end = True
        if self._asked_to_end:
            raise SystemExit
        connection = super()._ensure_connected()  # type: ignore[misc]
        self._may_end = False
        return connection

    def _heed_the_clock(self) -> None:
        """Forget times that lie ahead.

        A clock that was an hour fast and is set right would silence beat for that hour (Celery
        5.7, seen 2026-11): what was sent last has its time in the future, in its file too.
        """
        for entry in self.schedule.values():
            now, last = entry.default_now(), entry.last_run_at
            if now is not None and last is not None and last > now:
                entry.last_run_at = now
                self._heap = None

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_to_end = True
        if self._may_end:
            raise SystemExit
