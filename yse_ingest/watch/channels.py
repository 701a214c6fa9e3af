"""Channels: how a message leaves, by e-mail or by the operator's command."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from yse_ingest.errors import NoticeError
from yse_ingest.watch.bounded import within
from yse_ingest.watch.secrets import blanked, without_secrets

if TYPE_CHECKING:
    from yse_ingest.settings import Settings
    from yse_ingest.watch.message import Message

MAIL, COMMAND = "mail", "command"
PASSWORD, PASSWORD_FILE = "YSE_INGEST_SMTP_PASSWORD", "YSE_INGEST_SMTP_PASSWORD_FILE"
PORTS = {"starttls": 587, "ssl": 465, "none": 25}
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SAID_MAX = 300
"""So many characters of what a command said are told."""


class Channel(Protocol):
    """One way to tell people."""

    name: str

    def send(self, message: Message) -> str:
        """Send a message and return who took it; at most ``YSE_INGEST_NOTIFY_TIMEOUT``.

        Raises
        ------
        NoticeError
            When nobody took it.
        """
        ...


def names_of(settings: Settings) -> tuple[str, ...]:
    """Return the names of the channels that are configured."""
    mail = (MAIL,) if settings.notify_to else ()
    return (*mail, COMMAND) if settings.notify_command else mail


def channels_of(settings: Settings) -> tuple[Channel, ...]:
    """Return the channels that are configured."""
    kinds: dict[str, type[Mail | Command]] = {MAIL: Mail, COMMAND: Command}
    return tuple(kinds[name](settings) for name in names_of(settings))


class Mail:
    """E-mail by SMTP."""

    name = MAIL

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._port = settings.smtp_port or PORTS[settings.smtp_security]
        self._where = f"{settings.smtp_host}:{self._port}"
        self._smtp: smtplib.SMTP | None = None

    def send(self, message: Message) -> str:
        """Send a message; see `Channel.send`."""
        seconds = self._settings.notify_timeout_s
        try:
            mail = self._mail(message)
            refused = within(seconds, lambda: self._send(mail), what="the mail server")
        except (OSError, smtplib.SMTPException, ValueError) as error:
            # ValueError: addresses that are none.
            raise NoticeError(
                blanked(
                    f"{self._where} took no message: {_words(error)}",
                    {**self._settings.environment, PASSWORD: self._password() or ""},
                ),
                service=MAIL,
                remedy="Check the settings YSE_INGEST_SMTP_*, and that the server is up.",
            ) from error
        finally:
            self._let_go()
        taken = [each for each in self._settings.notify_to if each not in refused]
        no = f"; refused for {', '.join(refused)}" if refused else ""
        return f"{self._where} took it for {', '.join(taken)}{no}"

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        # A line break would begin another header.
        mail["Subject"] = " ".join(message.subject.split())
        mail["From"] = self._settings.notify_from or self._settings.notify_to[0]
        mail["To"] = ", ".join(self._settings.notify_to)
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid("yse_ingest", domain=socket.gethostname())
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        return mail

    def _send(self, mail: EmailMessage) -> dict[str, tuple[int, bytes]]:
        settings = self._settings
        password = self._needed_password() if settings.smtp_username else ""
        context = ssl.create_default_context()
        seconds = settings.notify_timeout_s
        # The name is given: looking up the full one may take a minute.
        name = socket.gethostname()
        if settings.smtp_security == "ssl":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                local_hostname=name, timeout=seconds, context=context
            )
        else:
            smtp = smtplib.SMTP(local_hostname=name, timeout=seconds)
        self._smtp = smtp
        # The name is needed for the certificate of STARTTLS.
        smtp._host = settings.smtp_host  # type: ignore[attr-defined]  # noqa: SLF001
        code, said = smtp.connect(settings.smtp_host, self._port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)
        if settings.smtp_security == "starttls":
            smtp.starttls(context=context)
        if settings.smtp_username:
            smtp.login(settings.smtp_username, password)
        if self._smtp is not smtp:
            raise TimeoutError("it was given up")
        refused: dict[str, tuple[int, bytes]] = smtp.send_message(mail)
        # It is taken: whatever becomes of the farewell, it is not sent again.
        with contextlib.suppress(OSError, smtplib.SMTPException):
            smtp.quit()
        return refused

    def _needed_password(self) -> str:
        settings = self._settings
        if settings.smtp_security == "none" and settings.smtp_host not in LOOPBACK:
            raise smtplib.SMTPException(
                "YSE_INGEST_SMTP_SECURITY is none: the password would travel in the clear"
            )
        password = self._password()
        if password is None:
            raise smtplib.SMTPException(f"no {PASSWORD} for {settings.smtp_username}")
        return password

    def _password(self) -> str | None:
        env = self._settings.environment
        if env.get(PASSWORD):
            return env[PASSWORD]
        if not (path := env.get(PASSWORD_FILE)):
            return None
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return Path(path).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
        return None

    def _let_go(self) -> None:
        """Close the connection: what was left behind ends, and sends nothing any more."""
        smtp, self._smtp = self._smtp, None
        if smtp is None:
            return
        # The shutdown wakes who still reads; closing alone would wait for it.
        with contextlib.suppress(OSError, AttributeError):
            smtp.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
        with contextlib.suppress(OSError):
            smtp.close()


class Command:
    """A command of the operator's choice, with the message on its standard input."""

    name = COMMAND

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def send(self, message: Message) -> str:
        """Run the command; see `Channel.send`."""
        settings = self._settings
        text = message.text
        if settings.notify_format == "json":
            text = json.dumps(message.document, indent=2) + "\n"
        # Files, not pipes: a grandchild that holds a pipe open would keep us waiting.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.write(text.encode())
            given.seek(0)
            try:
                words = shlex.split(settings.notify_command or "")
                process = subprocess.Popen(  # noqa: S603  the operator's own command
                    words,
                    stdin=given,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    env={
                        **without_secrets(os.environ),
                        "YSE_INGEST_SUBJECT": message.subject,
                    },
                    start_new_session=True,
                )
            except (OSError, ValueError, IndexError) as error:
                raise self._failed(f"cannot be started: {_words(error)}") from error
            try:
                code = process.wait(settings.notify_timeout_s)
            except subprocess.TimeoutExpired as error:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise self._failed(
                    f"took longer than {settings.notify_timeout_s:g} s and was ended"
                ) from error
            said.seek(0)
            heard = " ".join(said.read(10 * SAID_MAX).decode(errors="replace").split())
        if code:
            raise self._failed(f"ended with {code}: {heard[:SAID_MAX] or 'it said nothing'}")
        return f"{words[0]} ended with 0"

    def _failed(self, fact: str) -> NoticeError:
        return NoticeError(
            blanked(f"the command {fact}", self._settings.environment),
            service=COMMAND,
            remedy="Check YSE_INGEST_NOTIFY_COMMAND, as the user of the workers.",
        )


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return f"{error.smtp_code} {text}"[:SAID_MAX]
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
        return f"{code} {said.decode(errors='replace')}"[:SAID_MAX]
    return (str(error) or type(error).__name__)[:SAID_MAX]
