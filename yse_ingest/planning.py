"""Plan an upload: decide what to send so that YSE-PZ holds each exposure exactly once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.audit import displaced, remembered
from yse_ingest.delta import (
    GAP_SHARE,
    WINDOW_MIN_MS,
    Comparison,
    Verdict,
    compare,
    differs,
    match,
    own_windows,
    smallest_stored_gap_ms,
    windows,
)
from yse_ingest.ledger import Flag, Ledger
from yse_ingest.photometry import LightCurve, StoredPhotometry
from yse_ingest.privacy import check_groups
from yse_ingest.ysepz import (
    Speed,
    cut,
    modelled_seconds,
    photometry_request,
    point_changes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.photometry import Bools, Ints
    from yse_ingest.targets import Rules
    from yse_ingest.ysepz import ReadBack, Transient, Vocabulary


@dataclass(frozen=True)
class Correction:
    """One row of ours whose value the source has changed."""

    row: int
    """Row of the light curve."""
    pk: int
    changes: Mapping[str, Any]
    old: Mapping[str, Any]
    """What the row held in these fields."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What one upload will do, decided before a byte is sent."""

    transient: Transient
    rules: Rules
    curve: LightCurve
    """The exposures considered."""
    window: Mapping[str, float]
    """Band to match window [ms]."""
    own_window: Mapping[str, float]
    """Band to the window within which a row of ours is an exposure's own [ms]."""
    comparison: Comparison
    chunks: tuple[Ints, ...]
    """Rows of the light curve, one request each."""
    corrections: tuple[Correction, ...]
    differing: Ints
    """Rows whose stored row has another value and is not ours to correct."""
    displaced: Mapping[int, int]
    """Rows to the pk of the row of ours that stood for them and was moved by somebody."""
    stored: ReadBack | None
    """The read-back it rests on; None: it rests on the ledger."""
    gaps: Mapping[str, int]
    predicted_s: tuple[float, ...]
    """What each request costs YSE-PZ by the model [s]."""
    speed: Speed

    def request(self, rows: Ints) -> dict[str, Any]:
        """Return the request that sends ``rows``, one window's worth."""
        width = self.window[str(self.curve.band[rows[0]])]
        return photometry_request(
            self.transient, self.curve.take(rows), self.rules, window_ms=width
        )


def plan_upload(
    curve: LightCurve,
    transient: Transient,
    *,
    rules: Rules,
    gaps: Mapping[str, int],
    tolerance_ms: float,
    account: str,
    vocabulary: Vocabulary,
    stored: ReadBack | None = None,
    ledger: Ledger | None = None,
    speed: Speed | None = None,
    seconds_max: float = 10.0,
    bytes_max: int = 900_000,
) -> Plan:
    """Decide what to send so that YSE-PZ holds each exposure exactly once.

    Parameters
    ----------
    curve
        Exposures of the source, all or those owed.
    transient
        Where they belong; its status is that of ``stored``, where that shows one.
    rules
        How they are sent; instrument and observing group are those of the curve.
    gaps
        Smallest gaps ever seen, as `Ledger.gaps` [ms].
    tolerance_ms
        Exposure tolerance of the curve's instrument [ms].
    account
        Our YSE-PZ account: only its rows are corrected.
    vocabulary
        What YSE-PZ knows: an unknown name stops the upload here.
    stored
        A fresh read-back. Without it the plan rests on the ledger and corrects nothing.
    ledger
        What was known before: a row that still has the values sent last, though the source
        says so too, was edited by a person.
    speed
        What this server has shown of its speed.
    seconds_max, bytes_max
        Size of one request: predicted server time [s], body [byte].

    Raises
    ------
    VocabularyError
        When a name is not in YSE-PZ's vocabulary.
    PayloadError
        When groups would hide points that are public now.
    """
    rules = replace(rules, instrument=curve.instrument, obs_group=curve.obs_group)
    vocabulary.check_photometry(rules, [str(band) for band in np.unique(curve.band)])
    rows: StoredPhotometry | Ledger
    check_groups(stored, rules)
    if stored is not None:
        # A look-up is believed for days, and people rename a status.
        transient = replace(transient, status=stored.status or transient.status)
        rows = stored.photometry
    else:
        rows = ledger.standing if ledger is not None else Ledger.empty()
    known_gaps = ledger.with_gaps(gaps).gaps if ledger is not None else gaps
    window = windows(
        curve.band,
        instrument=rules.instrument,
        gaps=known_gaps,
        tolerance_ms=tolerance_ms,
        mjdmatchmin=rules.mjdmatchmin,
    )
    if rules.clobber:
        window = _window_for_clobber(window, rows, rules)
    own_window = window
    if rules.mjdmatchmin is not None:
        own_window = own_windows(
            window, instrument=rules.instrument, gaps=known_gaps, tolerance_ms=tolerance_ms
        )
    changed = None
    if stored is not None:
        index, _ = match(curve, rows, window)
        changed = differs(curve, stored.photometry, index)
    if isinstance(rows, StoredPhotometry):
        ours = rows.written_by(account) & ~_changed_by_others(rows, ledger)
    else:
        ours = rows.ours
    comparison = compare(
        curve,
        rows,
        window,
        ours=ours,
        changed=changed,
        value_hash=rows.value_hash,
        send_stored_elsewhere=rules.send_stored_elsewhere,
        own_window=own_window,
    )
    moved: dict[int, int] = {}
    if not rules.clobber:
        comparison, moved = _leave_out(
            comparison, curve, stored, ledger, account=account, window=window
        )
    corrections: tuple[Correction, ...] = ()
    differing = np.empty(0, dtype=np.int64)
    if stored is not None and changed is not None:
        correct = comparison.where(Verdict.CHANGED)
        if ledger is not None:
            edited = _sent_as_is(curve, correct, ledger, window)
            correct, person = correct[~edited], correct[edited]
        else:
            person = correct[:0]
        corrections = tuple(
            _correction(curve, int(row), stored.photometry, int(comparison.row[row]))
            for row in correct
        )
        foreign = comparison.where(Verdict.ADOPTED, Verdict.ELSEWHERE)
        differing = np.sort(np.concatenate([foreign[changed[foreign]], person]))
    speed = speed or Speed()
    chunks, predicted = _chunks(
        curve,
        comparison.where(Verdict.NEW),
        rows,
        window,
        speed=speed,
        seconds_max=seconds_max,
        bytes_max=bytes_max,
    )
    return Plan(
        transient=transient,
        rules=rules,
        curve=curve,
        window=window,
        own_window=own_window,
        comparison=comparison,
        chunks=chunks,
        predicted_s=predicted,
        corrections=corrections,
        differing=differing,
        displaced=moved,
        stored=stored,
        gaps=known_gaps,
        speed=speed,
    )


def _changed_by_others(stored: StoredPhotometry, ledger: Ledger | None) -> Bools:
    """Return which rows the ledger knows as changed by somebody, be it under our account."""
    if ledger is None:
        return np.zeros(len(stored), dtype=bool)
    return np.isin(stored.pk, ledger.pk[ledger.having(Flag.CHANGED)])


def _leave_out(
    comparison: Comparison,
    curve: LightCurve,
    stored: ReadBack | None,
    ledger: Ledger | None,
    *,
    account: str,
    window: Mapping[str, float],
) -> tuple[Comparison, dict[int, int]]:
    """Leave out exposures whose row somebody moved or removed; name rows moved away."""
    verdict = comparison.verdict.copy()
    new = comparison.where(Verdict.NEW)
    first_look = stored is not None and (ledger is None or not ledger.read_back_ms)
    if ledger is not None:
        # What the first look at an upload that failed took for moved is looked at again below:
        # remembered beside it, one stored row would stand for two exposures.
        known = ledger.take(~ledger.having(Flag.MOVED)) if first_look else ledger
        left = remembered(curve, new, known, window)
        verdict[new[left]] = Verdict.MOVED
        new = new[~left]
    moved: dict[int, int] = {}
    if stored is not None and first_look:
        # A ledger that was compared before knows each row's place; without one the whole light
        # curve is at hand, and tells which row no exposure needs.
        moved = displaced(curve, new, stored.photometry, account=account, window=window)
        verdict[list(moved)] = Verdict.MOVED
    return replace(comparison, verdict=verdict), moved


def _window_for_clobber(
    window: Mapping[str, float], rows: StoredPhotometry | Ledger, rules: Rules
) -> dict[str, float]:
    """Shrink the windows so that an overwrite reaches one stored row each."""
    shelf = (rows.instrument == rules.instrument) & (rows.obs_group == rules.obs_group)
    shrunk = {}
    for band, width in window.items():
        gap = smallest_stored_gap_ms(rows.time_ms[shelf & (rows.band == band)])
        shrunk[band] = width if gap is None else max(WINDOW_MIN_MS, min(width, GAP_SHARE * gap))
    return shrunk


def _sent_as_is(
    curve: LightCurve, rows: Ints, ledger: Ledger, window: Mapping[str, float]
) -> Bools:
    """Return which ``rows`` were sent, as the ledger knows, with the values they have now."""
    part = curve.take(rows)
    index, _ = match(part, ledger, window)
    known = (index >= 0) & ledger.ours[np.maximum(index, 0)] if len(ledger) else index >= 0
    as_is = np.zeros(len(part), dtype=bool)
    at = index[known]
    as_is[known] = (ledger.value_hash[at] == part.value_hash[known]) & (
        ledger.rank[at] == part.rank[known]
    )
    return as_is


def _correction(curve: LightCurve, row: int, stored: StoredPhotometry, at: int) -> Correction:
    changes = point_changes(curve, row, stored, at)
    columns = {"flux_zero_point": "zero_point"}
    old = {key: _plain(getattr(stored, columns.get(key, key))[at]) for key in changes}
    return Correction(row=row, pk=int(stored.pk[at]), changes=changes, old=old)


def _plain(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _chunks(
    curve: LightCurve,
    new: Ints,
    rows: StoredPhotometry | Ledger,
    window: Mapping[str, float],
    *,
    speed: Speed,
    seconds_max: float,
    bytes_max: int,
) -> tuple[tuple[Ints, ...], tuple[float, ...]]:
    """Cut the new rows into requests of one window each, and say what each costs."""
    shelf = (rows.instrument == curve.instrument) & (rows.obs_group == curve.obs_group)
    names, counts = np.unique(rows.band[shelf], return_counts=True)
    existing = dict(zip(names.tolist(), counts.tolist(), strict=True))
    widths = np.array([window[str(band)] for band in curve.band[new]])
    chunks: list[Ints] = []
    predicted: list[float] = []
    for width in np.unique(widths):
        part = new[widths == width]
        cuts = cut(
            curve.take(part),
            existing,
            seconds_max=seconds_max,
            bytes_max=bytes_max,
            speed=speed,
        )
        for piece in cuts:
            posted = Counter(curve.band[part[piece]].tolist())
            chunks.append(part[piece])
            predicted.append(modelled_seconds(sum(existing.values()), posted, existing))
            for band, count in posted.items():
                existing[band] = existing.get(band, 0) + count
    return tuple(chunks), tuple(predicted)
