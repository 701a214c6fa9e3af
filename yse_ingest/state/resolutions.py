"""Cached look-ups: which transient of YSE-PZ a target is."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from yse_ingest.state.packed import PackedHash
from yse_ingest.targets import canonical_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yse_ingest.state.connection import Connection, Read
    from yse_ingest.state.keys import Keys

KEEP_S = 7 * 86_400.0
"""How long a look-up is believed [s]: people rename and merge transients."""
_SWEPT = 2
"""So many kept look-ups are examined with each new one: what is too old goes."""


class ResolutionStore:
    """What YSE-PZ said about a target's name: id, name, slug, ra, dec and more, packed.

    Each stands beside the time until which it is believed, by the clock of this host: what is
    believed for days does not mind seconds. A key that expires by itself takes 80 bytes more.
    """

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._packed = PackedHash(connection, keys("resolution"))

    def put(self, name: str, resolution: Mapping[str, Any], *, keep_s: float = KEEP_S) -> None:
        """Keep a look-up for ``keep_s`` [s]."""
        self._put({name: resolution}, keep_s)

    def put_many(self, resolutions: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep many look-ups, by name."""
        self._put(resolutions, KEEP_S)

    def _put(self, resolutions: Mapping[str, Mapping[str, Any]], keep_s: float) -> None:
        until_ms = round(1000 * (time.time() + keep_s))
        self._packed.put(
            {
                canonical_name(name): [until_ms, dict(resolution)]
                for name, resolution in resolutions.items()
            }
        )
        self._packed.sweep(
            _SWEPT * len(resolutions), is_over=lambda kept: _believed(kept) is None
        )

    def many(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the look-ups of these names that are kept."""
        by_key = {name: canonical_name(name) for name in names}
        kept = self._packed.many(list(dict.fromkeys(by_key.values())))
        found = {name: _believed(kept.get(key)) for name, key in by_key.items()}
        return {name: each for name, each in found.items() if each is not None}

    def get(self, name: str) -> dict[str, Any] | None:
        """Return the look-up of a name, or None when it was never made or is too old."""
        return _believed(self._packed.get(canonical_name(name)))

    def age_s(self, name: str) -> float:
        """Return how long ago the look-up of a name was made [s]; infinity: it is not kept."""
        kept = self._packed.get(canonical_name(name))
        if _believed(kept) is None:
            return math.inf
        until_ms: int = kept[0]
        return KEEP_S - (until_ms / 1000 - time.time())

    def read_of(self, name: str) -> Read:
        """Return what `get` reads."""
        return self._packed.read_of(canonical_name(name))

    def drop(self, name: str) -> None:
        """Forget the look-up of a name: the next cycle asks again."""
        self._packed.drop([canonical_name(name)])


def _believed(kept: Sequence[Any] | None) -> dict[str, Any] | None:
    """Return a look-up as long as it is believed."""
    if kept is None:
        return None
    until_ms, resolution = kept
    return resolution if 1000 * time.time() < until_ms else None
