"""By which rules a source of a target is followed: names are of one survey, the rest of all."""

from __future__ import annotations

from typing import Any

import pytest

from yse_ingest.pipeline import rules_for, wanted_kinds
from yse_ingest.sources import ATLAS, LSST, ZTF, Capabilities, Kind, Survey
from yse_ingest.targets import Rules, Target

NP = Target("2019np")


def rules(
    survey: Survey = ZTF,
    *,
    target: Target = NP,
    default: Rules | None = None,
    home: Survey = ZTF,
    own: Survey = ZTF,
    **layers: Any,
) -> Rules:
    return rules_for(
        target,
        default or Rules(),
        survey=survey,
        home=home,
        own=own,
        file=layers.get("file", {}),
        source=layers.get("source", {}),
    )


def names(found: Rules) -> tuple[str, str, list[str]]:
    return found.instrument, found.obs_group, sorted(found.band_map.values())


def test_each_survey_has_its_names() -> None:
    """Nobody has to write down the bands of ATLAS or of Rubin."""
    assert rules() == Rules()
    assert names(rules(ATLAS)) == ("ACAM1", "ATLAS", ["cyan-ATLAS", "orange-ATLAS"])
    assert rules(LSST).band_map["u"] == "u-LSST"


def test_the_names_of_the_environment_and_the_defaults_are_the_default_surveys() -> None:
    """What was written for ZTF, before there were others, does not name ATLAS's camera."""
    env = Rules(instrument="ZTF-Cam2", groups=("YSE",), match_radius_arcsec=2.0)
    file = {"obs_group": "YSE", "band_map": {"g": "g-X"}, "negatives": "flux"}

    ztf, atlas = (rules(survey, default=env, file=file) for survey in (ZTF, ATLAS))

    assert names(ztf) == ("ZTF-Cam2", "YSE", ["g-X"])
    assert names(atlas) == names(rules(ATLAS))
    for each in (ztf, atlas):
        assert (each.groups, each.negatives, each.match_radius_arcsec) == (
            ("YSE",),
            "flux",
            2.0,
        )


def test_the_default_source_may_be_of_another_survey() -> None:
    """With ATLAS as the default source its own names hold, and those that are set are its."""
    assert names(rules(ATLAS, home=ATLAS, own=ATLAS)) == names(rules(ATLAS))
    named = rules(ATLAS, home=ATLAS, own=ATLAS, file={"obs_group": "Pan"})
    assert named.obs_group == "Pan"
    assert named.instrument == "ACAM1"


def test_what_is_said_of_the_source_wins_over_its_survey() -> None:
    """A YSE-PZ that calls ATLAS's camera something else is told so once."""
    found = rules(ATLAS, source={"instrument": "ACAM2"}, file={"instrument": "X"})

    assert (found.instrument, found.obs_group) == ("ACAM2", "ATLAS")


def test_the_names_of_a_target_are_those_of_its_own_source() -> None:
    """A target that overrides its instrument means the source that it names."""
    target = Target("2019np", overrides={"instrument": "Special", "clobber": True})

    own, other = (rules(survey, target=target, own=ATLAS) for survey in (ATLAS, LSST))

    assert (own.instrument, own.clobber) == ("Special", True)
    assert (other.instrument, other.clobber) == ("LSSTCam", True)


@pytest.mark.parametrize(
    ("kinds", "given", "wanted"),
    [
        ("detection", {}, "detection"),
        ("detection forced limit", {}, "detection"),
        ("detection forced", {"forced": True}, "detection forced"),
        ("forced", {}, "detection forced"),
        ("forced limit", {"upper_limits": "before"}, "detection forced limit"),
        ("detection", {"upper_limits": "before"}, "detection limit"),
    ],
)
def test_what_a_source_is_asked_for(kinds: str, given: dict[str, Any], wanted: str) -> None:
    """Detections always; forced photometry and limits on demand, or where nothing else is."""
    capabilities = Capabilities(
        batch_size=1,
        by_id=True,
        by_position=True,
        since="client",
        exposure_tolerance_s=1.0,
        bands=(),
        kinds=frozenset(map(Kind, kinds.split())),
    )

    assert wanted_kinds(Rules(**given), capabilities) == frozenset(map(Kind, wanted.split()))
