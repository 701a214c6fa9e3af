"""From Fink's LSST into a YSE-PZ that has its bands, by the command that people type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox.fink import FinkLsstStandIn
from yse_ingest.sources import LSST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Console

OID = 170587116732400001
MJD = 61217.41670499
PLACE = (9.31, -42.37)


@pytest.fixture
def fink() -> Iterator[FinkLsstStandIn]:
    with FinkLsstStandIn() as server:
        server.add_source(OID, MJD, "r", 2400.0, 380.0, *PLACE)
        server.add_source(OID, MJD + 1, "r", -2400.0, 380.0, *PLACE)
        server.add_source(OID, MJD + 2, "r", 900.0, 380.0, *PLACE)
        server.add_source(OID, MJD + 3, "r", 2400.0, 380.0, *PLACE, reliability=0.1)
        for night, flux in ((-1.0, -55.0), (0.0, 2390.0), (2.0, 900.0)):
            server.add_forced(OID, MJD + night, "r", flux, 370.0)
        yield server


def test_the_worked_numbers_stand_in_ysepz(console: Console, fink: FinkLsstStandIn) -> None:
    """2400 +- 380 nJy is 66.10 +- 10.47 and 22.949 mag, and TAI becomes UTC.

    Without forced photometry two points are stored: a source below 3 sigma and one of low
    reliability are none.
    """
    console.ysepz.add_survey(LSST.instrument, list(LSST.band_map.values()), LSST.obs_group)
    console.ysepz.add_transient("2026abc", *PLACE, status="Following")

    result = console.run(
        *("push", "2026abc", "--source", "fink-lsst", "--json"),
        FINK_LSST_URL=fink.api_url,
        YSE_INGEST_NEGATIVES="flux",
    )

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["state"] == "verified"
    positive, negative = console.ysepz.rows("2026abc")
    assert positive["flux"] == pytest.approx(66.10, abs=5e-3)
    assert positive["flux_err"] == pytest.approx(10.47, abs=5e-3)
    assert positive["mag"] == pytest.approx(22.949, abs=5e-4)
    assert str(positive["obs_date"]).replace(" ", "T")[:23] == "2026-06-26T09:59:26.311"
    assert (positive["band"], positive["forced"]) == ("r-LSST", 0)
    assert negative["mag"] is None
    assert negative["flux"] == pytest.approx(-66.10, abs=5e-3)


def test_forced_photometry_fills_what_detections_leave_open(
    console: Console, fink: FinkLsstStandIn
) -> None:
    """A detection stands before the forced flux of its exposure, which stands elsewhere."""
    console.ysepz.add_survey(LSST.instrument, list(LSST.band_map.values()), LSST.obs_group)
    console.ysepz.add_transient("2026abc", *PLACE, status="Following")

    result = console.run(
        *("push", "2026abc", "--source", "fink-lsst", "--json"),
        FINK_LSST_URL=fink.api_url,
        YSE_INGEST_FORCED="1",
    )

    assert result.exit_code == 0, result.output
    rows = sorted(console.ysepz.rows("2026abc"), key=lambda row: str(row["obs_date"]))
    before, detection, after = rows
    assert [row["forced"] for row in rows] == [1, 0, 1]
    assert before["flux"] == pytest.approx(-1.515, abs=5e-4)
    assert detection["flux"] == pytest.approx(66.10, abs=5e-3)
    # 900 +- 370 nJy is no detection, in either table.
    assert after["flux"] == pytest.approx(24.788, abs=5e-4)
    assert (before["mag"], after["mag"]) == (None, None)
