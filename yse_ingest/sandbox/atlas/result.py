"""The text file of one result: a header, and a line for each exposure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ZERO_POINT: Final = 23.9
"""AB zero point of a flux in microjansky [mag]."""
HEADER: Final = (
    "###MJD          m      dm   uJy   duJy F err chi/N     RA       Dec        x        y  "
    "   maj  min   phi  apfit mag5sig Sky   Obs"
)


@dataclass(frozen=True, slots=True)
class Exposure:
    """Forced photometry of one place in one exposure of 30 s.

    Attributes
    ----------
    mjd
        Start of the exposure, UTC [d].
    filter
        ``c`` or ``o``; now and then another, as ``H``.
    ujy, dujy
        Flux and its error [microjansky]; whole numbers in the file.
    err, chi_n, x, y, maj, min, apfit, mag5sig, sky
        What the cleaning of the photometry looks at.
    obs
        Name of the exposure.
    """

    mjd: float
    filter: str
    ujy: int
    dujy: int
    obs: str
    err: int = 0
    chi_n: float = 1.04
    x: float = 5012.1
    y: float = 4987.2
    maj: float = 2.51
    min: float = 2.4
    apfit: float = -0.412
    mag5sig: float = 19.41
    sky: float = 21.1

    def line(self, ra: float, dec: float) -> str:
        """Return its line; the magnitude of a negative flux carries a minus sign."""
        size = max(abs(self.ujy), 1)
        mag = math.copysign(ZERO_POINT - 2.5 * math.log10(size), self.ujy)
        mag_err = min(1.0857 * self.dujy / size, 9.999)
        return (
            f"{self.mjd:.6f} {mag:7.3f} {mag_err:7.3f} {self.ujy:5d} {self.dujy:5d} "
            f"{self.filter} {self.err:2d} {self.chi_n:6.2f} {ra:.5f} {dec:8.5f} "
            f"{self.x:8.2f} {self.y:8.2f} {self.maj:.2f} {self.min:.2f} -61.2 "
            f"{self.apfit:.3f} {self.mag5sig:.2f} {self.sky:.2f} {self.obs}"
        )


def result_text(exposures: Iterable[Exposure], *, ra: float, dec: float) -> str:
    """Return the file of one place [deg]."""
    ordered = sorted(exposures, key=lambda exposure: exposure.mjd)
    return "\n".join([HEADER, *(exposure.line(ra, dec) for exposure in ordered)]) + "\n"
