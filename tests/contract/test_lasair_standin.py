"""The stand-in Lasair answers as the API was read and recorded, its traps included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.lasair import TOKEN, LasairStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

JD = 2460900.81
CANDID = 3100310000015010001
OID = "ZTF25aaaaaaa"
WITH_TOKEN = {"Authorization": f"Token {TOKEN}"}
PLAIN = {"lite": False, "lasair_added": False}
PLACE = {"ra": 150.10001, "dec": 2.20003, "radius": 5, "requestType": "all"}


@pytest.fixture
def lasair() -> Iterator[LasairStandIn]:
    with LasairStandIn() as stand_in:
        yield stand_in


def post(stand_in: LasairStandIn, route: str, **question: Any) -> requests.Response:
    url = f"{stand_in.api_url}/{route}"
    return requests.post(url, json=question, headers=WITH_TOKEN, timeout=10)


def add(stand_in: LasairStandIn, object_id: str = OID, *, night: int = 0, **more: Any) -> None:
    fields = {"candid": CANDID + night, "ra": 150.10001, "dec": 2.20003} | more
    stand_in.add_alert(object_id, JD + night, "g", 19.42, 0.12, **fields)


# Who may ask ----------------------------------------------------------------------------------


def test_without_a_token_nobody_is_answered(lasair: LasairStandIn) -> None:
    """No token and a wrong one are a 401 with a detail; in a GET it may stand in the URL."""
    url = f"{lasair.api_url}/object/"
    missing = requests.post(url, json={"objectId": OID, **PLAIN}, timeout=10)
    wrong = requests.post(
        url, json={}, headers={"Authorization": "Token " + "f" * 40}, timeout=10
    )
    by_get = requests.get(f"{url}?objectId={OID}&token={TOKEN}", timeout=10)
    assert (missing.status_code, wrong.status_code, by_get.status_code) == (401, 401, 200)
    assert missing.json() == {"detail": "Authentication credentials were not provided."}
    assert wrong.json() == {"detail": "Invalid token."}


def test_the_quota_is_of_calls_an_hour(lasair: LasairStandIn) -> None:
    """The next call is a 429 that says so, and when; one that is refused does not count."""
    lasair.quota.per_hour = 2
    codes = [post(lasair, "object/", objectId=OID, **PLAIN).status_code for _ in range(4)]
    assert codes == [200, 200, 429, 429]
    refused = post(lasair, "object/", objectId=OID, **PLAIN)
    assert refused.json()["message"].startswith("Request limit exceeded. Either wait an hour")
    assert 3590 <= int(refused.headers["Retry-After"]) <= 3600
    assert lasair.quota.used == 2
    lasair.quota.says_when = False
    assert "Retry-After" not in post(lasair, "object/", objectId=OID, **PLAIN).headers


def test_a_path_ends_in_a_slash(lasair: LasairStandIn) -> None:
    """Without it a redirect, which makes a GET of a POST and loses what it asked."""
    url = f"{lasair.api_url}/object"
    reply = requests.post(url, json={}, headers=WITH_TOKEN, timeout=10, allow_redirects=False)
    assert (reply.status_code, reply.headers["Location"]) == (301, "/api/object/")
    assert post(lasair, "lightcurves/", objectIds=OID).status_code == 404


# Light curves ---------------------------------------------------------------------------------


def test_only_a_candid_tells_a_detection(lasair: LasairStandIn) -> None:
    """One list, newest first; what has no candid is a limit of three keys."""
    add(lasair)
    lasair.add_limit(OID, JD - 3, 1, 20.37)
    lasair.add_forced(OID, JD + 3, 2, 812.5, 45.1)
    content = post(lasair, "object/", objectId=OID, **PLAIN).json()
    detection, limit = content["candidates"]
    assert set(content) == {"objectId", "candidates", "forcedphot"}
    assert detection["candid"] == CANDID
    assert (detection["isdiffpos"], detection["fid"]) == ("t", 1)
    assert limit == {"jd": JD - 3, "fid": 1, "diffmaglim": 20.37}
    (forced,) = content["forcedphot"]
    assert (forced["objectid"], forced["forcediffimflux"]) == (OID, 812.5)
    assert forced["magzpsci"] == 26.2


def test_what_lasair_adds_makes_a_limit_look_like_a_detection(lasair: LasairStandIn) -> None:
    """With lasair_added a non-detection has a magpsf, which is its limit; still no candid."""
    add(lasair)
    lasair.add_limit(OID, JD - 3, 1, 20.37)
    content = post(lasair, "object/", objectId=OID, lite=False, lasair_added=True).json()
    _, limit = content["candidates"]
    assert limit["magpsf"] == limit["diffmaglim"] == 20.37
    assert "candid" not in limit
    assert "objectData" in content


def test_an_unknown_object_is_empty_or_an_accident(lasair: LasairStandIn) -> None:
    """200 and empty lists; with lasair_added a 500."""
    reply = post(lasair, "object/", objectId="ZTF25nowhere", **PLAIN)
    assert reply.json() == {"objectId": "ZTF25nowhere", "candidates": [], "forcedphot": []}
    added = post(lasair, "object/", objectId="ZTF25nowhere", lite=False, lasair_added=True)
    assert added.status_code == 500


def test_json_must_say_both_truths(lasair: LasairStandIn) -> None:
    """In JSON lite and lasair_added are required; in a form they are false."""
    add(lasair)
    assert post(lasair, "object/", objectId=OID, lite=False).status_code == 400
    url = f"{lasair.api_url}/object/"
    form = requests.post(url, data={"objectId": OID}, headers=WITH_TOKEN, timeout=10)
    assert len(form.json()["candidates"]) == 1


def test_candids_may_have_lost_their_last_digits(lasair: LasairStandIn) -> None:
    """As in the sample of its documentation: a number that went through a float."""
    add(lasair)
    lasair.loses_digits = True
    (row,) = post(lasair, "object/", objectId=OID, **PLAIN).json()["candidates"]
    assert row["candid"] == int(float(CANDID)) != CANDID


# Cones and queries ----------------------------------------------------------------------------


def test_a_cone_is_sorted_by_distance(lasair: LasairStandIn) -> None:
    """All of them, the nearest, or how many; separations in arcsec."""
    add(lasair, "ZTF25far", dec=2.20003 + 4 / 3600)
    add(lasair, dec=2.20003 + 1 / 3600)
    found = post(lasair, "cone/", **PLACE).json()
    assert [one["object"] for one in found] == [OID, "ZTF25far"]
    assert found[1]["separation"] == pytest.approx(4, abs=1e-3)
    nearest = post(lasair, "cone/", **{**PLACE, "requestType": "nearest"}).json()
    assert nearest == found[0]
    counted = post(lasair, "cone/", **{**PLACE, "requestType": "count"}).json()
    assert counted == {"count": 2}


def test_an_empty_cone_depends_on_the_version(lasair: LasairStandIn) -> None:
    """An empty list, or an empty object for the nearest; in an older version a 400."""
    assert post(lasair, "cone/", **PLACE).json() == []
    assert post(lasair, "cone/", **{**PLACE, "requestType": "nearest"}).json() == {}
    lasair.empty_is_error = True
    reply = post(lasair, "cone/", **PLACE)
    assert reply.status_code == 400
    assert reply.json()["error"].startswith("No object found ra=150.10001")


def test_a_cone_that_cannot_be_asked(lasair: LasairStandIn) -> None:
    """More than 1000 arcsec, and no request type, are a 400."""
    wide = post(lasair, "cone/", **{**PLACE, "radius": 1001})
    assert (wide.status_code, wide.json()) == (400, {"error": "Max radius is 1000 arcsec."})
    assert post(lasair, "cone/", ra=1.0, dec=1.0, radius=5).status_code == 400


def test_a_query_tells_which_changed(lasair: LasairStandIn) -> None:
    """SQL over the objects: which of these were detected since; cut at the limit, silently."""
    add(lasair, night=0)
    add(lasair, "ZTF25bbbbbbb", night=5)
    question = {
        "selected": "objectId, jdmax",
        "tables": "objects",
        "conditions": f"objectId IN ('{OID}', 'ZTF25bbbbbbb') AND jdmax > {JD + 3}",
    }
    found = post(lasair, "query/", **question).json()
    assert found == [{"objectId": "ZTF25bbbbbbb", "jdmax": JD + 5}]
    every = {**question, "conditions": ""}
    assert len(post(lasair, "query/", **every).json()) == 2
    assert len(post(lasair, "query/", **every, limit=1).json()) == 1
    wrong = post(lasair, "query/", **{**question, "tables": "nothing"})
    assert wrong.status_code == 400
    assert "returned the error" in wrong.json()["error"]
