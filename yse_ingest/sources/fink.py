"""Fink's API for ZTF: the light curves of many objects in one request.

Upper limits come only for a JSON ``true``, since the text ``"true"`` is ignored. The tables are
filled once a day, begin on 2019-11-01, and hold alerts of rb >= 0.55 without bad pixels. What
else decides how it is asked stands in `yse_ingest.sources.fink_api`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from yse_ingest.photometry import Alerts, Limits
from yse_ingest.schemas.fink import (
    ALERT_COLUMNS,
    BAD_QUALITY,
    ID_KEY,
    OBJECT_KEY,
    PLACE_COLUMNS,
    TAG_KEY,
    UPPER_LIMIT,
    VALID,
    AlertSchema,
    LimitSchema,
    PlaceSchema,
)
from yse_ingest.sources.answers import Reading, read_limits, read_rows
from yse_ingest.sources.base import Ask, Capabilities, Kind
from yse_ingest.sources.broker import of_ztf
from yse_ingest.sources.fink_api import BATCH_SIZE, FinkApi, Naming, Table
from yse_ingest.sources.setup import Option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marshmallow import Schema

    from yse_ingest.sources.http import HttpClient

PUBLIC_URL = "https://api.ztf.fink-portal.org/api/v1"
URL = Option("FINK_URL", "Address of Fink's ZTF API.", default=PUBLIC_URL)
_OBJECTS = "objects"
_DROPPED = {BAD_QUALITY: "fails Fink's cuts (badquality)"}


class FinkSource(FinkApi):
    """Asks Fink's API for ZTF.

    Parameters
    ----------
    http
        Client of its base URL.
    """

    name: ClassVar[str] = "fink"
    title: ClassVar[str] = "Fink"
    capabilities: ClassVar[Capabilities] = of_ztf(
        batch_size=BATCH_SIZE,
        kinds=frozenset({Kind.DETECTION, Kind.LIMIT}),
    )
    options: ClassVar[tuple[Option, ...]] = (URL,)
    contract: ClassVar[tuple[type[Schema], ...]] = (AlertSchema, LimitSchema)
    naming: ClassVar[Naming] = Naming("objectId", OBJECT_KEY, PLACE_COLUMNS, PlaceSchema)

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self._alert = AlertSchema()
        self._limit = LimitSchema()

    def _tables(self, kinds: frozenset[Kind]) -> tuple[Table, ...]:
        content: dict[str, Any] = {"columns": ",".join(ALERT_COLUMNS)}
        if Kind.LIMIT in kinds:
            content["withupperlim"] = True  # as text it would be ignored
        return (Table(_OBJECTS, content),)

    def _read(self, ask: Ask, rows: Mapping[str, list[Any]]) -> Reading:
        """Return the rows of some objects, told apart by their tags."""
        alerts: list[Any] = []
        limits: list[Any] = []
        dropped: Counter[tuple[str, str]] = Counter()
        for row in rows.get(_OBJECTS, []):
            tag = row.get(TAG_KEY, VALID)
            if tag == VALID:
                alerts.append(row)
            elif tag == UPPER_LIMIT:
                limits.append(row)
            else:
                dropped[row[OBJECT_KEY], _DROPPED.get(tag, f"has the tag {tag}")] += 1
        bands = ask.rules.band_map
        parts = [
            read_rows(
                self._alert,
                alerts,
                id_key=ID_KEY,
                date_format="jd",
                bands=bands,
                rules=ask.rules,
            )
        ]
        if Kind.LIMIT in ask.kinds:
            parts.append(read_limits(self._limit, limits, date_format="jd", bands=bands))
        parts.append(Reading(Alerts.empty(), (), Limits.empty(), dropped))
        return Reading.merged(parts)
