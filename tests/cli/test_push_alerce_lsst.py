"""From ALeRCE's LSST into a YSE-PZ that has its bands, and one that has not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.alerce import AlerceLsstStandIn
from yse_ingest.sources import LSST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Console

OID = 170587116732400001
MJD = 61217.4167
PLACE = (9.3, -42.3)


@pytest.fixture
def lsst() -> Iterator[AlerceLsstStandIn]:
    with AlerceLsstStandIn() as server:
        server.add_detection(OID, MJD, "r", 2400.0, 380.0, *PLACE)
        server.add_detection(OID, MJD + 1, "r", -2400.0, 380.0, *PLACE)
        server.add_forced(OID, MJD - 2, "u", 2400.0, 380.0)
        server.add_forced(OID, MJD - 1, "u", 120.5, 200.0)
        yield server


def add_survey(console: Console) -> None:
    console.ysepz.add_survey(LSST.instrument, list(LSST.band_map.values()), LSST.obs_group)


def test_the_worked_numbers_stand_in_ysepz(console: Console, lsst: AlerceLsstStandIn) -> None:
    """2400 +- 380 nJy are 66.10 +- 10.47 and 22.949 mag; TAI becomes UTC."""
    add_survey(console)
    console.ysepz.add_transient("2026abc", *PLACE, status="Following")

    result = console.run(
        *("push", "2026abc", "--source", "alerce-lsst", "--json"),
        ALERCE_LSST_URL=lsst.url,
        YSE_INGEST_NEGATIVES="flux",
        YSE_INGEST_FORCED="1",
    )

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["state"] == "verified"
    rows = sorted(console.ysepz.rows("2026abc"), key=lambda row: str(row["obs_date"]))
    strong, faint, positive, negative = rows
    for row in (strong, positive):
        assert row["flux"] == pytest.approx(66.10, abs=5e-3)
        assert row["flux_err"] == pytest.approx(10.47, abs=5e-3)
        assert row["mag"] == pytest.approx(22.949, abs=5e-4)
    assert (faint["mag"], negative["mag"]) == (None, None)
    assert faint["flux"] == pytest.approx(3.319, abs=5e-4)
    assert negative["flux"] == pytest.approx(-66.10, abs=5e-3)
    assert str(positive["obs_date"]).replace(" ", "T")[:23] == "2026-06-26T09:59:25.880"
    assert [row["band"] for row in rows] == ["u-LSST", "u-LSST", "r-LSST", "r-LSST"]
    assert [row["forced"] for row in rows] == [1, 1, 0, 0]


def test_a_ysepz_without_the_bands_gets_nothing(
    console: Console, lsst: AlerceLsstStandIn
) -> None:
    """It would store them as Unknown: nothing is sent, and what is missing is named."""
    console.ysepz.add_transient("2026abc", *PLACE, status="Following")

    result = console.run("push", "2026abc", "--source", "alerce-lsst", ALERCE_LSST_URL=lsst.url)

    assert result.exit_code != 0
    assert "LSSTCam" in result.output
    assert console.ysepz.rows("2026abc") == []


def test_the_service_keeps_it_growing(console: Console, lsst: AlerceLsstStandIn) -> None:
    """The tasks read everything first, then what is new by one request of its object."""
    add_survey(console)
    published = supernovae.load()[0]
    for night in range(3):
        lsst.add_detection(7, MJD + night, "r", 5000.0, 100.0, published.ra, published.dec)
    changes = {"ALERCE_LSST_URL": lsst.url, "YSE_INGEST_SOURCE": "alerce-lsst"}

    console.cycle(**changes)
    assert len(console.ysepz.rows("2019np")) == 3
    lsst.add_detection(7, MJD + 5, "z", 5000.0, 100.0, published.ra, published.dec)
    asked = len(lsst.log)
    console.cycle(**changes)

    assert len(console.ysepz.rows("2019np")) == 4
    assert [entry.path for entry in list(lsst.log)[asked:]] == ["/lightcurve_api/detections"]
