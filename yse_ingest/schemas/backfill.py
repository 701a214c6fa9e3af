"""What a person wants read again of a target: everything, or a range of dates."""

from __future__ import annotations

import datetime as dt
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, validates_schema

from yse_ingest.schemas.target_fields import Moment, Truth
from yse_ingest.times import MS_PER_DAY, time_ms_of_date


class _First(Moment):
    """A date; becomes its Unix time [ms]."""

    def read(self, value: Any) -> int:  # type: ignore[override]
        """Return the value, or refuse it."""
        return time_ms_of_date(super().read(value))


class _Last(_First):
    """A date, which is meant whole, or a date and time; becomes its Unix time [ms]."""

    def read(self, value: Any) -> int:  # type: ignore[override]
        """Return the value, or refuse it."""
        last_ms = super().read(value)
        return last_ms + MS_PER_DAY - 1 if _is_day(value) else last_ms


def _is_day(value: Any) -> bool:
    if isinstance(value, str):
        return "T" not in value and " " not in value.strip()
    return not isinstance(value, dt.datetime)


class BackfillSchema(Schema):
    """What is given of it; None stands for what is not."""

    class Meta:
        """Options of marshmallow."""

        unknown = RAISE

    full = Truth()
    from_date = _First(allow_none=True)
    to_date = _Last(allow_none=True)

    @validates_schema
    def _is_one_of_both(self, data: dict[str, Any], **_: Any) -> None:
        begin, end = data.get("from_date"), data.get("to_date")
        if data.get("full") and (begin is not None or end is not None):
            raise ValidationError({"full": ["is everything; give it without dates"]})
        if begin is not None and end is not None and begin > end:
            raise ValidationError({"from_date": ["lies after the other date"]})
