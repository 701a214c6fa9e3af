"""Photometry that comes as signed flux of the difference image, at any zero point."""

from __future__ import annotations

import math
from typing import Any

from yse_ingest.photometry import MAG_PER_RELATIVE_FLUX, ZERO_POINT
from yse_ingest.schemas.alert_fields import AlertPart, Measurement

NANOJANSKY_ZERO_POINT = 31.4
"""AB zero point of fluxes in nJy [mag]."""
FLUX_MAX = 1e12
"""Brighter than any star, in nJy or in counts."""


class Flux(Measurement):
    """A flux of either sign."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(low=-FLUX_MAX, high=FLUX_MAX, **kwargs)


class FluxError(Measurement):
    """Its error: more than 0."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(low=0.0, high=FLUX_MAX, positive=True, **kwargs)


def at_our_zero_point(flux: float, *, zero_point: float) -> float:
    """Return a flux of either sign, or its error, at zero point 27.5."""
    return flux * math.pow(10.0, -0.4 * (zero_point - ZERO_POINT))


def detection_of(flux: float, flux_err: float, *, zero_point: float) -> dict[str, float | bool]:
    """Return ``mag``, ``mag_err`` and ``negative`` of a detection: `Alerts` holds these.

    The magnitude is that of the flux without its sign; a flux of 0 has an infinite one, with an
    infinite error.
    """
    size = abs(flux)
    if size == 0:
        return {"mag": math.inf, "mag_err": math.inf, "negative": False}
    return {
        "mag": zero_point - 2.5 * math.log10(size),
        "mag_err": MAG_PER_RELATIVE_FLUX * flux_err / size,
        "negative": flux < 0,
    }


class NanojanskySource(AlertPart):
    """One detection whose fields ``flux`` and ``flux_err`` are in nJy."""

    def finish(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with magnitude and sign in place of its flux."""
        flux, flux_err = row.pop("flux"), row.pop("flux_err")
        return row | detection_of(flux, flux_err, zero_point=NANOJANSKY_ZERO_POINT)


class NanojanskyForced(AlertPart):
    """One forced measurement whose fields ``flux`` and ``flux_err`` are in nJy."""

    def finish(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with flux and error at our zero point, and an id of its exposure."""
        for name in ("flux", "flux_err"):
            row[name] = at_our_zero_point(row[name], zero_point=NANOJANSKY_ZERO_POINT)
        row["native_id"] = f"fp:{row['band']}:{row['time']:.6f}"
        return row
