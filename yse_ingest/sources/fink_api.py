"""What Fink's two APIs, for ZTF and for LSST, have in common.

What decides how they are asked (read in the server's source, 2026-06): the light curves of a
list of objects are one request, which has no ``since``; a cone search leaves out alerts beyond
``n`` without a word, and hides that it did where both the object and the time are asked for; an
unknown object and an empty cone are an empty list; a refusal is a 400 whose body is no JSON.

A question about what is new asks for the objects that were accepted before, all of a batch in
one request. A new id of the same object is found when everything is read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from yse_ingest.errors import (
    FormatChangedError,
    SourceReplyError,
    TargetError,
    YseIngestError,
)
from yse_ingest.schemas._load import load_rows
from yse_ingest.sources.answers import Reading, check_listed, inside_cone, look_radius
from yse_ingest.sources.batches import batched, in_parts, rows_of
from yse_ingest.sources.broker import HttpSource
from yse_ingest.sources.naming import of_survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from marshmallow import Schema

    from yse_ingest.sources.base import Answer, Ask, Kind
    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply

    Rows = Mapping[str, list[Any]]
    """Route to the rows that it answered."""

BATCH_SIZE = 50
"""Targets, and object ids, of one request."""
CONE_ALERTS = 5000
"""So many alerts within seconds of arc are no supernova."""
_TOO_LONG = frozenset({413, 500})


@dataclass(frozen=True)
class Naming:
    """What one survey calls the same things."""

    object_parameter: str
    """Parameter of a request: which objects."""
    object_key: str
    """Column of a row: of which object it is."""
    place_columns: tuple[str, ...]
    """Columns of a cone search. Without the time, or it would answer one alert per object
    after having cut at ``n``: as many rows as ``n`` say that something may be missing."""
    place_schema: type[Schema]
    """Loads a row of a cone search to ``object_id``, ``ra`` and ``dec``."""


@dataclass(frozen=True)
class Table:
    """One kind of rows: where they are, and how they are asked for."""

    route: str
    content: Mapping[str, Any] = field(default_factory=dict)
    """What its request holds beside the objects."""
    never_empty: bool = False
    """Every object that is known has rows: a list without any is asked object by object."""


@dataclass(frozen=True)
class _Curve:
    """What there is of one object: the rows of each route, or what kept them away."""

    object_id: str
    rows: Mapping[str, list[Any] | YseIngestError]


class FinkApi(HttpSource, ABC):
    """Asks one of Fink's APIs.

    Parameters
    ----------
    http
        Client of its base URL.
    """

    naming: ClassVar[Naming]
    cone_alerts: ClassVar[int] = CONE_ALERTS
    """Alerts of one cone beyond which nothing is believed."""

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self._place = self.naming.place_schema()

    @abstractmethod
    def _tables(self, kinds: frozenset[Kind]) -> tuple[Table, ...]:
        """Return the tables that hold rows of these kinds, that of the detections first."""

    @abstractmethod
    def _read(self, ask: Ask, rows: Rows) -> Reading:
        """Return the rows of the objects that may be the target."""

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order."""
        deadline = self.http.deadline()
        return batched(
            [of_survey(ask, self.capabilities.survey) for ask in asks],
            size=BATCH_SIZE,
            find=partial(self._object_ids, deadline),
            read=partial(self._curves, deadline),
            reading=self._reading,
            service=self.title,
        )

    # Which objects --------------------------------------------------------------------------

    def _object_ids(self, deadline: float, ask: Ask) -> list[str]:
        """Return every object that may be the target: the one it names, and those near it."""
        target = ask.target
        wanted = [] if target.object_id is None else [_checked(target.object_id, ask)]
        if target.ra is not None and target.dec is not None:
            wanted += self._cone(ask, target.ra, target.dec, deadline)
        return wanted

    def _cone(self, ask: Ask, ra: float, dec: float, deadline: float) -> list[str]:
        """Return the ids of the objects that have an alert within the cone."""
        radius = look_radius(ask)
        cone = {
            "ra": ra,
            "dec": dec,
            "radius": round(radius, 6),
            "n": self.cone_alerts,
            "columns": ",".join(self.naming.place_columns),
        }
        rows = rows_of(self._post("conesearch", cone, deadline), option=self.options[0])
        if len(rows) >= self.cone_alerts:
            raise SourceReplyError(
                f"has {self.cone_alerts} alerts or more in one cone, and leaves out the others",
                service=self.title,
                remedy="Make the cone smaller.",
            )
        found, refused = load_rows(self._place, rows, id_key=self.naming.object_key)
        check_listed(found, refused, service=self.title)
        inside = inside_cone(found, ra=ra, dec=dec, radius=radius, service=self.title)
        return [str(one["object_id"]) for one in inside]

    # Light curves ---------------------------------------------------------------------------

    def _curves(
        self, deadline: float, object_ids: Sequence[str], kinds: frozenset[Kind]
    ) -> Mapping[str, _Curve | YseIngestError]:
        """Return the rows of each object, none where it is not known, or what went wrong."""
        main, *others = self._tables(kinds)
        found = self._table(main, object_ids, deadline)
        more = {table.route: self._table(table, object_ids, deadline) for table in others}
        return {
            object_id: rows
            if isinstance(rows, YseIngestError)
            else _Curve(
                object_id,
                {main.route: rows} | {route: each[object_id] for route, each in more.items()},
            )
            for object_id, rows in found.items()
        }

    def _table(
        self, table: Table, object_ids: Sequence[str], deadline: float
    ) -> dict[str, list[Any] | YseIngestError]:
        read = partial(self._part, table, deadline)
        found: dict[str, list[Any] | YseIngestError] = {}
        for start in range(0, len(object_ids), BATCH_SIZE):
            part = object_ids[start : start + BATCH_SIZE]
            rows = in_parts(part, read)
            if table.never_empty and len(part) > 1 and not any(rows.values()):
                rows = {
                    one: got for each in part for one, got in in_parts([each], read).items()
                }
            found |= rows
        return found

    def _part(
        self, table: Table, deadline: float, object_ids: Sequence[str]
    ) -> dict[str, list[Any]] | None:
        """Return the rows of each object; None where the list is too long."""
        content = {self.naming.object_parameter: ",".join(object_ids), **table.content}
        reply = self._post(table.route, content, deadline)
        if reply.status in _TOO_LONG and len(object_ids) > 1:
            return None
        key = self.naming.object_key
        found: dict[str, list[Any]] = {object_id: [] for object_id in object_ids}
        for row in rows_of(reply, option=self.options[0]):
            object_id = row.get(key) if isinstance(row, dict) else None
            if object_id is None:
                raise FormatChangedError(
                    f"format changed: a row has no {key}",
                    service=self.title,
                    field=key,
                    remedy="Nothing of it is used. Look for a newer yse_ingest.",
                )
            if str(object_id) not in found:
                raise SourceReplyError(
                    f"answered without the filter: a row is of {str(object_id)[:40]}, which "
                    "nobody asked for",
                    service=self.title,
                    remedy="Nothing of it is used; check that its URL is the right one.",
                )
            found[str(object_id)].append(row)
        return found

    def _reading(self, ask: Ask, curves: Sequence[_Curve]) -> Reading:
        """Return the rows of some objects; what they lack beside detections is told."""
        gathered: dict[str, list[Any]] = {}
        lacking = ""
        for curve in curves:
            for route, rows in curve.rows.items():
                if isinstance(rows, YseIngestError):
                    lacking = f"its route {route} could not be read: {rows.fact}"
                else:
                    gathered.setdefault(route, []).extend(rows)
        return replace(self._read(ask, gathered), lacking=lacking)

    def _post(self, path: str, content: dict[str, Any], deadline: float) -> HttpReply:
        content = {**content, "output-format": "json"}
        return self.http.post_json(path, content, deadline=deadline)


def _checked(object_id: str, ask: Ask) -> str:
    """Return an object id that can stand in a list.

    Raises
    ------
    TargetError
        When it holds a comma: it would be taken for several.
    """
    if "," in object_id:
        raise TargetError(
            "the object id holds a comma",
            service="Fink",
            target=ask.target.name,
            field="object_id",
            value=object_id,
            remedy="Name one object.",
        )
    return object_id
