"""From both of Lasair's servers into YSE-PZ, by the command that people type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.lasair import TOKEN, LasairLsstStandIn, LasairStandIn
from yse_ingest.sources import LSST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Console

OID = "ZTF25aaaaaaa"
JD = 2460900.81
PLACE = (150.10001, 2.20003)


@pytest.fixture
def lasair() -> Iterator[LasairStandIn]:
    with LasairStandIn() as server:
        server.add_limit(OID, JD - 3, 1, 20.37)
        server.add_alert(OID, JD, "g", 19.42, 0.12, *PLACE)
        server.add_alert(OID, JD + 1, "r", 19.42, 0.12, *PLACE, isdiffpos="f")
        server.add_forced(OID, JD + 3, 2, 812.5, 45.1)
        server.add_forced(OID, JD, 1, 1201.0, 140.0)
        yield server


def settings(lasair: LasairStandIn, **more: str) -> dict[str, str]:
    return {"LASAIR_URL": lasair.api_url, "LASAIR_TOKEN": TOKEN, **more}


def test_detections_alone_by_default(console: Console, lasair: LasairStandIn) -> None:
    """19.42 is 1706.082 +- 188.569; no limit, no forced flux, no negative becomes a point."""
    console.ysepz.add_transient("2025abc", *PLACE, status="Following")

    result = console.run(
        *("push", "2025abc", "--source", "lasair", "--json"), **settings(lasair)
    )

    assert result.exit_code == 0, result.output
    assert TOKEN not in result.output
    (row,) = console.ysepz.rows("2025abc")
    assert (row["mag"], row["mag_err"], row["forced"]) == (19.42, 0.12, 0)
    assert row["flux"] == pytest.approx(1706.082, abs=5e-4)
    assert row["flux_err"] == pytest.approx(188.569, abs=5e-4)


def test_the_worked_numbers_of_all_kinds_stand_in_ysepz(
    console: Console, lasair: LasairStandIn
) -> None:
    """812.5 +- 45.1 counts are 2690.4 +- 149.3; a limit has an error of 142.243 and no mag."""
    console.ysepz.add_transient("2025abc", *PLACE, status="Following")

    result = console.run(
        *("push", "2025abc", "--source", "lasair", "--json"),
        **settings(
            lasair,
            YSE_INGEST_FORCED="1",
            YSE_INGEST_UPPER_LIMITS="before",
            YSE_INGEST_NEGATIVES="flux",
        ),
    )

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["state"] == "verified"
    rows = sorted(console.ysepz.rows("2025abc"), key=lambda row: str(row["obs_date"]))
    limit, detection, negative, forced = rows
    assert [row["forced"] for row in rows] == [0, 0, 0, 1]
    assert limit["mag"] is None
    assert limit["flux_err"] == pytest.approx(142.243, abs=5e-4)
    assert limit["flux"] == pytest.approx(1.42243e-4, rel=1e-4)
    assert detection["flux"] == pytest.approx(1706.082, abs=5e-4)
    assert negative["mag"] is None
    assert negative["flux"] == pytest.approx(-1706.082, abs=5e-4)
    assert forced["flux"] == pytest.approx(2690.4, abs=0.05)
    assert forced["flux_err"] == pytest.approx(149.3, abs=0.05)
    assert forced["band"] == "r-ZTF"


def test_2019np_from_another_broker_adds_nothing(
    console: Console, lasair: LasairStandIn
) -> None:
    """What MARS brought is not sent again, also where the candids have lost their digits."""
    supernovae.fill_lasair(lasair, supernovae.load()[:1])
    lasair.loses_digits = True
    console.run("push", "2019np")
    writes = len(console.writes())

    result = console.run("push", "2019np", "--source", "lasair", "--json", **settings(lasair))

    assert result.exit_code == 0, result.output
    assert len(console.ysepz.rows("2019np")) == 33
    assert len(console.writes()) == writes


def test_a_quiet_target_costs_one_call(console: Console, lasair: LasairStandIn) -> None:
    """The tasks bring everything first, then ask by a query alone what changed."""
    supernova = supernovae.load()[0]
    supernovae.fill_lasair(lasair, [supernova])
    more = settings(lasair, YSE_INGEST_SOURCE="lasair")

    console.cycle(**more)
    first = len(lasair.log)
    console.cycle(**more)
    assert [entry.path for entry in list(lasair.log)[first:]] == ["/api/query/"]
    asked = len(lasair.log)
    lasair.add_alert(
        supernova.object_id,
        supernova.alerts[-1].jd + 2,
        *("g", 19.0, 0.1, supernova.ra, supernova.dec),
    )
    console.cycle(**more)

    assert len(console.ysepz.rows("2019np")) == 34
    paths = [entry.path for entry in list(lasair.log)[asked:]]
    assert paths == ["/api/query/", "/api/object/"]


def test_a_missing_token_is_told(console: Console, lasair: LasairStandIn) -> None:
    """Nothing is asked, and the setting is named."""
    console.ysepz.add_transient("2025abc", *PLACE, status="Following")

    result = console.run("push", "2025abc", "--source", "lasair", LASAIR_URL=lasair.api_url)

    assert result.exit_code != 0
    assert "LASAIR_TOKEN" in result.output
    assert not lasair.log


def test_the_worked_numbers_of_lsst_stand_in_ysepz(console: Console) -> None:
    """2400 +- 380 nJy is 66.10 +- 10.47 and 22.949 mag, and TAI becomes UTC."""
    place = (9.31, -42.37)
    console.ysepz.add_survey(LSST.instrument, list(LSST.band_map.values()), LSST.obs_group)
    console.ysepz.add_transient("2026abc", *place, status="Following")

    with LasairLsstStandIn() as lasair:
        lasair.add_source(170587116732400001, 61217.41670499, "r", 2400.0, 380.0, *place)
        lasair.add_forced(170587116732400001, 61216.4, "r", -55.0, 370.0)
        result = console.run(
            *("push", "2026abc", "--source", "lasair-lsst", "--json"),
            LASAIR_LSST_URL=lasair.api_url,
            LASAIR_LSST_TOKEN=TOKEN,
            YSE_INGEST_FORCED="1",
        )

    assert result.exit_code == 0, result.output
    rows = sorted(console.ysepz.rows("2026abc"), key=lambda row: str(row["obs_date"]))
    forced, detection = rows
    assert (forced["mag"], forced["forced"]) == (None, 1)
    assert forced["flux"] == pytest.approx(-1.515, abs=5e-4)
    assert detection["flux"] == pytest.approx(66.10, abs=5e-3)
    assert detection["flux_err"] == pytest.approx(10.47, abs=5e-3)
    assert detection["mag"] == pytest.approx(22.949, abs=5e-4)
    assert (detection["band"], detection["forced"]) == ("r-LSST", 0)
    assert str(detection["obs_date"]).replace(" ", "T")[:23] == "2026-06-26T09:59:26.311"
