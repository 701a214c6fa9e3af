from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yse_ingest.photometry import LightCurve
from yse_ingest.targets import Rules
from yse_ingest.ysepz import (
    Speed,
    Transient,
    cut,
    modelled_seconds,
    photometry_request,
    read_back_seconds,
)

BANDS = ("g-ZTF", "r-ZTF", "i-ZTF")


def curve_of(bands: list[str], *, extreme: bool = False) -> LightCurve:
    count = len(bands)
    value = 17.123456789012345 if not extreme else -1.2345678901234567e-300
    values = np.full(count, value)
    return LightCurve(
        native_id=np.arange(count).astype("U"),
        time_ms=np.arange(count, dtype=np.int64) * 60_000,
        band=np.array(bands, dtype="U5"),
        mag=values,
        mag_err=np.abs(values),
        flux=values,
        flux_err=np.abs(values),
        instrument="ZTF-Cam",
        obs_group="ZTF",
    )


@pytest.mark.parametrize(
    ("existing", "posted", "seconds"),
    [
        (0, 10, 0.17),
        (100, 1, 0.27),
        (400, 400, 12.9),
        (800, 1, 1.09),
        (800, 10, 1.74),
        (800, 800, 51.2),
        (0, 800, 1.33),
    ],
)
def test_model_of_one_band(existing: int, posted: int, seconds: float) -> None:
    """The model gives the measured times of one band within 15 %."""
    modelled = modelled_seconds(existing, {"g": posted}, {"g": existing})
    new = 0 if existing == posted else posted
    unsaved = 1.3e-3 * (posted - new)
    assert modelled - unsaved == pytest.approx(seconds, rel=0.16)


def test_other_bands_cost_less() -> None:
    """Points of another band are compared, too, but twenty times as fast."""
    same = modelled_seconds(1000, {"g": 100}, {"g": 1000})
    other = modelled_seconds(1000, {"g": 100}, {"r": 1000})
    assert same > 5 * other > 0


def test_read_back_model() -> None:
    """Reading 811 points back took 3.3 s."""
    assert read_back_seconds(811) == pytest.approx(3.3, rel=0.15)


@settings(deadline=None)
@given(
    bands=st.lists(st.sampled_from(BANDS), max_size=400),
    stored=st.dictionaries(st.sampled_from((*BANDS, "w-PS1")), st.integers(0, 20_000)),
    seconds_max=st.floats(0.05, 20.0),
    bytes_max=st.integers(500, 200_000),
    ratio=st.floats(0.5, 20.0),
)
def test_chunks(
    bands: list[str],
    stored: dict[str, int],
    seconds_max: float,
    bytes_max: int,
    ratio: float,
) -> None:
    """Chunks hold every row once and in order, each below both limits or of one point."""
    curve = curve_of(bands)
    speed = Speed(ratio=ratio)
    chunks = cut(curve, stored, seconds_max=seconds_max, bytes_max=bytes_max, speed=speed)
    joined = np.concatenate([np.empty(0, np.int64), *chunks])
    assert joined.tolist() == list(range(len(bands)))
    held = Counter(stored)
    for chunk in chunks:
        posted = Counter(bands[row] for row in chunk)
        seconds = speed.seconds(modelled_seconds(held.total(), posted, held))
        assert len(chunk) == 1 or seconds <= seconds_max * (1 + 1e-9)
        held.update(posted)


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("bytes_max", [2_000, 50_000, 300_000])
def test_bodies_stay_below_the_limit(bytes_max: int, *, extreme: bool) -> None:
    """The body that is really sent is never longer than asked, whatever its numbers."""
    curve = curve_of(["g-ZTF"] * 1500, extreme=extreme)
    transient = Transient(1, "n" * 64, "s", 0.0, 0.0, None, "s" * 60, None, ())
    rules = Rules(data_quality="Bad Subtraction")
    for chunk in cut(curve, {}, bytes_max=bytes_max, seconds_max=1e9):
        request = photometry_request(transient, curve.take(chunk), rules, window_ms=16_000)
        body = json.dumps(request, separators=(",", ":"))
        assert len(chunk) == 1 or len(body) <= bytes_max


def test_few_requests() -> None:
    """A request is filled: 2000 first points go in one, and so does one new point onto 800."""
    assert len(cut(curve_of(["g-ZTF"] * 2000), {})) == 1
    assert len(cut(curve_of(["g-ZTF"]), {"g-ZTF": 800})) == 1
    assert cut(curve_of([]), {}) == []


def test_livelock_is_avoided() -> None:
    """Nine new points onto 900 are sent alone: all 909 took longer than the worker limit."""
    (chunk,) = cut(curve_of(["g-ZTF"] * 9), {"g-ZTF": 900})
    assert modelled_seconds(900, {"g-ZTF": len(chunk)}, {"g-ZTF": 900}) < 2.0


def test_slow_server_gets_smaller_requests() -> None:
    """What the server has shown of its speed makes the requests smaller."""
    curve = curve_of(["g-ZTF"] * 500)
    stored = {"g-ZTF": 500}
    slow = Speed()
    for _ in range(20):
        slow.observe(1.0, 4.0)
    assert slow.ratio == pytest.approx(4.0, rel=0.01)
    assert len(cut(curve, stored, speed=slow)) > len(cut(curve, stored))


@given(st.lists(st.tuples(st.floats(0.01, 60.0), st.floats(0.0, 1000.0)), max_size=30))
def test_speed_is_bounded(shown: list[tuple[float, float]]) -> None:
    """Neither a stall nor an instant answer makes the estimate absurd."""
    speed = Speed()
    for modelled, seconds in shown:
        speed.observe(modelled, seconds)
    assert Speed.FASTEST <= speed.ratio <= Speed.SLOWEST


@pytest.mark.parametrize(("slow", "lost"), [(1.0, 0), (2.9, 0), (5.0, 1), (10.0, 2), (18.0, 3)])
def test_a_server_slower_than_the_model_is_found_out(slow: float, lost: int) -> None:
    """Requests that a slow server kills at its 30 s get smaller, and all points arrive.

    Without the lesson every one of them would be as long as the first.
    """
    speed, stored, missing, killed = Speed(), 900, 300, 0
    while missing:
        piece = cut(curve_of(["g-ZTF"] * missing), {"g-ZTF": stored}, speed=speed)[0]
        modelled = modelled_seconds(stored, {"g-ZTF": len(piece)}, {"g-ZTF": stored})
        if slow * modelled > 30.0:
            killed += 1
            speed.gave_up()
            continue
        speed.observe(modelled, slow * modelled)
        stored, missing = stored + len(piece), missing - len(piece)

    assert killed == lost
