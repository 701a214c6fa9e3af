"""Fink's API for LSST: what Rubin found, and what it measured where it had found something.

Beside what `yse_ingest.sources.fink_api` says (read in the server's source, 2026-06): sources
and forced photometry are two routes; an object id is text in the request and a number in the
answer; a cone search cuts at ``n`` before it looks at the distance, tile of the sky by tile.
One version of the server answered an empty list to every list of several objects, so a batch
in which no object has a source is asked for again, object by object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from yse_ingest.schemas.fink_lsst import (
    FORCED_COLUMNS,
    ID_KEY,
    OBJECT_KEY,
    PLACE_COLUMNS,
    SOURCE_COLUMNS,
    ForcedSchema,
    PlaceSchema,
    SourceSchema,
)
from yse_ingest.sources.answers import Reading, read_forced, read_rows
from yse_ingest.sources.base import Ask, Capabilities, Kind
from yse_ingest.sources.broker import of_lsst
from yse_ingest.sources.fink_api import BATCH_SIZE, FinkApi, Naming, Table
from yse_ingest.sources.setup import Option
from yse_ingest.sources.significance import without_faint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marshmallow import Schema

    from yse_ingest.sources.http import HttpClient

URL = Option(
    "FINK_LSST_URL",
    "Address of Fink's LSST API.",
    default="https://api.lsst.fink-portal.org/api/v1",
)
CONE_ALERTS = 100_000
"""Of the tiles that the cone touches, each 3.4' wide: a deep field has many."""
_SOURCES, _FORCED = "sources", "fp"


class FinkLsstSource(FinkApi):
    """Asks Fink's API for LSST.

    Parameters
    ----------
    http
        Client of its base URL.
    """

    name: ClassVar[str] = "fink-lsst"
    title: ClassVar[str] = "Fink (LSST)"
    capabilities: ClassVar[Capabilities] = of_lsst(
        batch_size=BATCH_SIZE,
        kinds=frozenset({Kind.DETECTION, Kind.FORCED}),
    )
    options: ClassVar[tuple[Option, ...]] = (URL,)
    contract: ClassVar[tuple[type[Schema], ...]] = (SourceSchema, ForcedSchema)
    naming: ClassVar[Naming] = Naming("diaObjectId", OBJECT_KEY, PLACE_COLUMNS, PlaceSchema)
    cone_alerts: ClassVar[int] = CONE_ALERTS

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self._source = SourceSchema()
        self._forced = ForcedSchema()

    def _tables(self, kinds: frozenset[Kind]) -> tuple[Table, ...]:
        sources = Table(_SOURCES, {"columns": ",".join(SOURCE_COLUMNS)}, never_empty=True)
        forced = Table(_FORCED, {"columns": ",".join(FORCED_COLUMNS)})
        return (sources, forced) if Kind.FORCED in kinds else (sources,)

    def _read(self, ask: Ask, rows: Mapping[str, list[Any]]) -> Reading:
        found = read_rows(
            self._source,
            rows.get(_SOURCES, []),
            id_key=ID_KEY,
            date_format="mjd",
            bands=ask.rules.band_map,
            time_scale="tai",
            rules=ask.rules,
            score="reliability",
        )
        if Kind.FORCED not in ask.kinds:
            return without_faint(found)
        forced = read_forced(
            self._forced,
            rows.get(_FORCED, []),
            date_format="mjd",
            bands=ask.rules.band_map,
            time_scale="tai",
        )
        return Reading.merged([without_faint(found), forced])
