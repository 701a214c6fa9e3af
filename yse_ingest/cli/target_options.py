"""The options with which a command is told about one target."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click

from yse_ingest.cli.completion import source_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from marshmallow import ValidationError

    from yse_ingest.service import Service
    from yse_ingest.targets import Target

_Command = TypeVar("_Command", bound="Callable[..., Any]")


class PlaceOptions(TypedDict):
    """What `place_options` gives a command."""

    ra: float | None
    dec: float | None
    object_id: str | None
    since: str | None
    source: str | None


class ScheduleOptions(TypedDict):
    """What `schedule_options` gives a command."""

    every: str | None
    until: str | None
    expires: str | None
    priority: str | None


class CreationOptions(TypedDict):
    """What `creation_options` gives a command."""

    create: bool
    status: str | None
    obs_group: str | None
    tags: tuple[str, ...]


def _joined(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> str | None:
    """Return repeated options as one text; None where there are none."""
    return ",".join(given) or None


def place_options(command: _Command) -> _Command:
    """Give a command the place, object and source of a target."""
    for option in (
        click.option(
            "--source",
            metavar="SOURCE",
            multiple=True,
            shell_complete=source_names,
            callback=_joined,
            help="Where to ask: alerce, fink, mars...; several in order: alerce,fink.",
        ),
        click.option("--since", metavar="DATE", help="Nothing before this date belongs to it."),
        click.option("--object-id", metavar="ID", help="The source's name of the object."),
        click.option("--dec", type=float, help="Declination, ICRS [deg]."),
        click.option("--ra", type=float, help="Right ascension, ICRS [deg]."),
    ):
        command = option(command)
    return command


def schedule_options(command: _Command) -> _Command:
    """Give a command when a target is to be asked about."""
    for option in (
        click.option("--priority", metavar="P", help="low, normal, high, or a whole number."),
        click.option("--expires", metavar="WHEN", help="Then ask no more: a date, or 30d."),
        click.option("--until", metavar="WHEN", help="So long --every holds: a date, or 2d."),
        click.option("--every", metavar="HOW OFTEN", help="30m, 2h, 1d, or adaptive."),
    ):
        command = option(command)
    return command


def creation_options(command: _Command) -> _Command:
    """Give a command what is needed to create a transient."""
    for option in (
        click.option(
            "--tag", "tags", multiple=True, metavar="T", help="Its tags (repeatable)."
        ),
        click.option("--obs-group", metavar="G", help="Its observing group."),
        click.option("--status", metavar="S", help="Its status."),
        click.option("--create", is_flag=True, help="Create it where YSE-PZ does not know it."),
    ):
        command = option(command)
    return command


def creation_of(options: CreationOptions) -> dict[str, Any] | None:
    """Return the creation fields that the options give; None: never created."""
    names = ("status", "obs_group", "tags")
    fields = {name: options[name] for name in names if options[name]}  # type: ignore[literal-required]
    if "tags" in fields:
        fields["tags"] = list(fields["tags"])
    if fields and not options["create"]:
        raise click.UsageError("--status, --obs-group and --tag go with --create.")
    return fields if options["create"] else None


def known_target(service: Service, name: str, *, ask_state: bool) -> Target | None:
    """Return the target of this name that the targets file has, or with ``ask_state`` Redis."""
    from yse_ingest.targets import canonical_name

    wanted = canonical_name(name)
    for target in service.targets_file().targets:
        if target.name == wanted:
            return target
    return service.state.targets.get(wanted) if ask_state else None


def chosen_targets(service: Service, names: Sequence[str]) -> list[Target]:
    """Return the named targets, as followed where they are; all there are without names."""
    from yse_ingest.targets import Target

    service.sync_targets_file()
    if not names:
        return [target for target, _ in service.state.targets.all()]
    return [known_target(service, name, ask_state=True) or Target(name) for name in names]


def all_targets(service: Service) -> list[Target]:
    """Return the targets of the file, and those of the state where one is configured."""
    found = {target.name: target for target in service.targets_file().targets}
    if service.settings.state_url:
        for target, _ in service.state.targets.all():
            found.setdefault(target.name, target)
    return list(found.values())


def target_of(
    name: str,
    place: PlaceOptions,
    *,
    known: Target | None = None,
    creation: Mapping[str, Any] | None = None,
    schedule: ScheduleOptions | None = None,
) -> Target:
    """Return the target that the options describe, laid over what is known of it."""
    from yse_ingest.targets import Target

    fields: dict[str, Any] = {
        key: place[key]  # type: ignore[literal-required]
        for key in PlaceOptions.__annotations__
        if place[key] is not None  # type: ignore[literal-required]
    }
    if creation is not None:
        fields["creation"] = creation
    if schedule is not None:
        fields |= _schedule_of(schedule)
    return Target(name, **fields) if known is None else replace(known, **fields)


def _schedule_of(options: ScheduleOptions) -> dict[str, Any]:
    """Return the fields of a target that say when it is asked about."""
    from marshmallow import ValidationError

    from yse_ingest.schemas.target_fields import Every, Priority

    if options["until"] is not None and options["every"] is None:
        raise click.UsageError("--until goes with --every.")
    found: dict[str, Any] = {}
    try:
        if options["every"] is not None:
            found["cadence_s"] = Every().read(options["every"])
            # One without --until holds always.
            found["until"] = None
    except ValidationError as error:
        raise click.BadParameter(_said(error), param_hint="--every") from error
    try:
        if options["priority"] is not None:
            found["priority"] = Priority().read(options["priority"])
    except ValidationError as error:
        raise click.BadParameter(_said(error), param_hint="--priority") from error
    for field in ("until", "expires"):
        given = options[field]
        if given is not None:
            found[field] = moment(given, f"--{field}")
    return found


def moment(text: str, option: str) -> str:
    """Return a date that an option gives, or so long after now, as ISO text."""
    import time

    from yse_ingest.times import date_or_after

    try:
        return date_or_after(text, now_s=time.time())
    except ValueError:
        hint = f"{text!r} is neither a date, as 2019-01-09, nor a time span, as 2d"
        raise click.BadParameter(hint, param_hint=option) from None


def _said(error: ValidationError) -> str:
    return (
        "; ".join(map(str, error.messages)) if isinstance(error.messages, list) else str(error)
    )
