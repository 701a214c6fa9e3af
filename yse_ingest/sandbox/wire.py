"""One HTTP connection: what is read from it, and what is written or not written to it."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from email.message import Message

CONTROL: Final = "/_sandbox/"
IDLE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the handler sees it.

    Attributes
    ----------
    path
        Decoded, without the query.
    query
        Decoded pairs in their order, those with an empty value included.
    headers
        `get` ignores case.
    body
        Empty when the client announced no Content-Length.
    """

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Message
    body: bytes

    def param(self, name: str) -> str | None:
        """Return the last value of a query parameter, or None."""
        return dict(self.query).get(name)


@dataclass(slots=True)
class Reply:
    """One answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, obj: object, status: int = 200) -> Self:
        """Return `obj` as JSON."""
        return cls(status, json.dumps(obj).encode())

    @classmethod
    def html(cls, text: str, status: int = 200) -> Self:
        """Return a page of HTML."""
        return cls(status, text.encode(), "text/html; charset=utf-8")

    @classmethod
    def text(cls, text: str, status: int = 200) -> Self:
        """Return plain text."""
        return cls(status, text.encode(), "text/plain; charset=utf-8")


class Server(Protocol):
    """What a conversation needs of the server it belongs to."""

    keep_alive: bool

    def serve(self, request: Request, conversation: Conversation) -> None:
        """Answer one request through `conversation`."""

    def control(self, request: Request) -> Reply:
        """Answer one request below `/_sandbox/`."""


class Conversation(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "sandbox"
    sys_version = ""
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def __init__(
        self, connection: socket.socket, peer: tuple[str, int], stand_in: Server
    ) -> None:
        self.stand_in = stand_in
        super().__init__(connection, peer, stand_in)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing: the stand-in keeps its own log."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        announced = self.headers.get("Content-Length")
        body = self.rfile.read(int(announced)) if announced else b""
        if announced and len(body) < int(announced):
            self.close_connection = True
            return
        if announced is None and "chunked" in self.headers.get("Transfer-Encoding", ""):
            self._drain_chunks()
        request = Request(
            method=self.command,
            path=unquote(parts.path),
            query=parse_qsl(parts.query, keep_blank_values=True),
            headers=self.headers,
            body=body,
        )
        if request.path.startswith(CONTROL):
            self.answer(self.stand_in.control(request))
        else:
            self.stand_in.serve(request, self)

    do_GET = do_POST = do_PUT = do_PATCH = _serve  # noqa: N815 - names of http.server
    do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815

    def _drain_chunks(self) -> None:
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            self.rfile.read(size + 2)
        while self.rfile.readline().strip():
            pass

    def client_gone(self) -> bool:
        """Say whether the client has closed its side."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return False
        try:
            return len(self.connection.recv(1, socket.MSG_PEEK)) == 0
        except OSError:
            return True

    def answer(self, reply: Reply, *, cut: bool = False) -> None:
        """Write the answer; with `cut` lose the connection in the middle of it."""
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if not self.stand_in.keep_alive:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if cut:
            self.wfile.write(reply.body[: len(reply.body) // 2])
            self.close_connection = True
        elif self.command != "HEAD":
            self.wfile.write(reply.body)
        self.wfile.flush()

    def close(self, *, reset: bool = False) -> None:
        """Close without an answer; with `reset` the client gets a reset instead of an end."""
        self.close_connection = True
        if reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()


def shut(connection: socket.socket) -> None:
    """End both directions of a connection, or wake whoever waits on a listening socket."""
    with contextlib.suppress(OSError):  # closed already
        connection.shutdown(socket.SHUT_RDWR)
