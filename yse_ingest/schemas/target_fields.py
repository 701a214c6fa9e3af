"""What people write of a target and of the rules for it: read leniently, refused helpfully."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import re
from collections.abc import Mapping
from typing import Any

from marshmallow import (
    RAISE,
    Schema,
    ValidationError,
    fields,
    post_load,
    validate,
    validates_schema,
)

from yse_ingest.schemas._load import load
from yse_ingest.schemas.payload import MJDMATCHMIN_FLOOR, RA_MAX, TransientFieldsSchema
from yse_ingest.schemas.value_fields import Number, Text, ValueField
from yse_ingest.selection import MATCHES
from yse_ingest.targets import ADAPTIVE, PRIORITIES, PRIORITY_MAX, Cadence
from yse_ingest.times import parse_duration, time_ms_of_date

NOTHING = "none"
"""How a file says "no value", which TOML cannot."""
CADENCE_MIN_S = 1.0
CONE_RADIUS_MAX_ARCSEC = 60.0
MATCH_RADIUS_MAX_ARCSEC = 10.0
LIMITS_BEFORE_MAX_DAYS = 1000.0
ROW_KEYS_ELSEWHERE = ("name", "ra", "dec")
"""Keys of a transient's row that a target has outside its creation fields."""

_SEXAGESIMAL = re.compile(
    r"([+-]?)(\d{1,3})[:hd°\s]\s*(\d{1,2})[:m'\s]\s*(\d{1,2}(?:\.\d*)?)\s*[s\"]?", re.ASCII
)


def _none(value: Any) -> Any:
    return None if value == NOTHING else value


def _nullable(field: type[fields.Field[Any]], **limits: Any) -> fields.Field[Any]:
    return field(allow_none=True, pre_load=_none, **limits)


class Degrees(Number):
    """A coordinate in decimal degrees; other notations are refused with the number to write."""

    default_error_messages = {  # noqa: RUF012
        "quoted": "is text; write {degrees:.10g} without quotes",
        "sexagesimal": "is {shown}, sexagesimal; write {degrees:.7f}",
    }

    def read(self, value: Any) -> float:
        """Return the value, or refuse it."""
        if isinstance(value, str):
            hours = self.name == "ra"
            if (degrees := _degrees(value, hours=hours)) is not None:
                raise self.make_error("sexagesimal", value=value, degrees=degrees)
            try:
                raise self.make_error("quoted", degrees=float(value))
            except ValueError:
                raise self.make_error("number", value=value) from None
        return super().read(value)


def _degrees(text: str, *, hours: bool) -> float | None:
    parts = _SEXAGESIMAL.fullmatch(text.strip())
    if parts is None:
        return None
    sign, whole, minutes, seconds = parts.groups()
    value = int(whole) + int(minutes) / 60 + float(seconds) / 3600
    if hours and "d" not in text and "°" not in text:
        value *= 15
    return -value if sign == "-" else value


class Duration(ValueField):
    """A time span as ``30m``, ``2h``, ``1d`` or a number of seconds; becomes seconds."""

    default_error_messages = {  # noqa: RUF012
        "duration": "is {shown}; write it like 30m, 2h, 1d or as seconds",
        "short": "is {shown}, shorter than {least:g} s",
    }

    def read(self, value: Any) -> float:
        """Return the value, or refuse it."""
        try:
            seconds = parse_duration(value)
        except (ValueError, TypeError, AttributeError, OverflowError):
            raise self.make_error("duration", value=value) from None
        if not math.isfinite(seconds):
            raise self.make_error("duration", value=value)
        if seconds < CADENCE_MIN_S:
            raise self.make_error("short", value=value, least=CADENCE_MIN_S)
        return seconds


class Every(Duration):
    """A cadence: a time span, or ``adaptive``; becomes seconds, or that word."""

    default_error_messages = {  # noqa: RUF012
        "duration": "is {shown}; write it like 30m, 2h, 1d or as seconds, or adaptive",
    }

    def read(self, value: Any) -> Cadence:  # type: ignore[override]
        """Return the value, or refuse it."""
        if isinstance(value, str) and value.strip().lower() == ADAPTIVE:
            return ADAPTIVE
        return super().read(value)


class Priority(ValueField):
    """Who goes first: ``low``, ``normal``, ``high`` or a whole number; becomes the number."""

    default_error_messages = {  # noqa: RUF012
        "priority": "is {shown}; write low, normal, high, or a whole number up to {most}",
    }

    def read(self, value: Any) -> int:
        """Return the value, or refuse it."""
        with contextlib.suppress(ValueError):
            if isinstance(value, str):
                word = value.strip().lower()
                value = PRIORITIES[word] if word in PRIORITIES else int(word)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or abs(value) > PRIORITY_MAX:
            raise self.make_error("priority", value=value, most=PRIORITY_MAX)
        return int(value)


class Moment(ValueField):
    """A date, or date and time, UTC where it says nothing else; becomes ISO text in UTC."""

    default_error_messages = {  # noqa: RUF012
        "date": "is {shown}, which is no date; write it like 2019-01-09",
    }

    def read(self, value: Any) -> str:
        """Return the value, or refuse it."""
        if isinstance(value, dt.datetime | dt.date):
            return _iso(value)
        try:
            moment = dt.datetime.fromisoformat(value)
            time_ms_of_date(value)
        except (TypeError, ValueError, OverflowError):
            raise self.make_error("date", value=value) from None
        return _iso(moment)


def _iso(moment: dt.date) -> str:
    if isinstance(moment, dt.datetime) and moment.tzinfo is not None:
        moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    return moment.isoformat()


class BandMap(ValueField):
    """The source's band letters, each with YSE-PZ's name of the band."""

    default_error_messages = {  # noqa: RUF012
        "table": 'is {shown}; write it like {{ g = "g-ZTF", r = "r-ZTF" }}',
    }

    def read(self, value: Any) -> dict[str, str]:
        """Return the value, or refuse it."""
        if (
            not isinstance(value, Mapping)
            or not value
            or not all(
                isinstance(name, str) and name for pair in value.items() for name in pair
            )
        ):
            raise self.make_error("table", value=value)
        return dict(value)


class Truth(ValueField):
    """True or false."""

    default_error_messages = {  # noqa: RUF012
        "truth": "is {shown}, neither true nor false",
    }

    def read(self, value: Any) -> bool:
        """Return the value, or refuse it."""
        if not isinstance(value, bool):
            raise self.make_error("truth", value=value)
        return value


class Creation(ValueField):
    """Fields of the row that YSE-PZ is given when it lacks the target."""

    default_error_messages = {  # noqa: RUF012
        "table": 'is {shown}; write it like {{ status = "New", obs_group = "ZTF" }}',
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._row = CreationFieldsSchema(exclude=ROW_KEYS_ELSEWHERE)

    def read(self, value: Any) -> dict[str, Any]:
        """Return the value, or refuse it."""
        if not isinstance(value, Mapping):
            raise self.make_error("table", value=value)
        dated = {
            key: _iso(one) if isinstance(one, dt.date) else one for key, one in value.items()
        }
        return load(self._row, dated)


class CreationFieldsSchema(TransientFieldsSchema):
    """What a target says of its own row, and of the neighbour that it may stand beside."""

    error_messages = {"unknown": "is no field of a transient"}  # noqa: RUF012

    beside = Text()

    @validates_schema(skip_on_field_errors=False)
    def _is_enough(self, data: dict[str, Any], **_: Any) -> None:
        missing = [key for key in ("status", "obs_group") if key not in data]
        if missing:
            raise ValidationError({key: ["is missing"] for key in missing})


class RulesSchema(Schema):
    """Fields of `yse_ingest.targets.Rules`, each optional."""

    class Meta:
        """Options of marshmallow."""

        unknown = RAISE

    error_messages = {"type": "is no table", "unknown": "is no setting"}  # noqa: RUF012

    instrument = Text()
    obs_group = Text()
    groups = fields.List(Text(), error_messages={"invalid": "is no list of names"})
    hide_public_points = Truth()
    band_map = BandMap()
    cone_radius_arcsec = Number(positive=True, high=CONE_RADIUS_MAX_ARCSEC)
    match_radius_arcsec = Number(positive=True, high=MATCH_RADIUS_MAX_ARCSEC)
    mjdmatchmin = _nullable(Number, low=2 * MJDMATCHMIN_FLOOR, high=1.0)
    clobber = Truth()
    flux_zero_point = _nullable(Number, low=0.0, high=50.0)
    negatives = Text(
        validate=validate.OneOf(("drop", "flux"), error='is neither "drop" nor "flux"')
    )
    data_quality = _nullable(Text)
    send_stored_elsewhere = Truth()
    forced = Truth()
    upper_limits = Text(
        validate=validate.OneOf(("none", "before"), error='is neither "none" nor "before"')
    )
    limits_before_days = Number(positive=True, high=LIMITS_BEFORE_MAX_DAYS)
    min_rb = Number(low=0.0, high=1.0)
    min_drb = Number(low=0.0, high=1.0)
    min_reliability = Number(low=0.0, high=1.0)
    missing_score = Text(
        validate=validate.OneOf(("keep", "drop"), error='is neither "keep" nor "drop"')
    )
    procstatus = fields.List(Text(), error_messages={"invalid": "is no list of codes"})
    atlas_cleaning = Truth()


class DefaultsSchema(RulesSchema):
    """What holds for every target that does not say otherwise."""

    cadence = Every()
    source = Text()
    sources = fields.List(Text(), error_messages={"invalid": "is no list of names"})

    @validates_schema(skip_on_field_errors=False)
    def _is_one_choice(self, data: dict[str, Any], **_: Any) -> None:
        if "source" in data and "sources" in data:
            raise ValidationError({"source": ["stands beside sources; write one of them"]})

    @post_load
    def _as_text(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if "sources" in data:
            data["source"] = ",".join(data.pop("sources"))
        return data


class FollowSchema(Schema):
    """Which transients of YSE-PZ are followed."""

    class Meta:
        """Options of marshmallow."""

        unknown = RAISE

    error_messages = {"type": "is no table", "unknown": "is no setting"}  # noqa: RUF012

    status = fields.List(Text(), error_messages={"invalid": "is no list of names"})
    tags = fields.List(Text(), error_messages={"invalid": "is no list of names"})
    query = Text()
    match = Text(validate=validate.OneOf(MATCHES, error='is neither "any" nor "all"'))


class TargetSchema(DefaultsSchema):
    """One target as people write it."""

    name = Text(required=True)
    ra = Degrees(low=0.0, high=RA_MAX)
    dec = Degrees(low=-90.0, high=90.0)
    object_id = Text()
    freshness = Duration()
    since = Moment()
    until = Moment()
    expires = Moment()
    priority = Priority()
    creation = Creation()


class ExportedSchema(TargetSchema):
    """One target of an exported registry."""

    paused = Text()
    listed = Truth()
