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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from yse_ingest.errors import (
    SourceRefusedError,
    SourceReplyError,
    TargetError,
    YseIngestError,
)
from yse_ingest.schemas._load import load_rows
from yse_ingest.sources.answers import Reading, answer, inside_cone, look_radius
from yse_ingest.sources.base import Answer, Ask, Capabilities, Kind
from yse_ingest.sources.naming import of_survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from marshmallow import Schema

    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply
    from yse_ingest.sources.setup import Option, Setup

    Rows = Mapping[str, list[Any]]
    """Route to the rows that it answered."""
    Curves = Mapping[str, Rows | YseIngestError]
    """Object id to its rows, or to what kept them away."""

BATCH_SIZE = 50
"""Targets, and object ids, of one request."""
CONE_ALERTS = 5000
"""So many alerts within seconds of arc are no supernova."""
_SPLIT_STATUSES = frozenset({413, 500})


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
    """One kind of rows: where they are, and whose they are wanted for."""

    route: str
    content: Mapping[str, Any] = field(default_factory=dict)
    """What its request holds beside the objects."""
    kind: Kind = Kind.DETECTION
    """Asked for only where this is wanted; detections always are: by them objects are told."""


@dataclass(frozen=True)
class _Wanted:
    """The objects whose light curves have to be read for one question."""

    object_ids: tuple[str, ...]
    everything: bool
    """Whether these are all objects of the place, not only those known before."""


class FinkApi(ABC):
    """Asks one of Fink's APIs.

    Parameters
    ----------
    http
        Client of its base URL.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    options: ClassVar[tuple[Option, ...]]
    """The first is its address."""
    naming: ClassVar[Naming]
    cone_alerts: ClassVar[int] = CONE_ALERTS
    """Alerts of one cone beyond which nothing is believed."""
    suspects_emptiness: ClassVar[bool] = False
    """Whether a batch that has nothing at all is asked for again, object by object."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._place = self.naming.place_schema()

    @classmethod
    def from_setup(cls, setup: Setup) -> Self:
        """Return one, ready to be asked from any number of threads.

        Raises
        ------
        SettingsError
            When its URL is no address.
        """
        return cls(setup.http(setup.value(cls.options[0]) or "", service=cls.title))

    @property
    def url(self) -> str:
        """Return where it lives."""
        return self._http.base_url

    def close(self) -> None:
        """Give its connections back."""
        self._http.close()

    @abstractmethod
    def _tables(self, kinds: frozenset[Kind]) -> tuple[Table, ...]:
        """Return the tables that hold rows of these kinds."""

    @abstractmethod
    def _read(self, ask: Ask, rows: Rows) -> Reading:
        """Return the rows of the objects that may be the target."""

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order."""
        deadline = self._http.deadline()
        for start in range(0, len(asks), BATCH_SIZE):
            part = asks[start : start + BATCH_SIZE]
            batch = [of_survey(ask, self.capabilities.survey) for ask in part]
            wanted = [self._wanted(ask, deadline) for ask in batch]
            kinds: dict[str, frozenset[Kind]] = {}
            for ask, each in zip(batch, wanted, strict=True):
                if isinstance(each, _Wanted):
                    for one in each.object_ids:
                        kinds[one] = kinds.get(one, frozenset()) | ask.kinds
            curves = self._light_curves(kinds, deadline)
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
            again = self._light_curves(dict.fromkeys(object_ids, ask.kinds), deadline)
            return self._reading(ask, object_ids, again)

        return read

    def _reading(self, ask: Ask, object_ids: Iterable[str], curves: Curves) -> Reading:
        gathered: dict[str, list[Any]] = {}
        for object_id in object_ids:
            rows = curves[object_id]
            if isinstance(rows, YseIngestError):
                raise rows
            for route, of_one in rows.items():
                gathered.setdefault(route, []).extend(of_one)
        return self._read(ask, gathered)

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
        cone = {
            "ra": ra,
            "dec": dec,
            "radius": round(radius, 6),
            "n": self.cone_alerts,
            "columns": ",".join(self.naming.place_columns),
        }
        rows = self._rows(self._post("conesearch", cone, deadline))
        if len(rows) >= self.cone_alerts:
            raise SourceReplyError(
                f"has {self.cone_alerts} alerts or more in one cone, and leaves out the others",
                service=self.title,
                remedy="Make the cone smaller.",
            )
        found, refused = load_rows(self._place, rows, id_key=self.naming.object_key)
        if refused:
            raise SourceReplyError(
                f"lists an object that cannot be read: {refused[0]}", service=self.title
            )
        inside = inside_cone(found, ra=ra, dec=dec, radius=radius, service=self.title)
        return [str(one["object_id"]) for one in inside]

    # Light curves ---------------------------------------------------------------------------

    def _light_curves(self, wanted: Mapping[str, frozenset[Kind]], deadline: float) -> Curves:
        """Return the rows of each object, none where it is not known, or what went wrong.

        Parameters
        ----------
        wanted
            Object id to what is wanted of it.
        """
        curves: dict[str, dict[str, list[Any]] | YseIngestError]
        curves = {object_id: {} for object_id in wanted}
        for table in self._tables(frozenset().union(*wanted.values())):
            ids = [
                object_id
                for object_id, kinds in wanted.items()
                if table.kind is Kind.DETECTION or table.kind in kinds
            ]
            for start in range(0, len(ids), BATCH_SIZE):
                rows = self._batch(table, ids[start : start + BATCH_SIZE], deadline)
                for object_id, found in rows.items():
                    before = curves[object_id]
                    if isinstance(found, YseIngestError):
                        curves[object_id] = found
                    elif not isinstance(before, YseIngestError):
                        before[table.route] = found
        return curves

    def _batch(
        self, table: Table, object_ids: list[str], deadline: float
    ) -> dict[str, list[Any] | YseIngestError]:
        content = {self.naming.object_parameter: ",".join(object_ids), **table.content}
        try:
            reply = self._post(table.route, content, deadline)
            several = len(object_ids) > 1
            if reply.status in _SPLIT_STATUSES and several:
                middle = len(object_ids) // 2
                return {
                    **self._batch(table, object_ids[:middle], deadline),
                    **self._batch(table, object_ids[middle:], deadline),
                }
            rows = self._rows(reply)
            if several and not rows and self._should_have_some(table):
                return self._one_by_one(table, object_ids, deadline)
            found: dict[str, list[Any] | YseIngestError] = {**self._by_object(rows, object_ids)}
        except YseIngestError as error:
            return dict.fromkeys(object_ids, error)
        return found

    def _should_have_some(self, table: Table) -> bool:
        return self.suspects_emptiness and table.kind is Kind.DETECTION

    def _one_by_one(
        self, table: Table, object_ids: list[str], deadline: float
    ) -> dict[str, list[Any] | YseIngestError]:
        """Return the rows of each object, asked for by itself."""
        return {
            object_id: rows
            for each in object_ids
            for object_id, rows in self._batch(table, [each], deadline).items()
        }

    def _by_object(self, rows: list[Any], object_ids: list[str]) -> dict[str, list[Any]]:
        """Return the rows of each object that was asked for."""
        key = self.naming.object_key
        curves: dict[str, list[Any]] = {object_id: [] for object_id in object_ids}
        for row in rows:
            object_id = row.get(key) if isinstance(row, dict) else None
            if object_id is None:
                raise SourceReplyError(
                    f"format changed: a row has no {key}",
                    service=self.title,
                    remedy="Nothing of it is used. Look for a newer yse_ingest.",
                )
            if str(object_id) not in curves:
                raise SourceReplyError(
                    f"answered without the filter: a row is of {object_id}, which nobody "
                    "asked for",
                    service=self.title,
                    remedy="Nothing of it is used; check that its URL is the right one.",
                )
            curves[str(object_id)].append(row)
        return curves

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
        variable = self.options[0].variable
        if reply.status != 200:
            raise SourceRefusedError(
                f"answered {reply.describe()}",
                service=self.title,
                remedy=f"Check {variable} and the target.",
            )
        rows = reply.json()
        if not isinstance(rows, list):
            raise SourceReplyError(
                f"answered no list of rows ({reply.describe()})",
                service=self.title,
                remedy=f"Check that {variable} is the address of {self.title}'s API.",
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
