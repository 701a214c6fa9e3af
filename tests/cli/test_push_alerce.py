"""From ALeRCE into YSE-PZ, by the commands that people type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Console

OID = "ZTF25aaaaaaa"
JD = 2460900.81
PLACE = (150.10001, 2.20003)


@pytest.fixture
def alerce() -> Iterator[AlerceStandIn]:
    with AlerceStandIn() as server:
        yield server


def settings(alerce: AlerceStandIn) -> dict[str, str]:
    return {"ALERCE_URL": alerce.api_url, "ALERCE_FORCED_URL": alerce.forced_url}


def test_the_worked_numbers_stand_in_ysepz(console: Console, alerce: AlerceStandIn) -> None:
    """19.42 is 1706.082 +- 188.569; a negative one has its sign and no magnitude; no limits."""
    console.ysepz.add_transient("2025abc", *PLACE, status="Following")
    alerce.add_detection(OID, JD, "g", 19.42, 0.12, *PLACE, corrected=True, magnr=17.0)
    alerce.add_detection(OID, JD + 1, "r", 19.42, 0.12, *PLACE, isdiffpos=-1)
    alerce.add_detection(OID, JD + 2, "r", 100.0, 100.0, *PLACE)
    alerce.add_non_detection(OID, JD - 3, "g", 20.37)
    alerce.add_forced(OID, JD - 2, "g", 812.5, 45.1)

    result = console.run(
        *("push", "2025abc", "--source", "alerce", "--json"),
        **settings(alerce),
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


def test_a_quiet_target_costs_one_request(console: Console, alerce: AlerceStandIn) -> None:
    """The tasks ask once whether anything changed, and read the light curve only if so."""
    supernova = supernovae.load()[0]
    supernovae.fill_alerce(alerce, [supernova])
    changes = {**settings(alerce), "YSE_INGEST_SOURCE": "alerce"}

    console.cycle(**changes)
    assert len(console.ysepz.rows("2019np")) == 33
    asked = len(alerce.log)
    console.cycle(**changes)
    quiet = [entry.path.removeprefix("/ztf/v1") for entry in list(alerce.log)[asked:]]
    last = supernova.alerts[-1]
    alerce.add_detection(
        supernova.object_id, last.jd + 2, "g", 19.0, 0.1, supernova.ra, supernova.dec
    )
    asked = len(alerce.log)
    console.cycle(**changes)
    busy = [entry.path.removeprefix("/ztf/v1") for entry in list(alerce.log)[asked:]]

    assert quiet == ["/objects/"]
    assert busy == ["/objects/", f"/objects/{supernova.object_id}/lightcurve"]
    assert len(console.ysepz.rows("2019np")) == 34


def test_limits_and_forced_photometry_stand_in_ysepz(
    console: Console, alerce: AlerceStandIn
) -> None:
    """20.37 is 142.243 without a magnitude; 812.5 DN are 2690.4; a detection stands first."""
    console.ysepz.add_transient("2025abc", *PLACE, status="Following")
    alerce.add_detection(OID, JD, "g", 19.42, 0.12, *PLACE)
    alerce.add_non_detection(OID, JD - 3, "g", 20.37)
    alerce.add_forced(OID, JD - 2, "r", 812.5, 45.1)
    alerce.add_forced(OID, JD - 1, "r", -57.5, 47.7)
    alerce.add_forced(OID, JD, "g", 440.0, 48.0)

    result = console.run(
        *("push", "2025abc", "--source", "alerce", "--json"),
        **settings(alerce),
        YSE_INGEST_FORCED="1",
        YSE_INGEST_UPPER_LIMITS="before",
    )

    assert result.exit_code == 0, result.output
    rows = sorted(console.ysepz.rows("2025abc"), key=lambda row: str(row["obs_date"]))
    limit, forced, negative, detection = rows
    assert limit["mag"] is None
    assert limit["flux_err"] == pytest.approx(142.243, abs=5e-4)
    assert limit["flux"] == pytest.approx(1e-6 * limit["flux_err"])
    assert forced["flux"] == pytest.approx(2690.4, abs=0.05)
    assert forced["flux_err"] == pytest.approx(149.3, abs=0.05)
    assert forced["mag"] == pytest.approx(18.925, abs=5e-4)
    assert negative["mag"] is None
    assert negative["flux"] < 0
    assert detection["flux"] == pytest.approx(1706.082, abs=5e-4)
    assert [row["forced"] for row in rows] == [0, 1, 1, 0]


def test_people_are_told_that_forced_photometry_is_lacking(
    console: Console, alerce: AlerceStandIn
) -> None:
    """The detections are sent, and a line says what could not be read."""
    supernovae.fill_alerce(alerce, supernovae.load()[:1])
    alerce.faults.add(Fault("error_before", path="forced"))

    result = console.run(
        *("push", "2019np", "--source", "alerce"), **settings(alerce), YSE_INGEST_FORCED="1"
    )

    assert result.exit_code == 0, result.output
    assert len(console.ysepz.rows("2019np")) == 33
    told = " ".join(result.output.split())
    assert "its forced photometry could not be read: answered 500" in told


def test_a_corrected_value_comes_with_the_full_read(
    console: Console, alerce: AlerceStandIn
) -> None:
    """Nothing says that an old value changed: until all is read again it stays as it is."""
    supernovae.fill_alerce(alerce, supernovae.load()[:1])
    changes = {**settings(alerce), "YSE_INGEST_SOURCE": "alerce"}
    console.cycle(**changes)
    first = min(console.ysepz.rows("2019np"), key=lambda row: str(row["obs_date"]))

    alerce.correct(supernovae.load()[0].object_id, magpsf=first["mag"] + 0.3)
    console.cycle(**changes)
    between = min(console.ysepz.rows("2019np"), key=lambda row: str(row["obs_date"]))
    console.cycle(**changes, YSE_INGEST_FULL_READ="0.001s")
    last = min(console.ysepz.rows("2019np"), key=lambda row: str(row["obs_date"]))

    assert between["mag"] == first["mag"]
    assert last["mag"] == pytest.approx(first["mag"] + 0.3)
    assert last["pk"] == first["pk"]
    assert len(console.ysepz.rows("2019np")) == 33
