"""The same alerts served by three brokers are the same light curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from yse_ingest.pipeline import fetch_light_curves
from yse_ingest.sandbox import supernovae
from yse_ingest.sources import Ask, Status
from yse_ingest.targets import Rules, Target

if TYPE_CHECKING:
    from yse_ingest.pipeline import Fetched
    from yse_ingest.sandbox.alerce import AlerceStandIn
    from yse_ingest.sandbox.fink import FinkStandIn
    from yse_ingest.sandbox.mars import MarsStandIn
    from yse_ingest.sources import Source


def difference(one: Fetched, other: Fetched) -> tuple[int, float]:
    """Return the largest differences of two light curves in time [ms] and in value."""
    here, there = one.curve, other.curve
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


def test_thirty_one_supernovae_are_the_same_from_all_three(
    mars: MarsStandIn,
    alerce: AlerceStandIn,
    fink: FinkStandIn,
    ask_mars: Source,
    *,
    ask_alerce: Source,
    ask_fink: Source,
) -> None:
    """Every exposure once, times to 1 ms, magnitudes to 1e-6, negative ones as such."""
    published = supernovae.load()
    supernovae.fill_mars(mars, published)
    supernovae.fill_alerce(alerce, published)
    supernovae.fill_fink(fink, published)
    rules = Rules(negatives="flux")
    asks = [Ask(Target(each.name, ra=each.ra, dec=each.dec), rules) for each in published]

    from_mars, from_alerce, from_fink = (
        list(fetch_light_curves(asks, source)) for source in (ask_mars, ask_alerce, ask_fink)
    )

    assert len(published) == 31
    for supernova, first, *others in zip(
        published, from_mars, from_alerce, from_fink, strict=True
    ):
        told = len(first.curve) + len(first.answer.twins) + sum(first.answer.set_aside.values())
        assert told == len({alert.candid for alert in supernova.alerts})
        for other in others:
            assert other.answer.status is Status.OK
            assert other.negative == first.negative
            assert other.answer.twins == first.answer.twins
            assert other.answer.set_aside == first.answer.set_aside
            time_off, mag_off = difference(first, other)
            assert time_off <= 1
            assert mag_off <= 1e-6
