"""What follows from a read-back, beside what was asked: who is told, and what stops.

A row that is gone is sent again once. Rows gone in several transients within one round mean
that YSE-PZ is an older copy: all writing is held. Rows of our account that nobody here wrote
mean a second installation: that transient stops.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yse_ingest.audit import Finding, Findings, examine, renewed
from yse_ingest.errors import HeldError, SecondInstallationError, UnknownTargetError
from yse_ingest.ledger import WRITTEN, Flag, Ledger
from yse_ingest.pushed import journal_path, places
from yse_ingest.targets import separation_arcsec
from yse_ingest.ysepz import OFFSET_MAX_ARCSEC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yse_ingest.clients import Clients
    from yse_ingest.photometry import LightCurve
    from yse_ingest.state import OwedRow
    from yse_ingest.ysepz import ReadBack, Transient, YsePz

logger = logging.getLogger(__name__)

SET_BACK_TRANSIENTS = 3
"""Rows gone in so many transients of one round mean that YSE-PZ was set back."""
ROUND_S = 86_400.0
"""How long a round is [s]: deletions by people come one at a time."""
CLOCKS_APART_MS = 300_000
"""How far YSE-PZ's clock may be behind that of Redis [ms]."""
TAKE_THEM = "`yse-ingest targets resume NAME` takes them as ours."


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a read-back shows, and what is known after it."""

    findings: Findings
    ledger: Ledger


class Judge:
    """Compares one transient's read-back with its ledger, and does what follows."""

    def __init__(self, clients: Clients, transient: Transient, row: OwedRow) -> None:
        self.clients = clients
        self.state = clients.state
        self.transient = transient
        self.row = row

    def known(self) -> Ledger | None:
        """Return the ledger; where it is missing, what must not be forgotten of it."""
        ledger = self.clients.ledgers.get(self.transient.pk)
        if ledger is not None or self.clients.settings.shadow:
            return ledger
        tombs = self.state.tombstones.ledger(self.transient.pk)
        return tombs if len(tombs) else None

    def weigh(
        self, stored: ReadBack, before: Ledger | None, *, account: str, unfinished: bool
    ) -> Judgement:
        """Return what is known after a read-back.

        Parameters
        ----------
        stored
            Fresh, and read under the transient's lease.
        before
            From `known`.
        account
            Ours.
        unfinished
            An earlier upload of the row may have got further than we know.

        Raises
        ------
        SecondInstallationError
            When rows of our account were written by somebody else.
        HeldError
            When YSE-PZ turns out to be an older copy.
        """
        curves = [curve for _, curve in self.row.curves]
        findings = self._examine(stored, before, account, curves if unfinished else [])
        if len(findings.where(Finding.STRANGER)) and not unfinished:
            findings = self._reconsidered(stored, before, account, curves)
        self.state.audits.done(str(self.transient.pk), findings.counts())
        self.state.audits.note_writers(self.transient.name, findings.writers)
        if strangers := len(findings.where(Finding.STRANGER)):
            self._stop(strangers, account)
        ledger = renewed(
            before,
            findings,
            stored.photometry,
            account=account,
            gaps=self.row.gaps,
            read_back_ms=self.state.now_ms(),
        )
        if len(findings.gone):
            ledger = self._gone(findings.gone, ledger)
        return Judgement(findings, ledger)

    def _examine(
        self,
        stored: ReadBack,
        before: Ledger | None,
        account: str,
        sent: Sequence[LightCurve],
        *,
        journal: bool = False,
        forgotten_ms: int = 0,
    ) -> Findings:
        noted = (
            places(journal_path(self.clients.settings, account), self.transient.pk)
            if journal
            else ()
        )
        return examine(
            before,
            stored.photometry,
            account=account,
            tolerance_ms=self.row.tolerance_of,
            sent=sent,
            noted=noted,
            forgotten_ms=forgotten_ms,
        )

    def _reconsidered(
        self,
        stored: ReadBack,
        before: Ledger | None,
        account: str,
        curves: Sequence[LightCurve],
    ) -> Findings:
        """Look again with what else may have written: a push here, or uploads Redis forgot."""
        restarted_ms = self.state.restarted_ms()
        if before is None or restarted_ms <= before.read_back_ms:
            return self._examine(stored, before, account, [], journal=True)
        return self._examine(
            stored,
            before,
            account,
            curves,
            journal=True,
            forgotten_ms=restarted_ms + CLOCKS_APART_MS,
        )

    def _stop(self, strangers: int, account: str) -> None:
        reason = (
            f"{strangers} rows of {account} appeared that this installation did not write: "
            "another one shares the account"
        )
        if self.state.audits.stopped(str(self.transient.pk)) is None:
            self.state.audits.stop(str(self.transient.pk), reason)
        logger.error(
            "second installation", extra={"target": self.transient.name, "rows": strangers}
        )
        raise second_installation(reason, self.transient.name)

    def _gone(self, gone: Ledger, ledger: Ledger) -> Ledger:
        """Note what is gone; have it fetched and sent again, or hold all writing."""
        affected = self.state.audits.note_gone(self.transient.pk, round_s=ROUND_S)
        doomed = self.state.tombstones.note(self.transient.pk, gone)
        ledger = ledger.joined(gone.take(doomed).flagged(Flag.GONE))
        logger.error(
            "rows are gone from YSE-PZ",
            extra={
                "target": self.transient.name,
                "rows": len(gone),
                "not_sent_again": int(doomed.sum()),
            },
        )
        if len(affected) >= SET_BACK_TRANSIENTS:
            # The ledger stays as it is: what is gone is told until a person has decided.
            raise held(self._hold(len(affected)))
        if not doomed.all():
            self.fetch_again()
        return ledger

    def still_there(self, client: YsePz) -> bool:
        """Look the transient up by its number; tell whether that is still the same thing.

        Its name may be another one: `transient` is what it is now.
        """
        known = self.transient
        found = client.transient_by_pk(known.pk)
        # A YSE-PZ that was set back gives numbers anew: name or place must be the old one.
        if found is None or (
            found.name != known.name
            and separation_arcsec(found.ra, found.dec, known.ra, known.dec) > OFFSET_MAX_ARCSEC
        ):
            return False
        self.transient = found
        for name in self.row.targets:
            self.clients.remember(name, found)
        return True

    def missing(self) -> UnknownTargetError:
        """Note that the whole transient is gone, and return the error that says so.

        Raises
        ------
        HeldError
            When YSE-PZ turns out to be an older copy.
        """
        transient_id = self.transient.pk
        for name in self.row.targets:
            self.state.resolutions.drop(name)
        ledger = self.clients.ledgers.get(transient_id)
        shadow = self.clients.settings.shadow
        if ledger is not None and ledger.having(WRITTEN).any() and not shadow:
            affected = self.state.audits.note_gone(transient_id, round_s=ROUND_S)
            if len(affected) >= SET_BACK_TRANSIENTS:
                raise held(self._hold(len(affected)))
        self.clients.ledgers.drop(transient_id)
        return UnknownTargetError(
            f"YSE-PZ has no transient number {transient_id} of this name any more",
            service="YSE-PZ",
            target=self.transient.name,
            remedy="It was deleted, renamed or merged there; it is looked up again.",
        )

    def fetch_again(self) -> None:
        """Have the sources of this transient's targets asked in full, now."""
        now_ms = self.state.now_ms()
        for name in self.row.targets:
            target = self.state.targets.get(name)
            if target is not None:
                for source in self.clients.sources_of(target):
                    self.state.clocks.forget(name, source)
                self.state.targets.set_due(name, now_ms)

    def _hold(self, count: int) -> str:
        reason = (
            f"rows of ours are gone in {count} transients: YSE-PZ was set back to an older "
            "copy, or their photometry was made private"
        )
        if self.state.audits.set_back_ms() is None:
            self.state.audits.put_set_back(self.state.audits.gone_since_ms())
        if self.state.outbox.held() is None:
            self.state.outbox.hold(reason)
        return reason


def second_installation(reason: str, name: str) -> SecondInstallationError:
    """Return the error with which a stopped transient refuses an upload."""
    return SecondInstallationError(reason, service="YSE-PZ", target=name, remedy=TAKE_THEM)


def held(reason: str) -> HeldError:
    """Return the error with which a held installation refuses an upload."""
    return HeldError(
        f"all uploads are held: {reason}",
        service="YSE-PZ",
        remedy="`yse-ingest resume` ends it, and says what can be done.",
    )
