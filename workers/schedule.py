"""What beat ticks for: one entry per kind of work, and whatever the deployment adds."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery.beat import PersistentScheduler

from yse_ingest.state import QUEUES

if TYPE_CHECKING:
    from collections.abc import Mapping
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


def schedule(added: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return our ticks with a deployment's entries laid over and added to them.

    An entry of the same name changes only what it names: ``{"dispatch": {"schedule": 10.0}}``.
    """
    names = dict.fromkeys([*TICKS, *added])
    return {name: {**TICKS.get(name, {}), **added.get(name, {})} for name in names}


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
