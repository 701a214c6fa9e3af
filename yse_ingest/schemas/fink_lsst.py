"""Rows as Fink's API for LSST sends them: Rubin's own columns, with ``r:`` before the name.

Fluxes are of the difference image, signed, in nJy; ``r:scienceFlux`` holds the whole light of
the place and is left alone. Times are TAI, the middle of the exposure. Ids are whole numbers
beyond 2^53.
"""

from __future__ import annotations

from typing import Final

from yse_ingest.schemas.alert_fields import (
    MJD_LIMITS,
    AlertPart,
    Choice,
    Measurement,
    NativeId,
    RightAscension,
    Score,
)
from yse_ingest.schemas.signed_flux import FLUX_MAX, NanojanskyForced, NanojanskySource

ID_KEY: Final = "r:diaSourceId"
OBJECT_KEY: Final = "r:diaObjectId"
BANDS: Final = {band: band for band in "ugrizy"}


class _MeasuredSchema(AlertPart):
    """What a source and a forced measurement have in common.

    Its ``time`` is the middle of the exposure as Modified Julian Date, TAI [d].
    """

    object_id = NativeId(data_key=OBJECT_KEY, required=True)
    time = Measurement(
        data_key="r:midpointMjdTai", required=True, low=MJD_LIMITS[0], high=MJD_LIMITS[1]
    )
    band = Choice(BANDS, data_key="r:band", required=True)
    flux = Measurement(data_key="r:psfFlux", required=True, low=-FLUX_MAX, high=FLUX_MAX)
    flux_err = Measurement(
        data_key="r:psfFluxErr", required=True, low=0.0, high=FLUX_MAX, positive=True
    )


class SourceSchema(NanojanskySource, _MeasuredSchema):
    """One diaSource: something that was found in a difference image."""

    native_id = NativeId(data_key=ID_KEY, required=True)
    ra = RightAscension(data_key="r:ra", required=True)
    dec = Measurement(data_key="r:dec", required=True, low=-90.0, high=90.0)
    quality = Score(data_key="r:reliability")


class ForcedSchema(NanojanskyForced, _MeasuredSchema):
    """One forced measurement, at the place of an object, whether or not anything was there."""


class PlaceSchema(AlertPart):
    """One source of a cone search: of which object, and where."""

    object_id = NativeId(data_key=OBJECT_KEY, required=True)
    ra = RightAscension(data_key="r:ra", required=True)
    dec = Measurement(data_key="r:dec", required=True, low=-90.0, high=90.0)


def _columns(schema: AlertPart) -> tuple[str, ...]:
    return tuple(str(field.data_key) for field in schema.fields.values() if field.data_key)


SOURCE_COLUMNS: Final = _columns(SourceSchema())
FORCED_COLUMNS: Final = _columns(ForcedSchema())
PLACE_COLUMNS: Final = _columns(PlaceSchema())
"""Without ``r:midpointMjdTai`` on purpose: see `yse_ingest.sources.fink_api`."""
