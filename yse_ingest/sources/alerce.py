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
from yse_ingest.schemas._load import load_rows
from yse_ingest.schemas.alerce import (
    ID_KEY,
    MJD_LIMITS,
    UNDEFINED,
    DetectionSchema,
    ForcedSchema,
    LastSeenSchema,
    LimitSchema,
    ObjectSchema,
)
from yse_ingest.sources.answers import (
    Reading,
    answer,
    check_forced,
    inside_cone,
    look_radius,
    read_forced,
    read_limits,
    read_rows,
)
from yse_ingest.sources.base import Answer, Ask, Capabilities, Kind
from yse_ingest.sources.batches import TOO_LONG, in_parts, known_objects, rows_of
from yse_ingest.sources.setup import Option
from yse_ingest.times import MJD_ZERO_JD, jd_of_time_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Self

    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply
    from yse_ingest.sources.setup import Setup

    LastSeen = Mapping[str, float | YseIngestError]
    """Object id to its last detection [MJD, UTC], or to why that is not known."""

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
LIST_MAX = 100
"""Object ids of one request."""
PAGE_SIZE = 100
PAGES_MAX = 5
"""Five hundred objects within seconds of arc are no cone."""
NUDGE_DEG = 1e-9
MJD_MARGIN = 1e-6
"""More than the rounding of an MJD [d]."""


@dataclass
class _Batch:
    """What is known while the targets of one batch are read."""

    deadline: float
    last_seen: LastSeen
    forced_away: SourceUnavailableError | None = None
    """Why forced photometry cannot be had now: it must not take the time of the others."""


class AlerceSource:
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
    capabilities: ClassVar[Capabilities] = Capabilities(
        batch_size=BATCH_SIZE,
        by_id=True,
        by_position=True,
        since="client",
        exposure_tolerance_s=16.0,
        bands=("g", "r", "i"),
        kinds=frozenset({Kind.DETECTION, Kind.FORCED, Kind.LIMIT}),
    )
    options: ClassVar[tuple[Option, ...]] = (URL, FORCED_URL)

    def __init__(self, http: HttpClient, *, forced: HttpClient) -> None:
        self._http = http
        self._forced_http = forced
        self._detection = DetectionSchema()
        self._limit = LimitSchema()
        self._forced = ForcedSchema()
        self._last_seen = LastSeenSchema()
        self._object = ObjectSchema()

    @classmethod
    def from_setup(cls, setup: Setup) -> Self:
        """Return one, ready to be asked from any number of threads.

        Raises
        ------
        SettingsError
            When ``ALERCE_URL`` or ``ALERCE_FORCED_URL`` is no address.
        """
        return cls(
            setup.http(setup.value(URL) or PUBLIC_URL, service=cls.title),
            forced=setup.http(setup.value(FORCED_URL) or PUBLIC_FORCED_URL, service=cls.title),
        )

    @property
    def url(self) -> str:
        """Return where it lives."""
        return self._http.base_url

    def close(self) -> None:
        """Give its connections back."""
        self._http.close()
        self._forced_http.close()

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order."""
        deadline = self._http.deadline()
        for start in range(0, len(asks), BATCH_SIZE):
            some = asks[start : start + BATCH_SIZE]
            batch = _Batch(deadline, self._last_detections(some, deadline))
            for ask in some:
                yield answer(ask, partial(self._read, ask, batch), service=self.title)

    def _read(self, ask: Ask, batch: _Batch, full: bool) -> Reading:
        known = () if full else known_objects(ask)
        if known:
            object_ids = _changed(ask, known, batch.last_seen)
        else:
            object_ids = self._near(ask, batch.deadline)
        return Reading.merged(
            self._light_curve(ask, object_id, batch) for object_id in object_ids
        )

    # Which objects --------------------------------------------------------------------------

    def _last_detections(self, batch: Sequence[Ask], deadline: float) -> LastSeen:
        """Return the last detection of each object, in one request for up to `LIST_MAX`.

        An object that was not seen since the earliest newest detection of all is missing.
        """
        asks = [ask for ask in batch if known_objects(ask)]
        wanted = list(dict.fromkeys(one for ask in asks for one in known_objects(ask)))
        if not wanted:
            return {}
        since = min(map(_since_mjd, asks)) - MJD_MARGIN
        found: dict[str, float | YseIngestError] = {}
        for start in range(0, len(wanted), LIST_MAX):
            part = wanted[start : start + LIST_MAX]
            found |= in_parts(part, partial(self._list, since, deadline))
        return found

    def _list(
        self, since: float, deadline: float, object_ids: Sequence[str]
    ) -> dict[str, float] | None:
        """Return the last detections since a date; None where the list is too long."""
        # One id alone would be a pattern of SQL.
        oids = object_ids if len(object_ids) > 1 else [*object_ids, *object_ids]
        query = {"oid": oids, "lastmjd": [f"{since:.8f}", f"{MJD_LIMITS[1]:.1f}"]}
        final = TOO_LONG if len(object_ids) > 1 else frozenset[int]()
        found: dict[str, float] = {}
        for number in range(1, PAGES_MAX + 1):
            reply = self._page(query, number, deadline, final=final)
            if reply.status in final:
                return None
            items = rows_of(reply, option=URL, key="items")
            seen, refused = load_rows(self._last_seen, items, id_key="oid")
            found |= {one["object_id"]: one["last_mjd"] for one in seen}
            # Of an object that cannot be read it is not known: its light curve will tell.
            found |= {one.native_id or "": MJD_LIMITS[1] for one in refused}
            if others := found.keys() - set(object_ids):
                raise SourceReplyError(
                    "answered without the filter: nobody asked for "
                    f"{min(others) or 'an object without oid'}",
                    service=self.title,
                    remedy="Nothing of it is used; check that its URL is the right one.",
                )
            if len(items) < PAGE_SIZE:
                return found
        raise SourceReplyError(
            f"lists {len(object_ids)} objects on more than {PAGES_MAX} pages",
            service=self.title,
            remedy="Nothing of it is used; check that its URL is the right one.",
        )

    def _near(self, ask: Ask, deadline: float) -> list[str]:
        """Return every object that may be the target: the one it names, and those near it."""
        target = ask.target
        wanted = [] if target.object_id is None else [target.object_id]
        if target.ra is not None and target.dec is not None:
            cone = self._cone(ask, target.ra, target.dec, deadline)
            wanted += [found["object_id"] for found in cone]
        return list(dict.fromkeys(wanted))

    def _cone(self, ask: Ask, ra: float, dec: float, deadline: float) -> list[dict[str, Any]]:
        """Return the objects within the cone."""
        radius = look_radius(ask)
        query = {
            "ra": f"{ra or NUDGE_DEG:.10g}",
            "dec": f"{dec or NUDGE_DEG:.10g}",
            "radius": f"{radius:.7g}",
        }
        rows: list[Any] = []
        for number in range(1, PAGES_MAX + 1):
            items = rows_of(self._page(query, number, deadline), option=URL, key="items")
            rows += items
            if len(items) < PAGE_SIZE:
                break
            self._inside(rows, ra=ra, dec=dec, radius=radius)
        else:
            raise SourceReplyError(
                f"has more than {PAGES_MAX * PAGE_SIZE} objects in one cone",
                service=self.title,
                remedy="Make the cone smaller.",
            )
        return self._inside(rows, ra=ra, dec=dec, radius=radius)

    def _inside(
        self, rows: list[Any], *, ra: float, dec: float, radius: float
    ) -> list[dict[str, Any]]:
        found, refused = load_rows(self._object, rows, id_key="oid")
        if refused:
            raise SourceReplyError(
                f"lists an object that cannot be read: {refused[0]}", service=self.title
            )
        return inside_cone(found, ra=ra, dec=dec, radius=radius, service=self.title)

    def _page(
        self,
        query: Mapping[str, str | Sequence[str]],
        number: int,
        deadline: float,
        *,
        final: frozenset[int] = frozenset(),
    ) -> HttpReply:
        page = {
            **query,
            "page_size": str(PAGE_SIZE),
            "order_by": "oid",
            "order_mode": "ASC",
            "page": str(number),
        }
        # Without the slash it redirects, and was seen to hang.
        return self._http.get("objects/", page, deadline=deadline, final=final)

    # Light curves ---------------------------------------------------------------------------

    def _light_curve(self, ask: Ask, object_id: str, batch: _Batch) -> Reading:
        """Return what is wanted of one object; nothing where it is not known."""
        path = f"objects/{quote(object_id, safe='')}/lightcurve"
        reply = self._http.get(path, {"survey_id": "ztf"}, deadline=batch.deadline)
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


def _since_mjd(ask: Ask) -> float:
    """Return when the newest detection was that is known [MJD, UTC]."""
    known_ms = ask.since_ms if ask.newest_ms is None else ask.newest_ms
    return jd_of_time_ms(known_ms or 0) - MJD_ZERO_JD


def _changed(ask: Ask, known: Sequence[str], last_seen: LastSeen) -> list[str]:
    """Return the objects of a target that were detected since.

    Raises
    ------
    YseIngestError
        When that is not known of one.
    """
    if not last_seen.keys() & set(known):
        # The one of its newest detection must be listed: the list has not got everything.
        return list(known)
    changed = []
    for object_id in known:
        last_mjd = last_seen.get(object_id, 0.0)
        if isinstance(last_mjd, YseIngestError):
            raise last_mjd
        if last_mjd > _since_mjd(ask) + MJD_MARGIN:
            changed.append(object_id)
    return changed


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
