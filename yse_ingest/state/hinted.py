"""Hints under way: targets about which a message asks at once, before their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yse_ingest.cadence import BASE_S
from yse_ingest.state import scripts
from yse_ingest.state.connection import Read
from yse_ingest.targets import ADAPTIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys
    from yse_ingest.targets import Cadence


class Hinted:
    """Which targets have a hint under way, and when they are due should it get lost.

    Names are canonical.
    """

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._hinted = keys("targets", "hinted")
        self._scheduled = [
            keys("targets"),
            keys("targets", "due"),
            keys("targets", "cadence"),
            keys("targets", "pace"),
        ]

    def note(self, names: Iterable[str], due_ms: int) -> None:
        """Note that targets, which are due then [Unix ms], are asked about by a message."""
        due = dict.fromkeys(names, due_ms)
        if due:
            pairs = (part for pair in due.items() for part in pair)
            self._connection.call("HSET", self._hinted, *pairs)

    def read_of(self, name: str) -> Read:
        """Return what `among` reads of each."""
        return Read(("HGET", self._hinted, name))

    def among(self, names: Iterable[str]) -> dict[str, int]:
        """Return those of these targets that have a hint under way, and their due times."""
        due = {name: self._connection.call(*self.read_of(name).command) for name in names}
        return {name: int(due_ms) for name, due_ms in due.items() if due_ms is not None}

    def served(self, hinted: Mapping[str, int], *, cadence_s: Cadence) -> None:
        """Move targets that were asked about to their next time, as if they had been claimed.

        One that was hinted at anew since, or is due for another reason, stays as it is.

        Parameters
        ----------
        hinted
            What `among` returned before they were asked about.
        cadence_s
            How often a target is asked about that does not say it [s], or "adaptive".
        """
        if not hinted:
            return
        default_ms = 0 if cadence_s == ADAPTIVE else round(cadence_s * 1000)
        pairs = [part for pair in hinted.items() for part in pair]
        self._connection.run(
            scripts.TARGETS_SERVED,
            keys=[*self._scheduled, self._hinted],
            args=[self._connection.now_ms(), default_ms, round(BASE_S * 1000), *pairs],
        )
