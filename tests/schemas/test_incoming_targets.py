"""The target file: good entries are taken, bad ones told with line, field, value and reason."""

from __future__ import annotations

import datetime as dt
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yse_ingest.errors import SettingsError
from yse_ingest.schemas.targets import TargetsFile, load_targets_file, parse_targets
from yse_ingest.targets import Rules

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
[defaults]
cadence = "30m"
source = "alerce"
flux_zero_point = "none"

[sources.alerce]
match_radius_arcsec = 2.0

[[targets]]
name = "SN 2019np"
ra = 157.3415
dec = 29.5106667
object_id = "ZTF19aacgslb"
since = 2019-01-01
source = "mars"
cadence = "2h"
freshness = "1d"
creation = { status = "New", obs_group = "ZTF", tags = ["YSE"], disc_date = 2019-01-09 }
mjdmatchmin = 0.01
clobber = true
groups = ["YSE"]

[[targets]]
name = "2020xyz"
"""


def told(text: str) -> list[str]:
    return [str(problem) for problem in parse_targets(text).problems]


def entry(lines: str) -> str:
    return f'[[targets]]\nname = "x"\n{lines}\n'


def test_a_good_file_is_taken_whole() -> None:
    """Every field lands where it belongs, in the units of the library."""
    read = parse_targets(GOOD)

    assert read.problems == ()
    assert read.defaults == {"flux_zero_point": None}
    assert (read.default_cadence_s, read.default_source) == (1800.0, "alerce")
    assert read.source_overrides == {"alerce": {"match_radius_arcsec": 2.0}}
    first, second = read.targets
    assert (first.name, first.ra, first.dec) == ("2019np", 157.3415, 29.5106667)
    assert (first.object_id, first.since, first.source) == (
        "ZTF19aacgslb",
        "2019-01-01",
        "mars",
    )
    assert first.cadence_s == 7200.0
    assert first.freshness_s == 86400.0
    assert first.creation == {
        "status": "New",
        "obs_group": "ZTF",
        "tags": ["YSE"],
        "disc_date": "2019-01-09",
    }
    rules = Rules().with_overrides(read.defaults, first.overrides)
    assert (rules.mjdmatchmin, rules.clobber, rules.groups) == (0.01, True, ("YSE",))
    assert rules.flux_zero_point is None
    assert (second.name, second.ra, second.cadence_s, second.overrides) == (
        "2020xyz",
        None,
        None,
        {},
    )


def test_an_empty_file_is_a_file() -> None:
    """Nothing in it is nothing wrong."""
    assert parse_targets("") == TargetsFile()


def test_a_bad_entry_never_holds_up_the_others() -> None:
    """The entries before and after a bad one are taken."""
    read = parse_targets(
        '[[targets]]\nname = "a"\n[[targets]]\nname = "b"\nra = 400\n[[targets]]\nname = "c"\n'
    )

    assert [target.name for target in read.targets] == ["a", "c"]
    (problem,) = read.problems
    assert (problem.where, problem.name, problem.line) == ("target 2", "b", 5)
    assert (problem.field, problem.value) == ("ra", 400)
    assert str(problem) == "line 5: target 2 (b): ra is 400, outside 0 to 360"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            'ra = "10:29:21.96"\ndec = 29.5',
            "line 3: target 1 (x): ra is '10:29:21.96', sexagesimal; write 157.3415000",
        ),
        (
            'ra = "10h29m21.96s"\ndec = 29.5',
            "line 3: target 1 (x): ra is '10h29m21.96s', sexagesimal; write 157.3415000",
        ),
        (
            'ra = 1.0\ndec = "-00:30:38.4"',
            "line 4: target 1 (x): dec is '-00:30:38.4', sexagesimal; write -0.5106667",
        ),
        (
            'ra = "157.3415"\ndec = 29.5',
            "line 3: target 1 (x): ra is text; write 157.3415 without quotes",
        ),
        (
            'ra = "north"\ndec = 29.5',
            "line 3: target 1 (x): ra is 'north', which is not a number",
        ),
        ("ra = nan\ndec = 1.0", "line 3: target 1 (x): ra is nan, which is not finite"),
        (
            "ra = 1.0",
            (
                "line 1: target 1 (x): dec cannot be used: dec is missing. "
                "Give both ra and dec in degrees, or neither."
            ),
        ),
        (
            'cadence = "soon"',
            (
                "line 3: target 1 (x): cadence is 'soon'; write it like 30m, 2h, 1d or as "
                "seconds, or adaptive"
            ),
        ),
        ("cadence = 0.5", "line 3: target 1 (x): cadence is 0.5, shorter than 1 s"),
        (
            'until = "2d"',
            "line 3: target 1 (x): until is '2d', which is no date; write it like 2019-01-09",
        ),
        (
            'priority = "urgent"',
            (
                "line 3: target 1 (x): priority is 'urgent'; write low, normal, high, or a "
                "whole number up to 9"
            ),
        ),
        (
            "priority = 10",
            (
                "line 3: target 1 (x): priority is 10; write low, normal, high, or a whole "
                "number up to 9"
            ),
        ),
        (
            "cadence = inf",
            (
                "line 3: target 1 (x): cadence is inf; write it like 30m, 2h, 1d or as "
                "seconds, or adaptive"
            ),
        ),
        (
            'since = "last week"',
            (
                "line 3: target 1 (x): since is 'last week', which is no date; write it like "
                "2019-01-09"
            ),
        ),
        (
            "since = 2019",
            "line 3: target 1 (x): since is 2019, which is no date; write it like 2019-01-09",
        ),
        ("clobber = 1", "line 3: target 1 (x): clobber is 1, neither true nor false"),
        ('negatives = "keep"', 'line 3: target 1 (x): negatives is neither "drop" nor "flux"'),
        (
            "band_map = { g = 3 }",
            (
                "line 3: target 1 (x): band_map is {'g': 3}; write it like "
                '{ g = "g-ZTF", r = "r-ZTF" }'
            ),
        ),
        ('groups = "YSE"', "line 3: target 1 (x): groups is no list of names"),
        ("mjdmatchmin = 0", "line 3: target 1 (x): mjdmatchmin is 0, outside 2e-08 to 1"),
        ('instrument = ""', "line 3: target 1 (x): instrument is empty"),
        ("obs_group = 3", "line 3: target 1 (x): obs_group is 3, which is not text"),
        (
            "cadance = 30",
            "line 3: target 1 (x): cadance is no setting; did you mean cadence?",
        ),
        (
            "creation = { obs_group = 'ZTF' }",
            "line 3: target 1 (x): creation.status is missing",
        ),
        (
            "creation = { status = 'New', obs_group = 'ZTF', ra = 3.0 }",
            "line 3: target 1 (x): creation.ra is no field of a transient",
        ),
        (
            "creation = true",
            (
                "line 3: target 1 (x): creation is True; write it like "
                '{ status = "New", obs_group = "ZTF" }'
            ),
        ),
        (
            "[targets.creation]\nstatus = 'New'",
            "line 1: target 1 (x): creation.obs_group is missing",
        ),
    ],
)
def test_what_is_wrong_is_told_with_line_value_and_remedy(lines: str, problem: str) -> None:
    """One line says where it is, what it holds, and what to write instead."""
    assert told(entry(lines)) == [problem]


def test_every_fault_of_an_entry_is_told() -> None:
    """Two faults in one entry are two problems."""
    assert len(told(entry("ra = 400\ndec = -91"))) == 2


@pytest.mark.parametrize("second", ["SN2019np", "2019NP", "AT 2019np", "2019np"])
def test_one_transient_is_followed_once(second: str) -> None:
    """Two spellings of one name are a duplicate: the first is taken."""
    text = (
        f'[[targets]]\nname = "2019np"\n[[targets]]\nname = "{second}"\nra = 1.0\ndec = 1.0\n'
    )

    read = parse_targets(text)

    assert [target.name for target in read.targets] == ["2019np"]
    assert not read.targets[0].has_position
    assert "a second time; the first is taken" in str(read.problems[0])
    assert read.problems[0].line == 4


def test_defaults_that_cannot_be_used_leave_the_others() -> None:
    """A bad default is told, the good ones hold."""
    text = "[defaults]\ncadence = '1h'\nclobber = 3\n[sources]\nmars = 3\n[soruces.x]\ny = 1\n"

    read = parse_targets(text)

    assert read.default_cadence_s == 3600.0
    assert read.defaults == {}
    assert read.source_overrides == {"mars": {}}
    assert sorted(told(text)) == [
        "line 3: defaults: clobber is 3, neither true nor false",
        "soruces: it is no section; did you mean sources?",
        "sources.mars: it is no table",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("targets = 3", "targets: it is no list; begin each with [[targets]]"),
        ("targets = [3]", "target 1: it is no table"),
        (
            'targets = [{ name = "x", ra = 400, dec = 1 }]',
            "target 1 (x): ra is 400, outside 0 to 360",
        ),
        ("sources = 3", "sources: it is no table"),
        ("defaults = []", "defaults: it is no table"),
        ("[[targets]]\nra = 1.0\ndec = 2.0", "line 1: target 1: name is missing"),
        ("[[targets]]\nname = 2019", "line 2: target 1: name is 2019, which is not text"),
    ],
)
def test_other_shapes_are_told_too(text: str, problem: str) -> None:
    """Sections of another shape are problems, not crashes; lines are told where known."""
    assert told(text) == [problem]


CONTRADICTION = (
    'negatives is "flux", and no flux is sent: give flux_zero_point a number (27.5), or let '
    'negatives be "drop"'
)
FLUX, NO_FLUX = 'negatives = "flux"', 'flux_zero_point = "none"'


@pytest.mark.parametrize(
    ("text", "where", "kept"),
    [
        (f"[defaults]\n{FLUX}\n{NO_FLUX}\n{entry('')}", "line 2: defaults", ["x"]),
        (f"[sources.mars]\n{FLUX}\n{NO_FLUX}\n{entry('')}", None, ["x"]),
        (f"[defaults]\n{FLUX}\n[sources.mars]\n{NO_FLUX}\n{entry('')}", None, ["x"]),
        (f"[defaults]\n{NO_FLUX}\n{entry(FLUX)}", "target 1 (x)", []),
        (f"[sources.mars]\n{NO_FLUX}\n{entry(FLUX)}", "target 1 (x)", []),
        (entry(f"{FLUX}\n{NO_FLUX}"), "target 1 (x)", []),
    ],
    ids=["defaults", "source", "both", "below defaults", "below its source", "alone"],
)
def test_negatives_as_flux_where_no_flux_is_sent(
    text: str, where: str | None, kept: list[str]
) -> None:
    """A negative has no magnitude: the entry is told with its remedy, not each upload."""
    read = parse_targets(text, source="mars")

    assert [target.name for target in read.targets] == kept
    (problem,) = map(str, read.problems)
    assert problem.endswith(CONTRADICTION)
    assert (where or "sources.mars") in problem
    assert read.problems[0].value == "flux"
    sections = (read.defaults, *read.source_overrides.values())
    assert not any(
        Rules().with_overrides(read.defaults, section).contradiction for section in sections
    )


def test_negatives_as_flux_above_the_file() -> None:
    """What the settings say is part of it: a target without fluxes is refused there."""
    read = parse_targets(entry(NO_FLUX), rules=Rules(negatives="flux"))

    assert read.targets == ()
    assert str(read.problems[0]).endswith(CONTRADICTION)
    assert parse_targets(entry(NO_FLUX)).problems == ()


def test_a_file_that_is_no_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    """Nothing is taken of a file that cannot be parsed; the message names file and line."""
    path = tmp_path / "targets.toml"
    path.write_text("[[targets]]\nname = 2019np\n")

    with pytest.raises(SettingsError, match=r"targets\.toml is no TOML: .*line 2") as caught:
        load_targets_file(path)
    assert caught.value.remedy == "Correct that line; nothing of the file was taken."


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file, and one in another encoding, are settings at fault."""
    with pytest.raises(SettingsError, match="the target file cannot be read"):
        load_targets_file(tmp_path / "missing.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes(b'# \xe9\n[[targets]]\nname = "x"\n')
    with pytest.raises(SettingsError, match=r"is no UTF-8 text \(byte 2\)"):
        load_targets_file(path)


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    """Editors that begin a file with a mark do no harm."""
    path = tmp_path / "targets.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())

    assert len(load_targets_file(path).targets) == 2


def test_dates_are_utc() -> None:
    """A date with an offset is turned to UTC, one without is UTC already."""
    dates = ["2019-01-01T01:00:00+01:00", "2019-01-01T00:00:00Z", "2019-01-01T00:00:00"]
    text = "".join(
        f'[[targets]]\nname = "t{n}"\nsince = {date}\n' for n, date in enumerate(dates)
    )

    assert {target.since for target in parse_targets(text).targets} == {"2019-01-01T00:00:00"}


values = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=6)
    | st.dates(dt.date(1, 1, 1)),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = ("name", "ra", "dec", "object_id", "since", "cadence", "creation", "source", "groups")
RULES = ("band_map", "clobber", "mjdmatchmin", "flux_zero_point", "negatives", "colour")


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from((*KEYS, *RULES)), values))
def test_whatever_an_entry_holds_it_is_a_target_or_a_problem(content: dict[str, Any]) -> None:
    """No value of TOML crashes the reader."""
    try:
        text = "[[targets]]\n" + "".join(
            f"{key} = {toml(one)}\n" for key, one in content.items()
        )
        tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError):
        return

    read = parse_targets(text)

    assert bool(read.targets) != bool(read.problems)
    assert all(str(problem) for problem in read.problems)


def toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            escaped = "".join(f"\\U{ord(letter):08x}" for letter in value)
            return f'"{escaped}"'
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            pairs = (f"{toml(key)} = {toml(one)}" for key, one in value.items())
            return f"{{ {', '.join(pairs)} }}"
        case _:
            return str(value)
