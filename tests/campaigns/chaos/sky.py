"""What happens in the sky, and what the other people do: all of it told by the seed."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from yse_ingest.sandbox.ztf import candid_of

FIRST_NIGHT_MS = 1_547_424_000_000
"""2019-01-14, Unix time [ms]."""
DAY_MS = 86_400_000
JD_OF_UNIX_ZERO = 2440587.5
BANDS = ("g", "r")
ZERO_POINT = 27.5
COPY_LATER_MS = 400
"""Another program's rounding of the same exposure [ms]."""


@dataclass(slots=True)
class Point:
    """One detection, as its source publishes it."""

    candid: int
    time_ms: int
    band: str
    mag: float
    mag_err: float
    negative: bool
    published: float
    """When, as a share of the time of faults; 0: before the service starts."""
    reprocessed: tuple[float, float] | None = None
    """When its magnitude changes (a share as above), and to what [mag]."""
    copied: bool = False
    """Another account stores a copy of it before it is published."""

    @property
    def jd(self) -> float:
        """Return the JD (UTC) [d]."""
        return JD_OF_UNIX_ZERO + self.time_ms / DAY_MS

    @property
    def mag_at_last(self) -> float:
        """Return the magnitude that the source tells in the end [mag]."""
        return self.mag if self.reprocessed is None else self.reprocessed[1]

    @property
    def flux_at_last(self) -> float:
        """Return the flux of it, at zero point 27.5."""
        return float(10 ** (-0.4 * (self.mag_at_last - ZERO_POINT)))


@dataclass(slots=True)
class Transient:
    """One target and its detections."""

    name: str
    ra: float
    dec: float
    created_by_us: bool
    """YSE-PZ does not know it yet."""
    points: list[Point] = field(default_factory=list)

    @property
    def owed(self) -> list[Point]:
        """Return the detections that YSE-PZ has to hold, by whomever they are stored."""
        return [point for point in self.points if not point.negative]


def sky(seed: int, *, targets: int, points: int) -> list[Transient]:
    """Return targets with at least so many positive detections together."""
    draw = random.Random(f"sky {seed}")
    return [
        _transient(number, draw, least=math.ceil(points / targets)) for number in range(targets)
    ]


def _transient(number: int, draw: random.Random, *, least: int) -> Transient:
    letters = "".join(chr(ord("a") + number // 26**place % 26) for place in (2, 1, 0))
    transient = Transient(
        name=f"2031{letters}",
        ra=(number % 36) * 10 + 0.5,
        dec=-40.0 + 3.0 * (number // 36),
        created_by_us=draw.random() < 0.04,
    )
    time_ms = FIRST_NIGHT_MS + number * 1_000 + draw.randrange(1000)
    wanted = draw.randint(least, round(1.2 * least))
    positive = 0
    while positive < wanted:
        # The first half is there from the beginning; the rest comes as it is observed while
        # things break, and one in ten much later than it was observed.
        share = 2 * (positive / wanted - 0.5) + draw.uniform(-0.02, 0.02)
        share = share if draw.random() < 0.9 else draw.random()
        published = min(0.97, share) if share > 0.01 else 0.0
        # A second visit in the same night and band, 39 s to some minutes later, now and then.
        close = transient.points and draw.random() < 0.08
        time_ms += draw.randint(39_000, 400_000) if close else draw.randint(1, 3) * DAY_MS
        time_ms += draw.randrange(0, 60_000)
        point = _point(time_ms, draw, number=number, published=published)
        transient.points.append(point)
        positive += not point.negative
    return transient


def _point(time_ms: int, draw: random.Random, *, number: int, published: float) -> Point:
    mag = round(draw.uniform(15.0, 20.0), 4)
    point = Point(
        candid=candid_of(JD_OF_UNIX_ZERO + time_ms / DAY_MS, rcid=number % 64, number=number),
        time_ms=time_ms,
        band=draw.choice(BANDS),
        mag=mag,
        mag_err=round(draw.uniform(0.02, 0.2), 4),
        negative=draw.random() < 0.05,
        published=published,
    )
    kind = draw.random()
    if not point.negative:
        if kind < 0.01:
            at = draw.uniform(max(0.1, published), 0.98)
            point.reprocessed = (at, round(mag + draw.choice((-0.3, 0.3)), 4))
        elif kind < 0.02 and published > 0:
            point.copied = True
    return point
