"""What a source is built from: its settings, and HTTP as every source is asked."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from yse_ingest.sources.http import RETRIES, HttpClient, Timeouts
from yse_ingest.sources.memory import process_memory
from yse_ingest.sources.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from yse_ingest.meter import Meter
    from yse_ingest.sources.memory import Memory

_UNSET = frozenset({"", "none", "null"})


@dataclass(frozen=True)
class Option:
    """One setting of a source: an environment variable.

    One that ends in TOKEN, PASSWORD, SECRET or _KEY is blanked in every text.
    """

    variable: str
    """``FINK_URL``"""
    doc: str
    """What it is, in a sentence."""
    default: str | None = None


@dataclass(frozen=True)
class Setup:
    """What `Source.from_setup` is given.

    Attributes
    ----------
    environment
        Where the values of its options stand.
    timeouts
        See `Timeouts`.
    sleep, jitter
        How to wait before a retry [s], and random numbers in [0, 1).
    memory
        Returns where a source that answers later keeps what it works on; called at each use.
    meter
        Who counts the requests; None: nobody. `http` hands it on.
    trail
        Where replies are noted, for inspection where one cannot be read.
    """

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeouts: Timeouts = field(default_factory=Timeouts)
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    memory: Callable[[], Memory] = field(default_factory=process_memory)
    meter: Meter | None = None
    trail: Trail = field(default_factory=Trail)

    def value(self, option: Option) -> str | None:
        """Return the value of an option, its default where it is unset or empty."""
        text = self.environment.get(option.variable, "").strip()
        return option.default if text.lower() in _UNSET else text

    def http(
        self,
        url: str,
        *,
        service: str,
        concurrency: int = 1,
        unresolved_remedy: str | None = None,
        retries: int = RETRIES,
    ) -> HttpClient:
        """Return a client of one service: pooled, bounded, retried where it helps.

        Raises
        ------
        SettingsError
            When the URL is none, or holds credentials.
        """
        return HttpClient(
            url,
            service=service,
            timeouts=self.timeouts,
            concurrency=concurrency,
            retries=retries,
            unresolved_remedy=unresolved_remedy,
            sleep=self.sleep,
            jitter=self.jitter,
            meter=self.meter,
            trail=self.trail,
        )
