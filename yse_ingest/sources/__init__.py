"""Where photometry comes from: one module per source behind one Protocol.

``build_source("fink")`` makes one; ``source.fetch([Ask(target, rules)])`` asks. `SOURCES` holds
every source that is installed; ``docs/write-a-source.md`` shows how to add one.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from yse_ingest.errors import SettingsError
from yse_ingest.meter import LocalMeter, Meter, Rate
from yse_ingest.sources.base import (
    ATLAS,
    LSST,
    ZTF,
    Answer,
    Ask,
    Capabilities,
    FoundObject,
    Kind,
    Source,
    Status,
    Survey,
    Twin,
)
from yse_ingest.sources.broker import HttpSource
from yse_ingest.sources.http import Timeouts
from yse_ingest.sources.memory import Memory, ProcessMemory, process_memory
from yse_ingest.sources.rates import rate_option, rate_variable, rates_of
from yse_ingest.sources.registry import Registry
from yse_ingest.sources.setup import Option, Setup
from yse_ingest.sources.trail import Trail
from yse_ingest.sources.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ATLAS",
    "LSST",
    "SOURCES",
    "ZTF",
    "Answer",
    "Ask",
    "Capabilities",
    "FoundObject",
    "HttpSource",
    "Kind",
    "LocalMeter",
    "Memory",
    "Meter",
    "Option",
    "ProcessMemory",
    "Rate",
    "Registry",
    "Setup",
    "Source",
    "Status",
    "Survey",
    "Timeouts",
    "Trail",
    "Twin",
    "Waiting",
    "build_source",
    "rate_option",
    "rate_variable",
    "rates_of",
]

SOURCES = Registry.installed()
"""Every source by its name in settings; ``capabilities`` and ``title`` are on the class."""


def build_source(
    name: str,
    environment: Mapping[str, str] | None = None,
    *,
    timeouts: Timeouts | None = None,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
    meter: Meter | None = None,
    trail: Trail | None = None,
    memory: Callable[[], Memory] | None = None,
) -> Source:
    """Return a source, ready to be asked from any number of threads.

    Parameters
    ----------
    name
        One of `SOURCES`.
    environment
        Values of its options: ``{"FINK_URL": "https://..."}``. What is absent has its default.
    timeouts
        See `Timeouts`.
    sleep, jitter
        How to wait before a retry [s], and random numbers in [0, 1).
    meter
        Who counts its requests; None: this source by itself, where a rate is set or declared.
    trail
        Where its replies are noted for inspection.
    memory
        Returns where one that answers later keeps what it works on; None: in this process.

    Raises
    ------
    SettingsError
        When there is no such source, or it is not configured.
    """
    if name not in SOURCES:
        raise SettingsError(
            f"there is no source {name!r}",
            service="settings",
            field="source",
            value=name,
            remedy=f"Known are {', '.join(SOURCES) or 'none: install yse_ingest again'}.",
        )
    source = SOURCES[name]
    environment = environment or {}
    if meter is None and (rates := rates_of(source, environment)):
        meter = LocalMeter(source.title, rates)
    return source.from_setup(
        Setup(
            environment=environment,
            timeouts=timeouts or Timeouts(),
            sleep=sleep,
            jitter=jitter,
            meter=meter,
            trail=trail or Trail(),
            memory=memory or process_memory(),
        )
    )
