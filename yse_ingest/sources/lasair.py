"""Lasair's API for ZTF: detections, limits and forced photometry in one reply.

``lasair_added`` would copy the limiting magnitude of a non-detection into ``magpsf``, so it is
sent as false, and a detection is told by its ``candid`` alone; an unknown object is one without
rows. What else decides how it is asked stands in `yse_ingest.sources.lasair_api`.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from yse_ingest.photometry import Alerts
from yse_ingest.schemas.lasair import (
    ID_KEY,
    OBJECT_KEY,
    DetectionSchema,
    ForcedSchema,
    LimitSchema,
    NearSchema,
    SeenSchema,
    TimedDetectionSchema,
)
from yse_ingest.sources.answers import Reading, read_forced, read_limits, read_rows
from yse_ingest.sources.base import Ask, Capabilities, Kind
from yse_ingest.sources.broker import of_ztf
from yse_ingest.sources.lasair_api import BATCH_SIZE, REQUESTS_PER_HOUR, LasairApi, Naming
from yse_ingest.sources.setup import Option
from yse_ingest.times import jd_of_time_ms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from marshmallow import Schema

    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply

URL = Option(
    "LASAIR_URL",
    "Address of Lasair's ZTF API.",
    default="https://lasair-ztf.lsst.ac.uk/api",
)
TOKEN = Option("LASAIR_TOKEN", "Token of an account of Lasair for ZTF.")
JD_MARGIN = 1e-5
"""More than the rounding of a Julian Date [d]."""
NO_FLUX = -99998.0
"""ZTF writes -99999 where the measurement failed."""
_FAILED = "forced measurement failed"


class LasairSource(LasairApi):
    """Asks Lasair's API for ZTF.

    Parameters
    ----------
    http
        Client of its base URL, which sends the token.
    """

    name: ClassVar[str] = "lasair"
    title: ClassVar[str] = "Lasair"
    capabilities: ClassVar[Capabilities] = of_ztf(
        batch_size=BATCH_SIZE,
        kinds=frozenset({Kind.DETECTION, Kind.FORCED, Kind.LIMIT}),
        needs_token=True,
        requests_per_hour=REQUESTS_PER_HOUR,
    )
    options: ClassVar[tuple[Option, Option]] = (URL, TOKEN)
    contract: ClassVar[tuple[type[Schema], ...]] = (DetectionSchema, LimitSchema, ForcedSchema)
    naming: ClassVar[Naming] = Naming(
        OBJECT_KEY, "jdmax", re.compile(r"\w{1,20}", re.ASCII), quote="'"
    )

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http, near=NearSchema(), seen=SeenSchema())
        self._detection = DetectionSchema()
        self._timed = TimedDetectionSchema()
        self._limit = LimitSchema()
        self._forced = ForcedSchema()

    @classmethod
    def _of(cls, http: HttpClient) -> Self:
        return cls(http)

    def _last_seen(self, ask: Ask) -> float:
        if ask.newest_ms is not None:
            return jd_of_time_ms(ask.newest_ms) + JD_MARGIN
        return jd_of_time_ms(ask.since_ms or 0) - JD_MARGIN

    def _near_rows(self, reply: HttpReply) -> list[Any]:
        return self._list(reply)

    def _light_curve(
        self,
        ask: Ask,
        object_id: str,
        seen: Mapping[str, Any],  # noqa: ARG002  each of its rows says where it is
        deadline: float,
    ) -> Reading:
        question = {OBJECT_KEY: object_id, "lite": False, "lasair_added": False}
        reply = self._post("object/", question, deadline)
        candidates, forced = self._lists(reply, object_id, "candidates", "forcedphot")
        # Only this tells them apart: a non-detection may have a magnitude, which is its limit.
        found = [row for row in candidates if not isinstance(row, dict) or ID_KEY in row]
        limits = [row for row in candidates if isinstance(row, dict) and ID_KEY not in row]
        bands = ask.rules.band_map
        parts = [
            read_rows(
                self._timed if _lost_digits(found) else self._detection,
                found,
                id_key=ID_KEY,
                date_format="jd",
                bands=bands,
                rules=ask.rules,
            )
        ]
        if Kind.LIMIT in ask.kinds:
            parts.append(read_limits(self._limit, limits, date_format="jd", bands=bands))
        if Kind.FORCED in ask.kinds:
            measured = [row for row in forced if not _has_failed(row)]
            parts.append(
                read_forced(
                    self._forced,
                    measured,
                    date_format="jd",
                    bands=bands,
                    rules=ask.rules,
                )
            )
            failed = Counter({(object_id, _FAILED): len(forced) - len(measured)})
            parts.append(Reading(Alerts.empty(), dropped=+failed))
        return Reading.merged(parts)


def _lost_digits(detections: list[Any]) -> bool:
    """Tell whether the candids of a light curve went through a float.

    They have 18 digits or more, of which a float holds 15: then every one of them is such that
    a float holds it, or ends in three zeros. A single honest one is like that one time in 200,
    and loses nothing by being told by its time.
    """
    candids = [row[ID_KEY] for row in detections if isinstance(row, dict)]
    whole = [one for one in candids if isinstance(one, int) and not isinstance(one, bool)]
    if any(isinstance(one, float) for one in candids):
        return True
    large = [one for one in whole if one > 2**53]
    return bool(large) and all(int(float(one)) == one or one % 1000 == 0 for one in large)


def _has_failed(row: Any) -> bool:
    flux = row.get("forcediffimflux", 0.0) if isinstance(row, dict) else 0.0
    return flux is None or (isinstance(flux, int | float) and flux < NO_FLUX)
