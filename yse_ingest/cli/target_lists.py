"""``yse-ingest targets list`` and ``show``: what the registry says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from yse_ingest.cli.completion import source_names, target_names
from yse_ingest.cli.terminal import Terminal, terminal_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from yse_ingest.service import Service
    from yse_ingest.state.targets import Origin
    from yse_ingest.targets import Target

LINES_MAX = 100
"""So many targets are listed where nobody says how many."""
STATES = ("idle", "owed", "in flight", "settling", "refused", "paused")
ORIGINS = ("file", "adhoc", "list")
SORTS = ("name", "due", "newest")
NOTHING = "nothing is followed: `yse-ingest targets add NAME`, or the targets file"
ORIGIN_WORDS = {"file": "the targets file", "adhoc": "a person", "list": "a list of YSE-PZ"}


@click.command("list")
@click.option(
    "--source",
    metavar="SOURCE",
    shell_complete=source_names,
    help="Only those that are asked for there.",
)
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--paused", is_flag=True, help="Only those that are paused.")
@click.option("--origin", "origins", type=click.Choice(ORIGINS), help="Only those from there.")
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    default="name",
    show_default=True,
    help="By name, by when they are asked next, or by their newest point.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=LINES_MAX,
    show_default=True,
    help="So many at most; 0: all.",
)
@terminal_options
def list_targets(terminal: Terminal, *, limit: int, sort: str, **chosen: Any) -> None:
    """List what is followed, and because of whom.

    \b
    Examples:
      yse-ingest targets list --source atlas --sort due --limit 20
      yse-ingest targets list --paused
    """
    from yse_ingest.cli.render import ahead, duration, minute_of, plural, say, table

    service = terminal.service()
    service.sync_targets_file()
    now_ms = service.state.now_ms()
    found = _sorted(service, _chosen(service, **chosen), sort)
    shown = found[:limit] if limit else found
    rows = _rows(service, service.state.targets.many(shown))
    if terminal.as_json:
        terminal.result(rows)
        return
    for problem in service.targets_file().problems:
        click.echo(f"targets file: {problem}", err=True)
    if not rows:
        some = any(chosen.values()) and service.state.targets.count()
        say("no such target is followed" if some else NOTHING)
        return
    table(
        ["target", "ra", "dec", "source", "every", "from", "newest (UTC)", "next", "paused"],
        [
            (
                row["target"],
                row["ra"],
                row["dec"],
                row["source"],
                _every(row["cadence_s"], duration),
                row["origin"],
                minute_of(row["newest_ms"]) if row["newest_ms"] else "",
                "" if row["paused"] else ahead(row["due_ms"], now_ms),
                row["paused"],
            )
            for row in rows
        ],
        right=["ra", "dec"],
        spare=["ra", "dec", "newest (UTC)"],
    )
    if len(shown) < len(found):
        say(f"{len(shown)} of {plural(len(found), 'target')}; --limit shows more, 0 all")


def _every(cadence: float | str, duration: Callable[[float], str]) -> str:
    return cadence if isinstance(cadence, str) else duration(cadence)


def _chosen(
    service: Service,
    *,
    source: str | None,
    state: str | None,
    paused: bool,
    origins: str | None,
) -> list[str]:
    """Return the names of the targets that the filters leave, sorted.

    Of a hundred thousand none is read as a whole where its name is enough.
    """
    from yse_ingest.cli.overview import ROWS_MAX, state_of

    registry = service.state.targets
    reasons = registry.paused() if paused or state else {}
    rows = service.state.outbox.rows(ROWS_MAX) if state else []
    owed = {name: row for row in rows for name in row.targets}
    if source is None and origins is None:
        names = registry.names()
    else:
        names = [
            target.name
            for target, origin in registry.all()
            if (source is None or source in service.sources_of(target))
            and (origins is None or origin == origins)
        ]
    return [
        name
        for name in names
        if (not paused or name in reasons)
        and (state is None or state_of(owed.get(name), reasons.get(name))[0] == state)
    ]


def _sorted(service: Service, names: list[str], sort: str) -> list[str]:
    if sort == "due":
        due = service.state.targets.due_times(names)
        return sorted(names, key=lambda name: due.get(name, 0))
    if sort == "newest":
        newest = _newest(service, service.state.targets.many(names))
        return sorted(names, key=lambda name: -newest.get(name, 0))
    return names


def _newest(service: Service, found: list[tuple[Target, Origin]]) -> Mapping[str, int]:
    """Return the time of each target's newest point [Unix ms]; of private ones nothing."""
    from yse_ingest.cli.render import progress

    private = service.private(target for target, _ in found)
    names = [target.name for target, _ in found if target.name not in private]
    newest: dict[str, int] = {}
    with progress("reading", len(names)) as advance:
        for start in range(0, len(names), 1000):
            some = names[start : start + 1000]
            for name, clocks in service.state.clocks.all(some).items():
                times = [clock.detail.get("newest_ms") or 0 for clock in clocks.values()]
                newest[name] = max(times, default=0)
            advance(len(some))
    return newest


def _rows(service: Service, shown: list[tuple[Target, Origin]]) -> list[dict[str, Any]]:
    registry = service.state.targets
    now_ms = service.state.now_ms()
    names = [target.name for target, _ in shown]
    due, paused = registry.due_times(names), registry.paused_of(names)
    newest = _newest(service, shown)
    return [
        {
            "target": target.name,
            "ra": target.ra,
            "dec": target.dec,
            "object_id": target.object_id,
            "source": ",".join(service.sources_of(target)),
            "cadence_s": service.cadence_of(target, now_ms),
            "until": target.until,
            "expires": target.expires,
            "priority": target.priority,
            "origin": origin,
            "newest_ms": newest.get(target.name) or None,
            "due_ms": due.get(target.name),
            "paused": paused.get(target.name),
        }
        for target, origin in shown
    ]


@click.command()
@click.argument("name", shell_complete=target_names)
@terminal_options
def show(terminal: Terminal, name: str) -> None:
    """Show how a target is followed: place, sources, cadence, rules of its own.

    How it stands is in `yse-ingest status NAME`.

    \b
    Example:
      yse-ingest targets show 2019np
    """
    from yse_ingest.cli.render import ahead, both_times, duration, say
    from yse_ingest.errors import UnknownTargetError
    from yse_ingest.state.targets import target_to_json

    service = terminal.service()
    service.sync_targets_file()
    registry = service.state.targets
    found = registry.many([name])
    if not found:
        raise UnknownTargetError(
            "it is not followed",
            service="targets",
            target=name,
            remedy="`yse-ingest targets list` names what is.",
        )
    [(target, origin)] = found
    (row,) = _rows(service, found)
    told = {**row, **target_to_json(target), "source": row["source"]}
    told["followed_since_ms"] = registry.added_ms([target.name]).get(target.name)
    told.pop("name")
    if terminal.as_json:
        terminal.result(told)
        return
    now_ms = service.state.now_ms()
    due_ms, since_ms = told.pop("due_ms"), told.pop("followed_since_ms")
    told["origin"] = ORIGIN_WORDS[origin]
    told = {"every": _every(told.pop("cadence_s"), duration), **told}
    told["priority"] = told["priority"] or None
    if newest_ms := told.pop("newest_ms"):
        told["newest"] = both_times(newest_ms)
    if since_ms:
        told["followed since"] = both_times(since_ms)
    if due_ms and told["paused"] is None:
        told["next"] = f"{both_times(due_ms)}, {ahead(due_ms, now_ms)}"
    say(target.name)
    for label, value in told.items():
        if value not in (None, {}) and label != "target":
            say(f"  {label.replace('_', ' '):16}{value}")
