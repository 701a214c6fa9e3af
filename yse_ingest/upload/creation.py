"""Creation: a transient that YSE-PZ does not know yet, before its points are sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from yse_ingest.clients import Hint
from yse_ingest.errors import UnknownTargetError
from yse_ingest.pipeline import Outcome, State
from yse_ingest.shadow import creation_planned, rehearse_creation
from yse_ingest.upload.endings import later
from yse_ingest.upload.outcome import UploadOutcome
from yse_ingest.ysepz import create

if TYPE_CHECKING:
    from yse_ingest.upload.work import Work

logger = logging.getLogger(__name__)


def create_under_lease(work: Work) -> UploadOutcome:
    """Create the transient under the one creation lease, and hand its points to its id."""
    lease = work.state.leases.take("create", lease_s=work.settings.lease_s)
    if lease is None:
        return later(work, "another creation is under way", wait_s=2.0, count=False)
    work.creation = lease
    try:
        target = work.target(work.name)
        if target is None:
            raise UnknownTargetError(
                "the target is gone",
                service="targets",
                target=work.name,
                remedy="It was removed; nothing is created.",
            )
        target = work.clients.completed(target)
        if work.settings.shadow:
            planned = rehearse_creation(work.client, target)
            if planned is None:
                return _creation_planned(work)
            transient = planned
        else:
            transient = create(
                work.client,
                target,
                work.client.vocabulary(),
                settled=work.row.settle is not None,
            )
    finally:
        work.creation = None
        work.state.leases.release("create", lease)
    work.clients.remember(work.name, transient)
    key = str(transient.pk)
    work.state.outbox.move(work.key, key, fence=work.fence)
    fence = work.clients.claim(key)
    logger.info("created", extra={"target": work.name, "transient": transient.pk})
    hints = (Hint(work.name, key, fence),) if fence else ()
    return UploadOutcome("created", hints=hints)


def _creation_planned(work: Work) -> UploadOutcome:
    """Record that the transient would be created, and with which points."""
    exposures = list(work.row.versions)
    work.state.shadow.plan(work.key, work.row.targets, exposures)
    work.state.receipts.put(
        work.key, creation_planned(work.name, exposures, at=work.clients.clock())
    )
    work.state.outbox.finish(work.key, work.fence, sent=work.row, result="done")
    return UploadOutcome(str(State.SHADOW), counts={str(Outcome.PLANNED): len(exposures)})
