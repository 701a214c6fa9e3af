"""The Celery application of yse_ingest: ``celery -A workers worker``.

Importing this package costs nothing; `app` and `enqueue_target` are loaded when first used::

    from workers import enqueue_target

    enqueue_target("2019np", ra=157.3415, dec=29.5106667)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.celery import app
    from workers.enqueue import enqueue_target

__all__ = ["app", "enqueue_target"]


def __getattr__(name: str) -> Any:
    if name == "app":
        from workers.celery import app

        return app
    if name == "enqueue_target":
        from workers.enqueue import enqueue_target

        return enqueue_target
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
