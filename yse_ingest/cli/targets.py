"""``yse-ingest targets``: what the service follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from yse_ingest.cli.completion import target_names
from yse_ingest.cli.target_files import export, import_targets
from yse_ingest.cli.target_lists import list_targets, show
from yse_ingest.cli.target_names import resolve
from yse_ingest.cli.target_options import (
    CreationOptions,
    PlaceOptions,
    ScheduleOptions,
    creation_of,
    creation_options,
    place_options,
    schedule_options,
    target_of,
)
from yse_ingest.cli.target_sync import sync
from yse_ingest.cli.terminal import FAILED, Terminal, terminal_options

if TYPE_CHECKING:
    from yse_ingest.service import Service


@click.group()
def targets() -> None:
    """Add, find, list, import, export, pause, resume and remove the targets of the service.

    Targets of the targets file come and go with that file; those added here are kept in the
    state, and as decisions in its file.

    \b
    Example:
      yse-ingest targets add 2019np --every 2h
    """


for _command in (list_targets, show, import_targets, export, sync, resolve):
    targets.add_command(_command)


@targets.command()
@click.argument("name")
@place_options
@creation_options
@schedule_options
@terminal_options
def add(terminal: Terminal, name: str, **options: Any) -> None:
    """Follow a target, or change how it is followed.

    \b
    Example:
      yse-ingest targets add 2019np --ra 157.3415 --dec 29.5106667 --source alerce
    """
    from yse_ingest.cli.render import say

    target = target_of(
        name,
        cast("PlaceOptions", options),
        creation=creation_of(cast("CreationOptions", options)),
        schedule=cast("ScheduleOptions", options),
    )
    registry = terminal.service().state.targets
    changed = registry.put(target, origin="adhoc")
    paused = registry.why_paused(target.name)
    if terminal.as_json:
        terminal.result({"target": target.name, "changed": changed, "paused": paused})
        return
    say(f"{target.name} {'is followed' if changed else 'was followed like this already'}")
    if paused is not None:
        say(f"It is paused: {paused}. `yse-ingest targets resume {target.name}` ends that.")


@targets.command()
@click.argument("name", shell_complete=target_names)
@terminal_options
def remove(terminal: Terminal, name: str) -> None:
    """Follow a target no more. What YSE-PZ holds of it stays.

    One of the targets file, or on a list of YSE-PZ, is taken out there, or paused.

    \b
    Example:
      yse-ingest targets remove 2019np
    """
    from yse_ingest.cli.render import say
    from yse_ingest.errors import TargetError
    from yse_ingest.state.targets import LEFT
    from yse_ingest.targets import canonical_name

    service = terminal.service()
    name = canonical_name(name)
    if any(target.name == name for target in service.targets_file().targets):
        raise TargetError(
            "it stands in the targets file, which would bring it back",
            service="targets",
            target=name,
            remedy=f"Take it out of {service.settings.targets_file}.",
        )
    _known(service, name)
    paused = service.state.targets.why_paused(name)
    ((_, origin),) = service.state.targets.many([name])
    if origin == "list" and paused not in LEFT.values():
        raise TargetError(
            "it is on a list of YSE-PZ, which would bring it back",
            service="targets",
            target=name,
            remedy=f"`yse-ingest targets pause {name}`, or take it off the list; "
            "`yse-ingest targets sync --list` shows which there are.",
        )
    service.state.targets.remove(name)
    _tell(terminal, name, "removed", say)


@targets.command()
@click.argument("name", shell_complete=target_names)
@click.option("--reason", default="paused by hand", show_default=True, help="For status.")
@terminal_options
def pause(terminal: Terminal, name: str, *, reason: str) -> None:
    """Ask about a target no more until it is resumed.

    \b
    Example:
      yse-ingest targets pause 2019np --reason "host nucleus"
    """
    from yse_ingest.cli.render import say

    service = terminal.service()
    service.state.targets.pause(_known(service, name), reason)
    _tell(terminal, name, "paused", say)


@targets.command()
@click.argument("name", shell_complete=target_names)
@terminal_options
def resume(terminal: Terminal, name: str) -> None:
    """Go on with a target that is paused, stopped, or whose upload was refused.

    A target is stopped where rows of our account appeared that this installation did not
    write. Resuming takes them as ours; find the second installation first.

    \b
    Example:
      yse-ingest targets resume 2019np
    """
    from yse_ingest.cli.overview import outbox_key
    from yse_ingest.cli.render import say
    from yse_ingest.errors import TargetError
    from yse_ingest.reconcile import Auditor
    from yse_ingest.state.targets import LEFT
    from yse_ingest.why import schedule_of

    service = terminal.service()
    name = _known(service, name)
    if (ends := schedule_of(service, name).expired) is not None:
        raise TargetError(
            f"it expired {ends}",
            service="targets",
            target=name,
            remedy="Give it a later date: `expires` in the targets file, or --expires.",
        )
    if (reason := service.state.targets.why_paused(name)) in LEFT.values():
        raise TargetError(
            f"{reason}, and would be paused again",
            service="targets",
            target=name,
            remedy=f"`yse-ingest targets add {name}` follows it whatever is there.",
        )
    was_stopped = Auditor(service).take(name)
    was_paused = service.state.targets.resume(name)
    was_refused = service.state.outbox.release_refused(outbox_key(service.state, name))
    if not was_paused and not was_refused and not was_stopped:
        if terminal.as_json:
            terminal.result({"target": name, "state": "not paused"})
        else:
            say(f"{name} was neither paused nor stopped nor refused")
        raise SystemExit(FAILED)
    _tell(terminal, name, "resumed", say)


def _known(service: Service, name: str) -> str:
    """Return the canonical name of a target that is followed.

    Raises
    ------
    UnknownTargetError
        When it is not.
    """
    from yse_ingest.errors import UnknownTargetError

    service.sync_targets_file()
    target = service.state.targets.get(name)
    if target is None:
        raise UnknownTargetError(
            "it is not followed",
            service="targets",
            target=name,
            remedy="`yse-ingest targets list` names what is.",
        )
    return target.name


def _tell(terminal: Terminal, name: str, state: str, say: Any) -> None:
    if terminal.as_json:
        terminal.result({"target": name, "state": state})
    else:
        say(f"{name} is {state}")
