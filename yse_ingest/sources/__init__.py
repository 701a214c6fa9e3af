"""Where photometry comes from: one module per source behind one Protocol.

``build_source("mars", mars_url=...)`` makes one; ``source.fetch([Ask(target, rules)])`` asks.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from yse_ingest.errors import SettingsError
from yse_ingest.sources.alerce import AlerceSource
from yse_ingest.sources.base import (
    Answer,
    Ask,
    Capabilities,
    FoundObject,
    Source,
    Status,
    Twin,
)
from yse_ingest.sources.http import HttpClient, Timeouts
from yse_ingest.sources.mars import RETIRED, MarsSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ALERCE_URL",
    "SOURCES",
    "Answer",
    "Ask",
    "Capabilities",
    "FoundObject",
    "Source",
    "Status",
    "Timeouts",
    "Twin",
    "build_source",
]

ALERCE_URL = "https://api.alerce.online/ztf/v1"
"""ALeRCE's public API."""

SOURCES: Mapping[str, type[MarsSource | AlerceSource]] = {
    MarsSource.name: MarsSource,
    AlerceSource.name: AlerceSource,
}
"""Every source by its name in settings; ``capabilities`` and ``title`` are on the class."""


def build_source(
    name: str,
    *,
    mars_url: str | None = None,
    alerce_url: str = ALERCE_URL,
    timeouts: Timeouts | None = None,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
) -> Source:
    """Return a source, ready to be asked from any number of threads.

    Parameters
    ----------
    name
        One of `SOURCES`.
    mars_url, alerce_url
        Where they live.
    timeouts
        See `Timeouts`.
    sleep, jitter
        How to wait before a retry [s], and random numbers in [0, 1).

    Raises
    ------
    SettingsError
        When there is no such source, or it is not configured.
    """
    if name == MarsSource.name:
        if not mars_url:
            raise SettingsError("MARS_URL is not set", service="MARS", remedy=RETIRED)
        return MarsSource(
            HttpClient(
                mars_url,
                service=MarsSource.title,
                timeouts=timeouts,
                unresolved_remedy=RETIRED,
                concurrency=4,
                sleep=sleep,
                jitter=jitter,
            )
        )
    if name == AlerceSource.name:
        return AlerceSource(
            HttpClient(
                alerce_url,
                service=AlerceSource.title,
                timeouts=timeouts,
                concurrency=1,
                sleep=sleep,
                jitter=jitter,
            )
        )
    raise SettingsError(
        f"there is no source {name!r}",
        service="settings",
        field="source",
        value=name,
        remedy=f"Known are {', '.join(SOURCES)}.",
    )
