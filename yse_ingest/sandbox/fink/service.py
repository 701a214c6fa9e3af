"""What the servers of Fink's two APIs have in common: routes, columns, cones, refusals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yse_ingest.sandbox.broker import BrokerStandIn
from yse_ingest.sandbox.fink.payload import RefusedError, number, payload_of, refusal
from yse_ingest.sandbox.server import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Route = Callable[[Mapping[str, Any]], list[dict[str, Any]]]

BASE_PATH: Final = "/api/v1"
RADIUS_MAX_ARCSEC: Final = 18000.0
CONE_ALERTS: Final = 1000
"""Alerts that a cone search looks at, unless told otherwise."""
SEPARATION: Final = "v:separation_degree"

_NOT_FOUND = "<!doctype html><title>404 Not Found</title><h1>Not Found</h1>"
_BROKEN = (
    "<!doctype html><title>500 Internal Server Error</title><h1>Internal Server Error</h1>"
)

Row = dict[str, Any]


class FinkService(BrokerStandIn):
    """A server of one of the APIs.

    Parameters
    ----------
    server
        As `BrokerStandIn`.
    """

    name: ClassVar[str] = "fink"
    base_path: ClassVar[str] = BASE_PATH
    object_column: ClassVar[str]
    time_column: ClassVar[str]
    place_columns: ClassVar[tuple[str, str]]
    """Right ascension and declination."""

    def routes(self) -> Mapping[str, Route]:
        """Return what answers each path below the base."""
        raise NotImplementedError

    def handle(self, request: Request) -> Reply:
        """Answer a GET or POST under `/api/v1`."""
        if request.method not in {"GET", "POST"}:
            return Reply.html("<h1>Method Not Allowed</h1>", 405)
        base, _, route = request.path.rpartition("/")
        answer = self.routes().get(route) if base == BASE_PATH else None
        if answer is None:
            return Reply.html(_NOT_FOUND, 404)
        try:
            return Reply.json(_shown(answer(payload_of(request))))
        except RefusedError as error:
            return refusal(error)

    def server_error(self, request: Request) -> Reply:  # noqa: ARG002
        """Return the service's own 500."""
        return Reply.html(_BROKEN, 500)

    def cone(self, payload: Mapping[str, Any]) -> tuple[float, float, float, int]:
        """Return right ascension, declination [deg], radius [arcsec] and ``n``."""
        ra, dec, radius = (number(payload, name) for name in ("ra", "dec", "radius"))
        if radius > RADIUS_MAX_ARCSEC:
            raise RefusedError(
                "`radius` cannot be bigger than 18,000 arcseconds (5 degrees).\n"
            )
        check_format(payload)
        return ra, dec, radius, int(number({"n": CONE_ALERTS, **payload}, "n"))

    def around(self, rows: Iterable[Row], ra: float, dec: float, radius: float) -> list[Row]:
        """Return the rows within a radius [arcsec], each with its separation [deg]."""
        east, north = self.place_columns
        return [
            {**row, SEPARATION: away}
            for row in rows
            if (away := _separation_deg(ra, dec, row[east], row[north])) * 3600 <= radius
        ]

    def by_distance(self, found: list[Row], payload: Mapping[str, Any]) -> list[Row]:
        """Return the rows of a cone as they are answered."""
        chosen = columns(payload)
        if chosen is None or {self.object_column, self.time_column} <= chosen:
            latest: dict[Any, Row] = {}
            for row in sorted(found, key=lambda row: row[self.time_column]):
                latest[row[self.object_column]] = row
            found = list(latest.values())
        found = sorted(found, key=lambda row: row[SEPARATION])
        if chosen is not None:
            chosen |= {*self.place_columns, SEPARATION}
        return [only(row, chosen) for row in found]


def check_format(payload: Mapping[str, Any]) -> None:
    """Refuse every output format but one."""
    wanted = payload.get("output-format", "json")
    if wanted != "json":
        raise RefusedError(f"Output format `{wanted}` is not supported by the sandbox.\n")


def columns(payload: Mapping[str, Any]) -> set[str] | None:
    """Return the columns that are asked for; None: all."""
    text = payload.get("columns")
    return {name.strip() for name in str(text).split(",")} if text else None


def only(row: Row, chosen: set[str] | None) -> Row:
    """Return the chosen columns of a row."""
    return {key: value for key, value in row.items() if chosen is None or key in chosen}


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
