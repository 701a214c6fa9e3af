"""ALeRCE's ZTF API: a living source, one object at a time.

What decides how it is asked (read in the server's source, 2026-04): ``has_next`` is always
false, so pages end with a short one; a cone at exactly RA 0 or Dec 0 is dropped without a word;
light curves have no ``since``; an unknown object is a 404, an empty cone an empty list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from yse_ingest.errors import SourceRefusedError, SourceReplyError
from yse_ingest.schemas._load import load_rows
from yse_ingest.schemas.alerce import ID_KEY, DetectionSchema, ObjectSchema
from yse_ingest.sources.answers import (
    Reading,
    answer,
    inside_cone,
    look_radius,
    read_rows,
)
from yse_ingest.sources.base import Answer, Ask, Capabilities
from yse_ingest.sources.setup import Option
from yse_ingest.times import MJD_ZERO_JD, jd_of_time_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply
    from yse_ingest.sources.setup import Setup

PUBLIC_URL = "https://api.alerce.online/ztf/v1"
URL = Option("ALERCE_URL", "Address of ALeRCE's ZTF API.", default=PUBLIC_URL)
BATCH_SIZE = 10
PAGE_SIZE = 100
PAGES_MAX = 5
"""Five hundred objects within seconds of arc are no cone."""
NUDGE_DEG = 1e-9
MJD_MARGIN = 1e-6
"""More than the rounding of an MJD [d]."""


class AlerceSource:
    """Asks ALeRCE's ZTF API.

    Parameters
    ----------
    http
        Client of its base URL.
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
    )
    options: ClassVar[tuple[Option, ...]] = (URL,)

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._detection = DetectionSchema()
        self._object = ObjectSchema()

    @classmethod
    def from_setup(cls, setup: Setup) -> Self:
        """Return one, ready to be asked from any number of threads.

        Raises
        ------
        SettingsError
            When ``ALERCE_URL`` is no address.
        """
        return cls(setup.http(setup.value(URL) or PUBLIC_URL, service=cls.title))

    @property
    def url(self) -> str:
        """Return where it lives."""
        return self._http.base_url

    def close(self) -> None:
        """Give its connections back."""
        self._http.close()

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order."""
        deadline = self._http.deadline()
        for ask in asks:
            yield answer(ask, self._reader(ask, deadline), service=self.title)

    def _reader(self, ask: Ask, deadline: float) -> Callable[[bool], Reading]:
        def read(full: bool) -> Reading:
            since_ms = None if full else ask.since_ms
            object_ids = self._object_ids(ask, since_ms, deadline)
            return Reading.merged(
                self._light_curve(ask, object_id, deadline) for object_id in object_ids
            )

        return read

    def _object_ids(self, ask: Ask, since_ms: int | None, deadline: float) -> list[str]:
        """Return the objects whose light curves have to be read for one target."""
        target = ask.target
        wanted = [] if target.object_id is None else [target.object_id]
        if target.ra is None or target.dec is None:
            return wanted
        since_mjd = 0.0 if since_ms is None else jd_of_time_ms(since_ms) - MJD_ZERO_JD
        wanted += [
            found["object_id"]
            for found in self._cone(ask, target.ra, target.dec, deadline)
            if found["last_mjd"] is None or found["last_mjd"] >= since_mjd - MJD_MARGIN
        ]
        return list(dict.fromkeys(wanted))

    def _cone(self, ask: Ask, ra: float, dec: float, deadline: float) -> list[dict[str, Any]]:
        """Return the objects within the cone."""
        radius = look_radius(ask)
        query = {
            "ra": f"{ra or NUDGE_DEG:.10g}",
            "dec": f"{dec or NUDGE_DEG:.10g}",
            "radius": f"{radius:.7g}",
            "page_size": str(PAGE_SIZE),
            "order_by": "oid",
            "order_mode": "ASC",
        }
        rows: list[Any] = []
        for number in range(1, PAGES_MAX + 1):
            page = {**query, "page": str(number)}
            # Without the slash it redirects, and was seen to hang.
            reply = self._http.get("objects/", page, deadline=deadline)
            items = self._content(reply, "items")
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

    def _light_curve(self, ask: Ask, object_id: str, deadline: float) -> Reading:
        """Return the detections of one object; none where it is not known."""
        path = f"objects/{quote(object_id, safe='')}/lightcurve"
        reply = self._http.get(path, {"survey_id": "ztf"}, deadline=deadline)
        if reply.status == 404 and _is_unknown_object(reply):
            return Reading.merged([])
        return read_rows(
            self._detection,
            self._content(reply, "detections"),
            id_key=ID_KEY,
            date_format="mjd",
            bands=ask.rules.band_map,
            object_id=object_id,
            rules=ask.rules,
        )

    def _content(self, reply: HttpReply, key: str) -> list[Any]:
        if reply.status != 200:
            raise SourceRefusedError(
                f"answered {reply.describe()}",
                service=self.title,
                remedy="Check ALERCE_URL and the target.",
            )
        content = reply.json()
        rows = content.get(key) if isinstance(content, dict) else None
        if not isinstance(rows, list):
            raise SourceReplyError(
                f"answered no list of {key} ({reply.describe()})",
                service=self.title,
                remedy="Check that ALERCE_URL is the address of ALeRCE's ZTF API.",
            )
        return rows


def _is_unknown_object(reply: HttpReply) -> bool:
    """Tell the API's own 404 from that of a wrong address."""
    try:
        content = reply.json()
    except SourceReplyError:
        return False
    return isinstance(content, dict) and "message" in content
