"""The stand-in of Lasair's LSST API answers as its server was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.lasair import TOKEN, LasairLsstStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

MJD = 61217.41670499
OID, OTHER = 170587116732400001, 170587116732400002
RA, DEC = 9.31, -42.37
LITE = {"lite": True, "lasair_added": False}
PLACE = {"ra": RA, "dec": DEC, "radius": 5, "requestType": "all"}


@pytest.fixture
def lasair() -> Iterator[LasairLsstStandIn]:
    with LasairLsstStandIn() as stand_in:
        stand_in.add_source(OID, MJD, "r", 2400.0, 380.0, RA, DEC, dia_source_id=OID + 8)
        stand_in.add_forced(OID, MJD - 1, "r", -55.0, 370.0)
        yield stand_in


def post(stand_in: LasairLsstStandIn, route: str, **question: Any) -> requests.Response:
    headers = {"Authorization": f"Token {TOKEN}"}
    url = f"{stand_in.api_url}/{route}"
    return requests.post(url, json=question, headers=headers, timeout=10)


def test_a_cone_is_a_mapping(lasair: LasairLsstStandIn) -> None:
    """Its objects, their number and the nearest, each id a whole number; nearest alone too."""
    lasair.add_source(OTHER, MJD, "r", 2400.0, 380.0, RA, DEC + 3 / 3600)
    content = post(lasair, "cone/", **PLACE).json()
    assert [one["object"] for one in content["objects"]] == [OID, OTHER]
    assert content["count"] == 2
    assert content["nearest"] == content["objects"][0]
    nearest = post(lasair, "cone/", **{**PLACE, "requestType": "nearest"}).json()
    assert nearest == {"nearest": content["nearest"]}


def test_an_empty_cone_is_a_mapping_too(lasair: LasairLsstStandIn) -> None:
    """No objects in it; the nearest of none is an empty mapping."""
    far = {**PLACE, "ra": 100.0}
    assert post(lasair, "cone/", **far).json() == {"objects": [], "count": 0, "nearest": {}}
    assert post(lasair, "cone/", **{**far, "requestType": "nearest"}).json() == {}


def test_a_light_curve_that_is_lite_has_no_places(lasair: LasairLsstStandIn) -> None:
    """Sources and forced photometry of a few columns, fluxes in nJy; the id comes as sent."""
    content = post(lasair, "object/", objectId=str(OID), **LITE).json()
    assert content["diaObjectId"] == str(OID)
    (source,) = content["diaSourcesList"]
    assert source == {
        "diaSourceId": OID + 8,
        "midpointMjdTai": MJD,
        "band": "r",
        "psfFlux": 2400.0,
        "psfFluxErr": 380.0,
        "reliability": 0.9,
    }
    (forced,) = content["diaForcedSourcesList"]
    assert set(forced) == {"midpointMjdTai", "band", "psfFlux", "psfFluxErr"}
    full = post(lasair, "object/", objectId=str(OID), lite=False, lasair_added=False).json()
    assert full["diaObject"] == {"ra": RA, "decl": DEC}


def test_an_unknown_object_is_empty_or_not_found(lasair: LasairLsstStandIn) -> None:
    """Empty lists; with lasair_added, which is the default here, a 404 in JSON."""
    assert post(lasair, "object/", objectId="17", **LITE).json()["diaSourcesList"] == []
    added = post(lasair, "object/", objectId="17")
    assert (added.status_code, added.json()) == (404, {"detail": "Not found."})


def test_a_query_tells_where_objects_are(lasair: LasairLsstStandIn) -> None:
    """Its table of objects has a place and a last source for each."""
    question = {
        "selected": "diaObjectId, lastDiaSourceMjdTai, ra, decl",
        "tables": "objects",
        "conditions": f"diaObjectId IN ({OID}, {OTHER}) AND lastDiaSourceMjdTai > 0",
    }
    (row,) = post(lasair, "query/", **question).json()
    assert row == {"diaObjectId": OID, "lastDiaSourceMjdTai": MJD, "ra": RA, "decl": DEC}


def test_sources_can_be_cut_by_reliability(lasair: LasairLsstStandIn) -> None:
    """A threshold of the request leaves out what is below, and no null stays."""
    lasair.add_source(OID, MJD + 1, "r", 2400.0, 380.0, RA, DEC, reliability=None)
    question = {"objectId": str(OID), **LITE, "reliabilityThreshold": 0.5}
    assert len(post(lasair, "object/", **question).json()["diaSourcesList"]) == 1


def test_it_has_the_same_door(lasair: LasairLsstStandIn) -> None:
    """Token, slash and quota are those of the other server."""
    url = f"{lasair.api_url}/object/"
    assert requests.post(url, json={}, timeout=10).status_code == 401
    lasair.quota.per_hour = 0
    assert post(lasair, "object/", objectId=str(OID), **LITE).status_code == 429
