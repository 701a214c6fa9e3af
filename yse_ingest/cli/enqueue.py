"""``yse-ingest enqueue NAME``: have the service follow a target, and look at it now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from yse_ingest.cli.target_options import (
    CreationOptions,
    PlaceOptions,
    ScheduleOptions,
    creation_of,
    creation_options,
    moment,
    place_options,
    schedule_options,
    target_of,
)
from yse_ingest.cli.terminal import Terminal, terminal_options

if TYPE_CHECKING:
    from yse_ingest.state import Backfill


@click.command()
@click.argument("name", required=False)
@click.option("--all", "every_one", is_flag=True, help="All that are followed and not paused.")
@place_options
@creation_options
@schedule_options
@click.option("--full", is_flag=True, help="Read the whole light curve again.")
@click.option("--from", "begin", metavar="DATE", help="Read again what was observed from then,")
@click.option("--to", "end", metavar="DATE", help="or until then.")
@terminal_options
def enqueue(
    terminal: Terminal,
    name: str | None,
    *,
    every_one: bool,
    full: bool,
    begin: str | None,
    end: str | None,
    **options: Any,
) -> None:
    """Have the running service follow a target, and look at it now.

    The same as `from workers import enqueue_target; enqueue_target("2019np")` in Python. With
    --full, --from or --to a target that is followed stays as it is, and is read again: what
    YSE-PZ lacks is sent, nothing twice.

    \b
    Examples:
      yse-ingest enqueue 2019np
      yse-ingest enqueue 2019np --ra 157.3415 --dec 29.5106667 --every 2h
      yse-ingest enqueue --all
      yse-ingest enqueue 2019np --every 15m --until 2d --priority high
      yse-ingest enqueue 2019np --from 2019-01-09 --to 2019-02-01
    """
    if every_one == (name is not None):
        raise click.UsageError("Give the NAME of a target, or --all.")
    backfill = _backfill(full=full, begin=begin, end=end)
    if name is None:
        _enqueue_all(terminal, with_options=backfill is not None or any(options.values()))
    else:
        _enqueue_one(terminal, name, backfill, **options)


def _enqueue_all(terminal: Terminal, *, with_options: bool) -> None:
    """Make every target due; dispatch claims them in turns, so that nothing is flooded."""
    from yse_ingest.cli.render import plural, say
    from yse_ingest.service import DISPATCH_MAX

    if with_options:
        raise click.UsageError("--all changes nothing but the time: give it alone.")
    service = terminal.service()
    service.sync_targets_file()
    count = service.state.targets.set_all_due(service.state.now_ms())
    if terminal.as_json:
        terminal.result({"state": "enqueued", "targets": count})
        return
    say(f"{plural(count, 'target')} are due now; each tick asks about {DISPATCH_MAX} at most")


def _enqueue_one(
    terminal: Terminal, name: str, backfill: Backfill | None, **options: Any
) -> None:
    from workers.hints import send_fetch
    from workers.resources import service
    from yse_ingest.cli.render import say

    target = target_of(
        name,
        cast("PlaceOptions", options),
        creation=creation_of(cast("CreationOptions", options)),
        schedule=cast("ScheduleOptions", options),
    )
    if backfill is not None and not any(options.values()):
        service().sync_targets_file()
        if service().state.targets.get(target.name) is None:
            service().enqueue(target)
        queued = service().read_again(target.name, backfill)
    else:
        queued = service().enqueue(target)
        if backfill is not None:
            service().read_again(queued, backfill)
    sent = send_fetch([queued])
    if terminal.as_json:
        terminal.result({"target": queued, "state": "enqueued", "hinted": sent})
        return
    say(f"{queued} is followed, and due now. See `yse-ingest status {queued}`.")
    if not sent:
        say("The broker did not answer; the target is due, and the next dispatch finds it.")


def _backfill(*, full: bool, begin: str | None, end: str | None) -> Backfill | None:
    """Return what is to be read again; None: nothing but what is new."""
    from yse_ingest.state import Backfill
    from yse_ingest.times import MS_PER_DAY, time_ms_of_date

    if full and (begin is not None or end is not None):
        raise click.UsageError("--full goes without --from and --to.")
    if not full and begin is None and end is None:
        return None
    from_ms = None if begin is None else time_ms_of_date(moment(begin, "--from"))
    to_ms = None if end is None else time_ms_of_date(moment(end, "--to"))
    if to_ms is not None and end is not None and "T" not in end and " " not in end:
        to_ms += MS_PER_DAY - 1  # the whole day
    if from_ms is not None and to_ms is not None and from_ms > to_ms:
        raise click.UsageError("--from lies after --to.")
    return Backfill(from_ms, to_ms)
