"""The breaker: while a service is down, one probe at a time instead of everything at once."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from yse_ingest.state import gate_scripts as scripts

if TYPE_CHECKING:
    from yse_ingest.limits import Limits
    from yse_ingest.state.connection import Connection


class Breaker:
    """Shared by all processes.

    That of YSE-PZ is minded where requests get their turns and where rows are claimed; that of
    a source by who asks the source.
    """

    def __init__(self, connection: Connection, key: str, limits: Limits) -> None:
        self._connection = connection
        self.key = key
        self.waits = [limits.failures, _ms(limits.probe_s), _ms(limits.probe_max_s)]
        """Failures that open it, first and longest wait [ms]."""
        self._probe = uuid.uuid4().hex
        self._asked = False

    def ask(self, *, report_s: float) -> float:
        """Return how long the service is not to be asked [s]; 0: now.

        While it is open, who gets a 0 is the one probe, until it reports by `record`.

        Parameters
        ----------
        report_s
            A probe that has not reported by then makes room for another [s].
        """
        self._asked = True
        wait_ms = self._connection.run(
            scripts.BREAKER_ASK, keys=[self.key], args=[self._probe, _ms(report_s)]
        )
        return float(wait_ms) / 1000

    def withdraw(self) -> None:
        """Leave the probe to somebody else: there was nothing to ask after all."""
        self._connection.run(scripts.BREAKER_WITHDRAW, keys=[self.key], args=[self._probe])

    def record(self, *, ok: bool, reason: str = "", at_once: bool = False) -> None:
        """Note that the service answered, or that it proved to be down.

        An answer closes the breaker. While it is open the failure of a probe counts, those of
        requests that were already under way do not. ``at_once``: one failure opens it.
        """
        failures, *waits = self.waits
        self._connection.run(
            scripts.BREAKER_RECORD,
            keys=[self.key],
            args=[
                int(ok),
                self._probe if self._asked else "",
                reason,
                1 if at_once else failures,
                *waits,
            ],
        )

    def state(self) -> dict[str, Any]:
        """Return ``open``, ``failures``, ``interval_ms``, ``probing``, ``reason``.

        And, as Unix times [ms], ``since_ms`` and ``next_ms``; 0 where there is none.
        """
        raw = self._connection.call("HGETALL", self.key)
        return {
            "open": "interval_ms" in raw,
            "failures": int(raw.get("failures", 0)),
            "interval_ms": int(raw.get("interval_ms", 0)),
            "since_ms": int(raw.get("since_ms", 0)),
            "next_ms": int(raw.get("next_ms", 0)),
            "probing": "probing" in raw,
            "reason": raw.get("reason", ""),
        }


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
