"""``yse-ingest enqueue NAME``: have the service follow a target, and look at it now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from yse_ingest.cli.completion import target_names
from yse_ingest.cli.target_options import (
    CreationOptions,
    PlaceOptions,
    ScheduleOptions,
    creation_of,
    creation_options,
    place_options,
    schedule_options,
    target_of,
)
from yse_ingest.cli.terminal import Terminal, terminal_options

if TYPE_CHECKING:
    from yse_ingest.state import Backfill


@click.command()
@click.argument("name", required=False, shell_complete=target_names)
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
    NAME alone a target that is followed stays as it is. With --full, --from or --to it is read
    again: what YSE-PZ lacks is sent, nothing twice.

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
    (queued,) = service().enqueue_many(
        [target],
        bare=[] if any(options.values()) else [target.name],
        again={} if backfill is None else {target.name: backfill},
        hinted=True,
    )
    if not (sent := send_fetch([queued])):
        service().unhinted([queued])
    paused = service().state.targets.why_paused(queued)
    if terminal.as_json:
        told = {"target": queued, "state": "enqueued", "hinted": sent, "paused": paused}
        terminal.result(told)
        return
    if paused is None:
        say(f"{queued} is followed, and asked about now. See `yse-ingest status {queued}`.")
    else:
        say(f"{queued} is looked at now, and then no more, for it is paused: {paused}.")
        say(f"`yse-ingest targets resume {queued}` ends that.")
    if not sent:
        say("The broker did not answer; the target is due, and the next dispatch finds it.")


def _backfill(*, full: bool, begin: str | None, end: str | None) -> Backfill | None:
    """Return what is to be read again; None: nothing but what is new."""
    from marshmallow import ValidationError

    from yse_ingest.schemas._load import faults_of
    from yse_ingest.service import backfill_of

    given = {"full": full, "from_date": begin, "to_date": end}
    try:
        return backfill_of(given)
    except ValidationError as error:
        fault = faults_of(error, given)[0]
        option = {"full": "--full", "from_date": "--from", "to_date": "--to"}[fault.field]
        raise click.BadParameter(fault.reason, param_hint=option) from error
