"""What a directory of names answered, kept for all workers: each question spends a quota."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yse_ingest.state.keys import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

KEEP_S = 90 * 86_400.0
"""An answer that nobody asked for again is forgotten after this [s]."""


class NameStore:
    """What was answered for a name, and when, as JSON."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def put(self, name: str, answer: Mapping[str, Any]) -> None:
        """Keep an answer."""
        self._connection.call(
            "SET", self._keys("name", name), dumps(dict(answer)), "PX", round(KEEP_S * 1000)
        )

    def get(self, name: str) -> dict[str, Any] | None:
        """Return the answer for a name; None: it was not asked for."""
        raw = self._connection.call("GET", self._keys("name", name))
        return None if raw is None else loads(raw)
