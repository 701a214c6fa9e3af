"""Endings: whether an upload is done, retried, settled, put off or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yse_ingest.backoff import backoff_delay
from yse_ingest.errors import (
    CredentialsError,
    HeldBackError,
    HeldError,
    LeaseLostError,
    OutcomeUnknownError,
    YseIngestError,
)
from yse_ingest.pipeline import Outcome, State
from yse_ingest.state import CREDENTIALS
from yse_ingest.upload.outcome import UploadOutcome

if TYPE_CHECKING:
    from yse_ingest.upload.work import Work

WELL = {State.VERIFIED, State.ACCEPTED, State.SHADOW}
"""States of a receipt that leaves nothing to do."""


def finish(work: Work) -> UploadOutcome:
    """Write down how the upload ended."""
    if not work.receipts:
        work.state.outbox.finish(work.key, work.fence, sent=work.row, result="done")
        return UploadOutcome("audited" if work.audited else "nothing owed")
    last = work.receipts[-1]
    counts: dict[str, int] = {}
    for receipt in work.receipts:
        for outcome in Outcome:
            if count := receipt.count(outcome):
                counts[str(outcome)] = counts.get(str(outcome), 0) + count
    poisoned = next((receipt for receipt in work.receipts if receipt.poisoned), None)
    if last.poisoned or (poisoned and last.state in WELL):
        # What was refused by itself is in quarantine: nothing of the row is owed any more.
        work.state.outbox.finish(work.key, work.fence, sent=work.row, result="done")
        return UploadOutcome(
            "refused",
            error=poisoned.error if poisoned else None,
            counts=counts,
            receipts=tuple(work.receipts),
        )
    if last.state in WELL:
        if last.state is not State.SHADOW:
            work.state.troubles.clear(CREDENTIALS)
        work.state.outbox.finish(work.key, work.fence, sent=work.row, result="done")
        if work.leaves_shadow():
            for name in work.row.targets:
                work.state.shadow.leave(name)
        return UploadOutcome(str(last.state), counts=counts, receipts=tuple(work.receipts))
    if last.error is None:
        # Time ran out: the rest is due at once.
        return later(work, "more than one message's worth", wait_s=0.0, count=False)
    ending = stopped(work, last.error)
    return UploadOutcome(
        ending.state,
        retry_in=ending.retry_in,
        error=last.error,
        counts=counts,
        receipts=tuple(work.receipts),
    )


def stopped(work: Work, error: YseIngestError) -> UploadOutcome:
    """Put the row where its error belongs: retry, settle, later or refused."""
    if isinstance(error, LeaseLostError):
        return UploadOutcome("stale", error=error)
    if isinstance(error, OutcomeUnknownError):
        seconds = max((receipt.predicted_s for receipt in work.receipts), default=0.0)
        work.state.outbox.finish(
            work.key,
            work.fence,
            sent=work.row,
            result="settling",
            due_ms=work.state.now_ms() + int(_pause_s(work) * 1000),
            settle={
                "stage": "ping",
                "seconds": seconds,
                **({"bare": True} if error.bare else {}),
            },
            reason=str(error),
            attempts_delta=1,
        )
        return UploadOutcome("settling", error=error)
    if error.retryable:
        return _again(work, error)
    if isinstance(error, HeldError):
        return later(work, str(error), wait_s=0.0, count=False, error=error)
    if isinstance(error, CredentialsError):
        work.state.troubles.note(CREDENTIALS, fact=error.fact)
        return later(work, str(error), wait_s=300.0, error=error)
    work.state.outbox.finish(
        work.key,
        work.fence,
        sent=work.row,
        result="refused",
        # What was unclear stays so: else it would be sent again unread.
        settle=work.row.settle,
        reason=str(error),
        attempts_delta=1,
    )
    return UploadOutcome("refused", error=error)


def _pause_s(work: Work) -> float:
    """Return how long to leave YSE-PZ alone after an unclear outcome, longer each time.

    The first is looked into at once. A request that ends so whenever it is sent would else come
    back at every `YSE_PZ_REQUEST_LIMIT`, for ever.
    """
    if not work.row.attempts:
        return 0.0
    return backoff_delay(
        work.row.attempts,
        base=work.settings.request_limit_s,
        cap=work.settings.owed_wait_max_s,
        jitter=work.clients.draw(),
    )


def _again(work: Work, error: YseIngestError) -> UploadOutcome:
    settings = work.settings
    draw = work.clients.draw()
    wait = backoff_delay(
        work.attempt,
        base=settings.retry_wait_s,
        cap=settings.retry_wait_max_s,
        jitter=draw,
        after=error.retry_after,
    )
    settling = work.row.settle is not None
    if not settling and work.attempt <= settings.retries and wait <= settings.retry_wait_max_s:
        lease_s = wait + settings.lease_s
        if work.state.outbox.renew(work.key, work.fence, lease_s=lease_s):
            return UploadOutcome("retry", retry_in=wait, error=error)
        return UploadOutcome("stale", error=error)
    longer = backoff_delay(
        work.row.attempts + 1,
        base=settings.owed_wait_s,
        cap=settings.owed_wait_max_s,
        jitter=draw,
        after=error.retry_after,
    )
    # A row that YSE-PZ was not asked for has not failed: its wait does not grow.
    tried = not isinstance(error, HeldBackError)
    return later(work, str(error), wait_s=longer, error=error, count=tried)


def later(
    work: Work,
    reason: str,
    *,
    wait_s: float,
    count: bool = True,
    error: YseIngestError | None = None,
) -> UploadOutcome:
    """Put the row back, due after a wait; what was delivered is taken out by its ledger."""
    work.state.outbox.finish(
        work.key,
        work.fence,
        sent=work.row,
        result="settling" if work.row.settle is not None else "later",
        settle=work.row.settle,
        due_ms=work.state.now_ms() + int(wait_s * 1000),
        reason=reason,
        attempts_delta=int(count),
    )
    return UploadOutcome("later", error=error)
