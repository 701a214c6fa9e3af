"""ALeRCE's multisurvey API over HTTP, with what it has of LSST.

True to the server source as read in 2026-04 and to replies recorded in 2026-07. Left out are
classes, features, cross-matches and every survey but LSST.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from yse_ingest.sandbox.alerce.catalogue import SORTABLE, Value, separation_arcsec
from yse_ingest.sandbox.alerce.parameters import all_values
from yse_ingest.sandbox.broker import BrokerStandIn
from yse_ingest.sandbox.server import Reply, Request

if TYPE_CHECKING:
    from typing import Unpack

    from yse_ingest.sandbox.server import ServerOptions

BAND_MAP: Final = {"6": "u", "1": "g", "2": "r", "3": "i", "4": "z", "5": "y"}
BAND_NUMBERS: Final = {letter: int(number) for number, letter in BAND_MAP.items()}
# What the service prints where its database holds a null.
DETECTION_DEFAULTS: Final[dict[str, Value]] = {
    "parentDiaSourceId": -1,
    "diaObjectId": -1,
    "psfFlux": 0.0,
    "psfFluxErr": 0.0,
    "psfFlux_flag": 0,
    "psfFlux_flag_edge": 0,
    "psfFlux_flag_noGoodPixels": 0,
    "scienceFlux": 0.0,
    "scienceFluxErr": 0.0,
    "mjd": 0.0,
    "ra": 0.0,
    "dec": 0.0,
    "band": 0,
}
FORCED_DEFAULTS: Final[dict[str, Value]] = {"scienceFlux": 0.0, "scienceFluxErr": 0.0}
_SURVEYS: Final = ("lsst", "ztf")
_LIGHT_CURVES: Final = ("detections", "non_detections", "forced-photometry", "lightcurve")

Row = dict[str, object]


class RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, detail: object, status: int) -> None:
        super().__init__(str(detail))
        self.detail = detail
        self.status = status


@dataclass
class LsstObject:
    """One object: its detections, and what was measured at its place besides."""

    oid: int
    detections: list[Row] = field(default_factory=list)
    forced: list[Row] = field(default_factory=list)

    def item(self) -> dict[str, Value]:
        """Return the object as it is listed."""
        times = _numbers(self.detections, "mjd")
        right_ascensions = _numbers(self.detections, "ra")
        declinations = _numbers(self.detections, "dec")
        return {
            "oid": self.oid,
            "tid": 1,
            "sid": 1,
            "meanra": statistics.fmean(right_ascensions),
            "meandec": statistics.fmean(declinations),
            "sigmara": statistics.pstdev(right_ascensions),
            "sigmadec": statistics.pstdev(declinations),
            "firstmjd": min(times),
            "lastmjd": max(times),
            "deltamjd": max(times) - min(times),
            "n_det": len(self.detections),
            "n_forced": len(self.forced),
            "n_non_det": 0,
            "stellar": None,
            "class_name": "SN",
            "classifier_name": "stamp_classifier_rubin",
            "classfier_version": "2.0.1",
            "probability": 0.9,
            "ranking": 1,
        }


class AlerceLsstStandIn(BrokerStandIn):
    """A multisurvey ALeRCE that holds whatever was measured by LSST.

    Parameters
    ----------
    server
        As `BrokerStandIn`.
    """

    name: ClassVar[str] = "alerce-lsst"
    list_max: int | None = None
    """A light curve of more objects than this is answered with 500."""

    def __init__(self, **server: Unpack[ServerOptions]) -> None:
        super().__init__(**server)
        self._objects: dict[int, LsstObject] = {}
        self._number = 0

    # What it holds --------------------------------------------------------------------------

    def add_detection(  # noqa: PLR0917  in the order of the columns
        self,
        oid: int,
        mjd: float,
        band: str,
        flux: float | None,
        flux_err: float | None,
        ra: float = 9.3,
        dec: float = -42.3,
        **extra: Value,
    ) -> int:
        """Add one diaSource, also while the server runs, and return its id.

        Parameters
        ----------
        mjd
            Middle of the exposure, TAI [d].
        band
            One of ``ugrizy``.
        flux, flux_err
            ``psfFlux`` of the difference image, signed [nJy]; None is printed as 0.0.
        extra
            Any other value of a detection; None is a null.
        """
        with self._table_lock:
            self._number += 1
            measurement_id = oid + self._number
            row: Row = {
                "band_map": BAND_MAP,
                "band": BAND_NUMBERS[band],
                "mjd": mjd,
                "survey_id": "lsst",
                "ra": ra,
                "dec": dec,
                "oid": oid,
                "measurement_id": measurement_id,
                "parentDiaSourceId": None,
                "diaObjectId": oid,
                "psfFlux": flux,
                "psfFluxErr": flux_err,
                "psfFlux_flag": 0,
                "psfFlux_flag_edge": 0,
                "psfFlux_flag_noGoodPixels": 0,
                "scienceFlux": 6471.1,
                "scienceFluxErr": 212.6,
                "has_stamp": True,
                "visit": 2026062500000 + self._number,
                "detector": 3,
                "ssObjectId": None,
                "isNegative": None if flux is None else flux < 0,
                "snr": abs(flux) / flux_err if flux and flux_err else None,
                "reliability": 0.9,
                "timeProcessedMjdTai": mjd + 0.002,
                "timeWithdrawnMjdTai": None,
            }
            known = self._objects.setdefault(oid, LsstObject(oid))
            known.detections.append(_with_defaults({**row, **extra}, DETECTION_DEFAULTS))
        return measurement_id

    def add_forced(  # noqa: PLR0917  in the order of the columns
        self,
        oid: int,
        mjd: float,
        band: str,
        flux: float,
        flux_err: float,
        ra: float = 9.3,
        dec: float = -42.3,
        **extra: Value,
    ) -> int:
        """Add one forced measurement of an object that was detected, and return its id."""
        with self._table_lock:
            self._number += 1
            measurement_id = oid + self._number
            row: Row = {
                "oid": oid,
                "measurement_id": measurement_id,
                "mjd": mjd,
                "ra": ra,
                "dec": dec,
                "band": BAND_NUMBERS[band],
                "visit": 2026062500000 + self._number,
                "detector": 3,
                "psfFlux": flux,
                "psfFluxErr": flux_err,
                "scienceFlux": None,
                "scienceFluxErr": None,
                "band_map": BAND_MAP,
            }
            forced = self._objects[oid].forced
            forced.append(_with_defaults({**row, **extra}, FORCED_DEFAULTS))
        return measurement_id

    # What it answers ------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Answer a GET."""
        if request.method not in {"GET", "HEAD"}:
            return Reply.json({"detail": "Method Not Allowed"}, 405)
        try:
            match request.path.split("/"):
                case ["", "object_api", "list_objects"]:
                    content: object = self._list(request)
                case ["", "object_api", "object"]:
                    content = self._object(request)
                case ["", "lightcurve_api", part] if part in _LIGHT_CURVES:
                    content = self._light_curves(part, request)
                case ["", "lightcurve_api", "conesearch", "objects_by_coordinates"]:
                    content = self._conesearch(request)
                case _:
                    return Reply.json({"detail": "Not Found"}, 404)
        except RefusedError as error:
            return Reply.json({"detail": error.detail}, error.status)
        return Reply.json(content)

    def server_error(self, request: Request) -> Reply:  # noqa: ARG002
        """Return the service's own 500."""
        return Reply.json({"detail": "An error occurred"}, 500)

    def _list(self, request: Request) -> Row:
        survey = request.param("survey")
        if survey not in _SURVEYS:
            raise RefusedError("An error occurred", 500)
        ra, dec, radius = (_float(request, name) for name in ("ra", "dec", "radius"))
        wanted = {_oid(text) for text in all_values(request, "oid")}
        ranges = {name: _floats(request, name) for name in ("n_det", "firstmjd", "lastmjd")}
        items = []
        for item in self._items() if survey == "lsst" else []:
            place = (float(item["meanra"] or 0), float(item["meandec"] or 0))
            # None, not falsy: at RA 0 and at Dec 0 the cone is a cone.
            outside = (
                ra is not None
                and dec is not None
                and radius is not None
                and separation_arcsec(ra, dec, *place) > radius
            )
            if not outside and (not wanted or item["oid"] in wanted) and _within(item, ranges):
                items.append(item)
        order_by = request.param("order_by") or "probability"
        if order_by not in {*SORTABLE, "n_det"}:
            raise RefusedError("An error occurred", 500)
        descending = (request.param("order_mode") or "DESC") == "DESC"
        items.sort(key=lambda item: item[order_by] or 0, reverse=descending)
        page = max(1, int(_float(request, "page") or 1))
        size = int(_float(request, "page_size") or 10)
        # One more than the page is fetched: that is how it knows whether there is another.
        fetched = items[(page - 1) * size : page * size + 1]
        has_next = len(fetched) > size
        return {
            "total": None,
            "next": page + 1 if has_next else None,
            "has_next": has_next,
            "prev": page - 1 if page > 1 else None,
            "has_prev": page > 1,
            "current_page": page,
            "items": fetched[:size],
            "info_message": None,
        }

    def _object(self, request: Request) -> dict[str, Value]:
        _survey(request)
        (oid, *_) = _required(request, "oid")
        known = self._objects.get(_oid(oid))
        if known is None:
            raise RefusedError("An error occurred", 500)
        return known.item()

    def _light_curves(self, part: str, request: Request) -> object:
        oids = [_oid(text) for text in _required(request, "oid")]
        survey = _survey(request)
        if self.list_max is not None and len(oids) > self.list_max:
            raise RefusedError("An error occurred", 500)
        with self._table_lock:
            known = [self._objects[oid] for oid in dict.fromkeys(oids) if oid in self._objects]
            found = known if survey == "lsst" else []
            content = {
                "detections": [row for each in found for row in each.detections],
                "non_detections": [],
                "forced_photometry": [row for each in found for row in each.forced],
            }
        return content if part == "lightcurve" else content[part.replace("-", "_")]

    def _conesearch(self, request: Request) -> list[Row]:
        ra, dec, radius = (_float(request, name) or 0.0 for name in ("ra", "dec", "radius"))
        neighbors = int(_float(request, "neighbors") or 1)
        # The radius is not converted: degrees, where every other one is in seconds of arc.
        away = {
            int(str(item["oid"])): separation_arcsec(
                ra, dec, float(item["meanra"] or 0), float(item["meandec"] or 0)
            )
            for item in self._items()
        }
        near = sorted((oid for oid in away if away[oid] <= radius * 3600), key=away.__getitem__)
        return [{"objectId": oid, "survey_id": "lsst"} for oid in near[:neighbors]]

    def _items(self) -> list[dict[str, Value]]:
        with self._table_lock:
            return [known.item() for known in self._objects.values()]


def _with_defaults(row: Row, defaults: dict[str, Value]) -> Row:
    """Return a row as it is printed: some nulls are numbers."""
    return {
        key: defaults[key] if value is None and key in defaults else value
        for key, value in row.items()
    }


def _numbers(rows: list[Row], name: str) -> list[float]:
    values = (row[name] for row in rows)
    return [float(value) for value in values if isinstance(value, int | float)]


def _within(item: dict[str, Value], ranges: dict[str, list[float]]) -> bool:
    for name, limits in ranges.items():
        value = float(item[name] or 0)
        if limits and (value < limits[0] or (len(limits) > 1 and value > limits[1])):
            return False
    return True


def _oid(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise RefusedError(str(error), 400) from error


def _survey(request: Request) -> str:
    (survey, *_) = _required(request, "survey_id")
    if survey not in _SURVEYS:
        raise RefusedError(f"survey id not recognized {survey}", 400)
    return survey


def _required(request: Request, name: str) -> list[str]:
    values = all_values(request, name)
    if not values:
        fault = {
            "type": "missing",
            "loc": ["query", name],
            "msg": "Field required",
            "input": None,
        }
        raise RefusedError([fault], 422)
    return values


def _floats(request: Request, name: str) -> list[float]:
    values = []
    for text in all_values(request, name):
        try:
            values.append(float(text))
        except ValueError as error:
            fault = {
                "type": "float_parsing",
                "loc": ["query", name],
                "msg": "Input should be a valid number, unable to parse string as a number",
                "input": text,
            }
            raise RefusedError([fault], 422) from error
    return values


def _float(request: Request, name: str) -> float | None:
    return next(iter(_floats(request, name)), None)
