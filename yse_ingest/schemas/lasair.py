"""Rows as Lasair's API for ZTF sends them.

Detections and upper limits share one list: only a detection has a ``candid``. Its forced
photometry is the flux of ZTF's own alert packets, in counts, with a zero point for each row.
No row of the list says of which object it is: the source writes it in.
"""

from __future__ import annotations

from typing import Any, Final

from yse_ingest.schemas.alert_fields import (
    BANDS_BY_FID,
    AlertPart,
    Choice,
    Declination,
    JulianDate,
    Magnitude,
    MagnitudeError,
    Measurement,
    NativeId,
    ObjectId,
    RightAscension,
    Score,
    Sign,
)
from yse_ingest.schemas.signed_flux import Flux, FluxError, at_our_zero_point

ID_KEY: Final = "candid"
OBJECT_KEY: Final = "objectId"
ZERO_POINT_LIMITS = (15.0, 35.0)


class _RowSchema(AlertPart):
    """What all rows have; ``time`` is the start of the exposure as Julian Date, UTC [d]."""

    object_id = ObjectId(data_key=OBJECT_KEY, required=True)
    time = JulianDate(data_key="jd", required=True)
    band = Choice(BANDS_BY_FID, data_key="fid", required=True)


class DetectionSchema(_RowSchema):
    """One detection."""

    native_id = NativeId(data_key=ID_KEY, required=True)
    mag = Magnitude(data_key="magpsf", required=True)
    mag_err = MagnitudeError(data_key="sigmapsf", required=True)
    negative = Sign(data_key="isdiffpos", required=True)
    ra = RightAscension(required=True)
    dec = Declination(required=True)
    # It serves drb alone; rb is read in case it comes.
    quality = Score(data_key="rb")
    drb = Score(spare=True)


class TimedDetectionSchema(DetectionSchema):
    """One detection whose candid has lost digits: object and time identify it."""

    class Meta(DetectionSchema.Meta):
        """Options of marshmallow."""

        exclude = ("native_id",)

    def finish(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with an id that no broker can take for a candid."""
        return row | {"native_id": f"{row['object_id']}@{row['time']:.5f}"}


class LimitSchema(_RowSchema):
    """One upper limit (5 sigma)."""

    mag_limit = Magnitude(data_key="diffmaglim", required=True)


class ForcedSchema(_RowSchema):
    """One forced measurement."""

    flux = Flux(data_key="forcediffimflux", required=True)
    flux_err = FluxError(data_key="forcediffimfluxunc", required=True)
    zero_point = Measurement(
        data_key="magzpsci", required=True, low=ZERO_POINT_LIMITS[0], high=ZERO_POINT_LIMITS[1]
    )

    def finish(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with flux and error at our zero point, and an id of its exposure."""
        zero_point = row.pop("zero_point")
        for name in ("flux", "flux_err"):
            row[name] = at_our_zero_point(row[name], zero_point=zero_point)
        row["native_id"] = f"fp:{row['band']}:{row['time']:.5f}"
        return row


class NearSchema(AlertPart):
    """One object of a cone search, and how far it lies from the centre [arcsec]."""

    object_id = ObjectId(data_key="object", required=True)
    separation = Measurement(required=True, low=0.0, high=648_000.0)


class SeenSchema(AlertPart):
    """One object of a query, and when it was last detected [JD, UTC]."""

    object_id = ObjectId(data_key=OBJECT_KEY, required=True)
    last = JulianDate(data_key="jdmax", required=True)
