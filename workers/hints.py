"""Sending the hints: "look at this target", "upload this transient".

A hint may get lost. What it stands for is in the state, from where `drain`, `dispatch` and
`sweep` make it anew; so a broker that is away is logged and survived.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError

from workers.celery import app, settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from yse_ingest.clients import Hint

logger = logging.getLogger(__name__)


def send_fetch(names: Sequence[str], *, expires_s: float | None = None) -> bool:
    """Ask a fetch worker to look at these targets; return whether the broker took it."""
    if len(names) == 1:
        return _send("yse_ingest.fetch_photometry", (names[0],), expires_s)
    return _send("yse_ingest.fetch_photometry_many", (list(names),), expires_s)


def send_uploads(hints: Iterable[Hint]) -> None:
    """Ask the upload worker for each claimed transient; a hint ends with its lease."""
    for hint in hints:
        work = (hint.name, hint.key, hint.fence)
        _send("yse_ingest.upload_photometry", work, settings.lease_s)


def _send(task: str, args: tuple[Any, ...], expires_s: float | None) -> bool:
    try:
        app.send_task(task, args=args, expires=expires_s)
    except OperationalError as error:
        fields = {"hint": task, "target": args[0], "error": error}
        logger.warning("hint not sent", extra=fields)
        return False
    return True
