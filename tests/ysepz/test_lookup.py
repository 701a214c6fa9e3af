from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.errors import (
    AmbiguousTargetError,
    PlaceTakenError,
    TargetError,
    YsePzReplyError,
)
from yse_ingest.targets import Target, separation_arcsec
from yse_ingest.ysepz import Transient, create, resolve
from yse_ingest.ysepz.lookup import in_merge_box

if TYPE_CHECKING:
    from yse_ingest.sandbox.ysepz import YsePzStandIn
    from yse_ingest.ysepz import YsePz

RA, DEC = 157.3415, 29.5106667
CREATION = {"status": "New", "obs_group": "ZTF"}


def north(arcsec: float, **fields: Any) -> Target:
    return Target("2026zz", ra=RA, dec=DEC + arcsec / 3600, **fields)


@pytest.mark.parametrize("name", ["2019np", "SN2019np", "SN 2019np", "AT2019np", "2019NP"])
def test_by_name(client: YsePz, name: str) -> None:
    """Every spelling of an IAU name leads to the one transient, spelt as it is stored."""
    found = resolve(client, Target(name))
    assert found.transient is not None
    assert (found.transient.name, found.by, found.separation_arcsec) == ("2019np", "name", None)


PREFIXED = ("SN2024xyz", "AT2024xyz", "SN 2024xyz", "AT 2024xyz")


@pytest.mark.parametrize("stored", PREFIXED)
@pytest.mark.parametrize("asked", ["2024xyz", "AT2024xyz", "SN 2024xyz", "at2024XYZ"])
def test_by_a_name_that_was_posted_with_its_prefix(
    server: YsePzStandIn, client: YsePz, stored: str, asked: str
) -> None:
    """YSE-PZ keeps what was posted: each spelling finds it, and its stored name is told."""
    server.add_transient(stored, 10.0, 10.0)
    found = resolve(client, Target(asked))
    assert found.transient is not None
    assert (found.transient.name, found.by) == (stored, "name")


def test_the_prefixes_are_asked_for_on_a_miss_alone(
    server: YsePzStandIn, client: YsePz
) -> None:
    """A transient of the bare name is the one, whatever else there is."""
    server.add_transient("SN2019np", 10.0, 10.0)
    client.vocabulary()
    server.log.clear()
    found = resolve(client, Target("2019np"))
    assert found.transient is not None
    assert found.transient.name == "2019np"
    assert len(server.log) == 1
    assert resolve(client, Target("ZTF19zzzzzzz")).by == "none"
    assert len(server.log) == 3  # the name, and the list of aliases


def test_two_behind_a_prefix(server: YsePzStandIn, client: YsePz) -> None:
    """Nobody can tell which is meant: both are named."""
    server.add_transient("SN2024xyz", 10.0, 10.0)
    server.add_transient("AT 2024xyz", 20.0, 10.0)
    with pytest.raises(AmbiguousTargetError, match=r"SN2024xyz .*AT 2024xyz"):
        resolve(client, Target("2024xyz"))


def test_a_prefixed_name_wins_over_an_alias(server: YsePzStandIn, client: YsePz) -> None:
    """It is a name, and an alias may be anybody's."""
    server.add_transient("SN2020b", 10.0, 10.0)
    server.add_alias("2020b", "2019np")
    found = resolve(client, Target("2020b"))
    assert found.transient is not None
    assert found.transient.name == "SN2020b"


@pytest.mark.parametrize("arcsec", [0.5, 1.5, 4.0])
def test_nothing_is_created_beside_a_prefixed_name(
    server: YsePzStandIn, client: YsePz, arcsec: float
) -> None:
    """Near or far, it is that transient; too far off, it is told by its stored name."""
    server.add_transient("AT2024xyz", 10.0, 10.0)
    target = Target("AT2024xyz", ra=10.0, dec=10.0 + arcsec / 3600, creation=CREATION)
    if arcsec > 2.0:
        with pytest.raises(TargetError, match="those of the transient AT2024xyz at"):
            create(client, target, client.vocabulary())
    else:
        assert create(client, target, client.vocabulary()).name == "AT2024xyz"
    assert server.transients() == ["2019np", "AT2024xyz"]


def test_by_name_with_coordinates(client: YsePz) -> None:
    """Coordinates close to those of YSE-PZ are fine, and their separation is told."""
    found = resolve(client, Target("2019np", ra=RA, dec=DEC + 1.9 / 3600))
    assert found.by == "name"
    assert found.separation_arcsec == pytest.approx(1.9, abs=0.01)


@pytest.mark.parametrize("by", ["2019np", "ZTF19aacgslb"])
def test_coordinates_of_something_else(server: YsePzStandIn, client: YsePz, by: str) -> None:
    """Coordinates more than 2" off stop everything, with both positions and the separation."""
    server.add_alias("ZTF19aacgslb", "2019np")
    with pytest.raises(TargetError, match=r'3\.0" from') as caught:
        resolve(client, Target(by, ra=RA, dec=DEC + 3.0 / 3600))
    assert "157.34150, +29.51067" in str(caught.value)
    assert "157.34150, +29.51150" in str(caught.value)


@pytest.mark.parametrize("alias", ["ZTF19aacgslb", "AT2026abc", "2026abc"])
def test_by_alias(server: YsePzStandIn, client: YsePz, alias: str) -> None:
    """An alias leads to the transient it belongs to, also in the spelling of the TNS."""
    server.add_alias(alias, "2019np")
    found = resolve(client, Target(alias))
    assert found.transient is not None
    assert (found.transient.name, found.by) == ("2019np", "alias")


@pytest.mark.parametrize("posted", ["ZTF25aaaaaaa, ATLAS25xyz", "ZTF25aaaaaaa ,\tATLAS25xyz "])
@pytest.mark.parametrize("target", [{}, {"ra": RA, "dec": DEC + 1.9 / 3600}])
def test_by_alias_with_a_blank_before_it(
    server: YsePzStandIn, client: YsePz, posted: str, target: dict[str, Any]
) -> None:
    """YSE-PZ splits what TNS says at the commas and keeps the blanks; the name has none."""
    add = {"name": "2019np", "internal_names": posted}
    account = (client.account.username, client.account.password)
    requests.post(f"{server.url}/add_transient/", json={"t": add}, auth=account, timeout=5)
    found = resolve(client, Target("ATLAS25xyz", **target))
    assert found.transient is not None
    assert (found.transient.name, found.by) == ("2019np", "alias")


def test_an_alias_with_a_blank_before_it_is_never_created(
    server: YsePzStandIn, client: YsePz
) -> None:
    """Farther off than the neighbours are looked for, a second light curve would begin."""
    server.add_alias(" ATLAS25xyz", "2019np")
    elsewhere = Target("ATLAS25xyz", ra=RA, dec=DEC + 4.0 / 3600, creation=CREATION)
    with pytest.raises(TargetError, match=r'4\.0" from those of the transient 2019np'):
        create(client, elsewhere, client.vocabulary())
    assert server.transients() == ["2019np"]


def test_a_name_wins_over_an_alias(server: YsePzStandIn, client: YsePz) -> None:
    """A transient of the name is meant before one that has it as an alias."""
    server.add_transient("2020b", 10.0, 10.0)
    server.add_alias("2020b", "2019np")
    found = resolve(client, Target("2020b"))
    assert found.transient is not None
    assert found.transient.name == "2020b"


def test_alias_of_two(server: YsePzStandIn, client: YsePz) -> None:
    """An alias of two transients means neither."""
    server.add_transient("2020b", 10.0, 10.0)
    server.add_alias("twofold", "2019np")
    server.add_alias("twofold", "2020b")
    with pytest.raises(AmbiguousTargetError, match="alias of 2 transients"):
        resolve(client, Target("twofold"))


def test_by_position(client: YsePz) -> None:
    """A target of another name within 0.756" that may not be created is that transient."""
    found = resolve(client, north(0.7))
    assert found.transient is not None
    assert (found.transient.name, found.by) == ("2019np", "position")
    assert found.separation_arcsec == pytest.approx(0.7, abs=0.01)


def test_creation_within_the_merge_box(client: YsePz) -> None:
    """Within 0.756" nothing is created: YSE-PZ would merge the two (trap 8); beside or not."""
    for creation in (CREATION, {**CREATION, "beside": "2019np"}):
        with pytest.raises(PlaceTakenError, match=r'2019np .* 0\.70" away') as caught:
            resolve(client, north(0.7, creation=creation))
        assert "would merge" in str(caught.value)


@pytest.mark.parametrize("creation", [None, CREATION, {**CREATION, "beside": "2020other"}])
def test_a_neighbour_beyond_the_merge_box(
    client: YsePz, creation: dict[str, Any] | None
) -> None:
    """Between 0.756" and 3" a target is neither taken for its neighbour nor put beside it."""
    with pytest.raises(PlaceTakenError, match=r'2019np .* 1\.50" away') as caught:
        resolve(client, north(1.5, creation=creation))
    assert "beside = 2019np" in str(caught.value)


def test_beside(server: YsePzStandIn, client: YsePz) -> None:
    """A target that names every neighbour may stand beside them."""
    found = resolve(client, north(1.5, creation={**CREATION, "beside": "2019np"}))
    assert (found.transient, found.by) == (None, "none")
    assert [one.name for one, _ in found.neighbours] == ["2019np"]
    server.add_transient("2020b", RA, DEC + 2.5 / 3600)
    with pytest.raises(PlaceTakenError, match="2020b"):
        resolve(client, north(1.5, creation={**CREATION, "beside": "2019np"}))
    both = north(1.5, creation={**CREATION, "beside": "2019np, 2020b"})
    assert len(resolve(client, both).neighbours) == 2


def test_several_within_the_merge_box(server: YsePzStandIn, client: YsePz) -> None:
    """Two transients at one place are for a person to sort out."""
    server.add_transient("2020b", RA, DEC + 0.3 / 3600)
    with pytest.raises(PlaceTakenError, match=r"2019np .*2020b"):
        resolve(client, north(0.1))


def test_across_ra_zero(server: YsePzStandIn, client: YsePz) -> None:
    """YSE-PZ itself finds nothing across RA 0; the look-up does."""
    server.add_transient("edge", 359.99996, 0.0)
    target = Target("2026zz", ra=0.00005, dec=0.0, creation={**CREATION, "beside": "edge"})
    with pytest.raises(PlaceTakenError, match="edge"):
        resolve(client, target)


def test_one_without_a_slug(server: YsePzStandIn, client: YsePz) -> None:
    """It is refused with what to do about it, and stands in nobody's way."""
    pk = server.add_transient("2020b", RA, DEC + 2.5 / 3600)
    with server.store.connect() as database:
        database.update("transient", [pk], {"slug": None})
    with pytest.raises(TargetError, match="no slug") as caught:
        resolve(client, Target("2020b"))
    assert "Save it once in YSE-PZ" in str(caught.value)
    with pytest.raises(YsePzReplyError, match="no slug") as unshown:
        client.read_back("")
    assert unshown.value.field == "slug"
    assert [one.name for one, _ in client.transients_near(RA, DEC, 3.0)] == ["2019np", "2020b"]
    assert resolve(client, Target("2019np")).transient is not None


def test_nothing_there(client: YsePz) -> None:
    """A name that nobody knows, and a place without neighbours, resolve to nothing."""
    assert resolve(client, Target("2026zz")).by == "none"
    assert resolve(client, north(3.1)).transient is None


@pytest.mark.parametrize("dec", [0.0, 60.0, -85.0])
def test_corners_of_the_merge_box(dec: float) -> None:
    """The corners of the server's box reach beyond the circle of its half-width."""
    east = 0.7 / 3600 / math.cos(math.radians(dec))
    there = Transient(1, "a", "a", 200.0 + east, dec + 0.7 / 3600, None, None, None, ())
    assert separation_arcsec(200.0, dec, there.ra, there.dec) > 0.9
    assert in_merge_box(200.0, dec, there)


@given(
    dec=st.floats(-89.9, 89.9),
    north_arcsec=st.floats(-1.2, 1.2),
    east_arcsec=st.floats(-1.2, 1.2),
)
def test_merge_box_is_the_servers_or_larger(
    dec: float, north_arcsec: float, east_arcsec: float
) -> None:
    """Whatever the server's box or a circle of 0.756" holds counts as the same place."""
    half = 0.00021
    new_ra, new_dec = 200.0, dec
    old_ra = 200.0 + east_arcsec / 3600 / math.cos(math.radians(dec))
    old_dec = dec + north_arcsec / 3600
    there = Transient(1, "a", "a", old_ra, old_dec, None, None, None, ())
    reach = max(abs(new_dec - half), abs(new_dec + half))
    merges = (
        abs(old_dec - new_dec) < half
        and abs(old_ra - new_ra) < half / math.cos(math.radians(reach))
    ) or separation_arcsec(new_ra, new_dec, old_ra, old_dec) < 0.756
    if merges:
        assert in_merge_box(new_ra, new_dec, there)
    if max(abs(north_arcsec), abs(east_arcsec)) > 0.78:
        assert not in_merge_box(new_ra, new_dec, there)
