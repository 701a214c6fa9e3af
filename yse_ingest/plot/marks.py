"""What is drawn of an answer and of the rows of YSE-PZ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from yse_ingest.photometry import (
    LIMIT_SIGMAS,
    MAG_PER_RELATIVE_FLUX,
    ZERO_POINT,
    flux_err_of_mag_err,
    flux_of_mag,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from yse_ingest.photometry import Bools, Floats, Ints, StoredPhotometry, Texts
    from yse_ingest.plot.styles import MarkKind
    from yse_ingest.sources import Answer

MICROJANSKY: Final = 3.631e9 * 10 ** (-0.4 * ZERO_POINT)
"""One unit of flux at zero point 27.5 [µJy]."""
FORCED_SIGMAS: Final = 3.0
"""A forced flux below so many errors is no magnitude."""
BARE_LIMIT: Final = 1e-3
"""A row of YSE-PZ without a magnitude is a limit when its flux is less of its error."""


@dataclass(frozen=True, eq=False)
class Marks:
    """Points of one kind, shape (n,): limits have no error, magnitudes are nan for fluxes."""

    kind: MarkKind
    time_ms: Ints
    band: Texts
    mag: Floats
    mag_err: Floats
    flux: Floats
    flux_err: Floats

    def bands(self, chosen: Bools) -> Iterator[tuple[str, Ints]]:
        """Iterate over bands and their rows, of those that a mask chooses."""
        for band in dict.fromkeys(self.band[chosen].tolist()):
            yield band, np.flatnonzero(chosen & (self.band == band))


def of_source(answer: Answer, band_map: Mapping[str, str]) -> Iterator[Marks]:
    """Iterate over what a source said: detections, forced photometry, limits."""
    alerts, forced, limits = answer.alerts, answer.forced, answer.limits
    flux = np.where(alerts.negative, -1.0, 1.0) * flux_of_mag(alerts.mag)
    yield Marks(
        kind="detection",
        time_ms=alerts.time_ms,
        band=_named(alerts.band, band_map),
        mag=np.where(alerts.negative, np.nan, alerts.mag),
        mag_err=alerts.mag_err,
        flux=flux,
        flux_err=flux_err_of_mag_err(flux, alerts.mag_err),
    )
    seen = forced.flux >= FORCED_SIGMAS * forced.flux_err
    positive = np.where(seen, forced.flux, np.nan)
    yield Marks(
        kind="forced",
        time_ms=forced.time_ms,
        band=_named(forced.band, band_map),
        mag=ZERO_POINT - 2.5 * np.log10(positive),
        mag_err=MAG_PER_RELATIVE_FLUX * forced.flux_err / positive,
        flux=forced.flux,
        flux_err=forced.flux_err,
    )
    nothing = np.full(len(limits), np.nan)
    yield Marks(
        kind="limit",
        time_ms=limits.time_ms,
        band=_named(limits.band, band_map),
        mag=limits.mag_limit,
        mag_err=nothing,
        flux=nothing,
        flux_err=nothing,
    )


def of_ysepz(stored: StoredPhotometry | None) -> Iterator[Marks]:
    """Iterate over what stands in YSE-PZ: points, and limits."""
    if stored is None:
        return
    flux, flux_err = stored.flux_at()
    has_mag = np.isfinite(stored.mag)
    bare = ~has_mag & (flux_err > 0) & (np.abs(flux) < BARE_LIMIT * flux_err)
    nothing = np.full(len(stored), np.nan)
    yield Marks(
        kind="stored",
        time_ms=stored.time_ms,
        band=stored.band,
        mag=stored.mag,
        mag_err=nothing,
        flux=np.where(bare, np.nan, flux),
        flux_err=nothing,
    )
    limits = np.flatnonzero(bare)
    yield Marks(
        kind="stored-limit",
        time_ms=stored.time_ms[limits],
        band=stored.band[limits],
        mag=ZERO_POINT - 2.5 * np.log10(LIMIT_SIGMAS * flux_err[limits]),
        mag_err=nothing[limits],
        flux=nothing[limits],
        flux_err=nothing[limits],
    )


def _named(letters: Texts, band_map: Mapping[str, str]) -> Texts:
    names = [band_map.get(letter, letter) for letter in letters.tolist()]
    return np.array(names, dtype="U")


def needs_flux(part: Marks) -> Bools:
    """Return which marks have a flux that no magnitude shows, or are forced."""
    needs: Bools = np.isfinite(part.flux) & (~np.isfinite(part.mag) | (part.kind == "forced"))
    return needs
