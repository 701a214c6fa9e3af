"""Lasair's API for LSST: its own token, its own shapes.

A cone is a mapping with its objects in it, and a ``lite`` light curve has no positions, so one
query of the table of objects tells for all of a target where they are, and when they were last
seen. Every row is then taken to be at the place of its object. An unknown object is a 404, or
one without rows. What else decides how it is asked stands in `yse_ingest.sources.lasair_api`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from yse_ingest.errors import SourceReplyError
from yse_ingest.schemas.lasair_lsst import (
    ID_KEY,
    OBJECT_KEY,
    ForcedSchema,
    NearSchema,
    SeenSchema,
    SourceSchema,
)
from yse_ingest.sources.answers import Reading, read_forced, read_rows
from yse_ingest.sources.base import Ask, Capabilities, Kind
from yse_ingest.sources.broker import of_lsst
from yse_ingest.sources.lasair_api import BATCH_SIZE, REQUESTS_PER_HOUR, LasairApi, Naming
from yse_ingest.sources.setup import Option
from yse_ingest.sources.significance import without_faint
from yse_ingest.times import MJD_ZERO_JD, jd_of_time_ms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from marshmallow import Schema

    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply

URL = Option(
    "LASAIR_LSST_URL",
    "Address of Lasair's LSST API.",
    default="https://api.lasair.lsst.ac.uk/api",
)
TOKEN = Option("LASAIR_LSST_TOKEN", "Token of an account of Lasair for LSST.")
TAI_AHEAD_D = 37 / 86400
"""How far TAI is ahead of UTC since 2017 [d]; it only tells what changed."""
MJD_MARGIN = 1e-5
"""More than the rounding of an MJD [d]."""


class LasairLsstSource(LasairApi):
    """Asks Lasair's API for LSST.

    Parameters
    ----------
    http
        Client of its base URL, which sends the token.
    """

    name: ClassVar[str] = "lasair-lsst"
    title: ClassVar[str] = "Lasair (LSST)"
    capabilities: ClassVar[Capabilities] = of_lsst(
        batch_size=BATCH_SIZE,
        kinds=frozenset({Kind.DETECTION, Kind.FORCED}),
        needs_token=True,
        requests_per_hour=REQUESTS_PER_HOUR,
    )
    options: ClassVar[tuple[Option, Option]] = (URL, TOKEN)
    contract: ClassVar[tuple[type[Schema], ...]] = (SourceSchema, ForcedSchema)
    naming: ClassVar[Naming] = Naming(
        OBJECT_KEY,
        "lastDiaSourceMjdTai",
        re.compile(r"[0-9]{1,19}"),
        quote="",
        place_columns=("ra", "decl"),
    )

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http, near=NearSchema(), seen=SeenSchema())
        self._source = SourceSchema()
        self._forced = ForcedSchema()

    @classmethod
    def _of(cls, http: HttpClient) -> Self:
        return cls(http)

    def _last_seen(self, ask: Ask) -> float:
        if ask.newest_ms is not None:
            return jd_of_time_ms(ask.newest_ms) - MJD_ZERO_JD + TAI_AHEAD_D + MJD_MARGIN
        return jd_of_time_ms(ask.since_ms or 0) - MJD_ZERO_JD - MJD_MARGIN

    def _near_rows(self, reply: HttpReply) -> list[Any]:
        return self._accepted(reply).rows("objects", remedy=self._remedy)

    def _light_curve(
        self, ask: Ask, object_id: str, seen: Mapping[str, Any], deadline: float
    ) -> Reading:
        question = {"objectId": object_id, "lite": True, "lasair_added": False}
        reply = self._post("object/", question, deadline)
        if reply.status == 404 and _is_unknown_object(reply):
            return Reading.merged([])
        sources, forced = self._lists(
            reply, object_id, "diaSourcesList", "diaForcedSourcesList"
        )
        place = {"ra": seen["ra"], "dec": seen["dec"]}
        bands = ask.rules.band_map
        found = read_rows(
            self._source,
            [{**row, **place} if isinstance(row, dict) else row for row in sources],
            id_key=ID_KEY,
            date_format="mjd",
            bands=bands,
            time_scale="tai",
            rules=ask.rules,
            score="reliability",
        )
        parts = [without_faint(found)]
        if Kind.FORCED in ask.kinds:
            parts.append(
                read_forced(
                    self._forced,
                    forced,
                    date_format="mjd",
                    bands=bands,
                    time_scale="tai",
                    rules=ask.rules,
                )
            )
        return Reading.merged(parts)


def _is_unknown_object(reply: HttpReply) -> bool:
    """Tell the API's own 404 from that of a wrong address."""
    try:
        content = reply.json()
    except SourceReplyError:
        return False
    return isinstance(content, dict) and "detail" in content
