"""Freshness: which silence a target is in, since when, and whether that is too long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from yse_ingest.cadence import BASE_S
from yse_ingest.sources import Status
from yse_ingest.targets import ADAPTIVE, phase_of
from yse_ingest.times import time_ms_of_date

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yse_ingest.clients import Clients
    from yse_ingest.state import Clock
    from yse_ingest.targets import Target

Silence = Literal["never asked", "not asked", "pending", "no answer", "nothing new"]

UNREADABLE, REFUSED = "unreadable", "refused"
"""Status of a question whose answer was something else than agreed, and of one refused."""
CADENCES = 3.0
"""A target may miss so many of its times before it can be stale."""
SPREAD = 0.25
"""A look comes earlier by up to this part of the time until then."""
PENDING_S = 4 * 86_400.0
"""A source that works on a question for longer has no answer either [s]."""


@dataclass(frozen=True)
class Freshness:
    """How one target stands at its source."""

    silence: Silence | None
    """None: its last answer was news."""
    since_ms: int | None
    """Since when [Unix ms]; None: that is not known."""
    answered_ms: int | None
    """When it last had an answer [Unix ms]."""
    limit_s: float
    """So long it may be without an answer [s]."""
    stale: bool
    """It was without for longer."""
    late_ms: int | None
    """When it is stale if nothing changes [Unix ms]; None: that is not known."""


def is_news(clock: Clock) -> bool:
    """Tell whether the last answer held an exposure later than all before."""
    return clock.status == Status.OK and clock.detail.get("news_ms") == clock.answered_ms


def limit_of(clients: Clients, target: Target, clock: Clock | None, now_ms: int) -> float:
    """Return how long a target may be without an answer [s]."""
    cadence = clients.cadence_of(target, now_ms)
    day_s = 0.0
    if cadence == ADAPTIVE:
        detail = clock.detail if clock else {}
        cadence = detail.get("every_s", BASE_S)
        # By day nobody expects an answer.
        day_s = max(0.0, detail.get("next_s", cadence) - cadence)
    if target.freshness_s is not None:
        return target.freshness_s + day_s
    return max(clients.settings.freshness_s, CADENCES * cadence) + day_s


def freshness(
    clients: Clients,
    target: Target,
    clock: Clock | None,
    *,
    added_ms: int | None,
    now_ms: int,
) -> Freshness:
    """Return how a target stands, by its clock at its source.

    Parameters
    ----------
    clients
        Settings and targets file.
    target, clock
        The target, and its clock; None: it was never asked.
    added_ms
        Since when it is followed [Unix ms].
    now_ms
        The time [Unix ms].
    """
    limit_s = limit_of(clients, target, clock, now_ms)
    answered_ms = clock.answered_ms if clock else None
    last_ms = answered_ms or added_ms
    silence, since_ms = _silence(clock, added_ms, late_ms=now_ms - round(1000 * limit_s))
    works = silence == "pending" and now_ms - (since_ms or 0) <= 1000 * PENDING_S
    late_ms = None if last_ms is None else last_ms + round(1000 * limit_s)
    if works and late_ms is not None and clock is not None:
        # Until it has worked for too long, or nobody asks any more.
        ends_ms = (since_ms or 0) + round(1000 * PENDING_S)
        unasked_ms = (clock.asked_ms or 0) + round(1000 * limit_s)
        late_ms = max(late_ms, min(ends_ms, unasked_ms))
    return Freshness(
        silence=silence,
        since_ms=since_ms,
        answered_ms=answered_ms,
        limit_s=limit_s,
        stale=not works and last_ms is not None and now_ms - last_ms > 1000 * limit_s,
        late_ms=late_ms,
    )


def next_look(
    clients: Clients, target: Target, standing: Iterable[Freshness], now_ms: int
) -> int:
    """Return before when a target that is not stale cannot become so [Unix ms].

    Later answers put it off, and may shorten its limit, to no less than its floor: the
    freshness of target or settings. So it is looked at again after that at the latest.
    """
    floor_s = clients.settings.freshness_s if target.freshness_s is None else target.freshness_s
    times = [now_ms + round(1000 * floor_s)]
    times += [fresh.late_ms for fresh in standing if fresh.late_ms is not None]
    if target.until is not None and (until_ms := time_ms_of_date(target.until)) > now_ms:
        times.append(until_ms)
    return spread(target.name, min(times), now_ms)


def spread(name: str, look_ms: int, now_ms: int) -> int:
    """Return a somewhat earlier look, so that those of one moment are not so again."""
    return look_ms - round(SPREAD * (look_ms - now_ms) * phase_of(name) / 2**32)


def _silence(
    clock: Clock | None, added_ms: int | None, *, late_ms: int
) -> tuple[Silence | None, int | None]:
    if clock is None or clock.asked_ms is None:
        return "never asked", added_ms
    if clock.unasked_ms is not None:
        return "not asked", clock.unasked_ms
    if clock.asked_ms < late_ms:
        # Nobody noted why: the tick, the message or the worker is missing.
        return "not asked", clock.asked_ms
    if clock.silence == "pending":
        return "pending", clock.pending_ms
    if clock.silence == "no answer":
        return "no answer", clock.silent_ms
    if is_news(clock):
        return None, None
    return "nothing new", clock.detail.get("news_ms")
