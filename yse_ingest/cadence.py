"""How often a target is asked about: the adaptive rule, as a sum that can be told.

Each term is a factor on the base cadence, with the sentence that `yse-ingest why` shows. Fixed
cadences know none of this. Pure: nothing is asked or kept here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from yse_ingest.times import MS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yse_ingest.photometry import LightCurve

HOUR_S = 3600.0
BASE_S = 1800.0
"""What all factors are of: the cadence of a target about which nothing is known [s]."""
MIN_S, MAX_S = 600.0, 24 * HOUR_S
"""Bounds of the rule [s]."""
PHASES = ((3.0, 0.5), (30.0, 1.0), (90.0, 2.0), (365.0, 3.0), (math.inf, 48.0))
"""Days since discovery below which a factor holds."""
SILENCES = ((4.0, 1.0), (10.0, 2.0), (20.0, 4.0), (math.inf, 12.0))
"""Days since the source last had something new below which a factor holds."""
STEEP_MAG_PER_DAY = 0.1
"""A light curve that changes as fast is at its rise, or something unusual."""
STEEP_FACTOR = 0.5
SLOPE_DAYS = 5.0
"""The slope is told from detections so recent [d]."""
SLOPE_DAYS_MIN = 0.5
"""Two detections of one night tell no slope [d]."""
BRIGHT_MAG, BRIGHT_FACTOR = 16.0, 0.5
"""Brighter ones are few, near, and wanted by everybody."""
QUOTA_FREE = 0.5
"""Share of a source's quota that slows nobody down."""
QUOTA_FACTOR_MAX = 16.0


class Term(NamedTuple):
    """One factor of a cadence."""

    name: str
    factor: float
    told: str
    """Why, in words."""


@dataclass(frozen=True)
class Facts:
    """What is known of a target when its next time is told."""

    now_ms: int
    """Unix time [ms]; so are the others."""
    discovery_ms: int | None = None
    """Its discovery, or its first detection."""
    news_ms: int | None = None
    """When the source last had something new."""
    mag: float | None = None
    """The newest magnitude."""
    slope: float | None = None
    """Its change [mag/d]; negative: it brightens."""
    quota_used: float = 0.0
    """Share of the source's quota of this hour that is used."""
    night_utc: tuple[float, float] | None = None
    """Hours of UTC between which the survey's alerts come [h]; None: at any hour."""
    spread: float = 0.0
    """The target's own place among all others, 0 to 1: its share of each cadence, and of the
    first one of a night."""


@dataclass(frozen=True)
class Pace:
    """How often a target is asked about, and why."""

    seconds: float
    """From now to the next question [s]."""
    every_s: float
    """How far apart its times are [s]."""
    terms: tuple[Term, ...]
    bounds: tuple[str, ...] = ()
    """What else holds, in words."""

    @property
    def lines(self) -> list[str]:
        """Return the sum, a line each."""
        told = [f"{BASE_S / 60:g} min, the base"]
        told += [f"x {term.factor:g}: {term.told}" for term in self.terms]
        return [*told, *self.bounds]


def adaptive(facts: Facts, *, min_s: float = MIN_S, max_s: float = MAX_S) -> Pace:
    """Return how often to ask by the adaptive rule.

    Parameters
    ----------
    facts
        What is known.
    min_s, max_s
        Bounds of the operator [s].
    """
    terms = tuple(term for term in _terms(facts) if term.factor != 1.0)
    wanted = BASE_S * math.prod(term.factor for term in terms)
    seconds = min(max(wanted, min_s), max_s)
    bounds = []
    if seconds != wanted:
        side = "at most" if seconds < wanted else "at least"
        bounds.append(f"{side} {seconds / 60:g} min apart, by the setting")
    next_s = _own_time(facts, seconds)
    if day_s := _until_night(facts, next_s):
        begin, end = facts.night_utc or (0.0, 24.0)
        bounds.append(f"not by day: alerts come from {begin:g} to {end:g} h UTC")
        next_s += day_s + facts.spread * min(seconds, (end - begin) % 24 * HOUR_S)
    return Pace(next_s, seconds, terms, tuple(bounds))


def _own_time(facts: Facts, every_s: float) -> float:
    """Return how long from now the target's own next time is [s].

    Its times lie a cadence apart, and apart from those of others: load stays flat, after a
    downtime too. Half a cadence at least lies between two, one and a half at most.
    """
    now_s = facts.now_ms / 1000
    turns = math.floor((now_s + every_s / 2) / every_s - facts.spread) + 1
    return (turns + facts.spread) * every_s - now_s


def _until_night(facts: Facts, seconds: float) -> float:
    """Return how long a time after now lies before the next night [s]; 0 within one."""
    if facts.night_utc is None:
        return 0.0
    begin, end = facts.night_utc
    hour = (facts.now_ms / 1000 + seconds) / HOUR_S % 24
    if (hour - begin) % 24 < (end - begin) % 24:
        return 0.0
    return (begin - hour) % 24 * HOUR_S


def _terms(facts: Facts) -> list[Term]:
    terms = []
    if facts.discovery_ms is not None:
        days = max(0.0, (facts.now_ms - facts.discovery_ms) / MS_PER_DAY)
        terms.append(Term("phase", _step(PHASES, days), f"{days:.1f} d after discovery"))
    if facts.news_ms is not None:
        days = max(0.0, (facts.now_ms - facts.news_ms) / MS_PER_DAY)
        terms.append(Term("silence", _step(SILENCES, days), f"nothing new for {days:.1f} d"))
    if facts.slope is not None and abs(facts.slope) >= STEEP_MAG_PER_DAY:
        way = "brightens" if facts.slope < 0 else "fades"
        told = f"{way} by {abs(facts.slope):.2f} mag a day"
        terms.append(Term("slope", STEEP_FACTOR, told))
    if facts.mag is not None and facts.mag < BRIGHT_MAG:
        terms.append(Term("brightness", BRIGHT_FACTOR, f"{facts.mag:.1f} mag bright"))
    if facts.quota_used > QUOTA_FREE:
        left = max(1.0 - facts.quota_used, (1.0 - QUOTA_FREE) / QUOTA_FACTOR_MAX)
        factor = round((1.0 - QUOTA_FREE) / left, 2)
        told = f"{facts.quota_used:.0%} of the source's quota of this hour is used"
        terms.append(Term("quota", factor, told))
    return terms


def _step(steps: Sequence[tuple[float, float]], days: float) -> float:
    return next(factor for below, factor in steps if days < below)


class Trend(NamedTuple):
    """What a light curve last did."""

    mag: float | None
    """Its newest magnitude."""
    slope: float | None
    """Its steepest change of the last days in one band [mag/d]; None: it cannot be told."""


def trend(curve: LightCurve) -> Trend:
    """Return what a light curve last did, from its detections with a magnitude.

    The slope is a straight line through the detections of the last five days of a band, where
    these span half a day or more.
    """
    seen = curve.take(np.isfinite(curve.mag))
    if not len(seen):
        return Trend(None, None)
    newest = int(np.argmax(seen.time_ms))
    days = (seen.time_ms - seen.time_ms[newest]) / MS_PER_DAY
    slopes = []
    for band in np.unique(seen.band):
        rows = np.flatnonzero((seen.band == band) & (days >= -SLOPE_DAYS))
        if len(rows) > 1 and np.ptp(days[rows]) >= SLOPE_DAYS_MIN:
            away = days[rows] - days[rows].mean()
            slopes.append(float(away @ seen.mag[rows] / (away @ away)))
    steepest = max(slopes, key=abs, default=None)
    return Trend(float(seen.mag[newest]), steepest)
