"""ALeRCE's APIs for ZTF over HTTP: objects, their light curves, and forced photometry.

True to the server source as read in 2026-04 and to replies recorded in 2026-07. Left out are
magstats, features, probabilities and the class filters of the object list.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlencode

from yse_ingest.sandbox.alerce.catalogue import (
    DETECTION_KEYS,
    PLAIN_FLOATS,
    SORTABLE,
    Catalogue,
    ObjectFilter,
    SkyObject,
    Value,
)
from yse_ingest.sandbox.alerce.forced import FORCED_PATH, ForcedService, Record, forced_record
from yse_ingest.sandbox.alerce.parameters import (
    BadParameterError,
    all_values,
    choice,
    float_value,
    int_value,
    to_float,
)
from yse_ingest.sandbox.broker import BrokerStandIn
from yse_ingest.sandbox.server import Reply, Request
from yse_ingest.sandbox.ztf import BANDS, MJD_ZERO_JD, candid_of

if TYPE_CHECKING:
    from typing import Unpack

    from yse_ingest.sandbox.server import ServerOptions

BASE_PATH: Final = "/ztf/v1"
UNDEFINED_SIGMA: Final = 100.0

_NOT_FOUND = (
    "The requested URL was not found on the server. If you entered the URL manually please "
    "check your spelling and try again."
)
_SURVEYS = ("ztf", "atlas")
_LIGHT_CURVE_PARTS = frozenset({"lightcurve", "detections", "non_detections"})


class AlerceStandIn(BrokerStandIn):
    """An ALeRCE that holds whatever detections it was given.

    Parameters
    ----------
    server
        As `BrokerStandIn`.
    """

    name: ClassVar[str] = "alerce"
    base_path: ClassVar[str] = BASE_PATH
    unlisted: frozenset[str] = frozenset()
    """Objects with a light curve that no list shows."""
    list_max: int | None = None
    """A question about more objects than this is answered with 502, as was seen once."""

    def __init__(self, **server: Unpack[ServerOptions]) -> None:
        super().__init__(**server)
        self._catalogue = Catalogue()
        self._forced = ForcedService()

    @property
    def forced_url(self) -> str:
        """The base address of the API of forced photometry."""
        return self.url + FORCED_PATH

    # What it holds --------------------------------------------------------------------------

    def add_detection(  # noqa: PLR0917  the order of ZTF's columns
        self,
        object_id: str,
        jd: float,
        filter: str,  # noqa: A002  the astronomers' word
        magpsf: float,
        sigmapsf: float,
        ra: float,
        dec: float,
        *,
        candid: int | None = None,
        isdiffpos: int = 1,
        rb: float | None = 0.9,
        drb: float | None = None,
        corrected: bool = False,
        magnr: float = 19.0,
        **extra: Value,
    ) -> str:
        """Add one detection, also while the server runs, and return its candid.

        Parameters
        ----------
        jd
            Start of the exposure, UTC [d].
        ra, dec
            ICRS [deg].
        candid
            ZTF's number of the detection; None makes one from `jd`.
        isdiffpos
            1, or -1 for a negative subtraction.
        corrected
            Whether the flux of a reference source, of magnitude `magnr`, is added to give
            ``magpsf_corr``; its error is then the sentinel 100.0.
        extra
            Any other value of a detection, also None or a NaN.

        Raises
        ------
        ValueError
            When the object has this candid already, or a value is named that no detection has.
        """
        if unknown := set(extra) - set(DETECTION_KEYS):
            raise ValueError(f"no values of a detection: {sorted(unknown)}")
        if candid is None:
            candid = candid_of(jd)
        detection: dict[str, Value] = {
            "tid": "ztf",
            "mjd": jd - MJD_ZERO_JD,
            "candid": str(candid),
            "fid": BANDS.index(filter) + 1,
            "pid": candid // 1_000_000,
            "diffmaglim": 20.5,
            "isdiffpos": isdiffpos,
            "nid": candid // 10**15,
            "distnr": 4.2,
            "magpsf": float(magpsf),
            "magap": float(magpsf),
            "sigmapsf": float(sigmapsf),
            "sigmagap": 1.2 * float(sigmapsf),
            "ra": float(ra),
            "dec": float(dec),
            "rb": rb,
            "rbversion": "t17_f5_c3",
            "drb": drb,
            "magapbig": float(magpsf),
            "sigmagapbig": 1.4 * float(sigmapsf),
            "rfid": 667_120_141,
            "has_stamp": True,
            "corrected": corrected,
            "dubious": False,
            "step_id_corr": "sandbox",
            "phase": 0.0,
            "parent_candid": 0,
        }
        if corrected:
            detection |= _correction(magpsf, sigmapsf, isdiffpos, magnr)
        self._catalogue.add_detection(object_id, {**detection, **extra})
        return str(candid)

    def correct(self, object_id: str, **values: Value) -> None:
        """Give the first detection of an object other values, as a new pipeline does."""
        self._catalogue.correct(object_id, values)

    def add_non_detection(
        self,
        object_id: str,
        jd: float,
        filter: str,  # noqa: A002  the astronomers' word
        diffmaglim: float,
    ) -> None:
        """Add one upper limit [mag, 5 sigma] to an object that has a detection."""
        limit: dict[str, Value] = {
            "tid": "ztf",
            "mjd": jd - MJD_ZERO_JD,
            "fid": BANDS.index(filter) + 1,
            "diffmaglim": float(diffmaglim),
        }
        self._catalogue.add_non_detection(object_id, limit)

    def add_forced(
        self, *measurement: Any, isdiffpos: bool | None = None, **more: Any
    ) -> Record:
        """Add one forced measurement; the arguments are those of `forced_record`.

        Parameters
        ----------
        isdiffpos
            Serves the sign as true or false, which the service's own types allow.
        """
        record = forced_record(*measurement, **more)
        if isdiffpos is not None:
            record["isdiffpos"] = isdiffpos
        self._forced.add(record)
        return record

    # What it answers ------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Answer a GET under `/ztf/v1` or `/v2/lightcurve`."""
        if request.method not in {"GET", "HEAD"}:
            return _message("The method is not allowed for the requested URL.", 405)
        if request.path.startswith(FORCED_PATH):
            return self._forced.reply(request)
        try:
            match request.path.split("/"):
                case ["", "ztf", "v1", "objects"]:
                    return self._redirected(request)
                case ["", "ztf", "v1", "objects", ""]:
                    return self._list(request)
                case ["", "ztf", "v1", "objects", oid]:
                    return self._object(oid)
                case ["", "ztf", "v1", "objects", oid, part] if part in _LIGHT_CURVE_PARTS:
                    return self._light_curve(oid, part, request)
                case _:
                    return _message(_NOT_FOUND, 404)
        except BadParameterError as error:
            content = {
                "errors": {error.name: str(error)},
                "message": "Input payload validation failed",
            }
            return _json(content, 400)

    def server_error(self, request: Request) -> Reply:
        """Return the service's own 500."""
        if request.path.startswith(FORCED_PATH):
            return Reply.json({"detail": "An error occurred"}, 500)
        return _message("Internal Server Error", 500)

    def _redirected(self, request: Request) -> Reply:
        query = f"?{urlencode(request.query)}" if request.query else ""
        reply = Reply.html("<p>You should be redirected automatically.</p>", 301)
        reply.headers["Location"] = f"{self.api_url}/objects/{query}"
        return reply

    def _list(self, request: Request) -> Reply:
        wanted = ObjectFilter(
            oids=all_values(request, "oid"),
            ra=float_value(request, "ra"),
            dec=float_value(request, "dec"),
            radius=float_value(request, "radius", 30.0),
            ranges={
                key: values
                for key in ("firstmjd", "lastmjd", "ndet")
                if (values := [to_float(key, text) for text in all_values(request, key)])
            },
        )
        if self.list_max is not None and len(wanted.oids) > self.list_max:
            return Reply.html("<h1>502 Bad Gateway</h1>", 502)
        found = self._catalogue.select(wanted)
        items = [item for item in found if item["oid"] not in self.unlisted]
        order_by = choice(request, "order_by", SORTABLE, default=None)
        if order_by is not None:
            descending = choice(request, "order_mode", ("ASC", "DESC"), default="ASC") == "DESC"
            items.sort(key=lambda item: _rank(item[order_by]), reverse=descending)
        page = max(1, int_value(request, "page", 1))
        size = int_value(request, "page_size", 10)
        count = choice(request, "count", ("true", "false"), default="false") == "true"
        has_next = count and page * size < len(items)
        return _json(
            {
                "total": len(items) if count else None,
                "page": None,
                "next": page + 1 if has_next else None,
                "has_next": has_next,
                "prev": page - 1 if page > 1 else None,
                "has_prev": page > 1,
                "items": [_finite(item) for item in items[(page - 1) * size : page * size]],
            }
        )

    def _object(self, oid: str) -> Reply:
        known = self._catalogue.get(oid)
        return _message(_NOT_FOUND, 404) if known is None else _json(_finite(known.summary()))

    def _light_curve(self, oid: str, part: str, request: Request) -> Reply:
        survey = choice(request, "survey_id", _SURVEYS, default="ztf")
        known = self._catalogue.get(oid)
        if known is None:
            return _message(_NOT_FOUND, 404)
        if survey != "ztf":
            known = SkyObject(oid)
        content = {
            "detections": [_marshalled(one) for one in known.detections],
            "non_detections": list(known.non_detections),
        }
        return _json(content if part == "lightcurve" else content[part])


def _correction(
    magpsf: float, sigmapsf: float, isdiffpos: int, magnr: float
) -> dict[str, Value]:
    total = 10 ** (-0.4 * magnr) + isdiffpos * 10 ** (-0.4 * magpsf)
    return {
        "distnr": 0.4,
        "magpsf_corr": -2.5 * math.log10(total) if total > 0 else None,
        "sigmapsf_corr": UNDEFINED_SIGMA,
        "sigmapsf_corr_ext": float(sigmapsf),
    }


def _marshalled(detection: dict[str, Value]) -> dict[str, Value]:
    """Return a detection as it is printed: keys that hold nothing are not there."""
    held = {key: detection.get(key) for key in DETECTION_KEYS}
    return {
        key: value
        for key, value in held.items()
        if value is not None
        and (key in PLAIN_FLOATS or not isinstance(value, float) or math.isfinite(value))
    }


def _finite(item: dict[str, Value]) -> dict[str, Value]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in item.items()
    }


def _rank(value: Value) -> tuple[bool, Value]:
    return (value is None, "" if value is None else value)


def _json(content: object, status: int = 200) -> Reply:
    reply = Reply.json(content, status)
    reply.body += b"\n"
    reply.headers["Access-Control-Allow-Origin"] = "*"
    return reply


def _message(text: str, status: int) -> Reply:
    return _json({"message": text}, status)
