"""``yse-ingest enqueue NAME``: have the service follow a target, and look at it now."""

from __future__ import annotations

from typing import Any, cast

import click

from yse_ingest.cli.target_options import (
    CreationOptions,
    PlaceOptions,
    creation_of,
    creation_options,
    place_options,
    target_of,
)
from yse_ingest.cli.terminal import Terminal, terminal_options


@click.command()
@click.argument("name")
@place_options
@creation_options
@click.option("--every", metavar="DURATION", help="How often, as in 30m, 2h, 1d.")
@terminal_options
def enqueue(terminal: Terminal, name: str, *, every: str | None, **options: Any) -> None:
    """Have the running service follow a target, and look at it now.

    The same as `from workers import enqueue_target; enqueue_target("2019np")` in Python.

    \b
    Examples:
      yse-ingest enqueue 2019np
      yse-ingest enqueue 2019np --ra 157.3415 --dec 29.5106667 --every 2h
    """
    from workers.hints import send_fetch
    from workers.resources import service
    from yse_ingest.cli.render import say

    target = target_of(
        name,
        cast("PlaceOptions", options),
        creation=creation_of(cast("CreationOptions", options)),
        cadence=every,
    )
    queued = service().enqueue(target)
    sent = send_fetch([queued])
    if terminal.as_json:
        terminal.result({"target": queued, "state": "enqueued", "hinted": sent})
        return
    say(f"{queued} is followed, and due now. See `yse-ingest status {queued}`.")
    if not sent:
        say("The broker did not answer; the target is due, and the next dispatch finds it.")
