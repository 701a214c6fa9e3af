"""Fetch: what the sources say of the targets that are due, and what YSE-PZ lacks of it."""

from __future__ import annotations

import logging
import zlib
from typing import TYPE_CHECKING

import numpy as np

from yse_ingest.clients import CREATION_KEY, Hint
from yse_ingest.delta import Verdict, compare, outranks, windows
from yse_ingest.drift import Hearing
from yse_ingest.errors import (
    CredentialsError,
    SourceHeldBackError,
    SourceReplyError,
    StateError,
    YseIngestError,
)
from yse_ingest.ledger import MEMORY
from yse_ingest.pipeline import Fetched, fetch_light_curves
from yse_ingest.sources import Ask, Kind, Status
from yse_ingest.state import CREDENTIALS
from yse_ingest.targets import canonical_name
from yse_ingest.watch.freshness import REFUSED, UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yse_ingest.clients import Clients
    from yse_ingest.ledger import Ledger
    from yse_ingest.photometry import LightCurve
    from yse_ingest.state import State as Store
    from yse_ingest.state.breaker import Breaker
    from yse_ingest.targets import Target

logger = logging.getLogger(__name__)

REFUSED_BY_YSEPZ = "YSE-PZ"
"""The source noted in quarantine for points that YSE-PZ itself refused."""
SPREAD_S = 5.0
"""Targets of a source that is down come back over this time, each at its own moment [s]."""


class Fetch:
    """One fetch task: ask the sources, record each answer, owe what is new."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.state = clients.state
        self.ledgers = clients.ledgers
        self.settings = clients.settings

        self.breakers: dict[str, Breaker] = {}
        self.waits: dict[str, float] = {}

    def run(self, names: Sequence[str]) -> list[Hint]:
        """Bring what YSE-PZ is owed for these targets up to date; claim what can be sent.

        Each target is committed by itself: a bad one stops only itself, a crash repeats only
        the unfinished. Safe to repeat: the outbox merges, and the ledger knows what is stored.
        """
        questions: dict[str, list[Ask]] = {}
        places: dict[str, str] = {}
        for name in dict.fromkeys(canonical_name(each) for each in names):
            target = self.state.targets.get(name)
            if target is None:
                logger.error("unknown target", extra={"target": name})
                continue
            source = self.clients.source_of(target)
            if self._left_alone(target, source):
                continue
            try:
                key, ask = self._question(target, source)
            except StateError:
                raise
            except YseIngestError as error:
                self._unasked(target, source, error)
                continue
            places[name] = key
            questions.setdefault(source, []).append(ask)
        for source in self.breakers.keys() - questions.keys():
            self.breakers[source].withdraw()
        hints: list[Hint] = []
        for source, asks in questions.items():
            hearing = Hearing(self.clients, source, self.breakers[source])
            asked_ms = self.state.now_ms()
            for fetched in fetch_light_curves(asks, self.clients.source(source)):
                hearing.hear(fetched)
                hint = self._commit(fetched, places[fetched.target.name], asked_ms)
                hints += [hint] if hint else []
            hearing.close()
        return hints

    def _left_alone(self, target: Target, source: str) -> bool:
        """Put a target off whose source is down and not to be probed now; it was not asked."""
        if source not in self.breakers:
            self.breakers[source] = self.state.source_breaker(source)
            self.waits[source] = self.breakers[source].ask(report_s=self.settings.message_s)
        wait_s = self.waits[source]
        if wait_s:
            # One after the other, so that a source that is back is not stormed.
            wait_s += zlib.crc32(target.name.encode()) % 1000 / 1000 * SPREAD_S
            self.state.targets.set_due(target.name, self.state.now_ms() + int(wait_s * 1000))
            self.state.clocks.unasked(target.name, source, reason=f"{source} is down")
            fields = {"target": target.name, "source": source, "wait_s": round(wait_s, 1)}
            logger.info("source is down, not asked", extra=fields)
        return wait_s > 0 or self._out_of_budget(target, source)

    def _out_of_budget(self, target: Target, source: str) -> bool:
        """Put a target off whose source may not be asked now; its place in the line stays."""
        wait_s, why = self.clients.meter(source).admit(target.name)
        if wait_s:
            self.state.targets.set_due(target.name, self.state.now_ms() + int(wait_s * 1000))
            reason = f"{source} is held back: {why}"
            self.state.clocks.unasked(target.name, source, reason=reason)
            fields = {"target": target.name, "source": source, "wait_s": round(wait_s, 1)}
            logger.info("source held back, not asked", extra=fields)
        return wait_s > 0

    def _held_back(self, target: Target, source: str, error: SourceHeldBackError) -> None:
        """Put a target off for which the budget did not reach."""
        if not self._out_of_budget(target, source):
            self.state.clocks.unasked(target.name, source, reason=error.fact)
            wait_ms = round(1000 * (error.retry_after or 0.0))
            self.state.targets.set_due(target.name, self.state.now_ms() + wait_ms)

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
            wait = max(self.settings.ask_again_s, error.retry_after or 0.0)
            self.state.targets.set_due(target.name, self.state.now_ms() + int(wait * 1000))

    def _question(self, target: Target, source: str) -> tuple[str, Ask]:
        """Return the target's outbox key and what to ask; look it up where need be."""
        if self.state.resolutions.get(target.name) is None:
            held = self.clients.held_back("lookup", [target.name])
            if held is not None:
                raise held
        place = self.clients.locate(target)
        known = self.state.clocks.get(target.name).get(source)
        detail = dict(known.detail) if known else {}
        ledger = None if place is None else self.ledgers.get(place.pk)
        now_ms = self.state.now_ms()
        full_read_ms = detail.get("full_read_ms") or 0
        due_in_full = (
            ledger is None
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
        if not due_in_full:
            since_ms = int(detail["newest_ms"] - self.settings.overlap_s * 1000)
        where = target if place is None else target.at(place.ra, place.dec)
        ask = Ask(
            target=where,
            rules=self.clients.rules(target, source),
            since_ms=since_ms,
            newest_ms=detail.get("newest_ms"),
            discovery_ms=None if place is None else place.discovery_ms,
            first_ms=detail.get("first_ms"),
            known_objects=tuple(detail.get("object_ids", ())),
        )
        return (CREATION_KEY + target.name if place is None else str(place.pk)), ask

    def _commit(self, fetched: Fetched, key: str, asked_ms: int) -> Hint | None:
        """Record one answer, owe what is new, and claim it for an upload."""
        name, answer = fetched.target.name, fetched.answer
        if isinstance(answer.error, SourceHeldBackError):
            self._held_back(fetched.target, fetched.source, answer.error)
            return None
        if answer.error is not None:
            self._failed(fetched.target, fetched.source, answer.error, asked_ms)
            return None
        if answer.status is Status.PENDING:
            self._pending(fetched, asked_ms)
            return None
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
        self._record(fetched, asked_ms)
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
        name, answer = fetched.target.name, fetched.answer
        self.state.clocks.pending(name, fetched.source, asked_ms=asked_ms)
        wait_s = self.settings.ask_again_s if answer.ask_again_s is None else answer.ask_again_s
        self.state.targets.set_due(name, self.state.now_ms() + int(wait_s * 1000))
        fields = {"target": name, "source": fetched.source, "wait_s": round(wait_s, 1)}
        logger.info("pending", extra={**fields, "reason": answer.reason})

    def _record(self, fetched: Fetched, asked_ms: int) -> None:
        name, answer = fetched.target.name, fetched.answer
        before = self.state.clocks.get(name).get(fetched.source)
        detail = dict(before.detail) if before else {}
        newest = answer.newest_ms
        now_ms = self.state.now_ms()
        if newest is not None and newest > (detail.get("newest_ms") or 0):
            detail |= {"newest_ms": newest, "news_ms": now_ms}
        if answer.full:
            detail["full_read_ms"] = now_ms
            detail["object_ids"] = list(answer.accepted_objects)
            detail["kinds"] = sorted(fetched.kinds)
            detail["dropped"] = dict(fetched.dropped)
            detail["first_ms"] = answer.first_ms
        detail["reason"] = answer.reason
        detail["set_aside"] = dict(answer.set_aside)
        detail["negative"] = fetched.negative
        # What is new is a part: the counts of all are those of the last full read.
        detail["dropped_lately"] = {} if answer.full else dict(fetched.dropped)
        self.state.clocks.record(
            name,
            fetched.source,
            asked_ms=asked_ms,
            answered_ms=now_ms,
            status=str(answer.status),
            detail=detail,
        )
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
        curve = wanted(fetched.curve, self.state, fetched.target.name)
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


def wanted(curve: LightCurve, state: Store, name: str) -> LightCurve:
    """Leave out what people rejected, and what YSE-PZ refused while its values stay."""
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
