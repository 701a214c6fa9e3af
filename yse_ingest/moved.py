"""Rows of ours that somebody has moved: each still stands for the exposure it was sent for.

A cron that overwrites within 0.01 d gives a row of ours the time of a neighbouring exposure
whenever it runs. Its own exposure then looks absent, and sending it again would add a row a
round, for ever (measured 2026-11: 246 rows in 12 rounds). So a row that our account created
stands for one exposure, wherever somebody has put it since; it is told, and never sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from yse_ingest.delta import TRUNCATION_MS, WINDOW_MIN_MS, match
from yse_ingest.times import MS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from yse_ingest.ledger import Ledger
    from yse_ingest.photometry import Bools, Ints, LightCurve, StoredPhotometry, Texts

REACH_MS = 0.1 * MS_PER_DAY
"""A copy this far from an exposure without a row is not taken for that exposure's [ms]: ten of
the customary windows."""


class _Entry(NamedTuple):
    """An exposure, and a row for it: its key where it was sent, its number where it stands."""

    time_ms: int
    band: str
    value_hash: int
    row: int


@dataclass(frozen=True, eq=False)
class Moved:
    """Exposures whose row stands elsewhere now; columns (k,)."""

    time_ms: Ints
    """Where the row stood."""
    band: Texts
    value_hash: NDArray[np.uint32]
    row: Ints
    """The row of the read-back."""

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.row)

    def among(self, curve: LightCurve, window: Mapping[str, float]) -> Ints:
        """Return, per exposure of a light curve, its moved row, or -1; shape (n,)."""
        found = np.full(len(curve), -1, dtype=np.int64)
        for time_ms, band, row in zip(self.time_ms, self.band, self.row, strict=True):
            near = np.abs(curve.time_ms - time_ms) < _width(window, str(band))
            found[near & (curve.band == band)] = row
        return found


def moved_rows(
    curve: LightCurve,
    stored: StoredPhotometry,
    window: Mapping[str, float],
    *,
    account: str,
    ledger: Ledger | None,
) -> Moved:
    """Return the exposures whose row somebody has moved.

    A row that the ledger knows by its key stands for the exposure that the ledger has it for.
    One that it does not know (a lost ledger, a row never seen since it was sent) and that is a
    copy of another row stands for the nearest exposure without any.

    Parameters
    ----------
    curve
        Exposures of the source, all or those owed.
    stored
        A fresh read-back.
    window
        Band to match window [ms].
    account
        Ours.
    ledger
        What was known before.
    """
    ours = (stored.created_by == account) & (stored.modified_by != account)
    ours &= stored.instrument == curve.instrument
    if not np.any(ours):
        return _moved([])
    origin, unseen = ({}, []) if ledger is None else _sent(ledger, curve.instrument)
    known = np.array([int(pk) in origin for pk in stored.pk], dtype=bool)
    found = [
        origin[int(stored.pk[row])]._replace(row=int(row))
        for row in np.flatnonzero(ours & known)
    ]
    found = [each for each in found if not _stands(stored, curve.instrument, each, window)]
    unseen = [each for each in unseen if not _stands(stored, curve.instrument, each, window)]
    copies = _by_copies(curve, stored, window, ours & ~known, unseen)
    found += [each for each in copies if not any(_same(each, other, window) for other in found)]
    return _moved(found)


def _moved(found: list[_Entry]) -> Moved:
    return Moved(
        time_ms=np.array([each.time_ms for each in found], dtype=np.int64),
        band=np.array([each.band for each in found], dtype="U"),
        value_hash=np.array([each.value_hash for each in found], dtype=np.uint32),
        row=np.array([each.row for each in found], dtype=np.int64),
    )


def _sent(ledger: Ledger, instrument: str) -> tuple[dict[int, _Entry], list[_Entry]]:
    """Return what each row was sent for, by its key; and what was sent and never seen."""
    # The entries of moved rows come last, so that they win over where the row stands now.
    order = np.argsort(ledger.moved, kind="stable")
    order = order[ledger.instrument[order] == instrument]
    order = order[(ledger.pk[order] > 0) | ledger.ours[order]]
    columns = (ledger.time_ms, ledger.band, ledger.value_hash, ledger.pk)
    entries = [
        _Entry(*row)
        for row in zip(*(column[order].tolist() for column in columns), strict=True)
    ]
    seen = {each.row: each for each in entries if each.row}
    return seen, [each for each in entries if not each.row]


def _stands(
    stored: StoredPhotometry, instrument: str, each: _Entry, window: Mapping[str, float]
) -> bool:
    shelf = (stored.instrument == instrument) & (stored.band == each.band)
    away = np.abs(stored.time_ms[shelf] - each.time_ms)
    return bool(np.any(away < _width(window, each.band)))


def _by_copies(
    curve: LightCurve,
    stored: StoredPhotometry,
    window: Mapping[str, float],
    candidates: Bools,
    without: list[_Entry],
) -> list[_Entry]:
    """Return which exposures without a row the copies among the candidates stand for.

    ``without`` are exposures beside those of the light curve; its row is not looked at.
    """
    copies = _surplus(stored, window, candidates)
    if not copies:
        return []
    index, _ = match(curve, stored, window)
    wanted = [_entry(curve, int(row)) for row in np.flatnonzero(index < 0)]
    wanted += [
        each for each in without if not any(_same(each, other, window) for other in wanted)
    ]
    pairs = sorted(
        (abs(each.time_ms - int(stored.time_ms[row])), number, row)
        for number, each in enumerate(wanted)
        for row in copies
        if each.band == stored.band[row]
    )
    found: dict[int, int] = {}
    for far, number, row in pairs:
        if far < REACH_MS and number not in found and row not in found.values():
            found[number] = row
    return [wanted[number]._replace(row=row) for number, row in found.items()]


def _entry(curve: LightCurve, row: int) -> _Entry:
    return _Entry(
        int(curve.time_ms[row]), str(curve.band[row]), int(curve.value_hash[row]), row=-1
    )


def _same(one: _Entry, other: _Entry, window: Mapping[str, float]) -> bool:
    near = abs(one.time_ms - other.time_ms) < _width(window, one.band)
    return near and one.band == other.band


def _surplus(
    stored: StoredPhotometry, window: Mapping[str, float], candidates: Bools
) -> list[int]:
    """Return the candidates that are copies: of each heap of rows, one stands for its place."""
    surplus: list[int] = []
    taken = np.zeros(len(stored), dtype=bool)
    for row in np.flatnonzero(candidates):
        if taken[row]:
            continue
        heap = (
            (stored.instrument == stored.instrument[row])
            & (stored.band == stored.band[row])
            & (
                np.abs(stored.time_ms - stored.time_ms[row])
                < _width(window, str(stored.band[row]))
            )
        )
        mine = np.flatnonzero(heap & candidates & ~taken)
        taken[mine] = True
        others = np.count_nonzero(heap & ~candidates)
        surplus += mine.tolist() if others else mine[1:].tolist()
    return surplus


def _width(window: Mapping[str, float], band: str) -> float:
    return window.get(band, WINDOW_MIN_MS) + TRUNCATION_MS
