"""``yse-ingest adopt``: read what is stored already, and tell how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from yse_ingest.cli.completion import target_names
from yse_ingest.cli.terminal import DONE, FAILED, Terminal, report, terminal_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yse_ingest.adopt import Adoption


@click.command()
@click.argument("names", nargs=-1, shell_complete=target_names)
@click.option("--all", "every", is_flag=True, help="Every target there is.")
@click.option("--again", is_flag=True, help="Also those that were adopted before.")
@terminal_options
def adopt(terminal: Terminal, names: tuple[str, ...], *, every: bool, again: bool) -> None:
    """Read the light curves that YSE-PZ has already, and tell how each stands.

    Nothing is written to YSE-PZ. What is found is kept as the ledger, so that the service
    sends what is missing and nothing else. Broken off, it goes on where it was.

    \b
    Examples:
      yse-ingest adopt 2019np 2020oi
      yse-ingest adopt --all
    """
    from yse_ingest.adopt import COLUMNS
    from yse_ingest.adopt import adopt as adopt_targets
    from yse_ingest.cli.render import counted
    from yse_ingest.cli.target_options import chosen_targets
    from yse_ingest.cli.terminal import reading_service

    if every == bool(names):
        raise click.UsageError("Give one NAME or more, or --all.")
    service = reading_service(terminal)
    found = []
    targets = chosen_targets(service, names)
    adopted = adopt_targets(service, targets, again=again)
    for each in counted("adopting", len(targets), adopted, shown=not terminal.as_json):
        found.append(each)
        if each.error is not None and not terminal.as_json:
            report(each.error, as_json=False)
    if terminal.as_json:
        terminal.result([each.as_dict() for each in found])
    else:
        _show(found, [str(column) for column in COLUMNS])
    raise SystemExit(DONE if all(each.well for each in found) else FAILED)


def _show(found: Sequence[Adoption], columns: Sequence[str]) -> None:
    from yse_ingest.cli.render import listed, say, table

    table(
        ["target", *columns, "besides", "state"],
        [
            (
                each.target,
                *(each.counts.get(column, 0) if each.counts else "" for column in columns),
                listed(
                    {key: count for key, count in each.counts.items() if key not in columns}
                ),
                each.state,
            )
            for each in found
        ],
        right=columns,
        styles={"adopted": "green", "failed": "red", "ambiguous": "red", "unknown": "red"},
    )
    for each in found:
        if each.reason:
            say(f"{each.target}: {each.reason}", style="yellow")
