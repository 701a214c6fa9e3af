"""Tables of targets, CSV and ECSV: one target a row, one field of the target file a column.

::

    # lines that begin with # are comments
    name,ra,dec,source,cadence,creation.status,creation.obs_group
    2019np,157.3415,29.5106667,"alerce,fink",2h,New,ZTF

An empty cell is not given. Names in a list are parted by ``;``. Tables inside of a target are
columns with a dot (``creation.status``) or one cell of JSON. ECSV is the same below its own
comments; a unit of ra and dec other than deg is refused.
"""

from __future__ import annotations

import csv
import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marshmallow import fields as wire

from yse_ingest.schemas._load import Fault
from yse_ingest.schemas.target_fields import NOTHING, Truth
from yse_ingest.schemas.value_fields import Number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from marshmallow import Schema

TABLES = (".csv", ".ecsv")
"""Endings of the names of tables."""
LISTS = ("creation.tags",)
"""Columns that are lists, beside those of the schema."""
PARTS = "creation"
"""The field of a target that is a table of its own."""

_ALIASES = {"decl": "dec", "raj2000": "ra", "dej2000": "dec", "every": "cadence"}
_TRUTHS = {"true": True, "false": False, "yes": True, "no": False}
_DELIMITER = re.compile(r"#\s*delimiter:\s*['\"]?(.)")
_COLUMN = re.compile(r"#\s*-\s*\{(.*)\}")


@dataclass(frozen=True)
class LineFault:
    """What of one line cannot be used."""

    line: int
    """From 1."""
    name: str | None
    """Name of the target, where it has one."""
    fault: Fault


@dataclass(frozen=True)
class Table:
    """A table as the target file would have it: nothing is checked yet."""

    entries: Sequence[Mapping[str, Any]]
    lines: Sequence[int]
    """The line of each entry, from 1."""
    faults: Sequence[LineFault]


def parse_table(text: str, schema: Schema, *, ecsv: bool = False) -> Table:
    """Return the rows of a table as entries of the target file.

    Parameters
    ----------
    schema
        Reads one target: its fields are the columns.
    ecsv
        The table is ECSV: its delimiter and units stand in its comments.
    """
    comments, lines = _parted(text)
    faults: list[LineFault] = []
    if not lines:
        return Table((), (), ())
    delimiter = _delimiter(comments) if ecsv else ","
    head_line, head = lines[0]
    columns = _columns(_cells(head, delimiter) or [], schema, head_line, faults)
    if ecsv:
        faults += _wrong_units(comments)
        wrong = {each.fault.field for each in faults}
        columns = [None if name in wrong else name for name in columns]
    entries: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in lines[1:]:
        cells = _cells(line, delimiter)
        if cells is None or len(cells) != len(columns):
            found = "has a quote that does not end" if cells is None else f"{len(cells)} cells"
            reason = found if cells is None else f"has {found}, the header {len(columns)}"
            faults.append(LineFault(number, None, Fault("", line[:80], reason)))
            continue
        entries.append(_entry(columns, cells, schema))
        numbers.append(number)
    return Table(entries, numbers, faults)


def _parted(text: str) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Return comments and other lines that are not empty, each with its number."""
    comments: list[tuple[int, str]] = []
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            comments.append((number, line))
        elif line.strip():
            lines.append((number, line))
    return comments, lines


def _delimiter(comments: Sequence[tuple[int, str]]) -> str:
    found = (_DELIMITER.match(line) for _, line in comments)
    return next((match[1] for match in found if match), " ")


def _wrong_units(comments: Sequence[tuple[int, str]]) -> list[LineFault]:
    faults = []
    for number, line in comments:
        match = _COLUMN.match(line)
        parts = (
            dict(part.strip().split(": ", 1) for part in match[1].split(",")) if match else {}
        )
        name = _word(parts.get("name", ""))
        unit = parts.get("unit", "deg")
        if name in {"ra", "dec"} and unit != "deg":
            reason = f"is in {unit}; write the table in degrees"
            faults.append(LineFault(number, None, Fault(name, unit, reason)))
    return faults


def _cells(line: str, delimiter: str) -> list[str] | None:
    """Return the cells of a line; None: a quote does not end."""
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


def _columns(
    names: Sequence[str], schema: Schema, line: int, faults: list[LineFault]
) -> list[str | None]:
    """Return the field of each column; None: it is none, which is told."""
    columns: list[str | None] = []
    for shown in names:
        name = _word(shown)
        reason = None
        if name.partition(".")[0] not in schema.fields:
            close = difflib.get_close_matches(name, list(schema.fields), n=1)
            reason = "is no column" + (f"; did you mean {close[0]}?" if close else "")
            reason += "; it is left out"
        elif name in columns:
            reason = "is a column a second time; the first is taken"
        if reason is not None:
            faults.append(LineFault(line, None, Fault(name, shown, reason)))
        columns.append(name if reason is None else None)
    return columns


def _word(name: str) -> str:
    word = name.strip().lower().replace(" ", "_")
    return _ALIASES.get(word, word)


def _entry(
    columns: Sequence[str | None], cells: Sequence[str], schema: Schema
) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for name, cell in zip(columns, cells, strict=True):
        text = cell.strip()
        if name is None or not text:
            continue
        field, _, part = name.partition(".")
        value = _value(text, schema.fields[field], is_list=name in LISTS)
        if part:
            entry.setdefault(field, {})[part] = value
        else:
            entry[field] = value
    return entry


def _value(text: str, field: wire.Field[Any], *, is_list: bool) -> Any:
    """Return a cell as TOML would have it; the schema judges what it is not."""
    if text == NOTHING:
        return text
    if text[0] in "{[":
        try:
            return json.loads(text)
        except ValueError:
            return text
    if is_list or isinstance(field, wire.List):
        return [one.strip() for one in text.split(";")]
    if isinstance(field, Truth):
        return _TRUTHS.get(text.lower(), text)
    if isinstance(field, Number):
        try:
            return float(text)
        except ValueError:
            return text
    return text
