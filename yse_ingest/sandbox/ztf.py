"""What every broker of ZTF's alerts shares: the filters, and how an alert is given to it."""

from __future__ import annotations

from typing import Any, Final

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


class ZtfAlerts:
    """A stand-in that is given ZTF's alerts one by one."""

    def add_alert(  # noqa: PLR0917  the order of ZTF's columns
        self,
        object_id: str,
        jd: float,
        filter: str,  # noqa: A002  the astronomers' word
        magpsf: float,
        sigmapsf: float,
        ra: float,
        dec: float,
        *,
        candid: int | None = None,
        isdiffpos: str = "t",
        **extra: Any,
    ) -> int:
        """Add one detection, also while it runs, and return its candid.

        Parameters
        ----------
        jd
            Start of the exposure, UTC [d].
        ra, dec
            ICRS [deg].
        candid
            ZTF's number of the detection; None makes one from `jd`.
        isdiffpos
            ``t`` or ``f``, in old alerts ``1`` or ``0``.
        extra
            Further columns as the broker calls them, or others in place of its own.
        """
        candid = candid_of(jd) if candid is None else candid
        alert = {
            "objectId": object_id,
            "candid": candid,
            "pid": candid // 1_000_000,
            "jd": jd,
            "fid": BANDS.index(filter) + 1,
            "magpsf": float(magpsf),
            "sigmapsf": float(sigmapsf),
            "isdiffpos": isdiffpos,
            "ra": float(ra),
            "dec": float(dec),
        }
        self.keep_alert(alert, extra)
        return candid

    def keep_alert(self, alert: dict[str, Any], extra: dict[str, Any]) -> None:
        """Keep the columns that every alert has, with what the broker adds to them."""
        raise NotImplementedError
