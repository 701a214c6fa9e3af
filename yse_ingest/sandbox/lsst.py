"""What every broker of LSST's alerts shares: how a diaSource is given to it."""

from __future__ import annotations

from typing import Any


class LsstSources:
    """A stand-in that is given what LSST measured, row by row."""

    def add_source(  # noqa: PLR0917  the order of Rubin's columns
        self,
        dia_object_id: int,
        midpoint_mjd_tai: float,
        band: str,
        psf_flux: float | None,
        psf_flux_err: float | None,
        ra: float,
        dec: float,
        *,
        dia_source_id: int | None = None,
        reliability: float | None = 0.9,
        **extra: Any,
    ) -> int:
        """Add one diaSource, also while it runs, and return its id.

        Parameters
        ----------
        midpoint_mjd_tai
            Middle of the exposure, TAI [d].
        psf_flux, psf_flux_err
            Of the difference image, signed [nJy].
        ra, dec
            ICRS [deg].
        dia_source_id
            None makes one from the time.
        extra
            Further columns, or others in place of these.
        """
        if dia_source_id is None:
            dia_source_id = 170_000_000_000_000_000 + round(midpoint_mjd_tai * 1e11)
        measured = _measured(dia_object_id, midpoint_mjd_tai, band, psf_flux, psf_flux_err)
        source = measured | {
            "diaSourceId": dia_source_id,
            "ra": float(ra),
            "dec": float(dec),
            "reliability": reliability,
        }
        self.keep_source(source, extra)
        return dia_source_id

    def add_forced(
        self,
        dia_object_id: int,
        midpoint_mjd_tai: float,
        band: str,
        psf_flux: float | None,
        psf_flux_err: float | None,
    ) -> None:
        """Add one forced measurement; see `add_source`."""
        self.keep_forced(
            _measured(dia_object_id, midpoint_mjd_tai, band, psf_flux, psf_flux_err)
        )

    def keep_source(self, source: dict[str, Any], extra: dict[str, Any]) -> None:
        """Keep the columns that every diaSource has, with what the broker adds to them."""
        raise NotImplementedError

    def keep_forced(self, row: dict[str, Any]) -> None:
        """Keep a forced measurement: object, time, band and flux."""
        raise NotImplementedError


def _measured(
    dia_object_id: int,
    midpoint_mjd_tai: float,
    band: str,
    psf_flux: float | None,
    psf_flux_err: float | None,
) -> dict[str, Any]:
    return {
        "diaObjectId": dia_object_id,
        "midpointMjdTai": midpoint_mjd_tai,
        "band": band,
        "psfFlux": psf_flux,
        "psfFluxErr": psf_flux_err,
    }
