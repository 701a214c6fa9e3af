"""Fetch: what the sources say of the targets that are due, and what YSE-PZ lacks of it."""

from __future__ import annotations

import logging
import math
import time
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.cadence import BASE_S
from yse_ingest.choice import (
    course,
    down_since,
    due_for_check,
    first_ms,
    is_usable,
    known_objects,
    lagging,
    outcome,
    part_of,
    seen_with,
    unclear_at,
)
from yse_ingest.clients import CREATION_KEY, Hint
from yse_ingest.delta import Verdict, compare, outranks, windows
from yse_ingest.drift import DOWN, Hearing
from yse_ingest.errors import (
    CredentialsError,
    SettingsError,
    SourceHeldBackError,
    SourceReplyError,
    StateError,
    YseIngestError,
)
from yse_ingest.ledger import MEMORY
from yse_ingest.pacing import pace_of, told_with, trend_of
from yse_ingest.photometry import PointKind
from yse_ingest.pipeline import Fetched, fetch_light_curves
from yse_ingest.sources import SOURCES, Ask, Kind, Status
from yse_ingest.state import CREDENTIALS, Choice
from yse_ingest.targets import ADAPTIVE, canonical_name
from yse_ingest.watch.freshness import REFUSED, UNREADABLE
from yse_ingest.ysepz import Transient

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from yse_ingest.choice import Course, Group
    from yse_ingest.clients import Clients
    from yse_ingest.ledger import Ledger
    from yse_ingest.photometry import LightCurve
    from yse_ingest.state import Backfill
    from yse_ingest.state.breaker import Breaker
    from yse_ingest.state.clocks import Clock
    from yse_ingest.state.connection import Read
    from yse_ingest.targets import Target
    from yse_ingest.union import Sightings

logger = logging.getLogger(__name__)

REFUSED_BY_YSEPZ = "YSE-PZ"
"""The source noted in quarantine for points that YSE-PZ itself refused."""
SPREAD_S = 5.0
"""Targets of a source that is down come back over this time, each at its own moment [s]."""
QUIET_S = 1.0
"""Answers with nothing new that come within this time are noted in one go [s]."""
ITS_TIME = 0.75
"""A survey is asked when so much of a target's cadence is over since it was asked last."""
DOWN_IN_A_ROW = 2
"""After so many targets without an answer, the others are asked at their next source."""


@dataclass
class _Round:
    """One round of questions about one target to the sources of one survey."""

    target: Target
    group: Group
    key: str
    """Of its outbox row."""
    place: Transient | None
    course: Course
    usable: list[str] = field(default_factory=list)
    """Who gave usable answers."""
    failed: dict[str, str] = field(default_factory=dict)
    """Who gave none, and why."""
    backfill: Backfill | None = None
    """What is to be read again."""
    answered: bool = False
    """Whether somebody answered, whatever it was."""
    sightings: Sightings | None = None
    """What all its sources reported, where there are several."""


class Fetch:
    """One fetch task: ask the sources, record each answer, owe what is new."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.state = clients.state
        self.ledgers = clients.ledgers
        self.settings = clients.settings

        self.began_ms, self.began_s = 0, 0.0
        """When this message was begun, by the clock of Redis [ms] and by our own [s]."""
        self.quiet: list[tuple[Fetched, _Round, int]] = []
        """Answers with nothing new that are still to be noted, and when they were asked [ms].
        A crash before costs their questions, which are asked again."""
        self.quiet_since_s = 0.0
        self.free: set[str] = set()
        """Sources without a budget, which nobody has paused as this message was begun."""
        self.breakers: dict[str, Breaker] = {}
        self.waits: dict[str, float] = {}
        self.again_s: dict[str, dict[str, float]] = {}
        """Target to sources that are to be asked again before its time, and when [s]."""
        self.at_work: dict[str, set[str]] = {}
        """Target to sources that work on the question."""

    def run(self, names: Sequence[str]) -> list[Hint]:
        """Bring what YSE-PZ is owed for these targets up to date; claim what can be sent.

        Each target is committed by itself: a bad one stops only itself, a crash repeats only
        the unfinished. Safe to repeat: the outbox merges, and the ledger knows what is stored.
        """
        began_ms, self.began_s = self.state.now_ms(), time.monotonic()
        self.began_ms = began_ms
        names = list(dict.fromkeys(canonical_name(each) for each in names))
        with self.state.reading_ahead(self._whom_to_ask(names)):
            rounds = [one for name in names for one in self._rounds(name)]
        asked: set[str] = set()
        hints: list[Hint] = []
        wave = [(source, one) for one in rounds for source in one.course.ask]
        while wave:
            for source in dict.fromkeys(source for source, _ in wave):
                asked.add(source)
                hints += self._ask(source, [one for name, one in wave if name == source])
            # Who is asked instead must answer within the time of this message, too.
            late = self.state.now_ms() - began_ms > 500 * self.settings.message_s
            wave = [] if late else [pair for one in rounds for pair in self._instead(one)]
        for source in self.breakers.keys() - asked:
            self.breakers[source].withdraw()
        for one in rounds:
            self._note_choice(one)
        for name in dict.fromkeys(one.target.name for one in rounds if one.backfill):
            if all(one.answered for one in rounds if one.target.name == name):
                self.state.targets.filled(name)
        for name in self.again_s:
            heard = {
                source
                for one in rounds
                if one.target.name == name and one.usable
                for source in one.group.sources
            }
            # Nobody answers instead of one that works on it.
            heard -= self.at_work.get(name, set())
            self._early(name, self.again_s[name].keys() - heard)
        return hints

    def _now_ms(self) -> int:
        """Return the time of Redis [ms] without asking for it at every target."""
        return self.began_ms + round(1000 * (time.monotonic() - self.began_s))

    def _early(self, name: str, sources: Collection[str]) -> None:
        """Ask these sources about a target before its time: nobody answered for them."""
        if not sources:
            return
        wait_s = min(self.again_s[name][source] for source in sources)
        self.state.targets.set_due(name, self.state.now_ms() + int(wait_s * 1000))
        self.state.choices.wait_for(name, sources)

    def _whom_to_ask(self, names: Iterable[str]) -> Iterator[Read]:
        """Yield what `_rounds` reads of each target."""
        state = self.state
        for name in names:
            yield from state.targets.reads_of(name)
            yield state.targets.backfill_read_of(name)
            yield state.choices.read_of(name)
            yield state.resolutions.read_of(name)

    def _what_is_known(self, rounds: Iterable[_Round]) -> Iterator[Read]:
        """Yield what `_question` reads of each target."""
        state = self.state
        for one in rounds:
            name = one.target.name
            yield state.clocks.read_of(name)
            yield state.shadow.read_of(name)
            yield state.quarantine.read_of(name)
            if one.place is not None:
                yield self.ledgers.read_of(one.place.pk)

    def _its_time(self, target: Target, groups: list[Group]) -> list[Group]:
        """Return the surveys that are asked now: all, or those on which somebody waits.

        A target comes before its time for those that gave no answer; the others have theirs.
        """
        waiting = self.state.choices.waiting(target.name)
        if len(groups) == 1 or not waiting:
            return groups
        clocks = self.state.clocks.get(target.name)
        now_ms = self.state.now_ms()
        cadence_s = self.clients.cadence_of(target, now_ms)
        if cadence_s == ADAPTIVE:
            cadence_s = self.state.targets.pace_s(target.name) or BASE_S
        before_ms = now_ms - ITS_TIME * 1000 * cadence_s
        return [
            group
            for group in groups
            if not waiting.isdisjoint(group.sources)
            or all(
                source not in clocks or (clocks[source].asked_ms or 0) <= before_ms
                for source in group.sources
            )
        ]

    def _rounds(self, name: str) -> list[_Round]:
        """Return whom to ask about a target, by survey."""
        target = self.state.targets.get(name)
        if target is None:
            logger.error("unknown target", extra={"target": name})
            return []
        groups = self._its_time(target, self.clients.groups_of(target))
        rounds = []
        courses = [(group, self._course(target, group)) for group in groups]
        courses = [(group, course) for group, course in courses if course.ask]
        if not courses:
            return []
        try:
            key, place = self._place(target)
        except StateError:
            raise
        except YseIngestError as error:
            for _, course in courses:
                for source in course.ask:
                    self._unasked(target, source, error)
            return []
        if place is None:
            target = self.clients.completed(target)
        backfill = self.state.targets.backfill(target.name)
        for group, course in courses:
            rounds.append(_Round(target, group, key, place, course, backfill=backfill))
        return rounds

    def _course(self, target: Target, group: Group) -> Course:
        """Return whom to ask about a target in one survey."""

        def out(source: str) -> str | None:
            return self._left_alone(target, source)

        if not group.has_choice:
            return course(group.sources, out=out, lagging={}, due=())
        clocks = self.state.clocks.get(target.name)
        return course(
            group.sources,
            out=out,
            lagging=lagging(
                group.sources,
                self.state.choices.sightings(target.name, group.survey).by(group.sources),
                clocks,
                silent_after_s=self.settings.silent_after_s,
            ),
            due=due_for_check(
                group.sources,
                clocks,
                now_ms=self.state.now_ms(),
                every_s=self.settings.union_every_s,
            ),
        )

    def _instead(self, one: _Round) -> Iterator[tuple[str, _Round]]:
        """Yield who is asked next, as long as nobody gave a usable answer."""
        while not one.usable and one.course.spare:
            source, *spare = one.course.spare
            one.course = replace(one.course, spare=tuple(spare))
            if (why := self._left_alone(one.target, source)) is None:
                yield source, one
                return
            one.failed[source] = why

    def _ask(self, source: str, rounds: Sequence[_Round]) -> list[Hint]:
        """Ask one source about several targets, and commit its answers."""
        asked_ms = self.state.now_ms()
        by_name = {one.target.name: one for one in rounds}
        with self.state.reading_ahead(self._what_is_known(rounds)):
            asks = [self._question(one, source, asked_ms) for one in rounds]
        hints: list[Hint] = []
        hearing = Hearing(self.clients, source, self.breakers[source])
        in_a_row = 0
        try:
            for fetched in fetch_light_curves(asks, self.clients.source(source)):
                hearing.hear(fetched)
                one = by_name.pop(fetched.target.name)
                hint = self._commit(fetched, one, asked_ms)
                hints += [hint] if hint else []
                if is_usable(fetched.answer):
                    one.usable.append(source)
                else:
                    one.failed[source] = str(fetched.answer.reason or fetched.answer.status)
                in_a_row = in_a_row + 1 if isinstance(fetched.answer.error, DOWN) else 0
                if in_a_row >= DOWN_IN_A_ROW and all(
                    one.group.has_choice for one in by_name.values()
                ):
                    break  # the time of this message is for who answers
        except SettingsError as error:
            if not any(one.group.has_choice for one in rounds):
                raise
            for one in rounds:
                one.failed[source] = error.fact
                self._unasked(one.target, source, error)
            self.breakers[source].withdraw()
            return hints
        finally:
            self._note_quiet()
        for one in by_name.values():
            one.failed[source] = reason = f"{source} is down"
            self.state.clocks.unasked(one.target.name, source, reason=reason)
            self._soon(one.target, source, self.settings.ask_again_s)
        hearing.close()
        return hints

    def _note_choice(self, one: _Round) -> None:
        """Note who was asked and who was passed over, and tell a change."""
        if not one.group.has_choice:
            return
        name, survey, order = one.target.name, one.group.survey, one.group.sources
        before = self.state.choices.get(name).get(survey, Choice())
        reasons = {**one.course.out, **one.failed}
        disagreements = before.disagreements
        if one.sightings is not None:
            clocks = self.state.clocks.get(name)
            silent_s = self.settings.silent_after_s
            reasons |= lagging(order, one.sightings, clocks, silent_after_s=silent_s)
            disagreements = tuple(map(str, one.sightings.disagreements(order)))
        asked, passed = outcome(order, one.usable, reasons)
        same = asked[:1] == before.asked[:1]
        choice = Choice(
            asked=asked,
            since_ms=before.since_ms if same else self.state.now_ms(),
            passed=passed,
            disagreements=disagreements,
        )
        if choice != before:
            self.state.choices.put(name, survey, choice)
        fields = {"target": name, "survey": survey, "source": choice.speaks}
        if not same and passed:
            logger.warning("another source is asked instead", extra=fields | {"why": passed})
        elif not same and before.passed:
            logger.info("the first source is asked again", extra=fields)
        if set(disagreements) - set(before.disagreements):
            # `status` says which, to whom they concern: the photometry may be private.
            count = len(disagreements)
            logger.warning("sources disagree", extra={"target": name, "count": count})

    def _left_alone(self, target: Target, source: str) -> str | None:
        """Return why a source is not to be asked now: it is down; None: it may be asked."""
        if source not in self.breakers:
            self.breakers[source] = self.state.source_breaker(source)
            self.waits[source] = self.breakers[source].ask(report_s=self.settings.message_s)
        wait_s = self.waits[source]
        if not wait_s:
            return self._out_of_budget(target, source)
        # One after the other, so that a source that is back is not stormed.
        wait_s += zlib.crc32(target.name.encode()) % 1000 / 1000 * SPREAD_S
        self._soon(target, source, wait_s)
        self.state.clocks.unasked(target.name, source, reason=f"{source} is down")
        fields = {"target": target.name, "source": source, "wait_s": round(wait_s, 1)}
        logger.info("source is down, not asked", extra=fields)
        breaker = self.breakers[source].state()
        return down_since(breaker["since_ms"], breaker["reason"])

    def _soon(self, target: Target, source: str, wait_s: float) -> None:
        """Ask a source again after ``wait_s`` [s], unless another one answers instead now."""
        self.again_s.setdefault(target.name, {})[source] = wait_s

    def _out_of_budget(self, target: Target, source: str) -> str | None:
        """Return why a source may not be asked now; the target's place in the line stays."""
        if source not in SOURCES or source in self.free:
            return None  # an unknown one says so itself when it is asked
        meter = self.clients.meter(source)
        wait_s, why = meter.admit(target.name)
        if not wait_s:
            if not meter.rates:
                self.free.add(source)
            return None
        self._soon(target, source, wait_s)
        reason = f"is held back: {why}"
        self.state.clocks.unasked(target.name, source, reason=f"{source} {reason}")
        fields = {"target": target.name, "source": source, "wait_s": round(wait_s, 1)}
        logger.info("source held back, not asked", extra=fields)
        return reason

    def _held_back(self, target: Target, source: str, error: SourceHeldBackError) -> None:
        """Put a target off for which the budget did not reach."""
        self.free.discard(source)
        if self._out_of_budget(target, source) is None:
            self.state.clocks.unasked(target.name, source, reason=error.fact)
            self._soon(target, source, error.retry_after or 0.0)

    def _unasked(self, target: Target, source: str, error: YseIngestError) -> None:
        """Note that the source was not asked: where the target is could not be told."""
        if isinstance(error, CredentialsError):
            self.state.troubles.note(CREDENTIALS, fact=error.fact)
        self.state.clocks.unasked(target.name, source, reason=str(error))
        self._again(target, source, error)

    def _failed(
        self, target: Target, source: str, error: YseIngestError, asked_ms: int
    ) -> None:
        """Note that the source was asked, and gave no answer that can be used."""
        if isinstance(error, SourceReplyError):
            status = UNREADABLE
        else:
            status = str(Status.ERROR) if error.retryable else REFUSED
        self.state.clocks.record(
            target.name, source, asked_ms=asked_ms, status=status, error=str(error)
        )
        self._again(target, source, error)

    def _again(self, target: Target, source: str, error: YseIngestError) -> None:
        logger.warning(
            "not fetched", extra={"target": target.name, "source": source, "error": str(error)}
        )
        if error.retryable:
            wait_s = max(self.settings.ask_again_s, error.retry_after or 0.0)
            self._soon(target, source, wait_s)

    def _place(self, target: Target) -> tuple[str, Transient | None]:
        """Return the target's outbox key and its transient; look it up where need be."""
        known = self.state.resolutions.get(target.name)
        if known is not None:
            place = Transient.from_dict(known)
            return str(place.pk), place
        held = self.clients.held_back("lookup", [target.name])
        if held is not None:
            raise held
        found = self.clients.locate(target)
        return (CREATION_KEY + target.name if found is None else str(found.pk)), found

    def _question(self, one: _Round, source: str, now_ms: int) -> Ask:
        """Return what to ask a source about a target now [Unix ms]."""
        target, place = one.target, one.place
        clocks = self.state.clocks.get(target.name)
        known = clocks.get(source)
        detail = dict(known.detail) if known else {}
        ledger = None if place is None else self.ledgers.get(place.pk)
        full_read_ms = detail.get("full_read_ms") or 0
        due_in_full = (
            one.backfill is not None
            or ledger is None
            or known is None
            or known.status not in {Status.OK, Status.EMPTY}
            or not detail.get("newest_ms")
            or (not self.settings.shadow and self.state.shadow.holds(target.name))
            or self.state.quarantine.retries(target.name, since_ms=full_read_ms)
            or now_ms - full_read_ms > self.settings.full_read_s * 1000
            # What is wanted since then lies further back than what is new.
            or not self.clients.kinds(target, source)
            <= set(detail.get("kinds", [Kind.DETECTION]))
        )
        since_ms = None
        if one.backfill is not None and ledger is not None:
            since_ms = one.backfill.from_ms
        if not due_in_full:
            since_ms = int(detail["newest_ms"] - self.settings.overlap_s * 1000)
        where = target if place is None else target.at(place.ra, place.dec)
        return Ask(
            target=where,
            rules=self.clients.rules(target, source),
            since_ms=since_ms,
            newest_ms=detail.get("newest_ms"),
            discovery_ms=None if place is None else place.discovery_ms,
            first_ms=first_ms(self.clients.sources_of(target), clocks),
            known_objects=known_objects(one.group.sources, source, clocks),
        )

    def _commit(self, fetched: Fetched, one: _Round, asked_ms: int) -> Hint | None:
        """Record one answer, owe what is new, and claim it for an upload."""
        name, answer, key = fetched.target.name, fetched.answer, one.key
        if isinstance(answer.error, SourceHeldBackError):
            self._held_back(fetched.target, fetched.source, answer.error)
            return None
        if answer.error is not None:
            self._failed(fetched.target, fetched.source, answer.error, asked_ms)
            return None
        if answer.status is Status.PENDING:
            self._pending(fetched, asked_ms)
            return None
        if one.group.has_choice:
            fetched = self._unless_unclear(fetched, one)
            one.sightings, fetched = self._united(fetched, one)
            answer = fetched.answer
        one.answered = True
        if one.backfill is not None:
            fetched = replace(fetched, curve=within(fetched.curve, one.backfill))
        owed, ledger = self.owed(fetched, key)
        shrunk = ledger is not None and ledger.with_gaps(fetched.gaps).gaps != ledger.gaps
        if len(owed) or shrunk:
            self.state.outbox.owe(
                key,
                owed,
                target=name,
                gaps=dict(fetched.gaps),
                tolerance_ms=fetched.tolerance_ms,
            )
        # Only now: whoever dies in between asks for the same again, and owes it.
        if one.sightings is not None:
            self.state.choices.keep_sightings(name, one.group.survey, one.sightings)
        if len(owed) or shrunk or answer.full or answer.refused or answer.twins:
            self._note_answers([(fetched, one, asked_ms)])
            self._quarantine(fetched)
        else:
            self._leave_quiet(fetched, one, asked_ms)
        answer.clean_up()
        logger.info(
            "fetched",
            extra={
                "target": name,
                "source": fetched.source,
                "status": str(answer.status),
                "full": answer.full,
                "points": len(fetched.curve),
                "negative": fetched.negative,
                "dropped": sum(fetched.dropped.values()),
                "quarantined": len(answer.refused),
                "owed": len(owed),
            },
        )
        if not len(owed) and not shrunk:
            if answer.full and ledger is not None and not self.settings.shadow:
                self.state.shadow.leave(name)
            return None
        held = self.clients.held_back("upload", [name])
        claim = self.clients.claim(key) if held is None else None
        return Hint(name, key, claim) if claim else None

    def _pending(self, fetched: Fetched, asked_ms: int) -> None:
        """Note that the source works on the question, and come back for its answer."""
        target, answer = fetched.target, fetched.answer
        self.at_work.setdefault(target.name, set()).add(fetched.source)
        self.state.clocks.pending(target.name, fetched.source, asked_ms=asked_ms)
        wait_s = self.settings.ask_again_s if answer.ask_again_s is None else answer.ask_again_s
        self._soon(target, fetched.source, wait_s)
        fields = {"target": target.name, "source": fetched.source, "wait_s": round(wait_s, 1)}
        logger.info("pending", extra={**fields, "reason": answer.reason})

    def _unless_unclear(self, fetched: Fetched, one: _Round) -> Fetched:
        """Return an answer, as an ambiguous one where another source says that it is."""
        clocks = self.state.clocks.get(fetched.target.name)
        reason = unclear_at(one.group.sources, fetched.source, clocks)
        if reason is None or fetched.answer.status is not Status.OK:
            return fetched
        unclear = replace(fetched.answer, status=Status.AMBIGUOUS, reason=reason)
        return replace(fetched, answer=unclear)

    def _united(self, fetched: Fetched, one: _Round) -> tuple[Sightings, Fetched]:
        """Return what all sources reported, and the exposures that stand as this one says."""
        known = one.sightings
        if known is None:
            known = self.state.choices.sightings(fetched.target.name, one.group.survey)
        known = seen_with(known, fetched, one.group, now_ms=self.state.now_ms())
        if fetched.answer.status is not Status.OK:
            return known, fetched
        return known, replace(fetched, curve=part_of(known, fetched, one.group))

    def _leave_quiet(self, fetched: Fetched, one: _Round, asked_ms: int) -> None:
        """Note an answer with nothing new soon, together with others."""
        if not self.quiet:
            self.quiet_since_s = time.monotonic()
        self.quiet.append((fetched, one, asked_ms))
        if time.monotonic() - self.quiet_since_s > QUIET_S:
            self._note_quiet()

    def _note_quiet(self) -> None:
        quiet, self.quiet = self.quiet, []
        if quiet:
            self._note_answers(quiet)

    def _note_answers(self, answers: Sequence[tuple[Fetched, _Round, int]]) -> None:
        """Note what one source answered, each answer over what was known just before."""
        source = answers[0][0].source
        known = self.state.clocks.all(fetched.target.name for fetched, _, _ in answers)
        noted, paces = [], []
        for fetched, one, asked_ms in answers:
            name, now_ms = fetched.target.name, self._now_ms()
            clocks = known[name]
            detail = _detail(clocks.get(source), fetched, one.backfill, now_ms)
            if self.clients.cadence_of(one.target, now_ms) == ADAPTIVE:
                details = {other: clock.detail for other, clock in clocks.items()}
                pace = pace_of(
                    self.clients,
                    one.target,
                    details | {source: detail},
                    discovery_ms=None if one.place is None else one.place.discovery_ms,
                    now_ms=now_ms,
                )
                detail = told_with(detail, pace)
                paces.append((name, pace.every_s, now_ms + round(1000 * pace.seconds)))
            status = str(fetched.answer.status)
            times = {"asked_ms": asked_ms, "answered_ms": now_ms}
            noted.append((name, {**times, "status": status, "detail": detail}))
        self.state.clocks.record_answers(source, noted)
        for name, every_s, due_ms in paces:
            self.state.targets.set_pace(name, every_s, due_ms)

    def _quarantine(self, fetched: Fetched) -> None:
        """Keep the rows of an answer that were refused, with the reasons."""
        name, answer = fetched.target.name, fetched.answer
        refused = [
            {
                "native_id": refusal.native_id or "",
                "field": fault.field,
                "value": fault.value,
                "reason": fault.reason,
                "source": fetched.source,
                "raw": refusal.excerpt,
            }
            for refusal in answer.refused
            for fault in refusal.faults
        ]
        refused += [
            {
                "native_id": twin.native_id,
                "field": "candid",
                "value": twin.native_id,
                "reason": f"twin of {twin.twin_of}: one exposure reported twice",
                "source": fetched.source,
                "raw": "",
            }
            for twin in answer.twins
        ]
        if refused:
            self.state.quarantine.put(name, refused)

    def owed(self, fetched: Fetched, key: str) -> tuple[LightCurve, Ledger | None]:
        """Return the exposures that YSE-PZ does not hold as they are, and its ledger.

        Where there is no ledger every exposure is owed; the upload reads back and compares.
        """
        empty = fetched.curve.take(slice(0, 0))
        if fetched.answer.status is not Status.OK:
            return empty, None
        nothing = not len(fetched.curve) and not fetched.gaps
        if nothing and not fetched.answer.full:
            return empty, None
        curve = wanted(fetched.curve, self.clients, fetched.target)
        ledger = None if key.startswith(CREATION_KEY) else self.ledgers.get(int(key))
        if ledger is None:
            # Part of a light curve says nothing about the smallest gap: ask in full next time.
            return (curve if fetched.answer.full else empty), None
        window = windows(
            curve.band,
            instrument=curve.instrument,
            gaps=ledger.with_gaps(fetched.gaps).gaps,
            tolerance_ms=fetched.tolerance_ms,
            mjdmatchmin=fetched.rules.mjdmatchmin,
        )
        verdicts = compare(
            curve,
            ledger,
            window,
            ours=ledger.ours,
            value_hash=ledger.value_hash,
            send_stored_elsewhere=fetched.rules.send_stored_elsewhere,
        )
        owed = verdicts.where(Verdict.NEW, Verdict.CHANGED)
        if len(ledger):
            # A person who removed an upper limit has not refused the detection of its exposure.
            gone = (verdicts.row >= 0) & ledger.having(MEMORY)[verdicts.row]
            gone &= outranks(curve.rank, ledger.rank[verdicts.row])
            owed = np.union1d(owed, np.flatnonzero(gone))
        return curve.take(owed), ledger


def within(curve: LightCurve, backfill: Backfill) -> LightCurve:
    """Return what lies in the range that is to be read again, its ends included."""
    keep = np.ones(len(curve), dtype=bool)
    if backfill.from_ms is not None:
        keep &= curve.time_ms >= backfill.from_ms
    if backfill.to_ms is not None:
        keep &= curve.time_ms <= backfill.to_ms
    return curve.take(keep)


def _detail(
    before: Clock | None, fetched: Fetched, backfill: Backfill | None, now_ms: int
) -> dict[str, Any]:
    """Return what is to be known of a source's answers to one target, after this one."""
    answer = fetched.answer
    detail = dict(before.detail) if before else {}
    newest = answer.newest_ms
    # Of a range only a part was looked at: what lies beside it is still to be asked for.
    whole = backfill is None or not backfill.is_range
    if whole and newest is not None and newest > (detail.get("newest_ms") or 0):
        detail |= {"newest_ms": newest, "news_ms": now_ms}
    if whole:
        detail |= trend_of(fetched.curve)
    if whole and answer.full:
        detail["full_read_ms"] = now_ms
        detail["object_ids"] = list(answer.accepted_objects)
        detail["kinds"] = sorted(fetched.kinds)
        detail["dropped"] = dict(fetched.dropped)
        detail["first_ms"] = answer.first_ms
    elif answer.first_ms is not None:
        # An alert may come late, and be the earliest.
        detail["first_ms"] = min(answer.first_ms, detail.get("first_ms") or math.inf)
    detail["reason"] = answer.reason
    detail["set_aside"] = dict(answer.set_aside)
    detail["negative"] = fetched.negative
    # What is new is a part: the counts of all are those of the last full read.
    detail["dropped_lately"] = {} if answer.full else dict(fetched.dropped)
    return detail


def wanted(curve: LightCurve, clients: Clients, target: Target) -> LightCurve:
    """Leave out what people rejected, and what YSE-PZ refused while its values stay.

    So are late upper limits: they end at the first detection that any source of the target
    knows, and who is asked later may know an earlier one.
    """
    state, name = clients.state, target.name
    is_limit = curve.kind == PointKind.LIMIT
    if is_limit.any():
        before_ms = first_ms(clients.sources_of(target), state.clocks.get(name))
        if before_ms is not None:
            curve = curve.take(~is_limit | (curve.time_ms < before_ms))
    rejected = state.quarantine.rejected(name)
    refused = state.quarantine.refused(name)
    if not refused and not rejected:
        return curve
    keep = [
        native_id not in rejected and refused.get(native_id) != str(value_hash)
        for native_id, value_hash in zip(
            curve.native_id.tolist(), curve.value_hash.tolist(), strict=True
        )
    ]
    return curve.take(np.array(keep, dtype=bool))
