"""What beat ticks for: one entry per kind of work, and whatever the deployment adds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery.beat import PersistentScheduler

if TYPE_CHECKING:
    from collections.abc import Mapping

# Every tick is idempotent and expires, so that ticks never pile up behind a worker that was
# away. A target added by hand is sent at once: dispatch serves the cadence (minutes), drain the
# retries (5 s at least), sweep what got lost.
TICKS: dict[str, dict[str, Any]] = {
    "dispatch": {"task": "yse_ingest.dispatch", "schedule": 5.0, "options": {"expires": 20}},
    "drain": {"task": "yse_ingest.drain", "schedule": 2.0, "options": {"expires": 8}},
    "sweep": {"task": "yse_ingest.sweep", "schedule": 30.0, "options": {"expires": 120}},
}


def schedule(added: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return our ticks with a deployment's entries laid over and added to them.

    An entry of the same name changes only what it names: ``{"dispatch": {"schedule": 10.0}}``.
    """
    names = dict.fromkeys([*TICKS, *added])
    return {name: {**TICKS.get(name, {}), **added.get(name, {})} for name in names}


class Scheduler(PersistentScheduler):
    """Celery's own scheduler, keeping its file in a folder that it makes."""

    schedule_filename: str

    def setup_schedule(self) -> None:
        """Open the schedule's file; without an announcement of each tick to Flower."""
        Path(self.schedule_filename).parent.mkdir(parents=True, exist_ok=True)
        self.app.conf.task_send_sent_event = False
        super().setup_schedule()
