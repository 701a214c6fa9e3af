"""``yse-ingest targets import`` and ``export``: targets and files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yse_ingest.cli.terminal import FAILED, Terminal, terminal_options

if TYPE_CHECKING:
    from yse_ingest.schemas.targets import TargetsFile
    from yse_ingest.service import Service
    from yse_ingest.targets import Target

AT_ONCE = 5000
"""Targets between two moves of the progress bar."""


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@terminal_options
def import_targets(terminal: Terminal, file: Path) -> None:
    """Follow what a file lists, as if each were added by hand.

    FILE is TOML, CSV or ECSV, as its name ends: a list of your own, or what `targets export`
    wrote, with its pauses and the lists of YSE-PZ that it follows. Safe to repeat. What cannot
    be used is told with its line; the rest is taken. Targets of the targets file stay as that
    file has them. Exit code 1 where something could not be used.

    \b
    Example:
      yse-ingest targets import candidates.csv
    """
    from yse_ingest.cli.render import say
    from yse_ingest.schemas.targets import load_targets_file

    service = terminal.service()
    service.sync_targets_file()
    settings = service.settings
    read = load_targets_file(
        file, rules=settings.rules, source=settings.default_source, exported=True
    )
    told = _import(service, read, shown=not terminal.as_json)
    problems = [*map(str, read.problems), *_not_imported(read)]
    if terminal.as_json:
        terminal.result({"file": str(file), **told, "problems": problems})
    else:
        for problem in problems:
            click.echo(f"{file.name}: {problem}", err=True)
        say(f"{file.name}: " + ", ".join(f"{count} {what}" for what, count in told.items()))
    if read.problems:
        raise SystemExit(FAILED)


def _import(service: Service, read: TargetsFile, *, shown: bool) -> dict[str, int]:
    """Put the targets of a file; return what became of how many."""
    from yse_ingest.cli.render import progress
    from yse_ingest.follow import wanted_lists

    registry = service.state.targets
    in_file = {target.name for target in service.targets_file().targets}
    told = {"new": 0, "changed": 0, "unchanged": 0, "of the targets file": 0, "paused": 0}
    known_lists = wanted_lists(service) or frozenset()
    lists = service.state.lists.add(each for each in read.lists if each not in known_lists)
    with progress("importing", len(read.targets), shown=shown) as advance:
        for start in range(0, len(read.targets), AT_ONCE):
            some = read.targets[start : start + AT_ONCE]
            known = {each.name: each for each, _ in registry.many(one.name for one in some)}
            wanted: list[Target] = []
            for target in some:
                what = _what(target, known.get(target.name), in_file)
                told[what] += 1
                if what in {"new", "changed"}:
                    wanted.append(target)
            listed = read.listed if read.lists else frozenset()
            for origin in ("adhoc", "list"):
                of_list = origin == "list"
                registry.put_many(
                    [each for each in wanted if (each.name in listed) == of_list], origin=origin
                )
            advance(len(some))
    already = registry.paused()
    pauses = {name: why for name, why in read.paused.items() if already.get(name) != why}
    registry.pause_many(pauses)
    return {**told, "paused": len(pauses), "lists": len(lists)}


def _what(target: Target, known: Target | None, in_file: set[str]) -> str:
    if known is None:
        return "new"
    if known == target:
        return "unchanged"
    return "of the targets file" if target.name in in_file else "changed"


def _not_imported(read: TargetsFile) -> list[str]:
    """Return which sections do not hold for single targets."""
    sections = {
        "[defaults]": read.defaults or read.default_cadence_s or read.default_source,
        "[sources]": read.source_overrides,
        "[follow]": read.following,
    }
    return [
        f"{name} is not imported: it holds for all targets; write it into the targets file"
        for name, content in sections.items()
        if content
    ]


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@terminal_options
def export(terminal: Terminal, file: Path | None) -> None:
    """Write all that is followed into a file, with pauses, cadences and lists of YSE-PZ.

    FILE is TOML, CSV or ECSV, as its name ends, and readable by you alone; without FILE it is
    TOML on the output. `targets import` of it, anywhere, gives the same registry.

    \b
    Examples:
      yse-ingest targets export backup.toml
      yse-ingest targets export targets.csv
    """
    from yse_ingest.cli.render import plural, say, warn
    from yse_ingest.follow import wanted_lists
    from yse_ingest.schemas.target_export import SUFFIXES, Exported, export_targets

    suffix = ".toml" if file is None else file.suffix.lower()
    if suffix not in SUFFIXES:
        raise click.BadParameter(f"its name must end in {', '.join(SUFFIXES)}")
    service = terminal.service()
    service.sync_targets_file()
    registry = service.state.targets
    paused = registry.paused()
    every = [
        Exported(target, paused.get(target.name), listed=origin == "list")
        for target, origin in registry.all()
    ]
    lists = sorted(wanted_lists(service) or ())
    text = export_targets(every, suffix=suffix, lists=lists)
    if file is not None:
        _write(file, text)
    if terminal.as_json:
        told: dict[str, Any] = {"file": None if file is None else str(file)}
        told |= {
            "targets": len(every),
            "lists": len(lists) if suffix == ".toml" else 0,
            "paused": sum(each.paused is not None for each in every),
        }
        terminal.result(told if file is not None else {**told, "text": text})
    elif file is None:
        click.echo(text, nl=False)
    else:
        say(f"{file}: {plural(len(every), 'target')}")
    if lists and suffix != ".toml":
        warn(f"{plural(len(lists), 'list')} of YSE-PZ cannot stand in a table: export .toml")


def _write(path: Path, text: str) -> None:
    """Write a file whole, or not at all; it may name private targets."""
    from yse_ingest.errors import SettingsError

    part = path.with_name(f"{path.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(path)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written ({error.strerror})",
            service="targets",
            remedy="Choose a place that this user may write to.",
        ) from error
