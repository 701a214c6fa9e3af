"""``yse-ingest quarantine``: rows that were refused, and why."""

from __future__ import annotations

from typing import Any

import click

from yse_ingest.cli.terminal import FAILED, Terminal, terminal_options


@click.group()
def quarantine() -> None:
    """Show the rows that were refused, each with field, value and reason.

    A bad row of a source never holds up the others of its light curve; it waits here for a
    person. It is taken as soon as the source mends it.

    \b
    Example:
      yse-ingest quarantine list 2019np
    """


@quarantine.command("list")
@click.argument("name", required=False)
@terminal_options
def list_rows(terminal: Terminal, name: str | None) -> None:
    """List refused rows: of one target, or of all.

    \b
    Examples:
      yse-ingest quarantine list
      yse-ingest quarantine list 2019np --json
    """
    from yse_ingest.cli.render import minute_of, say, table

    rows = terminal.service().state.quarantine.list(name)
    if terminal.as_json:
        terminal.result(rows)
        return
    if not rows:
        say(f"nothing of {name} is in quarantine" if name else "the quarantine is empty")
        return
    table(
        ["target", "source", "id", "field", "reason", "since (UTC)"],
        [
            (
                row["target"],
                row["source"],
                row["native_id"],
                row["field"],
                row["reason"],
                minute_of(row["at_ms"]),
            )
            for row in rows
        ],
    )


@quarantine.command()
@click.argument("name")
@click.argument("candid", required=False)
@terminal_options
def explain(terminal: Terminal, name: str, candid: str | None) -> None:
    """Show refused rows whole: value, reason and the row as the source sent it.

    \b
    Examples:
      yse-ingest quarantine explain 2019np
      yse-ingest quarantine explain 2019np 738447634115015001
    """
    from yse_ingest.cli.render import say

    store = terminal.service().state.quarantine
    rows = store.list(name) if candid is None else store.explain(name, candid)
    if terminal.as_json:
        terminal.result(rows)
    elif not rows:
        say(f"nothing of {name} is in quarantine" + (f" under {candid}" if candid else ""))
    for row in rows if not terminal.as_json else ():
        _explain(row)
    raise SystemExit(FAILED if candid is not None and not rows else 0)


def _explain(row: dict[str, Any]) -> None:
    from yse_ingest.cli.render import minute_of, say

    say(f"{row['target']}: {row['source']}: {row['native_id'] or 'a row without an id'}")
    say(f"  {row['field']} {row['reason']}")
    say(f"  value   {row['value']}")
    say(f"  since   {minute_of(row['at_ms'])} UTC")
    if row["raw"]:
        say(f"  row     {row['raw']}")
