"""How far a target has come since a moment, told from the state alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from yse_ingest.clients import CREATION_KEY
from yse_ingest.errors import UnknownTargetError
from yse_ingest.sources import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.clients import Clients
    from yse_ingest.state import Clock, OwedRow


class Stage(StrEnum):
    """Where a target is on its way."""

    WAITING = "waiting"
    """It was not asked about since."""
    UNANSWERED = "no answer"
    """It was asked about, without an answer, or could not be; it is asked again."""
    PENDING = "pending"
    """The source works on the question."""
    UNCLEAR = "unclear"
    """It is ambiguous, or unknown to the source: a person must say what it is."""
    OWED = "owed"
    """Points are on their way to YSE-PZ."""
    REFUSED = "refused"
    """YSE-PZ refused them."""
    PAUSED = "paused"
    STORED = "stored"
    """It was asked about, and YSE-PZ holds everything that the source has."""

    @property
    def final(self) -> bool:
        """Tell whether nothing more happens until the target is asked about again."""
        return self in _FINAL


_FINAL = frozenset({Stage.STORED, Stage.REFUSED, Stage.UNCLEAR, Stage.PAUSED})


@dataclass(frozen=True)
class Progress:
    """How far a target has come."""

    stage: Stage
    reason: str = ""
    """Why, where that is not plain."""
    receipt: Mapping[str, Any] | None = None
    """What YSE-PZ answered to the last upload; see `yse_ingest.pipeline.Receipt.as_dict`."""


def progress(clients: Clients, name: str, *, since_ms: int) -> Progress:
    """Return how far a target has come since a moment.

    Parameters
    ----------
    name
        Its canonical name.
    since_ms
        Answers of before do not count, Unix time of Redis [ms].

    Raises
    ------
    UnknownTargetError
        When nobody follows it.
    """
    state = clients.state
    if state.targets.get(name) is None:
        raise UnknownTargetError(
            "it is not followed",
            service="targets",
            target=name,
            remedy="Enqueue it; somebody has removed it.",
        )
    if (why := state.targets.why_paused(name)) is not None:
        return Progress(Stage.PAUSED, why)
    # Before what is owed: that is written down first, and an answer only then. Read the other
    # way round, a fetch between the two would look like one that left nothing owed.
    clocks = state.clocks.get(name)
    known = state.resolutions.get(name)
    key = CREATION_KEY + name if known is None else str(known["pk"])
    row = state.outbox.owed(key)
    receipt = state.receipts.last(key)
    if row is not None and (row.versions or row.settle):
        return Progress(*_owed(row), receipt)
    return Progress(*_asked(clocks, since_ms), receipt)


def _owed(row: OwedRow) -> tuple[Stage, str]:
    stage = Stage.REFUSED if row.state == "refused" else Stage.OWED
    return stage, row.reason or ""


def _asked(clocks: Mapping[str, Clock], since_ms: int) -> tuple[Stage, str]:
    """Return what the sources have said since; the best of them counts."""
    asked = [each for each in clocks.values() if (each.asked_ms or 0) >= since_ms]
    heard = [each for each in asked if each.error is None]
    words = {each.status: str(each.detail.get("reason") or "") for each in heard}
    if words.keys() & {Status.OK, Status.EMPTY}:
        return Stage.STORED, ""
    for status, stage in _UNFINISHED.items():
        if status in words:
            return stage, words[status]
    failed = [each for each in (*asked, *clocks.values()) if each.error is not None]
    if failed:
        return Stage.UNANSWERED, failed[0].error or ""
    return Stage.WAITING, ""


_UNFINISHED = {
    Status.PENDING: Stage.PENDING,
    Status.AMBIGUOUS: Stage.UNCLEAR,
    Status.UNKNOWN: Stage.UNCLEAR,
}
