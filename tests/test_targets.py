"""Targets and rules: what is refused at once, and how rules are laid over each other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.errors import TargetError
from yse_ingest.targets import Rules, Target, canonical_name, separation_arcsec


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("SN2019np", "2019np"),
        ("SN 2019np", "2019np"),
        ("AT2019np", "2019np"),
        ("at_2019np", "2019np"),
        ("sn-1987A", "1987A"),
        ("2019np", "2019np"),
        ("ZTF19aacgslb", "ZTF19aacgslb"),
        ("SNLS-03D3bb", "SNLS-03D3bb"),
        ("ASASSN-15lh", "ASASSN-15lh"),
        ("AT2019np-host", "AT2019np-host"),
    ],
)
def test_names_are_those_of_yse_pz(name: str, canonical: str) -> None:
    """Prefixes that YSE-PZ leaves out are left out; every other name stays."""
    assert canonical_name(name) == canonical
    assert Target(name).name == canonical


@pytest.mark.parametrize("name", ["", " x", "x ", "x" * 65, "Ωmega", "a\nb", "a\x00b"])
def test_names_that_yse_pz_cannot_keep_are_refused(name: str) -> None:
    """A name that fails the request, or matches another one, never becomes a target."""
    with pytest.raises(TargetError) as caught:
        Target(name)

    assert caught.value.field == "name"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("ra", "dec", "field"),
    [
        (360.0, 0.0, "ra"),
        (-0.1, 0.0, "ra"),
        (float("nan"), 0.0, "ra"),
        (10.0, 90.1, "dec"),
        (10.0, float("inf"), "dec"),
        (True, 0.0, "ra"),
        ("10", 0.0, "ra"),
        (10.0, None, "dec"),
        (None, 10.0, "ra"),
    ],
)
def test_positions_are_icrs_degrees_or_nothing(ra: Any, dec: Any, field: str) -> None:
    """A coordinate that is no number in range, or stands alone, is refused by its name."""
    with pytest.raises(TargetError) as caught:
        Target("x", ra, dec)

    assert caught.value.field == field
    assert caught.value.target == "x"


def test_a_target_may_come_without_a_position() -> None:
    """YSE-PZ knows where its transients are; a position can be laid on later."""
    target = Target("x")

    assert not target.has_position
    assert target.at(1.0, 2.0).has_position


@pytest.mark.parametrize(
    ("here", "there", "arcsec"),
    [
        ((0.0, 0.0), (0.0, 1 / 3600), 1.0),
        ((359.9999, 0.0), (0.0001, 0.0), 0.72),
        ((10.0, 90.0), (200.0, 90.0), 0.0),
        ((0.0, 0.0), (180.0, 0.0), 648_000.0),
        ((157.3415, 60.0), (157.3415 + 2 / 3600, 60.0), 1.0),
    ],
)
def test_known_separations(
    here: tuple[float, float], there: tuple[float, float], arcsec: float
) -> None:
    """Great circles, across RA 0 and at the poles."""
    assert separation_arcsec(*here, *there) == pytest.approx(arcsec, abs=1e-9)


positions = st.tuples(st.floats(0, 359.99), st.floats(-90, 90))


@given(positions, positions)
def test_a_separation_is_a_distance(
    here: tuple[float, float], there: tuple[float, float]
) -> None:
    """The same both ways, and never more than half the sky."""
    distance = separation_arcsec(*here, *there)

    assert distance == pytest.approx(separation_arcsec(*there, *here), abs=1e-9)
    assert 0 <= distance <= 648_000.0000001


def test_rules_are_laid_over_each_other_in_turn() -> None:
    """What is said for a target wins over what is said for its source and by default."""
    rules = Rules().with_overrides(
        {"negatives": "flux", "clobber": True}, {}, {"clobber": False, "groups": ["YSE"]}
    )

    assert (rules.negatives, rules.clobber, rules.groups) == ("flux", False, ("YSE",))
    assert Rules().with_overrides() == Rules()


def test_a_rule_that_does_not_exist_is_named() -> None:
    """A misspelt setting is never silently without effect."""
    with pytest.raises(TargetError, match=r"no such setting: clober\. Known are .*clobber"):
        Rules().with_overrides({"clober": True})
