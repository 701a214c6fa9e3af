"""Detections that are none: found by the survey, yet not three errors from nothing.

YSE-PZ draws such a point as a limit; with a magnitude everybody else would read a detection.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from yse_ingest.photometry import MAG_PER_RELATIVE_FLUX, MAG_SIGMAS

if TYPE_CHECKING:
    from yse_ingest.sources.answers import Reading


def without_faint(reading: Reading) -> Reading:
    """Return the rows without detections below three errors, which are counted as dropped.

    A survey finds its sources in a smoothed image, so the flux that it fits afterwards can be
    of any size. Such a flux is no detection, and no forced measurement either: it is taken at a
    place that the noise chose. The forced measurement of the same exposure tells the truth.
    """
    alerts = reading.alerts
    faint = alerts.mag_err > MAG_PER_RELATIVE_FLUX / MAG_SIGMAS
    if not np.any(faint):
        return reading
    reason = f"below {MAG_SIGMAS:g} sigma"
    dropped = Counter((object_id, reason) for object_id in alerts.object_id[faint].tolist())
    return replace(
        reading,
        alerts=alerts.take(~faint),
        dropped=reading.dropped + dropped,
        cut=reading.cut + dropped.total(),
    )
