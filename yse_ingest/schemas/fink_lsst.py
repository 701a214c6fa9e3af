"""Rows as Fink's API for LSST sends them: Rubin's own columns, with ``r:`` before the name.

Fluxes are of the difference image, signed, in nJy; ``r:scienceFlux`` holds the whole light of
the place and is left alone. Times are TAI, the middle of the exposure. Ids are whole numbers
beyond 2^53.
"""

from __future__ import annotations

from typing import Final

from yse_ingest.schemas.alert_fields import (
    AlertPart,
    Choice,
    Declination,
    ModifiedJulianDate,
    NativeId,
    RightAscension,
    Score,
)
from yse_ingest.schemas.signed_flux import Flux, FluxError, NanojanskyForced, NanojanskySource

ID_KEY: Final = "r:diaSourceId"
OBJECT_KEY: Final = "r:diaObjectId"
BANDS: Final = {band: band for band in "ugrizy"}


class _MeasuredSchema(AlertPart):
    """What a source and a forced measurement have in common.

    Its ``time`` is the middle of the exposure as Modified Julian Date, TAI [d].
    """

    object_id = NativeId(data_key=OBJECT_KEY, required=True)
    time = ModifiedJulianDate(data_key="r:midpointMjdTai", required=True)
    band = Choice(BANDS, data_key="r:band", required=True)
    flux = Flux(data_key="r:psfFlux", required=True)
    flux_err = FluxError(data_key="r:psfFluxErr", required=True)


class SourceSchema(NanojanskySource, _MeasuredSchema):
    """One diaSource: something that was found in a difference image."""

    native_id = NativeId(data_key=ID_KEY, required=True)
    ra = RightAscension(data_key="r:ra", required=True)
    dec = Declination(data_key="r:dec", required=True)
    quality = Score(data_key="r:reliability")


class ForcedSchema(NanojanskyForced, _MeasuredSchema):
    """One forced measurement, at the place of an object, whether or not anything was there."""


class PlaceSchema(AlertPart):
    """One source of a cone search: of which object, and where."""

    object_id = NativeId(data_key=OBJECT_KEY, required=True)
    ra = RightAscension(data_key="r:ra", required=True)
    dec = Declination(data_key="r:dec", required=True)


def _columns(schema: AlertPart) -> tuple[str, ...]:
    return tuple(str(field.data_key) for field in schema.fields.values() if field.data_key)


SOURCE_COLUMNS: Final = _columns(SourceSchema())
FORCED_COLUMNS: Final = _columns(ForcedSchema())
PLACE_COLUMNS: Final = _columns(PlaceSchema())
"""Without ``r:midpointMjdTai`` on purpose: see `yse_ingest.sources.fink_api`."""
