"""Ticks of beat: what is due, what may be sent, what got lost. All are safe to repeat."""

from __future__ import annotations

import logging

from workers.celery import app, settings
from workers.hints import send_fetch, send_uploads
from workers.resources import auditor, service
from yse_ingest.cadence import BASE_S
from yse_ingest.errors import YseIngestError
from yse_ingest.targets import ADAPTIVE

logger = logging.getLogger(__name__)

MESSAGE_EXPIRES_S = BASE_S if settings.cadence_s == ADAPTIVE else settings.cadence_s
"""A fetch message is of no use longer: its target is due again [s]."""


# Ticks send no events: Flower's list of tasks would hold little else.
@app.task(name="yse_ingest.dispatch", send_events=False, throws=(YseIngestError,))
def dispatch() -> None:
    """Claim the targets that are due, and ask the fetch workers to look at them."""
    for batch in service().dispatch():
        logger.info("dispatched", extra={"source": batch.source, "targets": batch.names})
        send_fetch(batch.names, expires_s=MESSAGE_EXPIRES_S)
    service().state.heartbeats.beat("dispatch")


@app.task(name="yse_ingest.drain", send_events=False, throws=(YseIngestError,))
def drain() -> None:
    """Claim the uploads that are due: the safety net and the clock of retries."""
    send_uploads(service().drain())
    service().state.heartbeats.beat("drain")


@app.task(name="yse_ingest.follow", send_events=False, throws=(YseIngestError,))
def follow() -> None:
    """Follow what the lists of YSE-PZ have that the targets file, or a person, wants."""
    service().follow()


@app.task(name="yse_ingest.sweep", send_events=False, throws=(YseIngestError,))
def sweep() -> None:
    """Make anew what got lost: leases of dead workers, owed rows in no queue."""
    found = {what: count for what, count in service().sweep().items() if count}
    if found:
        logger.warning("swept", extra=found)
    service().state.heartbeats.beat("sweep")


@app.task(name="yse_ingest.audit", send_events=False, throws=(YseIngestError,))
def audit() -> None:
    """Read back the transient whose proof is oldest, where one is due and the share allows."""
    send_uploads(auditor().tick())
