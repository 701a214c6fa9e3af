"""ALeRCE's APIs for ZTF: a living source, one light curve at a time.

What decides how it is asked (read in the server's source, 2026-04): ``has_next`` is always
false, so pages end with a short one; a cone at exactly RA 0 or Dec 0 is dropped without a word;
light curves have no ``since``; an unknown object is a 404, an empty cone an empty list. One
object id in a list is a pattern, two or more are names; long lists were answered with 502.

Which of many objects were detected since is one question for all of them. Only those are read,
a request each; the others are answered as empty. Forced photometry comes from a service of its
own, where an unknown object is an empty list; when that fails, the detections still count.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from yse_ingest.errors import SourceReplyError, SourceUnavailableError, YseIngestError
from yse_ingest.photometry import Alerts
from yse_ingest.schemas.alerce import (
    ID_KEY,
    UNDEFINED,
    DetectionSchema,
    ForcedSchema,
    LimitSchema,
)
from yse_ingest.sources.alerce_objects import AlerceObjects, changed
from yse_ingest.sources.answers import (
    Reading,
    answer,
    check_forced,
    read_forced,
    read_limits,
    read_rows,
)
from yse_ingest.sources.base import ZTF, Answer, Ask, Capabilities, Kind
from yse_ingest.sources.batches import known_objects, rows_of
from yse_ingest.sources.broker import HttpSource, of_ztf
from yse_ingest.sources.naming import of_survey
from yse_ingest.sources.setup import Option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from yse_ingest.sources.alerce_objects import LastSeen
    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply
    from yse_ingest.sources.setup import Setup

PUBLIC_URL = "https://api.alerce.online/ztf/v1"
PUBLIC_FORCED_URL = "https://api.alerce.online/v2/lightcurve"
URL = Option("ALERCE_URL", "Address of ALeRCE's ZTF API.", default=PUBLIC_URL)
FORCED_URL = Option(
    "ALERCE_FORCED_URL",
    "Address of ALeRCE's light-curve API, version 2, for forced photometry of ZTF.",
    default=PUBLIC_FORCED_URL,
)
BATCH_SIZE = 50
"""Targets of one question."""


@dataclass
class _Batch:
    """What is known while the targets of one batch are read."""

    deadline: float
    last_seen: LastSeen
    forced_away: SourceUnavailableError | None = None
    """Why forced photometry cannot be had now: it must not take the time of the others."""


class AlerceSource(HttpSource):
    """Asks ALeRCE's APIs for ZTF.

    Parameters
    ----------
    http
        Client of the base URL of objects and light curves.
    forced
        Client of the base URL of forced photometry.
    """

    name: ClassVar[str] = "alerce"
    title: ClassVar[str] = "ALeRCE"
    capabilities: ClassVar[Capabilities] = of_ztf(
        batch_size=BATCH_SIZE,
        kinds=frozenset({Kind.DETECTION, Kind.FORCED, Kind.LIMIT}),
    )
    options: ClassVar[tuple[Option, ...]] = (URL, FORCED_URL)

    def __init__(self, http: HttpClient, *, forced: HttpClient) -> None:
        super().__init__(http)
        self._objects = AlerceObjects(http, URL)
        self._forced_http = forced
        self._detection = DetectionSchema()
        self._limit = LimitSchema()
        self._forced = ForcedSchema()

    @classmethod
    def from_setup(cls, setup: Setup) -> Self:
        """Return one, ready to be asked from any number of threads.

        Raises
        ------
        SettingsError
            When ``ALERCE_URL`` or ``ALERCE_FORCED_URL`` is no address.
        """
        return cls(
            setup.http(setup.value(URL) or "", service=cls.title),
            forced=setup.http(setup.value(FORCED_URL) or "", service=cls.title),
        )

    def close(self) -> None:
        """Give its connections back."""
        super().close()
        self._forced_http.close()

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order."""
        deadline = self.http.deadline()
        for start in range(0, len(asks), BATCH_SIZE):
            some = [of_survey(ask, ZTF) for ask in asks[start : start + BATCH_SIZE]]
            batch = _Batch(deadline, self._objects.last_detections(some, deadline))
            for ask in some:
                yield answer(ask, partial(self._read, ask, batch), service=self.title)

    def _read(self, ask: Ask, batch: _Batch, full: bool) -> Reading:
        known = () if full else known_objects(ask)
        if known:
            object_ids = changed(ask, known, batch.last_seen)
        else:
            object_ids = self._objects.near(ask, batch.deadline)
        return Reading.merged(
            self._light_curve(ask, object_id, batch) for object_id in object_ids
        )

    # Light curves ---------------------------------------------------------------------------

    def _light_curve(self, ask: Ask, object_id: str, batch: _Batch) -> Reading:
        """Return what is wanted of one object; nothing where it is not known."""
        path = f"objects/{quote(object_id, safe='')}/lightcurve"
        reply = self.http.get(path, {"survey_id": "ztf"}, deadline=batch.deadline)
        if reply.status == 404 and _is_unknown_object(reply):
            return Reading.merged([])
        bands = ask.rules.band_map
        parts = [
            read_rows(
                self._detection,
                rows_of(reply, option=URL, key="detections"),
                id_key=ID_KEY,
                date_format="mjd",
                bands=bands,
                object_id=object_id,
                rules=ask.rules,
            )
        ]
        if Kind.LIMIT in ask.kinds:
            limits = rows_of(reply, option=URL, key="non_detections")
            parts.append(
                read_limits(
                    self._limit, limits, date_format="mjd", bands=bands, object_id=object_id
                )
            )
        if Kind.FORCED in ask.kinds:
            parts.append(self._forced_photometry(ask, object_id, batch))
        return Reading.merged(parts)

    def _forced_photometry(self, ask: Ask, object_id: str, batch: _Batch) -> Reading:
        """Return what was measured at an object's place, or why that cannot be had."""
        try:
            if batch.forced_away is not None:
                raise batch.forced_away
            rows = self._forced_rows(object_id, batch.deadline)
            measured = [row for row in rows if not _is_undefined(row)]
            reading = read_forced(
                self._forced,
                measured,
                id_key=ID_KEY,
                date_format="mjd",
                bands=ask.rules.band_map,
                rules=ask.rules,
            )
            check_forced(reading, object_id, service=self.title)
        except YseIngestError as error:
            if isinstance(error, SourceUnavailableError):
                batch.forced_away = error
            lacking = f"its forced photometry could not be read: {error.fact}"
            return Reading(Alerts.empty(), lacking=lacking)
        undefined = Counter({(object_id, "has no flux (100)"): len(rows) - len(measured)})
        return Reading.merged([reading, Reading(Alerts.empty(), dropped=+undefined)])

    def _forced_rows(self, object_id: str, deadline: float) -> list[Any]:
        path = f"forced-photometry/{quote(object_id, safe='')}"
        reply = self._forced_http.get(path, {"survey_id": "ztf"}, deadline=deadline)
        return rows_of(reply, option=FORCED_URL)


def _is_undefined(row: object) -> bool:
    """Tell whether the service has no flux for this exposure."""
    return isinstance(row, dict) and UNDEFINED in (row.get("mag"), row.get("e_mag"))


def _is_unknown_object(reply: HttpReply) -> bool:
    """Tell the API's own 404 from that of a wrong address."""
    try:
        content = reply.json()
    except SourceReplyError:
        return False
    return isinstance(content, dict) and "message" in content
