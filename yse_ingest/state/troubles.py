"""Troubles: what a person should know and no clock, outbox or breaker tells.

Whoever meets one notes it, on the path of the error alone; whoever sees it over clears it.
`yse_ingest.watch` tells people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yse_ingest.state.keys import dumps, loads

if TYPE_CHECKING:
    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

CREDENTIALS = "credentials"
STATE_LOST = "state-lost"
FORMAT = "format"
"""A source whose rows have another shape than was agreed; the subject is its name."""


@dataclass(frozen=True)
class Trouble:
    """One thing that a person should know."""

    kind: str
    """What it is, in one word: "credentials", "second-writer"."""
    subject: str
    """What it concerns, where there may be several; ""."""
    fact: str
    since_ms: int
    """When it was first noted [Unix ms]."""


class Troubles:
    """Troubles by kind and subject; one that is noted again keeps its beginning."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._key = keys("troubles")

    def note(
        self, kind: str, subject: str = "", *, fact: str, lasting_s: float | None = None
    ) -> None:
        """Note a trouble; safe to repeat.

        Parameters
        ----------
        kind
            What it is, in one word.
        subject
            What it concerns: a number or a source, nothing that is private.
        fact
            What is wrong, without names of private targets and without secrets.
        lasting_s
            It is over by itself after this [s]; None: when it is cleared.
        """
        now_ms = self._connection.now_ms()
        ends_ms = None if lasting_s is None else now_ms + round(lasting_s * 1000)
        record = dumps({"fact": fact, "since_ms": now_ms, "ends_ms": ends_ms})
        command = "HSETNX" if lasting_s is None else "HSET"
        self._connection.call(command, self._key, f"{kind}|{subject}", record)

    def clear(self, kind: str, subject: str = "") -> bool:
        """Forget a trouble that is over; return whether there was one."""
        return bool(self._connection.call("HDEL", self._key, f"{kind}|{subject}"))

    def all(self) -> list[Trouble]:
        """Return what is noted and not over, oldest first."""
        now_ms = self._connection.now_ms()
        found = []
        for label, text in self._connection.call("HGETALL", self._key).items():
            kind, _, subject = label.partition("|")
            record = loads(text)
            if record["ends_ms"] is None or record["ends_ms"] > now_ms:
                found.append(Trouble(kind, subject, record["fact"], record["since_ms"]))
        return sorted(found, key=lambda trouble: trouble.since_ms)
