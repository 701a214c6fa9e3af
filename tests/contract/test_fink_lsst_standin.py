"""The stand-in of Fink's LSST API answers as its server was read, traps included."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.fink import FinkLsstStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

MJD = 61217.41670499
OID, OTHER = 170587116732400001, 170587116732400002
PLACE = {"ra": 9.31, "dec": -42.37, "radius": 5}


@pytest.fixture
def fink() -> Iterator[FinkLsstStandIn]:
    with FinkLsstStandIn() as stand_in:
        yield stand_in


def post(stand_in: FinkLsstStandIn, route: str, **payload: Any) -> requests.Response:
    return requests.post(f"{stand_in.api_url}/{route}", json=payload, timeout=10)


def rows(stand_in: FinkLsstStandIn, route: str, **payload: Any) -> list[dict[str, Any]]:
    reply = post(stand_in, route, **payload)
    assert reply.status_code == 200, reply.text
    found = reply.json()
    assert isinstance(found, list)
    return found


def add(
    stand_in: FinkLsstStandIn, object_id: int = OID, *, night: int = 0, **values: Any
) -> int:
    place = {"ra": 9.31, "dec": -42.37} | values
    return stand_in.add_source(object_id, MJD + night, "r", 2400.0, 380.0, **place)


def test_a_source_is_flat_and_typed(fink: FinkLsstStandIn) -> None:
    """Ids are whole numbers beyond 2^53, bands letters; total flux stands beside difference."""
    source_id = add(fink)
    (row,) = rows(fink, "sources", diaObjectId=str(OID))
    assert row["r:diaObjectId"] == OID
    assert row["r:diaSourceId"] == source_id > 2**53
    assert (row["r:band"], row["r:psfFlux"], row["r:psfFluxErr"]) == ("r", 2400.0, 380.0)
    assert row["r:scienceFlux"] > row["r:psfFlux"]
    assert row["r:midpointMjdTai"] == MJD


def test_an_object_is_text_in_the_request(fink: FinkLsstStandIn) -> None:
    """A number, as the answer shows it, is an accident of the server: a 500 that is a page."""
    add(fink)
    reply = post(fink, "sources", diaObjectId=OID)
    assert reply.status_code == 500
    assert reply.headers["Content-Type"].startswith("text/html")


def test_many_objects_at_once_newest_first(fink: FinkLsstStandIn) -> None:
    """A list of ids is one answer; what is not known is left out without a word."""
    add(fink, night=0)
    add(fink, night=1)
    add(fink, OTHER, night=2)
    found = rows(fink, "sources", diaObjectId=f"{OID},999,{OTHER}")
    assert [row["r:diaObjectId"] for row in found] == [OTHER, OID, OID]
    assert post(fink, "sources", diaObjectId="999").text == "[]"


def test_one_version_breaks_lists(fink: FinkLsstStandIn) -> None:
    """It answers nothing at all to several ids, and as ever to one."""
    add(fink)
    add(fink, OTHER)
    fink.lists_broken = True
    assert rows(fink, "sources", diaObjectId=f"{OID},{OTHER}") == []
    assert len(rows(fink, "sources", diaObjectId=str(OID))) == 1


def test_one_moment_of_one_object(fink: FinkLsstStandIn) -> None:
    """The parameter midpointMjdTai chooses one source of a single id."""
    add(fink, night=0)
    add(fink, night=1)
    (row,) = rows(fink, "sources", diaObjectId=str(OID), midpointMjdTai=MJD)
    assert row["r:midpointMjdTai"] == MJD


def test_forced_photometry_is_a_route(fink: FinkLsstStandIn) -> None:
    """Fluxes of either sign, no place, no id of its own, and null for what is not finite."""
    fink.add_forced(OID, MJD - 1, "r", -55.0, 370.0)
    fink.add_forced(OID, MJD - 2, "r", float("nan"), 370.0)
    newest, older = rows(fink, "fp", diaObjectId=str(OID))
    assert newest == {
        "r:diaObjectId": OID,
        "r:midpointMjdTai": MJD - 1,
        "r:band": "r",
        "r:psfFlux": -55.0,
        "r:psfFluxErr": 370.0,
    }
    assert older["r:psfFlux"] is None


def test_a_cone_gives_each_object_once_unless_the_time_is_left_out(
    fink: FinkLsstStandIn,
) -> None:
    """With object and time among the columns only the latest source of each object is shown."""
    for night in range(3):
        add(fink, night=night)
    both = rows(fink, "conesearch", **PLACE, columns="r:diaObjectId,r:midpointMjdTai")
    assert [row["r:midpointMjdTai"] for row in both] == [MJD + 2]
    assert both[0]["v:separation_degree"] == pytest.approx(0, abs=1e-9)
    assert len(rows(fink, "conesearch", **PLACE, columns="r:diaObjectId")) == 3


def test_a_cone_is_cut_before_the_distance_is_looked_at(fink: FinkLsstStandIn) -> None:
    """Sources a hundred arcsec away use up n: an object in the cone is hidden, silently."""
    for night in range(3):
        add(fink, OTHER, night=night, dec=-42.37 + 100 / 3600)
    add(fink)
    assert rows(fink, "conesearch", **PLACE, n=3) == []
    assert len(rows(fink, "conesearch", **PLACE, n=4)) == 1


def test_a_date_filter_wants_its_column(fink: FinkLsstStandIn) -> None:
    """Without it a 400; with it objects are chosen by their first source: no since."""
    add(fink, night=0)
    add(fink, night=9)
    refused = post(fink, "conesearch", **PLACE, columns="r:diaObjectId", startdate=MJD)
    assert refused.status_code == 400
    assert ast.literal_eval(refused.text)["status"] == "error"
    chosen = "r:diaObjectId,f:firstDiaSourceMjdTaiFink"
    assert rows(fink, "conesearch", **PLACE, columns=chosen, startdate=MJD + 5) == []
    assert len(rows(fink, "conesearch", **PLACE, columns=chosen, startdate=MJD - 5)) == 2


def test_refusals_and_pages(fink: FinkLsstStandIn) -> None:
    """A missing id is a 400 that is no JSON, an unknown route a 404 that is a page."""
    reply = post(fink, "sources")
    assert reply.status_code == 400
    assert "diaObjectId" in ast.literal_eval(reply.text)["text"]
    assert post(fink, "latests").status_code == 404
    assert post(fink, "conesearch", **{**PLACE, "radius": 18001}).status_code == 400
