"""From Fink into YSE-PZ, by the commands that people type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.fink import FinkStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Console

OID = "ZTF25aaaaaaa"
JD = 2460900.81


@pytest.fixture
def fink() -> Iterator[FinkStandIn]:
    with FinkStandIn() as server:
        yield server


def test_the_worked_numbers_stand_in_ysepz(console: Console, fink: FinkStandIn) -> None:
    """19.42 is 1706.082 +- 188.569; a negative one has its sign and no magnitude; no limits."""
    place = (150.10001, 2.20003)
    console.ysepz.add_transient("2025abc", *place, status="Following")
    fink.add_alert(OID, JD, "g", 19.42, 0.12, *place)
    fink.add_alert(OID, JD + 1, "r", 19.42, 0.12, *place, isdiffpos="f")
    fink.add_limit(OID, JD - 3, 1, 20.37)
    fink.add_bad_quality(OID, JD - 2, 2, 19.88)

    result = console.run(
        *("push", "2025abc", "--source", "fink", "--json"),
        FINK_URL=fink.api_url,
        YSE_INGEST_NEGATIVES="flux",
    )

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["state"] == "verified"
    positive, negative = console.ysepz.rows("2025abc")
    assert (positive["mag"], positive["mag_err"]) == (19.42, 0.12)
    assert positive["flux"] == pytest.approx(1706.082, abs=5e-4)
    assert positive["flux_err"] == pytest.approx(188.569, abs=5e-4)
    assert negative["mag"] is None
    assert negative["flux"] == pytest.approx(-1706.082, abs=5e-4)


def test_2019np_from_another_broker_adds_nothing(console: Console, fink: FinkStandIn) -> None:
    """What MARS brought is not sent again when Fink shows the same exposures."""
    supernovae.fill_fink(fink, supernovae.load()[:1])
    console.run("push", "2019np")
    before = len(console.ysepz.rows("2019np"))
    writes = len(console.writes())

    result = console.run("push", "2019np", "--source", "fink", "--json", FINK_URL=fink.api_url)

    assert result.exit_code == 0, result.output
    assert len(console.ysepz.rows("2019np")) == before == 33
    assert len(console.writes()) == writes


def test_the_service_keeps_it_growing(console: Console, fink: FinkStandIn) -> None:
    """The tasks bring everything first, then what is new by one request of its object."""
    supernova = supernovae.load()[0]
    supernovae.fill_fink(fink, [supernova])
    settings = {"FINK_URL": fink.api_url, "YSE_INGEST_SOURCE": "fink"}

    console.cycle(**settings)
    assert len(console.ysepz.rows("2019np")) == 33
    last, asked = supernova.alerts[-1], len(fink.log)
    fink.add_alert(
        supernova.object_id, last.jd + 2, "g", 19.0, 0.1, supernova.ra, supernova.dec
    )
    console.cycle(**settings)

    assert len(console.ysepz.rows("2019np")) == 34
    assert [entry.path for entry in list(fink.log)[asked:]] == ["/api/v1/objects"]


def test_fetch_shows_what_fink_has(console: Console, fink: FinkStandIn) -> None:
    """The light curve is shown, and nothing is sent."""
    supernovae.fill_fink(fink, supernovae.load()[:1])

    result = console.run("fetch", "2019np", "--source", "fink", FINK_URL=fink.api_url)

    assert result.exit_code == 0, result.output
    assert "Fink" in result.output
    assert console.writes() == []
