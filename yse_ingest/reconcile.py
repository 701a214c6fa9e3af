"""Audit and reconcile: compare source, ledger and YSE-PZ, and repair what is ours.

An audit is an upload of nothing: it takes the transient's lease, reads back and compares, so
that it never races an upload. What it finds is judged in `yse_ingest.judge`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from yse_ingest.clients import CREATION_KEY, Hint
from yse_ingest.errors import HeldError, StateError, UnknownTargetError, YseIngestError
from yse_ingest.judge import SET_BACK_TRANSIENTS
from yse_ingest.photometry import LightCurve
from yse_ingest.pipeline import Outcome
from yse_ingest.ysepz import Transient

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from yse_ingest.service import Service
    from yse_ingest.targets import Target
    from yse_ingest.upload import UploadOutcome

CANDIDATES = 20
"""Transients that one tick tries: some may be in flight, or wait."""
NAMES_S = 600.0
"""Names of targets are compared with those of transients so often at most [s]."""
NAMES_AT_ONCE = 1000
NEIGHBOURS = 10
"""Once rows are gone, so many of the newest proofs are renewed before their time."""


class Auditor:
    """What audits look at, and what people decide about what they found."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.state = service.state
        self.settings = service.settings
        self._elsewhere: dict[int, str] = {}
        self._read_ms = 0

    # Audit ----------------------------------------------------------------------------------

    def tick(self) -> list[Hint]:
        """Claim a transient to be compared, where there is one and the budget allows it.

        First come the proofs that uploads had no time for, then the oldest of all.

        Safe to repeat: the transient is claimed like for any upload.
        """
        if self.state.outbox.held() is not None or self.service.settings.shadow:
            return []
        spending = self.service.budget.spending()
        if spending.allows("verify"):
            for key in self.state.audits.unproven(CANDIDATES):
                if (hint := self._claim(int(key))) is not None:
                    return [hint]
                self.state.audits.put_proof_off(key)
        if spending.allows("audit"):
            for transient_id in self._due():
                if (hint := self._claim(transient_id)) is not None:
                    return [hint]
        return []

    def _claim(self, transient_id: int) -> Hint | None:
        ledger = self.service.ledgers.get(transient_id)
        target = self._target_of(transient_id)
        if ledger is not None and target is None and ledger.read_back_ms >= self._read_ms:
            return None  # who follows it may be newer than what is known of names
        if ledger is None or target is None:
            # Nobody follows it: were it followed again, it would be read back first.
            self.service.ledgers.drop(transient_id)
            self.state.audits.forget_proof(str(transient_id))
            return None
        return self.claim(str(transient_id), target)

    def _due(self) -> list[int]:
        """Return what to look at: the oldest proofs, or the newest where rows are gone."""
        since_ms = self.state.audits.gone_since_ms()
        if since_ms and self.service.ledgers.count_since(since_ms) < NEIGHBOURS:
            # Was it one deletion, or is YSE-PZ an older copy? What was proved last tells.
            suspects = self.service.ledgers.newest(since_ms, NEIGHBOURS)
            if suspects:
                return suspects
        before_ms = self.state.now_ms() - round(self.settings.audit_age_s * 1000)
        oldest = self.service.ledgers.oldest(CANDIDATES)
        return [transient_id for transient_id, read_ms in oldest if read_ms <= before_ms]

    def _target_of(self, transient_id: int) -> Target | None:
        about = self.service.ledgers.about(transient_id)
        if about is None:
            return None
        target = self._target_that_is(about["name"], transient_id)
        if target is not None:
            return target
        # It may be followed under a name that YSE-PZ has as an alias.
        if transient_id not in self._elsewhere and self._is_old():
            self._read_names()
        name = self._elsewhere.get(transient_id, about["name"])
        return self._target_that_is(name, transient_id) or self.state.targets.get(about["name"])

    def _target_that_is(self, name: str, transient_id: int) -> Target | None:
        """Return a target that is followed, and known to be this transient."""
        known = self.state.resolutions.get(name)
        if known is None or known["pk"] != transient_id:
            return None
        return self.state.targets.get(name)

    def _is_old(self) -> bool:
        return self.state.now_ms() - self._read_ms > 1000 * NAMES_S

    def _read_names(self) -> None:
        """Read which transients are followed under another name than YSE-PZ's."""
        self._read_ms = self.state.now_ms()
        names = self.state.targets.names()
        self._elsewhere = {}
        for start in range(0, len(names), NAMES_AT_ONCE):
            known = self.state.resolutions.many(names[start : start + NAMES_AT_ONCE])
            self._elsewhere |= {
                place["pk"]: name for name, place in known.items() if place["name"] != name
            }

    def claim(self, key: str, target: Target, *, early: bool = False) -> Hint | None:
        """Want a comparison of one transient, and claim it; None: it is not to be had now."""
        source = self.service.source(self.service.source_of(target))
        rules = self.service.rules(target)
        self.state.audits.want(key)
        self.state.outbox.owe(
            key,
            LightCurve.empty(instrument=rules.instrument, obs_group=rules.obs_group),
            target=target.name,
            gaps={},
            tolerance_ms=1000 * source.capabilities.exposure_tolerance_s,
        )
        self.service.listen()
        claim = self.state.outbox.claim_key(
            key,
            lease_s=self.settings.lease_s,
            cap=self.settings.uploads_in_flight,
            early=early,
        )
        return Hint(target.name, key, claim.fence) if claim else None

    # What people decide ---------------------------------------------------------------------

    def take(self, name: str) -> bool:
        """Take the rows of a stopped target as ours; return whether it was stopped."""
        key = self.key(name)
        if not self.state.audits.take(key):
            return False
        # Rows that are found while a ledger is derived are ours.
        self.service.ledgers.drop(int(key))
        self.state.outbox.release_refused(key)
        self.state.targets.set_due(name, self.state.now_ms())
        return True

    def send_gone(self, name: str) -> int:
        """Send what is gone of a target again: a person's word; return how many rows."""
        key = self.key(name)
        if key.startswith(CREATION_KEY):
            return 0
        count = self.state.tombstones.forget(int(key))
        if count:
            self.service.ledgers.drop(int(key))
            self.ask_again(name)
        return count

    def resume(self, *, send_again: bool = False, keep_gone: bool = False) -> dict[str, int]:
        """Let uploads go on; return what was done about rows that are gone.

        Raises
        ------
        HeldError
            When YSE-PZ was set back and nobody says what becomes of what is gone.
        """
        since_ms = self.state.audits.set_back_ms()
        done: dict[str, int] = {}
        if since_ms is not None:
            if send_again == keep_gone:
                raise HeldError(
                    f"rows of ours are gone in {SET_BACK_TRANSIENTS} transients or more",
                    service="YSE-PZ",
                    remedy="Was YSE-PZ set back to an older copy? `yse-ingest resume "
                    "--send-again`. Did people remove them? `yse-ingest resume --keep-gone`.",
                )
            if send_again:
                done = self._heal(since_ms)
            else:
                done = {"kept_gone": self.state.tombstones.keep_gone(since_ms)}
            self.state.audits.end_set_back()
        self.state.outbox.unhold()
        return done

    def _heal(self, since_ms: int) -> dict[str, int]:
        """Forget what YSE-PZ held: everything is read back, compared and sent again."""
        state = self.state
        for transient_id in state.tombstones.transients():
            state.tombstones.forget(transient_id, since_ms=since_ms)
        followed = state.targets.names()
        for row in state.outbox.rows(1_000_000):
            # Numbers of transients are given out anew: what is owed is looked up again.
            if set(row.targets) <= set(followed):
                state.outbox.drop(row.key)
        ledgers = self.service.ledgers.drop_all()
        for name in followed:
            state.resolutions.drop(name)
            self.ask_again(name)
        return {"ledgers": ledgers, "targets": len(followed)}

    def ask_again(self, name: str) -> None:
        """Have the source of a target asked in full, now."""
        target = self.state.targets.get(name)
        if target is not None:
            for source in self.service.sources_of(target):
                self.state.clocks.forget(name, source)
            self.state.targets.set_due(name, self.state.now_ms())

    def key(self, name: str) -> str:
        """Return under which key a target's points are owed."""
        known = self.state.resolutions.get(name)
        return str(known["pk"]) if known else CREATION_KEY + name


@dataclass
class Reconciled:
    """What a comparison of one target found and did."""

    target: str
    transient: str | None = None
    state: str = "failed"
    """verified, owed, settling, stopped, held, busy, failed; else what the source said."""
    found: dict[str, int] = field(default_factory=dict)
    """Rows in YSE-PZ by kind: see `yse_ingest.audit.Findings.counts`."""
    sent: int = 0
    corrected: int = 0
    left: int = 0
    """Exposures that are not sent again: somebody moved or removed their rows."""
    error: YseIngestError | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        plain = {key: value for key, value in vars(self).items() if key != "error"}
        return {**plain, **({"error": self.error.as_dict()} if self.error else {})}


def reconcile(service: Service, targets: Sequence[Target]) -> Iterator[Reconciled]:
    """Compare source, ledger and YSE-PZ of each target now, and repair what is ours."""
    for target in targets:
        one = _Reconciliation(service, target)
        try:
            one.run()
        except StateError:
            raise
        except YseIngestError as error:
            one.result.error = error
        yield one.result


class _Reconciliation:
    """One target: ask its source in full, read YSE-PZ back, send what is missing."""

    def __init__(self, service: Service, target: Target) -> None:
        self.service = service
        self.state = service.state
        self.target = target
        self.result = Reconciled(target.name)

    def run(self) -> None:
        auditor, name = Auditor(self.service), self.target.name
        place = self.service.locate(self.target)
        if place is not None:
            self.result.transient = place.name
            if (reason := self.state.audits.stopped(str(place.pk))) is not None:
                self.result.state = "stopped"
                raise HeldError(reason, target=name, remedy=f"yse-ingest targets resume {name}")
        if (reason := self.state.outbox.held()) is not None:
            self.result.state = "held"
            raise HeldError(f"all uploads are held: {reason}", remedy="yse-ingest resume")
        for again in (False, True):
            for source in self.service.sources_of(self.target):
                self.state.clocks.forget(name, source)
            if place is not None and not again:
                self.state.audits.want(str(place.pk))
            hints = self.service.refresh([name])
            if not hints and place is not None and not again:
                hint = auditor.claim(str(place.pk), self.target, early=True)
                hints = [hint] if hint else []
            self._ask(name)
            if not hints:
                if not again:
                    self.result.state = "busy"
                return
            self._upload(hints)
            if again or not self.result.found.get("gone"):
                return

    def _ask(self, name: str) -> None:
        """Raise what the sources of a survey said, where none gave a light curve."""
        clocks = self.state.clocks.get(name)
        for group in self.service.groups_of(self.target):
            said = [clocks[source] for source in group.sources if source in clocks]
            errors = [clock.error for clock in said if clock.error is not None]
            if errors and len(errors) == len(said):
                raise UnknownTargetError("; ".join(errors), target=name)

    def _upload(self, hints: Sequence[Hint]) -> None:
        waiting = [(hint, 1) for hint in hints]
        while waiting:
            hint, attempt = waiting.pop(0)
            outcome = self.service.upload(
                hint.name, hint.key, hint.fence, attempt=attempt, verify=True
            )
            self._count(hint, outcome)
            if outcome.retry_in is not None:
                time.sleep(outcome.retry_in)
                waiting.append((hint, attempt + 1))
            waiting += [(each, 1) for each in outcome.hints]

    def _count(self, hint: Hint, outcome: UploadOutcome) -> None:
        result = self.result
        if not hint.key.startswith(CREATION_KEY):
            found = self.state.audits.found(hint.key)
            found.pop("at_ms", None)
            result.found = result.found or found
            cached = self.state.resolutions.get(self.target.name)
            result.transient = Transient.from_dict(cached).name if cached else None
        for receipt in outcome.receipts:
            result.sent += receipt.count(Outcome.ACCEPTED, Outcome.VERIFIED, Outcome.ALTERED)
            result.corrected += receipt.count(Outcome.CORRECTED)
            result.left = receipt.count(Outcome.MOVED)
        result.state, result.error = outcome.state, outcome.error
        if outcome.state == "audited":
            result.state = "verified"
