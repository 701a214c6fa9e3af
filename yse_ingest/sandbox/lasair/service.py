"""What the servers of Lasair's two APIs have in common: the door, cones, and queries in SQL."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yse_ingest.sandbox.broker import BrokerStandIn
from yse_ingest.sandbox.lasair.door import (
    Quota,
    RefusedError,
    number,
    question_of,
    text,
    unauthorised,
)
from yse_ingest.sandbox.server import Reply, Request
from yse_ingest.targets import separation_arcsec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Unpack

    from yse_ingest.sandbox.server import ServerOptions

BASE_PATH: Final = "/api"
RADIUS_MAX_ARCSEC: Final = 1000.0
ROWS_MAX: Final = 10_000
QUERY_ROWS: Final = 1000
TOKEN: Final = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - opens nothing else

Row = dict[str, Any]


class LasairService(BrokerStandIn):
    """A server of one of the APIs.

    Parameters
    ----------
    server
        As `BrokerStandIn`.
    tokens
        Whom it lets in.
    calls_per_hour
        Its quota, of all of them together.

    Attributes
    ----------
    quota
        What is used of it. Set ``quota.per_hour`` while it runs.
    empty_is_error
        As an older version: an empty cone is a 400.
    """

    name: ClassVar[str] = "lasair"
    base_path: ClassVar[str] = BASE_PATH
    columns: ClassVar[tuple[str, ...]]
    """Of its table of objects; the first is the id, then right ascension and declination."""

    def __init__(
        self,
        *,
        tokens: frozenset[str] = frozenset({TOKEN}),
        calls_per_hour: int = 100,
        **server: Unpack[ServerOptions],
    ) -> None:
        super().__init__(**server)
        self.quota = Quota(calls_per_hour)
        self.empty_is_error = False
        self._tokens = tokens

    # What each of them says -----------------------------------------------------------------

    def objects(self) -> list[tuple[Any, ...]]:
        """Return the rows of the table of objects."""
        raise NotImplementedError

    def cone_of(self, kind: str, found: list[Row]) -> object:
        """Return the answer of a cone search: ``all`` or ``nearest``, sorted by distance."""
        raise NotImplementedError

    def light_curve(self, question: Mapping[str, Any], *, form: bool) -> Reply:
        """Answer a question about one object."""
        raise NotImplementedError

    # What both answer -----------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Answer a GET or POST under `/api`, of who has a token and calls left."""
        routes: dict[str, Callable[..., Reply]]
        routes = {"cone": self._cone, "object": self.light_curve, "query": self._query}
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
            for name, east, north, *_ in self.objects()
            if (away := separation_arcsec(ra, dec, east, north)) <= radius
        )
        listed = [{"object": name, "separation": away} for away, name in found]
        if not listed and self.empty_is_error:
            place = f"ra={ra:.5f} dec={dec:.5f} radius={radius:.2f}"
            raise RefusedError({"error": f"No object found {place}"})
        if kind == "count":
            return Reply.json({"count": len(listed)})
        return Reply.json(self.cone_of(kind, listed))

    def _query(self, question: Mapping[str, Any], *, form: bool) -> Reply:  # noqa: ARG002
        selected, tables = text(question, "selected"), text(question, "tables")
        conditions = text(question, "conditions")
        if len(conditions) > 4096:
            many = "Ensure this field has no more than 4096 characters."
            raise RefusedError({"conditions": [many]})
        limit = min(ROWS_MAX, int(number({"limit": QUERY_ROWS, **question}, "limit")))
        offset = int(number({"offset": 0, **question}, "offset"))
        with contextlib.closing(sqlite3.connect(":memory:")) as database:
            database.execute(f"CREATE TABLE objects ({', '.join(self.columns)})")
            places = ", ".join("?" for _ in self.columns)
            # It is the service's own SQL, and a database of nothing else.
            database.executemany(
                f"INSERT INTO objects VALUES ({places})",  # noqa: S608
                self.objects(),
            )
            database.row_factory = sqlite3.Row
            sql = f"SELECT {selected} FROM {tables} WHERE {conditions or 1}"  # noqa: S608
            try:
                rows = database.execute(f"{sql} LIMIT {limit} OFFSET {offset}").fetchall()
            except sqlite3.Error as error:
                told = f"Your query:<br/><b>{sql}</b><br/>returned the error<br/><i>{error}</i>"
                raise RefusedError({"error": told}) from error
        return Reply.json([dict(row) for row in rows])

    def server_error(self, request: Request) -> Reply:  # noqa: ARG002
        """Return the service's own 500."""
        return broken()


def broken() -> Reply:
    """Return a 500."""
    return Reply.html("<h1>Server Error (500)</h1>", 500)
