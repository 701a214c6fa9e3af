"""Thirty-one real supernovae: the figures of their public ZTF alerts, ready for the stand-ins.

They lie in ``data/``, one file per object, and one for the upper limits of all;
``MANIFEST.csv`` says where each comes from. Rows are carried as published, a negative
subtraction included.

What was published of SN 2019np lacks candid, isdiffpos, rb and the position of each row. The
sandbox assigns them, the same on every call: candids of ZTF's form, made from the JD and a
quadrant of our choosing; isdiffpos ``t``; rb 0.9; positions scattered by up to 0.25" around the
published one. Where no limiting magnitude was published, 20.5 is served.
"""

from __future__ import annotations

import csv
import math
import statistics
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Literal

from yse_ingest.sandbox.ztf import BANDS, candid_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from yse_ingest.sandbox.alerce import AlerceStandIn
    from yse_ingest.sandbox.antares import AntaresStandIn
    from yse_ingest.sandbox.fink import FinkStandIn
    from yse_ingest.sandbox.lasair import LasairStandIn
    from yse_ingest.sandbox.mars import MarsStandIn

ASSIGNED_RB: Final = 0.9
UNPUBLISHED_LIMIT: Final = 20.5
SCATTER_DEG: Final = 0.25 / 3600

_PUBLISHED_POSITIONS: Final = {"2019np": (157.3415, 29.5106667)}
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


@dataclass(frozen=True, slots=True)
class PublishedAlert:
    """One detection.

    Attributes
    ----------
    jd
        Start of the exposure, UTC [d].
    filter
        ``g`` or ``r``.
    isdiffpos
        ``t``, or ``f`` for a negative subtraction.
    ra, dec
        ICRS [deg].
    diffmaglim, drb
        None where nothing was published.
    """

    object_id: str
    candid: int
    jd: float
    filter: str
    magpsf: float
    sigmapsf: float
    isdiffpos: str
    ra: float
    dec: float
    diffmaglim: float | None
    rb: float
    drb: float | None


@dataclass(frozen=True, slots=True)
class PublishedLimit:
    """One exposure in which nothing was found.

    Attributes
    ----------
    jd
        Start of the exposure, UTC [d].
    filter
        ``g`` or ``r``.
    diffmaglim
        5 sigma [mag].
    """

    object_id: str
    jd: float
    filter: str
    diffmaglim: float


@dataclass(frozen=True, slots=True)
class Supernova:
    """One supernova, its alerts and its upper limits, both in the order of their JD.

    Attributes
    ----------
    name
        What a target of it is called: the IAU name without ``SN``, else ZTF's name.
    ra, dec
        Published position, else the median of its alerts; ICRS [deg].
    """

    name: str
    object_id: str
    ra: float
    dec: float
    alerts: tuple[PublishedAlert, ...]
    limits: tuple[PublishedLimit, ...] = ()


def load() -> tuple[Supernova, ...]:
    """Return the supernovae in the order of the manifest: SN 2019np, then the longest first."""
    limits: dict[str, list[PublishedLimit]] = {}
    for row in _rows("UPPER_LIMITS.csv"):
        limit = PublishedLimit(
            row["object"], float(row["jd"]), row["filter"], float(row["diffmaglim"])
        )
        limits.setdefault(limit.object_id, []).append(limit)
    return tuple(
        _supernova(entry, limits.get(entry["object"], ())) for entry in _rows("MANIFEST.csv")
    )


def fill_mars(mars: MarsStandIn, supernovae: Iterable[Supernova]) -> None:
    """Give a stand-in MARS every alert, in the order in which they were observed."""
    for alert in _in_order_of_time(supernovae):
        mars.add_alert(
            alert.object_id,
            alert.jd,
            alert.filter,
            alert.magpsf,
            alert.sigmapsf,
            alert.ra,
            alert.dec,
            candid=alert.candid,
            isdiffpos=alert.isdiffpos,
            rb=alert.rb,
            drb=alert.drb,
            diffmaglim=UNPUBLISHED_LIMIT if alert.diffmaglim is None else alert.diffmaglim,
        )


def fill_alerce(alerce: AlerceStandIn, supernovae: Iterable[Supernova]) -> None:
    """Give a stand-in ALeRCE every alert and limit, each in the order of time."""
    supernovae = list(supernovae)
    for alert in _in_order_of_time(supernovae):
        alerce.add_detection(
            alert.object_id,
            alert.jd,
            alert.filter,
            alert.magpsf,
            alert.sigmapsf,
            alert.ra,
            alert.dec,
            candid=alert.candid,
            isdiffpos=1 if alert.isdiffpos == "t" else -1,
            rb=alert.rb,
            drb=alert.drb,
            diffmaglim=UNPUBLISHED_LIMIT if alert.diffmaglim is None else alert.diffmaglim,
        )
    for supernova in supernovae:
        for limit in supernova.limits:
            alerce.add_non_detection(limit.object_id, limit.jd, limit.filter, limit.diffmaglim)


def fill_fink(fink: FinkStandIn, supernovae: Iterable[Supernova]) -> None:
    """Give a stand-in Fink every alert and limit, each in the order of time.

    The real one begins on 2019-11-01 and shows no alert with rb below 0.55.
    """
    _fill(fink, supernovae, "rb", "diffmaglim")


def fill_antares(antares: AntaresStandIn, supernovae: Iterable[Supernova]) -> None:
    """Give a stand-in ANTARES every alert and limit, each in the order of time."""
    _fill(antares, supernovae, "rb", "diffmaglim")


def fill_lasair(lasair: LasairStandIn, supernovae: Iterable[Supernova]) -> None:
    """Give a stand-in Lasair every alert, of which it shows no rb, and every limit."""
    _fill(lasair, supernovae)


def _fill(
    stand_in: AntaresStandIn | FinkStandIn | LasairStandIn,
    supernovae: Iterable[Supernova],
    *also: Literal["rb", "diffmaglim"],
) -> None:
    supernovae = list(supernovae)
    for alert in _in_order_of_time(supernovae):
        faintest = UNPUBLISHED_LIMIT if alert.diffmaglim is None else alert.diffmaglim
        shown: dict[str, Any] = {"rb": alert.rb, "diffmaglim": faintest}
        stand_in.add_alert(
            alert.object_id,
            alert.jd,
            alert.filter,
            alert.magpsf,
            alert.sigmapsf,
            alert.ra,
            alert.dec,
            candid=alert.candid,
            isdiffpos=alert.isdiffpos,
            drb=alert.drb,
            **{name: shown[name] for name in also},
        )
    for supernova in supernovae:
        for limit in supernova.limits:
            fid = BANDS.index(limit.filter) + 1
            stand_in.add_limit(limit.object_id, limit.jd, fid, limit.diffmaglim)


def _supernova(entry: Mapping[str, str], limits: Iterable[PublishedLimit]) -> Supernova:
    rows = list(_rows(entry["file"]))
    published = _PUBLISHED_POSITIONS.get(entry["name"])
    if published is not None:
        rows = [_completed(row, *published, number) for number, row in enumerate(rows)]
    alerts = tuple(sorted(map(_alert, rows), key=lambda alert: (alert.jd, alert.candid)))
    ra, dec = published or (
        statistics.median(alert.ra for alert in alerts),
        statistics.median(alert.dec for alert in alerts),
    )
    in_order = tuple(sorted(limits, key=lambda limit: limit.jd))
    return Supernova(entry["name"], entry["object"], ra, dec, alerts, in_order)


def _alert(row: Mapping[str, str]) -> PublishedAlert:
    return PublishedAlert(
        object_id=row["object"],
        candid=int(row["candid"]),
        jd=float(row["jd"]),
        filter=row["filter"],
        magpsf=float(row["magpsf"]),
        sigmapsf=float(row["sigmapsf"]),
        isdiffpos=row["isdiffpos"],
        ra=float(row["ra"]),
        dec=float(row["dec"]),
        diffmaglim=_optional(row["diffmaglim"]),
        rb=float(row["rb"]),
        drb=_optional(row["drb"]),
    )


def _completed(row: Mapping[str, str], ra: float, dec: float, number: int) -> dict[str, str]:
    """Return a row with what its publication lacks; the `number` turns its place."""
    distance = SCATTER_DEG * math.sqrt(number % 16 / 16)
    angle = number * _GOLDEN_ANGLE
    east = distance * math.sin(angle) / math.cos(math.radians(dec))
    assigned = {
        "candid": str(candid_of(float(row["jd"]))),
        "isdiffpos": "t",
        "ra": f"{ra + east:.7f}",
        "dec": f"{dec + distance * math.cos(angle):.7f}",
        "rb": str(ASSIGNED_RB),
    }
    return {**row, **assigned}


def _in_order_of_time(supernovae: Iterable[Supernova]) -> list[PublishedAlert]:
    alerts = [alert for supernova in supernovae for alert in supernova.alerts]
    return sorted(alerts, key=lambda alert: (alert.jd, alert.candid))


def _rows(name: str) -> Iterator[dict[str, str]]:
    file = resources.files("yse_ingest.sandbox") / "data" / name
    yield from csv.DictReader(file.read_text(encoding="utf-8").splitlines())


def _optional(text: str) -> float | None:
    return float(text) if text else None
