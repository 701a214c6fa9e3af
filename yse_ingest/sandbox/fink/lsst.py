"""Fink's API for LSST over HTTP: `sources`, `fp` and `conesearch` under `/api/v1`.

True to the server source as read in 2026-06. Left out are every output format but json, places
in hours or degrees with signs, and the other routes.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yse_ingest.sandbox.fink.payload import RefusedError, number, required
from yse_ingest.sandbox.fink.service import FinkService, Row, check_format, columns, only

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from yse_ingest.sandbox.fink.service import Route
    from yse_ingest.sandbox.server import ServerOptions

TILE_ARCSEC: Final = 206.0
"""About the size of a tile of the sky, from which a cone search reads."""
_FIRST = "f:firstDiaSourceMjdTaiFink"


class FinkLsstStandIn(FinkService):
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
        self._table_lock = threading.Lock()
        self._sources: list[Row] = []
        self._forced: list[Row] = []

    # What it holds --------------------------------------------------------------------------

    def add_source(  # noqa: PLR0917  the order of Rubin's columns
        self,
        dia_object_id: int,
        midpoint_mjd_tai: float,
        band: str,
        psf_flux: float | None,
        psf_flux_err: float | None,
        ra: float,
        dec: float,
        *,
        dia_source_id: int | None = None,
        reliability: float | None = 0.9,
        **extra: Any,
    ) -> int:
        """Add one diaSource, also while it runs, and return its id.

        Parameters
        ----------
        midpoint_mjd_tai
            Middle of the exposure, TAI [d].
        psf_flux, psf_flux_err
            Of the difference image, signed [nJy].
        ra, dec
            ICRS [deg].
        dia_source_id
            None makes one from the time.
        extra
            Further columns without their ``r:``, or others in place of these.
        """
        if dia_source_id is None:
            dia_source_id = 170_000_000_000_000_000 + round(midpoint_mjd_tai * 1e11)
        source = {
            "diaObjectId": dia_object_id,
            "diaSourceId": dia_source_id,
            "midpointMjdTai": midpoint_mjd_tai,
            "band": band,
            "psfFlux": psf_flux,
            "psfFluxErr": psf_flux_err,
            # The whole light of the place, the galaxy with it.
            "scienceFlux": None if psf_flux is None else psf_flux + 90_000.0,
            "ra": float(ra),
            "dec": float(dec),
            "reliability": reliability,
        } | extra
        with self._table_lock:
            self._sources.append({f"r:{name}": value for name, value in source.items()})
        return dia_source_id

    def add_forced(
        self,
        dia_object_id: int,
        midpoint_mjd_tai: float,
        band: str,
        psf_flux: float | None,
        psf_flux_err: float | None,
    ) -> None:
        """Add one forced measurement; see `add_source`."""
        row = {
            "r:diaObjectId": dia_object_id,
            "r:midpointMjdTai": midpoint_mjd_tai,
            "r:band": band,
            "r:psfFlux": psf_flux,
            "r:psfFluxErr": psf_flux_err,
        }
        with self._table_lock:
            self._forced.append(row)

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
