"""``yse-ingest health``: is anything stale? For a monitoring system."""

from __future__ import annotations

import click

from yse_ingest.cli.terminal import DONE, FAILED, Terminal, terminal_options


@click.command()
@click.option(
    "--timeout",
    default="20s",
    show_default=True,
    help="Give up after this; that is a failure, too.",
)
@terminal_options
def health(terminal: Terminal, timeout: str) -> None:
    """Say whether anything is stale or stopped; exit code 1 and the reasons where it is.

    The first line is the summary; one line for each failure follows, with its remedy. It asks
    Redis alone and writes nothing. Run it from cron or a monitoring system: when beat or Redis
    is dead, nobody inside can tell. See docs/monitoring.md.

    \b
    Examples:
      yse-ingest health
      yse-ingest health --json --timeout 5s
    """
    from yse_ingest.cli.render import say
    from yse_ingest.times import parse_duration
    from yse_ingest.watch.health import examine

    try:
        timeout_s = parse_duration(timeout)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--timeout") from error
    found = examine(terminal.service(), timeout_s=timeout_s)
    if terminal.as_json:
        terminal.result(found.as_dict())
    else:
        for line in found.lines:
            say(line)
    raise SystemExit(DONE if found.is_well else FAILED)
