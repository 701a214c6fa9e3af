"""Light curves as numpy columns: what a source saw, what is sent, what YSE-PZ stores.

Five tables, each a frozen bundle of columns of one length n:

`Alerts`
    the detections of one reply of a source, parsed and valid, not yet told apart;
`Forced`
    fluxes that a source measured at a place, whether or not anything was found there;
`Limits`
    the exposures in which a source saw nothing;
`LightCurve`
    the exposures of one target in one instrument, as they would be stored;
`StoredPhotometry`
    the rows that YSE-PZ holds for one transient, as read back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Texts = NDArray[np.str_]
    Bools = NDArray[np.bool_]
    Codes = NDArray[np.uint8]

ZERO_POINT = 27.5
"""AB zero point of every flux in this project [mag], the convention of YSE-PZ."""

MAG_PER_RELATIVE_FLUX = 1.0857
"""2.5 / ln 10 as the field rounds it [mag]: the value that the brokers' own code uses."""

LIMIT_SIGMAS = 5.0
"""How many errors of the flux ZTF's limiting magnitudes are."""

MAG_SIGMAS = 3.0
"""A flux of fewer errors has no magnitude."""

LIMIT_FLUX = 1e-6
"""Flux of a stored upper limit, in units of its error. YSE-PZ draws a row without a magnitude
as a limit of flux + 3 errors, and does not draw one whose flux is 0."""
LIMIT_FLUX_MAX = 10 * LIMIT_FLUX
"""A stored row without a magnitude whose flux is smaller, in units of its error, is a limit."""


class PointKind(IntEnum):
    """What a row of a light curve is."""

    DETECTION = 0
    FORCED = 1
    LIMIT = 2


class Rank(IntEnum):
    """Which of several rows of one exposure stands: the one of the lowest rank."""

    DETECTION = 0
    FORCED = 1
    NEGATIVE = 2
    """A detection in a negative subtraction: forced photometry has its real flux."""
    LIMIT = 3


def flux_of_mag(mag: Floats, *, zero_point: float = ZERO_POINT) -> Floats:
    """Return the positive flux of magnitudes at ``zero_point``."""
    return np.power(10.0, -0.4 * (mag - zero_point))


def flux_err_of_mag_err(flux: Floats, mag_err: Floats) -> Floats:
    """Return the error of a flux, of either sign, from the error of its magnitude."""
    return np.abs(flux) * mag_err / MAG_PER_RELATIVE_FLUX


@dataclass(frozen=True, eq=False)
class Columns:
    """What the tables share: length, selection by row, concatenation."""

    time_ms: Ints

    def _columns(self) -> dict[str, NDArray[Any]]:
        return {
            each.name: value
            for each in fields(self)
            if isinstance(value := getattr(self, each.name), np.ndarray)
        }

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.time_ms)

    def take(self, rows: Ints | Bools | slice) -> Self:
        """Return the rows that a mask, an index array or a slice selects, in its order."""
        if not len(self):  # quiet targets, and the kinds that nobody asked for
            return self
        picked = {name: column[rows] for name, column in self._columns().items()}
        return replace(self, **picked)

    @classmethod
    def concatenate(cls, tables: Iterable[Self]) -> Self:
        """Return the rows of all tables, in order; what is not a column is the first's."""
        parts = list(tables)
        columns = [cls._columns(part) for part in parts]
        merged = {name: np.concatenate([each[name] for each in columns]) for name in columns[0]}
        return replace(parts[0], **merged)


@dataclass(frozen=True, eq=False)
class Alerts(Columns):
    """Valid rows of one source, whatever object they are of.

    Columns (n,): ``native_id`` (the source's own id, "candid" for ZTF, as text because it
    exceeds 2^53), ``object_id``, ``time_ms`` (UTC), ``band`` (one letter), ``mag``, ``mag_err``
    [mag], ``negative`` (the difference image is negative), ``ra``, ``dec`` [deg, ICRS],
    ``quality`` (real-bogus score, nan where there is none).
    """

    native_id: Texts
    object_id: Texts
    time_ms: Ints
    band: Texts
    mag: Floats
    mag_err: Floats
    negative: Bools
    ra: Floats
    dec: Floats
    quality: Floats

    @property
    def repeats(self) -> bool:
        """Tell whether a row stands there twice: the same id under the same object."""
        ids = zip(self.native_id.tolist(), self.object_id.tolist(), strict=True)
        return len(set(ids)) < len(self)

    @classmethod
    def from_rows(cls, rows: list[Mapping[str, Any]], *, time_ms: Ints) -> Self:
        """Build the table from parsed rows (keys as the columns) and their times."""

        def column(name: str, dtype: str) -> NDArray[Any]:
            return np.array([row[name] for row in rows], dtype=dtype)

        return cls(
            native_id=column("native_id", "U"),
            object_id=column("object_id", "U"),
            time_ms=np.asarray(time_ms, dtype=np.int64),
            band=column("band", "U"),
            mag=column("mag", "f8"),
            mag_err=column("mag_err", "f8"),
            negative=column("negative", "?"),
            ra=column("ra", "f8"),
            dec=column("dec", "f8"),
            quality=column("quality", "f8"),
        )

    @classmethod
    @cache
    def empty(cls) -> Self:
        """Return a table of no rows."""
        return cls.from_rows([], time_ms=np.empty(0, dtype=np.int64))

    def unique(self) -> Self:
        """Return each native id once, the first of it, in order of time."""
        _, first = np.unique(self.native_id, return_index=True)
        return self.take(first[np.argsort(self.time_ms[first], kind="stable")])


@dataclass(frozen=True, eq=False)
class Forced(Columns):
    """Forced photometry of one source, of whatever objects.

    Columns (n,): ``native_id`` (text; the source's own id of the measurement, or one made of
    what identifies it), ``object_id`` (whose place was measured), ``time_ms`` (UTC), ``band``
    (the source's letter), ``flux``, ``flux_err`` (of the difference image, signed, at zero
    point 27.5; the error is positive).
    """

    native_id: Texts
    object_id: Texts
    time_ms: Ints
    band: Texts
    flux: Floats
    flux_err: Floats

    @classmethod
    def from_rows(cls, rows: list[Mapping[str, Any]], *, time_ms: Ints) -> Self:
        """Build the table from parsed rows (keys as the columns) and their times."""
        return cls(
            native_id=np.array([row["native_id"] for row in rows], dtype="U"),
            object_id=np.array([row["object_id"] for row in rows], dtype="U"),
            time_ms=np.asarray(time_ms, dtype=np.int64),
            band=np.array([row["band"] for row in rows], dtype="U"),
            flux=np.array([row["flux"] for row in rows], dtype="f8"),
            flux_err=np.array([row["flux_err"] for row in rows], dtype="f8"),
        )

    @classmethod
    @cache
    def empty(cls) -> Self:
        """Return a table of no rows."""
        return cls.from_rows([], time_ms=np.empty(0, dtype=np.int64))

    def unique(self) -> Self:
        """Return each native id once, the first of it, in order of time."""
        _, first = np.unique(self.native_id, return_index=True)
        return self.take(first[np.argsort(self.time_ms[first], kind="stable")])


@dataclass(frozen=True, eq=False)
class Limits(Columns):
    """Upper limits of one source, of whatever objects.

    Columns (n,): ``object_id`` (whose place was looked at), ``time_ms`` (UTC), ``band`` (one
    letter), ``mag_limit`` [mag, 5 sigma of the difference image].
    """

    object_id: Texts
    time_ms: Ints
    band: Texts
    mag_limit: Floats

    @classmethod
    def from_rows(cls, rows: list[Mapping[str, Any]], *, time_ms: Ints) -> Self:
        """Build the table from parsed rows (keys as the columns) and their times."""
        return cls(
            object_id=np.array([row["object_id"] for row in rows], dtype="U"),
            time_ms=np.asarray(time_ms, dtype=np.int64),
            band=np.array([row["band"] for row in rows], dtype="U"),
            mag_limit=np.array([row["mag_limit"] for row in rows], dtype="f8"),
        )

    @classmethod
    @cache
    def empty(cls) -> Self:
        """Return a table of no rows."""
        return cls.from_rows([], time_ms=np.empty(0, dtype=np.int64))

    @property
    def flux_err(self) -> Floats:
        """Return the error of the flux, at zero point 27.5, that each limit stands for."""
        return flux_of_mag(self.mag_limit) / LIMIT_SIGMAS

    def unique(self) -> Self:
        """Return each exposure and band once, in order of time."""
        exposures = zip(self.time_ms.tolist(), self.band.tolist(), strict=True)
        first = {exposure: row for row, exposure in reversed(list(enumerate(exposures)))}
        rows = np.array(sorted(first.values()), dtype=np.int64)
        return self.take(rows[np.argsort(self.time_ms[rows], kind="stable")])


@dataclass(frozen=True, eq=False)
class LightCurve(Columns):
    """The exposures of one target in one instrument and group, in order of time.

    Columns (n,): ``native_id``, ``time_ms`` (UTC), ``band`` (YSE-PZ's name, "g-ZTF"), ``mag``,
    ``mag_err`` [mag; nan where there is none: a negative subtraction, forced photometry below 3
    sigma, an upper limit], ``flux``, ``flux_err`` (signed, at zero point 27.5; the flux of an
    upper limit is `LIMIT_FLUX` of its error), ``kind`` (`PointKind`; all are detections where
    none is given).
    """

    native_id: Texts
    time_ms: Ints
    band: Texts
    mag: Floats
    mag_err: Floats
    flux: Floats
    flux_err: Floats
    instrument: str
    obs_group: str
    kind: Codes = field(default_factory=lambda: np.empty(0, dtype=np.uint8))
    source: str = ""
    """Name of the source it is from; empty: the target's own."""

    def __post_init__(self) -> None:
        """Take every row for a detection where no kind is given."""
        if len(self.kind) != len(self.time_ms):
            object.__setattr__(self, "kind", np.zeros(len(self.time_ms), dtype=np.uint8))

    @classmethod
    def empty(cls, *, instrument: str, obs_group: str) -> Self:
        """Return a light curve of no rows."""
        nothing = np.empty(0)
        text = np.empty(0, dtype="U1")
        return cls(
            native_id=text,
            time_ms=np.empty(0, dtype=np.int64),
            band=text,
            mag=nothing,
            mag_err=nothing,
            flux=nothing,
            flux_err=nothing,
            instrument=instrument,
            obs_group=obs_group,
        )

    @property
    def value_hash(self) -> NDArray[np.uint32]:
        """Return `value_hash` of the rows, shape (n,)."""
        return value_hash(self.mag, self.mag_err, self.flux, self.flux_err)

    @property
    def rank(self) -> Codes:
        """Return `Rank` of the rows, shape (n,)."""
        return _rank(
            self.kind == PointKind.FORCED, self.kind == PointKind.LIMIT, self.mag, self.flux
        )

    def by_time(self) -> Self:
        """Return the rows in order of time."""
        return self.take(np.argsort(self.time_ms, kind="stable"))


def light_curve(
    alerts: Alerts,
    *,
    instrument: str,
    obs_group: str,
    band_map: Mapping[str, str],
    keep_negatives: bool = False,
) -> tuple[LightCurve, int]:
    """Return the light curve of alerts of one object, and how many of them are negative.

    A negative subtraction is never a detection: it is left out, or with ``keep_negatives``
    kept as signed flux without a magnitude.

    Raises
    ------
    KeyError
        When a band is missing in ``band_map``: the schemas let no such row through.
    """
    chosen = alerts if keep_negatives else alerts.take(~alerts.negative)
    chosen = chosen.take(np.argsort(chosen.time_ms, kind="stable"))
    flux = np.where(chosen.negative, -1.0, 1.0) * flux_of_mag(chosen.mag)
    curve = LightCurve(
        native_id=chosen.native_id,
        time_ms=chosen.time_ms,
        band=_band_names(chosen.band, band_map),
        mag=np.where(chosen.negative, np.nan, chosen.mag),
        mag_err=np.where(chosen.negative, np.nan, chosen.mag_err),
        flux=flux,
        flux_err=flux_err_of_mag_err(flux, chosen.mag_err),
        instrument=instrument,
        obs_group=obs_group,
    )
    return curve, int(np.count_nonzero(alerts.negative))


def forced_curve(
    forced: Forced, *, instrument: str, obs_group: str, band_map: Mapping[str, str]
) -> LightCurve:
    """Return forced photometry as a light curve: signed flux, a magnitude from 3 sigma on.

    Raises
    ------
    KeyError
        When a band is missing in ``band_map``: the schemas let no such row through.
    """
    significant = forced.flux >= MAG_SIGMAS * forced.flux_err
    flux = np.where(significant, forced.flux, 1.0)
    mag = ZERO_POINT - 2.5 * np.log10(flux)
    mag_err = MAG_PER_RELATIVE_FLUX * forced.flux_err / flux
    return LightCurve(
        native_id=forced.native_id,
        time_ms=forced.time_ms,
        band=_band_names(forced.band, band_map),
        mag=np.where(significant, mag, np.nan),
        mag_err=np.where(significant, mag_err, np.nan),
        # YSE-PZ takes a flux of 0 for none.
        flux=np.where(forced.flux == 0, LIMIT_FLUX * forced.flux_err, forced.flux),
        flux_err=forced.flux_err,
        instrument=instrument,
        obs_group=obs_group,
        kind=np.full(len(forced), PointKind.FORCED, dtype=np.uint8),
    ).by_time()


def limit_curve(
    limits: Limits, *, instrument: str, obs_group: str, band_map: Mapping[str, str]
) -> LightCurve:
    """Return upper limits as a light curve: no magnitude, and a flux that is all but nothing.

    Raises
    ------
    KeyError
        When a band is missing in ``band_map``: the schemas let no such row through.
    """
    nothing = np.full(len(limits), np.nan)
    exposures = zip(limits.band.tolist(), limits.time_ms.tolist(), strict=True)
    return LightCurve(
        native_id=np.array([f"limit:{band}:{time_ms}" for band, time_ms in exposures], "U"),
        time_ms=limits.time_ms,
        band=_band_names(limits.band, band_map),
        mag=nothing,
        mag_err=nothing,
        flux=LIMIT_FLUX * limits.flux_err,
        flux_err=limits.flux_err,
        instrument=instrument,
        obs_group=obs_group,
        kind=np.full(len(limits), PointKind.LIMIT, dtype=np.uint8),
    ).by_time()


def _band_names(letters: Texts, band_map: Mapping[str, str]) -> Texts:
    if not len(letters):
        return np.empty(0, dtype="U1")
    known, inverse = np.unique(letters, return_inverse=True)
    names = np.array([band_map[str(letter)] for letter in known], dtype="U")
    return names[inverse]


def _rank(forced: Bools, limit: Bools, mag: Floats, flux: Floats) -> Codes:
    negative = ~np.isfinite(mag) & (flux < 0)
    rank = np.select(
        [forced, limit, negative],
        [Rank.FORCED, Rank.LIMIT, Rank.NEGATIVE],
        default=Rank.DETECTION,
    )
    return rank.astype(np.uint8)


@dataclass(frozen=True, eq=False)
class StoredPhotometry(Columns):
    """Rows that YSE-PZ holds for one transient.

    Columns (n,): ``pk``, ``time_ms`` (UTC, truncated by YSE-PZ's read-back), ``instrument``,
    ``obs_group``, ``band``, ``mag``, ``mag_err``, ``flux``, ``flux_err``, ``zero_point`` (nan
    where the row lacks the field), ``forced``, ``created_by``, ``modified_by`` (account names;
    empty where YSE-PZ does not show them),
    ``header`` (pk of the photometry header), ``restricted`` (its header has groups),
    ``created_ms`` (when the row was stored, Unix time; 0 where that is not shown).
    """

    pk: Ints
    time_ms: Ints
    instrument: Texts
    obs_group: Texts
    band: Texts
    mag: Floats
    mag_err: Floats
    flux: Floats
    flux_err: Floats
    zero_point: Floats
    forced: Bools
    created_by: Texts
    modified_by: Texts
    header: Ints
    restricted: Bools
    created_ms: Ints

    @classmethod
    def from_rows(cls, rows: list[Mapping[str, Any]]) -> Self:
        """Build the table from one mapping per row, keys as the columns (None = missing)."""
        dtypes = {
            "pk": "i8",
            "time_ms": "i8",
            "header": "i8",
            "created_ms": "i8",
            "forced": "?",
            "restricted": "?",
            "mag": "f8",
            "mag_err": "f8",
            "flux": "f8",
            "flux_err": "f8",
            "zero_point": "f8",
        }
        return cls(
            **{
                each.name: np.array(
                    [
                        row.get(each.name, 0) if each.name == "created_ms" else row[each.name]
                        for row in rows
                    ],
                    dtype=dtypes.get(each.name, "U"),
                )
                for each in fields(cls)
            }
        )

    def flux_at(self, zero_point: float = ZERO_POINT) -> tuple[Floats, Floats]:
        """Return flux and error at ``zero_point`` (nan where a row lacks them)."""
        # Anybody may have stored any zero point; what overflows matches nothing.
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            factor = np.power(10.0, 0.4 * (zero_point - self.zero_point))
            return self.flux * factor, self.flux_err * factor

    @property
    def value_hash(self) -> NDArray[np.uint32]:
        """Return `value_hash` of the rows, shape (n,)."""
        return value_hash(self.mag, self.mag_err, *self.flux_at())

    @property
    def rank(self) -> Codes:
        """Return `Rank` of the rows, shape (n,)."""
        with np.errstate(invalid="ignore"):
            faint = np.abs(self.flux) <= LIMIT_FLUX_MAX * self.flux_err
        return _rank(self.forced, faint & ~np.isfinite(self.mag), self.mag, self.flux)

    def written_by(self, account: str) -> Bools:
        """Return which rows are ours: written by this account, and touched by nobody else."""
        ours: Bools = (self.created_by == account) & (self.modified_by == account)
        return ours


def value_hash(
    mag: Floats, mag_err: Floats, flux: Floats, flux_err: Floats
) -> NDArray[np.uint32]:
    """Return 32-bit hashes of the values rounded to 1e-4 mag, shape (n,).

    A row with a magnitude is hashed by magnitude and error alone, so that a stored row which
    lacks a flux has the hash of the same point sent with one. A row without is hashed by its
    signed flux, on the same magnitude scale.
    """
    has_mag = np.isfinite(mag)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        value = np.where(has_mag, mag, -2.5 * np.log10(np.abs(flux)))
        error = np.where(has_mag, mag_err, MAG_PER_RELATIVE_FLUX * flux_err / np.abs(flux))
    sign = np.where(has_mag, 0, np.where(flux < 0, 2, 1)).astype(np.uint64)
    mixed = _steps(value) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= _steps(error) * np.uint64(0xC2B2AE3D27D4EB4F) + (sign << np.uint64(61))
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(32)).astype(np.uint32)


def _steps(value: Floats) -> NDArray[np.uint64]:
    """Return values in steps of 1e-4, as 64 bits; one fixed pattern for what is not finite."""
    with np.errstate(over="ignore"):
        steps = value * 1e4
    limited = np.clip(
        np.nan_to_num(steps, nan=2**40, posinf=2**40, neginf=-(2**40)), -(2**40), 2**40
    )
    return np.rint(limited).astype(np.int64).view(np.uint64)
