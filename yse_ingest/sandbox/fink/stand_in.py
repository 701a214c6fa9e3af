"""Fink's API for ZTF over HTTP: `/api/v1/objects` and `/api/v1/conesearch`.

True to the server source as read in 2026-06 and to replies recorded in 2026-07. Left out are
every output format but json, places in hours or degrees with signs, and the other routes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yse_ingest.sandbox.fink.payload import number, required
from yse_ingest.sandbox.fink.service import FinkService, Row, check_format, columns, only
from yse_ingest.sandbox.ztf import ZtfAlerts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Unpack

    from yse_ingest.sandbox.fink.service import Route
    from yse_ingest.sandbox.server import ServerOptions

NO_MATCH: Final = -999.0

_TAG = "d:tag"


class FinkStandIn(ZtfAlerts, FinkService):
    """A Fink that holds whatever alerts it was given.

    Parameters
    ----------
    server
        As `BrokerStandIn`.

    Attributes
    ----------
    loaded_until_jd
        Its tables are filled once a day: later alerts are not shown yet. Set it while it runs.
    """

    object_column: ClassVar[str] = "i:objectId"
    time_column: ClassVar[str] = "i:jd"
    place_columns: ClassVar[tuple[str, str]] = ("i:ra", "i:dec")

    def __init__(self, **server: Unpack[ServerOptions]) -> None:
        super().__init__(**server)
        self.loaded_until_jd = math.inf
        self._alerts: list[Row] = []
        self._side: list[Row] = []

    # What it holds --------------------------------------------------------------------------

    def keep_alert(self, alert: Row, extra: Row) -> None:
        """Keep an alert that passed Fink's cuts; its columns get their ``i:`` here."""
        usual = {
            "diffmaglim": 20.5,
            "distnr": 4.2,
            "drb": None,
            "magnr": 19.9,
            "magzpsci": 26.2,
            "programid": 1,
            "rb": 0.9,
            "sigmagnr": 0.05,
            "ssdistnr": NO_MATCH,
        }
        row = alert | usual | extra
        with self._table_lock:
            self._alerts.append({f"i:{name}": value for name, value in row.items()})

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

    def routes(self) -> Mapping[str, Route]:
        """Return what answers each path below the base."""
        return {"objects": self._objects, "conesearch": self._cone}

    def _objects(self, payload: Mapping[str, Any]) -> list[Row]:
        object_ids = str(required(payload, "objectId")).split(",")
        check_format(payload)
        rows = [row for row in self._loaded(self._alerts) if row["i:objectId"] in object_ids]
        rows.sort(key=lambda row: row["i:jd"], reverse=True)
        chosen = columns(payload)
        rows = [only(row, chosen) for row in rows]
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
        ra, dec, radius, count = self.cone(payload)
        loaded = self._loaded(self._alerts)
        found = self.around(loaded, ra, dec, radius)[:count]
        if "startdate" in payload:
            found = _begun_since(found, loaded, number(payload, "startdate"))
        return self.by_distance(found, payload)


def _begun_since(found: list[Row], loaded: list[Row], jd: float) -> list[Row]:
    """Return the alerts of objects whose first alert is not before a JD: no ``since``."""
    first: dict[str, float] = {}
    for row in loaded:
        first[row["i:objectId"]] = min(row["i:jd"], first.get(row["i:objectId"], math.inf))
    return [row for row in found if first[row["i:objectId"]] >= jd]
