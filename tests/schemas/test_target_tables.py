"""Tables of targets, and the registry as a file: what is written is read as the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from yse_ingest.schemas.target_export import SUFFIXES, Exported, export_targets
from yse_ingest.schemas.targets import load_targets_file
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from pathlib import Path

    from yse_ingest.schemas.targets import TargetsFile

TARGETS = [
    Target("2019np", ra=157.3415, dec=-29.510666700000001, source="alerce,fink"),
    Target("2027abc", cadence_s=5400.5, freshness_s=86400.0, object_id='a "quoted", \\ id'),
    Target(
        "2027abd",
        since="2027-01-01T00:00:00",
        creation={"status": "New", "obs_group": "ZTF", "tags": ["YSE", "a; b, c"]},
        overrides={
            "groups": ["YSE", "Keck Infrared"],
            "flux_zero_point": None,
            "clobber": True,
            "min_rb": 0.55,
            "band_map": {"g": "g-ZTF", "r": "r-ZTF"},
        },
    ),
    Target(
        "ZTF19aacgslb",
        cadence_s="adaptive",
        until="2027-03-01T00:00:00",
        expires="2027-04-01T00:00:00",
        priority=5,
    ),
]
PAUSED = {"2027abc": 'host "nucleus", # it left; 2 %'}


def read(folder: Path, name: str, text: str, *, exported: bool = False) -> TargetsFile:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load_targets_file(path, exported=exported)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_exported_is_read_as_the_same(tmp_path: Path, suffix: str) -> None:
    """Every field of every target, and the pauses, in each of the formats."""
    every = [Exported(target, PAUSED.get(target.name)) for target in TARGETS]
    text = export_targets(every, suffix=suffix)
    file = read(tmp_path, f"registry{suffix}", text, exported=True)
    assert file.problems == ()
    assert list(file.targets) == TARGETS
    assert file.paused == PAUSED


def test_astropy_reads_what_is_exported_and_is_read(tmp_path: Path) -> None:
    """The ECSV is astropy's: with columns in degrees, and by whatever delimiter it writes."""
    from astropy.table import Table

    text = export_targets(map(Exported, TARGETS), suffix=".ecsv")
    table = Table.read(text, format="ascii.ecsv")
    assert str(table["ra"].unit) == "deg"
    assert list(table["name"]) == [target.name for target in TARGETS]
    assert float(table["dec"][0]) == TARGETS[0].dec
    for delimiter in (" ", ","):
        path = tmp_path / "again.ecsv"
        table.write(path, format="ascii.ecsv", delimiter=delimiter, overwrite=True)
        again = load_targets_file(path)
        assert again.problems == ()
        assert list(again.targets) == TARGETS


def test_a_table_by_hand(tmp_path: Path) -> None:
    """Comments, empty cells, lists, columns of the creation, other spellings of the columns."""
    file = read(
        tmp_path,
        "targets.csv",
        "# the first night\n"
        "Name, RA,Decl,sources,every,creation.status,creation.obs_group,creation.tags,"
        "clobber\n"
        "\n"
        "SN2019np,157.3415,29.5106667,alerce;fink,2h,New,ZTF,YSE;TESS Fast,\n"
        "2027abc,,,,,,,,true\n",
    )
    assert file.problems == ()
    assert list(file.targets) == [
        Target(
            "2019np",
            ra=157.3415,
            dec=29.5106667,
            source="alerce,fink",
            cadence_s=7200.0,
            creation={"status": "New", "obs_group": "ZTF", "tags": ["YSE", "TESS Fast"]},
        ),
        Target("2027abc", overrides={"clobber": True}),
    ]


def test_every_bad_line_is_told_and_every_good_one_taken(tmp_path: Path) -> None:
    """With line, field and value; a column that is none is told once, and left out."""
    file = read(
        tmp_path,
        "targets.csv",
        "name,ra,dec,cadance,clobber\n"
        "good,10,20,2h,\n"
        "far,400,20,,\n"
        "hours,10:29:22,20,,\n"
        "half,10,,,\n"
        "short,10,20\n"
        'open,10,20,"2h,\n'
        ",10,20,,\n"
        "GOOD,11,20,,\n"
        "odd,10,20,,perhaps\n"
        "last,11,-20,,false\n",
    )
    assert [target.name for target in file.targets] == ["good", "last"]
    told = {problem.line or 0: problem for problem in file.problems}
    assert sorted(told) == [1, 3, 4, 5, 6, 7, 8, 9, 10]
    assert (told[1].field, told[1].value) == ("cadance", "cadance")
    assert "did you mean cadence?" in told[1].reason
    assert (told[3].field, told[3].value, told[3].name) == ("ra", 400.0, "far")
    assert "157.34" in told[4].reason
    assert (told[5].field, told[5].name) == ("dec", "half")
    assert told[6].reason == "has 3 cells, the header 5"
    assert "quote" in told[7].reason
    assert (told[8].field, told[8].reason) == ("name", "is missing")
    assert "a second time" in told[9].reason
    assert (told[10].field, told[10].value) == ("clobber", "perhaps")
    assert str(told[3]).startswith("line 3: target 2 (far): ra is 400")


def test_a_table_in_hours_is_refused(tmp_path: Path) -> None:
    """Numbers in another unit would be other places: the column is not taken."""
    file = read(
        tmp_path,
        "targets.ecsv",
        "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: name, datatype: string}\n"
        "# - {name: ra, unit: hourangle, datatype: float64}\n"
        "# - {name: dec, unit: deg, datatype: float64}\n# schema: astropy-2.0\n"
        "name ra dec\n2019np 10.489 29.51\n2027abc 1.0 2.0\n",
    )
    assert file.targets == ()
    assert [(each.line, each.field) for each in file.problems] == [
        (5, "ra"),
        (9, "ra"),
        (10, "ra"),
    ]
    assert "is in hourangle; write the table in degrees" in file.problems[0].reason


def test_pauses_are_of_an_exported_registry_alone(tmp_path: Path) -> None:
    """In the targets file, which is read again and again, a pause would undo a person's."""
    text = '[[targets]]\nname = "2019np"\npaused = "why"\n'
    file = read(tmp_path, "targets.toml", text)
    assert [problem.field for problem in file.problems] == ["paused"]
    assert read(tmp_path, "targets.toml", text, exported=True).paused == {"2019np": "why"}
