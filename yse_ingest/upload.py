"""Upload: one transient under one lease: settle, create, read back, send, record."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from yse_ingest.backoff import backoff_delay
from yse_ingest.clients import CREATION_KEY, Hint
from yse_ingest.delta import Verdict, compare, one_per_exposure, windows
from yse_ingest.errors import (
    CredentialsError,
    HeldBackError,
    HeldError,
    LeaseLostError,
    OutcomeUnknownError,
    UnknownTargetError,
    YseIngestError,
    YsePzReplyError,
)
from yse_ingest.fetch import wanted
from yse_ingest.judge import Judge, second_installation
from yse_ingest.pipeline import Outcome, Receipt, State, deliver, plan_upload
from yse_ingest.shadow import (
    creation_planned,
    ledger_as_if_sent,
    planned_exposures,
    rehearse,
    rehearse_creation,
)
from yse_ingest.state import CREDENTIALS
from yse_ingest.ysepz import Transient, YsePz, create

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.clients import Clients
    from yse_ingest.ledger import Ledger
    from yse_ingest.limits import Purpose
    from yse_ingest.photometry import LightCurve
    from yse_ingest.state import OwedRow
    from yse_ingest.targets import Target
    from yse_ingest.ysepz import ReadBack

logger = logging.getLogger(__name__)

REFUSED_BY_YSEPZ = "YSE-PZ"
"""The source noted in quarantine for points that YSE-PZ itself refused."""
_WELL = {State.VERIFIED, State.ACCEPTED, State.SHADOW}
_HELD = (
    Outcome.ACCEPTED,
    Outcome.VERIFIED,
    Outcome.SAME,
    Outcome.ADOPTED,
    Outcome.ELSEWHERE,
    Outcome.DIFFERS,
)


@dataclass(frozen=True)
class UploadOutcome:
    """How one upload task ended."""

    state: str
    retry_in: float | None = None
    """Nothing was written and the lease still holds: try again after this [s]."""
    hints: tuple[Hint, ...] = ()
    error: YseIngestError | None = None
    counts: dict[str, int] = field(default_factory=dict)
    receipts: tuple[Receipt, ...] = ()


class Upload:
    """One upload under one lease: settle, create, read back, send, record."""

    def __init__(
        self,
        clients: Clients,
        name: str,
        row: OwedRow,
        *,
        fence: int,
        attempt: int,
        target: Target | None,
    ) -> None:
        self.clients = clients
        self.given = target
        self.settings = clients.settings
        self.state = clients.state
        self.ledgers = clients.ledgers
        self.name = name
        self.row = row
        self.key = row.key
        self.fence = fence
        self.attempt = attempt
        self.creation: int | None = None
        self.client = self._client()
        self.deadline = clients.clock() + self.settings.message_s
        self.receipts: list[Receipt] = []
        self.asked = False
        """Whether a person wants to see it proven."""
        self.private = False
        """Whether what is sent just now is for groups alone."""
        self.audited = False
        """Whether YSE-PZ was read back and compared."""

    def _client(self) -> YsePz:
        """Return a client of this upload, which shares connections and what was read."""
        purpose: Purpose = "upload" if self.given is None else "push"
        if not self.row.curves and not self.key.startswith(CREATION_KEY):
            purpose = "verify" if self.state.audits.proof_owed(self.key) else "audit"
        return self.clients.ysepz.for_purpose(purpose, keep=self.hold)

    def hold(self) -> None:
        """Renew the lease before a request; raise where it is lost."""
        lease_s = self.settings.lease_s
        if not self.state.outbox.renew(self.key, self.fence, lease_s=lease_s) or (
            self.creation is not None
            and not self.state.leases.renew("create", self.creation, lease_s=lease_s)
        ):
            raise LeaseLostError(
                "the lease of this transient has passed on",
                service="Redis",
                target=self.name,
                remedy="Nothing to do: its new holder reads back and sends what is missing.",
            )

    def run(self, *, verify: bool) -> UploadOutcome:
        """Do the upload; raises what stops it before anything was sent."""
        if (reason := self.state.audits.stopped(self.key)) is not None:
            raise second_installation(reason, self.name)
        self.client.vocabulary()
        stored = None
        if self.row.settle is not None:
            settled, stored = self.settle(self.row.settle)
            if not settled:
                return UploadOutcome("settling")
        if self.key.startswith(CREATION_KEY):
            return self.create()
        transient = self.transient()
        self.asked = verify
        # What was planned in shadow may have been stored by others since.
        verify = verify or self._leaves_shadow()
        judge = Judge(self.clients, transient, self.row)
        ledger = judge.known()
        proven = ledger is not None and ledger.read_back_ms > 0
        # Nothing known is nothing to compare with: the next upload derives the ledger, with the
        # whole light curve at hand.
        audit = self.state.audits.wanted(self.key) and (proven or len(self.row.curves) > 0)
        if audit and stored is None:
            stored = self.read_back(judge)
        if stored is not None:
            ledger = self.weigh(judge, stored, ledger)
        elif not self.row.curves and ledger is not None and proven:
            # Only a smaller gap was seen: nothing to send, but the window has shrunk.
            self.keep(transient, ledger.with_gaps(self.row.gaps))
        for target, curve in self._owed():
            self.private = bool(self.clients.rules(target, curve.source).groups)
            verify = (
                verify
                or self.private
                or stored is not None
                or self._must_read_back(curve, ledger)
            )
            if verify and stored is None:
                stored = self.read_back(judge)
                ledger = self.weigh(judge, stored, ledger)
            receipt = self.send(target, curve, transient, ledger, stored)
            waits = verify and _proof_waits(receipt)
            ledger = self._known_after(receipt, ledger, proof_waits=waits)
            stored, verify = receipt.read_back, verify and not waits
            self.keep(transient, ledger)
            self.state.receipts.put(
                str(transient.pk), {"target": target.name, **receipt.as_dict()}
            )
            self.receipts.append(receipt)
            self._quarantine_refused(target.name, receipt)
            self._release_taken(target.name, receipt)
            if receipt.state not in _WELL and not receipt.poisoned:
                break
        return self.finish()

    def _known_after(
        self, receipt: Receipt, ledger: Ledger | None, *, proof_waits: bool
    ) -> Ledger:
        """Return what is known after a delivery, or would be after one in shadow."""
        ledger = receipt.ledger(ledger, account=self.client.account.username)
        if receipt.state is State.SHADOW:
            self.state.shadow.plan(self.key, self.row.targets, planned_exposures(receipt))
            return ledger_as_if_sent(receipt, ledger)
        if proof_waits:
            self.state.audits.owe_proof(self.key)
            # All that stood there was compared before: what was sent since is accepted.
            before_ms = ledger.read_back_ms or int(receipt.at * 1000)
            ledger = replace(ledger, read_back_ms=before_ms)
        return ledger

    def _owed(self) -> Iterator[tuple[Target, LightCurve]]:
        """Yield what each target is owed, while that is followed.

        The rules of one that was removed are gone with it: sent by the default rules, the
        points of a private target would be public.
        """
        for name, curve in self.row.curves:
            target = self.target(name)
            if target is None:
                logger.warning("not sent, the target was removed", extra={"target": name})
            else:
                yield target, curve

    def read_back(self, judge: Judge) -> ReadBack:
        """Read the transient back; raise where YSE-PZ does not have it any more."""
        transient = judge.transient
        try:
            stored = self.client.read_back(transient.slug)
        except YsePzReplyError as error:
            if error.field != "slug":
                raise
            found = self.client.transient_by_pk(transient.pk)
            if found is None or found.name != transient.name:
                raise judge.missing() from error
            judge.transient = found
            self.clients.remember(self.name, found)
            stored = self.client.read_back(found.slug)
        if stored.pk != transient.pk:
            raise judge.missing()
        return stored

    def weigh(self, judge: Judge, stored: ReadBack, before: Ledger | None) -> Ledger | None:
        """Compare a fresh read-back with the ledger, do what follows, and keep the new one."""
        if self.settings.shadow:
            # Its ledger holds what would have been sent: nothing of that can be gone.
            return before
        row, self.audited = self.row, True
        judgement = judge.weigh(
            stored,
            before,
            account=self.client.account.username,
            unfinished=row.settle is not None or row.attempts > 0 or self.attempt > 1,
        )
        if before is None or not before.read_back_ms:
            # A first upload is not proven before it is done: a retry reads back again.
            return replace(judgement.ledger, read_back_ms=0)
        self.keep(judge.transient, judgement.ledger)
        return judgement.ledger

    def _leaves_shadow(self) -> bool:
        held = self.state.shadow.holds
        return not self.settings.shadow and any(map(held, self.row.targets))

    def keep(self, transient: Transient, ledger: Ledger) -> None:
        """Write the ledger down."""
        self.ledgers.put(transient.pk, ledger, name=transient.name, slug=transient.slug)

    def _must_read_back(self, curve: LightCurve, ledger: Ledger | None) -> bool:
        """Tell whether the plan needs to see the rows: first upload, or a changed value."""
        if ledger is None or not ledger.read_back_ms:
            return True
        window = windows(
            curve.band,
            instrument=curve.instrument,
            gaps=ledger.with_gaps(self.row.gaps).gaps,
            tolerance_ms=self.row.tolerance_of(curve.instrument),
        )
        verdicts = compare(
            curve, ledger, window, ours=ledger.ours, value_hash=ledger.value_hash
        )
        return verdicts.count(Verdict.CHANGED) > 0

    def send(
        self,
        target: Target,
        curve: LightCurve,
        transient: Transient,
        ledger: Ledger | None,
        stored: ReadBack | None,
    ) -> Receipt:
        """Plan and deliver one target's points, without those set aside in the meantime."""
        curve = wanted(self._best(curve, ledger), self.clients, target)
        plan = plan_upload(
            curve,
            transient,
            rules=self.clients.rules(target, curve.source),
            gaps=self.row.gaps,
            tolerance_ms=self.row.tolerance_of(curve.instrument),
            account=self.client.account.username,
            vocabulary=self.client.vocabulary(),
            stored=stored,
            ledger=ledger,
            speed=self.clients.speed,
            seconds_max=self.settings.request_seconds_max,
            bytes_max=self.settings.request_bytes_max,
        )
        if self.settings.shadow:
            return rehearse(plan, at=self.clients.clock())
        return deliver(
            plan,
            self.client,
            verify=stored is not None,
            prover=self.prover,
            deadline=self.deadline,
        )

    def prover(self, may_wait: bool) -> YsePz | None:
        """Return the client that proves an upload; None where the budget leaves no time.

        What a person asked for never waits, and no private target's proof does.
        """
        if self.given is not None:
            return self.client
        may_wait = may_wait and not self.asked and not self.private
        if may_wait and self.clients.held_back("verify", self.row.targets) is not None:
            return None
        return self.clients.ysepz.for_purpose("verify", keep=self.hold)

    def _best(self, curve: LightCurve, ledger: Ledger | None) -> LightCurve:
        """Return the row that stands for each exposure: a better one may have come to a lesser.

        Points of one request are never matched with each other: both would be stored.
        """
        gaps = ledger.with_gaps(self.row.gaps).gaps if ledger is not None else self.row.gaps
        window = windows(
            curve.band,
            instrument=curve.instrument,
            gaps=gaps,
            tolerance_ms=self.row.tolerance_of(curve.instrument),
        )
        return curve.take(one_per_exposure(curve, window))

    def target(self, name: str) -> Target | None:
        """Return a target of the row: the given one, or the registry's."""
        if self.given is not None and self.given.name == name:
            return self.given
        return self.state.targets.get(name)

    def transient(self) -> Transient:
        """Return the transient of the row's key."""
        cached = self.state.resolutions.get(self.name)
        if cached is not None and str(cached["pk"]) == self.key:
            return Transient.from_dict(cached)
        found = self.client.transient_by_pk(int(self.key))
        if found is None:
            raise UnknownTargetError(
                f"YSE-PZ has no transient number {self.key} any more",
                service="YSE-PZ",
                target=self.name,
                remedy="It was deleted or merged there; enqueue the target again.",
            )
        self.clients.remember(self.name, found)
        return found

    def create(self) -> UploadOutcome:
        """Create the transient under the one creation lease, and hand its points to its id."""
        lease = self.state.leases.take("create", lease_s=self.settings.lease_s)
        if lease is None:
            return self.later("another creation is under way", wait_s=2.0, count=False)
        self.creation = lease
        try:
            target = self.target(self.name)
            if target is None:
                raise UnknownTargetError(
                    "the target is gone",
                    service="targets",
                    target=self.name,
                    remedy="It was removed; nothing is created.",
                )
            target = self.clients.completed(target)
            if self.settings.shadow:
                planned = rehearse_creation(self.client, target)
                if planned is None:
                    return self._creation_planned()
                transient = planned
            else:
                transient = create(
                    self.client,
                    target,
                    self.client.vocabulary(),
                    settled=self.row.settle is not None,
                )
        finally:
            self.creation = None
            self.state.leases.release("create", lease)
        self.clients.remember(self.name, transient)
        key = str(transient.pk)
        self.state.outbox.move(self.key, key, fence=self.fence)
        fence = self.clients.claim(key)
        logger.info("created", extra={"target": self.name, "transient": transient.pk})
        hints = (Hint(self.name, key, fence),) if fence else ()
        return UploadOutcome("created", hints=hints)

    def _creation_planned(self) -> UploadOutcome:
        """Record that the transient would be created, and with which points."""
        exposures = list(self.row.versions)
        self.state.shadow.plan(self.key, self.row.targets, exposures)
        self.state.receipts.put(
            self.key, creation_planned(self.name, exposures, at=self.clients.clock())
        )
        self.state.outbox.finish(self.key, self.fence, sent=self.row, result="done")
        return UploadOutcome(str(State.SHADOW), counts={str(Outcome.PLANNED): len(exposures)})

    # ---------------------------------------------------------------- unclear outcomes

    def settle(self, stage: dict[str, Any]) -> tuple[bool, ReadBack | None]:
        """Take one step of settling; True when it is known what YSE-PZ holds.

        (1) a cheap GET is answered; (2) then wait until the server must have ended the request:
        an answer alone is no proof, the other worker may still be writing (measured 2026-11:
        3 of 4 early repeats stored points twice); (3) two equal read-backs.
        """
        settings = self.settings
        if stage.get("stage") == "ping":
            self.client.ping()
            wait = max(settings.request_limit_s, 3 * float(stage.get("seconds", 0.0)))
            self.back_to_settle({"stage": "compare"}, wait_s=wait)
            return False, None
        stored, digest = self._look()
        if digest == stage.get("digest"):
            return True, stored
        self.back_to_settle(
            {"stage": "compare", "digest": digest}, wait_s=settings.settle_gap_s
        )
        return False, None

    def _look(self) -> tuple[ReadBack | None, str]:
        if self.key.startswith(CREATION_KEY):
            found = self.client.transient_by_name(self.name)
            return None, f"transient {found.pk if found else None}"
        stored = self.client.read_back(self.transient().slug)
        return stored, stored.digest

    def back_to_settle(self, stage: dict[str, Any], *, wait_s: float) -> None:
        """Put the row back until the next step of settling: it occupies no worker."""
        self.state.outbox.finish(
            self.key,
            self.fence,
            sent=self.row,
            result="settling",
            due_ms=self.state.now_ms() + int(wait_s * 1000),
            settle=stage,
            reason=self.row.reason,
        )

    # ---------------------------------------------------------------- endings

    def finish(self) -> UploadOutcome:
        """Write down how the upload ended."""
        if not self.receipts:
            self.state.outbox.finish(self.key, self.fence, sent=self.row, result="done")
            return UploadOutcome("audited" if self.audited else "nothing owed")
        last = self.receipts[-1]
        counts: dict[str, int] = {}
        for receipt in self.receipts:
            for outcome in Outcome:
                if count := receipt.count(outcome):
                    counts[str(outcome)] = counts.get(str(outcome), 0) + count
        poisoned = next((receipt for receipt in self.receipts if receipt.poisoned), None)
        if last.poisoned or (poisoned and last.state in _WELL):
            # What was refused by itself is in quarantine: nothing of the row is owed any more.
            self.state.outbox.finish(self.key, self.fence, sent=self.row, result="done")
            return UploadOutcome(
                "refused",
                error=poisoned.error if poisoned else None,
                counts=counts,
                receipts=tuple(self.receipts),
            )
        if last.state in _WELL:
            if last.state is not State.SHADOW:
                self.state.troubles.clear(CREDENTIALS)
            self.state.outbox.finish(self.key, self.fence, sent=self.row, result="done")
            if self._leaves_shadow():
                for name in self.row.targets:
                    self.state.shadow.leave(name)
            return UploadOutcome(str(last.state), counts=counts, receipts=tuple(self.receipts))
        if last.error is None:
            # Time ran out: the rest is due at once.
            return self.later("more than one message's worth", wait_s=0.0, count=False)
        ending = self.stopped(last.error)
        return UploadOutcome(
            ending.state,
            retry_in=ending.retry_in,
            error=last.error,
            counts=counts,
            receipts=tuple(self.receipts),
        )

    def _quarantine_refused(self, target_name: str, receipt: Receipt) -> None:
        """Set aside the points that YSE-PZ refused by themselves, so that the rest goes on."""
        rows = receipt.rows(Outcome.REFUSED)
        if not len(rows):
            return
        curve = receipt.plan.curve.take(rows)
        values = dict(
            zip(curve.native_id.tolist(), map(str, curve.value_hash.tolist()), strict=True)
        )
        self.state.quarantine.refuse(target_name, values, wait_s=self.settings.refused_wait_s)
        self.state.quarantine.put(
            target_name,
            [
                {
                    "native_id": native_id,
                    "field": "point",
                    "value": value,
                    "reason": str(receipt.error),
                    "source": REFUSED_BY_YSEPZ,
                    "raw": "",
                }
                for native_id, value in values.items()
            ],
        )

    def _release_taken(self, target_name: str, receipt: Receipt) -> None:
        """Forget the refusal of points that YSE-PZ holds by now."""
        refusals = self.state.quarantine.refusals(target_name)
        if not refusals:
            return
        held = receipt.rows(*_HELD)
        for native_id in refusals.keys() & set(receipt.plan.curve.native_id[held].tolist()):
            self.state.quarantine.release(target_name, native_id)

    def stopped(self, error: YseIngestError) -> UploadOutcome:
        """Put the row where its error belongs: retry, settle, later or refused."""
        if isinstance(error, LeaseLostError):
            return UploadOutcome("stale", error=error)
        if isinstance(error, OutcomeUnknownError):
            seconds = max((receipt.predicted_s for receipt in self.receipts), default=0.0)
            self.state.outbox.finish(
                self.key,
                self.fence,
                sent=self.row,
                result="settling",
                due_ms=self.state.now_ms(),
                settle={"stage": "ping", "seconds": seconds},
                reason=str(error),
            )
            return UploadOutcome("settling", error=error)
        if error.retryable:
            return self._again(error)
        if isinstance(error, HeldError):
            return self.later(str(error), wait_s=0.0, count=False, error=error)
        if isinstance(error, CredentialsError):
            self.state.troubles.note(CREDENTIALS, fact=error.fact)
            return self.later(str(error), wait_s=300.0, error=error)
        self.state.outbox.finish(
            self.key,
            self.fence,
            sent=self.row,
            result="refused",
            # What was unclear stays so: else it would be sent again unread.
            settle=self.row.settle,
            reason=str(error),
            attempts_delta=1,
        )
        return UploadOutcome("refused", error=error)

    def _again(self, error: YseIngestError) -> UploadOutcome:
        settings = self.settings
        draw = self.clients.draw()
        wait = backoff_delay(
            self.attempt,
            base=settings.retry_wait_s,
            cap=settings.retry_wait_max_s,
            jitter=draw,
            after=error.retry_after,
        )
        settling = self.row.settle is not None
        if (
            not settling
            and self.attempt <= settings.retries
            and wait <= settings.retry_wait_max_s
        ):
            lease_s = wait + settings.lease_s
            if self.state.outbox.renew(self.key, self.fence, lease_s=lease_s):
                return UploadOutcome("retry", retry_in=wait, error=error)
            return UploadOutcome("stale", error=error)
        longer = backoff_delay(
            self.row.attempts + 1,
            base=settings.owed_wait_s,
            cap=settings.owed_wait_max_s,
            jitter=draw,
            after=error.retry_after,
        )
        # A row that YSE-PZ was not asked for has not failed: its wait does not grow.
        tried = not isinstance(error, HeldBackError)
        return self.later(str(error), wait_s=longer, error=error, count=tried)

    def later(
        self,
        reason: str,
        *,
        wait_s: float,
        count: bool = True,
        error: YseIngestError | None = None,
    ) -> UploadOutcome:
        """Put the row back, due after a wait; what was delivered is taken out by its ledger."""
        self.state.outbox.finish(
            self.key,
            self.fence,
            sent=self.row,
            result="settling" if self.row.settle is not None else "later",
            settle=self.row.settle,
            due_ms=self.state.now_ms() + int(wait_s * 1000),
            reason=reason,
            attempts_delta=int(count),
        )
        return UploadOutcome("later", error=error)


def _proof_waits(receipt: Receipt) -> bool:
    """Tell whether something was accepted that nobody has seen yet."""
    seen = receipt.read_back is not None and receipt.state is not State.ACCEPTED
    return receipt.error is None and receipt.state is not State.SHADOW and not seen
