"""Numbers, times and names as people read them in messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yse_ingest.times import iso_of_unix

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES_MAX = 5
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


def minute_of(time_ms: float) -> str:
    """Return a Unix time [ms] as a date to the minute: "2026-01-01 12:00 UTC"."""
    return iso_of_unix(time_ms / 1000)[:16].replace("T", " ") + " UTC"


def lasting(seconds: float) -> str:
    """Return a duration in the largest fitting unit: "45 s", "12 min", "3.5 h", "2.1 d"."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.1f} h"
    return f"{seconds / _DAY:.1f} d"


def counted(count: int, noun: str) -> str:
    """Return "1 point", "3 points"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(names[:NAMES_MAX])
    more = len(names) - NAMES_MAX
    return f"{shown} and {more} more" if more > 0 else shown
