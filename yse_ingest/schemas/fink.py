"""Rows as Fink's API for ZTF sends them: one flat row each, of three kinds, told by ``d:tag``.

The columns of an alert (``valid``) have their types. Those of an upper limit (``upperlim``) and
of a detection that failed Fink's cuts (``badquality``) come from side tables and are text:
``"i:fid": "1"``; their ``i:candid`` is -1.
"""

from __future__ import annotations

from typing import Final

from yse_ingest.schemas.alert_fields import (
    BANDS_BY_FID,
    JD_LIMITS,
    MAG_LIMITS,
    AlertPart,
    Choice,
    Declination,
    JulianDate,
    Magnitude,
    MagnitudeError,
    NativeId,
    ObjectId,
    RightAscension,
    Score,
    Sign,
    TextMeasurement,
)

ID_KEY: Final = "i:candid"
OBJECT_KEY: Final = "i:objectId"
TAG_KEY: Final = "d:tag"
VALID: Final = "valid"
UPPER_LIMIT: Final = "upperlim"
BAD_QUALITY: Final = "badquality"


class AlertSchema(AlertPart):
    """One alert; its ``time`` is the start of the exposure as Julian Date, UTC [d]."""

    native_id = NativeId(data_key=ID_KEY, required=True)
    object_id = ObjectId(data_key=OBJECT_KEY, required=True)
    time = JulianDate(data_key="i:jd", required=True)
    band = Choice(BANDS_BY_FID, data_key="i:fid", required=True)
    mag = Magnitude(data_key="i:magpsf", required=True)
    mag_err = MagnitudeError(data_key="i:sigmapsf", required=True)
    # As ZTF sends it: t and f, in old alerts 1 and 0; always text.
    negative = Sign(data_key="i:isdiffpos", required=True)
    ra = RightAscension(data_key="i:ra", required=True)
    dec = Declination(data_key="i:dec", required=True)
    quality = Score(data_key="i:rb")
    drb = Score(spare=True, data_key="i:drb")


ALERT_COLUMNS: Final = tuple(
    str(field.data_key) for field in AlertSchema().fields.values() if field.data_key
)
"""What is asked for: of 136 columns those that are read."""


class LimitSchema(AlertPart):
    """One upper limit (5 sigma), in the types of its side table or in proper ones."""

    object_id = ObjectId(data_key=OBJECT_KEY, required=True)
    time = TextMeasurement(data_key="i:jd", required=True, low=JD_LIMITS[0], high=JD_LIMITS[1])
    band = Choice(
        {spelt: letter for fid, letter in BANDS_BY_FID.items() for spelt in (fid, str(fid))},
        data_key="i:fid",
        required=True,
    )
    mag_limit = TextMeasurement(
        data_key="i:diffmaglim", required=True, low=MAG_LIMITS[0], high=MAG_LIMITS[1]
    )


class PlaceSchema(AlertPart):
    """One alert of a cone search: of which object, and where."""

    object_id = ObjectId(data_key=OBJECT_KEY, required=True)
    ra = RightAscension(data_key="i:ra", required=True)
    dec = Declination(data_key="i:dec", required=True)


PLACE_COLUMNS: Final = (OBJECT_KEY, "i:ra", "i:dec")
"""Without ``i:jd`` on purpose: see `yse_ingest.sources.fink`."""
