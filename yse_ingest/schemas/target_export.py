"""The registry as a file: what `yse_ingest.schemas.targets` reads, with pauses and lists."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import MISSING, dataclass, fields
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from yse_ingest.schemas.target_fields import NOTHING
from yse_ingest.schemas.target_tables import TABLES
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from yse_ingest.selection import Selection

SUFFIXES = (".toml", *TABLES)
"""Endings of the names of files that can be written and read."""
_DEGREES = ("ra", "dec")


@dataclass(frozen=True)
class Exported:
    """One target, and why it is paused; None: it is not."""

    target: Target
    paused: str | None = None
    listed: bool = False
    """It is followed because of a list of YSE-PZ, and nobody else."""


def export_targets(
    exported: Iterable[Exported], *, suffix: str, lists: Iterable[Selection] = ()
) -> str:
    """Return the text of a file with these targets; ``suffix`` is one of `SUFFIXES`.

    Parameters
    ----------
    lists
        Lists of YSE-PZ that are followed. A table has no place for them: there all targets are
        as if a person had added them.

    Raises
    ------
    KeyError
        When the ending is none of them.
    """
    writers = {".csv": _csv, ".ecsv": _ecsv}
    suffix = PurePath(f"x{suffix}").suffix.lower()
    if suffix != ".toml":
        return writers[suffix]([_entry(each) for each in exported])
    entries = [
        {**_entry(each), "listed": True} if each.listed else _entry(each) for each in exported
    ]
    return "\n".join(
        [
            *_sections("lists", ({"terms": each.as_list()} for each in lists)),
            *_sections("targets", entries),
        ]
    )


def _entry(exported: Exported) -> dict[str, Any]:
    """Return what a target file would say of it."""
    entry: dict[str, Any] = {}
    for item in fields(Target):
        value = getattr(exported.target, item.name)
        default = item.default if item.default_factory is MISSING else item.default_factory()
        if item.name != "name" and value == default:
            continue
        if item.name == "overrides":
            entry |= {key: NOTHING if one is None else one for key, one in value.items()}
        else:
            entry[item.name.removesuffix("_s")] = value
    if exported.paused is not None:
        entry["paused"] = exported.paused
    return entry


def _sections(name: str, entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for entry in entries:
        lines = (f"{key} = {_toml_value(value)}\n" for key, value in entry.items())
        yield f"[[{name}]]\n{''.join(lines)}"


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {_toml_value(one)}" for key, one in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    # What JSON writes of text, numbers and truth is TOML, too; DEL is no text there.
    return json.dumps(value).replace("\x7f", "\\u007f")


def _csv(entries: Sequence[Mapping[str, Any]]) -> str:
    columns = _columns(entries)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(entry.get(column)) for column in columns] for entry in entries)
    return text.getvalue()


def _ecsv(entries: Sequence[Mapping[str, Any]]) -> str:
    kinds = (
        f"# - {{name: {column}, unit: deg, datatype: float64}}\n"
        if column in _DEGREES
        else f"# - {{name: {column}, datatype: string}}\n"
        for column in _columns(entries)
    )
    head = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n"
    return f"{head}{''.join(kinds)}# schema: astropy-2.0\n{_csv(entries)}"


def _columns(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(["name", *(key for entry in entries for key in entry)]))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
