"""Times: one vectorised conversion that equals the scalar one, to the millisecond."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy.time import Time
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yse_ingest import times

# Astropy warns of years beyond its table of leap seconds and of those before UTC.
jds = st.floats(2437000.0, 2461500.0)
# A day with a leap second has 86401 s, and its JD runs slower; the last was in 2016.
even_days = st.floats(2457755.0, 2461500.0)
seven_decimals = jds.map(lambda jd: round(jd, 7))


@settings(max_examples=50, deadline=None)
@given(st.lists(jds | seven_decimals, min_size=1, max_size=8))
def test_the_vector_equals_the_scalar(values: list[float]) -> None:
    """Each date of one call is the one that astropy gives for it alone."""
    vector = times.to_obs_date(np.array(values))

    alone = [Time(jd, format="jd", scale="utc", precision=3).isot for jd in values]
    assert vector.tolist() == alone


@settings(max_examples=50, deadline=None)
@given(st.lists(seven_decimals, min_size=1, max_size=8))
def test_jd_and_mjd_are_the_same_moment(values: list[float]) -> None:
    """A time is the same millisecond, whichever of the two a source sends."""
    jd = np.array(values)

    ms = times.to_time_ms(jd)

    assert times.to_time_ms(jd - times.MJD_ZERO_JD, date_format="mjd").tolist() == ms.tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(jds | seven_decimals, min_size=1, max_size=8), st.sampled_from(["utc", "tai"]))
@example([2457754.4999999], "utc")
@example([2457754.5, 2457754.499994], "utc")
def test_milliseconds_are_those_of_the_text(values: list[float], scale: Any) -> None:
    """Numbers and text are rounded alike, in a leap second as well."""
    jd = np.array(values)

    text = times.to_obs_date(jd, scale=scale)

    expected = times.parse_obs_dates(text).tolist()
    assert times.to_time_ms(jd, scale=scale).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(even_days, min_size=1, max_size=8))
def test_milliseconds_and_text_are_two_faces_of_one_time(values: list[float]) -> None:
    """Text to milliseconds and back loses nothing; the JD comes back to 0.5 ms."""
    jd = np.array(values)

    text, ms = times.to_obs_date(jd), times.to_time_ms(jd)

    assert times.format_time_ms(ms).tolist() == text.tolist()
    assert times.parse_obs_dates(text).tolist() == ms.tolist()
    assert np.allclose([times.jd_of_time_ms(one) for one in ms], jd, rtol=0, atol=6e-9)


@pytest.mark.parametrize(
    ("jd", "text"),
    [
        (2459077.3680743, "2020-08-15T20:50:01.619"),  # exactly half a millisecond
        (2458484.499999996, "2019-01-01T00:00:00.000"),  # rounding carries into the year
        (2458495.9499421, "2019-01-12T10:47:54.997"),
        (2440587.5, "1970-01-01T00:00:00.000"),
    ],
)
def test_known_dates(jd: float, text: str) -> None:
    """Dates where other ways of rounding go wrong are those of astropy."""
    assert times.to_obs_date(np.array([jd])).tolist() == [text]


def test_no_dates_are_no_dates() -> None:
    """An empty column stays one."""
    assert times.to_obs_date(np.empty(0)).tolist() == []


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:01.500", 1500),
        ("1970-01-01T00:00:01", 1000),
        ("1970-01-01T00:00:01.5Z", 1500),
        ("1970-01-01T00:00:01.999999", 1999),
        ("1969-12-31T23:59:59.999", -1),
        ("2016-12-31T23:59:60.500", 1483228799500),
        ("1970-01-02", times.MS_PER_DAY),
    ],
)
def test_dates_of_yse_pz_are_read_as_it_writes_them(text: str, ms: int) -> None:
    """Fractions of any length, or none, a Z, a leap second: truncated to the millisecond."""
    assert times.parse_obs_dates([text]).tolist() == [ms]


@pytest.mark.parametrize("text", ["yesterday", "2019-13-01T00:00:00", "2019-01-01 x"])
def test_what_is_no_date_is_refused(text: str) -> None:
    """A text that is no date raises ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        times.parse_obs_dates([text])


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-02", times.MS_PER_DAY),
        ("1970-01-01T01:00:00", 3_600_000),
        ("1970-01-01T01:00:00Z", 3_600_000),
        ("1970-01-01T01:00:00+01:00", 0),
    ],
)
def test_one_date_of_a_person(text: str, ms: int) -> None:
    """A date is UTC unless it says otherwise."""
    assert times.time_ms_of_date(text) == ms


def test_time_of_the_clock_as_text() -> None:
    """A Unix time is shown to the second, with a Z."""
    assert times.iso_of_unix(1_547_030_676.9) == "2019-01-09T10:44:36Z"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), (" 2 H ", 7200), ("1.5d", 129_600), ("45", 45), (7, 7.0)],
)
def test_durations_are_seconds(text: str | float, seconds: float) -> None:
    """A span of time is a number of seconds, or carries its unit."""
    assert times.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "3 fortnights", "-5m", "1h30m", True])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A span of time in any other writing raises ValueError."""
    with pytest.raises(ValueError, match="is not a duration"):
        times.parse_duration(text)


def test_atomic_time_becomes_utc() -> None:
    """TAI is 37 s ahead of UTC since 2017, and was 36 s before."""
    tai = np.array([61217.41670499, 57700.5])

    utc = times.to_time_ms(tai, date_format="mjd")
    seconds = utc - times.to_time_ms(tai, date_format="mjd", scale="tai")

    assert seconds.tolist() == [37_000, 36_000]
