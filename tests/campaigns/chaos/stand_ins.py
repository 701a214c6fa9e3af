"""The stand-ins of this campaign: a YSE-PZ that counts our open uploads, a mischievous MARS."""

from __future__ import annotations

import base64
import json
import random
import re
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message

    from yse_ingest.sandbox.mars.alert import Alert
    from yse_ingest.sandbox.server import Reply, Request
    from yse_ingest.sandbox.wire import Conversation

OURS = "ingest"
_POINT = re.compile(r"/api/transientphotdata/(\d+)/")
_TRANSIENT = re.compile(r"/api/transients/(\d+)/")
_NAME_OF_POINT = (
    "SELECT t.name FROM YSE_App_transient t "
    "JOIN YSE_App_transientphotometry h ON h.transient_id = t.id "
    "JOIN YSE_App_transientphotdata p ON p.photometry_id = h.id WHERE p.id = ?"
)
_NAME = "SELECT name FROM YSE_App_transient WHERE id = ?"


class _Watched:
    """A conversation that says so before it is answered or closed."""

    def __init__(self, conversation: Conversation, leave: Callable[[bool], None]) -> None:
        self._conversation = conversation
        self._leave = leave

    def client_gone(self) -> bool:
        return self._conversation.client_gone()

    def answer(self, reply: Reply, *, cut: bool = False) -> None:
        self._leave(self.client_gone())
        self._conversation.answer(reply, cut=cut)

    def close(self, *, reset: bool = False) -> None:
        self._leave(self.client_gone())
        self._conversation.close(reset=reset)


class CountingYsePz(YsePzStandIn):
    """Counts, per transient, the writing requests of ours that are open at once.

    Open is a request from the moment it is read until its answer begins, waiting for a server
    worker included. One whose client has gone is counted apart: it was given up.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._writing: dict[str, list[Conversation]] = {}
        self._writing_lock = threading.Lock()
        self.most_open = 0
        self.where = ""
        self.given_up = 0
        """Writing requests that ran to their end though we had given them up."""
        self.given_up_beside = 0
        """Writing requests that came while one was still running that we had given up."""
        self.writes: Counter[str] = Counter()

    def serve(self, request: Request, conversation: Conversation) -> None:
        """Serve a request; count it when it is an upload of ours."""
        name = self._writes_to(request)
        if name is None:
            super().serve(request, conversation)
            return

        left = threading.Event()

        def leave(given_up: bool) -> None:
            if not left.is_set():
                left.set()
                with self._writing_lock:
                    self.given_up += given_up
                    self._writing[name].remove(conversation)

        with self._writing_lock:
            self.writes[request.path.split("/")[1]] += 1
            there = self._writing.setdefault(name, [])
            gone = sum(other.client_gone() for other in there)
            there.append(conversation)
            self.given_up_beside += gone > 0
            if len(there) - gone > self.most_open:
                self.most_open, self.where = len(there) - gone, name
        try:
            super().serve(request, _Watched(conversation, leave))  # type: ignore[arg-type]
        finally:
            leave(False)

    def _writes_to(self, request: Request) -> str | None:
        if request.method not in {"POST", "PATCH"} or not _is_ours(request.headers):
            return None
        if request.method == "POST":
            payload = json.loads(request.body)
            if request.path.startswith("/add_transient_phot"):
                return str(payload["transient"]["name"])
            return next(str(key) for key in payload if key != "noupdatestatus")
        with self.store.connect() as database:
            for pattern, query in ((_POINT, _NAME_OF_POINT), (_TRANSIENT, _NAME)):
                if found := pattern.match(request.path):
                    row = database.one(query, [int(found.group(1))])
                    return None if row is None else str(row["name"])
        return None


def _is_ours(headers: Message) -> bool:
    scheme, _, credentials = headers.get("Authorization", "").partition(" ")
    return scheme == "Basic" and base64.b64decode(credentials).startswith(f"{OURS}:".encode())


class MischievousMars(MarsStandIn):
    """A MARS that can be told to shuffle, repeat and spoil the rows it answers with."""

    def __init__(self, *, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.mischief = 0.0
        """Share of the answers that are spoilt."""
        self.spoilt = 0
        self._draw = random.Random(f"mars {seed}")

    def _printed(self, alerts: list[Alert]) -> list[dict[str, object]]:
        rows = super()._printed(alerts)
        if rows and self._draw.random() < self.mischief:
            self.spoilt += 1
            self._spoil(rows)
        return rows

    def _spoil(self, rows: list[dict[str, object]]) -> None:
        row = self._draw.choice(rows)
        match self._draw.choice(("repeat", "shuffle", "nan", "garbage")):
            case "repeat":
                rows += [dict(one) for one in rows]
            case "shuffle":
                self._draw.shuffle(rows)
            case "nan":
                candidate = row["candidate"]
                if isinstance(candidate, dict):
                    row["candidate"] = {**candidate, "magpsf": float("nan")}
            case _:
                row["candidate"] = "<html>"
