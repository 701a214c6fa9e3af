"""What the tasks of one process share."""

from __future__ import annotations

import threading
from functools import cache

from workers.celery import settings
from yse_ingest.reconcile import Auditor
from yse_ingest.service import Service

_lock = threading.Lock()


def service() -> Service:
    """Return the service of this process, built once, after any fork, by the first task."""
    with _lock:
        return _service()


@cache
def auditor() -> Auditor:
    """Return the auditor of this process: it remembers who is followed under another name."""
    return Auditor(service())


@cache
def _service() -> Service:
    return Service.from_settings(settings)
