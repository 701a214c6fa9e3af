"""Cached look-ups: which transient of YSE-PZ a target is."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from yse_ingest.state.connection import Read
from yse_ingest.state.packed import pack_json, unpack_json
from yse_ingest.targets import canonical_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

logger = logging.getLogger(__name__)

KEEP_S = 7 * 86_400.0
"""How long a look-up is believed [s]: people rename and merge transients."""

_AT_ONCE = 1000


class ResolutionStore:
    """What YSE-PZ said about a target's name: id, name, slug, ra, dec and more, packed.

    A damaged one was never made: the next cycle asks again.
    """

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def put(self, name: str, resolution: Mapping[str, Any], *, keep_s: float = KEEP_S) -> None:
        """Keep a look-up for ``keep_s`` [s]."""
        keep_ms = max(1, round(keep_s * 1000))
        self._connection.call(
            "SET", self._key(name), pack_json(dict(resolution)), "PX", keep_ms
        )

    def put_many(self, resolutions: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep many look-ups, by name."""
        keep_ms = round(KEEP_S * 1000)
        self._connection.batch(
            [
                ("SET", self._key(name), pack_json(dict(each)), "PX", keep_ms)
                for name, each in resolutions.items()
            ]
        )

    def many(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the look-ups of these names that are kept."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            raws = self._connection.call("MGET", *map(self._key, some), binary=True)
            for name, raw in zip(some, raws, strict=True):
                if (value := _value(name, raw)) is not None:
                    found[name] = value
        return found

    def get(self, name: str) -> dict[str, Any] | None:
        """Return the look-up of a name, or None when it was never made or is too old."""
        raw = self._connection.call(*self.read_of(name).command, binary=True)
        return _value(name, raw)

    def age_s(self, name: str) -> float:
        """Return how long ago the look-up of a name was made [s]; infinity: it is not kept."""
        left_ms = int(self._connection.call("PTTL", self._key(name)))
        return KEEP_S - left_ms / 1000 if left_ms >= 0 else math.inf

    def read_of(self, name: str) -> Read:
        """Return what `get` reads."""
        return Read(("GET", self._key(name)), binary=True)

    def drop(self, name: str) -> None:
        """Forget the look-up of a name: the next cycle asks again."""
        self._connection.call("DEL", self._key(name))

    def _key(self, name: str) -> str:
        return self._keys("resolution", canonical_name(name))


def _value(name: str, raw: bytes | None) -> dict[str, Any] | None:
    if raw is None:
        return None
    try:
        value: dict[str, Any] = unpack_json(raw)
    except ValueError as error:
        logger.warning(
            "look-up damaged, made anew", extra={"target": name, "reason": str(error)}
        )
        return None
    return value
