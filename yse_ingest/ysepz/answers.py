"""Every answer of YSE-PZ read exactly: what it says, what it hides, and what it leaves open.

``200 {"message": "success"}`` is the one answer that accepts. A 200 with another message
refuses (measured 2026-11). A 500 is a page of up to 270 kB that shows the server's settings and
the posted data: it is reduced to its exception.
"""

from __future__ import annotations

import email.utils
import html
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from yse_ingest.errors import (
    CredentialsError,
    OutcomeUnknownError,
    RequestTooLargeError,
    UploadRefusedError,
    YsePzReplyError,
    YsePzUnavailableError,
)
from yse_ingest.redaction import forms, redacted
from yse_ingest.ysepz.http import READ_BACK_FIRST, SERVICE

if TYPE_CHECKING:
    from yse_ingest.ysepz.account import Account
    from yse_ingest.ysepz.http import Answer

EXCERPT_LENGTH = 300
"""Most characters of an answer that are ever shown."""
FIELD_LENGTH = 64
ACCEPTED = {"message": "success"}
RETRY_AFTER_MAX_S = 86400.0
"""Whoever asks us to wait longer is asked again after this [s]."""

_BARE_PAGE = b"<h1>Server Error (500)</h1>"
"""What Django shows of an exception where debug is off: nothing of it."""
_PAGE_TITLE = re.compile(r"<title>\s*([\w.]+)\s+at\s+/")
_PAGE_VALUE = re.compile(r'<pre class="exception_value">(.*?)</pre>', re.DOTALL)
_TEXT = re.compile(r"([\w.]+) at /[^\n]*\n(.*?)(?:\n\s*\n|\Z)", re.DOTALL)

_NO_SUCH_STATUS = re.compile(r"status .* is not in DB", re.DOTALL)
_DATABASE_TROUBLE = re.compile(r"\((1040|1205|1213|2002|2003|2006|2013),")
_MAIL_DOWN = ("ConnectionRefusedError", "gaierror")
_PARTIAL = "Points before the one at fault may be stored: read back before the rest is sent."


@dataclass(frozen=True)
class ServerException:
    """What a Django error page says."""

    name: str
    """Class of the exception: "KeyError"."""
    value: str
    """Its text, at most `EXCERPT_LENGTH` characters."""

    def __str__(self) -> str:
        return f"{self.name}: {self.value}" if self.value else self.name


def server_exception(body: bytes) -> ServerException | None:
    """Return the exception of a Django error page, HTML or text; None: it is no such page."""
    text = body.decode(errors="replace")
    if title := _PAGE_TITLE.search(text):
        value = _PAGE_VALUE.search(text)
        shown = html.unescape(value.group(1)) if value else ""
        return ServerException(title.group(1), _excerpt(shown))
    if plain := _TEXT.match(text):
        return ServerException(plain.group(1), _excerpt(plain.group(2)))
    return None


def is_bare(answer: Answer, *, slow_s: float) -> bool:
    """Tell whether an answer is the page of an exception that is not shown, and came at once.

    A server that is down or overloaded has other statuses; a worker that was killed is slow.
    """
    at_once = answer.status == 500 and answer.seconds < slow_s
    return at_once and _BARE_PAGE in answer.body


def retry_after_s(answer: Answer, *, now: float) -> float | None:
    """Return what ``Retry-After`` asks for [s]; ``now`` is the Unix time [s]."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), RETRY_AFTER_MAX_S)
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, moment - now), RETRY_AFTER_MAX_S)


def database_away(answer: Answer) -> bool:
    """Tell whether an answer is the error page of a YSE-PZ whose database is away or busy."""
    if answer.status != 500:
        return False
    exception = server_exception(answer.body)
    return exception is not None and _DATABASE_TROUBLE.search(exception.value) is not None


class AnswerReader:
    """Turns answers into content or errors.

    Parameters
    ----------
    account
        Named, without its password, when it is not accepted.
    slow_s
        An error page after this long proves nothing [s].
    """

    def __init__(self, account: Account, *, slow_s: float) -> None:
        self._account = account
        self._secrets = forms({account.password})
        self._slow_s = slow_s

    def content(self, answer: Answer, *, now: float) -> Any:
        """Return the JSON of an answer to a request that reads.

        Raises
        ------
        CredentialsError, YsePzUnavailableError, YsePzReplyError
            Nothing was written in any case.
        """
        self._common(answer, now=now)
        if answer.status >= 500:
            exception = server_exception(answer.body)
            raise YsePzUnavailableError(
                f"{answer.request}: HTTP {answer.status}"
                + (f", {exception}" if exception else ""),
                service=SERVICE,
                remedy="It is asked again later; nothing is lost.",
            )
        if answer.status != 200:
            self._not_ysepz(answer, f"has HTTP status {answer.status}")
        try:
            # NaN and Infinity are taken: Python servers write them.
            return json.loads(answer.body)
        except (ValueError, RecursionError):
            self._not_ysepz(answer, "is no JSON")

    def accept(self, answer: Answer, *, now: float) -> None:
        """Return when the answer to an upload accepts it, and only then.

        Raises
        ------
        CredentialsError, RequestTooLargeError, YsePzUnavailableError, YsePzReplyError
            Nothing was written.
        UploadRefusedError
            It was refused; where ``partial`` is set, points before the one at fault stand.
        OutcomeUnknownError
            It may have been carried out.
        """
        self._common(answer, now=now)
        if answer.status >= 500:
            self._server_error(answer)
        if answer.status >= 400:
            self._client_error(answer)
        content = _json_or_none(answer.body) if answer.status == 200 else None
        if content == ACCEPTED:
            return
        message = content.get("message") if isinstance(content, dict) else None
        if isinstance(message, str):
            raise UploadRefusedError(
                f"refused: {self._told(message)}",
                service=SERVICE,
                field="status" if _NO_SUCH_STATUS.fullmatch(message) else None,
                remedy="Nothing was written; correct what it names.",
            )
        self._unknown(answer, "is not what YSE-PZ answers")

    def row(self, answer: Answer, *, now: float) -> dict[str, Any]:
        """Return the row that an answer to a PATCH shows; raises as `accept`."""
        self._common(answer, now=now)
        if answer.status >= 500:
            self._server_error(answer)
        if answer.status >= 400:
            self._client_error(answer)
        content = _json_or_none(answer.body) if answer.status == 200 else None
        if not isinstance(content, dict) or "url" not in content:
            self._unknown(answer, "shows no row")
        return content

    def _common(self, answer: Answer, *, now: float) -> None:
        if answer.status in (401, 403):
            raise CredentialsError(
                f"the account {self._account.username!r} (from {self._account.origin}) is not "
                f"accepted ({answer.request}: HTTP {answer.status})",
                service=SERVICE,
                remedy="Correct YSE_PZ_USERNAME and YSE_PZ_PASSWORD, or the netrc entry.",
            )
        if answer.status in (408, 429, 503):
            raise YsePzUnavailableError(
                f"{answer.request}: HTTP {answer.status}",
                service=SERVICE,
                retry_after=retry_after_s(answer, now=now),
                remedy="Nothing was written; it is tried again later.",
            )

    def _client_error(self, answer: Answer) -> NoReturn:
        if answer.status == 413:
            raise RequestTooLargeError(
                f"{answer.request}: the request is too large (HTTP 413)",
                service=SERVICE,
                remedy="Nothing was written; it is cut in halves.",
            )
        content = _json_or_none(answer.body)
        if answer.status == 404 and content is None:
            self._not_ysepz(answer, "has HTTP status 404")
        field, reason = _field_error(content)
        raise UploadRefusedError(
            f"{answer.request}: HTTP {answer.status}, {reason}",
            service=SERVICE,
            field=field,
            remedy="Nothing was written; correct what it names.",
        )

    def _server_error(self, answer: Answer) -> NoReturn:
        exception = server_exception(answer.body)
        if answer.status != 500 or exception is None:
            bare = is_bare(answer, slow_s=self._slow_s)
            self._unknown(answer, f"has HTTP status {answer.status}", bare=bare)
        if answer.seconds >= self._slow_s:
            # The page of a worker that was killed shows whatever it was doing just then.
            self._unknown(answer, f"is an error after {answer.seconds:.0f} s ({exception})")
        if (
            exception.name in ("MultipleObjectsReturned", "SystemExit")
            or (exception.name == "IntegrityError" and "1062" in exception.value)
            or _DATABASE_TROUBLE.search(exception.value)
        ):
            self._unknown(answer, f"tells of a race or of a busy database ({exception})")
        if _name_is_gone(answer, exception):
            raise UploadRefusedError(
                f"{answer.request}: no transient has this name any more ({exception})",
                service=SERVICE,
                field="name",
                remedy="It was renamed or deleted; nothing was written. Look it up again.",
            )
        refusal = UploadRefusedError(
            f"{answer.request}: {exception}", service=SERVICE, remedy=_remedy(exception)
        )
        refusal.partial = exception.name != "ParseError"
        raise refusal

    def _unknown(self, answer: Answer, what: str, *, bare: bool = False) -> NoReturn:
        error = OutcomeUnknownError(
            f"the answer to {answer.request} {what}", service=SERVICE, remedy=READ_BACK_FIRST
        )
        error.bare = bare
        raise error

    def _told(self, text: str, length: int = EXCERPT_LENGTH) -> str:
        return _excerpt(redacted(text, self._secrets), length)

    def _not_ysepz(self, answer: Answer, what: str) -> NoReturn:
        shown = self._told(answer.body[: 4 * EXCERPT_LENGTH].decode(errors="replace"), 80)
        raise YsePzReplyError(
            f"the answer to {answer.request} {what}" + (f": {shown!r}" if shown else ""),
            service=SERVICE,
            remedy="Is YSE_PZ_URL the address of a YSE-PZ?",
        )


def _name_is_gone(answer: Answer, exception: ServerException) -> bool:
    # An upload without coordinates to a name that does not exist (measured 2026-11).
    return (
        answer.request == "POST /add_transient_phot/"
        and exception.name == "KeyError"
        and exception.value in ("'ra'", "'dec'")
    )


def _remedy(exception: ServerException) -> str:
    if exception.name in _MAIL_DOWN or exception.name.startswith("SMTP"):
        return (
            "YSE-PZ wanted to mail that a name of the request is unknown to it, and its mail "
            f"server is down. Check status, groups and tags. {_PARTIAL}"
        )
    if exception.name == "IndexError":
        return f"A transient of the request was not found or not created. {_PARTIAL}"
    if exception.name == "ParseError":
        return "YSE-PZ could not read the request; nothing was written."
    return _PARTIAL


def _field_error(content: object) -> tuple[str | None, str]:
    if isinstance(content, dict) and content:
        field, reason = next(iter(content.items()))
        text = reason[0] if isinstance(reason, list) and reason else reason
        name = None if field == "detail" else _excerpt(str(field), FIELD_LENGTH)
        return name, _excerpt(f"{field}: {text}")
    return None, "no reason given"


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _excerpt(text: str, length: int = EXCERPT_LENGTH) -> str:
    """Return text on one line, without control characters, shortened."""
    line = " ".join(text[: 8 * length].split())
    return "".join(char for char in line if char.isprintable())[:length]
