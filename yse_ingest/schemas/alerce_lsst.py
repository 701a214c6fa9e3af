"""Rows as ALeRCE's multisurvey API sends them of LSST: Rubin's columns, with a band number.

Fluxes are of the difference image, signed, in nJy; ``scienceFlux`` holds the whole light of the
place and is left alone. Times are TAI, the middle of the exposure. Where its database holds a
null the service prints a number, 0.0 for a flux and its error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from marshmallow import pre_load

from yse_ingest.schemas.alert_fields import (
    AlertPart,
    Choice,
    Declination,
    ModifiedJulianDate,
    NativeId,
    RightAscension,
    Score,
)
from yse_ingest.schemas.signed_flux import (
    NANOJANSKY_ZERO_POINT,
    Flux,
    FluxError,
    NanojanskySource,
    at_our_zero_point,
)

ID_KEY: Final = "measurement_id"
OBJECT_KEY: Final = "oid"
BANDS: Final = {band: band for band in "ugrizy"}
BAND_MAP: Final = {"6": "u", "1": "g", "2": "r", "3": "i", "4": "z", "5": "y"}
"""What the band numbers mean where a row does not say so itself."""


class _MeasuredSchema(AlertPart):
    """What a detection and a forced measurement have in common."""

    native_id = NativeId(data_key=ID_KEY, required=True)
    object_id = NativeId(data_key=OBJECT_KEY, required=True)
    time = ModifiedJulianDate(data_key="mjd", required=True)
    band = Choice(BANDS, required=True)
    flux = Flux(data_key="psfFlux", required=True)
    flux_err = FluxError(data_key="psfFluxErr", required=True)

    @pre_load
    def name_band(self, row: Any, **_: Any) -> Any:
        """Return the row with the letter of its band, by its own map if it has one."""
        if not isinstance(row, Mapping) or "band" not in row:
            return row
        names = row.get("band_map")
        names = names if isinstance(names, Mapping) else BAND_MAP
        return {**row, "band": names.get(str(row["band"]), row["band"])}


class DetectionSchema(NanojanskySource, _MeasuredSchema):
    """One diaSource: something that was found in a difference image."""

    ra = RightAscension(required=True)
    dec = Declination(required=True)
    quality = Score(data_key="reliability")


class ForcedSchema(_MeasuredSchema):
    """One forced measurement, at the place of an object, whether or not anything was there.

    Its ``native_id`` is that of the visit: under two names of one thing there are two numbers.
    """

    visit = NativeId(required=True)

    def finish(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with flux and error at our zero point."""
        for name in ("flux", "flux_err"):
            row[name] = at_our_zero_point(row[name], zero_point=NANOJANSKY_ZERO_POINT)
        row["native_id"] = f"fp:{row.pop('visit')}"
        return row


class ObjectSchema(AlertPart):
    """One object of a cone search, and where it is."""

    object_id = NativeId(data_key=OBJECT_KEY, required=True)
    ra = RightAscension(data_key="meanra", required=True)
    dec = Declination(data_key="meandec", required=True)
