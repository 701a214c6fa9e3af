"""New, changed, known: one window decides, and no real visit is ever merged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest import delta
from yse_ingest.delta import Verdict
from yse_ingest.photometry import Alerts, LightCurve, StoredPhotometry, light_curve
from yse_ingest.times import MS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from yse_ingest.delta import Comparison

BANDS = {"g": "g-ZTF", "r": "r-ZTF"}
TOLERANCE_MS = 16_000.0


def alerts(rows: Sequence[tuple[Any, ...]]) -> Alerts:
    """Return alerts of (time_ms, band), or with (..., quality, mag_err, native_id) behind."""
    filled = [
        (*row, *(0.9, 0.1, str(number))[len(row) - 2 :]) for number, row in enumerate(rows)
    ]
    return Alerts.from_rows(
        [
            {
                "native_id": native_id,
                "object_id": "ZTF19aacgslb",
                "band": band,
                "mag": 19.0,
                "mag_err": mag_err,
                "negative": False,
                "ra": 157.0,
                "dec": 29.0,
                "quality": quality,
            }
            for _, band, quality, mag_err, native_id in filled
        ],
        time_ms=np.array([row[0] for row in filled], dtype=np.int64),
    )


def curve_of(times: Iterable[int], band: str = "g") -> LightCurve:
    curve, _ = light_curve(
        alerts([(time, band) for time in times]),
        instrument="ZTF-Cam",
        obs_group="ZTF",
        band_map=BANDS,
    )
    return curve


def stored(
    times: Iterable[float],
    *,
    band: str = "g-ZTF",
    obs_group: str = "ZTF",
    instrument: str = "ZTF-Cam",
    **values: Any,
) -> StoredPhotometry:
    return StoredPhotometry.from_rows(
        [
            {
                "pk": number + 1,
                "time_ms": int(time),
                "instrument": instrument,
                "obs_group": obs_group,
                "band": band,
                "mag": 19.0,
                "mag_err": 0.1,
                "flux": None,
                "flux_err": None,
                "zero_point": None,
                "forced": False,
                "created_by": "ingest",
                "modified_by": "ingest",
                "header": 1,
                "restricted": False,
                **values,
            }
            for number, time in enumerate(times)
        ]
    )


def window_of(curve: LightCurve) -> dict[str, float]:
    gaps = delta.smallest_gaps(curve.time_ms, curve.band, instrument="ZTF-Cam")
    return delta.windows(curve.band, instrument="ZTF-Cam", gaps=gaps, tolerance_ms=TOLERANCE_MS)


def compare(curve: LightCurve, rows: StoredPhotometry, **options: Any) -> Comparison:
    return delta.compare(
        curve, rows, window_of(curve), ours=rows.written_by("ingest"), **options
    )


# The window -----------------------------------------------------------------------------------


@given(st.floats(1, 1e5), st.none() | st.floats(5, 1e9), st.none() | st.floats(0.001, 1e9))
def test_the_window_stays_within_its_bounds(
    tolerance: float, gap: float | None, stored_gap: float | None
) -> None:
    """Never below 2 ms, never above the tolerance or 0.4 of a gap (unless that is below)."""
    width = delta.window_ms(tolerance, gap, stored_gap_ms=stored_gap)

    assert width >= delta.WINDOW_MIN_MS
    for limit in (tolerance, gap and 0.4 * gap, stored_gap and 0.4 * stored_gap):
        assert limit is None or width <= max(limit, delta.WINDOW_MIN_MS)


def test_gaps_are_per_band_and_twins_are_none() -> None:
    """Only gaps within one band count, and none below 5 ms."""
    time_ms = np.array([0, 4, 1000, 1500, 99_000], dtype=np.int64)
    band = np.array(["g", "g", "g", "r", "r"])

    assert delta.smallest_gaps(time_ms, band, instrument="X") == {"X|g": 996, "X|r": 97_500}


def test_an_operator_may_set_the_window() -> None:
    """A window in days is taken as it is."""
    widths = delta.windows(
        np.array(["g-ZTF"]), instrument="X", gaps={}, tolerance_ms=1.0, mjdmatchmin=0.01
    )

    assert widths == {"g-ZTF": pytest.approx(864_000)}
    assert delta.window_days(864_000) == pytest.approx(0.01)
    assert delta.windows(np.empty(0, "U"), instrument="X", gaps={}, tolerance_ms=1.0) == {}


# From 10 ms: below, the millisecond that a read-back truncates is a tenth of the gap.
gaps = st.integers(10, 60) | st.integers(30_000, 60_000) | st.integers(60_000, 9 * MS_PER_DAY)
visits = st.lists(gaps, min_size=2, max_size=30).map(lambda steps: np.cumsum(steps).tolist())


@given(visits, st.data())
def test_a_stored_row_stands_for_one_exposure_at_most(
    times: list[int], data: st.DataObject
) -> None:
    """Whatever is stored, no row ever stands for two exposures of the source."""
    curve = curve_of(times)
    shifts = st.integers(-20_000, 20_000) | st.integers(-40, 40)
    rows = stored([time + data.draw(shifts) for time in times if data.draw(st.booleans())])

    index, _ = delta.match(curve, rows, window_of(curve))

    found = index[index >= 0].tolist()
    assert len(found) == len(set(found))


@pytest.mark.parametrize("shift", [400, -400, 900, -900, 14_000, -14_000, 15_000])
def test_another_rounding_of_an_exposure_is_known(shift: int) -> None:
    """A copy 0.4, 0.9 or 14 s away, or at mid-exposure, stands for its exposure."""
    curve = curve_of([0, MS_PER_DAY, 3 * MS_PER_DAY])

    comparison = compare(curve, stored(curve.time_ms + shift))

    assert comparison.count(Verdict.SAME) == 3


def test_a_visit_39_s_later_is_new() -> None:
    """A real second visit 39 s after the first is never taken for its copy."""
    curve = curve_of([0, 39_000, MS_PER_DAY])

    comparison = compare(curve, stored([400]))

    assert comparison.verdict.tolist() == [Verdict.SAME, Verdict.NEW, Verdict.NEW]
    assert window_of(curve)["g-ZTF"] == pytest.approx(15_600)


@given(visits)
def test_what_was_stored_and_truncated_is_never_new_again(times: list[int]) -> None:
    """YSE-PZ shows times truncated to 1 ms: a second cycle sends nothing."""
    curve = curve_of(times)

    comparison = compare(curve, stored(curve.time_ms - 1))

    assert comparison.count(Verdict.NEW) == 0


# Verdicts -------------------------------------------------------------------------------------


def test_the_nearest_of_several_rows_stands() -> None:
    """Two programs' copies of one exposure: the nearer one stands for it."""
    comparison = compare(curve_of([10_000]), stored([9_000, 10_400, 12_000]))

    assert comparison.row.tolist() == [1]


def test_another_instrument_or_band_never_stands() -> None:
    """Rows are compared within one instrument and band."""
    curve = curve_of([0])

    assert compare(curve, stored([0], band="r-ZTF")).count(Verdict.NEW) == 1
    assert compare(curve, stored([0], instrument="ACAM1")).count(Verdict.NEW) == 1


def test_a_row_of_another_group_stands_unless_told_otherwise() -> None:
    """The same exposure under another group is not sent again, but by setting."""
    curve, rows = curve_of([0]), stored([0], obs_group="YSE")

    assert compare(curve, rows).count(Verdict.ELSEWHERE) == 1
    assert compare(curve, rows, send_stored_elsewhere=True).count(Verdict.NEW) == 1


def test_our_own_group_comes_first() -> None:
    """A row of our own group stands before a nearer one of another."""
    own, other = stored([9_000]), stored([10_000], obs_group="YSE")

    comparison = compare(curve_of([10_000]), StoredPhotometry.concatenate([own, other]))

    assert comparison.verdict.tolist() == [Verdict.SAME]
    assert comparison.row.tolist() == [0]


@pytest.mark.parametrize("touched", [{"created_by": "tns"}, {"modified_by": "curator"}])
def test_what_others_wrote_or_touched_is_adopted(touched: dict[str, str]) -> None:
    """Somebody else's row stands whatever its values, even where the hash differs."""
    curve, rows = curve_of([0]), stored([0], mag=18.7, **touched)

    assert compare(curve, rows, value_hash=rows.value_hash).count(Verdict.ADOPTED) == 1


def test_a_changed_value_of_ours_is_changed() -> None:
    """Our own row with another hash is what a correction is for."""
    curve = curve_of([0])
    same, other = stored([0]), stored([0], mag=19.3)

    assert compare(curve, same, value_hash=same.value_hash).count(Verdict.SAME) == 1
    assert compare(curve, other, value_hash=other.value_hash).count(Verdict.CHANGED) == 1
    changed = compare(curve, same, changed=np.array([True]))
    assert changed.where(Verdict.NEW, Verdict.CHANGED).tolist() == [0]


def test_nothing_stored_makes_everything_new() -> None:
    """An empty read-back is compared like any other."""
    curve = curve_of([0, MS_PER_DAY])

    assert compare(curve, stored([])).count(Verdict.NEW) == 2
    assert len(compare(curve_of([]), stored([0])).verdict) == 0


@pytest.mark.parametrize(
    ("values", "different"),
    [
        ({"mag": 19.0009}, False),
        ({"mag": 19.0011}, True),
        ({"mag": None, "mag_err": None}, False),
        ({"mag": float("nan")}, False),
    ],
)
def test_a_rounding_is_no_difference(values: dict[str, Any], different: bool) -> None:
    """Below 1e-3 mag, or where the stored row lacks the field, nothing differs."""
    curve = curve_of([0])
    rows = stored([0], **values)

    assert delta.differs(curve, rows, np.array([0])).tolist() == [different]


def test_a_difference_is_measured_by_the_error_too() -> None:
    """1 % of a large error is no difference; the flux counts where it is stored."""
    curve = curve_of([0])
    wide = LightCurve(**{**vars(curve), "mag_err": np.array([1.0])})
    flux = float(curve.flux[0])

    assert not delta.differs(wide, stored([0], mag=19.009), np.array([0]))[0]
    assert delta.differs(wide, stored([0], mag=19.011), np.array([0]))[0]
    rows = stored([0, 0], flux=flux * 1.01, flux_err=1.0, zero_point=27.5)
    assert delta.differs(curve, rows, np.array([1]))[0]
    assert not delta.differs(curve, rows, np.array([-1]))[0]
    assert delta.differs(curve, stored([]), np.array([-1])).tolist() == [False]


# Twins ----------------------------------------------------------------------------------------


def test_the_better_of_two_twins_stays() -> None:
    """The higher score stays, then the smaller error, then the lower id."""
    assert delta.twins(
        alerts([(0, "r", 0.54, 0.016, "1"), (0, "r", 0.47, 0.082, "2")])
    ).tolist() == [False, True]
    assert delta.twins(alerts([(0, "r", 0.5, 0.2, "1"), (4, "r", 0.5, 0.1, "2")])).tolist() == [
        True,
        False,
    ]
    assert delta.twins(
        alerts([(0, "r", None, 0.1, "2"), (0, "r", None, 0.1, "1")])
    ).tolist() == [
        True,
        False,
    ]


def test_what_is_apart_is_no_twin() -> None:
    """Another band, or 5 ms, make two exposures."""
    assert not np.any(delta.twins(alerts([(0, "r"), (0, "g"), (5, "r")])))
    assert delta.twins(alerts([(0, "r")])).tolist() == [False]
    assert delta.twins(alerts([])).tolist() == []


@given(
    st.lists(
        st.tuples(
            st.integers(0, 30),
            st.sampled_from("gr"),
            st.sampled_from([None, 0.5, 0.9]),
            st.sampled_from([0.1, 0.2]),
        ),
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_twins_do_not_depend_on_the_order(rows: list[tuple[Any, ...]], random: Random) -> None:
    """The same rows in any order have the same twins; one of each exposure stays."""
    named = [(*row, f"{number:03}") for number, row in enumerate(rows)]
    shuffled = random.sample(named, len(named))

    def kept(of: list[Any]) -> set[str]:
        return {
            row[4]
            for row, lesser in zip(of, delta.twins(alerts(of)), strict=True)
            if not lesser
        }

    assert kept(named) == kept(shuffled)
    assert bool(kept(named)) == bool(rows)


def test_stored_gaps_are_those_that_are_none() -> None:
    """Rows at one time have no gap."""
    assert delta.smallest_stored_gap_ms(np.array([5, 5, 7, 20])) == 2
    assert delta.smallest_stored_gap_ms(np.array([5])) is None
