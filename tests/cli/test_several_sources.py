"""Several sources for one target, by the commands and files that people type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.fink import FinkStandIn
from yse_ingest.sandbox.ztf import candid_of
from yse_ingest.schemas.targets import parse_targets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Console

RA, DEC = 157.3415, 29.5106667
OBJECT = "ZTF19aacgslb"
JD = 2458700.5


@pytest.fixture
def fink() -> Iterator[FinkStandIn]:
    with FinkStandIn() as server:
        supernovae.fill_fink(server, supernovae.load()[:1])
        yield server


@pytest.mark.parametrize(
    "given",
    [("--source", "mars,fink"), ("--source", "mars", "--source", "fink")],
    ids=["with a comma", "repeated"],
)
def test_push_sends_the_union(
    console: Console, fink: FinkStandIn, given: tuple[str, ...]
) -> None:
    """What one broker lacks is taken from the other; what both have is sent once."""
    fink.add_alert(OBJECT, JD, "g", 19.0, 0.1, RA, DEC, candid=candid_of(JD))
    console.mars.add_alert(OBJECT, JD + 1, "r", 19.0, 0.1, RA, DEC, candid=candid_of(JD + 1))

    result = console.run("push", "2019np", *given, "--json", FINK_URL=fink.api_url)

    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["source"], told["state"], told["sent"]) == ("mars, fink", "verified", 35)
    assert (told["passed"], told["disagreements"]) == ({}, [])
    assert len(console.ysepz.rows("2019np")) == 35


def test_fetch_shows_the_union_and_the_part_of_each(
    console: Console, fink: FinkStandIn
) -> None:
    """What push would send, once each; who has how much of it, and who gave nothing."""
    fink.add_alert(OBJECT, JD, "g", 19.0, 0.1, RA, DEC, candid=candid_of(JD))
    console.mars.add_alert(OBJECT, JD + 1, "r", 19.0, 0.1, RA, DEC, candid=candid_of(JD + 1))
    both = ("fetch", "2019np", "--source", "mars,fink")

    found = json.loads(console.run(*both, "--json", FINK_URL=fink.api_url).stdout)
    assert (found["source"], len(found["light_curve"])) == ("mars, fink", 35)
    assert found["comparison"]["new"] == 35
    parts = {part["source"]: (part["fetched"], part["stands"]) for part in found["sources"]}
    assert parts == {"mars": (34, 34), "fink": (34, 1)}
    text = console.run(*both, FINK_URL=fink.api_url).stdout
    assert "MARS says ok, 34 detections fetched, 0 negative, 0 quarantined; 34 of" in text
    assert "Fink says ok, 34 detections fetched, 0 negative, 0 quarantined; 1 of" in text

    fink.faults.add(Fault("status", status=500))
    result = console.run(*both, FINK_URL=fink.api_url)
    assert result.exit_code == 0, result.output
    assert "2019np: Fink gave no light curve: " in result.stdout
    assert "34 new" in result.stdout
    assert console.ysepz.rows("2019np") == []


def test_fetch_and_push_show_each_survey(console: Console, tmp_path: Path) -> None:
    """Photometry of two surveys is no union: each is shown, and told, by itself."""
    (tmp_path / "2019np.csv").write_text(
        "# instrument: ZTF-Cam\n# obs_group: ZTF\n# public: true\n"
        "mjd,band,mag,mag_err\n58494.9,g-ZTF,19.42,0.12\n"
    )
    several = ("2019np", "--source", "mars,files", "--json")
    files = {"YSE_INGEST_FILES": str(tmp_path)}

    fetched = json.loads(console.run("fetch", *several, **files).stdout)
    pushed = json.loads(console.run("push", *several, **files).stdout)

    assert [each["source"] for each in fetched] == ["mars", "files"]
    assert [each["source"] for each in pushed] == ["mars", "files"]


def test_push_goes_on_without_a_source_that_is_down(
    console: Console, fink: FinkStandIn
) -> None:
    """It says who gave no light curve, and why; with nobody left it fails."""
    fink.faults.add(Fault("status", status=500))
    result = console.run("push", "2019np", "--source", "mars,fink", FINK_URL=fink.api_url)
    assert result.exit_code == 0, result.output
    assert "2019np: fink gave no light curve: " in result.output
    assert len(console.ysepz.rows("2019np")) == 33

    console.mars.faults.add(Fault("status", status=500))
    result = console.run("push", "2019np", "--source", "mars,fink", FINK_URL=fink.api_url)
    assert result.exit_code == 1


def test_push_tells_of_a_disagreement(console: Console, fink: FinkStandIn) -> None:
    """The value of the first stands, and both are told."""
    console.mars.add_alert(OBJECT, JD, "g", 19.0, 0.1, RA, DEC, candid=candid_of(JD))
    fink.add_alert(OBJECT, JD, "g", 18.0, 0.1, RA, DEC, candid=candid_of(JD))

    result = console.run("push", "2019np", "--source", "mars,fink", FINK_URL=fink.api_url)

    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert f"sources disagree on the magnitude of alert {candid_of(JD)}" in text
    assert "that of mars stands" in text
    assert 18.0 not in [row["mag"] for row in console.ysepz.rows("2019np")]


def test_push_takes_nothing_where_one_source_is_not_clear(
    console: Console, fink: FinkStandIn
) -> None:
    """Two objects at the second source: nothing is sent, and it says between which."""
    fink.add_alert("ZTF19nearby", JD, "g", 17.0, 0.1, RA, DEC + 2.0 / 3600)

    result = console.run(
        "push", "2019np", "--source", "mars,fink", "--json", FINK_URL=fink.api_url
    )

    assert result.exit_code == 1
    assert json.loads(result.stdout)["state"] == "ambiguous"
    assert "ZTF19nearby" in result.stdout
    assert console.ysepz.rows("2019np") == []


def test_status_tells_of_each_source(console: Console, fink: FinkStandIn) -> None:
    """Who is asked, who was passed over and why."""
    settings = {"FINK_URL": fink.api_url, "YSE_INGEST_SOURCE": "fink,mars"}
    fink.faults.add(Fault("status", status=500))
    console.cycle(**settings)

    result = console.run("status", "2019np", "--json", **settings)

    told = json.loads(result.stdout)
    assert told["source"] == "mars"
    assert set(told["sources"]) == {"fink", "mars"}
    assert set(told["passed_over"]) == {"fink"}
    assert told["disagreements"] == 0
    shown = console.run("status", "2019np", **settings)
    assert "passed over" in shown.output


def test_a_targets_file_names_sources_in_order() -> None:
    """For all, or for one; a single one as before."""
    file = parse_targets(
        '[defaults]\nsources = ["alerce", "fink"]\n'
        '[[targets]]\nname = "a"\nsources = ["mars"]\n'
        '[[targets]]\nname = "b"\nsource = "fink, mars"\n'
        '[[targets]]\nname = "c"\n'
    )
    assert file.problems == ()
    assert file.default_source == "alerce,fink"
    assert [target.sources for target in file.targets] == [("mars",), ("fink", "mars"), ()]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('sources = "alerce"', "sources is no list of names"),
        ("sources = [3]", "sources.0 is 3, which is not text"),
        (
            'source = "mars"\nsources = ["fink"]',
            "source stands beside sources; write one of them",
        ),
    ],
    ids=["text", "number", "both"],
)
def test_what_is_no_choice_is_told(line: str, problem: str) -> None:
    """With its place, as every other mistake."""
    file = parse_targets(f'[[targets]]\nname = "x"\n{line}\n')
    assert [str(each).partition(": target 1 (x): ")[2] for each in file.problems] == [problem]


def test_push_opens_no_private_source_beside_a_public_one(
    console: Console, fink: FinkStandIn
) -> None:
    """Together they would be sent by the rules of one of them: nothing is sent."""
    fink.add_alert(OBJECT, JD, "g", 19.0, 0.1, RA, DEC, candid=candid_of(JD))
    path = console.targets_file('[sources.fink]\nobs_group = "YSE"\ngroups = ["YSE"]\n')
    changes = {"FINK_URL": fink.api_url, "YSE_INGEST_TARGETS": path}

    result = console.run("push", "2019np", "--source", "mars,fink", **changes)

    assert result.exit_code == 1
    assert "mars and fink are for different groups" in result.output
    assert console.writes() == []
    shown = console.run("fetch", "2019np", "--source", "mars,fink", **changes)
    assert "mars and fink are for different groups" in shown.output
    assert "18.180" not in shown.output, "a magnitude"
    drawn = ("--plot", str(console.folder / "it.png"))
    refused = console.run("fetch", "2019np", "--source", "mars,fink", *drawn, **changes)
    assert (refused.exit_code, "--private" in refused.output) == (2, True)
    assert console.run("push", "2019np", "--source", "mars", **changes).exit_code == 0
