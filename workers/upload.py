"""The upload task: send what one transient is owed, under its lease."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from workers.celery import app, settings
from workers.hints import send_uploads
from workers.resources import service
from yse_ingest.errors import YseIngestError

if TYPE_CHECKING:
    from yse_ingest.upload import UploadOutcome

logger = logging.getLogger(__name__)

LEVELS = {
    "retry": logging.WARNING,
    "later": logging.WARNING,
    "settling": logging.WARNING,
    "refused": logging.ERROR,
}


@app.task(
    name="yse_ingest.upload_photometry",
    bind=True,
    max_retries=settings.retries,
    throws=(YseIngestError,),
    log_fields={"name": "target", "key": "key", "fence": "fence"},
)
def upload_photometry(self: Any, name: str, key: str, fence: int) -> None:
    """Send what one transient is owed, with its proof; then claim what is due next.

    Safe to repeat: the state accepts each attempt under a fence exactly once.
    """
    outcome = service().upload(name, key, fence, attempt=self.request.retries + 1)
    service().state.heartbeats.beat("queue:upload")
    _log(outcome)
    if outcome.retry_in is not None:
        ends_s = outcome.retry_in + settings.lease_s
        raise self.retry(exc=outcome.error, countdown=outcome.retry_in, expires=ends_s)
    send_uploads([*outcome.hints, *service().drain()])


def _log(outcome: UploadOutcome) -> None:
    level = LEVELS.get(outcome.state, logging.INFO)
    fields = {
        "state": outcome.state,
        "counts": outcome.counts,
        "retry_in": outcome.retry_in,
        "error": outcome.error,
    }
    logger.log(level, "upload", extra=fields)
