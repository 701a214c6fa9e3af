"""From ANTARES into YSE-PZ, by the command that people type, where they say so by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.antares import AntaresStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Console

OID = "ZTF25aaaaaaa"
JD = 2460900.81
PLACE = (150.10001, 2.20003)


@pytest.fixture
def antares() -> Iterator[AntaresStandIn]:
    with AntaresStandIn() as server:
        yield server


def settings(antares: AntaresStandIn, **more: str) -> dict[str, str]:
    return {"ANTARES_URL": antares.api_url, "YSE_INGEST_UNRECORDED": "antares", **more}


def test_the_worked_numbers_stand_in_ysepz(console: Console, antares: AntaresStandIn) -> None:
    """19.42 is 1706.082 +- 188.569; R is r; what is negative or a limit has no magnitude."""
    console.ysepz.add_transient("2025abc", *PLACE, status="Following")
    antares.add_alert(OID, JD, "g", 19.42, 0.12, *PLACE)
    antares.add_alert(OID, JD + 1, "r", 19.42, 0.12, *PLACE, isdiffpos="f")
    antares.add_limit(OID, JD - 3, 1, 20.37)

    result = console.run(
        *("push", "2025abc", "--source", "antares", "--json"),
        **settings(antares, YSE_INGEST_NEGATIVES="flux", YSE_INGEST_UPPER_LIMITS="before"),
    )

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["state"] == "verified"
    rows = sorted(console.ysepz.rows("2025abc"), key=lambda row: str(row["obs_date"]))
    limit, positive, negative = rows
    assert limit["mag"] is None
    assert limit["flux_err"] == pytest.approx(142.243, abs=5e-4)
    assert (positive["mag"], positive["band"]) == (19.42, "g-ZTF")
    assert positive["flux"] == pytest.approx(1706.082, abs=5e-4)
    assert positive["flux_err"] == pytest.approx(188.569, abs=5e-4)
    assert (negative["mag"], negative["band"]) == (None, "r-ZTF")
    assert negative["flux"] == pytest.approx(-1706.082, abs=5e-4)


def test_2019np_from_another_broker_adds_nothing(
    console: Console, antares: AntaresStandIn
) -> None:
    """What MARS brought is not sent again when ANTARES shows the same exposures."""
    supernovae.fill_antares(antares, supernovae.load()[:1])
    console.run("push", "2019np")
    writes = len(console.writes())

    result = console.run(
        *("push", "2019np", "--source", "antares", "--json"), **settings(antares)
    )

    assert result.exit_code == 0, result.output
    assert len(console.ysepz.rows("2019np")) == 33
    assert len(console.writes()) == writes


def test_without_the_flag_nothing_is_asked(console: Console, antares: AntaresStandIn) -> None:
    """An address alone is not enough: the setting is named."""
    result = console.run("push", "2019np", "--source", "antares", ANTARES_URL=antares.api_url)

    assert result.exit_code != 0
    assert "YSE_INGEST_UNRECORDED" in result.output
    assert not antares.log
