"""Fink's API for ZTF over HTTP: `/api/v1/objects` and `/api/v1/conesearch`.

True to the server source as read in 2026-06 and to replies recorded in 2026-07. Left out are
every output format but json, places in hours or degrees with signs, and the other routes.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yse_ingest.sandbox.fink.payload import (
    RefusedError,
    number,
    payload_of,
    refusal,
    required,
)
from yse_ingest.sandbox.server import Reply, Request, StandIn
from yse_ingest.sandbox.ztf import BANDS, candid_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BASE_PATH: Final = "/api/v1"
RADIUS_MAX_ARCSEC: Final = 18000.0
CONE_ALERTS: Final = 1000
"""Alerts that a cone search looks at, unless told otherwise."""
NO_MATCH: Final = -999.0

_NOT_FOUND = "<!doctype html><title>404 Not Found</title><h1>Not Found</h1>"
_BROKEN = (
    "<!doctype html><title>500 Internal Server Error</title><h1>Internal Server Error</h1>"
)
_SEPARATION = "v:separation_degree"
_TAG = "d:tag"

Row = dict[str, Any]


class FinkStandIn(StandIn):
    """A Fink that holds whatever alerts it was given.

    Parameters
    ----------
    workers, worker_limit_s, host, port, keep_alive, real_cost
        As in `StandIn`. No costs are known of this service, so none are charged.

    Attributes
    ----------
    loaded_until_jd
        Its tables are filled once a day: later alerts are not shown yet. Set it while it runs.
    """

    name: ClassVar[str] = "fink"

    def __init__(
        self,
        *,
        workers: int = 4,
        worker_limit_s: float = 30.0,
        host: str = "127.0.0.1",
        port: int = 0,
        keep_alive: bool = True,
        real_cost: float = 0.0,
    ) -> None:
        super().__init__(
            workers=workers,
            worker_limit_s=worker_limit_s,
            host=host,
            port=port,
            keep_alive=keep_alive,
            real_cost=real_cost,
        )
        self.loaded_until_jd = math.inf
        self._table_lock = threading.Lock()
        self._alerts: list[Row] = []
        self._side: list[Row] = []

    @property
    def api_url(self) -> str:
        """The base address of the API, without a slash at the end."""
        return self.url + BASE_PATH

    # What it holds --------------------------------------------------------------------------

    def add_alert(  # noqa: PLR0917  the order of ZTF's columns
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
        isdiffpos: str = "t",
        rb: float | None = 0.9,
        drb: float | None = None,
        diffmaglim: float = 20.5,
        **extra: Any,
    ) -> int:
        """Add one alert that passed Fink's cuts, also while it runs, and return its candid.

        Parameters
        ----------
        jd
            Start of the exposure, UTC [d].
        ra, dec
            ICRS [deg].
        candid
            ZTF's number of the detection; None makes one from `jd`.
        isdiffpos
            ``t`` or ``f``, in old alerts ``1`` or ``0``.
        extra
            Further columns without their ``i:``, or others in place of these.
        """
        candid = candid_of(jd) if candid is None else candid
        alert = {
            "candid": candid,
            "dec": float(dec),
            "diffmaglim": diffmaglim,
            "distnr": 4.2,
            "drb": drb,
            "fid": BANDS.index(filter) + 1,
            "isdiffpos": isdiffpos,
            "jd": jd,
            "magnr": 19.9,
            "magpsf": float(magpsf),
            "magzpsci": 26.2,
            "objectId": object_id,
            "pid": candid // 1_000_000,
            "programid": 1,
            "ra": float(ra),
            "rb": rb,
            "sigmagnr": 0.05,
            "sigmapsf": float(sigmapsf),
            "ssdistnr": NO_MATCH,
        } | extra
        with self._table_lock:
            self._alerts.append({f"i:{name}": value for name, value in alert.items()})
        return candid

    def add_limit(self, object_id: str, jd: float, fid: int, diffmaglim: float) -> None:
        """Add one upper limit [mag, 5 sigma] to the side table, whose values are text."""
        row = {"i:objectId": object_id, "i:jd": jd, "i:fid": str(fid)}
        self._add_side(row | {"i:diffmaglim": str(diffmaglim)}, "upperlim")

    def add_bad_quality(
        self, object_id: str, jd: float, fid: int, magpsf: float, *, isdiffpos: str = "t"
    ) -> None:
        """Add one detection that failed Fink's cuts to the other side table."""
        row = {"i:objectId": object_id, "i:jd": jd, "i:fid": str(fid), "i:diffmaglim": "20.1"}
        row |= {"i:magpsf": str(magpsf), "i:sigmapsf": "0.21", "i:magnr": "19.9"}
        row |= {"i:sigmagnr": "0.05", "i:isdiffpos": isdiffpos, "i:distnr": "4.3"}
        self._add_side(row, "badquality")

    def _add_side(self, row: Row, tag: str) -> None:
        with self._table_lock:
            self._side.append({**row, "i:candid": -1, _TAG: tag})

    def _loaded(self, rows: Iterable[Row]) -> list[Row]:
        with self._table_lock:
            return [row for row in rows if row["i:jd"] <= self.loaded_until_jd]

    # What it answers ------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Answer a GET or POST under `/api/v1`."""
        if request.method not in {"GET", "POST"}:
            return Reply.html("<h1>Method Not Allowed</h1>", 405)
        try:
            match request.path.split("/"):
                case ["", "api", "v1", "objects"]:
                    return Reply.json(_shown(self._objects(payload_of(request))))
                case ["", "api", "v1", "conesearch"]:
                    return Reply.json(_shown(self._cone(payload_of(request))))
                case _:
                    return Reply.html(_NOT_FOUND, 404)
        except RefusedError as error:
            return refusal(error)

    def server_error(self, request: Request) -> Reply:  # noqa: ARG002
        """Return the service's own 500."""
        return Reply.html(_BROKEN, 500)

    def _objects(self, payload: Mapping[str, Any]) -> list[Row]:
        object_ids = str(required(payload, "objectId")).split(",")
        _check_format(payload)
        rows = [row for row in self._loaded(self._alerts) if row["i:objectId"] in object_ids]
        rows.sort(key=lambda row: row["i:jd"], reverse=True)
        chosen = _columns(payload)
        rows = [_only(row, chosen) for row in rows]
        # Neither the text "true" nor a 1 is heard.
        if str(payload.get("withupperlim")) != "True":
            return rows
        tagged = [{**row, _TAG: "valid"} for row in rows]
        for tag in ("upperlim", "badquality"):
            tagged += [
                row
                for row in self._loaded(self._side)
                if row[_TAG] == tag and row["i:objectId"] in object_ids
            ]
        # One table in the end: what one kind of row lacks is null there.
        keys = dict.fromkeys(key for row in tagged for key in row)
        return [{key: row.get(key) for key in keys} for row in tagged]

    def _cone(self, payload: Mapping[str, Any]) -> list[Row]:
        ra, dec, radius = (number(payload, name) for name in ("ra", "dec", "radius"))
        if radius > RADIUS_MAX_ARCSEC:
            raise RefusedError(
                "`radius` cannot be bigger than 18,000 arcseconds (5 degrees).\n"
            )
        _check_format(payload)
        count = int(number({"n": CONE_ALERTS, **payload}, "n"))
        loaded = self._loaded(self._alerts)
        found = [
            {**row, _SEPARATION: separation}
            for row in loaded
            if (separation := _separation_deg(ra, dec, row["i:ra"], row["i:dec"])) * 3600
            <= radius
        ][:count]
        if "startdate" in payload:
            found = _begun_since(found, loaded, number(payload, "startdate"))
        chosen = _columns(payload)
        if chosen is None or {"i:objectId", "i:jd"} <= chosen:
            latest: dict[str, Row] = {}
            for row in sorted(found, key=lambda row: row["i:jd"]):
                latest[row["i:objectId"]] = row
            found = list(latest.values())
        found.sort(key=lambda row: row[_SEPARATION])
        if chosen is not None:
            chosen |= {"i:ra", "i:dec", _SEPARATION}
        return [_only(row, chosen) for row in found]


def _check_format(payload: Mapping[str, Any]) -> None:
    wanted = payload.get("output-format", "json")
    if wanted != "json":
        raise RefusedError(f"Output format `{wanted}` is not supported by the sandbox.\n")


def _begun_since(found: list[Row], loaded: list[Row], jd: float) -> list[Row]:
    """Return the alerts of objects whose first alert is not before a JD: no ``since``."""
    first: dict[str, float] = {}
    for row in loaded:
        first[row["i:objectId"]] = min(row["i:jd"], first.get(row["i:objectId"], math.inf))
    return [row for row in found if first[row["i:objectId"]] >= jd]


def _columns(payload: Mapping[str, Any]) -> set[str] | None:
    text = payload.get("columns")
    return {name.strip() for name in str(text).split(",")} if text else None


def _only(row: Row, columns: set[str] | None) -> Row:
    return {key: value for key, value in row.items() if columns is None or key in columns}


def _shown(rows: list[Row]) -> list[Row]:
    """Return rows as they are printed: what is not finite is null."""
    return [
        {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in row.items()
        }
        for row in rows
    ]


def _separation_deg(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """Return the great-circle distance of two positions, all in degrees."""
    north, other_north = math.radians(dec), math.radians(other_dec)
    half_east = math.radians(other_ra - ra) / 2
    haversine = math.sin((other_north - north) / 2) ** 2
    haversine += math.cos(north) * math.cos(other_north) * math.sin(half_east) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(haversine))))
