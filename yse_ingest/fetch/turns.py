"""Turns: which sources may be asked now, and when the others are asked again."""

from __future__ import annotations

import logging
import zlib
from typing import TYPE_CHECKING

from yse_ingest.choice import down_since
from yse_ingest.errors import CredentialsError
from yse_ingest.sources import SOURCES
from yse_ingest.state import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Collection

    from yse_ingest.clients import Clients
    from yse_ingest.errors import SourceHeldBackError, YseIngestError
    from yse_ingest.state.breaker import Breaker
    from yse_ingest.targets import Target

logger = logging.getLogger(__name__)

SPREAD_S = 5.0
"""Targets of a source that is down come back over this time, each at its own moment [s]."""


class Turns:
    """Which sources may be asked now: their breakers and budgets, as one message sees them."""

    def __init__(self, clients: Clients, *, began_ms: int) -> None:
        self._clients = clients
        self._began_ms = began_ms
        self._state = clients.state
        self._settings = clients.settings
        self._free: set[str] = set()
        """Sources without a budget, which nobody has paused as this message was begun."""
        self.breakers: dict[str, Breaker] = {}
        self._waits: dict[str, float] = {}
        self.again_s: dict[str, dict[str, float]] = {}
        """Target to sources that are to be asked again before its time, and when [s]."""
        self.at_work: dict[str, set[str]] = {}
        """Target to sources that work on the question."""

    def left_alone(self, target: Target, source: str) -> str | None:
        """Return why a source is not to be asked now: it is down; None: it may be asked."""
        if source not in self.breakers:
            self.breakers[source] = self._state.source_breaker(source)
            self._waits[source] = self.breakers[source].ask(report_s=self._settings.message_s)
        wait_s = self._waits[source]
        if not wait_s:
            return self._out_of_budget(target, source)
        # One after the other, so that a source that is back is not stormed.
        wait_s += zlib.crc32(target.name.encode()) % 1000 / 1000 * SPREAD_S
        self.soon(target, source, wait_s)
        self._state.clocks.unasked(target.name, source, reason=f"{source} is down")
        fields = {"target": target.name, "source": source, "wait_s": round(wait_s, 1)}
        logger.info("source is down, not asked", extra=fields)
        breaker = self.breakers[source].state()
        return down_since(breaker["since_ms"], breaker["reason"])

    def soon(self, target: Target, source: str, wait_s: float) -> None:
        """Ask a source again after ``wait_s`` [s], unless another one answers instead now."""
        self.again_s.setdefault(target.name, {})[source] = wait_s

    def _out_of_budget(self, target: Target, source: str) -> str | None:
        """Return why a source may not be asked now; the target's place in the line stays."""
        if source not in SOURCES or source in self._free:
            return None  # an unknown one says so itself when it is asked
        meter = self._clients.meter(source)
        wait_s, why = meter.admit(target.name)
        if not wait_s:
            if not meter.rates:
                self._free.add(source)
            return None
        self.soon(target, source, wait_s)
        reason = f"is held back: {why}"
        self._state.clocks.unasked(target.name, source, reason=f"{source} {reason}")
        fields = {"target": target.name, "source": source, "wait_s": round(wait_s, 1)}
        logger.info("source held back, not asked", extra=fields)
        return reason

    def held_back(self, target: Target, source: str, error: SourceHeldBackError) -> None:
        """Put a target off for which the budget did not reach."""
        self._free.discard(source)
        if self._out_of_budget(target, source) is None:
            self._state.clocks.unasked(target.name, source, reason=error.fact)
            self.soon(target, source, error.retry_after or 0.0)

    def unasked(self, target: Target, source: str, error: YseIngestError) -> None:
        """Note that the source was not asked: where the target is could not be told."""
        if isinstance(error, CredentialsError):
            self._state.troubles.note(CREDENTIALS, fact=error.fact)
        self._state.clocks.unasked(target.name, source, reason=str(error))
        self.again(target, source, error)

    def again(self, target: Target, source: str, error: YseIngestError) -> None:
        """Ask a source again soon after an error that may pass; tell that there was one."""
        logger.warning(
            "not fetched", extra={"target": target.name, "source": source, "error": str(error)}
        )
        if error.retryable:
            wait_s = max(self._settings.ask_again_s, error.retry_after or 0.0)
            self.soon(target, source, wait_s)

    def withdraw(self, *, but: Collection[str]) -> None:
        """Take back the probes of sources that were not asked after all."""
        for source in self.breakers.keys() - but:
            self.breakers[source].withdraw()

    def come_back(self, name: str, *, heard: Collection[str]) -> None:
        """Ask about a target before its time, where nobody answered for a source.

        ``heard`` are the sources for which somebody answered; nobody does so instead of one
        that works on the question.
        """
        unheard = self.again_s[name].keys() - (set(heard) - self.at_work.get(name, set()))
        if not unheard:
            return
        wait_s = min(self.again_s[name][source] for source in unheard)
        due_ms = self._state.now_ms() + int(wait_s * 1000)
        # Who was heard has a time of its own: that another is away does not put it off.
        self._state.targets.put_off(
            name, due_ms, since_ms=self._began_ms, until_ms=due_ms if heard else None
        )
        self._state.choices.wait_for(name, unheard)
