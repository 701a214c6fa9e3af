"""`doctor` tells which rows YSE-PZ lacks for the surveys in use, and only for those."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.targets import Target

if TYPE_CHECKING:
    from tests.cli.conftest import Console

MODULE = """
from dataclasses import replace

from yse_ingest.sources import LSST
from yse_ingest.sources.alerce import AlerceSource


class RubinSource(AlerceSource):
    name = "rubin"
    title = "Rubin"
    capabilities = replace(AlerceSource.capabilities, survey=LSST)
"""
TARGET = """
[[targets]]
name = "2019np"
source = "rubin"
"""


@pytest.fixture
def rubin(console: Console) -> Console:
    """Install a source of LSST, as another package would, for the commands started here."""
    site = console.folder / "site"
    metadata = site / "rubin_source-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "rubin_source.py").write_text(MODULE)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: rubin-source\nVersion: 1\n"
    )
    (metadata / "entry_points.txt").write_text(
        "[yse_ingest.sources]\nrubin = rubin_source:RubinSource\n"
    )
    console.environment["PYTHONPATH"] = str(site)
    console.environment["ALERCE_URL"] = console.mars.url
    return console


def rows(console: Console, **changes: str) -> list[dict[str, Any]]:
    """Return the checks of `doctor --json` that name rows."""
    checks = json.loads(console.start("doctor", "--json", **changes).stdout)["checks"]
    return [check for check in checks if check["subject"].startswith("rows of")]


def test_rows_of_a_survey_in_use(rubin: Console) -> None:
    """A target of an LSST source: every row by model and field, as a warning."""
    targets = rubin.targets_file(TARGET)
    (check,) = rows(rubin, YSE_INGEST_TARGETS=targets)
    assert check["subject"] == "rows of LSST"
    assert check["level"] == "warn"
    assert "what rubin finds is refused" in check["fact"]
    assert check["rows"][2] == {
        "model": "Instrument",
        "fields": {"telescope": "Simonyi Survey Telescope", "name": "LSSTCam"},
    }
    bands = [row["fields"] for row in check["rows"] if row["model"] == "PhotometricBand"]
    assert [band["name"] for band in bands] == [f"{band}-LSST" for band in "ugrizy"]
    assert len({band["disp_color"] for band in bands}) == 6


def test_rows_as_text_to_be_pasted(rubin: Console) -> None:
    """Each row stands on a line of its own below the warning."""
    shown = rubin.start("doctor", YSE_INGEST_TARGETS=rubin.targets_file(TARGET)).stdout
    lines = [line.strip() for line in shown.splitlines()]
    first = lines.index("Instrument: telescope=Simonyi Survey Telescope, name=LSSTCam")
    assert lines[first + 1].startswith("PhotometricBand: instrument=LSSTCam, name=u-LSST, ")
    assert lines[first + 7] == "ObservationGroup: name=LSST"


def test_rows_of_a_target_that_was_added_by_hand(rubin: Console) -> None:
    """A target that stands in Redis alone makes its source one in use."""
    added = rubin.start("targets", "add", "2019np", "--source", "rubin")
    assert added.returncode == 0, added.stdout
    (check,) = rows(rubin)
    assert check["subject"] == "rows of LSST"


def test_a_survey_that_nobody_uses_is_not_missed(rubin: Console) -> None:
    """An installed source without a target is no reason to ask for rows."""
    assert rows(rubin) == []


def test_names_of_the_operator_are_not_asked_for(rubin: Console) -> None:
    """Who names instrument and bands for the source means those: the vocabulary is checked."""
    names = '\n[sources.rubin]\ninstrument = "DECam"\n'
    assert rows(rubin, YSE_INGEST_TARGETS=rubin.targets_file(TARGET + names)) == []


def test_rules_of_a_target_that_was_added_by_hand(console: Console) -> None:
    """Its upper limits are told of, and a name of its own that YSE-PZ does not have."""
    rules = {"upper_limits": "before", "obs_group": "NOPE"}
    console.service().enqueue(Target("2019np", source="mars,fink", overrides=rules))

    told = json.loads(console.start("doctor", "--json").stdout)["checks"]

    found = {check["subject"]: check for check in told if check["level"] != "ok"}
    assert "upper limits will be sent" in found["no magnitude"]["fact"]
    assert found["vocabulary"]["level"] == "fail"
    assert found["vocabulary"]["fact"].startswith("2019np: ")
    assert "NOPE" in found["vocabulary"]["fact"]
