"""Light-curve files: three formats, one head, and nobody sees what is not for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.table import Table

from yse_ingest.errors import SettingsError, SourceReplyError, SourceUnavailableError
from yse_ingest.photometry import light_curve
from yse_ingest.sources import SOURCES, Ask, Status, build_source
from yse_ingest.targets import Rules, Target
from yse_ingest.times import format_time_ms

if TYPE_CHECKING:
    from pathlib import Path

    from yse_ingest.sources import Answer

RA, DEC = 157.3415, 29.5106667
HEAD = {"instrument": "ZTF-Cam", "obs_group": "ZTF", "public": "true"}
CSV_ROWS = """mjd,band,mag,mag_err
58494.4499421,g-ZTF,19.42,0.12
58495.4499421,r-ZTF,19.05,0.08
"""
SNANA = """SNID: SN2019np
RA: 157.3415
DECL: 29.5106667
INSTRUMENT: ZTF-Cam
OBS_GROUP: ZTF
PUBLIC: true

VARLIST: MJD FLT FLUXCAL FLUXCALERR MAG MAGERR FLUX ZP
OBS: 58494.4499421 g-ZTF 1706.082 188.569 19.42 0.12 3.1 25.0
OBS: 58495.4499421 r-ZTF 2398.833 176.764 19.05 0.08 4.4 25.0
OBS: 58496.4499421 r-ZTF -1706.082 188.569 nan 0.000 -3.1 25.0
OBS: 58497.4499421 r-ZTF 100.0 50.0 22.5 0.5 0.1 25.0
END:
"""


def csv_file(rows: str = CSV_ROWS, /, **head: str | None) -> str:
    """Return a CSV file; a head entry of None is left out."""
    entries = {**HEAD, **head}
    lines = [f"# {key}: {value}\n" for key, value in entries.items() if value is not None]
    return "".join(lines) + rows


def asked(folder: Path, rules: Rules | None = None, **target: Any) -> Answer:
    fields: dict[str, Any] = {"name": "2019np", "ra": RA, "dec": DEC} | target
    source = build_source("files", {"YSE_INGEST_FILES": str(folder)})
    (answer,) = source.fetch([Ask(Target(**fields), rules or Rules(), since_ms=10**13)])
    source.close()
    return answer


def one_file(folder: Path, text: str, name: str = "2019np.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


# Formats --------------------------------------------------------------------------------------


def test_a_csv_file_is_a_light_curve(tmp_path: Path) -> None:
    """Times, bands by YSE-PZ's name, magnitudes and errors come through; all is read."""
    answer = asked(one_file(tmp_path, csv_file()))

    alerts = answer.alerts
    assert (answer.status, answer.full) == (Status.OK, True)
    assert format_time_ms(alerts.time_ms).tolist() == [
        *("2019-01-11T10:47:54.997", "2019-01-12T10:47:54.997")
    ]
    assert alerts.band.tolist() == ["g", "r"]
    assert alerts.mag.tolist() == [19.42, 19.05]
    assert alerts.mag_err.tolist() == [0.12, 0.08]
    assert alerts.native_id[0] == "2019np.csv:g:2019-01-11T10:47:54.997"


def test_a_snana_file_is_the_same_light_curve(tmp_path: Path) -> None:
    """FLUXCAL rules at zero point 27.5, signed; below 3 sigma there is no magnitude."""
    answer = asked(one_file(tmp_path, SNANA, "2019np_ztf.snana"))
    rules = Rules()
    curve, negative = light_curve(
        answer.alerts,
        instrument=rules.instrument,
        obs_group=rules.obs_group,
        band_map=rules.band_map,
        keep_negatives=True,
    )

    assert curve.flux == pytest.approx([1706.082, 2398.833, -1706.082], abs=5e-4)
    assert curve.flux_err == pytest.approx([188.569, 176.764, 188.569], abs=5e-4)
    assert curve.mag[:2] == pytest.approx([19.42, 19.05], abs=1e-6)
    assert np.isnan(curve.mag[2])
    assert negative == 1
    assert answer.dropped == {"is below 3 sigma": 1}


@pytest.mark.parametrize("groups", [None, ["YSE", "UCSC"]])
def test_an_ecsv_file_is_the_same_light_curve(tmp_path: Path, groups: list[str] | None) -> None:
    """What astropy writes is read, its meta as the head; a masked value is none."""
    table = Table(
        {
            "jd": [2458494.9499421, 2458495.9499421, 2458496.9499421],
            "band": ["g", "r", "r"],
            "flux": np.ma.masked_values([99.0, 99.0, -1.0], -1.0),
            "flux_err": [6.0, 6.0, 6.0],
        },
        meta={
            "instrument": "ZTF-Cam",
            "obs_group": "ZTF",
            "zero_point": 23.9,
            **({"groups": groups} if groups else {"public": True}),
        },
    )
    table.write(tmp_path / "2019np.ecsv", format="ascii.ecsv")

    answer = asked(tmp_path, Rules(groups=tuple(groups or ())))

    # 99 +- 6 uJy is 18.911, and 165.3 at zero point 27.5.
    assert answer.status is Status.OK
    assert answer.alerts.mag == pytest.approx([18.911, 18.911], abs=5e-4)
    assert answer.alerts.mag_err == pytest.approx([1.0857 * 6 / 99] * 2)
    assert [str(refusal) for refusal in answer.refused] == [
        "2019np.ecsv:3: the row has neither a flux nor a magnitude with an error above 0"
    ]


def test_atomic_time_is_converted(tmp_path: Path) -> None:
    """A file in TAI is 37 s earlier in UTC."""
    utc = asked(one_file(tmp_path, csv_file())).alerts.time_ms
    tai = asked(one_file(tmp_path, csv_file(time_scale="tai"))).alerts.time_ms

    assert (utc - tai).tolist() == [37_000, 37_000]


# Who may see it -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        {"public": None},
        {"public": "false"},
        {"public": None, "groups": ""},
        {"public": None, "groups": "[]"},
        {"public": "true", "groups": "YSE"},
        {"public": "maybe"},
        {"instrument": None},
        {"obs_group": None},
        {"time_scale": "local"},
        {"ra": "157.3"},
    ],
)
def test_a_head_that_does_not_say_is_refused(
    tmp_path: Path, head: dict[str, str | None]
) -> None:
    """Groups or public is said, not assumed; so are instrument and obs_group."""
    answer = asked(one_file(tmp_path, csv_file(**head)))

    assert isinstance(answer.error, SourceReplyError)
    assert len(answer.alerts) == 0
    assert answer.reason.startswith("2019np.csv ")


@pytest.mark.parametrize(
    ("head", "rules", "told"),
    [
        ({"public": None, "groups": "YSE"}, Rules(), 'groups = ["YSE"]'),
        ({}, Rules(groups=("YSE",)), "groups = []"),
        ({"public": None, "groups": "YSE, A"}, Rules(groups=("YSE",)), 'groups = ["A", "YSE"]'),
        ({"instrument": "GPC1"}, Rules(), 'instrument = "GPC1"'),
        ({"obs_group": "YSE"}, Rules(), 'obs_group = "YSE"'),
    ],
)
def test_what_a_file_says_must_be_what_it_is_sent_by(
    tmp_path: Path, head: dict[str, str | None], rules: Rules, told: str
) -> None:
    """A private file is never sent by public rules; the message holds the line to write."""
    answer = asked(one_file(tmp_path, csv_file(**head)), rules)

    assert answer.status is Status.ERROR
    assert told in str(answer.error)


def test_groups_in_any_order_agree(tmp_path: Path) -> None:
    """The order of the groups means nothing."""
    text = csv_file(public=None, groups="[YSE, UCSC]")

    assert asked(one_file(tmp_path, text), Rules(groups=("UCSC", "YSE"))).status is Status.OK


# Which file -----------------------------------------------------------------------------------


def test_all_files_of_a_target_are_one_light_curve(tmp_path: Path) -> None:
    """Names are compared as YSE-PZ's; an exposure in two files counts once."""
    one_file(tmp_path, csv_file(), "SN2019np.csv")
    one_file(tmp_path, csv_file(CSV_ROWS.replace("58495", "58499")), "2019np_late.v2.csv")
    one_file(tmp_path, csv_file(), "2019npa.csv")
    one_file(tmp_path, "not read", "2019np.fits")

    answer = asked(tmp_path)

    assert len(answer.alerts) == 3
    assert len(answer.twins) == 1


def test_a_file_of_another_target_is_refused(tmp_path: Path) -> None:
    """A file that says that it is of somebody else is not taken for this one."""
    answer = asked(one_file(tmp_path, csv_file(name="2019xy")))

    assert "says that it is of 2019xy" in answer.reason


def test_a_file_of_another_place_is_not_taken(tmp_path: Path) -> None:
    """A head with coordinates is compared with the target's."""
    text = csv_file(ra=str(RA), dec=str(DEC + 5 / 3600))

    answer = asked(one_file(tmp_path, text))

    assert answer.status is Status.EMPTY
    assert "5.0" in answer.reason


def test_no_file_is_told_from_no_folder(tmp_path: Path) -> None:
    """Nothing there is empty; a folder that is away is an error, and asked again."""
    nothing, away = asked(tmp_path), asked(tmp_path / "unmounted")

    assert (nothing.status, away.status) == (Status.EMPTY, Status.ERROR)
    assert str(tmp_path) in nothing.reason
    assert isinstance(away.error, SourceUnavailableError)
    with pytest.raises(SettingsError, match="YSE_INGEST_FILES is not set"):
        build_source("files")


def test_a_file_needs_no_place_where_the_object_is_named(tmp_path: Path) -> None:
    """A target without coordinates is found by its name and object id."""
    answer = asked(one_file(tmp_path, csv_file()), ra=None, dec=None, object_id="ZTF19aacgslb")

    assert answer.accepted_objects == ("ZTF19aacgslb",)


# Bad rows and bad files -----------------------------------------------------------------------


def test_a_bad_row_stops_only_itself(tmp_path: Path) -> None:
    """Each is named by file and number with its reason; flagged ones are counted."""
    rows = (
        "mjd,band,mag,mag_err,quality\n"
        "58494.4,g-ZTF,19.42,0.12,\n"
        "58495.4,g-ZTF,bright,0.12,\n"
        "58496.4,g-ZTF,19.4,0,\n"
        "yesterday,g-ZTF,19.4,0.1,\n"
        "58497.4,z-ZTF,19.4,0.1,\n"
        "58498.4,g-ZTF,19.4,0.1,Bad\n"
        "58499.4,g-ZTF\n"
    )

    answer = asked(one_file(tmp_path, csv_file(rows)))

    assert len(answer.alerts) == 1
    assert answer.dropped == {"is flagged in the file": 1}
    assert [str(refusal).partition(":")[2] for refusal in answer.refused[:4]] == [
        "2: mag is 'bright', which is not a number",
        "3: the row has neither a flux nor a magnitude with an error above 0",
        "4: mjd is 'yesterday', which is not a number",
        "7: the row has neither a flux nor a magnitude with an error above 0",
    ]
    assert "band is z-ZTF, which the band map lacks" in str(answer.refused[4])


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("2019np.csv", csv_file("mjd,mag,mag_err\n"), "has no column band"),
        ("2019np.csv", csv_file("band,mag\n"), "has no column mjd or jd"),
        ("2019np.csv", csv_file("mjd,band,FLT\n"), "has the column band twice"),
        ("2019np.csv", "", "has no column band, mjd or jd"),
        ("2019np.ecsv", "mjd,band\n1,2\n", "is no ECSV"),
        ("2019np.dat", "a light curve\n", "has no column band, mjd or jd"),
        (
            "2019np.csv",
            csv_file("mjd,band,flux,flux_err\n58494.4,g,99,6\n"),
            "does not say their zero point",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, text: str, why: str
) -> None:
    """What is wrong with a file is said; nothing of it is taken."""
    answer = asked(one_file(tmp_path, text, name))

    assert isinstance(answer.error, SourceReplyError)
    assert answer.error.target == "2019np"
    assert why in answer.reason


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, and a folder of a file's name, are errors of the target."""
    (tmp_path / "2019np.csv").write_bytes(b"\xff\xfe\x00")
    assert "is not text in UTF-8" in asked(tmp_path).reason
    (tmp_path / "2019np.csv").unlink()
    (tmp_path / "2019np.dat").mkdir()
    assert "cannot be read" in asked(tmp_path).reason


def test_it_is_asked_by_name_alone() -> None:
    """Neither ids nor positions choose a file."""
    can = SOURCES["files"].capabilities
    assert (can.by_id, can.by_position, can.limits, can.forced) == (False,) * 4
