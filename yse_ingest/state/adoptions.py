"""What was found when targets were adopted: who is done, so that adoption can be resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yse_ingest.state.keys import dumps, loads
from yse_ingest.targets import canonical_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

Adoption = dict[str, Any]


class Adoptions:
    """Records by target; derivable, as the ledgers that came of them are."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._key = keys("adopted")

    def put(self, name: str, adoption: Mapping[str, Any]) -> None:
        """Keep what was found for a target."""
        self._connection.call("HSET", self._key, canonical_name(name), dumps(dict(adoption)))

    def get(self, name: str) -> Adoption | None:
        """Return what was found for a target; None: it was not adopted by the command."""
        raw = self._connection.call("HGET", self._key, canonical_name(name))
        return None if raw is None else loads(raw)

    def drop(self, name: str) -> None:
        """Forget it: the command reads it back again."""
        self._connection.call("HDEL", self._key, canonical_name(name))
