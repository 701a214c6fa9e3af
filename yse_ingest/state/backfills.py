"""What people want read again of a target, until every survey of it has been."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from yse_ingest.state import scripts
from yse_ingest.state.connection import Read
from yse_ingest.state.keys import dumps, loads
from yse_ingest.targets import canonical_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys


@dataclass(frozen=True)
class Backfill:
    """What is to be read again of a target: everything, or what was observed in a range."""

    from_ms: int | None = None
    """Not what was observed before [Unix ms]."""
    to_ms: int | None = None
    """Nor later [Unix ms]."""
    done: tuple[str, ...] = ()
    """Surveys of which it was read since, sorted; others are still to come."""

    @property
    def is_range(self) -> bool:
        """Tell whether only a part is wanted."""
        return self.from_ms is not None or self.to_ms is not None

    def with_wish(self, other: Backfill) -> Backfill:
        """Return one range that holds both, of which nothing was read yet."""
        begins, ends = (self.from_ms, other.from_ms), (self.to_ms, other.to_ms)
        return Backfill(
            None if None in begins else min(each for each in begins if each is not None),
            None if None in ends else max(each for each in ends if each is not None),
        )


class BackfillStore:
    """Wishes by target, each changed in one step: what is wanted meanwhile is not lost."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._backfill = keys("targets", "backfill")

    def ask(self, name: str, wish: Backfill) -> None:
        """Have it read the next time the target is asked, with what is wanted already."""
        name, kept = canonical_name(name), False
        while not kept:
            known = self.get(name)
            kept = self._swap(name, known, wish if known is None else known.with_wish(wish))

    def get(self, name: str) -> Backfill | None:
        """Return what is to be read again of a target."""
        raw = self._connection.call(*self.read_of(name).command)
        if raw is None:
            return None
        from_ms, to_ms, *done = loads(raw)
        return Backfill(from_ms, to_ms, tuple(done))

    def read_of(self, name: str) -> Read:
        """Return what `get` reads."""
        return Read(("HGET", self._backfill, canonical_name(name)))

    def read_again(
        self, name: str, wish: Backfill, *, surveys: Collection[str], of: Collection[str]
    ) -> None:
        """Note that what was wished was read of some surveys; with the last it is fulfilled.

        Parameters
        ----------
        wish
            What `get` returned before; where it has changed since, nothing is noted.
        surveys
            Those that answered.
        of
            All surveys of the target.
        """
        done = tuple(sorted({*wish.done, *surveys}))
        fulfilled = set(done) >= set(of)
        if fulfilled or done != wish.done:
            self._swap(name, wish, None if fulfilled else replace(wish, done=done))

    def _swap(self, name: str, known: Backfill | None, new: Backfill | None) -> bool:
        args = [canonical_name(name), _kept(known), _kept(new)]
        return bool(self._connection.run(scripts.PACKED_SWAP, keys=[self._backfill], args=args))


def _kept(backfill: Backfill | None) -> str:
    if backfill is None:
        return ""
    return dumps([backfill.from_ms, backfill.to_ms, *backfill.done])
