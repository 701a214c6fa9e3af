"""What YSE-PZ shows: list pages, transients, aliases, and the photometry of one transient."""

from __future__ import annotations

import math
import re
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, pre_load
from marshmallow.validate import Range

from yse_ingest.times import time_ms_of_date

PK_MAX = 2**32 - 1
"""Largest primary key of a row: the ledger keeps 32 bits, and 0 is a row not seen yet."""
PK_DIGITS_MAX = 18

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z?", re.ASCII)


def pk_of_link(value: object) -> int:
    """Return the primary key at the end of a hyperlink to a row.

    Only the path counts: behind the shipped nginx the links lose the port, and behind another
    proxy they may name an inner host (measured 2026-11).

    Raises
    ------
    marshmallow.ValidationError
        When it is no such link.
    """
    try:
        path = urlsplit(value).path if isinstance(value, str) else ""
    except ValueError:  # "http://[" is no address
        path = ""
    tail = path.rstrip("/").rpartition("/")[2]
    # A number of 5000 digits would not even be converted.
    if not (tail.isascii() and tail.isdecimal() and len(tail) <= PK_DIGITS_MAX):
        raise ValidationError("is no link to a row")
    if not int(tail):
        raise ValidationError("is no link to a row: there is no row 0")
    return int(tail)


def link(**kwargs: Any) -> fields.Function:
    """Return a field that reads a hyperlink as the primary key of its row."""
    return fields.Function(deserialize=pk_of_link, **kwargs)


def _number(value: object) -> float | None:
    """Return a number of a stored row; what is not finite is None, like null."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValidationError("is not a number")
    try:
        number = float(value)
    except OverflowError:
        raise ValidationError("is no number that a column holds") from None
    return number if math.isfinite(number) else None


def _moment(value: object) -> str:
    """Return a time as YSE-PZ shows it: with milliseconds, or without where they are zero."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValidationError("is no UTC date and time")
    try:
        np.datetime64(value.rstrip("Z"), "ms")
    except ValueError:
        raise ValidationError("is no UTC date and time") from None
    return value


def _if_moment(value: object) -> str | None:
    """Return a time, or None for what is none: it is told to people and decides nothing."""
    try:
        return _moment(value)
    except ValidationError:
        return None


def _date(value: object) -> str:
    """Return a date with or without a time of day, as people entered it."""
    try:
        time_ms_of_date(str(value))
    except (ValueError, OverflowError):
        raise ValidationError("is no date") from None
    return str(value)


def _names(value: object) -> list[str]:
    """Return a list of names, each as text or in a list of its own."""
    parts = value if isinstance(value, list) else [value]
    names = [part[0] if isinstance(part, list) and part else part for part in parts]
    if any(isinstance(name, bool) or not isinstance(name, str | int) for name in names):
        raise ValidationError("is no list of names")
    return [str(name) for name in names]


def _if_names(value: object) -> list[str]:
    """Return names, or none for what is no list of them."""
    try:
        return _names(value)
    except ValidationError:
        return []


def _pk() -> fields.Integer:
    return fields.Integer(
        required=True, strict=True, validate=Range(1, PK_MAX, error="is no primary key")
    )


def _measured() -> fields.Function:
    return fields.Function(deserialize=_number, allow_none=True, load_default=None)


class IncomingSchema(Schema):
    """What YSE-PZ shows; keys that nobody reads are left out."""

    class Meta:
        """Other versions of YSE-PZ show other keys beside these."""

        unknown = EXCLUDE


class PageSchema(IncomingSchema):
    """One page of a list."""

    count = fields.Integer(required=True, strict=True)
    results = fields.List(fields.Dict(), required=True)


class TransientRowSchema(IncomingSchema):
    """A transient as ``/api/transients/`` shows it."""

    pk = link(required=True, data_key="url")
    name = fields.String(required=True)
    # Rows that were not written through its models have none.
    slug = fields.String(required=True, allow_none=True)
    ra = fields.Float(required=True)
    dec = fields.Float(required=True)
    disc_date = fields.Function(deserialize=_date, load_default=None, allow_none=True)
    status = link(load_default=None, allow_none=True)
    obs_group = link(load_default=None, allow_none=True)
    tags = fields.List(link(), load_default=list)


PLACE = ("pk", "slug", "ra", "dec", "status", "obs_group")
"""Columns without which a transient has to be looked up."""


class FollowedRowSchema(IncomingSchema):
    """One row: a name, and where the query shows them the columns of the transient.

    ``place`` holds these, None where one is missing.
    """

    name = fields.String(
        required=True, error_messages={"required": "is missing", "null": "is missing (null)"}
    )
    pk = fields.Integer(data_key="transient", strict=True, allow_none=True)
    slug = fields.String(allow_none=True)
    ra = fields.Float(allow_none=True)
    dec = fields.Float(allow_none=True)
    disc_date = fields.Function(deserialize=_date, allow_none=True)
    status = fields.String(allow_none=True)
    obs_group = fields.String(allow_none=True)

    @post_load
    def _place(self, row: dict[str, Any], **_: Any) -> dict[str, Any]:
        whole = all(row.get(column) is not None for column in PLACE)
        place = {column: row.get(column) for column in (*PLACE, "disc_date")}
        return {"name": row["name"], "place": place if whole else None}


class OwnedRowSchema(IncomingSchema):
    """Any row of the REST API: who is shown as its creator, by the number of the account."""

    pk = link(required=True, data_key="url")
    created_by = link(load_default=None, allow_none=True)


class PointRowSchema(OwnedRowSchema):
    """A point as ``/api/transientphotdata/`` shows it."""

    header = link(required=True, data_key="photometry")
    obs_date = fields.Function(deserialize=_moment, required=True)
    created_date = fields.Function(deserialize=_moment, required=True)


class HeaderRowSchema(OwnedRowSchema):
    """A photometry header as ``/api/transientphotometry/`` shows it."""

    transient = link(load_default=None, allow_none=True)


class AliasRowSchema(IncomingSchema):
    """Another name of a transient, as ``/api/alternatetransientnames/`` shows it."""

    pk = link(required=True, data_key="url")
    name = fields.String(required=True)
    transient = link(required=True, allow_none=True)


class StoredHeaderSchema(IncomingSchema):
    """The fields of a photometry header in ``/download_data/``."""

    instrument = fields.String(required=True)
    obs_group = fields.String(required=True)
    groups = fields.Function(deserialize=_names, load_default=list)


class StoredPointSchema(IncomingSchema):
    """The fields of a stored point in ``/download_data/``, and its pk."""

    pk = _pk()
    band = fields.String(required=True)
    obs_date = fields.Function(deserialize=_moment, required=True)
    mag = _measured()
    mag_err = _measured()
    flux = _measured()
    flux_err = _measured()
    flux_zero_point = _measured()
    forced = fields.Boolean(load_default=False, allow_none=True)
    created_by = fields.Function(deserialize=_names, required=True)
    modified_by = fields.Function(deserialize=_names, required=True)
    created_date = fields.Function(deserialize=_if_moment, load_default=None, allow_none=True)


class StoredPlaceSchema(IncomingSchema):
    """Where a stored point stands, of one whose values or owner cannot be read."""

    pk = _pk()
    band = fields.String(required=True)
    obs_date = fields.Function(deserialize=_moment, required=True)
    created_by = fields.Function(deserialize=_if_names, load_default=list, allow_none=True)


class _RowSchema(IncomingSchema):
    pk = _pk()
    content = fields.Dict(required=True, data_key="fields")


class _HeaderSchema(_RowSchema):
    data = fields.List(fields.Dict(), load_default=list)


class DownloadSchema(IncomingSchema):
    """``/download_data/<slug>/``, keyed by the name of the one transient.

    Loads to ``transient`` (one row) and ``photometry`` (headers with their points).
    """

    transient = fields.List(fields.Nested(_RowSchema), required=True)
    photometry = fields.List(fields.Nested(_HeaderSchema), required=True)

    @pre_load
    def _unwrap(self, reply: Any, **_: Any) -> Any:
        if not isinstance(reply, dict) or len(reply) != 1:
            raise ValidationError("is no object of one transient")
        inner = next(iter(reply.values()))
        if isinstance(inner, dict) and inner.get("photometry") == {}:
            # What YSE-PZ shows of a transient without photometry (measured 2026-11).
            return {**inner, "photometry": []}
        return inner
