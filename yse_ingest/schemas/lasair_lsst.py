"""Rows as Lasair's API for LSST sends them: Rubin's columns, the few of a ``lite`` light curve.

Fluxes are of the difference image, signed, in nJy. Times are TAI, the middle of the exposure.
No row says of which object it is, or where: the source writes both in.
"""

from __future__ import annotations

from typing import Final

from yse_ingest.schemas.alert_fields import (
    AlertPart,
    Choice,
    Declination,
    Measurement,
    ModifiedJulianDate,
    NativeId,
    RightAscension,
    Score,
)
from yse_ingest.schemas.signed_flux import Flux, FluxError, NanojanskyForced, NanojanskySource

ID_KEY: Final = "diaSourceId"
OBJECT_KEY: Final = "diaObjectId"
BANDS: Final = {band: band for band in "ugrizy"}


class _MeasuredSchema(AlertPart):
    """What a source and a forced measurement have in common.

    Its ``time`` is the middle of the exposure as Modified Julian Date, TAI [d].
    """

    object_id = NativeId(data_key=OBJECT_KEY, required=True)
    time = ModifiedJulianDate(data_key="midpointMjdTai", required=True)
    band = Choice(BANDS, required=True)
    flux = Flux(data_key="psfFlux", required=True)
    flux_err = FluxError(data_key="psfFluxErr", required=True)


class SourceSchema(NanojanskySource, _MeasuredSchema):
    """One diaSource, at the place of its object."""

    native_id = NativeId(data_key=ID_KEY, required=True)
    ra = RightAscension(required=True)
    dec = Declination(required=True)
    quality = Score(data_key="reliability")


class ForcedSchema(NanojanskyForced, _MeasuredSchema):
    """One forced measurement."""


class NearSchema(AlertPart):
    """One object of a cone search, and how far it lies from the centre [arcsec]."""

    object_id = NativeId(data_key="object", required=True)
    separation = Measurement(required=True, low=0.0, high=648_000.0)


class SeenSchema(AlertPart):
    """One object of a query: where it is, and when it was last detected [MJD, TAI]."""

    object_id = NativeId(data_key=OBJECT_KEY, required=True)
    ra = RightAscension(required=True)
    dec = Declination(data_key="decl", required=True)
    last = ModifiedJulianDate(data_key="lastDiaSourceMjdTai", required=True)
