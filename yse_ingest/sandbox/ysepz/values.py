"""What Django, astropy and MySQL make of a posted value."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from yse_ingest.sandbox.ysepz.errors import ServerError

if TYPE_CHECKING:
    from yse_ingest.sandbox.ysepz.columns import Kind

ISOT: Final = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"(?:T(?P<hour>\d{1,2}):(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?P<fraction>\.\d*)?)?Z?)?"
)
"""What both astropy's `isot` and Django read: no offset, no blank, nothing around it."""

OFFSET: Final = re.compile(r"(?P<local>.*\d)(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)?")

MJD_EPOCH: Final = date(1858, 11, 17)

# latin1_swedish_ci: accents are dropped, except that å, ä (æ) and ö are letters of their own,
# ü is y, and the letters without an accented base keep their place.
_OWN_PLACE: Final = str.maketrans(
    {"å": "[", "ä": "\\", "æ": "\\", "ö": "]", "ü": "y", "ð": "d", "ø": "ø", "þ": "þ"}
)


def fold(text: str) -> str:
    """Return what the database compares: without case, accents and blanks at the end."""
    own = text.rstrip(" ").lower().translate(_OWN_PLACE)
    return "".join(
        one if one in "øþß" else unicodedata.normalize("NFD", one)[0] for one in own
    ).upper()


def comparable(value: object) -> str:
    """Return a posted value as text that the database can compare with its own.

    Raises
    ------
    ServerError
        The text has characters outside latin1.
    """
    text = str(value)
    try:
        text.encode("cp1252")
    except UnicodeEncodeError:
        message = (
            '(1267, "Illegal mix of collations (latin1_swedish_ci,IMPLICIT) and '
            "(utf8mb4_general_ci,COERCIBLE) for operation '='\")"
        )
        raise ServerError("OperationalError", message) from None
    return text


def stored(value: Any, column: str, kind: Kind, longest: int = 0) -> Any:
    """Return a posted value as the database stores it; None stays None.

    Raises
    ------
    ServerError, ValueError, TypeError
        What Django or the database raises.
    """
    if value is None:
        return None
    match kind:
        case "number":
            return _number(value, column)
        case "truth":
            return _truth(value)
        case "time":
            return _time(value)
        case "text":
            return _text(value, column, longest)


def _number(value: Any, column: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        message = f"Field '{column}' expected a number but got {value!r}."
        raise type(error)(message) from None
    if not math.isfinite(number):
        message = f"(1054, \"Unknown column '{number}' in 'field list'\")"
        raise ServerError("OperationalError", message)
    return number


def _truth(value: Any) -> bool:
    if value in (True, False):
        return bool(value)
    if value in ("t", "True", "1"):
        return True
    if value in ("f", "False", "0"):
        return False
    message = f"['“{value}” value must be either True, False, or None.']"
    raise ServerError("ValidationError", message)


def _text(value: Any, column: str, longest: int) -> str:
    text = str(value)
    if len(text) > longest:
        raise ServerError(
            "DataError", f"(1406, \"Data too long for column '{column}' at row 1\")"
        )
    return comparable(text)


def _time(value: Any) -> str:
    moment = read_isot(value) if isinstance(value, str) else None
    if moment is None:
        message = (
            f"['“{value}” value has an invalid format. It must be in "
            "YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ] format.']"
        )
        raise ServerError("ValidationError", message)
    return iso(moment)


def iso(moment: datetime) -> str:
    """Return a UTC moment as stored: `YYYY-MM-DDTHH:MM:SS.ffffff`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def shown(text: str | None) -> str | None:
    """Return a stored moment as the REST API shows it: no `.000000`."""
    if text is None:
        return None
    whole, _, fraction = text.partition(".")
    return f"{whole}Z" if int(fraction) == 0 else f"{text}Z"


def shown_ms(text: str | None) -> str | None:
    """Return a stored moment as `/download_data/` shows it: cut to ms, no zero µs."""
    if text is None:
        return None
    whole, _, fraction = text.partition(".")
    return f"{whole}Z" if int(fraction) == 0 else f"{whole}.{fraction[:3]}Z"


def read_isot(text: str) -> datetime | None:
    """Return the UTC moment of an `isot` text, cut to microseconds, else None."""
    found = ISOT.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (
        int(found[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")
    )
    fraction = (found["fraction"] or ".").removeprefix(".")[:6].ljust(6, "0")
    try:
        return datetime(year, month, day, hour, minute, second, int(fraction), tzinfo=UTC)
    except ValueError:
        return None


def read_moment(text: str) -> datetime | None:
    """Return the UTC moment of a text that may carry an offset or a blank, else None."""
    shift = timedelta()
    if offset := OFFSET.fullmatch(text):
        shift = timedelta(hours=int(offset["hours"]), minutes=int(offset["minutes"] or 0))
        text, shift = offset["local"], shift if offset["sign"] == "+" else -shift
    moment = read_isot(text.replace(" ", "T", 1))
    return None if moment is None else moment - shift


def obs_date(value: Any) -> tuple[float, str]:
    """Return the MJD of an observation [d] with all its digits, and its stored form.

    Raises
    ------
    ValueError
        astropy or Django does not read it.
    """
    moment = read_isot(value) if isinstance(value, str) else None
    if moment is None:
        message = (
            "Input values did not match the format class isot:\n"
            f"ValueError: Time {value} does not match isot format"
        )
        raise ValueError(message)
    found = ISOT.fullmatch(value)
    seconds = float(f"{moment.second}{(found and found['fraction']) or ''}")
    return _mjd(moment, seconds), iso(moment)


def stored_mjd(text: str) -> float:
    """Return the MJD of a stored observation [d]."""
    moment = datetime.fromisoformat(text)
    return _mjd(moment, moment.second + moment.microsecond * 1e-6)


def _mjd(moment: datetime, seconds: float) -> float:
    day = (moment.date() - MJD_EPOCH).days
    return day + (60.0 * (60.0 * moment.hour + moment.minute) + seconds) / 86400.0


def slugify(name: str) -> str:
    """Return the slug of a name, up to 50 characters, `transient` where nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    kept = re.sub(r"[^\w\s-]", "", plain)
    return re.sub(r"[-\s]+", "-", kept).strip("-_")[:50] or "transient"


def no_constant(name: str) -> float:
    """Refuse `NaN` and `Infinity`, as the strict parser of JSON does.

    Raises
    ------
    ValueError
        Always.
    """
    raise ValueError(f"Out of range float values are not JSON compliant: {name!r}")
