"""The stand-in YSE-PZ: who may ask, and which address does what."""

from __future__ import annotations

import base64
import binascii
import json
import re
import sqlite3
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal
from urllib.parse import quote

from yse_ingest.sandbox.server import Reply, Request, StandIn
from yse_ingest.sandbox.ysepz import pages, readback, rest
from yse_ingest.sandbox.ysepz import session as cost
from yse_ingest.sandbox.ysepz.contents import Contents
from yse_ingest.sandbox.ysepz.errors import BARE_PAGE, ServerError, debug_page
from yse_ingest.sandbox.ysepz.phot_upload import add_transient_phot
from yse_ingest.sandbox.ysepz.session import Session
from yse_ingest.sandbox.ysepz.store import Database, Store, User
from yse_ingest.sandbox.ysepz.upload import AddTransient
from yse_ingest.sandbox.ysepz.values import no_constant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

DEFAULT_USERS: Final[Mapping[str, Sequence[str]]] = {
    "ingest": ("sandbox-only",),
    "othercron": ("sandbox-only",),
    "human": ("sandbox-only", "YSE"),
}

SESSION_ONLY: Final = re.compile(r"/(transient_summary|search|dashboard|explorer)\b")

Mail = Literal["ok", "refused", "hang"]


class _DeniedError(Exception):
    """A request that does not get past the login."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class YsePzStandIn(Contents, StandIn):
    """A YSE-PZ on 127.0.0.1.

    Parameters
    ----------
    path
        SQLite file that keeps everything, or ``:memory:``.
    users
        For each account its password and then the groups it is in.
    smtp
        The mail server that a failing transient is mailed through: ``ok``, ``refused`` (the
        request ends in 500) or ``hang`` (it never ends).
    tess_online
        Whether creating a transient through `/add_transient_phot/` reaches the TESS tool;
        otherwise that is a 500 after the row was inserted.
    debug
        Whether a 500 shows its exception; otherwise (setting IS_DEBUG empty) it says nothing.
    saved_queries
        SQL by title, besides the ones that are there from the start.
    clock
        Returns the present moment.
    options
        Those of `StandIn`.
    """

    name: ClassVar[str] = "ysepz"

    def __init__(
        self,
        *,
        path: str | Path = ":memory:",
        users: Mapping[str, Sequence[str]] = DEFAULT_USERS,
        smtp: Mail = "ok",
        tess_online: bool = True,
        debug: bool = True,
        saved_queries: Mapping[str, str] | None = None,
        clock: Callable[[], datetime] | None = None,
        **options: Any,
    ) -> None:
        StandIn.__init__(self, **options)
        Contents.__init__(self, Store(path, clock=clock), users)
        self.smtp: Mail = smtp
        self.tess_online = tess_online
        self.debug = debug
        self.saved_queries = {**readback.SAVED_QUERIES, **(saved_queries or {})}
        self._passwords = {name: password for name, (password, *_) in users.items()}

    def stop(self) -> None:
        """Stop, and remove what was stored if it was temporary."""
        super().stop()
        self.store.close()

    # Requests -------------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        with self.store.connect() as database:
            try:
                return self._route(request, database)
            except _DeniedError as denied:
                return denied.reply
            except sqlite3.Error:  # the stand-in's own trouble
                raise
            except Exception as error:  # noqa: BLE001 - there, any exception is a 500
                if isinstance(error, ServerError):
                    return self._page(request, error.title, error.message)
                return self._page(request, type(error).__name__, str(error))

    def server_error(self, request: Request) -> Reply:
        """Return the debug page of a database that went away."""
        message = "(2013, 'Lost connection to MySQL server during query')"
        return self._page(request, "OperationalError", message)

    def aborted(self, request: Request) -> Reply:
        """Return the page of a killed worker, which blames whatever it was doing."""
        message = "Input values did not match the format class isot:\nTypeError: 'NoneType'"
        return self._page(request, "ValueError", message)

    def _page(self, request: Request, title: str, message: str) -> Reply:
        return debug_page(request, title, message) if self.debug else Reply.html(BARE_PAGE, 500)

    def _route(  # noqa: PLR0911 - one answer per address
        self, request: Request, database: Database
    ) -> Reply:
        path = request.path
        if path == "/":
            return Reply.html(pages.overview(database))
        head, slash, rest_of_path = path.removeprefix("/").partition("/")
        if not path.endswith("/") and not (slash and head.startswith("add_")):
            return _append_slash(request)
        rest_of_path = rest_of_path.removesuffix("/")
        match head:
            case "add_transient" | "add_transient_phot":
                return self._upload(request, database, head)
            case "api":
                return rest.api(self._api_session(request, database), request)
            case "download_data":
                return readback.download_data(self._session(request, database), rest_of_path)
            case "get_transient":
                return readback.get_transient(self._session(request, database), rest_of_path)
            case "query_api":
                session = self._session(request, database)
                return readback.query_api(session, self.saved_queries, rest_of_path)
            case "transient_detail":
                return pages.detail(database, self._user_names, rest_of_path)
            case _:
                return _elsewhere(path)

    def _upload(self, request: Request, database: Database, head: str) -> Reply:
        session = self._session(request, database)
        self.charge(cost.UPLOAD_LOGIN_S)
        payload = _payload(request)
        message = "success"
        if head == "add_transient":
            AddTransient(session, payload).run()
        else:
            message = add_transient_phot(session, payload)
        return Reply.json({"message": message})

    # Login ----------------------------------------------------------------------------------

    def _session(self, request: Request, database: Database) -> Session:
        """Log in as views outside `/api/` do: 403, 401, or a crash on a malformed header."""
        header = request.headers.get("Authorization")
        if header is None:
            raise _DeniedError(_forbidden("Incorrect user credentials"))
        scheme, credentials = header.split(" ", 1)
        if scheme.lower() != "basic":
            raise _DeniedError(Reply(401, content_type="text/html", headers=_CHALLENGE))
        decoded = base64.b64decode(credentials.strip()).decode()
        username, password = decoded.split(":", 1)
        user = self._authenticate(username, password)
        if user is None:
            self.charge(cost.API_LOGIN_S)
            raise _DeniedError(_forbidden("Incorrect user credentials."))
        return self._open(request, database, user)

    def _api_session(self, request: Request, database: Database) -> Session:
        """Log in as the REST framework does: 401 in JSON."""
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise _DeniedError(_unauthorized("Authentication credentials were not provided."))
        if not credentials:
            raise _DeniedError(_unauthorized("Invalid basic header. No credentials provided."))
        try:
            username, _, password = base64.b64decode(credentials).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            message = "Invalid basic header. Credentials not correctly base64 encoded."
            raise _DeniedError(_unauthorized(message)) from None
        user = self._authenticate(username, password)
        if user is None:
            self.charge(cost.API_LOGIN_S)
            raise _DeniedError(_unauthorized("Invalid username/password."))
        return self._open(request, database, user)

    def _authenticate(self, username: str, password: str) -> User | None:
        if username in self._users and self._passwords[username] == password:
            return self._users[username]
        return None

    def _open(self, request: Request, database: Database, user: User) -> Session:
        return Session(
            db=database,
            user=user,
            charge=self.charge,
            hold=self.hold,
            mail=self._mail,
            tess=self._tess,
            base_url=f"http://{request.headers.get('Host', self.url.removeprefix('http://'))}",
            user_names=self._user_names,
        )

    def _mail(self) -> None:
        match self.smtp:
            case "refused":
                raise ConnectionRefusedError("[Errno 111] Connection refused")
            case "hang":
                self.rest(2 * self.worker_limit_s, silent=True)
            case "ok":
                pass

    def _tess(self) -> None:
        if not self.tess_online:
            message = "HTTPSConnectionPool(host='heasarc.gsfc.nasa.gov', port=443): Max retries"
            raise ServerError("ConnectionError", message)


_CHALLENGE: Final = {"WWW-Authenticate": "Basic"}


def _elsewhere(path: str) -> Reply:
    if SESSION_ONLY.match(path):
        return Reply(302, headers={"Location": f"/login/?next={quote(path)}"})
    return Reply.html("<h1>Not Found</h1><p>The requested resource was not found.</p>", 404)


def _forbidden(text: str) -> Reply:
    return Reply.html(text, 403)


def _unauthorized(detail: str) -> Reply:
    reply = Reply.json({"detail": detail}, 401)
    reply.headers["WWW-Authenticate"] = 'Basic realm="api"'
    return reply


def _append_slash(request: Request) -> Reply:
    """Redirect to the address with a slash.

    Raises
    ------
    ServerError
        A body cannot be redirected.
    """
    if request.method in ("GET", "HEAD"):
        return Reply(301, content_type="text/html", headers={"Location": f"{request.path}/"})
    message = (
        f"You called this URL via {request.method}, but the URL doesn't end in a slash and you "
        "have APPEND_SLASH set."
    )
    raise ServerError("RuntimeError", message)


def _payload(request: Request) -> Any:
    """Return the posted JSON.

    Raises
    ------
    ServerError
        It is no strict JSON in UTF-8.
    """
    try:
        return json.loads(request.body.decode(), parse_constant=no_constant)
    except ValueError as error:
        raise ServerError("ParseError", f"JSON parse error - {error}") from error
