"""Which of ALeRCE's objects of ZTF are meant, and which of many were detected since."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from yse_ingest.errors import SourceReplyError, YseIngestError
from yse_ingest.schemas._load import load_rows
from yse_ingest.schemas.alerce import LastSeenSchema, ObjectSchema
from yse_ingest.schemas.alert_fields import MJD_LIMITS
from yse_ingest.sources.answers import check_listed, inside_cone, look_radius
from yse_ingest.sources.batches import TOO_LONG, in_parts, known_objects, rows_of
from yse_ingest.times import MJD_ZERO_JD, jd_of_time_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yse_ingest.sources.base import Ask
    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply
    from yse_ingest.sources.setup import Option

    LastSeen = Mapping[str, float | YseIngestError]
    """Object id to its last detection [MJD, UTC], or to why that is not known."""

LIST_MAX = 100
"""Object ids of one request."""
PAGE_SIZE = 100
PAGES_MAX = 5
"""Five hundred objects within seconds of arc are no cone."""
NUDGE_DEG = 1e-9
MJD_MARGIN = 1e-6
"""More than the rounding of an MJD [d]."""


class AlerceObjects:
    """Asks ``/objects/`` of ALeRCE's ZTF API.

    Parameters
    ----------
    http
        Client of the API.
    option
        The setting that holds its address.
    """

    def __init__(self, http: HttpClient, option: Option) -> None:
        self._http = http
        self._option = option
        self._last_seen = LastSeenSchema()
        self._object = ObjectSchema()

    def last_detections(self, batch: Sequence[Ask], deadline: float) -> LastSeen:
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
            items = rows_of(reply, option=self._option, key="items")
            seen, refused = load_rows(self._last_seen, items, id_key="oid")
            found |= {one["object_id"]: one["last_mjd"] for one in seen}
            # Of an object that cannot be read it is not known: its light curve will tell.
            found |= {one.native_id or "": MJD_LIMITS[1] for one in refused}
            if others := found.keys() - set(object_ids):
                raise SourceReplyError(
                    "answered without the filter: nobody asked for "
                    f"{min(others) or 'an object without oid'}",
                    service=self._http.service,
                    remedy="Nothing of it is used; check that its URL is the right one.",
                )
            if len(items) < PAGE_SIZE:
                return found
        raise SourceReplyError(
            f"lists {len(object_ids)} objects on more than {PAGES_MAX} pages",
            service=self._http.service,
            remedy="Nothing of it is used; check that its URL is the right one.",
        )

    def near(self, ask: Ask, deadline: float) -> list[str]:
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
            items = rows_of(
                self._page(query, number, deadline), option=self._option, key="items"
            )
            rows += items
            if len(items) < PAGE_SIZE:
                break
            self._inside(rows, ra=ra, dec=dec, radius=radius)
        else:
            raise SourceReplyError(
                f"has more than {PAGES_MAX * PAGE_SIZE} objects in one cone",
                service=self._http.service,
                remedy="Make the cone smaller.",
            )
        return self._inside(rows, ra=ra, dec=dec, radius=radius)

    def _inside(
        self, rows: list[Any], *, ra: float, dec: float, radius: float
    ) -> list[dict[str, Any]]:
        found, refused = load_rows(self._object, rows, id_key="oid")
        check_listed(found, refused, service=self._http.service)
        return inside_cone(found, ra=ra, dec=dec, radius=radius, service=self._http.service)

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


def _since_mjd(ask: Ask) -> float:
    """Return when the newest detection was that is known [MJD, UTC]."""
    known_ms = ask.since_ms if ask.newest_ms is None else ask.newest_ms
    return jd_of_time_ms(known_ms or 0) - MJD_ZERO_JD


def changed(ask: Ask, known: Sequence[str], last_seen: LastSeen) -> list[str]:
    """Return the objects of a target that were detected since.

    Raises
    ------
    YseIngestError
        When that is not known of one.
    """
    if not last_seen.keys() & set(known):
        # The one of its newest detection must be listed: the list has not got everything.
        return list(known)
    newer = []
    for object_id in known:
        last_mjd = last_seen.get(object_id, 0.0)
        if isinstance(last_mjd, YseIngestError):
            raise last_mjd
        if last_mjd > _since_mjd(ask) + MJD_MARGIN:
            newer.append(object_id)
    return newer
