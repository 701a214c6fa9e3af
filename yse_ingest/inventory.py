"""Both sides of one target, row by row: what YSE-PZ stores, what the source has, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from yse_ingest.audit import displaced
from yse_ingest.delta import TRUNCATION_MS, TWIN_MS, differs, match, windows
from yse_ingest.photometry import PointKind, light_curve
from yse_ingest.times import MS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from yse_ingest.ledger import Ledger
    from yse_ingest.photometry import Alerts, Bools, Ints, LightCurve, StoredPhotometry, Texts
    from yse_ingest.pipeline import Fetched
    from yse_ingest.ysepz import ReadBack

PAGE_ROWS = 100
"""Rows of a page of MARS: the documented job takes the first page and no more."""
CRON_WINDOW_MS = 0.01 * MS_PER_DAY
"""The window of the documented job [ms]."""
UNKNOWN_BAND = "Unknown"


class Finding(StrEnum):
    """How an exposure, or a stored row, stands."""

    SAME = "same"
    """A row stands for the exposure, with its values."""
    DIFFERS = "differs"
    """A row stands for the exposure, with other values."""
    FORCED = "forced"
    """A row of forced photometry, for an exposure or for none."""
    ELSEWHERE = "stored elsewhere"
    """A row stands for the exposure under another group of the instrument."""
    MOVED = "moved"
    """A row of ours stood for the exposure, until somebody moved it."""
    TO_SEND = "to send"
    """No row stands for the exposure."""
    NEGATIVE = "negative"
    """Stored as a detection; the source calls it a negative subtraction."""
    COLLAPSED = "collapsed"
    """A second row at the place of another: its own exposure was overwritten."""
    UNKNOWN_BAND = "band Unknown"
    """Stored in the band Unknown: its real band is lost."""
    OTHER_OBJECT = "other object"
    """Of another object in the cone."""
    TWIN = "twin"
    """The lesser of two reports of one exposure."""
    SECOND = "second row"
    """Another row stands for its exposure already."""
    NOT_IN_SOURCE = "not in the source"
    """The source has no such exposure now."""


ALONE = frozenset(
    {
        Finding.NEGATIVE,
        Finding.COLLAPSED,
        Finding.UNKNOWN_BAND,
        Finding.OTHER_OBJECT,
        Finding.TWIN,
        Finding.SECOND,
        Finding.NOT_IN_SOURCE,
    }
)
"""Findings of rows for which the source has no exposure."""


@dataclass(frozen=True)
class Line:
    """One exposure, one stored row, or both."""

    band: str
    time_ms: int
    """UTC: of the exposure, else of the row [Unix ms]."""
    finding: Finding
    reason: str = ""
    created_by: str | None = None
    """Whose row it is; None: there is none."""
    created_ms: int | None = None
    """When the row was stored [Unix ms]."""


@dataclass(frozen=True)
class Inventory:
    """The lines of one target, by time."""

    lines: tuple[Line, ...]

    @property
    def counts(self) -> dict[Finding, int]:
        """Return how many lines there are of each finding, in the order of `Finding`."""
        counts = Counter(line.finding for line in self.lines)
        return {finding: counts[finding] for finding in Finding if counts[finding]}


def take_inventory(
    fetched: Fetched, stored: ReadBack, *, account: str, ledger: Ledger | None = None
) -> Inventory:
    """Compare the whole light curve of a source with what YSE-PZ stores of its instrument.

    Parameters
    ----------
    fetched
        Everything that the source has of the target.
    stored
        A fresh read-back.
    account
        Ours.
    ledger
        What was known before.
    """
    rows = stored.photometry.take(stored.photometry.instrument == fetched.rules.instrument)
    bands = np.concatenate([fetched.curve.band, rows.band])
    window = windows(
        bands,
        instrument=fetched.rules.instrument,
        gaps=fetched.gaps,
        tolerance_ms=fetched.tolerance_ms,
        mjdmatchmin=fetched.rules.mjdmatchmin,
    )
    index, _ = match(fetched.curve, rows, window)
    lines = [
        *_exposures(fetched, rows, index, window, account=account, ledger=ledger),
        *_rows_alone(fetched, rows, index, window),
    ]
    return Inventory(tuple(sorted(lines, key=lambda line: (line.time_ms, line.band))))


def _exposures(
    fetched: Fetched,
    rows: StoredPhotometry,
    index: Ints,
    window: Mapping[str, float],
    *,
    account: str,
    ledger: Ledger | None,
) -> Iterator[Line]:
    curve = fetched.curve
    off = differs(curve, rows, index)
    moved = _moved(curve, rows, index, window, account=account, ledger=ledger)
    why = _reasons(fetched, rows, np.flatnonzero(index < 0))
    for number, (band, time_ms) in enumerate(zip(curve.band, curve.time_ms, strict=True)):
        row = int(index[number] if index[number] >= 0 else moved[number])
        if row < 0:
            yield Line(str(band), int(time_ms), Finding.TO_SEND, why[number])
            continue
        if index[number] < 0:
            finding = Finding.MOVED
        elif rows.forced[row] and curve.kind[number] != PointKind.FORCED:
            finding = Finding.FORCED
        elif off[number]:
            finding = Finding.DIFFERS
        elif rows.obs_group[row] != curve.obs_group:
            finding = Finding.ELSEWHERE
        else:
            finding = Finding.SAME
        yield Line(
            str(band),
            int(time_ms),
            finding,
            _difference(fetched, number, rows, row) if finding is Finding.DIFFERS else "",
            created_by=str(rows.created_by[row]),
            created_ms=int(rows.created_ms[row]),
        )


def _moved(
    curve: LightCurve,
    rows: StoredPhotometry,
    index: Ints,
    window: Mapping[str, float],
    *,
    account: str,
    ledger: Ledger | None,
) -> Ints:
    """Return, per exposure, the row of ours that stood for it and stands elsewhere, or -1."""
    missing = np.flatnonzero(index < 0)
    pks = dict.fromkeys(range(len(curve)), -1)
    if ledger is not None:
        known, _ = match(curve, ledger.memory, window)
        pks |= {int(at): int(ledger.memory.pk[known[at]]) for at in missing if known[at] >= 0}
    rest = np.array([at for at in missing if pks[int(at)] < 0], dtype=np.int64)
    pks |= displaced(curve, rest, rows, account=account, window=window)
    places = {pk: row for row, pk in enumerate(rows.pk.tolist())}
    return np.array([places.get(pk, -1) for pk in pks.values()], dtype=np.int64)


def _difference(fetched: Fetched, number: int, rows: StoredPhotometry, row: int) -> str:
    stored, mag = float(rows.mag[row]), float(fetched.curve.mag[number])
    if np.isnan(stored) or np.isnan(mag):
        return "other flux"
    return f"stored {stored:.3f} mag, source {mag:.3f} mag"


def _reasons(fetched: Fetched, rows: StoredPhotometry, missing: Ints) -> dict[int, str]:
    """Return why each missing exposure is likely to be missing."""
    curve = fetched.curve
    alerts = [fetched.answer.alerts, fetched.answer.others]
    every = np.sort(np.concatenate([each.time_ms for each in alerts]))
    page_began = int(every[-PAGE_ROWS]) if len(every) > PAGE_ROWS else None
    newest = int(rows.time_ms.max()) if len(rows) else None
    found = {}
    for number in missing.tolist():
        time_ms = int(curve.time_ms[number])
        same = rows.band == curve.band[number]
        if newest is None:
            why = "nobody stores this target"
        elif np.any(np.abs(rows.time_ms[same] - time_ms) < CRON_WINDOW_MS):
            why = "merged by the 0.01 d window"
        elif page_began is not None and time_ms < page_began:
            why = "beyond page 1"
        elif time_ms > newest:
            why = "newer than their last run"
        else:
            why = "missed"
        found[number] = why
    return found


def _rows_alone(
    fetched: Fetched, rows: StoredPhotometry, index: Ints, window: Mapping[str, float]
) -> Iterator[Line]:
    taken = np.zeros(len(rows), dtype=bool)
    taken[index[index >= 0]] = True
    answer = fetched.answer
    negative = _seen(answer.alerts.take(answer.alerts.negative), fetched, rows, window)
    other = _seen(answer.others, fetched, rows, window)
    curve = fetched.curve
    second = _near(rows.time_ms, rows.band, curve.time_ms, curve.band, window)
    twin = np.zeros(len(rows), dtype=bool)
    for each in answer.twins:
        band = fetched.rules.band_map[each.band]
        twin |= (rows.band == band) & (np.abs(rows.time_ms - each.time_ms) < TWIN_MS)
    for row in np.flatnonzero(~taken):
        beside = (rows.band == rows.band[row]) & (
            np.abs(rows.time_ms - rows.time_ms[row]) <= TWIN_MS + TRUNCATION_MS
        )
        finding = Finding.NOT_IN_SOURCE
        for possible, true in (
            (Finding.FORCED, rows.forced[row]),
            (Finding.UNKNOWN_BAND, rows.band[row] == UNKNOWN_BAND),
            (Finding.NEGATIVE, negative[row]),
            (Finding.TWIN, twin[row]),
            (Finding.COLLAPSED, np.count_nonzero(beside) > 1),
            (Finding.SECOND, second[row]),
            (Finding.OTHER_OBJECT, other[row]),
        ):
            if true:
                finding = possible
                break
        yield Line(
            str(rows.band[row]),
            int(rows.time_ms[row]),
            finding,
            created_by=str(rows.created_by[row]),
            created_ms=int(rows.created_ms[row]),
        )


def _seen(
    alerts: Alerts, fetched: Fetched, rows: StoredPhotometry, window: Mapping[str, float]
) -> Bools:
    """Return which stored rows are exposures of these alerts, shape of ``rows``."""
    curve, _ = light_curve(
        alerts,
        instrument=fetched.rules.instrument,
        obs_group=fetched.rules.obs_group,
        band_map=fetched.rules.band_map,
        keep_negatives=True,
    )
    return _near(rows.time_ms, rows.band, curve.time_ms, curve.band, window)


def _near(
    time_ms: Ints, band: Texts, times: Ints, bands: Texts, window: Mapping[str, float]
) -> Bools:
    found = np.zeros(len(time_ms), dtype=bool)
    for name, width in window.items():
        mine, theirs = band == name, np.sort(times[bands == name])
        if not len(theirs):
            continue
        right = np.clip(np.searchsorted(theirs, time_ms[mine]), 0, len(theirs) - 1)
        left = np.clip(right - 1, 0, None)
        away = np.minimum(
            np.abs(theirs[left] - time_ms[mine]), np.abs(theirs[right] - time_ms[mine])
        )
        found[mine] = away < width + TRUNCATION_MS
    return found
