"""Sending: what one transient lacks, after what stands there was weighed, with its proof."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from yse_ingest.clients import CREATION_KEY
from yse_ingest.delta import Verdict, compare, one_per_exposure, windows
from yse_ingest.errors import UploadRefusedError, YsePzReplyError, YsePzUnavailableError
from yse_ingest.fetch import wanted
from yse_ingest.judge import Judge, second_installation
from yse_ingest.pipeline import Outcome, State, deliver, plan_upload
from yse_ingest.privacy import shelf_is_shown
from yse_ingest.shadow import ledger_as_if_sent, planned_exposures, rehearse
from yse_ingest.state import Backfill
from yse_ingest.upload.creation import create_under_lease
from yse_ingest.upload.endings import WELL, finish, stopped
from yse_ingest.upload.names import named_as_now
from yse_ingest.upload.outcome import UploadOutcome
from yse_ingest.upload.refusals import quarantine_refused, release_taken
from yse_ingest.upload.settling import settle
from yse_ingest.upload.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.clients import Clients
    from yse_ingest.errors import YseIngestError
    from yse_ingest.ledger import Ledger
    from yse_ingest.photometry import LightCurve
    from yse_ingest.pipeline import Receipt
    from yse_ingest.state import OwedRow
    from yse_ingest.targets import Target
    from yse_ingest.ysepz import ReadBack, Transient, YsePz

logger = logging.getLogger(__name__)

LOOK_UP_AGE_S = 3600.0
"""A name that was looked up longer ago than this is looked up again before it is sent [s]."""


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
        self.settings = clients.settings
        self.state = clients.state
        self.ledgers = clients.ledgers
        self.name, self.row, self.key = name, row, row.key
        self.work = Work(clients, name, row, fence=fence, attempt=attempt, target=target)
        self.client = self.work.client
        self.deadline = clients.clock() + clients.settings.message_s
        self.asked = False
        """Whether a person wants to see it proven."""
        self.private = False
        """Whether what is sent just now is for groups alone."""

    def run(self, *, verify: bool) -> UploadOutcome:
        """Do the upload; raises what stops it before anything was sent."""
        if (reason := self.state.audits.stopped(self.key)) is not None:
            raise second_installation(reason, self.name)
        self.client.vocabulary()
        stored = None
        if self.row.settle is not None:
            settled, stored = settle(self.work, self.row.settle, self.found)
            if not settled:
                return UploadOutcome("settling")
        if self.key.startswith(CREATION_KEY):
            return create_under_lease(self.work)
        transient = self.work.transient()
        self.asked = verify
        # What was planned in shadow may have been stored by others since.
        verify = verify or self.work.leaves_shadow()
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
            receipt = self._sent(judge, target, curve, ledger, stored)
            transient = judge.transient
            waits = verify and _proof_waits(receipt)
            ledger = self._known_after(receipt, ledger, proof_waits=waits)
            stored, verify = receipt.read_back, verify and not waits
            self.keep(transient, ledger)
            self.state.receipts.put(
                str(transient.pk), {"target": target.name, **receipt.as_dict()}
            )
            self.work.receipts.append(receipt)
            quarantine_refused(self.work, target.name, receipt)
            release_taken(self.work, target.name, receipt)
            if receipt.state not in WELL and not receipt.poisoned:
                break
        return finish(self.work)

    def stopped(self, error: YseIngestError) -> UploadOutcome:
        """Put the row where its error belongs: retry, settle, later or refused."""
        return stopped(self.work, error)

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
            target = self.work.target(name)
            if target is None:
                logger.warning("not sent, the target was removed", extra={"target": name})
                continue
            rules = self.clients.rules(target, curve.source)
            named = named_as_now(curve, rules, self.client.vocabulary())
            if len(named) < len(curve):
                self._read_again(target, len(curve) - len(named))
            if len(named):
                yield target, named

    def _read_again(self, target: Target, count: int) -> None:
        """Have what was owed under names of other settings fetched under those of today."""
        logger.warning(
            "not sent, owed under names that were corrected; read again",
            extra={"target": target.name, "points": count},
        )
        if self.state.targets.get(target.name) is None:
            # Only pushed: the next push reads everything, as each does.
            return
        self.state.backfills.ask(target.name, Backfill())
        self.state.targets.set_due(target.name, self.state.now_ms())

    def found(self) -> ReadBack:
        """Read the transient of the row back, as `read_back`."""
        return self.read_back(Judge(self.clients, self.work.transient(), self.row))

    def read_back(self, judge: Judge) -> ReadBack:
        """Read the transient back; raise where YSE-PZ does not have it any more."""
        transient = judge.transient
        try:
            stored = self.client.read_back(transient.slug)
        except (YsePzReplyError, YsePzUnavailableError) as error:
            if error.field != "slug":
                raise
            if not judge.still_there(self.client):
                raise judge.missing() from error
            if error.retryable and judge.transient.slug == transient.slug:
                raise
            stored = self.client.read_back(judge.transient.slug)
        if stored.pk != transient.pk:
            raise judge.missing()
        if stored.name != judge.transient.name and not judge.still_there(self.client):
            raise judge.missing()
        return stored

    def weigh(self, judge: Judge, stored: ReadBack, before: Ledger | None) -> Ledger | None:
        """Compare a fresh read-back with the ledger, do what follows, and keep the new one."""
        if self.settings.shadow:
            # Its ledger holds what would have been sent: nothing of that can be gone.
            return before
        row, self.work.audited = self.row, True
        judgement = judge.weigh(
            stored,
            before,
            account=self.client.account.username,
            unfinished=row.settle is not None
            or row.attempts > 0
            or self.work.attempt > 1
            # What a header took while it was hidden may be shown by now.
            or bool(self.state.audits.hidden(self.key)),
        )
        if before is None or not before.read_back_ms:
            # A first upload is not proven before it is done: a retry reads back again.
            return replace(judgement.ledger, read_back_ms=0)
        self.keep(judge.transient, judgement.ledger)
        return judgement.ledger

    def keep(self, transient: Transient, ledger: Ledger) -> None:
        """Write the ledger down."""
        self.ledgers.put(transient.pk, ledger, name=transient.name, slug=transient.slug)

    def _must_read_back(self, curve: LightCurve, ledger: Ledger | None) -> bool:
        """Tell whether the plan needs to see the rows: what it knows of them may be wrong."""
        if ledger is None or not ledger.read_back_ms:
            return True
        shelf = (ledger.instrument == curve.instrument) & (ledger.obs_group == curve.obs_group)
        if not shelf.any():
            return True  # nothing of ours was ever seen there: the header may be private
        window = windows(
            curve.band,
            instrument=curve.instrument,
            gaps=ledger.with_gaps(self.row.gaps).gaps,
            tolerance_ms=self.row.tolerance_of(curve.instrument),
        )
        verdicts = compare(
            curve, ledger, window, ours=ledger.ours, value_hash=ledger.value_hash
        )
        return verdicts.count(Verdict.CHANGED) > 0 or self._may_stand(curve, ledger)

    def _may_stand(self, curve: LightCurve, ledger: Ledger) -> bool:
        """Tell whether Redis may have forgotten that an exposure was sent.

        YSE-PZ knows it, and keeps the values that it was sent first: the source may have
        corrected them since.
        """
        restarted_ms = self.state.restarted_ms()
        return ledger.read_back_ms < restarted_ms and bool((curve.time_ms < restarted_ms).any())

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
        shelf = curve.instrument, curve.obs_group
        # After an unclear outcome: what is not shown may be hidden, and its cost with it.
        unsure = self.row.settle is not None and not shelf_is_shown(stored, plan.rules)
        known_hidden = shelf in self.state.audits.hidden(self.key)
        receipt = deliver(
            plan,
            self.client,
            verify=stored is not None,
            probe=known_hidden or unsure,
            isolate=bool((self.row.settle or {}).get("bare")),
            prover=self.prover,
            deadline=self.deadline,
        )
        if receipt.hidden:
            self.state.audits.note_hidden(self.key, shelf)
        elif known_hidden and receipt.state in WELL:
            self.state.audits.forget_hidden(self.key, shelf)
        return receipt

    def _sent(
        self,
        judge: Judge,
        target: Target,
        curve: LightCurve,
        ledger: Ledger | None,
        stored: ReadBack | None,
    ) -> Receipt:
        """Send one target's points, under the new name where it or its status was renamed.

        Points go by name, and cannot be taken back: a name that was looked up long ago may be
        that of another transient now.
        """
        old = stored is None and self.state.resolutions.age_s(self.name) > LOOK_UP_AGE_S
        if old and not self.settings.shadow and not judge.still_there(self.client):
            raise judge.missing()
        receipt = self.send(target, curve, judge.transient, ledger, stored)
        field = receipt.error.field if isinstance(receipt.error, UploadRefusedError) else None
        if field not in ("name", "status") or receipt.rows(Outcome.ACCEPTED).size:
            return receipt
        # Nothing was written: renamed there since it was looked up, or deleted.
        if field == "status":
            self.client.refresh()  # the number is the same, its name is not
        if not judge.still_there(self.client):
            raise judge.missing() from receipt.error
        if field == "status" and judge.transient.status == receipt.plan.transient.status:
            return receipt
        return self.send(target, curve, judge.transient, ledger, stored)

    def prover(self, may_wait: bool) -> YsePz | None:
        """Return the client that proves an upload; None where the budget leaves no time.

        What a person asked for never waits, and no private target's proof does.
        """
        if self.work.given is not None:
            return self.client
        may_wait = may_wait and not self.asked and not self.private
        if may_wait and self.clients.held_back("verify", self.row.targets) is not None:
            return None
        return self.clients.ysepz.for_purpose("verify", keep=self.work.hold)

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


def _proof_waits(receipt: Receipt) -> bool:
    """Tell whether something was accepted that nobody has seen yet."""
    seen = receipt.read_back is not None and receipt.state is not State.ACCEPTED
    return receipt.error is None and receipt.state is not State.SHADOW and not seen
