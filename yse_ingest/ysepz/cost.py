"""What an upload costs YSE-PZ, and how to cut one so that it stays far below its limits.

The server compares every posted point with every stored one of its header and builds an
astropy ``Time`` for each pair: re-posting 800 points took it 51 s, one new point onto 800 took
1.1 s. The figures are measured (2026-11, one core, idle) and hold within about 15 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.photometry import Ints, LightCurve

FIXED_S = 0.155
"""Log-in (the password is hashed twice) and the transient itself [s]."""
PER_EXISTING_S = 1.0e-3
"""Per point that the header holds [s]."""
PER_SAME_BAND_PAIR_S = 78e-6
PER_OTHER_BAND_PAIR_S = 4e-6
PER_NEW_S = 1.3e-3
"""Per point that is inserted [s]."""
READ_BACK_FIXED_S = 0.1
READ_BACK_POINT_S = 4.4e-3
"""Per point of a read-back [s]."""

ENVELOPE_BYTES = 1024
"""A request without its points is shorter than this [B]."""
POINT_BYTES = 360
"""A point with the longest numbers, without its band and its flag, is shorter [B]."""


def modelled_seconds(
    existing_in_header: int,
    posted_by_band: Mapping[str, int],
    existing_by_band: Mapping[str, int],
) -> float:
    """Return what one request costs the server [s].

    Parameters
    ----------
    existing_in_header
        Points under the same instrument and group.
    posted_by_band
        New points of the request.
    existing_by_band
        Points under the same instrument and group.
    """
    posted = sum(posted_by_band.values())
    same = sum(count * existing_by_band.get(band, 0) for band, count in posted_by_band.items())
    other = posted * existing_in_header - same
    return (
        FIXED_S
        + PER_EXISTING_S * existing_in_header
        + PER_SAME_BAND_PAIR_S * same
        + PER_OTHER_BAND_PAIR_S * other
        + PER_NEW_S * posted
    )


def read_back_seconds(points: int) -> float:
    """Return what reading so many points back costs the server [s]."""
    return READ_BACK_FIXED_S + READ_BACK_POINT_S * points


@dataclass
class Speed:
    """How slow this server is compared with the measured one, learnt from what it has shown.

    The ratio is a geometric running mean: one stalled request neither counts for ever nor is
    it forgotten at once.
    """

    ratio: float = 1.0
    """Shown by modelled time."""

    SLOWEST = 20.0
    FASTEST = 0.5
    SHARE = 0.3
    """Weight of the newest request."""

    def observe(self, modelled: float, shown: float) -> None:
        """Learn from one accepted request, both [s]."""
        newest = self._clamped(shown / modelled)
        self.ratio = self._clamped(
            math.exp((1 - self.SHARE) * math.log(self.ratio) + self.SHARE * math.log(newest))
        )

    def gave_up(self) -> None:
        """Learn from a request that was killed or given up: the next one is half as long."""
        self.ratio = self._clamped(2 * self.ratio)

    def seconds(self, modelled: float) -> float:
        """Return how long a request of this modelled cost will take [s]."""
        return modelled * self.ratio

    def _clamped(self, ratio: float) -> float:
        return min(self.SLOWEST, max(self.FASTEST, ratio))


def cut(
    curve: LightCurve,
    stored: Mapping[str, int],
    *,
    seconds_max: float = 10.0,
    bytes_max: int = 900_000,
    speed: Speed | None = None,
) -> list[Ints]:
    """Return the rows of each request, in order: as few requests as stay below both limits.

    What an earlier request stores makes every later one slower; that is counted. A request has
    at least one point, even where that one alone is too slow.

    Parameters
    ----------
    curve
        What to send.
    stored
        Band to the number of points under the same instrument and group.
    seconds_max
        Longest predicted time of a request [s].
    bytes_max
        Longest body [B].
    speed
        What this server has shown.
    """
    ratio = speed.ratio if speed is not None else 1.0
    bands, code = np.unique(curve.band, return_inverse=True)
    held = np.array([stored.get(str(band), 0) for band in bands], dtype=np.int64)
    elsewhere = sum(stored.values()) - int(held.sum())
    per_point = POINT_BYTES + max((len(str(band)) for band in bands), default=0)
    most = max(1, (bytes_max - ENVELOPE_BYTES) // per_point)
    chunks: list[Ints] = []
    start = 0
    while start < len(curve):
        existing = int(held.sum()) + elsewhere
        per_band = (
            PER_SAME_BAND_PAIR_S * held + PER_OTHER_BAND_PAIR_S * (existing - held) + PER_NEW_S
        )
        candidates = code[start : start + most]
        seconds = FIXED_S + PER_EXISTING_S * existing + np.cumsum(per_band[candidates])
        count = max(1, int(np.searchsorted(seconds * ratio, seconds_max, side="right")))
        chunks.append(np.arange(start, start + count, dtype=np.int64))
        held = held + np.bincount(candidates[:count], minlength=len(bands))
        start += count
    return chunks
