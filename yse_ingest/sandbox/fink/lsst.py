"""Fink's API for LSST over HTTP: `sources`, `fp` and `conesearch` under `/api/v1`.

True to the server source as read in 2026-06. Left out are every output format but json, places
in hours or degrees with signs, and the other routes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yse_ingest.sandbox.fink.payload import RefusedError, number, required
from yse_ingest.sandbox.fink.service import FinkService, Row, check_format, columns, only
from yse_ingest.sandbox.lsst import LsstSources

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from yse_ingest.sandbox.fink.service import Route
    from yse_ingest.sandbox.server import ServerOptions

TILE_ARCSEC: Final = 206.0
"""About the size of a tile of the sky, from which a cone search reads."""
_FIRST = "f:firstDiaSourceMjdTaiFink"


class FinkLsstStandIn(LsstSources, FinkService):
    """A Fink that holds whatever of LSST it was given.

    Parameters
    ----------
    server
        As `BrokerStandIn`.

    Attributes
    ----------
    lists_broken
        As one version of the server: a list of several objects is answered by an empty list.
        Set it while it runs.
    """

    name: ClassVar[str] = "fink-lsst"
    object_column: ClassVar[str] = "r:diaObjectId"
    time_column: ClassVar[str] = "r:midpointMjdTai"
    place_columns: ClassVar[tuple[str, str]] = ("r:ra", "r:dec")

    def __init__(self, **server: Unpack[ServerOptions]) -> None:
        super().__init__(**server)
        self.lists_broken = False
        self._sources: list[Row] = []
        self._forced: list[Row] = []

    # What it holds --------------------------------------------------------------------------

    def keep_source(self, source: Row, extra: Row) -> None:
        """Keep a diaSource; its columns get their ``r:`` here."""
        flux = source["psfFlux"]
        # The whole light of the place, the galaxy with it.
        science = {"scienceFlux": None if flux is None else flux + 90_000.0}
        self._keep(self._sources, source | science | extra)

    def keep_forced(self, row: Row) -> None:
        """Keep a forced measurement; its columns get their ``r:`` here."""
        self._keep(self._forced, row)

    def _keep(self, table: list[Row], row: Row) -> None:
        with self._table_lock:
            table.append({f"r:{name}": value for name, value in row.items()})

    # What it answers ------------------------------------------------------------------------

    def routes(self) -> Mapping[str, Route]:
        """Return what answers each path below the base."""
        return {
            "sources": lambda payload: self._of_objects(self._sources, payload),
            "fp": lambda payload: self._of_objects(self._forced, payload),
            "conesearch": self._cone,
        }

    def _of_objects(self, table: list[Row], payload: Mapping[str, Any]) -> list[Row]:
        text = required(payload, "diaObjectId")
        if not isinstance(text, str):
            # Its code looks for a comma in it: a number is an accident, and a 500.
            message = "argument of type 'int' is not iterable"
            raise TypeError(message)
        check_format(payload)
        object_ids = {one.strip() for one in text.split(",")}
        if self.lists_broken and "," in text:
            object_ids = set()
        with self._table_lock:
            rows = [row for row in table if str(row["r:diaObjectId"]) in object_ids]
        if "midpointMjdTai" in payload and "," not in text:
            moment = number(payload, "midpointMjdTai")
            rows = [row for row in rows if row["r:midpointMjdTai"] == moment]
        rows.sort(key=lambda row: row["r:midpointMjdTai"], reverse=True)
        chosen = columns(payload)
        return [only(row, chosen) for row in rows]

    def _cone(self, payload: Mapping[str, Any]) -> list[Row]:
        ra, dec, radius, count = self.cone(payload)
        chosen = columns(payload)
        dates = {"startdate", "stopdate", "window"} & set(payload)
        if dates and chosen is not None and _FIRST not in chosen:
            raise RefusedError(f"`{_FIRST}` must be among the columns to filter by date.\n")
        with self._table_lock:
            table = list(self._sources)
        # Whole tiles are read, and cut at n; only then is the distance looked at.
        found = self.around(table, ra, dec, max(radius, TILE_ARCSEC))[:count]
        found = self.around(found, ra, dec, radius)
        if "startdate" in payload:
            start = number(payload, "startdate")
            first: dict[int, float] = {}
            for row in table:
                object_id, moment = row["r:diaObjectId"], row["r:midpointMjdTai"]
                first[object_id] = min(moment, first.get(object_id, math.inf))
            found = [row for row in found if first[row["r:diaObjectId"]] >= start]
        return self.by_distance(found, payload)
