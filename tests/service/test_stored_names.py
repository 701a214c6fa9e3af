"""Names that YSE-PZ keeps otherwise than people say them: with a prefix, with an accent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.service.test_follow import FOLLOW, Survey, names
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from pathlib import Path

    from tests.service.conftest import House
    from yse_ingest.service import Service

OBJECT = "ZTF24aaaaaaa"
RA, DEC = 10.0, 5.0


@pytest.fixture(name="survey")
def _survey(house: House, tmp_path: Path) -> Survey:
    """Return a YSE-PZ whose list has nothing yet."""
    house.ysepz.set_status("2019np", "Ignore")
    return Survey(house, tmp_path / "targets.toml")


def alert(house: House, day: int = 0) -> None:
    house.mars.add_alert(OBJECT, 2460400.5 + day, "g", 18.0, 0.05, RA, DEC)


@pytest.mark.parametrize("stored", ["AT2024xyz", "SN 2024xyz"])
def test_its_photometry_goes_to_it(house: House, stored: str) -> None:
    """Pushed and then followed under either spelling, under the name that YSE-PZ has."""
    house.ysepz.add_transient(stored, RA, DEC)
    alert(house)
    creation = {"status": "New", "obs_group": "ZTF"}
    result = house.push(Target("AT2024xyz", ra=RA, dec=DEC, creation=creation))
    assert (result.state, result.transient, result.created) == ("verified", stored, False)

    service = house.service()
    service.enqueue(Target("2024xyz"))
    alert(house, 1)
    house.cycle(service, "2024xyz")

    assert len(house.ysepz.rows(stored)) == 2
    assert house.ysepz.transients() == ["2019np", stored]
    assert house.writes() == ["/add_transient_phot/"] * 2


def test_a_name_with_an_accent_is_sent_as_it_is_stored(house: House) -> None:
    """Its database finds it without the accent, which people leave out."""
    house.ysepz.add_transient("SN t\u00e9", RA, DEC)
    alert(house)
    result = house.push(Target("SN te"))
    assert (result.state, result.transient) == ("verified", "SN t\u00e9")

    service = house.service()
    service.enqueue(Target("sn te"))
    alert(house, 1)
    house.cycle(service, "sn te")

    assert len(house.ysepz.rows("SN t\u00e9")) == 2
    assert service.state.outbox.rows(10) == []
    assert house.ysepz.transients() == ["2019np", "SN t\u00e9"]


def test_a_listed_one_is_followed(survey: Survey) -> None:
    """Under the name without the prefix; its points go to the one that has it."""
    survey.house.ysepz.add_transient("SN2024xyz", RA, DEC, status="Following")
    alert(survey.house)
    service = survey.service()
    assert survey.follow(service).new == ("2024xyz",)
    survey.house.cycle(service, "2024xyz")
    assert len(survey.house.ysepz.rows("SN2024xyz")) == 1
    followed = survey.follow(service)
    assert (followed.kept, followed.unusable) == (("2024xyz",), ())


def theirs(survey: Survey, service: Service) -> int:
    """Have a person follow 2024xyz; return its number."""
    pk: int = survey.house.ysepz.add_transient("2024xyz", RA, DEC, status="Ignore")
    service.enqueue(Target("2024xyz"))
    return pk


def test_a_list_does_not_make_it_another_transient(survey: Survey) -> None:
    """A person follows 2024xyz and a list has SN2024xyz: each is told, and nothing moves."""
    service = survey.service()
    pk = theirs(survey, service)
    alert(survey.house)
    survey.house.cycle(service, "2024xyz")
    survey.house.ysepz.add_transient("SN2024xyz", RA + 1, DEC, status="Following")

    followed = survey.follow(service)

    assert followed.unusable == ("2024xyz", "SN2024xyz")
    assert (followed.new, followed.kept, followed.gone) == ((), (), ())
    place = service.state.resolutions.get("2024xyz")
    assert place is not None
    assert place["pk"] == pk
    assert "2 names of YSE-PZ's lists" in service.state.troubles.all()[0].fact
    alert(survey.house, 1)
    survey.house.cycle(service, "2024xyz")
    assert len(survey.house.ysepz.rows("2024xyz")) == 2
    assert survey.house.ysepz.rows("SN2024xyz") == []


def test_a_list_does_not_say_what_nobody_has_looked_up_yet(survey: Survey) -> None:
    """The bare name is looked for first, and is the one."""
    service = survey.service()
    pk = theirs(survey, service)
    service.state.resolutions.drop("2024xyz")
    survey.house.ysepz.add_transient("SN2024xyz", RA + 1, DEC, status="Following")

    survey.follow(service)

    assert service.state.resolutions.get("2024xyz") is None
    place = service.locate(Target("2024xyz"))
    assert place is not None
    assert place.pk == pk


def test_one_that_people_follow_otherwise_is_theirs(survey: Survey) -> None:
    """Both are followed by people: nothing is told, and each keeps its place."""
    service = survey.service()
    pk = theirs(survey, service)
    other = survey.house.ysepz.add_transient("SN2024xyz", RA + 1, DEC, status="Following")
    survey.house.ysepz.add_alias(OBJECT, "SN2024xyz")
    service.enqueue(Target(OBJECT))
    survey.house.cycle(service, "2024xyz", OBJECT)

    followed = survey.follow(service)

    assert (followed.unusable, followed.kept) == ((), (OBJECT,))
    places = service.state.resolutions.many(["2024xyz", OBJECT])
    assert [places[name]["pk"] for name in ("2024xyz", OBJECT)] == [pk, other]


@pytest.mark.parametrize("query", [False, True], ids=["status", "query of names"])
def test_two_of_one_name_in_a_list_are_not_followed(survey: Survey, *, query: bool) -> None:
    """Both names are told; the others of the list are followed."""
    survey.house.ysepz.add_transient("2024xyz", RA, DEC, status="Following")
    survey.house.ysepz.add_transient("AT2024xyz", RA + 1, DEC, status="Following")
    survey.house.ysepz.add_transient("2020aa", RA + 2, DEC, status="Following")
    text = FOLLOW
    if query:
        sql = "SELECT name FROM YSE_App_transient WHERE name <> '2019np'"
        survey.house.ysepz.saved_queries["Names"] = sql
        text = '[follow]\nquery = "Names"\n'
    service = survey.service(text)

    followed = survey.follow(service)

    assert followed.unusable == ("2024xyz", "AT2024xyz")
    assert names(service, "list") == ["2020aa"]
