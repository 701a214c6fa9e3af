"""From a light-curve file into YSE-PZ, by the commands that people type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Console

ROWS = """mjd,band,flux,flux_err
58494.4499421,g-ZTF,1706.082,188.569
58495.4499421,r-ZTF,-1706.082,188.569
"""
HEAD = "# instrument: ZTF-Cam\n# obs_group: {}\n# zero_point: 27.5\n"
PUBLIC = HEAD.format("ZTF") + "# public: true\n"


def write(console: Console, text: str) -> str:
    folder = console.folder / "files"
    folder.mkdir(exist_ok=True)
    (folder / "2019np.csv").write_text(text, encoding="utf-8")
    return str(folder)


def test_a_public_file_is_pushed(console: Console) -> None:
    """Its points stand in YSE-PZ with sign and error, and a second push adds nothing."""
    folder = write(console, PUBLIC + ROWS)

    for _ in range(2):
        result = console.run(
            *("push", "2019np", "--source", "files", "--json"),
            YSE_INGEST_FILES=folder,
            YSE_INGEST_NEGATIVES="flux",
        )
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["state"] == "verified"

    positive, negative = console.ysepz.rows("2019np")
    assert (positive["mag"], positive["flux"]) == pytest.approx((19.42, 1706.082), abs=5e-4)
    assert negative["mag"] is None
    assert negative["flux"] == pytest.approx(-1706.082, abs=5e-4)


def test_a_private_file_is_not_pushed_by_public_rules(console: Console) -> None:
    """The message names what the file says and the line to write; nothing is sent."""
    folder = write(console, HEAD.format("ZTF") + "# groups: YSE\n" + ROWS)

    result = console.run(
        "push", "2019np", "--source", "files", "--json", YSE_INGEST_FILES=folder
    )

    assert result.exit_code != 0
    assert 'groups = [\\"YSE\\"]' in result.output
    assert console.writes() == []


def test_a_private_file_is_private_in_ysepz(console: Console) -> None:
    """Where the rules agree, every request that carries its points names its groups."""
    folder = write(console, HEAD.format("YSE") + "# groups: YSE\n" + ROWS)
    console.targets_file('[sources.files]\nobs_group = "YSE"\ngroups = ["YSE"]\n')

    console.run(
        *("push", "2019np", "--source", "files"),
        YSE_INGEST_FILES=folder,
        YSE_INGEST_TARGETS=str(console.folder / "targets.toml"),
    )

    sent = [json.loads(each.body) for each in console.ysepz.log if each.method == "POST"]
    assert [request["photheader"]["groups"] for request in sent] == ["YSE"]
    assert len(console.ysepz.rows("2019np")) == 1


def test_a_file_that_became_a_correction(console: Console) -> None:
    """A value that was corrected in the file is corrected in YSE-PZ, in place."""
    folder = write(console, PUBLIC + ROWS)
    arguments = ("push", "2019np", "--source", "files", "--json")
    console.run(*arguments, YSE_INGEST_FILES=folder)
    write(console, PUBLIC + ROWS.replace("1706.082,188.569\n58495", "1800.0,188.569\n58495"))

    result = console.run(*arguments, YSE_INGEST_FILES=folder)

    assert json.loads(result.stdout)["corrected"] == 1
    (row,) = console.ysepz.rows("2019np")
    assert row["flux"] == pytest.approx(1800.0, abs=5e-4)
