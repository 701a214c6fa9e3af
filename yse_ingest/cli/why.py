"""``yse-ingest why NAME``: when a target is asked about next, and why then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from yse_ingest.cli.completion import target_names
from yse_ingest.cli.terminal import Terminal, terminal_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.service import Service
    from yse_ingest.why import AtSource, Schedule


@click.command()
@click.argument("name", shell_complete=target_names)
@terminal_options
def why(terminal: Terminal, name: str) -> None:
    """Say when a target was asked about, when it is next, and each term that decides it.

    \b
    Example:
      yse-ingest why 2019np
    """
    from yse_ingest.cli.render import say
    from yse_ingest.why import schedule_of

    service = terminal.service()
    service.sync_targets_file()
    schedule = schedule_of(service, name)
    terms = [*_terms(schedule), *_sending(service, schedule)]
    if terminal.as_json:
        terminal.result(_document(schedule, terms))
        return
    say(schedule.target.name)
    for term, told in terms:
        say(f"  {term + ':':<11} {told}")


def _document(schedule: Schedule, terms: list[tuple[str, str]]) -> dict[str, Any]:
    from yse_ingest.times import iso_of_unix

    def iso(time_ms: int | None) -> str | None:
        return None if time_ms is None else iso_of_unix(time_ms / 1000)

    clocks = [each.clock for each in schedule.sources if each.clock is not None]
    return {
        "target": schedule.target.name,
        "last_asked": iso(max((clock.asked_ms or 0 for clock in clocks), default=0) or None),
        "last_answered": iso(
            max((clock.answered_ms or 0 for clock in clocks), default=0) or None
        ),
        "next": iso(schedule.next_ms),
        "due": schedule.is_asked_now,
        "paused": schedule.paused,
        "cadence": schedule.cadence,
        "every_s": schedule.every_s,
        "said_by": schedule.said_by,
        "until": schedule.target.until,
        "expires": schedule.target.expires,
        "priority": schedule.target.priority,
        "adaptive": list(schedule.told),
        "terms": [{"term": term, "told": told} for term, told in terms],
    }


def _terms(schedule: Schedule) -> Iterator[tuple[str, str]]:
    """Yield each term that decides when a target is asked about, with what it says."""
    from yse_ingest.cli.render import minute_of, plural

    for each in schedule.sources:
        yield from _at_source(each, schedule.now_ms)
    yield "next", _next(schedule)
    yield "cadence", _cadence(schedule)
    target = schedule.target
    for line in schedule.told:
        yield "", line
    if schedule.cadence == "adaptive" and schedule.is_private:
        yield "", "the terms tell of private photometry, and are not shown"
    elif schedule.cadence == "adaptive" and not schedule.told:
        yield "", "no answer yet from which it could be told"
    if target.until is not None and schedule.over is None:
        yield "until", f"{target.until}, then as all others"
    if target.expires is not None:
        yield "expires", target.expires
    if target.priority:
        way = "before" if target.priority > 0 else "after"
        yield (
            "priority",
            f"{target.priority}: {way} others, where more are due than can be asked",
        )
    if schedule.is_asked_now and schedule.due_before > 1:
        yield (
            "due",
            f"{plural(schedule.due_before, 'target')} at this moment, this one with them",
        )
    if schedule.queue is not None and schedule.is_pressed:
        told = f"{plural(schedule.queue, 'message')} wait for fetch workers"
        yield "queue", f"{told}; from {schedule.queue_max} on no target is claimed"
    if (backfill := schedule.backfill) is not None:
        begin, end = (
            None if at is None else minute_of(at) for at in (backfill.from_ms, backfill.to_ms)
        )
        part = f"what was observed from {begin or 'the first'} to {end or 'the last'}"
        yield "read again", f"{part if backfill.is_range else 'everything'}, the next time"


def _next(schedule: Schedule) -> str:
    from yse_ingest.cli.render import ago, ahead, minute_of

    if schedule.paused is not None:
        resume = f"`yse-ingest targets resume {schedule.target.name}`"
        return f"never: {schedule.paused}; {resume} ends it"
    if schedule.next_ms is None:
        return "never: it has no time"
    when = f"{minute_of(schedule.next_ms)} UTC ({ahead(schedule.next_ms, schedule.now_ms)})"
    if schedule.claimed_ms is not None:
        sent = f"a message to ask was sent {ago(schedule.claimed_ms, schedule.now_ms)}"
        return f"{sent}; it is due again" if schedule.is_asked_now else f"{sent}; then {when}"
    if schedule.hinted:
        return f"now: a message to ask was sent; if it is lost, {when}"
    return "now: it is due" if schedule.is_asked_now else when


def _cadence(schedule: Schedule) -> str:
    from yse_ingest.cli.render import duration

    every = f"every {duration(schedule.every_s)}"
    if schedule.cadence == "adaptive":
        every = f"adaptive, now {every}"
    said = {
        "a person": "as a person set it",
        "the target": "its own",
        "the default": "as all that do not say it",
    }[schedule.said_by]
    ended = f"; its own ended {schedule.over}" if schedule.over is not None else ""
    return f"{every}, {said}{ended}"


def _at_source(each: AtSource, now_ms: int) -> Iterator[tuple[str, str]]:
    """Yield what one source did, and what keeps it from being asked."""
    from yse_ingest.cli.render import ago, ahead, plural

    clock = each.clock
    if clock is None or clock.asked_ms is None:
        yield "last", f"{each.name} was never asked"
    else:
        yield (
            "last",
            (
                f"{each.name} asked {ago(clock.asked_ms, now_ms)},"
                f" answered {ago(clock.answered_ms, now_ms)}"
            ),
        )
    silence: str = "never asked" if clock is None else clock.silence
    if silence == "pending":
        yield "pending", f"{each.name} works on the question; it is asked for the answer"
    elif silence == "no answer" and clock is not None:
        yield "asked again", f"after a failure: {clock.error}"
    elif clock is not None and clock.unasked_ms is not None:
        yield "put off", f"{clock.error}"
    if each.breaker["open"]:
        probe = ahead(each.breaker["next_ms"], now_ms)
        yield "down", f"{each.name}: {each.breaker['reason']}; it is tried again {probe}"
    if each.meter.get("closed_until_ms"):
        again = ahead(each.meter["closed_until_ms"], now_ms)
        yield "held back", f"{each.name}: {each.meter['why']}; it is asked again {again}"
    if each.meter.get("waiting"):
        told = ", ".join(f"{used} of {rate}" for rate, used in each.meter["rates"].items())
        yield (
            "budget",
            f"{each.name}: {told} used; {plural(each.meter['waiting'], 'target')} wait",
        )


def _sending(service: Service, schedule: Schedule) -> Iterator[tuple[str, str]]:
    """Yield what keeps points from being sent: asking goes on meanwhile."""
    state = service.state
    if (held := state.outbox.held()) is not None:
        yield "held", f"all uploads: {held}. Sources are asked meanwhile"
    known = state.resolutions.get(schedule.target.name)
    stopped = state.audits.stops().get(str(known["pk"])) if known else None
    if stopped is not None:
        yield "stopped", f"nothing of it is sent: {stopped}"
