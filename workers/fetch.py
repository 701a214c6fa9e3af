"""Fetch tasks: ask a source, validate, compare, and write down what YSE-PZ is owed."""

from __future__ import annotations

from workers.celery import app
from workers.hints import send_uploads
from workers.resources import service
from yse_ingest.errors import YseIngestError


@app.task(
    name="yse_ingest.fetch_photometry", throws=(YseIngestError,), log_fields={"name": "target"}
)
def fetch_photometry(name: str) -> None:
    """Bring what YSE-PZ is owed for one target up to date.

    Safe to repeat: the outbox merges, and the ledger knows what is stored.
    """
    send_uploads(service().refresh([name]))
    service().state.heartbeats.beat("queue:fetch")


@app.task(name="yse_ingest.fetch_photometry_many", throws=(YseIngestError,))
def fetch_photometry_many(names: list[str]) -> None:
    """Do the same for many targets of one source, in as few requests as it allows.

    Safe to repeat: each target is committed by itself.
    """
    send_uploads(service().refresh(names))
    service().state.heartbeats.beat("queue:fetch")
