"""How each target stands: what its source said, what YSE-PZ holds, what is owed."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yse_ingest.cli.preview import unclear
from yse_ingest.clients import CREATION_KEY
from yse_ingest.errors import SettingsError
from yse_ingest.follow import FOLLOW
from yse_ingest.ledger import Flag
from yse_ingest.sources import Status
from yse_ingest.targets import source_names
from yse_ingest.times import iso_of_unix
from yse_ingest.watch.freshness import REFUSED, UNREADABLE, freshness, is_news
from yse_ingest.watch.sight import waiting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yse_ingest.ledger import Ledger
    from yse_ingest.service import Service
    from yse_ingest.state import Choice, Clock, RowSummary, State
    from yse_ingest.targets import Target

ROWS_MAX = 100_000
OVERDUE_S = 600.0
"""A target that was due so long ago is asked too late [s]."""
OVERDUE_MAX = 1000
"""So many of those are counted."""
NO_ANSWER, NOT_ASKED = "no answer", "not asked"
NEVER_ASKED, NOTHING_NEW, PENDING = "never asked", "nothing new", "pending"
TROUBLED = frozenset({"stopped", "refused", "settling", "owed"})
WITHOUT = frozenset({NEVER_ASKED, NOT_ASKED, NO_ANSWER, REFUSED, UNREADABLE})
"""Answers that are none: what follows the colon says why."""
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
    """idle, owed, in flight, settling, refused, stopped, paused; shadow: it would be sent."""
    reason: str
    """Why it is owed, settling, refused or paused."""
    due_ms: int | None
    """When its source is asked next."""
    private: bool
    """Its photometry is for the members of some groups alone."""
    dropped: Mapping[str, int]
    """Why rows of the source are not in the light curve, to their number: of all its rows,"""
    dropped_lately: Mapping[str, int]
    """and of those that were asked for last, where that was not all."""
    noticed: Mapping[str, int]
    """What the last comparison with YSE-PZ found amiss: rows changed, moved, gone for good."""
    silence: str | None
    """never asked, not asked, pending, no answer, nothing new; None: the answer was news."""
    silent_ms: int | None
    """Since when; None: that is not known."""
    limit_s: float
    """So long it may be without an answer."""
    stale: bool
    """It was without for longer."""
    sources: Mapping[str, str]
    """Each of its sources, where there are several, to what it last said."""
    passed: Mapping[str, str]
    """Who is not asked although it stands before who is, and why."""
    disagreements: tuple[str, ...]
    """What two sources say differently of one alert; empty for private photometry."""
    disputed: int
    """How many alerts and values those are."""

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
        if (what and word in WITHOUT) or self.state in TROUBLED:
            said = what if word in WITHOUT else self.reason
            if said and self.target not in said:
                said = f"{self.target}: {said}"
            return said or None
        if self.disputed:
            what = self.disagreements[0] if self.disagreements else PRIVATE
            return f"{self.target}: sources disagree ({self.disputed}): {what}"
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON: of private photometry, counts alone."""
        return {
            "target": self.target,
            "source": self.source,
            "last_asked": _iso(self.asked_ms),
            "last_answered": _iso(self.answered_ms),
            "answer": self.answer,
            "silence": self.silence,
            "silent_since": _iso(self.silent_ms),
            "freshness_limit_s": self.limit_s,
            "stale": self.stale,
            "newest": PRIVATE if self.private else _iso(self.newest_ms),
            "stored": self.stored if self.private else dict(self.bands),
            "owed": self.owed,
            "state": self.state,
            "reason": self.reason,
            "dropped": dict(self.dropped),
            "dropped_lately": dict(self.dropped_lately),
            "noticed": dict(self.noticed),
            "sources": dict(self.sources),
            "passed_over": dict(self.passed),
            "disagreements": list(self.disagreements) or self.disputed,
            "next": _iso(self.due_ms),
        }


@dataclass(frozen=True)
class Machinery:
    """What all targets depend on."""

    redis: str
    shadow: bool
    """Nothing is written to YSE-PZ, on purpose."""
    held: str | None
    """Why a person stopped all uploads."""
    breaker: Mapping[str, Any]
    """See `yse_ingest.state.breaker.Breaker.state`."""
    sources: Mapping[str, Mapping[str, Any]]
    """Source to the state of its breaker."""
    meters: Mapping[str, Mapping[str, Any]]
    """Source to its budget: `yse_ingest.state.meters.SharedMeter.state`."""
    turns: Mapping[str, int]
    """Requests to YSE-PZ; see `yse_ingest.state.gate.SharedGate.state`."""
    budget: Mapping[str, Any]
    """YSE-PZ's time; see `yse_ingest.state.budget.Budget.state`."""
    quiet_until_ms: int
    """Nothing is sent before this: the state was lost or is older than the world."""
    queues: Mapping[str, int] | None
    """Queue to its length; None: the broker did not answer."""
    now_ms: int
    writers: Sequence[Mapping[str, Any]]
    """Other accounts that write where we do: `yse_ingest.state.audits.Audits.writers`."""
    lists: str | None
    """Why the lists of YSE-PZ that are followed could not be read."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        quiet = self.quiet_until_ms if self.quiet_until_ms > self.now_ms else None
        return {
            "redis": self.redis,
            "shadow": self.shadow,
            "held": self.held,
            "breaker": dict(self.breaker),
            "sources": {
                name: {**each, "budget": dict(self.meters[name])}
                for name, each in self.sources.items()
            },
            "turns": dict(self.turns),
            "budget": dict(self.budget),
            "quiet_until": _iso(quiet),
            "queues": self.queues,
            "writers": [dict(writer) for writer in self.writers],
            "lists": self.lists,
            "now": _iso(self.now_ms),
        }


@dataclass(frozen=True)
class Summary:
    """How many targets stand how: counted without reading each."""

    followed: int
    paused: int
    overdue: int
    """Asked too late: they were due long ago."""
    owed: int
    in_flight: int
    settling: int
    refused: int
    unanswered: int
    """Questions to sources without an answer, or an unclear one."""
    troubled: tuple[str, ...]
    """Names of targets that a person may want to see, the worst first."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON: counts alone."""
        return {name: value for name, value in vars(self).items() if name != "troubled"}


def summary(service: Service) -> Summary:
    """Count the targets by how they stand; it asks Redis alone."""
    state = service.state
    rows = state.outbox.rows(ROWS_MAX)
    by_state: dict[str, list[str]] = {}
    for row in rows:
        by_state.setdefault(state_of(row, None)[0], []).extend(row.targets)
    stopped = (state.ledgers.about(int(key)) for key in state.audits.stops())
    unanswered = state.clocks.troubled(ROWS_MAX)
    # Each target once, in this order.
    names = [
        *(about["name"] for about in stopped if about is not None),
        *by_state.get("refused", []),
        *unanswered,
        *by_state.get("settling", []),
        *by_state.get("owed", []),
    ]
    late = state.targets.due(state.now_ms() - int(OVERDUE_S * 1000), OVERDUE_MAX)
    return Summary(
        followed=state.targets.count(),
        paused=state.targets.count_paused(),
        overdue=len(late),
        owed=len(by_state.get("owed", [])),
        in_flight=len(by_state.get("in flight", [])),
        settling=len(by_state.get("settling", [])),
        refused=len(by_state.get("refused", [])),
        unanswered=len(unanswered),
        troubled=tuple(dict.fromkeys([*names, *late])),
    )


def look(service: Service, names: Sequence[str] | None = None) -> list[Line]:
    """Return how targets stand, by name; all of them without ``names``.

    It asks Redis alone.
    """
    state = service.state
    owed = {name: row for row in state.outbox.rows(ROWS_MAX) for name in row.targets}
    known = state.targets.all() if names is None else state.targets.many(names)
    targets = [target for target, _ in known]
    clocks = state.clocks.all(target.name for target in targets)
    choices = state.choices.all(target.name for target in targets)
    followed = [target.name for target in targets]
    paused, added = state.targets.paused(), state.targets.added_ms(followed)
    due = state.targets.due_times(followed)
    now_ms = state.now_ms()
    audits = _Audits(
        stops=state.audits.stops(),
        found=state.audits.all_found(),
        tombstones=frozenset(state.tombstones.transients()),
    )
    return [
        _line(
            service,
            target,
            clocks=clocks.get(target.name, {}),
            choices=choices.get(target.name, {}),
            row=owed.get(target.name),
            paused=paused.get(target.name),
            audits=audits,
            added_ms=added.get(target.name),
            due_ms=due.get(target.name),
            now_ms=now_ms,
        )
        for target in targets
    ]


def machinery(service: Service) -> Machinery:
    """Return the state of what all targets depend on."""
    state = service.state
    return Machinery(
        redis=state.address,
        shadow=service.settings.shadow,
        held=state.outbox.held(),
        breaker=state.outbox.breaker(),
        sources={name: state.source_breaker(name).state() for name in sources(service)},
        meters={name: service.meter(name).state() for name in sources(service)},
        turns=state.gate.state(),
        budget=state.budget.state(),
        quiet_until_ms=state.quiet_until_ms() or 0,
        queues=queue_lengths(service),
        now_ms=state.now_ms(),
        writers=state.audits.writers(),
        lists=unlisted(state),
    )


def unlisted(state: State) -> str | None:
    """Return why the lists of YSE-PZ that are followed could not be read; None: they could."""
    return next((each.fact for each in state.troubles.all() if each.kind == FOLLOW), None)


def sources(service: Service) -> list[str]:
    """Return the sources that are in use."""
    names = set(source_names(service.settings.default_source))
    # A file that cannot be read is told in a line of its own.
    with contextlib.suppress(SettingsError):
        for target in service.targets_file().targets:
            names |= set(service.sources_of(target))
    return sorted(names)


def queue_lengths(service: Service) -> dict[str, int]:
    """Return how many messages wait in each queue.

    Raises
    ------
    StateError
        When the broker gives no answer.
    """
    return waiting(service.settings)


def outbox_key(state: State, name: str) -> str:
    """Return under which key a target's points are owed."""
    known = state.resolutions.get(name)
    return str(known["pk"]) if known else CREATION_KEY + name


def _line(
    service: Service,
    target: Target,
    *,
    clocks: Mapping[str, Clock],
    choices: Mapping[str, Choice],
    row: RowSummary | None,
    paused: str | None,
    audits: _Audits,
    added_ms: int | None,
    due_ms: int | None,
    now_ms: int,
) -> Line:
    state = service.state
    groups = service.groups_of(target)
    speaks = [group.speaks(choices.get(group.survey)) for group in groups]
    clock = clocks.get(speaks[0])
    stands = [
        freshness(service, target, clocks.get(name), added_ms=added_ms, now_ms=now_ms)
        for name in speaks
    ]
    said = [choices[group.survey] for group in groups if group.survey in choices]
    disagreements = tuple(fact for choice in said for fact in choice.disagreements)
    private = bool(service.readers(target))
    names = [name for group in groups for name in group.sources]
    known = state.resolutions.get(target.name)
    ledger = service.ledgers.get(int(known["pk"])) if known else None
    bands, planned = _standing(ledger, shadow=service.settings.shadow)
    detail = clock.detail if clock else {}
    word, reason = state_of(row, paused)
    if service.settings.shadow and word == "idle":
        word, reason = "shadow", f"{planned} points would be sent" if planned else ""
    stopped = audits.stops.get(str(known["pk"])) if known else None
    if stopped is not None and paused is None:
        word, reason = "stopped", stopped
    return Line(
        target=target.name,
        source=", ".join(speaks),
        asked_ms=clock.asked_ms if clock else None,
        answered_ms=clock.answered_ms if clock else None,
        answer=_answer(clock),
        newest_ms=detail.get("newest_ms"),
        bands=bands,
        owed=row.points if row else 0,
        state=word,
        reason=reason,
        due_ms=None if paused else due_ms,
        private=private,
        dropped=detail.get("dropped", {}),
        dropped_lately=detail.get("dropped_lately", {}),
        noticed=_noticed(state, audits, int(known["pk"])) if known else {},
        silence=stands[0].silence,
        silent_ms=stands[0].since_ms,
        limit_s=stands[0].limit_s,
        stale=any(one.stale for one in stands) and paused is None,
        sources={name: _answer(clocks.get(name)) for name in names} if names[1:] else {},
        passed={name: why for choice in said for name, why in choice.passed.items()},
        disagreements=() if private else disagreements,
        disputed=len(disagreements),
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


def _standing(ledger: Ledger | None, *, shadow: bool) -> tuple[dict[str, int], int]:
    """Return band to number of points that YSE-PZ holds, and how many would be sent."""
    if ledger is None:
        return {}, 0
    ledger = ledger.standing
    seen = ledger.having(Flag.VERIFIED)
    bands = Counter(ledger.band[seen | (not shadow)].tolist())
    return dict(bands), int((~seen).sum()) if shadow else 0


def _answer(clock: Clock | None) -> str:
    """Say which of the three silences it is, or what the source said."""
    if clock is None or clock.silence == NEVER_ASKED:
        return f"{NEVER_ASKED}: {clock.error}" if clock and clock.error else NEVER_ASKED
    if clock.silence == NOT_ASKED:
        return f"{NOT_ASKED}: {clock.error}"
    if clock.silence == NO_ANSWER:
        word = clock.status if clock.status in {REFUSED, UNREADABLE} else NO_ANSWER
        return f"{word}: {clock.error}"
    if clock.silence == PENDING:
        return PENDING
    if clock.status in {Status.AMBIGUOUS, Status.UNKNOWN}:
        return f"{clock.status}: {clock.detail.get('reason') or ''}".rstrip(": ")
    if is_news(clock):
        return "photometry"
    reason = clock.detail.get("reason")
    return f"{NOTHING_NEW}; {reason}" if reason else NOTHING_NEW


def state_of(row: RowSummary | None, paused: str | None) -> tuple[str, str]:
    """Return the state of a target in a word, and why."""
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
