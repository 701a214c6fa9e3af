"""Servers that mean harm, and the two clients that must survive them."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Script = Callable[[threading.Event], Iterable[bytes]]


class Hostile:
    """Speaks plain TCP on 127.0.0.1 and answers each request with a script of its own."""

    def __init__(self) -> None:
        self.script: Script = lambda _: []
        self.requests: list[bytes] = []
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def says(self, *parts: bytes) -> None:
        """Answer with these bytes and close."""
        self.script = lambda _: parts

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._answer, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        # Whoever is left in the middle of a script is content.
        with connection, contextlib.suppress(OSError):
            self.requests.append(connection.recv(65536))
            for part in self.script(self._stopping):
                connection.sendall(part)
                if self._stopping.is_set():
                    return

    def stop(self) -> None:
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    """Return a server that answers whatever a test tells it to."""
    server = Hostile()
    yield server
    server.stop()
