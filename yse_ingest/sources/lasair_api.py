"""What Lasair's two servers, for ZTF and for LSST, have in common.

What decides how they are asked (read in their source, 2026-02 and 2026-07): a token, one for
each server, and a quota of calls; paths end in a slash; one light curve is one request; a query
over the table of objects tells which of many were detected since a time, in one; an empty cone
is an empty list, in older versions a 400.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from yse_ingest.errors import (
    SettingsError,
    SourceRefusedError,
    SourceReplyError,
    YseIngestError,
)
from yse_ingest.schemas._load import load_rows
from yse_ingest.sources.answers import (
    CONE_MARGIN_ARCSEC,
    Reading,
    answer,
    check_listed,
    look_radius,
)
from yse_ingest.sources.batches import known_objects
from yse_ingest.sources.broker import HttpSource
from yse_ingest.sources.naming import of_survey

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

    from marshmallow import Schema

    from yse_ingest.sources.base import Answer, Ask
    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply
    from yse_ingest.sources.setup import Option, Setup

    Seen = Mapping[str, Mapping[str, Any]]
    """Object id to what the table of objects says of it."""

REQUESTS_PER_HOUR = 100.0
"""Of an ordinary account."""
BATCH_SIZE = 25
QUERY_OBJECTS = 150
"""Objects of one query: its conditions may be 4096 characters long."""


@dataclass(frozen=True)
class Naming:
    """What one of the servers calls the same things."""

    object_column: str
    """Which object, in its table of objects."""
    last_column: str
    """When it was last detected."""
    name: re.Pattern[str]
    """What an object id may look like: it will stand in a query."""
    quote: str
    """What stands around it there."""
    place_columns: tuple[str, ...] = ()
    """Where the object is, if its light curve does not say."""

    @property
    def columns(self) -> str:
        """Return what a query asks for."""
        return ", ".join((self.object_column, self.last_column, *self.place_columns))


class LasairApi(HttpSource, ABC):
    """Asks one of Lasair's servers.

    Parameters
    ----------
    http
        Client of its base URL, which sends the token.
    """

    options: ClassVar[tuple[Option, Option]]
    """Its address and its token."""
    naming: ClassVar[Naming]

    def __init__(self, http: HttpClient, *, near: Schema, seen: Schema) -> None:
        super().__init__(http)
        self._near = near
        self._seen = seen

    @classmethod
    def from_setup(cls, setup: Setup) -> Self:
        """Return one, ready to be asked from any number of threads.

        Raises
        ------
        SettingsError
            When its token is missing or no token, or its URL no address.
        """
        url, token = cls.options
        http = setup.http(setup.value(url) or "", service=cls.title)
        secret = _token(setup, token, cls.title)
        http.authorization = f"Token {secret}"
        http.keep_secret(secret)
        return cls._of(http)

    @classmethod
    @abstractmethod
    def _of(cls, http: HttpClient) -> Self:
        """Return one that asks by a client."""

    @abstractmethod
    def _last_seen(self, ask: Ask) -> float:
        """Return after which detection an object has news, as its last column counts."""

    @abstractmethod
    def _near_rows(self, reply: HttpReply) -> list[Any]:
        """Return the rows of a cone."""

    @abstractmethod
    def _light_curve(
        self, ask: Ask, object_id: str, seen: Mapping[str, Any], deadline: float
    ) -> Reading:
        """Return the rows of one object; none where it is not known."""

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order."""
        deadline = self.http.deadline()
        for start in range(0, len(asks), BATCH_SIZE):
            part = asks[start : start + BATCH_SIZE]
            batch = [of_survey(ask, self.capabilities.survey) for ask in part]
            seen = self._detected_since(batch, deadline)
            for ask in batch:
                # Where nothing is known, what is recent cannot tell: everything is read, once.
                question = ask if self._known(ask) else replace(ask, since_ms=None)
                yield answer(
                    question, self._reader(question, seen, deadline), service=self.title
                )

    def _reader(
        self, ask: Ask, seen: Seen | YseIngestError, deadline: float
    ) -> Callable[[bool], Reading]:
        def read(full: bool) -> Reading:
            if full:
                found = self._objects(ask, deadline)
            elif isinstance(seen, YseIngestError):
                raise seen
            else:
                last = self._last_seen(ask)
                known = {one: seen[one] for one in self._known(ask) if one in seen}
                found = {one: row for one, row in known.items() if row["last"] > last}
            return Reading.merged(
                self._light_curve(ask, object_id, row, deadline)
                for object_id, row in found.items()
            )

        return read

    # Which objects --------------------------------------------------------------------------

    def _known(self, ask: Ask) -> tuple[str, ...]:
        """Return the objects that tell what is new, if all of them can stand in a query."""
        known = known_objects(ask)
        return known if all(self.naming.name.fullmatch(one) for one in known) else ()

    def _detected_since(self, asks: Sequence[Ask], deadline: float) -> Seen | YseIngestError:
        """Return the known objects of these questions that were detected since."""
        wanted = [ask for ask in asks if self._known(ask)]
        known = list(dict.fromkeys(one for ask in wanted for one in self._known(ask)))
        last = min((self._last_seen(ask) for ask in wanted), default=0.0)
        try:
            return self._listed(known, deadline, since=last)
        except YseIngestError as error:
            return error

    def _listed(self, object_ids: Sequence[str], deadline: float, *, since: float) -> Seen:
        """Return what the table of objects says of these that were detected since."""
        naming = self.naming
        found: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(object_ids), QUERY_OBJECTS):
            part = object_ids[start : start + QUERY_OBJECTS]
            names = ", ".join(f"{naming.quote}{one}{naming.quote}" for one in part)
            query = {
                "selected": naming.columns,
                "tables": "objects",
                "conditions": f"{naming.object_column} IN ({names}) "
                f"AND {naming.last_column} > {since:.6f}",
                "limit": QUERY_OBJECTS,
                "offset": 0,
            }
            rows = self._list(self._post("query/", query, deadline))
            found |= {row["object_id"]: row for row in self._all(self._seen, rows)}
        return found

    def _objects(self, ask: Ask, deadline: float) -> Seen:
        """Return every object that may be the target: the one it names, and those near it."""
        target = ask.target
        wanted = [] if target.object_id is None else [target.object_id]
        if target.ra is not None and target.dec is not None:
            wanted += self._cone(ask, target.ra, target.dec, deadline)
        wanted = list(dict.fromkeys(wanted))
        if not self.naming.place_columns:
            return {one: {} for one in wanted}
        sound = [one for one in wanted if self.naming.name.fullmatch(one)]
        return self._listed(sound, deadline, since=0.0)

    def _cone(self, ask: Ask, ra: float, dec: float, deadline: float) -> list[str]:
        radius = look_radius(ask)
        cone = {"ra": ra, "dec": dec, "radius": round(radius, 6), "requestType": "all"}
        reply = self._post("cone/", cone, deadline)
        if reply.status == 400 and b"No object found" in reply.body:
            return []
        found = self._all(self._near, self._near_rows(reply))
        inside = [one for one in found if one["separation"] <= radius + CONE_MARGIN_ARCSEC]
        if 2 * len(inside) < len(found):
            raise SourceReplyError(
                f"answered without the filter: {len(found) - len(inside)} of {len(found)} "
                "objects lie outside the cone",
                service=self.title,
                remedy="Nothing of it is used; check that its URL is the right one.",
            )
        return [one["object_id"] for one in inside]

    # Requests -------------------------------------------------------------------------------

    def _post(self, path: str, content: dict[str, Any], deadline: float) -> HttpReply:
        return self.http.post_json(path, content, deadline=deadline)

    def _accepted(self, reply: HttpReply) -> HttpReply:
        """Return a reply that is an answer.

        Raises
        ------
        SourceRefusedError
            When it is a refusal.
        """
        url, token = self.options
        if reply.status in {401, 403}:
            raise SourceRefusedError(
                f"refused the token ({reply.status})",
                service=self.title,
                field=token.variable,
                remedy=f"Set {token.variable} to a token of this server: those of ZTF and LSST "
                "differ.",
            )
        if reply.status != 200:
            raise SourceRefusedError(
                f"answered {reply.describe()}",
                service=self.title,
                remedy=f"Check {url.variable} and the target.",
            )
        return reply

    def _list(self, reply: HttpReply) -> list[Any]:
        """Return the list that a reply is.

        Raises
        ------
        SourceError
            When it is a refusal, or no list.
        """
        rows = self._accepted(reply).json()
        if not isinstance(rows, list):
            raise SourceReplyError(
                f"answered no list of objects ({reply.describe()})",
                service=self.title,
                remedy=self._remedy,
            )
        return rows

    def _lists(self, reply: HttpReply, object_id: str, *keys: str) -> list[list[Any]]:
        """Return the lists of a light curve, each row with its object.

        Raises
        ------
        SourceError
            When it is a refusal or of another object, or lacks one.
        """
        content = self._accepted(reply).json()
        column = self.naming.object_column
        named = content.get(column) if isinstance(content, dict) else None
        if named is not None and str(named) != object_id:
            raise SourceReplyError(
                f"answered {str(named)[:40]} to a question about {object_id}",
                service=self.title,
                remedy="Nothing of it is used; check that its URL is the right one.",
            )
        return [
            [
                {**row, column: object_id} if isinstance(row, dict) else row
                for row in reply.rows(key, remedy=self._remedy)
            ]
            for key in keys
        ]

    @property
    def _remedy(self) -> str:
        return f"Check that {self.options[0].variable} is the address of its API."

    def _all(self, schema: Schema, rows: list[Any]) -> list[dict[str, Any]]:
        found, refused = load_rows(schema, rows)
        check_listed(found, refused, service=self.title)
        return found


def _token(setup: Setup, option: Option, title: str) -> str:
    token = setup.value(option)
    if token is None or not (token.isascii() and token.isalnum()):
        raise SettingsError(
            f"{title} has no token" if token is None else f"the token of {title} is no token",
            service="settings",
            field=option.variable,
            remedy="Set it to the token on the profile page of your account at that server.",
        )
    return token
