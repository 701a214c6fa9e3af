"""An alert as MARS sends it."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from yse_ingest.schemas.alert_fields import (
    BANDS_BY_FID,
    AlertPart,
    Choice,
    Declination,
    Magnitude,
    MagnitudeError,
    Measurement,
    NativeId,
    ObjectId,
    RightAscension,
    Score,
    Sign,
)

ID_KEY = "candid"
JD_LIMITS = (2447892.5, 2488069.5)
"""1990-01-01 and 2100-01-01: an earlier date, like that of MJD 0, stands for a missing one."""


class CandidateSchema(AlertPart):
    """The columns of ZTF's detection that photometry needs, of 109."""

    time = Measurement(data_key="jd", required=True, low=JD_LIMITS[0], high=JD_LIMITS[1])
    band = Choice(
        {letter: letter for letter in BANDS_BY_FID.values()}, data_key="filter", required=True
    )
    mag = Magnitude(data_key="magpsf", required=True)
    mag_err = MagnitudeError(data_key="sigmapsf", required=True, missing=(100.0,))
    negative = Sign(data_key="isdiffpos", required=True)
    ra = RightAscension(required=True)
    dec = Declination(required=True)
    quality = Score(data_key="rb")
    drb = Score(spare=True)

    error_messages = {"type": "is no JSON object"}  # noqa: RUF012


class AlertSchema(AlertPart):
    """One alert; loads to a flat row with the keys of `yse_ingest.photometry.Alerts`.

    Its ``time`` is the start of the exposure as Julian Date, UTC [d].
    """

    native_id = NativeId(data_key=ID_KEY, required=True)
    object_id = ObjectId(data_key="objectId", required=True)
    candidate = fields.Nested(
        CandidateSchema,
        required=True,
        error_messages={
            "required": "is missing",
            "null": "is missing (null)",
        },
    )

    def finish(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with the columns of its candidate beside its ids."""
        return {**row.pop("candidate"), **row}
