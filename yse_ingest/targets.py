"""Targets: what is followed, and by which rules its photometry is chosen and sent."""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from yse_ingest.errors import TargetError
from yse_ingest.times import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME_LENGTH_MAX = 64
"""Longest name that YSE-PZ's column takes; a longer one fails the whole request."""

ADAPTIVE: Final = "adaptive"
"""The cadence that `yse_ingest.cadence` tells anew after each answer."""
Cadence = float | Literal["adaptive"]
"""How often a target is asked about: every so many seconds, or adaptive."""
PRIORITY_MAX = 9
PRIORITIES = {"low": -1, "normal": 0, "high": 1}
"""Priorities by name."""

_BARE = r"(?:19|20)\d{2}[A-Za-z]{1,8}"
_IAU = re.compile(rf"(?:SN|AT)[\s_-]*({_BARE})", re.IGNORECASE)
_PREFIXES = ("SN", "AT", "SN ", "AT ")


def canonical_name(name: str) -> str:
    """Return the name under which YSE-PZ keeps a transient, unless somebody posted another.

    ``SN2019np``, ``SN 2019np`` and ``AT2019np`` are ``2019np`` there; anything else is itself.
    """
    iau = _IAU.fullmatch(name.strip())
    return iau.group(1) if iau else name


def prefixed_names(name: str) -> tuple[str, ...]:
    """Return the other spellings of a name of the IAU, none of any other name.

    YSE-PZ keeps what was posted: ``2019np`` may be ``SN2019np`` there.
    """
    return tuple(f"{each}{name}" for each in _PREFIXES) if re.fullmatch(_BARE, name) else ()


def source_names(text: str) -> tuple[str, ...]:
    """Return the names of sources in a text like "alerce, fink", each once, in their order."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))


def parse_cadence(text: str | float) -> Cadence:
    """Return a cadence: "adaptive", or a duration in seconds as `parse_duration` reads it.

    Raises
    ------
    ValueError
        When it is neither.
    """
    if isinstance(text, str) and text.strip().lower() == ADAPTIVE:
        return ADAPTIVE
    return parse_duration(text)


def phase_of(name: str) -> int:
    """Return a target's own place among all others, from its name: 0 to 2**32 - 1."""
    return zlib.crc32(name.encode())


def separation_arcsec(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    """Return the great-circle distance of two ICRS positions in degrees [arcsec]."""
    a1, d1, a2, d2 = map(math.radians, (ra1, dec1, ra2, dec2))
    half = (
        math.sin((d2 - d1) / 2) ** 2
        + math.cos(d1) * math.cos(d2) * math.sin((a2 - a1) / 2) ** 2
    )
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(half)))) * 3600


@dataclass(frozen=True)
class Rules:
    """How photometry is chosen and sent: by default, per source and per target."""

    instrument: str = "ZTF-Cam"
    """YSE-PZ's name of the instrument."""
    obs_group: str = "ZTF"
    """YSE-PZ's name of the observing group under which the photometry stands."""
    groups: tuple[str, ...] = ()
    """Groups that alone may see it (none: everybody)."""
    hide_public_points: bool = False
    """Attach the groups although public points stand there: all others lose sight of them."""
    band_map: Mapping[str, str] = field(
        default_factory=lambda: {"g": "g-ZTF", "r": "r-ZTF", "i": "i-ZTF"}
    )
    """The source's band letter to YSE-PZ's band name."""
    cone_radius_arcsec: float = 5.04
    """Where to look [arcsec]; 0.0014 deg, as the documented job."""
    match_radius_arcsec: float = 1.5
    """What to keep: rows this close to the target [arcsec]. ZTF associates within 1.5"."""
    mjdmatchmin: float | None = None
    """Match window [d]; None: computed (see `yse_ingest.delta.window_ms`)."""
    clobber: bool = False
    """Let YSE-PZ overwrite what lies within the window. Drops quality flags: see the docs."""
    flux_zero_point: float | None = 27.5
    """Zero point of the fluxes sent [mag]; None: no flux is sent, as the documented job."""
    negatives: Literal["drop", "flux"] = "drop"
    """Negative subtractions: left out, or stored as signed flux with no magnitude."""
    data_quality: str | None = None
    """YSE-PZ's name of the quality flag on every point sent; None: good."""
    send_stored_elsewhere: bool = False
    """Send a point although the same exposure stands under another group."""
    forced: bool = False
    """Take forced photometry too, where a source has detections as well. A source of forced
    photometry alone is always asked for it."""
    upper_limits: Literal["none", "before"] = "none"
    """Upper limits: none, or those shortly before the first detection."""
    limits_before_days: float = 30.0
    """How long before the first detection upper limits are taken [d]."""
    min_rb: float = 0.0
    """Least real-bogus score of a ZTF detection; 0: no cut."""
    min_drb: float = 0.0
    """Least deep-learning real-bogus score of a ZTF detection; 0: no cut."""
    min_reliability: float = 0.5
    """Least reliability of an LSST detection; 0: no cut."""
    missing_score: Literal["keep", "drop"] = "keep"
    """What becomes of a detection that lacks a score for which there is a cut."""
    procstatus: tuple[str, ...] = ("0",)
    """Processing codes of ZTF's forced photometry that are kept; none: all are."""
    atlas_cleaning: bool = True
    """Leave out what the cuts that ATLAS recommends for its forced photometry leave out."""

    @property
    def contradiction(self) -> str | None:
        """Return why these rules cannot be followed, to be read after "negatives", or None.

        A negative subtraction has no magnitude: without a flux nothing of it could be sent.
        """
        if self.negatives == "flux" and self.flux_zero_point is None:
            return (
                'is "flux", and no flux is sent: give flux_zero_point a number (27.5), or let '
                'negatives be "drop"'
            )
        return None

    def with_overrides(self, *overrides: Mapping[str, Any]) -> Rules:
        """Return the rules with each mapping laid over it in turn; keys are field names."""
        known = {item.name for item in fields(self)}
        merged: dict[str, Any] = {}
        for override in overrides:
            merged.update(override)
        if unknown := sorted(set(merged) - known):
            raise TargetError(
                f"no such setting: {', '.join(unknown)}",
                service="targets",
                remedy=f"Known are {', '.join(sorted(known))}.",
            )
        for name in ("groups", "procstatus"):
            if name in merged:
                merged[name] = tuple(merged[name])
        return replace(self, **merged)


@dataclass(frozen=True)
class Target:
    """One thing in the sky that is followed.

    Errors of construction name field, value and remedy.
    """

    name: str
    """Its name, without the prefix of the IAU (`canonical_name` is applied)."""
    ra: float | None = None
    """Right ascension, ICRS [deg]; None: taken from YSE-PZ."""
    dec: float | None = None
    """Declination, ICRS [deg]."""
    object_id: str | None = None
    """The source's name of the object; ends ambiguity."""
    since: str | None = None
    """Nothing observed before this date (ISO, UTC) belongs to it; ends ambiguity by age."""
    source: str | None = None
    """Where to ask: a source, or several in order, parted by commas; None: the default."""
    cadence_s: Cadence | None = None
    """How often to ask [s], or "adaptive"; None: the setting."""
    until: str | None = None
    """Its own cadence holds until this date (ISO, UTC), then the setting; None: always."""
    expires: str | None = None
    """From this date on (ISO, UTC) nothing is asked; None: never."""
    priority: int = 0
    """Higher ones first, where more targets are due than can be asked about at once."""
    freshness_s: float | None = None
    """Stale without an answer for so long [s]; None: the setting."""
    creation: Mapping[str, Any] | None = None
    """Fields of the transient row (status, obs_group, tags, ...) when YSE-PZ may lack it and
    may be given it; None: never created. ``beside`` names a neighbour it may stand beside."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Rules` that differ for this target."""

    def __post_init__(self) -> None:
        """Normalise the name and refuse what cannot be a target."""
        object.__setattr__(self, "name", canonical_name(self.name))
        object.__setattr__(self, "source", ",".join(self.sources) or None)
        check_name(self.name)
        if (self.ra is None) != (self.dec is None):
            missing = "ra" if self.ra is None else "dec"
            raise TargetError(
                f"{missing} is missing",
                service="targets",
                target=self.name,
                field=missing,
                remedy="Give both ra and dec in degrees, or neither.",
            )
        if self.ra is not None and self.dec is not None:
            check_position(self.name, self.ra, self.dec)

    @property
    def sources(self) -> tuple[str, ...]:
        """Return where to ask, in order; none: at the default sources."""
        return source_names(self.source or "")

    @property
    def has_position(self) -> bool:
        """Tell whether coordinates are given."""
        return self.ra is not None

    def at(self, ra: float, dec: float) -> Target:
        """Return the target with these coordinates [deg]."""
        return replace(self, ra=ra, dec=dec)


def check_name(name: str) -> None:
    """Refuse names that YSE-PZ would refuse without a reason, or mistake for another.

    Raises
    ------
    TargetError
        Its database compares latin-1 text without case, accents or trailing blanks; other
        characters fail the whole request (measured 2026-11).
    """
    problem = None
    if not name:
        problem = "the name is empty"
    elif name != name.strip():
        problem = "the name begins or ends with a blank"
    elif len(name) > NAME_LENGTH_MAX:
        problem = f"the name has {len(name)} characters, YSE-PZ takes {NAME_LENGTH_MAX}"
    elif not (name.isascii() and name.isprintable()):
        problem = "the name has characters outside printable ASCII"
    if problem:
        raise TargetError(
            problem,
            service="targets",
            target=name[:NAME_LENGTH_MAX] or None,
            field="name",
            value=name[:80],
            remedy="Use the name that YSE-PZ shows.",
        )


def check_position(name: str, ra: float, dec: float) -> None:
    """Refuse coordinates that are no ICRS degrees: YSE-PZ stores them as they come.

    Raises
    ------
    TargetError
        When one is not finite or out of range.
    """
    for label, value, low, high in (("ra", ra, 0.0, 360.0), ("dec", dec, -90.0, 90.0)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            fact = f"{label} is not a number"
        elif not math.isfinite(value) or not low <= value <= high:
            fact = f"{label} is outside {low:g} to {high:g}"
        else:
            continue
        raise TargetError(
            fact,
            service="targets",
            target=name,
            field=label,
            value=value,
            remedy="Give ICRS coordinates in decimal degrees.",
        )
    if ra == 360.0:
        raise TargetError(
            "ra is outside 0 to 360",
            service="targets",
            target=name,
            field="ra",
            value=ra,
            remedy="Write 0.",
        )
