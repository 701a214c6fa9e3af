"""What every broker of ZTF's alerts shares: the filters, and the number of a detection."""

from __future__ import annotations

from typing import Final

BANDS: Final = ("g", "r", "i")
MJD_ZERO_JD: Final = 2400000.5

_NIGHT_ZERO_JD = 2457754.5  # 2017-01-01


def candid_of(jd: float, *, rcid: int = 41, number: int = 1) -> int:
    """Return a candid of ZTF's form.

    Its digits are night, 1e-5 d within the night (UTC), quadrant, ``15``, ``015`` and a number
    that counts the detections of the exposure; all but the last six are the ``pid``, the number
    of the quadrant's exposure.

    Parameters
    ----------
    jd
        Start of the exposure, UTC [d].
    rcid
        Quadrant of the camera, 0 to 63.
    """
    night, fraction = divmod(round((jd - _NIGHT_ZERO_JD) * 1e7), 10_000_000)
    pid = (night * 100_000 + fraction // 100) * 10_000 + rcid * 100 + 15
    return pid * 1_000_000 + 15_000 + number
