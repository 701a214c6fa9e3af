"""Values: how the text of a variable is read, each kind by one small function.

A reader raises `ValueError` with what it takes, as the remedy of the error that is told.
"""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Any

from yse_ingest.limits import Hours
from yse_ingest.sources import SOURCES
from yse_ingest.targets import source_names

if TYPE_CHECKING:
    from collections.abc import Callable


def sentence(words: str) -> str:
    """Return a text that begins with a capital letter."""
    return words[:1].upper() + words[1:]


def text(value: str) -> str:
    """Return the text as it is."""
    return value


def optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a reader of what may be unset."""

    def parsed(value: str) -> Any:
        return None if value.lower() in {"", "none", "null"} else parse(value)

    return parsed


def positive(value: str) -> float:
    """Read a number above 0."""
    number = float(value)
    if not 0.0 < number < math.inf:
        raise ValueError("write a number above 0")
    return number


def score(value: str) -> float:
    """Read a number from 0 to 1."""
    number = float(value)
    if not 0.0 <= number <= 1.0:
        raise ValueError("write a number from 0 to 1")
    return number


def share(value: str) -> float:
    """Read a share, as in 10% or 0.1."""
    number, percent, rest = value.partition("%")
    found = float(number) / 100 if percent else float(number)
    if rest or not 0.0 <= found < math.inf:
        raise ValueError("write a share, as in 10% or 0.1")
    if found > 1 and not percent:
        raise ValueError("write what is more than all as percent, as in 150%")
    return found


def hours(value: str) -> tuple[Hours, ...]:
    """Read hours UTC and their shares, as in 22-6=50%,12:30-13=0."""
    found = []
    for part in filter(None, map(str.strip, value.split(","))):
        times, equals, taken = part.partition("=")
        begin, dash, end = times.partition("-")
        if not equals or not dash:
            raise ValueError("write hours UTC and their share, as in 22-6=50%,12:30-13=0")
        found.append(Hours(_minute(begin), _minute(end), share(taken)))
    return tuple(found)


def _minute(value: str) -> int:
    hour, _, minute = value.strip().partition(":")
    if not (0 <= int(hour) <= 24 and 0 <= int(minute or 0) < 60):
        raise ValueError("write times of the day as 22 or 22:30")
    return (60 * int(hour) + int(minute or 0)) % 1440


def flag(value: str) -> bool:
    """Read true or false."""
    if value.lower() in {"1", "true", "yes", "on"}:
        return True
    if value.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError("write true or false")


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a reader that takes these words alone."""

    def parsed(value: str) -> str:
        if value not in choices:
            raise ValueError(f"write one of {', '.join(choices)}")
        return value

    return parsed


def sources(value: str) -> str:
    """Read one source, or several parted by commas."""
    named = source_names(value)
    if not named or not set(named) <= set(SOURCES):
        raise ValueError(f"write one of {', '.join(SOURCES)}, or several parted by commas")
    return ",".join(named)


def band_pairs(value: str) -> dict[str, str]:
    """Read letter=name pairs, as in g=g-ZTF,r=r-ZTF."""
    pairs = [pair.partition("=") for pair in value.split(",")]
    if not all(letter.strip() and name.strip() for letter, _, name in pairs):
        raise ValueError("write letter=name pairs, as in g=g-ZTF,r=r-ZTF")
    return {letter.strip(): name.strip() for letter, _, name in pairs}


def names(value: str) -> tuple[str, ...]:
    """Read names parted by commas."""
    return tuple(name.strip() for name in value.split(",") if name.strip())


def setting(
    env: str,
    parse: Callable[[str], Any],
    default: Any,
    doc: str,
    *,
    unit: str = "",
) -> Any:
    """Return the field of one setting: its variable, how it is read, and what it does."""
    metadata = {"env": env, "parse": parse, "doc": doc, "unit": unit}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    # A Redis URL may hold a password.
    return field(
        default=default, metadata=metadata, repr=not env.endswith(("BROKER_URL", "STATE_URL"))
    )
