"""HTTP as every source is asked: pooled, bounded in time and size, retried only where it helps.

What comes back is an `HttpReply` of any status that is an answer, or an error of
`yse_ingest.errors`: nothing above this module knows the HTTP library.
"""

from __future__ import annotations

import json
import random
import threading
import time
import weakref
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

import requests

from yse_ingest import __version__, transport
from yse_ingest.backoff import backoff_delay
from yse_ingest.errors import (
    SettingsError,
    SourceHeldBackError,
    SourceRefusedError,
    SourceReplyError,
    SourceUnavailableError,
)
from yse_ingest.redaction import BLANK, forms
from yse_ingest.sources.failures import (
    NEXT_CYCLE,
    TRANSPORT_ERRORS,
    PassingError,
    caused_by,
    quota_wait,
    retry_after,
    told,
    wait_said,
)
from yse_ingest.sources.reply import HttpReply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Params = Mapping[str, str | Sequence[str]]

    from yse_ingest.meter import Meter
    from yse_ingest.sources.trail import Trail

USER_AGENT = f"yse_ingest/{__version__}"
PASSING_STATUSES = frozenset({429, 502, 503, 504})
"""Answers after which the same may well succeed; a 500 of these services is our input."""
BODY_CAP = 64 * 2**20
"""Longest body taken [bytes]; 25 cones of 300 alerts are 23 MB."""
RETRY_AFTER_MAX_S = 60.0
"""Who asks us to wait longer is asked again by the next cycle."""
PATIENCE_S = 5.0
"""Longest wait for the turn of one request; whoever must wait longer is put off [s]."""
RETRIES = 2
BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 8.0
REDIRECTS_MAX = 3
_URL_SHOWN = 120
_CHUNK_BYTES = 2**16


class Body(NamedTuple):
    """What a POST carries."""

    content_type: str
    content: bytes


@dataclass(frozen=True)
class Timeouts:
    """How long a source may take [s]."""

    connect_s: float = 5.0
    get_s: float = 20.0
    """Silence while a GET is answered."""
    post_s: float = 65.0
    """Silence while a POST is answered: all its queries come before the first byte."""
    fetch_s: float = 200.0
    """All requests of one call of `fetch`, waits included."""


class HttpClient:
    """Asks one service; safe between threads, each of which has a session of its own.

    Parameters
    ----------
    base_url
        Where the service lives, with or without a slash at the end.
    service
        Its name in messages.
    timeouts
        See `Timeouts`.
    unresolved_remedy
        What to do when the host does not resolve.
    retries
        How often a request that may yet succeed is repeated.
    concurrency
        Requests that may be under way at the same time.
    body_cap
        Longest body taken [bytes].
    sleep, clock, jitter
        How to wait [s], the monotonic time [s], and random numbers in [0, 1).
    meter
        Who counts the requests; None: nobody.
    trail
        Where replies are noted for inspection; None: nowhere.

    Raises
    ------
    SettingsError
        When the URL is none, or holds credentials.
    """

    def __init__(
        self,
        base_url: str,
        *,
        service: str,
        timeouts: Timeouts | None = None,
        unresolved_remedy: str | None = None,
        retries: int = RETRIES,
        concurrency: int = 1,
        body_cap: int = BODY_CAP,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        meter: Meter | None = None,
        trail: Trail | None = None,
    ) -> None:
        self.base_url = check_url(base_url, service=service)
        self.service = service
        self.timeouts = timeouts or Timeouts()
        self.authorization: str | None = None
        """Header that says who asks; it goes to this host alone, and into no text."""
        self.user_agent: str | None = None
        """How it is to call itself where the service demands a form of its own."""
        self._secrets: tuple[bytes, ...] = ()
        self._unresolved_remedy = unresolved_remedy or "Check the URL and this machine's DNS."
        self._retries = retries
        self._turns = threading.BoundedSemaphore(concurrency)
        self._body_cap = body_cap
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter
        self._meter = meter
        self._trail = trail
        self._local = threading.local()
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()

    def keep_secret(self, secret: str) -> None:
        """Blank a secret in every answer: a service may repeat what it was sent."""
        self._secrets = tuple(form.encode() for form in forms({secret}))

    def deadline(self) -> float:
        """Return when a fetch that begins now must have ended, on the client's clock [s]."""
        return self._clock() + self.timeouts.fetch_s

    def get(
        self,
        path: str,
        params: Params | None = None,
        *,
        deadline: float,
        final: frozenset[int] = frozenset(),
    ) -> HttpReply:
        """Send a GET and return its answer.

        Parameters
        ----------
        params
            Of the query; one with a list of values stands there once for each.
        final
            Statuses that are an answer here, although a repetition may help elsewhere.

        Raises
        ------
        SourceUnavailableError
            No answer, or one that says "later", after all retries.
        SourceHeldBackError
            It was not sent: the budget of the source is spent, or it told us all to wait.
        SourceRefusedError
            A redirect to another host.
        SourceReplyError
            A body beyond the cap.
        """
        return self._ask("GET", path, params=params, body=None, deadline=deadline, final=final)

    def post_json(self, path: str, content: Any, *, deadline: float) -> HttpReply:
        """Send a POST that only asks, with a JSON body, and return its answer.

        Raises
        ------
        SourceError
            As `get`.
        """
        body = Body("application/json", json.dumps(content, allow_nan=False).encode())
        return self._ask("POST", path, params=None, body=body, deadline=deadline)

    def post_form(self, path: str, fields: Mapping[str, str], *, deadline: float) -> HttpReply:
        """Send a POST that only asks, with a form as its body, and return its answer.

        Raises
        ------
        SourceError
            As `get`.
        """
        body = Body("application/x-www-form-urlencoded", urlencode(fields).encode())
        return self._ask("POST", path, params=None, body=body, deadline=deadline)

    def delete(self, path: str, *, deadline: float) -> HttpReply:
        """Send a DELETE and return its answer.

        Raises
        ------
        SourceError
            As `get`.
        """
        return self._ask("DELETE", path, params=None, body=None, deadline=deadline)

    def forget_reply(self) -> None:
        """Keep nothing of the last reply for inspection: it held a secret."""
        if self._trail is not None:
            self._trail.clear()

    def close(self) -> None:
        """Close the connections of all threads."""
        for session in list(self._sessions):
            session.close()

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Params | None,
        body: Body | None,
        deadline: float,
        final: frozenset[int] = frozenset(),
    ) -> HttpReply:
        url = urljoin(self.base_url, path)
        attempt, turn_s = 0, self._turn(deadline)
        while True:
            attempt += 1
            self._wait_for_turn(turn_s, deadline)
            try:
                return self._follow(
                    method, url, params=params, body=body, deadline=deadline, final=final
                )
            except PassingError as failure:
                error = failure.as_error(self.service, tries=attempt)
                wait = backoff_delay(
                    attempt,
                    base=BACKOFF_BASE_S,
                    cap=BACKOFF_CAP_S,
                    jitter=self._jitter(),
                    after=failure.retry_after,
                )
                too_long = (failure.retry_after or 0.0) > RETRY_AFTER_MAX_S
                if attempt > self._retries or too_long or self._clock() + wait >= deadline:
                    raise error from failure.__cause__
                try:
                    turn_s = self._turn(deadline, after_s=wait)
                except SourceHeldBackError:  # what it answered says more
                    raise error from failure.__cause__

    def _wait_for_turn(self, turn_s: float, deadline: float) -> None:
        """Wait for a turn, and for the next one where the source was closed meanwhile."""
        while turn_s > 0:
            self._sleep(turn_s)
            if self._meter is None or not self._meter.closed():
                return
            turn_s = self._turn(deadline)

    def _turn(self, deadline: float, *, after_s: float = 0.0) -> float:
        """Reserve a request; return in how many seconds it may be sent."""
        if self._meter is None:
            return after_s
        left = max(0.0, deadline - self._clock())
        # Who has begun goes on: a retry may wait as long as one that was asked to.
        patience_s = min(RETRY_AFTER_MAX_S if after_s else PATIENCE_S, left)
        return self._meter.take(patience_s=patience_s, after_s=after_s)

    def _follow(
        self,
        method: str,
        url: str,
        *,
        params: Params | None,
        body: Body | None,
        deadline: float,
        final: frozenset[int],
    ) -> HttpReply:
        for number in range(REDIRECTS_MAX + 1):
            if number:
                self._wait_for_turn(self._turn(deadline), deadline)
            reply, headers = self._send(
                method, url, params=params, body=body, deadline=deadline
            )
            if self._trail is not None:
                self._trail.note(f"{method} {url}", reply)
            told_s = quota_wait(headers)
            if reply.status in PASSING_STATUSES - final:
                told_s = retry_after(headers) or told_s or wait_said(reply.body)
                self._pause(told_s, f"it answered {reply.status}")
                raise PassingError(f"answered {reply.status}", retry_after=told_s)
            self._pause(told_s, "its quota is used up")
            location = headers.get("Location")
            if reply.status not in {301, 302, 303, 307, 308} or not location:
                return reply
            url, params = self._redirected(method, url, location, reply.status), None
        raise SourceRefusedError(
            f"redirects more than {REDIRECTS_MAX} times",
            service=self.service,
            remedy="Set its URL to the address that answers.",
        )

    def _pause(self, told_s: float | None, why: str) -> None:
        """Pass on to all workers what the source asked this one."""
        if self._meter is not None and told_s:
            self._meter.pause(told_s, why=f"{why} and asked us to wait")

    def _redirected(self, method: str, url: str, location: str, status: int) -> str:
        try:
            target = urljoin(url, location)
            here, there = urlsplit(url), urlsplit(target)
        except ValueError as error:  # "http://[" is no address
            raise SourceRefusedError(
                "redirects to an address that is none",
                service=self.service,
                remedy="Set its URL to the address that answers.",
            ) from error
        same_host = here.hostname == there.hostname
        keeps_secrecy = there.scheme in {here.scheme, "https"}
        keeps_method = method == "GET" or status in {307, 308}
        if same_host and keeps_secrecy and keeps_method:
            return target
        raise SourceRefusedError(
            f"redirects to {there.scheme}://{there.netloc.rpartition('@')[2]}",
            service=self.service,
            remedy="If it has moved there, set its URL to that address.",
        )

    def _send(
        self,
        method: str,
        url: str,
        *,
        params: Params | None,
        body: Body | None,
        deadline: float,
    ) -> tuple[HttpReply, Mapping[str, str]]:
        if not self._turns.acquire(timeout=max(0.0, deadline - self._clock())):
            raise SourceUnavailableError(
                "still has other questions of this process to answer",
                service=self.service,
                remedy=NEXT_CYCLE,
            )
        silence = self.timeouts.get_s if method == "GET" else self.timeouts.post_s
        left = deadline - self._clock()
        try:
            if left <= 0:
                raise SourceUnavailableError(
                    f"{self.timeouts.fetch_s:g} s were not enough for the whole fetch",
                    service=self.service,
                    remedy=NEXT_CYCLE,
                )
            bounds = transport.bounded(
                deadline=time.monotonic() + left, body_max=self._body_cap
            )
            with (
                bounds,
                self._session().request(
                    method,
                    url,
                    params=params,
                    data=None if body is None else body.content,
                    headers=self._headers(body),
                    timeout=(min(self.timeouts.connect_s, left), min(silence, left)),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                kind = response.headers.get("Content-Type", "").partition(";")[0]
                content = self._read(response, deadline)
                for secret in self._secrets:
                    content = content.replace(secret, BLANK.encode())
                return HttpReply(
                    self.service, response.status_code, kind, content
                ), response.headers
        except TRANSPORT_ERRORS as error:
            if caused_by(error, transport.TooSlowError):
                raise self._too_slow() from error
            failure = told(
                error,
                url=self.base_url,
                connect_s=self.timeouts.connect_s,
                silence_s=silence,
            )
            if isinstance(failure, PassingError):
                raise failure from error
            raise SourceUnavailableError(
                str(failure), service=self.service, remedy=self._unresolved_remedy
            ) from error
        except requests.RequestException as error:
            raise SourceRefusedError(
                f"could not be asked ({type(error).__name__})",
                service=self.service,
                field="url",
                value=self.base_url,
                remedy="Check its URL.",
            ) from error
        finally:
            self._turns.release()

    def _headers(self, body: Body | None) -> dict[str, str]:
        headers = {} if body is None else {"Content-Type": body.content_type}
        if self.authorization is not None:
            headers["Authorization"] = self.authorization
        if self.user_agent is not None:
            headers["User-Agent"] = self.user_agent
        return headers

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        parts: list[bytes] = []
        length = 0
        # Not iter_content: it waits for a whole chunk, and a trickle would never end.
        while part := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            parts.append(part)
            length += len(part)
            if length > self._body_cap:
                raise SourceReplyError(
                    f"answered more than {self._body_cap / 2**20:g} MB",
                    service=self.service,
                    field="body_cap",
                    value=self._body_cap,
                    remedy="Ask for less at a time.",
                )
            if self._clock() > deadline:
                raise self._too_slow()
        return b"".join(parts)

    def _too_slow(self) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"was still answering after {self.timeouts.fetch_s:g} s",
            service=self.service,
            remedy=NEXT_CYCLE,
        )

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = transport.session()
            session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json"})
            # Otherwise the session would send what ~/.netrc holds for the host.
            session.auth = _no_credentials
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            self._local.session = session
            self._sessions.add(session)
        return session


def check_url(url: str, *, service: str) -> str:
    """Return a base URL with one slash at the end.

    Raises
    ------
    SettingsError
        When it is no http(s) URL, or holds credentials (which are not repeated).
    """
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if "@" in url:
        raise SettingsError(
            f"the URL of {service} holds credentials",
            service="settings",
            remedy="This source needs none: leave them out.",
        )
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise SettingsError(
            f"the URL of {service} is no http or https address",
            service="settings",
            field="url",
            value=url[:_URL_SHOWN],
            remedy="Write it like https://host/path.",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/"


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
