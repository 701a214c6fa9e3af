"""The same alerts served by five brokers are the same light curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from yse_ingest.pipeline import fetch_light_curves
from yse_ingest.sandbox import supernovae
from yse_ingest.sources import Ask, Status
from yse_ingest.targets import Rules, Target

if TYPE_CHECKING:
    from yse_ingest.photometry import LightCurve
    from yse_ingest.pipeline import Fetched
    from yse_ingest.sandbox.alerce import AlerceStandIn
    from yse_ingest.sandbox.antares import AntaresStandIn
    from yse_ingest.sandbox.fink import FinkStandIn
    from yse_ingest.sandbox.lasair import LasairStandIn
    from yse_ingest.sandbox.mars import MarsStandIn
    from yse_ingest.sources import Source


def without_twins(fetched: Fetched) -> LightCurve:
    """Return the exposures of which there is one copy alone."""
    copies = [each for twin in fetched.answer.twins for each in (twin.native_id, twin.twin_of)]
    return fetched.curve.take(~np.isin(fetched.curve.native_id, np.array(copies, dtype="U")))


def difference(one: Fetched, other: Fetched) -> tuple[int, float]:
    """Return the largest differences of two light curves in time [ms] and in value."""
    here, there = one.curve, other.curve
    if other.source == "lasair":  # it has no rb, which tells the better of two copies
        here, there = without_twins(one), without_twins(other)
    assert here.native_id.tolist() == there.native_id.tolist()
    assert here.band.tolist() == there.band.tolist()
    values = [
        np.abs(np.nan_to_num(getattr(here, name) - getattr(there, name)))
        for name in ("mag", "mag_err", "flux", "flux_err")
    ]
    assert np.array_equal(np.isnan(here.mag), np.isnan(there.mag))
    return (
        int(np.abs(here.time_ms - there.time_ms).max(initial=0)),
        float(np.max(values[:2], initial=0.0)),
    )


def test_thirty_one_supernovae_are_the_same_from_all_five(
    mars: MarsStandIn,
    alerce: AlerceStandIn,
    fink: FinkStandIn,
    lasair: LasairStandIn,
    antares: AntaresStandIn,
    *,
    ask_mars: Source,
    ask_alerce: Source,
    ask_fink: Source,
    ask_lasair: Source,
    ask_antares: Source,
) -> None:
    """Every exposure once, times to 1 ms, magnitudes to 1e-6, negative ones as such."""
    published = supernovae.load()
    supernovae.fill_mars(mars, published)
    supernovae.fill_alerce(alerce, published)
    supernovae.fill_fink(fink, published)
    supernovae.fill_lasair(lasair, published)
    supernovae.fill_antares(antares, published)
    lasair.quota.per_hour = 1000
    rules = Rules(negatives="flux")
    asks = [Ask(Target(each.name, ra=each.ra, dec=each.dec), rules) for each in published]

    from_mars, *from_others = (
        list(fetch_light_curves(asks, source))
        for source in (ask_mars, ask_alerce, ask_fink, ask_lasair, ask_antares)
    )

    assert len(published) == 31
    for supernova, first, *others in zip(published, from_mars, *from_others, strict=True):
        told = len(first.curve) + len(first.answer.twins) + sum(first.answer.set_aside.values())
        assert told == len({alert.candid for alert in supernova.alerts})
        for other in others:
            assert other.answer.status is Status.OK
            assert other.negative == first.negative
            if other.source != "lasair":
                assert other.answer.twins == first.answer.twins
            assert other.curve.band.tolist() == first.curve.band.tolist()
            assert other.curve.time_ms == pytest.approx(first.curve.time_ms, abs=1)
            assert other.answer.set_aside == first.answer.set_aside
            time_off, mag_off = difference(first, other)
            assert time_off <= 1
            assert mag_off <= 1e-6
