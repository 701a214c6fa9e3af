"""Questions that sources work on, one note per source and target.

Derivable like a ledger: a note that is lost costs one task more at the source, which throws the
orphan away by itself (ATLAS after 31 days).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yse_ingest.state import scripts
from yse_ingest.state.keys import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

KEEP_S = 31 * 86_400.0
"""A note that nobody touched for so long is of a question that the source forgot, too [s]."""


class Pending:
    """The memory of asynchronous sources, shared by all workers."""

    lasting = True

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def now_ms(self) -> int:
        """Return the time of Redis [Unix ms]."""
        return self._connection.now_ms()

    def get(self, source: str, key: str) -> Mapping[str, Any] | None:
        """Return a note, None where there is none."""
        raw = self._connection.call("GET", self._key(source, key))
        return None if raw is None else loads(raw)

    def put(
        self,
        source: str,
        key: str,
        note: Mapping[str, Any],
        *,
        instead_of: Mapping[str, Any] | None,
    ) -> bool:
        """Write a note where ``instead_of`` stands (None: nothing); False: it does not."""
        return self._replace(source, key, instead_of, note)

    def forget(self, source: str, key: str, note: Mapping[str, Any]) -> bool:
        """Remove this very note; False: it is not there."""
        return self._replace(source, key, note, None)

    def _replace(
        self,
        source: str,
        key: str,
        old: Mapping[str, Any] | None,
        new: Mapping[str, Any] | None,
    ) -> bool:
        texts = ["" if note is None else dumps(dict(note)) for note in (old, new)]
        return bool(
            self._connection.run(
                scripts.NOTE_REPLACE,
                keys=[self._key(source, key)],
                args=[*texts, round(KEEP_S * 1000)],
            )
        )

    def _key(self, source: str, key: str) -> str:
        return self._keys("pending", source, key)
