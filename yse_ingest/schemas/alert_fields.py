"""Fields of an alert as brokers send them, in every spelling of "missing" that was seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from marshmallow import EXCLUDE, Schema, post_load

from yse_ingest.schemas.value_fields import Number, ValueField

if TYPE_CHECKING:
    from collections.abc import Mapping

MISSING = (-999.0, -99999.0)
"""Numbers that stand for no value in the columns of ZTF."""
BANDS_BY_FID = {1: "g", 2: "r", 3: "i"}
"""ZTF's filter numbers."""
POSITIVE = (1, "1", "t", "T", "true", "True")
NEGATIVE = (0, -1, "0", "-1", "f", "F", "false", "False")
OBJECT_ID_LENGTH_MAX = 64
NATIVE_ID_MAX = 2**63 - 1
MAG_LIMITS = (-5.0, 40.0)
MAG_ERR_MAX = 10.0
JD_LIMITS = (2400000.5, 2488069.5)
"""1858-11-17 and 2100-01-01."""
MJD_LIMITS = (47892.0, 88069.0)
"""1990-01-01 and 2100-01-01: an earlier date, like that of MJD 0, stands for a missing one."""


class Measurement(Number):
    """A finite number within limits; NaN, infinity, -999 and further ones are missing.

    Parameters
    ----------
    missing
        Further numbers that stand for no value.
    limits
        As `Number` takes them.
    """

    def __init__(self, *, missing: tuple[float, ...] = (), **limits: Any) -> None:
        super().__init__(**limits)
        self.missing = (*MISSING, *missing)

    def read(self, value: Any) -> float:
        """Return the value, or refuse it."""
        number = self._number(value)
        if not math.isfinite(number) or number in self.missing:
            raise self.make_error("missing", value=value)
        return self._within(number, value)


class TextMeasurement(Measurement):
    """A measurement as a number, or as text that is one."""

    def _number(self, value: Any) -> float:
        if not isinstance(value, str):
            return super()._number(value)
        try:
            return float(value)
        except ValueError as error:
            raise self.make_error("number", value=value) from error


class RightAscension(Measurement):
    """Degrees, 0 included, 360 not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(low=0.0, high=math.nextafter(360.0, 0.0), **kwargs)


class Declination(Measurement):
    """Degrees, -90 to 90."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(low=-90.0, high=90.0, **kwargs)


class JulianDate(Measurement):
    """A day and time between 1858-11-17 and 2100-01-01."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(low=JD_LIMITS[0], high=JD_LIMITS[1], **kwargs)


class ModifiedJulianDate(Measurement):
    """A day and time between 1990-01-01 and 2100-01-01."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(low=MJD_LIMITS[0], high=MJD_LIMITS[1], **kwargs)


class Magnitude(Measurement):
    """A magnitude that a telescope can have seen."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(low=MAG_LIMITS[0], high=MAG_LIMITS[1], **kwargs)


class MagnitudeError(Measurement):
    """Its error: more than 0."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(low=0.0, high=MAG_ERR_MAX, positive=True, **kwargs)


class Score(ValueField):
    """A real-bogus score; nan, or None for a null, where there is none.

    Parameters
    ----------
    spare
        What is no number counts as no score: a row is not lost for a second one.
    """

    def __init__(self, *, spare: bool = False, **kwargs: Any) -> None:
        super().__init__(load_default=math.nan, allow_none=True, **kwargs)
        self._spare = spare

    def read(self, value: Any) -> float:
        """Return the value, or refuse it."""
        if self._spare and (isinstance(value, bool) or not isinstance(value, int | float)):
            return math.nan
        number = self._number(value)
        # An integer beyond all floats is no score either: as infinity it would win every twin.
        return number if math.isfinite(number) and number not in MISSING else math.nan


class NativeId(ValueField):
    """A whole number beyond 2^53, as number or as digits; becomes text."""

    default_error_messages = {  # noqa: RUF012
        "id": "is {shown}, which is no id",
        "exact": "is {shown}, a float, which has lost the last digits",
    }

    def read(self, value: Any) -> str:
        """Return the value, or refuse it."""
        if isinstance(value, float):
            raise self.make_error("exact", value=value)
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("id", value=value)
        if not 0 < value <= NATIVE_ID_MAX:
            raise self.make_error("id", value=value)
        return str(value)


class ObjectId(ValueField):
    """A name of 1 to 64 printable ASCII characters without blanks."""

    default_error_messages = {"id": "is {shown}, which is no id"}  # noqa: RUF012

    def read(self, value: Any) -> str:
        """Return the value, or refuse it."""
        if (
            not isinstance(value, str)
            or not 0 < len(value) <= OBJECT_ID_LENGTH_MAX
            or not (value.isascii() and value.isprintable())
            or " " in value
        ):
            raise self.make_error("id", value=value)
        return value


class Sign(ValueField):
    """Whether the difference is negative, in any of ZTF's and the brokers' spellings."""

    def read(self, value: Any) -> bool:
        """Return the value, or refuse it."""
        if value in POSITIVE:
            return False
        if value in NEGATIVE:
            return True
        raise self.make_error("choice", value=value, known="t, f, 1, 0, -1")


class Choice(ValueField):
    """One of a few values of one type, each with its meaning.

    Parameters
    ----------
    meanings
        Value on the wire to what it means.
    """

    def __init__(self, meanings: Mapping[Any, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.meanings = meanings

    def read(self, value: Any) -> str:
        """Return the value, or refuse it."""
        if isinstance(value, int | str) and not isinstance(value, bool):
            meaning = self.meanings.get(value)
            if meaning is not None:
                return meaning
        known = ", ".join(map(str, self.meanings))
        raise self.make_error("choice", value=value, known=known)


class AlertPart(Schema):
    """A part of an alert: brokers add keys, and we leave them alone."""

    class Meta:
        """Options of marshmallow."""

        unknown = EXCLUDE

    error_messages = {"type": "is no JSON object"}  # noqa: RUF012

    def finish(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a loaded row as its table wants it; the last step of `Schema.load`."""
        return row

    @post_load
    def _finish(self, row: dict[str, Any], **_: Any) -> dict[str, Any]:
        return self.finish(row)
