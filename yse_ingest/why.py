"""Why: when a target is asked about next, and everything that decides it.

`schedule_of` reads the state and says what the dispatcher will do with it. The claim itself is
`yse_ingest.state.scripts.TARGETS_CLAIM_DUE`; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from yse_ingest.cadence import BASE_S
from yse_ingest.clients import capabilities_of
from yse_ingest.errors import StateError, UnknownTargetError
from yse_ingest.pacing import told_in
from yse_ingest.state import EXPIRED
from yse_ingest.targets import ADAPTIVE
from yse_ingest.times import time_ms_of_date
from yse_ingest.watch.sight import waiting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.clients import Clients
    from yse_ingest.state import Backfill, Clock
    from yse_ingest.targets import Cadence, Target


@dataclass(frozen=True)
class AtSource:
    """How one source of the target stands."""

    name: str
    clock: Clock | None
    """None: it was never asked."""
    breaker: Mapping[str, Any]
    """See `yse_ingest.state.breaker.Breaker.state`."""
    meter: Mapping[str, Any]
    """See `yse_ingest.state.meters.SharedMeter.state`."""


@dataclass(frozen=True)
class Schedule:
    """When a target is asked about, and what decides it. Times are Unix times [ms]."""

    target: Target
    """With the cadence that a person set, where one did."""
    now_ms: int
    due_ms: int | None
    """When its time comes, or came; None: nobody follows it."""
    claimed_ms: int | None
    """Since when a message to ask about it is under way; None: no tick sent one."""
    hinted: bool
    """Whether a message of a person's own is under way: its time comes if that is lost."""
    cadence: Cadence
    """How often it is asked about now [s], or "adaptive"."""
    every_s: float
    """The same in seconds: of the adaptive rule, as it said last [s]."""
    said_by: Literal["a person", "the target", "the default"]
    over: str | None
    """Since when a cadence of its own is over; None: it has none, or it holds."""
    paused: str | None
    """Why nothing is asked; None: it is."""
    queue: int | None
    """Messages that wait for fetch workers; None: the broker gave no answer."""
    queue_max: int
    """With so many no target is claimed."""
    due_before: int
    """Targets that are due now, this one with them."""
    sources: tuple[AtSource, ...]
    told: tuple[str, ...] = field(default=())
    """The sum of the adaptive rule, as it was told after the last answer."""
    is_private: bool = False
    """Whether the sum would tell of private photometry; then it is left out."""
    backfill: Backfill | None = None
    """What is to be read again."""

    @property
    def next_ms(self) -> int | None:
        """Return when the dispatcher claims it, if it has room; None: it does not."""
        if self.paused is not None or self.due_ms is None:
            return None
        return max(self.due_ms, self.now_ms)

    @property
    def expired(self) -> str | None:
        """Return since when nothing is asked by its own date; None: it has not expired."""
        return self.target.expires if _is_past(self.target.expires, self.now_ms) else None

    @property
    def is_asked_now(self) -> bool:
        """Tell whether the dispatcher would claim it now, if it has room."""
        return self.next_ms is not None and self.next_ms <= self.now_ms

    @property
    def is_pressed(self) -> bool:
        """Tell whether the dispatcher claims nothing, because too many messages wait."""
        return self.queue is not None and self.queue >= self.queue_max


def schedule_of(clients: Clients, name: str, *, now_ms: int | None = None) -> Schedule:
    """Return when a target is asked about next, and what decides it.

    Parameters
    ----------
    clients
        State, settings and targets file.
    name
        The target, in any spelling.
    now_ms
        The time [Unix ms]; None: that of Redis.

    Raises
    ------
    UnknownTargetError
        When it is not followed.
    """
    state = clients.state
    target = state.targets.get(name)
    if target is None:
        raise UnknownTargetError(
            "it is not followed",
            service="targets",
            target=name,
            remedy=f"`yse-ingest enqueue {name}` has it followed.",
        )
    name = target.name
    now_ms = state.now_ms() if now_ms is None else now_ms
    due_ms = state.targets.due_ms(name)
    cadence = clients.cadence_of(target, now_ms)
    clocks = state.clocks.get(name)
    private = bool(clients.readers(target))
    return Schedule(
        target=target,
        now_ms=now_ms,
        due_ms=due_ms,
        claimed_ms=state.targets.pending_ms(name),
        hinted=due_ms is not None and state.hinted.among([name]) == {name: due_ms},
        cadence=cadence,
        every_s=(state.targets.pace_s(name) or BASE_S) if cadence == ADAPTIVE else cadence,
        said_by=_who(clients, target, now_ms),
        over=target.until if _is_past(target.until, now_ms) else None,
        paused=_paused(state.targets.why_paused(name), target, now_ms),
        queue=_queue(clients),
        queue_max=clients.settings.fetch_queue_max,
        due_before=state.targets.due_count(now_ms),
        sources=tuple(
            AtSource(
                source,
                clocks.get(source),
                state.source_breaker(source).state(),
                clients.meter(source).state() if capabilities_of(source) else {},
            )
            for source in clients.sources_of(target)
        ),
        told=tuple(_told(clocks)) if cadence == ADAPTIVE and not private else (),
        is_private=private,
        backfill=state.backfills.get(name),
    )


def _who(
    clients: Clients, target: Target, now_ms: int
) -> Literal["a person", "the target", "the default"]:
    if clients.state.targets.cadence(target.name) is not None:
        return "a person"
    if target.cadence_s is None or _is_past(target.until, now_ms):
        return "the default"
    return "the target"


def _is_past(date: str | None, now_ms: int) -> bool:
    return date is not None and now_ms >= time_ms_of_date(date)


def _paused(reason: str | None, target: Target, now_ms: int) -> str | None:
    """Return why nothing is asked: a person's reason, or that it has expired.

    The pause of a target that expires is written, or ended, when its time comes; it holds, or
    does not, from the date on.
    """
    by_date = reason is None or reason.startswith(EXPIRED)
    if not by_date:
        return reason
    return f"{EXPIRED}{target.expires}" if _is_past(target.expires, now_ms) else None


def _queue(clients: Clients) -> int | None:
    try:
        return waiting(clients.settings)["fetch"]
    except StateError:
        return None


def _told(clocks: Mapping[str, Clock]) -> list[str]:
    """Return what the rule said after the last answer, whichever source gave it."""
    latest = max(clocks.values(), key=lambda clock: clock.answered_ms or 0, default=None)
    return [] if latest is None else told_in(latest.detail)
