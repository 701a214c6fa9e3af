"""What can be wrong with the service itself: state, broker, beat, workers, messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yse_ingest.state import QUEUES
from yse_ingest.watch.condition import Condition
from yse_ingest.watch.words import counted, lasting, minute_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.watch.sight import Sight

CONTROL = "queue:control"
WORKS = {
    "dispatch": "no target is asked",
    "drain": "what waits for a retry is not sent",
    "sweep": "what a crash lost is not made anew",
    "watch": "nobody is told of anything",
}
"""What the ticks of beat do, by what is missing without."""
WAITS = "Nothing is lost: what is due and what is owed waits in Redis."


def state_empty(sight: Sight) -> Iterator[Condition]:
    """Hold while Redis has no state: nothing ran yet, or it was lost and nobody noticed."""
    if not sight.installed:
        yield Condition(
            "state",
            "Redis holds no state: the service never ran here, or the state was lost",
            remedy="Start the service: it restores people's decisions and derives the rest.",
            told=False,
        )


def quiet_time(sight: Sight) -> Iterator[Condition]:
    """Hold in the quiet time after a lost state."""
    if sight.quiet_until_ms > sight.now_ms:
        rest = lasting((sight.quiet_until_ms - sight.now_ms) / 1000)
        yield Condition(
            "quiet",
            f"the state was lost: nothing is sent for another {rest}",
            remedy="Wait: then it derives what YSE-PZ holds, and sends what is missing.",
            told=False,
        )


def broker_away(sight: Sight) -> Iterator[Condition]:
    """Hold while the state answers and the broker does not."""
    if sight.queues is None:
        yield Condition(
            "broker",
            "the broker gives no answer",
            remedy="Start the Redis of CELERY_BROKER_URL, or correct the address.",
            safe=WAITS,
            over="the broker answers again",
        )


def beat_silent(sight: Sight) -> Iterator[Condition]:
    """Hold when no tick was worked on for long, and none waits: nobody sends any."""
    if sight.queues is None or sight.queues["control"] or not _is_silent(sight, CONTROL):
        return
    yield Condition(
        "beat",
        f"beat is silent: {_last(sight, CONTROL, 'tick was worked on')}, and none waits",
        remedy="Start beat: `yse-ingest up`, or `systemctl start yse-ingest-beat`.",
        safe=WAITS,
        over="beat ticks again",
        since_ms=sight.heartbeats.get(CONTROL),
        limit_s=sight.settings.limit_heartbeat_s,
    )


def queue_silent(sight: Sight) -> Iterator[Condition]:
    """Hold for each queue of which no message was worked on for long."""
    for queue in QUEUES:
        waiting = sight.queues[queue] if sight.queues is not None else None
        if not _is_silent(sight, f"queue:{queue}") or (queue == "control" and not waiting):
            continue
        waits = "" if waiting is None else f"; {counted(waiting, 'message')} wait"
        last = _last(sight, f"queue:{queue}", "message was worked on")
        yield Condition(
            f"queue:{queue}",
            f"the workers of the queue {queue} are silent: {last}{waits}",
            remedy=f"Start them: `yse-ingest up`, or `systemctl restart yse-ingest-{queue}`; "
            "their log says why they ended.",
            safe=WAITS,
            over=f"the workers of the queue {queue} work again",
            since_ms=sight.heartbeats.get(f"queue:{queue}"),
            limit_s=sight.settings.limit_heartbeat_s,
            causes=frozenset({"beat", "broker"} | ({CONTROL} - {f"queue:{queue}"})),
        )


def work_not_done(sight: Sight) -> Iterator[Condition]:
    """Hold for each kind of tick whose work was not done for long."""
    for work, missing in WORKS.items():
        if _is_silent(sight, work):
            yield Condition(
                f"work:{work}",
                f"{work} has not done its work: {_last(sight, work, 'run')}; {missing}",
                remedy="Look for its error in the log of the control worker; see that no "
                "entry of celeryconfig.py took its place.",
                safe=WAITS,
                over=f"{work} does its work again",
                since_ms=sight.heartbeats.get(work),
                limit_s=sight.settings.limit_heartbeat_s,
                causes=frozenset({"beat", "broker", CONTROL}),
            )


def notices_unsent(sight: Sight) -> Iterator[Condition]:
    """Hold for each channel on which messages cannot be sent."""
    for channel, delivery in sight.deliveries.items():
        if delivery.failing_ms is not None:
            tries = "1 try" if delivery.failures == 1 else f"{delivery.failures} tries"
            yield Condition(
                f"notify:{channel}",
                f"messages cannot be sent by {channel}: {delivery.error} ({tries})",
                remedy="Try `yse-ingest notify --test`.",
                safe="They are kept and tried again.",
                since_ms=delivery.failing_ms,
            )


def _is_silent(sight: Sight, work: str) -> bool:
    last_ms = sight.heartbeats.get(work)
    return last_ms is None or (sight.now_ms - last_ms > 1000 * sight.settings.limit_heartbeat_s)


def _last(sight: Sight, work: str, what: str) -> str:
    last_ms = sight.heartbeats.get(work)
    if last_ms is None:
        return f"no {what} ever"
    lasted = lasting((sight.now_ms - last_ms) / 1000)
    return f"no {what} since {minute_of(last_ms)} ({lasted})"
