"""Detections and objects as the ZTF API of ALeRCE sends them.

Keys whose value is null are absent there. ``magpsf`` is the difference magnitude that a
supernova needs; ``magpsf_corr`` adds the reference source back and is left alone.
"""

from __future__ import annotations

from yse_ingest.schemas.alert_fields import (
    BANDS_BY_FID,
    MAG_ERR_MAX,
    MAG_LIMITS,
    AlertPart,
    Choice,
    Measurement,
    NativeId,
    ObjectId,
    RightAscension,
    Score,
    Sign,
)

ID_KEY = "candid"
MJD_LIMITS = (47892.0, 88069.0)
"""1990-01-01 and 2100-01-01: an earlier date, like that of MJD 0, stands for a missing one."""


class DetectionSchema(AlertPart):
    """One detection; the object's id is the request's, not the row's.

    Its ``time`` is the start of the exposure as Modified Julian Date, UTC [d].
    """

    native_id = NativeId(data_key=ID_KEY, required=True)
    time = Measurement(data_key="mjd", required=True, low=MJD_LIMITS[0], high=MJD_LIMITS[1])
    band = Choice(BANDS_BY_FID, data_key="fid", required=True)
    # 100.0 is the service's sentinel for "undefined".
    mag = Measurement(
        data_key="magpsf",
        required=True,
        low=MAG_LIMITS[0],
        high=MAG_LIMITS[1],
        missing=(100.0,),
    )
    mag_err = Measurement(
        data_key="sigmapsf",
        required=True,
        low=0.0,
        high=MAG_ERR_MAX,
        positive=True,
        missing=(100.0,),
    )
    negative = Sign(data_key="isdiffpos", required=True)
    ra = RightAscension(required=True)
    dec = Measurement(required=True, low=-90.0, high=90.0)
    quality = Score(data_key="rb")
    drb = Score()


class ObjectSchema(AlertPart):
    """One object of a cone search: where it is, and when it was last seen [MJD, UTC]."""

    object_id = ObjectId(data_key="oid", required=True)
    ra = RightAscension(data_key="meanra", required=True)
    dec = Measurement(data_key="meandec", required=True, low=-90.0, high=90.0)
    last_mjd = Measurement(
        data_key="lastmjd",
        low=MJD_LIMITS[0],
        high=MJD_LIMITS[1],
        load_default=None,
        allow_none=True,
    )
