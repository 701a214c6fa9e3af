"""``yse-ingest hold`` and ``resume``: stop all writing to YSE-PZ, and go on."""

from __future__ import annotations

import click

from yse_ingest.cli.terminal import FAILED, Terminal, terminal_options


@click.command()
@click.argument("reason")
@terminal_options
def hold(terminal: Terminal, reason: str) -> None:
    """Send nothing to YSE-PZ until `resume`, as for announced maintenance.

    Sources are asked as ever; what is new waits in the outbox. What is being uploaded now ends.
    A hold is a decision of yours: it outlives restarts and a lost Redis.

    \b
    Example:
      yse-ingest hold "maintenance of YSE-PZ until 14 UTC"
    """
    from yse_ingest.cli.render import say

    if not reason.strip():
        raise click.UsageError("Say why: status shows it to everybody.")
    state = terminal.service().state
    state.outbox.hold(reason.strip())
    ending = state.outbox.counts()["inflight"]
    if terminal.as_json:
        terminal.result({"held": reason.strip(), "in_flight": ending})
    else:
        say(f"all uploads are held: {reason.strip()}")
        if ending:
            say(f"{ending} in flight end first")


@click.command()
@click.option("--send-again", is_flag=True, help="YSE-PZ was set back: send all that is gone.")
@click.option("--keep-gone", is_flag=True, help="People removed the rows: send none of them.")
@terminal_options
def resume(terminal: Terminal, *, send_again: bool, keep_gone: bool) -> None:
    """Go on writing to YSE-PZ after `hold`, or after YSE-PZ was set back.

    Where rows of ours are gone in several transients the service holds by itself, and asks:
    with --send-again everything is read back, compared and completed; with --keep-gone what is
    gone stays gone.

    \b
    Examples:
      yse-ingest resume
      yse-ingest resume --send-again
    """
    from yse_ingest.cli.render import listed, say
    from yse_ingest.reconcile import Auditor

    if send_again and keep_gone:
        raise click.UsageError("Choose one of --send-again and --keep-gone.")
    service = terminal.service()
    was_held = service.state.outbox.held()
    done = Auditor(service).resume(send_again=send_again, keep_gone=keep_gone)
    if terminal.as_json:
        terminal.result({"was_held": was_held, **done})
    elif was_held is None:
        say("nothing was held")
    else:
        say("uploads go on")
        if done:
            say(f"read back and compared anew: {listed(done)}" if send_again else listed(done))
    raise SystemExit(FAILED if was_held is None else 0)
