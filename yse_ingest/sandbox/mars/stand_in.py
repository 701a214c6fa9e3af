"""MARS over HTTP: negotiation, pages, and its three error pages.

True to LCOGT/ztf-alert-server at commit 88d4c31 with the Flask-SQLAlchemy that it pins, as
measured on a bench in 2026-11: ``has_next`` is never true, what is not understood is no filter,
and what cannot be read is a 500 without a word. Detail, photometry and cutouts are left out.
"""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yse_ingest.sandbox.broker import BrokerStandIn
from yse_ingest.sandbox.mars.alert import Alert, ApplicationError, Value
from yse_ingest.sandbox.mars.pages import (
    error_reply,
    is_json,
    json_reply,
    list_page,
    wants_json,
)
from yse_ingest.sandbox.mars.query import parse_query
from yse_ingest.sandbox.mars.store import AlertTable
from yse_ingest.sandbox.server import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Unpack

    from yse_ingest.sandbox.server import ServerOptions

PAGE_SIZE: Final = 100
GET_COST_S: Final = 0.0042
POST_QUERY_COST_S: Final = 0.0074
ALERT_COST_S: Final = 0.00045

_METHODS = "HEAD, GET, POST, OPTIONS"
_OFFSET_LIMIT = 2**63


class MarsStandIn(BrokerStandIn):
    """A MARS that holds whatever alerts it was given.

    Parameters
    ----------
    clock
        Says what time it is, for ``time__since``; UTC.
    server
        As `BrokerStandIn`; the worker limit is that of the original's container.
    """

    name: ClassVar[str] = "mars"

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        **server: Unpack[ServerOptions],
    ) -> None:
        server.setdefault("worker_limit_s", 300.0)
        super().__init__(**server)
        self._clock = clock
        self._table = AlertTable()
        self._signatures = itertools.count(1)

    # What it holds --------------------------------------------------------------------------

    @property
    def alert_count(self) -> int:
        """How many alerts it holds."""
        return len(self._table)

    def add_alert(  # noqa: PLR0917  the order of ZTF's columns
        self,
        object_id: str,
        jd: float,
        filter: str,  # noqa: A002  MARS's own word
        magpsf: float,
        sigmapsf: float,
        ra: float,
        dec: float,
        *,
        candid: int | None = None,
        isdiffpos: str = "t",
        rb: float | None = 0.9,
        drb: float | None = None,
        programid: int = 1,
        pid: int | None = None,
        **candidate_overrides: Value,
    ) -> int:
        """Ingest one alert, also while the server runs, and return its ``lco_id``.

        Parameters
        ----------
        jd
            Start of the exposure, UTC [d].
        filter
            ``g``, ``r`` or ``i``.
        ra, dec
            ICRS [deg].
        candid
            ZTF's number of the detection; None makes one of ZTF's form from `jd`.
        pid
            Number of the exposure's quadrant; None takes it from the candid.
        candidate_overrides
            Any other value of the ``candidate`` object, also None or a NaN.

        Raises
        ------
        ValueError
            When the candid is taken, or a value is named that no alert has.
        """
        return self._table.add(
            object_id,
            jd=jd,
            band=filter,
            magpsf=magpsf,
            sigmapsf=sigmapsf,
            ra=ra,
            dec=dec,
            candid=candid,
            isdiffpos=isdiffpos,
            rb=rb,
            drb=drb,
            pid=pid,
            overrides={"programid": programid, **candidate_overrides},
        )

    def add_alerts(self, alerts: Iterable[Mapping[str, Any]]) -> list[int]:
        """Ingest many alerts, each the keyword arguments of `add_alert`."""
        return [self.add_alert(**alert) for alert in alerts]

    def update_alert(self, candid: int, **changes: Value) -> None:
        """Give an alert other candidate values, as a reprocessing would.

        Raises
        ------
        ValueError
            When there is no such alert, or a value is named that no alert has.
        """
        self._table.update(candid, changes)

    # What it answers ------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Answer ``/``; every other path is a 404."""
        if request.path != "/":
            return error_reply(404)
        try:
            match request.method:
                case "GET":
                    return self._page(request)
                case "POST":
                    return self._many(request)
                case "HEAD":
                    return json_reply({})
                case "OPTIONS":
                    return Reply(200, b"", "text/html; charset=utf-8", {"Allow": _METHODS})
                case _:
                    return error_reply(405, {"Allow": _METHODS})
        except ApplicationError:
            return error_reply(500)

    def server_error(self, request: Request) -> Reply:  # noqa: ARG002
        """Return the page that is the same for every cause."""
        return error_reply(500)

    def _page(self, request: Request) -> Reply:
        self.charge(GET_COST_S)
        arguments: dict[str, str] = {}
        for key, value in request.query:
            arguments.setdefault(key, value)
        query = parse_query(arguments, now=self._clock())
        number = _page_number(arguments.get("page", "1"))
        if number < 1:
            return error_reply(404)
        found = self._table.select(query, ties_reversed=number % 2 == 0)
        rows = found[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
        if not rows and number > 1:
            return error_reply(404)
        results = self._printed(rows)
        if not wants_json(arguments, request.headers.get("Accept", "")):
            return Reply.html(list_page(rows))
        return json_reply({"has_next": False, "has_prev": number > 1, "results": results})

    def _many(self, request: Request) -> Reply:
        media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not is_json(media_type):
            raise ApplicationError(media_type)
        try:
            body = json.loads(request.body)
        except ValueError:
            return error_reply(400)
        queries = body.get("queries") if isinstance(body, dict) else None
        if not isinstance(queries, list) or not all(isinstance(one, dict) for one in queries):
            raise ApplicationError("no list of queries")
        answers = []
        for one in queries:
            self.charge(POST_QUERY_COST_S)
            rows = self._table.select(parse_query(one, now=self._clock()))
            answers.append(
                {"num_alerts": len(rows), "query": one, "results": self._printed(rows)}
            )
        return json_reply(
            {"results": answers, "total": sum(len(answer["results"]) for answer in answers)}
        )

    def _printed(self, alerts: list[Alert]) -> list[dict[str, object]]:
        self.charge(ALERT_COST_S * len(alerts))
        signature = next(self._signatures)
        return [alert.as_json(signature=signature) for alert in alerts]


def _page_number(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        return 1
    if (number - 1) * PAGE_SIZE >= _OFFSET_LIMIT:
        raise ApplicationError("the offset is no 64-bit integer")
    return number
