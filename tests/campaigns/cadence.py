"""``python -m tests.campaigns.cadence``: the adaptive rule on real light curves, as a table.

Each of the thirty-one supernovae is followed from its first alert until sixty days after its
last, once every 30 min and once by the rule. An alert can be read half an hour after its
exposure; a target is asked at times told by what was read before, and by nothing else. It is
the clock that is replayed: rule, trend and light curve are those of the service.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.cadence import BASE_S, Facts, adaptive, trend
from yse_ingest.photometry import Alerts, light_curve
from yse_ingest.sandbox.supernovae import load
from yse_ingest.settings import Settings
from yse_ingest.sources import ZTF
from yse_ingest.times import MS_PER_DAY, to_time_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from yse_ingest.photometry import LightCurve
    from yse_ingest.sandbox.supernovae import Supernova

PUBLISHED_AFTER_MS = 1_800_000
"""From exposure to alert [ms]; ZTF's own figure is 5 to 20 min, a broker's comes on top."""
OVERLAP_MS = round(1000 * Settings().overlap_s)
FOLLOWED_DAYS = 60.0
"""So long after its last alert a supernova is still followed [d]."""


@dataclass
class Tally:
    """What following cost and brought."""

    requests: int = 0
    delays_s: list[float] = field(default_factory=list)
    """From exposure to the request that found it, of each detection."""

    def add(self, other: Tally) -> None:
        """Count another one in."""
        self.requests += other.requests
        self.delays_s += other.delays_s


def curve_of(supernova: Supernova) -> LightCurve:
    """Return the light curve of one supernova."""
    rows: list[Mapping[str, Any]] = [
        {
            "native_id": str(alert.candid),
            "object_id": alert.object_id,
            "band": alert.filter,
            "mag": alert.magpsf,
            "mag_err": alert.sigmapsf,
            "negative": alert.isdiffpos == "f",
            "ra": alert.ra,
            "dec": alert.dec,
            "quality": alert.rb,
        }
        for alert in supernova.alerts
    ]
    jd = np.array([alert.jd for alert in supernova.alerts])
    alerts = Alerts.from_rows(rows, time_ms=to_time_ms(jd, date_format="jd"))
    curve, _ = light_curve(
        alerts, instrument=ZTF.instrument, obs_group=ZTF.obs_group, band_map=ZTF.band_map
    )
    return curve


def follow(curve: LightCurve, pace_s: Callable[[Facts], float], *, spread: float) -> Tally:
    """Return what it costs to follow a supernova, and how late its detections are found.

    Parameters
    ----------
    curve
        Its detections.
    pace_s
        How long to wait after a request [s], by what is known then.
    spread
        Share of a cadence after the first alert at which it is first asked about.
    """
    readable = curve.time_ms + PUBLISHED_AFTER_MS
    tally = Tally()
    now = float(readable[0]) + spread * 1000 * BASE_S
    end = float(readable[-1]) + FOLLOWED_DAYS * MS_PER_DAY
    seen, news = 0, None
    while now < end:
        tally.requests += 1
        found = int(np.searchsorted(readable, now, side="right"))
        if found > seen:
            tally.delays_s += ((now - curve.time_ms[seen:found]) / 1000).tolist()
            seen, news = found, round(now)
        # An incremental answer reaches back so far from the newest detection.
        since_ms = curve.time_ms[seen - 1] - OVERLAP_MS if seen else 0
        lately = int(np.searchsorted(curve.time_ms, since_ms))
        mag, slope = trend(curve.take(slice(lately, seen)))
        discovery = int(curve.time_ms[0]) if seen else None
        facts = Facts(
            round(now),
            discovery_ms=discovery,
            news_ms=news,
            mag=mag,
            slope=slope,
            night_utc=ZTF.night_utc,
            spread=spread,
        )
        now += 1000 * pace_s(facts)
    return tally


def replay(curves: Sequence[LightCurve], pace_s: Callable[[Facts], float]) -> Tally:
    """Return what it costs to follow all of them, each at moments of its own."""
    whole = Tally()
    for number, curve in enumerate(curves):
        whole.add(follow(curve, pace_s, spread=(number + 0.5) / len(curves)))
    return whole


def line(name: str, tally: Tally, *, fixed: Tally) -> str:
    """Return a line of the table."""
    median, late = np.percentile(tally.delays_s, [50, 95]) / 60
    saved = 1 - tally.requests / fixed.requests
    return f"{name:<14}{tally.requests:>10}{saved:>8.0%}{median:>12.0f}{late:>10.0f}"


def main() -> int:
    """Print the table; 1 where a detection was not found."""
    curves = [curve_of(supernova) for supernova in load()]
    detections = sum(len(curve) for curve in curves)
    fixed = replay(curves, lambda _: BASE_S)
    tallies = {
        "every 30 min": fixed,
        "every 2 h": replay(curves, lambda _: 4 * BASE_S),
        "adaptive": replay(curves, lambda facts: adaptive(facts).seconds),
    }
    write = sys.stdout.write
    write(f"{len(curves)} supernovae, {detections} detections, found in every case by:\n")
    write(f"{'':<14}{'requests':>10}{'saved':>8}{'median min':>12}{'95 % min':>10}\n")
    for name, tally in tallies.items():
        write(f"{line(name, tally, fixed=fixed)}\n")
    return int(any(len(tally.delays_s) != detections for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
