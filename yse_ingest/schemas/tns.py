"""What TNS says of a name: the hits of a search, and one object."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, post_load

from yse_ingest.schemas.alert_fields import (
    AlertPart,
    Declination,
    NativeId,
    ObjectId,
    RightAscension,
)
from yse_ingest.schemas.value_fields import ValueField
from yse_ingest.times import time_ms_of_date


class Names(ValueField):
    """Names of other surveys, joined by commas; null where there are none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(load_default=(), allow_none=True, **kwargs)

    def read(self, value: Any) -> tuple[str, ...]:
        """Return the names, each once."""
        if not isinstance(value, str):
            raise self.make_error("text", value=value)
        names = (" ".join(part.split()) for part in value.split(","))
        return tuple(dict.fromkeys(filter(None, names)))


class Moment(ValueField):
    """A date and time as text, UTC; null where it is not known."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(load_default=None, allow_none=True, **kwargs)

    def read(self, value: Any) -> str:
        """Return the text, or refuse what is no date."""
        if not isinstance(value, str):
            raise self.make_error("text", value=value)
        try:
            time_ms_of_date(value)
        except ValueError as error:
            raise ValidationError("is no date") from error
        return value


class HitSchema(AlertPart):
    """One hit of a search; the name comes without its prefix."""

    name = ObjectId(data_key="objname", required=True)


class ObjectTypeSchema(AlertPart):
    """What it was classified as."""

    name = fields.String(load_default=None, allow_none=True)


class ObjectSchema(AlertPart):
    """One object. Its redshift is left alone: people curate that in YSE-PZ."""

    name = ObjectId(data_key="objname", required=True)
    prefix = fields.String(data_key="name_prefix", load_default="", allow_none=True)
    ra = RightAscension(data_key="radeg", required=True)
    dec = Declination(data_key="decdeg", required=True)
    internal_names = Names()
    discovered = Moment(data_key="discoverydate")
    type = fields.Nested(
        ObjectTypeSchema, data_key="object_type", load_default=dict, allow_none=True
    )

    @post_load
    def _flat(self, row: dict[str, Any], **_: Any) -> dict[str, Any]:
        row["type"] = (row["type"] or {}).get("name")
        row["prefix"] = row["prefix"] or ""
        return row


class EnvelopeSchema(AlertPart):
    """What every answer is wrapped in; ``data`` is what was asked for."""

    id_code = NativeId(required=True)
    data = fields.Raw(required=True, allow_none=True, error_messages={"required": "is missing"})
