"""``yse-ingest shadow``: what was seen while nothing was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from yse_ingest.cli.completion import target_names
from yse_ingest.cli.terminal import DONE, FAILED, Terminal, terminal_options
from yse_ingest.cli.terminal import report as report_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yse_ingest.shadow_report import Compared


@click.group()
def shadow() -> None:
    """Compare with the jobs that write today, while nothing is written.

    `yse-ingest up --shadow`, or YSE_INGEST_SHADOW=true for a service under systemd: everything
    runs, nothing but GET reaches YSE-PZ, and what would be sent is recorded.

    \b
    Example:
      yse-ingest shadow report
    """


@shadow.command()
@click.argument("names", nargs=-1, shell_complete=target_names)
@terminal_options
def report(terminal: Terminal, names: tuple[str, ...]) -> None:
    """Compare what the old jobs stored with what the service would have.

    YSE-PZ is read back and the source asked in full, target by target. The delay is from the
    exposure to their row, and to the moment at which this service would have sent it, of the
    exposures that came while it ran in shadow.

    \b
    Examples:
      yse-ingest shadow report
      yse-ingest shadow report 2019np
      yse-ingest shadow report --json      every row on which the two sides differ
    """
    from yse_ingest.cli.render import counted
    from yse_ingest.cli.target_options import chosen_targets
    from yse_ingest.cli.terminal import reading_service
    from yse_ingest.shadow_report import compare_with_theirs

    service = reading_service(terminal)
    found = []
    targets = chosen_targets(service, names)
    compared = compare_with_theirs(service, targets)
    for each in counted("comparing", len(targets), compared, shown=not terminal.as_json):
        found.append(each)
        if each.error is not None and not terminal.as_json:
            report_error(each.error, as_json=False)
    if terminal.as_json:
        terminal.result([each.as_dict() for each in found])
    else:
        _show(found, alone=len(names) == 1)
    raise SystemExit(DONE if all(each.error is None for each in found) else FAILED)


def _show(found: Sequence[Compared], *, alone: bool) -> None:
    from yse_ingest.cli.render import listed, say, table

    numbers = ("both", "differing")
    table(
        ["target", *numbers, "only theirs", "only ours", "delay theirs", "ours", "state"],
        [
            (
                each.target,
                each.both,
                each.differing,
                listed(each.only_theirs),
                listed(each.only_ours),
                _duration(each.delay_theirs_s),
                _duration(each.delay_ours_s),
                each.state,
            )
            for each in found
        ],
        right=numbers,
        styles={"failed": "red", "ambiguous": "red", "unknown": "red"},
    )
    for each in found:
        if each.reason:
            say(f"{each.target}: {each.reason}", style="yellow")
    if alone and found[0].rows:
        say()
        keys = ("band", "obs_date", "finding", "reason", "created_by", "created")
        table(keys, [[row[key] for key in keys] for row in found[0].rows])


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86400:.0f} d"
