"""Light-curve files: what the head says of the whole file, and the columns of its rows."""

from __future__ import annotations

import math
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validates_schema

from yse_ingest.schemas.alert_fields import AlertPart, Choice, RightAscension, TextMeasurement
from yse_ingest.schemas.value_fields import Text, ValueField

NOTHING: Final = frozenset({"", "-", "--", "nan", "none", "null", "inf", "-inf", "-999"})
"""Texts that stand for no value."""


class TextRightAscension(RightAscension, TextMeasurement):
    """Right ascension as a number, or as text that is one."""


class Flag(ValueField):
    """true or false."""

    def read(self, value: Any) -> bool:
        """Return the value, or refuse it."""
        text = str(value).strip().lower()
        if text not in {"true", "false"}:
            raise self.make_error("choice", value=value, known="true, false")
        return text == "true"


class Names(ValueField):
    """Names as a list, or as text with commas; at least one."""

    def read(self, value: Any) -> tuple[str, ...]:
        """Return the value, or refuse it."""
        parts = value.strip(" []").split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            raise self.make_error("text", value=value)
        names = tuple(str(part).strip(" '\"") for part in parts)
        if not all(names):
            raise self.make_error("empty")
        return names


class HeadSchema(Schema):
    """The head of a file: who may see it is said, never assumed."""

    class Meta:
        """Options of marshmallow."""

        unknown = EXCLUDE

    name = Text(load_default=None)
    instrument = Text(required=True)
    obs_group = Text(required=True)
    groups = Names(load_default=())
    public = Flag(load_default=False)
    ra = TextRightAscension(load_default=None)
    dec = TextMeasurement(load_default=None, low=-90.0, high=90.0)
    time_scale = Choice({"utc": "utc", "tai": "tai"}, load_default="utc")
    zero_point = TextMeasurement(load_default=None, low=0.0, high=50.0)

    @validates_schema
    def _is_for_somebody(self, head: dict[str, Any], **_: Any) -> None:
        if head["public"] == bool(head["groups"]):
            raise ValidationError(
                "says neither groups nor public, or both: write `groups: NAME, NAME` for those "
                "who alone may see it, or `public: true`"
            )


class OptionalNumber(TextMeasurement):
    """A finite number, or nan where there is none."""

    def __init__(self, **limits: Any) -> None:
        super().__init__(load_default=math.nan, allow_none=False, **limits)

    def read(self, value: Any) -> float:
        """Return the value, or refuse it."""
        if value is None or str(value).strip().lower() in NOTHING:
            return math.nan
        return super().read(value)


class RowSchema(AlertPart):
    """One exposure: a magnitude, or a flux, each with its error."""

    band = Text(required=True)
    mag = OptionalNumber(low=-5.0, high=40.0)
    mag_err = OptionalNumber(low=0.0, high=10.0)
    flux = OptionalNumber()
    flux_err = OptionalNumber(low=0.0)
    zero_point = OptionalNumber(low=0.0, high=50.0)
    quality = fields.String(load_default="")

    @validates_schema
    def _is_measured(self, row: dict[str, Any], **_: Any) -> None:
        by_flux = row["flux_err"] > 0 and math.isfinite(row["flux"])
        by_mag = row["mag_err"] > 0 and math.isfinite(row["mag"])
        if not (by_flux or by_mag):
            raise ValidationError("has neither a flux nor a magnitude with an error above 0")


class MjdRowSchema(RowSchema):
    """One exposure whose time is a Modified Julian Date [d]."""

    time = TextMeasurement(data_key="mjd", required=True, low=0.0, high=88069.0)


class JdRowSchema(RowSchema):
    """One exposure whose time is a Julian Date [d]."""

    time = TextMeasurement(data_key="jd", required=True, low=2400000.5, high=2488069.5)
