"""One alert as MARS keeps it and prints it: 109 values of the candidate under six keys.

The values that matter to photometry are each alert's own. All others are the same in every
stand-in alert: figures of the kind that real alerts carry, -999.0 where a catalogue has no
neighbour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from yse_ingest.sandbox.ztf import BANDS

if TYPE_CHECKING:
    from collections.abc import Mapping

Value: TypeAlias = str | int | float | None

PUBLISHER: Final = "ZTF (www.ztf.caltech.edu)"

_UNIX_ZERO_JD = 2440587.5
_ABSENT = -999.0

_COMMON: Final[Mapping[str, Value]] = {
    **dict.fromkeys(("distpsnr2", "distpsnr3", "maggaiabright", "neargaiabright"), _ABSENT),
    **dict.fromkeys(("sgmag2", "srmag2", "simag2", "szmag2", "sgscore2"), _ABSENT),
    **dict.fromkeys(("sgmag3", "srmag3", "simag3", "szmag3", "sgscore3"), _ABSENT),
    **dict.fromkeys(("ssdistnr", "ssmagnr"), _ABSENT),
    **dict.fromkeys(("objectidps2", "objectidps3"), -999),
    **dict.fromkeys(("nbad", "nneg", "tooflag"), 0),
    **dict.fromkeys(("deltamaglatest", "deltamagref"), None),
    "aimage": 0.72,
    "aimagerat": 0.31,
    "bimage": 0.69,
    "bimagerat": 0.297,
    "chinr": 1.045,
    "chipsf": 3.0827,
    "classtar": 0.984,
    "clrcoeff": -0.0654,
    "clrcounc": 8.43e-06,
    "clrmed": 0.72,
    "clrrms": 0.2349,
    "diffmaglim": 20.5,
    "distnr": 3.7744,
    "distpsnr1": 1.2597,
    "dsdiff": -39.822,
    "dsnrms": 18.4575,
    "elong": 1.0435,
    "exptime": 30.0,
    "field": 667,
    "fwhm": 2.32,
    "jdendref": 2458397.87794,
    "jdstartref": 2458166.745799,
    "maggaia": 19.1883,
    "magnr": 22.985,
    "magzpsci": 26.177,
    "magzpscirms": 0.0396,
    "magzpsciunc": 7.2e-06,
    "mindtoedge": 606.798,
    "ncovhist": 240,
    "ndethist": 1,
    "neargaia": 51.904,
    "nframesref": 15,
    "nmatches": 287,
    "nmtchps": 3,
    "objectidps1": 143411573412345678,
    "programid": 1,
    "programpi": "Kulkarni",
    "rbversion": "t17_f5_c3",
    "scorr": 47.4758,
    "seeratio": 0.9261,
    "sgmag1": 21.857,
    "sgscore1": 0.0029,
    "sharpnr": -0.402,
    "simag1": 20.6302,
    "sky": -0.4931,
    "srmag1": 21.1012,
    "ssnamenr": "null",
    "ssnrms": 58.2797,
    "sumrat": 1.0,
    "szmag1": 20.2854,
    "tblid": 8,
    "xpos": 881.418,
    "ypos": 1674.347,
    "zpclrcov": -7.533e-06,
    "zpmed": 26.122,
}
_OWN: Final = (
    *("b", "candid", "dec", "decnr", "drb", "drbversion", "fid", "filter", "isdiffpos", "jd"),
    *("jdendhist", "jdstarthist", "l", "magap", "magapbig", "magdiff", "magfromlim", "magpsf"),
    *("nid", "pdiffimfilename", "pid", "ra", "ranr", "rb", "rcid", "rfid", "sigmagap"),
    *("sigmagapbig", "sigmagnr", "sigmapsf", "wall_time"),
)
CANDIDATE_KEYS: Final = frozenset((*_COMMON, *_OWN))
_DERIVED: Final = frozenset({"b", "candid", "filter", "l", "wall_time"})
SETTABLE_KEYS: Final = CANDIDATE_KEYS - _DERIVED


class ApplicationError(Exception):
    """What makes the real application answer 500."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One row of the table.

    Parameters
    ----------
    lco_id
        The row's number, in the order of insertion.
    object_id
        ZTF's name of the object.
    candid
        ZTF's number of the detection.
    own
        The candidate values in which this alert differs from the common ones, at full
        precision.
    publisher
        Who sent it.
    """

    lco_id: int
    object_id: str
    candid: int
    own: Mapping[str, Value]
    publisher: str = PUBLISHER

    def column(self, name: str) -> Value:
        """Return one stored value; ``id``, ``objectId`` and ``publisher`` are columns too."""
        match name:
            case "id":
                return self.lco_id
            case "objectId":
                return self.object_id
            case "candid":
                return self.candid
            case "publisher":
                return self.publisher
            case _:
                return self.own[name] if name in self.own else _COMMON[name]

    def number(self, name: str) -> float:
        """Return one stored value that is a number in every alert."""
        value = self.column(name)
        if not isinstance(value, int | float):
            raise ApplicationError(f"{name} is not a number")
        return value

    def as_json(self, *, signature: int) -> dict[str, object]:
        """Return the alert as the service prints it.

        Parameters
        ----------
        signature
            Stands in the address of the packet: the service signs it anew for every reply.

        Raises
        ------
        ApplicationError
            When the filter number has no letter: the service then fails on the whole page.
        """
        observed = _datetime_of_jd(self.number("jd"))
        fid = int(self.number("fid"))
        if fid > len(BANDS):
            raise ApplicationError(f"no filter {fid}")
        galactic_l, galactic_b = galactic(self.number("ra"), self.number("dec"))
        derived: dict[str, Value] = {
            "candid": self.candid,
            "filter": BANDS[fid - 1],  # fid 0 is the last letter, as measured
            "l": galactic_l,
            "b": galactic_b,
            "wall_time": format_datetime(observed.replace(microsecond=0), usegmt=True),
        }
        values = {**_COMMON, **self.own, **derived}
        return {
            "avro": _packet_url(self.candid, observed, signature),
            "candid": self.candid,
            "candidate": {key: _printed(value) for key, value in values.items()},
            "lco_id": self.lco_id,
            "objectId": self.object_id,
            "publisher": self.publisher,
        }


def own_values(
    *,
    jd: float,
    band: str,
    magpsf: float,
    sigmapsf: float,
    ra: float,
    dec: float,
    isdiffpos: str,
    rb: float | None,
    drb: float | None,
    pid: int,
) -> dict[str, Value]:
    """Return the candidate values that differ from alert to alert."""
    fid = BANDS.index(band) + 1
    rcid = pid // 100 % 100
    # ZTF's packets had no drb before schema 3.3 of June 2019.
    return {
        "dec": float(dec),
        "decnr": float(dec),
        "drb": None if drb is None else float(drb),
        "drbversion": "" if drb is None else "d6_m7",
        "fid": fid,
        "isdiffpos": isdiffpos,
        "jd": float(jd),
        "jdendhist": float(jd),
        "jdstarthist": float(jd),
        "magap": float(magpsf),
        "magapbig": float(magpsf),
        "magdiff": 0.0,
        "magfromlim": float(_COMMON["diffmaglim"] or 0.0) - float(magpsf),
        "magpsf": float(magpsf),
        "nid": pid // 1_000_000_000,
        "pdiffimfilename": _image_name(jd, band, rcid),
        "pid": pid,
        "ra": float(ra),
        "ranr": float(ra),
        "rb": None if rb is None else float(rb),
        "rcid": rcid,
        "rfid": 667_000_000 + 100_000 * (10 + fid) + rcid,
        "sigmagap": 1.2 * float(sigmapsf),
        "sigmagapbig": 1.4 * float(sigmapsf),
        "sigmagnr": 0.327,
        "sigmapsf": float(sigmapsf),
    }


def galactic(ra: float, dec: float) -> tuple[float, float]:
    """Return galactic longitude and latitude of an ICRS position [deg]."""
    pole_ra, pole_dec = math.radians(192.8594812065348), math.radians(27.12825118085622)
    east, north = math.radians(ra) - pole_ra, math.radians(dec)
    sin_b = math.sin(north) * math.sin(pole_dec)
    sin_b += math.cos(north) * math.cos(pole_dec) * math.cos(east)
    toward = math.sin(north) * math.cos(pole_dec)
    toward -= math.cos(north) * math.sin(pole_dec) * math.cos(east)
    around = math.degrees(math.atan2(math.cos(north) * math.sin(east), toward))
    return (122.9319185680026 - around) % 360, math.degrees(
        math.asin(max(-1.0, min(1.0, sin_b)))
    )


def _datetime_of_jd(jd: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=jd - _UNIX_ZERO_JD)


def _image_name(jd: float, band: str, rcid: int) -> str:
    observed = _datetime_of_jd(jd)
    midnight = observed.replace(hour=0, minute=0, second=0, microsecond=0)
    fraction = int((observed - midnight) / timedelta(days=1) * 1e6)
    ccd, quadrant = divmod(rcid, 4)
    return (
        f"ztf_{observed:%Y%m%d}{fraction:06d}_000667_z{band}_c{ccd + 1:02d}_o_q{quadrant + 1}"
        "_scimrefdiffimg.fits"
    )


def _packet_url(candid: int, observed: datetime, signature: int) -> str:
    return (
        "https://s3.us-west-2.amazonaws.com/ztf-alert.lco.global/"
        f"{observed:%Y/%m/%d}/{candid}.avro?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=SANDBOX%2Fus-west-2%2Fs3%2Faws4_request"
        f"&X-Amz-Date={observed:%Y%m%dT%H%M%SZ}&X-Amz-Expires=604800"
        f"&X-Amz-SignedHeaders=host&X-Amz-Signature={signature:064x}"
    )


def _printed(value: Value) -> Value:
    # PostgreSQL 10 prints floats with 15 significant digits.
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.15g}")
    return value
