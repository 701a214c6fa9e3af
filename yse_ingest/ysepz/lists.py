"""YSE-PZ's lists: paged by addresses of our own, each row read by its schema.

Behind the shipped nginx the ``next`` links lose the port, and a filter that the server does not
know is silently ignored: the whole table comes back as if it were a hit (measured 2026-11). So
whoever asks with a filter compares the rows once more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from yse_ingest.errors import YsePzReplyError
from yse_ingest.schemas._load import faults_of, load
from yse_ingest.schemas.readback import PageSchema
from yse_ingest.ysepz.http import SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from marshmallow import Schema

    from yse_ingest.ysepz.answers import AnswerReader
    from yse_ingest.ysepz.http import Http

PAGE_ROWS = 1000
BOX_MARGIN_DEG = 1e-7
"""Added to every side of a box, against rounding [deg]."""


class Lists:
    """The lists below ``/api/``."""

    def __init__(self, http: Http, reader: AnswerReader, *, clock: Callable[[], float]) -> None:
        self._http = http
        self._reader = reader
        self._clock = clock

    def rows(
        self,
        resource: str,
        schema: Schema,
        params: Mapping[str, str] | None = None,
        *,
        offset: int = 0,
        before_page: Callable[[], None] | None = None,
        fits: Callable[[Mapping[str, Any]], bool] = lambda _: True,
    ) -> list[dict[str, Any]]:
        """Return the rows of a list from ``offset`` on, each once, in the server's order.

        Parameters
        ----------
        resource
            Name of the list below ``/api/``.
        schema
            Reads one row, with its ``pk``.
        params
            Filters, which the server may ignore.
        before_page
            Called before each page is asked for.
        fits
            Whether a row is one that the filters let through.

        Raises
        ------
        YsePzReplyError
            When a page or a row of it is something else, or a row does not fit: then no
            further page of the whole table is asked for.
        """
        rows: dict[int, dict[str, Any]] = {}
        for request, page in self._pages(resource, params or {}, offset, before_page):
            before = len(rows)
            for raw in page["results"]:
                row = read(schema, raw, request)
                if not fits(row):
                    raise YsePzReplyError(
                        f"the answer to {request} holds what was not asked for: the filter "
                        f"{', '.join(params or ())} is not obeyed",
                        service=SERVICE,
                        remedy="This YSE-PZ ignores it, as one with django-filter 22.1 or "
                        "newer does; name the targets in the targets file instead.",
                    )
                rows[row["pk"]] = row
            if page["results"] and len(rows) == before:
                raise YsePzReplyError(
                    f"the answer to {request} repeats rows that were shown before: "
                    f"{len(rows)} of {_excerpt_of_count(page['count'])}",
                    service=SERVICE,
                    remedy="Is there something before YSE-PZ that keeps answers?",
                )
        return list(rows.values())

    def last(self, resource: str, schema: Schema, count: int) -> list[dict[str, Any]]:
        """Return the last ``count`` rows of a list: the newest, where they come by number."""
        path = f"/api/{resource}/"
        answer = self._http.send("GET", path, params={"limit": "1"})
        content = self._reader.content(answer, now=self._clock())
        total = read(PageSchema(), content, answer.request)["count"]
        return self.rows(resource, schema, offset=max(0, total - count))

    def one(self, resource: str, pk: int, schema: Schema) -> dict[str, Any] | None:
        """Return one row by its primary key; None: there is none."""
        answer = self._http.send("GET", f"/api/{resource}/{pk}/")
        if answer.status == 404:
            return None
        return read(schema, self._reader.content(answer, now=self._clock()), answer.request)

    def _pages(
        self,
        resource: str,
        params: Mapping[str, str],
        offset: int,
        before_page: Callable[[], None] | None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        while True:
            if before_page is not None:
                before_page()
            answer = self._http.send(
                "GET",
                f"/api/{resource}/",
                params={**params, "limit": str(PAGE_ROWS), "offset": str(offset)},
            )
            content = self._reader.content(answer, now=self._clock())
            page = read(PageSchema(), content, answer.request)
            yield answer.request, page
            offset += len(page["results"])
            if not page["results"] or offset >= page["count"]:
                return


def _excerpt_of_count(count: int) -> str:
    return str(count) if count.bit_length() < 64 else "too many to tell"


def read(schema: Schema, content: object, request: str) -> dict[str, Any]:
    """Return the content of an answer as its schema reads it.

    Raises
    ------
    YsePzReplyError
        With the first field that does not fit.
    """
    try:
        return load(schema, content)
    except ValidationError as error:
        fault = faults_of(error, content)[0]
        what = " ".join(f"{fault.field} {fault.reason}".split())
        raise YsePzReplyError(
            f"the answer to {request} cannot be read: {what}",
            service=SERVICE,
            remedy="Is YSE_PZ_URL the address of a YSE-PZ?",
        ) from error


def read_named(
    schema: Schema, content: object, request: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a row of which only the name is needed, and the columns that cannot be read.

    Where there is such a column, the row is read as if it showed nothing but its name.

    Raises
    ------
    YsePzReplyError
        When it has no name, or is no row.
    """
    try:
        return load(schema, content), ()
    except ValidationError as error:
        unread = tuple(fault.field for fault in faults_of(error, content))
        if not isinstance(content, Mapping) or {"", "name"} & set(unread):
            return read(schema, content, request), ()
        return read(schema, {"name": content["name"]}, request), unread


def boxes(ra: float, dec: float, radius: float) -> list[dict[str, str]]:
    """Return the filters of the one or two boxes that hold a circle; all in degrees."""
    radius += BOX_MARGIN_DEG
    south, north = dec - radius, dec + radius
    lie = math.sin(math.radians(radius))
    cosine = math.cos(math.radians(dec))
    if north >= 90 or south <= -90 or lie >= cosine:
        spans = [(0.0, 360.0)]
    else:
        half = math.degrees(math.asin(lie / cosine)) + BOX_MARGIN_DEG
        west, east = ra - half, ra + half
        if west < 0:
            spans = [(0.0, east), (west + 360, 360.0)]
        elif east > 360:
            spans = [(west, 360.0), (0.0, east - 360)]
        else:
            spans = [(west, east)]
    return [
        {
            "ra_gte": f"{west:.9f}",
            "ra_lte": f"{east:.9f}",
            "dec_gte": f"{max(south, -90.0):.9f}",
            "dec_lte": f"{min(north, 90.0):.9f}",
        }
        for west, east in spans
    ]
