"""Detections, limits, forced photometry and objects as ALeRCE's APIs for ZTF send them.

Keys whose value is null are absent in light curves. ``magpsf`` is the difference magnitude that
a supernova needs; ``magpsf_corr`` adds the reference source back and is left alone, and so is
``dubious``, which says whether that addition can be trusted.
"""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from yse_ingest.photometry import MAG_PER_RELATIVE_FLUX, ZERO_POINT
from yse_ingest.schemas.alert_fields import (
    BANDS_BY_FID,
    MAG_LIMITS,
    AlertPart,
    Choice,
    Declination,
    Magnitude,
    MagnitudeError,
    Measurement,
    ModifiedJulianDate,
    NativeId,
    ObjectId,
    RightAscension,
    Score,
    Sign,
)

ID_KEY = "candid"
UNDEFINED = 100.0
"""Stands for a magnitude, or an error, that is not defined."""
E_MAG_MAX = 1e6
"""A flux a million times smaller than its error is none."""


class DetectionSchema(AlertPart):
    """One detection; the object's id is the request's, not the row's.

    Its ``time`` is the start of the exposure as Modified Julian Date, UTC [d].
    """

    native_id = NativeId(data_key=ID_KEY, required=True)
    time = ModifiedJulianDate(data_key="mjd", required=True)
    band = Choice(BANDS_BY_FID, data_key="fid", required=True)
    mag = Magnitude(data_key="magpsf", required=True, missing=(UNDEFINED,))
    mag_err = MagnitudeError(data_key="sigmapsf", required=True, missing=(UNDEFINED,))
    negative = Sign(data_key="isdiffpos", required=True)
    ra = RightAscension(required=True)
    dec = Declination(required=True)
    quality = Score(data_key="rb")
    drb = Score(spare=True)


class LimitSchema(AlertPart):
    """One exposure in which the object was looked for in vain; its ``time`` as of a detection.

    The limit is 5 sigma of the difference image.
    """

    time = ModifiedJulianDate(data_key="mjd", required=True)
    band = Choice(BANDS_BY_FID, data_key="fid", required=True)
    mag_limit = Magnitude(data_key="diffmaglim", required=True, missing=(UNDEFINED,))


class ExtraFieldsSchema(AlertPart):
    """What ZTF's pipeline says of a forced measurement."""

    procstatus = fields.Raw(load_default="", allow_none=True)
    """Codes as text, "0" where all went well."""


class ForcedSchema(AlertPart):
    """One forced measurement; ``time`` as of a detection, ``procstatus`` as text.

    The service turns fluxes into magnitudes. They are turned back here, into ``flux`` and
    ``flux_err`` (signed, at zero point 27.5), so an error of more than 1 mag is nothing odd.
    """

    # The service's own id names the object too: of one thing with two names there would be two.
    native_id = NativeId(data_key="pid", required=True)
    object_id = ObjectId(data_key="oid", required=True)
    time = ModifiedJulianDate(data_key="mjd", required=True)
    band = Choice(BANDS_BY_FID, data_key="fid", required=True)
    mag = Measurement(required=True, low=MAG_LIMITS[0], high=UNDEFINED, missing=(UNDEFINED,))
    mag_err = Measurement(
        data_key="e_mag", required=True, high=E_MAG_MAX, positive=True, missing=(UNDEFINED,)
    )
    negative = Sign(data_key="isdiffpos", required=True)
    extra = fields.Nested(
        ExtraFieldsSchema, data_key="extra_fields", load_default=dict, allow_none=True
    )

    def finish(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with flux and error in place of its magnitude."""
        row["native_id"] = f"fp:{row['native_id']}"
        flux = 10.0 ** (-0.4 * (row.pop("mag") - ZERO_POINT))
        row["flux_err"] = flux * row.pop("mag_err") / MAG_PER_RELATIVE_FLUX
        row["flux"] = -flux if row.pop("negative") else flux
        row["procstatus"] = str((row.pop("extra") or {}).get("procstatus") or "")
        return row


class LastSeenSchema(AlertPart):
    """One object of a list, and when it was last detected [MJD, UTC]."""

    object_id = ObjectId(data_key="oid", required=True)
    last_mjd = ModifiedJulianDate(data_key="lastmjd", required=True)


class ObjectSchema(AlertPart):
    """One object of a cone search, and where it is."""

    object_id = ObjectId(data_key="oid", required=True)
    ra = RightAscension(data_key="meanra", required=True)
    dec = Declination(data_key="meandec", required=True)
