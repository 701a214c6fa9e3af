"""The queue of the ATLAS forced-photometry server: what is asked over HTTP, and what it says.

What decides how it is asked (read in the server's source, 2026-08, and in its guide): every
request carries a token; a task that is finished need not have a result, because a place
without data ends with ``error_msg`` and no ``result_url``; whoever sends too much gets a 429
whose text says how long to wait; whoever has 500 tasks queued gets a 400. Nothing here is
repeated at once: a request that failed is made again when its target is due again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from marshmallow import ValidationError

from yse_ingest.errors import FormatChangedError, SourceRefusedError, SourceReplyError
from yse_ingest.schemas._load import faults_of, load
from yse_ingest.schemas.atlas import TaskSchema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from urllib.parse import SplitResult

    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply

TITLE = "ATLAS"
NO_DATA = "No data returned"
COMMENT_MAX = 300
PAGE_SIZE = 100
PAGES_MAX = 20
"""So many pages hold all that may be queued (500), and more than a day's finished ones."""
_CREDENTIALS = "Check ATLAS_TOKEN, or ATLAS_USERNAME and ATLAS_PASSWORD."
_REMEDIES = {401: _CREDENTIALS, 403: _CREDENTIALS}


class QueueFullError(SourceRefusedError):
    """It holds as many tasks of ours as it takes: none of these was queued."""


@dataclass(frozen=True)
class Task:
    """One task as the server tells of it."""

    url: str
    ra: float
    dec: float
    comment: str | None
    finished: str | None
    """When it was, as text; None: it is not."""
    result_url: str | None
    error: str | None


@dataclass(frozen=True)
class Login:
    """What a token is got for."""

    username: str
    password: str

    def __repr__(self) -> str:
        """Return nothing that is secret."""
        return "Login(...)"


class AtlasQueue:
    """Asks one server, as one user.

    Parameters
    ----------
    http
        Client of its base URL.
    token
        The user's token; None: it is got for
    login
        user name and password, when it is first needed.
    """

    def __init__(self, http: HttpClient, *, token: str | None, login: Login | None) -> None:
        self.http = http
        self._login = login
        self._lock = threading.Lock()
        self._schema = TaskSchema()
        if token is not None:
            self._use(token)

    def owns(self, url: str) -> bool:
        """Tell whether an address is on this server."""
        try:
            here, there = self._here_and_there(url)
            return (here.hostname, here.port) == (there.hostname, there.port)
        except ValueError:  # "http://[" is no address
            return False

    def submit(
        self,
        places: Sequence[tuple[float, float]],
        *,
        mjd_min: float | None,
        comment: str,
        deadline: float,
    ) -> list[Task]:
        """Queue one task for each place [deg] and return them, in whatever order.

        Raises
        ------
        QueueFullError
            Nothing was queued.
        SourceRefusedError
            Nothing was queued.
        SourceError
            It is not known whether something was.
        """
        content = {
            "radeclist": "\n".join(f"{ra!r},{dec!r}" for ra, dec in places),
            "mjd_min": mjd_min,
            "use_reduced": False,
            "send_email": False,  # else every task ends with one
            "comment": comment[:COMMENT_MAX],
        }
        reply = self._asked("POST", "queue/", deadline, content)
        if reply.status == 400 and b"too many queued" in reply.body:
            raise QueueFullError(
                "has as many of our tasks queued as it takes",
                service=TITLE,
                remedy="The others are submitted as soon as some of these are done.",
            )
        if reply.status != 201:
            raise self._refused(reply)
        return [self._task(each, reply) for each in self._list(reply.json(), reply)]

    def look(self, url: str, *, deadline: float) -> Task | None:
        """Return a task, or None where the server does not know it any more."""
        reply = self._asked("GET", url, deadline)
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise self._refused(reply)
        return self._task(reply.json(), reply)

    def find(self, tag: str, *, deadline: float) -> Iterator[Task]:
        """Iterate over our tasks whose comment holds a tag, the newest pages first."""
        url = f"queue/?pagesize={PAGE_SIZE}"
        for _ in range(PAGES_MAX):
            reply = self._asked("GET", url, deadline)
            page = reply.json() if reply.status == 200 else None
            if not isinstance(page, dict):
                raise self._refused(reply)
            for each in self._list(page.get("results"), reply):
                task = self._task(each, reply)
                if tag in (task.comment or ""):
                    yield task
            following = page.get("next")
            if not isinstance(following, str):
                return
            url = following

    def result(self, url: str, *, deadline: float) -> str | None:
        """Return the text of a result, or None where it is not there any more."""
        reply = self._asked("GET", url, deadline)
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise self._refused(reply)
        return reply.body.decode("ascii", errors="replace")

    def delete(self, url: str, *, deadline: float) -> None:
        """Delete a task and its result; one that is gone already is fine."""
        reply = self._asked("DELETE", url, deadline)
        if reply.status not in {200, 204, 404}:
            raise self._refused(reply)

    # Requests -------------------------------------------------------------------------------

    def _asked(
        self, method: str, url: str, deadline: float, content: Mapping[str, Any] | None = None
    ) -> HttpReply:
        """Send one request with the user's token; with a new one where the old one expired."""
        address = self._own(url)
        token = self._token(deadline)
        reply = self._send(method, address, deadline, content)
        if reply.status == 401 and self._login is not None:
            self._token(deadline, expired=token)
            reply = self._send(method, address, deadline, content)
        return reply

    def _send(
        self, method: str, address: str, deadline: float, content: Mapping[str, Any] | None
    ) -> HttpReply:
        if method == "POST":
            return self.http.post_json(address, content, deadline=deadline)
        if method == "DELETE":
            return self.http.delete(address, deadline=deadline)
        return self.http.get(address, deadline=deadline)

    def _own(self, url: str) -> str:
        """Return the address of something on this server, and nowhere else."""
        if not self.owns(url):
            # The token would go with the request.
            raise SourceReplyError(
                "names an address on another server",
                service=TITLE,
                remedy="Check that ATLAS_URL is its own address.",
            )
        here, there = self._here_and_there(url)
        return there._replace(scheme=here.scheme).geturl()

    def _here_and_there(self, url: str) -> tuple[SplitResult, SplitResult]:
        return urlsplit(self.http.base_url), urlsplit(urljoin(self.http.base_url, url))

    def _token(self, deadline: float, *, expired: str | None = None) -> str | None:
        """Return the header that says who asks; log in where there is none, or it expired."""
        if self._login is None:
            return self.http.authorization
        with self._lock:
            if self.http.authorization in {None, expired}:
                self.http.authorization = None
                login = {"username": self._login.username, "password": self._login.password}
                reply = self.http.post_form("api-token-auth/", login, deadline=deadline)
                self.http.forget_reply()
                found = reply.json() if reply.status == 200 else None
                token = found.get("token") if isinstance(found, dict) else None
                if not isinstance(token, str) or not token:
                    # Not its text: it might repeat what was sent.
                    raise SourceRefusedError(
                        f"gives no token for this user (answered {reply.status})",
                        service=TITLE,
                        remedy=_CREDENTIALS,
                    )
                self._use(token)
            return self.http.authorization

    def _use(self, token: str) -> None:
        self.http.authorization = f"Token {token}"

    # Replies --------------------------------------------------------------------------------

    def _task(self, content: Any, reply: HttpReply) -> Task:
        try:
            return Task(**load(self._schema, content))
        except ValidationError as error:
            fault = faults_of(error, content)[0]
            raise FormatChangedError(
                f"format changed: {fault} ({reply.describe()})",
                service=TITLE,
                remedy="Check that ATLAS_URL is the address of the server.",
            ) from error

    def _list(self, content: Any, reply: HttpReply) -> list[Any]:
        if not isinstance(content, list):
            raise FormatChangedError(
                f"format changed: it answered no list of tasks ({reply.describe()})",
                service=TITLE,
                remedy="Check that ATLAS_URL is the address of the server.",
            )
        return content

    def _refused(self, reply: HttpReply) -> SourceRefusedError | SourceReplyError:
        kind = SourceRefusedError if 400 <= reply.status < 500 else SourceReplyError
        return kind(
            f"answered {reply.describe()}",
            service=TITLE,
            remedy=_REMEDIES.get(reply.status, "Check ATLAS_URL and the target."),
        )
