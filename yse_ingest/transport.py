"""Sessions of requests that a server can neither hold up, nor fill up, nor lead away.

What requests and urllib3 leave open (measured 2026-11 with requests 2.34 and urllib3 2.8): a
time-out counts from byte to byte, so that a header, a chunk size or a ``100 Continue`` may
trickle for ever; lines of a chunked answer have no greatest length; and the body of a redirect
that is not followed is read to its end all the same.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer
    from urllib3 import PoolManager

WIRE_MARGIN = 2**20
"""How much longer than its body an answer may be [B]: its headers, and its chunks' sizes."""


class TooSlowError(TimeoutError):
    """The whole answer took longer than it may, however lively it was."""


@dataclass
class _Bounds:
    deadline: float
    left: int


_bounds: ContextVar[_Bounds | None] = ContextVar("bounds", default=None)


@contextlib.contextmanager
def bounded(*, deadline: float, body_max: int) -> Iterator[None]:
    """Bound the answers that this thread receives within the block.

    What exceeds the bounds ends as a time-out or as a lost connection.

    Parameters
    ----------
    deadline
        When the answer must have come, on the monotonic clock [s].
    body_max
        Longest body [B].
    """
    token = _bounds.set(_Bounds(deadline, body_max + WIRE_MARGIN))
    try:
        yield
    finally:
        _bounds.reset(token)


class _Received(socket.SocketIO):
    """The bytes of an answer as they come, within the bounds of the block."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection, "r")
        self._connection = connection

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        bounds = _bounds.get()
        if bounds is None:
            return super().readinto(buffer)
        if bounds.left <= 0:
            raise ConnectionAbortedError("the answer is longer than any that is taken")
        left_s = bounds.deadline - time.monotonic()
        if left_s <= 0:
            raise TooSlowError("timed out")
        silence_s = self._connection.gettimeout()
        self._connection.settimeout(left_s if silence_s is None else min(silence_s, left_s))
        try:
            count = super().readinto(buffer)
        except TimeoutError as error:
            if time.monotonic() < bounds.deadline:
                raise
            raise TooSlowError("timed out") from error
        finally:
            # Closed by the other side, it may be no socket any more.
            with contextlib.suppress(OSError):
                self._connection.settimeout(silence_s)
        bounds.left -= count or 0
        return count


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        received = _Received(sock)
        # As socket.makefile: the socket stays open until its last file is closed.
        sock._io_refs += 1  # type: ignore[attr-defined]  # noqa: SLF001
        self.fp = io.BufferedReader(received)


class _Connection(HTTPConnection):
    _answer: _Response | None = None

    def response_class(self, *args: Any, **kwargs: Any) -> _Response:  # type: ignore[override]
        self._answer = _Response(*args, **kwargs)
        return self._answer

    def getresponse(self) -> Any:
        try:
            return super().getresponse()
        except HTTPError:
            # A header that urllib3 refuses: it forgets the answer, and with it the socket.
            if self._answer is not None:
                self._answer.close()
            raise


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Adapter(HTTPAdapter):
    """Never repeats a request by itself; its connections keep within the bounds."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make bounded connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        """Make bounded connections through a proxy too."""
        manager: PoolManager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_POOLS = {"http": _Pool, "https": _TlsPool}


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        """Follow nothing: else requests reads the moved page whole, and parses its address."""
        return None


def session(adapter: type[Adapter] = Adapter) -> requests.Session:
    """Return a session that verifies certificates, follows no redirect and repeats nothing."""
    made = _Session()
    for scheme in ("http://", "https://"):
        made.mount(scheme, adapter(pool_connections=1, pool_maxsize=1, max_retries=0))
    return made
