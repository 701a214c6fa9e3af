"""Deliver a plan: send what it says, and tell for every exposure what became of it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from yse_ingest.audit import displaced, examine, renewed
from yse_ingest.delta import Verdict, differs, is_own, match, outranked, window_days
from yse_ingest.errors import (
    LeaseLostError,
    OutcomeUnknownError,
    RequestTooLargeError,
    UploadRefusedError,
    YseIngestError,
)
from yse_ingest.ledger import Flag, Ledger
from yse_ingest.privacy import invisible, membership_is_shown, shelf_is_shown
from yse_ingest.times import format_time_ms, iso_of_unix
from yse_ingest.ysepz import point_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from yse_ingest.photometry import Ints
    from yse_ingest.planning import Plan
    from yse_ingest.ysepz import ReadBack, YsePz


REFUSED_IN_A_ROW = 3
"""So many points refused one by one, and none taken: the server is at fault, not the points."""


class Outcome(StrEnum):
    """What became of one exposure."""

    OWED = "owed"
    ACCEPTED = "accepted"
    VERIFIED = "verified"
    CORRECTED = "corrected"
    SAME = "same"
    ADOPTED = "adopted"
    ELSEWHERE = "stored elsewhere"
    DIFFERS = "differs"
    MOVED = "moved"
    """A row of ours stood for it, until somebody moved or removed that: never sent again."""
    ABSENT = "absent"
    ALTERED = "altered"
    REFUSED = "refused"
    PLANNED = "planned"
    """In shadow: it would have been sent."""


class State(StrEnum):
    """How an upload ended."""

    VERIFIED = "verified"
    """Everything stands in YSE-PZ, and was seen there."""
    ACCEPTED = "accepted"
    """Everything was accepted; a later audit will look."""
    OWED = "owed"
    """Something is still to be sent: YSE-PZ was away, or time ran out."""
    SETTLING = "settling"
    """YSE-PZ may or may not have taken a request: it is read back before anything is sent."""
    REFUSED = "refused"
    """YSE-PZ said no, or the proof failed: a person must look."""
    SHADOW = "shadow"
    """Nothing was sent, on purpose: what would have been is recorded."""


@dataclass(eq=False)
class Receipt:
    """What YSE-PZ answered to one upload, and what read-back showed."""

    plan: Plan
    at: float
    """Unix time [s]."""
    outcome: list[Outcome]
    """One per exposure of ``plan.curve``."""
    state: State = State.OWED
    requests: int = 0
    seconds: float = 0.0
    """Time that YSE-PZ took to answer them [s]."""
    answers: list[str] = field(default_factory=list)
    error: YseIngestError | None = None
    read_back: ReadBack | None = None
    """The last one: after the upload when it was verified."""
    moved_since: dict[int, int] = field(default_factory=dict)
    """As `Plan.displaced`: exposures sent just now, whose row somebody has moved already."""
    untaught: list[tuple[float, float]] = field(default_factory=list)
    """Modelled and shown time of requests of which nobody knows yet what they cost [s]."""

    @classmethod
    def begun(cls, plan: Plan, *, at: float) -> Self:
        """Return the receipt of a plan of which nothing is done yet; ``at``: Unix time [s]."""
        verdicts = plan.comparison.verdict.tolist()
        outcome = [_VERDICTS[Verdict(code)] for code in verdicts]
        receipt = cls(plan=plan, at=at, outcome=outcome, read_back=plan.stored)
        receipt.mark(plan.differing, Outcome.DIFFERS)
        return receipt

    def rows(self, *outcomes: Outcome) -> Ints:
        """Return the exposures with one of these outcomes."""
        return np.array(
            [row for row, outcome in enumerate(self.outcome) if outcome in outcomes],
            dtype=np.int64,
        )

    @property
    def predicted_s(self) -> float:
        """Return what its longest request costs YSE-PZ by the model and its speed [s]."""
        return self.plan.speed.seconds(max(self.plan.predicted_s, default=0.0))

    def count(self, *outcomes: Outcome) -> int:
        """Return how many exposures have one of these outcomes."""
        return sum(outcome in outcomes for outcome in self.outcome)

    @property
    def poisoned(self) -> bool:
        """Tell whether all is done but for points that YSE-PZ refused by themselves."""
        open_ends = self.count(Outcome.OWED, Outcome.ABSENT, Outcome.ALTERED)
        return self.count(Outcome.REFUSED) > 0 and not open_ends

    @property
    def hidden(self) -> bool:
        """Tell whether YSE-PZ took points, and shows not one of them."""
        seen = (Outcome.ACCEPTED, Outcome.VERIFIED, Outcome.ADOPTED, Outcome.DIFFERS)
        return self.count(Outcome.ABSENT) > 0 and not self.sent_count(*seen)

    def sent_count(self, *outcomes: Outcome) -> int:
        """Return how many of the exposures that were to be sent have one of these outcomes."""
        new = self.plan.comparison.where(Verdict.NEW)
        return sum(self.outcome[int(row)] in outcomes for row in new)

    def mark(self, rows: Ints, outcome: Outcome) -> None:
        """Set the outcome of ``rows``."""
        for row in rows:
            self.outcome[int(row)] = outcome

    def as_dict(self) -> dict[str, Any]:
        """Return the receipt for Redis and for people: points by date and band, no values.

        Points that stood already are counted, not listed. The old values of corrected rows are
        kept, for the day a person wants them back.
        """
        curve, plan = self.plan.curve, self.plan
        listed = [
            row for row, outcome in enumerate(self.outcome) if outcome is not Outcome.SAME
        ]
        dates = format_time_ms(curve.time_ms[listed]).tolist() if listed else []
        return {
            "transient": plan.transient.name,
            "transient_id": plan.transient.pk,
            "at": iso_of_unix(self.at),
            "state": str(self.state),
            "mjdmatchmin": {
                band: window_days(width) for band, width in sorted(plan.window.items())
            },
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "answers": self.answers,
            "counts": {
                str(outcome): count for outcome in Outcome if (count := self.count(outcome))
            },
            "points": [
                {
                    "band": str(curve.band[row]),
                    "obs_date": str(date),
                    "outcome": str(self.outcome[row]),
                }
                for row, date in zip(listed, dates, strict=True)
            ],
            "corrections": [
                {"pk": each.pk, "changes": dict(each.changes), "old": dict(each.old)}
                for each in plan.corrections
            ],
            **({"error": self.error.as_dict()} if self.error else {}),
        }

    def ledger(self, previous: Ledger | None, *, account: str) -> Ledger:
        """Return what YSE-PZ is now known to hold."""
        if self.read_back is None:
            before = previous if previous is not None else Ledger.empty()
            sent = self.plan.curve.take(self.rows(Outcome.ACCEPTED))
            ledger = before.with_gaps(self.plan.gaps).with_sent(sent)
            return self._with_moved(ledger, self.plan.displaced)
        stored, curve = self.read_back.photometry, self.plan.curve
        findings = examine(
            previous,
            stored,
            account=account,
            tolerance_ms=0.0,
            sent=[self.plan.curve],
            patched=[each.pk for each in self.plan.corrections],
        )
        ledger = renewed(
            previous,
            findings,
            stored,
            account=account,
            gaps=self.plan.gaps,
            read_back_ms=int(self.at * 1000),
        )
        # The source's own values are the trigger from now on: a rounding is no change, and a
        # person's edit is not undone at every fetch.
        index, _ = match(curve, ledger.standing, self.plan.own_window)
        # A correction that is still owed must be seen again: its row keeps the hash it had.
        owed = np.array([outcome is Outcome.OWED for outcome in self.outcome], dtype=bool)
        altered = self.rows(Outcome.ALTERED)
        altered = altered[index[altered] >= 0]
        owed[altered] = True
        # Nor is a lesser row of the source any news of a better one that stands.
        lesser = outranked(curve.rank, ledger.rank[index]) if len(ledger) else owed
        known = np.flatnonzero((index >= 0) & ~owed & ~lesser)
        flags = ledger.flags.copy()
        near = known[~differs(curve, stored, index)[known]]
        near = near[curve.value_hash[near] != stored.value_hash[index[near]]]
        near = near[~ledger.having(Flag.CHANGED)[index[near]]]
        flags[index[near]] |= np.uint8(Flag.NEAR)
        ledger = replace(ledger, flags=flags)
        ledger = ledger.with_hashes(index[known], curve.value_hash[known])
        # What stands instead was not sent, and nobody else has changed it.
        ledger = ledger.with_hashes(index[altered], stored.value_hash[index[altered]])
        return self._with_moved(ledger, {**self.plan.displaced, **self.moved_since})

    def _with_moved(self, ledger: Ledger, away: Mapping[int, int]) -> Ledger:
        """Return the ledger with a memory of the exposures whose row stands elsewhere."""
        moved = self.plan.curve.take(np.array(sorted(away), dtype=np.int64))
        memory = Ledger.empty().with_sent(moved).flagged(Flag.MOVED)
        pks = [away[row] for row in sorted(away)]
        return ledger.joined(replace(memory, pk=np.array(pks, dtype=np.uint32)))


_VERDICTS = {
    Verdict.NEW: Outcome.OWED,
    Verdict.SAME: Outcome.SAME,
    Verdict.CHANGED: Outcome.OWED,
    Verdict.ADOPTED: Outcome.ADOPTED,
    Verdict.ELSEWHERE: Outcome.ELSEWHERE,
    Verdict.MOVED: Outcome.MOVED,
}


def deliver(
    plan: Plan,
    client: YsePz,
    *,
    verify: bool = True,
    probe: bool = False,
    isolate: bool = False,
    prover: Callable[[bool], YsePz | None] | None = None,
    deadline: float | None = None,
    clock: Callable[[], float] = time.time,
) -> Receipt:
    """Send what the plan says, and say for every exposure what became of it.

    It never raises a `YsePzError`: what stopped it stands in ``receipt.error``, what was done
    before stands in the outcomes. Safe to repeat from a new read-back or an up-to-date ledger.

    Parameters
    ----------
    plan
        From `plan_upload`.
    client
        Its ``before_request`` is called before each request and may stop it (a lost lease).
    verify
        Read back afterwards, and compare each exposure with what stands there.
    probe
        One point goes ahead, and the rest only where that one is shown: the header may be
        hidden from this account, and nobody knows what it costs to add to it.
    isolate
        The last request failed at once without a reason, and it is known what it left: where
        one fails so again, the point at fault is looked for.
    prover
        Asked when all is sent, with whether the proof may wait: returns the client that reads
        back, or None where a later audit is to prove it. By default ``client`` does, at once.
    deadline
        Unix time after which no further request is begun; the rest stays owed [s].
    """
    receipt = Receipt.begun(plan, at=clock())
    try:
        in_time = _send_points(
            receipt, client, probe=probe, isolate=isolate, deadline=deadline, clock=clock
        )
        in_time = in_time and _correct(receipt, client, deadline=deadline, clock=clock)
        if receipt.requests:
            _prove(receipt, _prover(plan, client, prover) if verify else None, clock=clock)
    except YseIngestError as error:
        receipt.error = error
        receipt.state = _state_after(error)
        if receipt.requests and plan.stored is not None:
            # Requests went out after this read-back: it no longer says what YSE-PZ holds.
            receipt.read_back = None
        return receipt
    if receipt.count(Outcome.REFUSED, Outcome.ABSENT, Outcome.ALTERED):
        receipt.error = receipt.error or _altered(receipt)
        receipt.state = State.REFUSED
    elif not in_time:
        receipt.state = State.OWED
    elif receipt.read_back is None or receipt.count(Outcome.ACCEPTED):
        receipt.state = State.ACCEPTED
    else:
        receipt.state = State.VERIFIED
    return receipt


def _prover(
    plan: Plan, client: YsePz, prover: Callable[[bool], YsePz | None] | None
) -> YsePz | None:
    if prover is None:
        return client
    # A header that was not there before may be one that this account cannot see, and the hash
    # of a corrected row is known from its read-back alone: both proofs decide something.
    return prover(shelf_is_shown(plan.stored, plan.rules) and not plan.corrections)


def _prove(receipt: Receipt, reader: YsePz | None, *, clock: Callable[[], float]) -> None:
    """Read back what was sent; without a reader nothing is known but what was answered."""
    if reader is None:
        receipt.read_back = None
    else:
        _verify(receipt, reader, clock=clock)


def _state_after(error: YseIngestError) -> State:
    if isinstance(error, OutcomeUnknownError):
        return State.SETTLING
    if error.retryable or isinstance(error, LeaseLostError):
        return State.OWED
    return State.REFUSED


def _timed(receipt: Receipt, call: Callable[[], Any], *, clock: Callable[[], float]) -> None:
    receipt.requests += 1
    started = clock()
    try:
        call()
    finally:
        receipt.seconds += clock() - started


def _send_points(
    receipt: Receipt,
    client: YsePz,
    *,
    probe: bool,
    isolate: bool,
    deadline: float | None,
    clock: Callable[[], float],
) -> bool:
    """Send the chunks; halve one that is too large, or of which one point is refused."""
    plan = receipt.plan
    member = membership_is_shown(plan.stored, plan.rules) and not probe
    # What a hidden header holds is in no model: what it costs says nothing of the server.
    shown = not probe and (plan.stored is None or shelf_is_shown(plan.stored, plan.rules))
    waiting = _waiting(plan, first_alone=not member)
    while waiting:
        if deadline is not None and clock() >= deadline:
            return False
        rows, predicted = waiting.popleft()
        try:
            _upload(receipt, client, rows, predicted, shown=shown, isolate=isolate, clock=clock)
        except RequestTooLargeError:
            if len(rows) == 1:
                raise
            waiting.extendleft((half, None) for half in _halves(rows))
        except UploadRefusedError as error:
            if not error.partial:
                raise
            receipt.answers.append(str(error))
            if len(rows) == 1:
                _blame(receipt, rows, error, waiting)
                continue
            # Points before the one at fault are stored: look before sending halves.
            left = _still_missing(receipt, client, rows)
            waiting.extendleft((half, None) for half in _halves(left))
        else:
            receipt.mark(rows, Outcome.ACCEPTED)
            receipt.answers.append("success")
            if not member:
                member = shown = _sees(receipt, client, rows)
            if shown:
                _learn(receipt)
    return True


def _upload(
    receipt: Receipt,
    client: YsePz,
    rows: Ints,
    predicted: float | None,
    *,
    shown: bool,
    isolate: bool,
    clock: Callable[[], float],
) -> None:
    """Send one chunk, and note what it took; ``predicted`` [s]: None for a half."""
    request = receipt.plan.request(rows)
    before = receipt.seconds
    try:
        _timed(receipt, lambda: client.upload_photometry(request), clock=clock)
    except OutcomeUnknownError as error:
        if isolate and error.bare:
            raise _without_a_reason(error) from error
        if shown and predicted is not None and receipt.seconds - before > predicted:
            # Else the same cut would be killed again and again.
            receipt.plan.speed.gave_up()
        raise
    if predicted is not None:
        receipt.untaught.append((predicted, receipt.seconds - before))


def _without_a_reason(error: OutcomeUnknownError) -> UploadRefusedError:
    """Return the refusal that a page without a reason is, when it comes again."""
    refusal = UploadRefusedError(
        f"{error.fact}, again, and its page does not say why",
        service=error.service,
        remedy="With debug on (IS_DEBUG) YSE-PZ would name the exception. Points before the "
        "one at fault may be stored: read back before the rest is sent.",
    )
    refusal.partial = True
    return refusal


def _learn(receipt: Receipt) -> None:
    """Let the speed of this YSE-PZ be learnt from what its requests took."""
    while receipt.untaught:
        receipt.plan.speed.observe(*receipt.untaught.pop(0))


def _waiting(plan: Plan, *, first_alone: bool) -> deque[tuple[Ints, float | None]]:
    """Return the chunks with what each costs; ``first_alone``: one point goes ahead.

    Whether this account may see what it sends is learnt from one point, not from all.
    """
    waiting: deque[tuple[Ints, float | None]] = deque(
        zip(plan.chunks, plan.predicted_s, strict=True)
    )
    if waiting and first_alone:
        rows, _ = waiting.popleft()
        waiting.extendleft((part, None) for part in (rows[1:], rows[:1]) if len(part))
    return waiting


def _sees(receipt: Receipt, client: YsePz, rows: Ints) -> bool:
    """Return when points that were just accepted are shown to this account; else raise."""
    hidden = _still_missing(receipt, client, rows)
    if len(hidden):
        receipt.mark(hidden, Outcome.ABSENT)
        plan = receipt.plan
        raise invisible(len(hidden), plan.rules, target=plan.transient.name)
    return True


def _blame(
    receipt: Receipt,
    rows: Ints,
    error: UploadRefusedError,
    waiting: deque[tuple[Ints, float | None]],
) -> None:
    """Note a point that YSE-PZ refuses by itself; raise where it refuses whatever comes."""
    receipt.mark(rows, Outcome.REFUSED)
    receipt.error = error
    refused = receipt.rows(Outcome.REFUSED)
    if len(refused) < REFUSED_IN_A_ROW or receipt.count(Outcome.ACCEPTED):
        return
    if len(refused) == REFUSED_IN_A_ROW and waiting:
        # Bad points may stand side by side: one from the other end speaks for the server.
        last, _ = waiting.pop()
        if len(last) > 1:
            waiting.append((last[:-1], None))
        waiting.appendleft((last[-1:], None))
    else:
        # YSE-PZ is at fault then, not a point: none is set aside.
        receipt.mark(refused, Outcome.OWED)
        raise error


def _halves(rows: Ints) -> list[Ints]:
    """Return both halves, the later one first, without empty ones."""
    middle = len(rows) // 2
    return [half for half in (rows[middle:], rows[:middle]) if len(half)]


def _still_missing(receipt: Receipt, client: YsePz, rows: Ints) -> Ints:
    plan = receipt.plan
    now = client.read_back(plan.transient.slug)
    index, _ = match(plan.curve.take(rows), now.photometry, plan.window)
    receipt.mark(rows[index >= 0], Outcome.ACCEPTED)
    return rows[index < 0]


def _correct(
    receipt: Receipt,
    client: YsePz,
    *,
    deadline: float | None,
    clock: Callable[[], float],
) -> bool:
    for each in receipt.plan.corrections:
        if deadline is not None and clock() >= deadline:
            return False
        if not each.changes:
            # It differs, and in nothing that can be sent.
            receipt.outcome[each.row] = Outcome.ALTERED
            continue
        _timed(
            receipt,
            lambda: client.patch_point(each.pk, dict(each.changes)),  # noqa: B023
            clock=clock,
        )
        receipt.outcome[each.row] = Outcome.CORRECTED
    return True


def _verify(receipt: Receipt, client: YsePz, *, clock: Callable[[], float]) -> None:
    """Read back, and compare every exposure with the row that stands for it."""
    plan = receipt.plan
    now = client.read_back(plan.transient.slug)
    receipt.read_back, receipt.at = now, clock()
    index, _ = match(plan.curve, now.photometry, plan.window)
    off = differs(plan.curve, now.photometry, index)
    ours = np.zeros(len(plan.curve), dtype=bool)
    ours[index >= 0] = now.photometry.written_by(client.account.username)[index[index >= 0]]
    ours &= is_own(plan.curve, now.photometry, index, plan.own_window)
    delivered = receipt.rows(Outcome.ACCEPTED, Outcome.CORRECTED)
    known = plan.stored.photometry.pk if plan.stored is not None else now.photometry.pk
    receipt.moved_since = displaced(
        plan.curve,
        delivered[index[delivered] < 0],
        now.photometry.take(~np.isin(now.photometry.pk, known)),
        account=client.account.username,
        window=plan.window,
    )
    unread = now.unread
    for row in delivered:
        if index[row] >= 0 and unread[index[row]]:
            continue  # something stands there, and nobody can tell what
        if index[row] < 0:
            away = int(row) in receipt.moved_since
            receipt.outcome[row] = Outcome.MOVED if away else Outcome.ABSENT
        elif not ours[row]:
            receipt.outcome[row] = Outcome.DIFFERS if off[row] else Outcome.ADOPTED
        elif off[row]:
            receipt.outcome[row] = Outcome.ALTERED
        elif receipt.outcome[row] is Outcome.ACCEPTED:
            receipt.outcome[row] = Outcome.VERIFIED
    if absent := receipt.count(Outcome.ABSENT):
        receipt.error = invisible(absent, plan.rules, target=plan.transient.name)
    if not receipt.hidden:
        _learn(receipt)


def _altered(receipt: Receipt) -> UploadRefusedError:
    """Return the error of rows of ours that hold other values than those that were sent."""
    plan, now = receipt.plan, receipt.read_back or receipt.plan.stored
    rows = receipt.rows(Outcome.ALTERED)
    fact, field = f"{len(rows)} rows hold other values than those sent", None
    stored = None if now is None else now.photometry
    index = rows if stored is None else match(plan.curve.take(rows), stored, plan.window)[0]
    if stored is not None and index[0] >= 0:
        row, at = int(rows[0]), int(index[0])
        changes = point_changes(plan.curve, row, stored, at)
        field = next(iter(changes), None)
        what = "values that cannot be corrected" if field is None else f"another {field}"
        if field is not None and not stored.restricted[at]:
            what = f"{field} {getattr(stored, field)[at]!s} where {changes[field]} was sent"
        fact = f"row {stored.pk[at]} holds {what}"
        fact += f", and {len(rows) - 1} more differ" if len(rows) > 1 else ""
    return UploadRefusedError(
        fact,
        service="YSE-PZ",
        target=plan.transient.name,
        field=field,
        remedy="YSE-PZ accepted what was sent and stored something else: ask its administrator "
        "what changes rows there. It is corrected again later.",
    )
