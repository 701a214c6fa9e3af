"""Points that are owed under a name which nothing says any more, and YSE-PZ does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from yse_ingest.photometry import LightCurve
    from yse_ingest.targets import Rules
    from yse_ingest.ysepz import Vocabulary


def named_as_now(curve: LightCurve, rules: Rules, vocabulary: Vocabulary) -> LightCurve:
    """Leave out points whose band, instrument or group was a mistake that is corrected by now.

    What is owed carries the names of the settings under which it was fetched. A name that the
    present rules say, too, stays: YSE-PZ's lack of it is an error to be told. So does one that
    YSE-PZ has: it can be sent.

    Parameters
    ----------
    curve
        What is owed from one source.
    rules
        How photometry of this source is sent now.
    vocabulary
        What YSE-PZ knows.
    """
    bands = {known.name for known in vocabulary.bands if known.instrument == curve.instrument}
    bands.update(rules.band_map.values())
    lost = (
        curve.instrument != rules.instrument
        and curve.instrument not in vocabulary.all("instrument")
    ) or (
        curve.obs_group != rules.obs_group
        and curve.obs_group not in vocabulary.all("obs_group")
    )
    sound = [
        not lost and (band in bands or band in rules.band_map.values()) for band in curve.band
    ]
    return curve.take(np.array(sound, dtype=bool))
