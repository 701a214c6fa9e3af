"""The options with which a command is told about one target."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
    cadence: str | None = None,
) -> Target:
    """Return the target that the options describe, laid over what is known of it."""
    from yse_ingest.targets import Target
    from yse_ingest.times import parse_duration

    fields: dict[str, Any] = {
        key: place[key]  # type: ignore[literal-required]
        for key in PlaceOptions.__annotations__
        if place[key] is not None  # type: ignore[literal-required]
    }
    if creation is not None:
        fields["creation"] = creation
    if cadence is not None:
        try:
            fields["cadence_s"] = parse_duration(cadence)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--every") from error
    return Target(name, **fields) if known is None else replace(known, **fields)
