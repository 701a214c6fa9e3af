"""From ATLAS into YSE-PZ, by the commands that people type and by the tasks of the service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox.atlas import AtlasStandIn
from yse_ingest.sandbox.atlas.stand_in import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Console

PLACE = (150.1, 2.2)
MJD = 60900.51001


@pytest.fixture
def atlas() -> Iterator[AtlasStandIn]:
    with AtlasStandIn() as server:
        server.add(*PLACE, MJD, "o", 99, 6)
        server.add(*PLACE, MJD + 2, "c", -33, 9)
        server.add(*PLACE, MJD + 3, "H", 3611, 1700, mag5sig=9.9)
        server.add(*PLACE, MJD + 4, "o", 5000, 20, apfit=-0.01)
        yield server


@pytest.fixture
def settings(atlas: AtlasStandIn) -> dict[str, str]:
    return {"ATLAS_URL": atlas.api_url, "ATLAS_TOKEN": TOKEN, "ATLAS_DAYS": "all"}


def test_the_worked_numbers_stand_in_ysepz(
    console: Console, atlas: AtlasStandIn, settings: dict[str, str]
) -> None:
    """99 +- 6 uJy: 2726.7 +- 165.3, 18.911 mag, forced; -33 uJy: no magnitude; no Redis."""
    console.ysepz.add_transient("2025abc", *PLACE, status="Following")

    result = console.run("push", "2025abc", "--source", "atlas", "--json", **settings)

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["state"] == "verified"
    positive, negative = console.ysepz.rows("2025abc")
    assert positive["flux"] == pytest.approx(2726.7, abs=0.05)
    assert positive["flux_err"] == pytest.approx(165.3, abs=0.05)
    assert positive["mag"] == pytest.approx(18.911, abs=5e-4)
    assert negative["mag"] is None
    assert negative["flux"] == pytest.approx(-908.9, abs=0.05)
    assert (positive["band"], negative["band"]) == ("orange-ATLAS", "cyan-ATLAS")
    assert {row["instrument"] for row in (positive, negative)} == {"ACAM1"}
    assert {row["forced"] for row in (positive, negative)} == {1}
    assert [task.deleted for task in atlas.tasks.values()] == [True]
    assert atlas.tasks[4200001].downloads == 1


def test_a_person_is_told_what_is_waited_for(
    console: Console, atlas: AtlasStandIn, settings: dict[str, str]
) -> None:
    """A line says who works and since when; at the end the light curve is shown."""
    console.ysepz.add_transient("2025abc", *PLACE, status="Following")

    result = console.run("fetch", "2025abc", "--source", "atlas", "-v", **settings)

    assert result.exit_code == 0, result.output
    assert "2025abc: ATLAS works on it since" in result.stderr
    assert "18.911" in result.stdout
    assert console.writes() == []
    assert [task.deleted for task in atlas.tasks.values()] == [True]


def test_who_gives_up_takes_the_question_back(
    console: Console, atlas: AtlasStandIn, settings: dict[str, str]
) -> None:
    """After the patience it is pending: nothing is sent, and no task is left at ATLAS."""
    console.ysepz.add_transient("2025abc", *PLACE, status="Following")
    atlas.finish_after_polls = 99

    result = console.run(
        *("push", "2025abc", "--source", "atlas", "--json"),
        YSE_INGEST_SOURCE_PATIENCE="0.2",
        **settings,
    )

    assert result.exit_code == 1
    assert json.loads(result.stdout)["state"] == "pending"
    assert console.ysepz.rows("2025abc") == []
    assert [task.deleted for task in atlas.tasks.values()] == [True]


@pytest.mark.parametrize(
    ("token", "said"),
    [(TOKEN, "ok    source atlas: ATLAS answers in"), ("of-nobody", "Check ATLAS_TOKEN")],
    ids=["good", "wrong"],
)
def test_doctor_asks_atlas(
    console: Console, atlas: AtlasStandIn, settings: dict[str, str], token: str, said: str
) -> None:
    """It says whether the token is taken, and leaves no more than one task behind."""
    settings |= {"ATLAS_TOKEN": token, "YSE_INGEST_SOURCE": "atlas"}

    for _ in range(2):
        found = console.start("doctor", **settings)
        assert said in found.stdout, found.stdout
        assert token not in found.stdout

    assert sum(not task.deleted for task in atlas.tasks.values()) <= 1
    assert len(atlas.tasks) <= 1


def test_status_says_since_when_it_is_pending(
    console: Console, atlas: AtlasStandIn, settings: dict[str, str]
) -> None:
    """Pending is told as what it is: no silence, nothing stale, no trouble."""
    atlas.finish_after_polls = 99
    console.cycle(YSE_INGEST_SOURCE="atlas", **settings)

    shown = console.run("status", "2019np", YSE_INGEST_SOURCE="atlas", **settings)
    plain = console.run("status", "2019np", "--json", YSE_INGEST_SOURCE="atlas", **settings)

    assert shown.exit_code == plain.exit_code == 0, shown.output
    assert "pending since" in shown.stdout
    line = json.loads(plain.stdout)
    assert (line["answer"], line["silence"], line["stale"]) == ("pending", "pending", False)
    assert line["silent_since"]


def test_a_probe_waits_for_rows_and_compares_them(
    console: Console, atlas: AtlasStandIn, settings: dict[str, str]
) -> None:
    """`sources probe` says column by column whether a result is what was agreed."""
    place = ("--ra", str(PLACE[0]), "--dec", str(PLACE[1]))

    result = console.run("sources", "probe", "atlas", *place, "--json", **settings)

    assert result.exit_code == 0, result.output
    (table,) = json.loads(result.stdout)["tables"]
    assert table["rows"] == 4
    assert {"MJD", "uJy", "duJy", "F", "Obs"} <= {each["field"] for each in table["fields"]}
    assert [task.deleted for task in atlas.tasks.values()] == [True]
