"""``yse-ingest push``: fetch, send the difference, read back; one process, no Celery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from yse_ingest.cli.completion import target_names
from yse_ingest.cli.target_options import (
    CreationOptions,
    PlaceOptions,
    creation_of,
    creation_options,
    place_options,
)
from yse_ingest.cli.terminal import DONE, FAILED, Terminal, about, report, terminal_options

if TYPE_CHECKING:
    from yse_ingest.errors import YseIngestError
    from yse_ingest.push import PushResult
    from yse_ingest.service import Service
    from yse_ingest.targets import Target

WITHOUT_STATE = (
    "Note: without YSE_INGEST_STATE_URL a service that uploads the same transient at this "
    "moment could double points; sharing this account from another machine or user, it stops "
    "that target until `yse-ingest targets resume NAME`."
)


@click.command()
@click.argument("name", required=False, shell_complete=target_names)
@click.option("--all", "every", is_flag=True, help="Every target there is.")
@place_options
@creation_options
@terminal_options
def push(terminal: Terminal, name: str | None, *, every: bool, **options: Any) -> None:
    """Bring YSE-PZ up to date for a target, and prove it by reading back.

    Only what YSE-PZ lacks is sent; what other people stored is never touched. It needs no
    Redis; with YSE_INGEST_STATE_URL it takes the same lease as the service's workers.

    \b
    Examples:
      yse-ingest push 2019np
      yse-ingest push 2019np --ra 157.3415 --dec 29.5106667 --create --status New --obs-group G
      yse-ingest push 2019np -v            with YSE-PZ's own answers
      */30 * * * * cd ~/yse && yse-ingest push --all >> push.log      a crontab line
    """
    from yse_ingest.push import push as push_targets

    if every == (name is not None):
        raise click.UsageError("Give a NAME or --all.")
    service = terminal.service()
    targets = _targets(service, name, options)
    if not service.settings.state_url and not terminal.as_json:
        click.echo(WITHOUT_STATE, err=True)
    results = []
    for result in push_targets(service, targets, progress=terminal.progress()):
        results.append(result)
        if not terminal.as_json:
            _say_trouble(result, verbose=terminal.verbose)
    problems = [str(each) for each in service.targets_file().problems] if every else []
    if terminal.as_json:
        dicts = [_as_dict(result) for result in results]
        terminal.result(dicts if every or len(dicts) > 1 else dicts[0])
    else:
        _show(results)
        for problem in problems:
            click.echo(f"targets file: {problem}", err=True)
    done = all(result.done for result in results) and not problems
    raise SystemExit(DONE if done else FAILED)


def _targets(service: Service, name: str | None, options: dict[str, Any]) -> list[Target]:
    from yse_ingest.cli.target_options import all_targets, known_target, target_of

    creation = creation_of(cast("CreationOptions", options))
    if name is None:
        if creation is not None or any(options[key] for key in PlaceOptions.__annotations__):
            raise click.UsageError("--all takes its targets as the targets file has them.")
        return _not_paused(service, all_targets(service))
    known = known_target(service, name, ask_state=bool(service.settings.state_url))
    place = cast("PlaceOptions", options)
    return [target_of(name, place, known=known, creation=creation)]


def _not_paused(service: Service, targets: list[Target]) -> list[Target]:
    from yse_ingest.errors import SettingsError

    if service.settings.state_url:
        paused = service.state.targets.paused()
        return [target for target in targets if target.name not in paused]
    if service.settings.targets_file is None:
        raise SettingsError(
            "no targets are configured",
            service="settings",
            field="YSE_INGEST_TARGETS",
            remedy="Set YSE_INGEST_TARGETS to a targets file, or name one target.",
        )
    return targets


def _error_of(result: PushResult) -> YseIngestError | None:
    from yse_ingest.cli.preview import unclear

    if result.error is not None:
        return about(result.error, result.target)
    return unclear(result.target, result.source, result.state, result.reason)


def _as_dict(result: PushResult) -> dict[str, Any]:
    error = _error_of(result)
    return {**result.as_dict(), **({"error": error.as_dict()} if error else {})}


def _say_trouble(result: PushResult, *, verbose: bool) -> None:
    if verbose:
        for answer in result.answers:
            click.echo(f"{result.target}: YSE-PZ answered: {answer}", err=True)
    if (error := _error_of(result)) is not None:
        report(error, as_json=False)


def _show(results: list[PushResult]) -> None:
    from yse_ingest.cli.render import listed, table

    counts = ("fetched", "new", "changed", "same", "adopted", "sent", "verified")
    table(
        ["target", "source", *counts, "in YSE-PZ", "state"],
        [
            (
                result.target,
                result.source,
                *(getattr(result, count) for count in counts),
                listed(result.bands),
                result.state,
            )
            for result in results
        ],
        right=counts,
        styles={"verified": "green", "failed": "red", "refused": "red", "ambiguous": "red"},
    )
    for result in results:
        _show_sources(result)
    if len(results) == 1:
        _show_aside(results[0])


def _show_sources(result: PushResult) -> None:
    """Say what is amiss where several sources were asked."""
    from yse_ingest.cli.render import say

    for source, why in result.passed.items():
        say(f"{result.target}: {source} gave no light curve: {why}", style="yellow")
    for fact in result.disagreements:
        say(f"{result.target}: sources disagree on the {fact}", style="yellow")


def _show_aside(result: PushResult) -> None:
    """Say what is not in the table, of one target."""
    from yse_ingest.cli.render import listed, plural, say

    if result.created:
        say(f"created {result.transient} (number {result.transient_id}) in YSE-PZ")
    if result.corrected:
        say(f"{plural(result.corrected, 'stored point')} corrected")
    if result.negative:
        say(f"{plural(result.negative, 'negative subtraction')} counted, no detections")
    for reason, count in sorted(result.dropped.items()):
        say(f"left out: {plural(count, 'row')}, {reason}")
    if result.quarantined:
        say(f"{plural(result.quarantined, 'row')} quarantined (`yse-ingest fetch` says why)")
    if result.set_aside:
        say(f"set aside, of other objects: {listed(result.set_aside)}")
    if result.elsewhere:
        say(f"{plural(result.elsewhere, 'point')} stored under another group of the instrument")
    if result.differs:
        say(f"{plural(result.differs, 'stored point')} of others with other values: untouched")
    if result.left:
        say(f"{plural(result.left, 'point')} not sent: somebody moved or removed their rows")
    if result.state == "empty":
        say(result.reason or "the source has no detection of it: nothing was sent")
    elif result.reason and _error_of(result) is None:
        say(result.reason)
