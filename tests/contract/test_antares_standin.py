"""The stand-in ANTARES answers as its client expects, traps included; nobody recorded more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.antares import AntaresStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

JD = 2460900.81
CANDID = 3100310000015010001
OID = "ZTF25aaaaaaa"
RA, DEC = 150.10001, 2.20003
CONE = {"radius": "0.001388889 degree", "location": "10h00m24.00240s +02d12m00.1080s"}


@pytest.fixture
def antares() -> Iterator[AntaresStandIn]:
    with AntaresStandIn() as stand_in:
        yield stand_in


def add(stand_in: AntaresStandIn, object_id: str = OID, *, night: int = 0, **more: Any) -> None:
    fields: dict[str, Any] = {"candid": CANDID + night, "ra": RA, "dec": DEC, "band": "g"}
    fields |= more
    band = fields.pop("band")
    stand_in.add_alert(object_id, JD + night, band, 19.42, 0.12, **fields)


def get(stand_in: AntaresStandIn, path: str, **params: Any) -> requests.Response:
    return requests.get(f"{stand_in.api_url}/{path}", params=params, timeout=10)


def search(stand_in: AntaresStandIn, condition: dict[str, Any], **params: Any) -> Any:
    query = json.dumps({"query": {"bool": {"filter": condition}}})
    reply = get(stand_in, "loci", elasticsearch_query=query, **params)
    assert reply.status_code == 200, reply.text
    return reply.json()


def by_name(stand_in: AntaresStandIn, object_id: str) -> list[Any]:
    found = search(stand_in, {"term": {"properties.ztf_object_id": object_id}})["data"]
    assert isinstance(found, list)
    return found


def test_a_locus_may_hold_several_objects(antares: AntaresStandIn) -> None:
    """It is found by its first name alone; all its names are in a list, in old ones not."""
    add(antares)
    add(antares, "ZTF25renamed", night=1)
    (item,) = by_name(antares, OID)
    assert item["locus"]["properties"]["survey"]["ztf"]["id"] == [OID, "ZTF25renamed"]
    assert item["locus"]["properties"]["ztf_object_id"] == OID
    assert by_name(antares, "ZTF25renamed") == []
    antares.old_loci = True
    (item,) = by_name(antares, OID)
    assert "survey" not in item["locus"]["properties"]


def test_a_cone_is_sorted_by_the_newest_alert(antares: AntaresStandIn) -> None:
    """Radius and place are text with units; the nearest is not the first."""
    add(antares, night=0)
    add(antares, "ZTF25far", night=5, dec=DEC + 4 / 3600)
    found = search(antares, {"sky_distance": CONE})["data"]
    names = [item["locus"]["properties"]["ztf_object_id"] for item in found]
    assert names == ["ZTF25far", OID]


@pytest.mark.parametrize(
    "condition",
    [
        {"sky_distance": {**CONE, "radius": 5}},
        {"sky_distance": {**CONE, "location": "150.1 2.2"}},
        {"sky_distance": {**CONE, "radius": "1.5 degree"}},
        {"terms": {"properties.ztf_object_id": [OID]}},
    ],
)
def test_a_query_that_cannot_be_asked(
    antares: AntaresStandIn, condition: dict[str, Any]
) -> None:
    """Numbers, other forms of a place and wide cones are a 400 in JSON; so is what none saw."""
    query = json.dumps({"query": {"bool": {"filter": condition}}})
    reply = get(antares, "loci", elasticsearch_query=query)
    assert reply.status_code == 400
    assert "errors" in reply.json()


def test_pages_are_linked(antares: AntaresStandIn) -> None:
    """The next page is an address with all parameters in it; the last has none."""
    for number in range(3):
        add(antares, f"ZTF{number}", night=number, dec=DEC + 2 * number / 3600)
    first = search(antares, {"sky_distance": CONE}, limit=2)
    assert len(first["data"]) == 2
    second = requests.get(first["links"]["next"], timeout=10).json()
    assert len(second["data"]) == 1
    assert second["links"]["next"] is None


def test_alerts_say_their_sign(antares: AntaresStandIn) -> None:
    """Ids tell detections from limits; red is a capital letter; links may be null."""
    add(antares, band="r", isdiffpos="f")
    antares.add_limit(OID, JD - 3, 1, 20.37)
    (item,) = by_name(antares, OID)
    reply = get(antares, f"loci/{item['locus']['locus_id']}/alerts").json()
    detection, limit = reply["data"]
    assert detection["id"] == f"ztf_candidate:{CANDID}"
    assert detection["properties"]["ztf_isdiffpos"] == "f"
    assert detection["properties"]["ant_passband"] == "R"
    assert limit["id"].startswith(f"ztf_upper_limit:{OID}-")
    assert "ant_mag" not in limit["properties"]
    assert reply["links"] is None


def test_the_light_curve_hides_the_sign(antares: AntaresStandIn) -> None:
    """The CSV text has no column for it: a negative subtraction looks like a detection."""
    add(antares, isdiffpos="f")
    (item,) = by_name(antares, OID)
    text = get(antares, f"loci/{item['locus']['locus_id']}").json()["data"]["lightcurve"]
    header, row = text.strip().split("\n")
    assert "isdiffpos" not in header
    assert "19.42" in row


def test_what_is_not_there_is_json(antares: AntaresStandIn) -> None:
    """An unknown locus, and version 1, are a 404 in JSON."""
    assert get(antares, "loci/ANT2025nowhere").status_code == 404
    assert get(antares, "loci/ANT2025nowhere/alerts").status_code == 404
    retired = requests.get(f"{antares.url}/v1/loci", timeout=10)
    assert retired.status_code == 404
    assert "errors" in retired.json()
