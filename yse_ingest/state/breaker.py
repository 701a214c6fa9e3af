"""The breaker: while YSE-PZ is down, one probe at a time instead of everything at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yse_ingest.state import scripts

if TYPE_CHECKING:
    from yse_ingest.state.connection import Connection

FAILURES_TO_OPEN = 5
"""So many failures in a row open it."""
FIRST_PROBE_S = 5.0
"""Wait before the first probe [s]; it doubles with each that fails."""
LONGEST_PROBE_S = 300.0
"""Longest wait between probes [s]."""


class Breaker:
    """Shared by all processes; what it lets through is decided where rows are claimed."""

    def __init__(self, connection: Connection, key: str) -> None:
        self._connection = connection
        self.key = key
        self.first_probe_s = FIRST_PROBE_S
        self.longest_probe_s = LONGEST_PROBE_S

    def record(self, *, ok: bool) -> None:
        """Note that YSE-PZ answered, or that it proved to be down.

        An answer closes the breaker. While it is open the failure of a probe counts, those of
        uploads that were already under way do not.
        """
        self._connection.run(
            scripts.BREAKER_RECORD,
            keys=[self.key],
            args=[
                int(ok),
                FAILURES_TO_OPEN,
                round(self.first_probe_s * 1000),
                round(self.longest_probe_s * 1000),
            ],
        )

    def state(self) -> dict[str, Any]:
        """Return ``open``, ``failures``, ``interval_ms``, ``next_ms`` (Unix), ``probing``."""
        raw = self._connection.call("HGETALL", self.key)
        return {
            "open": "interval_ms" in raw,
            "failures": int(raw.get("failures", 0)),
            "interval_ms": int(raw.get("interval_ms", 0)),
            "next_ms": int(raw.get("next_ms", 0)),
            "probing": "probing" in raw,
        }
