"""The Celery application of yse_ingest: ``celery -A workers worker``.

Importing this package costs nothing; what it holds is loaded when first used::

    from workers import enqueue_target

    handle = enqueue_target("2019np", ra=157.3415, dec=29.5106667)
    handle.wait(60), handle.receipt
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.celery import app
    from workers.enqueue import enqueue_target, enqueue_targets
    from workers.handle import TargetHandle

__all__ = ["TargetHandle", "app", "enqueue_target", "enqueue_targets"]

_PLACES = {
    "app": "workers.celery",
    "enqueue_target": "workers.enqueue",
    "enqueue_targets": "workers.enqueue",
    "TargetHandle": "workers.handle",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
