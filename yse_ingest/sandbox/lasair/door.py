"""Who may ask Lasair, how often, and what they ask: the part before any data is looked at."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from yse_ingest.sandbox.server import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.sandbox.server import Request

HOUR_S: Final = 3600.0
TOO_MANY: Final = (
    "Request limit exceeded. Either wait an hour, or see API documentation to increase your "
    "limits."
)


class RefusedError(Exception):
    """A question that the service refuses.

    Parameters
    ----------
    content
        What the answer holds.
    """

    def __init__(self, content: dict[str, Any], status: int = 400) -> None:
        super().__init__(str(content))
        self.content = content
        self.status = status


class Quota:
    """Calls of the last hour; one that is refused does not count.

    Parameters
    ----------
    per_hour
        How many are allowed.
    says_when
        Whether a refusal says how long to wait.
    """

    def __init__(self, per_hour: int, *, says_when: bool = True) -> None:
        self.per_hour = per_hour
        self.says_when = says_when
        self._lock = threading.Lock()
        self._calls: deque[float] = deque()

    @property
    def used(self) -> int:
        """Return the calls of the last hour."""
        return len(self._calls)

    def take(self) -> Reply | None:
        """Count a call, or return the refusal."""
        now = time.monotonic()
        with self._lock:
            while self._calls and self._calls[0] <= now - HOUR_S:
                self._calls.popleft()
            if len(self._calls) < self.per_hour:
                self._calls.append(now)
                return None
            reply = Reply.json({"message": TOO_MANY}, 429)
            if self.says_when:
                oldest = self._calls[0] if self._calls else now
                reply.headers["Retry-After"] = str(math.ceil(oldest + HOUR_S - now))
            return reply


def unauthorised(request: Request, tokens: frozenset[str]) -> Reply | None:
    """Return the 401 of who has no token, or one of another server."""
    scheme, _, token = (request.headers.get("Authorization") or "").partition(" ")
    if scheme.lower() != "token":
        token = request.param("token") or "" if request.method == "GET" else ""
    if token in tokens:
        return None
    detail = "Invalid token." if token else "Authentication credentials were not provided."
    reply = Reply.json({"detail": detail}, 401)
    reply.headers["WWW-Authenticate"] = "Token"
    return reply


def question_of(request: Request) -> tuple[dict[str, Any], bool]:
    """Return what is asked, and whether it is a form: a GET, or a POST of either kind."""
    if request.method == "GET":
        return dict(request.query), True
    kind = (request.headers.get("Content-Type") or "").partition(";")[0]
    if kind == "application/x-www-form-urlencoded":
        return dict(parse_qsl(request.body.decode(), keep_blank_values=True)), True
    try:
        content = json.loads(request.body or b"{}")
    except ValueError as error:
        raise RefusedError({"detail": f"JSON parse error - {error}"}) from error
    if not isinstance(content, dict):
        raise RefusedError({"non_field_errors": ["Invalid data. Expected a dictionary."]})
    return content, False


def text(question: Mapping[str, Any], name: str) -> str:
    """Return a text that must be there."""
    if name not in question:
        raise RefusedError({name: ["This field is required."]})
    return str(question[name])


def number(question: Mapping[str, Any], name: str) -> float:
    """Return a number that must be there."""
    try:
        return float(text(question, name))
    except ValueError as error:
        raise RefusedError({name: ["A valid number is required."]}) from error


def truth(question: Mapping[str, Any], name: str, *, form: bool) -> bool:
    """Return a truth value: absent in a form it is false, absent in JSON it is refused."""
    if name not in question and form:
        return False
    return text(question, name).lower() in {"true", "1", "on", "yes", "t"}
