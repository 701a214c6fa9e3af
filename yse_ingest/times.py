"""Times: Julian Dates in, UTC milliseconds and ISO text out. The only importer of astropy.time.

Every time in this project is UTC. A light curve carries ``time_ms``, the Unix time in whole
milliseconds, because that is what YSE-PZ shows when it is read back; JD and MJD exist at the
edges only. astropy is imported on first use: it costs 0.2 s and 44 MB that most processes of
the service never need.
"""

from __future__ import annotations

import functools
import re
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MJD_ZERO_JD = 2400000.5
UNIX_ZERO_JD = 2440587.5
MS_PER_DAY = 86_400_000


@functools.cache
def _time_class() -> Any:
    from astropy.time import Time
    from astropy.utils import iers

    # UTC needs no Earth-orientation table; without this a conversion may go to the network.
    iers.conf.auto_download = False
    return Time


def to_obs_date(
    values: NDArray[np.float64],
    *,
    date_format: Literal["jd", "mjd"] = "jd",
    scale: Literal["utc", "tai"] = "utc",
) -> NDArray[np.str_]:
    """Return UTC dates as ISO text with milliseconds, ``YYYY-MM-DDTHH:MM:SS.sss``.

    One vectorised astropy call; the text equals that of the scalar call for every value.

    Parameters
    ----------
    values
        Finite Julian Dates or Modified Julian Dates, shape (n,) [d].
    date_format
        Which of the two.
    scale
        Time scale of the values: UTC, or TAI, which is 37 s ahead of it since 2017.
    """
    if len(values) == 0:
        return np.empty(0, dtype="U23")
    with warnings.catch_warnings():
        # Leap seconds of years far off are unknown ("dubious year"); dates there stay as told.
        warnings.simplefilter("ignore")
        text = _time_class()(values, format=date_format, scale=scale, precision=3).utc.isot
    return np.asarray(text, dtype="U23")


def to_time_ms(
    values: NDArray[np.float64],
    *,
    date_format: Literal["jd", "mjd"] = "jd",
    scale: Literal["utc", "tai"] = "utc",
) -> NDArray[np.int64]:
    """Return dates as Unix time in whole milliseconds, rounded as `to_obs_date` rounds.

    The same conversion, by the numbers from which astropy makes its text.
    """
    if len(values) == 0:
        return np.empty(0, dtype=np.int64)
    from erfa import d2dtf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        times = _time_class()(values, format=date_format, scale=scale).utc
        year, month, day, clock = d2dtf("UTC", 3, times.jd1, times.jd2)
    # A leap second has no Unix time, as in `parse_obs_dates`.
    seconds = 60 * (60 * clock["h"].astype(np.int64) + clock["m"]) + np.minimum(clock["s"], 59)
    months = (12 * (year.astype(np.int64) - 1970) + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + day - 1
    return np.asarray(days * MS_PER_DAY + 1000 * seconds + clock["f"], dtype=np.int64)


def parse_obs_dates(texts: Sequence[str] | NDArray[np.str_]) -> NDArray[np.int64]:
    """Return ISO dates (UTC, no offset; a ``Z`` is taken) as Unix milliseconds, truncated.

    Raises
    ------
    ValueError
        When a text is not such a date.
    """
    if len(texts) == 0:
        return np.empty(0, dtype=np.int64)
    text = np.char.rstrip(np.asarray(texts, dtype=np.str_), "Z")
    # A leap second has no Unix time; numpy refuses ":60". The last one was in 2016.
    text = np.char.replace(text, ":60.", ":59.")
    return text.astype("datetime64[ms]").astype(np.int64)


def format_time_ms(time_ms: NDArray[np.int64]) -> NDArray[np.str_]:
    """Return Unix milliseconds as ISO text with milliseconds, ``YYYY-MM-DDTHH:MM:SS.sss``."""
    return np.datetime_as_string(np.asarray(time_ms).astype("datetime64[ms]"), unit="ms")


def jd_of_time_ms(time_ms: float) -> float:
    """Return a Unix time in milliseconds as a Julian Date, UTC [d]."""
    return time_ms / MS_PER_DAY + UNIX_ZERO_JD


def time_ms_of_date(text: str) -> int:
    """Return one ISO date or date and time, UTC, as Unix milliseconds.

    Raises
    ------
    ValueError
        When the text is not such a date.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def iso_of_unix(seconds: float) -> str:
    """Return a Unix time as ISO text to the second with a ``Z``, for people and JSON."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def date_or_after(text: str | float, *, now_s: float) -> str:
    """Return a date as ISO text, UTC: one that is given, or so long after now as is given.

    Raises
    ------
    ValueError
        When it is neither a date nor a duration.
    """
    try:
        return iso_of_unix(now_s + parse_duration(text))
    except (ValueError, OverflowError):
        moment = datetime.fromisoformat(str(text).strip())
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat()


_SECONDS_PER = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_DURATION = re.compile(r"([0-9]*\.?[0-9]+)\s*([a-z]*)")


def parse_duration(text: str | float) -> float:
    """Return a duration in seconds: a number of seconds, or "90s", "30m", "2h", "1.5d", "1w".

    Raises
    ------
    ValueError
        When it is none of these.
    """
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not a duration")  # noqa: TRY004  one error for all
    if isinstance(text, int | float):
        return float(text)
    found = _DURATION.fullmatch(text.strip().lower())
    if not found or (found[2] or "s") not in _SECONDS_PER:
        raise ValueError(f"{text!r} is not a duration; write seconds, or 90s, 30m, 2h, 1d")
    return float(found[1]) * _SECONDS_PER[found[2] or "s"]
