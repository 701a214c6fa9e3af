"""A mail server on 127.0.0.1 for tests, true to SMTP (RFC 5321), that fails as it is told."""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from email.message import EmailMessage
    from types import TracebackType
    from typing import Self

CERTIFICATE = Path(__file__).with_name("mail-server-for-tests-only.pem")
"""Certificate for 127.0.0.1 and its key."""


@dataclass
class Fault:
    """What goes wrong, at the command that it names ("CONNECT", "RCPT", "DATA", ".", ...)."""

    at: str
    reply: str = ""
    """This reply instead of the right one, as in "451 try later"; "": none."""
    hang: bool = False
    """No reply ever, and the connection stays."""
    drip: bool = False
    """A reply that never ends, a byte at a time."""
    drop: bool = False
    """The connection is closed instead."""
    only: str = ""
    """Only where the command holds this text."""


@dataclass
class Seen:
    """One message that was taken."""

    sender: str
    receivers: list[str]
    content: bytes
    encrypted: bool
    user: str | None

    @property
    def mail(self) -> EmailMessage:
        return email.message_from_bytes(self.content, policy=email.policy.default)

    @property
    def text(self) -> str:
        text: str = self.mail.get_content()
        return text.replace("\r\n", "\n")


class Hangup(Exception):  # noqa: N818  it is no error
    """The conversation is over."""


@dataclass
class SmtpStandIn:
    """The server; `taken` are the messages that it said 250 to."""

    security: str = "none"
    """none, starttls, ssl."""
    accounts: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    taken: list[Seen] = field(default_factory=list)
    clear: bytearray = field(default_factory=bytearray)
    """All that came in without encryption."""
    connections: int = 0

    def __post_init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CERTIFICATE)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._listen, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            with contextlib.suppress(Hangup, OSError, ValueError):
                _Conversation(self, connection, stack).hold()


class _Conversation:
    def __init__(
        self, server: SmtpStandIn, connection: socket.socket, stack: contextlib.ExitStack
    ) -> None:
        self.server = server
        self.stack = stack
        self.encrypted = server.security == "ssl"
        if self.encrypted:
            connection = self._encrypt(connection)
        self.socket = connection
        self.file = stack.enter_context(connection.makefile("rb"))
        self.user: str | None = None
        self.sender: str | None = None
        self.receivers: list[str] = []

    def _encrypt(self, connection: socket.socket) -> socket.socket:
        encrypted = self.server._context.wrap_socket(connection, server_side=True)
        self.server._open.append(encrypted)
        self.stack.callback(encrypted.close)
        return encrypted

    def say(self, reply: str) -> None:
        self.socket.sendall(reply.encode() + b"\r\n")

    def read(self) -> bytes:
        line = self.file.readline()
        if not line:
            raise Hangup
        if not self.encrypted:
            self.server.clear += line
        return line

    def answer(self, command: str, text: str, reply: str) -> bool:
        """Say the reply, or what a fault makes of it; True when it was the right one."""
        for fault in self.server.faults:
            if fault.at != command or fault.only not in text:
                continue
            if fault.drop:
                raise Hangup
            while fault.hang or fault.drip:
                if self.server._closed.wait(0.05):
                    raise Hangup
                if fault.drip:
                    self.socket.sendall(b"2")
            self.say(fault.reply)
            return False
        self.say(reply)
        return True

    def hold(self) -> None:
        self.answer("CONNECT", "", "220 mail.invalid ESMTP stand-in")
        while True:
            text = self.read().decode(errors="replace").strip()
            command = text.partition(" ")[0].upper()
            getattr(self, f"on_{command.lower()}", self.on_unknown)(text)

    def on_unknown(self, text: str) -> None:
        self.answer("?", text, "502 not implemented")

    def on_ehlo(self, text: str) -> None:
        offers = ["mail.invalid", "8BITMIME"]
        if self.server.security == "starttls" and not self.encrypted:
            offers.append("STARTTLS")
        if self.server.accounts and (self.encrypted or self.server.security == "none"):
            offers.append("AUTH PLAIN")
        marks = ["-"] * (len(offers) - 1) + [" "]
        lines = [f"250{mark}{offer}" for mark, offer in zip(marks, offers, strict=True)]
        self.answer("EHLO", text, "\r\n".join(lines))

    def on_helo(self, text: str) -> None:
        self.answer("HELO", text, "250 mail.invalid")

    def on_starttls(self, text: str) -> None:
        if self.server.security != "starttls":
            self.say("502 not implemented")
        elif self.answer("STARTTLS", text, "220 go on"):
            self.socket = self._encrypt(self.socket)
            self.file = self.stack.enter_context(self.socket.makefile("rb"))
            self.encrypted = True

    def on_auth(self, text: str) -> None:
        words = text.split()
        given = base64.b64decode(words[2]).decode().split("\0")
        if self.server.accounts.get(given[1]) != given[2]:
            self.say("535 5.7.8 authentication failed")
        elif self.answer("AUTH", text, "235 welcome"):
            self.user = given[1]

    def on_mail(self, text: str) -> None:
        if self.server.accounts and self.user is None:
            self.say("530 5.7.0 authentication required")
        elif self.answer("MAIL", text, "250 ok"):
            self.sender = text[text.find("<") + 1 : text.find(">")]

    def on_rcpt(self, text: str) -> None:
        if self.sender is None:
            self.say("503 MAIL first")
        elif self.answer("RCPT", text, "250 ok"):
            self.receivers.append(text[text.find("<") + 1 : text.find(">")])

    def on_data(self, text: str) -> None:
        if not self.receivers:
            self.say("503 RCPT first")
            return
        if not self.answer("DATA", text, "354 go on"):
            return
        lines = []
        while (line := self.read()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        seen = Seen(
            self.sender or "", self.receivers, b"".join(lines), self.encrypted, self.user
        )
        if self.answer(".", "", "250 queued"):
            self.server.taken.append(seen)
        self.sender, self.receivers = None, []

    def on_rset(self, text: str) -> None:
        self.sender, self.receivers = None, []
        self.answer("RSET", text, "250 ok")

    def on_noop(self, text: str) -> None:
        self.answer("NOOP", text, "250 ok")

    def on_quit(self, text: str) -> None:
        self.answer("QUIT", text, "221 farewell")
        raise Hangup


def wait_for(condition: Any, *, within: float = 10.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
