"""Light curves: fluxes, signs, bands, and hashes that tell a change from a rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.photometry import (
    Alerts,
    LightCurve,
    Limits,
    StoredPhotometry,
    flux_err_of_mag_err,
    flux_of_mag,
    light_curve,
    value_hash,
)

BANDS = {"g": "g-ZTF", "r": "r-ZTF", "i": "i-ZTF"}


def alerts(*rows: Any) -> Alerts:
    """Return alerts of (time_ms, band, mag, mag_err, negative)."""
    return Alerts.from_rows(
        [
            {
                "native_id": str(number),
                "object_id": "ZTF19aacgslb",
                "band": band,
                "mag": mag,
                "mag_err": mag_err,
                "negative": negative,
                "ra": 157.0,
                "dec": 29.0,
                "quality": None,
            }
            for number, (_, band, mag, mag_err, negative) in enumerate(rows)
        ],
        time_ms=np.array([row[0] for row in rows], dtype=np.int64),
    )


def curve_of(*rows: Any, **options: Any) -> tuple[LightCurve, int]:
    return light_curve(
        alerts(*rows), instrument="ZTF-Cam", obs_group="ZTF", band_map=BANDS, **options
    )


def one_hash(mag: float, mag_err: float, flux: float = np.nan, flux_err: float = np.nan) -> int:
    return int(value_hash(*(np.array([value]) for value in (mag, mag_err, flux, flux_err)))[0])


def test_the_worked_numbers() -> None:
    """19.42 +- 0.12 mag is 1706.082 +- 188.569 at zero point 27.5, of either sign."""
    curve, negatives = curve_of(
        (0, "g", 19.42, 0.12, False), (1, "g", 19.42, 0.12, True), keep_negatives=True
    )

    assert curve.flux.tolist() == pytest.approx([1706.082, -1706.082], abs=5e-4)
    assert curve.flux_err.tolist() == pytest.approx([188.569, 188.569], abs=5e-4)
    assert curve.mag[0] == 19.42
    assert np.isnan(curve.mag[1])
    assert np.isnan(curve.mag_err[1])
    assert negatives == 1


def test_negative_subtractions_are_counted_and_left_out() -> None:
    """A negative subtraction is never a detection."""
    curve, negatives = curve_of((0, "g", 19.0, 0.1, True), (1, "r", 18.0, 0.1, False))

    assert curve.band.tolist() == ["r-ZTF"]
    assert negatives == 1


def test_a_light_curve_is_in_order_of_time_and_in_yse_pz_names() -> None:
    """Rows are sorted; band letters become YSE-PZ's names."""
    curve, _ = curve_of(*((9 - n, "gri"[n % 3], 19.0, 0.1, False) for n in range(9)))

    assert curve.time_ms.tolist() == list(range(1, 10))
    assert set(curve.band) == set(BANDS.values())
    assert (curve.instrument, curve.obs_group) == ("ZTF-Cam", "ZTF")


def test_no_alerts_make_an_empty_light_curve() -> None:
    """Nothing in, nothing out, with the same columns."""
    curve, negatives = curve_of()

    assert (len(curve), negatives) == (0, 0)
    assert len(LightCurve.empty(instrument="ZTF-Cam", obs_group="ZTF")) == 0


def test_each_native_id_counts_once() -> None:
    """Repeated rows are taken once, in order of time."""
    both = Alerts.concatenate(
        [alerts((5, "g", 19.0, 0.1, False), (1, "r", 18.0, 0.1, False)) for _ in range(2)]
    )

    assert both.unique().time_ms.tolist() == [1, 5]


@given(st.floats(-5, 40), st.floats(1e-4, 10))
def test_flux_and_magnitude_say_the_same(mag: float, mag_err: float) -> None:
    """The flux gives the magnitude back, and its error the error."""
    flux = flux_of_mag(np.array([mag]))
    flux_err = flux_err_of_mag_err(flux, np.array([mag_err]))

    assert 27.5 - 2.5 * np.log10(flux[0]) == pytest.approx(mag, abs=1e-9)
    assert 1.0857 * flux_err[0] / flux[0] == pytest.approx(mag_err, rel=1e-9)


@given(st.integers(-50_000, 400_000), st.integers(1, 100_000), st.floats(-0.4, 0.4))
def test_a_rounding_keeps_the_hash(steps: int, error_steps: int, within: float) -> None:
    """Values that agree when rounded to 1e-4 mag have one hash, with a flux or without."""
    mag, mag_err = steps / 1e4, error_steps / 1e4
    flux = float(flux_of_mag(np.array([mag]))[0])

    plain = one_hash(mag, mag_err)

    assert one_hash(mag + within * 1e-4, mag_err) == plain
    assert one_hash(mag, mag_err, flux, flux * 0.1) == plain


@given(
    st.integers(-50_000, 400_000),
    st.integers(1, 100_000),
    st.integers(-2000, 2000).filter(bool),
)
def test_a_change_changes_the_hash(steps: int, error_steps: int, change: int) -> None:
    """A difference of 1e-4 mag or more in value or error gives another hash."""
    before = one_hash(steps / 1e4, error_steps / 1e4)

    assert one_hash((steps + change) / 1e4, error_steps / 1e4) != before
    assert one_hash(steps / 1e4, (error_steps + change) / 1e4) != before


@given(st.floats(1.0, 1e6), st.floats(0.1, 1e5))
def test_a_sign_changes_the_hash(flux: float, flux_err: float) -> None:
    """A row without a magnitude is hashed by its signed flux."""
    assert one_hash(np.nan, np.nan, flux, flux_err) != one_hash(np.nan, np.nan, -flux, flux_err)


def test_the_hash_is_the_same_on_every_machine() -> None:
    """Ledgers are kept for years: these hashes never change."""
    assert one_hash(19.42, 0.12) == one_hash(19.42, 0.12, 1706.082, 188.569)
    assert one_hash(19.42, 0.12) == 2052908236
    assert one_hash(np.nan, np.nan, -1706.082, 188.569) == 662661195


def test_a_stored_row_hashes_like_what_was_sent() -> None:
    """What YSE-PZ holds has the hash of the point that was sent, whatever its zero point."""
    curve, _ = curve_of(
        (0, "g", 19.42, 0.12, False), (1, "g", 19.42, 0.12, True), keep_negatives=True
    )
    factor = 10 ** (0.4 * (25.0 - 27.5))
    stored = StoredPhotometry.from_rows(
        [
            {
                "pk": number + 1,
                "time_ms": number,
                "instrument": "ZTF-Cam",
                "obs_group": "ZTF",
                "band": "g-ZTF",
                "mag": None if number else 19.42,
                "mag_err": None if number else 0.12,
                "flux": curve.flux[number] * factor if number else None,
                "flux_err": curve.flux_err[number] * factor if number else None,
                "zero_point": 25.0 if number else None,
                "forced": False,
                "created_by": "ingest",
                "modified_by": "ingest" if number else "curator",
                "header": 1,
                "restricted": False,
            }
            for number in range(2)
        ]
    )

    assert stored.value_hash.tolist() == curve.value_hash.tolist()
    assert stored.written_by("ingest").tolist() == [False, True]


def test_a_limit_is_five_errors_of_the_flux() -> None:
    """A limiting magnitude of 20.37 stands for an error of 142.243 at zero point 27.5."""
    limits = Limits.from_rows(
        [{"object_id": "ZTF25aaaaaaa", "band": "g", "mag_limit": 20.37}],
        time_ms=np.array([1_757_000_000_000]),
    )

    assert limits.flux_err == pytest.approx([142.243], abs=5e-4)


def test_an_exposure_has_one_limit() -> None:
    """The same exposure and band counts once, in order of time; another band is another."""
    row = {"object_id": "ZTF25aaaaaaa", "band": "g", "mag_limit": 20.0}
    limits = Limits.from_rows(
        [row, row | {"mag_limit": 20.1}, row | {"band": "r"}, row],
        time_ms=np.array([2000, 1000, 1000, 2000]),
    )

    unique = limits.unique()

    assert unique.time_ms.tolist() == [1000, 1000, 2000]
    assert unique.band.tolist() == ["g", "r", "g"]
    assert len(Limits.empty().unique()) == 0
