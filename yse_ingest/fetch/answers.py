"""Answers: what is noted of each answer of a source, and owed because of it."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from yse_ingest.choice import part_of, seen_with, unclear_at
from yse_ingest.clients import Hint
from yse_ingest.errors import SourceHeldBackError, SourceReplyError
from yse_ingest.fetch.owing import owed, within
from yse_ingest.pacing import pace_of, told_with, trend_of
from yse_ingest.sources import Status
from yse_ingest.state.clocks import noted_answer
from yse_ingest.targets import ADAPTIVE
from yse_ingest.watch.freshness import REFUSED, UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yse_ingest.clients import Clients
    from yse_ingest.errors import YseIngestError
    from yse_ingest.fetch.rounds import Round
    from yse_ingest.fetch.turns import Turns
    from yse_ingest.pipeline import Fetched
    from yse_ingest.state import Backfill
    from yse_ingest.state.clocks import Clock, ClocksOf
    from yse_ingest.targets import Target
    from yse_ingest.union import Sightings

logger = logging.getLogger(__name__)

QUIET_S = 1.0
"""Answers with nothing new that come within this time are noted in one go [s]."""


class Answers:
    """What one message was answered, noted and owed answer by answer."""

    def __init__(self, clients: Clients, turns: Turns, *, began_ms: int) -> None:
        self._clients = clients
        self._turns = turns
        self._state = clients.state
        self._settings = clients.settings
        self._began_ms, self._began_s = began_ms, time.monotonic()
        """When this message was begun, by the clock of Redis [ms] and by our own [s]."""
        self._quiet: list[tuple[Fetched, Round, int]] = []
        """Answers with nothing new that are still to be noted, and when they were asked [ms].
        A crash before costs their questions, which are asked again."""
        self._quiet_since_s = 0.0

    def commit(self, fetched: Fetched, one: Round, asked_ms: int) -> Hint | None:
        """Record one answer, owe what is new, and claim it for an upload."""
        name, answer, key = fetched.target.name, fetched.answer, one.key
        if isinstance(answer.error, SourceHeldBackError):
            self._turns.held_back(fetched.target, fetched.source, answer.error)
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
        points, ledger = owed(self._clients, fetched, key)
        shrunk = ledger is not None and ledger.with_gaps(fetched.gaps).gaps != ledger.gaps
        if len(points) or shrunk:
            self._state.outbox.owe(
                key,
                points,
                target=name,
                gaps=dict(fetched.gaps),
                tolerance_ms=fetched.tolerance_ms,
            )
        # Only now: whoever dies in between asks for the same again, and owes it.
        if one.sightings is not None:
            self._state.choices.keep_sightings(name, one.group.survey, one.sightings)
        if len(points) or shrunk or answer.full or answer.refused or answer.twins:
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
                "owed": len(points),
            },
        )
        if not len(points) and not shrunk:
            if answer.full and ledger is not None and not self._settings.shadow:
                self._state.shadow.leave(name)
            return None
        held = self._clients.held_back("upload", [name])
        claim = self._clients.claim(key) if held is None else None
        return Hint(name, key, claim) if claim else None

    def _failed(
        self, target: Target, source: str, error: YseIngestError, asked_ms: int
    ) -> None:
        """Note that the source was asked, and gave no answer that can be used."""
        if isinstance(error, SourceReplyError):
            status = UNREADABLE
        else:
            status = str(Status.ERROR) if error.retryable else REFUSED
        self._state.clocks.record(
            target.name, source, asked_ms=asked_ms, status=status, error=str(error)
        )
        self._turns.again(target, source, error)

    def _pending(self, fetched: Fetched, asked_ms: int) -> None:
        """Note that the source works on the question, and come back for its answer."""
        target, answer = fetched.target, fetched.answer
        self._turns.at_work.setdefault(target.name, set()).add(fetched.source)
        self._state.clocks.pending(target.name, fetched.source, asked_ms=asked_ms)
        wait_s = (
            self._settings.ask_again_s if answer.ask_again_s is None else answer.ask_again_s
        )
        self._turns.soon(target, fetched.source, wait_s)
        fields = {"target": target.name, "source": fetched.source, "wait_s": round(wait_s, 1)}
        logger.info("pending", extra={**fields, "reason": answer.reason})

    def _unless_unclear(self, fetched: Fetched, one: Round) -> Fetched:
        """Return an answer, as an ambiguous one where another source says that it is."""
        clocks = self._state.clocks.get(fetched.target.name)
        reason = unclear_at(one.group.sources, fetched.source, clocks)
        if reason is None or fetched.answer.status is not Status.OK:
            return fetched
        unclear = replace(fetched.answer, status=Status.AMBIGUOUS, reason=reason)
        return replace(fetched, answer=unclear)

    def _united(self, fetched: Fetched, one: Round) -> tuple[Sightings, Fetched]:
        """Return what all sources reported, and the exposures that stand as this one says."""
        known = one.sightings
        if known is None:
            known = self._state.choices.sightings(fetched.target.name, one.group.survey)
        known = seen_with(known, fetched, one.group, now_ms=self._state.now_ms())
        if fetched.answer.status is not Status.OK:
            return known, fetched
        return known, replace(fetched, curve=part_of(known, fetched, one.group))

    def _leave_quiet(self, fetched: Fetched, one: Round, asked_ms: int) -> None:
        """Note an answer with nothing new soon, together with others."""
        if not self._quiet:
            self._quiet_since_s = time.monotonic()
        self._quiet.append((fetched, one, asked_ms))
        if time.monotonic() - self._quiet_since_s > QUIET_S:
            self.note_quiet()

    def note_quiet(self) -> None:
        """Note the answers with nothing new that were left for later."""
        quiet, self._quiet = self._quiet, []
        if quiet:
            self._note_answers(quiet)

    def _note_answers(self, answers: Sequence[tuple[Fetched, Round, int]]) -> None:
        """Note what one source answered, each answer over what was known just before."""
        source = answers[0][0].source
        by_name = {each[0].target.name: each for each in answers}
        paces: dict[str, tuple[float, int]] = {}

        def noting(name: str, clocks: ClocksOf) -> Clock:
            fetched, one, asked_ms = by_name[name]
            now_ms = self._now_ms()
            detail = _detail(clocks.get(source), fetched, one.backfill, now_ms)
            if self._clients.cadence_of(one.target, now_ms) == ADAPTIVE:
                details = {other: clock.detail for other, clock in clocks.items()}
                pace = pace_of(
                    self._clients,
                    one.target,
                    details | {source: detail},
                    discovery_ms=None if one.place is None else one.place.discovery_ms,
                    now_ms=now_ms,
                )
                detail = told_with(detail, pace)
                paces[name] = (pace.every_s, now_ms + round(1000 * pace.seconds))
            return noted_answer(
                asked_ms=asked_ms,
                answered_ms=now_ms,
                status=str(fetched.answer.status),
                detail=detail,
            )(clocks.get(source))

        self._state.clocks.record_answers(by_name, source, noting)
        for name, (every_s, due_ms) in paces.items():
            self._state.targets.put_off(name, due_ms, since_ms=self._began_ms, every_s=every_s)

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
            self._state.quarantine.put(name, refused)

    def _now_ms(self) -> int:
        """Return the time of Redis [ms] without asking for it at every target."""
        return self._began_ms + round(1000 * (time.monotonic() - self._began_s))


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
