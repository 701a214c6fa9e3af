"""Union: what several sources of one survey report of one target, each exposure once.

A survey's alerts are copied by several brokers. `Sightings` remembers which exposures each
source has reported. Of one that several have, one row stands: among alerts that of the first
source in the operator's order, then the row of the lowest `Rank`, whoever has it. Who was asked
first does not matter, so nothing is corrected back and forth.

Values are never averaged: where two sources differ about one alert, `disagreements` says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from yse_ingest.delta import ERROR_SHARE, MAG_TOLERANCE, smallest_gaps, window_ms
from yse_ingest.photometry import Columns, Rank
from yse_ingest.targets import separation_arcsec
from yse_ingest.times import iso_of_unix

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from yse_ingest.photometry import (
        Alerts,
        Bools,
        Floats,
        Forced,
        Ints,
        LightCurve,
        Limits,
        Texts,
    )

TIME_TOLERANCE_MS = 1000
"""Two brokers' times of one alert may lie this far apart [ms]."""
PLACE_TOLERANCE_ARCSEC = 0.5
"""And their positions of it this far [arcsec]."""
CANDID_DIGITS_MIN = 16
"""ZTF's alerts have ids of 18 digits or so: others are no candids."""
CANDIDS_PER_EXPOSURE = 10**6
"""``candid // 10**6`` is ZTF's ``pid``: one quadrant of one exposure."""

_TEXTS = ("source", "native_id", "band")
_INTS = ("rank", "time_ms", "place_ms", "seen_ms")


class Disagreement(NamedTuple):
    """Two sources say different things of the same alert."""

    native_id: str
    what: str
    """magnitude, sign, time or position."""
    stands: str
    """The source whose values stand."""
    value: str
    other: str
    other_value: str

    def __str__(self) -> str:
        """Return it as a sentence without a full stop."""
        return (
            f"{self.what} of alert {self.native_id}: {self.stands} says {self.value}, "
            f"{self.other} says {self.other_value}; that of {self.stands} stands"
        )


@dataclass(frozen=True, eq=False)
class Sightings(Columns):
    """Who reported which exposure of one target.

    Columns (n,): ``source``, ``rank`` (`Rank`), ``native_id`` ("" for limits), ``time_ms`` (as
    this source has it, UTC), ``place_ms`` (at which the exposure stands: the time of whoever
    reported it first), ``seen_ms`` (when this source first reported it, Unix time), ``band``
    (YSE-PZ's name), ``mag``, ``mag_err`` [mag; of alerts], ``ra``, ``dec`` [deg; nan where
    unknown].
    """

    source: Texts
    rank: Ints
    native_id: Texts
    time_ms: Ints
    place_ms: Ints
    seen_ms: Ints
    band: Texts
    mag: Floats
    mag_err: Floats
    ra: Floats
    dec: Floats

    @classmethod
    def from_columns(cls, columns: Mapping[str, Iterable[Any]]) -> Self:
        """Build the table from one list per column; None is nan.

        Raises
        ------
        KeyError, ValueError, TypeError
            When it is no such table.
        """

        def dtype(name: str) -> str:
            if name in _TEXTS:
                return "U"
            return "i8" if name in _INTS else "f8"

        table = cls(
            **{
                item.name: np.array(list(columns[item.name]), dtype=dtype(item.name))
                for item in fields(cls)
            }
        )
        if len({len(getattr(table, item.name)) for item in fields(cls)}) > 1:
            raise ValueError("the columns differ in length")
        return table

    @classmethod
    def empty(cls) -> Self:
        """Return a table of no rows."""
        return cls.from_columns({item.name: () for item in fields(cls)})

    @classmethod
    def of(
        cls,
        source: str,
        alerts: Alerts,
        forced: Forced,
        limits: Limits,
        *,
        band_map: Mapping[str, str],
    ) -> Self:
        """Return what one answer of a source reports, at its own times."""
        parts = [
            cls._part(source, Rank.DETECTION, alerts, band_map),
            cls._part(source, Rank.FORCED, forced, band_map),
            cls._part(source, Rank.LIMIT, limits, band_map),
        ]
        detections = replace(
            parts[0],
            mag=alerts.mag,
            mag_err=alerts.mag_err,
            rank=np.where(alerts.negative, Rank.NEGATIVE, Rank.DETECTION).astype(np.int64),
            ra=alerts.ra,
            dec=alerts.dec,
        )
        return cls.concatenate([detections, *parts[1:]])

    @classmethod
    def _part(
        cls, source: str, rank: Rank, table: Alerts | Forced | Limits, bands: Mapping[str, str]
    ) -> Self:
        count = len(table)
        unknown = np.full(count, np.nan)
        ids = getattr(table, "native_id", np.full(count, "", dtype="U1"))
        names = [bands[letter] for letter in table.band.tolist()]
        return cls(
            source=np.full(count, source, dtype=f"U{len(source)}"),
            rank=np.full(count, rank, dtype=np.int64),
            native_id=ids,
            time_ms=table.time_ms,
            place_ms=table.time_ms,
            seen_ms=np.zeros(count, dtype=np.int64),
            band=np.array(names, dtype="U"),
            mag=unknown,
            mag_err=unknown,
            ra=unknown,
            dec=unknown,
        )

    def columns(self) -> dict[str, list[Any]]:
        """Return one list per column, for JSON: nan is None."""
        lists: dict[str, list[Any]] = {}
        for item in fields(self):
            values: list[Any] = getattr(self, item.name).tolist()
            if item.name not in (*_TEXTS, *_INTS):
                values = [None if math.isnan(value) else value for value in values]
            lists[item.name] = values
        return lists

    @property
    def is_alert(self) -> Bools:
        """Return which rows are alerts, of either sign, shape (n,)."""
        alert: Bools = (self.rank == Rank.DETECTION) | (self.rank == Rank.NEGATIVE)
        return alert

    @property
    def first_ms(self) -> int | None:
        """Return when anything was first detected, Unix time [ms]; None: never."""
        places = self.place_ms[self.rank == Rank.DETECTION]
        return int(places.min()) if len(places) else None

    def by(self, sources: Sequence[str]) -> Self:
        """Return the rows of these sources."""
        return self.take(np.isin(self.source, np.array(list(sources), dtype="U")))

    def with_answer(
        self,
        told: Self,
        *,
        source: str,
        full: bool,
        now_ms: int,
        tolerance_ms: float,
        alerts_of_ztf: bool,
    ) -> Self:
        """Return everything known after one answer of a source.

        Each exposure keeps its place: it is found again by the alert's own id, then by ZTF's
        exposure and band, then by time within the window of `yse_ingest.delta.window_ms`.

        Parameters
        ----------
        told
            `Sightings.of` the answer.
        source
            Who answered.
        full
            Everything was read: what this source does not report any more is forgotten.
        now_ms
            The time [Unix ms].
        tolerance_ms
            How far two programs' times of one exposure may lie apart [ms].
        alerts_of_ztf
            Whether the ids of alerts are ZTF's.
        """
        places = self._places(told, tolerance_ms, ztf=alerts_of_ztf)
        placed = replace(told, place_ms=places)
        own = np.flatnonzero(self.source == source)
        before = dict(zip(_keys(self.take(own)), self.seen_ms[own].tolist(), strict=True))
        keys = _keys(placed)
        seen = np.array([before.get(key, now_ms) for key in keys], dtype=np.int64)
        renewed = set(keys)
        left = [full or key in renewed for key in _keys(self.take(own))]
        kept = np.ones(len(self), dtype=bool)
        kept[own[np.array(left, dtype=bool)]] = False
        return type(self).concatenate([self.take(kept), replace(placed, seen_ms=seen)])

    def _places(self, told: Self, tolerance_ms: float, *, ztf: bool) -> Ints:
        """Return at which time each reported exposure stands, shape (n,)."""
        places = told.time_ms.copy()
        if not len(self) or not len(told):
            return places
        by_id = _first(self.native_id.tolist(), self.place_ms.tolist())
        exposures = _first(_exposures(self, ztf=ztf), self.place_ms.tolist())
        window = {
            str(band): window_ms(tolerance_ms, self._gap(told, str(band)))
            for band in np.unique(told.band)
        }
        keys = zip(told.native_id.tolist(), _exposures(told, ztf=ztf), strict=True)
        for row, (native_id, exposure) in enumerate(keys):
            known = by_id.get(native_id, exposures.get(exposure))
            if known is None:
                band = str(told.band[row])
                near = self.place_ms[self.band == band]
                away = np.abs(near - told.time_ms[row])
                hit = len(away) > 0 and away.min() < window[band]
                known = int(near[away.argmin()]) if hit else None
            if known is not None:
                places[row] = known
        return places

    def _gap(self, told: Self, band: str) -> float | None:
        """Return the smallest gap between two exposures of one source in a band [ms]."""
        found: list[int] = []
        for rows in (told, *(self.by([name]) for name in np.unique(self.source).tolist())):
            found += smallest_gaps(
                rows.time_ms[rows.band == band], rows.band[rows.band == band], instrument=""
            ).values()
        return min(found, default=None)

    def standing(self, order: Sequence[str]) -> Bools:
        """Return which rows stand for their exposures, shape (n,).

        Parameters
        ----------
        order
            Names of sources, the first first; rows of any other never stand.
        """
        rank = {name: number for number, name in enumerate(order)}
        ranks = np.array([rank.get(name, -1) for name in self.source.tolist()], dtype=np.int64)
        exposures = list(zip(self.band.tolist(), self.place_ms.tolist(), strict=True))
        is_alert = self.is_alert
        alerts: dict[tuple[str, int], int] = {}
        best: dict[tuple[str, int], int] = {}
        for row in np.lexsort((self.native_id, ranks)).tolist():
            if ranks[row] >= 0 and is_alert[row]:
                alerts.setdefault(exposures[row], row)
        for row in np.lexsort((self.native_id, ranks, self.rank)).tolist():
            if ranks[row] >= 0 and (not is_alert[row] or alerts[exposures[row]] == row):
                best.setdefault(exposures[row], row)
        stands = np.zeros(len(self), dtype=bool)
        stands[list(best.values())] = True
        return stands

    def part_of(self, curve: LightCurve, source: str, order: Sequence[str]) -> LightCurve:
        """Return the exposures of one source's light curve for which its rows stand.

        Each is at the time at which the exposure stands.
        """
        mine = self.source == source
        stands = self.standing(order)
        rows = {
            (band, time_ms): row
            for row, band, time_ms in zip(
                np.flatnonzero(mine).tolist(),
                self.band[mine].tolist(),
                self.time_ms[mine].tolist(),
                strict=True,
            )
            if stands[row]
        }
        wanted = zip(curve.band.tolist(), curve.time_ms.tolist(), strict=True)
        found = np.array([rows.get(key, -1) for key in wanted], dtype=np.int64)
        part = curve.take(found >= 0)
        part = replace(part, time_ms=self.place_ms[found[found >= 0]])
        return part.take(np.argsort(part.time_ms, kind="stable"))

    def lacking(self, source: str, *, before_ms: float) -> int:
        """Return how many exposures others reported after everything that a source has.

        Parameters
        ----------
        source
            Whose rows may be missing.
        before_ms
            Only what others had reported before this counts [Unix ms].
        """
        found = self.take(self.is_alert)
        own = found.source == source
        newest = found.place_ms[own].max() if own.any() else -np.inf
        later = (found.place_ms > newest) & (found.seen_ms < before_ms) & ~own
        pairs = zip(found.band[later].tolist(), found.place_ms[later].tolist(), strict=True)
        return len(set(pairs))

    def disagreements(self, order: Sequence[str]) -> list[Disagreement]:
        """Return where two sources say different things of the same alert, oldest first.

        The magnitude by more than the larger of 1e-3 mag and 1 % of the error, the sign, the
        time by more than 1 s, or the position by more than 0.5".
        """
        is_alert = self.is_alert
        rows: dict[str, dict[str, int]] = {}
        for row in np.argsort(self.time_ms, kind="stable").tolist():
            if is_alert[row] and self.native_id[row]:
                rows.setdefault(str(self.native_id[row]), {})[str(self.source[row])] = row
        found = []
        for native_id, by_source in rows.items():
            stands, *others = [name for name in order if name in by_source] or [""]
            for other in others:
                for what, value, other_value in self._differences(
                    by_source[stands], by_source[other]
                ):
                    found.append(
                        Disagreement(native_id, what, stands, value, other, other_value)
                    )
        return found

    def _differences(self, one: int, other: int) -> Iterable[tuple[str, str, str]]:
        if self.rank[one] != self.rank[other]:
            sign = {Rank.DETECTION: "positive", Rank.NEGATIVE: "negative"}
            yield "sign", sign[Rank(self.rank[one])], sign[Rank(self.rank[other])]
        tolerance = max(MAG_TOLERANCE, ERROR_SHARE * self.mag_err[one])
        if abs(self.mag[one] - self.mag[other]) > tolerance:
            yield "magnitude", self._mag(one), self._mag(other)
        if abs(self.time_ms[one] - self.time_ms[other]) > TIME_TOLERANCE_MS:
            yield "time", self._time(one), self._time(other)
        places = [float(column[row]) for row in (one, other) for column in (self.ra, self.dec)]
        away = separation_arcsec(*places) if all(map(math.isfinite, places)) else 0.0
        if away > PLACE_TOLERANCE_ARCSEC:
            yield "position", self._position(one), f'{self._position(other)}, {away:.1f}" away'

    def _mag(self, row: int) -> str:
        return f"{self.mag[row]:.3f} +- {self.mag_err[row]:.3f}"

    def _time(self, row: int) -> str:
        return iso_of_unix(float(self.time_ms[row]) / 1000)

    def _position(self, row: int) -> str:
        return f"{self.ra[row]:.5f}, {self.dec[row]:+.5f}"


def exposure_of_candid(native_id: str) -> int | None:
    """Return ZTF's ``pid`` of an alert's id; None where it is no candid."""
    if not (native_id.isascii() and native_id.isdecimal()):
        return None
    return (
        int(native_id) // CANDIDS_PER_EXPOSURE if len(native_id) >= CANDID_DIGITS_MIN else None
    )


def _exposures(rows: Sightings, *, ztf: bool) -> list[tuple[int, str] | None]:
    """Return ZTF's exposure and the band of each row; None where that is not known."""
    if not ztf:
        return [None] * len(rows)
    pids = [exposure_of_candid(native_id) for native_id in rows.native_id.tolist()]
    pairs = zip(pids, rows.band.tolist(), strict=True)
    return [None if pid is None else (pid, band) for pid, band in pairs]


def _first(keys: Iterable[Any], values: Iterable[int]) -> dict[Any, int]:
    """Return the first value of each key; keys that say nothing are left out."""
    found: dict[Any, int] = {}
    for key, value in zip(keys, values, strict=True):
        if key:
            found.setdefault(key, value)
    return found


def _keys(rows: Sightings) -> list[tuple[int, str, str, int]]:
    """Return what a row of one source is known again by: its id, else its exposure."""
    kind = np.where(rows.is_alert, Rank.DETECTION, rows.rank)
    columns: Sequence[NDArray[Any]] = (kind, rows.native_id, rows.band, rows.place_ms)
    return [
        (number, native_id, band, 0 if native_id else place_ms)
        for number, native_id, band, place_ms in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]
