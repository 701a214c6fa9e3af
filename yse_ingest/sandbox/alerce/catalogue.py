"""Objects and their light curves as ALeRCE keeps them; added to while they are served."""

from __future__ import annotations

import math
import re
import statistics
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Value: TypeAlias = str | int | float | bool | None

# In the order in which the service prints them.
DETECTION_KEYS: Final = (
    *("tid", "mjd", "candid", "fid", "pid", "diffmaglim", "isdiffpos", "nid", "distnr"),
    *("magpsf", "magpsf_corr", "magpsf_corr_ext", "magap", "magap_corr", "sigmapsf"),
    *("sigmapsf_corr", "sigmapsf_corr_ext", "sigmagap", "sigmagap_corr", "ra", "dec", "rb"),
    *("rbversion", "drb", "magapbig", "sigmagapbig", "rfid", "has_stamp", "corrected"),
    *("dubious", "candid_alert", "step_id_corr", "phase", "parent_candid"),
)
# Of the floats these alone are printed when they are not finite; the others turn to null.
PLAIN_FLOATS: Final = frozenset({"magpsf", "sigmapsf"})
SORTABLE: Final = (
    *("oid", "ndethist", "ncovhist", "mjdstarthist", "mjdendhist", "corrected", "stellar"),
    *("ndet", "g_r_max", "g_r_max_corr", "g_r_mean", "g_r_mean_corr", "firstmjd", "lastmjd"),
    *("deltajd", "meanra", "meandec", "sigmara", "sigmadec", "step_id_corr", "probability"),
)


@dataclass
class SkyObject:
    """One object: what was detected of it, and when it was looked for in vain."""

    oid: str
    detections: list[dict[str, Value]] = field(default_factory=list)
    non_detections: list[dict[str, Value]] = field(default_factory=list)

    def summary(self) -> dict[str, Value]:
        """Return the object as `/objects/{oid}` prints it, keys in the service's order."""
        times = self._column("mjd")
        right_ascensions, declinations = self._column("ra"), self._column("dec")
        g_r_max, g_r_mean = self._colours()
        first, last = min(times), max(times)
        return {
            "oid": self.oid,
            "ndethist": str(len(times)),
            "ncovhist": len(times) + len(self.non_detections),
            "mjdstarthist": first,
            "mjdendhist": last,
            "corrected": any(bool(one["corrected"]) for one in self.detections),
            "stellar": False,
            "ndet": len(times),
            "g_r_max": g_r_max,
            "g_r_max_corr": None,
            "g_r_mean": g_r_mean,
            "g_r_mean_corr": None,
            "firstmjd": first,
            "lastmjd": last,
            "deltajd": last - first,
            "meanra": statistics.fmean(right_ascensions),
            "meandec": statistics.fmean(declinations),
            "sigmara": statistics.pstdev(right_ascensions),
            "sigmadec": statistics.pstdev(declinations),
            "step_id_corr": "sandbox",
        }

    def list_item(self) -> dict[str, Value]:
        """Return the object as `/objects/` lists it."""
        classified: dict[str, Value] = {
            "class": "SN",
            "classifier": "stamp_classifier",
            "probability": 0.9,
        }
        return {**self.summary(), **classified}

    def _column(self, name: str) -> list[float]:
        values = (one[name] for one in self.detections)
        return [float(value) for value in values if isinstance(value, int | float)]

    def _colours(self) -> tuple[float | None, float | None]:
        by_band: dict[Value, list[float]] = {1: [], 2: []}
        for one in self.detections:
            if isinstance(mag := one["magpsf"], float) and math.isfinite(mag):
                by_band.setdefault(one["fid"], []).append(mag)
        g, r = by_band[1], by_band[2]
        if not (g and r):
            return None, None
        return min(g) - min(r), statistics.fmean(g) - statistics.fmean(r)


@dataclass(frozen=True)
class ObjectFilter:
    """What a list of objects is asked for.

    Attributes
    ----------
    oids
        One is a pattern with ``*``; two or more are exact names; none: no filter.
    ra, dec, radius
        A cone around the mean position; position in degrees, radius in seconds of arc.
    ranges
        For each of ``firstmjd``, ``lastmjd``, ``ndet`` the least and the greatest value.
    """

    oids: Sequence[str] = ()
    ra: float | None = None
    dec: float | None = None
    radius: float | None = None
    ranges: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def matches(self, item: Mapping[str, Value]) -> bool:
        """Say whether an object of the list belongs to the answer."""
        return self._named(str(item["oid"])) and self._inside(item) and self._within(item)

    def _named(self, oid: str) -> bool:
        match self.oids:
            case []:
                return True
            case [pattern]:
                return _like(pattern.replace("*", "%")).fullmatch(oid) is not None
            case _:
                return oid in self.oids

    def _inside(self, item: Mapping[str, Value]) -> bool:
        # Falsy, not None: at RA 0, at Dec 0 and with radius 0 the service drops the cone.
        if not (self.ra and self.dec and self.radius):
            return True
        mean_ra, mean_dec = float(item["meanra"] or 0), float(item["meandec"] or 0)
        return separation_arcsec(self.ra, self.dec, mean_ra, mean_dec) <= self.radius

    def _within(self, item: Mapping[str, Value]) -> bool:
        for key, (least, *rest) in self.ranges.items():
            value = float(item[key] or 0)
            if value < least or (rest and value > rest[0]):
                return False
        return True


class Catalogue:
    """Every object, in the order in which it was first seen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, SkyObject] = {}

    def add_detection(self, oid: str, detection: dict[str, Value]) -> None:
        """Append one detection; (candid, oid) is unique.

        Raises
        ------
        ValueError
            When the object has a detection of this candid.
        """
        with self._lock:
            known = self._objects.setdefault(oid, SkyObject(oid))
            if any(one["candid"] == detection["candid"] for one in known.detections):
                raise ValueError(f"{oid} has a detection {detection['candid']} already")
            known.detections.append(detection)

    def correct(self, oid: str, values: Mapping[str, Value]) -> None:
        """Give the first detection of an object other values."""
        with self._lock:
            self._objects[oid].detections[0].update(values)

    def add_non_detection(self, oid: str, non_detection: dict[str, Value]) -> None:
        """Append one upper limit to an object that was detected."""
        with self._lock:
            self._objects[oid].non_detections.append(non_detection)

    def get(self, oid: str) -> SkyObject | None:
        """Return a copy of an object, or None."""
        with self._lock:
            known = self._objects.get(oid)
            if known is None:
                return None
            return SkyObject(oid, list(known.detections), list(known.non_detections))

    def select(self, wanted: ObjectFilter) -> list[dict[str, Value]]:
        """Return the list items that match."""
        with self._lock:
            items = [known.list_item() for known in self._objects.values()]
        return [item for item in items if wanted.matches(item)]


def separation_arcsec(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """Return the great-circle distance of two positions [deg] in seconds of arc."""
    north, other_north = math.radians(dec), math.radians(other_dec)
    half_east = math.radians(other_ra - ra) / 2
    haversine = math.sin((other_north - north) / 2) ** 2
    haversine += math.cos(north) * math.cos(other_north) * math.sin(half_east) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(haversine)))) * 3600


def _like(pattern: str) -> re.Pattern[str]:
    """Return an SQL LIKE pattern as a regular expression."""
    meanings = {"%": ".*", "_": "."}
    return re.compile("".join(meanings.get(char, re.escape(char)) for char in pattern))
