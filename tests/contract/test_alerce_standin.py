"""The stand-in ALeRCE answers as the API was read and recorded, its traps included."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.alerce import AlerceStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

JD = 2459000.8123456
DETECTION_KEYS = {
    *("tid", "mjd", "candid", "fid", "pid", "diffmaglim", "isdiffpos", "nid", "distnr"),
    *("magpsf", "magap", "sigmapsf", "sigmagap", "ra", "dec", "rb", "rbversion", "drb"),
    *("magapbig", "sigmagapbig", "rfid", "has_stamp", "corrected", "dubious"),
    *("step_id_corr", "phase", "parent_candid"),
}
OBJECT_KEYS = {
    *("oid", "ndethist", "ncovhist", "mjdstarthist", "mjdendhist", "corrected", "stellar"),
    *("ndet", "g_r_max", "g_r_max_corr", "g_r_mean", "g_r_mean_corr", "firstmjd", "lastmjd"),
    *("deltajd", "meanra", "meandec", "sigmara", "sigmadec", "step_id_corr"),
}


@pytest.fixture
def alerce() -> Iterator[AlerceStandIn]:
    with AlerceStandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def sky() -> Iterator[AlerceStandIn]:
    """Twelve objects 0.01 deg apart, the n-th of n + 1 detections; nobody adds to it."""
    with AlerceStandIn() as stand_in:
        for number in range(12):
            for night in range(number + 1):
                stand_in.add_detection(
                    f"ZTF20aaaaa{'abcdefghijkl'[number]}",
                    JD + 10 * number + night,
                    "gr"[night % 2],
                    18.0,
                    0.1,
                    150.0 + 0.01 * number,
                    20.0,
                )
        yield stand_in


def get(stand_in: AlerceStandIn, path: str, **parameters: Any) -> requests.Response:
    return requests.get(f"{stand_in.api_url}/objects/{path}", parameters, timeout=10)


def oids(stand_in: AlerceStandIn, **parameters: Any) -> list[str]:
    reply = get(stand_in, "", **parameters)
    assert reply.status_code == 200, reply.text
    return [item["oid"] for item in reply.json()["items"]]


def only_detection(stand_in: AlerceStandIn) -> dict[str, Any]:
    (detection,) = get(stand_in, "ZTF20aa/detections").json()
    assert isinstance(detection, dict)
    return detection


# Light curves ---------------------------------------------------------------------------------


def test_light_curve(alerce: AlerceStandIn) -> None:
    """A light curve is two lists; each is served by itself as well."""
    alerce.add_detection("ZTF20aa", JD, "r", 18.0, 0.1, 150.0, 20.0, drb=0.99)
    alerce.add_non_detection("ZTF20aa", JD - 3, "g", 20.37)
    reply = get(alerce, "ZTF20aa/lightcurve")
    assert reply.headers["Content-Type"] == "application/json"
    content = reply.json()
    assert set(content) == {"detections", "non_detections"}
    assert set(content["detections"][0]) == DETECTION_KEYS
    (limit,) = content["non_detections"]
    assert limit == {"tid": "ztf", "mjd": JD - 3 - 2400000.5, "fid": 1, "diffmaglim": 20.37}
    assert get(alerce, "ZTF20aa/detections").json() == content["detections"]
    assert get(alerce, "ZTF20aa/non_detections").json() == content["non_detections"]


def test_types_of_a_detection(alerce: AlerceStandIn) -> None:
    """A candid is text, isdiffpos is 1 or -1, mjd is jd - 2400000.5, fid is a number."""
    alerce.add_detection(
        "ZTF20aa", JD, "i", 18, 0.1, 150, 20, candid=1233333333315015011, isdiffpos=-1
    )
    detection = only_detection(alerce)
    assert detection["candid"] == "1233333333315015011"
    assert detection["pid"] == 1233333333315
    assert detection["isdiffpos"] == -1
    assert detection["mjd"] + 2400000.5 == JD
    assert detection["fid"] == 3
    assert isinstance(detection["magpsf"], float)


def test_nulls_are_absent(alerce: AlerceStandIn) -> None:
    """What is null has no key; so has what is not finite, except in magpsf and sigmapsf."""
    nan = float("nan")
    alerce.add_detection(
        "ZTF20aa", JD, "g", 18.0, nan, 150.0, 20.0, drb=None, rbversion=None, distnr=nan
    )
    detection = only_detection(alerce)
    assert DETECTION_KEYS - set(detection) == {
        *("drb", "rbversion", "distnr"),
        *("sigmagap", "sigmagapbig"),  # derived from sigmapsf
    }
    assert math.isnan(detection["sigmapsf"])


def test_corrected_detection(alerce: AlerceStandIn) -> None:
    """A corrected magnitude is total flux, and its error may be the sentinel 100.0."""
    alerce.add_detection("ZTF20aa", JD, "g", 19.0, 0.1, 150.0, 20.0, corrected=True, magnr=19.0)
    detection = only_detection(alerce)
    assert detection["corrected"] is True
    assert detection["magpsf"] == 19.0
    assert detection["magpsf_corr"] == pytest.approx(19 - 2.5 * math.log10(2))
    assert detection["sigmapsf_corr"] == 100.0
    assert detection["sigmapsf_corr_ext"] == 0.1


def test_unknown_object_is_404(sky: AlerceStandIn) -> None:
    """An unknown oid is a 404 with a message, on every route."""
    for path in ("nobody", "nobody/lightcurve", "nobody/detections", "nobody/non_detections"):
        reply = get(sky, path)
        assert reply.status_code == 404
        assert reply.json() == {
            "message": "The requested URL was not found on the server. If you entered the URL "
            "manually please check your spelling and try again."
        }


# Objects --------------------------------------------------------------------------------------


def test_object(alerce: AlerceStandIn) -> None:
    """An object sums its detections up; ndethist is text; its nulls are printed."""
    alerce.add_detection("ZTF20aa", JD, "g", 18.0, 0.1, 150.0, 20.0)
    alerce.add_detection("ZTF20aa", JD + 2, "g", 18.5, 0.1, 150.0002, 20.0002)
    content = get(alerce, "ZTF20aa").json()
    assert set(content) == OBJECT_KEYS
    assert content["ndethist"] == "2"
    assert content["ndet"] == 2
    assert content["firstmjd"] == JD - 2400000.5
    assert content["deltajd"] == pytest.approx(2)
    assert content["meanra"] == pytest.approx(150.0001)
    assert content["g_r_max"] is None


def test_list_of_objects(sky: AlerceStandIn) -> None:
    """A list has ten items a page, and each names a class besides."""
    content = get(sky, "").json()
    assert set(content) == {"total", "page", "next", "has_next", "prev", "has_prev", "items"}
    assert len(content["items"]) == 10
    assert set(content["items"][0]) == OBJECT_KEYS | {"class", "classifier", "probability"}


def test_list_without_slash_is_redirected(sky: AlerceStandIn) -> None:
    """Without the trailing slash comes a 301 that keeps the query."""
    reply = requests.get(
        f"{sky.api_url}/objects?oid=ZTF20aaaaaa&page=1", allow_redirects=False, timeout=10
    )
    assert reply.status_code == 301
    assert reply.headers["Location"].endswith("/ztf/v1/objects/?oid=ZTF20aaaaaa&page=1")


def test_has_next_is_useless_without_count(sky: AlerceStandIn) -> None:
    """Unless counted, total is null and has_next false on page 1 of 2."""
    content = get(sky, "").json()
    assert (content["total"], content["has_next"], content["next"]) == (None, False, None)
    assert len(oids(sky, page=2)) == 2
    assert oids(sky, page=3) == []


def test_counted_list(sky: AlerceStandIn) -> None:
    """With ``count=true`` total and has_next are right; page stays null."""
    content = get(sky, "", count="true").json()
    assert (content["total"], content["has_next"], content["next"]) == (12, True, 2)
    assert content["page"] is None


def test_cone_is_in_seconds_of_arc(sky: AlerceStandIn) -> None:
    """The cone is around the mean position; its radius is in seconds of arc, 30 by default."""
    assert oids(sky, ra=150.0, dec=20.0) == ["ZTF20aaaaaa"]
    near = 0.01 * math.cos(math.radians(20)) * 3600
    assert len(oids(sky, ra=150.0, dec=20.0, radius=near + 0.1)) == 2
    assert len(oids(sky, ra=150.0, dec=20.0, radius=near - 0.1)) == 1


@pytest.mark.parametrize(
    "cone", [(0, 20, 2), (150, 0, 2), (150, 20, 0)], ids=["ra 0", "dec 0", "radius 0"]
)
def test_cone_with_a_zero_is_dropped(sky: AlerceStandIn, cone: tuple[int, int, int]) -> None:
    """At exactly RA 0 or Dec 0, or with radius 0, the service returns all objects."""
    ra, dec, radius = cone
    assert len(oids(sky, ra=ra, dec=dec, radius=radius, page_size=50)) == 12


def test_one_oid_is_a_pattern(sky: AlerceStandIn) -> None:
    """A single oid matches with ``*``."""
    assert oids(sky, oid="ZTF20aaaaac") == ["ZTF20aaaaac"]
    assert len(oids(sky, oid="ZTF20*", page_size=50)) == 12
    assert oids(sky, oid="ZTF20") == []


def test_several_oids_are_exact(sky: AlerceStandIn) -> None:
    """Two or more oids are a list of exact names: no pattern."""
    assert oids(sky, oid=["ZTF20aaaaac", "ZTF20aaaaad"]) == ["ZTF20aaaaac", "ZTF20aaaaad"]
    assert oids(sky, oid=["ZTF20aaaaac", "ZTF20*"]) == ["ZTF20aaaaac"]


def test_objects_that_changed_since(sky: AlerceStandIn) -> None:
    """``lastmjd`` and ``firstmjd`` repeated are the least and the greatest value."""
    since = JD + 10 * 11 - 2400000.5
    assert oids(sky, lastmjd=since, oid="ZTF20*") == ["ZTF20aaaaak", "ZTF20aaaaal"]
    early = [JD - 1 - 2400000.5, JD + 10.5 - 2400000.5]
    assert oids(sky, firstmjd=early) == ["ZTF20aaaaaa", "ZTF20aaaaab"]
    assert oids(sky, ndet=[3, 4]) == ["ZTF20aaaaac", "ZTF20aaaaad"]


def test_order(sky: AlerceStandIn) -> None:
    """``order_by`` and ``order_mode`` sort the list."""
    assert oids(sky, order_by="ndet", order_mode="DESC")[:2] == ["ZTF20aaaaal", "ZTF20aaaaak"]
    assert oids(sky, order_by="lastmjd")[0] == "ZTF20aaaaaa"


@pytest.mark.parametrize(
    "bad", [{"order_by": "size"}, {"order_mode": "down"}, {"ra": "10:00:00"}, {"page": "two"}]
)
def test_bad_parameter_is_400(sky: AlerceStandIn, bad: dict[str, str]) -> None:
    """A value outside its choices, or no number, is a 400 that names the parameter."""
    reply = get(sky, "", order_by=bad.get("order_by", "oid"), **_without(bad, "order_by"))
    assert reply.status_code == 400
    assert reply.json()["message"] == "Input payload validation failed"
    assert set(reply.json()["errors"]) == set(bad)


def _without(parameters: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in parameters.items() if key != name}


# The stand-in itself --------------------------------------------------------------------------


def test_detection_is_unique_within_its_object(alerce: AlerceStandIn) -> None:
    """The same candid may stand under two objects, once under each."""
    for oid in ("ZTF20aa", "ZTF20bb"):
        alerce.add_detection(oid, JD, "g", 18.0, 0.1, 150.0, 20.0, candid=1233333333315015011)
    with pytest.raises(ValueError, match="already"):
        alerce.add_detection(
            "ZTF20aa", JD, "g", 18.0, 0.1, 150.0, 20.0, candid=1233333333315015011
        )


def test_unknown_value_is_refused(alerce: AlerceStandIn) -> None:
    """A value that no detection has is refused."""
    with pytest.raises(ValueError, match="magspf"):
        alerce.add_detection("ZTF20aa", JD, "g", 18.0, 0.1, 150.0, 20.0, magspf=1.0)


def test_other_paths_and_methods(sky: AlerceStandIn) -> None:
    """Only GET under the base path is answered."""
    assert requests.get(f"{sky.url}/objects/", timeout=10).status_code == 404
    assert get(sky, "ZTF20aaaaaa/magstats").status_code == 404
    assert requests.post(f"{sky.api_url}/objects/", timeout=10).status_code == 405
