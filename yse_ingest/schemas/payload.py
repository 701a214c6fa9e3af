"""What may be sent to YSE-PZ: schemas that refuse before the server silently mends or breaks.

YSE-PZ checks almost nothing: a number out of range is stored, an unknown key is skipped or
stops the request half-way, and a bad date leaves the points before it behind. So every request
is loaded by one of these schemas, and what is sent is what that schema dumps (`checked`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from marshmallow import (
    RAISE,
    Schema,
    ValidationError,
    fields,
    post_dump,
    pre_load,
    validates_schema,
)

from yse_ingest.errors import PayloadError, TargetError
from yse_ingest.schemas._load import faults_of, load
from yse_ingest.targets import check_name

MJDMATCHMIN_FLOOR = 1e-8
"""A window of this or less matches nothing, so that every repetition doubles [d]."""
TEXT_LENGTH_MAX = 64
SLUG_LENGTH_MAX = 50
STAMP_LENGTH_MAX = 512
RA_MAX = math.nextafter(360.0, 0.0)
"""Largest right ascension [deg]: 360 itself is written 0."""
MAG_MIN, MAG_MAX = -30.0, 50.0
"""Beyond these a magnitude is -999 or 99, which mean "missing" [mag]."""

YEAR_MIN, YEAR_MAX = 1850, 2150
"""Beyond these a date is a wrong unit: YSE-PZ would store it, and match nothing with it."""
REDSHIFT_MIN, REDSHIFT_MAX = -1.0, 20.0

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?)?", re.ASCII)

_REMEDIES = {
    "name": "Use the name that YSE-PZ shows.",
    "transient.name": "Rename it in YSE-PZ, in letters of latin-1: requests go by its name.",
    "mjdmatchmin": f"Give a number of days above {MJDMATCHMIN_FLOOR:g}.",
    "obs_date": "Write UTC as 2019-01-09T11:38:37.000, without an offset.",
    "disc_date": "Write UTC as 2019-01-09 or 2019-01-09T11:38:37, without an offset.",
    "internal_names": "Write it as ZTF19abc,ATLAS19xyz, with at most 64 characters a name.",
    "id": "Leave it out: YSE-PZ would renumber the transient.",
}
_REMEDY = "Nothing was sent; correct this field where it comes from."


class Labelled(fields.Field[dict[Any, Any]]):
    """A mapping of free labels to one kind of object, which ``schema`` reads."""

    def __init__(self, schema: Schema, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._schema = schema

    def _serialize(
        self,
        value: Any,
        attr: str | None,  # noqa: ARG002  marshmallow's signature
        obj: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> Any:
        return {label: self._schema.dump(one) for label, one in value.items()}

    def _deserialize(
        self,
        value: Any,
        attr: str | None,  # noqa: ARG002
        data: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise ValidationError("is not an object")
        loaded: dict[Any, Any] = {}
        errors: dict[Any, Any] = {}
        for label, one in value.items():
            try:
                loaded[label] = load(self._schema, one)
            except ValidationError as error:
                errors[label] = error.messages
        if errors:
            raise ValidationError(errors)
        return loaded


class _Outgoing(Schema):
    class Meta:
        unknown = RAISE


class _Open(_Outgoing):
    """An object that holds fixed keys, and under every other key one kind of thing."""

    rest: ClassVar[str]
    """The field that gathers the other keys."""

    @pre_load
    def _gather(self, data: Any, **_: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        fixed = set(self.fields) - {self.rest}
        return {
            **{key: value for key, value in data.items() if key in fixed},
            self.rest: {key: value for key, value in data.items() if key not in fixed},
        }

    @post_dump
    def _spread(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        others = data.pop(self.rest, {})
        return {**data, **others}

    def handle_error(
        self,
        error: ValidationError,
        data: Any,  # noqa: ARG002  marshmallow's signature
        *,
        many: bool,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Name the faults as the wire does, without the field that gathers."""
        if isinstance(error.messages, dict):
            hidden = error.messages.pop(self.rest, None)
            if isinstance(hidden, dict):
                error.messages.update(hidden)
            elif hidden is not None:
                error.messages["_schema"] = hidden


# What a value must be -------------------------------------------------------------------------


def _is_number(value: object, *, low: float = -math.inf, high: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValidationError("is not a number")
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise ValidationError("is not finite")
    if not low <= value <= high:
        raise ValidationError(f"is outside {low:g} to {high:g}")


def _is_window(value: object) -> None:
    _is_number(value)
    if isinstance(value, int | float) and value <= MJDMATCHMIN_FLOOR:
        raise ValidationError(f"is not above {MJDMATCHMIN_FLOOR:g} d: nothing would ever match")


def _is_bit(value: object) -> None:
    if isinstance(value, bool) or value not in (0, 1):
        raise ValidationError("is neither 0 nor 1")


def _is_truth(value: object) -> None:
    if not isinstance(value, bool):
        raise ValidationError("is neither true nor false")


def _is_text(value: object, *, length: int | None = TEXT_LENGTH_MAX) -> None:
    if not isinstance(value, str):
        raise ValidationError("is not text")
    if not value:
        raise ValidationError("is empty")
    if length is not None and len(value) > length:
        raise ValidationError(f"is longer than {length} characters")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValidationError("has characters outside latin-1") from None


def _is_stored_name(value: object) -> None:
    """Refuse what names no row of YSE-PZ; blanks alone would find the one without a name."""
    _is_text(value)
    if not str(value).strip():
        raise ValidationError("is blank")


def _is_name(value: object) -> None:
    if not isinstance(value, str):
        raise ValidationError("is not text")
    try:
        check_name(value)
    except TargetError as error:
        raise ValidationError(error.fact) from None


def _is_slug(value: object) -> None:
    _is_text(value, length=SLUG_LENGTH_MAX)
    if not re.fullmatch(r"[-\w]+", str(value), re.ASCII):
        raise ValidationError("is not made of letters, digits, - and _")


def _is_date(value: object) -> None:
    """Refuse what either astropy's or Django's parser refuses in mid-request."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValidationError(
            "is not written YYYY-MM-DDTHH:MM:SS with up to six decimals and no offset"
        )
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValidationError(
            "is no date of the calendar (a second of 60 has no Unix time)"
        ) from None
    if not YEAR_MIN <= moment.year <= YEAR_MAX:
        raise ValidationError(f"is outside the years {YEAR_MIN} to {YEAR_MAX}")


def _is_moment(value: object) -> None:
    _is_date(value)
    if "T" not in str(value):
        raise ValidationError("has no time of day")


def _is_flag(value: object) -> None:
    none = isinstance(value, int) and not isinstance(value, bool) and value == 0
    if not none and not (isinstance(value, str) and value):
        # YSE-PZ takes any other true value as the flag Bad (measured 2026-11).
        raise ValidationError("is neither null nor 0 nor the name of a flag")


def _are_names(value: object, *, length: int | None = None) -> None:
    """Refuse what YSE-PZ would split into names with blanks around them."""
    _is_text(value, length=None)
    for part in str(value).split(","):
        if not part or part != part.strip():
            raise ValidationError("is not a list of names joined by commas without blanks")
        _is_text(part, length=length)


def _number(
    *, low: float = -math.inf, high: float = math.inf, required: bool = False
) -> fields.Raw:
    return fields.Raw(required=required, validate=partial(_is_number, low=low, high=high))


def _measured(
    *, low: float = -math.inf, high: float = math.inf, required: bool = True
) -> fields.Raw:
    return fields.Raw(
        required=required, allow_none=True, validate=partial(_is_number, low=low, high=high)
    )


def _text(*, length: int | None = TEXT_LENGTH_MAX, required: bool = False) -> fields.Raw:
    return fields.Raw(required=required, validate=partial(_is_text, length=length))


def _required(check: Callable[[object], None], *, allow_none: bool = False) -> fields.Raw:
    return fields.Raw(required=True, allow_none=allow_none, validate=check)


def _optional(check: Callable[[object], None]) -> fields.Raw:
    return fields.Raw(validate=check)


# Photometry -----------------------------------------------------------------------------------


class PointSchema(_Outgoing):
    """One point of photometry with the eleven keys that YSE-PZ reads."""

    obs_date = _required(_is_moment)
    mag = _measured(low=MAG_MIN, high=MAG_MAX)
    mag_err = _measured(low=0.0)
    band = _text(required=True)
    data_quality = _required(_is_flag, allow_none=True)
    diffim = _required(_is_bit)
    flux = _measured()
    flux_err = _measured(low=0.0)
    flux_zero_point = _measured()
    forced = _required(_is_bit)
    discovery_point = _required(_is_bit)

    @validates_schema
    def _measures_something(self, data: dict[str, Any], **_: Any) -> None:
        if data["mag"] is None and data["flux"] is None:
            raise ValidationError(
                "is null, and so is flux: YSE-PZ would store a point that shows nothing", "mag"
            )
        if data["flux"] is not None and data["flux_zero_point"] is None:
            raise ValidationError("is null beside a flux", "flux_zero_point")


class PointChangeSchema(_Outgoing):
    """The fields of a stored point that a correction may change."""

    mag = _measured(low=MAG_MIN, high=MAG_MAX, required=False)
    mag_err = _measured(low=0.0, required=False)
    flux = _number()
    flux_err = _number(low=0.0)
    forced = _optional(_is_bit)


class UploadHeaderSchema(_Outgoing):
    """How points are matched with stored ones."""

    clobber = _required(_is_truth)
    mjdmatchmin = _required(_is_window)


class UploadTransientSchema(_Outgoing):
    """Which transient; its row stays as it is, the status has only to be valid.

    Its name is the one that YSE-PZ has, whatever people may call a target.
    """

    name = _required(_is_stored_name)
    status = _text(required=True)


class PhotHeaderSchema(_Outgoing):
    """Under which instrument and group the points stand, and who may see them."""

    instrument = _text(required=True)
    obs_group = _text(required=True)
    groups = _required(_are_names, allow_none=True)


class PhotometryUploadSchema(_Open):
    """A request to ``/add_transient_phot/``: points for one transient that exists."""

    rest = "points"

    header = fields.Nested(UploadHeaderSchema, required=True)
    transient = fields.Nested(UploadTransientSchema, required=True)
    photheader = fields.Nested(PhotHeaderSchema, required=True)
    points = Labelled(PointSchema(), required=True)

    @validates_schema
    def _has_points(self, data: dict[str, Any], **_: Any) -> None:
        if not data["points"]:
            raise ValidationError("holds no point")
        # Points of one request are never matched with each other: both would be stored.
        seen: dict[tuple[str, str], str] = {}
        for label, point in data["points"].items():
            first = seen.setdefault((point["band"], point["obs_date"]), label)
            if first != label:
                raise ValidationError({label: {"obs_date": [f"is that of point {first}"]}})


class SurveyBlockSchema(_Outgoing):
    """The points of one instrument and group in the documented dictionary."""

    instrument = _text(required=True)
    obs_group = _text(required=True)
    photdata = Labelled(PointSchema(), required=True)


class PhotometryBlockSchema(_Open):
    """``transientphotometry``: how to match, and survey blocks under free labels."""

    rest = "surveys"

    mjdmatchmin = _required(_is_window)
    clobber = _required(_is_truth)
    surveys = Labelled(SurveyBlockSchema())


class TransientFieldsSchema(_Outgoing):
    """Every field that a transient's row has, and the two lists that go with it.

    No field takes null: YSE-PZ ignores null in a plain field and reads it as ``Unknown`` in one
    that names another table. ``id``, which would renumber the row, is no field here.
    """

    name = _required(_is_name)
    ra = _number(low=0.0, high=RA_MAX)
    dec = _number(low=-90.0, high=90.0)
    obs_group = _text()
    status = _text()
    ra_err = _number(low=0.0)
    dec_err = _number(low=0.0)
    disc_date = _optional(_is_date)
    candidate_hosts = _text(length=None)
    redshift = _number(low=REDSHIFT_MIN, high=REDSHIFT_MAX)
    redshift_err = _number(low=0.0)
    redshift_source = _text()
    non_detect_date = _optional(_is_date)
    non_detect_limit = _number()
    non_detect_band = _text()
    non_detect_instrument = _text()
    mw_ebv = _number()
    abs_mag_peak = _number()
    abs_mag_peak_date = _optional(_is_date)
    abs_mag_peak_band = _text()
    best_spec_class = _text()
    photo_class = _text()
    context_class = _text()
    best_spectrum = _text(length=None)
    antares_classification = _text()
    internal_survey = _text()
    postage_stamp_file = _text(length=STAMP_LENGTH_MAX)
    postage_stamp_ref = _text(length=STAMP_LENGTH_MAX)
    postage_stamp_diff = _text(length=STAMP_LENGTH_MAX)
    postage_stamp_file_fits = _text(length=STAMP_LENGTH_MAX)
    postage_stamp_ref_fits = _text(length=STAMP_LENGTH_MAX)
    postage_stamp_diff_fits = _text(length=STAMP_LENGTH_MAX)
    k2_validated = _optional(_is_truth)
    k2_msg = _text(length=None)
    TNS_spec_class = _text()
    point_source_probability = _number()
    alt_status = _text()
    slug = _optional(_is_slug)
    real_bogus_score = _number()
    has_hst = _optional(_is_truth)
    has_spitzer = _optional(_is_truth)
    has_chandra = _optional(_is_truth)
    # A longer one fails the request after the transient was made.
    internal_names = _optional(partial(_are_names, length=TEXT_LENGTH_MAX))
    tags = fields.List(_text())


class TransientSchema(TransientFieldsSchema):
    """A transient of the documented dictionary."""

    transientphotometry = fields.Nested(PhotometryBlockSchema)


class NewTransientSchema(TransientFieldsSchema):
    """A transient that is to be created: complete, and without photometry."""

    ra = _number(required=True, low=0.0, high=RA_MAX)
    dec = _number(required=True, low=-90.0, high=90.0)
    obs_group = _text(required=True)
    status = _text(required=True)


class DocumentedUploadSchema(_Open):
    """A request to ``/add_transient/``: the dictionary that YSE-PZ documents."""

    rest = "transients"

    noupdatestatus = _required(_is_truth)
    TNS = _optional(_is_truth)
    transients = Labelled(TransientSchema())

    @validates_schema
    def _key_is_name(self, data: dict[str, Any], **_: Any) -> None:
        faults = {
            key: {"name": [f"is not its key {key!r}: a new one would be left without points"]}
            for key, transient in data["transients"].items()
            if transient["name"] != key
        }
        if faults:
            raise ValidationError(faults)


class CreationSchema(DocumentedUploadSchema):
    """A request to ``/add_transient/`` that creates transients."""

    transients = Labelled(NewTransientSchema())

    @validates_schema
    def _is_one(self, data: dict[str, Any], **_: Any) -> None:
        # Two names with one slug, or at one place, break or merge each other (2026-11).
        if len(data["transients"]) != 1:
            raise ValidationError("creates one transient at a time")


def checked(
    schema: Schema, request: Mapping[str, Any], *, target: str | None = None
) -> dict[str, Any]:
    """Return a request as its schema dumps it, after the schema has read it without a fault.

    Raises
    ------
    PayloadError
        With the path of the first field at fault, its value, and how many more there are.
    """
    try:
        loaded = load(schema, request)
    except ValidationError as error:
        first, *others = faults_of(error, request)
        more = f" (and {len(others)} more)" if others else ""
        raise PayloadError(
            f"{first.field or 'the request'}: {first.reason}{more}",
            service="YSE-PZ",
            target=target,
            field=first.field or None,
            value=first.value,
            remedy=_REMEDIES.get(first.field)
            or _REMEDIES.get(first.field.rpartition(".")[2], _REMEDY),
        ) from None
    dumped: dict[str, Any] = schema.dump(loaded)
    return dumped
