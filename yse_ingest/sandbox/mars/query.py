"""What one query of MARS means: its filters, its order, and the input that it fails on.

A value that is falsy, a key that is unknown or written in another case: no filter, no error.
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from yse_ingest.sandbox.mars.alert import (
    CANDIDATE_KEYS,
    Alert,
    ApplicationError,
    Value,
    galactic,
)
from yse_ingest.sandbox.ztf import BANDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

Test: TypeAlias = "Callable[[Alert], bool]"
Rank: TypeAlias = tuple[int, bool, str | float]

_UNIX_ZERO_JD = 2440587.5
_INT64_MAX = 2**63 - 1

# ra and dec live in one PostGIS point, l, b, filter and wall_time are computed: no columns.
SORTABLE: Final = frozenset(
    {"id", "objectId", "publisher"}
    | (CANDIDATE_KEYS - {"ra", "dec", "l", "b", "filter", "wall_time"})
)
_COMPARISONS: Final[Mapping[str, Callable[[Rank, Rank], bool]]] = {
    "gt": operator.gt,
    "lt": operator.lt,
    "gte": operator.ge,
    "lte": operator.le,
}
_INCLUSIVE_FILTERS: Final = (
    *("magpsf__lte", "magpsf__gte", "sigmapsf__lte", "magap__lte", "magap__gte"),
    *("distnr__lte", "distnr__gte", "deltamaglatest__lte", "deltamaglatest__gte"),
    *("deltamagref__lte", "deltamagref__gte", "rb__gte", "drb__gte"),
    *("classtar__lte", "classtar__gte", "fwhm__lte", "elong__lte"),
)
_WKT_NUMBER = re.compile(r"\s*(-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan)\s*", re.IGNORECASE)
_ISO = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?Z?)?")


@dataclass(frozen=True)
class Cone:
    """A circle on the sky; every bound is great-circle, so RA wraps and dec folds [deg]."""

    ra: float
    dec: float
    radius: float

    def contains(self, vectors: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which unit vectors, shape (n, 3), lie inside, the edge included."""
        if self.radius >= 180:  # half a turn reaches everything
            return np.ones(len(vectors), dtype=np.bool_)
        if not self.radius >= 0 or math.isnan(self.ra) or math.isnan(self.dec):
            return np.zeros(len(vectors), dtype=np.bool_)
        chord = 2 * math.sin(math.radians(self.radius) / 2)
        offset = vectors - unit_vector(self.ra, self.dec)
        inside: NDArray[np.bool_] = np.einsum("ij,ij->i", offset, offset) <= chord * chord
        return inside


@dataclass(frozen=True)
class Query:
    """One parsed query."""

    cone: Cone | None
    tests: tuple[Test, ...]
    sort_value: str
    sort_order: str

    def sort(self, alerts: list[Alert]) -> None:
        """Put alerts in the asked order; there is no tie-breaker.

        Only ``asc`` and ``desc`` order at all. Nulls come first on ``desc`` and last on
        ``asc``; NaN is larger than every number, as PostgreSQL has it.
        """
        if self.sort_order in {"asc", "desc"}:
            alerts.sort(
                key=lambda alert: _rank(alert.column(self.sort_value)),
                reverse=self.sort_order == "desc",
            )


def parse_query(arguments: Mapping[str, object], *, now: datetime) -> Query:
    """Return the meaning of one query: GET arguments, or one object of a POST.

    Raises
    ------
    ApplicationError
        Where the real application fails, with a 500 that says nothing.
    """
    sort_value = arguments.get("sort_value", "jd")
    if not isinstance(sort_value, str) or sort_value not in SORTABLE:
        raise ApplicationError(f"cannot sort by {sort_value!r}")
    if arguments.get("objectcone"):
        raise ApplicationError("objectcone asks a name service, and the sandbox has no network")
    cone = arguments.get("cone")
    return Query(
        cone=_cone(cone) if cone else None,
        tests=tuple(_tests(arguments, now)),
        sort_value=sort_value,
        sort_order=str(arguments.get("sort_order", "desc")),
    )


def unit_vector(ra: float, dec: float) -> NDArray[np.float64]:
    """Return the direction of a position [deg] as a unit vector, shape (3,)."""
    east, north = math.radians(ra % 360), math.radians(dec)
    return np.array(
        (
            math.cos(north) * math.cos(east),
            math.cos(north) * math.sin(east),
            math.sin(north),
        )
    )


def _tests(arguments: Mapping[str, object], now: datetime) -> Iterator[Test]:
    present = {key: value for key, value in arguments.items() if value}
    for name, value_of in _STRICT_FILTERS.items():
        for suffix in ("gt", "lt"):
            if (key := f"{name}__{suffix}") in present:
                bound = _BOUND_PARSERS.get(name, _number)(present[key])
                yield _compared(value_of, _COMPARISONS[suffix], bound)
    if "time__since" in present:
        yield _compared(_jd_of, operator.gt, _jd_of_age(present["time__since"], now))
    for key in (*_INCLUSIVE_FILTERS, "nbad__lte"):
        if key in present:
            column, suffix = key.split("__")
            bound = _BOUND_PARSERS.get(column, _number)(present[key])
            yield _compared(_column(column), _COMPARISONS[suffix], bound)
    if "filter" in present:
        yield _equals("fid", _fid(present["filter"]))
    if "objectId" in present:
        yield _equals("objectId", _text(present["objectId"]))
    if "candid" in present:
        yield _equals("candid", _integer(present["candid"]))
    if "objectidps" in present:
        ps1 = _integer(present["objectidps"])
        names = ("objectidps1", "objectidps2", "objectidps3")
        yield lambda alert: any(alert.column(name) == ps1 for name in names)


def _compared(
    value_of: Callable[[Alert], Value], compare: Callable[[Rank, Rank], bool], bound: float
) -> Test:
    limit = _rank(bound)

    def test(alert: Alert) -> bool:
        value = value_of(alert)
        return value is not None and compare(_rank(value), limit)

    return test


def _equals(column: str, wanted: str | int) -> Test:
    return lambda alert: alert.column(column) == wanted


def _rank(value: Value) -> Rank:
    if value is None:
        return (1, False, "")
    if isinstance(value, float) and math.isnan(value):
        return (0, True, 0.0)
    return (0, False, value)


def _cone(value: object) -> Cone:
    parts = _text(value).split(",")
    if len(parts) != 3:
        raise ApplicationError("a cone has three parts")
    ra, dec, radius = parts
    # The centre goes into the database as text, and its parser takes no plus sign.
    if not (_WKT_NUMBER.fullmatch(ra) and _WKT_NUMBER.fullmatch(dec)):
        raise ApplicationError("not a position")
    return Cone(float(ra), float(dec), _number(radius))


def _folded(ra: float) -> float:
    """Return an RA in (-180, 180] [deg]."""
    return 180 - (180 - ra) % 360


def _jd_of_iso(value: object) -> float:
    text = _text(value)
    if not _ISO.fullmatch(text):
        raise ApplicationError("not an ISO time")
    try:
        moment = datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError as error:
        raise ApplicationError(str(error)) from error
    return _jd(moment.replace(tzinfo=UTC))


def _jd_of_age(value: object, now: datetime) -> float:
    if not isinstance(value, str | int | float):
        raise ApplicationError(f"not a number of seconds: {value!r}")
    try:
        return _jd(now - timedelta(seconds=int(value)))
    except (ValueError, OverflowError) as error:
        raise ApplicationError(str(error)) from error


def _jd(moment: datetime) -> float:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(days=1) + _UNIX_ZERO_JD


def _column(name: str) -> Callable[[Alert], Value]:
    return lambda alert: alert.column(name)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ApplicationError(f"not a text: {value!r}")
    return value


def _number(value: object) -> float:
    if isinstance(value, str):
        try:
            return float(value.replace("_", "?"))
        except ValueError as error:
            raise ApplicationError(str(error)) from error
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ApplicationError(f"not a number: {value!r}")


def _integer(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d+\s*", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _INT64_MAX:
        return value
    raise ApplicationError(f"not a 64-bit integer: {value!r}")


def _fid(value: object) -> int:
    if value not in BANDS:
        raise ApplicationError(f"no filter {value!r}")
    return BANDS.index(str(value)) + 1


_jd_of = _column("jd")
_STRICT_FILTERS: Final[Mapping[str, Callable[[Alert], Value]]] = {
    "jd": _jd_of,
    "time": _jd_of,
    "ra": lambda alert: _folded(alert.number("ra")),
    "dec": _column("dec"),
    "l": lambda alert: galactic(alert.number("ra"), alert.number("dec"))[0],
    "b": lambda alert: galactic(alert.number("ra"), alert.number("dec"))[1],
}
_BOUND_PARSERS: Final[Mapping[str, Callable[[object], float]]] = {
    "time": _jd_of_iso,
    "ra": lambda value: _folded(_number(value)),
    "nbad": _integer,
}
