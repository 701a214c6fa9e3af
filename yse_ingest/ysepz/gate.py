"""The gate: what every request to YSE-PZ passes before it is sent.

YSE-PZ is fragile: it has one or two workers. So no more than a few requests are under way at
once. Where there is a state in Redis its gate counts those of all processes and hosts, and
keeps account of their time (`yse_ingest.state.gate`); without one a process counts its own.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from yse_ingest.errors import HeldBackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from yse_ingest.limits import Purpose

IN_FLIGHT = 2
"""Requests under way at once, where nothing else is said."""
PATIENCE_S = 15.0
"""Longest wait for a turn [s]."""


class Turn(Protocol):
    """The right to have one request under way."""

    answered: bool | None
    """Whether YSE-PZ answered; False: it is down; None: it was not asked."""

    def renew(self) -> None:
        """Keep the turn: the answer is still coming in."""


class Gate(Protocol):
    """Gives the turns."""

    def turn(self, request: str, *, purpose: Purpose) -> AbstractContextManager[Turn]:
        """Wait for a turn, and hold it for the length of the block.

        Parameters
        ----------
        request
            "GET /api/bands/": for people.
        purpose
            What the request is for.

        Raises
        ------
        HeldBackError
            No turn came in time, or YSE-PZ is known to be down. Nothing was sent.
        """


class LocalTurn:
    """A turn among the threads of this process."""

    def __init__(self) -> None:
        self.answered: bool | None = None

    def renew(self) -> None:
        """Do nothing: this turn does not expire."""


class LocalGate:
    """Turns among the threads of this process, for who has no state in Redis.

    Parameters
    ----------
    in_flight
        Requests under way at once.
    patience_s
        Longest wait for a turn [s].
    """

    def __init__(self, in_flight: int = IN_FLIGHT, *, patience_s: float = PATIENCE_S) -> None:
        self.in_flight = in_flight
        self._patience_s = patience_s
        self._free = threading.BoundedSemaphore(in_flight)

    @contextmanager
    def turn(self, request: str, *, purpose: Purpose) -> Iterator[LocalTurn]:  # noqa: ARG002
        """Wait for a turn; see `Gate.turn`."""
        if not self._free.acquire(timeout=self._patience_s):
            raise HeldBackError(
                f"{request} was not sent: no turn within {self._patience_s:.3g} s, "
                f"{self.in_flight} requests of this process are under way",
                service="YSE-PZ",
                remedy="Nothing was written; it is tried again. More turns: YSE_PZ_IN_FLIGHT.",
            )
        try:
            yield LocalTurn()
        finally:
            self._free.release()
