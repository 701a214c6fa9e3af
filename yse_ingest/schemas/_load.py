"""The one door through which data enters a schema, and what comes out when it does not fit.

Nothing else calls ``Schema.load``: marshmallow types its result as anything at all.
"""

from __future__ import annotations

import contextlib
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

from marshmallow import Schema, ValidationError, fields

from yse_ingest.schemas.plain_rows import PlainReader, plain_reader

EXCERPT_LENGTH = 500
_VALUE_LENGTH = 80

_shorten = reprlib.Repr()
_shorten.maxlevel = 4
_shorten.maxdict = 40
_shorten.maxstring = _shorten.maxother = _shorten.maxlong = _VALUE_LENGTH


@dataclass(frozen=True)
class Fault:
    """One field of a row that does not fit."""

    field: str
    """Path of the field, as the wire names it: ``candidate.magpsf``; empty: the whole row."""
    value: object
    """What it held (shortened text for anything long); None where it is absent."""
    reason: str
    """Why it does not fit, to be read after the field: "is -999.0, which is not positive"."""

    def __str__(self) -> str:
        """Return field and reason as a sentence without a full stop."""
        return f"{self.field or 'the row'} {self.reason}"


@dataclass(frozen=True)
class Refusal:
    """A row that was set aside, with every fault of it."""

    row: int
    """Position in the list that was loaded, from 0."""
    native_id: str | None
    """The row's own id as text, where it has one."""
    faults: tuple[Fault, ...]
    excerpt: str
    """The fields of the row that the schema reads, shortened to 500 characters."""

    def __str__(self) -> str:
        """Return id and faults as one line."""
        name = self.native_id or f"row {self.row}"
        return f"{name}: {'; '.join(map(str, self.faults))}"


_watched: ContextVar[list[tuple[Schema, list[object]]] | None] = ContextVar(
    "watched", default=None
)


@contextlib.contextmanager
def watched() -> Iterator[list[tuple[Schema, list[object]]]]:
    """Note every table that is loaded within the block: the schema, and the raw rows."""
    tables: list[tuple[Schema, list[object]]] = []
    token = _watched.set(tables)
    try:
        yield tables
    finally:
        _watched.reset(token)


def load(schema: Schema, data: object) -> dict[str, Any]:
    """Return the data as the schema reads it.

    Raises
    ------
    marshmallow.ValidationError
        With every fault at once; `faults_of` lists them.
    """
    return cast("dict[str, Any]", schema.load(cast("Mapping[str, Any]", data)))


def load_rows(
    schema: Schema, rows: Iterable[object], *, id_key: str | None = None
) -> tuple[list[dict[str, Any]], list[Refusal]]:
    """Return the rows that fit, in order, and the refusals of the others.

    Parameters
    ----------
    schema
        Reads one row.
    rows
        Anything that came over the wire: a row that is no mapping is refused, too.
    id_key
        Key under which a row holds its own id.
    """
    tables = _watched.get()
    if tables is not None:
        rows = list(rows)
        tables.append((schema, rows))
    loaded: list[dict[str, Any]] = []
    refused: list[Refusal] = []
    plain = plain_reader(schema)
    for number, row in enumerate(rows):
        try:
            loaded.append(load(schema, row) if plain is None else _read(plain, schema, row))
        except ValidationError as error:
            refused.append(
                Refusal(
                    row=number,
                    native_id=_native_id(row, id_key),
                    faults=faults_of(error, row),
                    excerpt=excerpt(schema, row),
                )
            )
    return loaded, refused


def _read(plain: PlainReader, schema: Schema, row: object) -> dict[str, Any]:
    try:
        return plain.read(row)
    except ValidationError:
        return load(schema, row)


def faults_of(error: ValidationError, data: object) -> tuple[Fault, ...]:
    """Return marshmallow's messages as a flat tuple, each with the value at fault."""
    return tuple(
        Fault(field=".".join(path), value=shown(_value_at(data, path)), reason=reason)
        for path, reason in _flatten(error.messages, ())
    )


def excerpt(schema: Schema, row: object) -> str:
    """Return the part of a row that the schema reads as text, at most 500 characters.

    What else a row carries is left out: signed addresses, images, a hundred other columns.
    """
    return _shorten.repr(_read_part(schema, row))[:EXCERPT_LENGTH]


def _flatten(messages: object, path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], str]]:
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            yield from _flatten(below, path if key == "_schema" else (*path, str(key)))
    elif isinstance(messages, list | tuple):
        for below in messages:
            yield from _flatten(below, path)
    else:
        yield path, str(messages).rstrip(".")


def _value_at(data: object, path: Sequence[str]) -> object:
    for key in path:
        if isinstance(data, Mapping):
            data = data.get(key)
        elif isinstance(data, list | tuple) and key.isdecimal() and int(key) < len(data):
            data = data[int(key)]
        else:
            return None
    return data


def shown(value: object) -> object:
    """Return a value of the wire, as text and shortened where it is long."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and value.bit_length() <= 64:
        return value
    if isinstance(value, str) and len(value) <= _VALUE_LENGTH:
        return value
    return _shorten.repr(value)[:_VALUE_LENGTH]


def _native_id(row: object, id_key: str | None) -> str | None:
    value = row.get(id_key) if id_key and isinstance(row, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(shown(value))


def _read_part(schema: Schema, row: object) -> object:
    if not isinstance(row, Mapping):
        return row
    part: dict[str, object] = {}
    for name, field in schema.fields.items():
        key = field.data_key or name
        if key in row:
            below = row[key]
            part[key] = (
                _read_part(field.schema, below) if isinstance(field, fields.Nested) else below
            )
    return part
