"""MARS: LCO's ZTF alert server, and every server that speaks as it did.

What decides how it is asked (measured 2026-11 on the server's own code): ``has_next`` is always
false; offset paging loses and repeats rows while alerts arrive, except in the order of
insertion (``sort_value=id``); POST answers many queries at once, unpaged, or fails as a whole;
an empty value, or a zero, switches a filter off without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from yse_ingest.errors import (
    SettingsError,
    SourceRefusedError,
    SourceReplyError,
    YseIngestError,
)
from yse_ingest.schemas.mars import ID_KEY, AlertSchema
from yse_ingest.sources.answers import (
    Reading,
    answer,
    check_cone,
    check_object,
    look_radius,
    read_rows,
)
from yse_ingest.sources.broker import HttpSource, of_ztf
from yse_ingest.sources.setup import Option
from yse_ingest.times import jd_of_time_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

    from marshmallow import Schema

    from yse_ingest.sources.base import Answer, Ask, Capabilities
    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply
    from yse_ingest.sources.setup import Setup

PAGE_SIZE = 100
PAGES_MAX = 200
BATCH_SIZE = 25
RETIRED = (
    "MARS was retired by its operator LCO, and mars.lco.global no longer resolves. Set "
    "MARS_URL to a server of your own that speaks MARS, or leave it unset to use ALeRCE."
)
URL = Option("MARS_URL", "Address of a self-hosted MARS.")
_SPLIT_STATUSES = frozenset({405, 413, 500})
_REMEDIES = {
    404: "Check that MARS_URL is the address of a MARS.",
    500: "It never says why: check the coordinates and the radius of this target.",
}


class MarsSource(HttpSource):
    """Asks one MARS.

    Parameters
    ----------
    http
        Client of its base URL.
    batch_size
        Targets in one POST: more than 50 make the reply slow and large.
    pages_max
        Pages of one query after which something must be wrong.
    """

    name: ClassVar[str] = "mars"
    title: ClassVar[str] = "MARS"
    capabilities: ClassVar[Capabilities] = of_ztf(
        batch_size=BATCH_SIZE,
        since="server",
    )
    options: ClassVar[tuple[Option, ...]] = (URL,)
    contract: ClassVar[tuple[type[Schema], ...]] = (AlertSchema,)

    def __init__(
        self, http: HttpClient, *, batch_size: int = BATCH_SIZE, pages_max: int = PAGES_MAX
    ) -> None:
        super().__init__(http)
        self._batch_size = batch_size
        self._pages_max = pages_max
        self._schema = AlertSchema()

    @classmethod
    def from_setup(cls, setup: Setup) -> Self:
        """Return one, ready to be asked from any number of threads.

        Raises
        ------
        SettingsError
            When ``MARS_URL`` is not set, or no address.
        """
        url = setup.value(URL)
        if url is None:
            raise SettingsError("MARS_URL is not set", service="MARS", remedy=RETIRED)
        return cls(setup.http(url, service=cls.title, concurrency=4, unresolved_remedy=RETIRED))

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order."""
        deadline = self.http.deadline()
        for start in range(0, len(asks), self._batch_size):
            batch = asks[start : start + self._batch_size]
            readings = self._post(batch, deadline)
            for ask, reading in zip(batch, readings, strict=True):
                yield answer(ask, self._reader(ask, reading, deadline), service=self.title)

    def _reader(
        self, ask: Ask, posted: Reading | YseIngestError | None, deadline: float
    ) -> Callable[[bool], Reading]:
        """Return what reads one target: the reply of a POST where it was for that, else GET."""

        def read(full: bool) -> Reading:
            if isinstance(posted, YseIngestError):
                raise posted
            if posted is not None and full == (ask.since_ms is None):
                return posted
            queries = _queries(ask, full=full)
            return Reading.merged(self._pages(ask, query, deadline) for query in queries)

        return read

    # One query by GET, page after page ------------------------------------------------------

    def _pages(self, ask: Ask, query: Mapping[str, str], deadline: float) -> Reading:
        pages: list[Reading] = []
        order = {"format": "json", "sort_value": "id", "sort_order": "asc"}
        for number in range(1, self._pages_max + 1):
            page = {**order, **query, "page": str(number)}
            reply = self.http.get("", page, deadline=deadline)
            if reply.status == 404 and number > 1:
                return Reading.merged(pages)
            rows = self._results(reply)
            pages.append(self._read(ask, query, rows))
            if len(rows) < PAGE_SIZE:
                return Reading.merged(pages)
        raise SourceReplyError(
            f"has more than {self._pages_max * PAGE_SIZE} rows for one query",
            service=self.title,
            field="query",
            value=dict(query),
            remedy="Make the cone smaller.",
        )

    def _read(self, ask: Ask, query: Mapping[str, str], rows: list[Any]) -> Reading:
        reading = read_rows(
            self._schema,
            rows,
            id_key=ID_KEY,
            date_format="jd",
            bands=ask.rules.band_map,
            rules=ask.rules,
        )
        if "cone" in query:
            check_cone(reading.alerts, ask, service=self.title)
        else:
            check_object(reading.alerts, query["objectId"], service=self.title)
        return reading

    # Many targets by POST -------------------------------------------------------------------

    def _post(
        self, asks: Sequence[Ask], deadline: float
    ) -> list[Reading | YseIngestError | None]:
        """Return what one POST says of each target; None where a GET has to be tried."""
        if len(asks) == 1:
            return [None]
        queries = [
            {"id": f"{number}.{part}", **query}
            for number, ask in enumerate(asks)
            for part, query in enumerate(_queries(ask, full=ask.since_ms is None))
        ]
        try:
            reply = self.http.post_json("", {"queries": queries}, deadline=deadline)
        except SourceReplyError:  # longer than the cap: halves are shorter
            return self._halves(asks, deadline)
        except YseIngestError as error:
            return [error] * len(asks)
        if reply.status in _SPLIT_STATUSES:
            return self._halves(asks, deadline)
        try:
            found = self._found(reply)
        except YseIngestError as error:
            return [error] * len(asks)
        readings: list[Reading | YseIngestError | None] = []
        for number, ask in enumerate(asks):
            try:
                readings.append(
                    Reading.merged(
                        self._read(ask, query, found[f"{number}.{part}"])
                        for part, query in enumerate(_queries(ask, full=ask.since_ms is None))
                    )
                )
            except KeyError:
                readings.append(None)
            except YseIngestError as error:
                readings.append(error)
        return readings

    def _halves(
        self, asks: Sequence[Ask], deadline: float
    ) -> list[Reading | YseIngestError | None]:
        middle = len(asks) // 2
        return self._post(asks[:middle], deadline) + self._post(asks[middle:], deadline)

    def _found(self, reply: HttpReply) -> dict[str, list[Any]]:
        """Return the rows of each query that the reply repeats."""
        found: dict[str, list[Any]] = {}
        for entry in self._results(reply):
            match entry:
                case {"query": {"id": str(key)}, "results": list(rows)}:
                    found[key] = rows
                case _:  # of no question of ours: a GET will tell
                    continue
        return found

    def _results(self, reply: HttpReply) -> list[Any]:
        if reply.status != 200:
            raise SourceRefusedError(
                f"answered {reply.describe()}",
                service=self.title,
                remedy=_REMEDIES.get(reply.status, "Check MARS_URL."),
            )
        return reply.rows("results", remedy="Check that MARS_URL is the address of a MARS.")


def _queries(ask: Ask, *, full: bool) -> list[dict[str, str]]:
    """Return what to ask for one target: its cone, its object, or both.

    All values are text: in a POST the number 0 would switch a filter off.
    """
    target = ask.target
    recent = {}
    if not full and ask.since_ms is not None:
        recent["jd__gt"] = f"{jd_of_time_ms(ask.since_ms):.10f}"
    queries = []
    if target.ra is not None and target.dec is not None:
        # An explicit plus sign of the declination is a 500.
        cone = f"{target.ra:.7f},{target.dec:.7f},{look_radius(ask) / 3600:.7g}"
        queries.append({"cone": cone, **recent})
    if target.object_id is not None:
        queries.append({"objectId": target.object_id, **recent})
    return queries
