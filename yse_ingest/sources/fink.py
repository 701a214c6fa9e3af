"""Fink's API for ZTF: the light curves of many objects in one request.

What decides how it is asked (read in the server's source, 2026-06): ``/objects`` takes a list
of object ids and has no ``since``; a cone search leaves out alerts beyond ``n`` without a word,
and hides that it did where both ``i:objectId`` and ``i:jd`` are asked for; an unknown object
and an empty cone are an empty list; upper limits come only for a JSON ``true``, since the text
``"true"`` is ignored; a refusal is a 400 whose body is no JSON. Its tables are filled once a
day, begin on 2019-11-01, and hold alerts of rb >= 0.55 without bad pixels.

A question about what is new asks for the objects that were accepted before, all of a batch in
one request. A new id of the same object is found when everything is read.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from yse_ingest.errors import (
    SourceRefusedError,
    SourceReplyError,
    TargetError,
    YseIngestError,
)
from yse_ingest.photometry import Alerts, Limits
from yse_ingest.schemas._load import load_rows
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
from yse_ingest.sources.answers import (
    Reading,
    answer,
    inside_cone,
    look_radius,
    read_limits,
    read_rows,
)
from yse_ingest.sources.base import Answer, Ask, Capabilities, Kind
from yse_ingest.sources.setup import Option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply
    from yse_ingest.sources.setup import Setup

    Curves = Mapping[str, list[Any] | YseIngestError]
    """Object id to its rows, or to what kept them away."""

PUBLIC_URL = "https://api.ztf.fink-portal.org/api/v1"
URL = Option("FINK_URL", "Address of Fink's ZTF API.", default=PUBLIC_URL)
BATCH_SIZE = 50
"""Targets, and object ids, of one request."""
CONE_ALERTS = 5000
"""So many alerts within seconds of arc are no supernova."""
_SPLIT_STATUSES = frozenset({413, 500})
_DROPPED = {BAD_QUALITY: "fails Fink's cuts (badquality)"}


@dataclass(frozen=True)
class _Wanted:
    """The objects whose light curves have to be read for one question."""

    object_ids: tuple[str, ...]
    everything: bool
    """Whether these are all objects of the place, not only those known before."""


class FinkSource:
    """Asks Fink's API for ZTF.

    Parameters
    ----------
    http
        Client of its base URL.
    """

    name: ClassVar[str] = "fink"
    title: ClassVar[str] = "Fink"
    capabilities: ClassVar[Capabilities] = Capabilities(
        batch_size=BATCH_SIZE,
        by_id=True,
        by_position=True,
        since="client",
        exposure_tolerance_s=16.0,
        bands=("g", "r", "i"),
        kinds=frozenset({Kind.DETECTION, Kind.LIMIT}),
    )
    options: ClassVar[tuple[Option, ...]] = (URL,)

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._alert = AlertSchema()
        self._limit = LimitSchema()
        self._place = PlaceSchema()

    @classmethod
    def from_setup(cls, setup: Setup) -> Self:
        """Return one, ready to be asked from any number of threads.

        Raises
        ------
        SettingsError
            When ``FINK_URL`` is no address.
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
        for start in range(0, len(asks), BATCH_SIZE):
            batch = asks[start : start + BATCH_SIZE]
            wanted = [self._wanted(ask, deadline) for ask in batch]
            curves = self._light_curves(
                (
                    one
                    for each in wanted
                    if isinstance(each, _Wanted)
                    for one in each.object_ids
                ),
                limits=any(Kind.LIMIT in ask.kinds for ask in batch),
                deadline=deadline,
            )
            for ask, each in zip(batch, wanted, strict=True):
                yield answer(ask, self._reader(ask, each, curves, deadline), service=self.title)

    def _reader(
        self,
        ask: Ask,
        wanted: _Wanted | YseIngestError,
        curves: Curves,
        deadline: float,
    ) -> Callable[[bool], Reading]:
        """Return what reads one target: from the batch, or anew where that cannot tell."""

        def read(full: bool) -> Reading:
            if isinstance(wanted, YseIngestError):
                raise wanted
            if wanted.everything or not full:
                return self._reading(ask, wanted.object_ids, curves)
            object_ids = self._object_ids(ask, deadline)
            again = self._light_curves(
                object_ids, limits=Kind.LIMIT in ask.kinds, deadline=deadline
            )
            return self._reading(ask, object_ids, again)

        return read

    # Which objects --------------------------------------------------------------------------

    def _wanted(self, ask: Ask, deadline: float) -> _Wanted | YseIngestError:
        try:
            if ask.since_ms is not None and ask.known_objects:
                known = (ask.target.object_id, *ask.known_objects)
                return _Wanted(tuple(_checked(known, ask)), everything=False)
            return _Wanted(self._object_ids(ask, deadline), everything=True)
        except YseIngestError as error:
            return error

    def _object_ids(self, ask: Ask, deadline: float) -> tuple[str, ...]:
        """Return every object that may be the target: the one it names, and those near it."""
        target = ask.target
        wanted = _checked((target.object_id,), ask)
        if target.ra is not None and target.dec is not None:
            wanted += self._cone(ask, target.ra, target.dec, deadline)
        return tuple(dict.fromkeys(wanted))

    def _cone(self, ask: Ask, ra: float, dec: float, deadline: float) -> list[str]:
        """Return the ids of the objects that have an alert within the cone."""
        radius = look_radius(ask)
        # With i:jd among the columns it would answer one alert per object, after having cut
        # at n: without, as many rows as n say that something may be missing.
        cone = {
            "ra": ra,
            "dec": dec,
            "radius": round(radius, 6),
            "n": CONE_ALERTS,
            "columns": ",".join(PLACE_COLUMNS),
        }
        rows = self._rows(self._post("conesearch", cone, deadline))
        if len(rows) >= CONE_ALERTS:
            raise SourceReplyError(
                f"has {CONE_ALERTS} alerts or more in one cone, and leaves out the others",
                service=self.title,
                remedy="Make the cone smaller.",
            )
        found, refused = load_rows(self._place, rows, id_key=OBJECT_KEY)
        if refused:
            raise SourceReplyError(
                f"lists an object that cannot be read: {refused[0]}", service=self.title
            )
        inside = inside_cone(found, ra=ra, dec=dec, radius=radius, service=self.title)
        return [str(one["object_id"]) for one in inside]

    # Light curves ---------------------------------------------------------------------------

    def _light_curves(
        self, object_ids: Iterable[str], *, limits: bool, deadline: float
    ) -> Curves:
        """Return the rows of each object, none where it is not known, or what went wrong."""
        wanted = list(dict.fromkeys(object_ids))
        curves: dict[str, list[Any] | YseIngestError] = {}
        for start in range(0, len(wanted), BATCH_SIZE):
            part = wanted[start : start + BATCH_SIZE]
            curves.update(self._batch(part, limits=limits, deadline=deadline))
        return curves

    def _batch(self, object_ids: list[str], *, limits: bool, deadline: float) -> Curves:
        content: dict[str, Any] = {
            "objectId": ",".join(object_ids),
            "columns": ",".join(ALERT_COLUMNS),
        }
        if limits:
            content["withupperlim"] = True  # as text it would be ignored
        try:
            reply = self._post("objects", content, deadline)
            if reply.status in _SPLIT_STATUSES and len(object_ids) > 1:
                middle = len(object_ids) // 2
                halves = (object_ids[:middle], object_ids[middle:])
                first, second = (
                    self._batch(half, limits=limits, deadline=deadline) for half in halves
                )
                return {**first, **second}
            return self._by_object(self._rows(reply), object_ids)
        except YseIngestError as error:
            return dict.fromkeys(object_ids, error)

    def _by_object(self, rows: list[Any], object_ids: list[str]) -> dict[str, list[Any]]:
        """Return the rows of each object that was asked for."""
        curves: dict[str, list[Any]] = {object_id: [] for object_id in object_ids}
        for row in rows:
            object_id = row.get(OBJECT_KEY) if isinstance(row, dict) else None
            if object_id is None:
                raise SourceReplyError(
                    f"format changed: a row has no {OBJECT_KEY}",
                    service=self.title,
                    remedy="Nothing of it is used. Look for a newer yse_ingest.",
                )
            if object_id not in curves:
                raise SourceReplyError(
                    f"answered without the filter: a row is of {object_id}, which nobody "
                    "asked for",
                    service=self.title,
                    remedy="Nothing of it is used; check that its URL is the right one.",
                )
            curves[object_id].append(row)
        return curves

    def _reading(
        self,
        ask: Ask,
        object_ids: Iterable[str],
        curves: Curves,
    ) -> Reading:
        """Return the rows of some objects, told apart by their tags."""
        alerts: list[Any] = []
        limits: list[Any] = []
        dropped: Counter[tuple[str, str]] = Counter()
        for object_id in object_ids:
            rows = curves[object_id]
            if isinstance(rows, YseIngestError):
                raise rows
            for row in rows:
                tag = row.get(TAG_KEY, VALID)
                if tag == VALID:
                    alerts.append(row)
                elif tag == UPPER_LIMIT:
                    limits.append(row)
                else:
                    dropped[object_id, _DROPPED.get(tag, f"has the tag {tag}")] += 1
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

    # Requests -------------------------------------------------------------------------------

    def _post(self, path: str, content: dict[str, Any], deadline: float) -> HttpReply:
        content = {**content, "output-format": "json"}
        return self._http.post_json(path, content, deadline=deadline)

    def _rows(self, reply: HttpReply) -> list[Any]:
        """Return the rows of a reply.

        Raises
        ------
        SourceError
            When it is a refusal, or no list.
        """
        if reply.status != 200:
            raise SourceRefusedError(
                f"answered {reply.describe()}",
                service=self.title,
                remedy="Check FINK_URL and the target.",
            )
        rows = reply.json()
        if not isinstance(rows, list):
            raise SourceReplyError(
                f"answered no list of rows ({reply.describe()})",
                service=self.title,
                remedy="Check that FINK_URL is the address of Fink's ZTF API.",
            )
        return rows


def _checked(object_ids: Iterable[str | None], ask: Ask) -> list[str]:
    """Return the ids that are given.

    Raises
    ------
    TargetError
        When one holds a comma: it would be taken for several.
    """
    given = [object_id for object_id in object_ids if object_id is not None]
    for object_id in given:
        if "," in object_id:
            raise TargetError(
                "the object id holds a comma",
                service="Fink",
                target=ask.target.name,
                field="object_id",
                value=object_id,
                remedy="Name one object.",
            )
    return given
