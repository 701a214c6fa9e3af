"""What went wrong on the way to a source, told from the errors of the HTTP library."""

from __future__ import annotations

import re
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from yse_ingest.errors import SourceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

NEXT_CYCLE = "It is asked again with the next cycle."
RETRY_AFTER_KEPT_S = 86400.0
"""Whoever asks us to wait longer is asked again after this [s]."""

_WAIT_SAID = re.compile(rb"available in (\d{1,9}) (second|minute)")
_HOUR_SAID = b"wait an hour"
_WAIT_SAID_LENGTH = 1000
_UNIX_TIME = 1e9
"""What is larger is a moment, not a wait."""

# The second kind comes while a body is read.
TRANSPORT_ERRORS = (
    requests.ConnectionError,
    requests.Timeout,
    HTTPError,
)


class UnresolvedError(Exception):
    """The name of the host has no address."""


class PassingError(Exception):
    """A failure after which the same request may succeed.

    Parameters
    ----------
    fact
        What happened.
    retry_after
        Seconds that the service asked us to wait.
    """

    def __init__(self, fact: str, *, retry_after: float | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.retry_after = retry_after

    def as_error(self, service: str, *, tries: int) -> SourceUnavailableError:
        """Return the error that this is when nothing more is tried."""
        count = f" ({tries} tries)" if tries > 1 else ""
        return SourceUnavailableError(
            f"{self.fact}{count}",
            service=service,
            retry_after=self.retry_after,
            remedy=NEXT_CYCLE,
        )


def told(
    error: Exception, *, url: str, connect_s: float, silence_s: float
) -> UnresolvedError | PassingError:
    """Return what one of `TRANSPORT_ERRORS` means.

    Parameters
    ----------
    error
        What the library raised.
    url
        Where the service lives.
    connect_s, silence_s
        The time-outs of the request [s].
    """
    address = urlsplit(url).netloc
    if caused_by(error, socket.gaierror):
        return UnresolvedError(f"the host {urlsplit(url).hostname} does not resolve")
    if caused_by(error, ConnectionRefusedError):
        return PassingError(f"nothing listens at {address}")
    if caused_by(error, ssl.SSLError):
        return PassingError(f"no trusted connection to {address} ({_causes(error)[-1]})")
    if isinstance(error, requests.ConnectTimeout):
        return PassingError(f"no connection to {address} within {connect_s:g} s")
    if caused_by(error, TimeoutError):
        return PassingError(f"said nothing for {silence_s:g} s")
    if isinstance(error, HTTPError):
        return PassingError("lost the connection in the middle of its answer")
    return PassingError("closed the connection without an answer")


def caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    """Tell whether an error, or what led to it, is of a kind."""
    return any(isinstance(cause, kind) for cause in _causes(error))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how long the service asks us to wait, from seconds or a date [s]."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), RETRY_AFTER_KEPT_S)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        wait_s = (moment - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, wait_s), RETRY_AFTER_KEPT_S)


def wait_said(body: bytes) -> float | None:
    """Return how long the text of a refusal asks us to wait [s].

    ``Request was throttled. Expected available in 12 seconds.``, as Django's REST framework
    says it; some services say it in minutes. Lasair says "Either wait an hour, or ...".
    """
    found = _WAIT_SAID.search(body[:_WAIT_SAID_LENGTH])
    if found is None:
        return 3600.0 if _HOUR_SAID in body[:_WAIT_SAID_LENGTH] else None
    seconds = float(found[1]) * (60.0 if found[2] == b"minute" else 1.0)
    return min(seconds, RETRY_AFTER_KEPT_S)


def quota_wait(headers: Mapping[str, str]) -> float | None:
    """Return how long the quota of the service lasts no more [s]; None: it does.

    By ``X-RateLimit-Remaining`` and ``-Reset`` (also as ``RateLimit-...``, and with words
    before: ``X-Cone-Rate-Limit-...``); the reset is in seconds, or a Unix time.
    """
    by_name = {name.lower().replace("rate-limit", "ratelimit"): name for name in headers}
    for plain, name in by_name.items():
        if not plain.endswith("ratelimit-remaining"):
            continue
        left = headers[name].strip()
        reset = headers.get(by_name.get(f"{plain.removesuffix('remaining')}reset", ""), "")
        if (left == "0" or left.lower() == "exceeded") and reset.strip().isdecimal():
            wait_s = float(reset)
            if wait_s > _UNIX_TIME:
                wait_s -= datetime.now(UTC).timestamp()
            return min(max(0.0, wait_s), RETRY_AFTER_KEPT_S)
    return None


def _causes(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
