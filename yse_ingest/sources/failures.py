"""What went wrong on the way to a source, told from the errors of the HTTP library."""

from __future__ import annotations

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
    causes = _causes(error)
    address = urlsplit(url).netloc

    def caused_by(kind: type[BaseException]) -> bool:
        return any(isinstance(cause, kind) for cause in causes)

    if caused_by(socket.gaierror):
        return UnresolvedError(f"the host {urlsplit(url).hostname} does not resolve")
    if caused_by(ConnectionRefusedError):
        return PassingError(f"nothing listens at {address}")
    if caused_by(ssl.SSLError):
        return PassingError(f"no trusted connection to {address} ({causes[-1]})")
    if isinstance(error, requests.ConnectTimeout):
        return PassingError(f"no connection to {address} within {connect_s:g} s")
    if caused_by(TimeoutError):
        return PassingError(f"said nothing for {silence_s:g} s")
    if isinstance(error, HTTPError):
        return PassingError("lost the connection in the middle of its answer")
    return PassingError("closed the connection without an answer")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how long the service asks us to wait, from seconds or a date [s]."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _causes(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
