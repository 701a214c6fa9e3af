"""The gate of all processes and hosts: few requests to YSE-PZ at once, their time counted."""

from __future__ import annotations

import logging
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from yse_ingest.errors import HeldBackError, StateError
from yse_ingest.limits import RANK
from yse_ingest.state import gate_scripts as scripts
from yse_ingest.state.breaker import _ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.limits import Limits, Purpose
    from yse_ingest.state.breaker import Breaker
    from yse_ingest.state.budget import Budget
    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

logger = logging.getLogger(__name__)

SEEN_S = 3.0
"""Who has not asked for so long waits no more: its process died [s]."""
FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.1
"""Between two questions whether the turn has come [s]."""


class SharedTurn:
    """One turn; it ends by itself when its process dies."""

    def __init__(self, gate: SharedGate, purpose: Purpose) -> None:
        self.id = uuid.uuid4().hex
        self.purpose = purpose
        self.answered: bool | None = None
        self._gate = gate
        self.since = self._renewed = time.monotonic()

    def renew(self) -> None:
        """Keep the turn while an answer comes in slowly."""
        now = time.monotonic()
        if now - self._renewed > self._gate.limits.turn_s / 4:
            self._renewed = now
            self._gate.extend(self)


class SharedGate:
    """Gives turns in the order of rank and arrival; see `yse_ingest.ysepz.gate.Gate`.

    What the requests show is passed on when they end: their time to the budget, and whether
    YSE-PZ answered to its breaker.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        *,
        limits: Limits,
        breaker: Breaker,
        budget: Budget,
    ) -> None:
        self._connection = connection
        self.limits = limits
        self._breaker = breaker
        self._budget = budget
        self._held = keys("turns", "held")
        self._waiting = keys("turns", "waiting")
        self._seen = keys("turns", "seen")

    @contextmanager
    def turn(self, request: str, *, purpose: Purpose) -> Iterator[SharedTurn]:
        """Wait for a turn, and hold it for the length of the block.

        Raises
        ------
        HeldBackError
            No turn came in time, or YSE-PZ is known to be down. Nothing was sent.
        StateError
            When Redis gives no answer; nothing was sent.
        """
        turn = SharedTurn(self, purpose)
        self._wait(turn, request)
        turn.since = time.monotonic()
        try:
            yield turn
        finally:
            self._end(turn)

    def extend(self, turn: SharedTurn) -> None:
        """Let a turn last on; where Redis is away it ends when it would have."""
        try:
            self._connection.run(
                scripts.TURN_RENEW, keys=[self._held], args=[turn.id, _ms(self.limits.turn_s)]
            )
        except StateError as error:
            logger.warning("turn not renewed", extra={"error": str(error)})

    def state(self) -> dict[str, int]:
        """Return how many requests are ``under_way``, and ``waiting`` for one of ``turns``."""
        now_ms = self._connection.now_ms()
        held, waiting = self._connection.batch(
            [("ZCOUNT", self._held, now_ms, "+inf"), ("ZCOUNT", self._seen, now_ms, "+inf")]
        )
        return {"under_way": held, "turns": self.limits.in_flight, "waiting": waiting}

    def _wait(self, turn: SharedTurn, request: str) -> None:
        give_up = time.monotonic() + self.limits.patience_s
        pause = FIRST_PAUSE_S
        while True:
            word, *more = self._connection.run(
                scripts.TURN_TAKE,
                keys=[self._held, self._waiting, self._seen, self._breaker.key],
                args=[
                    turn.id,
                    self.limits.in_flight,
                    _ms(self.limits.turn_s),
                    RANK[turn.purpose],
                    _ms(SEEN_S),
                    turn.purpose,
                ],
            )
            if word == "taken":
                return
            if word == "down":
                raise _down(request, float(more[0]) / 1000)
            if time.monotonic() >= give_up:
                self._connection.batch(
                    [("ZREM", self._waiting, turn.id), ("ZREM", self._seen, turn.id)]
                )
                raise self._no_turn(request)
            time.sleep(pause)
            pause = min(LONGEST_PAUSE_S, 1.5 * pause)

    def _end(self, turn: SharedTurn) -> None:
        spent_s = time.monotonic() - turn.since
        answered = "" if turn.answered is None else int(turn.answered)
        try:
            self._connection.run(
                scripts.TURN_END,
                keys=[self._held, self._breaker.key, self._budget.key],
                args=[
                    turn.id,
                    answered,
                    turn.purpose,
                    _ms(spent_s),
                    self._budget.bucket_ms,
                    self._budget.buckets,
                    *self._breaker.waits,
                ],
            )
        except StateError as error:
            # What YSE-PZ answered matters more; the turn ends by itself.
            logger.warning("turn not given back", extra={"error": str(error)})

    def _no_turn(self, request: str) -> HeldBackError:
        return HeldBackError(
            f"{request} was not sent: no turn within {self.limits.patience_s:.3g} s, "
            f"{self.limits.in_flight} requests of this service are under way",
            service="YSE-PZ",
            remedy="Nothing was written; it is tried again. More turns: YSE_PZ_IN_FLIGHT.",
        )


def _down(request: str, wait_s: float) -> HeldBackError:
    return HeldBackError(
        f"{request} was not sent: YSE-PZ is down, and is tried again in {wait_s:.3g} s",
        service="YSE-PZ",
        retry_after=wait_s,
        remedy="Nothing was written; what is owed waits. `yse-ingest doctor` asks at once.",
    )
