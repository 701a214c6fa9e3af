"""Detections, forced photometry and upper limits as rows of one light curve."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.delta import Verdict, compare, one_per_exposure
from yse_ingest.ledger import Flag, Ledger
from yse_ingest.photometry import (
    Alerts,
    Forced,
    LightCurve,
    Limits,
    PointKind,
    Rank,
    forced_curve,
    light_curve,
    limit_curve,
)
from yse_ingest.targets import Rules
from yse_ingest.ysepz import Transient, photometry_request

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES: dict[str, Any] = {
    "instrument": "ZTF-Cam",
    "obs_group": "ZTF",
    "band_map": {"g": "g-ZTF", "r": "r-ZTF"},
}
TRANSIENT = Transient(1, "2019np", "2019np", 157.3, 29.5, None, "Following", "ZTF", ())
WINDOW = {"g-ZTF": 16_000.0, "r-ZTF": 16_000.0}
T0 = 1_700_000_000_000


def drawn(point: Mapping[str, Any]) -> str:
    """Return as what YSE-PZ draws a stored row: by its own rule (its plotting code)."""
    flux, mag, err = point["flux"], point["mag"], point["flux_err"]
    if (flux and mag and flux / err > 3) or (not flux and mag):
        return "detection"
    if flux and point["flux_zero_point"] and flux + 3 * err > 0:
        return "limit"
    return "nothing"


def drawn_at(point: Mapping[str, Any]) -> float:
    """Return the magnitude at which YSE-PZ draws the arrow of a limit."""
    depth = point["flux"] + 3 * point["flux_err"]
    return float(point["flux_zero_point"] - 2.5 * math.log10(depth))


def detections(*rows: tuple[int, float, float, bool]) -> LightCurve:
    """Return detections of (time after `T0` in ms, mag, error, negative) in g."""
    table: list[Mapping[str, Any]] = [
        {
            "native_id": str(number),
            "object_id": "ZTF19x",
            "band": "g",
            "mag": mag,
            "mag_err": mag_err,
            "negative": negative,
            "ra": 1.0,
            "dec": 2.0,
            "quality": 0.9,
        }
        for number, (_, mag, mag_err, negative) in enumerate(rows)
    ]
    times = np.array([T0 + row[0] for row in rows], dtype=np.int64)
    return light_curve(Alerts.from_rows(table, time_ms=times), **NAMES, keep_negatives=True)[0]


def forced(*rows: tuple[int, float, float]) -> LightCurve:
    """Return forced photometry of (time after `T0` in ms, flux, error) in g."""
    table: list[Mapping[str, Any]] = [
        {
            "native_id": f"f{number}",
            "object_id": "ZTF19x",
            "band": "g",
            "flux": flux,
            "flux_err": flux_err,
        }
        for number, (_, flux, flux_err) in enumerate(rows)
    ]
    times = np.array([T0 + row[0] for row in rows], dtype=np.int64)
    return forced_curve(Forced.from_rows(table, time_ms=times), **NAMES)


def limits(*rows: tuple[int, float]) -> LightCurve:
    """Return upper limits of (time after `T0` in ms, limiting magnitude) in g."""
    table: list[Mapping[str, Any]] = [
        {"object_id": "ZTF19x", "band": "g", "mag_limit": limit} for _, limit in rows
    ]
    times = np.array([T0 + row[0] for row in rows], dtype=np.int64)
    return limit_curve(Limits.from_rows(table, time_ms=times), **NAMES)


def sent(curve: LightCurve) -> list[dict[str, Any]]:
    """Return the points of the request that sends a light curve."""
    request = photometry_request(TRANSIENT, curve, Rules(), window_ms=2.0)
    return [request[str(number)] for number in range(len(curve))]


def test_the_worked_numbers_of_a_limit() -> None:
    """20.37 (5 sigma) is 142.243 of flux error, and YSE-PZ draws its 3 sigma at 20.92."""
    (point,) = sent(limits((0, 20.37)))

    assert point["flux_err"] == pytest.approx(142.243, abs=5e-4)
    assert (point["mag"], point["mag_err"], point["forced"]) == (None, None, 0)
    assert point["flux"] == pytest.approx(1e-6 * point["flux_err"])
    assert point["flux_zero_point"] == 27.5
    assert drawn(point) == "limit"
    assert drawn_at(point) == pytest.approx(20.92, abs=0.01)


@pytest.mark.parametrize(
    ("flux", "flux_err", "mag"),
    [
        # ATLAS: 99 +- 6 uJy. Lasair: 812.5 +- 45.1 DN at 26.2. LSST: 2400 +- 380 nJy.
        (99 * 27.5423, 6 * 27.5423, 18.911),
        (812.5 * 10 ** (0.4 * 1.3), 45.1 * 10 ** (0.4 * 1.3), 18.926),
        (2400 * 0.0275423, 380 * 0.0275423, 22.949),
        (2.99, 1.0, None),
        (-300.0, 1.0, None),
    ],
)
def test_forced_photometry_has_a_magnitude_from_3_sigma_on(
    flux: float, flux_err: float, mag: float | None
) -> None:
    """The signed flux is sent as it is; a magnitude beside it only where it is one."""
    (point,) = sent(forced((0, flux, flux_err)))

    assert (point["flux"], point["flux_err"]) == (flux, flux_err)
    assert (point["forced"], point["diffim"]) == (1, 1)
    if mag is None:
        assert (point["mag"], point["mag_err"]) == (None, None)
    else:
        assert point["mag"] == pytest.approx(mag, abs=2e-3)
        assert point["mag_err"] == pytest.approx(1.0857 * flux_err / flux)


def test_a_forced_flux_of_nothing_is_seen() -> None:
    """YSE-PZ takes a flux of 0 for none: a point would be drawn as nothing at all."""
    (point,) = sent(forced((0, 0.0, 12.0)))

    assert drawn(point) == "limit"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**9), st.floats(-1e6, 1e6), st.floats(1e-3, 1e5, exclude_min=True)
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda row: row[0],
    ),
    st.lists(
        st.tuples(st.integers(0, 10**9), st.floats(10.0, 26.0)),
        min_size=1,
        max_size=20,
        unique_by=lambda row: row[0],
    ),
)
def test_no_magnitude_of_a_negative_flux_and_no_limit_that_is_a_detection(
    fluxes: list[tuple[int, float, float]], depths: list[tuple[int, float]]
) -> None:
    """Whatever is measured, YSE-PZ draws a detection only where there is one of 3 sigma."""
    for point in sent(forced(*fluxes)):
        assert point["flux"] != 0
        assert point["mag"] is None or point["flux"] >= 3 * point["flux_err"]
        if point["flux"] <= 3 * point["flux_err"]:
            assert drawn(point) != "detection"
    for point in sent(limits(*depths)):
        assert drawn(point) == "limit"
        assert point["mag"] is None


def kept(*curves: LightCurve) -> list[tuple[int, PointKind]]:
    """Return time and kind of the rows that stand of several light curves."""
    curve = LightCurve.concatenate(curves).by_time()
    curve = curve.take(one_per_exposure(curve, WINDOW))
    times = (curve.time_ms - T0).tolist()
    return [
        (time, PointKind(kind)) for time, kind in zip(times, curve.kind.tolist(), strict=True)
    ]


D, F, L = PointKind.DETECTION, PointKind.FORCED, PointKind.LIMIT


def test_a_detection_stands_before_forced_photometry_and_that_before_a_limit() -> None:
    """One row for each exposure, the best of it, wherever in the window the others lie."""
    found = detections((0, 19.0, 0.1, False))
    measured = forced((15_000, 800.0, 20.0), (100_000, -5.0, 20.0))
    empty = limits((-15_000, 20.5), (100_001, 20.5), (200_000, 20.5))

    assert kept(found, measured, empty) == [(0, D), (100_000, F), (200_000, L)]
    assert kept(empty, found) == [(0, D), (100_001, L), (200_000, L)]
    assert kept(measured) == [(15_000, F), (100_000, F)]


def test_forced_photometry_stands_before_a_negative_subtraction() -> None:
    """Forced photometry has the real flux; a limit has none, and stands last."""
    negative = detections((0, 19.0, 0.1, True), (100_000, 19.0, 0.1, True))

    assert kept(negative, forced((0, -40.0, 5.0))) == [(0, F), (100_000, D)]
    assert kept(negative, limits((0, 20.0))) == [(0, D), (100_000, D)]


def test_rows_of_one_kind_never_stand_for_each_other() -> None:
    """Two visits 10 s apart are two exposures, of whatever kind."""
    assert kept(limits((0, 20.0), (10_000, 20.1))) == [(0, L), (10_000, L)]
    assert kept(forced((0, 1.0, 5.0), (10_000, 2.0, 5.0))) == [(0, F), (10_000, F)]


def test_ranks() -> None:
    """The rank of a row says which of an exposure's rows stands."""
    curve = LightCurve.concatenate(
        [
            detections((0, 19.0, 0.1, False), (1, 19.0, 0.1, True)),
            forced((2, 1.0, 5.0)),
            limits((3, 20.0)),
        ]
    )

    assert curve.rank.tolist() == [Rank.DETECTION, Rank.NEGATIVE, Rank.FORCED, Rank.LIMIT]


def test_the_ledger_remembers_the_rank_of_a_row() -> None:
    """Also of rows that nobody has seen yet, in the 16 bytes of a row, and in its memory."""
    curve = LightCurve.concatenate(
        [detections((0, 19.0, 0.1, False)), forced((1, 1.0, 5.0)), limits((2, 20.0))]
    )
    ledger = Ledger.empty().with_sent(curve)

    packed = Ledger.unpack(ledger.pack(), slots=ledger.slots, gaps={}, read_back_ms=0)

    assert packed.rank.tolist() == [Rank.DETECTION, Rank.FORCED, Rank.LIMIT]
    assert packed.flagged(Flag.GONE).rank.tolist() == packed.rank.tolist()
    assert packed.flagged(Flag.GONE).memory.having(Flag.OURS).tolist() == [False] * 3
    assert packed.ours.all()


def test_what_is_better_is_a_change_whatever_its_values() -> None:
    """A detection with the very values of a stored forced point is still to be sent as one."""
    found = detections((0, 19.0, 0.1, False), (100_000, 19.0, 0.1, False))
    same = replace(found, kind=np.full(2, PointKind.FORCED, dtype=np.uint8))
    ours = np.ones(2, dtype=bool)

    def verdicts(curve: LightCurve, stored: LightCurve) -> list[int]:
        ledger = Ledger.empty().with_sent(stored)
        hashes = ledger.value_hash
        comparison = compare(curve, ledger, WINDOW, ours=ours, value_hash=hashes)
        found: list[int] = comparison.verdict.tolist()
        return found

    assert verdicts(found, same) == [Verdict.CHANGED] * 2
    assert verdicts(same, found) == [Verdict.SAME] * 2
    assert verdicts(forced((0, 5.0, 1.0), (100_000, 5.0, 1.0)), found) == [Verdict.SAME] * 2
