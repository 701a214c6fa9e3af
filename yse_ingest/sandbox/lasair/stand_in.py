"""Lasair's API for ZTF over HTTP: `cone/`, `object/` and `query/` under `/api`.

True to the server source as read in 2026-02 and to cones recorded in 2026-07. Left out are the
routes that its authors call deprecated, Sherlock, streams and annotations, and of what
``lasair_added`` adds all but a few keys.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yse_ingest.sandbox.lasair.door import (
    Quota,
    RefusedError,
    number,
    question_of,
    text,
    truth,
    unauthorised,
)
from yse_ingest.sandbox.server import Reply, Request, StandIn
from yse_ingest.sandbox.ztf import BANDS, MJD_ZERO_JD, candid_of
from yse_ingest.targets import separation_arcsec

if TYPE_CHECKING:
    from collections.abc import Mapping

BASE_PATH: Final = "/api"
RADIUS_MAX_ARCSEC: Final = 1000.0
ROWS_MAX: Final = 10_000
QUERY_ROWS: Final = 1000
TOKEN: Final = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - opens nothing else
NO_MATCH: Final = -999.0

Row = dict[str, Any]


class LasairStandIn(StandIn):
    """A Lasair that holds whatever alerts it was given.

    Parameters
    ----------
    workers, worker_limit_s, host, port, keep_alive, real_cost
        As in `StandIn`. No costs are known of this service, so none are charged.
    tokens
        Whom it lets in.
    calls_per_hour
        Its quota, of all of them together.

    Attributes
    ----------
    quota
        What is used of it. Set ``quota.per_hour`` while it runs.
    loses_digits
        As the sample of its documentation: candids have gone through a float.
    empty_is_error
        As an older version: an empty cone is a 400.
    """

    name: ClassVar[str] = "lasair"

    def __init__(
        self,
        *,
        workers: int = 4,
        worker_limit_s: float = 30.0,
        host: str = "127.0.0.1",
        port: int = 0,
        keep_alive: bool = True,
        real_cost: float = 0.0,
        tokens: frozenset[str] = frozenset({TOKEN}),
        calls_per_hour: int = 100,
    ) -> None:
        super().__init__(
            workers=workers,
            worker_limit_s=worker_limit_s,
            host=host,
            port=port,
            keep_alive=keep_alive,
            real_cost=real_cost,
        )
        self.quota = Quota(calls_per_hour)
        self.loses_digits = False
        self.empty_is_error = False
        self._tokens = tokens
        self._table_lock = threading.Lock()
        self._candidates: dict[str, list[Row]] = {}
        self._forced: dict[str, list[Row]] = {}

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
        drb: float | None = 0.99,
        **extra: Any,
    ) -> int:
        """Add one detection, also while it runs, and return its candid.

        Parameters
        ----------
        jd
            Start of the exposure, UTC [d].
        ra, dec
            ICRS [deg].
        candid
            ZTF's number of the detection; None makes one from `jd`.
        isdiffpos
            ``t`` or ``f``: it has made one of the older spellings.
        extra
            Further columns, or others in place of these.
        """
        candid = candid_of(jd) if candid is None else candid
        row = {
            "candid": candid,
            "jd": jd,
            "ra": float(ra),
            "dec": float(dec),
            "fid": BANDS.index(filter) + 1,
            "nid": int(jd - 2457754.5),
            "magpsf": float(magpsf),
            "sigmapsf": float(sigmapsf),
            "magnr": 19.9,
            "sigmagnr": 0.05,
            "magzpsci": 26.2,
            "isdiffpos": isdiffpos,
            "ssdistnr": NO_MATCH,
            "ssnamenr": "null",
            "drb": drb,
        } | extra
        self._add(self._candidates, object_id, row)
        return candid

    def add_limit(self, object_id: str, jd: float, fid: int, diffmaglim: float) -> None:
        """Add one non-detection [mag, 5 sigma]; it has no candid."""
        row = {"jd": jd, "fid": fid, "diffmaglim": diffmaglim}
        self._add(self._candidates, object_id, row)

    def add_forced(  # noqa: PLR0917  the order of ZTF's columns
        self,
        object_id: str,
        jd: float,
        fid: int,
        flux: float | None,
        flux_err: float | None,
        magzpsci: float = 26.2,
    ) -> None:
        """Add one forced measurement, its flux in counts of a zero point [mag]."""
        row = {
            "objectid": object_id,
            "jd": jd,
            "ranr": 150.1011,
            "decnr": 2.2002,
            "fid": fid,
            "forcediffimflux": flux,
            "forcediffimfluxunc": flux_err,
            "magzpsci": magzpsci,
        }
        self._add(self._forced, object_id, row)

    def _add(self, table: dict[str, list[Row]], object_id: str, row: Row) -> None:
        with self._table_lock:
            table.setdefault(object_id, []).append(row)

    def _objects(self) -> list[tuple[str, float, float, float, float, int]]:
        """Return id, mean position, first and last detection and their number, per object."""
        with self._table_lock:
            curves = {name: list(rows) for name, rows in self._candidates.items()}
        found = []
        for name, rows in curves.items():
            seen = [row for row in rows if "candid" in row]
            if not seen:
                continue
            times = [row["jd"] for row in seen]
            ra, dec = (sum(row[key] for row in seen) / len(seen) for key in ("ra", "dec"))
            found.append((name, ra, dec, min(times), max(times), len(seen)))
        return found

    # What it answers ------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Answer a GET or POST under `/api`, of who has a token and calls left."""
        routes = {"cone": self._cone, "object": self._object, "query": self._query}
        base, _, rest = request.path.removeprefix("/").partition("/")
        route = routes.get(rest.rstrip("/"))
        if base != BASE_PATH.strip("/") or route is None:
            return Reply.html("<h1>Not Found</h1>", 404)
        if not request.path.endswith("/"):
            return Reply(
                301, content_type="text/html", headers={"Location": f"{request.path}/"}
            )
        if request.method not in {"GET", "POST"}:
            return Reply.json({"detail": f'Method "{request.method}" not allowed.'}, 405)
        refused = unauthorised(request, self._tokens) or self.quota.take()
        if refused is not None:
            return refused
        try:
            question, form = question_of(request)
            return route(question, form=form)
        except RefusedError as error:
            return Reply.json(error.content, error.status)

    def _cone(self, question: Mapping[str, Any], *, form: bool) -> Reply:  # noqa: ARG002
        ra, dec, radius = (number(question, name) for name in ("ra", "dec", "radius"))
        kind = text(question, "requestType")
        if kind not in {"nearest", "all", "count"}:
            raise RefusedError({"requestType": [f'"{kind}" is not a valid choice.']})
        if radius > RADIUS_MAX_ARCSEC:
            raise RefusedError({"error": "Max radius is 1000 arcsec."})
        found = sorted(
            (away, name)
            for name, east, north, *_ in self._objects()
            if (away := separation_arcsec(ra, dec, east, north)) <= radius
        )
        listed = [{"object": name, "separation": away} for away, name in found]
        if not listed and self.empty_is_error:
            place = f"ra={ra:.5f} dec={dec:.5f} radius={radius:.2f}"
            raise RefusedError({"error": f"No object found {place}"})
        if kind == "count":
            return Reply.json({"count": len(listed)})
        nearest: object = listed[0] if listed else {}
        return Reply.json(nearest if kind == "nearest" else listed)

    def _object(self, question: Mapping[str, Any], *, form: bool) -> Reply:
        name = text(question, "objectId")
        truth(question, "lite", form=form)
        added = truth(question, "lasair_added", form=form)
        with self._table_lock:
            rows = [dict(row) for row in self._candidates.get(name, [])]
            forced = [dict(row) for row in self._forced.get(name, [])]
        if added and not rows:
            return _broken()
        rows.sort(key=lambda row: row["jd"], reverse=True)
        for row in rows:
            if self.loses_digits and "candid" in row:
                row["candid"] = int(float(row["candid"]))
            if added:
                row["mjd"] = row["jd"] - MJD_ZERO_JD
                # A non-detection gets its limit as its magnitude.
                row.setdefault("magpsf", row.get("diffmaglim"))
        content: dict[str, Any] = {"objectId": name, "candidates": rows, "forcedphot": forced}
        if added:
            content["objectData"] = {"ncand": sum("candid" in row for row in rows)}
            content |= {"TNS": {}, "sherlock": {}, "image_urls": {}}
        return Reply.json(content)

    def _query(self, question: Mapping[str, Any], *, form: bool) -> Reply:  # noqa: ARG002
        selected, tables = text(question, "selected"), text(question, "tables")
        conditions = text(question, "conditions")
        if len(conditions) > 4096:
            many = "Ensure this field has no more than 4096 characters."
            raise RefusedError({"conditions": [many]})
        limit = min(ROWS_MAX, int(number({"limit": QUERY_ROWS, **question}, "limit")))
        offset = int(number({"offset": 0, **question}, "offset"))
        with contextlib.closing(sqlite3.connect(":memory:")) as database:
            database.execute(
                "CREATE TABLE objects (objectId, ramean, decmean, jdmin, jdmax, ncand)"
            )
            database.executemany(
                "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?)", self._objects()
            )
            database.row_factory = sqlite3.Row
            # It is the service's own SQL, and a database of nothing else.
            sql = f"SELECT {selected} FROM {tables} WHERE {conditions or 1}"  # noqa: S608
            try:
                rows = database.execute(f"{sql} LIMIT {limit} OFFSET {offset}").fetchall()
            except sqlite3.Error as error:
                told = f"Your query:<br/><b>{sql}</b><br/>returned the error<br/><i>{error}</i>"
                raise RefusedError({"error": told}) from error
        return Reply.json([dict(row) for row in rows])

    def server_error(self, request: Request) -> Reply:  # noqa: ARG002
        """Return the service's own 500."""
        return _broken()


def _broken() -> Reply:
    return Reply.html("<h1>Server Error (500)</h1>", 500)
