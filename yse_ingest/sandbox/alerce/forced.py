"""ALeRCE's light-curve API, version 2: forced photometry of ZTF as it prints it.

True to the server source as read in 2026-04. Fluxes are served as magnitudes with a sign; an
object that it does not know is an empty list. Its other routes are left out.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Final, TypeAlias

from yse_ingest.sandbox.server import Reply
from yse_ingest.sandbox.ztf import BANDS, MJD_ZERO_JD, candid_of

if TYPE_CHECKING:
    from yse_ingest.sandbox.server import Request

FORCED_PATH: Final = "/v2/lightcurve"
INVALID: Final = 100.0
SURVEYS: Final = ("all", "ztf", "atlas")
MAGZPSCI: Final = 26.2

Value: TypeAlias = str | int | float | bool | dict[str, str | int | float] | None
Record: TypeAlias = dict[str, Value]


def forced_record(
    oid: str,
    jd: float,
    band: str,
    flux: float,
    flux_err: float,
    *,
    ra: float = 150.10001,
    dec: float = 2.20003,
    procstatus: str = "0",
    programid: int = 1,
) -> Record:
    """Return one measurement as the service prints it.

    Parameters
    ----------
    jd
        Start of the exposure, UTC [d].
    flux, flux_err
        Of the difference image, signed [DN, zero point 26.2]; a NaN is served as 100.
    """
    pid = candid_of(jd) // 1_000_000
    mag, e_mag = INVALID, INVALID
    if math.isfinite(flux):
        mag = -2.5 * math.log10(abs(flux)) + MAGZPSCI
        e_mag = 1.0857 * flux_err / abs(flux)
    return {
        "candid": f"{oid}{pid}",
        "tid": "ztf",
        "sid": None,
        "aid": None,
        "pid": pid,
        "oid": oid,
        "mjd": jd - MJD_ZERO_JD,
        "fid": BANDS.index(band) + 1,
        "ra": ra,
        "e_ra": 0.065,
        "dec": dec,
        "e_dec": 0.065,
        "mag": mag,
        "e_mag": e_mag,
        "mag_corr": None,
        "e_mag_corr": None,
        "e_mag_corr_ext": None,
        "isdiffpos": -1 if flux < 0 else 1,
        "corrected": False,
        "dubious": False,
        "parent_candid": None,
        "has_stamp": False,
        "extra_fields": {
            "field": 450,
            "rcid": 2,
            "rfid": 450120202,
            "sciinpseeing": 2.1,
            "scibckgnd": 250.0,
            "scisigpix": 7.2,
            "magzpsci": MAGZPSCI,
            "magzpsciunc": 1e-05,
            "magzpscirms": 0.03,
            "clrcoeff": 0.1,
            "clrcounc": 2e-05,
            "exptime": 30.0,
            "adpctdif1": 0.08,
            "adpctdif2": 0.07,
            "diffmaglim": 20.6,
            "programid": programid,
            "procstatus": procstatus,
            "distnr": 4.2,
            "ranr": 150.1011,
            "decnr": 2.2002,
            "magnr": 19.9,
            "sigmagnr": 0.05,
            "chinr": 1.1,
            "sharpnr": 0.02,
        },
    }


class ForcedService:
    """Measurements by object, added to while they are served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, list[Record]] = {}

    def add(self, record: Record) -> None:
        """Append one measurement to its object."""
        with self._lock:
            self._records.setdefault(str(record["oid"]), []).append(record)

    def reply(self, request: Request) -> Reply:
        """Answer for one object."""
        match request.path.removeprefix(FORCED_PATH).split("/"):
            case ["", "forced-photometry", oid]:
                pass
            case _:
                return Reply.json({"detail": "Not Found"}, 404)
        survey = request.param("survey_id") or "all"
        if survey not in SURVEYS:
            detail = f"Can't retrieve forced photometry: survey id not recognized {survey}"
            return Reply.json({"detail": detail}, 400)
        with self._lock:
            records = list(self._records.get(oid, []))
        # Who is not logged in sees nothing of ATLAS.
        return Reply.json(records if survey != "atlas" else [])
