"""Alerts and loci as ANTARES's API, version 2, is thought to send them.

Known from the source of its client alone. A locus is a place at which several surveys saw
something, and may hold several objects of ZTF: of which object an alert is stands in the alert.
"""

from __future__ import annotations

from typing import Any, Final

from yse_ingest.schemas.alert_fields import (
    JD_LIMITS,
    NATIVE_ID_MAX,
    AlertPart,
    Choice,
    Declination,
    Magnitude,
    MagnitudeError,
    Measurement,
    ModifiedJulianDate,
    ObjectId,
    RightAscension,
    Score,
    Sign,
)
from yse_ingest.schemas.value_fields import ValueField

ID_KEY: Final = "id"
CANDIDATE: Final = "ztf_candidate"
UPPER_LIMIT: Final = "ztf_upper_limit"
# Red is a capital letter there.
PASSBANDS: Final = {"g": "g", "R": "r", "r": "r", "i": "i"}


class AlertId(ValueField):
    """``ztf_candidate:3100310000015010001``; becomes the candid, as text."""

    default_error_messages = {  # noqa: RUF012  as marshmallow declares it
        "id": "is {shown}, which is no candidate of ZTF"
    }

    def read(self, value: Any) -> str:
        """Return the value, or refuse it."""
        kind, _, candid = value.partition(":") if isinstance(value, str) else ("", "", "")
        digits = candid.isascii() and candid.isdecimal() and len(candid) < 20
        if kind != CANDIDATE or not digits or not 0 < int(candid) <= NATIVE_ID_MAX:
            raise self.make_error("id", value=value)
        return str(int(candid))


class _AlertSchema(AlertPart):
    """What all alerts have: properties of ANTARES's own begin with ``ant_``.

    Its ``time`` is the start of the exposure as Modified Julian Date, UTC [d].
    """

    object_id = ObjectId(data_key="ztf_object_id", required=True)
    time = ModifiedJulianDate(data_key="ant_mjd", required=True)
    band = Choice(PASSBANDS, data_key="ant_passband", required=True)


class DetectionSchema(_AlertSchema):
    """One candidate of ZTF: the properties of the alert, and its ``id``."""

    native_id = AlertId(data_key=ID_KEY, required=True)
    mag = Magnitude(data_key="ztf_magpsf", required=True)
    mag_err = MagnitudeError(data_key="ztf_sigmapsf", required=True)
    negative = Sign(data_key="ztf_isdiffpos", required=True)
    ra = RightAscension(data_key="ant_ra", required=True)
    dec = Declination(data_key="ant_dec", required=True)
    quality = Score(data_key="ztf_rb")
    drb = Score(spare=True, data_key="ztf_drb")


class LimitSchema(_AlertSchema):
    """One upper limit (5 sigma)."""

    mag_limit = Magnitude(data_key="ant_maglim", required=True)


class LocusSchema(AlertPart):
    """One locus: where it is, and when it was last seen [MJD, UTC], where that is told."""

    locus_id = ObjectId(required=True)
    ra = RightAscension(required=True)
    dec = Declination(required=True)
    newest_mjd = Measurement(
        data_key="newest_alert_observation_time",
        low=0.0,
        high=JD_LIMITS[1],
        load_default=None,
        allow_none=True,
    )
