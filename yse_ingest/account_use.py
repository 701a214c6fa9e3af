"""Whether others write to YSE-PZ under our account, as far as YSE-PZ shows it.

It names its accounts by number, shows nothing of them (``/api/users/`` is an error), and its
lists of points have no filter (measured 2026-11). So this looks at the points that were stored
last, and at the rows of our own targets. That a person uses the account too, to look or to
comment, cannot be told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from yse_ingest.pushed import journal_path, places

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from yse_ingest.ledger import Ledger
    from yse_ingest.service import Service
    from yse_ingest.ysepz import Transient, YsePz
    from yse_ingest.ysepz.client import PointRow

POINTS = 500
"""So many of the points stored last are looked at: about a second of YSE-PZ's time."""
RECENT_MS = 86_400_000
"""Of these, those of the last day: whoever writes under our account does so again [ms]."""
HEADERS = 8
"""In so many light curves at most."""
TARGETS = 5
"""So many of our own targets are looked at."""
ACCOUNTS = 2
"""So many accounts are asked for their names, where nothing of ours tells which is ours."""


@dataclass(frozen=True)
class AccountUse:
    """What was found."""

    signs: tuple[str, ...]
    """What shows that others use the account: sentences without full stops."""
    fact: str
    """What was looked at, where nothing shows it."""


def look(service: Service) -> AccountUse:
    """Look for rows of our account that this installation did not write; at most 30 requests.

    Raises
    ------
    StateError
        When there is no state: nothing is known of what was written.
    YsePzError
        When YSE-PZ gives no answer.
    """
    return _Look(service).run()


class _Look:
    def __init__(self, service: Service) -> None:
        self.service = service
        self.state = service.state
        self.client: YsePz = service.ysepz.for_purpose("doctor")
        self.account = self.client.account.username
        self.transients: dict[int, int | None] = {}
        """Transient of each photometry header."""

    def run(self) -> AccountUse:
        since_ms = self.state.now_ms() - RECENT_MS
        recent = [row for row in self.client.last_points(POINTS) if row.created_ms >= since_ms]
        written = list(self._ledgers())
        ours = self._our_number(recent, written)
        if ours is None:
            return AccountUse(
                (),
                f"nothing of {self.account} is seen in YSE-PZ; whether others use it too is "
                "not known",
            )
        mine = [row for row in recent if row.created_by == ours]
        signs = [*self._strange_points(mine), *self._strange_rows(ours, written)]
        return AccountUse(
            tuple(signs),
            f"of {len(recent)} points stored in the last day, {len(mine)} are of "
            f"{self.account}, none of them unknown here; whether people use it too is not "
            "shown",
        )

    def _ledgers(self) -> Iterator[tuple[int, Ledger]]:
        """Yield the ledgers that were proven last."""
        for transient_id in self.state.ledgers.newest(self.state.now_ms() + 1, TARGETS):
            ledger = self.state.ledgers.get(transient_id)
            if ledger is not None:
                yield transient_id, ledger

    def _our_number(
        self, recent: Sequence[PointRow], written: Sequence[tuple[int, Ledger]]
    ) -> int | None:
        """Return the number of our account: of a row that is ours, else by its name."""
        for _, ledger in written:
            seen = ledger.pk[ledger.ours & (ledger.pk > 0)]
            if len(seen):
                return self.client.creator_of("transientphotdata", int(seen[-1]))
        asked: set[int | None] = {None}
        for row in reversed(recent):
            if row.created_by in asked or len(asked) > ACCOUNTS:
                continue
            asked.add(row.created_by)
            transient = self._transient(row)
            if transient is None:
                continue
            stored = self.client.read_back(transient.slug).photometry
            if self.account in stored.created_by[stored.pk == row.pk]:
                return row.created_by
        return None

    def _transient_id(self, row: PointRow) -> int | None:
        if row.header not in self.transients:
            if len(self.transients) >= HEADERS:
                return None
            self.transients[row.header] = self.client.transient_of_header(row.header)
        return self.transients[row.header]

    def _transient(self, row: PointRow) -> Transient | None:
        transient_id = self._transient_id(row)
        return None if transient_id is None else self.client.transient_by_pk(transient_id)

    def _strange_points(self, mine: Sequence[PointRow]) -> Iterator[str]:
        """Tell of points that are our account's, and not this installation's."""
        by_transient: dict[int, list[PointRow]] = {}
        for row in reversed(mine):
            transient_id = self._transient_id(row)
            if transient_id is not None:
                by_transient.setdefault(transient_id, []).append(row)
        strange = Counter(
            {
                transient_id: count
                for transient_id, rows in by_transient.items()
                if (count := self._unknown(transient_id, rows))
            }
        )
        if strange:
            some = ", ".join(self._name(one) for one, _ in strange.most_common(3))
            more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
            count = strange.total()
            points = "1 point was" if count == 1 else f"{count} points were"
            yield (
                f"in the last day {points} stored under {self.account} that this installation "
                f"did not send: in {some}{more}"
            )

    def _unknown(self, transient_id: int, rows: Sequence[PointRow]) -> int:
        """Return how many points of a transient nothing of ours explains."""
        ledger = self.state.ledgers.get(transient_id)
        shadow = self.service.settings.shadow
        if ledger is None and not shadow and self._followed(transient_id):
            return 0  # its ledger was lost, or is not made yet: it will be read back
        known: set[int] = set() if ledger is None else set(ledger.pk.tolist())
        times: set[int] = set()
        if ledger is not None:
            times.update(ledger.time_ms[ledger.pk == 0].tolist())
        owed = self.state.outbox.owed(str(transient_id))
        for _, curve in owed.curves if owed is not None else ():
            times.update(curve.time_ms.tolist())
        journal = places(journal_path(self.service.settings, self.account), transient_id)
        times.update(time_ms for *_, time_ms in journal)
        sent = np.array(sorted(times), dtype=np.int64)
        return sum(
            row.pk not in known and not np.any(np.abs(sent - row.time_ms) <= 1) for row in rows
        )

    def _followed(self, transient_id: int) -> bool:
        known = (self.state.resolutions.get(name) for name in self.state.targets.names())
        return any(one is not None and int(one["pk"]) == transient_id for one in known)

    def _name(self, transient_id: int) -> str:
        about = self.state.ledgers.about(transient_id)
        if about is not None:
            return str(about["name"])
        found = self.client.transient_by_pk(transient_id)
        return found.name if found is not None else f"transient {transient_id}"

    def _strange_rows(self, ours: int, written: Sequence[tuple[int, Ledger]]) -> Iterator[str]:
        """Tell of targets whose row another job under our account has taken over.

        An upload to ``/add_transient/`` makes its account the creator of the row; ours go
        another way, but for a creation.
        """
        taken = []
        for transient_id, _ in written:
            name = str((self.state.ledgers.about(transient_id) or {}).get("name", ""))
            target = self.state.targets.get(name)
            if target is None or target.creation is not None:
                continue
            if self.client.creator_of("transients", transient_id) == ours:
                taken.append(name)
        if taken:
            yield (
                f"YSE-PZ shows {self.account} as the creator of {', '.join(taken)}, which this "
                "installation may not create: a job that posts to /add_transient/ uses the "
                "account, or one of ours created it under other settings"
            )
