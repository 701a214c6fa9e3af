"""Ticks of beat that prove the work, and tell people what is wrong."""

from __future__ import annotations

from workers.celery import app
from workers.resources import service
from yse_ingest.errors import YseIngestError


@app.task(name="yse_ingest.pulse", send_events=False, throws=(YseIngestError,))
def pulse(queue: str) -> None:
    """Note that beat, the broker and a worker of this queue did their part. Safe to repeat."""
    service().state.heartbeats.beat(f"queue:{queue}")


@app.task(name="yse_ingest.watch", send_events=False, throws=(YseIngestError,))
def watch() -> None:
    """Tell people what began or is over. Safe to repeat: each change is told once."""
    service().watch()
