"""What the sources last answered, as far as it is kept for inspection."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yse_ingest.sources.reply import HttpReply

KEPT_BYTES = 64 * 1024
"""So much of a reply is kept."""


@dataclass(frozen=True)
class Seen:
    """One reply, cut."""

    asked: str
    """Method and address."""
    status: int
    content_type: str
    length: int
    """Of the whole reply [bytes]."""
    body: bytes
    """Its beginning."""


class Trail:
    """The last reply that each thread has got."""

    def __init__(self) -> None:
        self._local = threading.local()

    def note(self, asked: str, reply: HttpReply) -> None:
        """Remember a reply instead of the one before."""
        self._local.seen = Seen(
            asked, reply.status, reply.content_type, len(reply.body), reply.body[:KEPT_BYTES]
        )

    def last(self) -> Seen | None:
        """Return the last reply that this thread has got."""
        seen: Seen | None = getattr(self._local, "seen", None)
        return seen

    def clear(self) -> None:
        """Forget it."""
        self._local.seen = None
