"""``yse-ingest quarantine``: rows that were refused, and why."""

from __future__ import annotations

from typing import Any

import click

from yse_ingest.cli.completion import target_names
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
@click.argument("name", required=False, shell_complete=target_names)
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
@click.argument("name", shell_complete=target_names)
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
    rejected = {} if terminal.as_json else store.rejected(name)
    for native_id, reason in sorted(rejected.items()):
        if candid in {None, native_id}:
            say(f"{name}: {native_id} is rejected for good: {reason}")
    rows = store.list(name) if candid is None else store.explain(name, candid)
    if terminal.as_json:
        terminal.result(rows)
    elif not rows and not rejected:
        say(f"nothing of {name} is in quarantine" + (f" under {candid}" if candid else ""))
    for row in rows if not terminal.as_json else ():
        _explain(row)
    raise SystemExit(FAILED if candid is not None and not rows else 0)


@quarantine.command()
@click.argument("name", shell_complete=target_names)
@click.argument("candid", required=False)
@terminal_options
def release(terminal: Terminal, name: str, candid: str | None) -> None:
    """Try refused rows again: one of a target, or all of it. Takes a rejection back, too.

    The source is asked for the whole light curve at once; what is still wrong comes back here.

    \b
    Examples:
      yse-ingest quarantine release 2019np
      yse-ingest quarantine release 2019np 738447634115015001
    """
    from yse_ingest.cli.render import plural, say
    from yse_ingest.reconcile import Auditor
    from yse_ingest.targets import canonical_name

    service, name = terminal.service(), canonical_name(name)
    count = service.state.quarantine.release(name, candid)
    if count:
        auditor = Auditor(service)
        service.state.outbox.release_refused(auditor.key(name))
        auditor.ask_again(name)
    if terminal.as_json:
        terminal.result({"target": name, "released": count})
    else:
        say(f"{plural(count, 'row')} of {name} released")
    raise SystemExit(0 if count else FAILED)


@quarantine.command()
@click.argument("name", shell_complete=target_names)
@click.argument("candid", required=False)
@click.option("--reason", default="rejected by hand", show_default=True, help="For explain.")
@terminal_options
def reject(terminal: Terminal, name: str, candid: str | None, *, reason: str) -> None:
    """Never send a row of a source: one by its id, or all that are refused of a target.

    It is a decision of yours: it outlives later fetches and a lost Redis. What YSE-PZ holds
    already stays there. `release` takes it back.

    \b
    Examples:
      yse-ingest quarantine reject 2019np 738447634115015001 --reason "satellite trail"
      yse-ingest quarantine reject 2019np
    """
    from yse_ingest.cli.render import plural, say
    from yse_ingest.targets import canonical_name

    store, name = terminal.service().state.quarantine, canonical_name(name)
    native_ids = sorted(store.known(name) - {""}) if candid is None else [candid]
    for native_id in native_ids:
        store.reject(name, native_id, reason)
    if terminal.as_json:
        terminal.result({"target": name, "rejected": native_ids})
    else:
        say(f"{plural(len(native_ids), 'row')} of {name} rejected for good")
    raise SystemExit(0 if native_ids else FAILED)


def _explain(row: dict[str, Any]) -> None:
    from yse_ingest.cli.render import minute_of, say

    say(f"{row['target']}: {row['source']}: {row['native_id'] or 'a row without an id'}")
    say(f"  {row['field']} {row['reason']}")
    say(f"  value   {row['value']}")
    say(f"  since   {minute_of(row['at_ms'])} UTC")
    if row["raw"]:
        say(f"  row     {row['raw']}")
