"""Drift: what the answers of one message say of their source, and what is done about it.

A source whose rows have another shape than was agreed is stopped at once, and alone: its
breaker opens with the field that differs, people are told, the reply is kept. Probes bring it
back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yse_ingest.errors import (
    FormatChangedError,
    SourceHeldBackError,
    SourceReplyError,
    SourceUnavailableError,
    UnreadableRowsError,
    YseIngestError,
)
from yse_ingest.redaction import redacted
from yse_ingest.schemas._load import Fault
from yse_ingest.sources import Status
from yse_ingest.sources.answers import common_fault, format_changed
from yse_ingest.sources.trail import KEPT_BYTES
from yse_ingest.state import FORMAT, KeptReply

if TYPE_CHECKING:
    from yse_ingest.clients import Clients
    from yse_ingest.pipeline import Fetched
    from yse_ingest.sources import Answer
    from yse_ingest.state.breaker import Breaker

DOWN = (SourceUnavailableError, SourceReplyError)
"""Errors of a source that is away, or of something else that answers in its place."""
SEVERAL = 3
"""So many targets in a row of which nothing can be read, for one field: the format changed."""
_ANSWERS = ("ok", "empty", "error")


class Hearing:
    """The answers of one source to one message."""

    def __init__(self, clients: Clients, source: str, breaker: Breaker) -> None:
        self._clients = clients
        self._source = source
        self._breaker = breaker
        self._records = clients.state.source_records
        self._words: set[str] = set()
        self._answered = self._read = False
        self._kept = False
        self._down: YseIngestError | None = None
        self._held: SourceHeldBackError | None = None
        self._changed: FormatChangedError | None = None

    def hear(self, fetched: Fetched) -> None:
        """Take in one answer, as soon as it is there."""
        answer = fetched.answer
        if isinstance(answer.error, SourceHeldBackError):
            self._held = answer.error
            return
        self._clients.meter(self._source).leave(fetched.target.name)
        self._words.add(_word(answer))
        self._answered = self._answered or not isinstance(answer.error, DOWN)
        self._read = self._read or bool(
            len(answer.alerts) or len(answer.forced) or len(answer.others)
        )
        self._down = answer.error or self._down
        changed = self._change(answer)
        if changed is not None:
            self._changed = _unlinked(changed) if fetched.rules.groups else changed
        if isinstance(answer.error, SourceReplyError) or changed is not None:
            self._keep(fetched, answer.error or changed)

    def close(self) -> None:
        """Note what all answers together say of the source. Safe to repeat."""
        if self._changed is not None and not self._read:
            self._stop(self._changed)
        elif not self._words:
            self._not_asked()
        elif self._answered and not self._read and self._is_stopped():
            # Empty is no proof that its rows can be read again: another target is.
            self._breaker.withdraw()
        else:
            condition, reason = self._condition()
            self._breaker.record(ok=self._answered, reason=reason)
            if self._read:
                self._records.clear_suspects(self._source)
                self._clients.state.troubles.clear(FORMAT, self._source)
            self._note(condition, reason)

    def _change(self, answer: Answer) -> FormatChangedError | None:
        """Return what is different, where one answer or several in a row show it."""
        if isinstance(answer.error, FormatChangedError):
            return answer.error
        error = answer.error
        if len(answer.alerts) or len(answer.forced) or len(answer.others):
            return None
        fault = common_fault(answer.refused)
        if isinstance(error, UnreadableRowsError) and error.field is not None:
            # A list of objects is refused as a whole, without its rows.
            told = "is missing" if error.value is None else f"is {error.value!r}"
            fault = fault or Fault(error.field, error.value, told)
        if fault is None:
            return None
        found = self._records.suspect(self._source, fault.field, answer.target_name)
        title = self._clients.source(self._source).title
        return format_changed(fault, service=title) if found >= SEVERAL else None

    def _stop(self, error: FormatChangedError) -> None:
        self._breaker.record(ok=False, reason=error.fact, at_once=True)
        self._clients.state.troubles.note(
            FORMAT, self._source, fact=f"{self._source}: {error.fact}"
        )
        self._note("format changed", error.fact)

    def _is_stopped(self) -> bool:
        return str(self._breaker.state()["reason"]).startswith("format changed")

    def _not_asked(self) -> None:
        self._breaker.withdraw()
        if self._held is not None:
            self._note("held back", self._held.fact)

    def _condition(self) -> tuple[str, str]:
        error = self._down
        if self._answered or error is None:
            return "ok", ""
        if isinstance(error, UnreadableRowsError):
            # The fact names a row, and the target may be private.
            return "unreadable", f"no row of the last reply can be read ({error.field})"
        if isinstance(error, SourceReplyError):
            return "unreadable", error.fact
        return "no answer", error.fact

    def _note(self, condition: str, reason: str) -> None:
        answer = next((word for word in _ANSWERS if word in self._words), "")
        self._records.note(self._source, answer=answer, condition=condition, reason=reason)

    def _keep(self, fetched: Fetched, error: YseIngestError | None) -> None:
        """Keep the reply that could not be read: one per message, none of a private target."""
        seen = self._clients.trail(self._source).last()
        if self._kept or seen is None or error is None or fetched.rules.groups:
            return
        secrets = self._clients.settings.secrets()
        self._kept = True
        self._records.keep(
            self._source,
            KeptReply(
                at_ms=self._clients.state.now_ms(),
                fact=error.fact,
                asked=redacted(seen.asked, secrets),
                status=seen.status,
                content_type=seen.content_type,
                length=seen.length,
                body=redacted(seen.body.decode(errors="replace"), secrets)[:KEPT_BYTES],
            ),
        )


def _unlinked(error: FormatChangedError) -> FormatChangedError:
    """Return the error without what a private target's row held."""
    return FormatChangedError(
        f"format changed: field {error.field} cannot be read",
        service=error.service,
        field=error.field,
        remedy=error.remedy,
    )


def _word(answer: Answer) -> str:
    if answer.error is not None:
        return "error"
    return "ok" if answer.status is Status.OK else "empty"
