"""A probe: one question to a source, and its reply compared with the contract, field by field.

What is expected is read off the schemas by which the rows are loaded, so that every source can
be probed. A source may name them in ``contract``: then they are listed even where no row came.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, ValidationError, fields

from yse_ingest.schemas._load import faults_of, load, shown, watched
from yse_ingest.schemas.alert_fields import Choice, NativeId, ObjectId, Score, Sign
from yse_ingest.schemas.value_fields import Number, Text
from yse_ingest.sources import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from yse_ingest.errors import YseIngestError
    from yse_ingest.sources import Answer, Ask, Source

ROWS_MAX = 1000
"""So many rows of a table are looked at."""


@dataclass(frozen=True)
class FieldReport:
    """One field of the contract, as it was found."""

    field: str
    """As the wire names it: ``candidate.magpsf``."""
    type: str
    """What it should be, in words."""
    required: bool
    present: int
    """Rows that have it, with a value."""
    example: object
    """Its first value."""
    problem: str
    """What is wrong with it, in how many rows; "": nothing."""
    differs: bool
    """Whether it differs from the contract: it is wrong in all rows that should have it."""


@dataclass(frozen=True)
class TableReport:
    """The rows of one kind."""

    name: str
    rows: int
    fields: tuple[FieldReport, ...]
    other_keys: tuple[str, ...]
    """Keys of the first row that nobody reads."""

    def like(self, path: str) -> str | None:
        """Return the key that nobody reads and whose name is most like that of a field."""
        last = path.rpartition(".")[2]
        names = {key.rpartition(".")[2]: key for key in self.other_keys}
        longer = sorted((name for name in names if last in name), key=len)
        alike = longer or difflib.get_close_matches(last, names)
        return names[alike[0]] if alike else None


@dataclass(frozen=True)
class Probe:
    """What one question showed."""

    answer: Answer
    tables: tuple[TableReport, ...]
    problems: tuple[str, ...] = field(default=())
    """What differs from the contract, as sentences without a full stop."""

    @property
    def rows(self) -> int:
        """Return how many rows were compared."""
        return sum(table.rows for table in self.tables)

    @property
    def is_as_agreed(self) -> bool:
        """Tell whether rows came and nothing differs, or the source still works on them."""
        if self.answer.status is Status.PENDING:
            return True
        return bool(self.rows) and not self.problems


def probe(source: Source, ask: Ask) -> Probe:
    """Ask a source one question, and compare what it sends with its contract.

    What is wrong with the reply stands in the result; nothing is raised for it.
    """
    with watched() as loaded:
        (answer,) = source.fetch([ask])
        answer.clean_up()
    rows: dict[type[Schema], tuple[Schema, list[object]]] = {
        schema: (schema(), []) for schema in getattr(source, "contract", ())
    }
    for schema, part in loaded:
        rows.setdefault(type(schema), (schema, []))[1].extend(part)
    tables = tuple(compared(schema, part) for schema, part in rows.values())
    return Probe(answer, tables, tuple(_problems(answer.error, tables)))


def compared(schema: Schema, rows: Sequence[object]) -> TableReport:
    """Compare rows as they came with the schema that reads them."""
    some = rows[:ROWS_MAX]
    wrong: dict[str, list[str]] = {}
    for row in some:
        for path, reason in _faults(schema, row).items():
            wrong.setdefault(path, []).append(reason)
    others = sorted(_other_keys(schema, some[0], "")) if some else []
    return TableReport(
        name=_name(schema),
        rows=len(some),
        fields=tuple(_fields(schema, some, wrong, prefix="")),
        other_keys=tuple(others),
    )


def _problems(error: YseIngestError | None, tables: Sequence[TableReport]) -> Iterator[str]:
    found = False
    for table in tables:
        for each in table.fields:
            if each.differs:
                found = True
                like = table.like(each.field) if each.present == 0 else None
                hint = f" (it may be called {like} now)" if like else ""
                yield f"{table.name}: {each.field} {each.problem}{hint}"
    if error is not None and not found:
        yield error.fact


def _faults(schema: Schema, row: object) -> dict[str, str]:
    try:
        load(schema, row)
    except ValidationError as error:
        return {fault.field: fault.reason for fault in faults_of(error, row)}
    return {}


def _fields(
    schema: Schema, rows: Sequence[object], wrong: Mapping[str, list[str]], *, prefix: str
) -> Iterator[FieldReport]:
    for name, each in schema.fields.items():
        key = each.data_key or name
        values = [row.get(key) if isinstance(row, Mapping) else None for row in rows]
        if isinstance(each, fields.Nested):
            yield from _fields(each.schema, values, wrong, prefix=f"{prefix}{key}.")
            continue
        path = prefix + key
        reasons = [
            reason
            # What is missing as a whole is missing in all its parts, too.
            for place in (path, prefix.removesuffix(".") or None, "")
            if place is not None
            for reason in wrong.get(place, [])
        ]
        present = [value for value in values if value is not None]
        expected = len(rows) if each.required else len(present)
        differs = 0 < expected <= len(reasons)
        share = "" if differs else f" in {len(reasons)} of {len(rows)} rows"
        yield FieldReport(
            field=path,
            type=_type(each),
            required=each.required,
            present=len(present),
            example=shown(present[0]) if present else None,
            problem=f"{reasons[0]}{share}" if reasons else "",
            differs=differs,
        )


def _other_keys(schema: Schema, row: object, prefix: str) -> Iterator[str]:
    if not isinstance(row, Mapping):
        return
    known = {each.data_key or name: each for name, each in schema.fields.items()}
    for key, value in row.items():
        each = known.get(key)
        if each is None:
            yield f"{prefix}{key}"
        elif isinstance(each, fields.Nested):
            yield from _other_keys(each.schema, value, f"{prefix}{key}.")


def _type(each: fields.Field[Any]) -> str:
    match each:
        case Number(low=low, high=high):
            return f"number, {low:.10g} to {high:.10g}"
        case Choice(meanings=meanings):
            # A number, and the same one as text.
            return f"one of {', '.join(dict.fromkeys(map(str, meanings)))}"
        case NativeId():
            return "whole number"
        case Sign():
            return "sign"
        case Score():
            return "number or none"
        case ObjectId() | Text():
            return "text"
        case _:
            return type(each).__name__.lower()


def _name(schema: Schema) -> str:
    return type(schema).__name__.removesuffix("Schema").lower() or "row"
