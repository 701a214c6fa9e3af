"""HTTP to one YSE-PZ: a session per thread, and connections that fail in a way one can act on.

A request that writes ends in one of two ways when no answer comes: either it is proven that not
a byte was sent (`YsePzUnavailableError`), or it may have been carried out
(`OutcomeUnknownError`). A request that reads proves nothing and harms nothing.
"""

from __future__ import annotations

import copy
import json
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

import requests
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.exceptions import ProxyError as UnreachableProxyError

from yse_ingest import __version__, transport
from yse_ingest.errors import (
    OutcomeUnknownError,
    PayloadError,
    SettingsError,
    YsePzError,
    YsePzReplyError,
    YsePzUnavailableError,
)
from yse_ingest.redaction import BLANK, forms, redacted
from yse_ingest.ysepz.gate import LocalGate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from yse_ingest.limits import Purpose
    from yse_ingest.ysepz.account import Account
    from yse_ingest.ysepz.gate import Gate, Turn

SERVICE = "YSE-PZ"
BODY_MAX = 64 * 2**20
"""Longest answer that is read [B]; a read-back of 100 000 points is as long."""
ERROR_BODY_MAX = 512 * 2**10
"""How much of an error page is read [B]: what matters stands at its beginning."""
IDLE_MAX_S = 5.0
"""An idle connection older than this is not used again [s]: the server may be closing it, and a
write on it would end in the dark."""
DEADLINE_READS = 2
"""A whole answer may take this many read time-outs, however slowly it trickles."""
AWAY = (408, 429, 502, 503, 504)
"""Statuses of a web server whose YSE-PZ is overloaded or down."""
READ_BACK_FIRST = "It may have been carried out: read back before anything is sent again."
READING = "GET"
"""The one method that leaves a client that may not write."""


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for YSE-PZ [s]."""

    connect_s: float = 5.0
    read_s: float = 65.0
    """Longer than the 60 s after which the shipped nginx gives up."""
    slow_s: float = 8.0
    """An error page after this long may be a worker that was killed, whatever it says."""


@dataclass(frozen=True)
class Answer:
    """One answer of YSE-PZ."""

    request: str
    """ "POST /add_transient/": method and path."""
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    """From the first byte sent to the last one read [s]."""


def away(answer: Answer) -> bool:
    """Tell whether an answer says that YSE-PZ, or its server, is overloaded or down."""
    return answer.status in AWAY


def normalised(url: str) -> str:
    """Return the base address without a slash at its end; a path prefix is kept.

    Raises
    ------
    SettingsError
        When it is no plain http(s) address.
    """
    problem = None
    try:
        parts = urlsplit(url.strip())
        valid_port = parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        parts, valid_port = urlsplit(""), False
    if not valid_port or parts.scheme not in ("http", "https") or not parts.hostname:
        problem = "is no http or https address"
    elif parts.username is not None or parts.password is not None:
        problem = "holds a user name"
    elif parts.query or parts.fragment:
        problem = "holds more than host and path"
    if problem:
        raise SettingsError(
            f"YSE_PZ_URL {problem}",
            service="settings",
            remedy="Write it as https://yse-pz.example.org; the account has its own settings.",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


class Http:
    """Requests to one YSE-PZ under one account; safe between threads.

    Parameters
    ----------
    base_url
        As `normalised` returns it.
    may_write
        False: nothing but GET leaves; set once, for good.
    gate
        Where each request waits for its turn; by default one of this process.
    away
        Tells whether an answer says that YSE-PZ is down.
    """

    def __init__(
        self,
        base_url: str,
        account: Account,
        *,
        timeouts: Timeouts,
        may_write: bool = True,
        gate: Gate | None = None,
        away: Callable[[Answer], bool] = away,
    ) -> None:
        self.base_url = base_url
        self.timeouts = timeouts
        self._adapter = transport.Adapter if may_write else _ReadOnlyAdapter
        self.gate = gate if gate is not None else LocalGate()
        self.purpose: Purpose = "lookup"
        self.keep: Callable[[], None] | None = None
        self._away = away
        # Django reads Basic credentials as UTF-8; requests would write them as latin-1.
        self._auth = HTTPBasicAuth(account.username.encode(), account.password.encode())
        login = f"{account.username}:{account.password}"
        self._login = [form.encode() for form in forms({login})]
        self._password = [form.encode() for form in forms({account.password})]
        self._local = threading.local()
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()
        self._lock = threading.Lock()

    @property
    def may_write(self) -> bool:
        """Tell whether anything but GET may leave."""
        return self._adapter is not _ReadOnlyAdapter

    def close(self) -> None:
        """Close the connections of every thread."""
        with self._lock:
            for session in self._sessions:
                session.close()

    def for_purpose(self, purpose: Purpose, *, keep: Callable[[], None] | None) -> Self:
        """Return the same connections for requests of this purpose.

        Parameters
        ----------
        keep
            Called before each request, reads too, when its turn has come: renews a lease. An
            error that it raises stops the request before a byte is sent.
        """
        twin = copy.copy(self)
        twin.purpose, twin.keep = purpose, keep
        return twin

    def send(
        self,
        method: Literal["GET", "POST", "PATCH"],
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: object = None,
        before: Callable[[], None] | None = None,
    ) -> Answer:
        """Wait for a turn, send one request and return the answer, whatever its status.

        Parameters
        ----------
        path
            Below the base address, with a slash at both ends.
        params
            Query.
        content
            Sent as JSON.
        before
            Called when the turn has come, right before the first byte.

        Raises
        ------
        HeldBackError
            No turn came, or YSE-PZ is known to be down: nothing was sent.
        YsePzUnavailableError
            No answer, and it is proven that nothing was written.
        OutcomeUnknownError
            No answer to a request that writes.
        YsePzReplyError
            A redirection, or an answer of more than `BODY_MAX`.
        PayloadError
            The content is no JSON, or this client only reads.
        """
        body = None if content is None else _encoded(content)
        with self.gate.turn(f"{method} {path}", purpose=self.purpose) as turn:
            if self.keep is not None:
                self.keep()
            if before is not None:
                before()
            answer = self._exchange(method, path, params=params, body=body, turn=turn)
        self._refuse_redirection(answer)
        return answer

    def _exchange(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        body: bytes | None,
        turn: Turn,
    ) -> Answer:
        started = time.monotonic()
        bounds = transport.bounded(
            deadline=started + DEADLINE_READS * self.timeouts.read_s, body_max=BODY_MAX
        )
        try:
            with (
                bounds,
                self._session().request(
                    method,
                    self.base_url + path,
                    params=params,
                    data=body,
                    timeout=(self.timeouts.connect_s, self.timeouts.read_s),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                turn.answered = True
                text = self._read(response, started, f"{method} {path}", turn)
        except requests.RequestException as error:
            turn.answered = False
            raise self._lost(method, path, error) from error
        finally:
            self._local.used = time.monotonic()
        answer = Answer(
            request=f"{method} {path}",
            status=response.status_code,
            headers=response.headers,
            body=self._without_secrets(text, response.status_code),
            seconds=time.monotonic() - started,
        )
        turn.answered = not self._away(answer)
        return answer

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = transport.session(self._adapter)
            session.auth = self._auth
            session.headers.update(
                {
                    "User-Agent": f"yse_ingest/{__version__}",
                    # Without text/html the 500 page comes as text, its exception first.
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "Content-Type": "application/json; charset=utf-8",
                }
            )
            self._local.session = session
            with self._lock:
                self._sessions.add(session)
        elif time.monotonic() - self._local.used > IDLE_MAX_S:
            session.close()
        return session

    def _read(
        self, response: requests.Response, started: float, request: str, turn: Turn
    ) -> bytes:
        broken = response.status_code >= 400
        deadline = started + DEADLINE_READS * self.timeouts.read_s
        parts: list[bytes] = []
        size = 0
        # Not iter_content: it waits for a whole chunk, and a trickle would never end.
        while part := _next_part(response):
            turn.renew()
            parts.append(part)
            size += len(part)
            if broken and size >= ERROR_BODY_MAX:
                break
            if size > BODY_MAX:
                reads = request.startswith("GET ")
                raise (YsePzReplyError if reads else OutcomeUnknownError)(
                    f"the answer to {request} is longer than {BODY_MAX >> 20} MiB",
                    service=SERVICE,
                    remedy="Is YSE_PZ_URL the address of a YSE-PZ?"
                    if reads
                    else READ_BACK_FIRST,
                )
            if time.monotonic() > deadline:
                raise requests.ReadTimeout(request=response.request)
        return b"".join(parts)

    def _lost(self, method: str, path: str, error: requests.RequestException) -> YsePzError:
        unsent = _unsent_because(error)
        if unsent is not None:
            fact, remedy = unsent
            return YsePzUnavailableError(
                f"{self.base_url} cannot be reached: {fact}", service=SERVICE, remedy=remedy
            )
        if _timed_out(error):
            fact = f"no answer to {method} {path} within {self.timeouts.read_s:g} s"
        else:
            fact = f"the connection was lost before the answer to {method} {path}"
        if method == "GET":
            return YsePzUnavailableError(
                fact, service=SERVICE, remedy="It is asked again later; nothing is lost."
            )
        return OutcomeUnknownError(fact, service=SERVICE, remedy=READ_BACK_FIRST)

    def _without_secrets(self, body: bytes, status: int) -> bytes:
        """Take our credentials out of an answer: Django's debug pages show the request's."""
        # In data the password alone may be a word like any other: a name, a status.
        for secret in self._login + (self._password if status != 200 else []):
            if secret in body:
                body = body.replace(secret, BLANK.encode())
        return body

    def _refuse_redirection(self, answer: Answer) -> None:
        if not 300 <= answer.status < 400:
            return
        # Never followed: the account would go along, and a POST would become a GET.
        location = redacted(answer.headers.get("Location", "").partition("?")[0][:120])
        raise YsePzReplyError(
            f"{answer.request} was redirected to {location} (HTTP {answer.status})",
            service=SERVICE,
            remedy="Set YSE_PZ_URL to the address at which YSE-PZ itself answers.",
        )


class _ReadOnlyAdapter(transport.Adapter):
    """Lets nothing but GET pass, whoever asks and however the request was made."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method != READING:
            raise only_reads(f"{request.method} {urlsplit(request.url or '').path}")
        return super().send(request, *args, **kwargs)


def only_reads(request: str) -> PayloadError:
    """Return the error of a request that a reading client was to send."""
    return PayloadError(
        f"{request} was not sent: this client only reads",
        service=SERVICE,
        remedy="In shadow nothing is written (YSE_INGEST_SHADOW); else use a command that "
        "writes, for example push.",
    )


def _next_part(response: requests.Response) -> bytes:
    try:
        part: bytes = response.raw.read1(2**16, decode_content=True)
    except HTTPError as error:
        raise requests.ConnectionError(error, request=response.request) from error
    return part


def _encoded(content: object) -> bytes:
    try:
        text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise PayloadError(
            f"the request is no JSON: {error}"[:300],
            service=SERVICE,
            remedy="Nothing was sent; correct the value where it comes from.",
        ) from error
    return text.encode()


def _unsent_because(error: requests.RequestException) -> tuple[str, str] | None:
    """Return fact and remedy when it is proven that no byte of the request was sent."""
    again = "Is it running, and is YSE_PZ_URL right? Nothing was written; it is tried again."
    if isinstance(error, requests.exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return "its certificate is not trusted", (
                "Nothing was sent. Name your authority's file in REQUESTS_CA_BUNDLE."
            )
        return None
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    if isinstance(reason, NameResolutionError):
        return "the host name does not resolve", again
    if isinstance(reason, UnreachableProxyError):
        return "the proxy cannot be reached", again
    if isinstance(reason, NewConnectionError):
        refused = "refused" in str(reason).lower()
        return "connection refused" if refused else "no connection", again
    if isinstance(error, requests.ConnectTimeout) or isinstance(reason, ConnectTimeoutError):
        return "no connection in time", again
    return None


def _timed_out(error: requests.RequestException) -> bool:
    # While the body is read, requests reports urllib3's time-out as a ConnectionError.
    return isinstance(error, requests.Timeout) or "timed out" in str(error).lower()
