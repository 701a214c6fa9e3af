"""The picture of a light curve says what it shows, and where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from yse_ingest.errors import SettingsError
from yse_ingest.photometry import Alerts, LightCurve, light_curve
from yse_ingest.plot import plot_light_curve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

JD_2019_MS = 1546300800000


def curve(*negative: bool) -> LightCurve:
    rows: list[Mapping[str, Any]] = [
        {
            "native_id": str(number),
            "object_id": "ZTF19aacgslb",
            "band": "gr"[number % 2],
            "mag": 18.0 + number,
            "mag_err": 0.1,
            "negative": is_negative,
            "ra": 157.3415,
            "dec": 29.5106667,
            "quality": 0.9,
        }
        for number, is_negative in enumerate(negative)
    ]
    times = JD_2019_MS + 86_400_000 * np.arange(len(rows), dtype=np.int64)
    found, _ = light_curve(
        Alerts.from_rows(rows, time_ms=times),
        instrument="ZTF-Cam",
        obs_group="ZTF",
        band_map={"g": "g-ZTF", "r": "r-ZTF"},
        keep_negatives=True,
    )
    return found


def drawn(path: Path, found: LightCurve, **options: Any) -> str:
    """Return the picture as SVG, in which matplotlib notes every text that it draws."""
    plot_light_curve(found, path / "it.svg", title="2019np", source="mars", **options)
    return (path / "it.svg").read_text(encoding="utf-8")


def test_bands_dates_and_origin_are_named(tmp_path: Path) -> None:
    """Bands with their counts, MJD and UTC, the target, and whose data it is."""
    text = drawn(tmp_path, curve(False, False, False), negative=2)
    for label in ("g-ZTF (2)", "r-ZTF (1)", "MJD (UTC)", "UTC", "2019np", "magnitude (AB)"):
        assert f"<!-- {label} -->" in text
    assert "ZTF public alerts" in text
    assert "2 negative subtractions not drawn" in text
    assert "in YSE-PZ" not in text


def test_what_stands_in_ysepz_is_drawn_open(tmp_path: Path) -> None:
    """Stored points are told from those that would be sent, and the legend says so."""
    text = drawn(tmp_path, curve(False, False), stored=np.array([True, False]))
    assert "<!-- in YSE-PZ -->" in text
    assert text.count("<!-- g-ZTF (1) -->") == 1


def test_negative_subtractions_are_flux_not_magnitudes(tmp_path: Path) -> None:
    """They get a panel of their own below zero, and are no detections above."""
    text = drawn(tmp_path, curve(False, True, False), negative=1)
    assert "<!-- g-ZTF (2) -->" in text
    assert "r-ZTF" not in text
    assert "flux (zp 27.5)" in text


def test_an_empty_light_curve_says_so(tmp_path: Path) -> None:
    """A picture of nothing is no error."""
    assert "<!-- no detections -->" in drawn(tmp_path, curve())


@pytest.mark.parametrize("name", ["it.docx", "missing/it.png"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    """The message says what to change about the file's name."""
    with pytest.raises(SettingsError) as caught:
        plot_light_curve(curve(False), tmp_path / name, title="x", source="mars")
    assert caught.value.service == "plot"
    assert caught.value.remedy
