"""The adaptive rule: each term does what it says, and the sum is told."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.cadence import MAX_S, MIN_S, Facts, adaptive, trend
from yse_ingest.photometry import Alerts, LightCurve, light_curve
from yse_ingest.times import MS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = 1_800_000_000_000


def ago(days: float) -> int:
    return NOW - round(days * MS_PER_DAY)


def curve(*points: tuple[float, str, float]) -> LightCurve:
    """Return a light curve of (days ago, band, magnitude)."""
    rows: list[Mapping[str, Any]] = [
        {
            "native_id": str(number),
            "object_id": "ZTF19aacgslb",
            "band": band,
            "mag": mag,
            "mag_err": 0.1,
            "negative": False,
            "ra": 157.3415,
            "dec": 29.5106667,
            "quality": 1.0,
        }
        for number, (_, band, mag) in enumerate(points)
    ]
    alerts = Alerts.from_rows(rows, time_ms=np.array([ago(days) for days, _, _ in points]))
    bands = {band: f"{band}-ZTF" for band in "gr"}
    return light_curve(alerts, instrument="ZTF-Cam", obs_group="ZTF", band_map=bands)[0]


@pytest.mark.parametrize(
    ("facts", "minutes"),
    [
        (Facts(NOW), 30),
        (Facts(NOW, discovery_ms=ago(1), news_ms=ago(0.1)), 15),
        (Facts(NOW, discovery_ms=ago(10), news_ms=ago(1)), 30),
        (Facts(NOW, discovery_ms=ago(60), news_ms=ago(1)), 60),
        (Facts(NOW, discovery_ms=ago(60), news_ms=ago(5)), 120),
        (Facts(NOW, discovery_ms=ago(60), news_ms=ago(1), slope=0.3), 30),
        (Facts(NOW, discovery_ms=ago(10), mag=13.0), 15),
        (Facts(NOW, discovery_ms=ago(10), mag=13.0, slope=-0.5), 10),
        (Facts(NOW, discovery_ms=ago(1000), news_ms=ago(900)), 24 * 60),
        (Facts(NOW, quota_used=0.75), 60),
        (Facts(NOW, quota_used=1.2), 480),
        (Facts(NOW, discovery_ms=ago(-3), news_ms=ago(-1)), 15),
    ],
)
def test_the_rule_as_it_is_documented(facts: Facts, minutes: float) -> None:
    """The worked examples of docs/cadence.md."""
    assert adaptive(facts).every_s == pytest.approx(60 * minutes)


_DAYS = st.none() | st.floats(-10, 5000).map(ago)


@given(
    st.builds(
        Facts,
        st.just(NOW),
        _DAYS,
        _DAYS,
        st.none() | st.floats(5, 25),
        st.none() | st.floats(-5, 5),
        st.floats(0, 5),
    )
)
def test_what_is_told_is_what_is_done(facts: Facts) -> None:
    """The factors that `why` shows give the cadence, within the bounds, whatever is known."""
    pace = adaptive(facts)
    assert MIN_S <= pace.every_s <= MAX_S
    product = 1800 * math.prod(term.factor for term in pace.terms)
    assert pace.every_s == pytest.approx(min(max(product, MIN_S), MAX_S))
    assert bool(pace.bounds) == (pace.every_s != product)
    assert len(pace.lines) == 1 + len(pace.terms) + len(pace.bounds)


@given(
    st.floats(0, 24),
    st.floats(0, 1, exclude_max=True),
    st.floats(1, 500),
    st.sampled_from([(2.0, 15.0), (23.0, 11.0)]),
)
def test_no_target_is_asked_about_by_day(
    hour: float, spread: float, days: float, night: tuple[float, float]
) -> None:
    """The next time lies in a night; by day it waits for a share of a cadence after dusk."""
    midnight = NOW - NOW % MS_PER_DAY
    now_ms = midnight + round(hour * 3_600_000)
    facts = Facts(now_ms, discovery_ms=now_ms - round(days * MS_PER_DAY), spread=spread)
    plain = adaptive(facts)
    pace = adaptive(replace(facts, night_utc=night))
    assert pace.every_s == plain.every_s
    # Half a second either way is the rounding of this test.
    after = (pace.seconds / 3600 + hour - night[0] + 1e-4) % 24
    length = (night[1] - night[0]) % 24
    assert after < length + 2e-4
    if "not by day" in pace.lines[-1]:
        assert after == pytest.approx(spread * min(plain.every_s / 3600, length), abs=1e-3)
    else:
        assert pace.seconds == plain.seconds


@given(st.floats(0, 1, exclude_max=True), st.floats(1, 500), st.integers(0, 10**8))
def test_a_target_keeps_to_its_own_times(spread: float, days: float, later_ms: int) -> None:
    """They lie a cadence apart, and the first of them neither too soon nor too late."""
    discovery_ms = NOW - round(days * MS_PER_DAY)
    facts = Facts(NOW + later_ms, discovery_ms=discovery_ms, spread=spread)
    first = adaptive(facts)
    assert 0.5 * first.every_s - 1e-3 <= first.seconds <= 1.5 * first.every_s + 1e-3
    # A second late, as an answer is.
    then = replace(facts, now_ms=facts.now_ms + round(1000 * first.seconds) + 1000)
    second = adaptive(then)
    if second.every_s == first.every_s:
        assert second.seconds == pytest.approx(first.every_s - 1.0, abs=0.01)


def test_a_trend_is_told_from_the_last_days_of_one_band() -> None:
    """Colours are no change, nor are two exposures of a night; an old rise is over."""
    assert trend(curve()) == (None, None)
    assert trend(curve((0, "g", 19.0), (0.01, "r", 18.0))) == (19.0, None)
    fading = curve((0, "r", 18.6), (1, "r", 18.4), (3, "r", 18.0), (9, "r", 15))
    assert trend(fading).slope == pytest.approx(0.2)
    rising = curve((0, "r", 18.0), (2, "r", 19.0), (2, "g", 19.9), (4, "g", 20))
    assert trend(rising).slope == pytest.approx(-0.5)
