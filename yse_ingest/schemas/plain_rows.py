"""The short way through a schema for rows in which nothing is unusual: most of them.

marshmallow spends ten times as long on a row as the reading of its values takes. Here the same
fields read the same values, one after the other. Whatever is unusual (a value missing or
refused, another type) goes the whole way through `Schema.load`, which alone tells of faults:
so both ways give the same rows and the same refusals.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from marshmallow import EXCLUDE, ValidationError, fields, missing

from yse_ingest.schemas.alert_fields import AlertPart
from yse_ingest.schemas.value_fields import ValueField

if TYPE_CHECKING:
    from collections.abc import Callable

    from marshmallow import Schema


class _Cell(NamedTuple):
    name: str
    key: str
    """Its name on the wire."""
    read: Callable[[Any], Any]
    default: Any
    allow_none: bool


class PlainReader:
    """Reads the plain rows of one schema.

    Parameters
    ----------
    cells
        What it reads, in the schema's order.
    finish
        What the schema makes of a row in the end.
    """

    def __init__(
        self, cells: list[_Cell], finish: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        self._cells = cells
        self._finish = finish

    @classmethod
    def of(cls, schema: Schema) -> PlainReader | None:
        """Return the reader of a schema; None where only marshmallow knows what it does."""
        if (
            not isinstance(schema, AlertPart)
            or schema.unknown != EXCLUDE
            or schema.many
            or schema.partial
            or _hooks(schema) != _HOOKS
        ):
            return None
        cells: list[_Cell] = []
        for name, field in schema.load_fields.items():
            cell = _cell(name, field)
            if cell is None:
                return None
            cells.append(cell)
        return cls(cells, schema.finish)

    def read(self, row: object) -> dict[str, Any]:
        """Return a row as `Schema.load` does.

        Raises
        ------
        marshmallow.ValidationError
            When something is unusual about it; that tells no more than this.
        """
        if type(row) is not dict:
            raise _UNUSUAL
        loaded: dict[str, Any] = {}
        for name, key, read, default, allow_none in self._cells:
            value = row.get(key, missing)
            if value is missing:
                if default is missing:
                    raise _UNUSUAL
                loaded[name] = default
            elif value is None:
                if not allow_none:
                    raise _UNUSUAL
                loaded[name] = None
            else:
                loaded[name] = read(value)
        return self._finish(loaded)


def _hooks(schema: Schema) -> dict[Any, Any]:
    """Return the further steps of a schema; a load leaves empty lists behind."""
    hooks = schema._hooks  # noqa: SLF001  no other way to ask
    return {when: steps for when, steps in hooks.items() if steps}


_HOOKS = _hooks(AlertPart())
"""Those that `AlertPart.finish` stands for."""
_UNUSUAL = ValidationError("is unusual")


@functools.lru_cache(maxsize=64)
def plain_reader(schema: Schema) -> PlainReader | None:
    """Return the reader of a schema, made once; None where there is none."""
    return PlainReader.of(schema)


def _cell(name: str, field: fields.Field[Any]) -> _Cell | None:
    """Return how a field is read; None where it does more than to read a value."""
    read: Callable[[Any], Any]
    match field:
        case ValueField():
            read = field.read
        case fields.Nested() if not field.many and field.unknown is None:
            reader = PlainReader.of(field.schema)
            if reader is None:
                return None
            read = reader.read
        case _:
            return None
    key = name if field.data_key is None else field.data_key
    does_more = field.validators or field.pre_load or field.post_load or field.attribute
    if does_more or "." in name or callable(field.load_default):
        return None
    return _Cell(name, key, read, field.load_default, field.allow_none)
