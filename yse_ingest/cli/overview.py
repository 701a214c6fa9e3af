"""How each target stands: what its source said, what YSE-PZ holds, what is owed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yse_ingest.cli.preview import unclear
from yse_ingest.clients import CREATION_KEY
from yse_ingest.sources import Status
from yse_ingest.state import side_connection
from yse_ingest.times import iso_of_unix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yse_ingest.service import Service
    from yse_ingest.state import Clock, RowSummary, State
    from yse_ingest.targets import Target

ROWS_MAX = 100_000
QUEUES = ("fetch", "upload", "control")
NO_ANSWER = "no answer"
PRIVATE = "private"
"""Instead of what only the members of its groups may see."""


@dataclass(frozen=True)
class Line:
    """One target. Times are Unix times [ms]; 0 or None: never, or not known."""

    target: str
    source: str
    asked_ms: int | None
    answered_ms: int | None
    answer: str
    """What its source last said, in words."""
    newest_ms: int | None
    """The newest point of the source."""
    bands: Mapping[str, int]
    """Band to the number of points that YSE-PZ holds, whoever stored them."""
    owed: int
    """Points still to be sent."""
    state: str
    """idle, owed, in flight, settling, refused, stopped, paused."""
    reason: str
    """Why it is owed, settling, refused or paused."""
    due_ms: int | None
    """When its source is asked next."""
    private: bool
    """Its photometry is for the members of some groups alone."""
    noticed: Mapping[str, int]
    """What the last comparison with YSE-PZ found amiss: rows changed, moved, gone for good."""

    @property
    def stored(self) -> int:
        """Return how many points YSE-PZ holds."""
        return sum(self.bands.values())

    @property
    def trouble(self) -> str | None:
        """Return what a person should know, as a sentence; None where all is well."""
        word, _, what = self.answer.partition(": ")
        if word in {Status.AMBIGUOUS, Status.UNKNOWN}:
            return str(unclear(self.target, self.source, word, what))
        if word == NO_ANSWER or self.state in {"stopped", "refused", "settling", "owed"}:
            said = what if word == NO_ANSWER else self.reason
            if said and self.target not in said:
                said = f"{self.target}: {said}"
            return said or None
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON: of private photometry, counts alone."""
        return {
            "target": self.target,
            "source": self.source,
            "last_asked": _iso(self.asked_ms),
            "last_answered": _iso(self.answered_ms),
            "answer": self.answer,
            "newest": PRIVATE if self.private else _iso(self.newest_ms),
            "stored": self.stored if self.private else dict(self.bands),
            "owed": self.owed,
            "state": self.state,
            "reason": self.reason,
            "noticed": dict(self.noticed),
            "next": _iso(self.due_ms),
        }


@dataclass(frozen=True)
class Machinery:
    """What all targets depend on."""

    redis: str
    held: str | None
    """Why a person stopped all uploads."""
    breaker: Mapping[str, Any]
    """See `yse_ingest.state.breaker.Breaker.state`."""
    quiet_until_ms: int
    """Nothing is sent before this: the state was lost or is older than the world."""
    queues: Mapping[str, int] | None
    """Queue to its length; None: the broker did not answer."""
    now_ms: int
    writers: Sequence[Mapping[str, Any]]
    """Other accounts that write where we do: `yse_ingest.state.audits.Audits.writers`."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        quiet = self.quiet_until_ms if self.quiet_until_ms > self.now_ms else None
        return {
            "redis": self.redis,
            "held": self.held,
            "breaker": dict(self.breaker),
            "quiet_until": _iso(quiet),
            "queues": self.queues,
            "writers": [dict(writer) for writer in self.writers],
            "now": _iso(self.now_ms),
        }


def look(service: Service, names: Sequence[str] | None = None) -> list[Line]:
    """Return how targets stand, by name; all of them without ``names``.

    It asks Redis alone.
    """
    state = service.state
    owed = {name: row for row in state.outbox.rows(ROWS_MAX) for name in row.targets}
    targets = [target for target, _ in state.targets.all() if not names or target.name in names]
    clocks = state.clocks.all(target.name for target in targets)
    paused = state.targets.paused()
    audits = _Audits(
        stops=state.audits.stops(),
        found=state.audits.all_found(),
        tombstones=frozenset(state.tombstones.transients()),
    )
    return [
        _line(
            service,
            target,
            clock=clocks.get(target.name, {}).get(service.source_of(target)),
            row=owed.get(target.name),
            paused=paused.get(target.name),
            audits=audits,
        )
        for target in targets
    ]


def machinery(service: Service) -> Machinery:
    """Return the state of what all targets depend on."""
    state = service.state
    return Machinery(
        redis=state.address,
        held=state.outbox.held(),
        breaker=state.outbox.breaker(),
        quiet_until_ms=state.quiet_until_ms() or 0,
        queues=queue_lengths(service),
        now_ms=state.now_ms(),
        writers=state.audits.writers(),
    )


def queue_lengths(service: Service) -> dict[str, int]:
    """Return how many messages wait in each queue.

    Raises
    ------
    StateError
        When the broker gives no answer.
    """
    from workers.broker import key_prefix

    settings = service.settings
    prefix = key_prefix(settings.namespace)
    broker = side_connection(settings.broker_url)
    try:
        lengths = broker.batch([("LLEN", f"{prefix}{queue}") for queue in QUEUES])
    finally:
        broker.close()
    return dict(zip(QUEUES, map(int, lengths), strict=True))


def outbox_key(state: State, name: str) -> str:
    """Return under which key a target's points are owed."""
    known = state.resolutions.get(name)
    return str(known["pk"]) if known else CREATION_KEY + name


def _line(
    service: Service,
    target: Target,
    *,
    clock: Clock | None,
    row: RowSummary | None,
    paused: str | None,
    audits: _Audits,
) -> Line:
    state = service.state
    known = state.resolutions.get(target.name)
    ledger = state.ledgers.get(int(known["pk"])) if known else None
    detail = clock.detail if clock else {}
    word, reason = _state(row, paused)
    stopped = audits.stops.get(str(known["pk"])) if known else None
    if stopped is not None and paused is None:
        word, reason = "stopped", stopped
    return Line(
        target=target.name,
        source=service.source_of(target),
        asked_ms=clock.asked_ms if clock else None,
        answered_ms=clock.answered_ms if clock else None,
        answer=_answer(clock),
        newest_ms=detail.get("newest_ms"),
        bands={} if ledger is None else dict(Counter(ledger.standing.band.tolist())),
        owed=row.points if row else 0,
        state=word,
        reason=reason,
        due_ms=None if paused else state.targets.due_ms(target.name),
        private=bool(service.rules(target).groups),
        noticed=_noticed(state, audits, int(known["pk"])) if known else {},
    )


@dataclass(frozen=True)
class _Audits:
    """What audits found, of all transients; read once."""

    stops: Mapping[str, str]
    found: Mapping[str, Mapping[str, int]]
    tombstones: frozenset[int]


def _noticed(state: State, audits: _Audits, transient_id: int) -> dict[str, int]:
    """Return what a person may want to know of a transient's rows."""
    found = audits.found.get(str(transient_id), {})
    gone = state.tombstones.ledger(transient_id) if transient_id in audits.tombstones else ()
    noticed = {
        "changed": found.get("changed", 0),
        "moved": found.get("moved", 0),
        "gone": len(gone),
    }
    return {kind: count for kind, count in noticed.items() if count}


def _answer(clock: Clock | None) -> str:
    """Say which of the three silences it is, or what the source said."""
    if clock is None or clock.silence == "never asked":
        return "never asked"
    if clock.silence == NO_ANSWER:
        return f"{NO_ANSWER}: {clock.error}"
    if clock.status in {Status.AMBIGUOUS, Status.UNKNOWN}:
        return f"{clock.status}: {clock.detail.get('reason') or ''}".rstrip(": ")
    if clock.status == Status.EMPTY:
        reason = clock.detail.get("reason")
        return f"nothing new; {reason}" if reason else "nothing new"
    return "photometry"


def _state(row: RowSummary | None, paused: str | None) -> tuple[str, str]:
    if paused is not None:
        return "paused", paused
    if row is None:
        return "idle", ""
    if row.place == "refused":
        return "refused", row.reason or ""
    if row.place == "inflight":
        return "in flight", row.reason or ""
    return ("settling" if row.settling else "owed"), row.reason or ""


def _iso(time_ms: float | None) -> str | None:
    return iso_of_unix(time_ms / 1000) if time_ms else None
