"""``yse-ingest reconcile``: compare source, ledger and YSE-PZ now, and repair what is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from yse_ingest.cli.completion import target_names
from yse_ingest.cli.terminal import DONE, FAILED, Terminal, about, report, terminal_options

if TYPE_CHECKING:
    from yse_ingest.reconcile import Reconciled
    from yse_ingest.service import Service
    from yse_ingest.targets import Target

COUNTS = ("ours", "changed", "moved", "gone", "foreign", "newcomer")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME ...]", shell_complete=target_names)
@click.option("--all", "every", is_flag=True, help="Every target that is followed.")
@click.option("--send-gone", is_flag=True, help="Also send rows that are gone for good.")
@terminal_options
def reconcile(
    terminal: Terminal, names: tuple[str, ...], *, every: bool, send_gone: bool
) -> None:
    """Compare source, ledger and YSE-PZ of targets now, and repair what is ours.

    What is missing is sent, what the source corrected is corrected. What somebody changed is
    told and left as it is; what somebody removed twice is sent with --send-gone alone. It is
    what the service does by itself, some transients a day; here it is done at once.

    \b
    Examples:
      yse-ingest reconcile 2019np
      yse-ingest reconcile --all --json
    """
    from yse_ingest.cli.render import counted
    from yse_ingest.reconcile import Auditor
    from yse_ingest.reconcile import reconcile as compare

    if every == bool(names):
        raise click.UsageError("Give one NAME or more, or --all.")
    service = terminal.service()
    targets = _targets(service, names)
    if send_gone:
        auditor = Auditor(service)
        for target in targets:
            auditor.send_gone(target.name)
    results = []
    compared = compare(service, targets)
    for result in counted("comparing", len(targets), compared, shown=not terminal.as_json):
        results.append(result)
        if result.error is not None and not terminal.as_json:
            report(about(result.error, result.target), as_json=False)
    if terminal.as_json:
        terminal.result([result.as_dict() for result in results])
    else:
        _show(results)
    well = all(result.state in {"verified", "accepted"} for result in results)
    raise SystemExit(DONE if well else FAILED)


def _targets(service: Service, names: tuple[str, ...]) -> list[Target]:
    from yse_ingest.errors import UnknownTargetError
    from yse_ingest.targets import canonical_name

    service.sync_targets_file()
    followed = {target.name: target for target, _ in service.state.targets.all()}
    if not names:
        paused = service.state.targets.paused()
        return [target for name, target in followed.items() if name not in paused]
    for name in map(canonical_name, names):
        if name not in followed:
            raise UnknownTargetError(
                "it is not followed",
                service="targets",
                target=name,
                remedy="`yse-ingest targets list` names what is.",
            )
    return [followed[canonical_name(name)] for name in names]


def _show(results: list[Reconciled]) -> None:
    from yse_ingest.cli.render import table

    table(
        ["target", *COUNTS, "sent", "corrected", "left out", "state"],
        [
            (
                result.target,
                *(result.found.get(kind, 0) for kind in COUNTS),
                result.sent,
                result.corrected,
                result.left,
                result.state,
            )
            for result in results
        ],
        right=[*COUNTS, "sent", "corrected", "left out"],
        styles={"verified": "green", "failed": "red", "stopped": "red", "held": "yellow"},
    )
