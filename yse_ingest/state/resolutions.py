"""Cached look-ups: which transient of YSE-PZ a target is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from yse_ingest.state.connection import Read
from yse_ingest.state.keys import dumps, loads
from yse_ingest.targets import canonical_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

KEEP_S = 7 * 86_400.0
"""How long a look-up is believed [s]: people rename and merge transients."""


class ResolutionStore:
    """What YSE-PZ said about a target's name: id, name, slug, ra, dec and more, as JSON."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def put(self, name: str, resolution: Mapping[str, Any], *, keep_s: float = KEEP_S) -> None:
        """Keep a look-up for ``keep_s`` [s]."""
        self._connection.call(
            "SET", self._key(name), dumps(dict(resolution)), "PX", max(1, round(keep_s * 1000))
        )

    def put_many(self, resolutions: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep many look-ups, by name."""
        keep_ms = round(KEEP_S * 1000)
        self._connection.batch(
            [
                ("SET", self._key(name), dumps(dict(each)), "PX", keep_ms)
                for name, each in resolutions.items()
            ]
        )

    def many(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the look-ups of these names that are kept."""
        raw = self._connection.batch([("GET", self._key(name)) for name in names])
        return {name: loads(each) for name, each in zip(names, raw, strict=True) if each}

    def get(self, name: str) -> dict[str, Any] | None:
        """Return the look-up of a name, or None when it was never made or is too old."""
        raw = self._connection.call(*self.read_of(name).command)
        return None if raw is None else loads(raw)

    def age_s(self, name: str) -> float:
        """Return how long ago the look-up of a name was made [s]; infinity: it is not kept."""
        left_ms = int(self._connection.call("PTTL", self._key(name)))
        return KEEP_S - left_ms / 1000 if left_ms >= 0 else math.inf

    def read_of(self, name: str) -> Read:
        """Return what `get` reads."""
        return Read(("GET", self._key(name)))

    def drop(self, name: str) -> None:
        """Forget the look-up of a name: the next cycle asks again."""
        self._connection.call("DEL", self._key(name))

    def _key(self, name: str) -> str:
        return self._keys("resolution", canonical_name(name))
