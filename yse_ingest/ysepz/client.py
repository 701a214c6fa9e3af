"""The client of YSE-PZ: what it knows, what it holds, and the four requests that write."""

from __future__ import annotations

import copy
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self
from urllib.parse import quote

from yse_ingest.errors import (
    TargetError,
    VocabularyError,
    YsePzReplyError,
    YsePzUnavailableError,
)
from yse_ingest.schemas.bulk import SavedQuerySchema
from yse_ingest.schemas.readback import (
    FollowedRowSchema,
    HeaderRowSchema,
    OwnedRowSchema,
    PageSchema,
    PointRowSchema,
    TransientRowSchema,
)
from yse_ingest.schemas.vocabulary import BandRowSchema, InstrumentRowSchema, NamedRowSchema
from yse_ingest.targets import separation_arcsec
from yse_ingest.times import parse_obs_dates
from yse_ingest.ysepz.aliases import Aliases, LocalShelf
from yse_ingest.ysepz.answers import AnswerReader, database_away, is_bare, server_exception
from yse_ingest.ysepz.bulk import BulkReadBack, parse_bulk
from yse_ingest.ysepz.http import SERVICE, Answer, Http, Timeouts, away, normalised, only_reads
from yse_ingest.ysepz.lists import Lists, boxes, read, read_named
from yse_ingest.ysepz.readback import ReadBack, parse_read_back
from yse_ingest.ysepz.transients import NO_SLUG, SAVE_IT, Transient, name_key
from yse_ingest.ysepz.vocabulary import BANDS, LISTS, Kind, Vocabulary, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from yse_ingest.aliases import Alias
    from yse_ingest.limits import Purpose
    from yse_ingest.ysepz.account import Account
    from yse_ingest.ysepz.aliases import Shelf
    from yse_ingest.ysepz.gate import Gate

VOCABULARY_AGE_S = 3600.0
"""A vocabulary older than this is read again [s]."""
VOCABULARY_RETRY_S = 60.0
"""A name that is missing makes it be read again, unless it is younger than this [s]."""


class PointRow(NamedTuple):
    """A stored point of any transient, and who wrote it."""

    pk: int
    header: int
    """Primary key of its photometry header."""
    time_ms: int
    """When it was observed, UTC [ms]."""
    created_by: int | None
    """Number of the account."""
    created_ms: int
    """When it was stored, UTC [ms]."""


@dataclass
class _Kept:
    """What was read, for every copy of a client."""

    vocabulary: Vocabulary | None


class Listed(NamedTuple):
    """What a list of YSE-PZ says of one transient."""

    name: str
    transient: Transient | None
    """None: it says no more than the name."""
    unread: tuple[str, ...] = ()
    """Columns that it shows and that cannot be read."""


class YsePz:
    """One YSE-PZ under one account; safe between threads, with one session for each.

    Parameters
    ----------
    url
        Base address; a path prefix is kept.
    account
        Whose name the uploads carry.
    timeouts
        How long to wait.
    may_write
        False: nothing but GET ever leaves this client, or a copy of it.
    before_request
        Called with "POST /add_transient_phot/" before every request that writes, when its turn
        has come; an error that it raises stops the request before a byte is sent.
    gate
        Where each request waits for its turn; by default one of this client.
    clock
        Unix time [s].
    vocabulary
        One that was read earlier.
    aliases
        Returns where the list of aliases is kept; by default in this process.
    """

    def __init__(
        self,
        url: str,
        account: Account,
        *,
        timeouts: Timeouts | None = None,
        may_write: bool = True,
        before_request: Callable[[str], None] | None = None,
        gate: Gate | None = None,
        clock: Callable[[], float] = time.time,
        vocabulary: Vocabulary | None = None,
        aliases: Callable[[], Shelf] | None = None,
    ) -> None:
        self.url = normalised(url)
        self.account = account
        self.timeouts = timeouts or Timeouts()
        self.before_request = before_request
        self._clock = clock
        self._http = Http(
            self.url,
            account,
            timeouts=self.timeouts,
            gate=gate,
            may_write=may_write,
            away=lambda answer: away(answer) or database_away(answer),
        )
        self._reader = AnswerReader(account, slow_s=self.timeouts.slow_s)
        self._kept = _Kept(vocabulary)
        self._vocabulary_lock = threading.Lock()
        self._lists = Lists(self._http, self._reader, clock=clock)
        shelf = LocalShelf(clock)
        self._aliases = Aliases(aliases or (lambda: shelf))

    def __repr__(self) -> str:
        return f"YsePz({self.url!r}, account={self.account.username!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def may_write(self) -> bool:
        """Tell whether anything but GET may leave."""
        return self._http.may_write

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def for_purpose(self, purpose: Purpose, *, keep: Callable[[], None] | None = None) -> Self:
        """Return a client whose requests serve this purpose; connections and lists are shared.

        Parameters
        ----------
        purpose
            What its requests are counted as, and in which order they get their turns.
        keep
            Called before each request, reads too, when its turn has come: renews a lease.
        """
        twin = copy.copy(self)
        http = self._http.for_purpose(purpose, keep=keep)
        lists = Lists(http, self._reader, clock=self._clock)
        vars(twin).update(_http=http, _lists=lists)
        return twin

    # Is it there? -------------------------------------------------------------------------

    def ping(self) -> float:
        """Return how long a cheap request took [s].

        Raises
        ------
        YsePzError
            When it was not answered as YSE-PZ answers.
        """
        answer = self._http.send("GET", "/api/transientstatuses/", params={"limit": "1"})
        content = self._reader.content(answer, now=self._clock())
        read(PageSchema(), content, answer.request)
        return answer.seconds

    def check_login(self) -> None:
        """Return when YSE-PZ takes the account.

        Raises
        ------
        CredentialsError
            When it does not; other errors as `ping`.
        """
        self.ping()

    # What it knows ------------------------------------------------------------------------

    def vocabulary(self, *, max_age_s: float = VOCABULARY_AGE_S) -> Vocabulary:
        """Return the names that YSE-PZ knows, read once and again when too old."""
        with self._vocabulary_lock:
            known = self._kept.vocabulary
            if known is None or self._clock() - known.read_at > max_age_s:
                known = self._kept.vocabulary = self._read_vocabulary()
            return known

    def refresh(self) -> Vocabulary:
        """Read the vocabulary anew and return it."""
        return self.vocabulary(max_age_s=-1.0)

    def _read_vocabulary(self) -> Vocabulary:
        read_at = self._clock()
        names: dict[Kind, dict[int, str]] = {}
        telescopes: dict[int, int] = {}
        for kind, resource in LISTS.items():
            schema = InstrumentRowSchema() if kind == "instrument" else NamedRowSchema()
            rows = self._lists.rows(resource, schema)
            names[kind] = {row["pk"]: row["name"] for row in rows}
            if kind == "instrument":
                telescopes = {row["pk"]: row["telescope"] for row in rows}
        bands = self._lists.rows(BANDS, BandRowSchema())
        return Vocabulary(
            names=names,
            telescopes=telescopes,
            band_rows={row["pk"]: (row["name"], row["instrument"]) for row in bands},
            read_at=read_at,
        )

    def link(self, kind: Kind, pk: int) -> str:
        """Return the hyperlink of a row, as a PATCH takes it."""
        return f"{self.url}/api/{LISTS[kind]}/{pk}/"

    # What it holds ------------------------------------------------------------------------

    def transient_by_name(self, name: str) -> Transient | None:
        """Return the transient of this name, spelt as it is stored there.

        Raises
        ------
        TargetError
            When there are several: the next documented upload would delete all but the first.
        """
        key = name_key(name)
        found = [
            row
            for row in self._lists.rows("transients", TransientRowSchema(), {"name": name})
            if name_key(row["name"]) == key
        ]
        if len(found) > 1:
            pks = ", ".join(str(row["pk"]) for row in found)
            raise TargetError(
                f"{len(found)} transients have this name (rows {pks})",
                service=SERVICE,
                target=name,
                remedy=(
                    "Nothing is sent: an upload by name deletes all but the first with their "
                    "photometry. Rename the others in YSE-PZ."
                ),
            )
        return self._transient(found[0]) if found else None

    def transient_by_pk(self, pk: int) -> Transient | None:
        """Return a transient by its primary key; None: there is none."""
        row = self._lists.one("transients", pk, TransientRowSchema())
        return None if row is None else self._transient(row)

    def transients_near(
        self, ra: float, dec: float, radius_arcsec: float
    ) -> list[tuple[Transient, float]]:
        """Return the transients within a great circle, nearest first, with their separation.

        Parameters
        ----------
        ra, dec
            ICRS [deg].
        radius_arcsec
            How far [arcsec].
        """
        rows: dict[int, tuple[dict[str, Any], float]] = {}
        for box in boxes(ra, dec, radius_arcsec / 3600):
            for row in self._lists.rows("transients", TransientRowSchema(), box):
                separation = separation_arcsec(ra, dec, row["ra"], row["dec"])
                if separation <= radius_arcsec:
                    rows[row["pk"]] = (row, separation)
        ordered = sorted(rows.values(), key=lambda pair: (pair[1], pair[0]["pk"]))
        return [(self._transient(row), separation) for row, separation in ordered]

    def check_listable(self, kind: Literal["status", "tag"], name: str) -> None:
        """Refuse a name for which `transients_with` would find nothing.

        Raises
        ------
        VocabularyError
            When YSE-PZ does not know the name, with the nearest that it knows: asked for it, it
            would answer as if nothing had it.
        """
        vocabulary = self.vocabulary(max_age_s=VOCABULARY_RETRY_S)
        if vocabulary.pk_of(kind, name) is not None and "," not in name:
            return
        near = ", ".join(f'"{one}"' for one in nearest(name, vocabulary.all(kind))) or "none"
        every = {"status": "statuses", "tag": "tags"}[kind]
        raise VocabularyError(
            f"{name!r} is no {kind} that can be asked for",
            service=SERVICE,
            field=kind,
            value=name,
            remedy=f"Nearest: {near}. `yse-ingest vocab {every}` lists all.",
        )

    def transients_with(self, kind: Literal["status", "tag"], name: str) -> list[Transient]:
        """Return the transients that have this status, or this tag.

        Raises
        ------
        VocabularyError
            As `check_listable`.
        YsePzReplyError
            When the server ignores the filter: it would answer with every transient.
        """
        self.check_listable(kind, name)

        def fits(row: Mapping[str, Any]) -> bool:
            has = [row["status"]] if kind == "status" else row["tags"]
            return name_key(name) in {name_key(self._name(kind, pk) or "") for pk in has}

        # One at a time: with several tags the server repeats what has two of them.
        rows = self._lists.rows(
            "transients", TransientRowSchema(), {f"{kind}_in": name}, fits=fits
        )
        return [self._transient(row) for row in rows]

    def listed_by_query(self, title: str) -> list[Listed]:
        """Return what a saved SQL query lists, in its order.

        Of a row with a column that cannot be read, no more than the name is taken. It runs
        without regard to groups: whoever writes it says what may be followed.

        Raises
        ------
        VocabularyError
            When YSE-PZ has no query of this title.
        YsePzReplyError
            When a row has no name, or the answer is none of a query.
        """
        answer = self._http.send("GET", f"/query_api/{quote(title, safe='')}/")
        exception = server_exception(answer.body) if answer.status == 500 else None
        if exception is not None and exception.name == "DoesNotExist":
            raise VocabularyError(
                f"YSE-PZ has no saved query {title!r}",
                service=SERVICE,
                field="query",
                value=title,
                remedy="Titles stand in its SQL Explorer, capitals and blanks included.",
            )
        content = self._reader.content(answer, now=self._clock())
        rows = read(SavedQuerySchema(), content, answer.request)["transients"]
        schema = FollowedRowSchema()
        found = []
        for row in rows:
            read_row, unread = read_named(schema, row, answer.request)
            name, place = read_row["name"], read_row["place"]
            transient = Transient(name=name, tags=(), **place) if place else None
            found.append(Listed(name, transient, unread))
        return found

    def aliases(self) -> tuple[Alias, ...]:
        """Return every alias: read whole once a day, in between only what was added.

        Raises
        ------
        YsePzError
            As `yse_ingest.ysepz.aliases.Aliases.read`.
        """
        return self._aliases.read(self._lists)

    def forget_aliases(self) -> None:
        """Make the next `aliases` read all of them."""
        self._aliases.forget()

    def read_back(self, slug: str) -> ReadBack:
        """Return what YSE-PZ holds of one transient (`Transient.slug`).

        Raises
        ------
        YsePzReplyError
            When it knows no such slug, or the transient has none, or it answers something else.
        YsePzUnavailableError
            No answer now; where its ``field`` is the slug, perhaps because there is none.
        """
        if not slug:
            raise YsePzReplyError(
                NO_SLUG,
                service=SERVICE,
                field="slug",
                remedy=SAVE_IT,
            )
        vocabulary = self.vocabulary()
        answer = self._http.send("GET", f"/download_data/{quote(slug, safe='')}/")
        exception = server_exception(answer.body) if answer.status == 500 else None
        if answer.status == 404 or (exception is not None and exception.name == "IndexError"):
            raise YsePzReplyError(
                f"no transient has the slug {slug!r}",
                service=SERVICE,
                field="slug",
                value=slug,
                remedy="It was deleted or renamed; look it up again.",
            )
        if is_bare(answer, slow_s=self.timeouts.slow_s):
            raise YsePzUnavailableError(
                f"{answer.request}: HTTP 500, and its page does not say why",
                service=SERVICE,
                field="slug",
                value=slug,
                remedy="It was deleted or renamed, or YSE-PZ fails at it; asked again later.",
            )
        return parse_read_back(
            self._reader.content(answer, now=self._clock()),
            account=self.account.username,
            vocabulary=vocabulary,
            size=len(answer.body),
            seconds=answer.seconds,
        )

    def bulk_read_back(self, title: str) -> BulkReadBack | None:
        """Return what a saved query says of all transients; None: YSE-PZ has no such query.

        Its rows ignore groups: compare them, never show them.

        Parameters
        ----------
        title
            Of the saved query, whose SQL is that of docs/sql-explorer.md.
        """
        answer = self._http.send("GET", f"/query_api/{quote(title, safe='')}/")
        exception = server_exception(answer.body) if answer.status == 500 else None
        if exception is not None and exception.name == "DoesNotExist":
            return None
        content = self._reader.content(answer, now=self._clock())
        return parse_bulk(content, request=answer.request, seconds=answer.seconds)

    # Who wrote it -------------------------------------------------------------------------

    def last_points(self, count: int) -> list[PointRow]:
        """Return the points that YSE-PZ stored last, of all transients, the newest last."""
        rows = self._lists.last("transientphotdata", PointRowSchema(), count)
        dates = parse_obs_dates([row["obs_date"] for row in rows]).tolist() if rows else []
        stored = parse_obs_dates([row["created_date"] for row in rows]).tolist() if rows else []
        return [
            PointRow(row["pk"], row["header"], time_ms, row["created_by"], created_ms)
            for row, time_ms, created_ms in zip(rows, dates, stored, strict=True)
        ]

    def transient_of_header(self, pk: int) -> int | None:
        """Return the number of the transient of a photometry header; None: it has none."""
        row = self._lists.one("transientphotometry", pk, HeaderRowSchema())
        return None if row is None else row["transient"]

    def creator_of(self, resource: str, pk: int) -> int | None:
        """Return the number of the account that a row is shown to be of; None: of none."""
        row = self._lists.one(resource, pk, OwnedRowSchema())
        return None if row is None else row["created_by"]

    # What writes --------------------------------------------------------------------------

    def upload_photometry(self, request: Mapping[str, Any]) -> Answer:
        """Send a request of `yse_ingest.ysepz.uploads.photometry_request`.

        Returns
        -------
        Answer
            YSE-PZ's own, which accepts it: for its duration, and for people who ask.

        Raises
        ------
        YsePzError
            As `yse_ingest.ysepz.answers.AnswerReader.accept`.
        """
        answer = self._write("POST", "/add_transient_phot/", request)
        self._reader.accept(answer, now=self._clock())
        return answer

    def add_transient(self, request: Mapping[str, Any]) -> Answer:
        """Send a request to ``/add_transient/``; raises as `upload_photometry`."""
        answer = self._write("POST", "/add_transient/", request)
        self._reader.accept(answer, now=self._clock())
        return answer

    def patch_point(self, pk: int, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change the named fields of one stored point and return the row as it is now.

        Safe to repeat: it sets values. Raises as `upload_photometry`.
        """
        return self._patch(f"/api/transientphotdata/{pk}/", changes)

    def patch_transient(self, pk: int, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change the named fields of a transient's row; as `patch_point`."""
        return self._patch(f"/api/transients/{pk}/", changes)

    def _patch(self, path: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._write("PATCH", path, changes)
        return self._reader.row(answer, now=self._clock())

    def _write(self, method: Any, path: str, content: Mapping[str, Any]) -> Answer:
        if not self.may_write:
            raise only_reads(f"{method} {path}")
        hook = self.before_request
        before = None if hook is None else (lambda: hook(f"{method} {path}"))
        return self._http.send(method, path, content=content, before=before)

    def _transient(self, row: Mapping[str, Any]) -> Transient:
        return Transient(
            pk=row["pk"],
            name=row["name"],
            slug=row["slug"] or "",
            ra=row["ra"],
            dec=row["dec"],
            disc_date=row["disc_date"],
            status=self._name("status", row["status"]),
            obs_group=self._name("obs_group", row["obs_group"]),
            tags=tuple(name for pk in row["tags"] if (name := self._name("tag", pk))),
        )

    def _name(self, kind: Kind, pk: int | None) -> str | None:
        if pk is None:
            return None
        name = self.vocabulary().name_of(kind, pk)
        if name is None:
            name = self.vocabulary(max_age_s=VOCABULARY_RETRY_S).name_of(kind, pk)
        return name
