"""Telling: compare what holds with what was told, and send what is new. Once per change."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from yse_ingest.backoff import backoff_delay
from yse_ingest.errors import NoticeError
from yse_ingest.state import Present
from yse_ingest.watch.channels import channels_of
from yse_ingest.watch.conditions import conditions
from yse_ingest.watch.message import compose
from yse_ingest.watch.sight import look

if TYPE_CHECKING:
    from yse_ingest.clients import Clients
    from yse_ingest.watch.channels import Channel
    from yse_ingest.watch.condition import Condition
    from yse_ingest.watch.sight import Sight

logger = logging.getLogger(__name__)

LONGEST_WAIT = 30.0
"""Tries that fail are this many times the first wait apart, at most."""
LEASE_MORE_S = 30.0
"""The lease of a channel outlasts the sending by this [s]."""


def watch(clients: Clients) -> list[str]:
    """Tell what began or is over; return the keys of what is told now.

    Safe to repeat and at several places at once: each change is noted by one script, each
    channel is served under a lease. What cannot be sent is kept, logged and tried again; it
    never raises.

    Raises
    ------
    StateError
        When Redis gives no answer.
    """
    state, settings = clients.state, clients.settings
    channels = channels_of(settings)
    sight = look(clients, state)
    told = state.notices.compare(
        [_present(each) for each in conditions(sight) if each.told],
        channels=[channel.name for channel in channels],
        hold_s=settings.notify_after_s,
        now_ms=sight.now_ms,
    )
    if told:
        logger.warning("told", extra={"conditions": told})
    state.looks.note(sight.next_looks(), basis=sight.basis)
    for channel in channels:
        _serve(clients, channel, sight)
    state.heartbeats.beat("watch")
    return told


def _present(condition: Condition) -> Present:
    return Present(
        key=condition.key,
        fact=condition.fact,
        remedy=condition.remedy,
        safe=condition.safe,
        over=condition.over,
        since_ms=condition.since_ms,
        limit_ms=round(1000 * condition.limit_s),
        at_once=condition.at_once,
        explained=condition.explained,
    )


def _serve(clients: Clients, channel: Channel, sight: Sight) -> None:
    """Send what is pending on a channel as one message, when one may be sent now."""
    state, settings = clients.state, clients.settings
    lease_s = settings.notify_timeout_s + LEASE_MORE_S
    lease = state.leases.take(f"notify:{channel.name}", lease_s)
    if lease is None:
        return
    try:
        now_ms = state.now_ms()
        delivery = state.notices.delivery(channel.name, now_ms=now_ms)
        if (
            not delivery.pending
            or delivery.next_ms > now_ms
            or delivery.sent >= settings.notify_per_hour
        ):
            return
        pending = state.notices.pending(channel.name)
        # That it was dead is told by the others, not by itself when it is back.
        news = [change for _, change in pending if change.key != f"notify:{channel.name}"]
        if not news:
            return
        message = compose(news, sight)
        try:
            taken = channel.send(message)
        except NoticeError as error:
            wait_s = backoff_delay(
                delivery.failures + 1,
                base=settings.notify_retry_s,
                cap=LONGEST_WAIT * settings.notify_retry_s,
                jitter=clients.draw(),
            )
            later_ms = state.now_ms() + round(1000 * wait_s)
            state.notices.failed(
                channel.name, error.fact, next_ms=later_ms, now_ms=state.now_ms()
            )
            fields = {"channel": channel.name, "error": error, "retry_in": wait_s}
            logger.warning("message not sent", extra=fields)
            return
        state.notices.sent(channel.name, [text for text, _ in pending], now_ms=state.now_ms())
        fields = {"channel": channel.name, "changes": len(pending), "taken": taken}
        logger.info("message sent", extra=fields)
    finally:
        state.leases.release(f"notify:{channel.name}", lease)
