"""The rows of YSE-PZ's vocabulary lists, as ``/api/<list>/`` shows them."""

from __future__ import annotations

from marshmallow import fields

from yse_ingest.schemas.readback import IncomingSchema, link


class NamedRowSchema(IncomingSchema):
    """A row that is a name: a status, a group, a tag, a quality flag, a class, a telescope."""

    pk = link(required=True, data_key="url")
    name = fields.String(required=True)


class InstrumentRowSchema(NamedRowSchema):
    """An instrument; its name may repeat on another telescope."""

    telescope = link(required=True)


class BandRowSchema(NamedRowSchema):
    """A photometric band; its name repeats from instrument to instrument."""

    instrument = link(required=True)
