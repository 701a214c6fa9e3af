"""What is valid, written from the contracts and not from the product's schemas."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

FIRST_JD, LAST_JD = 2447892.5, 2488069.5
"""1990 and 2100: no photometry of a CCD survey is dated outside; 0 and 1858 mean "missing"."""
POSITIVE, NEGATIVE = ("t", "1", "T", "true", "True"), ("f", "0", "F", "false", "False", "-1")
BANDS = {1: "g", 2: "r", 3: "i"}


def number(value: Any) -> float | None:
    """Return a finite number of JSON, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _within(value: Any, low: float, high: float) -> bool:
    found = number(value)
    return found is not None and low <= found <= high and found not in (-999.0, -99999.0)


def sign(value: Any) -> bool | None:
    """Return whether a subtraction is negative; None: it says neither."""
    if isinstance(value, str):
        return False if value in POSITIVE else True if value in NEGATIVE else None
    if isinstance(value, (bool, int, float)):
        return False if value == 1 else True if value in (0, -1) else None
    return None


def native_id(value: Any) -> str | None:
    """Return a whole number of 63 bits above zero as text; a float has lost digits."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return str(value) if 0 < value < 2**63 else None


def object_id(value: Any) -> bool:
    """Tell whether this names an object."""
    return isinstance(value, str) and bool(re.fullmatch(r"[!-~]{1,64}", value))


def _measured(row: dict[str, Any]) -> bool:
    score = row.get("rb")
    return (
        _within(row.get("magpsf"), -5.0, 40.0)
        and _within(row.get("sigmapsf"), 5e-324, 10.0)
        and sign(row.get("isdiffpos")) is not None
        and _within(row.get("ra"), 0.0, 360.0)
        and row.get("ra") < 360.0  # type: ignore[operator]
        and _within(row.get("dec"), -90.0, 90.0)
        and (score is None or (isinstance(score, (int, float)) and not isinstance(score, bool)))
    )


def mars_alert(row: Any) -> bool:
    """Tell whether a row of MARS is a detection that may be stored."""
    if not isinstance(row, dict) or not isinstance(row.get("candidate"), dict):
        return False
    candidate = row["candidate"]
    return (
        native_id(row.get("candid")) is not None
        and object_id(row.get("objectId"))
        and _within(candidate.get("jd"), FIRST_JD, LAST_JD)
        and candidate.get("filter") in ("g", "r", "i")
        and _measured(candidate)
    )


def alerce_detection(row: Any) -> bool:
    """Tell whether a row of ALeRCE is a detection that may be stored."""
    if not isinstance(row, dict):
        return False
    fid = row.get("fid")
    return (
        native_id(row.get("candid")) is not None
        and _within(row.get("mjd"), FIRST_JD - 2400000.5, LAST_JD - 2400000.5)
        and isinstance(fid, int)
        and not isinstance(fid, bool)
        and fid in BANDS
        and _measured(row)
    )


# Requests to YSE-PZ ---------------------------------------------------------------------------

POINT_KEYS = {
    "obs_date", "mag", "mag_err", "band", "data_quality", "diffim", "flux", "flux_err",
    "flux_zero_point", "forced", "discovery_point",
}  # fmt: skip


def _name(value: Any, longest: int | None = 64) -> bool:
    if not isinstance(value, str) or not value or (longest and len(value) > longest):
        return False
    return all(ord(char) < 256 for char in value)


def obs_date(value: Any) -> bool:
    """Tell whether both parsers of YSE-PZ read this as one moment in UTC."""
    if not isinstance(value, str):
        return False
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,6})?", value):
        return False
    try:
        datetime.strptime(value[:19], "%Y-%m-%dT%H:%M:%S")  # noqa: DTZ007  UTC by contract
    except ValueError:
        return False
    return int(value[17:19]) < 60


def _null_or(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    found = number(value)
    return value is None or (found is not None and low <= found <= high)


def _bit(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float)) and value in (0, 1)


def _flag(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value)
    return value is None or (
        isinstance(value, int) and not isinstance(value, bool) and not value
    )


def point(value: Any) -> bool:
    """Tell whether a point is stored by YSE-PZ as it is sent."""
    return (
        isinstance(value, dict)
        and set(value) == POINT_KEYS
        and obs_date(value["obs_date"])
        and 1850 <= int(value["obs_date"][:4]) <= 2150
        and _null_or(value["mag"], -30.0, 50.0)
        and _null_or(value["mag_err"], 0.0)
        and _name(value["band"])
        and _flag(value["data_quality"])
        and all(_bit(value[key]) for key in ("diffim", "forced", "discovery_point"))
        and _null_or(value["flux"])
        and _null_or(value["flux_err"], 0.0)
        and _null_or(value["flux_zero_point"])
        and (value["mag"] is not None or value["flux"] is not None)
        and (value["flux"] is None or value["flux_zero_point"] is not None)
    )


def upload(request: Any) -> bool:
    """Tell whether a request to ``/add_transient_phot/`` is carried out as it is meant."""
    fixed = ("header", "transient", "photheader")
    if not isinstance(request, dict) or not all(
        isinstance(request.get(key), dict) for key in fixed
    ):
        return False
    header, transient, shelf = (request[key] for key in fixed)
    points = [value for key, value in request.items() if key not in fixed]
    window, groups = number(header.get("mjdmatchmin")), shelf.get("groups")
    name = transient.get("name")
    return (
        set(header) == {"clobber", "mjdmatchmin"}
        and isinstance(header["clobber"], bool)
        and window is not None
        and window > 1e-8
        and set(transient) == {"name", "status"}
        # A row that YSE-PZ has may be named with accents, or with a blank before it;
        # its database takes blanks alone for the name that is empty.
        and _name(name)
        and bool(name.strip())
        and _name(transient["status"])
        and set(shelf) == {"instrument", "obs_group", "groups"}
        and _name(shelf["instrument"])
        and _name(shelf["obs_group"])
        and (groups is None or _groups(groups))
        and bool(points)
        and all(point(one) for one in points)
        # Points of one request are never matched with each other: both would be stored.
        and len({(one["band"], one["obs_date"]) for one in points}) == len(points)
    )


def _groups(value: Any) -> bool:
    return _name(value, None) and all(
        part and part == part.strip() for part in value.split(",")
    )


# What YSE-PZ shows ----------------------------------------------------------------------------


def stored_point(row: Any) -> bool:
    """Tell whether a point of a read-back can be understood."""
    inner = row.get("fields") if isinstance(row, dict) else None
    if not isinstance(inner, dict) or not _key(row.get("pk")):
        return False
    measured = ("mag", "mag_err", "flux", "flux_err", "flux_zero_point")
    return (
        isinstance(inner.get("band"), str)
        and _shown_date(inner.get("obs_date"))
        and all(_shown_number(inner.get(key)) for key in measured)
    )


def _shown_number(value: Any) -> bool:
    if isinstance(value, float):
        return True
    return value is None or number(value) is not None


def _key(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**32


def _shown_date(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    found = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8})(\.[0-9]{1,9})?Z?", value)
    return found is not None and obs_date(found[1])
